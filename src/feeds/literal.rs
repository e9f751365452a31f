//! A JSON value as a vendor may write it where a number is due.
//!
//! Vendors write `null`, `"NaN"` or `1e3` where the specification says integer.
//! A literal takes all of it without failing, so that one odd field costs one
//! contract or message with a named reason and not the whole document.

use std::borrow::Cow;
use std::fmt;

use orrery_journal::event::RefusalReason;
use orrery_journal::units::Price;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value that was expected to be a scalar or a list of small integers.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal<'a> {
    /// `null`.
    Null,
    /// A number that is an integer.
    Int(i64),
    /// An integer beyond `i64`.
    Big(u64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// A list of integers below 2^32.
    List(Vec<u32>),
    /// Anything else.
    Other,
}

impl Literal<'_> {
    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Literal::Int(i) => Some(*i as f64),
            Literal::Big(u) => Some(*u as f64),
            Literal::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Literal::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is an exact `i64`, also when written `5.0`.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Literal::Int(i) => Some(*i),
            Literal::Float(f) if *f == f.trunc() && f.abs() < 9e15 => Some(*f as i64),
            _ => None,
        }
    }

    /// A number that is an exact `u64`, also when written `5.0`.
    #[must_use]
    pub fn unsigned(&self) -> Option<u64> {
        match self {
            Literal::Big(u) => Some(*u),
            other => other.integer().and_then(|i| u64::try_from(i).ok()),
        }
    }

    /// The size, rounded, and whether it is exact; `None` for null.
    ///
    /// # Errors
    /// [`RefusalReason::BadSize`] when it is no number, negative, or beyond 2^64.
    pub fn size(&self) -> Result<Option<(u64, bool)>, RefusalReason> {
        if let Some(size) = self.unsigned() {
            return Ok(Some((size, true)));
        }
        match self {
            Literal::Null => Ok(None),
            Literal::Float(f) if *f >= 0.0 && *f < 1.8e19 => Ok(Some((f.round() as u64, false))),
            _ => Err(RefusalReason::BadSize),
        }
    }
}

/// The price that a JSON number stands for, and whether that is exact: read
/// digit by digit, so that no float comes between. What has more than nine
/// decimals becomes the nearest price. `None` when no price is as large, or
/// when `text` is no JSON number.
#[must_use]
pub fn price_of(text: &str) -> Option<(Price, bool)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        None => (text, 0),
        Some((digits, exponent)) => (digits, exponent_of(exponent)?),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = whole.bytes().chain(part.bytes()).map(|b| i64::from(b - b'0'));
    // Zeros in front would only count towards a bound.
    let zeros = digits.clone().take_while(|d| *d == 0).count();
    let mut digits = digits.skip(zeros);
    // How many of the digits that are left are whole units.
    let count = whole.len() as i64 - zeros as i64 + exponent + DECIMALS;
    let mut units = 0i64;
    if digits.clone().next().is_some() {
        for _ in 0..count {
            units = units.checked_mul(10)?.checked_add(digits.next().unwrap_or(0))?;
        }
    }
    let next = if count < 0 { 0 } else { digits.next().unwrap_or(0) };
    let exact = next == 0 && digits.all(|d| d == 0);
    units = units.checked_add(i64::from(next >= 5))?;
    Some((Price(if negative { -units } else { units }), exact))
}

/// Decimals of a price.
const DECIMALS: i64 = Price::SCALE.ilog10() as i64;

/// An exponent as JSON writes it; one that is too long for anything counts as
/// the longest.
fn exponent_of(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let longest = i64::from(i32::MAX);
    let size = digits.iter().fold(0, |n: i64, b| (n * 10 + i64::from(b - b'0')).min(longest));
    Some(if negative { -size } else { size })
}

/// What stands in the place of a number.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub enum Figure {
    /// Nothing: the field is absent or null.
    #[default]
    Absent,
    /// A number.
    Number(f64),
    /// Something that is no number.
    Other,
}

impl Figure {
    /// The number, if it is one.
    #[must_use]
    pub fn number(self) -> Option<f64> {
        match self {
            Figure::Number(number) => Some(number),
            Figure::Absent | Figure::Other => None,
        }
    }

    /// The number, or nothing where nothing stands.
    ///
    /// # Errors
    /// `reason`, when it is something else.
    pub fn checked(self, reason: RefusalReason) -> Result<Option<f64>, RefusalReason> {
        match self {
            Figure::Other => Err(reason),
            told => Ok(told.number()),
        }
    }

    /// This one, or `other` where nothing stands.
    #[must_use]
    pub fn or(self, other: Figure) -> Figure {
        if self == Figure::Absent { other } else { self }
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Read as an option, so that a structure may lack the field.
        Ok(match Option::<Literal<'de>>::deserialize(deserializer)? {
            None | Some(Literal::Null) => Figure::Absent,
            Some(literal) => literal.number().map_or(Figure::Other, Figure::Number),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Literal<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Literal<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Literal::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Literal::Other)
            }
            fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
                Ok(Literal::Int(v))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(v).map_or(Literal::Big(v), Literal::Int))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
                Ok(Literal::Float(v))
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Literal::Text(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Literal::Text(Cow::Owned(v.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let (mut list, mut small) = (Vec::new(), true);
                while let Some(item) = seq.next_element::<Literal<'de>>()? {
                    match item.unsigned().and_then(|u| u32::try_from(u).ok()) {
                        Some(u) => list.push(u),
                        None => small = false,
                    }
                }
                Ok(if small { Literal::List(list) } else { Literal::Other })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Literal::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Literal<'_> {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn takes_whatever_a_vendor_writes() {
        assert_eq!(read("null"), Literal::Null);
        assert_eq!(read("18446744073709551615").unsigned(), Some(u64::MAX));
        assert_eq!(read("6.0").integer(), Some(6));
        assert_eq!(read("[1,232]"), Literal::List(vec![1, 232]));
        assert_eq!(read("[1,{\"a\":[2]}]"), Literal::Other);
        assert_eq!(read("{\"a\":{}}"), Literal::Other);
        assert_eq!(read("1.5").size(), Ok(Some((2, false))));
        assert_eq!(read("-1").size(), Err(RefusalReason::BadSize));
    }

    #[test]
    fn prices_are_read_from_their_digits() {
        for (text, units, exact) in [
            ("0", 0, true),
            ("-0.0", 0, true),
            ("0e999999999999999999999", 0, true),
            ("0.78", 780_000_000, true),
            ("0.7800000000000", 780_000_000, true),
            ("-0.01", -10_000_000, true),
            ("1e3", 1_000_000_000_000, true),
            ("0.0001E+4", 1_000_000_000, true),
            ("12e-10", 1, false),
            ("5e-10", 1, false),
            ("4.9e-10", 0, false),
            ("1e-999999999999999999999", 0, false),
            ("0.12345678901", 123_456_789, false),
            ("0.1234567895", 123_456_790, false),
            // A float holds neither of these.
            ("123456789.123456789", 123_456_789_123_456_789, true),
            ("9223372036.854775807", i64::MAX, true),
        ] {
            assert_eq!(price_of(text), Some((Price(units), exact)), "{text}");
        }
        for text in
            ["9223372036.854775808", "1e10", "1e999999999999999999999", "NaN", "", "1e", "."]
        {
            assert_eq!(price_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_figure_is_a_number_nothing_or_something_else() {
        #[derive(serde::Deserialize)]
        struct Row {
            bid: Figure,
        }
        let bid = |text: &str| serde_json::from_str::<Row>(text).expect("a row").bid;
        let bad = RefusalReason::BadPrice;
        assert_eq!(bid("{\"bid\":1.5}").checked(bad), Ok(Some(1.5)));
        for nothing in [bid("{}"), bid("{\"bid\":null}")] {
            assert_eq!(nothing.checked(bad), Ok(None));
            assert_eq!(nothing.or(Figure::Number(2.0)), Figure::Number(2.0));
        }
        let other = bid("{\"bid\":\"NaN\"}");
        assert_eq!((other.checked(bad), other.number()), (Err(bad), None));
        assert_eq!(other.or(Figure::Number(2.0)), Figure::Other);
        assert!(serde_json::from_str::<Row>("[]").is_err());
    }
}
