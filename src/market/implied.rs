//! The volatility that a contract's quote implies, or why there is none.

use orrery_journal::units::RecvTime;
use serde::Serialize;

use super::black_scholes::{ImpliedVolatilityError, Terms, implied_volatility};
use super::book::{Contract, ContractState, QuoteProblem};

/// Why a contract's quote implies no volatility.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NoVolatility {
    /// It has settled.
    #[error("it has settled")]
    Expired,
    /// The price of the underlying is unknown.
    #[error("the price of the underlying is unknown")]
    NoSpot,
    /// Nobody quotes it.
    #[error("nobody quotes it")]
    Unquoted,
    /// Only one side is quoted.
    #[error("only one side is quoted")]
    OneSided,
    /// The bid lies above the ask.
    #[error("the bid lies above the ask")]
    Crossed,
    /// The mid is at or below the discounted intrinsic value.
    #[error("the mid is not above the discounted intrinsic value")]
    BelowIntrinsic,
    /// The mid is at or above what the option can ever be worth.
    #[error("the mid is not below what the option can ever be worth")]
    AboveBound,
    /// The volatility lies above what is searched.
    #[error("the volatility lies above what is searched")]
    AboveRange,
    /// The price does not determine a volatility.
    #[error("the price does not determine a volatility")]
    NoConvergence,
    /// Rate, carry or time are no usable numbers.
    #[error("rate, carry or time are no usable numbers")]
    Terms,
}

impl NoVolatility {
    /// All reasons, in their order.
    pub const ALL: [NoVolatility; 10] = [
        NoVolatility::Expired,
        NoVolatility::NoSpot,
        NoVolatility::Unquoted,
        NoVolatility::OneSided,
        NoVolatility::Crossed,
        NoVolatility::BelowIntrinsic,
        NoVolatility::AboveBound,
        NoVolatility::AboveRange,
        NoVolatility::NoConvergence,
        NoVolatility::Terms,
    ];

    /// The name in bodies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NoVolatility::Expired => "expired",
            NoVolatility::NoSpot => "no_spot",
            NoVolatility::Unquoted => "unquoted",
            NoVolatility::OneSided => "one_sided",
            NoVolatility::Crossed => "crossed",
            NoVolatility::BelowIntrinsic => "below_intrinsic",
            NoVolatility::AboveBound => "above_bound",
            NoVolatility::AboveRange => "above_range",
            NoVolatility::NoConvergence => "no_convergence",
            NoVolatility::Terms => "terms",
        }
    }
}

impl From<QuoteProblem> for NoVolatility {
    fn from(problem: QuoteProblem) -> NoVolatility {
        match problem {
            QuoteProblem::Missing => NoVolatility::Unquoted,
            QuoteProblem::OneSided => NoVolatility::OneSided,
            QuoteProblem::Crossed => NoVolatility::Crossed,
        }
    }
}

impl From<ImpliedVolatilityError> for NoVolatility {
    fn from(error: ImpliedVolatilityError) -> NoVolatility {
        match error {
            ImpliedVolatilityError::Terms => NoVolatility::Terms,
            ImpliedVolatilityError::NoTimeLeft => NoVolatility::Expired,
            ImpliedVolatilityError::NoTimeValue { .. } => NoVolatility::BelowIntrinsic,
            ImpliedVolatilityError::AboveBound { .. } => NoVolatility::AboveBound,
            ImpliedVolatilityError::AboveRange => NoVolatility::AboveRange,
            ImpliedVolatilityError::NoConvergence => NoVolatility::NoConvergence,
        }
    }
}

/// The volatility that the mid of a two-sided quote implies. `terms` makes what
/// the contract is priced from, for the first guess of a volatility; it is
/// asked only when there is a quote.
///
/// # Errors
/// See [`NoVolatility`]; the first that applies, in its order.
pub fn implied_by_quote(
    contract: &Contract,
    state: &ContractState,
    as_of: RecvTime,
    spot: Option<f64>,
    terms: impl FnOnce(f64) -> Terms,
) -> Result<f64, NoVolatility> {
    if contract.settles_at < as_of {
        return Err(NoVolatility::Expired);
    }
    let spot = spot.ok_or(NoVolatility::NoSpot)?;
    let (bid, ask) = state.quote()?;
    Ok(implied_volatility(contract.right, (bid + ask) / 2.0, &terms(spot))?)
}

#[cfg(test)]
mod tests {
    use orrery_journal::event::OptionRight;
    use orrery_journal::units::{InstrumentId, Price, TradingDay};

    use super::*;

    const YEAR: i64 = 365 * 86_400 * 1_000_000_000;

    fn call() -> Contract {
        Contract {
            instrument: InstrumentId(1),
            ticker: "C".into(),
            root: "X".into(),
            expiry: TradingDay(365),
            settles_on: TradingDay(365),
            settles_at: RecvTime(YEAR),
            strike: Price(100 * Price::SCALE),
            right: OptionRight::Call,
            style: None,
            multiplier: 100.0,
        }
    }

    fn ask(
        bid: Option<f64>,
        ask: Option<f64>,
        now: i64,
        spot: Option<f64>,
    ) -> Result<f64, NoVolatility> {
        let state = ContractState { bid, ask, ..ContractState::default() };
        let years = (YEAR - now) as f64 / YEAR as f64;
        implied_by_quote(&call(), &state, RecvTime(now), spot, |spot| Terms {
            spot,
            strike: 100.0,
            years,
            rate: 0.0,
            carry: 0.0,
            volatility: 0.25,
        })
    }

    #[test]
    fn it_converges_or_says_why_not() {
        let spot = Some(110.0);
        let found = ask(Some(13.9), Some(14.1), 0, spot).expect("converges");
        let again = Terms {
            spot: 110.0,
            strike: 100.0,
            years: 1.0,
            rate: 0.0,
            carry: 0.0,
            volatility: found,
        };
        assert!((again.price(OptionRight::Call).expect("priced") - 14.0).abs() < 1e-9);
        for (bid, offer, now, spot, want) in [
            (Some(14.0), Some(14.0), YEAR + 1, spot, NoVolatility::Expired),
            (Some(14.0), Some(14.0), YEAR, spot, NoVolatility::Expired),
            (Some(14.0), Some(14.0), 0, None, NoVolatility::NoSpot),
            (None, None, 0, spot, NoVolatility::Unquoted),
            (Some(0.0), Some(0.0), 0, spot, NoVolatility::Unquoted),
            (Some(0.0), Some(14.0), 0, spot, NoVolatility::OneSided),
            (Some(14.0), None, 0, spot, NoVolatility::OneSided),
            (Some(15.0), Some(14.0), 0, spot, NoVolatility::Crossed),
            (Some(9.0), Some(10.0), 0, spot, NoVolatility::BelowIntrinsic),
            (Some(110.0), Some(111.0), 0, spot, NoVolatility::AboveBound),
            (Some(109.999), Some(109.9999), YEAR - 1_000_000_000, spot, NoVolatility::AboveRange),
        ] {
            assert_eq!(ask(bid, offer, now, spot), Err(want), "{bid:?} {offer:?} {now} {spot:?}");
        }
    }

    #[test]
    fn names_are_those_of_the_bodies() {
        for reason in NoVolatility::ALL {
            let json = serde_json::to_string(&reason).expect("JSON");
            assert_eq!(json, format!("\"{}\"", reason.name()));
            assert!(!reason.to_string().is_empty());
        }
    }
}
