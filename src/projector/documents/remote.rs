//! Documents as Redis holds them, and what is published there.
//!
//! Publications are hints that may be lost: after each (re)connection of the
//! listener everything current is read again and given out, so a reader that
//! only follows updates ends at the newest state.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{DocumentsError, KEYS_MAX, UPDATES_WAITING, Update, is_document, is_told_whole};
use crate::projector::link::{BusUrl, BusUrlError, CONNECT_TIMEOUT};
use crate::projector::registry::{Bus, Entry, KeySets, Kind, Name, RegisteredKey, table};

/// Pause before the listener connects again.
const LISTEN_PAUSE: Duration = Duration::from_millis(250);
/// Silence after which the listener asks whether the connection still stands.
const LISTEN_PING: Duration = Duration::from_secs(5);

/// Reads from both buses.
pub struct Remote {
    reader: Arc<Reader>,
    updates: broadcast::Sender<Update>,
    _stop: DropGuard,
}

struct Reader {
    system: Place,
    market: Place,
}

/// One bus and the connection to it, if there is one.
struct Place {
    url: BusUrl,
    connection: RwLock<Option<MultiplexedConnection>>,
}

impl Remote {
    pub(super) fn follow(system: &BusUrl, market: &BusUrl) -> Result<Remote, BusUrlError> {
        let reader = Reader { system: Place::new(system)?, market: Place::new(market)? };
        let reader = Arc::new(reader);
        let updates = broadcast::Sender::new(UPDATES_WAITING);
        let stop = CancellationToken::new();
        let listener = Listener { reader: reader.clone(), updates: updates.clone() };
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = listener.run() => {}
            }
        });
        Ok(Remote { reader, updates, _stop: stop.drop_guard() })
    }

    pub(super) async fn get(&self, bus: Bus, key: &str) -> Result<Option<Bytes>, DocumentsError> {
        self.reader.get(bus, key).await
    }

    pub(super) async fn keys(&self, bus: Bus, prefix: &str) -> Result<Vec<String>, DocumentsError> {
        self.reader.keys(bus, prefix).await
    }

    pub(super) fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }
}

impl Place {
    fn new(url: &BusUrl) -> Result<Place, BusUrlError> {
        // The original's names, which routes are made of, do not fit into one.
        if url.is_cluster() {
            return Err(BusUrlError);
        }
        Ok(Place { url: url.clone(), connection: RwLock::default() })
    }

    /// Asks once, and once more on a new connection if the old one was dead.
    async fn ask<T: redis::FromRedisValue>(&self, cmd: &redis::Cmd) -> Result<T, DocumentsError> {
        let held = self.connection.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(mut connection) = held
            && let Ok(answer) = cmd.query_async(&mut connection).await
        {
            return Ok(answer);
        }
        let answer = async {
            let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT));
            let mut fresh = self.url.connect(0, &config).await?;
            let answer = cmd.query_async(&mut fresh).await?;
            *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
            Ok(answer)
        };
        answer.await.map_err(|e: redis::RedisError| DocumentsError(format!("{}: {e}", self.url)))
    }
}

impl Reader {
    fn place(&self, bus: Bus) -> &Place {
        match bus {
            Bus::System => &self.system,
            Bus::Market => &self.market,
        }
    }

    async fn get(&self, bus: Bus, key: &str) -> Result<Option<Bytes>, DocumentsError> {
        let found: Option<Vec<u8>> = self.place(bus).ask(redis::cmd("GET").arg(key)).await?;
        Ok(found.map(Bytes::from))
    }

    async fn keys(&self, bus: Bus, prefix: &str) -> Result<Vec<String>, DocumentsError> {
        let mut pattern = String::new();
        for c in prefix.chars() {
            if "*?[]\\^".contains(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('*');
        let (mut keys, mut cursor) = (std::collections::BTreeSet::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, found): (u64, Vec<String>) = self.place(bus).ask(&scan).await?;
            keys.extend(found.into_iter().filter(|key| is_document(key)));
            if keys.len() > KEYS_MAX {
                let error = format!("more than {KEYS_MAX} keys begin with {prefix}");
                return Err(DocumentsError(error));
            }
            if next == 0 {
                return Ok(keys.into_iter().collect());
            }
            cursor = next;
        }
    }
}

/// Follows the channels of the market bus.
struct Listener {
    reader: Arc<Reader>,
    updates: broadcast::Sender<Update>,
}

impl Listener {
    async fn run(self) {
        loop {
            if let Err(error) = self.listen().await {
                tracing::debug!(%error, "no publications from Redis; trying again");
            }
            sleep(LISTEN_PAUSE).await;
        }
    }

    async fn listen(&self) -> Result<(), DocumentsError> {
        let place = &self.reader.market;
        let problem = |e: redis::RedisError| DocumentsError(format!("{}: {e}", place.url));
        let late = |_| DocumentsError(format!("{}: no answer in time", place.url));
        let connecting = async { place.url.resolve(0).await?.get_async_pubsub().await };
        let connecting = timeout(CONNECT_TIMEOUT, connecting);
        let (mut sink, mut stream) = connecting.await.map_err(late)?.map_err(problem)?.split();
        for pattern in patterns() {
            sink.psubscribe(pattern).await.map_err(problem)?;
        }
        // Only now: what is published from here on is heard.
        self.catch_up().await?;
        loop {
            match timeout(LISTEN_PING, stream.next()).await {
                Ok(Some(message)) => {
                    let payload = Bytes::copy_from_slice(message.get_payload_bytes());
                    self.heard(message.get_channel_name(), payload).await?;
                }
                Ok(None) => {
                    return Err(DocumentsError(format!("{}: connection closed", place.url)));
                }
                Err(_) => {
                    let ping = timeout(CONNECT_TIMEOUT, sink.ping::<redis::Value>());
                    ping.await.map_err(late)?.map_err(problem)?;
                }
            }
        }
    }

    /// Gives out what was published, and the documents that it speaks of.
    async fn heard(&self, channel: &str, payload: Bytes) -> Result<(), DocumentsError> {
        let Some(key) = RegisteredKey::parse(channel) else { return Ok(()) };
        self.send(channel, payload.clone());
        if key.entry().name != Name::Events {
            return Ok(());
        }
        let Ok(event) = serde_json::from_slice::<Value>(&payload) else { return Ok(()) };
        for pair in event["keys"].as_array().into_iter().flatten() {
            let bus = pair[0].as_str().and_then(Bus::parse);
            let key = pair[1].as_str().and_then(RegisteredKey::parse);
            if let (Some(bus), Some(key)) = (bus, key)
                && is_told_whole(&key)
            {
                self.give(bus, key.as_str()).await?;
            }
        }
        Ok(())
    }

    /// Everything current, and one event for each gravity artifact.
    async fn catch_up(&self) -> Result<(), DocumentsError> {
        for bus in [Bus::System, Bus::Market] {
            for key in self.reader.keys(bus, "").await? {
                let Some(registered) = RegisteredKey::parse(&key) else { continue };
                if registered.entry().bus != bus || registered.entry().name == Name::Artifact {
                    continue;
                }
                if registered.entry().name == Name::GravityArtifact {
                    self.announce_gravity(&registered).await?;
                } else {
                    self.give(bus, &key).await?;
                }
            }
        }
        Ok(())
    }

    async fn give(&self, bus: Bus, key: &str) -> Result<(), DocumentsError> {
        if let Some(document) = self.reader.get(bus, key).await? {
            self.send(key, document);
        }
        Ok(())
    }

    async fn announce_gravity(&self, key: &RegisteredKey) -> Result<(), DocumentsError> {
        let found = self.reader.get(key.entry().bus, key.as_str()).await?;
        let Some(Ok(document)) = found.map(|d| serde_json::from_slice::<Value>(&d)) else {
            return Ok(());
        };
        let event = serde_json::json!({
            "type": "dealer_gravity_artifact_updated",
            "symbol": key.symbol(),
            "artifact_version": document["meta"]["artifact_version"],
            "occurred_at": document["meta"]["last_update"],
        });
        self.send(Name::GravityUpdated.entry().template, Bytes::from(event.to_string()));
        Ok(())
    }

    fn send(&self, channel: &str, payload: Bytes) {
        // Nobody listening is fine.
        let _ = self.updates.send(Update { channel: channel.to_owned(), payload });
    }
}

/// The registry's channels, with `*` in place of the symbol.
fn patterns() -> Vec<String> {
    let ours = |entry: &&Entry| entry.kind == Kind::Channel && KeySets::default().writes(entry);
    let channels = table().iter().filter(ours);
    let any = |template: &str| {
        ["{sym}", "{SYM}", "{vendor_symbol}"]
            .iter()
            .fold(template.to_owned(), |t, p| t.replace(p, "*"))
    };
    channels.map(|entry| any(entry.template)).collect()
}
