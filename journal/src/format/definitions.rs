//! The tickers, condition lists and sources that a page defines, so that
//! opening finds them without decoding pages.
//!
//! ```text
//!  0  magic    `ORRYDEFS`
//!  8  version u32, 12 count u32 (definitions), 16 first u64 (of the page), 24 day i32, 28 zeros
//! 64  each definition:
//!       0  kind      u8    tag of the defining event
//!       1  inline    u8    1: the text follows; 0: its blob's address follows
//!       2  length    u8    of what follows
//!       3  zero      u8
//!       4  position  u32   of the defining event in the page, from 0
//!       8  id        u32
//!      12  text or address
//!     blake3 of everything before it, 32 bytes
//! ```

use crate::event::{Body, Event, InlineText, Kind, parse};
use crate::format::canon::{LABEL, Label, Row, u32_at};
use crate::units::Address;

const MAGIC: &[u8; 8] = b"ORRYDEFS";
const VERSION: u32 = 1;
const HASH: usize = 32;
const ENTRY: usize = 12;

/// What a name is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    /// The text itself.
    Inline(Box<[u8]>),
    /// In a blob.
    Blob(Address),
}

/// One definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Definition {
    /// Tag of the defining event.
    pub kind: Kind,
    /// Its position in the page.
    pub position: u32,
    /// The id.
    pub id: u32,
    /// What has the id now.
    pub name: Name,
}

impl Definition {
    /// The definition that a row makes, if it makes one.
    #[inline]
    pub(crate) fn of(row: &Row<'_>, position: u32) -> Option<Definition> {
        match row.kind {
            Kind::InstrumentDefined | Kind::ConditionsDefined | Kind::SourceDefined => {
                Definition::parse(row, position)
            }
            _ => None,
        }
    }

    fn parse(row: &Row<'_>, position: u32) -> Option<Definition> {
        let Event { instrument, source, body, .. } = parse(row.bytes, row.kind).ok()?;
        let (id, name) = match body {
            Body::InstrumentDefined(InlineText::Inline(text)) => {
                (instrument.0, Name::Inline(text.as_bytes().into()))
            }
            Body::InstrumentDefined(InlineText::Blob(blob)) => (instrument.0, Name::Blob(blob)),
            Body::ConditionsDefined { id, blob } => (id, Name::Blob(blob)),
            Body::SourceDefined(blob) => (u32::from(source.0), Name::Blob(blob)),
            _ => return None,
        };
        Some(Definition { kind: row.kind, position, id, name })
    }
}

/// Stored bytes of a page's definitions; `label` is the page's, with the count
/// of its definitions instead of its events.
pub(crate) fn encode(label: Label, definitions: &[Definition]) -> Vec<u8> {
    let label = Label { count: definitions.len() as u32, ..label };
    let mut out = Vec::with_capacity(LABEL + HASH + definitions.len() * (ENTRY + 24));
    out.extend_from_slice(&label.bytes(MAGIC, VERSION));
    for definition in definitions {
        let (inline, bytes): (u8, &[u8]) = match &definition.name {
            Name::Inline(text) => (1, text),
            Name::Blob(address) => (0, &address.0),
        };
        out.extend_from_slice(&[definition.kind as u8, inline, bytes.len() as u8, 0]);
        out.extend_from_slice(&definition.position.to_le_bytes());
        out.extend_from_slice(&definition.id.to_le_bytes());
        out.extend_from_slice(bytes);
    }
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    out
}

/// Label and definitions of stored bytes, their hash checked.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Label, Vec<Definition>), String> {
    let (label, version) = Label::parse(bytes, MAGIC)?;
    if version != VERSION {
        return Err(format!("definitions version {version} is unknown"));
    }
    let body = bytes.len().checked_sub(HASH).and_then(|n| bytes.split_at_checked(n));
    let (plain, hash) = body.ok_or("shorter than its hash")?;
    if blake3::hash(plain).as_bytes() != hash {
        return Err("does not match its hash".into());
    }
    let (head, mut rest) = plain.split_at_checked(LABEL).ok_or("shorter than its label")?;
    if head.get(28..).is_none_or(|zeros| zeros.iter().any(|b| *b != 0)) {
        return Err("something stands where zeros should".into());
    }
    let mut out = Vec::with_capacity(label.count as usize);
    while let Some((head, tail)) = rest.split_at_checked(ENTRY) {
        let (text, tail) =
            tail.split_at_checked(usize::from(head[2])).ok_or("an entry is cut short")?;
        let name = match (head[1], head[3]) {
            (1, 0) => Name::Inline(text.into()),
            (0, 0) => Name::Blob(Address(text.try_into().map_err(|_| "an address is cut short")?)),
            _ => return Err("a name that is neither text nor an address".into()),
        };
        out.push(Definition {
            kind: Kind::from_tag(head[0]).ok_or("an unknown kind")?,
            position: u32_at(head, 4).unwrap_or_default(),
            id: u32_at(head, 8).unwrap_or_default(),
            name,
        });
        rest = tail;
    }
    if out.len() != label.count as usize || !rest.is_empty() {
        return Err("length does not match the count".into());
    }
    Ok((label, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Seq, TradingDay};

    #[test]
    fn definitions_come_back() {
        let label = Label { first: Seq(1), count: 4096, day: TradingDay(1) };
        let list = vec![
            Definition {
                kind: Kind::InstrumentDefined,
                position: 3,
                id: 1,
                name: Name::Inline((*b"SPX").into()),
            },
            Definition {
                kind: Kind::SourceDefined,
                position: 0,
                id: 1,
                name: Name::Blob(Address([3; 32])),
            },
        ];
        let bytes = encode(label, &list);
        assert_eq!(decode(&bytes), Ok((Label { count: 2, ..label }, list)));
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "cut at {len}");
        }
    }
}
