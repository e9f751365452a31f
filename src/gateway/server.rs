//! The listener: bounded connections, explicit HTTP/2 limits, and an end that
//! comes within a deadline.
//!
//! The stock server of the web framework sets no limits on HTTP/2 and waits for
//! ever for an open event stream.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service as _, service_fn};

use super::Limits;
use super::access::layer::{Peer, Told};
use super::stats::Stats;
use super::tls::{self, Tls};

/// Longest head of an HTTP/1 request, and of an HTTP/2 one once unpacked.
const HEAD_BYTES_MAX: u32 = 16 * 1024;

/// What an HTTP/2 stream may hold that its client does not take yet.
const UNSENT_BYTES_MAX: usize = 32 * 1024;

/// What the system may hold of a connection beyond what is on its way. Without
/// a bound a client that does not read costs megabytes of the kernel's.
const UNSENT_IN_KERNEL_BYTES: u32 = 32 * 1024;

/// Streams that a client reset and that we still remember (rapid reset).
const RESETS_MAX: usize = 256;

/// Streams that a client reset before we saw them.
const PENDING_RESETS_MAX: usize = 20;

/// Time between pings to a silent HTTP/2 client, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait after the system refused a connection (no descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection too many is told, where it speaks plainly.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
Content-Type: application/json; charset=utf-8\r\nContent-Length: 64\r\n\r\n\
{\"success\":false,\"error\":\"too many connections; come back soon\"}";

/// What the listener works with.
pub struct Listening {
    /// Everything behind it.
    pub router: Router,
    /// Its bounds.
    pub limits: Limits,
    /// TLS, when it speaks it.
    pub tls: Option<Tls>,
    /// What it counts.
    pub stats: Arc<Stats>,
    /// What it logged.
    pub told: Arc<Told>,
}

/// Serves until `shutdown`, then drains for at most [`Limits::drain`].
pub async fn run(listener: TcpListener, with: Listening, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let limits = with.limits;
    let seats = Seats::new(limits);
    let with = Arc::new((builder(limits), with));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let stats = &with.1.stats;
        let Some(seat) = seats.take(peer.ip()) else {
            stats.connections_refused.add();
            with.1.told.once(peer.ip(), "too many connections");
            refuse(socket, with.1.tls.is_some());
            continue;
        };
        // Events are small and late ones are worthless.
        let _ = socket.set_nodelay(true);
        let _ = SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_IN_KERNEL_BYTES);
        let (with, shutdown, abort) = (Arc::clone(&with), shutdown.clone(), abort.clone());
        let open = Open::count(Arc::clone(stats), seat);
        connections.spawn(async move {
            let _open = open;
            let serving = greet(socket, peer, &with, shutdown);
            tokio::select! {
                () = serving => {}
                () = abort.cancelled() => {}
            }
        });
    }
    // New clients are refused while the old ones finish.
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "closing connections that did not finish");
        abort.cancel();
        connections.wait().await;
    }
}

/// A connection in the count; ends with its task, however that ends.
struct Open {
    stats: Arc<Stats>,
    _seat: Seat,
}

impl Open {
    fn count(stats: Arc<Stats>, seat: Seat) -> Open {
        stats.connections.add();
        Open { stats, _seat: seat }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stats.connections.sub();
    }
}

type With = (auto::Builder<TokioExecutor>, Listening);

/// Shakes hands where that is asked for, then serves.
async fn greet(socket: TcpStream, peer: SocketAddr, with: &With, shutdown: CancellationToken) {
    // Boxed: a task takes the room of its largest part, and most connections of
    // a flood never come to it.
    let Some(tls) = &with.1.tls else {
        return Box::pin(connection(socket, peer, with, shutdown)).await;
    };
    let shaking = tokio::time::timeout(with.1.limits.head_patience, tls.accept(socket));
    let shaken = tokio::select! {
        shaken = shaking => shaken,
        () = shutdown.cancelled() => return,
    };
    let why = match shaken {
        Ok(Ok(stream)) => return Box::pin(connection(stream, peer, with, shutdown)).await,
        Ok(Err(error)) => tls::told(&error),
        Err(_) => "TLS: the client did not finish its handshake in time",
    };
    with.1.stats.connections_failed.add();
    with.1.told.once(peer.ip(), why);
}

/// Serves one connection until its client or the process ends it.
async fn connection<S>(socket: S, peer: SocketAddr, with: &With, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (builder, with) = with;
    let asked = Arc::new(AtomicBool::new(false));
    let (router, has_asked) = (with.router.clone(), Arc::clone(&asked));
    let service = service_fn(move |mut request: axum::http::Request<hyper::body::Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(Peer(peer));
        let mut router = router.clone();
        async move {
            let answer: Result<Response, Infallible> = router.call(request.map(Body::new)).await;
            answer
        }
    });
    let serving = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    // Until the version of HTTP is known there is no other clock on a client.
    let first = tokio::time::sleep(with.limits.head_patience);
    tokio::select! {
        _ = serving.as_mut() => return,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
            return;
        }
        () = first => {}
    }
    if !asked.load(Ordering::Relaxed) {
        with.stats.connections_failed.add();
        return;
    }
    tokio::select! {
        _ = serving.as_mut() => return,
        () = shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// Says so to a connection too many, without waiting for anybody.
fn refuse(mut socket: TcpStream, tls: bool) {
    if tls {
        return;
    }
    tokio::spawn(async move {
        let said = async {
            socket.write_all(FULL).await?;
            socket.shutdown().await
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), said).await;
    });
}

/// Places for connections: so many in all, and so many for one client.
struct Seats {
    all: Arc<Semaphore>,
    per_client: usize,
    clients: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

struct Seat {
    _all: OwnedSemaphorePermit,
    client: IpAddr,
    clients: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Seats {
    fn new(limits: Limits) -> Seats {
        Seats {
            all: Arc::new(Semaphore::new(limits.connections)),
            per_client: limits.connections_per_client,
            clients: Arc::default(),
        }
    }

    fn take(&self, client: IpAddr) -> Option<Seat> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let open = clients.entry(client).or_default();
        if *open >= self.per_client {
            return None;
        }
        *open += 1;
        Some(Seat { _all: all, client, clients: Arc::clone(&self.clients) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = clients.get_mut(&self.client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_patience)
        .max_buf_size(HEAD_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_header_list_size(HEAD_BYTES_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_send_buf_size(UNSENT_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::LIMITS;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }

    #[test]
    fn seats_are_bounded_for_one_client_and_for_all_and_given_back() {
        let seats = Seats::new(Limits { connections: 3, connections_per_client: 2, ..LIMITS });
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        let held = [seats.take(a), seats.take(a)];
        assert!(held.iter().all(Option::is_some) && seats.take(a).is_none(), "two for one");
        let third = seats.take(b).expect("another client's");
        assert!(seats.take(b).is_none(), "three in all");
        drop((held, third));
        assert!(seats.take(a).is_some());
        assert!(seats.clients.lock().expect("not poisoned").len() <= 1);
    }
}
