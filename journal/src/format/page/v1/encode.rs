//! Rows to columns: of the ways that a schema allows, the shortest.

use std::num::NonZeroU64;

use super::divide::{Divisor, Units, common};
use super::group::{Group, VENDOR_TIME, collect, gather, load, quoted, within};
use super::schema::{FLAGS, Field, How, schema};
use crate::event::Kind;
use crate::format::canon::Rows;
use crate::format::page::pack::{cost, pack, pack_zeros, put_varint, zigzag};

/// Ids up to here are put in order by their bits, higher ones by sorting.
const BITS_MAX: u32 = 1 << 20;

/// An encoder that keeps its memory from page to page.
#[derive(Default)]
pub(in crate::format::page) struct Encoder {
    offsets: Vec<u32>,
    kinds: Vec<u8>,
    ids: Vec<u32>,
    recv: Vec<u64>,
    instruments: Instruments,
    last: Vec<u32>,
    references: Vec<u32>,
    group: Group,
    columns: Columns,
}

/// The instruments of a page.
#[derive(Default)]
struct Instruments {
    /// Those that occur, ascending.
    distinct: Vec<u32>,
    /// Place of each event's instrument among them.
    dense: Vec<u32>,
    bits: Vec<u64>,
    ranks: Vec<u32>,
}

impl Instruments {
    fn set(&mut self, ids: &[u32]) {
        let Instruments { distinct, dense, bits, ranks } = self;
        distinct.clear();
        dense.clear();
        let highest = ids.iter().max().copied().unwrap_or_default();
        if highest >= BITS_MAX {
            distinct.extend_from_slice(ids);
            distinct.sort_unstable();
            distinct.dedup();
            dense.extend(ids.iter().map(|id| distinct.partition_point(|d| d < id) as u32));
            return;
        }
        bits.clear();
        bits.resize(highest as usize / 64 + 1, 0);
        for id in ids {
            if let Some(word) = bits.get_mut(*id as usize / 64) {
                *word |= 1 << (id % 64);
            }
        }
        ranks.clear();
        for (at, word) in bits.iter().enumerate() {
            ranks.push(distinct.len() as u32);
            let mut left = *word;
            while left != 0 {
                distinct.push(at as u32 * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
        dense.extend(ids.iter().map(|id| {
            let at = *id as usize / 64;
            let (word, rank) = (bits.get(at), ranks.get(at));
            let below = word.map_or(0, |word| word & ((1u64 << (id % 64)) - 1));
            rank.copied().unwrap_or_default() + below.count_ones()
        }));
    }
}

impl Encoder {
    /// Instruments of the page encoded last, ascending, each once.
    pub(in crate::format::page) fn instruments(&self) -> &[u32] {
        &self.instruments.distinct
    }

    /// Appends the columns of `rows`, which hold `count` canonical rows.
    pub(in crate::format::page) fn encode(&mut self, rows: &[u8], count: usize, out: &mut Vec<u8>) {
        let Encoder { offsets, kinds, ids, recv, instruments, last, references, group, columns } =
            self;
        offsets.clear();
        kinds.clear();
        ids.clear();
        recv.clear();
        let mut present = [false; 256];
        let mut at = 0;
        for row in Rows::new(rows).flatten() {
            offsets.push(at);
            kinds.push(row.kind as u8);
            ids.push(row.instrument().0);
            recv.push(row.recv().0 as u64);
            present[row.kind as usize] = true;
            at += row.bytes.len() as u32;
        }
        assert_eq!(offsets.len(), count, "the writer counts the rows that it encodes");

        columns.put_least(kinds.iter().map(|k| u64::from(*k)), out);

        instruments.set(ids);
        let Instruments { distinct, dense, .. } = instruments;
        put_varint(distinct.len() as u64, out);
        let mut before = 0;
        columns.put(
            distinct.iter().map(|id| u64::from(id - std::mem::replace(&mut before, *id))),
            out,
        );
        columns.put(dense.iter().map(|d| u64::from(*d)), out);

        let source = |at: &u32| load::<2>(rows, *at as usize + 20);
        columns.put_least(offsets.iter().map(source), out);

        out.extend_from_slice(&recv.first().copied().unwrap_or_default().to_le_bytes());
        // Recv times never decrease, so the differences need no sign.
        let later = recv.get(1..).unwrap_or_default();
        let deltas = || recv.iter().zip(later).map(|(a, b)| b.wrapping_sub(*a));
        let g = common(deltas()).unwrap_or(NonZeroU64::MIN);
        put_varint(g.get(), out);
        match g.get() {
            1 => columns.put(deltas(), out),
            // Once a page is enough, so a plain division will do.
            _ => columns.put(deltas().map(|d| d / g), out),
        }

        for kind in Kind::ALL {
            if !present[kind as usize] {
                continue;
            }
            let events = kinds.iter().zip(dense.iter()).zip(offsets.iter());
            let events = events.map(|((kind, dense), at)| (*kind, *dense, *at));
            gather(events, kind, distinct.len(), last, references, group);
            columns.put_field(rows, group, &FLAGS, out);
            columns.put_vendor_times(rows, group, out);
            for f in schema(kind) {
                columns.put_field(rows, group, f, out);
            }
        }
    }
}

/// A column on its way out.
#[derive(Default)]
struct Columns {
    values: Vec<u64>,
    best: Vec<u64>,
    column: Vec<u64>,
}

/// One way to write a column.
struct Candidate {
    how: How,
    base: u64,
    /// Where the second of its two columns begins.
    split: usize,
}

impl Columns {
    fn put(&mut self, values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
        self.column.clear();
        self.column.extend(values);
        pack(&self.column, out);
    }

    fn put_least(&mut self, values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
        self.values.clear();
        self.values.extend(values);
        let (least, most) = bounds(&self.values);
        put_varint(least, out);
        if least == most {
            return pack_zeros(self.values.len(), out);
        }
        self.values.iter_mut().for_each(|v| *v -= least);
        pack(&self.values, out);
    }

    fn put_field(&mut self, rows: &[u8], group: &Group, f: &Field, out: &mut Vec<u8>) {
        collect(rows, group, f, &mut self.values);
        if f.how.first() == Some(&How::Least) {
            // Nothing takes less than a column of zeros.
            let (least, most) = bounds(&self.values);
            if least == most {
                out.push(How::Least as u8);
                put_varint(least, out);
                return pack_zeros(self.values.len(), out);
            }
        }
        let mut chosen: Option<(usize, Candidate)> = None;
        for how in f.how {
            let candidate = self.candidate(rows, group, f, *how);
            let cost = match f.how.len() {
                1 => 0,
                _ => {
                    let (next, first) = divide(&self.column, &candidate);
                    cost(next) + cost(first)
                }
            };
            if chosen.as_ref().is_none_or(|(least, _)| cost < *least) {
                chosen = Some((cost, candidate));
                std::mem::swap(&mut self.best, &mut self.column);
            }
        }
        if let Some((_, chosen)) = chosen {
            let (next, first) = divide(&self.best, &chosen);
            out.push(chosen.how as u8);
            put_varint(chosen.base, out);
            pack(next, out);
            pack(first, out);
        }
    }

    /// Puts into `column` what stands for `values`.
    fn candidate(&mut self, rows: &[u8], group: &Group, f: &Field, how: How) -> Candidate {
        let Columns { values, column, .. } = self;
        let mut split = values.len();
        column.clear();
        let base = match how {
            How::Least => {
                let (least, _) = bounds(values);
                column.extend(values.iter().map(|v| v - least));
                least
            }
            How::Before => {
                let later = values.get(1..).unwrap_or_default().iter();
                let delta = |(v, before): (&u64, &u64)| zigzag(v.wrapping_sub(*before) as i64);
                column.extend(later.zip(values.iter()).map(delta));
                values.first().copied().unwrap_or_default()
            }
            How::Instrument | How::InstrumentOrLeft => {
                let references = &group.same;
                split = references.with;
                column.resize(values.len(), 0);
                let events = values.iter().zip(&references.from).zip(&references.slots);
                for (((v, from), slot), row) in events.zip(&group.offsets) {
                    let before = (*from as usize).checked_sub(1).and_then(|at| values.get(at));
                    let predicted = match before {
                        Some(before) => *before,
                        None if how == How::InstrumentOrLeft => {
                            load::<8>(rows, *row as usize + f.at - 8)
                        }
                        None => 0,
                    };
                    if let Some(to) = column.get_mut(*slot as usize) {
                        *to = v.wrapping_sub(predicted);
                    }
                }
                scale(column)
            }
            How::Market => {
                let references = &group.market;
                split = references.with;
                column.resize(values.len(), 0);
                for ((v, from), slot) in values.iter().zip(&references.from).zip(&references.slots)
                {
                    if let Some(to) = column.get_mut(*slot as usize) {
                        *to = v.wrapping_sub(quoted(rows, *from));
                    }
                }
                scale(column)
            }
            How::Recv | How::At24 | How::At40 | How::At64 => {
                let predicted = group.offsets.iter().map(|o| within(rows, *o, how));
                column.extend(values.iter().zip(predicted).map(|(v, p)| v.wrapping_sub(p)));
                scale(column)
            }
        };
        Candidate { how, base, split }
    }

    /// Vendor times of the rows that have one: their greatest common divisor,
    /// then the distance to the recv time in units of it, rounded down.
    fn put_vendor_times(&mut self, rows: &[u8], group: &Group, out: &mut Vec<u8>) {
        let Columns { values, column, .. } = self;
        values.clear();
        column.clear();
        for at in group.offsets.iter().map(|o| *o as usize) {
            if load::<1>(rows, at + 23) as u8 & VENDOR_TIME != 0 {
                values.push(load::<8>(rows, at));
                column.push(load::<8>(rows, at + 8));
            }
        }
        let g = at_most_i64(common(column.iter().map(|vendor| (*vendor as i64).unsigned_abs())));
        put_varint(g.get(), out);
        let (divisor, mut units) = (Divisor::new(g), Units::of(g.get() as i64));
        for (recv, vendor) in values.iter().zip(column.iter_mut()) {
            let vendor_units = match g.get() {
                1 => *vendor as i64,
                _ => divisor.exact(*vendor as i64),
            };
            *vendor = zigzag(units.floor(*recv as i64).wrapping_sub(vendor_units));
        }
        pack(column, out);
    }
}

/// The two columns of a candidate.
fn divide<'a>(column: &'a [u64], candidate: &Candidate) -> (&'a [u64], &'a [u64]) {
    column.split_at_checked(candidate.split).unwrap_or((column, &[]))
}

fn bounds(values: &[u64]) -> (u64, u64) {
    let first = values.first().copied().unwrap_or_default();
    values.iter().fold((first, first), |(least, most), v| (least.min(*v), most.max(*v)))
}

/// A divisor of signed numbers; 1 for what no such number is.
fn at_most_i64(g: Option<NonZeroU64>) -> NonZeroU64 {
    g.filter(|g| i64::try_from(g.get()).is_ok()).unwrap_or(NonZeroU64::MIN)
}

/// Divides all by their greatest common divisor, which is returned, and makes
/// them small numbers without a sign.
fn scale(residuals: &mut [u64]) -> u64 {
    let g = at_most_i64(common(residuals.iter().map(|r| (*r as i64).unsigned_abs())));
    if g.get() == 1 {
        residuals.iter_mut().for_each(|r| *r = zigzag(*r as i64));
    } else {
        let divisor = Divisor::new(g);
        residuals.iter_mut().for_each(|r| *r = zigzag(divisor.exact(*r as i64)));
    }
    g.get()
}
