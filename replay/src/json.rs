//! Canonical JSON, appended to a body piece by piece.
//!
//! For bodies that are made many times a second: no tree, no map and no
//! serializer stands between a number and its text. The text of every value is
//! the one that `serde_json` writes, so that it cannot be seen in a body how it
//! was made.

use serde_json::ser::{CompactFormatter, Formatter};

/// A number, or `null` where it is not finite.
pub fn number(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        // Writing to memory does not fail.
        let _ = CompactFormatter.write_f64(out, value);
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Fifteen digits are always the shortest text of the double next to them.
const UNITS_END: u64 = 1_000_000_000_000_000;
/// Room for a sign, fifteen digits, a point, and more digits than are used.
const ROOM: usize = 32;

/// The text of `units / 10^PLACES` as a double, found without the double where
/// it has at most fifteen digits and needs no exponent. `PLACES` is 5 to 12.
pub fn decimal<const PLACES: u32>(out: &mut Vec<u8>, units: i64) {
    let scale = 10u64.pow(PLACES);
    let magnitude = units.unsigned_abs();
    let (whole, fraction) = (magnitude / scale, magnitude % scale);
    let mils = 10u64.pow(PLACES - 3);
    if whole < 10_000 && fraction.is_multiple_of(mils) {
        return short(out, units < 0, whole, fraction / mils);
    }
    let plain = magnitude == 0 || magnitude >= scale / 100_000;
    if magnitude >= UNITS_END || !plain {
        return number(out, units as f64 / scale as f64);
    }
    let mut room = [b'-'; ROOM];
    // Ten digits, of which the leading zeros are left out.
    let digits = whole.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut end = put::<10>(&mut room, 1, whole);
    let start = end - digits - usize::from(units < 0);
    if units < 0 {
        room[start] = b'-';
    }
    room[end] = b'.';
    let first = end + 1;
    // Two numbers of at most six digits, worked off side by side.
    let half = 10u64.pow(PLACES / 2);
    let middle = match PLACES - PLACES / 2 {
        3 => put::<3>(&mut room, first, fraction / half),
        4 => put::<4>(&mut room, first, fraction / half),
        5 => put::<5>(&mut room, first, fraction / half),
        _ => put::<6>(&mut room, first, fraction / half),
    };
    end = match PLACES / 2 {
        2 => put::<2>(&mut room, middle, fraction % half),
        3 => put::<3>(&mut room, middle, fraction % half),
        4 => put::<4>(&mut room, middle, fraction % half),
        5 => put::<5>(&mut room, middle, fraction % half),
        _ => put::<6>(&mut room, middle, fraction % half),
    };
    while end > first + 1 && room[end - 1] == b'0' {
        end -= 1;
    }
    out.extend_from_slice(room.get(start..end).unwrap_or_default());
}

/// What nearly every price is: at most four digits before the point and three
/// behind it. The text is put together in a register: one that was written to memory
/// digit by digit cannot be read back as a whole until all of it has arrived there.
fn short(out: &mut Vec<u8>, negative: bool, whole: u64, mils: u64) {
    let pair = |number: u64| u64::from(u16::from_le_bytes(PAIRS[(number % 100) as usize]));
    let digits = pair(whole / 100)
        | pair(whole) << 16
        | u64::from(b'.') << 32
        | pair(mils / 10) << 40
        | (u64::from(b'0') + mils % 10) << 56;
    let zeros = [10, 100, 1_000].into_iter().filter(|bound| whole < *bound).count();
    let trimmed = usize::from(mils.is_multiple_of(10)) + usize::from(mils.is_multiple_of(100));
    let sign = usize::from(negative);
    let text = u128::from(digits >> (8 * zeros)) << (8 * sign);
    let text = text | u128::from(if negative { b'-' } else { 0 });
    let length = out.len() + 8 + sign - zeros - trimmed;
    // A copy of known length is an instruction.
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(length);
}

/// Writes a number of at most `N` digits with its leading zeros; answers where
/// it ends.
fn put<const N: usize>(room: &mut [u8], at: usize, mut number: u64) -> usize {
    if let Some(digits) = room.get_mut(at..at + N) {
        for pair in digits.rchunks_mut(2) {
            let two = &PAIRS[(number % 100) as usize];
            pair.copy_from_slice(&two[2 - pair.len()..]);
            number /= 100;
        }
    }
    at + N
}

/// The numbers below a hundred, two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + n as u8 / 10, b'0' + n as u8 % 10];
        n += 1;
    }
    pairs
};

/// A whole number.
pub fn whole(out: &mut Vec<u8>, value: i64) {
    let _ = CompactFormatter.write_i64(out, value);
}

/// A text in quotation marks.
pub fn text(out: &mut Vec<u8>, value: &str) {
    // Texts always serialise, and memory takes them.
    let _ = serde_json::to_writer(out, value);
}

/// What stands before a value in an object that has been begun: `"name":`, and a
/// comma unless it is the first.
pub fn name(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), Some(b'{') | None) {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    fn check(units: i64) {
        let of = |value: f64| serde_json::to_string(&value).expect("finite");
        assert_eq!(written(|o| decimal::<9>(o, units)), of(units as f64 / 1e9), "{units} e-9");
        assert_eq!(written(|o| decimal::<12>(o, units)), of(units as f64 / 1e12), "{units} e-12");
        assert_eq!(written(|o| decimal::<5>(o, units)), of(units as f64 / 1e5), "{units} e-5");
    }

    #[test]
    fn decimals_around_every_power_of_ten() {
        for power in 0..19 {
            for near in -11..=11 {
                check(10i64.pow(power) + near);
                check(-(10i64.pow(power)) + near);
            }
        }
        [i64::MIN, i64::MAX, 0].into_iter().for_each(check);
    }

    proptest! {
        #[test]
        fn a_decimal_has_the_text_of_its_double(units: i64, shift in 0u32..60, cents in 0i64..2_000_000) {
            check(units >> shift);
            check(cents * 10_000_000);
            check(-cents * 50_000_000);
        }

        #[test]
        fn numbers_and_texts_are_as_serde_json_writes_them(bits: u64, text_of in ".*") {
            let value = f64::from_bits(bits);
            prop_assert_eq!(written(|o| number(o, value)), serde_json::to_string(&value).unwrap_or_default());
            prop_assert_eq!(written(|o| whole(o, bits as i64)), (bits as i64).to_string());
            prop_assert_eq!(written(|o| text(o, &text_of)), serde_json::to_string(&text_of).unwrap_or_default());
        }
    }
}
