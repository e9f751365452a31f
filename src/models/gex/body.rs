//! The body of a `gex` artifact: from sums to what is published.

use std::collections::BTreeMap;

use orrery_journal::event::OptionRight;
use orrery_journal::units::{RecvTime, TradingDay};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Parameters;
use super::expiry::{self, ExpiryFigures, PutCall};
use super::exposure::{Cell, Excluded, Exposures, Layout, Scales, Signed};
use super::flip::{self, Curve, FlipLeftOut, FlipParameters};
use super::levels::{self, Ranked, StrikeExposure};
use super::profile::{Definitions, FlipMethod, Position, Profile};
use crate::market::book::{Book, Market, Spot};
use crate::market::implied::NoVolatility;
use crate::market::pricing::Pricing;
use crate::market::ticker::vendor_symbol;

/// All exposures of a stretch of the book. The first three are gamma's.
#[derive(Clone, Copy, Serialize)]
struct Sums {
    call: Option<f64>,
    put: Option<f64>,
    net: Option<f64>,
    dex: Signed,
    vex: Signed,
    chex: Signed,
}

impl Sums {
    fn of(cell: &Cell, definitions: &Definitions, scales: &Scales) -> Sums {
        let Signed { call, put, net } = cell.gamma.signed(definitions, scales.gex);
        Sums {
            call,
            put,
            net,
            dex: cell.delta.signed(definitions, scales.dex),
            vex: cell.vanna.signed(definitions, scales.vex),
            chex: cell.charm.signed(definitions, scales.chex),
        }
    }
}

#[derive(Serialize)]
struct StrikeRow {
    strike: f64,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Serialize)]
struct ExpiryRow {
    expiry: String,
    dte: i32,
    #[serde(flatten)]
    sums: Option<Sums>,
    #[serde(flatten)]
    figures: ExpiryFigures,
}

/// Expiries by their distance in calendar days.
#[derive(Serialize)]
struct Bucket {
    bucket: &'static str,
    #[serde(flatten)]
    sums: Sums,
}

/// Names and highest days to expiry of the buckets.
const BUCKETS: [(&str, i32); 4] =
    [("0dte", 0), ("up_to_7d", 7), ("up_to_45d", 45), ("rest", i32::MAX)];

#[derive(Serialize)]
pub(super) struct Body<'a> {
    symbol: String,
    spot: Option<f64>,
    expirations: &'a RawValue,
    by_strike: Vec<StrikeRow>,
    by_expiry: Vec<ExpiryRow>,
    buckets: Vec<Bucket>,
    levels: Levels,
    curve: Option<CurveBody>,
    put_call: PutCall,
    definitions: &'static Definitions,
    quality: Quality,
}

#[derive(Serialize)]
struct Levels {
    net: Option<f64>,
    call_total: Option<f64>,
    put_total: Option<f64>,
    dex: Option<Signed>,
    vex: Option<Signed>,
    chex: Option<Signed>,
    call_wall: Option<f64>,
    put_wall: Option<f64>,
    call_walls: Vec<Ranked>,
    put_walls: Vec<Ranked>,
    peak: Option<f64>,
    absolute_gamma: Option<f64>,
    flip: FlipLevel,
}

#[derive(Serialize)]
struct FlipLevel {
    nearest: Option<f64>,
    crossings: Vec<f64>,
    method: FlipMethod,
    /// Whether the definition is known to depend on the chain's reach.
    degenerate: bool,
    absent: Option<&'static str>,
}

#[derive(Serialize)]
struct CurveBody {
    from: f64,
    to: f64,
    net: Vec<f64>,
    centre: f64,
    at: String,
    contracts: u64,
    left_out: FlipLeftOut,
    parameters: FlipParameters,
    pricing: Pricing,
}

/// Share of the contracts that should count which do, by exposure.
#[derive(Serialize)]
struct Coverage {
    gex: Option<f64>,
    dex: Option<f64>,
    vex: Option<f64>,
    chex: Option<f64>,
}

#[derive(Serialize)]
struct Quality {
    as_of: String,
    contracts: u64,
    counted: u64,
    coverage: Option<f64>,
    coverages: Coverage,
    own_greeks: u64,
    zero_gamma: u64,
    excluded: Excluded,
    unpriced: BTreeMap<NoVolatility, u64>,
    stale_share: Option<f64>,
    stale_after_s: i64,
    chain_age_ms: Option<i64>,
    spot_age_ms: Option<i64>,
    /// What stands behind the positions, where they are those of the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<FlowQuality>,
    absent: Vec<&'static str>,
}

/// How much of the session's regular trades in living contracts was signed.
#[derive(Serialize)]
struct FlowQuality {
    contracts: f64,
    signed: f64,
    coverage: Option<f64>,
}

/// What a body is made of.
pub(super) struct Parts<'a> {
    pub market: &'a Market<'a>,
    pub book: &'a Book,
    pub layout: &'a Layout,
    pub parameters: &'a Parameters,
    pub profile: &'static Profile,
    pub sums: &'a Exposures,
    pub curve: Option<&'a Curve>,
    pub as_of: RecvTime,
    pub chain_at: Option<RecvTime>,
}

/// Strikes that count, ascending, with what ranks them; none without a spot.
pub(super) fn strike_exposures(parts: &Parts<'_>) -> Vec<StrikeExposure> {
    let Some(spot) = parts.market.spot else { return Vec::new() };
    let definitions = &parts.profile.definitions;
    let scale = Scales::new(definitions.unit, spot.value).gex;
    let strikes = parts.layout.strikes.iter().zip(&parts.sums.strikes);
    strikes
        .filter(|(_, cell)| !cell.is_empty())
        .map(|(strike, cell)| StrikeExposure {
            strike: strike.to_f64(),
            gex: cell.gamma.signed(definitions, scale),
            contracts: cell.contracts,
        })
        .collect()
}

pub(super) fn body<'a>(parts: &Parts<'a>, expirations: &'a RawValue) -> Body<'a> {
    let Parts { market, layout, sums, profile, .. } = *parts;
    let definitions = &profile.definitions;
    let spot = market.spot.map(|s| s.value);
    let scales = spot.map(|spot| Scales::new(definitions.unit, spot));
    let ranked = strike_exposures(parts);
    let counting = layout.strikes.iter().zip(&sums.strikes).filter(|(_, cell)| !cell.is_empty());
    let by_strike = scales.map_or_else(Vec::new, |scales| {
        let row = |(strike, cell): (&orrery_journal::units::Price, &Cell)| StrikeRow {
            strike: strike.to_f64(),
            sums: Sums::of(cell, definitions, &scales),
        };
        counting.map(row).collect()
    });
    let totals = totals(layout, sums);
    let all = scales
        .filter(|_| sums.counted > 0)
        .map(|scales| Sums::of(&Cell::total(sums.strikes.iter()), definitions, &scales));
    let walls =
        |right| spot.map_or_else(Vec::new, |spot| levels::walls(&ranked, spot, right, definitions));
    let (call_walls, put_walls) = (walls(OptionRight::Call), walls(OptionRight::Put));
    Body {
        symbol: vendor_symbol(market.symbol),
        spot,
        expirations,
        by_strike,
        by_expiry: by_expiry(parts, &totals, scales.as_ref()),
        buckets: scales.map_or_else(Vec::new, |s| buckets(parts, &totals, &s)),
        levels: Levels {
            net: all.and_then(|t| t.net),
            call_total: all.and_then(|t| t.call),
            put_total: all.and_then(|t| t.put),
            dex: all.map(|t| t.dex),
            vex: all.map(|t| t.vex),
            chex: all.map(|t| t.chex),
            call_wall: call_walls.first().map(|w| w.strike),
            put_wall: put_walls.first().map(|w| w.strike),
            call_walls,
            put_walls,
            peak: spot.and_then(|spot| levels::peak(&ranked, spot)),
            absolute_gamma: spot.and_then(|spot| levels::absolute_gamma(&ranked, spot)),
            flip: flip_level(parts, &ranked),
        },
        curve: parts.curve.map(|curve| curve_body(curve, parts)),
        put_call: expiry::put_call(parts.book, parts.as_of),
        definitions,
        quality: quality(parts),
    }
}

/// Each expiry's total; of those of which a contract counts.
fn totals(layout: &Layout, sums: &Exposures) -> BTreeMap<TradingDay, Cell> {
    let cells: Vec<(TradingDay, &Cell)> = layout
        .names()
        .zip(&sums.cells)
        .filter(|(_, cell)| !cell.is_empty())
        .map(|((expiry, _), cell)| (expiry, cell))
        .collect();
    let expiries = cells.chunk_by(|(a, _), (b, _)| a == b);
    let total = |cells: &[(TradingDay, &Cell)]| {
        let (expiry, _) = cells.first()?;
        Some((*expiry, Cell::total(cells.iter().map(|(_, cell)| *cell))))
    };
    expiries.filter_map(total).collect()
}

fn by_expiry(
    parts: &Parts<'_>,
    totals: &BTreeMap<TradingDay, Cell>,
    scales: Option<&Scales>,
) -> Vec<ExpiryRow> {
    let spot = parts.market.spot.map(|s| s.value);
    let pricing = &parts.parameters.pricing;
    expiry::by_expiry(parts.book, parts.as_of, spot, pricing)
        .into_iter()
        .map(|(expiry, figures)| {
            let total = totals.get(&expiry).zip(scales);
            let sums = total.map(|(cell, s)| Sums::of(cell, &parts.profile.definitions, s));
            ExpiryRow {
                expiry: expiry.to_string(),
                dte: parts.book.topology.dte(expiry, parts.market.day),
                sums,
                figures,
            }
        })
        .collect()
}

fn buckets(parts: &Parts<'_>, totals: &BTreeMap<TradingDay, Cell>, scales: &Scales) -> Vec<Bucket> {
    let mut above = i32::MIN;
    BUCKETS
        .into_iter()
        .map(|(bucket, most)| {
            let within = |expiry: TradingDay| {
                let days = parts.book.topology.dte(expiry, parts.market.day);
                above < days && days <= most
            };
            let cells = totals.iter().filter(|(expiry, _)| within(**expiry)).map(|(_, c)| c);
            let sums = Sums::of(&Cell::total(cells), &parts.profile.definitions, scales);
            above = most;
            Bucket { bucket, sums }
        })
        .collect()
}

fn flip_level(parts: &Parts<'_>, strikes: &[StrikeExposure]) -> FlipLevel {
    let method = parts.profile.definitions.flip;
    let parameters = &parts.parameters.flip;
    let crossings = match (method, parts.curve) {
        (FlipMethod::RepricedBook, Some(curve)) => {
            flip::crossings(&curve.points(parameters).collect::<Vec<_>>())
        }
        (FlipMethod::RepricedBook, None) => Vec::new(),
        (FlipMethod::AdjacentStrikes, _) => flip::adjacent(strikes),
        (FlipMethod::CumulativeStrikes, _) => flip::cumulative(strikes),
    };
    let spot = parts.market.spot.map(|s| s.value);
    let nearest = spot.and_then(|spot| flip::nearest(&crossings, spot));
    let unpriced =
        method == FlipMethod::RepricedBook && parts.curve.is_some_and(|curve| curve.contracts == 0);
    FlipLevel {
        nearest,
        crossings,
        method,
        degenerate: method == FlipMethod::CumulativeStrikes,
        absent: match nearest {
            Some(_) => None,
            None if spot.is_none() => Some("no_spot"),
            None if unpriced => Some("no_implied_volatility"),
            None => Some("no_crossing"),
        },
    }
}

fn curve_body(curve: &Curve, parts: &Parts<'_>) -> CurveBody {
    let parameters = parts.parameters.flip;
    let spots: Vec<f64> = curve.points(&parameters).map(|(spot, _)| spot).collect();
    CurveBody {
        from: spots.first().copied().unwrap_or(curve.centre),
        to: spots.last().copied().unwrap_or(curve.centre),
        net: curve.net.clone(),
        centre: curve.centre,
        at: curve.at.to_rfc3339(),
        contracts: curve.contracts,
        left_out: flip::left_out(curve, &parts.sums.excluded),
        parameters,
        pricing: parts.parameters.pricing,
    }
}

fn quality(parts: &Parts<'_>) -> Quality {
    let Parts { market, sums, parameters, .. } = *parts;
    let age = |at: RecvTime| market.now.0.saturating_sub(at.0) / 1_000_000;
    let chain_age_ms = parts.chain_at.map(age);
    let coverage = sums.coverage();
    let share = |n: u64| {
        coverage.filter(|_| sums.counted > 0).map(|all| all * n as f64 / sums.counted as f64)
    };
    Quality {
        as_of: parts.as_of.to_rfc3339(),
        contracts: parts.book.topology.contracts.len() as u64,
        counted: sums.counted,
        coverage,
        coverages: Coverage {
            gex: coverage,
            dex: share(sums.with_delta),
            vex: share(sums.with_volatility),
            chex: share(sums.with_volatility),
        },
        own_greeks: sums.ours,
        zero_gamma: sums.zero_gamma,
        excluded: sums.excluded,
        unpriced: sums.unpriced.clone(),
        stale_share: chain_age_ms
            .map(|age| f64::from(u8::from(age > parameters.stale_after_s * 1_000))),
        stale_after_s: parameters.stale_after_s,
        chain_age_ms,
        spot_age_ms: market.spot.map(|s| age(s.at)),
        flow: flow_quality(parts),
        absent: absent(market.spot, sums),
    }
}

fn flow_quality(parts: &Parts<'_>) -> Option<FlowQuality> {
    if parts.profile.definitions.position != Position::Flow {
        return None;
    }
    let book = parts.book;
    let slots = book.topology.contracts.iter().zip(&book.states);
    let living = slots.filter(|(contract, _)| contract.settles_at >= parts.as_of);
    let (mut contracts, mut signed) = (0.0, 0.0);
    for session in living.filter_map(|(_, state)| state.inventory) {
        let known = session.bought as f64 + session.sold as f64;
        signed += known;
        contracts += known + session.unknown as f64;
    }
    let coverage = (contracts > 0.0).then(|| signed / contracts);
    Some(FlowQuality { contracts, signed, coverage })
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
