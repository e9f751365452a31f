//! The body, put together from the tiles' own text: a tile that did not change
//! is not serialised again.

use std::collections::BTreeMap;

use orrery_journal::units::RecvTime;
use serde::Serialize;

use super::built::Built;
use super::forward;
use super::parameters::{Parameters, Pricing};
use super::profile::Definitions;
use super::reasons::{Problem, Reasons, quote};
use super::theory::Moment;
use crate::market::book::Book;

/// Where a body comes from.
pub(super) struct Parts<'a> {
    pub symbol: &'a str,
    pub parameters: &'a Parameters,
    pub pricing: &'a Pricing,
    pub definitions: &'a Definitions,
    pub moment: Moment,
    pub built: &'a Built,
    pub book: &'a Book,
    pub now: RecvTime,
}

#[derive(Serialize)]
struct Extent {
    centre: f64,
    dte_max: i32,
    strikes_each_side: usize,
    recentre: f64,
    stale_after_s: i64,
}

/// What time, discounts and theory rest on.
#[derive(Serialize)]
struct Priced<'a> {
    at: String,
    spot: Option<f64>,
    #[serde(flatten)]
    pricing: &'a Pricing,
}

#[derive(Serialize)]
struct Expiry<'a> {
    expiry: String,
    dte: i32,
    root: &'a str,
    plain_key: bool,
    settles_at: String,
    years: Option<f64>,
    discount: Option<f64>,
    parity: forward::Parity,
}

#[derive(Serialize)]
struct Quality {
    tiles: u64,
    eligible: u64,
    coverage: Option<f64>,
    reasons: BTreeMap<&'static str, u64>,
    out_of_bounds: u64,
    parity: Parity,
    contracts: Contracts,
    stale_share: Option<f64>,
    age_ms: Ages,
}

/// Butterflies whose call and put side are both priced, and how far apart.
#[derive(Serialize, Default)]
struct Parity {
    pairs: u64,
    gap_mean: Option<f64>,
    gap_max: Option<f64>,
    beyond_spread: u64,
}

#[derive(Serialize, Default)]
struct Contracts {
    total: u64,
    two_sided: u64,
    missing: u64,
    one_sided: u64,
    crossed: u64,
    expired: u64,
}

#[derive(Serialize)]
struct Ages {
    newest: Option<i64>,
    oldest: Option<i64>,
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn quality(parts: &Parts<'_>) -> Quality {
    let Parts { built, book, now, parameters, .. } = parts;
    let mut contracts = Contracts::default();
    let mut ages = Ages { newest: None, oldest: None };
    let (mut dated, mut stale) = (0_u64, 0_u64);
    for slot in &built.lattice.slots {
        contracts.total += 1;
        let group = built.lattice.group_of_slot.get(*slot).map(|group| *group as usize);
        let clock = group.and_then(|group| built.clocks.get(group));
        if clock.is_some_and(|clock| clock.years.is_none()) {
            contracts.expired += 1;
            continue;
        }
        let state = book.states.get(*slot);
        match quote(state) {
            Ok(_) => contracts.two_sided += 1,
            Err(Problem::OneSided) => contracts.one_sided += 1,
            Err(Problem::Crossed) => contracts.crossed += 1,
            Err(Problem::Missing | Problem::NoVolatility) => contracts.missing += 1,
        }
        if let Some(at) = state.and_then(|s| s.quoted_at) {
            let age = now.0.saturating_sub(at.0) / 1_000_000;
            dated += 1;
            stale += u64::from(age > parameters.stale_after_s.saturating_mul(1_000));
            ages.newest = Some(ages.newest.map_or(age, |a| a.min(age)));
            ages.oldest = Some(ages.oldest.map_or(age, |a| a.max(age)));
        }
    }
    let tiles = built.lattice.tiles.len() as u64;
    let reasons = Reasons::NAMES.iter().zip(built.reasons).filter(|(_, count)| *count > 0);
    Quality {
        tiles,
        eligible: tiles - built.ineligible,
        coverage: share(contracts.two_sided, contracts.total - contracts.expired),
        reasons: reasons.map(|(name, count)| (*name, count)).collect(),
        out_of_bounds: built.out_of_bounds,
        parity: parity(built),
        contracts,
        stale_share: share(stale, dated),
        age_ms: ages,
    }
}

/// Summed over tiles in their order, so that the bits do not depend on which
/// of them were priced when.
fn parity(built: &Built) -> Parity {
    let mut parity = Parity::default();
    let (mut sum, mut most) = (0.0, 0.0_f64);
    for tile in built.tiles.iter().flatten() {
        let Some(gap) = tile.parity_gap.map(f64::abs) else { continue };
        parity.pairs += 1;
        parity.beyond_spread += u64::from(tile.beyond_spread);
        sum += gap;
        most = most.max(gap);
    }
    if parity.pairs > 0 {
        parity.gap_mean = Some(sum / parity.pairs as f64);
        parity.gap_max = Some(most);
    }
    parity
}

fn expiries<'a>(built: &'a Built, book: &Book) -> Vec<Expiry<'a>> {
    let groups = built.lattice.groups.iter().zip(&built.clocks);
    groups
        .zip(forward::parities(built, book))
        .map(|((group, clock), parity)| Expiry {
            expiry: group.expiry.to_string(),
            dte: group.dte,
            root: &group.root,
            plain_key: group.plain,
            settles_at: group.settles_at.to_rfc3339(),
            years: clock.years,
            discount: clock.years.map(|_| clock.discount),
            parity,
        })
        .collect()
}

/// The body of the moment.
pub(super) fn body(parts: &Parts<'_>) -> Option<Vec<u8>> {
    let Parts { built, parameters, .. } = parts;
    let lattice = &built.lattice;
    let extent = Extent {
        centre: lattice.centre,
        dte_max: parameters.dte_max,
        strikes_each_side: parameters.strikes_each_side,
        recentre: parameters.recentre,
        stale_after_s: parameters.stale_after_s,
    };
    let moment = parts.moment;
    let priced = Priced { at: moment.at.to_rfc3339(), spot: moment.spot, pricing: parts.pricing };
    let dtes: Vec<i32> = lattice.dtes.keys().copied().collect();
    let text: usize = built.tiles.iter().flatten().map(|tile| tile.text.len() + 1).sum();
    let mut out = Vec::with_capacity(text + 4096);
    field(&mut out, "symbol", &parts.symbol)?;
    field(&mut out, "dtes_available", &dtes)?;
    field(&mut out, "dte_tile_counts", &lattice.dtes)?;
    out.extend_from_slice(b",\"tiles\":{");
    for (i, tile) in built.tiles.iter().flatten().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&tile.text);
    }
    out.push(b'}');
    field(&mut out, "expiries", &expiries(built, parts.book))?;
    field(&mut out, "definitions", parts.definitions)?;
    field(&mut out, "priced", &priced)?;
    field(&mut out, "parameters", &extent)?;
    field(&mut out, "quality", &quality(parts))?;
    out.push(b'}');
    Some(out)
}

fn field(out: &mut Vec<u8>, name: &str, value: &impl Serialize) -> Option<()> {
    out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    serde_json::to_writer(&mut *out, value).ok()
}
