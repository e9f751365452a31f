//! The journal beside a `Vec`: whatever the batching and however often it is
//! opened again, the same events come back, from the same pages.

use std::sync::Arc;

use orrery_journal::event::encode;
use orrery_journal::store::Store;
use orrery_journal::store::fjall::FjallStore;
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::units::Seq;
use orrery_journal::{Journal, keys};
use proptest::prelude::*;

use crate::support::*;

fn canonical(journal: &Journal) -> Vec<u8> {
    let mut out = Vec::new();
    events(journal).iter().for_each(|e| {
        encode(e, &mut out);
    });
    out
}

#[test]
fn every_batching_gives_the_same_pages() {
    let drafts = session(5, 20_000, 2);
    let mut expected = None;
    for lengths in [&[20_000][..], &[1_000], &[4_096], &[1, 7_000], &[333, 4_095, 4_097, 2]] {
        let store = Arc::new(MemoryStore::new());
        let journal = on(&store);
        append(&journal, &drafts, lengths);
        verify_clean(&journal);
        let found = (pages(&journal), canonical(&journal), journal.days().expect("days"));
        let again = on(&store);
        assert_eq!(again.days().expect("days"), found.2, "opened again");
        assert_eq!(again.head(), journal.head());
        assert_eq!(again.sources().expect("sources"), journal.sources().expect("sources"));
        assert_eq!(again.instruments(), journal.instruments());
        match &expected {
            None => expected = Some(found),
            Some(expected) => assert!(*expected == found, "batches of {lengths:?}"),
        }
    }
}

#[test]
fn a_page_takes_a_fifth_of_its_rows() {
    // Random-walk quotes of 2,000 contracts with nanosecond times.
    let mut random = Random(1);
    let mut books: Vec<_> = (0..2_000).map(|_| 100 + random.below(4_000) as i64).collect();
    let mut at = OPENING;
    let drafts: Vec<_> = (0..40_960 - 2_000)
        .map(|i| {
            at += 300 + random.below(100_000) as i64;
            let one = random.below(2_000).min(random.below(2_000)) as usize;
            books[one] = (books[one] + random.below(3) as i64 - 1).max(1);
            let mut draft = quote(at, &format!("O:{one}"), books[one] * 5, books[one] * 5 + 5);
            let late = 180_000 + random.below(120_000) as i64;
            draft.vendor_time = Some(orrery_journal::units::VendorTime(at - late));
            if let orrery_journal::event::DraftBody::Quote { quote, .. } = &mut draft.body {
                quote.vendor_seq = Some(3 * i);
                quote.bid_size = Some(1 + random.below(60) as u32);
            }
            draft
        })
        .collect();
    let store = Arc::new(MemoryStore::new());
    let journal = on(&store);
    append(&journal, &drafts, &[10_000]);
    let stored = store.scan(keys::PAGES, &[], &[], false, 100).expect("scans");
    let last = &stored[stored.len() - 1].1;
    let per_event = last.len() as f64 / 4096.0;
    assert!(per_event < 13.0, "{per_event} bytes an event");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_agrees_with_a_vec(
        seed in any::<u64>(),
        pieces in proptest::collection::vec((1usize..3_000, any::<bool>()), 1..8),
        ranges in proptest::collection::vec((0u64..15_000, 0u64..15_000), 4),
    ) {
        let store = Arc::new(MemoryStore::new());
        let total: usize = pieces.iter().map(|p| p.0).sum();
        let drafts = session(seed, total, 2);
        let whole = Journal::in_memory(orrery_journal::Calendar::Utc).expect("opens");
        append(&whole, &drafts, &[total]);
        let model = events(&whole);

        let mut journal = on(&store);
        let mut rest = drafts.as_slice();
        for (len, reopen) in pieces {
            let (piece, tail) = rest.split_at(len);
            append(&journal, piece, &[len / 3 + 1]);
            rest = tail;
            if reopen {
                journal = on(&store);
            }
        }
        prop_assert_eq!(journal.head().seq.0 as usize, model.len());
        prop_assert!(events(&journal) == model);
        prop_assert_eq!(pages(&journal), pages(&whole));
        for (from, to) in ranges {
            let first = (from.max(1) as usize - 1).min(model.len());
            let last = (to as usize).clamp(first, model.len());
            prop_assert!(read(&journal, Seq(from), Seq(to)) == model[first..last]);
        }
    }
}

#[test]
fn disk_and_memory_behave_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let drafts = session(8, 9_000, 2);
    let memory = Arc::new(MemoryStore::new());
    append(&on(&memory), &drafts, &[700]);
    let path = folder.path().join("db");
    {
        let disk = Arc::new(FjallStore::open(&path, &keys::ALL).expect("opens"));
        append(&on(&disk), &drafts, &[5, 1_000]);
    }
    let disk = Arc::new(FjallStore::open(&path, &keys::ALL).expect("opens again"));
    let (a, b) = (on(&memory), on(&disk));
    verify_clean(&a);
    verify_clean(&b);
    assert!(events(&a) == events(&b));
    for table in [keys::META, keys::PAGES, keys::SUMMARIES, keys::DEFINITIONS, keys::BLOBS] {
        let all = |store: &dyn Store| store.scan(table, &[], &[], false, 1 << 20).expect("scans");
        assert_eq!(all(memory.as_ref()), all(disk.as_ref()), "table {}", table.name);
    }
}
