//! `heatmap`: what singles, verticals and butterflies cost, on a lattice of
//! strike x width x days to expiry.
//!
//! Profile `heatmap/mid@1`: prices come from the mids of two-sided quotes,
//! never from a theory and never from a last trade; a side whose legs are not
//! all quoted is absent, with the reasons in the tile. Bounds and parity are
//! quality, flagged and never clamped.
//!
//! Cost follows dirt: a quote marks the tiles that its contract is a leg of, and
//! only they are priced again when a body is due. The model's own state is the
//! centre of the band; lattice and tiles are functions of it and of the book.

pub mod lattice;
pub mod tile;

use std::collections::BTreeMap;

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::{EpochId, RestoreError};
use serde::Serialize;

use self::lattice::{Lattice, Parameters};
use self::tile::{Problem, Reasons, Tile};
use super::{Change, Model, Scope};
use crate::market::book::{Book, Market};
use crate::market::ticker::vendor_symbol;

const STATE_VERSION: u8 = 1;

/// The model.
#[derive(Debug, Default)]
pub struct Heatmap {
    parameters: Parameters,
    /// Centre of the band; moves only when the spot has left its middle.
    centre: Option<f64>,
    built: Option<Built>,
}

/// Everything that follows from the book and the centre.
#[derive(Debug)]
struct Built {
    topology: EpochId,
    lattice: Lattice,
    tiles: Vec<Option<Tile>>,
    dirty: Vec<u32>,
    is_dirty: Vec<bool>,
    reasons: [u64; Reasons::COUNT],
    ineligible: u64,
    out_of_bounds: u64,
}

impl Built {
    fn new(topology: EpochId, lattice: Lattice) -> Built {
        let count = lattice.tiles.len();
        Built {
            topology,
            tiles: vec![None; count],
            dirty: (0..count as u32).collect(),
            is_dirty: vec![true; count],
            lattice,
            reasons: [0; Reasons::COUNT],
            ineligible: 0,
            out_of_bounds: 0,
        }
    }

    /// Marks the tiles of a contract; whether there are any.
    fn mark_slot(&mut self, slot: usize) -> bool {
        let Some(tiles) = self.lattice.by_slot.get(slot) else { return false };
        for &tile in tiles {
            if let Some(dirty) = self.is_dirty.get_mut(tile as usize)
                && !*dirty
            {
                *dirty = true;
                self.dirty.push(tile);
            }
        }
        !tiles.is_empty()
    }

    fn mark_all(&mut self) {
        self.dirty = (0..self.lattice.tiles.len() as u32).collect();
        self.is_dirty.fill(true);
    }

    /// Prices the dirty tiles and keeps the counts of reasons up to date.
    fn reprice(&mut self, symbol: &str, book: &Book) {
        for index in std::mem::take(&mut self.dirty) {
            let i = index as usize;
            let (Some(spec), Some(held)) = (self.lattice.tiles.get(i), self.tiles.get_mut(i))
            else {
                continue;
            };
            let new = tile::price(symbol, spec, &book.states);
            if let Some(old) = held {
                old.reasons.bits().for_each(|bit| self.reasons[bit] -= 1);
                self.ineligible -= u64::from(!old.reasons.is_empty());
                self.out_of_bounds -= u64::from(old.out_of_bounds);
            }
            new.reasons.bits().for_each(|bit| self.reasons[bit] += 1);
            self.ineligible += u64::from(!new.reasons.is_empty());
            self.out_of_bounds += u64::from(new.out_of_bounds);
            *held = Some(new);
            if let Some(dirty) = self.is_dirty.get_mut(i) {
                *dirty = false;
            }
        }
    }
}

impl Heatmap {
    /// A model that has seen nothing.
    #[must_use]
    pub fn new(parameters: Parameters) -> Heatmap {
        Heatmap { parameters, ..Heatmap::default() }
    }

    /// Moves the centre to the spot if it has left the middle of the band.
    fn follow(&mut self, market: &Market<'_>) {
        let Some(spot) = market.spot.map(|s| s.value) else { return };
        let recentre = self.parameters.recentre;
        let far = |centre: f64| (spot - centre).abs() > recentre * centre;
        if self.centre.is_none_or(far) {
            self.centre = Some(spot);
        }
    }

    /// The lattice of the moment; whether it had to be built anew.
    fn build(&mut self, market: &Market<'_>) -> bool {
        let (Some(book), Some(centre)) = (market.book, self.centre) else {
            self.built = None;
            return false;
        };
        let fits = self.built.as_ref().is_some_and(|built| {
            built.topology == book.topology.id
                && built.lattice.day == market.day
                && built.lattice.centre == centre
        });
        if !fits {
            let lattice = Lattice::new(&book.topology, market.day, centre, &self.parameters);
            self.built = Some(Built::new(book.topology.id, lattice));
        }
        !fits
    }
}

impl Model for Heatmap {
    fn family(&self) -> &'static str {
        "heatmap"
    }

    fn profile(&self) -> &'static str {
        "heatmap/mid@1"
    }

    fn scope(&self) -> Scope {
        Scope::Epoch
    }

    fn cadence_ns(&self) -> i64 {
        NANOS_PER_SECOND / 4
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        match change {
            Change::Quote(slot) => {
                self.build(market)
                    || self.built.as_mut().is_some_and(|built| built.mark_slot(*slot))
            }
            Change::Spot => {
                self.follow(market);
                self.build(market)
            }
            Change::Chain | Change::All => {
                self.follow(market);
                self.build(market);
                self.built.as_mut().is_some_and(|built| {
                    built.mark_all();
                    true
                })
            }
            // Tiles are priced from quotes only.
            _ => false,
        }
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let book = market.book?;
        if self.centre.is_none() {
            self.follow(market);
        }
        self.build(market);
        // A chain that never had a quote has nothing to say here.
        if !book.states.iter().any(|s| s.bid.is_some() || s.ask.is_some()) {
            return None;
        }
        let built = self.built.as_mut()?;
        let symbol = vendor_symbol(market.symbol);
        built.reprice(&symbol, book);
        body(&symbol, &self.parameters, built, book, market.now)
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        e.padded(self.centre, Encoder::f64);
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let centre = d.padded(Decoder::f64)?;
        d.end()?;
        if centre.is_some_and(|c| !c.is_finite() || c <= 0.0) {
            return Err(RestoreError("centre is no price".to_owned()));
        }
        // The tiles are built, all dirty, when the next change or timer comes.
        *self = Heatmap { parameters: self.parameters, centre, built: None };
        Ok(())
    }
}

#[derive(Serialize)]
struct Extent<'a> {
    centre: f64,
    #[serde(flatten)]
    parameters: &'a Parameters,
}

#[derive(Serialize)]
struct Quality {
    tiles: u64,
    eligible: u64,
    coverage: Option<f64>,
    reasons: BTreeMap<&'static str, u64>,
    out_of_bounds: u64,
    contracts: Contracts,
    stale_share: Option<f64>,
    age_ms: Ages,
}

#[derive(Serialize, Default)]
struct Contracts {
    total: u64,
    two_sided: u64,
    missing: u64,
    one_sided: u64,
    crossed: u64,
}

#[derive(Serialize)]
struct Ages {
    newest: Option<i64>,
    oldest: Option<i64>,
}

fn quality(parameters: &Parameters, built: &Built, book: &Book, now: RecvTime) -> Quality {
    let mut contracts = Contracts::default();
    let mut ages = Ages { newest: None, oldest: None };
    let (mut dated, mut stale) = (0_u64, 0_u64);
    for slot in &built.lattice.slots {
        contracts.total += 1;
        let state = book.states.get(*slot);
        match tile::quote(state) {
            Ok(_) => contracts.two_sided += 1,
            Err(Problem::Missing) => contracts.missing += 1,
            Err(Problem::OneSided) => contracts.one_sided += 1,
            Err(Problem::Crossed) => contracts.crossed += 1,
        }
        if let Some(at) = state.and_then(|s| s.quoted_at) {
            let age = now.0.saturating_sub(at.0) / 1_000_000;
            dated += 1;
            stale += u64::from(age > parameters.stale_after_s * 1_000);
            ages.newest = Some(ages.newest.map_or(age, |a| a.min(age)));
            ages.oldest = Some(ages.oldest.map_or(age, |a| a.max(age)));
        }
    }
    let tiles = built.lattice.tiles.len() as u64;
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    Quality {
        tiles,
        eligible: tiles - built.ineligible,
        coverage: share(contracts.two_sided, contracts.total),
        reasons: Reasons::NAMES
            .iter()
            .zip(built.reasons)
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (*name, count))
            .collect(),
        out_of_bounds: built.out_of_bounds,
        contracts,
        stale_share: share(stale, dated),
        age_ms: ages,
    }
}

/// The body, put together from the tiles' own text: a tile that did not change
/// is not serialised again.
fn body(
    symbol: &str,
    parameters: &Parameters,
    built: &Built,
    book: &Book,
    now: RecvTime,
) -> Option<Vec<u8>> {
    let lattice = &built.lattice;
    let extent = Extent { centre: lattice.centre, parameters };
    let dtes: Vec<i32> = lattice.dtes.keys().copied().collect();
    let text: usize = built.tiles.iter().flatten().map(|tile| tile.json.len() + 1).sum();
    let mut out = Vec::with_capacity(text + 2048);
    let field = |out: &mut Vec<u8>, name: &str, value: Option<String>| {
        out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value?.as_bytes());
        Some(())
    };
    field(&mut out, "symbol", serde_json::to_string(symbol).ok())?;
    field(&mut out, "dtes_available", serde_json::to_string(&dtes).ok())?;
    field(&mut out, "dte_tile_counts", serde_json::to_string(&lattice.dtes).ok())?;
    out.extend_from_slice(b",\"tiles\":{");
    for (i, tile) in built.tiles.iter().flatten().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(tile.json.as_bytes());
    }
    out.push(b'}');
    field(&mut out, "parameters", serde_json::to_string(&extent).ok())?;
    field(&mut out, "quality", serde_json::to_string(&quality(parameters, built, book, now)).ok())?;
    out.push(b'}');
    Some(out)
}

#[cfg(test)]
mod tests;
