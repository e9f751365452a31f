//! How the process is: for people, for balancers and for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Gateway, answer, sse};

pub async fn health(State(gateway): State<Arc<Gateway>>) -> Response {
    let now = gateway.now_ms();
    let clients: serde_json::Map<String, serde_json::Value> =
        sse::client_counts(&gateway.clients).map(|(name, n)| (name.to_owned(), n.into())).collect();
    answer::json(
        StatusCode::OK,
        &serde_json::json!({
            "status": "healthy",
            "service": "orrery",
            "version": env!("CARGO_PKG_VERSION"),
            "ts": now,
            "uptime": now.saturating_sub(gateway.started_ms) as f64 / 1000.0,
            "clients": clients,
        }),
    )
}

pub async fn alive() -> Response {
    (StatusCode::OK, "ok\n").into_response()
}

pub async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    if gateway.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match (gateway.parts.ready)() {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

pub async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = (gateway.parts.metrics)();
    let end = text.rfind("# EOF").unwrap_or(text.len());
    text.insert_str(end, &gateway.stats.lines(sse::client_counts(&gateway.clients)));
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
