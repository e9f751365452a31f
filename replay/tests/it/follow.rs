//! Catching up and following: from the newest checkpoint, in pieces, stopped
//! and started again, always to the same record.

use std::ops::ControlFlow;
use std::time::Duration;

use orrery_journal::units::Seq;
use orrery_journal::{Journal, OpenOptions};
use orrery_replay::artifact::Header;
use orrery_replay::audit::audit;
use orrery_replay::catch_up::{CatchUpError, CatchUpOptions, CaughtUp, catch_up};
use orrery_replay::checkpoint::Purpose;
use orrery_replay::derived::Derived;
use orrery_replay::driver::Threads;
use orrery_replay::follow::Follower;

use crate::toy::{self, toys};

fn options(checkpoint_events: u64) -> CatchUpOptions {
    CatchUpOptions { threads: Threads::ONE, checkpoint_events }
}

fn catch(journal: &Journal, derived: &Derived, every: u64) -> CaughtUp {
    catch_up(journal, derived, toys(), options(every), &mut |_| ControlFlow::Continue(()))
        .expect("a good journal")
}

fn headers(derived: &Derived) -> Vec<Header> {
    let families = derived.families().expect("memory");
    families
        .iter()
        .flat_map(|(s, f)| derived.headers(s, f, 1, usize::MAX).expect("memory"))
        .collect()
}

#[test]
fn following_in_pieces_records_the_same_as_catching_up() {
    let facts = toy::facts(21, 900, 3);
    let expected = {
        let derived = Derived::in_memory();
        catch(&toy::journal(&facts, 900), &derived, 100);
        headers(&derived)
    };
    let journal = toy::journal(&[], 1);
    let derived = Derived::in_memory();
    let mut engine = catch(&journal, &derived, 100).engine;
    let mut delivered = 0;
    for part in facts.chunks(70) {
        // Every piece in another life of the follower.
        let mut follower = Follower::new(journal.clone(), derived.clone(), engine, options(100));
        for piece in part.chunks(13) {
            toy::append(&journal, piece, 4);
            let head = follower
                .step(Duration::from_secs(5), &mut |made| delivered += made.len())
                .expect("a good journal");
            assert_eq!(head, journal.head());
        }
        engine = follower.finish(&mut |_| panic!("nothing is left")).expect("a good journal");
        assert_eq!(catch(&journal, &derived, 100).counts.events, 0, "finish left a checkpoint");
    }
    assert_eq!(headers(&derived), expected);
    assert_eq!(delivered, expected.len());
    let openings = derived.checkpoints().expect("memory").into_iter();
    let openings: Vec<Seq> =
        openings.filter(|c| c.purpose == Purpose::Opening).map(|c| c.seq).collect();
    let days = journal.days().expect("memory");
    let before: Vec<Seq> = days.iter().skip(1).map(|d| Seq(d.first.0 - 1)).collect();
    assert_eq!(openings, before, "each day after the first opens with a checkpoint");
}

#[test]
fn run_stops_when_told_and_leaves_a_checkpoint() {
    let journal = toy::journal(&toy::facts(22, 200, 1), 50);
    let derived = Derived::in_memory();
    let engine = orrery_replay::engine::Engine::new(toys());
    let follower = Follower::new(journal.clone(), derived.clone(), engine, options(1_000));
    let asked = std::cell::Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) >= 3;
    let engine = follower.run(Duration::from_millis(1), &stop, &mut |_| {}).expect("good journal");
    assert_eq!(engine.position(), journal.head());
    let record = derived.checkpoints().expect("memory");
    assert_eq!(record.iter().map(|c| c.seq).collect::<Vec<_>>(), [journal.head().seq]);
}

#[test]
fn a_start_goes_on_from_the_newest_checkpoint() {
    let facts = toy::facts(23, 600, 1);
    let journal = toy::journal(&facts[..400], 50);
    let derived = Derived::in_memory();
    let first = catch(&journal, &derived, 64);
    assert_eq!(first.resumed, Seq::BEFORE_FIRST);
    assert!(first.counts.checkpoints > 4);
    toy::append(&journal, &facts[400..], 50);
    let second = catch(&journal, &derived, 64);
    assert_eq!(second.resumed, first.engine.position().seq);
    assert_eq!(second.counts.events, journal.head().seq.0 - second.resumed.0);
}

#[test]
fn a_stop_on_the_way_loses_nothing() {
    let journal = toy::journal(&toy::facts(24, 600, 1), 50);
    let derived = Derived::in_memory();
    let mut calls = 0;
    let error = catch_up(&journal, &derived, toys(), options(100), &mut |_| {
        calls += 1;
        if calls > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .expect_err("stopped");
    assert!(matches!(error, CatchUpError::Stopped { .. }), "{error}");
    let whole = Derived::in_memory();
    catch(&journal, &whole, 100);
    assert!(headers(&derived).len() < headers(&whole).len());
    assert!(catch(&journal, &derived, 100).resumed > Seq::BEFORE_FIRST);
    assert_eq!(headers(&derived), headers(&whole));
}

#[test]
fn derived_data_of_another_journal_is_refused() {
    let derived = Derived::in_memory();
    catch(&toy::journal(&toy::facts(25, 100, 1), 50), &derived, 64);
    let mut other = toy::facts(25, 200, 1);
    for fact in &mut other {
        fact.recv = fact.recv.map(|t| t.plus_nanos(1));
    }
    let journal = toy::journal(&other, 50);
    let error =
        catch_up(&journal, &derived, toys(), options(64), &mut |_| ControlFlow::Continue(()))
            .expect_err("another journal");
    assert!(matches!(error, CatchUpError::OtherJournal { .. }), "{error}");
}

#[test]
fn an_empty_journal_is_caught_up_with_at_once() {
    let caught = catch(&toy::journal(&[], 1), &Derived::in_memory(), 64);
    assert_eq!(caught.counts, orrery_replay::catch_up::Counts::default());
}

#[test]
fn a_folder_is_opened_again_where_it_was_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let facts = toy::facts(26, 500, 2);
    let mut resumed = Vec::new();
    for part in [&facts[..300], &facts[300..]] {
        let journal = Journal::open(folder.path(), &OpenOptions::default()).expect("ours alone");
        let derived = Derived::open(folder.path()).expect("ours alone");
        toy::append(&journal, part, 50);
        resumed.push(catch(&journal, &derived, 100).resumed);
    }
    assert!(resumed[1] > Seq(299), "the second life began at {}", resumed[1]);
    let derived = Derived::open(folder.path()).expect("ours alone");
    let whole = Derived::in_memory();
    catch(&toy::journal(&facts, 500), &whole, 100);
    assert_eq!(headers(&derived), headers(&whole));
    let report = audit(&derived).expect("readable");
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!(report.headers, headers(&whole).len() as u64);
    assert_eq!(report.bodies, report.headers);
    assert!(report.checkpoints > 3);
    drop(derived);
    std::fs::remove_dir_all(folder.path().join("derived")).expect("may be deleted at any time");
    let journal = Journal::open(folder.path(), &OpenOptions::default()).expect("ours alone");
    let derived = Derived::open(folder.path()).expect("made again");
    catch(&journal, &derived, 77);
    assert_eq!(headers(&derived), headers(&whole));
}

#[test]
fn a_day_that_begins_where_the_last_start_ended_has_its_opening_checkpoint() {
    let facts = toy::facts(27, 400, 2);
    let journal = toy::journal(&facts[..200], 50);
    let derived = Derived::in_memory();
    let end = catch(&journal, &derived, 1_000).engine.position().seq;
    toy::append(&journal, &facts[200..], 50);
    assert_eq!(journal.days().expect("memory").len(), 2);
    catch(&journal, &derived, 1_000);
    let records = derived.checkpoints().expect("memory");
    assert_eq!((records[0].seq, records[0].purpose), (end, Purpose::Opening));
}
