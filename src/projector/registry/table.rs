//! The rows. See [`Entry`] for what stands in each column.

use super::{Bus, Entry, KeySet, Kind, Name};

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
const HOUR_S: u32 = 3_600;
const DAY_S: u32 = 86_400;
/// A trading day of 390 minutes, as the original keeps records of epochs.
const SESSION_S: u32 = 390 * 60;
/// What the alert stack gives everything.
const ALERTS_S: u32 = 57_600;
const GATEWAY: &[&str] = &["node gateway", "page"];
const INSPECTION: &[&str] = &["epoch-inspect.sh", "ops scripts"];
const OURS: &[&str] = &["orrery gateway", "orrery redis audit"];
const CACHE: &[&str] = &["tick and candle cache"];
const ALERTS: &[&str] = &["alert stack"];
const PLANE: &[&str] = &["readers of the epoch design"];
const EVENTS: &str = "orrery:{{SYM}}:events";
const UPDATES: &str = "updates:{SYM}";

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
const ROWS: [Entry; ROW_COUNT] = [
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
    entry!(EpochOfSymbols, Marketswarm, "epoch", "epoch:active", Hash, Market, None, KIB, None, Some(EVENTS), INSPECTION,
        "symbol (I:SPX) to id of its active epoch, for all symbols"),
    entry!(EpochMeta, Marketswarm, "epoch", "epoch:meta:{epoch}", Hash, Market, Some(SESSION_S), 4 * KIB, None, Some(EVENTS), INSPECTION,
        "epoch_id, symbol, created_ts, strike_count, dte_count, strike_range, hash, forced_dirty, dormant_count; 300 s once it is retired"),
    entry!(EpochTimeline, Marketswarm, "epoch", "epoch:timeline:{vendor_symbol}", List, Market, None, KIB, Some(1_000), None, INSPECTION,
        "promotions, newest first: seconds|id|forced=0|dormant=0"),
    entry!(EpochDormancies, Marketswarm, "epoch", "epoch:{vendor_symbol}:dormant_count", String, Market, Some(SESSION_S), KIB, None, Some(EVENTS), INSPECTION,
        "how often the ticks of the active epoch fell silent in session"),
    entry!(Artifact, Orrery, "*", "orrery:{{SYM}}:artifact:{family}", String, Market, Some(DAY_S), 64 * MIB, None, Some(EVENTS), OURS,
        "{header, body} as stored; refreshed as long as a publisher lives"),
    entry!(ArtifactMeta, Record, "*", "orrery:{{SYM}}:artifact:{family}:meta", Hash, Market, None, 4 * KIB, None, None, OURS,
        "version, lineage and content hash that this bus holds; on each bus that a family uses, whatever the key set; what the publisher compares before it writes"),
    entry!(Events, Orrery, "*", EVENTS, Channel, Market, None, 4 * KIB, None, None, OURS,
        "{symbol, family, version, seq, keys}, after the keys are stored"),
    entry!(EventLog, Orrery, "*", "orrery:{{SYM}}:stream", Stream, Market, Some(DAY_S), 4 * KIB, Some(1_000), None, OURS,
        "field payload: what was told on the channel of events, to catch up from"),
    entry!(Historical1m, Candles, "candles", "historical:{SYM}:1M", String, System, Some(HOUR_S), MIB, None, Some(UPDATES), CACHE,
        "the last 200 candles of a minute, oldest first: asset, timestamp, open, high, low, close, volume, date"),
    entry!(Historical5m, Candles, "candles", "historical:{SYM}:5M", String, System, Some(HOUR_S), MIB, None, Some(UPDATES), CACHE,
        "the same of five minutes"),
    entry!(Historical15m, Candles, "candles", "historical:{SYM}:15M", String, System, Some(HOUR_S), MIB, None, Some(UPDATES), CACHE,
        "the same of a quarter of an hour"),
    entry!(Historical1h, Candles, "candles", "historical:{SYM}:1H", String, System, Some(HOUR_S), MIB, None, Some(UPDATES), CACHE,
        "the same of an hour"),
    entry!(Historical4h, Candles, "candles", "historical:{SYM}:4H", String, System, Some(HOUR_S), MIB, None, Some(UPDATES), CACHE,
        "the same of four hours"),
    entry!(CandleTicks, Candles, "candles", "ticks:{SYM}", List, System, Some(DAY_S), KIB, Some(1_000), Some(UPDATES), CACHE,
        "the candle of the running minute as it grew, newest first"),
    entry!(CandleUpdates, Candles, "candles", UPDATES, Channel, System, None, KIB, None, None, CACHE,
        "the newest entry of ticks:{SYM}, after the keys are stored"),
    entry!(Ohlc5m, Alerts, "candles", "ohlc:{SYM}:5m", String, System, Some(ALERTS_S), MIB, None, Some(EVENTS), ALERTS,
        "the last 200 candles of five minutes, oldest first: timestamp, open, high, low, close, volume"),
    entry!(Ohlc1h, Alerts, "candles", "ohlc:{SYM}:1h", String, System, Some(ALERTS_S), MIB, None, Some(EVENTS), ALERTS,
        "the same of an hour"),
    entry!(OhlcLatest, Alerts, "candles", "ohlc_latest:{SYM}", Hash, System, Some(ALERTS_S), KIB, None, Some(EVENTS), ALERTS,
        "the running five-minute candle: timestamp, open, high, low, close, volume"),
    entry!(OhlcUpdates, Alerts, "candles", "ohlc_updates:{SYM}", Stream, System, Some(ALERTS_S), KIB, Some(1_000), None, ALERTS,
        "field payload: the running five-minute candle as it grew"),
    entry!(PlaneHeatmap, Plane, "heatmap", "mmaker:heatmap:model", String, Market, Some(3 * DAY_S), 64 * MIB, None, Some(EVENTS), PLANE,
        "what massive:heatmap:model:{vendor_symbol}:latest holds; carries no symbol, so it is SPX only"),
    entry!(PlaneGex, Plane, "gex", "mmaker:gex:model", String, Market, Some(DAY_S), 32 * MIB, None, Some(EVENTS), PLANE,
        "both sides of gamma exposure by expiration and strike; carries no symbol, so it is SPX only"),
];

const ROW_COUNT: usize = 38;
static TABLE: [Entry; ROW_COUNT] = ROWS;

// Name::entry indexes the table by the name's number.
const _: () = {
    let mut at = 0;
    while at < ROW_COUNT {
        assert!(ROWS[at].name as usize == at);
        at += 1;
    }
};

/// The whole table.
#[must_use]
pub fn table() -> &'static [Entry] {
    &TABLE
}
