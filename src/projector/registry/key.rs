//! Keys and channels as they stand in Redis: made and read here only.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use super::{Entry, Name, UNSUFFIXED_SYMBOL, table};
use crate::market::ticker;

const DAY_S: u32 = 86_400;
/// Where the id of an epoch stands in a template.
const EPOCH: &str = "{epoch}";

impl Name {
    /// The key of a symbol (`SPX`, never `I:SPX`), for names whose template has
    /// no family.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn key(self, symbol: &str) -> Result<RegisteredKey, KeyError> {
        let family = match self.entry().family {
            "*" => return Err(KeyError::Family { family: "*".into() }),
            family => family,
        };
        self.key_of(symbol, family)
    }

    /// The key of a symbol's family.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn key_of(self, symbol: &str, family: &str) -> Result<RegisteredKey, KeyError> {
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || ".:_-/".contains(c);
        if symbol.is_empty() || symbol.len() > 64 || !symbol.chars().all(plain) {
            return Err(KeyError::Symbol { symbol: symbol.into() });
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if family.is_empty() || family.len() > 64 || !family.chars().all(plain) {
            return Err(KeyError::Family { family: family.into() });
        }
        let entry = self.entry();
        if !entry.template.contains('{') && symbol != UNSUFFIXED_SYMBOL && !self.is_shared() {
            return Err(KeyError::Unsuffixed { template: entry.template, symbol: symbol.into() });
        }
        if entry.template.contains(EPOCH) {
            return Err(KeyError::Epoch { epoch: Box::default() });
        }
        let text = fill(entry.template, symbol, family);
        Ok(RegisteredKey { entry, symbol: symbol.into(), family: family.into(), text: text.into() })
    }

    /// The key of one epoch of a symbol, for names whose template has one.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn key_of_epoch(self, symbol: &str, epoch: &str) -> Result<RegisteredKey, KeyError> {
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let entry = self.entry();
        if epoch.len() != 64 || !epoch.chars().all(hex) || !entry.template.contains(EPOCH) {
            return Err(KeyError::Epoch { epoch: epoch.into() });
        }
        // What is checked of a symbol is checked by any of its names.
        let any = Name::EpochTimeline.key_of(symbol, entry.family)?;
        let text = fill(entry.template, symbol, entry.family).replace(EPOCH, epoch);
        Ok(RegisteredKey { entry, text: text.into(), ..any })
    }
}

fn fill(template: &str, symbol: &str, family: &str) -> String {
    template
        .replace("{sym}", &symbol.to_ascii_lowercase())
        .replace("{SYM}", symbol)
        .replace("{vendor_symbol}", &ticker::vendor_symbol(symbol))
        .replace("{family}", family)
}

/// A name that cannot be formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The symbol has characters that keys do not take.
    #[error("symbol {symbol:?} cannot be part of a key: 1 to 64 of A-Z 0-9 . : _ - /")]
    Symbol {
        /// As given.
        symbol: Box<str>,
    },
    /// The family has characters that keys do not take.
    #[error("family {family:?} cannot be part of a key: 1 to 64 of a-z 0-9 _")]
    Family {
        /// As given.
        family: Box<str>,
    },
    /// The name carries no symbol and belongs to another one.
    #[error("{template} carries no symbol and belongs to {UNSUFFIXED_SYMBOL}, not to {symbol}")]
    Unsuffixed {
        /// The name.
        template: &'static str,
        /// As given.
        symbol: Box<str>,
    },
    /// Not the id of an epoch, or the name has none.
    #[error("{epoch:?} is no id of an epoch: 64 of 0-9 a-f")]
    Epoch {
        /// As given.
        epoch: Box<str>,
    },
}

/// What stands before every key and channel of a replay session, so that none of
/// them is one of the live pipeline's: `replay:session-3:`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// Before the name of a session.
    const BEFORE: &str = "replay:";

    /// The prefix of a session; `None` for a name that cannot be part of a key.
    #[must_use]
    pub fn of_session(name: &str) -> Option<Prefix> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fine = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
        fine.then(|| Prefix(format!("{}{name}:", Prefix::BEFORE).into()))
    }

    /// The prefix as it stands in Redis.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix of a key, and what follows it.
    fn split(text: &str) -> Option<(Prefix, &str)> {
        let (name, rest) = text.strip_prefix(Prefix::BEFORE)?.split_once(':')?;
        Some((Prefix::of_session(name)?, rest))
    }
}

/// A key or channel that has an entry in the table.
#[derive(Clone, Debug)]
pub struct RegisteredKey {
    entry: &'static Entry,
    symbol: Box<str>,
    family: Box<str>,
    text: Box<str>,
}

impl RegisteredKey {
    /// Reads a key or channel as it stands in Redis; `None` for a stranger.
    ///
    /// Where two templates fit (`...:trail`), the one with more fixed text wins.
    #[must_use]
    pub fn parse(text: &str) -> Option<RegisteredKey> {
        if let Some((prefix, rest)) = Prefix::split(text) {
            return Some(RegisteredKey::parse_plain(rest)?.under(&prefix));
        }
        RegisteredKey::parse_plain(text)
    }

    /// The same key of a replay session.
    #[must_use]
    pub fn under(self, prefix: &Prefix) -> RegisteredKey {
        RegisteredKey { text: format!("{}{}", prefix.0, self.text).into(), ..self }
    }

    fn parse_plain(text: &str) -> Option<RegisteredKey> {
        table()
            .iter()
            .filter_map(|entry| {
                let key = match entry.template.split_once(EPOCH) {
                    Some((head, tail)) => {
                        let epoch = text.strip_prefix(head)?.strip_suffix(tail)?;
                        // Whose epoch it is does not stand in the name.
                        entry.name.key_of_epoch(UNSUFFIXED_SYMBOL, epoch)
                    }
                    None => {
                        let (symbol, family) = match_template(entry, text)?;
                        entry.name.key_of(&symbol, &family)
                    }
                };
                key.ok().filter(|key| key.as_str() == text)
            })
            .max_by_key(|key| key.entry.template.len())
    }

    /// The key as it stands in Redis.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its row in the table.
    #[must_use]
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// Lifetime in seconds, set anew by each write; 0 lives for ever. What a
    /// replay session leaves behind never does.
    #[must_use]
    pub fn ttl_seconds(&self) -> u32 {
        let of_session = Prefix::split(&self.text).map(|_| DAY_S);
        self.entry.ttl_seconds.or(of_session).unwrap_or(0)
    }

    /// Symbol of the partition: `SPX`.
    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Family of artifacts.
    #[must_use]
    pub fn family(&self) -> &str {
        &self.family
    }
}

impl fmt::Display for RegisteredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for RegisteredKey {
    fn eq(&self, other: &RegisteredKey) -> bool {
        self.text == other.text && self.entry.name == other.entry.name
    }
}

impl Eq for RegisteredKey {}

impl PartialOrd for RegisteredKey {
    fn partial_cmp(&self, other: &RegisteredKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RegisteredKey {
    fn cmp(&self, other: &RegisteredKey) -> Ordering {
        (&self.text, self.entry.name).cmp(&(&other.text, other.entry.name))
    }
}

impl Serialize for RegisteredKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Symbol and family of a text that has the template's fixed parts.
fn match_template(entry: &Entry, text: &str) -> Option<(String, String)> {
    let (template, mut text) = (entry.template, text);
    let mut family = entry.family.to_owned();
    if entry.family == "*" && template.contains("{family}") {
        let (head, tail) = template.split_once("{family}")?;
        let rest = text.strip_suffix(tail)?;
        // Families hold no colon, so the family is what follows the last one.
        let (before, name) = rest.rsplit_once(':')?;
        family = name.to_owned();
        text = before;
        let (prefix, suffix) = head.trim_end_matches(':').split_once("{SYM}")?;
        let symbol = text.strip_prefix(prefix)?.strip_suffix(suffix)?;
        return Some((symbol.to_owned(), family));
    }
    if entry.family == "*" {
        // Any family will do: the name does not contain it.
        family = "any".to_owned();
    }
    for placeholder in ["{vendor_symbol}", "{SYM}", "{sym}"] {
        let Some((prefix, suffix)) = template.split_once(placeholder) else { continue };
        let symbol = text.strip_prefix(prefix)?.strip_suffix(suffix)?;
        let symbol = match placeholder {
            "{vendor_symbol}" => symbol.strip_prefix("I:").unwrap_or(symbol).to_owned(),
            "{sym}" => symbol.to_ascii_uppercase(),
            _ => symbol.to_owned(),
        };
        return Some((symbol, family));
    }
    (text == template).then(|| (UNSUFFIXED_SYMBOL.to_owned(), family))
}
