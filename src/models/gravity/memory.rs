//! Market memory: how strongly a profile remembers, from 0 to 1.
//!
//! M1: C = sum of the largest int(0.2 len) bins / sum of all bins, empty bins
//! included; d = min(10 nodes / len, 1); f = (d + 0.2 if there is a crevasse)
//! / 1.2; strength = min(0.6 C + 0.4 f, 1), rounded to two decimals. It depends
//! on ratios only, so doubling all volume changes nothing.

use super::structures::Structures;

/// Strength of the market memory; 0 for an empty profile.
#[must_use]
pub fn strength(bins: &[u32], structures: &Structures) -> f64 {
    let total: u64 = bins.iter().map(|bin| u64::from(*bin)).sum();
    if total == 0 {
        return 0.0;
    }
    let len = bins.len() as f64;
    let mut sorted = bins.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let largest: u64 = sorted.iter().take((0.2 * len) as usize).map(|bin| u64::from(*bin)).sum();
    let concentration = largest as f64 / total as f64;
    let density = (10.0 * structures.nodes.len() as f64 / len).min(1.0);
    let crevasse = if structures.crevasses.is_empty() { 0.0 } else { 0.2 };
    let form = (density + crevasse) / 1.2;
    ((0.6 * concentration + 0.4 * form).min(1.0) * 100.0).round_ties_even() / 100.0
}

#[cfg(test)]
mod tests {
    use super::super::microbins::{Histogram, Parameters};
    use super::super::structures::detect;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_golden_profile_of_the_contract() {
        let bins = [100, 500, 1000, 50, 0, 10, 10, 800, 900, 30];
        assert_eq!(strength(&bins, &detect(&bins)), 0.74);
    }

    #[test]
    fn nothing_remembers_nothing() {
        assert_eq!(strength(&[], &detect(&[])), 0.0);
        assert_eq!(strength(&[0, 0], &detect(&[0, 0])), 0.0);
    }

    proptest! {
        #[test]
        fn it_lies_between_0_and_1_and_does_not_depend_on_scale(
            volumes in prop::collection::vec(0u32..100_000, 1..60), factor in 1u32..1000
        ) {
            let of = |factor: u32| {
                let mut histogram = Histogram::new(1.0);
                for (i, volume) in volumes.iter().enumerate().filter(|(_, v)| **v > 0) {
                    let price = 6500.0 + i as f64;
                    assert!(histogram.add_at(price, f64::from(*volume) * f64::from(factor)));
                }
                histogram.extent(&Parameters::default()).map(|extent| {
                    let bins = histogram.compact(extent.first, extent.last);
                    strength(&bins, &detect(&bins))
                })
            };
            let plain = of(1);
            prop_assert_eq!(plain, of(factor));
            prop_assert!(plain.is_none_or(|s| (0.0..=1.0).contains(&s)));
        }
    }
}
