//! Named levels of an exposure profile: walls with their runners-up, peak,
//! absolute-gamma strike.
//!
//! Exposures are summed over expiries before strikes are ranked. On a tie the
//! strike nearest to the spot wins, the lower one when both are equally near. A
//! side that has nothing has no wall.

use orrery_journal::event::OptionRight;
use serde::Serialize;

use super::exposure::{Sides, Signed};
use super::profile::{Definitions, Wall};

/// Walls that are told: the wall and its runners-up.
const RANKS: usize = 3;

/// A strike of the profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrikeExposure {
    /// Strike in points.
    pub strike: f64,
    /// Gamma exposure in the profile's unit.
    pub gex: Signed,
    /// Contracts held.
    pub contracts: Sides,
}

/// A strike that ranks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Strike in points.
    pub strike: f64,
    /// What it ranks by: exposure in the profile's unit, or contracts.
    pub value: f64,
    /// Its share in the sum of all that rank.
    pub share: f64,
}

/// Walls of a side, the wall first.
#[must_use]
pub fn walls(
    strikes: &[StrikeExposure],
    spot: f64,
    right: OptionRight,
    definitions: &Definitions,
) -> Vec<Ranked> {
    let beyond = |s: &StrikeExposure, at_too: bool| {
        (at_too && s.strike == spot)
            || match right {
                OptionRight::Call => s.strike > spot,
                OptionRight::Put => s.strike < spot,
            }
    };
    let side = |of: &Signed| match right {
        OptionRight::Call => of.call,
        OptionRight::Put => of.put,
    };
    ranked(strikes, spot, |s| match definitions.wall {
        Wall::SideBeyondSpot => side(&s.gex).filter(|_| beyond(s, false)),
        Wall::SideAtOrBeyondSpot => side(&s.gex).filter(|_| beyond(s, true)),
        // The side's own sign: a strike that is net against it is no wall of it.
        Wall::NetBeyondSpot => {
            let sign = definitions.sign.of(right);
            s.gex.net.filter(|net| beyond(s, false) && net * sign > 0.0)
        }
        Wall::OpenInterest => match right {
            OptionRight::Call => s.contracts.call,
            OptionRight::Put => s.contracts.put,
        },
    })
}

/// The strike with the largest net exposure of either sign.
#[must_use]
pub fn peak(strikes: &[StrikeExposure], spot: f64) -> Option<f64> {
    ranked(strikes, spot, |s| s.gex.net).first().map(|r| r.strike)
}

/// The strike with the largest sum of both sides, signs left out.
#[must_use]
pub fn absolute_gamma(strikes: &[StrikeExposure], spot: f64) -> Option<f64> {
    let size = |side: Option<f64>| side.map_or(0.0, f64::abs);
    ranked(strikes, spot, |s| Some(size(s.gex.call) + size(s.gex.put))).first().map(|r| r.strike)
}

/// The strikes with the largest scores, by their size; zeros do not rank.
fn ranked(
    strikes: &[StrikeExposure],
    spot: f64,
    score: impl Fn(&StrikeExposure) -> Option<f64>,
) -> Vec<Ranked> {
    let mut all: Vec<(f64, f64)> = strikes
        .iter()
        .filter_map(|s| Some((s.strike, score(s).filter(|v| v.is_finite() && *v != 0.0)?)))
        .collect();
    let sum: f64 = all.iter().map(|(_, value)| value.abs()).sum();
    let distance = |strike: f64| (strike - spot).abs();
    all.sort_by(|(a, x), (b, y)| {
        y.abs().total_cmp(&x.abs()).then(distance(*a).total_cmp(&distance(*b))).then(a.total_cmp(b))
    });
    all.truncate(RANKS);
    let ranked = |(strike, value): (f64, f64)| Ranked { strike, value, share: value.abs() / sum };
    all.into_iter().map(ranked).collect()
}

#[cfg(test)]
mod tests {
    use OptionRight::{Call, Put};

    use super::*;
    use crate::models::gex::profile::Chosen;

    fn row(strike: f64, call: f64, put: f64) -> StrikeExposure {
        StrikeExposure {
            strike,
            gex: Signed { call: Some(call), put: Some(-put), net: Some(call - put) },
            contracts: Sides { call: Some(1_000.0 - strike), put: Some(strike) },
        }
    }

    fn wall(rows: &[StrikeExposure], spot: f64, right: OptionRight, profile: &str) -> Option<f64> {
        let profile = Chosen::named(profile).expect("shipped");
        walls(rows, spot, right, &profile.get().definitions).first().map(|r| r.strike)
    }

    #[test]
    fn walls_lie_where_the_profile_says() {
        let rows = [row(95.0, 1.0, 4.0), row(100.0, 99.0, 98.0), row(105.0, 3.0, 1.0)];
        let both =
            |spot, profile| (wall(&rows, spot, Call, profile), wall(&rows, spot, Put, profile));
        assert_eq!(both(100.0, "naive-oi"), (Some(105.0), Some(95.0)));
        assert_eq!(both(100.0, "naive-oi-at-spot"), (Some(100.0), Some(100.0)));
        assert_eq!(both(101.0, "naive-oi-net-walls"), (Some(105.0), Some(95.0)));
        assert_eq!(both(101.0, "naive-oi-oi-walls"), (Some(95.0), Some(105.0)));
        assert_eq!(wall(&rows, 105.0, Call, "naive-oi"), None);
        assert_eq!(wall(&rows, 95.0, Put, "naive-oi"), None);
        assert_eq!(peak(&rows, 100.0), Some(95.0));
        assert_eq!(absolute_gamma(&rows, 100.0), Some(100.0));
    }

    #[test]
    fn runners_up_come_with_their_share() {
        let rows = [row(101.0, 1.0, 0.0), row(102.0, 6.0, 0.0), row(103.0, 3.0, 0.0)];
        let ranked = walls(&rows, 100.0, Call, &Chosen::default().get().definitions);
        let told: Vec<_> = ranked.iter().map(|r| (r.strike, r.share)).collect();
        assert_eq!(told, [(102.0, 0.6), (103.0, 0.3), (101.0, 0.1)]);
    }

    #[test]
    fn an_all_zero_profile_has_no_levels() {
        let rows = [row(95.0, 0.0, 0.0), row(105.0, 0.0, 0.0)];
        for profile in ["naive-oi", "naive-oi-at-spot", "naive-oi-net-walls"] {
            assert_eq!(wall(&rows, 100.0, Call, profile), None, "{profile}");
        }
        assert_eq!((peak(&rows, 100.0), absolute_gamma(&rows, 100.0)), (None, None));
    }

    #[test]
    fn ties_go_to_the_strike_nearest_to_the_spot() {
        let rows =
            [row(90.0, 5.0, 7.0), row(95.0, 5.0, 7.0), row(105.0, 7.0, 5.0), row(110.0, 7.0, 5.0)];
        assert_eq!(wall(&rows, 101.0, Call, "naive-oi"), Some(105.0));
        assert_eq!(wall(&rows, 101.0, Put, "naive-oi"), Some(95.0));
        assert_eq!(peak(&rows, 101.0), Some(105.0));
        assert_eq!(peak(&rows, 100.0), Some(95.0));
    }
}
