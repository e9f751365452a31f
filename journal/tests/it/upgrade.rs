//! A journal of format 1 opens, says what it always said, and goes on as one of
//! format 2. What stored it then is written out here; nothing else of the
//! format has changed.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::event::Kind;
use orrery_journal::store::fjall::FjallStore;
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::store::{Batch, Durability, Store};
use orrery_journal::units::{InstrumentId, Seq};
use orrery_journal::{Filter, Journal, OpenError, keys};

use crate::support::*;

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes")))
}

fn sealed(mut plain: Vec<u8>) -> Vec<u8> {
    let hash = blake3::hash(&plain);
    plain.extend_from_slice(hash.as_bytes());
    plain
}

/// The summary that format 1 stored for a page, from the one of format 2:
/// version 1, no number of words, no words.
fn summary_1(summary: &[u8]) -> Vec<u8> {
    let lists = u16_at(summary, 80) + u16_at(summary, 82) + u16_at(summary, 84);
    assert_eq!(summary.len(), 88 + 8 * (lists + u16_at(summary, 86)) + 32);
    let mut plain = summary[..88 + 8 * lists].to_vec();
    plain[8..12].copy_from_slice(&1u32.to_le_bytes());
    plain[86..88].fill(0);
    sealed(plain)
}

fn meta_of(format: u32, meta: &[u8]) -> Vec<u8> {
    let mut plain = meta[..16].to_vec();
    plain[8..12].copy_from_slice(&format.to_le_bytes());
    sealed(plain)
}

fn meta(store: &dyn Store) -> Bytes {
    store.get(keys::META, keys::META_KEY).expect("reads").expect("is there")
}

/// Makes what is stored what format 1 would have stored.
fn to_format_1(store: &dyn Store) -> usize {
    let mut batch = Batch::default();
    batch.put(keys::META, keys::META_KEY, meta_of(1, &meta(store)));
    let pairs = store.scan(keys::SUMMARIES, &[], &[], false, 1_000).expect("scans");
    for (key, value) in &pairs {
        batch.put(keys::SUMMARIES, key.clone(), summary_1(value));
    }
    store.commit(batch, Durability::Disk).expect("commits");
    pairs.len()
}

fn format(store: &dyn Store) -> u32 {
    u32::from_le_bytes(meta(store)[8..12].try_into().expect("4 bytes"))
}

#[test]
fn a_journal_of_format_1_opens_and_goes_on_as_format_2() {
    let drafts = session(5, 13_000, 2);
    let (begin, rest) = drafts.split_at(9_500);
    let straight = Arc::new(MemoryStore::new());
    append(&on(&straight), begin, &[700]);
    append(&on(&straight), rest, &[700]);
    let straight = on(&straight);

    let store = Arc::new(MemoryStore::new());
    append(&on(&store), begin, &[700]);
    let expected = events(&on(&store));
    assert!(to_format_1(store.as_ref()) >= 2);
    assert_eq!(format(store.as_ref()), 1);
    let old = store.get(keys::SUMMARIES, &Seq(1).to_key()).expect("reads");

    let journal = on(&store);
    assert_eq!(format(store.as_ref()), 2, "the mark comes before anything new");
    assert!(events(&journal) == expected);
    verify_clean(&journal);
    append(&journal, rest, &[333]);
    verify_clean(&journal);
    assert!(events(&journal) == events(&straight));
    assert_eq!(pages(&journal), pages(&straight), "addresses are forever");
    let still = store.get(keys::SUMMARIES, &Seq(1).to_key()).expect("reads");
    assert_eq!(still, old, "what was written is not written again");
    // Old pages may hold anything, new ones say what they hold.
    for filter in [
        Filter::new().instruments([InstrumentId(3)]),
        Filter::new().kinds([Kind::ChainSnapshot]).instruments([InstrumentId(2)]),
    ] {
        let found = |journal: &Journal| -> Vec<_> {
            let read = journal.read_matching(Seq::FIRST, Seq::MAX, filter.clone());
            read.flat_map(|events| events.expect("reads")).collect()
        };
        assert_eq!(found(&journal), found(&straight));
    }
}

/// Every file below a folder, with what is in it.
fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).expect("lists").flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("reads");
            out.push((path, bytes));
        }
    }
    out.sort();
    out
}

#[test]
fn on_disk_as_in_memory_and_a_newer_one_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = || Journal::open(dir.path(), &utc());
    append(&open().expect("opens"), &session(6, 9_000, 1), &[800]);
    let behind = |change: &dyn Fn(&dyn Store)| {
        let db = dir.path().join("journal/db");
        change(&FjallStore::open(&db, &keys::ALL).expect("opens"));
    };
    let expected = events(&open().expect("opens"));
    behind(&|store| assert_eq!(to_format_1(store), 2));
    let journal = open().expect("format 1 opens");
    assert!(events(&journal) == expected);
    verify_clean(&journal);
    append(&journal, &session(7, 5_000, 1), &[900]);
    drop(journal);
    behind(&|store| assert_eq!(format(store), 2));
    verify_clean(&open().expect("opens again"));

    behind(&|store| {
        let mut batch = Batch::default();
        batch.put(keys::META, keys::META_KEY, meta_of(3, &meta(store)));
        store.commit(batch, Durability::Disk).expect("commits");
    });
    let before = files(&dir.path().join("journal/db/keyspaces"));
    let refused = open().map(|_| ());
    assert!(
        matches!(refused, Err(OpenError::NewerFormat { found: 3, known: 2, .. })),
        "{refused:?}"
    );
    assert!(files(&dir.path().join("journal/db/keyspaces")) == before);
}
