//! `gex`: gamma exposure by strike and expiry, and the levels in it.
//!
//! Profile `gex/naive-oi@1`: dealers are taken to be long every call and short
//! every put that is open (naive sign, open interest), gamma is the vendor's,
//! and the unit is dollars of delta-notional per 1 % move of the underlying:
//! sign x gamma x open interest x multiplier x S^2 x 0.01. `expirations` holds
//! gamma x open interest x multiplier instead, unsigned and without the spot,
//! as existing clients read it.
//!
//! A body describes the market as of the last change that the model took
//! (`as_of`), not as of the timer that asked for it: a chain captured at the
//! instant of settlement is still the chain of contracts that live. The model
//! owns the repriced curve's crossings and nothing else; everything besides is
//! read from the book when a body is due.

pub mod exposure;
pub mod flip;
pub mod levels;

use orrery_journal::units::{NANOS_PER_SECOND, Price, RecvTime, TradingDay};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::ser::{Serialize, SerializeMap, Serializer};

use self::exposure::{Cell, Excluded, Exposures, Layout, exposures};
use self::flip::{Flip, FlipLeftOut, FlipParameters, flip, left_out};
use self::levels::{StrikeExposure, call_wall, peak, put_wall};
use super::{Change, Model, Scope, finite};
use crate::market::book::{Book, Market, Spot};
use crate::market::ticker::vendor_symbol;

const STATE_VERSION: u8 = 1;

/// Parameters of the profile; they stand in every body.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Where and how finely the book is repriced.
    pub flip: FlipParameters,
    /// A chain older than this makes every exposure stale, seconds.
    /// Default: 900.
    pub stale_after_s: i64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters { flip: FlipParameters::default(), stale_after_s: 900 }
    }
}

/// The model.
#[derive(Clone, Debug, Default)]
pub struct Gex {
    parameters: Parameters,
    as_of: Option<RecvTime>,
    chain_at: Option<RecvTime>,
    flip: Option<Flip>,
    /// Follows from the topology; not part of the saved state.
    layout: Option<Layout>,
}

impl Gex {
    /// A model that has seen nothing.
    #[must_use]
    pub fn new(parameters: Parameters) -> Gex {
        Gex { parameters, ..Gex::default() }
    }

    /// The repriced curve's crossings, priced again when they are due.
    fn flip_at(&mut self, book: &Book, as_of: RecvTime, spot: f64) -> &Flip {
        let parameters = &self.parameters.flip;
        let held = self.flip.take().filter(|held| !held.is_stale(as_of, spot, parameters));
        self.flip.insert(held.unwrap_or_else(|| flip(book, as_of, spot, parameters)))
    }
}

impl Model for Gex {
    fn family(&self) -> &'static str {
        "gex"
    }

    fn profile(&self) -> &'static str {
        "gex/naive-oi@1"
    }

    fn scope(&self) -> Scope {
        Scope::Epoch
    }

    fn cadence_ns(&self) -> i64 {
        2 * NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        match change {
            Change::Chain => {
                self.as_of = Some(market.now);
                self.chain_at = Some(market.now);
                self.flip = None;
                true
            }
            Change::Spot => {
                self.as_of = Some(market.now);
                true
            }
            Change::All => {
                // Nothing new was seen, so the moment of the body stays.
                self.as_of = self.as_of.or(Some(market.now));
                self.flip = None;
                true
            }
            // The exposures are the vendor's, which only a chain brings.
            _ => false,
        }
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let book = market.book?;
        let as_of = self.as_of?;
        // A chain that never had both of these has nothing to say here.
        if !book.states.iter().any(|s| s.gamma.is_some() && s.open_interest.is_some()) {
            return None;
        }
        let held = self.layout.take().filter(|layout| layout.fits(&book.topology));
        let layout = held.unwrap_or_else(|| Layout::new(&book.topology));
        let sums = exposures(book, &layout, as_of);
        let (parameters, chain_at) = (self.parameters, self.chain_at);
        let flip = market.spot.map(|spot| self.flip_at(book, as_of, spot.value));
        let body = body(market, &layout, &parameters, &sums, flip, (as_of, chain_at));
        let bytes = serde_json::to_vec(&body).ok();
        self.layout = Some(layout);
        bytes
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        e.padded(self.as_of, Encoder::recv);
        e.padded(self.chain_at, Encoder::recv);
        e.option(self.flip.as_ref(), |e, flip| {
            e.recv(flip.at);
            e.f64(flip.centre);
            e.u64(flip.contracts);
            e.u64(flip.missing_iv);
            e.u64(flip.capped_iv);
            e.count(flip.crossings.len());
            flip.crossings.iter().for_each(|c| e.f64(*c));
        });
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let as_of = d.padded(Decoder::recv)?;
        let chain_at = d.padded(Decoder::recv)?;
        let flip = d.option(|d| {
            Ok(Flip {
                at: d.recv()?,
                centre: d.f64()?,
                contracts: d.u64()?,
                missing_iv: d.u64()?,
                capped_iv: d.u64()?,
                crossings: d.list(Decoder::f64)?,
            })
        })?;
        d.end()?;
        *self = Gex { parameters: self.parameters, as_of, chain_at, flip, layout: None };
        Ok(())
    }
}

/// A map by strike, ascending by number.
struct ByStrike<'a>(Vec<(&'a str, f64)>);

impl Serialize for ByStrike<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (strike, value) in &self.0 {
            map.serialize_entry(strike, value)?;
        }
        map.end()
    }
}

/// A map by expiry, ascending: clients take the first as today's.
struct ByExpiry<'a>(Vec<(TradingDay, Expiration<'a>)>);

impl Serialize for ByExpiry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (expiry, value) in &self.0 {
            map.serialize_entry(&expiry.to_string(), value)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Expiration<'a> {
    calls: ByStrike<'a>,
    puts: ByStrike<'a>,
}

#[derive(serde::Serialize)]
struct ExpiryExposure {
    expiry: String,
    dte: i32,
    call: Option<f64>,
    put: Option<f64>,
    net: f64,
}

#[derive(serde::Serialize)]
struct Body<'a> {
    symbol: String,
    spot: Option<f64>,
    expirations: ByExpiry<'a>,
    by_strike: Vec<StrikeExposure>,
    by_expiry: Vec<ExpiryExposure>,
    levels: Levels,
    definitions: Definitions,
    quality: Quality,
}

#[derive(serde::Serialize)]
struct Levels {
    net: Option<f64>,
    call_total: Option<f64>,
    put_total: Option<f64>,
    call_wall: Option<f64>,
    put_wall: Option<f64>,
    peak: Option<f64>,
    flip: FlipLevel,
}

#[derive(serde::Serialize)]
struct FlipLevel {
    nearest: Option<f64>,
    crossings: Vec<f64>,
    method: &'static str,
    iv_source: &'static str,
    absent: Option<&'static str>,
    centre: Option<f64>,
    at: Option<String>,
    contracts: Option<u64>,
    left_out: Option<FlipLeftOut>,
    parameters: FlipParameters,
}

#[derive(serde::Serialize)]
struct Definitions {
    sign: &'static str,
    position: &'static str,
    unit: &'static str,
    greeks: &'static str,
    wall: &'static str,
    peak: &'static str,
}

const DEFINITIONS: Definitions = Definitions {
    sign: "naive: calls plus, puts minus",
    position: "open interest",
    unit: "currency of delta-notional per 1 % move",
    greeks: "vendor",
    wall: "by side beyond spot",
    peak: "largest |call + put|",
};

#[derive(serde::Serialize)]
struct Quality {
    as_of: String,
    contracts: u64,
    counted: u64,
    coverage: Option<f64>,
    zero_gamma: u64,
    excluded: Excluded,
    stale_share: Option<f64>,
    stale_after_s: i64,
    chain_age_ms: Option<i64>,
    spot_age_ms: Option<i64>,
    absent: Vec<&'static str>,
}

fn body<'a>(
    market: &Market<'_>,
    layout: &'a Layout,
    parameters: &Parameters,
    sums: &Exposures,
    flip: Option<&Flip>,
    (as_of, chain_at): (RecvTime, Option<RecvTime>),
) -> Body<'a> {
    let spot = market.spot.map(|s| s.value);
    let dollars = spot.map(|s| s * s * 0.01);
    let strikes = layout.strikes.iter().zip(&sums.strikes).filter(|(_, cell)| !cell.is_empty());
    let by_strike: Vec<StrikeExposure> = dollars
        .map(|dollars| {
            let row = |(strike, cell): (&Price, &Cell)| {
                let (call, put, net) = signed(cell, dollars);
                StrikeExposure { strike: strike.to_f64(), call, put, net }
            };
            strikes.map(row).collect()
        })
        .unwrap_or_default();
    let mut by_expiry = Vec::new();
    let mut expirations = Vec::new();
    let cells: Vec<CellAt<'_, '_>> =
        layout.names().zip(&sums.cells).filter(|(_, cell)| !cell.is_empty()).collect();
    for cells in cells.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
        let Some(&((expiry, _), _)) = cells.first() else { continue };
        expirations.push((expiry, expiration(cells)));
        if let Some(dollars) = dollars {
            let (call, put, net) = signed(&total(cells.iter().map(|(_, cell)| *cell)), dollars);
            let dte = expiry.0 - market.day.0;
            by_expiry.push(ExpiryExposure { expiry: expiry.to_string(), dte, call, put, net });
        }
    }
    let all = total(sums.strikes.iter());
    let totals = dollars.filter(|_| sums.counted > 0).map(|dollars| signed(&all, dollars));
    let level =
        |of: fn(&[StrikeExposure], f64) -> Option<f64>| spot.and_then(|s| of(&by_strike, s));
    let age = |at: RecvTime| market.now.0.saturating_sub(at.0) / 1_000_000;
    let chain_age_ms = chain_at.map(age);
    Body {
        symbol: vendor_symbol(market.symbol),
        spot,
        levels: Levels {
            net: totals.and_then(|t| finite(t.2)),
            call_total: totals.and_then(|t| t.0),
            put_total: totals.and_then(|t| t.1),
            call_wall: level(call_wall),
            put_wall: level(put_wall),
            peak: level(peak),
            flip: flip_level(&parameters.flip, flip, spot, &sums.excluded),
        },
        expirations: ByExpiry(expirations),
        by_strike,
        by_expiry,
        definitions: DEFINITIONS,
        quality: Quality {
            as_of: as_of.to_rfc3339(),
            contracts: market.book.map_or(0, |book| book.topology.contracts.len()) as u64,
            counted: sums.counted,
            coverage: sums.coverage(),
            zero_gamma: sums.zero_gamma,
            excluded: sums.excluded,
            stale_share: chain_age_ms
                .map(|age| f64::from(u8::from(age > parameters.stale_after_s * 1_000))),
            stale_after_s: parameters.stale_after_s,
            chain_age_ms,
            spot_age_ms: market.spot.map(|s| age(s.at)),
            absent: absent(market.spot, sums),
        },
    }
}

/// Why levels are missing, when they are.
fn absent(spot: Option<Spot>, sums: &Exposures) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if spot.is_none() {
        reasons.push("no_spot");
    }
    if sums.counted == 0 {
        reasons.push("no_counted_contract");
    } else if sums.counted == sums.zero_gamma {
        reasons.push("all_gammas_zero");
    }
    reasons
}

fn flip_level(
    parameters: &FlipParameters,
    flip: Option<&Flip>,
    spot: Option<f64>,
    excluded: &Excluded,
) -> FlipLevel {
    let nearest = flip.zip(spot).and_then(|(flip, spot)| flip.nearest(spot));
    FlipLevel {
        nearest,
        crossings: flip.map(|f| f.crossings.clone()).unwrap_or_default(),
        method: "repriced_book",
        iv_source: "vendor",
        absent: match flip {
            _ if nearest.is_some() => None,
            None => Some("no_spot"),
            Some(flip) if flip.contracts == 0 => Some("no_implied_volatility"),
            Some(_) => Some("no_crossing"),
        },
        centre: flip.map(|f| f.centre),
        at: flip.map(|f| f.at.to_rfc3339()),
        contracts: flip.map(|f| f.contracts),
        left_out: flip.map(|f| left_out(f, excluded)),
        parameters: *parameters,
    }
}

/// A cell with its expiry and the key of its strike.
type CellAt<'a, 'b> = ((TradingDay, &'a str), &'b Cell);

fn expiration<'a>(cells: &[CellAt<'a, '_>]) -> Expiration<'a> {
    let side = |of: fn(&Cell) -> Option<f64>| {
        let entry = |((_, key), cell): &CellAt<'a, '_>| Some((*key, of(cell)?));
        ByStrike(cells.iter().filter_map(entry).collect())
    };
    Expiration { calls: side(|c| c.call), puts: side(|c| c.put) }
}

fn total<'a>(cells: impl Iterator<Item = &'a Cell>) -> Cell {
    cells.fold(Cell::default(), |mut sum, cell| {
        sum.add_cell(cell);
        sum
    })
}

/// Calls, puts (negative) and net of a cell in dollars per 1 % move.
fn signed(cell: &Cell, dollars: f64) -> (Option<f64>, Option<f64>, f64) {
    let call = cell.call.map(|c| c * dollars);
    // 0 - x, so that a put side of zero is 0.0 and not -0.0.
    let put = cell.put.map(|p| 0.0 - p * dollars);
    (call, put, call.unwrap_or(0.0) + put.unwrap_or(0.0))
}

#[cfg(test)]
mod tests;
