//! Heatmap: the whole, and what changed since readers last heard.
//!
//! Held by a test: a reader that starts from the whole and applies every
//! difference holds exactly the newest whole. What readers hold is not always
//! known (after an unanswered write, a failover, a restart); then every tile
//! counts as changed and everything that anybody might still hold is removed,
//! so that all of them end at the same state.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Held, Page, RenderError, Write};
use crate::projector::registry::Name;

#[derive(Deserialize)]
struct Body<'a> {
    symbol: Box<str>,
    #[serde(borrow)]
    dtes_available: &'a RawValue,
    #[serde(borrow)]
    dte_tile_counts: &'a RawValue,
    #[serde(borrow)]
    tiles: Tiles<'a>,
    #[serde(borrow, default)]
    quality: Option<&'a RawValue>,
}

type Tiles<'a> = BTreeMap<&'a str, &'a RawValue>;

#[derive(Serialize)]
struct Document<'a> {
    ts: f64,
    symbol: &'a str,
    epoch: &'a str,
    version: u64,
    dtes_available: &'a RawValue,
    dte_tile_counts: &'a RawValue,
    tiles: &'a Tiles<'a>,
    journal_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Difference<'a> {
    ts: f64,
    version: u64,
    symbol: &'a str,
    changed: &'a Tiles<'a>,
    removed: &'a [&'a str],
    dtes_available: &'a RawValue,
}

#[derive(Serialize)]
struct Entry<'a> {
    ts: f64,
    version: u64,
    changed: &'a Tiles<'a>,
    removed: &'a [&'a str],
}

pub(super) fn render(page: &mut Page<'_>, held: &Held<'_>) -> Result<(), RenderError> {
    let body: Body<'_> = page.body()?;
    let (ts, version) = (page.ts(), page.header().version);
    let document = Document {
        ts,
        symbol: &body.symbol,
        epoch: &page.epoch(),
        version,
        dtes_available: body.dtes_available,
        dte_tile_counts: body.dte_tile_counts,
        tiles: &body.tiles,
        journal_seq: page.header().seq_last.0,
        quality: body.quality,
    };
    page.put(Name::HeatmapLatest, Write::Replace, &document)?;
    if page.is_unsuffixed() {
        page.put(Name::PlaneHeatmap, Write::Replace, &document)?;
    }
    let base = held.tiles.and_then(tiles_of);
    let (changed, removed) = difference(&body.tiles, base.as_ref(), held.ghosts);
    let (changed, removed) = (&changed, &*removed);
    page.put(Name::HeatmapReplay, Write::Append, &Entry { ts, version, changed, removed })?;
    let (symbol, dtes_available) = (&*body.symbol, body.dtes_available);
    let difference = Difference { ts, version, symbol, changed, removed, dtes_available };
    page.publish(Name::HeatmapDiff, &difference)
}

/// Keys of the tiles of a body or a delivered document; empty when it is none.
pub(in crate::projector) fn tile_keys(document: &[u8]) -> BTreeSet<String> {
    tiles_of(document).map(|t| t.keys().map(|k| (*k).to_owned()).collect()).unwrap_or_default()
}

fn tiles_of(document: &[u8]) -> Option<Tiles<'_>> {
    #[derive(Deserialize)]
    struct OnlyTiles<'a> {
        #[serde(borrow)]
        tiles: Tiles<'a>,
    }
    serde_json::from_slice::<OnlyTiles<'_>>(document).ok().map(|d| d.tiles)
}

fn difference<'a>(
    tiles: &Tiles<'a>,
    base: Option<&Tiles<'a>>,
    ghosts: Option<&'a BTreeSet<String>>,
) -> (Tiles<'a>, Vec<&'a str>) {
    let same = |key: &str, tile: &RawValue| {
        base.and_then(|base| base.get(key)).is_some_and(|held| held.get() == tile.get())
    };
    let changed = tiles.iter().filter(|(key, tile)| !same(key, tile));
    let held = base.into_iter().flat_map(|base| base.keys().copied());
    let ghosts = ghosts.into_iter().flatten().map(String::as_str);
    let gone: BTreeSet<&str> = held.chain(ghosts).filter(|key| !tiles.contains_key(key)).collect();
    (changed.map(|(key, tile)| (*key, *tile)).collect(), gone.into_iter().collect())
}
