//! What decides about volume profiles besides their named definitions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::profile::Chosen;

/// Parameters of all profiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The profile of the family `gravity`. Default: `gravity/tv-microbins-30@1`.
    pub profile: Chosen,
    /// Profiles that run beside it, each as a family of its own
    /// (`gravity_session`). Default: none.
    pub beside: Vec<Chosen>,
    /// Width of a bin in points of the underlying. Default: 1.
    pub step: f64,
    /// Width of a bin for single symbols, such as 0.25 for XSP. Default: none.
    pub steps: BTreeMap<String, f64>,
    /// Trading days that count, by the journal's calendar; the newest are kept,
    /// days without volume are none. Default: null, all of them.
    pub days: Option<u32>,
    /// Trading days with volume after which a day counts half; needs `days`.
    /// Default: null, all count alike.
    pub half_life_days: Option<f64>,
    /// A bin at less than 1/n or more than n times the median price of the
    /// volume is an outlier: kept, counted and left out of the dense array.
    /// Default: 2.
    pub outlier_factor: f64,
    /// Longest dense array; of a wider profile the part around the median is
    /// shown. Default: 20,000.
    pub bins_max: i64,
    /// Age from which the newest volume counts as stale, seconds. Default: 900.
    pub stale_after_s: i64,
    /// Newest trades that a correction can still reach. Default: 16,384.
    pub kept_trades: usize,
    /// Newest bars that a correction, or the same bar sent again, can still
    /// reach. Default: 4,096.
    pub kept_bars: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            profile: Chosen::default(),
            beside: Vec::new(),
            step: 1.0,
            steps: BTreeMap::new(),
            days: None,
            half_life_days: None,
            outlier_factor: 2.0,
            bins_max: 20_000,
            stale_after_s: 900,
            kept_trades: 16_384,
            kept_bars: 4_096,
        }
    }
}

impl Parameters {
    /// Width of a bin for a symbol, in its points.
    #[must_use]
    pub fn step_of(&self, symbol: &str) -> f64 {
        self.steps.get(symbol).copied().unwrap_or(self.step)
    }

    /// The first value that cannot be used, with what would be right.
    ///
    /// # Errors
    /// When there is one.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(self.step) || self.bins_max <= 0 {
            return Err(("gravity", "step and bins_max must be above 0"));
        }
        if !self.steps.values().copied().all(positive) {
            return Err(("gravity.steps", "must be above 0"));
        }
        if self.outlier_factor.is_nan() || self.outlier_factor < 1.0 {
            return Err(("gravity.outlier_factor", "must be at least 1"));
        }
        if !self.days.is_none_or(|n| (1..=2_600).contains(&n)) {
            return Err(("gravity.days", "must be between 1 and 2600, or null for all"));
        }
        if !self.half_life_days.is_none_or(|h| positive(h) && self.days.is_some()) {
            return Err(("gravity.half_life_days", "must be above 0, and needs gravity.days"));
        }
        if self.stale_after_s <= 0 {
            return Err(("gravity.stale_after_s", "must be above 0"));
        }
        let kept = 1..=1_000_000;
        if !kept.contains(&self.kept_trades) || !kept.contains(&self.kept_bars) {
            return Err(("gravity.kept_trades", "and kept_bars must be between 1 and 1,000,000"));
        }
        if Chosen::any_twice(&self.beside) {
            return Err(("gravity.beside", "names a profile twice"));
        }
        Ok(())
    }
}
