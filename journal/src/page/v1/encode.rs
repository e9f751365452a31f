//! Rows to columns: of the ways that a schema allows, the shortest.

use super::group::{Group, NONE, VENDOR_TIME, collect, gather, load, quoted, within};
use super::schema::{FLAGS, Field, How, schema};
use crate::canon::{Row, Rows};
use crate::event::Kind;
use crate::page::pack::{BLOCK, cost, pack, put_varint, zigzag};

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
pub(in crate::page) fn encode(rows: &[u8], count: usize, out: &mut Vec<u8>) {
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
