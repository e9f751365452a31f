//! Extent of the lattice, and what theory and discounts are computed with.

use serde::{Deserialize, Serialize};

use super::profile::Chosen;
use crate::market::black_scholes::Terms;
use crate::market::book::Contract;
use crate::market::calendar::time_to_settlement_years;
use crate::models::parameters::ParameterError;
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};

const SECONDS_PER_YEAR: f64 = 365.0 * 86_400.0;

/// Parameters of all profiles; they stand in every body. With the defaults,
/// seven widths and the eight or so expiries that an index lists in ten days,
/// the lattice stays around the 5,000 tiles that existing gateways keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The profile of the family `heatmap`. Default: `heatmap/mid@1`.
    pub profile: Chosen,
    /// Profiles that run beside it, each as a family of its own
    /// (`heatmap_theoretical`). Default: none.
    pub beside: Vec<Chosen>,
    /// Calendar days to expiry, at most. Default: 10.
    pub dte_max: i32,
    /// Anchor strikes on each side of the one nearest to the centre.
    /// Default: 20.
    pub strikes_each_side: usize,
    /// Distance of the spot from the centre, as a fraction of the centre, beyond
    /// which the band is centred anew. Default: 0.0025.
    pub recentre: f64,
    /// Age from which a quote counts as stale, seconds. Default: 60.
    pub stale_after_s: i64,
    /// What theory and discounts are computed with, unless the profile brings
    /// its own.
    pub pricing: Pricing,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            profile: Chosen::default(),
            beside: Vec::new(),
            dte_max: 10,
            strikes_each_side: 20,
            recentre: 0.0025,
            stale_after_s: 60,
            pricing: Pricing::default(),
        }
    }
}

impl Parameters {
    /// Refuses values that no lattice could be built with.
    ///
    /// # Errors
    /// Names the first such value.
    pub fn check(&self) -> Result<(), ParameterError> {
        let refuse = |name, why: &str| Err(ParameterError { name, why: why.to_owned() });
        if self.dte_max < 0 || !(self.recentre.is_finite() && self.recentre > 0.0) {
            return refuse("heatmap", "dte_max must not be negative, recentre must be above 0");
        }
        let p = &self.pricing;
        if !(p.iv_cap.is_finite() && p.iv_cap > 0.0) || p.t_floor_s <= 0 || p.every_s <= 0 {
            return refuse("heatmap.pricing", "iv_cap, t_floor_s and every_s must be above 0");
        }
        if !p.rate.is_finite() || !p.carry.is_finite() {
            return refuse("heatmap.pricing", "rate and carry must be numbers");
        }
        if Chosen::any_twice(&self.beside) {
            return refuse("heatmap.beside", "names a profile twice");
        }
        Ok(())
    }
}

/// What theory and discounts are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pricing {
    /// Continuous rate, per year. Default: 0.
    pub rate: f64,
    /// Continuous carry (dividends), per year. Default: 0.
    pub carry: f64,
    /// Shortest time to settlement that is priced, seconds. Default: 300.
    pub t_floor_s: i64,
    /// At and beyond this volatility the vendor's number is its cap, not a fact.
    /// Default: 20.
    pub iv_cap: f64,
    /// Time is read anew at the first change this many seconds after it was
    /// read last, so that a quiet tile does not change with every tick of the
    /// clock. Default: 5.
    pub every_s: i64,
}

impl Default for Pricing {
    fn default() -> Self {
        Pricing::DEFAULT
    }
}

impl Pricing {
    pub(super) const DEFAULT: Pricing =
        Pricing { rate: 0.0, carry: 0.0, t_floor_s: 300, iv_cap: 20.0, every_s: 5 };

    /// Years (ACT/365) to a settlement, at least the floor; `None` once it has
    /// passed. A contract that settles at the moment itself still lives.
    #[must_use]
    pub fn years(&self, settles_at: RecvTime, at: RecvTime) -> Option<f64> {
        let floor = self.t_floor_s as f64 / SECONDS_PER_YEAR;
        time_to_settlement_years(at, settles_at, floor).or((settles_at == at).then_some(floor))
    }

    /// `every_s` in nanoseconds.
    #[must_use]
    pub const fn every_ns(&self) -> i64 {
        self.every_s.saturating_mul(NANOS_PER_SECOND)
    }

    /// What a contract is priced from; `None` once it has settled.
    #[must_use]
    pub fn terms(
        &self,
        contract: &Contract,
        at: RecvTime,
        spot: f64,
        volatility: f64,
    ) -> Option<Terms> {
        Some(Terms {
            spot,
            strike: contract.strike.to_f64(),
            years: self.years(contract.settles_at, at)?,
            rate: self.rate,
            carry: self.carry,
            volatility,
        })
    }
}
