//! Damaged data directories looked at without opening them: everything that is
//! wrong is found in one go, with its place, and nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use orrery_journal::event::{Draft, Event};
use orrery_journal::units::Seq;
use orrery_journal::{
    DamageKind, Examination, HeadState, Journal, OpenError, RepairOptions, examine, keys, repair,
};

use crate::support::*;

pub fn open(dir: &Path) -> Result<Journal, OpenError> {
    Journal::open(dir, &utc())
}

pub fn look(dir: &Path) -> Examination {
    let before = files(dir);
    let found = examine(dir, None, &mut |_, _, _| {}).expect("the files can be read");
    assert!(files(dir) == before, "looking writes nothing");
    found
}

pub fn commit(journal: &Journal, drafts: &[Draft], at_once: usize) {
    let writer = journal.writer(clock).expect("no other writer");
    for piece in drafts.chunks(at_once) {
        writer.append(piece.to_vec()).and_then(|ticket| ticket.wait()).expect("commits");
    }
    writer.close().expect("nothing is left");
}

/// Moves what is in memory to table files.
pub fn flush(dir: &Path) {
    let database = fjall::Database::builder(dir.join("journal/db")).open().expect("opens");
    for table in keys::ALL {
        let keyspace = database.keyspace(table.name, Default::default).expect("a table");
        keyspace.rotate_memtable_and_wait().expect("flushes");
    }
}

pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(out.insert(path.clone(), fs::read(&path).expect("reads"))),
            }
        }
    }
    out
}

/// Three days: two sealed ones in table files, one in the log only, with an
/// open end. Returns all events.
pub fn three_days() -> (tempfile::TempDir, Vec<Event>) {
    let dir = tempfile::tempdir().expect("a folder");
    let day = |n: i64| {
        let mut drafts = session(n as u64 + 1, 6_000, 1);
        for draft in &mut drafts {
            draft.recv = draft.recv.map(|recv| recv.plus_nanos(n * 86_400 * SECOND));
        }
        drafts
    };
    commit(&open(dir.path()).expect("opens"), &day(0), 700);
    commit(&open(dir.path()).expect("opens"), &day(1), 700);
    flush(dir.path());
    // As after the rotation of the log: what is in tables is nowhere else.
    fs::write(log(dir.path()), b"").expect("writes");
    let journal = open(dir.path()).expect("opens");
    commit(&journal, &day(2), 500);
    let events = events(&journal);
    drop(journal);
    (dir, events)
}

pub fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[at] ^= 0x10;
    fs::write(path, bytes).expect("writes");
}

/// The table files of a keyspace, by its number.
pub fn tables(dir: &Path, keyspace: usize) -> Vec<PathBuf> {
    let folder = dir.join(format!("journal/db/keyspaces/{keyspace}/tables"));
    let mut out: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    out.sort();
    out
}

pub fn log(dir: &Path) -> PathBuf {
    let mut logs: Vec<_> =
        files(dir).into_keys().filter(|p| p.extension().is_some_and(|e| e == "jnl")).collect();
    logs.pop().expect("a log")
}

fn used(path: &Path) -> usize {
    let bytes = fs::read(path).expect("reads");
    bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)
}

#[test]
fn a_whole_journal_is_clean_and_counted() {
    let (dir, events) = three_days();
    let found = look(dir.path());
    assert_eq!(found.report.findings, []);
    assert_eq!(found.end, Seq(events.len() as u64));
    assert!(found.torn.is_none() && found.dirty.is_none() && found.lost.is_none());
    assert!(matches!(found.head, HeadState::Acknowledged { seq, .. } if seq == found.end));
    assert_eq!(found.days.len(), 3);
    let journal = open(dir.path()).expect("opens");
    let opened = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert_eq!(found.report, opened);
    assert!(opened.frames > 0 && opened.pages > 4 && opened.blobs > 10);

    // While it is open, nobody looks behind its back.
    let busy = examine(dir.path(), None, &mut |_, _, _| {}).map(|_| ()).expect_err("in use");
    assert!(matches!(busy, OpenError::Locked { .. }), "{busy}");
}

#[test]
fn one_day_can_be_checked_alone() {
    let (dir, _) = three_days();
    let all = look(dir.path());
    let day = all.days[1];
    let one = examine(dir.path(), Some(day), &mut |_, _, _| {}).expect("reads");
    assert!(one.is_clean() && one.report.events > 5_900);
    assert!(one.report.events < all.report.events / 2);
    flip(&tables(dir.path(), 3)[0], 300);
    let one = examine(dir.path(), Some(day), &mut |_, _, _| {}).expect("reads");
    assert!(!one.is_clean(), "damaged files are told of, whatever the day");
}

/// Damage everywhere at once: each place is named, and what lies behind it is
/// still looked at.
#[test]
fn all_findings_are_told_not_only_the_first() {
    let (dir, events) = three_days();
    let pages = &tables(dir.path(), 3)[0];
    let log = log(dir.path());
    let (middle, early) = (used(&log) / 2, used(&log) / 4);
    flip(pages, 300);
    flip(pages, fs::metadata(pages).expect("a file").len() as usize * 2 / 3);
    flip(&log, early);
    flip(&log, middle);
    let head = dir.path().join("journal/HEAD");
    flip(&head, 40);
    flip(&head, 4096 + 40);
    let manifest = dir.path().join("journal/db/keyspaces/5/current");
    fs::remove_file(&manifest).expect("removes");

    let refused = open(dir.path()).map(|_| ()).expect_err("refused");
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
    let found = look(dir.path());
    let told = |kind: DamageKind, file: &Path| {
        let findings = found.report.findings.iter();
        findings.filter(|f| f.kind == kind && f.file.as_deref() == Some(file)).count()
    };
    let all = format!("{:#?}", found.report.findings);
    assert_eq!(told(DamageKind::Bytes, pages), 2, "{all}");
    assert_eq!(told(DamageKind::Page, pages), 2, "{all}");
    assert_eq!(told(DamageKind::Bytes, &log), 2, "{all}");
    assert_eq!(told(DamageKind::Head, &head), 1, "{all}");
    assert_eq!(told(DamageKind::File, &manifest), 1, "{all}");
    for finding in found.report.findings.iter().filter(|f| f.file.as_ref() == Some(&log)) {
        let near = [early, middle].iter().any(|at| finding.offset.abs_diff(*at as u64) < 60_000);
        assert!(near, "{finding:?}");
    }
    // Two pages and what the two batches of the log held cannot be read; all
    // the rest was.
    let unreadable: u64 = found.unreadable.iter().map(|(a, b)| b.0 - a.0 + 1).sum();
    assert!(found.unreadable.len() >= 2, "{:?}", found.unreadable);
    assert_eq!(found.report.events + unreadable, events.len() as u64, "{all}");
    for (first, last) in &found.unreadable {
        let located = found.report.findings.iter().any(|f| f.first <= *first && *last <= f.last);
        assert!(located, "{first} to {last}: {all}");
    }
}

/// One flipped bit anywhere: found, in its file, or it changes nothing.
#[test]
fn flips_in_all_kinds_of_files_are_found_in_their_file() {
    let (dir, events) = three_days();
    let clean = look(dir.path());
    let days = open(dir.path()).expect("opens").days().expect("days");
    let pages = tables(dir.path(), 3);
    let mut random = Random(7);
    let (mut flips, mut found_in_place, mut torn, mut dated) = (0, 0, 0, 0);
    for path in files(&dir.path().join("journal")).into_keys() {
        let used = used(&path);
        for _ in 0..(if used > 200_000 { 12 } else { 4 }).min(used) {
            let at = random.below(used as u64) as usize;
            let good = fs::read(&path).expect("reads");
            let mut bad = good.clone();
            bad[at] ^= 1 << random.below(8);
            fs::write(&path, &bad).expect("writes");
            let found = look(dir.path());
            flips += 1;
            // A flipped `current` names a manifest that is not there.
            let here = |f: &&orrery_journal::Finding| {
                f.file.as_ref().is_some_and(|file| {
                    *file == path || path.ends_with("current") && file.parent() == path.parent()
                })
            };
            let places = found.report.findings.iter().filter(here).count();
            // Of a page its summary still tells the day.
            for f in found.report.findings.iter().filter(|_| pages.contains(&path)).filter(here) {
                let of = days.iter().find(|day| day.first <= f.first && f.last <= day.last);
                assert!(f.day == of.map(|day| day.day) || of.is_none(), "{f:?}");
                dated += usize::from(f.day.is_some());
            }
            if found.torn.is_some() {
                // The last batch: HEAD says whether that costs anything.
                torn += 1;
            } else if places > 0 {
                found_in_place += 1;
            } else {
                // An old manifest, or one of the two slots of HEAD.
                assert!(found.is_clean(), "{} at {at}: {found:#?}", path.display());
                assert_eq!(found.report, clean.report);
                assert_eq!(found.report.events, events.len() as u64);
            }
            fs::write(&path, &good).expect("writes");
        }
    }
    assert!(flips > 100 && dated > 3, "{flips} flips, {dated} with their day");
    assert!(found_in_place * 10 > flips * 6, "{found_in_place} of {flips}, {torn} torn");
}

#[test]
fn a_missing_table_is_told_with_its_events() {
    let (dir, _) = three_days();
    let pages = tables(dir.path(), 3);
    fs::remove_file(&pages[0]).expect("removes");
    let found = look(dir.path());
    assert!(found.report.findings.iter().any(|f| f.file.as_ref() == Some(&pages[0])));
    // The summaries still say which events those were.
    assert_eq!(found.unreadable.len(), 1);
    assert_eq!(found.unreadable[0].0, Seq::FIRST);
    let told = found.report.findings.iter().filter(|f| f.kind == DamageKind::Page).count();
    assert!(told >= 3, "{told}");
    assert!(found.report.findings.iter().all(|f| f.kind != DamageKind::Page || f.day.is_some()));
}

#[test]
fn lost_acknowledged_events_are_told() {
    let (dir, events) = three_days();
    let log = log(dir.path());
    let keep = used(&log) * 9 / 10;
    let file = fs::File::options().write(true).open(&log).expect("opens");
    file.set_len(keep as u64).expect("cuts");
    let found = look(dir.path());
    let (from, to) = found.lost.expect("events are gone");
    assert_eq!((from, to.0), (found.end.next(), events.len() as u64));
    assert!(found.torn.is_some(), "and the end is torn");
    let refused = open(dir.path()).map(|_| ()).expect_err("refused");
    let same =
        matches!(refused, OpenError::AcknowledgedLoss { from: a, to: b } if (a, b) == (from, to));
    assert!(same, "{refused}");

    fs::remove_dir_all(dir.path().join("journal/db")).expect("removes");
    assert_eq!(look(dir.path()).lost, Some((Seq::FIRST, to)));
}

#[test]
fn what_is_not_there_or_new_is_not_damaged() {
    let dir = tempfile::tempdir().expect("a folder");
    assert!(!look(dir.path()).exists);
    drop(open(dir.path()).expect("opens"));
    let found = look(dir.path());
    assert!(found.exists && found.is_clean() && found.end == Seq::BEFORE_FIRST, "{found:#?}");
}
pub fn copy(dir: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a folder");
    copy_into(dir, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy_into(&path, &target),
            false => drop(fs::copy(&path, &target).expect("copies")),
        }
    }
}

/// What a crash leaves of the last write, before anybody was told of it: looking
/// sees the journal that the next opening makes of it, and no part of that
/// write, wherever it broke off.
#[test]
fn a_write_that_was_cut_short_is_no_part_of_what_is_looked_at() {
    let dir = tempfile::tempdir().expect("a folder");
    let drafts = session(11, 4_300, 1);
    let (before, last) = drafts.split_at(3_700);
    commit(&open(dir.path()).expect("opens"), before, 500);
    let log = log_of(dir.path());
    let used = |bytes: &[u8]| bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let from = used(&fs::read(&log).expect("reads"));
    let head = fs::read(dir.path().join("journal/HEAD")).expect("reads");
    // One write, with blobs, that completes a page.
    commit(&open(dir.path()).expect("opens"), last, last.len());
    let whole = fs::read(&log).expect("reads");
    let to = used(&whole);
    assert_eq!(look(dir.path()).report.pages, 1);
    fs::write(dir.path().join("journal/HEAD"), &head).expect("writes");

    let mut met = 0;
    for cut in (from + 1..to).step_by(1_021).chain([to - 1]) {
        let mut torn = whole[..cut].to_vec();
        torn.resize(whole.len(), 0);
        fs::write(&log, &torn).expect("writes");
        let found = look(dir.path());
        assert!(found.is_clean(), "cut at {cut}: {:?}", found.report.findings.first());
        assert!(found.torn.is_some(), "cut at {cut}");
        assert_eq!(found.report.pages, 0, "cut at {cut}");
        let plan = RepairOptions { dry_run: true, ..RepairOptions::default() };
        let repaired = repair(dir.path(), &plan, &mut |_, _, _| {}).expect("nothing is missing");
        assert_eq!(repaired.head, found.end, "cut at {cut}");
        met = found.end.0;
    }
    let journal = open(dir.path()).expect("a crash is not damage");
    assert_eq!(journal.head().seq.0, met);
    verify_clean(&journal);
}

fn log_of(dir: &Path) -> PathBuf {
    let mut logs = files(&dir.join("journal/db")).into_keys();
    logs.find(|path| path.extension().is_some_and(|e| e == "jnl")).expect("a log")
}
