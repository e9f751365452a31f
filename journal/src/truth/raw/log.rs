//! A log of the engine read to its end, past what is damaged. The layout is in
//! `preflight/log.rs`.

use std::hash::Hasher as _;
use std::ops::Range;

use bytes::Bytes;
use twox_hash::XxHash3_64;

use crate::format::canon::{u16_at, u32_at, u64_at};

const MAGIC: &[u8] = b"FJL\x03";
const HEAD: usize = 13;
const END: usize = 13;
const ITEM: usize = 21;
/// Numbers of batches lie close together; this far off is another byte string.
const FAR: u64 = 1 << 32;

/// One change of a batch.
pub(super) struct Item {
    pub keyspace: u64,
    pub key: Bytes,
    pub seqno: u64,
    pub dead: bool,
    /// Of the value in the log.
    pub value: Range<usize>,
}

/// A stretch of a log.
pub(super) enum Piece {
    /// A batch that matches its checksum.
    Batch(Vec<Item>),
    /// Anything else, up to the next batch that does; with the changes that
    /// seem to be in it.
    Damage { at: usize, end: usize, items: Vec<Item> },
}

/// Goes through a log without the zeros behind.
pub(super) struct Walk<'a> {
    log: &'a [u8],
    at: usize,
    seqno: u64,
    /// Bytes that may still be hashed in search of a batch: bytes made to look
    /// like batches could make it quadratic.
    budget: usize,
}

struct Batch {
    seqno: u64,
    items: Vec<Item>,
    end: usize,
    whole: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(log: &'a [u8], seqno: u64) -> Walk<'a> {
        Walk { log, at: 0, seqno, budget: log.len().saturating_mul(8) + (64 << 20) }
    }

    /// Number of the last batch that was whole.
    pub(super) fn seqno(&self) -> u64 {
        self.seqno
    }

    pub(super) fn next(&mut self) -> Option<Piece> {
        if self.at >= self.log.len() {
            return None;
        }
        let at = self.at;
        let here = batch(self.log, at);
        match here {
            Some(batch) if batch.whole => {
                self.at = batch.end;
                self.seqno = batch.seqno;
                Some(Piece::Batch(batch.items))
            }
            other => {
                self.at = self.find(at + 1);
                let items = other.map(|batch| batch.items).unwrap_or_default();
                Some(Piece::Damage { at, end: self.at, items })
            }
        }
    }

    /// The next place where a whole batch begins; the end, if there is none.
    fn find(&mut self, mut at: usize) -> usize {
        while let Some(skip) = self.log.get(at..).and_then(|r| r.iter().position(|b| *b == 1)) {
            at += skip;
            let near = u64_at(self.log, at + 5).and_then(|n| n.checked_sub(self.seqno));
            if near.is_some_and(|n| n < FAR)
                && let Some(batch) = batch(self.log, at)
            {
                if batch.whole {
                    return at;
                }
                self.budget = self.budget.saturating_sub(batch.end - at);
                if self.budget == 0 {
                    break;
                }
            }
            at += 1;
        }
        self.log.len()
    }
}

/// The batch at a place, as far as it can be followed.
fn batch(log: &[u8], from: usize) -> Option<Batch> {
    if log.get(from) != Some(&1) {
        return None;
    }
    let (count, seqno) = (u32_at(log, from + 1)?, u64_at(log, from + 5)?);
    let mut items = Vec::new();
    let mut at = from + HEAD;
    for _ in 0..count {
        match log.get(at) {
            Some(4) if log.len() >= at + 9 => at += 9,
            Some(2) => match item(log, at, seqno) {
                Some(item) => {
                    at = item.value.end;
                    items.push(item);
                }
                None => return Some(Batch { seqno, items, end: at, whole: false }),
            },
            _ => return Some(Batch { seqno, items, end: at, whole: false }),
        }
    }
    let mut hash = XxHash3_64::new();
    hash.write(log.get(from + HEAD..at)?);
    let end = log.get(at..at + END);
    let whole = end.is_some_and(|end| {
        end.first() == Some(&3)
            && u64_at(end, 1) == Some(hash.finish())
            && end.get(9..) == Some(MAGIC)
    });
    Some(Batch { seqno, items, end: (at + END).min(log.len()), whole })
}

fn item(log: &[u8], at: usize, seqno: u64) -> Option<Item> {
    let kind = log.get(at + 1).copied().filter(|kind| *kind <= 4)?;
    let (keyspace, key) = (u64_at(log, at + 3)?, usize::from(u16_at(log, at + 11)?));
    let value = u32_at(log, at + 13).filter(|len| u32_at(log, at + 17) == Some(*len))?;
    let from = at + ITEM + key;
    let end = from.checked_add(value as usize).filter(|end| *end <= log.len())?;
    let key = Bytes::copy_from_slice(log.get(at + ITEM..from)?);
    Some(Item { keyspace, key, seqno, dead: kind != 0, value: from..end })
}
