//! What the child writes: fact number n is a function of n alone, so that
//! whoever finds a journal knows what must be in it.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use orrery_journal::event::{
    Bar, Body, Draft, DraftBody, Event, IndexValue, InstrumentRef, Quote, Trade,
};
use orrery_journal::units::{Address, Price, RecvTime, Seq, SourceId, VendorTime};
use orrery_journal::{Calendar, Journal};

use crate::random::mix;

/// 2026-03-02 00:00:00 UTC.
const BEGIN: i64 = 1_772_409_600_000_000_000;
/// Facts of a day: a full page and a short one, which the next day seals.
const PER_DAY: i64 = 6_000;
const STEP: i64 = 86_400_000_000_000 / PER_DAY;
/// The calendar that the days are meant in.
pub const CALENDAR: Calendar = Calendar::Utc;

/// How large the variable parts are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// Hundreds of bytes.
    Small,
    /// Up to 256 KiB, so that the engine's log fills and another begins.
    Bulk,
}

fn hash(n: u64, what: u64) -> u64 {
    mix(n.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(what))
}

/// Text that belongs to n and to nothing else.
fn text(n: u64, size: Size) -> Bytes {
    let len = match size {
        Size::Small => 20 + hash(n, 1) % 800,
        Size::Bulk => 1_000 + hash(n, 1) % 262_144,
    } as usize;
    let mut out = format!("{{\"n\":{n},\"text\":\"").into_bytes();
    let mut word = 0;
    while out.len() < len {
        out.extend_from_slice(format!("{:016x}", hash(n, 100 + word)).as_bytes());
        word += 1;
    }
    out.extend_from_slice(b"\"}");
    Bytes::from(out)
}

fn ticker(n: u64) -> Option<Box<str>> {
    (!hash(n, 2).is_multiple_of(20)).then(|| {
        // New names keep coming, so that pages have definitions.
        let strike = 4_000 + 5 * (hash(n, 3) % 40 + n / 500);
        format!("O:SPXW260320C{:08}", strike * 1_000).into()
    })
}

/// Fact number `n`, from 0.
#[must_use]
pub fn draft(n: u64, size: Size) -> Draft {
    let recv = BEGIN + n as i64 * STEP;
    let price = |what: u64| Price((1 + (hash(n, what) % 9_000) as i64) * 10_000_000);
    let body = match hash(n, 4) % 100 {
        0..60 => {
            let quote = Quote {
                bid: Some(price(5)),
                ask: (!hash(n, 6).is_multiple_of(9)).then(|| price(7)),
                bid_size: Some((hash(n, 8) % 90) as u32),
                ask_size: None,
                vendor_seq: Some(n),
                bid_exchange: Some(302),
                ask_exchange: Some(303),
                conditions: 0,
            };
            DraftBody::Quote { quote, conditions: Box::default() }
        }
        60..80 => {
            let trade = Trade {
                price: price(5),
                size: 1 + hash(n, 9) % 50,
                vendor_seq: Some(n),
                exchange: Some(302),
                conditions: 0,
            };
            DraftBody::Trade { trade, conditions: Box::default() }
        }
        80..85 => DraftBody::Bar(Box::new(Bar {
            start: VendorTime(recv - STEP),
            end: VendorTime(recv),
            open: price(5),
            high: price(6),
            low: price(7),
            close: price(8),
            volume: Some(n),
            ..Bar::default()
        })),
        85..90 => DraftBody::IndexValue(IndexValue { value: price(5) }),
        90..93 => DraftBody::ClockBeat,
        93..96 => DraftBody::Annotation(text(n, size)),
        96..98 => DraftBody::News(text(n, size)),
        _ => DraftBody::Control(text(n, Size::Small)),
    };
    Draft {
        recv: Some(RecvTime(recv)),
        vendor_time: (!hash(n, 10).is_multiple_of(7))
            .then(|| VendorTime(recv - (hash(n, 11) % 1_000_000) as i64)),
        instrument: ticker(n).map_or(InstrumentRef::None, InstrumentRef::Ticker),
        source: SourceId::JOURNAL,
        extension: (hash(n, 12).is_multiple_of(50)).then(|| text(n, Size::Small)),
        body,
    }
}

/// The body that a draft becomes.
fn body(draft: DraftBody) -> Option<Body> {
    Some(match draft {
        DraftBody::Quote { quote, .. } => Body::Quote(quote),
        DraftBody::Trade { trade, .. } => Body::Trade(trade),
        DraftBody::Bar(bar) => Body::Bar(*bar),
        DraftBody::IndexValue(value) => Body::IndexValue(value),
        DraftBody::ClockBeat => Body::ClockBeat,
        DraftBody::Annotation(blob) => Body::Annotation(Address::of(&blob)),
        DraftBody::News(blob) => Body::News(Address::of(&blob)),
        DraftBody::Control(blob) => Body::Control(Address::of(&blob)),
        _ => return None,
    })
}

/// What a journal holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Facts, bookkeeping of the journal left out.
    pub facts: u64,
    /// Events.
    pub events: u64,
}

/// Reads the whole journal: every event in its place, every fact once, in
/// order and as it was written, nothing else, every blob behind it.
///
/// # Errors
/// Says what is wrong first.
pub fn check(journal: &Journal, size: Size) -> Result<Found> {
    let mut found = Found::default();
    let mut extension = None;
    let mut ahead = BTreeSet::new();
    for stretch in journal.read(Seq::FIRST, Seq::MAX) {
        let stretch = stretch?;
        ensure!(
            stretch.first == Seq(found.events + 1),
            "gap: {} follows {}",
            stretch.first,
            found.events
        );
        for event in stretch.events.iter() {
            found.events += 1;
            match &event.body {
                Body::InstrumentDefined(_) => drop(ahead.insert(event.instrument.0)),
                Body::Extension(address) => extension = Some(*address),
                _ if event.body.kind().is_bookkeeping() => bail!("nobody wrote {event:?}"),
                _ => {
                    same(journal, event, extension.take(), found.facts, size)?;
                    ahead.remove(&event.instrument.0);
                    found.facts += 1;
                }
            }
        }
    }
    ensure!(Seq(found.events) == journal.head().seq, "the head is elsewhere");
    ensure!(extension.is_none() && ahead.is_empty(), "bookkeeping without its fact");
    Ok(found)
}

/// Whether an event is fact number `n`.
fn same(
    journal: &Journal,
    event: &Event,
    extension: Option<Address>,
    n: u64,
    size: Size,
) -> Result<()> {
    let draft = draft(n, size);
    let ticker = journal.ticker(event.instrument);
    let named = match &draft.instrument {
        InstrumentRef::Ticker(name) => ticker.as_ref() == Some(name),
        _ => ticker.is_none(),
    };
    let right = named
        && Some(event.recv) == draft.recv
        && event.vendor_time == draft.vendor_time
        && event.source == draft.source
        && event.extended == draft.extension.is_some()
        && extension == draft.extension.as_deref().map(Address::of)
        && Some(&event.body) == body(draft.body).as_ref();
    ensure!(right, "fact {n} is not what was written: {event:?}");
    for address in event.body.blobs().into_iter().chain(extension) {
        journal.blob(address)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(drafts: impl Iterator<Item = Draft>) -> Journal {
        let journal = Journal::in_memory(CALENDAR).expect("opens");
        let writer = journal.writer(|| RecvTime(0)).expect("a writer");
        writer.append(drafts.collect()).and_then(|t| t.wait()).expect("commits");
        writer.close().expect("closes");
        journal
    }

    #[test]
    fn what_was_written_is_known_again_and_nothing_else() {
        let facts = |range: std::ops::Range<u64>| range.map(|n| draft(n, Size::Small));
        let found = check(&journal(facts(0..7_000)), Size::Small).expect("is right");
        assert_eq!(found.facts, 7_000);
        assert!(found.events > 7_000);
        let wrong = [
            journal(facts(1..100)),
            journal(facts(0..50).chain(facts(49..100))),
            journal(facts(0..50).chain(facts(51..100))),
            journal(facts(0..50).chain(facts(60..61))),
        ];
        for journal in wrong {
            assert!(check(&journal, Size::Small).is_err());
        }
    }
}
