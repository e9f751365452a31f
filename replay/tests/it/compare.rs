//! Replay against the record: identical when it is, and the first difference
//! down to the field when it is not.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::Journal;
use orrery_journal::units::{Address, Seq, TradingDay};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::catch_up::{CatchUpError, CatchUpOptions, catch_up};
use orrery_replay::compare::{
    CompareError, CompareOptions, Comparison, Selection, Span, TraceLine, compare, day_span,
};
use orrery_replay::derived::{Derived, DerivedError};
use orrery_replay::driver::Threads;
use orrery_replay::engine::Engine;
use orrery_replay::fold::World;

use crate::toy::{self, Toys, toys};

fn recorded(journal: &Journal, every: u64) -> Derived {
    let derived = Derived::in_memory();
    let options = CatchUpOptions { threads: Threads::new(2), checkpoint_events: every };
    catch_up(journal, &derived, toys(), options, &mut |_| ControlFlow::Continue(()))
        .expect("a good journal");
    derived
}

fn run(journal: &Journal, derived: &Derived, span: Span, options: CompareOptions) -> Comparison {
    compare(journal, derived, &toys(), span, &options, &mut |_| {}, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .expect("a good journal")
}

fn whole(journal: &Journal) -> Span {
    Span { first: Seq::FIRST, last: journal.head().seq }
}

/// What a whole journal gives, as artifacts.
fn artifacts(journal: &Journal) -> Vec<Artifact> {
    let mut engine = Engine::new(toys());
    toy::fold(journal, &mut engine, Seq::MAX, 1).into_iter().map(|m| m.artifact).collect()
}

#[test]
fn every_day_is_identical_in_every_way() {
    let journal = toy::journal(&toy::facts(11, 1_500, 3), 40);
    let derived = recorded(&journal, 200);
    let days = journal.days().expect("memory");
    assert_eq!(days.len(), 3);
    let mut traces = Vec::new();
    for from_scratch in [false, true] {
        for threads in [1, 2, 4] {
            let options = CompareOptions {
                threads: Threads::new(threads),
                from_scratch,
                ..CompareOptions::default()
            };
            let mut lines = Vec::new();
            for day in &days {
                let span = day_span(&journal, day.day).expect("a day of the journal");
                let mut seen = |_, made: &[_]| {
                    lines.extend(made.iter().map(|m| TraceLine::of(m).to_string()));
                    ControlFlow::Continue(())
                };
                let found =
                    compare(&journal, &derived, &toys(), span, &options, &mut |_| {}, &mut seen)
                        .expect("a good journal");
                assert!(found.identical(), "{:?}", found.first_difference());
                assert_eq!(found.events, day.last.0 - day.first.0 + 1);
                let expected = if from_scratch { day.first.0 - 1 } else { 0 };
                assert_eq!(found.warm_up_events, expected, "a day opens with a checkpoint");
            }
            traces.push(lines);
        }
    }
    assert!(traces[0].len() > 300);
    assert!(traces.iter().all(|t| *t == traces[0]));
}

#[test]
fn deleted_derived_data_comes_back_the_same() {
    let journal = toy::journal(&toy::facts(12, 800, 2), 40);
    let (one, two) = (recorded(&journal, 100), recorded(&journal, 333));
    for (symbol, family) in one.families().expect("memory") {
        let left = one.headers(&symbol, &family, 1, usize::MAX).expect("memory");
        assert_eq!(left, two.headers(&symbol, &family, 1, usize::MAX).expect("memory"));
    }
}

#[test]
fn the_first_difference_is_named_down_to_the_field() {
    let journal = toy::journal(&toy::facts(13, 600, 1), 40);
    let mut all = artifacts(&journal);
    let at = all.len() / 2;
    let honest = all[at].header.clone();
    all[at].header.seq_first = Seq(honest.seq_first.0 + 1);
    let derived = Derived::in_memory();
    derived.put(&all).expect("in order");
    let found = run(&journal, &derived, whole(&journal), CompareOptions::default());
    let difference = found.first_difference().expect("one is forged").clone();
    assert!(!found.identical());
    assert_eq!(difference.field, "seq_first");
    assert_eq!(
        (&difference.symbol, &difference.family, difference.version),
        (&honest.symbol, &honest.family, honest.version)
    );
    assert_eq!(difference.replayed, honest.seq_first.to_string());
    assert_eq!(difference.recorded, (honest.seq_first.0 + 1).to_string());
    let every = CompareOptions { stop_at_first: false, ..CompareOptions::default() };
    let found = run(&journal, &derived, whole(&journal), every);
    assert_eq!((found.difference_count, found.complete), (1, true));
}

#[test]
fn what_was_recorded_and_does_not_come_out_is_a_difference() {
    let journal = toy::journal(&toy::facts(14, 400, 1), 40);
    let mut all = artifacts(&journal);
    let mut extra = all.iter().rev().find(|a| &*a.header.family == "sum").expect("many").clone();
    extra.header.version += 1;
    all.push(extra.clone());
    let derived = Derived::in_memory();
    derived.put(&all).expect("in order");
    let found = run(&journal, &derived, whole(&journal), CompareOptions::default());
    let difference = found.first_difference().expect("one too many");
    assert_eq!((&*difference.field, &*difference.replayed), ("version", "nothing"));
    assert_eq!(difference.version, extra.header.version);
}

#[test]
fn what_comes_out_and_was_not_recorded_is_a_difference() {
    let journal = toy::journal(&toy::facts(14, 400, 1), 40);
    let all = artifacts(&journal);
    let derived = Derived::in_memory();
    let last = all.last().expect("many").header.clone();
    derived.put(&all[..all.len() - 1]).expect("in order");
    let found = run(&journal, &derived, whole(&journal), CompareOptions::default());
    let difference = found.first_difference().expect("one is missing");
    assert_eq!((&*difference.recorded, difference.version), ("nothing", last.version));
}

#[test]
fn another_world_differs() {
    let journal = toy::journal(&toy::facts(15, 400, 1), 40);
    let derived = recorded(&journal, 100);
    let other: Arc<dyn World> = Arc::new(Toys { configuration: 2 });
    let options = CompareOptions::default();
    let span = whole(&journal);
    let found = compare(&journal, &derived, &other, span, &options, &mut |_| {}, &mut |_, _| {
        ControlFlow::Continue(())
    })
    .expect("a good journal");
    assert_eq!(found.first_difference().map(|d| &*d.field), Some("configuration"));
}

#[test]
fn ranges_and_days_that_do_not_exist_are_errors() {
    let journal = toy::journal(&toy::facts(16, 40, 1), 40);
    let derived = recorded(&journal, 100);
    let head = journal.head().seq;
    for (first, last) in [(Seq(0), head), (Seq(5), Seq(4)), (Seq(1), head.next())] {
        let span = Span { first, last };
        let options = CompareOptions::default();
        let ignored = &mut |_: &_| {};
        let result = compare(&journal, &derived, &toys(), span, &options, ignored, &mut |_, _| {
            ControlFlow::Continue(())
        });
        assert!(matches!(result, Err(CompareError::Range { .. })), "{first} {last}");
    }
    let error = day_span(&journal, TradingDay(0)).expect_err("no such day");
    assert_eq!(error.to_string(), "the journal has no events of 1970-01-01; it has 2026-01-05");
}

#[test]
fn a_record_that_diverged_stops_catching_up() {
    let journal = toy::journal(&toy::facts(17, 300, 1), 40);
    let mut all = artifacts(&journal);
    all[3].header.body_len += 1;
    let derived = Derived::in_memory();
    derived.put(&all).expect("in order");
    let options = CatchUpOptions::default();
    let error = catch_up(&journal, &derived, toys(), options, &mut |_| ControlFlow::Continue(()))
        .expect_err("diverged");
    assert!(
        matches!(&error, CatchUpError::Derived(DerivedError::Diverged { field: "body_len", .. })),
        "{error}"
    );
}

#[test]
fn a_replay_that_is_cancelled_claims_nothing() {
    let journal = toy::journal(&toy::facts(18, 300, 1), 40);
    let derived = recorded(&journal, 100);
    let options = CompareOptions::default();
    let mut calls = 0;
    let span = whole(&journal);
    let found = compare(&journal, &derived, &toys(), span, &options, &mut |_| {}, &mut |_, _| {
        calls += 1;
        ControlFlow::Break(())
    })
    .expect("a good journal");
    assert_eq!((calls, found.difference_count), (1, 0));
    assert!(!found.complete && !found.identical());
}

/// Artifacts with one cell of one body forged, and everything after it chained
/// as an honest writer would have.
fn forged(journal: &Journal, family: &str) -> (Derived, Header, Header) {
    let mut all = artifacts(journal);
    let of_family = |a: &&mut Artifact| &*a.header.family == family;
    let mut chain = all.iter_mut().filter(of_family).skip(3);
    let first = chain.next().expect("many versions");
    let honest = first.header.clone();
    let mut body: serde_json::Value = serde_json::from_slice(&first.body).expect("JSON");
    body["sum"] = serde_json::json!(-1.0);
    first.body = body.to_string().into();
    first.header.content = Address::of(&first.body);
    first.header.body_len = first.body.len() as u64;
    let (forged, symbol) = (first.header.clone(), first.header.symbol.clone());
    let mut previous = first.header.hash();
    for next in chain.filter(|a| a.header.symbol == symbol) {
        next.header.previous = previous;
        previous = next.header.hash();
    }
    let derived = Derived::in_memory();
    derived.put(&all).expect("in order");
    (derived, honest, forged)
}

#[test]
fn a_changed_cell_is_named_by_its_pointer_and_what_follows_from_it_is_not_told_again() {
    let journal = toy::journal(&toy::facts(19, 600, 1), 40);
    let (derived, honest, forged) = forged(&journal, "sum");
    let mut told = Vec::new();
    let options = CompareOptions { stop_at_first: false, ..CompareOptions::default() };
    let found = compare(
        &journal,
        &derived,
        &toys(),
        whole(&journal),
        &options,
        &mut |d| told.push(d.clone()),
        &mut |_, _| ControlFlow::Continue(()),
    )
    .expect("a good journal");
    let first = told.first().expect("one cell is forged");
    assert_eq!((&*first.field, &*first.recorded), ("/sum", "-1.0"));
    assert_eq!((first.version, &*first.profile), (honest.version, "toy/sum@1"));
    assert!(first.seq >= forged.seq_last, "the event that brought it out");
    let others: Vec<&str> = told[1..].iter().map(|d| &*d.field).collect();
    assert!(others.iter().all(|field| *field != "previous"), "{others:?}");
    assert_eq!(found.differences, told);
    assert_eq!(found.difference_count, told.len() as u64);
}

#[test]
fn what_is_not_selected_is_not_compared() {
    let journal = toy::journal(&toy::facts(20, 600, 1), 40);
    let (derived, ..) = forged(&journal, "sum");
    let of = |symbol: Option<&str>, family: Option<&str>| {
        let only = Selection {
            symbols: symbol.into_iter().map(Into::into).collect(),
            families: family.into_iter().map(Into::into).collect(),
        };
        let options = CompareOptions { stop_at_first: false, only, ..CompareOptions::default() };
        run(&journal, &derived, whole(&journal), options)
    };
    let (all, sums, trades) = (of(None, None), of(None, Some("sum")), of(None, Some("trade")));
    assert!(all.difference_count > 0 && sums.difference_count == all.difference_count);
    assert!(trades.identical() && trades.artifacts > 0);
    assert_eq!(all.events, trades.events, "everything is folded");
    assert!(sums.artifacts + trades.artifacts < all.artifacts + 1);
    assert!(of(Some("NONE"), None).identical());
}
