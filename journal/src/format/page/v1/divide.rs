//! Divisions by a number that stays the same for a whole column.

use std::num::NonZeroU64;

/// Divides exact multiples without dividing: by the inverse of the odd part
/// modulo 2^64, and a shift.
#[derive(Clone, Copy)]
pub(super) struct Divisor {
    shift: u32,
    inverse: u64,
    /// Largest quotient of an odd multiple.
    max: u64,
}

impl Divisor {
    pub(super) fn new(divisor: NonZeroU64) -> Divisor {
        let shift = divisor.trailing_zeros();
        let odd = divisor.get() >> shift;
        // Newton: each step doubles the bits that are right, 5 at the start.
        let mut inverse = odd.wrapping_mul(3) ^ 2;
        for _ in 0..4 {
            let rest = 2u64.wrapping_sub(odd.wrapping_mul(inverse));
            inverse = inverse.wrapping_mul(rest);
        }
        Divisor { shift, inverse, max: u64::MAX / odd }
    }

    /// Whether a number is a multiple.
    #[inline]
    pub(super) fn divides(&self, value: u64) -> bool {
        let odd = value >> self.shift;
        odd << self.shift == value && odd.wrapping_mul(self.inverse) <= self.max
    }

    /// A multiple, divided.
    #[inline]
    pub(super) fn exact(&self, multiple: i64) -> i64 {
        ((multiple >> self.shift) as u64).wrapping_mul(self.inverse) as i64
    }
}

/// The greatest common divisor; `None` of zeros only.
pub(super) fn common(values: impl Iterator<Item = u64>) -> Option<NonZeroU64> {
    let mut found: Option<(NonZeroU64, Divisor)> = None;
    for value in values {
        let Some(value) = NonZeroU64::new(value) else { continue };
        let smaller = match &found {
            Some((_, divisor)) if divisor.divides(value.get()) => continue,
            Some((before, _)) => gcd(*before, value),
            None => value,
        };
        if smaller.get() == 1 {
            return Some(smaller);
        }
        found = Some((smaller, Divisor::new(smaller)));
    }
    found.map(|(g, _)| g)
}

fn gcd(a: NonZeroU64, b: NonZeroU64) -> NonZeroU64 {
    let (mut a, mut rest) = (a, b.get());
    while let Some(b) = NonZeroU64::new(rest) {
        rest = a.get() % b;
        a = b;
    }
    a
}

/// Moments in whole units, rounded down. Moments that follow one another
/// mostly lie in the same unit and then cost one comparison.
pub(super) struct Units {
    unit: i64,
    whole: i64,
    /// Where the unit begins.
    begin: i64,
}

impl Units {
    /// `unit` is at least 1.
    pub(super) fn of(unit: i64) -> Units {
        Units { unit: unit.max(1), whole: 0, begin: 0 }
    }

    #[inline]
    pub(super) fn floor(&mut self, moment: i64) -> i64 {
        if self.unit == 1 {
            return moment;
        }
        let after = moment >= self.begin;
        if !after || moment.wrapping_sub(self.begin) as u64 >= self.unit as u64 {
            let whole = moment.div_euclid(self.unit);
            let Some(begin) = whole.checked_mul(self.unit) else { return whole };
            (self.whole, self.begin) = (whole, begin);
        }
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nonzero(v: u64) -> NonZeroU64 {
        NonZeroU64::new(v).unwrap_or(NonZeroU64::MIN)
    }

    proptest! {
        #[test]
        fn dividing_agrees_with_division(d in any::<u64>(), s in 0u32..64, v in any::<u64>(), k in any::<u64>()) {
            let d = nonzero(d >> s);
            let divisor = Divisor::new(d);
            prop_assert_eq!(divisor.divides(v), v % d == 0);
            let multiple = v / d * d.get();
            prop_assert!(divisor.divides(multiple));
            if i64::try_from(d.get()).is_ok() {
                let (k, d) = (k as i64, d.get() as i64);
                let quotient = (k / d).clamp(i64::MIN / d, i64::MAX / d);
                prop_assert_eq!(divisor.exact(quotient * d), quotient);
            }
        }

        #[test]
        fn units_agree_with_division(unit in 1i64.., from in any::<i64>(), steps in proptest::collection::vec(any::<i64>(), 1..50), s in 0u32..64) {
            for unit in [unit, (unit >> s).max(1), i64::MAX] {
                let mut units = Units::of(unit);
                let mut moment = from;
                for step in &steps {
                    prop_assert_eq!(units.floor(moment), moment.div_euclid(unit));
                    moment = moment.wrapping_add(step >> s);
                }
                for extreme in [i64::MIN, i64::MAX, -1, 0, 1] {
                    prop_assert_eq!(units.floor(extreme), extreme.div_euclid(unit));
                }
            }
        }

        #[test]
        fn the_common_divisor_divides_all_and_is_the_greatest(
            values in proptest::collection::vec(0u64..5_000, 0..40), factor in 1u64..1_000_000,
        ) {
            let values: Vec<u64> = values.into_iter().map(|v| v * factor).collect();
            let plain = values.iter().fold(0, |g, v| {
                let (mut a, mut b) = (g, *v);
                while b != 0 {
                    (a, b) = (b, a % b);
                }
                a
            });
            let found = common(values.into_iter()).map_or(0, NonZeroU64::get);
            prop_assert_eq!(found, plain);
        }
    }
}
