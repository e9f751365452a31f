//! What a tile costs, by the profile's definitions, and how far that can be
//! believed.
//!
//! All prices are currency per unit of the underlying. `debit` (`mid` of a
//! single) is the profile's main price, `max_profit` = width - debit,
//! `max_loss` = debit. A European vertical or butterfly is worth at least
//! nothing and at most its discounted width (FORMULAS 4); what lies outside is
//! flagged and left as it is. Layers (Breeden and Litzenberger): butterfly /
//! width^2 / discount is the density of the price at settlement per point,
//! vertical / width / discount the probability that it lies beyond the middle
//! of the strikes.

use orrery_journal::event::OptionRight;
use orrery_journal::units::Price;
use serde::Serialize;

use super::profile::{Debit, Definitions, MarketPrice};
use super::reasons::{Problem, Reasons, quote};
use super::spec::{Leg, Strategy, TileSpec};
use super::theory::{Clock, Theory};
use crate::market::book::ContractState;

/// Prices have nine decimals; what differs by less than ten of the last is the
/// same price.
const TOLERANCE: f64 = 1e-8;

/// What tiles are priced from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// As bodies name the underlying: `I:SPX`.
    pub symbol: &'a str,
    /// What counts as what.
    pub definitions: &'a Definitions,
    /// By slot.
    pub states: &'a [ContractState],
    /// Where the profile has one.
    pub theory: Option<&'a Theory>,
}

/// A tile as it stands in the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// `"key":{...}`, the tile's place in the body's map.
    pub json: String,
    /// What keeps prices from it; a tile may be eligible all the same where
    /// only the market beside a theory is absent.
    pub reasons: Reasons,
    /// Whether every side that exists has its main price.
    pub eligible: bool,
    /// Sides whose debit is below zero or above the discounted width.
    pub out_of_bounds: u32,
    /// Call butterfly less put butterfly.
    pub parity_gap: Option<f64>,
    /// The gap of the mids is more than the spreads explain.
    pub beyond_spread: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    symbol: &'a str,
    strategy: &'static str,
    dte: i32,
    strike: f64,
    width: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    put: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parity_gap: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parity_flag: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eligible: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

/// Widths are whole numbers wherever they can be.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Fraction(f64),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Side {
    Single {
        mid: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        natural: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        market_mid: Option<f64>,
    },
    Spread {
        debit: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        natural_debit: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        market_debit: Option<f64>,
        max_profit: f64,
        max_loss: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        density: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        probability: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        flag: Option<&'static str>,
    },
}

/// Prices of one side, summed over its legs.
#[derive(Clone, Copy)]
struct Sums {
    mid: Option<f64>,
    natural: Option<f64>,
    market: Option<f64>,
    theory: Option<f64>,
}

impl Sums {
    fn main(&self, debit: Debit) -> Option<f64> {
        match debit {
            Debit::Mid => self.mid,
            Debit::Natural => self.natural,
            Debit::Theoretical => self.theory,
        }
    }

    /// Half of what it costs to go in and out again.
    fn half_spread(&self) -> Option<f64> {
        Some(self.natural? - self.mid?)
    }
}

/// Prices a tile from the newest of its contracts.
#[must_use]
pub fn price(spec: &TileSpec, clock: &Clock, inputs: &Inputs<'_>) -> Tile {
    let main = inputs.definitions.debit;
    let mut reasons = Reasons::default();
    let sides = if clock.years.is_some() {
        [(&spec.call, OptionRight::Call), (&spec.put, OptionRight::Put)]
            .map(|(legs, right)| side(legs, right, inputs, &mut reasons))
    } else {
        reasons = Reasons::EXPIRED;
        [None, None]
    };
    let exists = [!spec.call.is_empty(), !spec.put.is_empty()];
    let prices = sides.map(|sums| sums?.main(main));
    let eligible = exists.iter().zip(prices).all(|(exists, price)| !exists || price.is_some());
    let [call, put] = prices;
    let parity_gap =
        (spec.strategy == Strategy::Butterfly).then(|| Some(clean(call? - put?))).flatten();
    let beyond_spread = parity_gap.is_some() && is_beyond_spread(sides).unwrap_or(false);
    let mut out_of_bounds = 0;
    let [call, put] = sides.map(|sums| {
        let side = finished(spec, &sums?, clock, inputs.definitions)?;
        out_of_bounds += u32::from(matches!(&side, Side::Spread { flag: Some(_), .. }));
        Some(side)
    });
    let width = spec.width.to_f64();
    let body = Body {
        symbol: inputs.symbol,
        strategy: spec.strategy.name(),
        dte: spec.dte,
        strike: spec.strike.to_f64(),
        width: if spec.width.0 % Price::SCALE == 0 {
            Number::Whole(spec.width.0 / Price::SCALE)
        } else {
            Number::Fraction(width)
        },
        root: spec.root.as_deref(),
        call,
        put,
        parity_gap,
        parity_flag: beyond_spread.then_some("beyond_spread"),
        eligible: (!eligible).then_some(false),
        reasons: reasons.names(),
    };
    // Strings and finite numbers always serialise.
    let value = serde_json::to_string(&body).unwrap_or_default();
    let key = serde_json::to_string(&spec.key).unwrap_or_default();
    let json = format!("{key}:{value}");
    Tile { json, reasons, eligible, out_of_bounds, parity_gap, beyond_spread }
}

/// Sums of one side; `None` where it does not exist. A leg that has no price of
/// a kind takes that kind from the side, and says why.
fn side(
    legs: &[Leg],
    right: OptionRight,
    inputs: &Inputs<'_>,
    reasons: &mut Reasons,
) -> Option<Sums> {
    if legs.is_empty() {
        return None;
    }
    let zero = Some(0.0);
    let mut sums = Sums { mid: zero, natural: zero, market: zero, theory: inputs.theory.and(zero) };
    for leg in legs {
        let state = inputs.states.get(leg.slot);
        let quantity = f64::from(leg.quantity);
        let add = |sum: &mut Option<f64>, price: Option<f64>| {
            *sum = sum.zip(price).map(|(sum, price)| sum + quantity * price);
        };
        let quoted = quote(state);
        let mid = quoted.ok().map(|(bid, ask)| (bid + ask) / 2.0);
        let natural = quoted.ok().map(|(bid, ask)| if leg.quantity > 0 { ask } else { bid });
        let last = state.and_then(|s| s.last).filter(|p| p.is_finite() && *p > 0.0);
        let market = match inputs.definitions.market {
            MarketPrice::Mid => mid,
            MarketPrice::MidElseLast => mid.or(last),
        };
        add(&mut sums.mid, mid);
        add(&mut sums.natural, natural);
        add(&mut sums.market, market);
        if let Err(problem) = quoted
            && market.is_none()
        {
            reasons.insert(problem, leg, right);
        }
        if let Some(theory) = inputs.theory {
            let worth = theory.values.get(leg.slot).copied().flatten();
            add(&mut sums.theory, worth);
            if worth.is_none() {
                reasons.insert(Problem::NoVolatility, leg, right);
            }
        }
    }
    for sum in [&mut sums.mid, &mut sums.natural, &mut sums.market, &mut sums.theory] {
        *sum = sum.filter(|sum| sum.is_finite());
    }
    Some(sums)
}

/// A side with its main price, or `None` without one.
fn finished(
    spec: &TileSpec,
    sums: &Sums,
    clock: &Clock,
    definitions: &Definitions,
) -> Option<Side> {
    let main = clean(sums.main(definitions.debit)?);
    let natural = match definitions.debit {
        Debit::Natural => None,
        Debit::Mid | Debit::Theoretical => sums.natural.map(clean),
    };
    let market = match definitions.debit {
        Debit::Mid => None,
        Debit::Natural | Debit::Theoretical => sums.market.map(clean),
    };
    let width = spec.width.to_f64();
    let unit = width * clock.discount;
    Some(match spec.strategy {
        Strategy::Single => Side::Single { mid: main, natural, market_mid: market },
        Strategy::Vertical | Strategy::Butterfly => Side::Spread {
            debit: main,
            natural_debit: natural,
            market_debit: market,
            max_profit: clean(width - main),
            max_loss: main,
            density: (spec.strategy == Strategy::Butterfly).then(|| fine(main / (width * unit))),
            probability: (spec.strategy == Strategy::Vertical).then(|| fine(main / unit)),
            flag: flag(main, unit),
        },
    })
}

/// Buying the one butterfly and selling the other at natural prices would pay:
/// the mids are further apart than half the spreads of both.
fn is_beyond_spread(sides: [Option<Sums>; 2]) -> Option<bool> {
    let [call, put] = sides;
    let (call, put) = (call?, put?);
    let slack = call.half_spread()? + put.half_spread()?;
    Some((call.mid? - put.mid?).abs() > slack + TOLERANCE)
}

fn flag(debit: f64, most: f64) -> Option<&'static str> {
    if debit < -TOLERANCE {
        Some("below_zero")
    } else if debit > most + TOLERANCE {
        Some("above_width")
    } else {
        None
    }
}

/// Sums of decimal prices carry binary dust in the last places: nine decimals
/// are what a price has.
fn clean(value: f64) -> f64 {
    // Adding zero turns -0.0 into 0.0.
    Price::from_f64_nearest(value).map_or(value, Price::to_f64) + 0.0
}

/// Twelve decimals, as densities are small.
fn fine(value: f64) -> f64 {
    let scaled = (value * 1e12).round();
    if scaled.is_finite() { scaled / 1e12 + 0.0 } else { value }
}
