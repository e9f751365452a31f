//! Stored columns, format 1. Frozen: a change is a new module.
//!
//! Common columns first (kind, instrument, source, recv time of all events),
//! then, for each kind present in the order of its tag, the columns of its
//! schema over the events of that kind. Each field says how its values are
//! predicted; what is stored is the difference to the prediction, packed
//! (`pack.rs`). Prediction and difference wrap, so that any values at all come
//! back exactly. `FORMAT.md` says the same with every byte.

use super::pack::{Source, cost, pack, put_varint, unzigzag, zigzag};
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
    /// Whether values without a reference go to a column of their own.
    const fn splits(self) -> bool {
        matches!(self, How::Instrument | How::InstrumentOrLeft | How::Market)
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

/// No earlier event of the instrument.
const NONE: u32 = u32::MAX;
const VENDOR_TIME: u8 = 0x01;

/// The events of one kind: where their rows are, and which earlier row, if
/// any, predicts each.
#[derive(Default)]
struct Group {
    offsets: Vec<u32>,
    same: Vec<u32>,
    market: Vec<u32>,
}

/// Memory that is kept from page to page.
#[derive(Default)]
pub(super) struct Scratch {
    kinds: Vec<u64>,
    ids: Vec<u64>,
    index: Vec<u64>,
    sources: Vec<u64>,
    next: Vec<u64>,
    first: Vec<u64>,
    last: Vec<u32>,
    group: Group,
}

fn load(rows: &[u8], at: usize, width: usize) -> u64 {
    let Some(bytes) = rows.get(at..) else { return 0 };
    match width {
        8 => bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b)),
        4 => bytes.first_chunk().map_or(0, |b| u64::from(u32::from_le_bytes(*b))),
        2 => bytes.first_chunk().map_or(0, |b| u64::from(u16::from_le_bytes(*b))),
        _ => bytes.first().map_or(0, |b| u64::from(*b)),
    }
}

fn store(rows: &mut [u8], at: usize, width: usize, value: u64) {
    let Some(bytes) = rows.get_mut(at..) else { return };
    match width {
        8 => bytes.first_chunk_mut().map(|b| *b = value.to_le_bytes()),
        4 => bytes.first_chunk_mut().map(|b| *b = (value as u32).to_le_bytes()),
        2 => bytes.first_chunk_mut().map(|b| *b = (value as u16).to_le_bytes()),
        _ => bytes.first_mut().map(|b| *b = value as u8),
    };
}

/// Fills `group` with the events of `kind`. `events` yields kind tag, dense
/// instrument number and row offset of every event of the page, in order.
fn gather(
    events: impl Iterator<Item = (u8, u32, u32)>,
    kind: Kind,
    instruments: usize,
    last: &mut Vec<u32>,
    group: &mut Group,
) {
    group.offsets.clear();
    group.same.clear();
    group.market.clear();
    let (wanted, quote) = (kind as u8, Kind::Quote as u8);
    let market = kind == Kind::Trade;
    // Two tables in one: last of this kind, and for trades the last quote.
    last.clear();
    last.resize(instruments * if market { 2 } else { 1 }, NONE);
    for (tag, dense, offset) in events {
        let dense = dense as usize;
        if market && tag == quote {
            if let Some(slot) = last.get_mut(instruments + dense) {
                *slot = offset;
            }
        } else if tag == wanted {
            let same = last.get(dense).copied().unwrap_or(NONE);
            group.offsets.push(offset);
            group.same.push(same);
            if market {
                let quoted = last.get(instruments + dense).copied().unwrap_or(NONE);
                group.market.push(if quoted == NONE { same } else { quoted });
            }
            if let Some(slot) = last.get_mut(dense) {
                *slot = offset;
            }
        }
    }
}

/// The row that predicts, and what it or this row predicts for the field.
#[inline]
fn predict(rows: &[u8], row: u32, reference: u32, f: &Field, how: How) -> u64 {
    let at = row as usize;
    match how {
        How::Instrument | How::Market if reference == NONE => 0,
        How::InstrumentOrLeft if reference == NONE => load(rows, at + f.at - 8, 8),
        How::Instrument | How::InstrumentOrLeft => load(rows, reference as usize + f.at, f.width),
        // Quote and trade both have their first price at 24.
        How::Market => load(rows, reference as usize + 24, 8),
        How::Recv => load(rows, at, 8),
        How::At24 => load(rows, at + 24, 8),
        How::At40 => load(rows, at + 40, 8),
        How::At64 => load(rows, at + 64, 8),
        How::Least | How::Before => 0,
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Divides all by their greatest common divisor, which is returned.
fn scale(residuals: &mut [i64]) -> u64 {
    let mut g = 0u64;
    for r in residuals.iter().map(|r| r.unsigned_abs()) {
        if g == 1 {
            break;
        }
        if g == 0 || r % g != 0 {
            g = gcd(g, r);
        }
    }
    let divisor = i64::try_from(g).unwrap_or(1).max(1);
    if divisor > 1 {
        residuals.iter_mut().for_each(|r| *r /= divisor);
    }
    divisor as u64
}

/// One way to write a column.
struct Candidate {
    how: How,
    base: u64,
    next: Vec<u64>,
    first: Vec<u64>,
}

fn candidate(rows: &[u8], group: &Group, f: &Field, how: How) -> Candidate {
    let values = || group.offsets.iter().map(|o| load(rows, *o as usize + f.at, f.width));
    match how {
        How::Least => {
            let base = values().min().unwrap_or_default();
            Candidate { how, base, next: values().map(|v| v - base).collect(), first: Vec::new() }
        }
        How::Before => {
            let base = values().next().unwrap_or_default();
            let mut before = base;
            let delta = |v: u64| {
                let r = v.wrapping_sub(before) as i64;
                before = v;
                zigzag(r)
            };
            Candidate { how, base, next: values().skip(1).map(delta).collect(), first: Vec::new() }
        }
        _ => {
            let references = if how == How::Market { &group.market } else { &group.same };
            let mut residuals: Vec<i64> = group
                .offsets
                .iter()
                .zip(references)
                .zip(values())
                .map(|((o, r), v)| v.wrapping_sub(predict(rows, *o, *r, f, how)) as i64)
                .collect();
            let base = scale(&mut residuals);
            let (mut next, mut first) = (Vec::with_capacity(residuals.len()), Vec::new());
            for (residual, reference) in residuals.iter().zip(references) {
                let alone = how.splits() && *reference == NONE;
                if alone { &mut first } else { &mut next }.push(zigzag(*residual));
            }
            Candidate { how, base, next, first }
        }
    }
}

/// Vendor times of the rows that have one: their greatest common divisor, then
/// the distance to the recv time in units of it, rounded down.
fn encode_vendor_times(rows: &[u8], group: &Group, out: &mut Vec<u8>) {
    let pairs = || {
        group
            .offsets
            .iter()
            .map(|o| *o as usize)
            .filter(|o| load(rows, o + 23, 1) as u8 & VENDOR_TIME != 0)
            .map(|o| (load(rows, o, 8) as i64, load(rows, o + 8, 8) as i64))
    };
    let g =
        pairs().fold(0, |g, (_, vendor)| if g == 1 { 1 } else { gcd(g, vendor.unsigned_abs()) });
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

    let column = |f: &dyn Fn(&Row<'_>) -> u64| list.iter().map(f).collect::<Vec<u64>>();
    put_least(&column(&|r| r.kind as u64), out);

    let ids = column(&|r| u64::from(r.instrument().0));
    let mut dictionary = ids.clone();
    dictionary.sort_unstable();
    dictionary.dedup();
    put_varint(dictionary.len() as u64, out);
    let mut before = 0;
    let deltas: Vec<u64> = dictionary
        .iter()
        .map(|id| {
            let delta = id - before;
            before = *id;
            delta
        })
        .collect();
    pack(&deltas, out);
    let index: Vec<u64> =
        ids.iter().map(|id| dictionary.partition_point(|d| d < id) as u64).collect();
    pack(&index, out);

    put_least(&column(&|r| u64::from(r.source().0)), out);

    let recv = column(&|r| r.recv().0 as u64);
    out.extend_from_slice(&recv.first().copied().unwrap_or_default().to_le_bytes());
    // Recv times never decrease, so the differences need no sign.
    let mut deltas: Vec<u64> =
        recv.iter().zip(recv.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a)).collect();
    let g = deltas.iter().fold(0, |g, d| if g == 1 { 1 } else { gcd(g, *d) }).max(1);
    deltas.iter_mut().for_each(|d| *d /= g);
    put_varint(g, out);
    pack(&deltas, out);

    let (mut last, mut group) = (Vec::new(), Group::default());
    for kind in Kind::ALL {
        let mut offset = 0u32;
        let events = list.iter().zip(&index).map(|(row, dense)| {
            let at = offset;
            offset += row.bytes.len() as u32;
            (row.kind as u8, *dense as u32, at)
        });
        gather(events, kind, dictionary.len(), &mut last, &mut group);
        if group.offsets.is_empty() {
            continue;
        }
        put_field(rows, &group, &FLAGS, out);
        encode_vendor_times(rows, &group, out);
        for f in schema(kind) {
            put_field(rows, &group, f, out);
        }
    }
}

fn put_least(values: &[u64], out: &mut Vec<u8>) {
    let base = values.iter().min().copied().unwrap_or_default();
    put_varint(base, out);
    let column: Vec<u64> = values.iter().map(|v| v - base).collect();
    pack(&column, out);
}

fn put_field(rows: &[u8], group: &Group, f: &Field, out: &mut Vec<u8>) {
    let mut best: Option<(usize, Candidate)> = None;
    for how in f.how {
        let candidate = candidate(rows, group, f, *how);
        if f.how.len() == 1 {
            best = Some((0, candidate));
            break;
        }
        let cost = cost(&candidate.next) + cost(&candidate.first);
        if best.as_ref().is_none_or(|(least, _)| cost < *least) {
            best = Some((cost, candidate));
        }
    }
    if let Some((_, chosen)) = best {
        out.push(chosen.how as u8);
        put_varint(chosen.base, out);
        pack(&chosen.next, out);
        pack(&chosen.first, out);
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
    let Scratch { kinds, ids, index, sources, next, first, last, group } = scratch;

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
    source.unpack(count.saturating_sub(1), next)?;
    let mut deltas = next.iter();
    let mut at = 0usize;
    for ((tag, dense), from) in kinds.iter().zip(index.iter()).zip(sources.iter()) {
        let id = ids.get(*dense as usize).ok_or("an instrument beyond the dictionary")?;
        store(rows, at, 8, recv);
        store(rows, at + 16, 4, *id);
        store(rows, at + 20, 2, *from);
        store(rows, at + 22, 1, *tag);
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
        gather(events, kind, distinct, last, group);
        take_field(&mut source, rows, group, &FLAGS, next, first)?;
        decode_vendor_times(&mut source, rows, group, next)?;
        for f in schema(kind) {
            take_field(&mut source, rows, group, f, next, first)?;
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
    let has = |rows: &[u8], o: usize| load(rows, o + 23, 1) as u8 & VENDOR_TIME != 0;
    let count = group.offsets.iter().filter(|o| has(rows, **o as usize)).count();
    source.unpack(count, column)?;
    let mut values = column.iter();
    for o in group.offsets.iter().map(|o| *o as usize) {
        if has(rows, o) {
            let recv = load(rows, o, 8) as i64;
            let distance = unzigzag(values.next().copied().unwrap_or_default());
            let units = if g == 1 { recv } else { recv.div_euclid(g) };
            store(rows, o + 8, 8, units.wrapping_sub(distance).wrapping_mul(g) as u64);
        }
    }
    Ok(())
}

fn take_field(
    source: &mut Source<'_>,
    rows: &mut [u8],
    group: &Group,
    f: &Field,
    next: &mut Vec<u64>,
    first: &mut Vec<u64>,
) -> Result<(), &'static str> {
    let how = How::from_tag(source.byte()?, f.how)?;
    let base = source.varint()?;
    let count = group.offsets.len();
    match how {
        How::Least => {
            source.unpack(count, next)?;
            for (o, v) in group.offsets.iter().zip(next.iter()) {
                store(rows, *o as usize + f.at, f.width, base.wrapping_add(*v));
            }
        }
        How::Before => {
            source.unpack(count.saturating_sub(1), next)?;
            let mut value = base;
            let mut deltas = next.iter();
            for o in &group.offsets {
                store(rows, *o as usize + f.at, f.width, value);
                let delta = deltas.next().map_or(0, |d| unzigzag(*d));
                value = value.wrapping_add(delta as u64);
            }
        }
        _ => {
            let references = if how == How::Market { &group.market } else { &group.same };
            let alone =
                if how.splits() { references.iter().filter(|r| **r == NONE).count() } else { 0 };
            source.unpack(count - alone, next)?;
            source.unpack(alone, first)?;
            let (mut next, mut first) = (next.iter(), first.iter());
            for (o, reference) in group.offsets.iter().zip(references) {
                let column =
                    if how.splits() && *reference == NONE { &mut first } else { &mut next };
                let residual = unzigzag(column.next().copied().unwrap_or_default());
                let predicted = predict(rows, *o, *reference, f, how);
                let value = predicted.wrapping_add((residual as u64).wrapping_mul(base));
                store(rows, *o as usize + f.at, f.width, value);
            }
        }
    }
    Ok(())
}
