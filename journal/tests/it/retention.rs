//! Whole days go; seqs, ids, counts, addresses and everything behind stay.

mod damage;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::event::{Body, Draft, DraftBody, Event};
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::store::{Batch, Durability, Store};
use orrery_journal::units::{Address, RecvTime, Seq, TradingDay};
use orrery_journal::{CopyError, Dropped, Journal, Plan, ReadError, RetentionError, keys};

use crate::support::*;

const STATE: &[u8] = b"what the folds knew";

fn open(dir: &Path) -> Journal {
    Journal::open(dir, &utc()).expect("opens")
}

/// A day `n` days after the first.
fn day(n: i64) -> TradingDay {
    TradingDay((OPENING / (86_400 * SECOND) + n) as i32)
}

fn drop_before(journal: &Journal, n: i64) -> Result<(Plan, Dropped), RetentionError> {
    let plan = journal.plan_drop(day(n))?;
    let writer = journal.writer(clock).expect("a writer");
    let dropped = journal
        .drop_days(&writer, &plan, Bytes::from_static(STATE), &mut |_| ControlFlow::Continue(()))?;
    writer.close().expect("nothing is left");
    Ok((plan, dropped))
}

/// Whatever is left is clean, and reads of what is gone say so.
fn check(journal: &Journal, before: &[Event]) {
    let cut = journal.cut().expect("a cut");
    let report = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert_eq!(report.findings, Vec::new());
    assert_eq!(report.events + report.dropped, journal.head().seq.0);
    assert_eq!(report.dropped, cut.last.0);
    let kept = read(journal, cut.last.next(), Seq(before.len() as u64));
    assert_eq!(kept, before[cut.last.0 as usize..]);
    for (from, to) in [(Seq(1), Seq(1)), (cut.last, Seq::MAX), (Seq(1), Seq::MAX)] {
        match journal.read(from, to).next() {
            Some(Err(ReadError::Dropped { from: first, to, day })) => {
                assert_eq!((first, to, day), (from, cut.last, cut.day));
            }
            other => panic!("{from}: {other:?}"),
        }
    }
    assert!(matches!(journal.seq_at(before[5].recv), Err(ReadError::Dropped { .. })));
    assert_eq!(journal.seq_at(before[cut.last.0 as usize].recv).ok(), {
        let at = before[cut.last.0 as usize].recv;
        Some(Seq(before.partition_point(|e| e.recv <= at) as u64))
    });
    assert_eq!(&journal.blob(cut.state).expect("kept")[..], STATE);
}

#[test]
fn the_first_days_go_and_everything_else_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = open(dir.path());
    append(&journal, &session(21, 12_000, 5), &[800]);
    let before = events(&journal);
    let (addresses, days) = (pages(&journal), journal.days().expect("days"));
    let origin = journal.origin().expect("reads");
    let twin = tempfile::tempdir().expect("a folder");
    journal.copy_to(twin.path(), &mut |_| ControlFlow::Continue(())).expect("copies");

    let plan = journal.plan_drop(day(3)).expect("plans");
    assert_eq!(plan.days, [day(0), day(1), day(2)]);
    assert_eq!(plan.last, Some(days[2].last));
    assert!(plan.pages >= 3 && plan.blobs() > 10 && plan.bytes > 1_000, "{plan:?}");
    assert_eq!((journal.head().seq.0, journal.cut()), (before.len() as u64, None), "only a look");
    verify_clean(&journal);

    let (plan, dropped) = drop_before(&journal, 3).expect("drops");
    assert_eq!((dropped.pages, dropped.blobs), (plan.pages, plan.blobs()));
    assert_eq!(dropped.bytes, plan.bytes);
    check(&journal, &before);
    let after = journal.days().expect("days");
    let gone: Vec<bool> = after.iter().map(|d| d.dropped).collect();
    assert_eq!(gone, [true, true, true, false, false]);
    assert_eq!(pages(&journal)[..addresses.len()], addresses);
    for (now, then) in after.iter().zip(&days) {
        assert_eq!((now.first, &now.refused), (then.first, &then.refused));
    }

    // It says so itself.
    let cut = journal.cut().expect("a cut");
    let told = read(&journal, cut.told, cut.told);
    let Body::Control(fact) = told[0].body else { panic!("{told:?}") };
    let fact = journal.blob(fact).expect("kept");
    let fact = std::str::from_utf8(&fact).expect("text");
    assert!(fact.contains("\"retention\"") && fact.contains(&day(2).to_string()), "{fact}");

    // And goes on, with the same names.
    let names: Vec<_> = (1..=journal.instruments())
        .map(|id| journal.ticker(orrery_journal::units::InstrumentId(id)))
        .collect();
    drop(journal);
    let journal = open(dir.path());
    check(&journal, &before);
    assert_eq!(journal.origin().expect("kept"), origin);
    append(&journal, &session(22, 500, 1)[..], &[50]);
    let again: Vec<_> = (1..=names.len() as u32)
        .map(|id| journal.ticker(orrery_journal::units::InstrumentId(id)))
        .collect();
    assert_eq!(again, names);
    assert!((1..=40).any(|id| journal.conditions(id).is_some_and(|c| !c.is_empty())));
    let tables = |journal: &Journal| {
        journal.compact().expect("compacts");
        let parts = journal.stat().expect("reads").parts;
        parts
            .iter()
            .filter(|p| ["pages", "blobs"].contains(&&*p.name))
            .map(|p| p.bytes)
            .sum::<u64>()
    };
    let (now, then) = (tables(&journal), tables(&open(twin.path())));
    assert!(now > 0 && now < then / 4 * 3, "room was made: {now} of {then} bytes");
    check(&journal, &before);

    // Once more, further; and nothing twice.
    let (_, more) = drop_before(&journal, 4).expect("drops");
    assert!(more.pages >= 1);
    check(&journal, &before);
    let (plan, none) = drop_before(&journal, 4).expect("nothing to do");
    assert_eq!((plan.last, none), (None, Dropped::default()));
}

#[test]
fn the_open_day_and_the_future_stay() {
    let journal = on(&Arc::new(MemoryStore::new()));
    assert!(matches!(journal.plan_drop(day(0)), Err(RetentionError::OpenDay { .. })));
    append(&journal, &session(21, 3_000, 3), &[800]);
    assert_eq!(journal.plan_drop(day(0)).expect("plans").last, None);
    let open_day = journal.days().expect("days").last().expect("a day").day;
    let up_to = journal.plan_drop(open_day).expect("plans");
    assert!(!up_to.days.contains(&open_day) && !up_to.days.is_empty());
    for beyond in [TradingDay(open_day.0 + 1), TradingDay(i32::MAX)] {
        assert!(matches!(journal.plan_drop(beyond), Err(RetentionError::OpenDay { .. })));
    }
}

/// Many short days, so that a drop takes several commits.
fn many_days() -> Vec<Draft> {
    session(4, 4_000, 200)
}

#[test]
fn a_drop_that_breaks_off_is_finished_by_the_next_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = open(dir.path());
    append(&journal, &many_days(), &[800]);
    let before = events(&journal);
    let plan = journal.plan_drop(day(150)).expect("plans");
    assert!(plan.pages > 130, "{}", plan.pages);
    let writer = journal.writer(clock).expect("a writer");
    let ended = journal
        .drop_days(&writer, &plan, Bytes::from_static(STATE), &mut |_| ControlFlow::Break(()));
    assert!(matches!(ended, Err(RetentionError::Stopped)), "{ended:?}");
    writer.close().expect("nothing is left");
    check(&journal, &before);
    drop(journal);

    let journal = open(dir.path());
    check(&journal, &before);
    let finish = |journal: &Journal| {
        let writer = journal.writer(clock).expect("a writer");
        journal.finish_drop(&writer, &mut |_| ControlFlow::Continue(())).expect("deletes")
    };
    let rest = finish(&journal);
    assert!(rest.pages > 60 && rest.pages < plan.pages && rest.blobs > 0, "{rest:?}");
    assert_eq!(finish(&journal), Dropped::default());
    check(&journal, &before);
}

#[test]
fn a_power_cut_at_any_commit_leaves_a_journal_that_is_clean() {
    let store = Arc::new(MemoryStore::new());
    let journal = on(&store);
    append(&journal, &many_days(), &[800]);
    let before = events(&journal);
    let plan = journal.plan_drop(day(190)).expect("plans");
    let writer = journal.writer(clock).expect("a writer");
    let mut images = vec![store.crash_image(0)];
    journal
        .drop_days(&writer, &plan, Bytes::from_static(STATE), &mut |_| {
            images.extend((0..3).map(|seed| store.crash_image(seed)));
            ControlFlow::Continue(())
        })
        .expect("drops");
    images.push(store.crash_image(9));
    writer.close().expect("nothing is left");
    for image in images {
        let found = on(&Arc::new(image));
        match found.cut() {
            Some(_) => check(&found, &before),
            None => verify_clean(&found),
        }
    }
}

#[test]
fn a_blob_that_is_named_again_is_spared() {
    let journal = on(&Arc::new(MemoryStore::new()));
    append(&journal, &session(21, 6_000, 4), &[800]);
    let plan = journal.plan_drop(day(3)).expect("plans");
    let end = plan.last.expect("a last");
    let news: Vec<Bytes> = read(&journal, Seq::FIRST, end)
        .iter()
        .filter_map(|e| match e.body {
            Body::News(address) => Some(journal.blob(address).expect("there")),
            _ => None,
        })
        .collect();
    assert!(news.len() > 20);
    let again = |bytes: &Bytes| Draft {
        recv: None,
        ..draft(OPENING, "I:SPX", DraftBody::News(bytes.clone()))
    };
    let stamp = || RecvTime(OPENING + 10 * 86_400 * SECOND);
    let writer = journal.writer(stamp).expect("a writer");
    // Some between plan and drop, the others while it deletes.
    let (first, later) = news.split_at(news.len() / 2);
    writer.append(first.iter().map(again).collect()).and_then(|t| t.wait()).expect("commits");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for bytes in later.iter().cycle().take(20 * later.len()) {
                writer.append(vec![again(bytes)]).and_then(|t| t.wait()).expect("commits");
            }
        });
        let state = Bytes::from_static(STATE);
        journal
            .drop_days(&writer, &plan, state, &mut |_| ControlFlow::Continue(()))
            .expect("drops");
    });
    writer.close().expect("nothing is left");
    let report = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert_eq!(report.findings, Vec::new());
    for bytes in &news {
        assert_eq!(journal.blob(Address::of(bytes)).as_ref().ok(), Some(bytes));
    }
}

#[test]
fn copies_know_what_was_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let copies = tempfile::tempdir().expect("a folder");
    let copy = |journal: &Journal, name: &str| {
        journal.copy_to(&copies.path().join(name), &mut |_| ControlFlow::Continue(()))
    };
    let journal = open(dir.path());
    let drafts = session(21, 12_000, 5);
    append(&journal, &drafts[..2_000], &[800]);
    copy(&journal, "early").expect("copies");
    append(&journal, &drafts[2_000..], &[800]);
    copy(&journal, "full").expect("copies");
    let before = events(&journal);
    drop_before(&journal, 3).expect("drops");

    // A new copy has what is left, and knows why the rest is not there.
    copy(&journal, "new").expect("copies");
    let new = open(&copies.path().join("new"));
    check(&new, &before);
    assert_eq!(new.cut(), journal.cut());
    drop(new);
    // One that was complete keeps what it has.
    copy(&journal, "full").expect("copies");
    let full = open(&copies.path().join("full"));
    verify_clean(&full);
    assert_eq!(full.cut(), None);
    assert_eq!(events(&full)[..before.len()], before);
    drop(full);
    // One that would have a hole is not gone on with.
    let refused = copy(&journal, "early").expect_err("a hole");
    assert!(matches!(refused, CopyError::Dropped { .. }), "{refused:?}");
    verify_clean(&open(&copies.path().join("early")));
    // A copy of the copy is one, too.
    let new = open(&copies.path().join("new"));
    copy(&new, "second").expect("copies");
    check(&open(&copies.path().join("second")), &before);
}

#[test]
fn pages_that_are_gone_without_a_record_are_missing() {
    let store = Arc::new(MemoryStore::new());
    let journal = on(&store);
    append(&journal, &session(21, 6_000, 4), &[800]);
    let before = events(&journal);
    drop_before(&journal, 2).expect("drops");
    drop(journal);
    let record = store.get(keys::META, keys::CUT_KEY).expect("memory").expect("a record");
    let put = |value: Option<Vec<u8>>| {
        let mut batch = Batch::default();
        match value {
            Some(value) => batch.put(keys::META, keys::CUT_KEY, value),
            None => batch.delete(keys::META, keys::CUT_KEY),
        }
        store.commit(batch, Durability::Disk).expect("memory");
    };
    put(None);
    let report = on(&store).verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert!(report.findings.len() >= 2 && report.dropped == 0, "{report:?}");
    let mut bad = record.to_vec();
    bad[20] ^= 1;
    put(Some(bad));
    assert!(Journal::on_store(store.clone(), &utc()).is_err(), "a damaged record is refused");
    put(Some(record.to_vec()));
    check(&on(&store), &before);
}
