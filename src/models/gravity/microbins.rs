//! The micro-bin transform: which bins a trade or a bar goes to.
//!
//! A bar spreads its volume evenly over [`MICROBINS`] points from its low
//! upwards (the lower edges of its range; the high itself is not a point). What
//! the variants differ in is a profile's: rounding of a point to a bin, whole
//! or exact thirtieths, bars without range, the place of the unspread profile.

use super::profile::{Definitions, Rangeless, RawPlace, Rounding, Share};

/// Points over which a bar spreads its volume.
pub const MICROBINS: u32 = 30;
/// Units of a share.
const UNITS: u64 = MICROBINS as u64;
/// Closer than this to an edge or a middle of bins, in bins, a price lies on
/// it: products of decimal prices are off by a millionth of that.
const NEAR: f64 = 1e-8;
/// More shares than this in one trade or bar are no volume.
const VOLUME_MAX: f64 = 1e15;

/// A bar with volume; prices in points of the underlying.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BarVolume {
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Volume-weighted price.
    pub weighted: Option<f64>,
    /// Shares.
    pub volume: f64,
}

impl BarVolume {
    /// Whether it can be used: positive prices, the low not above the high,
    /// positive volume, all finite.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        is_price(self.low)
            && is_price(self.high)
            && is_price(self.close)
            && self.weighted.is_none_or(is_price)
            && self.low <= self.high
            && is_volume(self.volume)
    }
}

/// Whether a price can be put into a bin. Beyond 1e12 neighbouring bins would
/// no longer be told apart safely.
#[must_use]
pub fn is_price(price: f64) -> bool {
    price > 0.0 && price < 1e12
}

/// Whether it is an amount of shares.
#[must_use]
pub fn is_volume(volume: f64) -> bool {
    volume > 0.0 && volume <= VOLUME_MAX
}

/// The bin of a price.
#[must_use]
pub fn bin_of(price: f64, step: f64, rounding: Rounding) -> i64 {
    let at = price / step;
    let bin = match rounding {
        Rounding::HalfEven => {
            let halves = at * 2.0;
            let edge = halves.round();
            if (halves - edge).abs() < NEAR { (edge / 2.0).round_ties_even() } else { at.round() }
        }
        Rounding::Down => {
            let edge = at.round();
            if (at - edge).abs() < NEAR { edge } else { at.floor() }
        }
    };
    bin as i64
}

/// Units of an amount of shares.
#[must_use]
pub fn units(volume: f64) -> u64 {
    (volume * f64::from(MICROBINS)).round() as u64
}

/// Puts a bar into bins over its range. Returns the units that the profile's
/// definitions lose.
pub fn spread(
    bar: &BarVolume,
    step: f64,
    definitions: &Definitions,
    mut put: impl FnMut(i64, u64),
) -> u64 {
    let rounding = definitions.rounding;
    let all = units(bar.volume);
    if bar.high <= bar.low {
        return match definitions.rangeless {
            Rangeless::Dropped => all,
            Rangeless::AtPrice => {
                let kept = whole(all, definitions.share);
                put(bin_of(bar.low, step, rounding), kept);
                all - kept
            }
        };
    }
    // A thirtieth of the units of a whole share is a unit.
    let each = whole(all / UNITS, definitions.share);
    let range = bar.high - bar.low;
    for i in 0..MICROBINS {
        let price = bar.low + f64::from(i) * range / f64::from(MICROBINS);
        put(bin_of(price, step, rounding), each);
    }
    all - each * UNITS
}

/// Puts a bar into one bin, for the unspread profile.
pub fn place(bar: &BarVolume, step: f64, definitions: &Definitions, mut put: impl FnMut(i64, u64)) {
    let price = match definitions.raw {
        RawPlace::Close => bar.close,
        RawPlace::WeightedPrice => bar.weighted.unwrap_or((bar.high + bar.low) / 2.0),
    };
    let kept = whole(units(bar.volume), definitions.share);
    put(bin_of(price, step, definitions.rounding), kept);
}

/// Units of whole shares, where the profile has only such.
fn whole(units: u64, share: Share) -> u64 {
    match share {
        Share::Exact => units,
        Share::Truncated => units / UNITS * UNITS,
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::super::profile::Chosen;
    use super::*;
    use proptest::prelude::*;

    fn definitions(name: &str) -> &'static Definitions {
        &Chosen::named(name).expect("a profile").get().definitions
    }

    fn bar(low: f64, high: f64, volume: f64) -> BarVolume {
        BarVolume { high, low, close: high, weighted: None, volume }
    }

    /// Shares by bin, and shares lost.
    fn spread_of(bar: &BarVolume, name: &str) -> (Vec<(i64, f64)>, f64) {
        let mut histogram = Histogram::default();
        let lost = spread(bar, 1.0, definitions(name), |bin, units| histogram.add(bin, units));
        (histogram.iter().map(|(bin, u)| (bin, u as f64 / 30.0)).collect(), lost as f64 / 30.0)
    }

    #[test]
    fn the_golden_bar_of_the_contract() {
        let golden = bar(650.0 * 10.0, 650.3 * 10.0, 3000.0);
        let a = vec![(6500, 600.0), (6501, 900.0), (6502, 1100.0), (6503, 400.0)];
        for name in ["tv-microbins-30", "marketswarm", "session"] {
            assert_eq!(spread_of(&golden, name), (a.clone(), 0.0), "{name}");
        }
        // To the bin below, each of the three gets ten points.
        let b = vec![(6500, 1000.0), (6501, 1000.0), (6502, 1000.0)];
        for name in ["tv-microbins-30-down", "marketswarm-quick"] {
            assert_eq!(spread_of(&golden, name), (b.clone(), 0.0), "{name}");
        }
    }

    #[test]
    fn a_bar_without_range_keeps_its_volume_except_in_the_original() {
        let flat = bar(6500.4, 6500.4, 17.0);
        assert_eq!(spread_of(&flat, "tv-microbins-30"), (vec![(6500, 17.0)], 0.0));
        assert_eq!(spread_of(&flat, "tv-microbins-30-down"), (vec![(6500, 17.0)], 0.0));
        assert_eq!(spread_of(&flat, "marketswarm"), (vec![], 17.0));
        assert_eq!(spread_of(&flat, "marketswarm-quick"), (vec![(6500, 17.0)], 0.0));
    }

    #[test]
    fn truncation_loses_small_bars_in_the_original_only() {
        let small = bar(6500.0, 6503.0, 29.0);
        let (bins, lost) = spread_of(&small, "tv-microbins-30-down");
        assert_eq!((bins.iter().map(|b| b.1).sum::<f64>(), lost), (29.0, 0.0));
        assert_eq!(spread_of(&small, "marketswarm-quick"), (vec![], 29.0));
        let (bins, lost) = spread_of(&bar(6500.0, 6503.0, 100.0), "marketswarm-quick");
        assert_eq!(bins, [(6500, 30.0), (6501, 30.0), (6502, 30.0)]);
        assert_eq!(lost, 10.0);
    }

    #[test]
    fn halves_go_to_the_even_bin_however_they_were_computed() {
        let even = |price| bin_of(price, 1.0, Rounding::HalfEven);
        assert_eq!([6500.5, 6501.5, 6502.5].map(even), [6500, 6502, 6502]);
        // 165.35 x 10 and 165.3 x 10 have no exact double.
        assert_eq!(even(165.35 * 10.0), 1654);
        assert_eq!(even(165.45 * 10.0), 1654);
        assert_eq!(bin_of(165.3 * 10.0, 1.0, Rounding::Down), 1653);
        assert_eq!(bin_of(0.3, 0.1, Rounding::Down), 3);
        assert_eq!(bin_of(0.35, 0.1, Rounding::HalfEven), 4);
    }

    #[test]
    fn the_unspread_profile_lies_where_its_variant_puts_it() {
        let at = |bar: &BarVolume, name: &str| {
            let mut found = (0, 0);
            place(bar, 1.0, definitions(name), |bin, units| found = (bin, units));
            found
        };
        let plain = BarVolume { close: 6502.6, ..bar(6500.0, 6503.0, 2.0) };
        assert_eq!(at(&plain, "tv-microbins-30"), (6503, 60));
        assert_eq!(at(&plain, "tv-microbins-30-down"), (6501, 60));
        let weighted = BarVolume { weighted: Some(6502.9), ..plain };
        assert_eq!(at(&weighted, "tv-microbins-30-down"), (6502, 60));
    }

    #[test]
    fn what_is_no_price_or_volume_is_not_sound() {
        for (low, high, volume) in [
            (f64::NAN, 1.0, 1.0),
            (1.0, f64::NAN, 1.0),
            (0.0, 1.0, 1.0),
            (-1.0, 1.0, 1.0),
            (1.0, 1e13, 1.0),
            (2.0, 1.0, 1.0),
            (1.0, 1.0, 0.0),
            (1.0, 1.0, -1.0),
            (1.0, 1.0, f64::NAN),
            (1.0, 1.0, f64::INFINITY),
        ] {
            assert!(!bar(low, high, volume).is_sound(), "{low} {high} {volume}");
        }
        assert!(bar(1.0, 2.0, 1.0).is_sound());
    }

    proptest! {
        /// The repaired variants keep all volume, and no order changes a bin.
        #[test]
        fn volume_is_kept_and_order_does_not_matter(
            bars in prop::collection::vec((6000u32..7000, 0u32..40, 1u32..1_000_000), 1..40),
            down in any::<bool>(),
        ) {
            let name = if down { "tv-microbins-30-down" } else { "tv-microbins-30" };
            let fold = |bars: &mut dyn Iterator<Item = &(u32, u32, u32)>| {
                let mut histogram = Histogram::default();
                for (low, range, volume) in bars {
                    let low = f64::from(*low);
                    let one = bar(low, low + f64::from(*range) / 4.0, f64::from(*volume));
                    spread(&one, 1.0, definitions(name), |bin, u| histogram.add(bin, u));
                }
                histogram
            };
            let forward = fold(&mut bars.iter());
            prop_assert_eq!(&forward, &fold(&mut bars.iter().rev()));
            prop_assert_eq!(forward.units(), bars.iter().map(|b| u64::from(b.2) * 30).sum::<u64>());
        }
    }
}
