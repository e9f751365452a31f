//! `POST /api/v1/annotations`: what people and AIs drew, into the journal.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};

use super::access::layer::Client;
use super::answer::{bad_json, failure, later, of_house};
use super::house::{Annotation, HouseError};
use super::routes::{Route, post};
use super::{Gateway, names};

/// Longest body.
const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// How long a client may take to send it.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// What is read of a body that is too long, so that its client comes to read the
/// answer. Whoever sends more is cut off.
const DRAINED_BYTES_MAX: u64 = 32 * 1024 * 1024;

pub fn routes() -> Vec<Route> {
    vec![post("/api/v1/annotations", annotate)]
}

async fn annotate(
    State(gateway): State<Arc<Gateway>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !says_json(&headers) {
        let told = "the body is JSON: send Content-Type: application/json";
        return failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, told);
    }
    let bytes = match read(&headers, body).await {
        Ok(bytes) => bytes,
        Err(response) => return *response,
    };
    let annotation = match annotation(&bytes, &client) {
        Ok(annotation) => annotation,
        Err(response) => return *response,
    };
    if let Err(seconds) = gateway.rate.take(&client.0, gateway.now_ms()) {
        gateway.stats.rated.add();
        let told = "too many annotations of one client";
        return later(StatusCode::TOO_MANY_REQUESTS, told, seconds);
    }
    let (house, symbol) = (Arc::clone(&gateway.parts.house), annotation.symbol.clone());
    let journaled = tokio::task::spawn_blocking(move || house.annotate(&annotation)).await;
    match journaled.unwrap_or(Err(HouseError::Failed)) {
        Ok(seq) => {
            gateway.stats.annotations.add();
            let data = json!({"seq": seq.0, "symbol": symbol});
            super::answer::json(
                StatusCode::CREATED,
                &json!({"success": true, "data": data, "ts": gateway.now_ms()}),
            )
        }
        Err(error) => of_house(&error),
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Box<Response>> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length: u64 = length.and_then(|length| length.parse().ok()).unwrap_or_default();
    let reading = async {
        let mut pieces = body.into_data_stream();
        let (mut kept, mut seen) = (Vec::new(), length.min(DRAINED_BYTES_MAX + 1));
        if seen <= DRAINED_BYTES_MAX {
            seen = 0;
            while let Some(Ok(piece)) = pieces.next().await {
                seen += piece.len() as u64;
                if seen <= BODY_BYTES_MAX {
                    kept.extend_from_slice(&piece);
                } else if seen > DRAINED_BYTES_MAX {
                    break;
                }
            }
        }
        (seen <= BODY_BYTES_MAX).then_some(kept)
    };
    let (status, told) = match tokio::time::timeout(BODY_PATIENCE, reading).await {
        Ok(Some(kept)) => return Ok(kept),
        Ok(None) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("an annotation has at most {BODY_BYTES_MAX} bytes"),
        ),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned()),
    };
    Err(Box::new(failure(status, &told)))
}

/// The annotation as it is journaled: as it came, and through whom.
fn annotation(bytes: &[u8], client: &Client) -> Result<Annotation, Box<Response>> {
    let bad = |why: &str| Box::new(failure(StatusCode::BAD_REQUEST, why));
    let mut said: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|e| Box::new(bad_json(&e)))?;
    let symbol = said.get("symbol").and_then(Value::as_str);
    let symbol = symbol.ok_or_else(|| bad("symbol is missing: write \"symbol\":\"SPX\""))?;
    let symbol = names::route_symbol(symbol)
        .ok_or_else(|| Box::new(super::answer::not_found(&format!("{symbol:?} is no symbol"))))?;
    said.insert("via".to_owned(), json!({"api": "http", "client": &*client.0}));
    let json = serde_json::to_vec(&said).map_err(|e| Box::new(bad_json(&e)))?;
    // Annotations are about what the models know by its plain name.
    let symbol = symbol.strip_prefix("I:").unwrap_or(&symbol).to_owned();
    Ok(Annotation { symbol, json: json.into() })
}
