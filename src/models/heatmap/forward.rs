//! Parity by strike: the forward that calls and puts of an expiry agree on, and
//! how far single strikes are from it.
//!
//! C - P = d (F - K) for European options (FORMULAS 4), so each strike with two
//! two-sided quotes states a forward F = K + (C - P) / d. The median of them is
//! the expiry's; a strike whose quotes are stale is off, and moves it little.
//! Needs neither spot nor carry, and the rate only through the discount.

use orrery_journal::event::OptionRight;
use serde::Serialize;

use super::built::Built;
use crate::market::book::Book;

/// Parity of an expiry.
#[derive(Clone, Debug, PartialEq, Serialize, Default)]
pub struct Parity {
    /// Median of the strikes' forwards, points.
    pub forward: Option<f64>,
    /// Strikes with two two-sided quotes.
    pub strikes: u64,
    /// Mean of |C - P - d (F - K)|, points.
    pub gap_mean: Option<f64>,
    /// The largest of them.
    pub gap_max: Option<f64>,
    /// The strike at which it is.
    pub gap_max_strike: Option<f64>,
}

/// Parity of each group of the lattice, from mids.
#[must_use]
pub fn parities(built: &Built, book: &Book) -> Vec<Parity> {
    let lattice = &built.lattice;
    let mut stated: Vec<Vec<(f64, f64)>> = vec![Vec::new(); lattice.groups.len()];
    for slot in &lattice.slots {
        let Some((group, strike, gap)) = strike_gap(*slot, built, book) else { continue };
        let clock = built.clocks.get(group).filter(|clock| clock.years.is_some());
        if let (Some(clock), Some(list)) = (clock, stated.get_mut(group)) {
            list.push((strike + gap / clock.discount, strike));
        }
    }
    let clocks = built.clocks.iter();
    stated.into_iter().zip(clocks).map(|(stated, clock)| parity(stated, clock.discount)).collect()
}

/// Group, strike and C - P of a call whose put is in the lattice too.
fn strike_gap(slot: usize, built: &Built, book: &Book) -> Option<(usize, f64, f64)> {
    let lattice = &built.lattice;
    let contract = book.topology.contracts.get(slot)?;
    let twin = (*lattice.twin.get(slot)?)?;
    let inside = lattice.by_slot.get(twin).is_some_and(|tiles| !tiles.is_empty());
    if contract.right != OptionRight::Call || !inside {
        return None;
    }
    let call = book.states.get(slot)?.mid()?;
    let put = book.states.get(twin)?.mid()?;
    let group = *lattice.group_of_slot.get(slot)? as usize;
    Some((group, contract.strike.to_f64(), call - put))
}

fn parity(mut stated: Vec<(f64, f64)>, discount: f64) -> Parity {
    stated.retain(|(forward, _)| forward.is_finite());
    stated.sort_by(|(a, j), (b, k)| a.total_cmp(b).then(j.total_cmp(k)));
    let middle = stated.len() / 2;
    let Some((upper, _)) = stated.get(middle).copied() else { return Parity::default() };
    let lower = stated.get(middle.wrapping_sub(1)).filter(|_| stated.len().is_multiple_of(2));
    let forward = lower.map_or(upper, |(lower, _)| (lower + upper) / 2.0);
    let (mut sum, mut most, mut at) = (0.0, -1.0, f64::NAN);
    for (own, strike) in &stated {
        let gap = discount * (own - forward).abs();
        sum += gap;
        if gap > most {
            (most, at) = (gap, *strike);
        }
    }
    Parity {
        forward: Some(forward),
        strikes: stated.len() as u64,
        gap_mean: Some(sum / stated.len() as f64),
        gap_max: Some(most),
        gap_max_strike: Some(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_forward_and_a_stale_strike_stands_out() {
        assert_eq!(parity(Vec::new(), 1.0), Parity::default());
        let one = parity(vec![(101.0, 95.0)], 0.5);
        assert_eq!((one.forward, one.gap_mean, one.gap_max), (Some(101.0), Some(0.0), Some(0.0)));
        let even = parity(vec![(103.0, 100.0), (101.0, 95.0)], 0.5);
        assert_eq!((even.forward, even.gap_mean), (Some(102.0), Some(0.5)));
        let stale = parity(vec![(101.0, 90.0), (161.0, 95.0), (101.0, 100.0)], 0.5);
        assert_eq!((stale.forward, stale.strikes), (Some(101.0), 3));
        assert_eq!((stale.gap_max, stale.gap_max_strike), (Some(30.0), Some(95.0)));
        assert_eq!(stale.gap_mean, Some(10.0));
    }
}
