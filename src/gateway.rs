//! HTTP: the routes that dashboards of the original system know, their event
//! streams, the page, and the listener that gRPC shares with them.
//!
//! Documents come from [`Documents`], the past from [`House`]; nothing is
//! computed here but envelopes. Knows no journal, no model and no clock (it is
//! handed one).

pub mod access;
mod annotations;
mod answer;
mod candles;
mod health;
mod house;
mod hub;
mod models;
mod names;
mod openapi;
mod page;
mod rate;
mod routes;
mod server;
mod sse;
mod stats;
pub mod tls;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::projector::documents::Documents;

use access::Access;
use access::layer::{Told, guard};
use answer::not_found;
pub use house::{Annotation, At, House, HouseError, NoHouse};
use hub::Hub;
use rate::Rate;
use stats::Stats;
use tls::Tls;

/// What the gateway is handed.
#[derive(Clone)]
pub struct Parts {
    /// Finished documents.
    pub documents: Arc<Documents>,
    /// The past, and the way in for annotations.
    pub house: Arc<dyn House>,
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
    /// Connections at the same time; more are told to come back.
    pub connections: usize,
    /// Connections of one address at the same time.
    pub connections_per_client: usize,
    /// Requests that are being answered at the same time.
    pub requests: usize,
    /// Questions about the past at the same time: each may fold a part of a day.
    pub past: usize,
    /// Event streams at the same time, over all clients; more get 503.
    pub event_streams: usize,
    /// Requests and streams at the same time in one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Events that a slow client may lie behind before it is told to resync.
    pub events_behind: usize,
    /// Annotations of one client in a minute.
    pub annotations_per_minute: u32,
    /// Time between comments on a quiet event stream.
    pub heartbeat: Duration,
    /// How long a client of an event stream may take nothing until what is held
    /// for it is let go.
    pub stall: Duration,
    /// How long it may go on taking nothing until its stream is ended.
    pub stall_max: Duration,
    /// How long a client may take to shake hands, and to send a head.
    pub head_patience: Duration,
    /// How long open requests may go on after shutdown has begun.
    pub drain: Duration,
}

/// The values that fit one machine and a crowd of browsers.
pub const LIMITS: Limits = Limits {
    connections: 4096,
    connections_per_client: 2048,
    requests: 1024,
    past: 2,
    event_streams: 2048,
    streams_per_connection: 64,
    events_behind: 128,
    annotations_per_minute: 60,
    heartbeat: Duration::from_secs(15),
    stall: Duration::from_secs(2),
    stall_max: Duration::from_secs(300),
    head_patience: Duration::from_secs(10),
    drain: Duration::from_secs(5),
};

/// Whom the listener lets in, and how.
#[derive(Clone)]
pub struct Door {
    /// Its bounds.
    pub limits: Limits,
    /// Tokens, origins and hosts.
    pub access: Access,
    /// TLS, when it speaks it.
    pub tls: Option<Tls>,
}

impl Default for Door {
    /// Plain, for whoever reaches it.
    fn default() -> Door {
        Door { limits: LIMITS, access: Access::default(), tls: None }
    }
}

/// What every handler sees.
pub(crate) struct Gateway {
    parts: Parts,
    limits: Limits,
    access: Access,
    hub: Hub,
    started_ms: i64,
    clients: [AtomicUsize; sse::KINDS],
    /// Places for event streams.
    streams: Arc<Semaphore>,
    /// Places for requests that are being answered.
    answering: Arc<Semaphore>,
    /// Places for questions about the past.
    folding: Arc<Semaphore>,
    rate: Rate,
    stats: Arc<Stats>,
    told: Arc<Told>,
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

/// Serves HTTP, event streams, the page and (where given) gRPC and gRPC-Web on
/// one listener until `shutdown` is cancelled; then ends every stream, lets
/// requests finish for [`Limits::drain`] and closes the rest.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    parts: Parts,
    grpc: Option<Routes>,
    door: Door,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    let Door { limits, access, tls } = door;
    tracing::info!(%address, tls = tls.is_some(), tokens = access.tokens.is_some(), "serving");
    let hub = Hub::start(Arc::clone(&parts.documents), limits.events_behind, shutdown.clone());
    let started_ms = (parts.now_ms)();
    let gateway = Arc::new(Gateway {
        parts,
        limits,
        access,
        hub,
        started_ms,
        clients: Default::default(),
        streams: Arc::new(Semaphore::new(limits.event_streams)),
        answering: Arc::new(Semaphore::new(limits.requests)),
        folding: Arc::new(Semaphore::new(limits.past)),
        rate: Rate::new(limits.annotations_per_minute),
        stats: Arc::default(),
        told: Arc::default(),
        shutdown: shutdown.clone(),
    });
    let (stats, told) = (Arc::clone(&gateway.stats), Arc::clone(&gateway.told));
    let router = router(gateway, grpc);
    let listening = server::Listening { router, limits, tls, stats, told };
    server::run(listener, listening, shutdown).await;
    Ok(())
}

/// From the outside in: who may come, what other origins may see, what is
/// packed, the last word on answers, the routes.
fn router(gateway: Arc<Gateway>, grpc: Option<Routes>) -> Router {
    let named = cors(&gateway.access.origins);
    let mut open = routes::router(routes::open());
    if named.is_none() && gateway.access.tokens.is_none() {
        open = open.layer(anyone_reads());
    }
    let own = routes::router(routes::own());
    let pages = open
        .merge(own)
        .method_not_allowed_fallback(answer::wrong_method)
        .fallback(unknown)
        .layer(from_fn(answer::finish))
        .layer(CompressionLayer::new())
        .with_state(Arc::clone(&gateway));
    let mut app = pages;
    if let Some(grpc) = grpc {
        // The fallback of the gRPC routes would eat every unknown path, and
        // gRPC-Web would answer those with 400.
        let grpc = grpc.into_axum_router().reset_fallback();
        app = app.merge(grpc.layer(tonic_web::GrpcWebLayer::new()));
    }
    let app = app.layer(from_fn_with_state(gateway, guard));
    match named {
        Some(named) => app.layer(named),
        None => app,
    }
}

/// Without credentials there is nothing that a page of elsewhere could not read
/// by other means: as the original does.
fn anyone_reads() -> CorsLayer {
    let allowed =
        [header::CONTENT_TYPE, header::IF_NONE_MATCH, HeaderName::from_static("last-event-id")];
    CorsLayer::new()
        .allow_origin(AllowOrigin::any())
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(allowed)
        .expose_headers([header::ETAG])
}

/// Pages of named origins may ask with credentials. Never `*`.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let name = HeaderName::from_static;
    let allowed = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_NONE_MATCH,
        name("last-event-id"),
        name("x-grpc-web"),
        name("x-user-agent"),
        name("grpc-timeout"),
    ];
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers(allowed)
        .expose_headers([header::ETAG, name("grpc-status"), name("grpc-message")]);
    Some(layer)
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
