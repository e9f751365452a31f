//! The fields of one WebSocket message, by name, without copying text.

use std::borrow::Cow;
use std::fmt;

use orrery_journal::event::RefusalReason;
use orrery_journal::units::Price;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::feeds::literal::{self, Literal};

macro_rules! keys {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// A field that some message of the vendor has.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Key { $($variant),* }

        /// How many there are.
        pub(super) const KEYS: usize = [$($name),*].len();

        impl Key {
            /// All of them and what they are called.
            pub(super) const ALL: [(Key, &'static str); KEYS] = [$((Key::$variant, $name)),*];
        }

        fn key_of(name: &str) -> Option<Key> {
            match name {
                $($name => Some(Key::$variant),)*
                _ => None,
            }
        }
    };
}

keys! {
    Ev "ev", Sym "sym", IndexTicker "T", Exchange "x", Price "p", S "s", C "c", T "t", Q "q",
    BidExchange "bx", AskExchange "ax", Bid "bp", Ask "ap", BidSize "bs", AskSize "as",
    Volume "v", DayVolume "av", DayOpen "op", Vwap "vw", Open "o", High "h", Low "l",
    A "a", SizeMean "z", End "e", Trades "n", Value "val", B "b",
}

/// The value of a field and how the message writes it.
#[derive(Debug)]
pub(super) struct Field<'a> {
    /// The value.
    pub literal: Literal<'a>,
    text: &'a str,
}

impl Field<'_> {
    /// The price and whether it is exact; `None` for null. Numbers are read
    /// from their digits, never by way of a float.
    ///
    /// # Errors
    /// [`RefusalReason::BadPrice`] when it is no number, negative, or beyond
    /// what a price can hold.
    pub(super) fn price(&self) -> Result<Option<(Price, bool)>, RefusalReason> {
        match &self.literal {
            Literal::Null => Ok(None),
            Literal::Int(_) | Literal::Big(_) | Literal::Float(_) => {
                let price = literal::price_of(self.text).filter(|(price, _)| price.0 >= 0);
                price.map(Some).ok_or(RefusalReason::BadPrice)
            }
            _ => Err(RefusalReason::BadPrice),
        }
    }
}

/// One message: each field at most once.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    values: [Option<Field<'a>>; KEYS],
    unknown: bool,
}

impl<'a> Fields<'a> {
    /// The field, which then counts as understood.
    pub(super) fn take(&mut self, key: Key) -> Option<Field<'a>> {
        self.values.get_mut(key as usize)?.take()
    }

    /// Whether every field was taken and none was strange.
    pub(super) fn understood(&self) -> bool {
        !self.unknown && self.values.iter().all(Option::is_none)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Message;
        impl<'de> Visitor<'de> for Message {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields { values: [const { None }; KEYS], unknown: false };
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    let Some(key) = key_of(&name) else {
                        fields.unknown = true;
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let text = map.next_value::<&'de RawValue>()?.get();
                    let literal = serde_json::from_str(text)
                        .map_err(|e| A::Error::custom(format_args!("field {name}: {e}")))?;
                    let slot = &mut fields.values[key as usize];
                    if slot.replace(Field { literal, text }).is_some() {
                        return Err(A::Error::custom(format_args!("field {name} stands twice")));
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Message)
    }
}

/// A key, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Literal::deserialize(deserializer)? {
            Literal::Text(text) => Ok(Name(text)),
            _ => Err(D::Error::custom("a key must be text")),
        }
    }
}
