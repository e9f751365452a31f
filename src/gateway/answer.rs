//! Envelopes: `{success, data, ts}` and `{success, error}` as clients of the
//! original know them; our own routes refuse with `application/problem+json`.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::house::HouseError;
use crate::projector::documents::DocumentsError;

/// Routes of our own.
const OWN: &str = "/api/v1/";

/// A refusal, for whoever has to say it in other words.
#[derive(Clone, Debug)]
struct Refused {
    why: String,
    /// Line and column of a text that could not be read.
    at: Option<(usize, usize)>,
}

/// An answer that is JSON. Caches ask again each time.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => written(status, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn written(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// `{success: true, data, ts}`, tagged by what `data` is: `ts` alone makes no
/// new document.
pub fn data(data: &impl Serialize, now_ms: i64) -> Response {
    let Ok(document) = serde_json::to_vec(data) else {
        return failure(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written");
    };
    let mut body = Vec::with_capacity(document.len() + 48);
    body.extend_from_slice(br#"{"success":true,"data":"#);
    body.extend_from_slice(&document);
    body.extend_from_slice(format!(r#","ts":{now_ms}}}"#).as_bytes());
    let mut response = written(StatusCode::OK, body);
    let hash = blake3::hash(&document).to_hex();
    let tag = format!("W/\"{}\"", hash.get(..32).unwrap_or_default());
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// `{success: false, error}`.
pub fn failure(status: StatusCode, error: &str) -> Response {
    refused(status, Refused { why: error.to_owned(), at: None })
}

fn refused(status: StatusCode, refused: Refused) -> Response {
    #[derive(Serialize)]
    struct Envelope<'a> {
        success: bool,
        error: &'a str,
    }
    let mut response = json(status, &Envelope { success: false, error: &refused.why });
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(refused);
    response
}

/// 400: a body that is not what it should be, with the place.
pub fn bad_json(error: &serde_json::Error) -> Response {
    let at = Some((error.line(), error.column()));
    refused(StatusCode::BAD_REQUEST, Refused { why: format!("the body: {error}"), at })
}

/// 404.
pub fn not_found(error: &str) -> Response {
    failure(StatusCode::NOT_FOUND, error)
}

/// 405; the router adds `Allow`.
pub async fn wrong_method() -> Response {
    failure(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method; see Allow")
}

/// A refusal that ends by itself.
pub fn later(status: StatusCode, error: &str, seconds: u32) -> Response {
    let mut response = failure(status, error);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The documents cannot be asked just now.
pub fn unavailable(error: &DocumentsError) -> Response {
    tracing::warn!(%error, "documents cannot be read");
    let told = "the documents cannot be read just now; try again";
    later(StatusCode::SERVICE_UNAVAILABLE, told, 1)
}

/// The rest of the house has no answer.
pub fn of_house(error: &HouseError) -> Response {
    match error {
        HouseError::Unknown(why) => not_found(why),
        HouseError::Invalid(why) => failure(StatusCode::BAD_REQUEST, why),
        HouseError::Unavailable(why) => later(StatusCode::SERVICE_UNAVAILABLE, why, 1),
        HouseError::Failed => failure(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The last word on every answer: 304 for whoever has the document, problems on
/// our own routes, and no refusal without JSON.
pub async fn finish(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let own = path.starts_with(OWN).then(|| path.to_owned());
    let api = path.starts_with("/api/") || path.starts_with("/sse/");
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let held = if reads { request.headers().get(header::IF_NONE_MATCH).cloned() } else { None };
    let mut response = next.run(request).await;
    if let Some(held) = held
        && response.status() == StatusCode::OK
        && has(&held, response.headers())
    {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        return response;
    }
    if api && response.status().is_client_error() && !is_json(response.headers()) {
        // The framework's own, about paths and queries that cannot be read.
        let headers = std::mem::take(response.headers_mut());
        response = failure(response.status(), "the path or the query cannot be read");
        response
            .headers_mut()
            .extend(headers.get(header::ALLOW).map(|a| (header::ALLOW, a.clone())));
    }
    match (own, response.extensions_mut().remove::<Refused>()) {
        (Some(path), Some(refused)) => problem(response, &path, &refused),
        _ => response,
    }
}

/// Whether a client holds what the answer would bring.
fn has(held: &HeaderValue, headers: &HeaderMap) -> bool {
    let Some(tag) = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()) else {
        return false;
    };
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let held = held.to_str().unwrap_or_default();
    held.trim() == "*" || held.split(',').any(|one| plain(one) == plain(tag))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.contains("json"))
}

/// RFC 9457, with the headers of the answer that it takes the place of.
fn problem(response: Response, path: &str, refused: &Refused) -> Response {
    #[derive(Serialize)]
    struct Problem<'a> {
        r#type: &'a str,
        title: &'a str,
        status: u16,
        detail: &'a str,
        instance: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        column: Option<usize>,
    }
    let status = response.status();
    let (line, column) = refused.at.unzip();
    let told = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: &refused.why,
        instance: path,
        line,
        column,
    };
    let mut answer = json(status, &told);
    let headers = answer.headers_mut();
    for name in
        [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::CACHE_CONTROL]
    {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer
}
