//! What was dropped is no damage; what is damaged beside it is found and mended.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use orrery_journal::event::Event;
use orrery_journal::store::Table;
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_journal::{
    Cut, DamageKind, Journal, RepairError, RepairOptions, Repaired, holes, keys, repair,
};
use tempfile::TempDir;

use super::{check, drop_before, open};
use crate::damage::{flush, log, look};
use crate::support::*;

/// A journal whose first two days were dropped, with nothing of them left in
/// old files; a copy from before, one from after; all events.
struct Scene {
    dir: TempDir,
    before: TempDir,
    after: TempDir,
    events: Vec<Event>,
    cut: Cut,
    /// Pages that were dropped, by their first event.
    gone: Vec<Seq>,
    /// Pages that were not.
    kept: Vec<Seq>,
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn copy(journal: &Journal, to: &Path) {
    journal.copy_to(to, &mut |_| ControlFlow::Continue(())).expect("copies");
}

/// The first events of all pages that are stored.
fn stored_pages(dir: &Path) -> Vec<Seq> {
    let database = fjall::Database::builder(dir.join("journal/db")).open().expect("opens");
    let pages = database.keyspace(keys::PAGES.name, Default::default).expect("a table");
    let key = |guard: fjall::Guard| guard.key().expect("reads");
    pages.iter().map(|item| Seq::from_key(&key(item)).expect("a seq")).collect()
}

fn scene() -> Scene {
    let (dir, before, after) = (folder(), folder(), folder());
    let journal = open(dir.path());
    append(&journal, &session(21, 12_000, 5), &[800]);
    let events = events(&journal);
    copy(&journal, before.path());
    drop_before(&journal, 2).expect("drops");
    copy(&journal, after.path());
    let cut = journal.cut().expect("a cut");
    drop(journal);
    settle(dir.path());
    let kept = stored_pages(dir.path());
    let all = stored_pages(before.path());
    let gone: Vec<Seq> = all.into_iter().filter(|first| cut.covers(*first)).collect();
    assert!(gone.len() >= 2 && kept.len() >= 2 && !kept.contains(&gone[0]), "{gone:?} {kept:?}");
    Scene { dir, before, after, events, cut, gone, kept }
}

/// Everything in tables, and nothing but what the engine shows.
fn settle(dir: &Path) {
    open(dir).compact().expect("compacts");
    flush(dir);
    fs::write(log(dir), b"").expect("writes");
}

/// Sets or removes a key behind the journal's back.
fn put(dir: &Path, table: Table, key: &[u8], value: Option<&[u8]>) {
    let database = fjall::Database::builder(dir.join("journal/db")).open().expect("opens");
    let keyspace = database.keyspace(table.name, Default::default).expect("a table");
    match value {
        Some(value) => keyspace.insert(key, value).expect("sets"),
        None => keyspace.remove(key).expect("removes"),
    }
    drop((keyspace, database));
    flush(dir);
    let database = fjall::Database::builder(dir.join("journal/db")).open().expect("opens");
    let keyspace = database.keyspace(table.name, Default::default).expect("a table");
    keyspace.major_compact().expect("compacts");
    drop((keyspace, database));
    fs::write(log(dir), b"").expect("writes");
}

fn mend(dir: &Path, from: Option<&Path>, accept: &[(Seq, Seq)]) -> Result<Repaired, RepairError> {
    let from = from.map(Path::to_owned);
    let accept = accept.to_vec();
    let now = RecvTime(OPENING);
    repair(dir, &RepairOptions { from, accept, dry_run: false, now }, &mut |_, _, _| {})
}

fn would(dir: &Path, from: Option<&Path>) -> Repaired {
    let options =
        RepairOptions { from: from.map(Path::to_owned), dry_run: true, ..RepairOptions::default() };
    repair(dir, &options, &mut |_, _, _| {}).expect("says")
}

/// What is left is whole, and nothing that was dropped has come back.
fn settled(scene: &Scene) {
    let found = look(scene.dir.path());
    assert_eq!(found.report.findings, []);
    assert_eq!(found.report.dropped, scene.cut.last.0);
    let journal = open(scene.dir.path());
    assert_eq!(journal.cut(), Some(scene.cut));
    check(&journal, &scene.events);
    drop(journal);
    assert_eq!(stored_pages(scene.dir.path()), scene.kept);
}

#[test]
fn a_journal_with_a_cut_is_clean_and_there_is_nothing_to_repair() {
    let scene = scene();
    let found = look(scene.dir.path());
    assert_eq!(found.report.findings, []);
    assert!(found.is_clean() && found.unreadable.is_empty() && found.lost.is_none());
    assert_eq!(holes(&found.report.losses), []);
    let journal = open(scene.dir.path());
    let opened = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert_eq!(found.report, opened);
    // Nor is it damage at rest.
    let scrub = journal.scrub(u64::MAX).expect("starts");
    while scrub.state().rounds == 0 {
        std::thread::yield_now();
    }
    assert_eq!(scrub.state().findings, []);
    drop((scrub, journal));
    let copies = [None, Some(scene.before.path()), Some(scene.after.path())];
    for from in copies {
        let dry = would(scene.dir.path(), from);
        assert_eq!((&dry.missing[..], dry.rebuilt, dry.pages.copy), (&[][..], 0, 0), "{dry:?}");
        assert_eq!((dry.blobs.copy, dry.pages.here), (0, scene.kept.len() as u64), "{dry:?}");
    }
    // Done all the same, it makes the same journal, also with a copy that still
    // has what was dropped.
    for from in copies {
        mend(scene.dir.path(), from, &[]).expect("repaired");
        settled(&scene);
    }
    // A day that is gone has no event to look at.
    let day = scene.events.first().map(|_| super::day(0));
    let of_day = orrery_journal::examine(scene.dir.path(), day, &mut |_, _, _| {}).expect("looks");
    assert_eq!((of_day.report.findings, of_day.report.events), (Vec::new(), 0));
}

#[test]
fn a_page_that_was_not_dropped_is_still_missed() {
    let scene = scene();
    let (dir, first) = (scene.dir.path(), scene.kept[1]);
    put(dir, keys::PAGES, &first.to_key(), None);
    let found = look(dir);
    let what: Vec<_> = found.report.findings.iter().map(|f| (f.kind, f.first)).collect();
    assert_eq!(what, [(DamageKind::Page, first)]);
    assert_eq!(found.report.dropped, scene.cut.last.0);
    assert!(found.unreadable[0].0 == first && would(dir, None).missing[0].0 == first);
    assert!(matches!(mend(dir, None, &[]), Err(RepairError::Missing { .. })));
    let done = mend(dir, Some(scene.before.path()), &[]).expect("repaired");
    assert_eq!(done.pages.copy, 1);
    settled(&scene);
    // Given up, it is a hole behind the cut.
    put(dir, keys::PAGES, &first.to_key(), None);
    let lost = would(dir, None).missing;
    mend(dir, None, &lost).expect("repaired");
    let found = look(dir);
    assert!(found.is_clean(), "{:?}", found.report.findings);
    assert_eq!(found.report.dropped, scene.cut.last.0);
    assert_eq!(open(dir).cut(), Some(scene.cut));
}

#[test]
fn what_stays_of_a_dropped_page_is_looked_at_and_mended() {
    let scene = scene();
    let dir = scene.dir.path();
    for (table, copy) in [(keys::DEFINITIONS, &scene.before), (keys::SUMMARIES, &scene.after)] {
        let first = scene.gone[0];
        put(dir, table, &first.to_key(), None);
        let found = look(dir);
        assert!(found.report.findings.iter().any(|f| f.first == first), "{}", table.name);
        mend(dir, Some(copy.path()), &[]).expect("repaired");
        settled(&scene);
    }
}

#[test]
fn the_record_and_the_state_are_looked_at_and_mended() {
    let scene = scene();
    let dir = scene.dir.path();
    let record = {
        let database = fjall::Database::builder(dir.join("journal/db")).open().expect("opens");
        let meta = database.keyspace(keys::META.name, Default::default).expect("a table");
        meta.get(keys::CUT_KEY).expect("reads").expect("a record").to_vec()
    };
    let told = |bytes: &[u8]| -> Vec<String> {
        put(dir, keys::META, keys::CUT_KEY, Some(bytes));
        look(dir).report.findings.into_iter().map(|f| f.what).collect()
    };
    // Another bit; another story, well told; the end of no page.
    let mut bad = record.clone();
    bad[20] ^= 1;
    assert!(told(&bad).iter().any(|w| w.contains("record of what retention dropped")));
    let again = |at: usize| {
        let mut other = record[..128].to_vec();
        other[at] ^= 1;
        other.extend_from_slice(blake3::hash(&other).as_bytes());
        other
    };
    assert!(told(&again(12)).iter().any(|w| w.contains("not what a control event says")));
    assert!(told(&again(16)).iter().any(|w| w.contains("names no page's end")));
    // Without any, the pages are missing; a copy from after knows why.
    put(dir, keys::META, keys::CUT_KEY, None);
    let found = look(dir);
    assert_eq!((found.report.findings.len(), found.report.dropped), (scene.gone.len(), 0));
    assert!(matches!(mend(dir, None, &[]), Err(RepairError::Missing { .. })));
    mend(dir, Some(scene.after.path()), &[]).expect("repaired");
    settled(&scene);

    put(dir, keys::BLOBS, &scene.cut.state.0, None);
    let found = look(dir);
    let what: Vec<_> = found.report.findings.iter().map(|f| f.kind).collect();
    assert_eq!(what, [DamageKind::Blob], "{:?}", found.report.findings);
    mend(dir, Some(scene.after.path()), &[]).expect("repaired");
    settled(&scene);
}

#[test]
fn a_drop_that_broke_off_is_no_damage() {
    let dir = folder();
    let journal = open(dir.path());
    append(&journal, &super::many_days(), &[800]);
    let before = events(&journal);
    let plan = journal.plan_drop(super::day(150)).expect("plans");
    let writer = journal.writer(clock).expect("a writer");
    let state = super::STATE.into();
    journal.drop_days(&writer, &plan, state, &mut |_| ControlFlow::Break(())).expect_err("stops");
    writer.close().expect("nothing is left");
    let cut = journal.cut().expect("a cut");
    drop(journal);
    let found = look(dir.path());
    assert_eq!((found.report.findings, found.report.dropped), (Vec::new(), cut.last.0));
    let dry = would(dir.path(), None);
    assert_eq!((&dry.missing[..], dry.rebuilt), (&[][..], 0), "{dry:?}");
    // A repair finishes it.
    mend(dir.path(), None, &[]).expect("repaired");
    assert_eq!((look(dir.path()).report.findings, open(dir.path()).cut()), (vec![], Some(cut)));
    check(&open(dir.path()), &before);
}

#[test]
fn proofs_hold_when_days_are_dropped() {
    let journal = Journal::in_memory(orrery_journal::Calendar::Utc).expect("opens");
    append(&journal, &session(21, 9_000, 4), &[800]);
    let size = journal.prover().size();
    let root = journal.prover().root(size).expect("a root");
    let last: Address = *pages(&journal).last().expect("a page");
    drop_before(&journal, 2).expect("drops");
    assert_eq!(journal.prover().root(size).expect("a root"), root);
    assert!(pages(&journal).contains(&last) && journal.prover().size() >= size);
    // What is kept can be proven as before.
    let kept = journal.cut().expect("a cut").last.next();
    journal.prover().events(&[kept].into(), size).expect("sealed");
}
