//! What was known at a moment, and nothing that came later.

use orrery_journal::units::{RecvTime, Seq};
use orrery_replay::as_of::{AsOfError, At, as_of, body, latest};
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::derived::{BODY_WINDOW, Derived, KEYFRAME_EVERY};
use orrery_replay::driver::Threads;
use orrery_replay::engine::{Engine, Made};
use proptest::prelude::*;

use crate::toy::{self, toys};

fn options(checkpoint_events: u64) -> CatchUpOptions {
    CatchUpOptions { threads: Threads::ONE, checkpoint_events }
}

fn caught_up(journal: &orrery_journal::Journal, every: u64) -> Derived {
    let derived = Derived::in_memory();
    catch_up(journal, &derived, toys(), options(every), &mut |_| {
        std::ops::ControlFlow::Continue(())
    })
    .expect("a good journal");
    derived
}

/// The engine at a position, folded from scratch.
fn at(journal: &orrery_journal::Journal, seq: Seq) -> (Engine, Vec<Made>) {
    let mut engine = Engine::new(toys());
    let made = toy::fold(journal, &mut engine, seq, 1);
    (engine, made)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn nothing_later_can_be_seen(
        seed in any::<u64>(), other in any::<u64>(), cut in 1usize..300, every in 1u64..100,
    ) {
        let facts = toy::facts(seed, 300, 2);
        let short = toy::journal(&facts[..cut], 10);
        let head = short.head();
        // The same past, another future: later facts replaced, as late as they are.
        let long = toy::journal(&facts[..cut], 10);
        let mut future = toy::facts(other, 200, 1);
        for fact in &mut future {
            fact.recv = fact.recv.map(|t| t.plus_nanos(head.recv.0 - toy::START.0 + 1));
        }
        toy::append(&long, &future, 10);
        let (alone, with_future) = (caught_up(&short, every), caught_up(&long, every));
        for question in [At::Seq(head.seq), At::Time(head.recv)] {
            let left = as_of(&short, &alone, &toys(), question).expect("known");
            let right = as_of(&long, &with_future, &toys(), question).expect("known");
            prop_assert!(left.save() == right.save());
            for (symbol, family) in alone.families().expect("memory") {
                prop_assert_eq!(
                    latest(&short, &alone, &symbol, &family, question).expect("memory"),
                    latest(&long, &with_future, &symbol, &family, question).expect("memory")
                );
            }
        }
    }

    #[test]
    fn any_moment_is_what_folding_to_it_gives(seed in any::<u64>(), cuts in any::<[u64; 4]>()) {
        let journal = toy::journal(&toy::facts(seed, 300, 2), 10);
        let derived = caught_up(&journal, 50);
        for cut in cuts {
            let seq = Seq(cut % (journal.head().seq.0 + 1));
            let (mut expected, mut made) = at(&journal, seq);
            let now = expected.position().recv;
            expected.advance(now, &mut made).expect("nothing stuck");
            let found = as_of(&journal, &derived, &toys(), At::Seq(seq)).expect("known");
            prop_assert!(found.save() == expected.save());
            for (symbol, family) in derived.families().expect("memory") {
                let last = made.iter().rev().map(|m| &m.artifact.header)
                    .find(|h| h.symbol == symbol && h.family == family);
                let header = latest(&journal, &derived, &symbol, &family, At::Seq(seq)).expect("memory");
                prop_assert_eq!(header.as_ref(), last, "{} {}", symbol, family);
            }
        }
    }
}

#[test]
fn a_time_between_events_has_fired_what_was_due() {
    let journal = toy::journal(&toy::facts(4, 300, 2), 10);
    let derived = caught_up(&journal, 64);
    let days = journal.days().expect("memory");
    let last = days[0].last;
    let night = days[0].last_recv.plus_nanos(10 * toy::CADENCE_NS);
    assert!(night < days[1].first_recv);
    let (mut expected, _) = at(&journal, last);
    let at_the_event = expected.save();
    expected.advance(night, &mut Vec::new()).expect("nothing stuck");
    assert!(expected.save() != at_the_event, "nothing was due that night");
    let found = as_of(&journal, &derived, &toys(), At::Time(night)).expect("known");
    assert_eq!(found.position().seq, last);
    assert!(found.save() == expected.save());
    for (symbol, family, line) in found.lines() {
        let header = latest(&journal, &derived, symbol, family, At::Time(night)).expect("memory");
        assert_eq!(header.map(|h| h.version), Some(line.version), "{symbol} {family}");
    }
}

#[test]
fn before_the_first_event_nothing_is_known_and_after_the_head_nothing_more() {
    let journal = toy::journal(&toy::facts(4, 300, 1), 10);
    let derived = caught_up(&journal, 64);
    let before = as_of(&journal, &derived, &toys(), At::Time(RecvTime(0))).expect("known");
    assert_eq!(before.position().seq, Seq::BEFORE_FIRST);
    let head = journal.head();
    let later = At::Time(head.recv.plus_nanos(10 * toy::CADENCE_NS));
    let found = as_of(&journal, &derived, &toys(), later).expect("known");
    let expected = as_of(&journal, &derived, &toys(), At::Time(head.recv)).expect("known");
    assert_eq!(found.position(), head);
    assert!(found.save() == expected.save());
}

#[test]
fn an_event_that_has_not_happened_is_an_error() {
    let journal = toy::journal(&toy::facts(4, 30, 1), 10);
    let derived = caught_up(&journal, 64);
    let error = as_of(&journal, &derived, &toys(), At::Seq(Seq(99_999))).expect_err("beyond");
    assert!(matches!(error, AsOfError::Beyond { seq: Seq(99_999), .. }));
}

#[test]
fn bodies_beyond_the_window_are_rebuilt_and_checked() {
    let journal = toy::journal(&toy::facts(8, 9_000, 2), 100);
    let derived = caught_up(&journal, 1_000);
    let (_, made) = at(&journal, Seq::MAX);
    let newest = derived.latest("A", "trade").expect("memory").expect("many trades").version;
    assert!(newest > BODY_WINDOW + KEYFRAME_EVERY, "{newest} versions are too few for this test");
    let mut rebuilt = 0;
    for artifact in made.iter().map(|m| &m.artifact).filter(|a| &*a.header.symbol == "A").step_by(7)
    {
        let kept = derived.body(&artifact.header).expect("memory");
        rebuilt += usize::from(kept.is_none());
        let found = body(&journal, &derived, &toys(), &artifact.header).expect("in the journal");
        assert_eq!(found, artifact.body);
    }
    assert!(rebuilt > 10, "only {rebuilt} bodies lay beyond the window");
    let mut forged = made[0].artifact.header.clone();
    forged.content.0[0] ^= 1;
    let error = body(&journal, &derived, &toys(), &forged);
    assert!(matches!(error, Err(AsOfError::Rebuilt { .. })), "{error:?}");
}
