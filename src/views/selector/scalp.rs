//! Gamma scalp: narrow butterflies of today near the price, late in the day.

use serde_json::{Value, json};

use super::playbook::{Regime, SCALP_UNTIL, is_scalp_hour};
use super::{hundredths, tenths, thousandths};

const WIDTHS: (f64, f64) = (15.0, 25.0);
/// Farthest from the spot, percent.
const FARTHEST: f64 = 0.5;

/// The window of a regime at an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    regime: Regime,
    hour: Option<f64>,
}

impl Window {
    /// The window as an hour in New York finds it.
    #[must_use]
    pub const fn at(regime: Regime, hour: Option<f64>) -> Window {
        Window { regime, hour }
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.hour.is_some_and(|hour| is_scalp_hour(self.regime, hour))
    }

    fn progress(&self) -> f64 {
        let from = self.regime.scalp_from();
        self.hour.map_or(0.0, |hour| (hour - from) / (SCALP_UNTIL - from))
    }

    fn is_urgent(&self) -> bool {
        self.progress() > 0.7
    }

    /// As clients read it.
    #[must_use]
    pub fn document(&self) -> Value {
        let Some(hour) = self.hour else {
            return json!({"active": false, "reason": "no_moment"});
        };
        let from = self.regime.scalp_from();
        if hour < from {
            let wait = hundredths(from - hour);
            return json!({"active": false, "reason": "before_window", "starts_in_hrs": wait});
        }
        if !self.is_open() {
            return json!({"active": false, "reason": "after_window"});
        }
        let progress = self.progress();
        let urgency = match progress {
            p if p > 0.7 => "high",
            p if p > 0.4 => "medium",
            _ => "low",
        };
        json!({
            "active": true, "window_start": from, "window_end": SCALP_UNTIL,
            "progress": hundredths(progress), "time_remaining_hrs": hundredths(SCALP_UNTIL - hour),
            "urgency": urgency,
        })
    }

    /// Score and details of a tile, or `None` where it is too wide, too narrow
    /// or too far away.
    #[must_use]
    pub fn score(&self, strike: f64, width: f64, debit: f64, spot: f64) -> Option<(f64, Value)> {
        let distance = (strike - spot).abs();
        let percent = distance / spot * 100.0;
        if !(WIDTHS.0..=WIDTHS.1).contains(&width) || percent > FARTHEST {
            return None;
        }
        let near = match percent {
            p if p <= 0.1 => 100.0,
            p if p <= 0.2 => 90.0,
            p if p <= 0.3 => 75.0,
            _ => 60.0,
        };
        let narrow = 100.0 - (width - WIDTHS.0) / (WIDTHS.1 - WIDTHS.0) * 40.0;
        let cheap = match debit / width * 100.0 {
            p if p <= 3.0 => 100.0,
            p if p <= 4.0 => 85.0,
            p if p <= 5.0 => 70.0,
            _ => 50.0,
        };
        let boost = if self.is_urgent() { 1.1 } else { 1.0 };
        let score = tenths((0.4 * near + 0.3 * narrow + 0.3 * cheap) * boost).min(100.0);
        let (style, zones, tolerance) = match self.regime {
            Regime::Zombieland => ("sniper", [1, 2], "low"),
            Regime::Goldilocks1 => ("balanced", [1, 2], "medium"),
            Regime::Goldilocks2 | Regime::Chaos => ("net_caster", [2, 3], "high"),
        };
        let details = json!({
            "is_candidate": true, "disqualify_reasons": [],
            "distance_from_spot": hundredths(distance), "distance_pct": thousandths(percent),
            "scores": {"atm_proximity": tenths(near), "width_efficiency": tenths(narrow),
                       "debit_cheapness": tenths(cheap)},
            "style": style, "target_zones": zones, "hold_tolerance": tolerance,
        });
        Some((score, details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_by_hand() {
        // 15:30 of a window from 15 to 16: progress 0.5.
        let window = Window::at(Regime::Goldilocks2, Some(15.5));
        assert!(window.is_open());
        let document = window.document();
        assert_eq!((&document["progress"], &document["urgency"]), (&json!(0.5), &json!("medium")));
        // 10 of 6500 points are 0.154 %: 90; width 20: 80; 1.0 of 20 is 5 %: 70.
        // 36 + 24 + 21 = 81.
        let (score, details) = window.score(6510.0, 20.0, 1.0, 6500.0).expect("near");
        assert_eq!(score, 81.0);
        assert_eq!(details["distance_pct"], 0.154);
        // 15:45 is urgent: 81 x 1.1 = 89.1.
        let late = Window::at(Regime::Goldilocks2, Some(15.75));
        assert_eq!(late.score(6510.0, 20.0, 1.0, 6500.0).expect("near").0, 89.1);
        assert_eq!(window.score(6510.0, 30.0, 1.0, 6500.0), None);
        assert_eq!(window.score(6540.0, 20.0, 1.0, 6500.0), None);
    }

    #[test]
    fn a_closed_window_says_why() {
        let before = Window::at(Regime::Zombieland, Some(12.0)).document();
        assert_eq!(before["starts_in_hrs"], 0.5);
        assert_eq!(Window::at(Regime::Chaos, Some(16.5)).document()["reason"], "after_window");
        assert!(!Window::at(Regime::Chaos, None).is_open());
    }
}
