//! What a page holds, small enough that opening reads one for every page.
//!
//! ```text
//!  0  magic       `ORRYSUMM`
//!  8  version u32, 12 count u32, 16 first u64, 24 day i32, 28 zero u32
//! 32  address     32 bytes
//! 64  first recv  i64
//! 72  last recv   i64
//! 80  kinds, sources, reasons   u16 each: entries of the three lists
//! 86  words       u16: of the instruments
//! 88  kinds       each u32 tag, u32 events
//!     sources     each u32 id, u32 events without bookkeeping
//!     reasons     each u32 tag, u32 events
//!     instruments u64 words, see `summary/instruments.rs`
//!     blake3 of everything before it, 32 bytes
//! ```
//! Lists ascend by their first number. Version 1, of journals of format 1, ends
//! after the lists and says nothing of instruments.

mod instruments;

pub(crate) use instruments::Instruments;

use crate::event::{Kind, RefusalReason};
use crate::format::canon::{LABEL, Label, Row, u16_at, u32_at, u64_at};
use crate::units::{Address, RecvTime, Seq, SourceId, TradingDay};

pub(crate) const MAGIC: &[u8; 8] = b"ORRYSUMM";
const VERSION: u32 = 2;
/// Says nothing of instruments.
const VERSION_1: u32 = 1;
const FIXED: usize = 88;
const HASH: usize = 32;

/// A small map that keeps its keys in order.
type Counts = Vec<(u32, u32)>;

fn add(counts: &mut Counts, key: u32, n: u32) {
    // Events come in runs, so the last one hit is mostly the next one.
    match counts.binary_search_by_key(&key, |c| c.0) {
        Ok(at) => {
            if let Some(count) = counts.get_mut(at) {
                count.1 += n;
            }
        }
        Err(at) => counts.insert(at, (key, n)),
    }
}

/// Counts of events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    kinds: Counts,
    sources: Counts,
    refused: Counts,
}

impl Tally {
    /// Adds the counts of another stretch.
    pub(crate) fn merge(&mut self, other: &Tally) {
        for (mine, theirs) in [
            (&mut self.kinds, &other.kinds),
            (&mut self.sources, &other.sources),
            (&mut self.refused, &other.refused),
        ] {
            theirs.iter().for_each(|(key, n)| add(mine, *key, *n));
        }
    }

    /// Events by kind.
    pub(crate) fn kinds(&self) -> Vec<(Kind, u64)> {
        let kind = |tag: u32| u8::try_from(tag).ok().and_then(Kind::from_tag);
        self.kinds.iter().filter_map(|(tag, n)| Some((kind(*tag)?, u64::from(*n)))).collect()
    }

    /// Events of one kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> u32 {
        self.kinds.iter().find(|(tag, _)| *tag == kind as u32).map_or(0, |(_, n)| *n)
    }

    /// Refused input by reason.
    pub(crate) fn refused(&self) -> Vec<(RefusalReason, u64)> {
        let reason = RefusalReason::from_tag;
        self.refused.iter().filter_map(|(tag, n)| Some((reason(*tag)?, u64::from(*n)))).collect()
    }

    /// Events by source, bookkeeping left out.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (SourceId, u64)> + '_ {
        self.sources.iter().map(|(id, n)| (SourceId(*id as u16), u64::from(*n)))
    }

    /// Events that define a ticker, a condition list or a source.
    pub(crate) fn definitions(&self) -> u32 {
        [Kind::InstrumentDefined, Kind::ConditionsDefined, Kind::SourceDefined]
            .into_iter()
            .map(|kind| self.of_kind(kind))
            .sum()
    }
}

/// Counts the rows of one stretch: what is nearly always the same costs next
/// to nothing.
#[derive(Default)]
pub(crate) struct Counter {
    kinds: [u32; Kind::ALL.len() + 1],
    /// Source of the rows before, and how many of them there were.
    source: (u32, u32),
    rest: Tally,
}

impl Counter {
    /// Counts one row.
    #[inline]
    pub(crate) fn count(&mut self, row: &Row<'_>) {
        if let Some(kind) = self.kinds.get_mut(row.kind as usize) {
            *kind += 1;
        }
        if row.kind.is_bookkeeping() {
            return;
        }
        let source = u32::from(row.source().0);
        if source != self.source.0 {
            self.end_run();
            self.source.0 = source;
        }
        self.source.1 += 1;
        if row.kind == Kind::Quarantine {
            add(&mut self.rest.refused, u32_at(row.bytes, 56).unwrap_or_default(), 1);
        }
    }

    fn end_run(&mut self) {
        let (source, n) = std::mem::take(&mut self.source);
        if n > 0 {
            add(&mut self.rest.sources, source, n);
        }
    }

    /// Adds everything to a tally.
    pub(crate) fn add_to(&mut self, tally: &mut Tally) {
        self.end_run();
        tally.merge(&self.rest);
        for (tag, n) in self.kinds.iter().enumerate().filter(|(_, n)| **n > 0) {
            add(&mut tally.kinds, tag as u32, *n);
        }
    }
}

/// What a page, or the stretch behind the last page, holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PageSummary {
    pub first: Seq,
    pub count: u32,
    pub day: TradingDay,
    /// All zeros for the stretch behind the last page.
    pub address: Address,
    pub first_recv: RecvTime,
    pub last_recv: RecvTime,
    pub tally: Tally,
}

impl PageSummary {
    /// Last event.
    pub(crate) fn last(&self) -> Seq {
        self.label().last()
    }

    pub(crate) fn label(&self) -> Label {
        Label { first: self.first, count: self.count, day: self.day }
    }

    /// The stored bytes.
    pub(crate) fn encode(&self, instruments: &Instruments) -> Vec<u8> {
        let words = instruments.words();
        let mut out = Vec::with_capacity(FIXED + HASH + 8 * (20 + words.len()));
        out.extend_from_slice(&self.label().bytes(MAGIC, VERSION));
        out[32..LABEL].copy_from_slice(&self.address.0);
        out.extend_from_slice(&self.first_recv.0.to_le_bytes());
        out.extend_from_slice(&self.last_recv.0.to_le_bytes());
        let lists = [&self.tally.kinds, &self.tally.sources, &self.tally.refused];
        for list in lists {
            out.extend_from_slice(&(list.len() as u16).to_le_bytes());
        }
        out.extend_from_slice(&(words.len() as u16).to_le_bytes());
        for (key, n) in lists.into_iter().flatten() {
            out.extend_from_slice(&key.to_le_bytes());
            out.extend_from_slice(&n.to_le_bytes());
        }
        for word in words {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    /// Reads stored bytes, their hash checked. Old ones say nothing of
    /// instruments.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(PageSummary, Option<Instruments>), String> {
        let (label, version) = Label::parse(bytes, MAGIC)?;
        if ![VERSION, VERSION_1].contains(&version) {
            return Err(format!("summary version {version} is unknown"));
        }
        let body = bytes.len().checked_sub(HASH).and_then(|n| bytes.split_at_checked(n));
        let (plain, hash) = body.ok_or("shorter than its hash")?;
        if blake3::hash(plain).as_bytes() != hash {
            return Err("does not match its hash".into());
        }
        let short = "shorter than its lists";
        let lens = [80, 82, 84, 86].map(|at| u16_at(plain, at).map(usize::from));
        let [Some(kinds), Some(sources), Some(refused), Some(words)] = lens else {
            return Err(short.into());
        };
        let lists = kinds + sources + refused;
        if plain.len() != FIXED + 8 * (lists + words) {
            return Err("length does not match its lists".into());
        }
        if u32_at(plain, 28) != Some(0) {
            return Err("something stands where zeros should".into());
        }
        let instruments = match version {
            VERSION_1 if words == 0 => None,
            VERSION_1 => return Err("version 1 and instruments".into()),
            _ => {
                let words = plain.get(FIXED + 8 * lists..).unwrap_or_default().as_chunks::<8>().0;
                let words = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
                Some(Instruments::from_words(words).ok_or("impossible words of instruments")?)
            }
        };
        let list = |from: usize, n: usize| -> Counts {
            (from..from + n)
                .filter_map(|i| {
                    let at = FIXED + 8 * i;
                    Some((u32_at(plain, at)?, u32_at(plain, at + 4)?))
                })
                .collect()
        };
        let tally = Tally {
            kinds: list(0, kinds),
            sources: list(kinds, sources),
            refused: list(kinds + sources, refused),
        };
        let ascends = |list: &Counts| list.is_sorted_by(|a, b| a.0 < b.0);
        if ![&tally.kinds, &tally.sources, &tally.refused].into_iter().all(ascends) {
            return Err("a list does not ascend".into());
        }
        // Sums over many pages rely on it.
        let events = |list: &Counts| list.iter().map(|(_, n)| u64::from(*n)).sum::<u64>();
        let count = u64::from(label.count);
        if events(&tally.kinds) != count
            || events(&tally.sources) > count
            || events(&tally.refused) > count
        {
            return Err("the lists do not add up to the count".into());
        }
        let summary = PageSummary {
            first: label.first,
            count: label.count,
            day: label.day,
            address: Address(plain[32..LABEL].try_into().map_err(|_| short)?),
            first_recv: RecvTime(u64_at(plain, 64).ok_or(short)? as i64),
            last_recv: RecvTime(u64_at(plain, 72).ok_or(short)? as i64),
            tally,
        };
        Ok((summary, instruments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_do_not_add_up_are_refused() {
        let summary = |kinds, sources, refused| PageSummary {
            first: Seq(1),
            count: 7,
            day: TradingDay(1),
            address: Address::default(),
            first_recv: RecvTime(0),
            last_recv: RecvTime(0),
            tally: Tally { kinds, sources, refused },
        };
        let good = summary(vec![(1, 4), (16, 3)], vec![(1, 7)], vec![(2, 3)]);
        let encode = |summary: &PageSummary| summary.encode(&Instruments::of([1]));
        assert_eq!(PageSummary::decode(&encode(&good)).map(|(found, _)| found), Ok(good));
        for bad in [
            summary(vec![(1, 4), (16, 4)], vec![], vec![]),
            summary(vec![(1, u32::MAX), (16, 8)], vec![], vec![]),
            summary(vec![(1, 7)], vec![(1, 8)], vec![]),
            summary(vec![(1, 7)], vec![], vec![(1, 4), (2, 4)]),
            summary(vec![(16, 3), (1, 4)], vec![], vec![]),
        ] {
            assert!(PageSummary::decode(&encode(&bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn summaries_come_back_and_every_flipped_bit_is_found() {
        let summary = PageSummary {
            first: Seq(4097),
            count: 4096,
            day: TradingDay(16_793),
            address: Address([7; 32]),
            first_recv: RecvTime(-5),
            last_recv: RecvTime(1_450_967_280_000_000_001),
            tally: Tally {
                kinds: vec![(1, 4000), (2, 90), (16, 6)],
                sources: vec![(1, 4090)],
                refused: vec![(3, 6)],
            },
        };
        let instruments = Instruments::of([3, 9, 4_097]);
        let bytes = summary.encode(&instruments);
        assert_eq!(PageSummary::decode(&bytes), Ok((summary, Some(instruments))));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(PageSummary::decode(&bad).is_err(), "bit {bit}");
        }
    }
}
