//! Canonical bytes of several events: a 64-byte label, then their rows.
//!
//! Frames and pages share the layout and differ in magic and in what the last
//! half of the label holds.
//!
//! ```text
//!  0  magic     8 bytes
//!  8  version   u32
//! 12  count     u32   events
//! 16  first     u64   seq of the first event
//! 24  day       i32   trading day, days since 1970-01-01
//! 28  zero      u32
//! 32  page: zeros; frame: blake3 of the whole with zeros here
//! 64  rows, each the canonical bytes of one event (`event/codec.rs`)
//! ```

use std::sync::Arc;

use crate::event::{self, Body, Event, EventError, Kind};
use crate::limits::PAGE_EVENTS;
use crate::units::{InstrumentId, RecvTime, Seq, SourceId, TradingDay};

/// Length of a label.
pub(crate) const LABEL: usize = 64;

/// What a stretch of events is called before they follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label {
    pub first: Seq,
    pub count: u32,
    pub day: TradingDay,
}

impl Label {
    /// Last seq of the stretch.
    pub(crate) fn last(&self) -> Seq {
        Seq(self.first.0.saturating_add(u64::from(self.count)).saturating_sub(1))
    }

    /// The label's bytes, the last half zero.
    pub(crate) fn bytes(&self, magic: &[u8; 8], version: u32) -> [u8; LABEL] {
        let mut out = [0; LABEL];
        out[0..8].copy_from_slice(magic);
        out[8..12].copy_from_slice(&version.to_le_bytes());
        out[12..16].copy_from_slice(&self.count.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        out[24..28].copy_from_slice(&self.day.0.to_le_bytes());
        out
    }

    /// Reads a label; tells the version as found. The caller judges the rest.
    pub(crate) fn parse(bytes: &[u8], magic: &[u8; 8]) -> Result<(Label, u32), &'static str> {
        if bytes.get(..8) != Some(magic.as_slice()) {
            return Err("wrong magic");
        }
        let short = "shorter than its label";
        let label = Label {
            first: Seq(u64_at(bytes, 16).ok_or(short)?),
            count: u32_at(bytes, 12).ok_or(short)?,
            day: TradingDay(u32_at(bytes, 24).ok_or(short)? as i32),
        };
        if label.count == 0 || label.count as usize > PAGE_EVENTS {
            return Err("impossible number of events");
        }
        if label.first < Seq::FIRST || label.first.0.checked_add(u64::from(label.count)).is_none() {
            return Err("impossible first seq");
        }
        Ok((label, u32_at(bytes, 8).ok_or(short)?))
    }
}

/// Little-endian u16 at an offset.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

/// Little-endian u32 at an offset.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

/// Little-endian u64 at an offset.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

/// The fields of a row that the journal itself looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub bytes: &'a [u8],
    pub kind: Kind,
}

impl Row<'_> {
    pub(crate) fn recv(&self) -> RecvTime {
        RecvTime(u64_at(self.bytes, 0).unwrap_or_default() as i64)
    }
    pub(crate) fn instrument(&self) -> InstrumentId {
        InstrumentId(u32_at(self.bytes, 16).unwrap_or_default())
    }
    pub(crate) fn source(&self) -> SourceId {
        SourceId(u16_at(self.bytes, 20).unwrap_or_default())
    }
}

/// The rows of canonical bytes; ends early, with an error, at what is no row.
pub(crate) struct Rows<'a> {
    rest: &'a [u8],
}

impl<'a> Rows<'a> {
    pub(crate) fn new(rows: &'a [u8]) -> Rows<'a> {
        Rows { rest: rows }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, EventError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let got = self.rest.len();
        let tag = self.rest.get(22).copied().unwrap_or_default();
        let Some(kind) = Kind::from_tag(tag) else {
            self.rest = &[];
            return Some(Err(EventError::UnknownKind(tag)));
        };
        let needed = event::encoded_len(kind);
        let Some((bytes, rest)) = self.rest.split_at_checked(needed) else {
            self.rest = &[];
            return Some(Err(EventError::Short { tag, needed, got }));
        };
        self.rest = rest;
        Some(Ok(Row { bytes, kind }))
    }
}

/// Decodes `count` rows whose hash was checked already, so that they are known
/// to be what an encoder of ours wrote.
pub(crate) fn decode_checked(rows: &[u8], count: usize) -> Result<Arc<[Event]>, EventError> {
    let mut rows = Rows::new(rows);
    let mut error = None;
    // An exact-size iterator lets the events be written in place, once.
    let events = (0..count)
        .map(|_| {
            let row = rows.next();
            if let Some(Ok(Row { bytes, kind })) = row
                && let Some(tick) = event::parse_tick(bytes, kind)
            {
                return tick;
            }
            let parsed = match row {
                Some(Ok(row)) => event::parse(row.bytes, row.kind),
                Some(Err(e)) => Err(e),
                None => Err(EventError::Short { tag: 0, needed: event::EVENT_BYTES_SHORT, got: 0 }),
            };
            parsed.unwrap_or_else(|e| {
                error.get_or_insert(e);
                PLACEHOLDER
            })
        })
        .collect();
    match (error, rows.next()) {
        (Some(e), _) => Err(e),
        (None, Some(_)) => Err(EventError::NotCanonical("more rows than events")),
        (None, None) => Ok(events),
    }
}

const PLACEHOLDER: Event = Event {
    recv: RecvTime(0),
    vendor_time: None,
    instrument: InstrumentId::NONE,
    source: SourceId::JOURNAL,
    extended: false,
    body: Body::ClockBeat,
};
