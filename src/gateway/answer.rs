//! Envelopes: `{success, data, ts}` and `{success, error}`.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::projector::documents::DocumentsError;

/// An answer that is JSON and must not be kept by anyone on the way.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json; charset=utf-8"),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// `{success: true, data, ts}`.
pub fn data(data: &impl Serialize, now_ms: i64) -> Response {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        success: bool,
        data: &'a T,
        ts: i64,
    }
    json(StatusCode::OK, &Envelope { success: true, data, ts: now_ms })
}

/// `{success: false, error}`.
pub fn failure(status: StatusCode, error: &str) -> Response {
    #[derive(Serialize)]
    struct Envelope<'a> {
        success: bool,
        error: &'a str,
    }
    json(status, &Envelope { success: false, error })
}

/// 404.
pub fn not_found(error: &str) -> Response {
    failure(StatusCode::NOT_FOUND, error)
}

/// 405; the router adds `Allow`.
pub async fn wrong_method() -> Response {
    failure(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET")
}

/// The documents cannot be asked just now.
pub fn unavailable(error: &DocumentsError) -> Response {
    tracing::warn!(%error, "documents cannot be read");
    failure(StatusCode::SERVICE_UNAVAILABLE, "the documents cannot be read just now; try again")
}

/// Any origin may read; there are no credentials to protect on these paths.
pub async fn with_cors(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Last-Event-ID"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
