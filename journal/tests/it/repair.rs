//! Damaged journals made whole: from what is here, from a copy, or short of what
//! somebody has given up. The evidence is kept, and nothing is invented.

use std::fs;
use std::path::Path;

use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{
    Loss, LossKind, OpenError, ReadError, RepairError, RepairOptions, Repaired, repair,
};

use crate::damage::*;
use crate::support::*;

fn mend(dir: &Path, options: &RepairOptions) -> Result<Repaired, RepairError> {
    repair(dir, options, &mut |_, _, _| {})
}

fn plain() -> RepairOptions {
    RepairOptions { now: RecvTime(OPENING), ..RepairOptions::default() }
}

fn from(copy: &Path) -> RepairOptions {
    RepairOptions { from: Some(copy.to_owned()), ..plain() }
}

/// Repaired: opens, is clean to everybody, holds these events, takes more, and
/// the damaged database is kept as it was.
fn whole(
    dir: &Path,
    done: &Repaired,
    before: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>,
    events: &[orrery_journal::event::Event],
) {
    let kept = done.kept.as_ref().expect("something was done");
    for (path, bytes) in before {
        let inside = path.strip_prefix(dir.join("journal")).expect("inside");
        assert!(fs::read(kept.join(inside)).expect("kept") == *bytes, "{}", inside.display());
    }
    let found = look(dir);
    assert!(found.is_clean(), "{:#?}", found.report.findings);
    let journal = open(dir).expect("opens");
    assert!(crate::support::events(&journal) == events, "the same events");
    append(&journal, &session(99, 40, 1), &[7]);
    verify_clean(&journal);
}

/// The files of the database and HEAD.
fn evidence(dir: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut all = files(&dir.join("journal"));
    all.retain(|path, _| !path.components().any(|c| c.as_os_str() == "quarantine"));
    all
}

#[test]
fn what_costs_no_event_is_mended_without_a_copy() {
    let (dir, events) = three_days();
    // A summary, a manifest and the engine's mark.
    flip(&tables(dir.path(), 4)[0], 300);
    flip(&dir.path().join("journal/db/keyspaces/6/current"), 3);
    fs::remove_file(dir.path().join("journal/db/version")).expect("removes");
    assert!(!look(dir.path()).is_clean());
    let before = evidence(dir.path());
    let dry = mend(dir.path(), &RepairOptions { dry_run: true, ..plain() }).expect("says");
    assert!(dry.kept.is_none() && dry.missing.is_empty() && evidence(dir.path()) == before);
    let done = mend(dir.path(), &plain()).expect("repaired");
    assert!(done.rebuilt > 0 && done.pages.copy == 0 && done.missing.is_empty());
    whole(dir.path(), &done, &before, &events);
}

#[test]
fn damaged_pages_frames_and_head_come_from_a_copy() {
    let (dir, events) = three_days();
    let copy = copy(dir.path());
    let pages = &tables(dir.path(), 3)[0];
    flip(pages, 300);
    fs::remove_file(&tables(dir.path(), 4)[0]).expect("removes");
    fs::remove_file(&tables(dir.path(), 6)[0]).expect("removes");
    let log = log(dir.path());
    let bytes = fs::read(&log).expect("reads");
    let used = bytes.iter().rposition(|b| *b != 0).expect("not empty");
    fs::write(&log, &bytes[..used - 30_000]).expect("writes");
    fs::remove_file(dir.path().join("journal/HEAD")).expect("removes");
    let before = evidence(dir.path());

    let alone = mend(dir.path(), &plain()).expect_err("HEAD is needed");
    assert!(matches!(alone, RepairError::NoHead), "{alone}");
    let theirs = files(copy.path());
    let done = mend(dir.path(), &from(copy.path())).expect("repaired");
    assert!(done.pages.copy > 0 && done.pages.here > 0 && done.blobs.copy > 0, "{done:?}");
    assert!(files(copy.path()) == theirs, "the copy is only read");
    whole(dir.path(), &done, &before, &events);
}

#[test]
fn a_copy_that_disagrees_or_is_damaged_is_refused() {
    let (dir, _) = three_days();
    let (good, other) = (copy(dir.path()), tempfile::tempdir().expect("a folder"));
    flip(&tables(dir.path(), 3)[0], 300);
    let before = evidence(dir.path());
    commit(&open(other.path()).expect("opens"), &session(77, 6_000, 1), 700);
    let refused = mend(dir.path(), &from(other.path())).expect_err("another history");
    assert!(matches!(refused, RepairError::OtherHistory { at: Seq(1) }), "{refused}");
    let nothing = tempfile::tempdir().expect("a folder");
    let refused = mend(dir.path(), &from(nothing.path())).expect_err("no journal");
    assert!(matches!(refused, RepairError::NoCopy { .. }), "{refused}");
    // A copy with the same damage cannot help.
    flip(&tables(good.path(), 3)[0], 320);
    let refused = mend(dir.path(), &from(good.path())).expect_err("missing in both");
    let RepairError::Missing { missing } = &refused else { panic!("{refused:?}") };
    assert_eq!(missing[0].0, Seq::FIRST);
    assert!(refused.to_string().contains("--accept-loss 1.."), "{refused}");
    let held = open(other.path()).expect("opens");
    let refused = mend(dir.path(), &from(other.path())).expect_err("the copy is in use");
    assert!(matches!(refused, RepairError::Open(OpenError::Locked { .. })), "{refused}");
    drop(held);
    assert!(evidence(dir.path()) == before, "nothing was changed");
}

#[test]
fn a_lost_end_is_accepted_for_exactly_its_range() {
    let (dir, events) = three_days();
    let log = log(dir.path());
    let bytes = fs::read(&log).expect("reads");
    let used = bytes.iter().rposition(|b| *b != 0).expect("not empty");
    fs::write(&log, &bytes[..used - 30_000]).expect("writes");
    let (first, last) = look(dir.path()).lost.expect("lost");
    let before = evidence(dir.path());
    for wrong in [vec![], vec![(first, Seq(last.0 + 1))], vec![(first.next(), last)]] {
        let refused = mend(dir.path(), &RepairOptions { accept: wrong.clone(), ..plain() });
        let refused = refused.expect_err("another range");
        assert!(evidence(dir.path()) == before, "{refused}");
    }
    let accept = RepairOptions { accept: vec![(first, last)], ..plain() };
    let done = mend(dir.path(), &accept).expect("accepted");
    let loss = Loss { kind: LossKind::End, first, last, accepted: RecvTime(OPENING) };
    assert_eq!(done.losses, [loss]);
    assert_eq!(done.head, Seq(first.0 - 1));
    whole(dir.path(), &done, &before, &events[..done.head.0 as usize]);
    assert_eq!(open(dir.path()).expect("opens").losses(), [loss]);
    assert_eq!(look(dir.path()).report.losses, [loss], "remembered for ever");
}

#[test]
fn an_accepted_hole_stays_refused_and_all_around_it_is_read() {
    let (dir, events) = three_days();
    flip(&tables(dir.path(), 3)[0], 300);
    let missing = look(dir.path()).unreadable;
    let (first, last) = missing[0];
    let done = mend(dir.path(), &RepairOptions { accept: missing, ..plain() }).expect("accepted");
    let hole = Loss { kind: LossKind::Hole, first, last, accepted: RecvTime(OPENING) };
    assert_eq!(done.losses, [hole]);
    assert!(look(dir.path()).is_clean());
    let journal = open(dir.path()).expect("opens");
    let refused = journal.read(first, last).next().expect("something").expect_err("refused");
    assert!(matches!(refused, ReadError::Missing { .. }), "{refused}");
    let behind = read(&journal, last.next(), Seq::MAX);
    assert!(behind == events[last.0 as usize..]);
    verify_clean_but(&journal, last.0 - first.0 + 1);
    append(&journal, &session(98, 5_000, 1), &[100]);
    drop(journal);
    assert_eq!(open(dir.path()).expect("opens again").losses(), [hole]);
}

fn verify_clean_but(journal: &orrery_journal::Journal, lost: u64) {
    let report = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert_eq!(report.findings, []);
    assert_eq!(report.events, journal.head().seq.0 - lost);
}

/// A repair that ended before all was built is thrown away by the next one.
#[test]
fn what_an_interrupted_repair_left_is_thrown_away() {
    let (dir, events) = three_days();
    flip(&tables(dir.path(), 4)[0], 300);
    let begun = dir.path().join("journal/repair/db");
    fs::create_dir_all(&begun).expect("creates");
    fs::write(begun.join("0.jnl"), b"half of it").expect("writes");
    let mut before = evidence(dir.path());
    before.retain(|path, _| !path.starts_with(dir.path().join("journal/repair")));
    let done = mend(dir.path(), &plain()).expect("repaired");
    assert!(!dir.path().join("journal/repair").exists());
    whole(dir.path(), &done, &before, &events);
}
