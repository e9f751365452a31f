//! Stored columns, format 1. Frozen: a change is a new module.
//!
//! Common columns first (kind, instrument, source, recv time of all events),
//! then, for each kind present in the order of its tag, the columns of its
//! schema over the events of that kind. Each field says how its values are
//! predicted; what is stored is the difference to the prediction, packed
//! (`pack.rs`). Prediction and difference wrap, so that any values at all come
//! back exactly. `FORMAT.md` says the same with every byte.

use super::pack::{BLOCK, Source, cost, pack, put_varint, unzigzag, zigzag};
use crate::canon::{LABEL, Row, Rows};
use crate::event::{self, Kind};
use crate::limits::PAGE_EVENTS;

/// A field of a row: offset and width in bytes.
#[derive(Clone, Copy)]
struct Field {
    at: usize,
    width: usize,
    how: &'static [How],
}

/// How a value is predicted. The numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum How {
    /// By the smallest value of the column.
    Least = 0,
    /// By the value before it in the column.
    Before = 1,
    /// By the same field of the instrument's last event of this kind; without
    /// one by zero, and in a column of its own.
    Instrument = 2,
    /// As `Instrument`, but without one by the eight bytes right before it.
    InstrumentOrLeft = 3,
    /// A price, by the first price of the instrument's last quote, else by
    /// that of its last trade, else by zero, in a column of its own.
    Market = 4,
    /// A time, by the recv time.
    Recv = 5,
    /// By the eight bytes at 24 of the row.
    At24 = 6,
    /// By the eight bytes at 40 of the row.
    At40 = 7,
    /// By the eight bytes at 64 of the row.
    At64 = 8,
}

impl How {
    fn from_tag(tag: u8, allowed: &[How]) -> Result<How, &'static str> {
        allowed.iter().copied().find(|h| *h as u8 == tag).ok_or("an unknown predictor")
    }
}

const fn field(at: usize, width: usize, how: &'static [How]) -> Field {
    Field { at, width, how }
}

const LEAST: &[How] = &[How::Least];
const SEQ: &[How] = &[How::Before, How::Instrument];
const STICKY: &[How] = &[How::Least, How::Instrument];
const OWN: &[How] = &[How::Instrument];

const FLAGS: Field = field(23, 1, STICKY);
const ADDRESS: [Field; 4] =
    [field(24, 8, LEAST), field(32, 8, LEAST), field(40, 8, LEAST), field(48, 8, LEAST)];
const QUOTE: [Field; 8] = [
    field(24, 8, OWN),
    field(32, 8, &[How::InstrumentOrLeft]),
    field(40, 4, OWN),
    field(44, 4, OWN),
    field(48, 8, SEQ),
    field(56, 2, STICKY),
    field(58, 2, STICKY),
    field(60, 4, STICKY),
];
const TRADE: [Field; 5] = [
    field(24, 8, &[How::Market]),
    field(32, 8, LEAST),
    field(40, 8, SEQ),
    field(48, 2, STICKY),
    field(52, 4, STICKY),
];
const BAR: [Field; 13] = [
    field(24, 8, &[How::Recv]),
    field(32, 8, &[How::At24]),
    field(40, 8, OWN),
    field(48, 8, &[How::At40]),
    field(56, 8, &[How::At40]),
    field(64, 8, &[How::At40]),
    field(72, 8, LEAST),
    field(80, 8, &[How::At64]),
    field(88, 8, LEAST),
    field(96, 8, OWN),
    field(104, 8, OWN),
    field(112, 8, OWN),
    field(120, 8, LEAST),
];
const INDEX: [Field; 1] = [field(24, 8, OWN)];
const CHAIN: [Field; 13] = [
    ADDRESS[0],
    ADDRESS[1],
    ADDRESS[2],
    ADDRESS[3],
    field(56, 8, LEAST),
    field(64, 8, LEAST),
    field(72, 8, LEAST),
    field(80, 8, LEAST),
    field(88, 8, OWN),
    field(96, 4, LEAST),
    field(100, 4, LEAST),
    field(104, 8, LEAST),
    field(112, 4, LEAST),
];
const TEXT: [Field; 5] = [ADDRESS[0], ADDRESS[1], ADDRESS[2], ADDRESS[3], field(56, 8, LEAST)];
const CONDITIONS: [Field; 5] =
    [ADDRESS[0], ADDRESS[1], ADDRESS[2], ADDRESS[3], field(56, 4, &[How::Before])];
const GAP: [Field; 2] = [field(24, 8, &[How::Recv]), field(32, 8, &[How::Recv])];
const CORRECTION: [Field; 5] =
    [ADDRESS[0], ADDRESS[1], ADDRESS[2], ADDRESS[3], field(56, 8, LEAST)];
const QUARANTINE: [Field; 5] =
    [ADDRESS[0], ADDRESS[1], ADDRESS[2], ADDRESS[3], field(56, 4, LEAST)];

/// The payload of a kind: every byte that can be other than zero.
const fn schema(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Quote => &QUOTE,
        Kind::Trade => &TRADE,
        Kind::Bar => &BAR,
        Kind::IndexValue => &INDEX,
        Kind::ChainSnapshot => &CHAIN,
        Kind::InstrumentDefined => &TEXT,
        Kind::ConditionsDefined => &CONDITIONS,
        Kind::SourceDefined | Kind::Extension | Kind::Annotation | Kind::News | Kind::Control => {
            &ADDRESS
        }
        Kind::ClockBeat => &[],
        Kind::Gap => &GAP,
        Kind::Correction => &CORRECTION,
        Kind::Quarantine => &QUARANTINE,
    }
}

/// No earlier event of the instrument; where there is one, one more than its
/// place, so that a zero in front of the column stands for "none".
const NONE: u32 = 0;
const VENDOR_TIME: u8 = 0x01;

/// Which earlier event predicts each event of a group, and in which order the
/// residuals are stored: first of those that have one, then of the others.
#[derive(Default)]
struct References {
    from: Vec<u32>,
    slots: Vec<u32>,
    /// How many have one.
    with: usize,
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
struct Group {
    offsets: Vec<u32>,
    /// Places in this group.
    same: References,
    /// Offsets of rows.
    market: References,
}

/// Memory that is kept from page to page.
#[derive(Default)]
pub(super) struct Scratch {
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

fn word<const W: usize>(bytes: &[u8; W]) -> u64 {
    let mut all = [0; 8];
    all[..W].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

/// The `W` bytes at an offset, extended with zeros.
fn load<const W: usize>(rows: &[u8], at: usize) -> u64 {
    rows.get(at..).and_then(|b| b.first_chunk::<W>()).map_or(0, word)
}

/// Puts the low `W` bytes of a value at an offset.
fn store<const W: usize>(rows: &mut [u8], at: usize, value: u64) {
    let all = value.to_le_bytes();
    let to = rows.get_mut(at..).and_then(|b| b.first_chunk_mut::<W>());
    if let (Some(to), Some(low)) = (to, all.first_chunk::<W>()) {
        *to = *low;
    }
}

/// Reads a field of all rows of a group.
fn collect(rows: &[u8], group: &Group, f: &Field) -> Vec<u64> {
    let at = group.offsets.iter().map(|o| *o as usize + f.at);
    match f.width {
        8 => at.map(|at| load::<8>(rows, at)).collect(),
        4 => at.map(|at| load::<4>(rows, at)).collect(),
        2 => at.map(|at| load::<2>(rows, at)).collect(),
        _ => at.map(|at| load::<1>(rows, at)).collect(),
    }
}

/// Writes a field of all rows of a group.
fn spread(rows: &mut [u8], group: &Group, f: &Field, values: &[u64]) {
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
fn gather(
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
fn within(rows: &[u8], row: u32, how: How) -> u64 {
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
fn quoted(rows: &[u8], reference: u32) -> u64 {
    if reference == NONE { 0 } else { load::<8>(rows, reference as usize - 1 + 24) }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The greatest common divisor, 0 of zeros only.
fn common(values: impl Iterator<Item = u64>) -> u64 {
    let mut g = 0u64;
    for v in values {
        if g == 1 {
            break;
        }
        if g == 0 || v % g != 0 {
            g = gcd(g, v);
        }
    }
    g
}

/// Divides all by their greatest common divisor, which is returned, and makes
/// them small numbers without a sign.
fn scale(residuals: &mut [u64]) -> u64 {
    let g = common(residuals.iter().map(|r| (*r as i64).unsigned_abs()));
    let divisor = i64::try_from(g).unwrap_or(1).max(1);
    residuals.iter_mut().for_each(|r| {
        let signed = *r as i64;
        *r = zigzag(if divisor == 1 { signed } else { signed / divisor });
    });
    divisor as u64
}

/// One way to write a column.
struct Candidate {
    how: How,
    base: u64,
    column: Vec<u64>,
    /// Where the second of its two columns begins.
    split: usize,
}

impl Candidate {
    fn columns(&self) -> (&[u64], &[u64]) {
        self.column.split_at_checked(self.split).unwrap_or((&self.column, &[]))
    }
}

fn candidate(rows: &[u8], group: &Group, f: &Field, how: How, values: &[u64]) -> Candidate {
    let residual = |(v, predicted): (&u64, u64)| v.wrapping_sub(predicted);
    let mut split = values.len();
    let (base, column) = match how {
        How::Least => {
            let base = values.iter().min().copied().unwrap_or_default();
            (base, values.iter().map(|v| v - base).collect())
        }
        How::Before => {
            let next = values.iter().skip(1);
            let deltas = next.zip(values).map(|(v, before)| zigzag(v.wrapping_sub(*before) as i64));
            (values.first().copied().unwrap_or_default(), deltas.collect())
        }
        How::Instrument | How::InstrumentOrLeft | How::Market => {
            let references = if how == How::Market { &group.market } else { &group.same };
            split = references.with;
            let mut column = vec![0; values.len()];
            let events = values.iter().zip(&references.from).zip(&references.slots);
            for (((v, from), slot), row) in events.zip(&group.offsets) {
                let predicted = match how {
                    How::Market => quoted(rows, *from),
                    How::InstrumentOrLeft if *from == NONE => {
                        load::<8>(rows, *row as usize + f.at - 8)
                    }
                    _ => (*from as usize)
                        .checked_sub(1)
                        .and_then(|at| values.get(at))
                        .copied()
                        .unwrap_or_default(),
                };
                if let Some(to) = column.get_mut(*slot as usize) {
                    *to = residual((v, predicted));
                }
            }
            (scale(&mut column), column)
        }
        How::Recv | How::At24 | How::At40 | How::At64 => {
            let predicted = group.offsets.iter().map(|o| within(rows, *o, how));
            let mut column: Vec<u64> = values.iter().zip(predicted).map(residual).collect();
            (scale(&mut column), column)
        }
    };
    Candidate { how, base, column, split }
}

/// Vendor times of the rows that have one: their greatest common divisor, then
/// the distance to the recv time in units of it, rounded down.
fn encode_vendor_times(rows: &[u8], group: &Group, out: &mut Vec<u8>) {
    let pairs = || {
        group
            .offsets
            .iter()
            .map(|o| *o as usize)
            .filter(|o| load::<1>(rows, o + 23) as u8 & VENDOR_TIME != 0)
            .map(|o| (load::<8>(rows, o) as i64, load::<8>(rows, o + 8) as i64))
    };
    let g = common(pairs().map(|(_, vendor)| vendor.unsigned_abs()));
    let g = i64::try_from(g).unwrap_or(1).max(1);
    put_varint(g as u64, out);
    let column: Vec<u64> = pairs()
        .map(|(recv, vendor)| zigzag(recv.div_euclid(g).wrapping_sub(vendor.div_euclid(g))))
        .collect();
    pack(&column, out);
}

/// Appends the columns of `rows`, which hold `count` canonical rows.
pub(super) fn encode(rows: &[u8], count: usize, out: &mut Vec<u8>) {
    let list: Vec<Row<'_>> = Rows::new(rows).filter_map(Result::ok).collect();
    assert_eq!(list.len(), count, "the writer counts the rows that it encodes");

    put_least(list.iter().map(|r| r.kind as u64), out);

    // Sorted with their places, the ids tell dictionary and index in one pass.
    let place = |(at, r): (usize, &Row<'_>)| u64::from(r.instrument().0) << 32 | at as u64;
    let mut ids: Vec<u64> = list.iter().enumerate().map(place).collect();
    ids.sort_unstable();
    let (mut deltas, mut index) = (Vec::new(), vec![0; count]);
    let mut before = 0;
    for key in ids {
        let id = key >> 32;
        if deltas.is_empty() || id != before {
            deltas.push(id - before);
            before = id;
        }
        if let Some(dense) = index.get_mut(key as u32 as usize) {
            *dense = deltas.len() as u64 - 1;
        }
    }
    put_varint(deltas.len() as u64, out);
    pack(&deltas, out);
    pack(&index, out);
    let instruments = deltas.len();

    put_least(list.iter().map(|r| u64::from(r.source().0)), out);

    let recv = || list.iter().map(|r| r.recv().0 as u64);
    out.extend_from_slice(&recv().next().unwrap_or_default().to_le_bytes());
    // Recv times never decrease, so the differences need no sign.
    let mut deltas: Vec<u64> = recv().zip(recv().skip(1)).map(|(a, b)| b.wrapping_sub(a)).collect();
    let g = common(deltas.iter().copied()).max(1);
    if g > 1 {
        deltas.iter_mut().for_each(|d| *d /= g);
    }
    put_varint(g, out);
    pack(&deltas, out);

    let mut present = [false; 256];
    list.iter().for_each(|row| present[row.kind as usize] = true);
    let (mut last, mut references, mut group) = (Vec::new(), Vec::new(), Group::default());
    for kind in Kind::ALL {
        if !present[kind as usize] {
            continue;
        }
        let mut offset = 0u32;
        let events = list.iter().zip(&index).map(|(row, dense)| {
            let at = offset;
            offset += row.bytes.len() as u32;
            (row.kind as u8, *dense as u32, at)
        });
        gather(events, kind, instruments, &mut last, &mut references, &mut group);
        put_field(rows, &group, &FLAGS, out);
        encode_vendor_times(rows, &group, out);
        for f in schema(kind) {
            put_field(rows, &group, f, out);
        }
    }
}

fn put_least(values: impl Iterator<Item = u64> + Clone, out: &mut Vec<u8>) {
    let base = values.clone().min().unwrap_or_default();
    put_varint(base, out);
    let column: Vec<u64> = values.map(|v| v - base).collect();
    pack(&column, out);
}

fn put_field(rows: &[u8], group: &Group, f: &Field, out: &mut Vec<u8>) {
    let values = collect(rows, group, f);
    let mut best: Option<(usize, Candidate)> = None;
    for how in f.how {
        let candidate = candidate(rows, group, f, *how, &values);
        if f.how.len() == 1 {
            best = Some((0, candidate));
            break;
        }
        let (next, first) = candidate.columns();
        let cost = cost(next) + cost(first);
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, candidate));
        }
        // Nothing takes less than a column of zeros.
        if cost <= 8 * values.len().div_ceil(BLOCK) && *how == How::Least {
            break;
        }
    }
    if let Some((_, chosen)) = best {
        let (next, first) = chosen.columns();
        out.push(chosen.how as u8);
        put_varint(chosen.base, out);
        pack(next, out);
        pack(first, out);
    }
}

/// Appends the canonical rows of stored columns to `canonical`, which holds a
/// label already.
pub(super) fn decode(
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
    canonical.resize(LABEL + rows_len, 0);
    let rows = canonical.get_mut(LABEL..).unwrap_or_default();

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
    let mut values = column.iter();
    for o in group.offsets.iter().map(|o| *o as usize) {
        if has(rows, o) {
            let recv = load::<8>(rows, o) as i64;
            let distance = unzigzag(values.next().copied().unwrap_or_default());
            let units = if g == 1 { recv } else { recv.div_euclid(g) };
            store::<8>(rows, o + 8, units.wrapping_sub(distance).wrapping_mul(g) as u64);
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
