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

    /// The price and whether it is exact; `None` for null.
    ///
    /// # Errors
    /// [`RefusalReason::BadPrice`] when it is no number, negative, or beyond
    /// what a price can hold.
    pub fn price(&self) -> Result<Option<(Price, bool)>, RefusalReason> {
        let bad = RefusalReason::BadPrice;
        match self {
            Literal::Null => Ok(None),
            Literal::Int(i) if *i >= 0 => {
                i.checked_mul(Price::SCALE).map(|units| Some((Price(units), true))).ok_or(bad)
            }
            Literal::Float(f) if *f >= 0.0 => {
                let price = Price::from_f64_nearest(*f).ok_or(bad)?;
                // Beyond 2^53 units a float cannot tell neighbours apart.
                Ok(Some((price, price.to_f64() == *f && price.0 < 1 << 53)))
            }
            _ => Err(bad),
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
        assert_eq!(read("\"NaN\"").price(), Err(RefusalReason::BadPrice));
        assert_eq!(read("-0.01").price(), Err(RefusalReason::BadPrice));
        assert_eq!(read("1e10").price(), Err(RefusalReason::BadPrice));
        assert_eq!(read("0.78").price(), Ok(Some((Price(780_000_000), true))));
        assert_eq!(read("0.12345678901").price(), Ok(Some((Price(123_456_789), false))));
        assert_eq!(read("1.5").size(), Ok(Some((2, false))));
        assert_eq!(read("-1").size(), Err(RefusalReason::BadSize));
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
