//! Files are looked at before the engine opens them: what is damaged is
//! refused with its place and stays as it is, what a crash left is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use orrery_journal::event::{Draft, Event};
use orrery_journal::preflight::{Report, Verdict, inspect};
use orrery_journal::units::Seq;
use orrery_journal::{Journal, OpenError, keys};

use crate::support::*;

/// More than any batch of these tests weighs.
const NEAR: u64 = 4_000;

fn open(dir: &Path) -> Result<Journal, OpenError> {
    Journal::open(dir, &utc())
}

fn look(dir: &Path) -> Report {
    inspect(&dir.join("journal")).expect("the files can be read")
}

/// Appends in small commits, one after another.
fn commit(journal: &Journal, drafts: &[Draft]) {
    let writer = journal.writer(clock).expect("no other writer");
    for piece in drafts.chunks(4) {
        writer.append(piece.to_vec()).and_then(|ticket| ticket.wait()).expect("commits");
    }
    writer.close().expect("nothing is left");
}

/// Moves what is in memory to table files.
fn flush(dir: &Path) {
    let database = fjall::Database::builder(dir.join("journal/db")).open().expect("opens");
    for table in keys::ALL {
        let keyspace = database.keyspace(table.name, Default::default).expect("a table");
        keyspace.rotate_memtable_and_wait().expect("flushes");
    }
}

/// A journal with some events in table files and some in the log only; its
/// events, and `HEAD` as it was before the last commit.
fn filled() -> (tempfile::TempDir, Vec<Event>, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a folder");
    let drafts = session(5, 400, 1);
    commit(&open(dir.path()).expect("opens"), &drafts[..150]);
    flush(dir.path());
    commit(&open(dir.path()).expect("opens"), &drafts[150..]);
    let head = fs::read(dir.path().join("journal/HEAD")).expect("reads");
    let journal = open(dir.path()).expect("opens");
    commit(&journal, &session(6, 4, 1));
    let events = events(&journal);
    drop(journal);
    (dir, events, head)
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("reads");
                out.insert(path.strip_prefix(dir).expect("inside").to_owned(), bytes);
            }
        }
    }
    out
}

fn copy(dir: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a folder");
    for (path, bytes) in files(dir) {
        let path = to.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
        fs::write(path, bytes).expect("writes");
    }
    // Empty folders count as well.
    for keyspace in fs::read_dir(dir.join("journal/db/keyspaces")).expect("keyspaces") {
        let name = keyspace.expect("an entry").file_name();
        let keyspace = to.path().join("journal/db/keyspaces").join(name);
        fs::create_dir_all(keyspace.join("tables")).expect("creates");
    }
    to
}

/// The one log there is.
fn log(dir: &Path) -> PathBuf {
    let mut logs = files(dir).into_keys().filter(|p| p.extension().is_some_and(|e| e == "jnl"));
    let log = logs.next().expect("a log");
    assert_eq!(logs.next(), None);
    dir.join(log)
}

/// The length without the zeros behind.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)
}

/// Opening is refused and changes nothing.
fn refused(dir: &Path) -> OpenError {
    let before = files(&dir.join("journal"));
    let refused = open(dir).map(|_| ()).expect_err("refused");
    assert!(files(&dir.join("journal")) == before, "nothing was written: {refused}");
    refused
}

#[test]
fn every_flipped_bit_of_the_log_is_noticed_or_harmless() {
    let (dir, events, _) = filled();
    let path = log(dir.path());
    let mut bytes = fs::read(&path).expect("reads");
    bytes.truncate(used(&bytes));
    let used = bytes.len();
    bytes.resize(used + 3_000, 0);
    fs::write(&path, &bytes).expect("writes");
    assert_eq!(look(dir.path()).verdict, Verdict::Clean, "zeros behind the last batch");

    let file = fs::File::options().write(true).open(&path).expect("opens");
    let put = |at: usize, byte: u8| {
        std::os::unix::fs::FileExt::write_all_at(&file, &[byte], at as u64).expect("writes");
    };
    let places = (0..used).step_by((used / 3_200).max(1)).chain((used - 700..used).step_by(3));
    let mut random = Random(1);
    let (mut flips, mut torn, mut harmless) = (0, 0, 0);
    for at in places.chain((used..bytes.len()).step_by(97)) {
        let bit = 1 << random.below(8);
        put(at, bytes[at] ^ bit);
        let report = look(dir.path());
        flips += 1;
        match report.verdict {
            Verdict::Corrupt { file, offset, last_good, .. } => {
                assert_eq!(file, path);
                assert!(offset.abs_diff(at as u64) < NEAR, "flip at {at} reported at {offset}");
                assert!(last_good < report.acknowledged, "the damage costs events");
            }
            Verdict::TornTail { file, offset, .. } => {
                torn += 1;
                assert_eq!(file, path);
                assert!(offset.abs_diff(at as u64) < NEAR);
                // Behind the last batch nothing is lost by cutting it.
                assert_eq!(report.last < report.acknowledged, at < used, "flip at {at}");
            }
            Verdict::Clean => {
                harmless += 1;
                let copy = copy(dir.path());
                if let Ok(journal) = open(copy.path()) {
                    assert!(crate::support::events(&journal) == events, "silent loss at {at}");
                }
            }
        }
        put(at, bytes[at]);
    }
    assert!(flips >= 3_000, "{flips}");
    assert!(torn > 20 && harmless < 20, "{torn} torn, {harmless} harmless of {flips}");
    assert_eq!(look(dir.path()).verdict, Verdict::Clean);
}

#[test]
fn damage_in_the_log_is_refused_untouched() {
    let (dir, _, _) = filled();
    let path = log(dir.path());
    let mut bytes = fs::read(&path).expect("reads");
    let middle = used(&bytes) / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("writes");
    let refused = refused(dir.path());
    let OpenError::Corrupt { file, offset, last_good: Some(last), .. } = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(*file, path);
    assert!(offset.abs_diff(middle as u64) < NEAR && *last > Seq::BEFORE_FIRST);
    let text = refused.to_string();
    assert!(text.contains(&format!("at byte {offset}")) && text.contains("from a copy"), "{text}");
}

#[test]
fn no_truncation_loses_acknowledged_events_in_silence() {
    let (dir, _, _) = filled();
    let path = log(dir.path());
    let bytes = fs::read(&path).expect("reads");
    let used = used(&bytes);
    let mut torn = 0;
    for len in (used - 4_096..used).rev() {
        let file = fs::File::options().write(true).open(&path).expect("opens");
        file.set_len(len as u64).expect("cuts");
        let report = look(dir.path());
        match report.verdict {
            Verdict::Clean => {}
            Verdict::TornTail { offset, bytes, .. } => {
                torn += 1;
                assert!(offset + bytes <= len as u64);
            }
            Verdict::Corrupt { what, .. } => panic!("cut at {len}: {what}"),
        }
        assert!(report.last < report.acknowledged, "cut at {len}");
        if len % 64 == 0 {
            let refused = refused(dir.path());
            let lost = matches!(refused, OpenError::AcknowledgedLoss { to, .. }
                if Some(to) == report.acknowledged);
            assert!(lost, "cut at {len}: {refused}");
        }
    }
    assert!(torn > 3_500, "{torn}");
}

/// A crash in the last commit, before `HEAD` names it: the journal opens with
/// everything before, and what was cut off is kept.
#[test]
fn an_unfinished_commit_is_kept_aside_and_cut_off() {
    let (dir, all, head) = filled();
    let path = log(dir.path());
    let bytes = fs::read(&path).expect("reads");
    let used = used(&bytes);
    for cut in [used - 1, used - 13, used - 100] {
        let copy = copy(dir.path());
        let path = log(copy.path());
        let mut torn = bytes[..cut].to_vec();
        let end = self::used(&torn);
        torn.resize(used + 10_000, 0);
        fs::write(&path, &torn).expect("writes");
        fs::write(copy.path().join("journal/HEAD"), &head).expect("writes");
        let journal = open(copy.path()).expect("a crash is not damage");
        let found = events(&journal);
        assert!(!found.is_empty() && found.len() < all.len() && found == all[..found.len()]);
        let kept = copy.path().join("journal/quarantine").join(format!("0-{end}-1.jnl"));
        assert!(fs::read(kept).expect("kept") == torn[..end]);
        append(&journal, &session(7, 20, 1), &[3]);
        verify_clean(&journal);
        drop(journal);
        assert_eq!(look(copy.path()).verdict, Verdict::Clean);
        verify_clean(&open(copy.path()).expect("opens"));
    }
}

#[test]
fn damaged_or_missing_files_are_refused_before_anything_is_opened() {
    let (dir, _, _) = filled();
    let paths: Vec<PathBuf> = files(dir.path()).into_keys().collect();
    let (mut tables, mut manifests, mut marks) = (0, 0, 0);
    for path in paths {
        let inside = path.strip_prefix("journal/db").unwrap_or(Path::new(""));
        let name = inside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let table = inside.components().any(|c| c.as_os_str() == "tables");
        let keyspace = inside.starts_with("keyspaces");
        let manifest = keyspace && !table && name.starts_with('v');
        let mark = name == "current" || name == "version";
        if !table && !manifest && !mark {
            continue;
        }
        tables += usize::from(table);
        manifests += usize::from(manifest);
        marks += usize::from(mark);
        let copy = copy(dir.path());
        let path = copy.path().join(path);
        let good = fs::read(&path).expect("reads");
        // An old manifest that is not the current one may look as it likes.
        fs::remove_file(&path).expect("removes");
        let stale = manifest && look(copy.path()).verdict == Verdict::Clean;
        if stale {
            continue;
        }
        let refused = refused(copy.path());
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
        for at in (0..good.len()).step_by((good.len() / 24).max(1)) {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            fs::write(&path, &bad).expect("writes");
            let verdict = look(copy.path()).verdict;
            assert!(matches!(verdict, Verdict::Corrupt { .. }), "{} at {at}", path.display());
        }
        let refused = self::refused(copy.path());
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
        fs::write(&path, &good).expect("writes");
        drop(open(copy.path()).expect("whole again"));
    }
    assert!(tables >= 5 && manifests >= 7 && marks == 8, "{tables} {manifests} {marks}");

    let copy = copy(dir.path());
    fs::remove_file(log(copy.path())).expect("removes");
    assert!(matches!(refused(copy.path()), OpenError::Corrupt { .. }));
}

#[test]
fn good_journals_raise_no_alarm() {
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(look(dir.path()).verdict, Verdict::Clean, "nothing there yet");
    for round in 0..5 {
        let journal = open(dir.path()).expect("opens");
        append(&journal, &session(round, 900, 1), &[7, 100]);
        let head = journal.head().seq;
        drop(journal);
        let report = look(dir.path());
        assert_eq!(report.verdict, Verdict::Clean, "round {round}");
        assert_eq!((report.last, report.acknowledged), (Some(head), Some(head)));
        if round % 2 == 1 {
            flush(dir.path());
            assert_eq!(look(dir.path()).verdict, Verdict::Clean, "flushed in round {round}");
        }
    }
    verify_clean(&open(dir.path()).expect("opens"));
}

/// A database that crashed while being created has nothing to lose.
#[test]
fn a_half_created_journal_opens() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()).expect("opens"));
    fs::remove_file(dir.path().join("journal/HEAD")).expect("removes");
    fs::remove_file(dir.path().join("journal/db/keyspaces/6/current")).expect("removes");
    drop(open(dir.path()).expect("opens"));
}

#[test]
fn a_dirty_journal_is_written_anew_and_then_clean() {
    let (dir, events, _) = filled();
    let mark = dir.path().join("journal/DIRTY");
    fs::write(&mark, "the disk was full\n").expect("writes");
    let before = fs::metadata(log(dir.path())).expect("a log");
    let journal = open(dir.path()).expect("opens");
    assert!(crate::support::events(&journal) == events);
    assert!(!mark.exists(), "everything is on disk");
    let after = fs::metadata(log(dir.path())).expect("a log");
    use std::os::unix::fs::MetadataExt;
    assert_ne!(before.ino(), after.ino(), "other pages than those that failed");
    drop(journal);

    // While it cannot be opened, the mark stays.
    fs::write(&mark, "again\n").expect("writes");
    let path = log(dir.path());
    let mut bytes = fs::read(&path).expect("reads");
    bytes[40] ^= 1;
    fs::write(&path, &bytes).expect("writes");
    refused(dir.path());
    assert!(mark.exists());
}
