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

use super::profile::{Debit, Definitions, MarketPrice};
use super::reasons::{Problem, Reasons, quote};
use super::spec::{Leg, Strategy, TileSpec};
use super::theory::{Clock, Theory};
use super::written;
use crate::market::book::ContractState;

/// Prices have nine decimals; what differs by less than ten of the last is the
/// same price.
const TOLERANCE: f64 = 1e-8;

/// What the book says of a contract, as far as tiles are priced by it. A price
/// that is not there is not a number, and neither is a sum with it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    bid: f64,
    ask: f64,
    mid: f64,
    last: f64,
    /// Why bid and ask are no two-sided quote.
    problem: Option<Problem>,
}

impl Seen {
    /// No quote and no trade.
    pub const NOTHING: Seen = Seen {
        bid: f64::NAN,
        ask: f64::NAN,
        mid: f64::NAN,
        last: f64::NAN,
        problem: Some(Problem::Missing),
    };

    /// What a state of the book says.
    #[must_use]
    pub fn of(state: &ContractState) -> Seen {
        let last = state.last.filter(|p| p.is_finite() && *p > 0.0).unwrap_or(f64::NAN);
        match quote(Some(state)) {
            Ok((bid, ask)) => Seen { bid, ask, mid: (bid + ask) / 2.0, last, problem: None },
            Err(problem) => Seen { last, problem: Some(problem), ..Seen::NOTHING },
        }
    }
}

/// What tiles are priced from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What counts as what.
    pub definitions: &'a Definitions,
    /// By slot.
    pub seen: &'a [Seen],
    /// Where the profile has one.
    pub theory: Option<&'a Theory>,
}

/// A tile as it stands in the body.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Tile {
    /// `"key":{...}`, the tile's place in the body's map.
    pub text: Vec<u8>,
    /// Where the part of the text ends that never changes.
    pub(super) fixed: usize,
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
    /// Main prices of the call and the put side; not a number where there is none.
    pub debits: [f64; 2],
}

/// A side with its main price, as it stands in the body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Side {
    /// `debit`, `mid` of a single.
    pub main: Clean,
    pub natural: Option<Clean>,
    pub market: Option<Clean>,
    pub max_profit: Clean,
    /// `density` of a butterfly, `probability` of a vertical.
    pub layer: Fine,
    pub flag: Option<&'static str>,
}

/// Prices of one side, summed over its legs; not a number where they are absent.
#[derive(Clone, Copy)]
struct Sums {
    mid: f64,
    natural: f64,
    market: f64,
    theory: f64,
}

impl Sums {
    fn main(&self, debit: Debit) -> f64 {
        match debit {
            Debit::Mid => self.mid,
            Debit::Natural => self.natural,
            Debit::Theoretical => self.theory,
        }
    }

    /// Half of what it costs to go in and out again.
    fn half_spread(&self) -> f64 {
        self.natural - self.mid
    }
}

/// Prices a tile from the newest of its contracts, over what it was. `symbol` is
/// as bodies name the underlying: `I:SPX`.
pub fn price(tile: &mut Tile, spec: &TileSpec, symbol: &str, clock: &Clock, inputs: &Inputs<'_>) {
    let main = inputs.definitions.debit;
    tile.reasons = Reasons::default();
    let sides = if clock.years.is_some() {
        [(&spec.call, OptionRight::Call), (&spec.put, OptionRight::Put)]
            .map(|(legs, right)| side(legs, right, inputs, &mut tile.reasons))
    } else {
        tile.reasons = Reasons::EXPIRED;
        [None, None]
    };
    let exists = [!spec.call.is_empty(), !spec.put.is_empty()];
    let prices = sides.map(|sums| known(sums?.main(main)));
    tile.eligible = exists.iter().zip(prices).all(|(exists, price)| !exists || price.is_some());
    tile.parity_gap = None;
    tile.beyond_spread = false;
    let mut gap = None;
    if spec.strategy == Strategy::Butterfly
        && let [Some(call), Some(put)] = prices
    {
        let clean = Clean::of(call - put);
        (gap, tile.parity_gap) = (Some(clean), Some(clean.value()));
        tile.beyond_spread = is_beyond_spread(sides).unwrap_or(false);
    }
    let sides = sides.map(|sums| finished(spec, &sums?, clock, inputs.definitions));
    let flagged = |side: &&Option<Side>| side.is_some_and(|side| side.flag.is_some());
    tile.debits = sides.map(|side| side.map_or(f64::NAN, |side| side.main.value()));
    tile.out_of_bounds = sides.iter().filter(flagged).count() as u32;
    if tile.text.is_empty() {
        written::beginning(&mut tile.text, spec, symbol);
        tile.fixed = tile.text.len();
    }
    written::rest(tile, spec.strategy, sides, gap);
}

/// A number, unless there is none.
fn known(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
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
    let or_last = inputs.definitions.market == MarketPrice::MidElseLast;
    let mut sums = Sums { mid: 0.0, natural: 0.0, market: 0.0, theory: 0.0 };
    for leg in legs {
        let seen = inputs.seen.get(leg.slot()).copied().unwrap_or(Seen::NOTHING);
        let quantity = f64::from(leg.quantity);
        let market = if or_last && seen.problem.is_some() { seen.last } else { seen.mid };
        sums.mid += quantity * seen.mid;
        sums.natural += quantity * if leg.quantity > 0 { seen.ask } else { seen.bid };
        sums.market += quantity * market;
        if let Some(problem) = seen.problem
            && market.is_nan()
        {
            reasons.insert(problem, leg, right);
        }
        if let Some(theory) = inputs.theory {
            let worth = theory.values.get(leg.slot()).copied().flatten();
            sums.theory += quantity * worth.unwrap_or(f64::NAN);
            if worth.is_none() {
                reasons.insert(Problem::NoVolatility, leg, right);
            }
        }
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
    let debit = Clean::of(known(sums.main(definitions.debit))?);
    let main = debit.value();
    let natural = match definitions.debit {
        Debit::Natural => None,
        Debit::Mid | Debit::Theoretical => known(sums.natural).map(Clean::of),
    };
    let market = match definitions.debit {
        Debit::Mid => None,
        Debit::Natural | Debit::Theoretical => known(sums.market).map(Clean::of),
    };
    let width = spec.width.to_f64();
    let unit = width * clock.discount;
    let (max_profit, layer, flag) = match spec.strategy {
        Strategy::Single => (Clean::of(0.0), Fine::of(0.0), None),
        Strategy::Vertical => (Clean::of(width - main), Fine::of(main / unit), flag(main, unit)),
        Strategy::Butterfly => {
            (Clean::of(width - main), Fine::of(main / (width * unit)), flag(main, unit))
        }
    };
    Some(Side { main: debit, natural, market, max_profit, layer, flag })
}

/// Buying the one butterfly and selling the other at natural prices would pay:
/// the mids are further apart than half the spreads of both.
fn is_beyond_spread(sides: [Option<Sums>; 2]) -> Option<bool> {
    let [call, put] = sides;
    let (call, put) = (call?, put?);
    let [spread, other] = [known(call.half_spread())?, known(put.half_spread())?];
    Some((call.mid - put.mid).abs() > spread + other + TOLERANCE)
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

/// A price without the binary dust that sums of decimal prices carry in the last
/// places: nine decimals are what a price has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Clean {
    Price(Price),
    /// Beyond every price.
    Beyond(f64),
}

impl Clean {
    fn of(value: f64) -> Clean {
        Price::from_f64_nearest(value).map_or(Clean::Beyond(value), Clean::Price)
    }

    fn value(self) -> f64 {
        match self {
            Clean::Price(price) => price.to_f64(),
            Clean::Beyond(value) => value,
        }
    }
}

/// Twelve decimals, as densities are small.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fine {
    /// Units of the last decimal.
    Units(i64),
    /// Too large for so many, or no number.
    Other(f64),
}

impl Fine {
    /// From here on a double has no room for twelve decimals.
    const UNITS_END: f64 = 9e15;

    fn of(value: f64) -> Fine {
        let scaled = (value * 1e12).round();
        if scaled.abs() < Fine::UNITS_END {
            Fine::Units(scaled as i64)
        } else if scaled.is_finite() {
            Fine::Other(scaled / 1e12 + 0.0)
        } else {
            Fine::Other(value)
        }
    }
}
