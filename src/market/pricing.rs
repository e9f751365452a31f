//! What prices and greeks of ours are computed with, besides the contract, the
//! spot and the volatility.

use orrery_journal::units::RecvTime;
use serde::{Deserialize, Serialize};

use super::black_scholes::Terms;
use super::book::Contract;
use super::calendar::time_to_settlement_years;

/// What greeks of ours are priced with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pricing {
    /// Shortest time to settlement that is priced, seconds. Default: 300.
    pub t_floor_s: i64,
    /// Continuous rate, per year. Default: 0.
    pub rate: f64,
    /// Continuous carry (dividends), per year. Default: 0.
    pub carry: f64,
    /// At and beyond this volatility the vendor's number is its cap, not a fact.
    /// Default: 20.
    pub iv_cap: f64,
}

impl Default for Pricing {
    fn default() -> Self {
        Pricing { t_floor_s: 300, rate: 0.0, carry: 0.0, iv_cap: 20.0 }
    }
}

const SECONDS_PER_YEAR: f64 = 365.0 * 86_400.0;

impl Pricing {
    /// Years to settlement, at least the floor; a contract that settles at the
    /// moment itself still lives.
    #[must_use]
    pub fn years(&self, contract: &Contract, as_of: RecvTime) -> f64 {
        let floor = self.t_floor_s as f64 / SECONDS_PER_YEAR;
        time_to_settlement_years(as_of, contract.settles_at, floor).unwrap_or(floor)
    }

    /// What a contract is priced from.
    #[must_use]
    pub fn terms(&self, contract: &Contract, as_of: RecvTime, spot: f64, volatility: f64) -> Terms {
        Terms {
            spot,
            strike: contract.strike.to_f64(),
            years: self.years(contract, as_of),
            rate: self.rate,
            carry: self.carry,
            volatility,
        }
    }
}

impl Pricing {
    /// Why it cannot be used, and what would be right.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(&self) -> Result<(), &'static str> {
        if !(self.iv_cap.is_finite() && self.iv_cap > 0.0) || self.t_floor_s <= 0 {
            return Err("iv_cap and t_floor_s must be above 0");
        }
        if !self.rate.is_finite() || !self.carry.is_finite() {
            return Err("rate and carry must be numbers");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_can_be_priced_with_is_refused() {
        let with = |change: fn(&mut Pricing)| {
            let mut pricing = Pricing::default();
            change(&mut pricing);
            pricing.check()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert!(with(|p| p.iv_cap = f64::NAN).is_err() && with(|p| p.t_floor_s = 0).is_err());
        assert!(with(|p| p.rate = f64::INFINITY).is_err() && with(|p| p.carry = f64::NAN).is_err());
    }
}
