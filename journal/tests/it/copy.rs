//! Copies: equal, incremental, of one moment while the journal is written, and
//! whole wherever they are broken off.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use orrery_journal::store::memory::MemoryStore;
use orrery_journal::store::{Batch, Durability, Store};
use orrery_journal::units::Seq;
use orrery_journal::{
    Calendar, Copied, CopyError, Journal, OpenError, OpenOptions, SyncMode, keys,
};

use crate::support::*;

fn open(dir: &Path) -> Journal {
    Journal::open(dir, &utc()).expect("opens")
}

fn copy(journal: &Journal, to: &Path) -> Result<Copied, CopyError> {
    journal.copy_to(to, &mut |_| ControlFlow::Continue(()))
}

/// The copy opens, is clean, and holds the first events of the journal.
fn check(of: &Journal, at: &Path) -> Seq {
    let copied = open(at);
    verify_clean(&copied);
    let head = copied.head().seq;
    assert_eq!(events(&copied), read(of, Seq::FIRST, head));
    let addresses = pages(&copied);
    assert_eq!(addresses, pages(of)[..addresses.len()]);
    assert_eq!(copied.instruments(), open_names(&copied));
    head
}

/// Every id of the copy has its ticker.
fn open_names(journal: &Journal) -> u32 {
    let ids = 1..=journal.instruments();
    ids.filter(|id| journal.ticker(orrery_journal::units::InstrumentId(*id)).is_some()).count()
        as u32
}

#[test]
fn a_copy_is_equal_and_the_next_one_adds_what_is_new() {
    let (dir, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    let to = to.path().join("copies/first");
    let drafts = session(11, 13_000, 3);
    let journal = open(dir.path());
    append(&journal, &drafts[..9_000], &[700, 33]);
    let first = copy(&journal, &to).expect("copies");
    assert_eq!(first.from, Seq::BEFORE_FIRST);
    assert_eq!(check(&journal, &to), journal.head().seq);
    let whole = pages(&journal).len() as u64;
    assert_eq!(first.pages, whole);
    assert!(whole >= 2 && first.blobs > 0 && first.frames > 0, "{first:?}");

    let none = copy(&journal, &to).expect("copies");
    assert_eq!((none.pages, none.blobs, none.from), (0, 0, journal.head().seq), "{none:?}");
    assert_eq!(check(&journal, &to), journal.head().seq);

    append(&journal, &drafts[9_000..], &[700, 33]);
    let second = copy(&journal, &to).expect("copies");
    assert_eq!(second.pages, pages(&journal).len() as u64 - whole);
    assert!(second.from == first.head && second.bytes < first.bytes, "{second:?}");
    assert_eq!(check(&journal, &to), journal.head().seq);

    // It is an ordinary journal: it goes on by itself, and then is no copy.
    append(&open(&to), &session(1, 10, 1), &[3]);
    assert!(matches!(copy(&journal, &to), Err(CopyError::Ahead { .. })));
    assert_eq!(journal.days().expect("days").len(), 3);
}

#[test]
fn a_journal_is_copied_while_it_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = open(dir.path());
    let to = tempfile::tempdir().expect("a folder");
    let drafts = session(5, 24_000, 2);
    let mut heads = Vec::new();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let writer = journal.writer(clock).expect("a writer");
            for piece in drafts.chunks(12) {
                writer.append(piece.to_vec()).and_then(|t| t.wait()).expect("commits");
            }
        });
        while !writing.is_finished() {
            copy(&journal, to.path()).expect("copies");
            heads.push(check(&journal, to.path()));
        }
    });
    copy(&journal, to.path()).expect("copies");
    assert_eq!(check(&journal, to.path()), journal.head().seq);
    assert!(heads.is_sorted() && heads.iter().any(|h| *h > Seq(4_096)), "{heads:?}");
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("reads").flatten() {
        let (path, name) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy_files(&path, &name),
            false => {
                // A file may go while it is looked at; then it is not there.
                let _ = std::fs::copy(&path, &name);
            }
        }
    }
}

#[test]
fn a_copy_that_breaks_off_is_whole_and_gone_on_with() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = open(dir.path());
    append(&journal, &session(7, 30_000, 2), &[4_096]);
    let whole = pages(&journal).len();
    assert!(whole > 6);
    for stop in [1, 2, whole - 1] {
        let to = tempfile::tempdir().expect("a folder");
        let mut passed = 0;
        let ended = journal.copy_to(to.path(), &mut |_| {
            passed += 1;
            if passed == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(ended, Err(CopyError::Stopped { .. })), "{ended:?}");
        assert!(check(&journal, to.path()) < journal.head().seq);
        assert_eq!(pages(&open(to.path())).len(), stop);
        let rest = copy(&journal, to.path()).expect("goes on");
        assert_eq!(rest.pages as usize, whole - stop);
        assert_eq!(check(&journal, to.path()), journal.head().seq);
    }

    // As a killed process leaves it: the files as they are at any page.
    let (to, dead) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("one"));
    let mut images = Vec::new();
    journal
        .copy_to(to.path(), &mut |at| {
            let image = dead.path().join(at.seq.to_string());
            copy_files(to.path(), &image);
            images.push(image);
            ControlFlow::Continue(())
        })
        .expect("copies");
    for image in images {
        check(&journal, &image);
        copy(&journal, &image).expect("goes on");
        assert_eq!(check(&journal, &image), journal.head().seq);
    }
}

#[test]
fn another_journal_is_refused_and_left_as_it_is() {
    let (dir, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    let journal = open(dir.path());
    append(&journal, &session(7, 6_000, 1), &[500]);
    for (n, seed, lengths) in [(6_000, 8, [500]), (10, 8, [3]), (5_000, 7, [1])] {
        let path = to.path().join(format!("{n}-{seed}"));
        let mut drafts = session(seed, n, 1);
        if seed == 7 {
            // Only the last event, which lies in a frame, is another one.
            drafts.pop();
            drafts.push(beat(drafts[n - 2].recv.expect("a time").0));
        }
        append(&open(&path), &drafts, &lengths);
        let before = events(&open(&path));
        let refused = copy(&journal, &path).expect_err("another journal");
        let CopyError::Diverged { at, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!(*at, if n == 5_000 { Seq(4_097) } else { Seq(1) }, "{refused}");
        assert_eq!(events(&open(&path)), before);
    }
    for inside in [dir.path().to_owned(), dir.path().join("journal/copy")] {
        assert!(matches!(copy(&journal, &inside), Err(CopyError::Inside { .. })));
    }
    assert!(!dir.path().join("journal/copy").exists());
    let above = dir.path().parent().expect("a folder above");
    assert!(matches!(copy(&journal, above), Err(CopyError::Inside { .. })));
    let other = to.path().join("york");
    let york = OpenOptions { calendar: Some(Calendar::NewYork), sync: SyncMode::Group };
    drop(Journal::open(&other, &york).expect("opens"));
    let refused = copy(&journal, &other).expect_err("another calendar");
    assert!(matches!(refused, CopyError::Target(OpenError::Calendar { .. })), "{refused:?}");
    let held = open(&to.path().join("held"));
    let refused = copy(&journal, &to.path().join("held")).expect_err("in use");
    assert!(matches!(refused, CopyError::Target(OpenError::Locked { .. })), "{refused:?}");
    drop(held);
}

#[test]
fn damage_is_not_copied() {
    let to = tempfile::tempdir().expect("a folder");
    let store = Arc::new(MemoryStore::new());
    let journal = on(&store);
    append(&journal, &session(3, 14_000, 1), &[4_096]);
    let key = Seq(4_097).to_key();
    let good = store.get(keys::PAGES, &key).expect("reads").expect("a page");
    let flip = |at: usize| {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        let mut batch = Batch::default();
        batch.put(keys::PAGES, key.to_vec(), bad);
        store.commit(batch, Durability::Os).expect("memory");
    };
    // A bit of the last hash changes no event: it is mended on the way.
    flip(good.len() - 1);
    copy(&journal, to.path()).expect("copies");
    assert_eq!(check(&journal, to.path()), journal.head().seq);

    let to = tempfile::tempdir().expect("a folder");
    flip(good.len() / 2);
    let refused = copy(&journal, to.path()).expect_err("damaged");
    assert!(matches!(refused, CopyError::Source(_)), "{refused:?}");
    let copied = open(to.path());
    verify_clean(&copied);
    assert!(copied.head().seq <= Seq(4_096), "nothing of what is damaged");

    // A blob that is gone.
    flip(0);
    let mut batch = Batch::default();
    batch.put(keys::PAGES, key.to_vec(), good.clone());
    let blobs = store.scan(keys::BLOBS, &[], &[], false, 50).expect("memory");
    batch.delete(keys::BLOBS, blobs[49].0.clone());
    store.commit(batch, Durability::Os).expect("memory");
    let to = tempfile::tempdir().expect("a folder");
    assert!(matches!(copy(&journal, to.path()), Err(CopyError::Source(_))));
    verify_clean(&open(to.path()));
}
