//! Other definitions and missing events, beside the record.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::Journal;
use orrery_journal::event::Kind;
use orrery_journal::units::Seq;
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::compare::{Span, day_span};
use orrery_replay::derived::Derived;
use orrery_replay::driver::Threads;
use orrery_replay::fold::World;
use orrery_replay::tally::FamilyTally;
use orrery_replay::what_if::{Question, WhatIf, what_if};
use orrery_replay::without::{Sort, Without};

use crate::toy::{self, Toys, toys};

fn asked(journal: &Journal, world: &Arc<dyn World>, without: &Without, span: Span) -> WhatIf {
    let derived = Derived::in_memory();
    let options = CatchUpOptions { checkpoint_events: 100, ..CatchUpOptions::default() };
    let go_on = &mut |_| ControlFlow::Continue(());
    catch_up(journal, &derived, toys(), options, go_on).expect("a good journal");
    let before = derived.families().expect("memory");
    let question = Question { span, world, without, threads: Threads::new(2) };
    let found = what_if(journal, &derived, &toys(), &question, &mut |_| ControlFlow::Continue(()))
        .expect("a good journal");
    assert_eq!(derived.families().expect("memory"), before, "nothing is written");
    assert!(found.complete);
    found
}

fn of<'a>(found: &'a WhatIf, family: &'a str) -> impl Iterator<Item = &'a FamilyTally> {
    found.tally.families().iter().filter(move |((_, f), _)| **f == *family).map(|(_, tally)| tally)
}

fn second_day(journal: &Journal) -> Span {
    let days = journal.days().expect("memory");
    day_span(journal, days[1].day).expect("the second day")
}

#[test]
fn the_same_question_has_the_same_answer() {
    let journal = toy::journal(&toy::facts(31, 900, 2), 40);
    let span = second_day(&journal);
    let found = asked(&journal, &toys(), &Without::default(), span);
    assert_eq!(found.events, span.last.0 - span.first.0 + 1);
    assert_eq!(found.warm_up_events, 0, "the day opens with a checkpoint");
    let mut versions = 0;
    for (name, family) in found.tally.families() {
        assert_eq!((family.differing, &family.first), (0, &None), "{name:?}");
        assert_eq!(family.left_versions, family.right_versions);
        versions += family.left_versions;
    }
    assert!(versions > 100);
}

#[test]
fn what_is_left_out_is_missing_and_leaves_its_moment() {
    let journal = toy::journal(&toy::facts(32, 900, 2), 40);
    let span = second_day(&journal);
    let trades = Sort { kinds: BTreeSet::from([Kind::Trade]), ..Sort::default() };
    let without = Without { from: span.first, sorts: vec![trades] };
    let found = asked(&journal, &toys(), &without, span);
    assert!(of(&found, "trade").any(|f| f.left_versions > 0));
    for trade in of(&found, "trade") {
        assert_eq!(trade.right_versions, 0);
        assert_eq!(trade.differing, trade.instants);
    }
    for sum in of(&found, "sum") {
        assert_eq!((sum.differing, sum.left_versions), (0, sum.right_versions), "time passed");
    }

    // Quotes make the sums; the first one that is missing is the first to tell.
    let quotes = Sort { kinds: BTreeSet::from([Kind::Quote]), ..Sort::default() };
    let without = Without { from: span.first, sorts: vec![quotes] };
    let found = asked(&journal, &toys(), &without, span);
    let sums: Vec<_> = of(&found, "sum").collect();
    assert!(sums.iter().all(|sum| sum.differing > 0), "{sums:#?}");
    for sum in sums {
        let first = sum.first.as_ref().expect("they differ");
        assert!(first.at >= span.first);
        assert!(sum.cells.contains_key("/sum") && !sum.cells.contains_key("/definitions"));
        let (path, biggest) = sum.biggest()[0];
        assert_eq!(sum.cells.values().filter_map(|c| c.largest).reduce(f64::max), biggest.largest);
        assert!(sum.mean(path).expect("a number") <= biggest.largest.expect("a number"));
    }
}

#[test]
fn definitions_stay_and_a_range_ends_where_it_says() {
    let journal = toy::journal(&toy::facts(33, 900, 2), 40);
    let span = second_day(&journal);
    let last = Seq(span.first.0 + 20);
    let all = Sort { seqs: Some((Seq::FIRST, last)), ..Sort::default() };
    let without = Without { from: span.first, sorts: vec![all] };
    let mut gone = 0;
    for stretch in journal.read(Seq::FIRST, journal.head().seq) {
        let stretch = stretch.expect("memory");
        for (seq, event) in (stretch.first.0..).map(Seq).zip(&*stretch.events) {
            let out = without.leaves_out(seq, event);
            assert!(!(out && event.body.kind().is_bookkeeping()));
            assert!(!out || (span.first <= seq && seq <= last), "{seq}");
            gone += u64::from(out);
        }
    }
    assert!(gone > 0);
    asked(&journal, &toys(), &without, span);
}

#[test]
fn other_definitions_are_folded_from_the_first_event_on() {
    let journal = toy::journal(&toy::facts(34, 900, 2), 40);
    let span = second_day(&journal);
    let other: Arc<dyn World> = Arc::new(Toys { configuration: 2 });
    let found = asked(&journal, &other, &Without::default(), span);
    assert_eq!(found.warm_up_events, span.first.0 - 1);
    // What the other definition weighs differs, and nothing else does.
    for ((_, family), tally) in found.tally.families() {
        let cells: Vec<&str> = tally.cells.keys().map(String::as_str).collect();
        let expected: &[&str] = if **family == *"sum" { &["/mean"] } else { &[] };
        assert_eq!(cells, expected, "{family}");
    }
}
