//! The words of plain JSON, read from bytes.
//!
//! Every function takes the text that is left and gives back what it read and
//! what is left then, or `None` where the text is anything but plain; that is
//! no verdict on the text, only "not here". Numbers stay integers: eight digits
//! at a time, whole and fraction apart.

/// An unsigned decimal number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Number {
    /// What stands before the point.
    pub whole: u64,
    /// What stands behind it, in units of 1e-9.
    pub nanos: u32,
}

/// More digits might not fit a `u64`.
const DIGITS_MAX: usize = 19;
/// Written with a point, larger numbers may lie between two floats; serde_json
/// reads them as one.
const WITH_POINT_MAX: u64 = 1 << 52;
/// Digits behind the point that a fixed-point number holds.
const DECIMALS: usize = 9;

const POWERS: [u64; DIGITS_MAX + 1] = {
    let mut powers = [1; DIGITS_MAX + 1];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Behind whitespace.
#[inline(always)]
pub(super) fn space(text: &[u8]) -> &[u8] {
    match text.first() {
        Some(b' ' | b'\n' | b'\r' | b'\t') => spaces(text),
        _ => text,
    }
}

#[cold]
fn spaces(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t'));
    text.get(end.unwrap_or(text.len())..).unwrap_or_default()
}

/// How many of eight bytes, from the first on, are digits.
#[inline(always)]
fn leading_digits(word: u64) -> usize {
    let x = word ^ 0x3030_3030_3030_3030;
    // A byte above 9 carries into its top bit. A carry into the next byte comes
    // from a byte that is no digit, so it falsifies only what lies behind.
    let other = (x.wrapping_add(0x7676_7676_7676_7676) | x) & 0x8080_8080_8080_8080;
    (other.trailing_zeros() >> 3) as usize
}

/// The value of eight digits, the first byte the highest one.
#[inline(always)]
fn eight_digits(word: u64) -> u64 {
    let pairs = word & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = pairs.wrapping_mul(10).wrapping_add(pairs >> 8);
    let high = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let low = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    high.wrapping_add(low) >> 32
}

/// Up to eight digits: their value and number.
#[inline(always)]
fn some_digits(text: &[u8]) -> (u64, usize) {
    let Some(chunk) = text.first_chunk::<8>() else { return last_digits(text) };
    let word = u64::from_le_bytes(*chunk);
    let count = leading_digits(word);
    // Digits move to the high end, so that what is shifted in counts as zeros.
    let value = if count == 0 { 0 } else { eight_digits(word << (64 - 8 * count)) };
    (value & 0xffff_ffff, count)
}

/// The same near the end of the text.
#[cold]
fn last_digits(text: &[u8]) -> (u64, usize) {
    let digits = text.iter().take_while(|b| b.is_ascii_digit());
    digits.fold((0, 0), |(value, count), b| (value * 10 + u64::from(b - b'0'), count + 1))
}

/// An integer without sign, up to 19 digits.
#[inline(always)]
pub(super) fn integer(text: &[u8]) -> Option<(u64, &[u8])> {
    let (value, count) = some_digits(text);
    // JSON knows no leading zeros.
    if count == 0 || (count > 1 && text.first() == Some(&b'0')) {
        return None;
    }
    if count < 8 { Some((value, text.get(count..)?)) } else { long_integer(value, text.get(8..)?) }
}

#[inline]
fn long_integer(high: u64, text: &[u8]) -> Option<(u64, &[u8])> {
    let (low, count) = some_digits(text);
    let (mut value, mut rest) = (high * POWERS.get(count)? + low, text.get(count..)?);
    if count == 8 {
        let (low, count) = some_digits(rest);
        if count > DIGITS_MAX - 16 {
            return None;
        }
        value = value * POWERS.get(count)? + low;
        rest = rest.get(count..)?;
    }
    Some((value, rest))
}

/// A number without sign and exponent.
#[inline(always)]
pub(super) fn number(text: &[u8]) -> Option<(Number, &[u8])> {
    let (whole, rest) = integer(text)?;
    match rest.strip_prefix(b".") {
        None => Some((Number { whole, nanos: 0 }, rest)),
        Some(rest) => {
            let (mut part, mut count) = some_digits(rest);
            let mut rest = rest.get(count..)?;
            if count == 8 {
                let (last, more) = some_digits(rest);
                if more > DECIMALS - 8 {
                    return None;
                }
                part = part * POWERS.get(more)? + last;
                count += more;
                rest = rest.get(more..)?;
            }
            if count == 0 || whole >= WITH_POINT_MAX {
                return None;
            }
            let nanos = (part * POWERS.get(DECIMALS - count)?) as u32;
            Some((Number { whole, nanos }, rest))
        }
    }
}

/// What stands between quotation marks, up to `max` bytes; the caller checks
/// that it holds neither escapes nor control characters. `text` begins behind
/// the first mark, the rest behind the second.
#[inline(always)]
pub(super) fn quoted(text: &[u8], max: usize) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    while at <= max {
        let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
            let end = text.get(at..)?.iter().position(|b| *b == b'"')? + at;
            return Some((text.get(..end)?, text.get(end + 1..)?));
        };
        let x = u64::from_le_bytes(*chunk) ^ 0x2222_2222_2222_2222;
        let zeros = x.wrapping_sub(0x0101_0101_0101_0101) & !x & 0x8080_8080_8080_8080;
        if zeros != 0 {
            let end = at + (zeros.trailing_zeros() >> 3) as usize;
            return Some((text.get(..end)?, text.get(end + 1..)?));
        }
        at += 8;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_are_not_plain_are_left() {
        for text in ["", "-1", "01", "00", ".5", "1.", "1.1234567891", "12345678901234567890", "x"]
        {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        let nines = Number { whole: 999_999_999_999_999, nanos: 999_999_999 };
        assert_eq!(number(b"999999999999999.999999999,"), Some((nines, &b","[..])));
        assert_eq!(number(b"9999999999999999.0"), None);
        assert_eq!(number(b"0e5"), Some((Number::default(), &b"e5"[..])));
    }

    #[test]
    fn space_is_what_json_calls_space() {
        assert_eq!(space(b" \t\r\n x"), b"x");
        assert_eq!(space(b"\x0bx"), b"\x0bx");
        assert_eq!(space(b"  "), b"");
    }

    proptest! {
        #[test]
        fn numbers_are_read_digit_by_digit(whole in any::<u64>(), shift in 0u32..64,
            decimals in "[0-9]{0,9}", rest in "[,}e ]{0,12}") {
            let whole = whole >> shift;
            let mut text = whole.to_string();
            let plain =
                text.len() <= DIGITS_MAX && (decimals.is_empty() || whole < WITH_POINT_MAX);
            if !decimals.is_empty() {
                text = format!("{text}.{decimals}");
            }
            text.push_str(&rest);
            let nanos = format!("{decimals:0<9}").parse().expect("nine digits");
            let expected = plain.then_some((Number { whole, nanos }, rest.as_bytes()));
            prop_assert_eq!(number(text.as_bytes()), expected);
        }

        #[test]
        fn quoted_text_ends_at_the_first_mark(inside in "[!#-~]{0,80}", rest in ".{0,20}") {
            let text = format!("{inside}\"{rest}");
            match quoted(text.as_bytes(), 64) {
                Some(found) => prop_assert_eq!(found, (inside.as_bytes(), rest.as_bytes())),
                None => prop_assert!(inside.len() > 64),
            }
            prop_assert_eq!(quoted(inside.as_bytes(), 64), None);
        }
    }
}
