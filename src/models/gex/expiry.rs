//! What one expiration says by itself: max pain, put/call ratios, expected move.
//!
//! None of it depends on who holds what, so it is the same in every profile.

use orrery_journal::event::OptionRight;
use orrery_journal::units::{Price, RecvTime, TradingDay};
use serde::Serialize;

use crate::market::book::{Book, Contract, ContractState};
use crate::market::pricing::Pricing;

/// Figures of one expiration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ExpiryFigures {
    /// Strike at which open contracts are worth least at settlement; the lowest
    /// on a tie, `None` without open interest.
    pub max_pain: Option<f64>,
    /// Puts by calls.
    pub put_call: PutCall,
    /// How far the market expects the underlying to go.
    pub expected_move: Option<ExpectedMove>,
}

/// Puts by calls; `None` where there is no call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PutCall {
    /// Of open interest.
    pub open_interest: Option<f64>,
    /// Of the session's volume.
    pub volume: Option<f64>,
}

/// How far the market expects the underlying to go until an expiration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExpectedMove {
    /// The strike nearest to the spot whose call and put are both quoted.
    pub strike: f64,
    /// By the straddle there: its mid, spot less it, spot plus it.
    pub straddle: Bounds,
    /// One standard deviation by volatility, as a distance S s sqrt T and as
    /// lognormal bounds S e^(-s sqrt T), S e^(s sqrt T), with s the mean of the
    /// call's and the put's volatility.
    pub volatility: Option<Bounds>,
}

/// A distance and where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// Points.
    #[serde(rename = "move")]
    pub distance: f64,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
}

/// Sums behind a put/call ratio.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sides {
    open_interest: [Option<f64>; 2],
    volume: [Option<f64>; 2],
}

impl Sides {
    fn add(&mut self, right: OptionRight, state: &ContractState) {
        let at = usize::from(right == OptionRight::Put);
        for (sums, stated) in
            [(&mut self.open_interest, state.open_interest), (&mut self.volume, state.volume)]
        {
            if let (Some(n), Some(sum)) = (stated.filter(|n| *n >= 0.0), sums.get_mut(at)) {
                *sum = Some(sum.unwrap_or(0.0) + n);
            }
        }
    }

    /// The ratios.
    #[must_use]
    pub fn ratios(&self) -> PutCall {
        let ratio = |[call, put]: [Option<f64>; 2]| match (call, put) {
            (Some(call), Some(put)) if call > 0.0 => Some(put / call),
            _ => None,
        };
        PutCall { open_interest: ratio(self.open_interest), volume: ratio(self.volume) }
    }
}

/// Put/call ratios over all living contracts.
#[must_use]
pub fn put_call(book: &Book, as_of: RecvTime) -> PutCall {
    let mut sides = Sides::default();
    for (contract, state) in book.topology.contracts.iter().zip(&book.states) {
        if contract.settles_at >= as_of {
            sides.add(contract.right, state);
        }
    }
    sides.ratios()
}

/// Figures of every expiration that lives, ascending.
#[must_use]
pub fn by_expiry(
    book: &Book,
    as_of: RecvTime,
    spot: Option<f64>,
    pricing: &Pricing,
) -> Vec<(TradingDay, ExpiryFigures)> {
    let contracts = &book.topology.contracts;
    let mut out = Vec::new();
    let mut at = 0;
    for chunk in contracts.chunk_by(|a, b| a.expiry == b.expiry) {
        let states = book.states.get(at..at + chunk.len()).unwrap_or_default();
        at += chunk.len();
        let living = || chunk.iter().zip(states).filter(|(c, _)| c.settles_at >= as_of);
        let Some((first, _)) = living().next() else { continue };
        let mut sides = Sides::default();
        living().for_each(|(contract, state)| sides.add(contract.right, state));
        let figures = ExpiryFigures {
            max_pain: max_pain(living()),
            put_call: sides.ratios(),
            expected_move: spot.and_then(|spot| expected_move(living(), as_of, spot, pricing)),
        };
        out.push((first.expiry, figures));
    }
    out
}

/// The listed strike at which the holders of open contracts get least:
/// the sum of open interest x multiplier x intrinsic value.
fn max_pain<'a>(contracts: impl Iterator<Item = (&'a Contract, &'a ContractState)>) -> Option<f64> {
    // Per strike: what calls and puts of it weigh.
    let mut strikes: Vec<(Price, f64, f64)> = Vec::new();
    let mut open = false;
    for (contract, state) in contracts {
        let held = state.open_interest.filter(|n| n.is_finite() && *n > 0.0).unwrap_or(0.0);
        open |= held > 0.0;
        let weight = held * contract.multiplier;
        let (call, put) = match contract.right {
            OptionRight::Call => (weight, 0.0),
            OptionRight::Put => (0.0, weight),
        };
        strikes.push((contract.strike, call, put));
    }
    if !open {
        return None;
    }
    strikes.sort_by_key(|(strike, ..)| *strike);
    // Calls pay from below, puts from above: two sweeps with running sums.
    let mut pain = vec![0.0; strikes.len()];
    sweep(strikes.iter().map(|(k, call, _)| (k.to_f64(), *call)).zip(&mut pain));
    sweep(strikes.iter().rev().map(|(k, _, put)| (k.to_f64(), *put)).zip(pain.iter_mut().rev()));
    let least = strikes.iter().zip(&pain).min_by(|a, b| a.1.total_cmp(b.1))?;
    Some(least.0.0.to_f64())
}

/// Adds to each strike what those before it in the sweep pay there.
fn sweep<'a>(strikes: impl Iterator<Item = ((f64, f64), &'a mut f64)>) {
    let (mut held, mut paid, mut last) = (0.0, 0.0, None);
    for ((strike, weight), pain) in strikes {
        if let Some(last) = last {
            let distance: f64 = strike - last;
            paid += held * distance.abs();
        }
        *pain += paid;
        held += weight;
        last = Some(strike);
    }
}

/// By the straddle and the volatility of the strike nearest to the spot whose
/// call and put, of one root, both have a two-sided quote.
fn expected_move<'a>(
    contracts: impl Iterator<Item = (&'a Contract, &'a ContractState)>,
    as_of: RecvTime,
    spot: f64,
    pricing: &Pricing,
) -> Option<ExpectedMove> {
    let quoted: Vec<_> = contracts.filter(|(_, state)| state.two_sided().is_some()).collect();
    // The order of a topology: by root and strike, call before put.
    let pairs = quoted.iter().zip(quoted.iter().skip(1)).filter(|((a, _), (b, _))| {
        (&a.root, a.strike) == (&b.root, b.strike) && a.right != b.right
    });
    let distance = |c: &Contract| (c.strike.to_f64() - spot).abs();
    let nearest = pairs.min_by(|((a, _), _), ((b, _), _)| {
        distance(a)
            .total_cmp(&distance(b))
            .then(a.strike.cmp(&b.strike))
            .then(b.settles_at.cmp(&a.settles_at))
    });
    let ((contract, call), (_, put)) = nearest?;
    let straddle = call.mid()? + put.mid()?;
    let known = |s: &ContractState| {
        s.implied_volatility.filter(|iv| iv.is_finite() && *iv > 0.0 && *iv < pricing.iv_cap)
    };
    let volatility = known(call).zip(known(put)).map(|(a, b)| {
        let deviation = (a + b) / 2.0 * libm::sqrt(pricing.years(contract, as_of));
        Bounds {
            distance: spot * deviation,
            lower: spot * libm::exp(-deviation),
            upper: spot * libm::exp(deviation),
        }
    });
    Some(ExpectedMove {
        strike: contract.strike.to_f64(),
        straddle: Bounds { distance: straddle, lower: spot - straddle, upper: spot + straddle },
        volatility,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::testing::{book, contract};

    fn open(n: f64) -> ContractState {
        ContractState { open_interest: Some(n), ..ContractState::default() }
    }

    fn figures(rows: Vec<(Contract, ContractState)>, spot: f64) -> ExpiryFigures {
        let (contracts, states) = rows.into_iter().unzip();
        let book = book(contracts, states);
        by_expiry(&book, RecvTime(0), Some(spot), &Pricing::default())[0].1
    }

    #[test]
    fn max_pain_by_hand() {
        // Calls 10 at 95, puts 10 at 105: every strike between costs the same;
        // the lowest wins. With more puts the upper end does.
        let rows = |puts| {
            vec![
                (contract("C", 95.0, 7), open(10.0)),
                (contract("C", 100.0, 7), open(0.0)),
                (contract("P", 105.0, 7), open(puts)),
            ]
        };
        assert_eq!(figures(rows(10.0), 100.0).max_pain, Some(95.0));
        assert_eq!(figures(rows(11.0), 100.0).max_pain, Some(105.0));
        assert_eq!(figures(rows(11.0), 100.0).put_call.open_interest, Some(1.1));
        let none = vec![(contract("C", 95.0, 7), open(0.0))];
        assert_eq!(figures(none, 100.0), ExpiryFigures::default());
    }

    #[test]
    fn the_expected_move_is_that_of_the_quoted_strike_nearest_to_the_spot() {
        let quoted = |mid: f64, iv| ContractState {
            bid: Some(mid - 0.1),
            ask: Some(mid + 0.1),
            implied_volatility: Some(iv),
            ..ContractState::default()
        };
        let one_sided = ContractState { bid: Some(0.0), ..quoted(2.0, 0.2) };
        let rows = vec![
            (contract("C", 95.0, 365), quoted(9.0, 0.3)),
            (contract("P", 95.0, 365), quoted(2.0, 0.1)),
            (contract("C", 100.0, 365), quoted(5.0, 0.2)),
            (contract("P", 100.0, 365), one_sided),
        ];
        let expected = figures(rows, 100.0).expected_move.expect("quoted");
        assert_eq!(expected.strike, 95.0);
        assert_eq!((expected.straddle.lower, expected.straddle.upper), (89.0, 111.0));
        let volatility = expected.volatility.expect("stated");
        assert!((volatility.distance - 20.0).abs() < 1e-12);
        assert!((volatility.upper - 100.0 * libm::exp(0.2)).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn max_pain_is_the_least_of_all_sums(
            rows in prop::collection::vec((any::<bool>(), 60u32..140, 0u32..50), 1..40),
        ) {
            let right = |call: bool| if call { "C" } else { "P" };
            let mut chain: Vec<_> = rows
                .iter()
                .map(|(call, k, n)| (contract(right(*call), f64::from(*k), 7), open(f64::from(*n))))
                .collect();
            chain.sort_by_key(|(c, _)| c.strike);
            let pain = |at: u32| -> u64 {
                rows.iter()
                    .map(|(call, k, n)| {
                        let pays = if *call { at.saturating_sub(*k) } else { k.saturating_sub(at) };
                        u64::from(pays) * u64::from(*n) * 100
                    })
                    .sum()
            };
            let mut strikes: Vec<u32> = rows.iter().map(|r| r.1).collect();
            strikes.sort_unstable();
            let best = strikes.iter().copied().min_by_key(|k| (pain(*k), *k)).map(f64::from);
            let any = rows.iter().any(|r| r.2 > 0);
            prop_assert_eq!(figures(chain, 100.0).max_pain, best.filter(|_| any));
        }
    }
}
