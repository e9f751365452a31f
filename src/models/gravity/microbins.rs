//! Volume by price: the micro-bin transform and its compact form.
//!
//! A bar spreads its volume evenly over [`MICROBINS`] points from its low
//! upwards (the lower edges of its range; the high itself is not a point), each
//! rounded half to even to a bin. A bar without range puts all of its volume at
//! its price. Volumes are kept in units of 1/30, so that whole shares stay
//! whole numbers and no order of bars can change a sum.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Points over which a bar spreads its volume.
pub const MICROBINS: u32 = 30;
/// Largest value of a compact profile.
pub const SCALE: f64 = 1000.0;

/// How volume is put into bins and how much of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Width of a bin in points of the underlying. Default: 1.
    pub step: f64,
    /// A bin at less than 1/n or more than n times the median price of the
    /// volume is an outlier: kept, counted and left out of the dense array.
    /// Default: 2.
    pub outlier_factor: f64,
    /// Longest dense array; of a wider profile the part around the median is
    /// shown. Default: 20,000.
    pub bins_max: i64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters { step: 1.0, outlier_factor: 2.0, bins_max: 20_000 }
    }
}

/// Volume by bin, sparse: there is no lowest and no highest price.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Width of a bin.
    step: f64,
    /// By bin index (price / step), in units of 1/30 share.
    pub bins: BTreeMap<i64, f64>,
}

impl Histogram {
    /// An empty one with bins of a width.
    #[must_use]
    pub fn new(step: f64) -> Histogram {
        Histogram { step, bins: BTreeMap::new() }
    }

    /// A bar over its range, or at its price when it has none. Returns whether
    /// it was taken: prices must be positive, volume positive, all finite.
    pub fn add_bar(&mut self, high: f64, low: f64, volume: f64) -> bool {
        let (low, high) = if high < low { (high, low) } else { (low, high) };
        if !(is_price(low) && is_price(high) && is_volume(volume)) {
            return false;
        }
        if high == low {
            return self.add_at(low, volume);
        }
        let range = high - low;
        for i in 0..MICROBINS {
            let price = low + f64::from(i) * range / f64::from(MICROBINS);
            self.add(price, volume);
        }
        true
    }

    /// All of a volume at one price. Returns whether it was taken.
    pub fn add_at(&mut self, price: f64, volume: f64) -> bool {
        let fine = is_price(price) && is_volume(volume);
        if fine {
            self.add(price, volume * f64::from(MICROBINS));
        }
        fine
    }

    fn add(&mut self, price: f64, units: f64) {
        let bin = (price / self.step).round_ties_even() as i64;
        *self.bins.entry(bin).or_default() += units;
    }

    /// Whether nothing was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// Volume in shares.
    #[must_use]
    pub fn volume(&self) -> f64 {
        shares(self.bins.values())
    }

    /// The range of bins to show, and what lies outside of it.
    #[must_use]
    pub fn extent(&self, parameters: &Parameters) -> Option<Extent> {
        let median = self.median()?;
        let near = |bin: i64| {
            let (bin, median) = (bin as f64, median as f64);
            bin * parameters.outlier_factor >= median && bin <= median * parameters.outlier_factor
        };
        let half = parameters.bins_max / 2;
        let inside = |bin: i64| near(bin) && (median - half..median + half).contains(&bin);
        let first = self.bins.keys().copied().find(|bin| inside(*bin))?;
        let last = self.bins.keys().copied().rev().find(|bin| inside(*bin))?;
        let outside = || self.bins.iter().filter(|(bin, _)| !(first..=last).contains(*bin));
        Some(Extent {
            first,
            last,
            outlier_bins: outside().count() as u64,
            outlier_volume: shares(outside().map(|(_, v)| v)),
        })
    }

    /// The bin at which half of the volume is reached.
    fn median(&self) -> Option<i64> {
        let total = self.bins.values().fold(0.0, |sum, unit| sum + unit);
        let mut sum = 0.0;
        self.bins
            .iter()
            .find(|(_, v)| {
                sum += **v;
                sum * 2.0 >= total
            })
            .map(|(bin, _)| *bin)
    }

    /// Volumes from a bin to the last one in use up to `last`, as whole numbers
    /// from 0 to 1000: trunc(volume x 1000 / largest).
    #[must_use]
    pub fn compact(&self, first: i64, last: i64) -> Vec<u32> {
        if first > last {
            return Vec::new();
        }
        let range = || self.bins.range(first..=last);
        let largest = range().map(|(_, v)| *v).fold(0.0, f64::max);
        let Some((end, _)) = range().next_back().filter(|_| largest > 0.0) else {
            return Vec::new();
        };
        let mut dense = vec![0; usize::try_from(end - first + 1).unwrap_or(0)];
        for (bin, volume) in range() {
            if let Some(slot) = usize::try_from(bin - first).ok().and_then(|i| dense.get_mut(i)) {
                *slot = (volume * SCALE / largest) as u32;
            }
        }
        dense
    }
}

/// What of a histogram is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// First bin.
    pub first: i64,
    /// Last bin.
    pub last: i64,
    /// Bins in use outside of it.
    pub outlier_bins: u64,
    /// Shares outside of it.
    pub outlier_volume: f64,
}

/// A sum in shares. Folded from 0.0, since the sum of nothing would be -0.0.
fn shares<'a>(units: impl Iterator<Item = &'a f64>) -> f64 {
    units.fold(0.0, |sum, unit| sum + unit) / f64::from(MICROBINS)
}

fn is_price(price: f64) -> bool {
    // Beyond 1e12 neighbouring bins would no longer be told apart safely.
    price > 0.0 && price < 1e12
}

fn is_volume(volume: f64) -> bool {
    volume > 0.0 && volume.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_bin(histogram: &Histogram) -> Vec<(i64, f64)> {
        histogram.bins.iter().map(|(bin, v)| (*bin, v / f64::from(MICROBINS))).collect()
    }

    #[test]
    fn the_golden_bar_of_the_contract() {
        let mut histogram = Histogram::new(1.0);
        assert!(histogram.add_bar(650.3 * 10.0, 650.0 * 10.0, 3000.0));
        assert_eq!(
            by_bin(&histogram),
            [(6500, 600.0), (6501, 900.0), (6502, 1100.0), (6503, 400.0)]
        );
    }

    #[test]
    fn a_bar_without_range_keeps_its_volume() {
        let mut histogram = Histogram::new(1.0);
        assert!(histogram.add_bar(6500.4, 6500.4, 17.0));
        assert_eq!(by_bin(&histogram), [(6500, 17.0)]);
        assert_eq!(histogram.volume(), 17.0);
    }

    #[test]
    fn halves_go_to_the_even_bin() {
        let mut histogram = Histogram::new(1.0);
        for price in [6500.5, 6501.5, 6502.5] {
            assert!(histogram.add_at(price, 1.0));
        }
        assert_eq!(by_bin(&histogram), [(6500, 1.0), (6502, 2.0)]);
    }

    #[test]
    fn what_is_no_price_or_volume_is_refused() {
        let mut histogram = Histogram::new(1.0);
        for (price, volume) in
            [(f64::NAN, 1.0), (0.0, 1.0), (-1.0, 1.0), (1e13, 1.0), (1.0, 0.0), (1.0, f64::NAN)]
        {
            assert!(!histogram.add_at(price, volume), "{price} {volume}");
            assert!(!histogram.add_bar(price, price, volume), "{price} {volume}");
        }
        assert!(histogram.is_empty());
        assert_eq!(histogram.extent(&Parameters::default()), None);
    }

    #[test]
    fn an_outlier_is_counted_and_does_not_stretch_the_array() {
        let mut histogram = Histogram::new(1.0);
        for price in [6500.0, 6501.0, 6502.0] {
            assert!(histogram.add_at(price, 100.0));
        }
        assert!(histogram.add_at(0.01, 5.0) && histogram.add_at(900_000_000.0, 7.0));
        let extent = histogram.extent(&Parameters::default()).expect("something");
        assert_eq!((extent.first, extent.last), (6500, 6502));
        assert_eq!((extent.outlier_bins, extent.outlier_volume), (2, 12.0));
        assert_eq!(histogram.volume(), 312.0);
    }

    #[test]
    fn there_is_no_price_ceiling() {
        let mut histogram = Histogram::new(1.0);
        assert!(histogram.add_at(7001.0, 2.0) && histogram.add_at(7003.0, 1.0));
        let extent = histogram.extent(&Parameters::default()).expect("something");
        assert_eq!(histogram.compact(extent.first, extent.last), [1000, 0, 500]);
    }

    #[test]
    fn a_dense_array_is_bounded() {
        let mut histogram = Histogram::new(1.0);
        for price in [60_000.0, 80_000.0, 100_000.0] {
            assert!(histogram.add_at(price, 1.0));
        }
        let extent = histogram.extent(&Parameters::default()).expect("something");
        assert_eq!((extent.first, extent.last, extent.outlier_bins), (80_000, 80_000, 2));
    }

    proptest! {
        #[test]
        fn volume_is_kept_and_order_does_not_matter(
            bars in prop::collection::vec((6000u32..7000, 0u32..40, 1u32..1_000_000), 1..40)
        ) {
            let fold = |bars: &mut dyn Iterator<Item = &(u32, u32, u32)>| {
                let mut histogram = Histogram::new(1.0);
                for (low, range, volume) in bars {
                    let low = f64::from(*low);
                    assert!(histogram.add_bar(low + f64::from(*range) / 4.0, low, f64::from(*volume)));
                }
                histogram
            };
            let forward = fold(&mut bars.iter());
            prop_assert_eq!(&forward, &fold(&mut bars.iter().rev()));
            let total: f64 = bars.iter().map(|b| f64::from(b.2)).sum();
            prop_assert_eq!(forward.volume(), total);
        }
    }
}
