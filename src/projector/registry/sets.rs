//! Whose names are written.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Entry;

/// Whose names these are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySet {
    /// The names that dashboards and gateways of the original system read.
    Marketswarm,
    /// Our own, with a hash tag per symbol.
    Orrery,
    /// Those of the tick and candle cache.
    Candles,
    /// Those of the intraday alert stack.
    Alerts,
    /// Those of the epoch design (`mmaker:*`).
    Plane,
    /// What the publisher compares before it writes; written with every set.
    Record,
}

impl KeySet {
    /// Those that can be switched on.
    pub const CHOICE: [KeySet; 5] =
        [KeySet::Marketswarm, KeySet::Orrery, KeySet::Candles, KeySet::Alerts, KeySet::Plane];

    /// The name on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            KeySet::Marketswarm => "marketswarm",
            KeySet::Orrery => "orrery",
            KeySet::Candles => "candles",
            KeySet::Alerts => "alerts",
            KeySet::Plane => "plane",
            KeySet::Record => "record",
        }
    }
}

impl fmt::Display for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name of a set that can be switched on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key set: marketswarm, orrery, candles, alerts or plane")]
pub struct UnknownKeySet(pub Box<str>);

impl FromStr for KeySet {
    type Err = UnknownKeySet;

    fn from_str(text: &str) -> Result<KeySet, UnknownKeySet> {
        let found = KeySet::CHOICE.into_iter().find(|set| set.as_str() == text);
        found.ok_or_else(|| UnknownKeySet(text.into()))
    }
}

/// The sets that are switched on. Default: `marketswarm` and `orrery`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeySets(u8);

impl Default for KeySets {
    fn default() -> Self {
        KeySets::of([KeySet::Marketswarm, KeySet::Orrery])
    }
}

impl KeySets {
    /// These sets, and what is written with every set.
    #[must_use]
    pub fn of(sets: impl IntoIterator<Item = KeySet>) -> KeySets {
        let bits = sets.into_iter().fold(0, |bits, set| bits | 1 << set as u8);
        KeySets(bits | 1 << KeySet::Record as u8)
    }

    /// Whether names of a set are written.
    #[must_use]
    pub const fn has(self, set: KeySet) -> bool {
        self.0 & 1 << set as u8 != 0
    }

    /// Whether a row is written.
    #[must_use]
    pub const fn writes(self, entry: &Entry) -> bool {
        self.has(entry.set)
    }

    /// Those that are switched on.
    pub fn chosen(self) -> impl Iterator<Item = KeySet> {
        KeySet::CHOICE.into_iter().filter(move |set| self.has(*set))
    }
}
