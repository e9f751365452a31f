//! The engine's own log (`*.jnl`): batches one after another, then zeros.
//!
//! ```text
//! batch  0x01, items u32, seqno u64, items, 0x03, xxh3-64 of the items, "FJL\x03"
//! item   0x02, type u8, compression u8, keyspace u64, key u16, value u32,
//!        stored u32, key, value
//! clear  0x04, keyspace u64
//! ```
//!
//! The checksum leaves out the head of the batch, so the seqno is held against
//! its neighbours, and the events in frames and pages against each other.

use std::collections::BTreeSet;
use std::hash::Hasher as _;
use std::io;

use twox_hash::XxHash3_64;

use super::window::{CHUNK, Source, Window};
use crate::format::canon::{LABEL, Label, u16_at, u32_at, u64_at};
use crate::units::Seq;
use crate::{format::frame, format::page, format::summary};

const MAGIC: &[u8] = b"FJL\x03";
const HEAD: u64 = 13;
const END: u64 = 13;
const ITEM: u64 = 21;
/// The engine takes a number for every reopening, flush and compaction too, so
/// batches are not numbered without gaps. A number that was flipped upwards by
/// less is found by the next batch, which then does not rise.
const SLACK: u64 = 1024;
/// More batches than there will ever be; the engine falls over near 2^63.
const NUMBERS: u64 = 1 << 56;
/// More tables than there will ever be.
const KEYSPACES: u64 = 1 << 16;
/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// What is carried from batch to batch and from file to file.
#[derive(Clone, Default, Debug)]
pub(super) struct Progress {
    /// The engine's number of the last batch.
    pub seqno: Option<u64>,
    /// The first and the last event seen.
    pub first: Option<Seq>,
    pub event: Option<Seq>,
    /// Numbers of batches that something in a table comes from. Those within
    /// the logs are taken out as their batches are met; the engine leaves out
    /// what it believes to be in a table, so a wrong number can cost events.
    pub flushed: BTreeSet<u64>,
}

impl Progress {
    /// A number in the tables between the last batch and this one, whose batch
    /// is therefore missing; what lies before the first batch is not there
    /// any more.
    fn unmet(&mut self, seqno: u64) -> Option<u64> {
        let before = self.seqno.map(|last| last + 1).unwrap_or(seqno);
        let unmet = self.flushed.range(before..seqno).next().copied();
        self.flushed.remove(&seqno);
        unmet
    }
}

/// How a log ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// With its last batch; zeros may follow.
    Clean,
    /// With a batch that was not written to its end. `hole`: sectors in its
    /// midst never reached the disk; `later`: whole batches follow.
    Torn { offset: u64, bytes: u64, hole: bool, later: bool },
    /// With something that no crash leaves.
    Corrupt { offset: u64, what: String },
}

struct Batch {
    seqno: u64,
    /// First and last event it brings.
    events: Option<(Seq, Seq)>,
    next: u64,
}

/// Reads a log from its first byte to its last.
pub(super) fn scan<S: Source>(log: &mut Window<S>, progress: &mut Progress) -> io::Result<End> {
    let (mut at, mut before) = (0, 0);
    while let Some(batch) = batch(log, at, None)? {
        let seqno = batch.seqno;
        if let Some(last) = progress.seqno
            && !(last < seqno && seqno <= last.saturating_add(SLACK))
        {
            let what = format!("batch number {seqno} after {last}");
            return Ok(End::Corrupt { offset: at, what });
        }
        if seqno > NUMBERS {
            let what = format!("batch number {seqno} is impossible");
            return Ok(End::Corrupt { offset: at, what });
        }
        if let Some(unmet) = progress.unmet(seqno) {
            let what = format!("no batch has the number {unmet}, which is in a table");
            return Ok(End::Corrupt { offset: before, what });
        }
        if let Some((first, last)) = batch.events {
            let before = progress.event.unwrap_or(last);
            if first > before.next() {
                let what = format!("event {first} follows event {before}");
                return Ok(End::Corrupt { offset: at, what });
            }
            progress.first = Some(progress.first.unwrap_or(first).min(first));
            progress.event = Some(before.max(last));
        }
        progress.seqno = Some(seqno);
        (before, at) = (at, batch.next);
    }
    let (end, hole) = tail(log, at)?;
    if end == at {
        return Ok(End::Clean);
    }
    let later = any_batch(log, at + 1, end, progress.seqno.unwrap_or_default())?;
    if later && !hole {
        let what = "unreadable, although what follows is not".into();
        return Ok(End::Corrupt { offset: at, what });
    }
    if !hole && complete(log, end)? {
        let what = "a batch that was written to its end does not match its checksum".into();
        return Ok(End::Corrupt { offset: at, what });
    }
    Ok(End::Torn { offset: at, bytes: end - at, hole, later })
}

/// The batch at a place, if there is a whole one. With `after`, only one that
/// could follow that number, which is looked at before anything is hashed.
fn batch<S: Source>(log: &mut Window<S>, at: u64, after: Option<u64>) -> io::Result<Option<Batch>> {
    let Some(head) = log.get(at, HEAD as usize)? else { return Ok(None) };
    let (Some(1), Some(items), Some(seqno)) = (head.first(), u32_at(head, 1), u64_at(head, 5))
    else {
        return Ok(None);
    };
    if after.is_some_and(|after| seqno <= after || seqno - after > 1 << 32) {
        return Ok(None);
    }
    let mut hash = XxHash3_64::new();
    let mut events: Option<(Seq, Seq)> = None;
    let mut at = at + HEAD;
    for _ in 0..items {
        match log.get(at, 1)?.and_then(|b| b.first().copied()) {
            Some(4) => {
                let Some(clear) = log.get(at, 9)? else { return Ok(None) };
                hash.write(clear);
                at += 9;
                continue;
            }
            Some(2) => {}
            _ => return Ok(None),
        }
        let Some(item) = log.get(at, ITEM as usize)? else { return Ok(None) };
        let (kind, packing) = (item.get(1).copied(), item.get(2).copied());
        let (Some(keyspace), Some(key), Some(value), Some(stored)) =
            (u64_at(item, 3), u16_at(item, 11), u32_at(item, 13), u32_at(item, 17))
        else {
            return Ok(None);
        };
        // The journal asks for logs without compression.
        let sane = kind.is_some_and(|k| k <= 4) && packing == Some(0) && value == stored;
        let end = at + ITEM + u64::from(key) + u64::from(value);
        if !sane || keyspace >= KEYSPACES || end > log.len() {
            return Ok(None);
        }
        if key == 8 && value as usize >= LABEL {
            let label = log.get(at + ITEM, 8 + LABEL)?.and_then(|b| b.split_at_checked(8));
            if let Some((first, last)) = label.and_then(|(key, label)| covered(key, label)) {
                let (low, high) = events.unwrap_or((first, last));
                events = Some((low.min(first), high.max(last)));
            }
        }
        while at < end {
            let want = (end - at).min(CHUNK as u64 / 4) as usize;
            let Some(bytes) = log.get(at, want)? else { return Ok(None) };
            hash.write(bytes);
            at += want as u64;
        }
    }
    let Some(end) = log.get(at, END as usize)? else { return Ok(None) };
    let whole = end.first() == Some(&3)
        && u64_at(end, 1) == Some(hash.finish())
        && end.get(9..) == Some(MAGIC);
    Ok(whole.then_some(Batch { seqno, events, next: at + END }))
}

/// First and last event of a frame, a page or a page's summary.
fn covered(key: &[u8], value: &[u8]) -> Option<(Seq, Seq)> {
    // Of a page whose loss was accepted only the summary is left.
    let kinds = [frame::MAGIC, page::STORED_MAGIC, summary::MAGIC];
    let (label, _) = kinds.into_iter().find_map(|magic| Label::parse(value, magic).ok())?;
    let last = label.first.0.checked_add(u64::from(label.count) - 1)?;
    (Seq::from_key(key) == Some(label.first)).then_some((label.first, Seq(last)))
}

/// Where the zeros at the end begin, and whether whole sectors before are zero.
fn tail<S: Source>(log: &mut Window<S>, from: u64) -> io::Result<(u64, bool)> {
    let (mut at, mut end, mut hole, mut blank) = (from, from, false, false);
    while at < log.len() {
        let want = (SECTOR - at % SECTOR).min(log.len() - at);
        let Some(sector) = log.get(at, want as usize)? else { break };
        match sector.iter().rposition(|b| *b != 0) {
            Some(last) => {
                end = at + last as u64 + 1;
                hole |= blank;
            }
            None => blank |= want == SECTOR,
        }
        at += want;
    }
    Ok((end, hole))
}

/// Whether the bytes before a place are the end of a batch.
fn complete<S: Source>(log: &mut Window<S>, end: u64) -> io::Result<bool> {
    let Some(at) = end.checked_sub(END) else { return Ok(false) };
    let bytes = log.get(at, END as usize)?.unwrap_or_default();
    Ok(bytes.first() == Some(&3) && bytes.get(9..) == Some(MAGIC))
}

/// Whether a whole batch begins anywhere in a stretch.
fn any_batch<S: Source>(log: &mut Window<S>, from: u64, to: u64, after: u64) -> io::Result<bool> {
    // Bytes made to look like batches could make this quadratic; whoever made
    // them gets the careful answer.
    let budget = log.read + 8 * log.len() + (64 << 20);
    let mut at = from;
    while at < to {
        let bytes = log.peek(at)?;
        if bytes.is_empty() {
            return Ok(false);
        }
        match bytes.iter().position(|b| *b == 1) {
            None => at += bytes.len() as u64,
            Some(skip) => {
                at += skip as u64;
                if batch(log, at, Some(after))?.is_some() || log.read > budget {
                    return Ok(true);
                }
                at += 1;
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::open::preflight) fn put(out: &mut Vec<u8>, seqno: u64, values: &[&[u8]]) {
        out.push(1);
        out.extend_from_slice(&(values.len() as u32).to_le_bytes());
        out.extend_from_slice(&seqno.to_le_bytes());
        let from = out.len();
        for value in values {
            out.extend_from_slice(&[2, 0, 0]);
            out.extend_from_slice(&3u64.to_le_bytes());
            out.extend_from_slice(&8u16.to_le_bytes());
            let len = (value.len() as u32).to_le_bytes();
            out.extend_from_slice(&len);
            out.extend_from_slice(&len);
            out.extend_from_slice(&seqno.to_be_bytes());
            out.extend_from_slice(value);
        }
        let hash = XxHash3_64::oneshot(&out[from..]);
        out.push(3);
        out.extend_from_slice(&hash.to_le_bytes());
        out.extend_from_slice(MAGIC);
    }

    fn log(batches: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for seqno in 1..=batches {
            put(&mut out, seqno, &[&[seqno as u8; 40], b"", &[7; 700]]);
        }
        out
    }

    fn end(bytes: &[u8]) -> End {
        let mut window = Window::new(bytes, bytes.len() as u64);
        scan(&mut window, &mut Progress::default()).expect("memory reads")
    }

    #[test]
    fn a_good_log_is_clean_with_and_without_zeros() {
        let mut bytes = log(5);
        assert_eq!(end(&bytes), End::Clean);
        bytes.resize(bytes.len() + 3 * CHUNK, 0);
        assert_eq!(end(&bytes), End::Clean);
        assert_eq!(end(&[]), End::Clean);
    }

    #[test]
    fn the_numbers_in_tables_are_those_of_batches() {
        let bytes = log(5);
        let second = log(1).len() as u64;
        let scan = |bytes: &[u8], flushed: &[u64]| {
            let flushed = flushed.iter().copied().collect();
            let mut progress = Progress { flushed, ..Progress::default() };
            scan(&mut Window::new(bytes, bytes.len() as u64), &mut progress).expect("reads")
        };
        assert_eq!(scan(&bytes, &[0, 1, 3, 5]), End::Clean);
        // A first batch that was number 3 and says 1, the next being 4.
        let mut first = Vec::new();
        for seqno in [1, 4] {
            put(&mut first, seqno, &[&[3; 40]]);
        }
        assert_eq!(scan(&first, &[1, 4]), End::Clean);
        assert!(matches!(scan(&first, &[2]), End::Corrupt { offset: 0, .. }));
        let mut later = bytes[..second as usize].to_vec();
        later.extend_from_slice(&first[first.len() / 2..]);
        assert!(matches!(scan(&later, &[3]), End::Corrupt { offset: 0, .. }));
        let mut high = bytes;
        high[5 + 7] = 1;
        assert!(matches!(scan(&high, &[]), End::Corrupt { offset: 0, .. }));
    }

    #[test]
    fn a_cut_is_torn_and_damage_is_not() {
        let bytes = log(5);
        let fifth = log(4).len();
        for len in fifth + 1..bytes.len() {
            let torn = End::Torn {
                offset: fifth as u64,
                bytes: (len - fifth) as u64,
                hole: false,
                later: false,
            };
            let mut cut = bytes[..len].to_vec();
            // What is cut may end in zeros, which count as never written.
            if cut.last() != Some(&0) {
                assert_eq!(end(&cut), torn);
            }
            cut.resize(bytes.len() + 9000, 0);
            assert!(matches!(end(&cut), End::Torn { offset, .. } if offset == fifth as u64));
        }
        let mut last = bytes.clone();
        last[fifth + 60] ^= 4;
        assert!(matches!(end(&last), End::Corrupt { offset, .. } if offset == fifth as u64));
        let mut middle = bytes.clone();
        middle[10] ^= 0x80;
        assert!(matches!(end(&middle), End::Corrupt { .. }));
        // A sector that never came to the disk: torn, if nothing is acknowledged.
        let mut hole = bytes;
        let sector = fifth.div_ceil(512) * 512;
        hole[sector..sector + 512].fill(0);
        assert!(matches!(end(&hole), End::Torn { hole: true, later: false, .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            noise in prop::collection::vec(any::<u8>(), 0..300),
            at in 0usize..4_000,
            flips in prop::collection::vec((0usize..4_000, any::<u8>()), 0..6),
            cut in 0usize..4_000,
        ) {
            let mut bytes = log(5);
            let at = at % bytes.len();
            bytes.splice(at..at, noise.iter().copied());
            for (place, value) in flips {
                let place = place % bytes.len();
                bytes[place] = value;
            }
            bytes.truncate(cut.max(1));
            end(&bytes);
            end(&noise);
        }
    }
}
