//! Scores of a butterfly, each from 0 to 100 (CONTRACT 10).

use std::sync::Arc;

use serde::Serialize;

use super::Rules;
use super::playbook::{
    Regime, Session, Special, TIMEWARP_DTE, TIMEWARP_MOST, TIMEWARP_WIDTH, Usual,
};
use crate::views::net_gamma::NetGamma;

/// Shares of the parts in the composite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Weights {
    /// Cheaper than its neighbours.
    pub convexity: f64,
    /// Return per risk against what is usual.
    pub r2r: f64,
    /// Width, expiry and hour against the regime.
    pub width_fit: f64,
    /// Where it stands among the gamma.
    pub gamma_alignment: f64,
}

/// As documented.
pub const WEIGHTS: Weights =
    Weights { convexity: 0.40, r2r: 0.25, width_fit: 0.20, gamma_alignment: 0.15 };

/// The four parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts {
    /// Return per risk.
    pub r2r: f64,
    /// Convexity.
    pub convexity: f64,
    /// Width fit.
    pub width_fit: f64,
    /// Gamma alignment.
    pub gamma_alignment: f64,
}

impl Parts {
    /// The weighted sum.
    #[must_use]
    pub fn composite(&self) -> f64 {
        WEIGHTS.r2r * self.r2r
            + WEIGHTS.convexity * self.convexity
            + WEIGHTS.width_fit * self.width_fit
            + WEIGHTS.gamma_alignment * self.gamma_alignment
    }
}

/// Return per risk against what is usual for the expiry; 0 for a debit that
/// would not be filled, less below 0.50.
#[must_use]
pub fn r2r(width: f64, debit: f64, dte: i32) -> f64 {
    let ratio = (width - debit) / debit;
    if debit <= 0.10 || ratio <= 0.0 {
        return 0.0;
    }
    let Usual { typical, most } = Usual::of(dte);
    let [low, high, best, top] = [typical.0, typical.1, most.0, most.1].map(f64::from);
    let between = |from: f64, to: f64| (ratio - from) / (to - from);
    let score = if ratio >= top {
        95.0
    } else if ratio >= best {
        85.0 + between(best, top) * 10.0
    } else if ratio >= high {
        75.0 + between(high, best) * 10.0
    } else if ratio >= low {
        60.0 + between(low, high) * 15.0
    } else if ratio >= low * 0.8 {
        45.0 + between(low * 0.8, low) * 15.0
    } else {
        (45.0 * ratio / (low * 0.8)).max(20.0)
    };
    let filled = if debit < 0.50 { debit / 0.50 } else { 1.0 };
    (score * filled).clamp(0.0, 95.0)
}

/// How much cheaper than its neighbours: 0.5 local advantage, 0.3 standing
/// among them, 0.2 efficiency. Without neighbours the first two are 50.
#[must_use]
pub fn convexity(width: f64, debit: f64, neighbours: &[f64]) -> f64 {
    0.5 * local_advantage(debit, neighbours)
        + 0.3 * standing(debit, neighbours)
        + 0.2 * efficiency(width, debit)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn local_advantage(debit: f64, neighbours: &[f64]) -> f64 {
    let Some(mean) = mean(neighbours).filter(|mean| *mean > 0.0) else { return 50.0 };
    let cheaper = (mean - debit) / mean * 100.0;
    let score = if cheaper >= 15.0 {
        95.0
    } else if cheaper >= 10.0 {
        85.0 + (cheaper - 10.0)
    } else if cheaper >= 5.0 {
        70.0 + (cheaper - 5.0) * 3.0
    } else if cheaper >= 0.0 {
        50.0 + cheaper * 4.0
    } else {
        (50.0 + cheaper * 2.0).max(20.0)
    };
    let cheapest = neighbours.iter().all(|other| debit < *other);
    if cheapest { (score + 10.0).min(98.0) } else { score }
}

/// By standard deviations below the mean; needs three neighbours.
fn standing(debit: f64, neighbours: &[f64]) -> f64 {
    let Some(mean) = mean(neighbours).filter(|_| neighbours.len() >= 3) else { return 50.0 };
    let squares: f64 = neighbours.iter().map(|x| (x - mean) * (x - mean)).sum();
    let deviation = (squares / neighbours.len() as f64).sqrt();
    let z = if deviation > 0.01 { (mean - debit) / deviation } else { 0.0 };
    match z {
        z if z >= 2.0 => 95.0,
        z if z >= 1.5 => 85.0,
        z if z >= 1.0 => 75.0,
        z if z >= 0.5 => 65.0,
        z if z >= 0.0 => 55.0,
        z => (50.0 + z * 15.0).max(25.0),
    }
}

fn efficiency(width: f64, debit: f64) -> f64 {
    let share = debit / width * 100.0;
    let asymmetry = match share {
        s if s <= 3.0 => 1.15,
        s if s <= 5.0 => 1.10,
        s if s <= 7.0 => 1.05,
        _ => 1.0,
    };
    // r2r + 1 is the width over the debit.
    ((30.0 * libm::log2(width / debit)).min(95.0) * asymmetry).min(95.0)
}

/// What the width fit depends on besides the tile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Environment {
    /// Volatility, points of the index.
    pub volatility: f64,
    /// Its regime.
    pub regime: Regime,
    /// The strategy that goes first.
    pub special: Option<Special>,
    /// Part of the day; `None` where the moment is unknown.
    pub session: Option<Session>,
    /// How fast premium decays.
    pub decay: f64,
}

/// Widths and days to expiry that suit a tile of so many days to expiry.
///
/// In the original, timewarp takes the place of the regime for every tile up
/// to a volatility of 17, so that no tile of today suits a calm market;
/// repaired, it takes it only for the tiles that it is about.
#[must_use]
pub fn ideal(environment: &Environment, dte: i32, rules: &Rules) -> ((u32, u32), (i32, i32)) {
    let warps = if rules.timewarp_by_tile {
        environment.volatility <= TIMEWARP_MOST && (TIMEWARP_DTE.0..=TIMEWARP_DTE.1).contains(&dte)
    } else {
        environment.special == Some(Special::Timewarp) && environment.regime == Regime::Zombieland
    };
    if warps {
        (TIMEWARP_WIDTH, TIMEWARP_DTE)
    } else {
        (environment.regime.widths(), environment.regime.dtes())
    }
}

/// Width 0.4, days to expiry 0.25, session 0.2, wider is better 0.15.
#[must_use]
pub fn width_fit(environment: &Environment, width: f64, dte: i32, rules: &Rules) -> f64 {
    let (widths, dtes) = ideal(environment, dte, rules);
    let (least, most) = (f64::from(widths.0), f64::from(widths.1));
    let mut by_width = if width > most {
        (95.0 - (width - most) * 0.5).max(70.0)
    } else if width >= least {
        95.0
    } else if width >= least - 5.0 {
        75.0
    } else if width >= least - 10.0 {
        55.0
    } else {
        30.0
    };
    if environment.decay > 1.0 && width < least {
        // Meant to soften the penalty; the original so lowers 75 to 70.
        let softened = (by_width * 1.1).min(70.0);
        by_width = if rules.decay_only_softens { softened.max(by_width) } else { softened };
    }
    let by_dte = if (dtes.0..=dtes.1).contains(&dte) {
        95.0
    } else if dte == dtes.1 + 1 {
        70.0
    } else {
        match environment.regime {
            Regime::Chaos if dte == 0 => 40.0,
            Regime::Zombieland if dte > 1 => 50.0,
            _ => 60.0,
        }
    };
    let by_session = match environment.session {
        Some(session) => session.score(dte),
        // The moment is unknown: as outside of all sessions.
        None => Session::AfterHours.score(dte),
    };
    let wider = match width {
        w if w >= 50.0 => 95.0,
        w if w >= 40.0 => 85.0,
        w if w >= 30.0 => 70.0,
        w if w >= 20.0 => 55.0,
        _ => 40.0,
    };
    0.4 * by_width + 0.25 * by_dte + 0.2 * by_session + 0.15 * wider
}

/// Gamma of the book, as far as tiles are measured by it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gamma {
    /// Exposures by strike.
    pub net: Arc<NetGamma>,
    /// The strike with the largest net.
    pub magnet: Option<f64>,
    /// The nearest flip.
    pub zero: Option<f64>,
}

/// Nearness of the magnet 0.4, side of the flip 0.3, wings 0.3.
#[must_use]
pub fn gamma_alignment(gamma: &Gamma, strike: f64, width: f64, is_call: bool) -> f64 {
    let magnet = gamma.magnet.map_or(60.0, |magnet| match (strike - magnet).abs() {
        d if d <= 10.0 => 95.0,
        d if d <= 25.0 => 80.0,
        d if d <= 50.0 => 60.0,
        _ => 40.0,
    });
    let side = gamma.zero.map_or(50.0, |zero| {
        let right = if is_call { strike > zero } else { strike < zero };
        if right { 80.0 } else { 30.0 }
    });
    let holds = |wing: f64| {
        let rows = &gamma.net.rows;
        let at = rows.binary_search_by(|row| row.strike.total_cmp(&wing)).ok();
        at.and_then(|at| rows.get(at)).is_some_and(|row| row.net() > 0.0)
    };
    let wings = [strike - width, strike + width].into_iter().filter(|w| holds(*w)).count();
    let wings = (50.0 + 15.0 * wings as f64).min(95.0);
    0.4 * magnet + 0.3 * side + 0.3 * wings
}

/// How much is known, 0 to 1.
#[must_use]
pub fn confidence(has_gamma: bool, has_bias: bool, debit: f64) -> f64 {
    let of = |holds: bool, share: f64| if holds { share } else { 0.0 };
    (0.5 + of(has_gamma, 0.25) + of(has_bias, 0.15) + of(debit >= 1.0, 0.10)).min(1.0)
}

#[cfg(test)]
mod tests;
