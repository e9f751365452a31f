//! Ranges, filters and readers that wait.

use std::sync::Arc;
use std::time::Duration;

use orrery_journal::event::{Event, JournalEvent, Kind};
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::store::{Batch, Durability, Store};
use orrery_journal::units::{InstrumentId, Seq};
use orrery_journal::{Calendar, Filter, Journal, ReadError, keys};
use proptest::prelude::*;

use crate::support::*;

/// A journal of three days with pages and frames, and all its events.
fn filled() -> (Journal, Vec<Event>) {
    let journal = Journal::in_memory(Calendar::Utc).expect("opens");
    append(&journal, &session(8, 22_000, 3), &[900, 30]);
    let all = events(&journal);
    (journal, all)
}

fn matching(journal: &Journal, from: Seq, to: Seq, filter: &Filter) -> Vec<JournalEvent> {
    let mut out = Vec::new();
    for events in journal.read_matching(from, to, filter.clone()) {
        let events = events.expect("reads");
        assert!(!events.is_empty());
        out.extend(events);
    }
    out
}

fn expected(all: &[Event], from: u64, to: u64, filter: &Filter) -> Vec<JournalEvent> {
    let events = all.iter().zip(1u64..).map(|(event, seq)| (Seq(seq), event));
    events
        .filter(|(seq, _)| seq.0 >= from && seq.0 <= to)
        .filter(|(_, event)| filter.admits(event.body.kind(), event.instrument))
        .map(|(seq, event)| JournalEvent { seq, event: event.clone() })
        .collect()
}

#[test]
fn any_range_is_that_slice_and_any_filter_that_choice() {
    let (journal, all) = filled();
    let end = all.len() as u64;
    let instruments = journal.instruments();
    let case = (
        0..end + 10,
        0..end + 10,
        proptest::collection::btree_set(0usize..16, 0..4),
        proptest::collection::btree_set(0..instruments + 3, 0..4),
        any::<[bool; 2]>(),
    );
    let config = ProptestConfig { cases: 60, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let ran = runner.run(&case, |(from, to, kinds, ids, [by_kind, by_instrument])| {
        let slice = all.get(from.max(1) as usize - 1..to.min(end) as usize).unwrap_or_default();
        prop_assert!(read(&journal, Seq(from), Seq(to)) == slice);
        let mut filter = Filter::new();
        if by_kind {
            filter = filter.kinds(kinds.iter().map(|at| Kind::ALL[*at]));
        }
        if by_instrument {
            filter = filter.instruments(ids.iter().map(|id| InstrumentId(*id)));
        }
        let found = matching(&journal, Seq(from), Seq(to), &filter);
        prop_assert!(found == expected(&all, from, to, &filter));
        Ok(())
    });
    ran.expect("holds");
}

/// Whoever reads needs no thread beside it: what one has left behind it reads
/// itself.
#[test]
fn threads_that_die_take_no_page_with_them() {
    let store = Arc::new(Watched::default());
    let journal = on(&store);
    append(&journal, &session(9, 70_000, 1), &[9_000]);
    let all = events(&journal);
    store.kill_readers();
    let before = store.pages();
    assert!(events(&journal) == all);
    let pages = journal.sealed_pages(Seq::FIRST, Seq::MAX).count() as u64;
    assert_eq!(store.pages() - before, 2 * pages, "each page once, and once more to count them");
}

#[test]
fn pages_that_hold_nothing_wanted_are_not_read() {
    let store = Arc::new(Watched::default());
    let journal = on(&store);
    // Twelve pages of A and B; C is in the fourth, a beat in the ninth.
    let mut drafts: Vec<_> = (0..12 * 4_096 - 3i64)
        .map(|i| quote(OPENING + i, if i % 3 == 0 { "A" } else { "B" }, 1, 2))
        .collect();
    drafts[3 * 4_096 + 7] = quote(OPENING + 3 * 4_096 + 7, "C", 1, 2);
    drafts[8 * 4_096 + 7] = beat(OPENING + 8 * 4_096 + 7);
    append(&journal, &drafts, &[5_000]);
    let all = events(&journal);
    let id = |ticker| journal.instrument(ticker).expect("defined");
    let reads = |filter: Filter| {
        let before = store.pages();
        let found = matching(&journal, Seq::FIRST, Seq::MAX, &filter);
        assert!(found == expected(&all, 1, u64::MAX, &filter));
        let read = store.pages() - before;
        let mut selection = journal.read_matching(Seq::FIRST, Seq::MAX, filter);
        let told = selection.by_ref().map(|events| events.expect("reads").len()).sum::<usize>();
        let looked = selection.looked();
        assert_eq!((told, looked.pages, looked.skipped), (found.len(), read, 12 - read));
        (found.len(), read)
    };
    let pages = pages(&journal).len() as u64;
    assert_eq!(pages, 12);
    // Its definition and the quote.
    assert_eq!(reads(Filter::new().instruments([id("C")])), (2, 1));
    assert_eq!(reads(Filter::new().kinds([Kind::ClockBeat])), (1, 1));
    assert_eq!(reads(Filter::new().kinds([Kind::Trade])), (0, 0));
    assert_eq!(reads(Filter::new().kinds([Kind::ClockBeat]).instruments([id("C")])), (0, 0));
    assert_eq!(reads(Filter::new().instruments([])), (0, 0));
    assert_eq!(reads(Filter::new().instruments([InstrumentId(9_999)])).0, 0);
    assert_eq!(reads(Filter::new()).1, pages);
    assert_eq!(reads(Filter::new().kinds([Kind::Quote]).instruments([id("A")])).1, pages);
}

#[test]
fn a_filter_that_lies_is_found() {
    let store = Arc::new(MemoryStore::new());
    append(&on(&store), &session(2, 5_000, 1), &[5_000]);
    let mut summary =
        store.get(keys::SUMMARIES, &Seq(1).to_key()).expect("reads").expect("a page").to_vec();
    let hash = summary.len() - 32;
    summary[hash - 8..hash].fill(0);
    let sealed = *blake3::hash(&summary[..hash]).as_bytes();
    summary[hash..].copy_from_slice(&sealed);
    let mut batch = Batch::default();
    batch.put(keys::SUMMARIES, Seq(1).to_key().to_vec(), summary);
    store.commit(batch, Durability::Disk).expect("commits");
    let report = on(&store).verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert!(report.findings[0].what.contains("which instruments"), "{:?}", report.findings);
}

#[test]
fn a_filtered_read_stops_at_damage() {
    let store = Arc::new(MemoryStore::new());
    append(&on(&store), &session(3, 9_500, 1), &[5_000]);
    let page = store.get(keys::PAGES, &Seq(4_097).to_key()).expect("reads").expect("a page");
    let mut bad = page.to_vec();
    bad[page.len() / 2] ^= 1;
    let mut batch = Batch::default();
    batch.put(keys::PAGES, Seq(4_097).to_key().to_vec(), bad);
    store.commit(batch, Durability::Disk).expect("commits");
    let journal = on(&store);
    let read: Vec<_> = journal.read_matching(Seq::FIRST, Seq::MAX, Filter::new()).collect();
    assert_eq!(read.len(), 2);
    assert!(read[0].is_ok());
    assert!(matches!(
        read[1],
        Err(ReadError::AddressMismatch { .. } | ReadError::Undecodable { .. })
    ));
}

#[test]
fn a_tail_reader_waits_for_what_comes_and_sees_it_once() {
    let journal = Journal::in_memory(Calendar::Utc).expect("opens");
    let total = 30_000u64;
    let mut tail = journal.tail(Seq(3), Duration::from_secs(30));
    let follower = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while tail.position() <= Seq(total) {
            let stretch = tail.next().expect("more comes").expect("reads");
            seen.extend(stretch.events.iter().map(|e| e.recv.0 - OPENING));
        }
        seen
    });
    let drafts: Vec<_> = (1..=total).map(|i| beat(OPENING + i as i64)).collect();
    for part in drafts.chunks(10_001) {
        // Each by another writer.
        append(&journal, part, &[1, 700, 4_096]);
    }
    let seen = follower.join().expect("joins");
    assert!(seen.iter().copied().eq(3..=total as i64));

    let mut idle = journal.tail(Seq(total + 1), Duration::from_millis(1));
    assert!(idle.next().is_none() && idle.next().is_none());
    append(&journal, &[beat(OPENING + total as i64 + 1)], &[1]);
    assert_eq!(idle.next().expect("came").expect("reads").events.len(), 1);
    assert!(idle.next().is_none());
}
