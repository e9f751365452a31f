//! What is on disk, and what opening says when it is not as it should be.

use std::path::Path;

use bytes::Bytes;
use orrery_journal::event::{Body, DraftBody};
use orrery_journal::store::fjall::FjallStore;
use orrery_journal::store::{Batch, Durability, Store, Table};
use orrery_journal::units::{Address, Seq};
use orrery_journal::{
    Calendar, Finding, Journal, OpenError, OpenOptions, ReadError, SyncMode, keys, open_derived,
};

use crate::support::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(dir: &Path) -> Result<Journal, OpenError> {
    Journal::open(dir, &utc())
}

/// A journal with two pages, frames behind them, and all kinds of events.
fn filled(dir: &Path) {
    append(&open(dir).expect("opens"), &session(21, 9_500, 1), &[900]);
}

/// Changes the store behind the journal's back.
fn tamper(dir: &Path, change: impl FnOnce(&FjallStore, &mut Batch)) {
    let store = FjallStore::open(&dir.join("journal/db"), &keys::ALL).expect("opens");
    let mut batch = Batch::default();
    change(&store, &mut batch);
    store.commit(batch, Durability::Disk).expect("commits");
}

/// Flips one bit in the middle of the `nth` value of a table.
fn flip(dir: &Path, table: Table, nth: usize) {
    tamper(dir, |store, batch| {
        let pairs = store.scan(table, &[], &[], false, nth + 1).expect("scans");
        let (key, value) = pairs[nth].clone();
        let mut value = value.to_vec();
        let middle = value.len() / 2;
        value[middle] ^= 0x10;
        batch.put(table, key, value);
    });
}

fn findings(journal: &Journal) -> Vec<Finding> {
    journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies").findings
}

#[test]
fn a_journal_opens_again_with_everything() {
    let dir = folder();
    let journal = open(dir.path()).expect("opens");
    let drafts = session(3, 6_000, 2);
    append(&journal, &drafts, &[1, 800]);
    let expected = (events(&journal), journal.days().expect("days"), pages(&journal));
    drop(journal);
    for sync in [SyncMode::Group, SyncMode::Os] {
        let options = OpenOptions { calendar: None, sync };
        let journal = Journal::open(dir.path(), &options).expect("opens");
        assert_eq!(journal.calendar(), Calendar::Utc);
        verify_clean(&journal);
        assert!(events(&journal)[..expected.0.len()] == expected.0);
        assert_eq!(journal.days().expect("days")[0], expected.1[0]);
        append(&journal, &[beat(OPENING)], &[1]);
    }
    let memory = Journal::in_memory(Calendar::Utc).expect("opens");
    append(&memory, &drafts, &[6_000]);
    assert_eq!(pages(&memory), expected.2, "disk or memory, the same addresses");
}

#[test]
fn a_second_opening_is_refused_and_names_the_holder() {
    let dir = folder();
    let journal = open(dir.path()).expect("opens");
    let refused = open(dir.path()).map(|_| ());
    let Err(OpenError::Locked { holder, .. }) = refused else { panic!("{refused:?}") };
    assert!(holder.starts_with(&format!("pid {} (", std::process::id())), "{holder}");
    assert!(holder.contains(" since 20"), "{holder}");
    drop(journal);
    open(dir.path()).expect("opens once the other is gone");
}

#[test]
fn derived_data_have_their_own_folder() {
    const T: Table = Table { name: "headers", compress: true };
    let dir = folder();
    let _journal = open(dir.path()).expect("opens");
    let put = |value: &'static [u8]| {
        let store = open_derived(dir.path(), &[T]).expect("opens beside the journal");
        let mut batch = Batch::default();
        batch.put(T, Bytes::from_static(b"k"), value);
        batch.delete(T, Bytes::from_static(b"x"));
        store.commit(batch, Durability::Os).expect("commits");
        store.sync().expect("syncs");
        store.get(T, b"k").expect("reads")
    };
    assert_eq!(put(b"1").as_deref(), Some(b"1".as_slice()));
    assert_eq!(put(b"2").as_deref(), Some(b"2".as_slice()));
    assert!(dir.path().join("derived").is_dir());
}

#[test]
fn another_calendar_and_a_newer_format_are_refused() {
    let dir = folder();
    drop(open(dir.path()).expect("opens"));
    let options = OpenOptions { calendar: Some(Calendar::NewYork), sync: SyncMode::Group };
    let refused = Journal::open(dir.path(), &options).map(|_| ());
    assert!(matches!(refused, Err(OpenError::Calendar { .. })), "{refused:?}");

    tamper(dir.path(), |store, batch| {
        let mut meta =
            store.get(keys::META, keys::META_KEY).expect("reads").expect("is there").to_vec();
        meta[8] = 9;
        let hash = Address::of(&meta[..16]);
        meta[16..48].copy_from_slice(&hash.0);
        batch.put(keys::META, keys::META_KEY, meta);
    });
    let refused = open(dir.path()).map(|_| ());
    assert!(
        matches!(refused, Err(OpenError::NewerFormat { found: 9, known: 2, .. })),
        "{refused:?}"
    );
}

#[test]
fn a_damaged_page_is_refused_located_and_everything_else_is_read() {
    let dir = folder();
    filled(dir.path());
    flip(dir.path(), keys::PAGES, 1);
    let journal = open(dir.path()).expect("opening decodes no page");
    let found = findings(&journal);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].first, found[0].last), (Seq(4097), Seq(8192)));
    assert!(found[0].day.is_some());
    let mut read = journal.read(Seq::FIRST, Seq::MAX);
    assert!(read.next().is_some_and(|s| s.is_ok()));
    let bad = read.next().expect("an answer");
    assert!(
        matches!(
            bad,
            Err(ReadError::AddressMismatch { first: Seq(4097), .. }
                | ReadError::Undecodable { first: Seq(4097), .. })
        ),
        "{bad:?}"
    );
    assert!(read.next().is_none(), "nothing after the damage");
    assert_eq!(read_all(&journal, Seq(8193)), journal.head().seq.0 - 8192);
}

#[test]
fn a_long_range_is_what_its_parts_are_up_to_the_damage() {
    let dir = folder();
    append(&open(dir.path()).expect("opens"), &session(31, 60_000, 3), &[2_500]);
    let journal = open(dir.path()).expect("opens");
    let end = journal.head().seq.0;
    let parts = (0..=end / 7_000).flat_map(|n| {
        let from = 100 + n * 7_000;
        read(&journal, Seq(from), Seq((from + 6_999).min(end - 5)))
    });
    let parts: Vec<_> = parts.collect();
    assert!(read(&journal, Seq(100), Seq(end - 5)) == parts, "in order, cut at both ends");
    assert_eq!(parts.len() as u64, end - 5 - 99);
    assert!(read(&journal, Seq(end - 40_000), Seq::MAX).ends_with(&read(
        &journal,
        Seq(end),
        Seq::MAX
    )));
    // Left early: nothing holds the folder.
    let mut left = journal.read(Seq::FIRST, Seq::MAX);
    assert!(left.next().is_some_and(|s| s.is_ok()));
    drop((left, journal));
    flip(dir.path(), keys::PAGES, 6);
    let journal = open(dir.path()).expect("opening decodes no page");
    let damage = findings(&journal)[0].first;
    let read: Vec<_> = journal.read(Seq(50), Seq::MAX).collect();
    assert_eq!(read.len(), 7, "six pages and the error");
    let before: usize = read.iter().flatten().map(|s| s.events.len()).sum();
    assert_eq!(Seq(50 + before as u64), damage);
    assert!(read[6].is_err());
}

fn read_all(journal: &Journal, from: Seq) -> u64 {
    read(journal, from, Seq::MAX).len() as u64
}

#[test]
fn missing_pages_and_blobs_are_found_all_of_them() {
    let dir = folder();
    filled(dir.path());
    let (mut gone, mut changed) = (None, None);
    for event in events(&open(dir.path()).expect("opens")).iter().rev() {
        match event.body {
            Body::News(a) if gone.is_none() => gone = Some(a),
            Body::Control(a) if changed.is_none() && gone.is_some_and(|g| g != a) => {
                changed = Some(a);
            }
            _ => {}
        }
    }
    // The last ones are not in the page that goes.
    let (gone, changed) = (gone.expect("news"), changed.expect("control"));
    tamper(dir.path(), |_, batch| {
        batch.delete(keys::PAGES, Seq(1).to_key().to_vec());
        batch.delete(keys::BLOBS, gone.0.to_vec());
        batch.put(keys::BLOBS, changed.0.to_vec(), Bytes::from_static(b"another"));
        batch.put(keys::PAGES, Seq(9).to_key().to_vec(), Bytes::from_static(b"stranger"));
    });
    let journal = open(dir.path()).expect("opens");
    let found = findings(&journal);
    let says = |text: &str| found.iter().any(|f| f.what.contains(text));
    assert!(says("events 1 to 4096 are missing"), "{found:?}");
    assert!(says(&ReadError::BlobMissing { address: gone }.to_string()), "{found:?}");
    assert!(says(&ReadError::BlobMismatch { address: changed }.to_string()), "{found:?}");
    assert!(says("belongs to no summary"), "{found:?}");
    assert!(matches!(journal.blob(gone), Err(ReadError::BlobMissing { .. })));
    assert!(matches!(journal.blob(changed), Err(ReadError::BlobMismatch { .. })));
}

#[test]
fn damage_beside_the_pages_is_refused_at_opening() {
    for table in [keys::META, keys::SUMMARIES, keys::DEFINITIONS, keys::FRAMES] {
        let dir = folder();
        filled(dir.path());
        flip(dir.path(), table, 0);
        let refused = open(dir.path()).map(|_| ());
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{}: {refused:?}", table.name);
    }
    for table in [keys::META, keys::SUMMARIES, keys::DEFINITIONS, keys::FRAMES] {
        let dir = folder();
        filled(dir.path());
        tamper(dir.path(), |store, batch| {
            let pairs = store.scan(table, &[], &[], false, 1).expect("scans");
            batch.delete(table, pairs[0].0.clone());
        });
        let refused = open(dir.path()).map(|_| ());
        assert!(
            matches!(
                refused,
                Err(OpenError::Damaged { .. }
                    | OpenError::AcknowledgedLoss { .. }
                    | OpenError::Read(ReadError::Missing { .. }))
            ),
            "{}: {refused:?}",
            table.name
        );
    }
}

#[test]
fn loss_of_acknowledged_events_is_never_taken_for_a_crash() {
    let dir = folder();
    let journal = open(dir.path()).expect("opens");
    append(&journal, &session(1, 500, 1), &[100]);
    let end = journal.head().seq;
    append(&journal, &[beat(OPENING)], &[1]);
    drop(journal);
    // The last frame goes, as a torn journal of the engine would take it.
    tamper(dir.path(), |store, batch| {
        let last = store.scan(keys::FRAMES, &[], &[], true, 1).expect("scans");
        batch.delete(keys::FRAMES, last[0].0.clone());
    });
    let refused = open(dir.path()).map(|_| ());
    let lost = end.next();
    assert!(
        matches!(refused, Err(OpenError::AcknowledgedLoss { from, to }) if (from, to) == (lost, lost)),
        "{refused:?}"
    );
    // An emptied database as well.
    std::fs::remove_dir_all(dir.path().join("journal/db")).expect("removes");
    let refused = open(dir.path()).map(|_| ());
    assert!(matches!(refused, Err(OpenError::Corrupt { .. })), "{refused:?}");
    assert!(!dir.path().join("journal/db").exists(), "nothing is begun anew");
}

#[test]
fn another_history_of_the_same_length_is_refused() {
    for events in [300, 5_000] {
        let (one, other) = (folder(), folder());
        for (dir, shift) in [(&one, 0), (&other, 1)] {
            let drafts: Vec<_> = (0..events).map(|i| beat(OPENING + i + shift)).collect();
            append(&open(dir.path()).expect("opens"), &drafts, &[1_000]);
        }
        let head = |dir: &tempfile::TempDir| dir.path().join("journal/HEAD");
        std::fs::copy(head(&other), head(&one)).expect("copies");
        let refused = open(one.path()).map(|_| ());
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{refused:?}");
    }
}

#[test]
fn the_watermark_survives_one_torn_slot_and_nothing_else() {
    let dir = folder();
    let path = dir.path().join("journal/HEAD");
    append(&open(dir.path()).expect("opens"), &session(2, 300, 1), &[50]);
    let good = std::fs::read(&path).expect("reads");
    assert_eq!(good.len(), 8192);

    for slot in 0..2 {
        let mut torn = good.clone();
        torn[slot * 4096 + 40..(slot + 1) * 4096].fill(0xee);
        std::fs::write(&path, &torn).expect("writes");
        open(dir.path()).expect("the other slot is whole");
    }
    let mut both = good.clone();
    both[20] ^= 1;
    both[4096 + 127] ^= 1;
    for bad in [both, good[..5_000].to_vec(), Vec::new()] {
        std::fs::write(&path, &bad).expect("writes");
        let refused = open(dir.path()).map(|_| ());
        assert!(
            matches!(&refused, Err(OpenError::Corrupt { file, .. }) if *file == path),
            "{refused:?}"
        );
    }
    std::fs::remove_file(&path).expect("removes");
    let refused = open(dir.path()).map(|_| ());
    assert!(
        matches!(&refused, Err(OpenError::Corrupt { file, .. }) if *file == path),
        "{refused:?}"
    );
    std::fs::write(&path, &good).expect("writes");
    verify_clean(&open(dir.path()).expect("opens"));

    // Of an empty journal it may be missing: it crashed while being created.
    let empty = folder();
    drop(open(empty.path()).expect("opens"));
    std::fs::remove_file(empty.path().join("journal/HEAD")).expect("removes");
    drop(open(empty.path()).expect("opens"));
    // Or it was created, and what was written to it did not reach the disk.
    std::fs::write(empty.path().join("journal/HEAD"), b"").expect("writes");
    drop(open(empty.path()).expect("opens"));
}

#[test]
fn every_writer_has_a_higher_epoch() {
    let dir = folder();
    let epoch = || {
        let head = std::fs::read(dir.path().join("journal/HEAD")).expect("reads");
        let at = |i: usize| u64::from_le_bytes(head[i..i + 8].try_into().expect("8 bytes"));
        at(16).max(at(4096 + 16))
    };
    for round in 1..4 {
        let journal = open(dir.path()).expect("opens");
        let writer = journal.writer(clock).expect("a writer");
        assert_eq!(epoch(), 2 * round - 1);
        drop(writer);
        append(&journal, &[beat(OPENING)], &[1]);
        assert_eq!(epoch(), 2 * round);
    }
}

/// Addresses are forever. If this fails, the format has changed and with it
/// the address of everything that anybody has ever stored or proven.
#[test]
fn known_events_have_known_addresses() {
    let journal = Journal::in_memory(Calendar::NewYork).expect("opens");
    let quotes: Vec<_> =
        (0..100).map(|i| quote(OPENING + i, "O:SPXW260320C05000000", 100 + i, 105 + i)).collect();
    append(&journal, &quotes, &[7]);
    let body = DraftBody::Chain(Box::new(chain(1)));
    append(&journal, &[draft(OPENING + 86_400 * SECOND, "I:SPX", body)], &[1]);
    let pages = pages(&journal);
    let found: Vec<String> = pages.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["a2a5eb1d1a89a8bc01718ab45789dc576bff3a2c52b421b413e19ddfebaf6a5c"]);
}
