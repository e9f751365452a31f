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
    use super::super::histogram::{Bounds, Histogram, Sum};
    use super::super::structures::Detection;
    use super::*;
    use proptest::prelude::*;

    fn d1(bins: &[u32]) -> Structures {
        Detection::Percentile.detect(bins)
    }

    #[test]
    fn the_golden_profile_of_the_contract() {
        let bins = [100, 500, 1000, 50, 0, 10, 10, 800, 900, 30];
        assert_eq!(strength(&bins, &d1(&bins)), 0.74);
    }

    #[test]
    fn nothing_remembers_nothing() {
        assert_eq!(strength(&[], &d1(&[])), 0.0);
        assert_eq!(strength(&[0, 0], &d1(&[0, 0])), 0.0);
    }

    const DETECTIONS: [Detection; 4] = [
        Detection::Percentile,
        Detection::PercentileSingle,
        Detection::Gradient,
        Detection::GradientOriginal,
    ];

    proptest! {
        #[test]
        fn it_lies_between_0_and_1_and_does_not_depend_on_scale(
            volumes in prop::collection::vec(0u64..100_000, 1..60), factor in 1u64..1000
        ) {
            let bounds =
                Bounds { step: 1.0, outlier_factor: 2.0, bins_max: 20_000, prices: None };
            let of = |factor: u64, detection: Detection| {
                let mut histogram = Histogram::default();
                for (i, volume) in volumes.iter().enumerate() {
                    histogram.add(6500 + i as i64, volume * factor);
                }
                let mut sum = Sum::default();
                sum.add(&histogram, 1.0);
                sum.extent(&bounds).map(|extent| {
                    let bins = sum.compact(extent.first, extent.last);
                    strength(&bins, &detection.detect(&bins))
                })
            };
            for detection in DETECTIONS {
                let plain = of(1, detection);
                prop_assert_eq!(plain, of(factor, detection));
                prop_assert!(plain.is_none_or(|s| (0.0..=1.0).contains(&s)));
                prop_assert_eq!(plain.is_none(), volumes.iter().all(|v| *v == 0));
            }
        }

        /// Whatever the bins, structures of theirs or not.
        #[test]
        fn it_is_0_to_1_for_any_bins(
            bins in prop::collection::vec(0u32..=1000, 0..80), nodes in 0usize..100,
            crevasse in any::<bool>(),
        ) {
            let found = Structures {
                nodes: (0..nodes).collect(),
                wells: Vec::new(),
                crevasses: if crevasse { vec![(0, 2)] } else { Vec::new() },
            };
            let strength = strength(&bins, &found);
            prop_assert!((0.0..=1.0).contains(&strength));
            if bins.iter().all(|b| *b == 0) {
                prop_assert_eq!(strength, 0.0);
            }
        }
    }
}
