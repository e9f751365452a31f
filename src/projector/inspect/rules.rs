//! The rules of [`super::schema`]: a place in a document and what stands there.

use crate::projector::registry::Name;

/// What has to stand at a place.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Is {
    Number,
    Text,
    Bool,
    Object,
    Array,
    /// Integers from 0 to 1000.
    Scaled,
    /// The same, by price.
    ScaledByPrice,
    /// `[from, to]`, ascending.
    Pairs,
    /// Prices, or objects with one.
    Nodes,
    /// `v` and a number.
    Version,
    /// Sides by expiration: numbers by strike.
    Strikes,
    /// `{strategy}:{dte}:{width}:{strike}` to tile.
    Tiles,
}

/// A place, what has to stand there, and whether `null` may instead.
pub(super) type Rule = (&'static str, Is, bool);

const MODEL: [Rule; 2] = [("/ts", Is::Number, false), ("/version", Is::Number, false)];

/// One candle of any cache.
pub(super) const CANDLE: [Rule; 5] = [
    ("/timestamp", Is::Number, false),
    ("/open", Is::Number, false),
    ("/high", Is::Number, false),
    ("/low", Is::Number, false),
    ("/close", Is::Number, false),
];

/// Whether the document is a list of candles, as caches of others have it.
pub(super) fn holds_candles(name: Name) -> bool {
    matches!(
        name,
        Name::Historical1m
            | Name::Historical5m
            | Name::Historical15m
            | Name::Historical1h
            | Name::Historical4h
            | Name::Ohlc5m
            | Name::Ohlc1h
    )
}

/// What has to stand in the document of an entry.
pub(super) fn rules(name: Name) -> Vec<Rule> {
    let own: &[Rule] = match name {
        Name::GravityArtifact => &[
            ("/profile/min", Is::Number, false),
            ("/profile/step", Is::Number, false),
            ("/profile/bins", Is::Scaled, false),
            ("/structures/volume_nodes", Is::Nodes, false),
            ("/structures/volume_wells", Is::Pairs, false),
            ("/structures/crevasses", Is::Pairs, false),
            ("/meta/spot", Is::Number, true),
            ("/meta/algorithm", Is::Text, false),
            ("/meta/normalized_scale", Is::Number, false),
            ("/meta/artifact_version", Is::Version, false),
            ("/meta/last_update", Is::Text, false),
        ],
        Name::GravityContext => &[
            ("/symbol", Is::Text, false),
            ("/spot", Is::Number, true),
            ("/nearest_volume_node", Is::Number, true),
            ("/in_crevasse", Is::Bool, true),
            ("/artifact_version", Is::Version, true),
            ("/timestamp", Is::Text, false),
        ],
        Name::VolumeProfile => &[
            ("/synthetic_symbol", Is::Text, false),
            ("/min_price", Is::Number, false),
            ("/max_price", Is::Number, false),
            ("/bin_size", Is::Number, false),
            ("/buckets_raw", Is::ScaledByPrice, false),
            ("/buckets_tv", Is::ScaledByPrice, false),
            ("/structures", Is::Object, false),
        ],
        Name::Spot | Name::SpotTrail => &[
            ("/symbol", Is::Text, false),
            ("/value", Is::Number, false),
            ("/ts", Is::Text, false),
            ("/source", Is::Text, false),
        ],
        Name::GexCalls | Name::GexPuts => {
            &[("/symbol", Is::Text, false), ("/expirations", Is::Strikes, false)]
        }
        Name::HeatmapLatest | Name::PlaneHeatmap => &[
            ("/symbol", Is::Text, false),
            ("/epoch", Is::Text, false),
            ("/dtes_available", Is::Array, false),
            ("/dte_tile_counts", Is::Object, false),
            ("/tiles", Is::Tiles, false),
        ],
        Name::HeatmapReplay => &[("/changed", Is::Tiles, false), ("/removed", Is::Array, false)],
        Name::BiasLfi | Name::BiasLfiLatest | Name::MarketMode | Name::VixRegime => {
            &[("/ts_iso", Is::Text, false)]
        }
        Name::Selector => &[("/ts_iso", Is::Text, false), ("/symbol", Is::Text, false)],
        Name::PlaneGex => &[("/symbol", Is::Text, false), ("/expirations", Is::Object, false)],
        Name::EventLog => &[
            ("/symbol", Is::Text, false),
            ("/family", Is::Text, false),
            ("/version", Is::Number, false),
            ("/seq", Is::Number, false),
            ("/keys", Is::Array, false),
        ],
        Name::CandleTicks | Name::OhlcUpdates => &CANDLE,
        Name::Artifact => &[
            ("/header/symbol", Is::Text, false),
            ("/header/family", Is::Text, false),
            ("/header/version", Is::Number, false),
            ("/header/seq_last", Is::Number, false),
            ("/header/content", Is::Text, false),
            ("/body", Is::Object, false),
        ],
        _ => &[],
    };
    let modelled = matches!(
        name,
        Name::GexCalls
            | Name::GexPuts
            | Name::HeatmapLatest
            | Name::PlaneHeatmap
            | Name::HeatmapReplay
            | Name::BiasLfi
            | Name::BiasLfiLatest
            | Name::MarketMode
            | Name::VixRegime
            | Name::Selector
    );
    own.iter().chain(MODEL.iter().filter(|_| modelled)).copied().collect()
}
