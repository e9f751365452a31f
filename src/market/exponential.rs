//! e^x without a branch, so that loops over a whole book run in vector units.
//!
//! `x = n ln 2 + r`, e^r by its Taylor polynomial of degree 13 on |r| <= ln 2 / 2
//! (remainder below 5e-18), 2^n by its exponent bits. Only additions,
//! multiplications and selections, nothing fused and nothing reordered: the bits
//! are the same on every machine and with every vector width. Relative error
//! against `libm::exp` below 1e-15.

/// ln 2 in two parts: the first has so many trailing zeros that `n` times it is
/// exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Adding it rounds to a whole number, which then stands in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Below this the result is 0; the smallest normal number is e^-708.39.
const LEAST: f64 = -708.0;
/// Above this the result is infinite.
const MOST: f64 = 709.0;

/// 1/k! from 13 down to 0.
const TAYLOR: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// e^x; 0 below -708, infinite above 709, NaN for NaN.
#[must_use]
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let within = if x < LEAST { LEAST } else { x };
    let within = if within > MOST { MOST } else { within };
    let shifted = within * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (within - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut sum = TAYLOR[0];
    for term in &TAYLOR[1..] {
        sum = sum * r + term;
    }
    // The low bits of `shifted` are n; shifting them up makes them an exponent.
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
    let value = sum * scale;
    let value = if x < LEAST { 0.0 } else { value };
    if x > MOST { f64::INFINITY } else { value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(x: f64) -> bool {
        let (ours, theirs) = (exp(x), libm::exp(x));
        (ours - theirs).abs() <= 1e-15 * theirs
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn it_is_the_exponential(x in -708.0..709.0f64, small in -1e-3..1e-3f64) {
            prop_assert!(near(x), "{x}: {} {}", exp(x), libm::exp(x));
            prop_assert!(near(small), "{small}");
        }
    }

    #[test]
    fn ends_are_told() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(-708.5), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(709.5), f64::INFINITY);
        assert_eq!(exp(f64::INFINITY), f64::INFINITY);
        assert!(exp(f64::NAN).is_nan());
        assert!(near(-707.9) && near(708.9));
    }

    /// The bits are part of published numbers: they may never change.
    #[test]
    fn the_bits_are_pinned() {
        let mut hasher = blake3::Hasher::new();
        for i in -70_000..=70_000i32 {
            hasher.update(&exp(f64::from(i) * 0.01).to_le_bytes());
        }
        assert_eq!(
            hasher.finalize().to_hex().as_str(),
            "f4570d6bd1a8d59948694e4a6103bdd56e183a5f789ee21b36398d251636b946"
        );
    }
}
