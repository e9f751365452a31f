//! The events of one kind: where their rows lie, which earlier event predicts
//! each of them, and how their fields are read and written.

use super::schema::{Field, How};
use crate::event::Kind;

/// No earlier event of the instrument; where there is one, one more than its
/// place, so that a zero in front of the column stands for "none".
pub(super) const NONE: u32 = 0;
pub(super) const VENDOR_TIME: u8 = 0x01;

/// Which earlier event predicts each event of a group, and in which order the
/// residuals are stored: first of those that have one, then of the others.
#[derive(Default)]
pub(super) struct References {
    pub(super) from: Vec<u32>,
    pub(super) slots: Vec<u32>,
    /// How many have one.
    pub(super) with: usize,
}

impl References {
    fn set(&mut self, from: impl Iterator<Item = u32>) {
        self.from.clear();
        self.from.extend(from);
        self.with = self.from.iter().filter(|r| **r != NONE).count();
        let (mut with, mut alone) = (0, self.with as u32);
        self.slots.clear();
        self.slots.extend(self.from.iter().map(|r| {
            let has = u32::from(*r != NONE);
            let slot = if has == 1 { with } else { alone };
            with += has;
            alone += 1 - has;
            slot
        }));
    }
}

/// The events of one kind: where their rows are, and what predicts each.
#[derive(Default)]
pub(super) struct Group {
    pub(super) offsets: Vec<u32>,
    /// Places in this group.
    pub(super) same: References,
    /// Offsets of rows.
    pub(super) market: References,
}

fn word<const W: usize>(bytes: &[u8; W]) -> u64 {
    let mut all = [0; 8];
    all[..W].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

/// The `W` bytes at an offset, extended with zeros.
pub(super) fn load<const W: usize>(rows: &[u8], at: usize) -> u64 {
    rows.get(at..).and_then(|b| b.first_chunk::<W>()).map_or(0, word)
}

/// Puts the low `W` bytes of a value at an offset.
pub(super) fn store<const W: usize>(rows: &mut [u8], at: usize, value: u64) {
    let all = value.to_le_bytes();
    let to = rows.get_mut(at..).and_then(|b| b.first_chunk_mut::<W>());
    if let (Some(to), Some(low)) = (to, all.first_chunk::<W>()) {
        *to = *low;
    }
}

/// Reads a field of all rows of a group.
pub(super) fn collect(rows: &[u8], group: &Group, f: &Field, values: &mut Vec<u64>) {
    values.clear();
    let at = group.offsets.iter().map(|o| *o as usize + f.at);
    match f.width {
        8 => values.extend(at.map(|at| load::<8>(rows, at))),
        4 => values.extend(at.map(|at| load::<4>(rows, at))),
        2 => values.extend(at.map(|at| load::<2>(rows, at))),
        _ => values.extend(at.map(|at| load::<1>(rows, at))),
    }
}

/// Writes a field of all rows of a group.
pub(super) fn spread(rows: &mut [u8], group: &Group, f: &Field, values: &[u64]) {
    let places = group.offsets.iter().map(|o| *o as usize + f.at).zip(values);
    match f.width {
        8 => places.for_each(|(at, v)| store::<8>(rows, at, *v)),
        4 => places.for_each(|(at, v)| store::<4>(rows, at, *v)),
        2 => places.for_each(|(at, v)| store::<2>(rows, at, *v)),
        _ => places.for_each(|(at, v)| store::<1>(rows, at, *v)),
    }
}

/// Fills `group` with the events of `kind`. `events` yields kind tag, dense
/// instrument number and row offset of every event of the page, in order.
pub(super) fn gather(
    events: impl Iterator<Item = (u8, u32, u32)>,
    kind: Kind,
    instruments: usize,
    last: &mut Vec<u32>,
    references: &mut Vec<u32>,
    group: &mut Group,
) {
    group.offsets.clear();
    references.clear();
    let (wanted, quote) = (kind as u8, Kind::Quote as u8);
    let market = kind == Kind::Trade;
    // Two tables in one: last of this kind, and for trades the last quote.
    last.clear();
    last.resize(instruments * if market { 2 } else { 1 }, NONE);
    let mut quotes = Vec::new();
    for (tag, dense, offset) in events {
        let dense = dense as usize;
        if tag == wanted {
            group.offsets.push(offset);
            references.push(last.get(dense).copied().unwrap_or(NONE));
            if market {
                quotes.push(last.get(instruments + dense).copied().unwrap_or(NONE));
            }
            if let Some(slot) = last.get_mut(dense) {
                *slot = group.offsets.len() as u32;
            }
        } else if market
            && tag == quote
            && let Some(slot) = last.get_mut(instruments + dense)
        {
            *slot = offset + 1;
        }
    }
    group.same.set(references.iter().copied());
    let Group { offsets, same, market } = group;
    market.set(quotes.iter().zip(&same.from).map(|(quoted, same)| {
        let traded = || (*same as usize).checked_sub(1).and_then(|at| offsets.get(at));
        if *quoted == NONE { traded().map_or(NONE, |o| o + 1) } else { *quoted }
    }));
}

/// What the row itself predicts for a field.
#[inline]
pub(super) fn within(rows: &[u8], row: u32, how: How) -> u64 {
    let at = match how {
        How::At24 => 24,
        How::At40 => 40,
        How::At64 => 64,
        _ => 0,
    };
    load::<8>(rows, row as usize + at)
}

/// What an earlier quote or trade predicts; both have their first price at 24.
#[inline]
pub(super) fn quoted(rows: &[u8], reference: u32) -> u64 {
    if reference == NONE { 0 } else { load::<8>(rows, reference as usize - 1 + 24) }
}
