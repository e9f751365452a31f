//! What the volatility and the hour stand for: regimes, sessions, tables
//! (CONTRACT 10).

use serde::Serialize;
use serde_json::{Value, json};

/// Environment by the volatility index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Regime {
    /// Below 17.
    Zombieland,
    /// From 17.
    #[serde(rename = "goldilocks_1")]
    Goldilocks1,
    /// From 23.
    #[serde(rename = "goldilocks_2")]
    Goldilocks2,
    /// From 32.
    Chaos,
}

/// A strategy that the hour or the volatility calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Special {
    /// Volatility from 24: two butterflies around the price.
    Batman,
    /// Volatility up to 17: one or two days out.
    Timewarp,
    /// The last hours of the day of expiry.
    GammaScalp,
}

/// Part of the day, New York time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Session {
    /// Before 7.
    Overnight,
    /// 7 to 9.5.
    Premarket,
    /// 9.5 to 12.5.
    Morning,
    /// 12.5 to 14.5.
    Afternoon,
    /// 14.5 to 16.
    Closing,
    /// From 16.
    AfterHours,
}

/// From this volatility the regime is `goldilocks_1`.
pub const GOLDILOCKS_1_LEAST: f64 = 17.0;
/// From this volatility the regime is `goldilocks_2`.
pub const GOLDILOCKS_2_LEAST: f64 = 23.0;
/// From this volatility the regime is `chaos`.
pub const CHAOS_LEAST: f64 = 32.0;
/// Up to this volatility the strategy timewarp applies.
pub const TIMEWARP_MOST: f64 = 17.0;
/// From this volatility the strategy batman applies.
pub const BATMAN_LEAST: f64 = 24.0;
/// Days to expiry of timewarp.
pub const TIMEWARP_DTE: (i32, i32) = (1, 2);
/// Widths of timewarp.
pub const TIMEWARP_WIDTH: (u32, u32) = (10, 20);

impl Regime {
    /// The regime of a volatility, in points of the index.
    #[must_use]
    pub fn of(vix: f64) -> Regime {
        match vix {
            v if v >= CHAOS_LEAST => Regime::Chaos,
            v if v >= GOLDILOCKS_2_LEAST => Regime::Goldilocks2,
            v if v >= GOLDILOCKS_1_LEAST => Regime::Goldilocks1,
            _ => Regime::Zombieland,
        }
    }

    /// Widths that suit it.
    #[must_use]
    pub const fn widths(self) -> (u32, u32) {
        match self {
            Regime::Zombieland => (20, 30),
            Regime::Goldilocks1 => (30, 40),
            Regime::Goldilocks2 => (40, 50),
            Regime::Chaos => (50, 100),
        }
    }

    /// Days to expiry that suit it.
    #[must_use]
    pub const fn dtes(self) -> (i32, i32) {
        match self {
            Regime::Zombieland | Regime::Goldilocks1 => (0, 1),
            Regime::Goldilocks2 => (0, 2),
            Regime::Chaos => (1, 3),
        }
    }

    /// First hour of the gamma scalp's window; it ends at 16.
    #[must_use]
    pub const fn scalp_from(self) -> f64 {
        match self {
            Regime::Zombieland => 12.5,
            Regime::Goldilocks1 => 14.0,
            Regime::Goldilocks2 | Regime::Chaos => 15.0,
        }
    }

    const fn decay(self) -> f64 {
        match self {
            Regime::Zombieland => 1.2,
            Regime::Goldilocks1 => 1.1,
            Regime::Goldilocks2 => 1.0,
            Regime::Chaos => 0.9,
        }
    }

    const fn breach(self) -> f64 {
        match self {
            Regime::Zombieland => 0.85,
            Regime::Goldilocks1 => 1.0,
            Regime::Goldilocks2 => 1.2,
            Regime::Chaos => 1.4,
        }
    }
}

/// Hour at which the gamma scalp's window ends.
pub const SCALP_UNTIL: f64 = 16.0;

/// Whether an hour lies in the gamma scalp's window, its ends included.
#[must_use]
pub fn is_scalp_hour(regime: Regime, hour: f64) -> bool {
    (regime.scalp_from()..=SCALP_UNTIL).contains(&hour)
}

/// The strategy that goes first: batman, timewarp, gamma scalp.
#[must_use]
pub fn special(vix: f64, hour: Option<f64>) -> Option<Special> {
    if vix >= BATMAN_LEAST {
        Some(Special::Batman)
    } else if vix <= TIMEWARP_MOST {
        Some(Special::Timewarp)
    } else {
        hour.filter(|hour| is_scalp_hour(Regime::of(vix), *hour)).map(|_| Special::GammaScalp)
    }
}

impl Session {
    /// The session of an hour in New York.
    #[must_use]
    pub fn of(hour: f64) -> Session {
        match hour {
            h if h < 7.0 => Session::Overnight,
            h if h < 9.5 => Session::Premarket,
            h if h < 12.5 => Session::Morning,
            h if h < 14.5 => Session::Afternoon,
            h if h < 16.0 => Session::Closing,
            _ => Session::AfterHours,
        }
    }

    /// How well it suits an entry with so many days to expiry, 0 to 100.
    #[must_use]
    pub fn score(self, dte: i32) -> f64 {
        match (dte, self) {
            (0, Session::Morning) => 95.0,
            (0, Session::Premarket) => 80.0,
            (0, Session::Afternoon) => 50.0,
            (0, Session::Closing) => 40.0,
            (0, _) => 30.0,
            (1, Session::Morning | Session::Afternoon) => 85.0,
            (1, Session::Closing) => 75.0,
            (1, _) => 60.0,
            _ => 70.0,
        }
    }

    const fn decay(self) -> f64 {
        match self {
            Session::Premarket => 0.8,
            Session::Morning => 1.0,
            Session::Afternoon => 1.3,
            Session::Closing => 1.6,
            Session::Overnight | Session::AfterHours => 0.5,
        }
    }

    const fn breach(self) -> f64 {
        match self {
            Session::Premarket => 0.8,
            Session::Morning => 1.15,
            Session::Afternoon => 0.95,
            Session::Closing => 1.1,
            Session::Overnight | Session::AfterHours => 1.0,
        }
    }
}

/// How fast premium decays now, 1 on a plain morning.
#[must_use]
pub fn decay(session: Option<Session>, regime: Regime) -> f64 {
    super::hundredths(session.map_or(1.0, Session::decay) * regime.decay())
}

/// How likely the expected move is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breach {
    /// From 0 to 0.45.
    pub probability: f64,
    factors: [f64; 3],
}

const BREACH_BASE: f64 = 0.195;
const BREACH_MOST: f64 = 0.45;

impl Breach {
    /// The estimate for a regime, a session and a volatility.
    #[must_use]
    pub fn of(regime: Regime, session: Option<Session>, vix: f64) -> Breach {
        let level = match vix {
            v if v >= 40.0 => 1.5,
            v if v >= 30.0 => 1.25,
            v if v <= 12.0 => 0.8,
            _ => 1.0,
        };
        let factors = [regime.breach(), session.map_or(1.0, Session::breach), level];
        let probability = BREACH_BASE * factors[0] * factors[1] * factors[2];
        Breach { probability: super::thousandths(probability.min(BREACH_MOST)), factors }
    }

    /// As clients read it.
    #[must_use]
    pub fn document(&self) -> Value {
        let (likelihood, color) = match self.probability {
            p if p >= 0.30 => ("high", "green"),
            p if p >= 0.22 => ("elevated", "yellow"),
            p if p >= 0.15 => ("normal", "neutral"),
            _ => ("low", "red"),
        };
        let [regime, session, vix] = self.factors;
        json!({
            "breach_probability": self.probability,
            "breach_pct": super::tenths(self.probability * 100.0),
            "likelihood": likelihood,
            "color": color,
            "factors": {"base_rate": BREACH_BASE, "regime_mult": regime,
                        "session_mult": session, "vix_mult": vix},
        })
    }
}

/// What return per risk is usual for a number of days to expiry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The typical range.
    pub typical: (u32, u32),
    /// The range of the best.
    pub most: (u32, u32),
}

/// By days to expiry, 0 to 10; later ones as 10.
const USUAL: [Usual; 11] = [
    Usual { typical: (9, 12), most: (15, 18) },
    Usual { typical: (10, 14), most: (16, 20) },
    Usual { typical: (12, 16), most: (18, 24) },
    Usual { typical: (15, 22), most: (25, 30) },
    Usual { typical: (18, 25), most: (28, 35) },
    Usual { typical: (20, 30), most: (30, 40) },
    Usual { typical: (22, 35), most: (35, 45) },
    Usual { typical: (25, 38), most: (38, 48) },
    Usual { typical: (28, 42), most: (42, 52) },
    Usual { typical: (30, 45), most: (45, 55) },
    Usual { typical: (35, 50), most: (50, 60) },
];

impl Usual {
    /// The row of a number of days to expiry.
    #[must_use]
    pub fn of(dte: i32) -> Usual {
        let [first, .., last] = USUAL;
        usize::try_from(dte).map_or(first, |dte| USUAL.get(dte).copied().unwrap_or(last))
    }
}

/// The campaign of a number of days to expiry.
#[must_use]
pub const fn campaign(dte: i32) -> &'static str {
    match dte {
        ..=2 => "0dte_tactical",
        3..=5 => "convex_stack",
        _ => "sigma_drift",
    }
}

/// Campaigns as clients read them.
#[must_use]
pub fn campaigns() -> Value {
    json!({
        "0dte_tactical": {"dte_range": [0, 2], "r2r_typical": [9, 18],
                          "debit_pct_range": [0.07, 0.10], "frequency": "3-7/week"},
        "convex_stack": {"dte_range": [3, 5], "r2r_typical": [15, 30],
                         "debit_pct_range": [0.05, 0.07], "frequency": "2/week overlapping"},
        "sigma_drift": {"dte_range": [5, 10], "r2r_typical": [20, 50],
                        "debit_pct_range": [0.03, 0.05], "frequency": "6/month"},
    })
}

/// Payoff zones as clients read them.
#[must_use]
pub fn payoff_zones() -> Value {
    json!({
        "zone_0": {"probability": 0.50, "return_range": [0, 0], "label": "Loss"},
        "zone_1": {"probability": 0.375, "return_range": [0.5, 2.5], "label": "Standard Win"},
        "zone_2": {"probability": 0.10, "return_range": [2.5, 4.5], "label": "Strong Win"},
        "zone_3": {"probability": 0.025, "return_range": [8.0, 19.0], "label": "Pin Trade"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regimes_specials_and_sessions_by_their_bounds() {
        use Regime::{Chaos, Goldilocks1, Goldilocks2, Zombieland};
        let regimes = [16.99, 17.0, 22.99, 23.0, 31.99, 32.0].map(Regime::of);
        let want = [Zombieland, Goldilocks1, Goldilocks1, Goldilocks2, Goldilocks2, Chaos];
        assert_eq!(regimes, want);
        assert_eq!(special(24.0, Some(15.5)), Some(Special::Batman));
        assert_eq!(special(17.0, Some(15.5)), Some(Special::Timewarp));
        assert_eq!(special(20.0, Some(14.0)), Some(Special::GammaScalp));
        assert_eq!(special(20.0, Some(13.99)), None);
        assert_eq!(special(20.0, None), None);
        let sessions = [6.9, 7.0, 9.5, 12.5, 14.5, 16.0].map(Session::of);
        let want = [
            Session::Overnight,
            Session::Premarket,
            Session::Morning,
            Session::Afternoon,
            Session::Closing,
            Session::AfterHours,
        ];
        assert_eq!(sessions, want);
        assert_eq!(decay(Some(Session::Closing), Zombieland), 1.92);
    }

    #[test]
    fn the_breach_of_the_contract() {
        // 0.195 x 0.85 x 1.15 x 0.8 = 0.152490
        let low = Breach::of(Regime::Zombieland, Some(Session::Morning), 12.0);
        assert_eq!(low.probability, 0.152);
        // 0.195 x 1.4 x 1.1 x 1.5 = 0.45045, at most 0.45
        let high = Breach::of(Regime::Chaos, Some(Session::Closing), 40.0);
        assert_eq!(high.probability, 0.45);
        assert_eq!(high.document()["likelihood"], "high");
        assert_eq!(low.document()["breach_pct"], 15.2);
    }

    #[test]
    fn later_expiries_have_the_last_row_of_the_table() {
        assert_eq!(Usual::of(0).typical, (9, 12));
        assert_eq!(Usual::of(10), Usual::of(45));
        assert_eq!(
            [2, 3, 5, 6].map(campaign),
            ["0dte_tactical", "convex_stack", "convex_stack", "sigma_drift"]
        );
    }
}
