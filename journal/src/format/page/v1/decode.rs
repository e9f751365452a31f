//! Columns back to rows. What is read may be anything at all.

use super::divide::Units;
use super::group::{
    Group, NONE, References, VENDOR_TIME, gather, load, quoted, spread, store, within,
};
use super::schema::{FLAGS, Field, How, schema};
use crate::event::{self, Kind};
use crate::format::canon::LABEL;
use crate::format::page::pack::{Source, unzigzag};
use crate::limits::PAGE_EVENTS;

/// Memory that is kept from page to page.
#[derive(Default)]
pub(in crate::format::page) struct Scratch {
    kinds: Vec<u64>,
    ids: Vec<u64>,
    index: Vec<u64>,
    sources: Vec<u64>,
    column: Vec<u64>,
    values: Vec<u64>,
    last: Vec<u32>,
    references: Vec<u32>,
    group: Group,
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
    let Scratch { kinds, ids, index, sources, column, values, last, references, group } = scratch;

    take_least(&mut source, count, kinds)?;
    let mut len = 0usize;
    let mut present = [false; 256];
    for tag in kinds.iter() {
        let kind = u8::try_from(*tag).ok().and_then(Kind::from_tag).ok_or("an unknown kind")?;
        present[kind as usize] = true;
        len += event::encoded_len(kind);
    }
    if len != rows_len {
        return Err("the kinds do not add up to the length");
    }
    // Rows of the page before may be there still. Every byte of quotes and
    // trades is written below; anything else begins as zeros.
    canonical.resize(LABEL + rows_len, 0);
    let rows = canonical.get_mut(LABEL..).unwrap_or_default();
    let ticks = Kind::ALL
        .into_iter()
        .all(|kind| !present[kind as usize] || matches!(kind, Kind::Quote | Kind::Trade));
    if !ticks {
        rows.fill(0);
    }

    let distinct = usize::try_from(source.varint()?).ok().filter(|d| *d <= count);
    let distinct = distinct.ok_or("more instruments than events")?;
    source.unpack(distinct, ids)?;
    let mut before = 0u64;
    for id in ids.iter_mut() {
        before = before.wrapping_add(*id);
        *id = before;
    }
    source.unpack(count, index)?;
    take_least(&mut source, count, sources)?;
    let mut recv = 0u64;
    for shift in 0..8 {
        recv |= u64::from(source.byte()?) << (8 * shift);
    }
    let unit = source.varint()?;
    source.unpack(count.saturating_sub(1), column)?;
    let mut deltas = column.iter();
    let mut at = 0usize;
    for ((tag, dense), from) in kinds.iter().zip(index.iter()).zip(sources.iter()) {
        let id = ids.get(*dense as usize).ok_or("an instrument beyond the dictionary")?;
        store::<8>(rows, at, recv);
        // Instrument, source and kind are neighbours.
        store::<8>(rows, at + 16, *id & 0xffff_ffff | (*from & 0xffff) << 32 | *tag << 48);
        recv = recv.wrapping_add(deltas.next().map_or(0, |d| d.wrapping_mul(unit)));
        at += row_len(*tag);
    }

    for kind in Kind::ALL {
        if !present[kind as usize] {
            continue;
        }
        let mut offset = 0u32;
        let events = kinds.iter().zip(index.iter()).map(|(tag, dense)| {
            let at = offset;
            offset += row_len(*tag) as u32;
            (*tag as u8, *dense as u32, at)
        });
        gather(events, kind, distinct, last, references, group);
        if kind == Kind::Trade {
            for at in group.offsets.iter().map(|at| *at as usize) {
                store::<2>(rows, at + 50, 0);
                store::<8>(rows, at + 56, 0);
            }
        }
        take_field(&mut source, rows, group, &FLAGS, column, values)?;
        decode_vendor_times(&mut source, rows, group, column)?;
        for f in schema(kind) {
            take_field(&mut source, rows, group, f, column, values)?;
        }
    }
    if source.is_empty() { Ok(()) } else { Err("bytes are left over") }
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

fn decode_vendor_times(
    source: &mut Source<'_>,
    rows: &mut [u8],
    group: &Group,
    column: &mut Vec<u64>,
) -> Result<(), &'static str> {
    let g = i64::try_from(source.varint()?).ok().filter(|g| *g > 0).ok_or("an impossible unit")?;
    let has = |rows: &[u8], o: usize| load::<1>(rows, o + 23) as u8 & VENDOR_TIME != 0;
    let count = group.offsets.iter().filter(|o| has(rows, **o as usize)).count();
    source.unpack(count, column)?;
    let (mut values, mut units) = (column.iter(), Units::of(g));
    for o in group.offsets.iter().map(|o| *o as usize) {
        if has(rows, o) {
            let recv = load::<8>(rows, o) as i64;
            let distance = unzigzag(values.next().copied().unwrap_or_default());
            let whole = units.floor(recv);
            store::<8>(rows, o + 8, whole.wrapping_sub(distance).wrapping_mul(g) as u64);
        } else {
            store::<8>(rows, o + 8, 0);
        }
    }
    Ok(())
}

fn take_field(
    source: &mut Source<'_>,
    rows: &mut [u8],
    group: &Group,
    f: &Field,
    column: &mut Vec<u64>,
    values: &mut Vec<u64>,
) -> Result<(), &'static str> {
    let how = How::from_tag(source.byte()?, f.how)?;
    let base = source.varint()?;
    let count = group.offsets.len();
    let residual = |packed: u64| (unzigzag(packed) as u64).wrapping_mul(base);
    match how {
        How::Least => {
            source.unpack(count, column)?;
            column.iter_mut().for_each(|v| *v = v.wrapping_add(base));
            spread(rows, group, f, column);
        }
        How::Before => {
            source.unpack(count.saturating_sub(1), column)?;
            values.clear();
            values.push(base);
            let mut value = base;
            values.extend(column.iter().map(|delta| {
                value = value.wrapping_add(unzigzag(*delta) as u64);
                value
            }));
            spread(rows, group, f, values);
        }
        How::Instrument | How::InstrumentOrLeft => {
            let References { from, slots, with } = &group.same;
            source.unpack(*with, column)?;
            source.unpack_more(count - with, column)?;
            let mask = u64::MAX >> (64 - 8 * f.width);
            values.clear();
            values.push(0);
            for ((from, slot), row) in from.iter().zip(slots).zip(&group.offsets) {
                let mut predicted = values.get(*from as usize).copied().unwrap_or_default();
                if how == How::InstrumentOrLeft && *from == NONE {
                    predicted = load::<8>(rows, *row as usize + f.at - 8);
                }
                let packed = column.get(*slot as usize).copied().unwrap_or_default();
                values.push(predicted.wrapping_add(residual(packed)) & mask);
            }
            spread(rows, group, f, values.get(1..).unwrap_or_default());
        }
        How::Market => {
            let References { from, slots, with } = &group.market;
            source.unpack(*with, column)?;
            source.unpack_more(count - with, column)?;
            // Row by row: a trade may predict the next one.
            for ((from, slot), row) in from.iter().zip(slots).zip(&group.offsets) {
                let packed = column.get(*slot as usize).copied().unwrap_or_default();
                let value = quoted(rows, *from).wrapping_add(residual(packed));
                store::<8>(rows, *row as usize + f.at, value);
            }
        }
        How::Recv | How::At24 | How::At40 | How::At64 => {
            source.unpack(count, column)?;
            for (row, packed) in group.offsets.iter().zip(column.iter_mut()) {
                *packed = within(rows, *row, how).wrapping_add(residual(*packed));
            }
            spread(rows, group, f, column);
        }
    }
    Ok(())
}
