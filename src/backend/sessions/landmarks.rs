//! What a session may look for: told from what the folds know and say.

use std::collections::BTreeMap;

use orrery_replay::engine::{Engine, Made};
use orrery_replay::fold::EpochId;
use serde::Deserialize;

use crate::control::session::Shows;
use crate::partition::Partition;

/// The active epoch of every symbol.
fn active(engine: &Engine) -> BTreeMap<Box<str>, Option<EpochId>> {
    let of = |symbol: &str| Some(engine.fold_as::<Partition>(symbol)?.active_epoch()?.id);
    engine.partitions().into_iter().map(|symbol| (symbol.into(), of(symbol))).collect()
}

/// Says when another epoch is active than was at first, for symbols that are
/// told.
pub fn epoch_change(engine: &Engine, shows: Shows) -> impl FnMut(&Engine, &[Made]) -> bool + use<> {
    let before = active(engine);
    move |engine, _| {
        engine.partitions().into_iter().any(|symbol| {
            let is = engine.fold_as::<Partition>(symbol).and_then(|p| Some(p.active_epoch()?.id));
            shows.has_symbol(symbol) && is != before.get(symbol).copied().flatten()
        })
    }
}

/// What a gex body says of spot and flip.
#[derive(Deserialize)]
struct Gex {
    spot: Option<f64>,
    levels: Levels,
}

#[derive(Deserialize)]
struct Levels {
    flip: Flip,
}

#[derive(Deserialize)]
struct Flip {
    nearest: Option<f64>,
}

/// Whether the spot stands above its nearest flip; `None` where either is
/// absent or both are equal.
#[must_use]
pub fn above_flip(body: &[u8]) -> Option<bool> {
    let gex: Gex = serde_json::from_slice(body).ok()?;
    let distance = gex.spot? - gex.levels.flip.nearest?;
    (distance != 0.0).then_some(distance > 0.0)
}

/// Says when a gex artifact has the spot on the other side of its nearest flip
/// than the one before it that could tell, for symbols that are told.
pub fn flip_crossing(
    engine: &Engine,
    shows: Shows,
) -> impl FnMut(&Engine, &[Made]) -> bool + use<> {
    let newest =
        |symbol: &str| above_flip(engine.fold_as::<Partition>(symbol)?.newest_body("gex")?);
    let mut last: BTreeMap<Box<str>, bool> = BTreeMap::new();
    for symbol in engine.partitions() {
        last.extend(newest(symbol).map(|above| (symbol.into(), above)));
    }
    move |_, made| {
        let mut crossed = false;
        for artifact in made.iter().map(|m| &m.artifact).filter(|a| &*a.header.family == "gex") {
            let Some(above) = above_flip(&artifact.body) else { continue };
            let symbol = &artifact.header.symbol;
            let before = last.insert(symbol.clone(), above);
            crossed |= shows.has_symbol(symbol) && before.is_some_and(|b| b != above);
        }
        crossed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_of_the_flip_is_told_only_where_it_is_known() {
        let body = |spot: &str, flip: &str| {
            format!(r#"{{"spot":{spot},"levels":{{"net":1,"flip":{{"nearest":{flip}}}}}}}"#)
        };
        assert_eq!(above_flip(body("6500.5", "6500").as_bytes()), Some(true));
        assert_eq!(above_flip(body("6499", "6500").as_bytes()), Some(false));
        for (spot, flip) in [("6500", "6500"), ("null", "6500"), ("6500", "null")] {
            assert_eq!(above_flip(body(spot, flip).as_bytes()), None);
        }
        assert_eq!(above_flip(b"[]"), None);
    }
}
