//! Why a tile has no price.

use orrery_journal::event::OptionRight;

use super::spec::Leg;
use crate::market::book::{ContractState, QuoteProblem};

/// What keeps a leg from being priced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// No quote, or none on either side.
    Missing = 0,
    /// Only a bid or only an ask.
    OneSided = 1,
    /// The bid is above the ask.
    Crossed = 2,
    /// Theory has no volatility for it.
    NoVolatility = 3,
}

/// Bid and ask of a contract, or why they are no two-sided quote.
///
/// # Errors
/// The problem of the quote.
pub fn quote(state: Option<&ContractState>) -> Result<(f64, f64), Problem> {
    state.map_or(Err(QuoteProblem::Missing), ContractState::quote).map_err(
        |problem| match problem {
            QuoteProblem::Missing => Problem::Missing,
            QuoteProblem::OneSided => Problem::OneSided,
            QuoteProblem::Crossed => Problem::Crossed,
        },
    )
}

/// Reasons of a tile, as a set: problem x place x side, and `expired` for all
/// of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reasons(u32);

impl Reasons {
    /// How many there can be.
    pub const COUNT: usize = 25;

    /// The contracts have settled.
    pub const EXPIRED: Reasons = Reasons(1 << 24);

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
        "no_volatility_lower_call",
        "no_volatility_lower_put",
        "no_volatility_center_call",
        "no_volatility_center_put",
        "no_volatility_upper_call",
        "no_volatility_upper_put",
        "expired",
    ];

    /// Adds the problem of a leg.
    pub fn insert(&mut self, problem: Problem, leg: &Leg, right: OptionRight) {
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
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros() as usize;
            // Without its lowest bit; nothing is left of nothing.
            rest = rest.checked_sub(1)? & rest;
            Some(bit)
        })
    }

    /// The words.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        self.bits().map(|bit| Self::NAMES[bit]).collect()
    }
}
