//! Checkpoints and what rests on them: every one leads to the same record, on any
//! number of threads, after `derived/` was deleted, and while events come in; a
//! read as of a moment knows nothing of later ones; damage is found and named.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orrery::feeds::simulate::{DEFAULT_START, Simulation, SimulationOptions};
use orrery::models::parameters::Parameters;
use orrery::world::MarketWorld;
use orrery_journal::event::Draft;
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq};
use orrery_journal::{Calendar, Journal, OpenOptions};
use orrery_replay::artifact::Header;
use orrery_replay::as_of::{At, as_of, body, latest};
use orrery_replay::audit::audit;
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::checkpoint::Purpose;
use orrery_replay::compare::{CompareOptions, Comparison, Span, compare};
use orrery_replay::derived::Derived;
use orrery_replay::driver::Threads;
use orrery_replay::engine::Engine;
use orrery_replay::fold::World;
use orrery_replay::follow::Follower;

use crate::support::Orrery;

const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND;

fn world() -> Arc<dyn World> {
    Arc::new(MarketWorld::new(Parameters::default()).expect("usable"))
}

/// A made-up session from `after` on, until `after + seconds`.
fn session(seed: u64, start: RecvTime, seconds: i64) -> Vec<Draft> {
    let mut simulation = Simulation::new(SimulationOptions {
        seed,
        start,
        ticks_per_second: 100,
        topology_change_ns: Some(seconds / 2 * NANOS_PER_SECOND),
        gap_ns: None,
        ..SimulationOptions::default()
    });
    simulation.next_batch(start.plus_nanos(seconds * NANOS_PER_SECOND))
}

/// Two short days.
fn days() -> Vec<Draft> {
    let mut drafts = session(5, DEFAULT_START, 8);
    drafts.extend(session(6, DEFAULT_START.plus_nanos(DAY_NS), 4));
    drafts
}

/// Appends in `parts`; `between` is called after each.
fn append(journal: &Journal, drafts: &[Draft], parts: usize, between: &dyn Fn(usize)) {
    let writer = journal.writer(|| RecvTime(0)).expect("the only writer");
    let source = writer.define_source(r#"{"feed":"test"}"#).expect("a source");
    for (n, part) in drafts.chunks(drafts.len().div_ceil(parts)).enumerate() {
        let mut part = part.to_vec();
        part.iter_mut().for_each(|draft| draft.source = source);
        writer.append(part).expect("open").wait().expect("committed");
        between(n);
    }
    writer.close().expect("committed");
}

fn journal(drafts: &[Draft]) -> Journal {
    let journal = Journal::in_memory(Calendar::NewYork).expect("memory");
    append(&journal, drafts, 7, &|_| {});
    journal
}

fn options(threads: usize, spacing: u64) -> CatchUpOptions {
    CatchUpOptions { threads: Threads::new(threads), checkpoint_events: spacing }
}

fn fold(journal: &Journal, derived: &Derived, options: CatchUpOptions) -> u64 {
    let go_on = &mut |_| ControlFlow::Continue(());
    let caught = catch_up(journal, derived, world(), options, go_on).expect("a good journal");
    caught.counts.events
}

fn headers(derived: &Derived) -> Vec<Header> {
    let families = derived.families().expect("readable").into_iter();
    let of = |(s, f): (Box<str>, Box<str>)| derived.headers(&s, &f, 1, usize::MAX);
    families.flat_map(|family| of(family).expect("readable")).collect()
}

fn replayed(
    journal: &Journal,
    derived: &Derived,
    span: Span,
    options: CompareOptions,
) -> Comparison {
    let (told, seen) = (&mut |_: &_| {}, &mut |_, _: &[_]| ControlFlow::Continue(()));
    compare(journal, derived, &world(), span, &options, told, seen).expect("replayed")
}

#[test]
fn every_checkpoint_leads_to_the_same_record_on_one_thread_and_on_two() {
    let journal = journal(&days());
    let last = journal.head().seq;
    let folder = tempfile::tempdir().expect("a folder");
    let derived = Derived::open(folder.path()).expect("ours");
    fold(&journal, &derived, options(1, 12_000));
    let records = derived.checkpoints().expect("readable");
    assert!(records.len() > 5, "{} checkpoints", records.len());
    assert!(records.iter().any(|r| r.purpose == Purpose::Opening));
    let usage = derived.checkpoint_usage().expect("readable");
    assert!(usage.kept_bytes * 10 < usage.state_bytes * 9, "parts are shared: {usage:?}");
    for threads in [1, 2] {
        let threads = Threads::new(threads);
        let scratch = CompareOptions { threads, from_scratch: true, ..CompareOptions::default() };
        let span = Span { first: Seq::FIRST, last };
        let found = replayed(&journal, &derived, span, scratch);
        assert!(found.identical() && found.artifacts > 60, "{found:?}");
        // The last one stands at the head.
        for record in records.iter().filter(|record| record.seq < last) {
            let span = Span { first: record.seq.next(), last };
            let options = CompareOptions { threads, ..CompareOptions::default() };
            let found = replayed(&journal, &derived, span, options);
            assert_eq!(found.warm_up_events, 0, "it begins at the checkpoint at {}", record.seq);
            assert!(found.identical(), "{}: {:?}", record.seq, found.first_difference());
        }
    }
    assert_eq!(derived.checkpoints_skipped(), 0);
    // Deleted and made again on two threads, with checkpoints elsewhere.
    let before = headers(&derived);
    drop(derived);
    std::fs::remove_dir_all(folder.path().join("derived")).expect("may be deleted at any time");
    let derived = Derived::open(folder.path()).expect("made again");
    assert_eq!(fold(&journal, &derived, options(2, 45_000)), last.0);
    assert!(headers(&derived) == before, "another record");
    assert_eq!(audit(&derived).expect("readable").findings, Vec::<String>::new());
}

#[test]
fn while_events_come_in_every_moment_replays_as_it_was_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), &OpenOptions::default()).expect("ours");
    let derived = Derived::open(folder.path()).expect("ours");
    let drafts = days();
    let [reached, looked, ended] = [0, 0, 0].map(AtomicU64::new);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One more part comes in while the last one is being looked at.
            append(&journal, &drafts, 8, &|n| {
                while looked.load(Ordering::Acquire) < n.saturating_sub(1) as u64 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            ended.store(journal.head().seq.0, Ordering::Release);
        });
        scope.spawn(|| {
            let engine = Engine::new(world());
            derived.claim(engine.configuration()).expect("new");
            let mut follower =
                Follower::new(journal.clone(), derived.clone(), engine, options(1, 15_000));
            loop {
                let end = ended.load(Ordering::Acquire);
                let head = follower.step(Duration::from_millis(50), &mut |_| {}).expect("folds");
                reached.store(head.seq.0, Ordering::Release);
                if end > 0 && head.seq.0 >= end {
                    break;
                }
            }
            follower.finish(&mut |_| {}).expect("folds");
        });
        while ended.load(Ordering::Acquire) == 0 {
            let last = Seq(reached.load(Ordering::Acquire));
            if last < Seq::FIRST {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            let span = Span { first: Seq(last.0 / 2 + 1), last };
            let threads = Threads::new(1 + looked.load(Ordering::Acquire) as usize % 2);
            let options = CompareOptions { threads, ..CompareOptions::default() };
            let found = replayed(&journal, &derived, span, options);
            assert!(found.identical(), "up to {last}: {:?}", found.first_difference());
            let engine = as_of(&journal, &derived, &world(), At::Seq(last)).expect("known");
            assert_eq!(engine.position().seq, last);
            looked.fetch_add(1, Ordering::AcqRel);
        }
    });
    assert_eq!(derived.checkpoints_skipped(), 0);
    let alone = Derived::in_memory();
    fold(&journal, &alone, options(2, 45_000));
    assert!(headers(&derived) == headers(&alone), "another record than without readers");
}

#[test]
fn no_read_as_of_a_moment_depends_on_what_came_later() {
    let cut = DEFAULT_START.plus_nanos(6 * NANOS_PER_SECOND);
    let past = session(5, DEFAULT_START, 6);
    let later = cut.plus_nanos(NANOS_PER_SECOND / 100);
    let [short, one, other] = [None, Some(7), Some(8)].map(|seed| {
        let future = seed.map(|seed| session(seed, later, 3)).unwrap_or_default();
        let journal = journal(&[past.clone(), future].concat());
        let derived = Derived::in_memory();
        fold(&journal, &derived, options(1, 20_000));
        (journal, derived)
    });
    let end = short.0.head();
    assert!(headers(&one.1) != headers(&other.1) && one.0.head().seq > end.seq, "two futures");
    let known: BTreeSet<_> = short.1.families().expect("memory").into_iter().collect();
    let said: BTreeSet<&str> = known.iter().map(|(_, family)| &**family).collect();
    assert!(said.len() >= 12, "{said:?}");
    let mut bodies = 0;
    for n in 1..=4 {
        let seq = Seq(end.seq.0 * n / 4);
        let expected = as_of(&short.0, &short.1, &world(), At::Seq(seq)).expect("known").save();
        for (journal, derived) in [&one, &other] {
            let found = as_of(journal, derived, &world(), At::Seq(seq)).expect("known");
            assert!(found.save() == expected, "another state as of {seq}");
            for (symbol, family) in &known {
                let of = |(journal, derived): (&Journal, &Derived)| {
                    latest(journal, derived, symbol, family, At::Seq(seq)).expect("readable")
                };
                let (then, now) = (of((&short.0, &short.1)), of((journal, derived)));
                assert_eq!(then, now, "{symbol} {family} as of {seq}");
                let Some(header) = now else { continue };
                let made = body(journal, derived, &world(), &header).expect("kept or made again");
                assert_eq!(Some(made), short.1.body(&header).expect("memory"), "{symbol} {family}");
                bodies += 1;
            }
        }
    }
    assert!(bodies > 60, "{bodies} bodies");
}

/// Files below a folder, with a part of their names.
fn files(folder: &Path, part: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path, part)),
            false if path.to_string_lossy().contains(part) => found.push(path),
            false => {}
        }
    }
    found
}

#[test]
fn a_flipped_bit_in_the_files_of_derived_data_is_located_and_costs_nothing() {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--seed", "9", "--minutes", "1"]).expect(0);
    let before = orrery.run(&["artifacts", "list", "--json"]).expect(0).json();
    orrery.run(&["verify", "--derived"]).expect(0);
    // The engine moves what is in its log into tables when it gets to it. A third
    // of the way into a log is not what a crash would take.
    let in_files = |part: &str| {
        let all = files(&orrery.data().join("derived"), part);
        let used = |p: &std::path::PathBuf| {
            std::fs::read(p).expect("readable").iter().rposition(|b| *b != 0).unwrap_or(0)
        };
        all.into_iter().map(|p| (used(&p), p)).max().filter(|(used, _)| *used > 0)
    };
    let in_log = in_files(".jnl");
    let table = || in_files("/tables/").expect("in the log or in tables");
    let (is_log, (used, file)) = (in_log.is_some(), in_log.unwrap_or_else(table));
    let mut bytes = std::fs::read(&file).expect("readable");
    bytes[used / 3] ^= 0x10;
    std::fs::write(&file, bytes).expect("ours");
    let name = file.display().to_string();
    // The journal is whole, so it opens.
    let told = orrery.run(&["doctor"]).expect(0);
    let located = told.stdout.contains("derived data are damaged in");
    assert!(located && told.stdout.contains(&name), "{told:#?}");
    let told = orrery.run(&["verify", "--derived"]).expect(1);
    assert!(told.stdout.contains("damaged derived data"), "{told:#?}");
    if is_log {
        // The engine does not open it.
        assert!(told.stdout.contains(&name), "{told:#?}");
        let refused = orrery.run(&["artifacts", "list", "--json"]).expect(2);
        assert!(refused.stderr.contains("delete the derived folder"), "{refused:#?}");
    }
    // What is made again from the journal is the same.
    std::fs::remove_dir_all(orrery.data().join("derived")).expect("ours");
    assert_eq!(orrery.run(&["artifacts", "list", "--json"]).expect(0).json(), before);
    orrery.run(&["verify", "--derived"]).expect(0);
}
