//! One table of keys and channels: family, template, kind, bus, lifetime, size,
//! readers. The writer, the listing, the audit and the tests all come from it.
//!
//! The rows belong to key sets, each of which can be switched on alone: the
//! names of the original system, our own, and those of its sister systems.
//!
//! A [`RegisteredKey`] is made here and nowhere else, and only a registered key
//! can be written: a key without an entry cannot reach Redis. Symbols may hold
//! colons, so keys are never split by hand, they are parsed here.

mod key;
mod sets;
pub mod slots;
mod table;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::key::{KeyError, Prefix, RegisteredKey};
pub use self::sets::{KeySet, KeySets, UnknownKeySet};
pub use self::table::table;

/// Which Redis a key or channel lives on. Both may be one server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// `dealer_gravity:*`, `massive:volume_profile`.
    System,
    /// Model keys and every channel.
    Market,
}

impl Bus {
    /// `system` or `market`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Bus::System => "system",
            Bus::Market => "market",
        }
    }

    /// Reads what [`Bus::as_str`] says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Bus> {
        [Bus::System, Bus::Market].into_iter().find(|bus| bus.as_str() == text)
    }
}

/// What a name stands for in Redis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One document.
    String,
    /// Fields of one record.
    Hash,
    /// Documents by time.
    Zset,
    /// Texts, newest first, capped.
    List,
    /// A capped log.
    Stream,
    /// Pub/sub; keeps nothing.
    Channel,
}

/// Every entry of the table, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Name {
    /// Volume profile with structures, render-ready.
    GravityArtifact,
    /// Where spot stands among the structures.
    GravityContext,
    /// The legacy profile document that pages poll.
    VolumeProfile,
    /// A new gravity artifact can be fetched.
    GravityUpdated,
    /// Newest price of the underlying.
    Spot,
    /// The prices before it.
    SpotTrail,
    /// Call side of gamma exposure.
    GexCalls,
    /// Put side of gamma exposure.
    GexPuts,
    /// The whole heatmap.
    HeatmapLatest,
    /// What changed in it, as a capped log.
    HeatmapReplay,
    /// What changed in it, announced.
    HeatmapDiff,
    /// Bias and LFI, under the name without a symbol.
    BiasLfiLatest,
    /// Bias and LFI.
    BiasLfi,
    /// Compression, transition or expansion.
    MarketMode,
    /// What the index of volatility stands for.
    VixRegime,
    /// Scored butterflies.
    Selector,
    /// The epoch that is being published.
    EpochActive,
    /// The same of every symbol, in one record.
    EpochOfSymbols,
    /// What an epoch is made of.
    EpochMeta,
    /// Epochs of a symbol, newest first.
    EpochTimeline,
    /// How often the ticks of the active epoch fell silent.
    EpochDormancies,
    /// A whole artifact with its header.
    Artifact,
    /// Which version of a family a bus holds.
    ArtifactMeta,
    /// Some version of some family can be fetched.
    Events,
    /// The same as a capped log, for who was away.
    EventLog,
    /// The newest candles of one minute.
    Historical1m,
    /// Of five minutes.
    Historical5m,
    /// Of a quarter of an hour.
    Historical15m,
    /// Of an hour.
    Historical1h,
    /// Of four hours.
    Historical4h,
    /// The candle of the running minute as it grew, newest first.
    CandleTicks,
    /// The same, announced.
    CandleUpdates,
    /// Five-minute candles under the alert stack's name.
    Ohlc5m,
    /// Hourly candles under the alert stack's name.
    Ohlc1h,
    /// The running five-minute candle, field by field.
    OhlcLatest,
    /// The same as a capped log.
    OhlcUpdates,
    /// The heatmap under the name of the epoch design.
    PlaneHeatmap,
    /// Gamma exposure under the name of the epoch design.
    PlaneGex,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Which row.
    #[serde(skip)]
    pub name: Name,
    /// Whose name it is.
    pub set: KeySet,
    /// Family of artifacts that it is rendered from; `*` for any.
    pub family: &'static str,
    /// The name with `{sym}` (`spx`), `{SYM}` (`SPX`), `{vendor_symbol}`
    /// (`I:SPX`), `{family}` and `{epoch}` (an id); braces around `{SYM}` are a
    /// hash tag.
    pub template: &'static str,
    /// What it stands for.
    pub kind: Kind,
    /// Where it lives.
    pub bus: Bus,
    /// Database number, unless the bus URL names another one.
    pub db: u8,
    /// Lifetime in seconds, set anew by each write; `None` lives for ever.
    pub ttl_seconds: Option<u32>,
    /// Longest value (or payload, or member) that is written.
    pub size_bytes_max: u32,
    /// Entries that a capped stream (about) or list (exactly) keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_max: Option<u32>,
    /// Channel on which a change is told.
    pub channel: Option<&'static str>,
    /// Who reads it.
    pub readers: &'static [&'static str],
    /// What is in it.
    pub description: &'static str,
}

/// Names of the original system that carry no symbol belong to this one.
pub const UNSUFFIXED_SYMBOL: &str = "SPX";

impl Name {
    /// Its row.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        &table()[self as usize]
    }

    /// Whether a name without a symbol is used by all of them.
    const fn is_shared(self) -> bool {
        matches!(self, Name::GravityUpdated | Name::EpochOfSymbols | Name::EpochMeta)
    }
}
