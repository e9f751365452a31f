//! The zero-gamma flip: the repriced book's curve, and the two definitions that
//! read it off the strikes.
//!
//! Curve: for each spot S of a grid, every contract's gamma is taken anew from
//! its volatility (Black-Scholes, European, carry q):
//! gamma = e^(-qT) phi(d1) / (S s sqrt T), and the net exposure is the sum of
//! sign x gamma x contracts x multiplier in the profile's unit. A crossing is a
//! change of sign between neighbours of the grid, linearly interpolated. T is
//! ACT/365 to the instant of settlement, with a floor. The curve does not depend
//! on where the spot is, so it is priced again only when the chain is new, time
//! has passed, or the spot has left the middle of the grid.

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, TradingDay};
use serde::{Deserialize, Serialize};

use super::exposure::Excluded;
use super::held::{View, Volatility};
use super::levels::StrikeExposure;
use super::profile::Unit;
use crate::market::book::Book;
use crate::market::exponential::exp;

/// Parameters of the curve; they stand in every body.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlipParameters {
    /// Half width of the grid as a fraction of its centre. Default: 0.15.
    pub span: f64,
    /// Distance of neighbours as a fraction of the centre.
    /// Default: 0.0025, which makes 121 spots.
    pub step: f64,
    /// Oldest curve that is still used, seconds.
    /// Default: 60.
    pub refresh_s: i64,
    /// Farthest that the spot may move from the centre, as a fraction of it.
    /// Default: 0.01.
    pub recentre: f64,
}

impl Default for FlipParameters {
    fn default() -> Self {
        FlipParameters { span: 0.15, step: 0.0025, refresh_s: 60, recentre: 0.01 }
    }
}

/// Net exposure of the repriced book over spots.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Curve {
    /// By spot of the grid, ascending.
    pub net: Vec<f64>,
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

impl Curve {
    /// Spots and net exposures.
    pub fn points<'a>(
        &'a self,
        parameters: &FlipParameters,
    ) -> impl Iterator<Item = (f64, f64)> + 'a {
        let (centre, step, steps) = (self.centre, parameters.step, steps(parameters));
        let spots = (-steps..=steps).map(move |i| centre * (1.0 + i as f64 * step));
        spots.zip(self.net.iter().copied())
    }

    /// Whether the curve must be priced again for this moment and spot.
    #[must_use]
    pub fn is_stale(&self, now: RecvTime, spot: f64, parameters: &FlipParameters) -> bool {
        now.0.saturating_sub(self.at.0) >= parameters.refresh_s * NANOS_PER_SECOND
            || (spot - self.centre).abs() > parameters.recentre * self.centre
    }
}

fn steps(parameters: &FlipParameters) -> i64 {
    (parameters.span / parameters.step).round() as i64
}

/// Constants of the contracts along the grid, in columns whose length is a
/// multiple of [`LANES`].
#[derive(Default)]
struct Priced {
    /// d1 at ln S = 0.
    d1: Vec<f64>,
    /// 1 / (s sqrt T).
    per_deviation: Vec<f64>,
    /// sign x contracts x multiplier x e^(-qT) x 1/sqrt(2 pi) / (s sqrt T).
    weight: Vec<f64>,
}

/// Partial sums of a curve's point: a fixed number, so that the order of
/// additions does not depend on how wide the machine's vectors are.
const LANES: usize = 8;
const ONE_BY_SQRT_TWO_PI: f64 = 0.398_942_280_401_432_7;

/// Reprices a book around a spot, as one looks at it.
#[must_use]
pub fn curve(
    book: &Book,
    view: &View<'_>,
    spot: f64,
    day: TradingDay,
    parameters: &FlipParameters,
) -> Curve {
    let mut curve = Curve { at: view.as_of, centre: spot, ..Curve::default() };
    let priced = constants(book, view, day, &mut curve);
    let unit = view.definitions.unit;
    let steps = steps(parameters);
    curve.net = (-steps..=steps)
        .map(|i| net_at(&priced, spot * (1.0 + i as f64 * parameters.step), unit))
        .collect();
    curve
}

fn constants(book: &Book, view: &View<'_>, day: TradingDay, curve: &mut Curve) -> Priced {
    let mut priced = Priced::default();
    let pricing = view.pricing;
    for (contract, state) in book.topology.contracts.iter().zip(&book.states) {
        // The vendor's gamma is not needed here: only what is alive and held.
        let Ok(contracts) = view.position(contract, state, contract.dte(day)) else {
            continue;
        };
        let sigma = match view.volatility(contract, state) {
            Volatility::Known(iv) => iv,
            Volatility::Capped => {
                curve.capped_iv += 1;
                continue;
            }
            Volatility::Missing => {
                curve.missing_iv += 1;
                continue;
            }
        };
        let t = pricing.years(contract, view.as_of);
        let deviation = sigma * libm::sqrt(t);
        let drift = (pricing.rate - pricing.carry + sigma * sigma / 2.0) * t;
        let sign = view.definitions.sign.of(contract.right);
        let discount = libm::exp(-pricing.carry * t);
        priced.d1.push((drift - libm::log(contract.strike.to_f64())) / deviation);
        priced.per_deviation.push(1.0 / deviation);
        priced.weight.push(
            sign * contracts * contract.multiplier * discount * ONE_BY_SQRT_TWO_PI / deviation,
        );
    }
    curve.contracts = priced.weight.len() as u64;
    let whole = priced.weight.len().next_multiple_of(LANES);
    for column in [&mut priced.d1, &mut priced.per_deviation, &mut priced.weight] {
        column.resize(whole, 0.0);
    }
    priced
}

/// Net exposure of the book at a spot.
fn net_at(priced: &Priced, spot: f64, unit: Unit) -> f64 {
    let log = libm::log(spot);
    let mut sums = [0.0; LANES];
    let (d1, _) = priced.d1.as_chunks::<LANES>();
    let (per, _) = priced.per_deviation.as_chunks::<LANES>();
    let (weight, _) = priced.weight.as_chunks::<LANES>();
    for ((d1, per), weight) in d1.iter().zip(per).zip(weight) {
        for lane in 0..LANES {
            let x = d1[lane] + log * per[lane];
            sums[lane] += weight[lane] * exp(-0.5 * x * x);
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let sum = ((a + e) + (c + g)) + ((b + f) + (d + h));
    match unit {
        // gamma has 1/S, the unit S^2 0.01 or S.
        Unit::PerPercent => sum * spot * 0.01,
        Unit::PerPoint => sum,
    }
}

/// Net exposures by strike, those that count.
fn nets(strikes: &[StrikeExposure]) -> impl Iterator<Item = (f64, f64)> + '_ {
    strikes.iter().filter_map(|s| Some((s.strike, s.gex.net?)))
}

/// Where neighbouring strikes differ in sign.
#[must_use]
pub fn adjacent(strikes: &[StrikeExposure]) -> Vec<f64> {
    crossings(&nets(strikes).collect::<Vec<_>>())
}

/// Where the running sum over ascending strikes changes its sign.
#[must_use]
pub fn cumulative(strikes: &[StrikeExposure]) -> Vec<f64> {
    let mut sum = 0.0;
    let running = nets(strikes).map(|(strike, net)| {
        sum += net;
        (strike, sum)
    });
    crossings(&running.collect::<Vec<_>>())
}

/// The crossing nearest to the spot, the lower one on a tie.
#[must_use]
pub fn nearest(crossings: &[f64], spot: f64) -> Option<f64> {
    crossings.iter().copied().min_by(|a, b| (a - spot).abs().total_cmp(&(b - spot).abs()))
}

/// Points where a curve changes its sign. A run of exact zeros between two
/// signs counts once, at its middle; zeros at the ends of the grid do not count.
pub fn crossings(curve: &[(f64, f64)]) -> Vec<f64> {
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

/// Counts of a curve for a body.
#[must_use]
pub fn left_out(curve: &Curve, excluded: &Excluded) -> FlipLeftOut {
    FlipLeftOut {
        missing_iv: curve.missing_iv,
        capped_iv: curve.capped_iv,
        expired: excluded.expired,
        beyond_days: excluded.beyond_days,
        missing_position: excluded.missing_position,
        zero_position: excluded.zero_position,
    }
}

/// Contracts that a curve was computed without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct FlipLeftOut {
    pub missing_iv: u64,
    pub capped_iv: u64,
    pub expired: u64,
    pub beyond_days: u64,
    pub missing_position: u64,
    pub zero_position: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::market::black_scholes::Terms;
    use crate::market::book::ContractState;
    use crate::market::pricing::Pricing;
    use crate::models::gex::exposure::{Sides, Signed};
    use crate::models::gex::profile::Chosen;
    use crate::models::testing::{book, contract};

    const DAY: TradingDay = TradingDay(0);

    fn held(iv: f64, open_interest: f64) -> ContractState {
        ContractState {
            implied_volatility: Some(iv),
            open_interest: Some(open_interest),
            ..ContractState::default()
        }
    }

    fn view<'a>(profile: &'a Chosen, pricing: &'a Pricing) -> View<'a> {
        let definitions = &profile.get().definitions;
        View { definitions, pricing, as_of: RecvTime(0), spot: Some(100.0) }
    }

    fn priced(book: &Book) -> (Curve, Vec<f64>) {
        let (profile, pricing) = (Chosen::default(), Pricing::default());
        let parameters = FlipParameters::default();
        let curve = curve(book, &view(&profile, &pricing), 100.0, DAY, &parameters);
        let crossings = crossings(&curve.points(&parameters).collect::<Vec<_>>());
        (curve, crossings)
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
    fn strikes_give_their_own_crossings() {
        let row = |strike, net| StrikeExposure {
            strike,
            gex: Signed { call: None, put: None, net },
            contracts: Sides::default(),
        };
        let rows =
            [row(90.0, Some(-4.0)), row(95.0, None), row(100.0, Some(4.0)), row(110.0, Some(8.0))];
        assert_eq!(adjacent(&rows), [95.0]);
        assert_eq!(cumulative(&rows), [100.0], "-4, 0, 8");
        let rows = [row(90.0, Some(-4.0)), row(100.0, Some(2.0)), row(110.0, Some(6.0))];
        assert_eq!(adjacent(&rows), [90.0 + 10.0 * 4.0 / 6.0]);
        assert_eq!(cumulative(&rows), [100.0 + 10.0 * 2.0 / 6.0]);
    }

    #[test]
    fn two_equal_positions_flip_between_their_strikes() {
        // With r = q = 0 and equal volatility the exposures of K1 and K2 are
        // equal where d1 of one is minus d1 of the other:
        // S = sqrt(K1 K2) e^(-s^2 T / 2).
        let contracts = vec![contract("P", 95.0, 30), contract("C", 105.0, 30)];
        let book = book(contracts, vec![held(0.2, 10.0); 2]);
        let (curve, crossings) = priced(&book);
        let t = 30.0 / 365.0;
        let expected = (95.0_f64 * 105.0).sqrt() * libm::exp(-0.2 * 0.2 * t / 2.0);
        assert_eq!(crossings.len(), 1);
        let got = nearest(&crossings, 100.0).expect("a crossing");
        assert!((got - expected).abs() < 2e-3, "{got} against {expected}");
        assert_eq!((curve.contracts, curve.missing_iv), (2, 0));
    }

    #[test]
    fn contracts_without_a_volatility_are_counted() {
        let contracts =
            vec![contract("C", 95.0, 30), contract("C", 100.0, 30), contract("C", 105.0, 30)];
        let none = ContractState { open_interest: Some(5.0), ..ContractState::default() };
        let book = book(contracts, vec![held(0.2, 10.0), none, held(20.0, 10.0)]);
        let (curve, crossings) = priced(&book);
        assert_eq!((curve.contracts, curve.missing_iv, curve.capped_iv), (1, 1, 1));
        assert_eq!(nearest(&crossings, 100.0), None);
    }

    #[test]
    fn a_curve_is_stale_by_time_or_by_distance() {
        let curve = Curve { at: RecvTime(0), centre: 100.0, ..Curve::default() };
        let p = FlipParameters::default();
        assert!(!curve.is_stale(RecvTime(59 * NANOS_PER_SECOND), 100.9, &p));
        assert!(curve.is_stale(RecvTime(60 * NANOS_PER_SECOND), 100.0, &p));
        assert!(curve.is_stale(RecvTime(1), 101.1, &p));
    }

    proptest! {
        /// The unrolled constants against the shared formula, contract by
        /// contract.
        #[test]
        fn repricing_is_black_scholes(
            spot in 80.0..120.0_f64,
            rows in prop::collection::vec((1u32..4, 80u32..120, 1i32..90, 0.02..3.0_f64), 1..20),
        ) {
            let pricing = Pricing { rate: 0.04, carry: 0.01, ..Pricing::default() };
            let right = |side: u32| if side == 1 { "P" } else { "C" };
            let contracts = rows.iter().map(|r| contract(right(r.0), f64::from(r.1), r.2));
            let states = rows.iter().map(|r| held(r.3, f64::from(r.1)));
            let book = book(contracts.collect(), states.collect());
            let mut sum = 0.0;
            let mut size = 0.0;
            for (side, strike, days, volatility) in rows {
                let strike = f64::from(strike);
                let years = f64::from(days) / 365.0;
                let (rate, carry) = (pricing.rate, pricing.carry);
                let terms = Terms { spot, strike, years, rate, carry, volatility };
                let gamma = terms.gamma().expect("terms that can be priced");
                let dollars = gamma * strike * 100.0 * spot * spot * 0.01;
                sum += if side == 1 { -dollars } else { dollars };
                size += dollars;
            }
            let profile = Chosen::default();
            let priced = constants(&book, &view(&profile, &pricing), DAY, &mut Curve::default());
            let net = net_at(&priced, spot, Unit::PerPercent);
            prop_assert!((net - sum).abs() <= 1e-9 * size + 1e-12, "{net} against {sum}");
            let points = net_at(&priced, spot, Unit::PerPoint);
            prop_assert!((points * spot * 0.01 - net).abs() <= 1e-12 * size);
        }
    }
}
