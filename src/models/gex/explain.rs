//! Which contracts make a level, and with what share.
//!
//! Nothing is remembered for this: the same book, moment and profile that gave
//! the level are asked again, contract by contract.

use orrery_journal::event::OptionRight;
use orrery_journal::units::TradingDay;
use serde::{Serialize, Serializer};

use super::Parameters;
use super::body::{Parts, strike_exposures};
use super::exposure::{Layout, Scales, exposures};
use super::flip::{self, curve};
use super::held::{Verdict, View};
use super::levels;
use super::profile::{Chosen, FlipMethod, Wall};

use crate::market::book::{Contract, ContractState, Market};
use crate::models::Part;

/// A level that can be explained.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The call wall.
    CallWall,
    /// The put wall.
    PutWall,
    /// The strike with the largest net exposure.
    Peak,
    /// The strike with the largest sum of both sides.
    AbsoluteGamma,
    /// The flip nearest to the spot: exposures of all contracts there.
    Flip,
    /// Net exposure of the whole book.
    Net,
}

impl Level {
    /// All of them, by their names in bodies.
    pub const ALL: [(&'static str, Level); 6] = [
        ("call_wall", Level::CallWall),
        ("put_wall", Level::PutWall),
        ("peak", Level::Peak),
        ("absolute_gamma", Level::AbsoluteGamma),
        ("flip", Level::Flip),
        ("net", Level::Net),
    ];

    /// The level of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Level> {
        Level::ALL.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
    }
}

/// One contract's part in a level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The contract.
    pub ticker: Box<str>,
    /// Expiration date.
    #[serde(serialize_with = "as_text")]
    pub expiry: TradingDay,
    /// Strike.
    pub strike: f64,
    /// What it adds: exposure in the profile's unit, signed, or contracts.
    pub value: f64,
    /// Its size in the sum of all sizes.
    pub share: f64,
}

fn as_text<S: Serializer>(day: &TradingDay, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(day)
}

/// A level with the contracts that make it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// Profile that defines it.
    pub profile: &'static str,
    /// Where it lies; for `net` its size. `None` when there is no such level.
    pub level: Option<f64>,
    /// Sum of what the contracts add.
    pub value: f64,
    /// All contracts that add anything, the largest first.
    pub contracts: Vec<Share>,
}

/// Asks for the contracts behind a level; `None` without a chain.
#[must_use]
pub fn explain(
    market: &Market<'_>,
    parameters: &Parameters,
    profile: Chosen,
    level: Level,
) -> Option<Explained> {
    let book = market.book?;
    let profile = profile.get();
    let definitions = &profile.definitions;
    let spot = market.spot.map(|s| s.value);
    let view = View { definitions, pricing: &parameters.pricing, as_of: market.now, spot };
    let layout = Layout::new(&book.topology);
    let sums = exposures(book, &layout, &view, market.day);
    let curve = spot.map(|spot| curve(book, &view, spot, market.day, &parameters.flip));
    let parts = Parts {
        market,
        book,
        layout: &layout,
        parameters,
        profile,
        sums: &sums,
        curve: curve.as_ref(),
        as_of: market.now,
        chain_at: None,
    };
    let strikes = strike_exposures(&parts);
    let wall =
        |right| levels::walls(&strikes, spot?, right, definitions).first().map(|wall| wall.strike);
    let flip = || {
        let crossings = match definitions.flip {
            FlipMethod::RepricedBook => {
                let points = curve.as_ref()?.points(&parameters.flip);
                flip::crossings(&points.collect::<Vec<_>>())
            }
            FlipMethod::AdjacentStrikes => flip::adjacent(&strikes),
            FlipMethod::CumulativeStrikes => flip::cumulative(&strikes),
        };
        flip::nearest(&crossings, spot?)
    };
    let (at, side) = match level {
        Level::CallWall => (wall(OptionRight::Call), Some(OptionRight::Call)),
        Level::PutWall => (wall(OptionRight::Put), Some(OptionRight::Put)),
        Level::Peak => (spot.and_then(|s| levels::peak(&strikes, s)), None),
        Level::AbsoluteGamma => (spot.and_then(|s| levels::absolute_gamma(&strikes, s)), None),
        Level::Flip => (flip(), None),
        Level::Net => (None, None),
    };
    // A wall by net exposure is made by both sides of its strike.
    let side = side.filter(|_| definitions.wall != Wall::NetBeyondSpot);
    let by_contracts = side.is_some() && definitions.wall == Wall::OpenInterest;
    let repriced = level == Level::Flip && definitions.flip == FlipMethod::RepricedBook;
    let mut found = Vec::new();
    for (contract, state) in book.topology.contracts.iter().zip(&book.states) {
        let here = match level {
            Level::Flip | Level::Net => true,
            _ => at == Some(contract.strike.to_f64()),
        };
        if !here || side.is_some_and(|side| side != contract.right) {
            continue;
        }
        let days = contract.dte(market.day);
        let value = match (repriced, at) {
            (true, Some(flip)) => at_spot(&view, contract, state, days, flip),
            _ => stands_for(&view, contract, state, days, by_contracts),
        };
        if let Some(value) = value.filter(|v| *v != 0.0) {
            found.push((contract, value));
        }
    }
    let value: f64 = found.iter().map(|(_, v)| v).sum();
    let size: f64 = found.iter().map(|(_, v)| v.abs()).sum();
    // Stable: equal sizes stay in the order of the topology.
    found.sort_by(|(_, a), (_, b)| b.abs().total_cmp(&a.abs()));
    let share = |(contract, value): (&Contract, f64)| Share {
        ticker: contract.ticker.clone(),
        expiry: contract.expiry,
        strike: contract.strike.to_f64(),
        value,
        share: value.abs() / size,
    };
    Some(Explained {
        profile: profile.name,
        level: if level == Level::Net { spot.map(|_| value) } else { at },
        value,
        contracts: found.into_iter().map(share).collect(),
    })
}

/// Contracts behind a cell of a body: those of the level, strike or expiry that
/// the cell is about, of one side where it names one. `None` where it is about
/// none, or there is no chain.
#[must_use]
pub fn behind(
    market: &Market<'_>,
    parameters: &Parameters,
    profile: Chosen,
    path: &str,
) -> Option<Vec<Part>> {
    let words: Vec<&str> = path.split('/').skip(1).collect();
    let level = match words.as_slice() {
        ["levels", "flip", ..] => Some(Level::Flip),
        ["levels", name] => Level::named(name),
        _ => None,
    };
    if let Some(level) = level {
        let found = explain(market, parameters, profile, level)?;
        let part = |share: Share| Part {
            ticker: share.ticker,
            expiry: share.expiry.to_string(),
            strike: share.strike,
            value: Some(share.value),
        };
        return Some(found.contracts.into_iter().map(part).collect());
    }
    let (mut strike, mut expiry, mut side) = (None, None, None);
    match words.as_slice() {
        ["levels", "call_walls", at, ..] => (strike, side) = (Some(*at), Some("call")),
        ["levels", "put_walls", at, ..] => (strike, side) = (Some(*at), Some("put")),
        ["levels", "call_total"] => side = Some("call"),
        ["levels", "put_total"] => side = Some("put"),
        ["by_strike", at, what] => (strike, side) = (Some(*at), Some(*what)),
        ["by_strike", at, ..] => strike = Some(*at),
        ["by_expiry", on, what] => (expiry, side) = (Some(*on), Some(*what)),
        ["by_expiry", on, ..] => expiry = Some(*on),
        ["expirations", on, what, at] => {
            (expiry, strike, side) = (Some(*on), Some(*at), Some(what.trim_end_matches('s')));
        }
        _ => return None,
    }
    let strike = match strike {
        Some(text) => Some(text.parse::<f64>().ok()?),
        None => None,
    };
    let side = side.and_then(|side| match side {
        "call" => Some(OptionRight::Call),
        "put" => Some(OptionRight::Put),
        _ => None,
    });
    let book = market.book?;
    let definitions = &profile.get().definitions;
    let spot = market.spot.map(|s| s.value);
    let view = View { definitions, pricing: &parameters.pricing, as_of: market.now, spot };
    let wanted = |c: &Contract| {
        strike.is_none_or(|strike| c.strike.to_f64() == strike)
            && side.is_none_or(|side| c.right == side)
            && expiry.is_none_or(|expiry| c.expiry.to_string() == expiry)
    };
    let contracts = book.topology.contracts.iter().zip(&book.states);
    let part = |(contract, state): (&Contract, &ContractState)| {
        let days = contract.dte(market.day);
        let value = stands_for(&view, contract, state, days, false)?;
        Some(Part::of(contract, Some(value)))
    };
    Some(contracts.filter(|(c, _)| wanted(c)).filter_map(part).collect())
}

/// What a contract adds at the spot: signed exposure, or contracts.
fn stands_for(
    view: &View<'_>,
    contract: &Contract,
    state: &ContractState,
    days: i32,
    by_contracts: bool,
) -> Option<f64> {
    let Verdict::Counted(held) = view.judge(contract, state, days) else { return None };
    if by_contracts {
        return Some(held.contracts);
    }
    let scale = Scales::new(view.definitions.unit, view.spot?).gex;
    Some(view.definitions.sign.of(contract.right) * held.times(held.gamma) * scale)
}

/// What a contract adds once the underlying stands at another spot.
fn at_spot(
    view: &View<'_>,
    contract: &Contract,
    state: &ContractState,
    days: i32,
    spot: f64,
) -> Option<f64> {
    let contracts = view.position(contract, state, days).ok()?;
    let volatility = view.volatility(contract, state).known()?;
    let gamma = view.pricing.terms(contract, view.as_of, spot, volatility).gamma()?;
    let scale = Scales::new(view.definitions.unit, spot).gex;
    let sign = view.definitions.sign.of(contract.right);
    Some(sign * gamma * contracts * contract.multiplier * scale)
}
