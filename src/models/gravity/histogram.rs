//! Volume by price, sparse: there is no lowest and no highest price.
//!
//! Volume is held as a whole number of thirtieths of a share, so that sums do
//! not depend on their order and what was added can be taken back exactly.

use std::collections::BTreeMap;

use super::microbins::MICROBINS;

/// Largest value of a compact profile.
pub const SCALE: f64 = 1000.0;

/// Volume of one day from one source, in thirtieths of a share by bin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    bins: BTreeMap<i64, u64>,
    total: u64,
}

impl Histogram {
    /// Adds units to a bin.
    pub fn add(&mut self, bin: i64, units: u64) {
        if units > 0 {
            let held = self.bins.entry(bin).or_default();
            *held = held.saturating_add(units);
            self.total = self.total.saturating_add(units);
        }
    }

    /// Takes back what was added.
    pub fn take_back(&mut self, bin: i64, units: u64) {
        if let Some(held) = self.bins.get_mut(&bin) {
            *held = held.saturating_sub(units);
            self.total = self.total.saturating_sub(units);
            if *held == 0 {
                self.bins.remove(&bin);
            }
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// All of it, in units.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.total
    }

    /// Bins in use with their units, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i64, u64)> + '_ {
        self.bins.iter().map(|(bin, units)| (*bin, *units))
    }
}

/// A weighted sum of histograms, in units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    bins: BTreeMap<i64, f64>,
}

/// What of a sum is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Width of a bin in points.
    pub step: f64,
    /// See `gravity.outlier_factor`.
    pub outlier_factor: f64,
    /// See `gravity.bins_max`.
    pub bins_max: i64,
    /// Lowest and highest price, where the profile has such.
    pub prices: Option<(f64, f64)>,
}

/// The bins that are shown, and what lies outside of them.
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

impl Sum {
    /// Adds a histogram times a weight. To give the same bits, histograms have
    /// to come in the same order.
    pub fn add(&mut self, histogram: &Histogram, weight: f64) {
        for (bin, units) in histogram.iter() {
            *self.bins.entry(bin).or_default() += units as f64 * weight;
        }
    }

    /// Volume in shares.
    #[must_use]
    pub fn volume(&self) -> f64 {
        shares(self.bins.values())
    }

    /// Bins in use.
    #[must_use]
    pub fn bins(&self) -> u64 {
        self.bins.len() as u64
    }

    /// The range of bins to show; `None` where nothing is to be shown.
    #[must_use]
    pub fn extent(&self, bounds: &Bounds) -> Option<Extent> {
        let median = self.median()?;
        let inside = |bin: i64| match bounds.prices {
            Some((low, high)) => (low..=high).contains(&(bin as f64 * bounds.step)),
            None => {
                let (at, middle) = (bin as f64, median as f64);
                at * bounds.outlier_factor >= middle && at <= middle * bounds.outlier_factor
            }
        };
        let half = bounds.bins_max / 2;
        let near = |bin: i64| inside(bin) && (median - half..median + half).contains(&bin);
        let first = self.bins.keys().copied().find(|bin| near(*bin))?;
        let last = self.bins.keys().copied().rev().find(|bin| near(*bin))?;
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

/// A sum in shares. Folded from 0.0, since the sum of nothing would be -0.0.
fn shares<'a>(units: impl Iterator<Item = &'a f64>) -> f64 {
    units.fold(0.0, |sum, unit| sum + unit) / f64::from(MICROBINS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { step: 1.0, outlier_factor: 2.0, bins_max: 20_000, prices: None };

    fn sum(bins: &[(i64, u64)]) -> Sum {
        let mut histogram = Histogram::default();
        bins.iter().for_each(|(bin, shares)| histogram.add(*bin, shares * u64::from(MICROBINS)));
        let mut sum = Sum::default();
        sum.add(&histogram, 1.0);
        sum
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let mut histogram = Histogram::default();
        histogram.add(6500, 30);
        let before = histogram.clone();
        histogram.add(6501, 7);
        histogram.add(6500, 7);
        assert_eq!(histogram.units(), 44);
        histogram.take_back(6501, 7);
        histogram.take_back(6500, 7);
        histogram.take_back(9999, 7);
        assert_eq!(histogram, before);
    }

    #[test]
    fn an_outlier_is_counted_and_does_not_stretch_the_array() {
        let sum = sum(&[(6500, 100), (6501, 100), (6502, 100), (0, 5), (900_000_000, 7)]);
        let extent = sum.extent(&BOUNDS).expect("something");
        assert_eq!((extent.first, extent.last), (6500, 6502));
        assert_eq!((extent.outlier_bins, extent.outlier_volume), (2, 12.0));
        assert_eq!(sum.volume(), 312.0);
    }

    #[test]
    fn there_is_no_price_ceiling_unless_the_profile_has_one() {
        let sum = sum(&[(6999, 3), (7001, 2), (7003, 1)]);
        let extent = sum.extent(&BOUNDS).expect("something");
        assert_eq!(sum.compact(extent.first, extent.last), [1000, 0, 666, 0, 333]);
        let original = Bounds { prices: Some((2000.0, 7000.0)), ..BOUNDS };
        let extent = sum.extent(&original).expect("something");
        assert_eq!(sum.compact(extent.first, extent.last), [1000]);
        assert_eq!((extent.outlier_bins, extent.outlier_volume), (2, 3.0));
    }

    #[test]
    fn a_dense_array_is_bounded() {
        let sum = sum(&[(60_000, 1), (80_000, 1), (100_000, 1)]);
        let extent = sum.extent(&BOUNDS).expect("something");
        assert_eq!((extent.first, extent.last, extent.outlier_bins), (80_000, 80_000, 2));
    }

    #[test]
    fn nothing_has_no_extent() {
        assert_eq!(Sum::default().extent(&BOUNDS), None);
        assert_eq!(Sum::default().volume().to_string(), "0");
    }
}
