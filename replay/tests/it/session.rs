//! A session says what the day said, however one walks through it.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::event::Kind;
use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{Filter, Journal};
use orrery_replay::as_of::{At, as_of};
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::compare::day_span;
use orrery_replay::derived::Derived;
use orrery_replay::driver::Threads;
use orrery_replay::engine::{Engine, Made};
use orrery_replay::fold::World;
use orrery_replay::session::{
    Mask, Moment, Pacer, Plan, Session, SessionError, Speed, State, Target, Tick, Unit,
};
use proptest::prelude::*;

use crate::toy::{self, Dice, Toys, toys};

fn go_on(_: Moment) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn caught_up(journal: &Journal, every: u64) -> Derived {
    let derived = Derived::in_memory();
    let options = CatchUpOptions { threads: Threads::ONE, checkpoint_events: every };
    catch_up(journal, &derived, toys(), options, &mut |_| ControlFlow::Continue(()))
        .expect("a good journal");
    derived
}

fn open(journal: &Journal, derived: &Derived, world: Arc<dyn World>, plan: Plan) -> Session {
    let pacer = Pacer::new(Speed::Max, None);
    Session::open(journal.clone(), derived.clone(), world, plan, pacer, &mut go_on)
        .expect("a good plan")
}

fn plan(journal: &Journal, first: u64, last: u64) -> Plan {
    Plan::new(journal, Seq(first), Seq(last), None, Mask::default()).expect("a range")
}

/// Plays to the end.
fn play(session: &mut Session) -> Vec<Made> {
    let mut made = Vec::new();
    session.play(0);
    while session.tick(0, &mut made).expect("a good journal") == Tick::Passed {}
    assert_eq!(session.state(), State::Ended);
    made
}

/// What came out, in the one order that does not depend on how timers of
/// several partitions were told apart: by partition.
fn headers(made: &[Made]) -> Vec<String> {
    let mut made: Vec<&Made> = made.iter().collect();
    made.sort_by_key(|m| m.partition);
    made.iter().map(|m| format!("{:?}", m.artifact.header)).collect()
}

/// What the batch makes of `first..=last`.
fn batch(journal: &Journal, world: Arc<dyn World>, first: u64, last: u64) -> (Engine, Vec<Made>) {
    let mut engine = Engine::new(world);
    toy::fold(journal, &mut engine, Seq(first - 1), 1);
    let made = toy::fold(journal, &mut engine, Seq(last), 1);
    (engine, made)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_played_range_is_the_batch_bit_for_bit(
        seed in any::<u64>(), every in 1u64..200, ends in any::<[u64; 2]>(),
    ) {
        let journal = toy::journal(&toy::facts(seed, 300, 2), 10);
        let derived = caught_up(&journal, every);
        let head = journal.head().seq.0;
        let [one, other] = ends.map(|n| n % head + 1);
        let (first, last) = (one.min(other), one.max(other));
        let mut session = open(&journal, &derived, toys(), plan(&journal, first, last));
        let made = play(&mut session);
        let (engine, expected) = batch(&journal, toys(), first, last);
        prop_assert_eq!(headers(&made), headers(&expected));
        prop_assert!(session.engine().save() == engine.save());
    }

    #[test]
    fn however_it_is_stepped_nothing_is_lost_and_nothing_comes_twice(
        seed in any::<u64>(), units in prop::collection::vec((0usize..4, 1u32..30), 1..80),
    ) {
        let journal = toy::journal(&toy::facts(seed, 300, 2), 10);
        let derived = caught_up(&journal, 100);
        let head = journal.head().seq.0;
        let mut session = open(&journal, &derived, toys(), plan(&journal, 1, head));
        let mut made = Vec::new();
        for (unit, count) in units {
            let unit = [Unit::Event, Unit::Frame, Unit::Timer, Unit::Artifact][unit];
            let (at, start) = (session.at(), made.len());
            let wanted = |m: &Made| &*m.artifact.header.family == "sum";
            let done = session.step(unit, count, &wanted, &mut made, &mut go_on).expect("a step");
            prop_assert!(done == count || session.state() == State::Ended);
            let fresh = &made[start..];
            match unit {
                Unit::Event => prop_assert_eq!(session.at().seq.0, at.seq.0 + u64::from(done)),
                Unit::Artifact if done > 0 => {
                    let moments = fresh.iter().filter(|m| wanted(m));
                    prop_assert!(moments.count() >= done as usize);
                }
                _ => {}
            }
        }
        made.extend(play(&mut session));
        let (_, expected) = batch(&journal, toys(), 1, head);
        prop_assert_eq!(headers(&made), headers(&expected));
    }

    #[test]
    fn a_seek_lands_on_the_state_of_that_moment(
        seed in any::<u64>(), every in 1u64..200, dice in any::<u64>(),
    ) {
        let journal = toy::journal(&toy::facts(seed, 300, 2), 10);
        let derived = caught_up(&journal, every);
        let (first, head) = (40, journal.head());
        let mut session = open(&journal, &derived, toys(), plan(&journal, first, head.seq.0));
        let begin = session.plan().opening.time;
        let mut dice = Dice(dice);
        for _ in 0..12 {
            let seq = Seq(first - 1 + dice.below(head.seq.0 - first + 2));
            let time = begin.plus_nanos(dice.below((head.recv.0 - begin.0) as u64) as i64);
            let at = if dice.below(2) == 0 { At::Seq(seq) } else { At::Time(time) };
            let target = match at {
                At::Seq(seq) => Target::Seq(seq),
                At::Time(time) => Target::Time(time),
            };
            match session.seek(target, &mut go_on) {
                Ok(()) => {
                    let expected = as_of(&journal, &derived, &toys(), at).expect("a moment");
                    prop_assert!(session.engine().save() == expected.save(), "{:?}", at);
                    prop_assert_eq!(session.at().seq, expected.position().seq);
                }
                // Before the first event of the session.
                Err(SessionError::Outside { first, .. }) => {
                    prop_assert!(matches!(at, At::Time(t) if t < first.time));
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    #[test]
    fn what_is_left_out_never_happened(seed in any::<u64>(), from in 200usize..280) {
        let facts = toy::facts(seed, 400, 1);
        let journal = toy::journal(&facts, 10);
        // The journal of a world in which no quote came any more.
        let quotes = |f: &orrery_journal::event::Draft| {
            matches!(f.body, orrery_journal::event::DraftBody::Quote { .. })
        };
        let rest = facts[from..].iter().filter(|f| !quotes(f)).cloned();
        let other: Vec<_> = facts[..from].iter().cloned().chain(rest).collect();
        let other = toy::journal(&other, 10);
        let known = toy::journal(&facts[..from], 10);
        prop_assume!(known.instruments() == journal.instruments());
        let begin = known.head().seq;

        let derived = caught_up(&journal, 50);
        let mask = Mask { without: Some(Filter::new().kinds([Kind::Quote])), ..Mask::default() };
        let plan = Plan::new(&journal, begin.next(), journal.head().seq, None, mask);
        let mut session = open(&journal, &derived, toys(), plan.expect("a range"));
        let (_, expected) = batch(&other, toys(), begin.0 + 1, other.head().seq.0);
        let said = |made: &[Made]| -> Vec<String> {
            let mut made: Vec<&Made> = made.iter().collect();
            made.sort_by_key(|m| m.partition);
            // Positions differ: in that world there were fewer events.
            made.iter().map(|m| &m.artifact).map(|a| {
                let h = &a.header;
                format!("{} {} v{} {} {:?}", h.symbol, h.family, h.version, h.created_at, a.body)
            }).collect()
        };
        let made = play(&mut session);
        // The last timers of that world may lie behind its own last event.
        let (got, want) = (said(&made), said(&expected));
        prop_assert!(got.len() >= want.len() && want.iter().all(|line| got.contains(line)));
        let late = journal.head().recv > other.head().recv;
        prop_assert!(got.len() == want.len() || late, "{} {}", got.len(), want.len());

        // Back and forth through what is left out, without a checkpoint that
        // knows of it.
        let end = session.engine().save();
        session.seek(Target::Opening, &mut go_on).expect("the opening");
        session.seek(Target::Seq(journal.head().seq), &mut go_on).expect("the end");
        prop_assert!(session.engine().save() == end);
    }

    #[test]
    fn a_branch_goes_on_from_where_its_origin_stands(seed in any::<u64>(), steps in 1u32..250) {
        let journal = toy::journal(&toy::facts(seed, 300, 2), 10);
        let derived = caught_up(&journal, 100);
        let head = journal.head().seq.0;
        let mut origin = open(&journal, &derived, toys(), plan(&journal, 20, head));
        origin.step(Unit::Timer, steps, &|_| true, &mut Vec::new(), &mut go_on).expect("steps");
        let same = origin.branch_plan(Mask::default());
        let mut branch = origin.branch(same.clone(), &mut go_on).expect("a branch");
        prop_assert_eq!(branch.at(), origin.at());
        // Under other definitions: as though they had held from the first event.
        let world: Arc<dyn World> = Arc::new(Toys { configuration: 2 });
        let mut other = open(&journal, &derived, Arc::clone(&world), same);
        prop_assert_eq!(other.at(), origin.at());
        if origin.state() != State::Ended {
            let (rest, twin) = (play(&mut origin), play(&mut branch));
            prop_assert_eq!(headers(&rest), headers(&twin));
            play(&mut other);
        }
        let (expected, _) = batch(&journal, world, 1, head);
        prop_assert!(other.engine().save() == expected.save());
        prop_assert!(branch.engine().save() == origin.engine().save());
    }
}

#[test]
fn a_frame_ends_where_what_was_stored_together_ends() {
    let journal = toy::journal(&toy::facts(3, 300, 1), 10);
    let derived = caught_up(&journal, 100);
    let head = journal.head().seq;
    let ends: Vec<Seq> = journal
        .read(Seq::FIRST, head)
        .map(|s| s.map(|s| Seq(s.first.0 + s.events.len() as u64 - 1)).expect("undamaged"))
        .collect();
    assert!(ends.len() > 20, "{} frames", ends.len());
    let mut session = open(&journal, &derived, toys(), plan(&journal, 1, head.0));
    for end in ends {
        let done = session.step(Unit::Frame, 1, &|_| true, &mut Vec::new(), &mut go_on);
        assert_eq!((done.expect("a step"), session.at().seq), (1, end));
    }
}

#[test]
fn landmarks_are_found_where_a_linear_scan_finds_them() {
    let journal = toy::journal(&toy::facts(11, 400, 2), 10);
    let derived = caught_up(&journal, 50);
    let head = journal.head().seq;
    let gaps: Vec<Seq> = toy::events(&journal)
        .iter()
        .filter(|e| e.event.body.kind() == Kind::Gap)
        .map(|e| e.seq)
        .collect();
    let mut session = open(&journal, &derived, toys(), plan(&journal, 1, head.0));
    let found: Vec<Seq> = std::iter::from_fn(|| {
        let stood = session.at();
        match session.seek_gap(&mut go_on) {
            Ok(()) => Some(session.at().seq),
            Err(SessionError::NoneLeft { at, .. }) => {
                assert_eq!((at, session.at()), (stood, stood), "it stays where it stood");
                None
            }
            Err(other) => panic!("{other}"),
        }
    })
    .collect();
    assert!(gaps.len() > 2 && found == gaps, "{found:?} {gaps:?}");

    // A family of one partition, from the middle on.
    let wanted =
        |m: &Made| &*m.artifact.header.symbol == "A" && &*m.artifact.header.family == "trade";
    let (_, all) = batch(&journal, toys(), 1, head.0);
    let from = Seq(head.0 / 3);
    let expected: Vec<u64> = all
        .iter()
        .filter(|m| wanted(m) && m.artifact.header.seq_last > from)
        .map(|m| m.artifact.header.version)
        .collect();
    session.seek(Target::Seq(from), &mut go_on).expect("inside");
    let mut found = Vec::new();
    loop {
        let mut seen = None;
        let mut probe = |_: &Engine, made: &[Made]| {
            seen = made.iter().find(|m| wanted(m)).map(|m| m.artifact.header.version);
            seen.is_some()
        };
        let sought = session.seek_until("trade", &mut probe, &mut go_on);
        match (sought, seen) {
            (Ok(()), Some(version)) => found.push(version),
            (Err(SessionError::NoneLeft { what, .. }), None) => break assert_eq!(what, "trade"),
            other => panic!("{other:?}"),
        }
    }
    assert!(!expected.is_empty() && found == expected, "{found:?} {expected:?}");
    // In vain, so the session has not moved, and goes on as though it had not tried.
    let rest = play(&mut session);
    let after = found.last().copied();
    assert!(rest.iter().all(|m| !wanted(m) || Some(m.artifact.header.version) > after));
}

#[test]
fn a_long_way_back_begins_at_a_remembered_state() {
    let journal = toy::journal(&toy::facts(5, 150_000, 1), 4_096);
    let derived = Derived::in_memory();
    let head = journal.head().seq;
    let mut session = open(&journal, &derived, toys(), plan(&journal, 1, head.0));
    session.seek(Target::Seq(head), &mut go_on).expect("the end");
    assert_eq!(session.state(), State::Ended);
    let folded = session.folded();
    assert_eq!(folded, head.0);
    session.seek(Target::Seq(Seq(140_000)), &mut go_on).expect("inside");
    let again = session.folded() - folded;
    assert!(again < 70_000, "{again} events for the way back");
    assert_eq!(session.state(), State::Paused, "whoever goes back may play again");
    let expected = as_of(&journal, &derived, &toys(), At::Seq(Seq(140_000))).expect("a moment");
    assert!(session.engine().save() == expected.save());
}

#[test]
fn the_clock_is_kept_at_the_speed_that_is_set() {
    let journal = toy::journal(&toy::facts(8, 300, 1), 10);
    let derived = caught_up(&journal, 100);
    let head = journal.head();
    let mut session = open(&journal, &derived, toys(), plan(&journal, 2, head.seq.0));
    session.set_speed(Speed::times(4.0).expect("a speed"), 0);
    session.play(0);
    let first =
        journal.read(Seq(2), Seq(2)).next().expect("one").expect("undamaged").events[0].recv;
    let (mut wall, mut made) = (0, Vec::new());
    loop {
        match session.tick(wall, &mut made).expect("a good journal") {
            Tick::Passed => {
                let virtual_ns = session.at().time.0.saturating_sub(first.0);
                assert!(virtual_ns <= 4 * wall, "{virtual_ns} in {wall}");
            }
            Tick::Wait(nanos) => wall += nanos,
            Tick::Still => break,
        }
    }
    // And no later than needed: each wait was slept to its end.
    let length = head.recv.0 - first.0;
    assert!(4 * wall >= length && 4 * wall < length + 4 * 300, "{wall} for {length}");
}

#[test]
fn bad_ranges_and_moments_are_named() {
    let journal = toy::journal(&toy::facts(8, 300, 2), 10);
    let derived = caught_up(&journal, 100);
    let head = journal.head();
    let range = |first, last| Plan::new(&journal, Seq(first), Seq(last), None, Mask::default());
    let told = range(20, 10).expect_err("inverted").to_string();
    assert!(told.contains("event 10") && told.contains("event 20"), "{told}");
    assert!(matches!(range(0, 10), Err(SessionError::Inverted { .. })));
    assert!(matches!(range(1, head.seq.0 + 1), Err(SessionError::AsOf(_))));

    let day = journal.days().expect("days")[1].day;
    let span = day_span(&journal, day).expect("the second day");
    let mut session = open(&journal, &derived, toys(), plan(&journal, span.first.0, span.last.0));
    let stood = session.at();
    for target in [
        Target::Seq(Seq(span.first.0 - 2)),
        Target::Seq(head.seq.next()),
        Target::Time(toy::START),
        Target::Time(RecvTime(i64::MAX)),
    ] {
        let refused = session.seek(target, &mut go_on).expect_err("outside");
        assert!(matches!(refused, SessionError::Outside { .. }), "{refused}");
        let told = refused.to_string();
        assert!(told.contains(&format!("event {} to {}", span.first, span.last)), "{told}");
        assert_eq!(session.at(), stood);
    }
    let broken = session.seek(Target::Seq(span.last), &mut |_| ControlFlow::Break(()));
    assert!(broken.is_ok(), "a short way is not asked about: {broken:?}");
}

#[test]
fn whoever_breaks_off_is_told_where() {
    let journal = toy::journal(&toy::facts(8, 2_000, 1), 10);
    let derived = Derived::in_memory();
    let head = journal.head().seq;
    let mut session = open(&journal, &derived, toys(), plan(&journal, 1, head.0));
    let stop = &mut |_: Moment| ControlFlow::Break(());
    let broken = session.seek(Target::Seq(head), stop).expect_err("broken off");
    assert!(matches!(broken, SessionError::Stopped { at } if at.seq > Seq(0) && at.seq < head));
    let stood = session.at();
    let mut never = |_: &Engine, _: &[Made]| false;
    let broken = session.seek_until("nothing", &mut never, stop).expect_err("broken off");
    assert!(matches!(broken, SessionError::Stopped { .. }));
    assert_eq!(session.at(), stood, "a search that is broken off moves nothing");
}
