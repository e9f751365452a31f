//! HTTP: the routes that dashboards of the original system know, their event
//! streams, the page, and the listener that gRPC shares with them.
//!
//! Everything that is shown comes from [`Documents`]; nothing is computed here
//! but envelopes. Knows no journal, no model and no clock (it is handed one).

mod answer;
mod candles;
mod hub;
mod models;
mod names;
mod page;
mod server;
mod sse;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::projector::documents::Documents;

use answer::{not_found, with_cors};
use hub::Hub;

/// What the gateway is handed.
#[derive(Clone)]
pub struct Parts {
    /// Finished documents.
    pub documents: Arc<Documents>,
    /// Milliseconds since the epoch, for envelopes only.
    pub now_ms: fn() -> i64,
    /// The metrics as text, `application/openmetrics-text`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether the process is ready to serve, or why not.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// Bounds of the listener and its streams.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time; more wait in the kernel's queue.
    pub connections: usize,
    /// Event streams at the same time, over all clients; more get 503.
    pub event_streams: usize,
    /// Requests and streams at the same time in one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Events that a slow client may lie behind before it is told to resync.
    pub events_behind: usize,
    /// Time between comments on a quiet event stream.
    pub heartbeat: Duration,
    /// How long open requests may go on after shutdown has begun.
    pub drain: Duration,
}

/// The values that fit one machine and a crowd of browsers.
pub const LIMITS: Limits = Limits {
    connections: 4096,
    event_streams: 2048,
    streams_per_connection: 64,
    events_behind: 128,
    heartbeat: Duration::from_secs(15),
    drain: Duration::from_secs(5),
};

/// What every handler sees.
pub(crate) struct Gateway {
    parts: Parts,
    limits: Limits,
    hub: Hub,
    started_ms: i64,
    clients: [AtomicUsize; sse::KINDS],
    shutdown: CancellationToken,
}

impl Gateway {
    fn now_ms(&self) -> i64 {
        (self.parts.now_ms)()
    }
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener has no address any more.
    #[error("the listener cannot be used")]
    Listener(#[source] std::io::Error),
}

/// Serves HTTP, event streams, the page and (where given) gRPC on one listener
/// until `shutdown` is cancelled; then ends every stream, lets requests finish
/// for [`Limits::drain`] and closes the rest.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    parts: Parts,
    grpc: Option<Routes>,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    tracing::info!(%address, "serving HTTP, events and gRPC");
    let hub = Hub::start(Arc::clone(&parts.documents), limits.events_behind, shutdown.clone());
    let started_ms = (parts.now_ms)();
    let gateway = Arc::new(Gateway {
        parts,
        limits,
        hub,
        started_ms,
        clients: Default::default(),
        shutdown: shutdown.clone(),
    });
    server::run(listener, router(gateway, grpc), limits, shutdown).await;
    Ok(())
}

fn router(gateway: Arc<Gateway>, grpc: Option<Routes>) -> Router {
    let open = Router::new()
        .merge(models::routes())
        .merge(sse::routes())
        .route("/api/health", get(health))
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(axum::middleware::from_fn(with_cors));
    let own = Router::new()
        .merge(page::routes())
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(answer::wrong_method);
    let mut app = open.merge(own).with_state(gateway);
    if let Some(grpc) = grpc {
        // The fallback of the gRPC routes would eat every unknown path.
        app = app.merge(grpc.into_axum_router().reset_fallback());
    }
    app.fallback(unknown)
}

/// An unknown path, in the words of whoever asked.
async fn unknown(headers: HeaderMap) -> Response {
    let grpc = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        tonic::Status::unimplemented("there is no such service or method").into_http()
    } else {
        not_found("there is no such path")
    }
}

async fn health(State(gateway): State<Arc<Gateway>>) -> Response {
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

async fn alive() -> Response {
    (StatusCode::OK, "ok\n").into_response()
}

async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    if gateway.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match (gateway.parts.ready)() {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (gateway.parts.metrics)()).into_response()
}
