//! Event streams: the state first, then `connected`, then every change.
//!
//! A client that falls behind is told `resync` and given the state again; what
//! it missed is never lost in silence. `id:` says which versions a client has
//! after an event, so that a client that comes back (`Last-Event-ID`) is not
//! sent what it holds already.
//!
//! Events go out in small pieces, each of which must be taken within a time. A
//! client that takes none is stalled: all that is held for it is let go, and
//! when it reads on it is told to resync. What it costs meanwhile is the pieces
//! that its connection has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::answer::{later, not_found};
use super::hub::{Event, Topic};
use super::models::Asked;
use super::routes::{Route, get};
use super::{Gateway, names};

/// Kinds of streams, for counting.
pub const KINDS: usize = 8;

const KIND_NAMES: [&str; KINDS] =
    ["all", "dealer_gravity", "gex", "heatmap", "spot", "bias_lfi", "trade_selector", "candles"];

/// How long a browser waits before it connects again.
const RETRY_MS: u32 = 2000;

/// Pieces that wait for one client, beside what the connection buffers.
const WAITING_MAX: usize = 1;

/// Longest piece. Connection, channel and we hold few of them for a client that
/// does not read: 64 KiB at most.
const PIECE_BYTES_MAX: usize = 8 * 1024;

/// What ends an event that its client did not take to the end. It has a name
/// that nobody listens to, and takes back the id that was said.
const DROPPED: &[u8] = b"\nid:\nevent: dropped\n\n";

/// Between two tries to read the state when the documents cannot be asked.
const STATE_RETRY: Duration = Duration::from_secs(1);

pub fn routes() -> Vec<Route> {
    vec![
        get("/sse/all", all),
        get("/sse/dealer-gravity", dealer_gravity),
        get("/sse/spot", spot),
        get("/sse/gex/{symbol}", gex),
        get("/sse/heatmap/{symbol}", heatmap),
        get("/sse/candles/{symbol}", candles),
        get("/sse/bias_lfi", bias_lfi),
        get("/sse/trade_selector/{symbol}", selector),
    ]
}

/// Open streams by kind.
pub fn client_counts(
    clients: &[AtomicUsize; KINDS],
) -> impl Iterator<Item = (&'static str, usize)> + '_ {
    KIND_NAMES.into_iter().zip(clients.iter().map(|n| n.load(Ordering::Relaxed)))
}

/// What a stream shows.
#[derive(Clone, PartialEq, Debug)]
enum Subject {
    All,
    Gravity(Option<String>),
    Spot,
    Gex(String),
    Heatmap(String),
    BiasLfi,
    Selector(String),
    Candles(String),
}

impl Subject {
    fn kind(&self) -> usize {
        match self {
            Subject::All => 0,
            Subject::Gravity(_) => 1,
            Subject::Gex(_) => 2,
            Subject::Heatmap(_) => 3,
            Subject::Spot => 4,
            Subject::BiasLfi => 5,
            Subject::Selector(_) => 6,
            Subject::Candles(_) => 7,
        }
    }

    fn channel(&self) -> &'static str {
        match self {
            Subject::All => "all",
            Subject::Gravity(_) => "dealer-gravity",
            Subject::Spot => "spot",
            Subject::Gex(_) => "gex",
            Subject::Heatmap(_) => "heatmap",
            Subject::BiasLfi => "bias_lfi",
            Subject::Selector(_) => "trade_selector",
            Subject::Candles(_) => "candles",
        }
    }

    fn symbol(&self) -> Option<&str> {
        match self {
            Subject::All | Subject::Spot | Subject::BiasLfi => None,
            Subject::Gravity(symbol) => symbol.as_deref(),
            Subject::Gex(symbol)
            | Subject::Heatmap(symbol)
            | Subject::Selector(symbol)
            | Subject::Candles(symbol) => Some(symbol),
        }
    }

    fn shows(&self, topic: &Topic) -> bool {
        match (self, topic) {
            (_, Topic::Gap) => false,
            (Subject::All, _)
            | (Subject::Spot, Topic::Spot)
            | (Subject::BiasLfi, Topic::BiasLfi)
            | (Subject::Gravity(None), Topic::Gravity(_)) => true,
            (Subject::Gravity(Some(mine)), Topic::Gravity(symbol))
            | (Subject::Gex(mine), Topic::Gex(symbol))
            | (Subject::Heatmap(mine), Topic::Heatmap(symbol))
            | (Subject::Selector(mine), Topic::Selector(symbol))
            | (Subject::Candles(mine), Topic::Candles(symbol)) => **mine == **symbol,
            _ => false,
        }
    }
}

async fn all(gateway: State<Arc<Gateway>>, headers: HeaderMap, asked: Asked) -> Response {
    open(gateway, &headers, asked, Subject::All)
}

async fn spot(gateway: State<Arc<Gateway>>, headers: HeaderMap, asked: Asked) -> Response {
    open(gateway, &headers, asked, Subject::Spot)
}

async fn dealer_gravity(
    gateway: State<Arc<Gateway>>,
    headers: HeaderMap,
    asked: Asked,
) -> Response {
    let symbol = match asked.get("symbol") {
        None => None,
        Some(text) => match names::route_symbol(text) {
            Some(symbol) => Some(symbol),
            None => return not_found(&format!("{text:?} is no symbol")),
        },
    };
    open(gateway, &headers, asked, Subject::Gravity(symbol))
}

async fn gex(
    gateway: State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(symbol): Path<String>,
    asked: Asked,
) -> Response {
    open_symbol(gateway, &headers, &symbol, asked, Subject::Gex)
}

async fn heatmap(
    gateway: State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(symbol): Path<String>,
    asked: Asked,
) -> Response {
    open_symbol(gateway, &headers, &symbol, asked, Subject::Heatmap)
}

async fn bias_lfi(gateway: State<Arc<Gateway>>, headers: HeaderMap, asked: Asked) -> Response {
    open(gateway, &headers, asked, Subject::BiasLfi)
}

async fn selector(
    gateway: State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(symbol): Path<String>,
    asked: Asked,
) -> Response {
    open_symbol(gateway, &headers, &symbol, asked, Subject::Selector)
}

async fn candles(
    gateway: State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(symbol): Path<String>,
    asked: Asked,
) -> Response {
    open_symbol(gateway, &headers, &symbol, asked, Subject::Candles)
}

/// Opens the stream of one symbol's family.
fn open_symbol(
    gateway: State<Arc<Gateway>>,
    headers: &HeaderMap,
    symbol: &str,
    asked: Asked,
    subject: fn(String) -> Subject,
) -> Response {
    match names::route_symbol(symbol) {
        Some(symbol) => open(gateway, headers, asked, subject(symbol)),
        None => not_found(&format!("{symbol:?} is no symbol")),
    }
}

fn open(
    State(gateway): State<Arc<Gateway>>,
    headers: &HeaderMap,
    Query(asked): Asked,
    subject: Subject,
) -> Response {
    let Ok(place) = Arc::clone(&gateway.streams).try_acquire_owned() else {
        gateway.stats.overloaded.add();
        let told = "too many event streams are open";
        return later(StatusCode::SERVICE_UNAVAILABLE, told, 5);
    };
    let last_id = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .or_else(|| asked.get("last_event_id").map(String::as_str));
    let held = Held::parse(last_id.unwrap_or_default());
    let (out, chunks) = mpsc::channel(WAITING_MAX);
    let seat = Seat::take(Arc::clone(&gateway), subject.kind(), place);
    let stream =
        Stream { gateway, subject, held, out, midway: false, connected: false, _seat: seat };
    tokio::spawn(stream.run());

    use tokio_stream::StreamExt as _;
    let body = ReceiverStream::new(chunks).map(Ok::<Bytes, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// One open stream in the count.
struct Seat {
    gateway: Arc<Gateway>,
    kind: usize,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    fn take(gateway: Arc<Gateway>, kind: usize, place: OwnedSemaphorePermit) -> Seat {
        if let Some(count) = gateway.clients.get(kind) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Seat { gateway, kind, _place: place }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(count) = self.gateway.clients.get(self.kind) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Which versions a client has.
#[derive(Clone, Default, PartialEq, Debug)]
struct Held {
    versions: BTreeMap<Box<str>, u64>,
    /// From an id that names a version alone (`v12`): whatever the stream shows.
    only: Option<u64>,
}

impl Held {
    /// Reads an id of ours; anything else holds nothing.
    fn parse(id: &str) -> Held {
        let mut held = Held::default();
        if let Some(version) = id.strip_prefix('v').and_then(|v| v.parse().ok()) {
            held.only = Some(version);
            return held;
        }
        for part in id.split(',').take(1024) {
            if let Some((name, version)) = part.split_once('=')
                && let Ok(version) = version.parse()
            {
                held.versions.insert(name.into(), version);
            }
        }
        held
    }

    /// Whether an event brings nothing that the client does not have.
    fn has(&self, event: &Event, at_most: bool) -> bool {
        !event.positions.is_empty()
            && event.positions.iter().all(|(name, version)| {
                self.versions
                    .get(name)
                    .is_some_and(|held| held == version || (at_most && held > version))
            })
    }

    fn has_family(&self, prefix: &str) -> bool {
        self.versions.keys().any(|name| name.starts_with(prefix))
    }

    fn take(&mut self, event: &Event) {
        for (name, version) in event.positions.iter() {
            self.versions.insert(name.clone(), *version);
        }
    }

    /// `v12` on a stream that shows one document, else `gex/I:SPX=4,...`.
    fn id(&self, subject: &Subject) -> String {
        let mut versions = self.versions.iter();
        match (versions.next(), versions.next(), subject) {
            (_, _, Subject::All) | (Some(_), Some(_), _) => {
                let parts: Vec<String> = self
                    .versions
                    .iter()
                    .map(|(name, version)| format!("{name}={version}"))
                    .collect();
                parts.join(",")
            }
            (Some((_, version)), None, _) => format!("v{version}"),
            (None, _, _) => String::new(),
        }
    }
}

/// Why nothing more can be sent.
enum Hold {
    /// The client went away.
    Gone,
    /// It takes nothing.
    Stalled,
}

/// A stream at work.
struct Stream {
    gateway: Arc<Gateway>,
    subject: Subject,
    held: Held,
    out: mpsc::Sender<Bytes>,
    /// An event has begun to go out and has not ended.
    midway: bool,
    /// It was told `connected`.
    connected: bool,
    _seat: Seat,
}

impl Stream {
    async fn run(mut self) {
        let out = self.out.clone();
        let shutdown = self.gateway.shutdown.clone();
        let following = async {
            let mut begins = true;
            // All that a stalled stream held is gone when it begins again.
            while let Hold::Stalled = self.follow(begins).await {
                self.gateway.stats.stalls.add();
                let patience = self.gateway.limits.stall_max;
                match tokio::time::timeout(patience, self.out.reserve()).await {
                    Ok(Ok(permit)) if self.midway => permit.send(Bytes::from_static(DROPPED)),
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
                self.midway = false;
                begins = false;
            }
        };
        tokio::select! {
            () = following => {}
            () = shutdown.cancelled() => {}
            () = out.closed() => {}
        }
    }

    /// Sends the state and every change, until the client is gone or stalled.
    async fn follow(&mut self, begins: bool) -> Hold {
        match self.following(begins).await {
            Err(hold) => hold,
            Ok(never) => match never {},
        }
    }

    async fn following(&mut self, begins: bool) -> Result<std::convert::Infallible, Hold> {
        // Subscribed before the state is read: nothing falls between.
        let mut events = self.gateway.hub.subscribe();
        let mut read_up_to = match begins {
            true => self.begin().await?,
            false => self.resync(None).await?,
        };
        if !self.connected {
            self.send_connected().await?;
            self.connected = true;
        }
        loop {
            let received =
                match tokio::time::timeout(self.gateway.limits.heartbeat, events.recv()).await {
                    Ok(received) => received,
                    Err(_) => {
                        self.send(&Bytes::from_static(b": alive\n\n")).await?;
                        continue;
                    }
                };
            match received {
                Ok(event) if event.topic == Topic::Gap => {
                    read_up_to = self.resync(None).await?;
                }
                Ok(event) => {
                    // What was on its way while the state was read is in it; told
                    // late, it is the very version that the client has.
                    let known = self.held.has(&event, event.number <= read_up_to);
                    if self.subject.shows(&event.topic) && !known {
                        self.send_event(&event).await?;
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    // The buffer holds only older events now; they are in the
                    // state that follows.
                    events = self.gateway.hub.subscribe();
                    read_up_to = self.resync(Some(missed)).await?;
                }
                Err(RecvError::Closed) => return Err(Hold::Gone),
            }
        }
    }

    async fn begin(&mut self) -> Result<u64, Hold> {
        self.send(&Bytes::from(format!("retry: {RETRY_MS}\n\n"))).await?;
        // The original never begins the combined stream with dealer gravity; a
        // client that comes back must still learn what it missed.
        let gravity = self.subject != Subject::All || self.held.has_family("gravity/");
        self.send_state(gravity).await
    }

    /// Tells a client that it missed something, and repairs it.
    async fn resync(&mut self, missed: Option<u64>) -> Result<u64, Hold> {
        self.gateway.stats.resyncs.add();
        let told = serde_json::json!({
            "channel": self.subject.channel(), "missed": missed, "ts": self.gateway.now_ms(),
        });
        self.send(&Bytes::from(format!("event: resync\ndata: {told}\n\n"))).await?;
        self.held = Held::default();
        self.send_state(true).await
    }

    /// Sends what the client does not have; returns the number of the last
    /// event that the state has in it.
    async fn send_state(&mut self, gravity: bool) -> Result<u64, Hold> {
        let (state, number) = loop {
            let number = self.gateway.hub.number();
            match self.state(gravity).await {
                Ok(state) => break (state, number),
                Err(error) => {
                    tracing::warn!(%error, "an event stream waits for the documents");
                    self.send(&Bytes::from_static(b": waiting for the documents\n\n")).await?;
                    tokio::time::sleep(STATE_RETRY).await;
                }
            }
        };
        // An id that names a version alone can only mean the one document that
        // the stream shows.
        let only = self.held.only.take();
        if let (Some(only), [event]) = (only, state.as_slice())
            && let [(name, _)] = &*event.positions
        {
            self.held.versions.insert(name.clone(), only);
        }
        for event in &state {
            if !self.held.has(event, false) {
                self.send_event(event).await?;
            }
        }
        Ok(number)
    }

    async fn state(
        &self,
        gravity: bool,
    ) -> Result<Vec<Event>, crate::projector::documents::DocumentsError> {
        let hub = &self.gateway.hub;
        match &self.subject {
            Subject::Spot => hub.spot().await,
            Subject::Gex(symbol) => hub.gex(Some(symbol)).await,
            Subject::Heatmap(symbol) => hub.heatmap(Some(symbol)).await,
            Subject::Gravity(symbol) => hub.gravity(symbol.as_deref()).await,
            Subject::BiasLfi => hub.bias_lfi().await,
            Subject::Selector(symbol) => hub.selector(Some(symbol)).await,
            Subject::Candles(symbol) => hub.candles(Some(symbol)).await,
            Subject::All => {
                let mut state = hub.spot().await?;
                state.extend(hub.gex(None).await?);
                state.extend(hub.heatmap(None).await?);
                state.extend(hub.candles(None).await?);
                state.extend(hub.selector(None).await?);
                state.extend(hub.bias_lfi().await?);
                state.extend(hub.market_mode().await?);
                if gravity {
                    state.extend(hub.gravity(None).await?);
                }
                Ok(state)
            }
        }
    }

    async fn send_connected(&mut self) -> Result<(), Hold> {
        let mut told = serde_json::Map::new();
        told.insert("channel".into(), self.subject.channel().into());
        if let Some(symbol) = self.subject.symbol() {
            told.insert("symbol".into(), symbol.into());
        }
        told.insert("ts".into(), self.gateway.now_ms().into());
        let told = serde_json::Value::Object(told);
        self.send(&Bytes::from(format!("event: connected\ndata: {told}\n\n"))).await
    }

    async fn send_event(&mut self, event: &Event) -> Result<(), Hold> {
        if !event.positions.is_empty() {
            self.held.take(event);
            let id = self.held.id(&self.subject);
            self.piece(Bytes::from(format!("id: {id}\n"))).await?;
        }
        self.send(&event.text).await
    }

    /// Sends a text that ends an event, in pieces. Pieces of a long text are
    /// copies, so that nobody holds the whole of it for the sake of one.
    async fn send(&mut self, text: &Bytes) -> Result<(), Hold> {
        if text.len() <= PIECE_BYTES_MAX {
            self.piece(text.clone()).await?;
        } else {
            for piece in text.chunks(PIECE_BYTES_MAX) {
                self.piece(Bytes::copy_from_slice(piece)).await?;
            }
        }
        self.midway = false;
        Ok(())
    }

    async fn piece(&mut self, piece: Bytes) -> Result<(), Hold> {
        let patience = self.gateway.limits.stall;
        match tokio::time::timeout(patience, self.out.reserve()).await {
            Ok(Ok(permit)) => {
                permit.send(piece);
                self.midway = true;
                Ok(())
            }
            Ok(Err(_)) => Err(Hold::Gone),
            Err(_) => Err(Hold::Stalled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(positions: &[(&str, u64)]) -> Event {
        Event {
            number: 1,
            topic: Topic::Spot,
            positions: positions.iter().map(|&(name, v)| (name.into(), v)).collect(),
            text: Bytes::new(),
        }
    }

    #[test]
    fn ids_say_what_a_client_has_and_are_read_back() {
        let mut held = Held::default();
        held.take(&event(&[("gravity/SPX", 12)]));
        assert_eq!(held.id(&Subject::Gravity(None)), "v12");
        assert_eq!(Held::parse("v12").only, Some(12));
        held.take(&event(&[("gex/I:SPX", 4)]));
        let id = held.id(&Subject::All);
        assert_eq!(id, "gex/I:SPX=4,gravity/SPX=12");
        assert_eq!(Held::parse(&id), held);
        assert_eq!(Held::parse("nonsense,=,a=b,c=-1"), Held::default());
    }

    #[test]
    fn an_event_is_held_only_if_all_of_its_documents_are() {
        let held = Held::parse("spot/A=3,spot/B=5");
        assert!(held.has(&event(&[("spot/A", 3), ("spot/B", 5)]), false));
        assert!(!held.has(&event(&[("spot/A", 3), ("spot/B", 6)]), false));
        assert!(!held.has(&event(&[("spot/A", 2)]), false));
        assert!(held.has(&event(&[("spot/A", 2)]), true));
        assert!(!held.has(&event(&[]), true));
    }
}
