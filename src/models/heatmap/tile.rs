//! What a tile costs: prices of its legs from two-sided quotes, and why not.
//!
//! `debit` is the sum of quantity x mid over the legs, `natural_debit` the same
//! with the ask for what is bought and the bid for what is sold; both in
//! currency per unit of the underlying, `max_profit` = width - debit,
//! `max_loss` = debit. A European vertical or butterfly costs between nothing
//! and its width: a debit outside of that says that the quotes are stale or
//! crossed between contracts; it is flagged and left as it is. `parity_gap` is
//! the call butterfly less the put butterfly, which arbitrage keeps at zero.

use orrery_journal::event::OptionRight;
use orrery_journal::units::Price;
use serde::Serialize;

use super::lattice::{Leg, Strategy, TileSpec};
use crate::market::book::ContractState;

/// What keeps a leg from being priced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// No quote, or none on either side.
    Missing = 0,
    /// Only a bid or only an ask.
    OneSided = 1,
    /// The bid is above the ask.
    Crossed = 2,
}

/// Bid and ask of a contract, or why they are no two-sided quote.
///
/// # Errors
/// The problem of the quote.
pub fn quote(state: Option<&ContractState>) -> Result<(f64, f64), Problem> {
    let side = |price: Option<f64>| price.filter(|p| p.is_finite() && *p > 0.0);
    match state.map(|s| (side(s.bid), side(s.ask))) {
        Some((Some(bid), Some(ask))) if bid <= ask => Ok((bid, ask)),
        Some((Some(_), Some(_))) => Err(Problem::Crossed),
        Some((None, None)) | None => Err(Problem::Missing),
        Some(_) => Err(Problem::OneSided),
    }
}

/// Reasons that a tile is not eligible, as a set: problem x place x side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reasons(u32);

impl Reasons {
    /// How many there can be.
    pub const COUNT: usize = 18;

    /// Words of all reasons, by bit.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "missing_lower_call",
        "missing_lower_put",
        "missing_center_call",
        "missing_center_put",
        "missing_upper_call",
        "missing_upper_put",
        "one_sided_lower_call",
        "one_sided_lower_put",
        "one_sided_center_call",
        "one_sided_center_put",
        "one_sided_upper_call",
        "one_sided_upper_put",
        "crossed_lower_call",
        "crossed_lower_put",
        "crossed_center_call",
        "crossed_center_put",
        "crossed_upper_call",
        "crossed_upper_put",
    ];

    fn insert(&mut self, problem: Problem, leg: &Leg, right: OptionRight) {
        let side = u32::from(right == OptionRight::Put);
        self.0 |= 1 << (problem as u32 * 6 + leg.place as u32 * 2 + side);
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits that are set.
    pub fn bits(self) -> impl Iterator<Item = usize> {
        (0..Self::COUNT).filter(move |bit| self.0 & (1 << bit) != 0)
    }

    /// The words.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        self.bits().map(|bit| Self::NAMES[bit]).collect()
    }
}

/// A tile as it stands in the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// `"key":{...}`, the tile's place in the body's map.
    pub json: String,
    /// Why it is not eligible; empty when all of its sides are priced.
    pub reasons: Reasons,
    /// Sides whose debit is below zero or above the width.
    pub out_of_bounds: u32,
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
        natural: f64,
    },
    Spread {
        debit: f64,
        natural_debit: f64,
        max_profit: f64,
        max_loss: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        flag: Option<&'static str>,
    },
}

/// Prices a tile from the newest states of its contracts.
#[must_use]
pub fn price(symbol: &str, spec: &TileSpec, states: &[ContractState]) -> Tile {
    let mut reasons = Reasons::default();
    let call = side(&spec.call, states, OptionRight::Call, &mut reasons);
    let put = side(&spec.put, states, OptionRight::Put, &mut reasons);
    let width = spec.width.to_f64();
    let parity_gap =
        (spec.strategy == Strategy::Butterfly).then(|| Some(clean(call?.0 - put?.0))).flatten();
    let mut out_of_bounds = 0;
    let mut finished = |debits: Option<(f64, f64)>| {
        let (debit, natural) = debits?;
        Some(if spec.strategy == Strategy::Single {
            Side::Single { mid: clean(debit), natural: clean(natural) }
        } else {
            let debit = clean(debit);
            let flag = flag(debit, width);
            out_of_bounds += u32::from(flag.is_some());
            Side::Spread {
                debit,
                natural_debit: clean(natural),
                max_profit: clean(width - debit),
                max_loss: debit,
                flag,
            }
        })
    };
    let body = Body {
        symbol,
        strategy: spec.strategy.name(),
        dte: spec.dte,
        strike: spec.strike.to_f64(),
        width: if spec.width.0 % Price::SCALE == 0 {
            Number::Whole(spec.width.0 / Price::SCALE)
        } else {
            Number::Fraction(width)
        },
        root: spec.root.as_deref(),
        call: finished(call),
        put: finished(put),
        parity_gap,
        eligible: (!reasons.is_empty()).then_some(false),
        reasons: reasons.names(),
    };
    // Strings and finite numbers always serialise.
    let value = serde_json::to_string(&body).unwrap_or_default();
    let key = serde_json::to_string(&spec.key).unwrap_or_default();
    Tile { json: format!("{key}:{value}"), reasons, out_of_bounds }
}

/// Mid and natural debit of one side; `None` where it does not exist or a leg
/// has no two-sided quote, which then stands among the reasons.
fn side(
    legs: &[Leg],
    states: &[ContractState],
    right: OptionRight,
    reasons: &mut Reasons,
) -> Option<(f64, f64)> {
    let mut sum = (!legs.is_empty()).then_some((0.0, 0.0));
    for leg in legs {
        match quote(states.get(leg.slot)) {
            Ok((bid, ask)) => {
                let quantity = f64::from(leg.quantity);
                let natural = if leg.quantity > 0 { ask } else { bid };
                sum = sum.map(|(debit, natural_debit)| {
                    (debit + quantity * ((bid + ask) / 2.0), natural_debit + quantity * natural)
                });
            }
            Err(problem) => {
                reasons.insert(problem, leg, right);
                sum = None;
            }
        }
    }
    sum.filter(|(debit, natural)| debit.is_finite() && natural.is_finite())
}

fn flag(debit: f64, width: f64) -> Option<&'static str> {
    if debit < 0.0 {
        Some("below_zero")
    } else if debit > width {
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
