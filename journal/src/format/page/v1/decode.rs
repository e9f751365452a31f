//! Columns back to rows. What is read may be anything at all.

use super::column::{Column, Counts};
use super::divide::Units;
use super::group::{Group, VENDOR_TIME, gather, load, store};
use super::schema::{FLAGS, schema};
use super::ticks;
use crate::event::{self, Kind};
use crate::format::canon::LABEL;
use crate::format::page::pack::{Source, unzigzag};
use crate::limits::PAGE_EVENTS;

/// Memory that is kept from page to page.
#[derive(Default)]
pub(in crate::format::page) struct Scratch {
    common: Common,
    places: Places,
    ticks: ticks::Scratch,
}

/// The columns that all events have.
#[derive(Default)]
pub(super) struct Common {
    pub(super) kinds: Vec<u64>,
    /// Instruments of the page.
    pub(super) ids: Vec<u64>,
    /// Each event's place among them.
    pub(super) index: Vec<u64>,
    pub(super) sources: Vec<u64>,
    pub(super) first_recv: u64,
    pub(super) recv_unit: u64,
    /// Units from each event to the next.
    pub(super) recv_steps: Vec<u64>,
}

impl Common {
    fn read(&mut self, source: &mut Source<'_>, count: usize) -> Result<(), &'static str> {
        let distinct = usize::try_from(source.varint()?).ok().filter(|d| *d <= count);
        let distinct = distinct.ok_or("more instruments than events")?;
        source.unpack(distinct, &mut self.ids)?;
        let mut before = 0u64;
        for id in &mut self.ids {
            before = before.wrapping_add(*id);
            *id = before;
        }
        source.unpack(count, &mut self.index)?;
        if self.index.iter().any(|dense| *dense >= distinct as u64) {
            return Err("an instrument beyond the dictionary");
        }
        take_least(source, count, &mut self.sources)?;
        self.first_recv = 0;
        for shift in 0..8 {
            self.first_recv |= u64::from(source.byte()?) << (8 * shift);
        }
        self.recv_unit = source.varint()?;
        source.unpack(count.saturating_sub(1), &mut self.recv_steps)?;
        Ok(())
    }

    /// Recv time of each event.
    pub(super) fn recv(&self) -> impl Iterator<Item = u64> + '_ {
        let mut steps = self.recv_steps.iter();
        let (unit, first) = (self.recv_unit, self.first_recv);
        std::iter::successors(Some(first), move |recv| {
            Some(recv.wrapping_add(steps.next().map_or(0, |step| step.wrapping_mul(unit))))
        })
    }

    /// Instrument, source and kind of each event, as they are neighbours in a
    /// row.
    pub(super) fn heads(&self) -> impl Iterator<Item = u64> + '_ {
        let events = self.kinds.iter().zip(&self.index).zip(&self.sources);
        events.map(|((tag, dense), from)| {
            let id = self.ids.get(*dense as usize).copied().unwrap_or_default();
            id & 0xffff_ffff | (*from & 0xffff) << 32 | *tag << 48
        })
    }
}

/// Where the events of one kind lie.
#[derive(Default)]
pub(super) struct Places {
    last: Vec<u32>,
    references: Vec<u32>,
    pub(super) group: Group,
    pub(super) values: Vec<u64>,
    column: Column,
}

impl Places {
    /// Finds the events of a kind.
    pub(super) fn gather(&mut self, common: &Common, kind: Kind) {
        let mut offset = 0u32;
        let events = common.kinds.iter().zip(&common.index).map(|(tag, dense)| {
            let at = offset;
            offset += row_len(*tag) as u32;
            (*tag as u8, *dense as u32, at)
        });
        let distinct = common.ids.len();
        gather(events, kind, distinct, &mut self.last, &mut self.references, &mut self.group);
    }
}

/// Puts the canonical rows of stored columns behind the label that `canonical`
/// begins with, in place of what is there.
pub(in crate::format::page) fn decode(
    columns: &[u8],
    count: usize,
    rows_len: usize,
    canonical: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), &'static str> {
    if count > PAGE_EVENTS {
        return Err("more events than a page holds");
    }
    let mut source = Source::new(columns);
    let Scratch { common, places, ticks } = scratch;

    take_least(&mut source, count, &mut common.kinds)?;
    let mut len = 0usize;
    let mut present = [false; 256];
    for tag in &common.kinds {
        let kind = u8::try_from(*tag).ok().and_then(Kind::from_tag).ok_or("an unknown kind")?;
        present[kind as usize] = true;
        len += event::encoded_len(kind);
    }
    if len != rows_len {
        return Err("the kinds do not add up to the length");
    }
    canonical.resize(LABEL + rows_len, 0);
    let rows = canonical.get_mut(LABEL..).unwrap_or_default();
    common.read(&mut source, count)?;
    let mut kinds = Kind::ALL.into_iter().filter(|kind| present[*kind as usize]);
    if kinds.clone().all(|kind| matches!(kind, Kind::Quote | Kind::Trade)) {
        // Writes every byte of every row.
        ticks::decode(&mut source, rows, common, places, ticks)?;
    } else {
        rows.fill(0);
        let mut at = 0usize;
        for ((recv, head), tag) in common.recv().zip(common.heads()).zip(&common.kinds) {
            store::<8>(rows, at, recv);
            store::<8>(rows, at + 16, head);
            at += row_len(*tag);
        }
        kinds.try_for_each(|kind| decode_kind(&mut source, rows, common, kind, places))?;
    }
    if source.is_empty() { Ok(()) } else { Err("bytes are left over") }
}

fn decode_kind(
    source: &mut Source<'_>,
    rows: &mut [u8],
    common: &Common,
    kind: Kind,
    places: &mut Places,
) -> Result<(), &'static str> {
    places.gather(common, kind);
    let Places { group, column, values, .. } = places;
    let counts =
        Counts { events: group.offsets.len(), same: group.same.with, market: group.market.with };
    column.read(source, &FLAGS, counts)?;
    column.write(rows, group, &FLAGS, values);
    decode_vendor_times(source, rows, group, values)?;
    for field in schema(kind) {
        column.read(source, field, counts)?;
        column.write(rows, group, field, values);
    }
    Ok(())
}

fn row_len(tag: u64) -> usize {
    let long = tag == Kind::Bar as u64 || tag == Kind::ChainSnapshot as u64;
    if long { event::EVENT_BYTES_LONG } else { event::EVENT_BYTES_SHORT }
}

fn take_least(
    source: &mut Source<'_>,
    count: usize,
    out: &mut Vec<u64>,
) -> Result<(), &'static str> {
    let base = source.varint()?;
    source.unpack(count, out)?;
    out.iter_mut().for_each(|v| *v = v.wrapping_add(base));
    Ok(())
}

/// Reads the unit of vendor times.
pub(super) fn vendor_unit(source: &mut Source<'_>) -> Result<i64, &'static str> {
    i64::try_from(source.varint()?).ok().filter(|unit| *unit > 0).ok_or("an impossible unit")
}

/// A vendor time by the recv time and what is stored.
#[inline(always)]
pub(super) fn vendor_time(units: &mut Units, unit: i64, recv: u64, stored: u64) -> u64 {
    units.floor(recv as i64).wrapping_sub(unzigzag(stored)).wrapping_mul(unit) as u64
}

/// Whether the row at an offset has a vendor time.
pub(super) fn has_vendor_time(rows: &[u8], at: u32) -> bool {
    load::<1>(rows, at as usize + 23) as u8 & VENDOR_TIME != 0
}

fn decode_vendor_times(
    source: &mut Source<'_>,
    rows: &mut [u8],
    group: &Group,
    stored: &mut Vec<u64>,
) -> Result<(), &'static str> {
    let unit = vendor_unit(source)?;
    source.unpack(group.offsets.iter().filter(|at| has_vendor_time(rows, **at)).count(), stored)?;
    let (mut stored, mut units) = (stored.iter(), Units::of(unit));
    for at in &group.offsets {
        if has_vendor_time(rows, *at) {
            let recv = load::<8>(rows, *at as usize);
            let distance = stored.next().copied().unwrap_or_default();
            store::<8>(rows, *at as usize + 8, vendor_time(&mut units, unit, recv, distance));
        }
    }
    Ok(())
}
