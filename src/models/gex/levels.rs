//! Named levels of an exposure profile: walls and peak.
//!
//! Definitions (`wall: by side beyond spot`): the call wall is the strike
//! strictly above the spot with the largest call exposure, the put wall the
//! strike strictly below the spot with the most negative put exposure, the peak
//! the strike anywhere with the largest |call + put|. Exposures are summed over
//! expiries before strikes are ranked. On a tie the strike nearest to the spot
//! wins, the lower one when both are equally near. A side that has nothing has
//! no wall.

use serde::Serialize;

/// Dollar exposure of a strike per 1 % move, puts negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StrikeExposure {
    /// Strike in points.
    pub strike: f64,
    /// Sum over calls; `None` where none was counted.
    pub call: Option<f64>,
    /// Sum over puts, at or below zero; `None` where none was counted.
    pub put: Option<f64>,
    /// Both together.
    pub net: f64,
}

/// The strike above the spot with the largest call exposure.
#[must_use]
pub fn call_wall(strikes: &[StrikeExposure], spot: f64) -> Option<f64> {
    largest(strikes, spot, |s| s.call.filter(|_| s.strike > spot))
}

/// The strike below the spot with the most negative put exposure.
#[must_use]
pub fn put_wall(strikes: &[StrikeExposure], spot: f64) -> Option<f64> {
    largest(strikes, spot, |s| s.put.filter(|_| s.strike < spot).map(|put| -put))
}

/// The strike with the largest net exposure of either sign.
#[must_use]
pub fn peak(strikes: &[StrikeExposure], spot: f64) -> Option<f64> {
    largest(strikes, spot, |s| Some(s.net.abs()))
}

/// The strike with the largest score above zero; nearest to the spot on a tie.
fn largest(
    strikes: &[StrikeExposure],
    spot: f64,
    score: impl Fn(&StrikeExposure) -> Option<f64>,
) -> Option<f64> {
    let mut best: Option<(f64, f64)> = None;
    for candidate in strikes {
        let Some(score) = score(candidate).filter(|s| *s > 0.0) else { continue };
        let better = best.is_none_or(|(most, strike)| {
            score > most
                || (score == most && (candidate.strike - spot).abs() < (strike - spot).abs())
        });
        if better {
            best = Some((score, candidate.strike));
        }
    }
    best.map(|(_, strike)| strike)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(strike: f64, call: f64, put: f64) -> StrikeExposure {
        StrikeExposure { strike, call: Some(call), put: Some(-put), net: call - put }
    }

    #[test]
    fn walls_lie_strictly_beyond_the_spot() {
        let rows = [row(95.0, 1.0, 4.0), row(100.0, 99.0, 99.0), row(105.0, 3.0, 1.0)];
        assert_eq!(call_wall(&rows, 100.0), Some(105.0));
        assert_eq!(put_wall(&rows, 100.0), Some(95.0));
        assert_eq!(peak(&rows, 100.0), Some(95.0));
        assert_eq!(call_wall(&rows, 105.0), None);
        assert_eq!(put_wall(&rows, 95.0), None);
    }

    #[test]
    fn an_all_zero_profile_has_no_levels() {
        let rows = [row(95.0, 0.0, 0.0), row(105.0, 0.0, 0.0)];
        assert_eq!(
            (call_wall(&rows, 100.0), put_wall(&rows, 100.0), peak(&rows, 100.0)),
            (None, None, None)
        );
    }

    #[test]
    fn ties_go_to_the_strike_nearest_to_the_spot() {
        let rows =
            [row(90.0, 5.0, 7.0), row(95.0, 5.0, 7.0), row(105.0, 7.0, 5.0), row(110.0, 7.0, 5.0)];
        assert_eq!(call_wall(&rows, 101.0), Some(105.0));
        assert_eq!(put_wall(&rows, 101.0), Some(95.0));
        assert_eq!(peak(&rows, 101.0), Some(105.0));
        assert_eq!(peak(&rows, 100.0), Some(95.0));
    }
}
