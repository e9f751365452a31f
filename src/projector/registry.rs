//! One table of keys and channels: family, template, kind, bus, lifetime, size,
//! readers. The writer, the listing, the audit and the tests all come from it.
//!
//! A [`RegisteredKey`] is made here and nowhere else, and only a registered key
//! can be written: a key without an entry cannot reach Redis. Symbols may hold
//! colons, so keys are never split by hand, they are parsed here.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::market::ticker;

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
    /// A capped log.
    Stream,
    /// Pub/sub; keeps nothing.
    Channel,
}

/// Whose names these are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySet {
    /// The names that dashboards and gateways of the original system read.
    Marketswarm,
    /// Our own, with a hash tag per symbol.
    Orrery,
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
    /// A whole artifact with its header.
    Artifact,
    /// Which version of a family a bus holds.
    ArtifactMeta,
    /// Some version of some family can be fetched.
    Events,
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
    /// (`I:SPX`) and `{family}`; braces around `{SYM}` are a hash tag.
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
    /// Entries that a capped stream keeps, about.
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

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
const HOUR_S: u32 = 3_600;
const DAY_S: u32 = 86_400;
const GATEWAY: &[&str] = &["node gateway", "page"];
const OURS: &[&str] = &["orrery gateway", "orrery redis audit"];
const EVENTS: &str = "orrery:{{SYM}}:events";

macro_rules! entry {
    ($name:ident, $set:ident, $family:literal, $template:expr, $kind:ident, $bus:ident, $ttl:expr, $size:expr, $entries:expr, $channel:expr, $readers:expr, $about:literal) => {
        Entry {
            name: Name::$name,
            set: KeySet::$set,
            family: $family,
            template: $template,
            kind: Kind::$kind,
            bus: Bus::$bus,
            db: 0,
            ttl_seconds: $ttl,
            size_bytes_max: $size,
            entries_max: $entries,
            channel: $channel,
            readers: $readers,
            description: $about,
        }
    };
}

#[rustfmt::skip]
static TABLE: [Entry; 20] = [
    entry!(GravityArtifact, Marketswarm, "gravity", "dealer_gravity:artifact:{sym}", String, System, None, 2 * MIB, None, Some("dealer_gravity_updated"), GATEWAY,
        "volume profile (scaled 0..1000), volume nodes, volume wells, crevasses, meta with artifact_version v<N>"),
    entry!(GravityContext, Marketswarm, "context", "dealer_gravity:context:{sym}", String, System, None, 8 * KIB, None, Some(EVENTS), GATEWAY,
        "spot among the structures: nearest volume node, distance (spot - node)/spot, gamma alignment"),
    entry!(VolumeProfile, Marketswarm, "gravity", "massive:volume_profile", String, System, None, 4 * MIB, None, Some("dealer_gravity_updated"), GATEWAY,
        "legacy profile document with scaled integer buckets; carries no symbol, so it is SPX only"),
    entry!(GravityUpdated, Marketswarm, "gravity", "dealer_gravity_updated", Channel, Market, None, 4 * KIB, None, None, GATEWAY,
        "dealer_gravity_artifact_updated {type, symbol, artifact_version, occurred_at}, after the keys are stored"),
    entry!(Spot, Marketswarm, "spot", "massive:model:spot:{vendor_symbol}", String, Market, None, 4 * KIB, None, Some(EVENTS), GATEWAY,
        "newest price of the underlying; ts is ISO 8601"),
    entry!(SpotTrail, Marketswarm, "spot", "massive:model:spot:{vendor_symbol}:trail", Zset, Market, Some(8 * DAY_S), 4 * KIB, None, None, GATEWAY,
        "spot documents by epoch second, seven days back"),
    entry!(GexCalls, Marketswarm, "gex", "massive:gex:model:{vendor_symbol}:calls", String, Market, Some(DAY_S), 16 * MIB, None, Some(EVENTS), GATEWAY,
        "gamma x open interest x multiplier by expiration (ascending) and strike; an expiration without calls is an empty object"),
    entry!(GexPuts, Marketswarm, "gex", "massive:gex:model:{vendor_symbol}:puts", String, Market, Some(DAY_S), 16 * MIB, None, Some(EVENTS), GATEWAY,
        "the same for puts, positive; lists the same expirations as the calls"),
    entry!(HeatmapLatest, Marketswarm, "heatmap", "massive:heatmap:model:{vendor_symbol}:latest", String, Market, Some(3 * DAY_S), 64 * MIB, None, Some("massive:heatmap:diff:{vendor_symbol}"), GATEWAY,
        "all tiles with ts, version and epoch"),
    entry!(HeatmapReplay, Marketswarm, "heatmap", "massive:heatmap:replay:{vendor_symbol}", Stream, Market, Some(DAY_S), 64 * MIB, Some(50_000), None, &["ops scripts"],
        "field payload: {ts, version, changed, removed}"),
    entry!(HeatmapDiff, Marketswarm, "heatmap", "massive:heatmap:diff:{vendor_symbol}", Channel, Market, None, 64 * MIB, None, None, GATEWAY,
        "{ts, version, symbol, changed, removed, dtes_available}, relative to the version published before"),
    entry!(BiasLfiLatest, Marketswarm, "bias_lfi", "massive:bias_lfi:model:latest", String, Market, Some(HOUR_S), 16 * KIB, None, Some(EVENTS), GATEWAY,
        "directional strength, LFI, flips, strikes of the largest exposures; carries no symbol, so it is SPX only"),
    entry!(BiasLfi, Marketswarm, "bias_lfi", "massive:bias_lfi:model:{vendor_symbol}:latest", String, Market, Some(HOUR_S), 16 * KIB, None, Some(EVENTS), GATEWAY,
        "the same of each symbol"),
    entry!(MarketMode, Marketswarm, "market_mode", "massive:market_mode:model:latest", String, Market, Some(HOUR_S), 16 * KIB, None, Some(EVENTS), GATEWAY,
        "score 0..100 and mode: compression, transition, expansion; carries no symbol, so it is SPX only"),
    entry!(VixRegime, Marketswarm, "vix_regime", "massive:vix_regime:model:latest", String, Market, Some(HOUR_S), 16 * KIB, None, Some(EVENTS), GATEWAY,
        "regime of the index of volatility and what suits it; carries no symbol, so it is SPX only"),
    entry!(Selector, Marketswarm, "selector", "massive:selector:model:{vendor_symbol}:latest", String, Market, Some(HOUR_S), 16 * MIB, None, Some(EVENTS), GATEWAY,
        "butterflies of the heatmap with their scores, the ten best first"),
    entry!(EpochActive, Marketswarm, "epoch", "massive:epoch:active", String, Market, None, KIB, None, Some(EVENTS), &["ops scripts"],
        "id of the epoch that is being published; carries no symbol, so it is SPX only"),
    entry!(Artifact, Orrery, "*", "orrery:{{SYM}}:artifact:{family}", String, Market, Some(DAY_S), 64 * MIB, None, Some(EVENTS), OURS,
        "{header, body} as stored; refreshed as long as a publisher lives"),
    entry!(ArtifactMeta, Orrery, "*", "orrery:{{SYM}}:artifact:{family}:meta", Hash, Market, None, 4 * KIB, None, None, OURS,
        "version, lineage and content hash that this bus holds; on each bus that a family uses; what the publisher compares before it writes"),
    entry!(Events, Orrery, "*", EVENTS, Channel, Market, None, 4 * KIB, None, None, OURS,
        "{symbol, family, version, seq, keys}, after the keys are stored"),
];

// Name::entry indexes the table by the name's number.
const _: () = {
    let names = [
        Name::GravityArtifact,
        Name::GravityContext,
        Name::VolumeProfile,
        Name::GravityUpdated,
        Name::Spot,
        Name::SpotTrail,
        Name::GexCalls,
        Name::GexPuts,
        Name::HeatmapLatest,
        Name::HeatmapReplay,
        Name::HeatmapDiff,
        Name::BiasLfiLatest,
        Name::BiasLfi,
        Name::MarketMode,
        Name::VixRegime,
        Name::Selector,
        Name::EpochActive,
        Name::Artifact,
        Name::ArtifactMeta,
        Name::Events,
    ];
    let mut at = 0;
    while at < names.len() {
        assert!(names[at] as usize == at);
        at += 1;
    }
};

/// The whole table.
#[must_use]
pub fn table() -> &'static [Entry] {
    &TABLE
}

impl Name {
    /// Its row.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    /// The key of a symbol (`SPX`, never `I:SPX`), for names whose template has
    /// no family.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn key(self, symbol: &str) -> Result<RegisteredKey, KeyError> {
        let family = match self.entry().family {
            "*" => return Err(KeyError::Family { family: "*".into() }),
            family => family,
        };
        self.key_of(symbol, family)
    }

    /// The key of a symbol's family.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn key_of(self, symbol: &str, family: &str) -> Result<RegisteredKey, KeyError> {
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || ".:_-/".contains(c);
        if symbol.is_empty() || symbol.len() > 64 || !symbol.chars().all(plain) {
            return Err(KeyError::Symbol { symbol: symbol.into() });
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if family.is_empty() || family.len() > 64 || !family.chars().all(plain) {
            return Err(KeyError::Family { family: family.into() });
        }
        let entry = self.entry();
        if !entry.template.contains('{')
            && symbol != UNSUFFIXED_SYMBOL
            && self != Name::GravityUpdated
        {
            return Err(KeyError::Unsuffixed { template: entry.template, symbol: symbol.into() });
        }
        let text = fill(entry.template, symbol, family);
        Ok(RegisteredKey { entry, symbol: symbol.into(), family: family.into(), text: text.into() })
    }
}

fn fill(template: &str, symbol: &str, family: &str) -> String {
    template
        .replace("{sym}", &symbol.to_ascii_lowercase())
        .replace("{SYM}", symbol)
        .replace("{vendor_symbol}", &ticker::vendor_symbol(symbol))
        .replace("{family}", family)
}

/// A name that cannot be formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The symbol has characters that keys do not take.
    #[error("symbol {symbol:?} cannot be part of a key: 1 to 64 of A-Z 0-9 . : _ - /")]
    Symbol {
        /// As given.
        symbol: Box<str>,
    },
    /// The family has characters that keys do not take.
    #[error("family {family:?} cannot be part of a key: 1 to 64 of a-z 0-9 _")]
    Family {
        /// As given.
        family: Box<str>,
    },
    /// The name carries no symbol and belongs to another one.
    #[error("{template} carries no symbol and belongs to {UNSUFFIXED_SYMBOL}, not to {symbol}")]
    Unsuffixed {
        /// The name.
        template: &'static str,
        /// As given.
        symbol: Box<str>,
    },
}

/// What stands before every key and channel of a replay session, so that none of
/// them is one of the live pipeline's: `replay:session-3:`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// Before the name of a session.
    const BEFORE: &str = "replay:";

    /// The prefix of a session; `None` for a name that cannot be part of a key.
    #[must_use]
    pub fn of_session(name: &str) -> Option<Prefix> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fine = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
        fine.then(|| Prefix(format!("{}{name}:", Prefix::BEFORE).into()))
    }

    /// The prefix as it stands in Redis.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of a key, and what follows it.
    fn split(text: &str) -> Option<(Prefix, &str)> {
        let (name, rest) = text.strip_prefix(Prefix::BEFORE)?.split_once(':')?;
        Some((Prefix::of_session(name)?, rest))
    }
}

/// A key or channel that has an entry in the table.
#[derive(Clone, Debug)]
pub struct RegisteredKey {
    entry: &'static Entry,
    symbol: Box<str>,
    family: Box<str>,
    text: Box<str>,
}

impl RegisteredKey {
    /// Reads a key or channel as it stands in Redis; `None` for a stranger.
    ///
    /// Where two templates fit (`...:trail`), the one with more fixed text wins.
    #[must_use]
    pub fn parse(text: &str) -> Option<RegisteredKey> {
        if let Some((prefix, rest)) = Prefix::split(text) {
            return Some(RegisteredKey::parse_plain(rest)?.under(&prefix));
        }
        RegisteredKey::parse_plain(text)
    }

    /// The same key of a replay session.
    #[must_use]
    pub fn under(self, prefix: &Prefix) -> RegisteredKey {
        RegisteredKey { text: format!("{}{}", prefix.0, self.text).into(), ..self }
    }

    fn parse_plain(text: &str) -> Option<RegisteredKey> {
        TABLE
            .iter()
            .filter_map(|entry| {
                let (symbol, family) = match_template(entry, text)?;
                let key = entry.name.key_of(&symbol, &family).ok()?;
                (key.as_str() == text).then_some(key)
            })
            .max_by_key(|key| key.entry.template.len())
    }

    /// The key as it stands in Redis.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its row in the table.
    #[must_use]
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// Lifetime in seconds, set anew by each write; 0 lives for ever. What a
    /// replay session leaves behind never does.
    #[must_use]
    pub fn ttl_seconds(&self) -> u32 {
        let of_session = Prefix::split(&self.text).map(|_| DAY_S);
        self.entry.ttl_seconds.or(of_session).unwrap_or(0)
    }

    /// Symbol of the partition: `SPX`.
    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Family of artifacts.
    #[must_use]
    pub fn family(&self) -> &str {
        &self.family
    }
}

impl fmt::Display for RegisteredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for RegisteredKey {
    fn eq(&self, other: &RegisteredKey) -> bool {
        self.text == other.text && self.entry.name == other.entry.name
    }
}

impl Eq for RegisteredKey {}

impl PartialOrd for RegisteredKey {
    fn partial_cmp(&self, other: &RegisteredKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RegisteredKey {
    fn cmp(&self, other: &RegisteredKey) -> Ordering {
        (&self.text, self.entry.name).cmp(&(&other.text, other.entry.name))
    }
}

impl Serialize for RegisteredKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Symbol and family of a text that has the template's fixed parts.
fn match_template(entry: &Entry, text: &str) -> Option<(String, String)> {
    let (template, mut text) = (entry.template, text);
    let mut family = entry.family.to_owned();
    if entry.family == "*" && template.contains("{family}") {
        let (head, tail) = template.split_once("{family}")?;
        let rest = text.strip_suffix(tail)?;
        // Families hold no colon, so the family is what follows the last one.
        let (before, name) = rest.rsplit_once(':')?;
        family = name.to_owned();
        text = before;
        let (prefix, suffix) = head.trim_end_matches(':').split_once("{SYM}")?;
        let symbol = text.strip_prefix(prefix)?.strip_suffix(suffix)?;
        return Some((symbol.to_owned(), family));
    }
    if entry.family == "*" {
        // Any family will do: the name does not contain it.
        family = "any".to_owned();
    }
    for placeholder in ["{vendor_symbol}", "{SYM}", "{sym}"] {
        let Some((prefix, suffix)) = template.split_once(placeholder) else { continue };
        let symbol = text.strip_prefix(prefix)?.strip_suffix(suffix)?;
        let symbol = match placeholder {
            "{vendor_symbol}" => symbol.strip_prefix("I:").unwrap_or(symbol).to_owned(),
            "{sym}" => symbol.to_ascii_uppercase(),
            _ => symbol.to_owned(),
        };
        return Some((symbol, family));
    }
    (text == template).then(|| (UNSUFFIXED_SYMBOL.to_owned(), family))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_read_as_the_contract_says() {
        let cases = [
            (Name::GravityArtifact, "SPX", "dealer_gravity:artifact:spx"),
            (Name::GravityContext, "SPX", "dealer_gravity:context:spx"),
            (Name::VolumeProfile, "SPX", "massive:volume_profile"),
            (Name::GravityUpdated, "GOOG", "dealer_gravity_updated"),
            (Name::Spot, "SPX", "massive:model:spot:I:SPX"),
            (Name::Spot, "GOOG", "massive:model:spot:GOOG"),
            (Name::SpotTrail, "SPX", "massive:model:spot:I:SPX:trail"),
            (Name::GexCalls, "SPX", "massive:gex:model:I:SPX:calls"),
            (Name::GexPuts, "NDX", "massive:gex:model:I:NDX:puts"),
            (Name::HeatmapLatest, "SPX", "massive:heatmap:model:I:SPX:latest"),
            (Name::HeatmapReplay, "SPX", "massive:heatmap:replay:I:SPX"),
            (Name::HeatmapDiff, "SPX", "massive:heatmap:diff:I:SPX"),
            (Name::BiasLfiLatest, "SPX", "massive:bias_lfi:model:latest"),
            (Name::BiasLfi, "NDX", "massive:bias_lfi:model:I:NDX:latest"),
            (Name::MarketMode, "SPX", "massive:market_mode:model:latest"),
            (Name::VixRegime, "SPX", "massive:vix_regime:model:latest"),
            (Name::Selector, "SPX", "massive:selector:model:I:SPX:latest"),
            (Name::EpochActive, "SPX", "massive:epoch:active"),
        ];
        for (name, symbol, expected) in cases {
            assert_eq!(name.key(symbol).expect("a key").as_str(), expected);
        }
        let own = Name::Artifact.key_of("SPX", "gex").expect("a key");
        assert_eq!(own.as_str(), "orrery:{SPX}:artifact:gex");
        let meta = Name::ArtifactMeta.key_of("SPX", "gex").expect("a key");
        assert_eq!(meta.as_str(), "orrery:{SPX}:artifact:gex:meta");
        assert_eq!(
            Name::Events.key_of("SPX", "gex").expect("a key").as_str(),
            "orrery:{SPX}:events"
        );
    }

    #[test]
    fn strangers_and_bad_symbols_are_refused() {
        for text in [
            "",
            "truth",
            "massive:model:spot:SPX", // an index without its I:
            "massive:heatmap:model:I:SPX:butterfly:call",
            "dealer_gravity:artifact:SPX",
            "orrery:{SPX}:artifact:",
            "orrery:SPX:artifact:gex",
            "epoch:active",
            "replay:truth",
            "replay:session-1:truth",
            "replay::massive:model:spot:I:SPX",
            "replay:session-1:replay:session-1:massive:model:spot:I:SPX",
        ] {
            assert_eq!(RegisteredKey::parse(text), None, "{text}");
        }
        for symbol in ["", "S P X", "spx", "SPX}", "*", "\u{e4}"] {
            assert!(matches!(Name::Spot.key(symbol), Err(KeyError::Symbol { .. })), "{symbol}");
        }
        assert!(matches!(Name::VolumeProfile.key("GOOG"), Err(KeyError::Unsuffixed { .. })));
        assert!(matches!(Name::Artifact.key("SPX"), Err(KeyError::Family { .. })));
    }

    #[test]
    fn a_trail_is_not_a_spot() {
        let key = RegisteredKey::parse("massive:model:spot:I:SPX:trail").expect("registered");
        assert_eq!((key.entry().name, key.symbol()), (Name::SpotTrail, "SPX"));
    }

    #[test]
    fn keys_that_expire_or_are_bounded_say_so() {
        for entry in table() {
            assert!(entry.size_bytes_max > 0 && entry.db == 0, "{}", entry.template);
            assert_eq!(entry.entries_max.is_some(), entry.kind == Kind::Stream);
            if entry.set == KeySet::Orrery && entry.kind == Kind::String {
                assert!(entry.ttl_seconds.is_some(), "{} is ours and must expire", entry.template);
            }
            let json = serde_json::to_value(entry).expect("an entry is JSON");
            assert_eq!(json["template"], entry.template);
        }
    }

    proptest! {
        #[test]
        fn every_key_parses_to_itself(
            symbol in "[A-Z][A-Z0-9.:_-]{0,11}",
            family in "[a-z][a-z0-9_]{0,9}",
            row in 0..TABLE.len(),
        ) {
            // `I:` is the vendor's mark, not part of a symbol.
            prop_assume!(!symbol.starts_with("I:"));
            let name = TABLE[row].name;
            let key = match TABLE[row].family {
                "*" => name.key_of(&symbol, &family),
                _ => name.key(&symbol),
            };
            if let Ok(key) = key {
                let back = RegisteredKey::parse(key.as_str()).expect("registered");
                prop_assert_eq!(back.as_str(), key.as_str());
                prop_assert_eq!(back.entry().name, name);
                if TABLE[row].template.contains('{') {
                    prop_assert_eq!(back.symbol(), key.symbol());
                }
                let prefix = Prefix::of_session("session-7").expect("a name");
                let ours = key.clone().under(&prefix);
                prop_assert!(ours.as_str().strip_prefix("replay:session-7:") == Some(key.as_str()));
                prop_assert_eq!(RegisteredKey::parse(ours.as_str()), Some(ours));
            }
        }
    }
}
