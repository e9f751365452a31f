//! One task listens to what is published and turns it into ready events; all
//! event streams share their bytes.
//!
//! The hub also knows how to say the whole state of a topic, for clients that
//! connect or lost their place.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::models::Gex;
use super::{candles, names};
use crate::projector::documents::{Documents, DocumentsError, Update};
use crate::projector::registry::Bus;

/// What an event is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Topic {
    /// Prices of all symbols.
    Spot,
    /// Gamma exposure of a vendor's symbol.
    Gex(Box<str>),
    /// Tiles of a vendor's symbol.
    Heatmap(Box<str>),
    /// Dealer gravity of a symbol.
    Gravity(Box<str>),
    /// Bias and LFI.
    BiasLfi,
    /// Market mode.
    MarketMode,
    /// Scored tiles of a vendor's symbol.
    Selector(Box<str>),
    /// Candles of a vendor's symbol.
    Candles(Box<str>),
    /// Any artifact of a symbol.
    Artifact(Box<str>),
    /// Something was missed by everyone.
    Gap,
}

/// A document, such as `gex/I:SPX`, and its version.
pub type Position = (Box<str>, u64);

/// A ready event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts the events of this process, from 1; 0 for a state that was read.
    pub number: u64,
    /// What it is about.
    pub topic: Topic,
    /// The versions that a client has once it has this event.
    pub positions: Arc<[Position]>,
    /// `event:` and `data:` lines with the blank line that ends them.
    pub text: Bytes,
}

/// The hub.
pub struct Hub {
    documents: Arc<Documents>,
    events: broadcast::Sender<Event>,
    number: Arc<AtomicU64>,
    states: States,
}

/// The state of each topic as it was told last, so that a thousand clients that
/// connect hold one copy of it between them.
#[derive(Default)]
struct States(Mutex<BTreeMap<Topic, Event>>);

impl States {
    fn shared(&self, event: Event) -> Event {
        // Nothing that is done under the lock leaves it in between.
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get(&event.topic) {
            Some(told) if told.text == event.text && told.positions == event.positions => {
                told.clone()
            }
            _ => {
                states.insert(event.topic.clone(), event.clone());
                event
            }
        }
    }
}

impl Hub {
    /// Starts the task that listens.
    pub fn start(documents: Arc<Documents>, behind: usize, shutdown: CancellationToken) -> Hub {
        let (events, _) = broadcast::channel(behind.max(1));
        let number = Arc::new(AtomicU64::new(0));
        // Subscribed before anyone can connect: nothing falls between.
        let updates = documents.updates();
        let ear = Ear {
            documents: Arc::clone(&documents),
            events: events.clone(),
            number: Arc::clone(&number),
            told: BTreeMap::new(),
        };
        tokio::spawn(async move {
            tokio::select! {
                () = ear.listen(updates) => {}
                () = shutdown.cancelled() => {}
            }
        });
        Hub { documents, events, number, states: States::default() }
    }

    /// Events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Number of the last event.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Prices of all symbols, if there are any.
    pub async fn spot(&self) -> Result<Vec<Event>, DocumentsError> {
        let event = spot_event(&self.documents).await?;
        Ok(event.into_iter().map(|event| self.states.shared(event)).collect())
    }

    /// Gamma exposure of a symbol, or of all.
    pub async fn gex(&self, symbol: Option<&str>) -> Result<Vec<Event>, DocumentsError> {
        let mut events = Vec::new();
        for symbol in self.symbols(Bus::Market, names::GEX, symbol, names::gex_symbol).await? {
            let event = gex_event(&self.documents, &symbol).await?;
            events.extend(event.map(|(event, _)| self.states.shared(event)));
        }
        Ok(events)
    }

    /// All tiles of a symbol, or of all.
    pub async fn heatmap(&self, symbol: Option<&str>) -> Result<Vec<Event>, DocumentsError> {
        let mut events = Vec::new();
        for symbol in
            self.symbols(Bus::Market, names::HEATMAP, symbol, names::heatmap_symbol).await?
        {
            let Some(document) = self.documents.get(Bus::Market, &names::heatmap(&symbol)).await?
            else {
                continue;
            };
            events.push(self.states.shared(heatmap_event(&symbol, &document)));
        }
        Ok(events)
    }

    /// The last announcement of a symbol's dealer gravity, or of all symbols',
    /// as it can be told from the stored artifact.
    pub async fn gravity(&self, symbol: Option<&str>) -> Result<Vec<Event>, DocumentsError> {
        let mut events = Vec::new();
        for symbol in
            self.symbols(Bus::System, names::GRAVITY, symbol, names::gravity_symbol).await?
        {
            let Some(document) = self.documents.get(Bus::System, &names::gravity(&symbol)).await?
            else {
                continue;
            };
            events.push(self.states.shared(gravity_event(&symbol, &document)));
        }
        Ok(events)
    }

    /// Bias and LFI, if there are any.
    pub async fn bias_lfi(&self) -> Result<Vec<Event>, DocumentsError> {
        self.one(names::BIAS_LFI, Topic::BiasLfi).await
    }

    /// The market mode, if there is one.
    pub async fn market_mode(&self) -> Result<Vec<Event>, DocumentsError> {
        self.one(names::MARKET_MODE, Topic::MarketMode).await
    }

    /// Scored tiles of a symbol, or of all.
    pub async fn selector(&self, symbol: Option<&str>) -> Result<Vec<Event>, DocumentsError> {
        let mut events = Vec::new();
        for symbol in
            self.symbols(Bus::Market, names::SELECTOR, symbol, names::selector_symbol).await?
        {
            let topic = Topic::Selector(symbol.as_str().into());
            events.extend(self.one(&names::selector(&symbol), topic).await?);
        }
        Ok(events)
    }

    /// Candles of a symbol, or of all.
    pub async fn candles(&self, symbol: Option<&str>) -> Result<Vec<Event>, DocumentsError> {
        let mut symbols = vec![];
        match symbol {
            Some(symbol) => symbols.push(symbol.to_owned()),
            None => {
                let keys = self.documents.keys(Bus::Market, names::OWN).await?;
                let of = keys.iter().filter_map(|key| names::artifact_parts(key));
                let with = of.filter(|(_, family)| *family == "candles");
                symbols.extend(with.map(|(s, _)| crate::market::ticker::vendor_symbol(s)));
            }
        }
        let mut events = Vec::new();
        for symbol in symbols {
            let event = candles_event(&self.documents, &symbol).await?;
            events.extend(event.map(|event| self.states.shared(event)));
        }
        Ok(events)
    }

    async fn one(&self, key: &str, topic: Topic) -> Result<Vec<Event>, DocumentsError> {
        let document = self.documents.get(Bus::Market, key).await?;
        let event = document.and_then(|d| model_event(topic, &d));
        Ok(event.into_iter().map(|event| self.states.shared(event)).collect())
    }

    async fn symbols(
        &self,
        bus: Bus,
        prefix: &str,
        only: Option<&str>,
        symbol_of: fn(&str) -> Option<String>,
    ) -> Result<Vec<String>, DocumentsError> {
        if let Some(only) = only {
            return Ok(vec![only.to_owned()]);
        }
        let keys = self.documents.keys(bus, prefix).await?;
        let mut symbols: Vec<String> = keys.iter().filter_map(|key| symbol_of(key)).collect();
        // The two sides of gamma exposure give a symbol twice.
        symbols.dedup();
        Ok(symbols)
    }
}

const GRAVITY_EVENT: &str = "dealer_gravity_artifact_updated";

/// The listening side.
struct Ear {
    documents: Arc<Documents>,
    events: broadcast::Sender<Event>,
    number: Arc<AtomicU64>,
    /// Stamps of what was told last, so that two announcements of one change
    /// make one event.
    told: BTreeMap<Topic, String>,
}

impl Ear {
    async fn listen(mut self, mut updates: broadcast::Receiver<Update>) {
        loop {
            match updates.recv().await {
                Ok(update) => {
                    if let Err(error) = self.hear(&update).await {
                        tracing::warn!(%error, channel = update.channel, "an update was not told");
                        self.tell(gap());
                    }
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "the hub lagged; clients are told to resync");
                    self.tell(gap());
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn tell(&self, event: Event) {
        let number = self.number.fetch_add(1, Ordering::AcqRel) + 1;
        // Nobody may be listening.
        let _ = self.events.send(Event { number, ..event });
    }

    async fn hear(&mut self, update: &Update) -> Result<(), DocumentsError> {
        let channel = update.channel.as_str();
        let payload = &update.payload;
        if channel == names::GRAVITY_UPDATED {
            // Other senders' notes on this channel are passed on as well.
            let stamp = Stamp::of(payload);
            let symbol = stamp.symbol.clone().unwrap_or_default();
            let position = position("gravity", &symbol, stamp.version());
            self.tell(event(Topic::Gravity(symbol.into()), position, GRAVITY_EVENT, payload));
        } else if let Some(symbol) = channel.strip_prefix(names::HEATMAP_DIFF) {
            let position = position("heatmap", symbol, Stamp::of(payload).version());
            self.tell(event(Topic::Heatmap(symbol.into()), position, "heatmap_diff", payload));
        } else if let Some(symbol) = names::heatmap_symbol(channel) {
            // Announcements may have been missed: this is the whole document.
            self.tell(heatmap_event(&symbol, payload));
        } else if let Some(symbol) = names::gravity_symbol(channel) {
            self.tell(gravity_event(&symbol, payload));
        } else if let Some(event) = model_topic(channel).and_then(|t| model_event(t, payload)) {
            self.tell(event);
        } else if names::spot_symbol(channel).is_some() {
            self.tell_spot().await?;
        } else if let Some(symbol) = names::gex_symbol(channel) {
            self.tell_gex(&symbol).await?;
        } else if let Some(symbol) = names::events_symbol(channel) {
            let stamp = Stamp::of(payload);
            let vendor = crate::market::ticker::vendor_symbol(symbol);
            // Where a document has no channel of its own, this is how its
            // change becomes known.
            match stamp.family.as_deref() {
                Some("spot") => self.tell_spot().await?,
                Some("gex") => self.tell_gex(&vendor).await?,
                Some("candles") => {
                    if let Some(event) = candles_event(&self.documents, &vendor).await? {
                        self.tell(event);
                    }
                }
                _ => {}
            }
            self.tell(event(Topic::Artifact(symbol.into()), None, "artifact", payload));
        }
        Ok(())
    }

    async fn tell_spot(&mut self) -> Result<(), DocumentsError> {
        if let Some(event) = spot_event(&self.documents).await? {
            let stamp = String::from_utf8_lossy(&event.text).into_owned();
            if self.told.insert(Topic::Spot, stamp.clone()).as_ref() != Some(&stamp) {
                self.tell(event);
            }
        }
        Ok(())
    }

    async fn tell_gex(&mut self, symbol: &str) -> Result<(), DocumentsError> {
        if let Some((event, stamp)) = gex_event(&self.documents, symbol).await?
            && self.told.insert(event.topic.clone(), stamp.clone()).as_ref() != Some(&stamp)
        {
            self.tell(event);
        }
        Ok(())
    }
}

/// All prices in one event: clients replace what they have.
async fn spot_event(documents: &Documents) -> Result<Option<Event>, DocumentsError> {
    let mut prices: BTreeMap<String, Box<RawValue>> = BTreeMap::new();
    let mut positions = Vec::new();
    for key in documents.keys(Bus::Market, names::SPOT).await? {
        let Some(symbol) = names::spot_symbol(&key) else { continue };
        let Some(document) = documents.get(Bus::Market, &key).await? else { continue };
        let Ok(price) = serde_json::from_slice(&document) else { continue };
        positions.extend(position("spot", &symbol, Stamp::of(&document).version()));
        prices.insert(symbol, price);
    }
    if prices.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_vec(&prices).unwrap_or_default();
    let mut event = event(Topic::Spot, None, "spot", &text);
    event.positions = positions.into();
    Ok(Some(event))
}

/// Both sides of a symbol, and a stamp that changes whenever one of them does.
async fn gex_event(
    documents: &Documents,
    symbol: &str,
) -> Result<Option<(Event, String)>, DocumentsError> {
    let calls = documents.get(Bus::Market, &names::gex_calls(symbol)).await?;
    let puts = documents.get(Bus::Market, &names::gex_puts(symbol)).await?;
    if calls.is_none() && puts.is_none() {
        return Ok(None);
    }
    let stamps = [&calls, &puts].map(|side| side.as_ref().map(|s| Stamp::of(s)));
    let told = stamps.each_ref().map(|s| s.as_ref().map(|s| (s.ts.clone(), s.version())));
    let version = stamps.iter().flatten().filter_map(Stamp::version).max();
    let json = |side: Option<Bytes>| side.and_then(|s| serde_json::from_slice(&s).ok());
    let gex = Gex { symbol, calls: json(calls), puts: json(puts) };
    let text = serde_json::to_vec(&gex).unwrap_or_default();
    let event = event(Topic::Gex(symbol.into()), position("gex", symbol, version), "gex", &text);
    Ok(Some((event, format!("{told:?}"))))
}

/// A day of candles, as charts read them.
async fn candles_event(
    documents: &Documents,
    symbol: &str,
) -> Result<Option<Event>, DocumentsError> {
    let artifact = documents.get(Bus::Market, &names::candles(symbol)).await?;
    Ok(artifact.and_then(|artifact| {
        let candles = candles::candles(symbol, 1, &artifact)?;
        let text = serde_json::to_vec(&candles).ok()?;
        let position = position("candles", symbol, Some(candles.version()));
        Some(event(Topic::Candles(symbol.into()), position, "candles", &text))
    }))
}

fn heatmap_event(symbol: &str, document: &[u8]) -> Event {
    let position = position("heatmap", symbol, Stamp::of(document).version());
    event(Topic::Heatmap(symbol.into()), position, "heatmap", document)
}

/// The topic of a document that is told as it stands, by its key.
fn model_topic(key: &str) -> Option<Topic> {
    match key {
        names::BIAS_LFI => Some(Topic::BiasLfi),
        names::MARKET_MODE => Some(Topic::MarketMode),
        _ => names::selector_symbol(key).map(|symbol| Topic::Selector(symbol.into())),
    }
}

/// A document that is told as it stands, under the name that clients listen to.
fn model_event(topic: Topic, document: &[u8]) -> Option<Event> {
    let (name, family) = match &topic {
        Topic::BiasLfi => ("bias_lfi", "bias_lfi"),
        Topic::MarketMode => ("market_mode", "market_mode"),
        Topic::Selector(_) => ("trade_selector", "selector"),
        _ => return None,
    };
    let stamp = Stamp::of(document);
    let symbol = stamp.symbol.clone().unwrap_or_default();
    Some(event(topic, position(family, &symbol, stamp.version()), name, document))
}

/// The announcement of an artifact, as it can be told from the artifact.
fn gravity_event(symbol: &str, document: &[u8]) -> Event {
    let stamp = Stamp::of(document);
    let text = serde_json::json!({
        "type": GRAVITY_EVENT,
        "symbol": symbol,
        "artifact_version": stamp.meta.artifact_version,
        "occurred_at": stamp.meta.last_update,
    });
    let position = position("gravity", symbol, stamp.version());
    event(Topic::Gravity(symbol.into()), position, GRAVITY_EVENT, text.to_string().as_bytes())
}

fn gap() -> Event {
    Event { number: 0, topic: Topic::Gap, positions: Arc::new([]), text: Bytes::new() }
}

fn position(family: &str, symbol: &str, version: Option<u64>) -> Option<Position> {
    Some((format!("{family}/{symbol}").into(), version?))
}

/// An event of the stream. JSON has no line breaks inside of texts, but a
/// document may be written over several lines.
fn event(topic: Topic, position: Option<Position>, name: &str, json: &[u8]) -> Event {
    let mut text = Vec::with_capacity(json.len() + name.len() + 24);
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(name.as_bytes());
    for line in json.split(|&b| b == b'\n' || b == b'\r') {
        text.extend_from_slice(b"\ndata: ");
        text.extend_from_slice(line);
    }
    text.extend_from_slice(b"\n\n");
    Event { number: 0, topic, positions: position.into_iter().collect(), text: text.into() }
}

/// What tells one state of a document from another.
#[derive(Default, Deserialize)]
struct Stamp {
    #[serde(default)]
    ts: Option<serde_json::Value>,
    #[serde(default)]
    version: Option<serde_json::Value>,
    #[serde(default)]
    artifact_version: Option<serde_json::Value>,
    #[serde(default)]
    symbol: Option<String>,
    #[serde(default)]
    family: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    artifact_version: Option<serde_json::Value>,
    #[serde(default)]
    last_update: Option<serde_json::Value>,
}

impl Stamp {
    /// A document that is not ours may have anything where we look.
    fn of(document: &[u8]) -> Stamp {
        serde_json::from_slice(document).unwrap_or_default()
    }

    /// `12`, `"v12"`.
    fn version(&self) -> Option<u64> {
        [&self.version, &self.artifact_version, &self.meta.artifact_version]
            .into_iter()
            .flatten()
            .find_map(|value| match value.as_str() {
                Some(text) => text.strip_prefix('v')?.parse().ok(),
                None => value.as_u64(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_wherever_documents_carry_them() {
        let version = |json: &str| Stamp::of(json.as_bytes()).version();
        assert_eq!(version(r#"{"version":12}"#), Some(12));
        assert_eq!(version(r#"{"artifact_version":"v7"}"#), Some(7));
        assert_eq!(version(r#"{"meta":{"artifact_version":"v9"}}"#), Some(9));
        assert_eq!(version(r#"{"version":"latest","artifact_version":"v3"}"#), Some(3));
        assert_eq!(version(r#"{"version":"latest"}"#), None);
        assert_eq!(version("not json"), None);
    }

    #[test]
    fn clients_share_the_state_until_it_changes() {
        let states = States::default();
        let heatmap = |json: &str| states.shared(heatmap_event("I:SPX", json.as_bytes()));
        let (first, again) = (heatmap(r#"{"version":1}"#), heatmap(r#"{"version":1}"#));
        assert_eq!(first.text.as_ptr(), again.text.as_ptr());
        let next = heatmap(r#"{"version":2}"#);
        assert_ne!((&next.text, next.text.as_ptr()), (&first.text, first.text.as_ptr()));
        assert_eq!(heatmap(r#"{"version":2}"#).text.as_ptr(), next.text.as_ptr());
    }

    #[test]
    fn a_document_of_several_lines_stays_one_event() {
        let made = event(Topic::Spot, None, "spot", b"{\n\"a\": 1\n}");
        assert_eq!(made.text, "event: spot\ndata: {\ndata: \"a\": 1\ndata: }\n\n");
    }
}
