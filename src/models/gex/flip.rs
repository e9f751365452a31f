//! The zero-gamma flip, by repricing the whole book over a grid of spots.
//!
//! For each spot S of the grid, every contract's gamma is taken anew from its
//! implied volatility (Black-Scholes, European, carry q):
//! gamma = e^(-qT) phi(d1) / (S s sqrt T), and the net exposure is
//! the sum of sign x gamma x open interest x multiplier x S^2 x 0.01, calls
//! plus, puts minus. A crossing is a change of sign between neighbours of the
//! grid, linearly interpolated. T is ACT/365 to the instant of settlement, with
//! a floor. The curve does not depend on where the spot is, so it is priced
//! again only when the chain is new, time has passed, or the spot has left the
//! middle of the grid.

use orrery_journal::event::OptionRight;
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};
use serde::{Deserialize, Serialize};

use super::exposure::{Excluded, Verdict, verdict};
use crate::market::book::Book;

/// Parameters of the flip; they stand in every body.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlipParameters {
    /// Half width of the grid as a fraction of its centre. Default: 0.15.
    pub span: f64,
    /// Distance of neighbours as a fraction of the centre.
    /// Default: 0.0025, which makes 121 spots.
    pub step: f64,
    /// Shortest time to settlement that is priced, seconds.
    /// Default: 300.
    pub t_floor_s: i64,
    /// Continuous rate, per year.
    /// Default: 0.
    pub rate: f64,
    /// Continuous carry (dividends), per year.
    /// Default: 0.
    pub carry: f64,
    /// At and beyond this volatility the vendor's number is its cap, not a fact.
    /// Default: 20.
    pub iv_cap: f64,
    /// Oldest curve that is still used, seconds.
    /// Default: 60.
    pub refresh_s: i64,
    /// Farthest that the spot may move from the centre, as a fraction of it.
    /// Default: 0.01.
    pub recentre: f64,
}

impl Default for FlipParameters {
    fn default() -> Self {
        FlipParameters {
            span: 0.15,
            step: 0.0025,
            t_floor_s: 300,
            rate: 0.0,
            carry: 0.0,
            iv_cap: 20.0,
            refresh_s: 60,
            recentre: 0.01,
        }
    }
}

/// Where the repriced book changes its sign.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Flip {
    /// All crossings, ascending.
    pub crossings: Vec<f64>,
    /// Moment as of which T was taken.
    pub at: RecvTime,
    /// Centre of the grid.
    pub centre: f64,
    /// Contracts that were priced.
    pub contracts: u64,
    /// Held contracts without a usable volatility.
    pub missing_iv: u64,
    /// Held contracts whose volatility is the vendor's cap.
    pub capped_iv: u64,
}

impl Flip {
    /// The crossing nearest to the spot, the lower one on a tie.
    #[must_use]
    pub fn nearest(&self, spot: f64) -> Option<f64> {
        self.crossings.iter().copied().min_by(|a, b| (a - spot).abs().total_cmp(&(b - spot).abs()))
    }

    /// Whether the curve must be priced again for this moment and spot.
    #[must_use]
    pub fn is_stale(&self, now: RecvTime, spot: f64, parameters: &FlipParameters) -> bool {
        now.0.saturating_sub(self.at.0) >= parameters.refresh_s * NANOS_PER_SECOND
            || (spot - self.centre).abs() > parameters.recentre * self.centre
    }
}

/// Constants of one contract along the grid.
struct Priced {
    /// d1 at ln S = 0.
    d1: f64,
    /// 1 / (s sqrt T).
    per_deviation: f64,
    /// sign x open interest x multiplier x 0.01 x e^(-qT) x 1/sqrt(2 pi) / (s sqrt T).
    weight: f64,
}

const SECONDS_PER_YEAR: f64 = 365.0 * 86_400.0;
const ONE_BY_SQRT_TWO_PI: f64 = 0.398_942_280_401_432_7;
/// Beyond nine deviations the density is below 1e-18 of its peak.
const FAR: f64 = 9.0;

/// Reprices a book around a spot.
#[must_use]
pub fn flip(book: &Book, as_of: RecvTime, spot: f64, parameters: &FlipParameters) -> Flip {
    let mut flip = Flip { at: as_of, centre: spot, ..Flip::default() };
    let priced = constants(book, as_of, parameters, &mut flip);
    let steps = (parameters.span / parameters.step).round() as i64;
    let curve: Vec<(f64, f64)> = (-steps..=steps)
        .map(|i| spot * (1.0 + i as f64 * parameters.step))
        .map(|s| (s, net_at(&priced, s)))
        .collect();
    flip.contracts = priced.len() as u64;
    flip.crossings = crossings(&curve);
    flip
}

fn constants(
    book: &Book,
    as_of: RecvTime,
    parameters: &FlipParameters,
    flip: &mut Flip,
) -> Vec<Priced> {
    let mut priced = Vec::new();
    for (contract, state) in book.topology.contracts.iter().zip(&book.states) {
        // The vendor's gamma is not needed here: only what is alive and held.
        let open_interest = match verdict(contract, state, as_of) {
            Verdict::Expired | Verdict::MissingOpenInterest | Verdict::ZeroOpenInterest => continue,
            _ => state.open_interest.unwrap_or_default(),
        };
        let sigma = match state.implied_volatility {
            Some(iv) if iv.is_finite() && iv >= parameters.iv_cap => {
                flip.capped_iv += 1;
                continue;
            }
            Some(iv) if iv.is_finite() && iv > 0.0 => iv,
            _ => {
                flip.missing_iv += 1;
                continue;
            }
        };
        let nanos = contract.settles_at.0.saturating_sub(as_of.0);
        let seconds = (nanos as f64 / NANOS_PER_SECOND as f64).max(parameters.t_floor_s as f64);
        let t = seconds / SECONDS_PER_YEAR;
        let deviation = sigma * t.sqrt();
        let drift = (parameters.rate - parameters.carry + sigma * sigma / 2.0) * t;
        let sign = match contract.right {
            OptionRight::Call => 1.0,
            OptionRight::Put => -1.0,
        };
        let discount = libm::exp(-parameters.carry * t);
        priced.push(Priced {
            d1: (drift - libm::log(contract.strike.to_f64())) / deviation,
            per_deviation: 1.0 / deviation,
            weight: sign
                * open_interest
                * contract.multiplier
                * 0.01
                * discount
                * ONE_BY_SQRT_TWO_PI
                / deviation,
        });
    }
    priced
}

/// Net exposure of the book at a spot.
fn net_at(priced: &[Priced], spot: f64) -> f64 {
    let log = libm::log(spot);
    let mut sum = 0.0;
    for contract in priced {
        let d1 = contract.d1 + log * contract.per_deviation;
        if d1.abs() < FAR {
            sum += contract.weight * libm::exp(-0.5 * d1 * d1);
        }
    }
    sum * spot
}

/// Points where a curve changes its sign. A run of exact zeros between two
/// signs counts once, at its middle; zeros at the ends of the grid do not count.
fn crossings(curve: &[(f64, f64)]) -> Vec<f64> {
    let mut found = Vec::new();
    let mut last: Option<(usize, f64, f64)> = None;
    for (i, &(x, y)) in curve.iter().enumerate() {
        if y == 0.0 || !y.is_finite() {
            continue;
        }
        if let Some((j, x0, y0)) = last
            && (y0 > 0.0) != (y > 0.0)
        {
            found.push(if i == j + 1 {
                x0 + (x - x0) * (y0 / (y0 - y))
            } else {
                let (first, end) = (curve[j + 1].0, curve[i - 1].0);
                first + (end - first) / 2.0
            });
        }
        last = Some((i, x, y));
    }
    found
}

/// Counts of a flip for a body's quality block.
#[must_use]
pub fn left_out(flip: &Flip, excluded: &Excluded) -> FlipLeftOut {
    FlipLeftOut {
        missing_iv: flip.missing_iv,
        capped_iv: flip.capped_iv,
        expired: excluded.expired,
        missing_open_interest: excluded.missing_open_interest,
        zero_open_interest: excluded.zero_open_interest,
    }
}

/// Contracts that a flip was computed without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct FlipLeftOut {
    pub missing_iv: u64,
    pub capped_iv: u64,
    pub expired: u64,
    pub missing_open_interest: u64,
    pub zero_open_interest: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::market::black_scholes::Terms;
    use crate::market::book::ContractState;
    use crate::models::testing::{book, contract};

    fn held(iv: f64, open_interest: f64) -> ContractState {
        ContractState {
            implied_volatility: Some(iv),
            open_interest: Some(open_interest),
            ..ContractState::default()
        }
    }

    #[test]
    fn crossings_are_interpolated_and_zeros_count_once() {
        assert_eq!(crossings(&[(1.0, -1.0), (2.0, 3.0)]), [1.25]);
        assert_eq!(crossings(&[(1.0, -1.0), (2.0, 0.0), (3.0, 2.0)]), [2.0]);
        assert_eq!(crossings(&[(1.0, 0.0), (2.0, 1.0), (3.0, 0.0)]), [0.0; 0]);
        assert_eq!(crossings(&[(1.0, -1.0), (2.0, 0.0), (3.0, -2.0)]), [0.0; 0]);
        assert_eq!(crossings(&[(1.0, 1.0), (2.0, -1.0), (3.0, 1.0)]), [1.5, 2.5]);
    }

    #[test]
    fn two_equal_positions_flip_between_their_strikes() {
        // With r = q = 0 and equal volatility the exposures of K1 and K2 are
        // equal where d1 of one is minus d1 of the other:
        // S = sqrt(K1 K2) e^(-s^2 T / 2).
        let contracts = vec![contract("P", 95.0, 30), contract("C", 105.0, 30)];
        let book = book(contracts, vec![held(0.2, 10.0); 2]);
        let flip = flip(&book, RecvTime(0), 100.0, &FlipParameters::default());
        let t = 30.0 / 365.0;
        let expected = (95.0_f64 * 105.0).sqrt() * libm::exp(-0.2 * 0.2 * t / 2.0);
        assert_eq!(flip.crossings.len(), 1);
        let got = flip.nearest(100.0).expect("a crossing");
        assert!((got - expected).abs() < 2e-3, "{got} against {expected}");
        assert_eq!((flip.contracts, flip.missing_iv), (2, 0));
    }

    #[test]
    fn contracts_without_a_volatility_are_counted() {
        let contracts =
            vec![contract("C", 95.0, 30), contract("C", 100.0, 30), contract("C", 105.0, 30)];
        let none = ContractState { open_interest: Some(5.0), ..ContractState::default() };
        let book = book(contracts, vec![held(0.2, 10.0), none, held(20.0, 10.0)]);
        let flip = flip(&book, RecvTime(0), 100.0, &FlipParameters::default());
        assert_eq!((flip.contracts, flip.missing_iv, flip.capped_iv), (1, 1, 1));
        assert_eq!(flip.nearest(100.0), None);
    }

    #[test]
    fn a_curve_is_stale_by_time_or_by_distance() {
        let flip = Flip { at: RecvTime(0), centre: 100.0, ..Flip::default() };
        let p = FlipParameters::default();
        assert!(!flip.is_stale(RecvTime(59 * NANOS_PER_SECOND), 100.9, &p));
        assert!(flip.is_stale(RecvTime(60 * NANOS_PER_SECOND), 100.0, &p));
        assert!(flip.is_stale(RecvTime(1), 101.1, &p));
    }

    proptest! {
        /// The unrolled constants against the shared formula, contract by
        /// contract.
        #[test]
        fn repricing_is_black_scholes(
            spot in 80.0..120.0_f64,
            rows in prop::collection::vec((1u32..4, 80u32..120, 1i32..90, 0.02..3.0_f64), 1..12),
        ) {
            let parameters =
                FlipParameters { rate: 0.04, carry: 0.01, ..FlipParameters::default() };
            let right = |side: u32| if side == 1 { "P" } else { "C" };
            let contracts = rows.iter().map(|r| contract(right(r.0), f64::from(r.1), r.2));
            let states = rows.iter().map(|r| held(r.3, f64::from(r.1)));
            let book = book(contracts.collect(), states.collect());
            let mut sum = 0.0;
            let mut size = 0.0;
            for (side, strike, days, volatility) in rows {
                let strike = f64::from(strike);
                let years = f64::from(days) / 365.0;
                let (rate, carry) = (parameters.rate, parameters.carry);
                let terms = Terms { spot, strike, years, rate, carry, volatility };
                let gamma = terms.gamma().expect("terms that can be priced");
                let dollars = gamma * strike * 100.0 * spot * spot * 0.01;
                sum += if side == 1 { -dollars } else { dollars };
                size += dollars;
            }
            let priced = constants(&book, RecvTime(0), &parameters, &mut Flip::default());
            let net = net_at(&priced, spot);
            prop_assert!((net - sum).abs() <= 1e-9 * size + 1e-12, "{net} against {sum}");
        }
    }
}
