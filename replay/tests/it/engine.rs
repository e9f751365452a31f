//! What the engine gives to whom, when, and what it refuses.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::event::{Body, Event, InlineText, JournalEvent, Quote};
use orrery_journal::units::{Address, InstrumentId, RecvTime, Seq, SourceId};
use orrery_journal::{ReadError, Stretch};
use orrery_replay::driver::{FoldError, Source, Threads, fold_range};
use orrery_replay::engine::{Engine, EngineError, EngineRestoreError};
use orrery_replay::fold::{Fold, Input, Outbox, Output, RestoreError, World};

use crate::toy::{self, Rebatched, Toy, Toys};

/// Puts out one line for each thing that it is told.
#[derive(Default)]
struct Diary {
    due: Option<RecvTime>,
    step_ns: i64,
}

impl Diary {
    fn say(out: &mut Outbox, what: String) {
        out.outputs.push(Output {
            family: "diary",
            profile: "diary@1",
            epoch: None,
            body: what.into(),
            by: None,
        });
    }
}

impl Fold for Diary {
    fn apply(&mut self, input: &Input<'_>, out: &mut Outbox) {
        Diary::say(out, format!("{} {}", input.seq, input.event.body.kind().name()));
    }
    fn next_due(&self) -> Option<RecvTime> {
        self.due
    }
    fn fire(&mut self, due: RecvTime, out: &mut Outbox) {
        Diary::say(out, format!("timer {}", due.0));
        self.due = Some(due.plus_nanos(self.step_ns));
    }
    fn save(&self, _out: &mut Vec<u8>) {}
    fn restore(&mut self, _bytes: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Diaries {
    step_ns: i64,
}

impl World for Diaries {
    fn configuration(&self) -> Address {
        Address::default()
    }
    fn partitions(&self, ticker: &str) -> Vec<Box<str>> {
        ticker.chars().map(|c| c.to_string().into()).collect()
    }
    fn fold(&self, _partition: &str) -> Box<dyn Fold> {
        Box::new(Diary { due: Some(RecvTime(100)), step_ns: self.step_ns })
    }
}

fn event(seq: u64, recv: i64, instrument: u32, body: Body) -> JournalEvent {
    let event = Event {
        recv: RecvTime(recv),
        vendor_time: None,
        instrument: InstrumentId(instrument),
        source: SourceId::JOURNAL,
        extended: false,
        body,
    };
    JournalEvent { seq: Seq(seq), event }
}

fn defined(seq: u64, recv: i64, id: u32, ticker: &str) -> JournalEvent {
    event(seq, recv, id, Body::InstrumentDefined(InlineText::Inline(ticker.into())))
}

fn quote(seq: u64, recv: i64, id: u32) -> JournalEvent {
    event(seq, recv, id, Body::Quote(Quote::default()))
}

fn diary(events: &[JournalEvent], step_ns: i64) -> Result<Vec<String>, EngineError> {
    let mut engine = Engine::new(Arc::new(Diaries { step_ns }));
    let mut made = Vec::new();
    for event in events {
        engine.apply(event, None, &mut made)?;
    }
    Ok(made
        .iter()
        .map(|m| {
            let header = &m.artifact.header;
            let body = String::from_utf8_lossy(&m.artifact.body);
            format!(
                "{}@{}: {body} (seen {}, at {})",
                header.symbol, m.at, header.seq_last, header.created_at.0
            )
        })
        .collect())
}

#[test]
fn events_and_timers_reach_those_they_concern_in_order() {
    let events = [
        event(1, 10, 0, Body::ClockBeat),
        defined(2, 20, 1, "ab"),
        defined(3, 30, 2, "b"),
        quote(4, 99, 1),
        quote(5, 250, 2),
        event(6, 260, 0, Body::Extension(Address::default())),
        event(7, 300, 0, Body::ClockBeat),
    ];
    let lines = diary(&events, 100).expect("a good journal");
    let expected = [
        "a@2: 2 instrument_defined (seen 2, at 20)",
        "b@2: 2 instrument_defined (seen 2, at 20)",
        "b@3: 3 instrument_defined (seen 3, at 30)",
        "a@4: 4 quote (seen 4, at 99)",
        "b@4: 4 quote (seen 4, at 99)",
        "a@5: timer 100 (seen 4, at 100)",
        "a@5: timer 200 (seen 4, at 200)",
        "b@5: timer 100 (seen 4, at 100)",
        "b@5: timer 200 (seen 4, at 200)",
        "b@5: 5 quote (seen 5, at 250)",
        "a@7: timer 300 (seen 4, at 300)",
        "a@7: 7 clock_beat (seen 7, at 300)",
        "b@7: timer 300 (seen 5, at 300)",
        "b@7: 7 clock_beat (seen 7, at 300)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_timer_that_does_not_move_is_an_error_and_no_endless_loop() {
    let events = [defined(1, 10, 1, "a"), quote(2, 200, 1)];
    let error = diary(&events, 0).expect_err("stuck");
    assert_eq!(
        error,
        EngineError::StuckTimer { partition: "a".into(), due: RecvTime(100), seq: Seq(2) }
    );
}

#[test]
fn a_journal_that_contradicts_itself_is_refused() {
    let cases: [(&[JournalEvent], EngineError); 4] = [
        (&[quote(2, 0, 0)], EngineError::OutOfOrder { expected: Seq(1), got: Seq(2) }),
        (&[quote(1, 0, 9)], EngineError::UndefinedInstrument { seq: Seq(1), id: InstrumentId(9) }),
        (
            &[defined(1, 0, 1, "a"), defined(2, 0, 1, "b")],
            EngineError::Redefined {
                seq: Seq(2),
                id: InstrumentId(1),
                was: "a".into(),
                now: "b".into(),
            },
        ),
        (&[event(1, 0, 0, Body::Control(Address::default()))], EngineError::Blob { seq: Seq(1) }),
    ];
    for (events, expected) in cases {
        assert_eq!(diary(events, 100).expect_err("contradiction"), expected);
    }
}

#[test]
fn after_an_error_an_engine_takes_nothing_more() {
    let mut engine = Engine::new(Arc::new(Diaries { step_ns: 0 }));
    let mut made = Vec::new();
    engine.apply(&defined(1, 10, 1, "a"), None, &mut made).expect("fine");
    engine.apply(&quote(2, 200, 1), None, &mut made).expect_err("stuck");
    let again = engine.apply(&quote(2, 200, 1), None, &mut made);
    assert_eq!(again, Err(EngineError::Abandoned));
}

#[test]
fn saved_bytes_are_taken_whole_or_not_at_all() {
    let journal = toy::journal(&toy::facts(5, 200, 1), 10);
    let mut engine = Engine::new(toy::toys());
    toy::fold(&journal, &mut engine, Seq::MAX, 1);
    let saved = engine.save();
    for cut in 0..saved.len() {
        assert!(Engine::restore(toy::toys(), &saved[..cut]).is_err(), "cut at {cut}");
    }
    let mut longer = saved.clone();
    longer.push(0);
    assert!(Engine::restore(toy::toys(), &longer).is_err());
    assert!(matches!(
        Engine::restore(Arc::new(Toys { configuration: 2 }), &saved),
        Err(EngineRestoreError::Configuration { .. })
    ));
    let toy: &Toy = engine.fold_as("A").expect("a partition of the toys");
    let back = Engine::restore(toy::toys(), &saved).expect("own bytes");
    assert_eq!(back.fold_as::<Toy>("A"), Some(toy));
    assert!(engine.fold("X").is_none());
}

/// A source whose blobs are gone, or whose third stretch is damaged.
struct Damaged<'a> {
    good: Rebatched<'a>,
    blobs: bool,
}

impl Source for Damaged<'_> {
    fn stretches(
        &self,
        from: Seq,
        to: Seq,
    ) -> Box<dyn Iterator<Item = Result<Stretch, ReadError>> + Send + '_> {
        let good = self.good.stretches(from, to);
        if !self.blobs {
            return good;
        }
        let damage = ReadError::Missing { from: Seq(61), to: Seq(90) };
        Box::new(good.take(2).chain([Err(damage)]))
    }
    fn blob(&self, address: Address) -> Result<bytes::Bytes, ReadError> {
        if self.blobs { self.good.blob(address) } else { Err(ReadError::BlobMissing { address }) }
    }
}

#[test]
fn damage_ends_the_fold_with_everything_before_it_delivered() {
    let journal = toy::journal(&toy::facts(3, 300, 1), 10);
    for threads in [1, 2, 4] {
        let source = Damaged { good: Rebatched::new(&journal, 30), blobs: true };
        let mut engine = Engine::new(toy::toys());
        let mut reached = Seq::BEFORE_FIRST;
        let error = fold_range(&source, &mut engine, Seq::MAX, Threads::new(threads), &mut |f| {
            reached = f.reached.seq;
            ControlFlow::Continue(())
        })
        .expect_err("damaged");
        assert!(matches!(error, FoldError::Read(ReadError::Missing { .. })), "{error}");
        assert_eq!(reached, Seq(60), "{threads} threads");
    }
}

#[test]
fn a_missing_blob_names_the_event() {
    let journal = toy::journal(&toy::facts(3, 300, 1), 10);
    let wanted = toy::events(&journal)
        .into_iter()
        .find(|e| Engine::blob_needed(&e.event).is_some())
        .expect("the toys have blobs");
    let mut seqs = Vec::new();
    for threads in [1, 2] {
        let source = Damaged { good: Rebatched::new(&journal, 30), blobs: false };
        let mut engine = Engine::new(toy::toys());
        let error = fold_range(&source, &mut engine, Seq::MAX, Threads::new(threads), &mut |_| {
            ControlFlow::Continue(())
        })
        .expect_err("no blobs");
        let FoldError::Blob { seq, .. } = error else { panic!("{error}") };
        assert!(seq >= wanted.seq);
        seqs.push(seq);
    }
    assert_eq!(seqs[0], seqs[1]);
}

#[test]
fn a_sink_that_stops_gets_nothing_more() {
    let journal = toy::journal(&toy::facts(3, 300, 1), 10);
    for threads in [1, 2] {
        let mut engine = Engine::new(toy::toys());
        let mut calls = 0;
        let source = Rebatched::new(&journal, 20);
        let summary =
            fold_range(&source, &mut engine, Seq::MAX, Threads::new(threads), &mut |_| {
                calls += 1;
                ControlFlow::Break(())
            })
            .expect("no damage");
        assert!(summary.stopped);
        assert_eq!((calls, summary.events), (1, 20));
        let mut made = Vec::new();
        assert_eq!(engine.advance(RecvTime(0), &mut made), Err(EngineError::Abandoned));
    }
}

#[test]
#[should_panic(expected = "a fold that panics")]
fn a_panic_in_a_worker_is_not_swallowed() {
    struct Bombs;
    struct Bomb;
    impl Fold for Bomb {
        fn apply(&mut self, _input: &Input<'_>, _out: &mut Outbox) {
            panic!("a fold that panics");
        }
        fn next_due(&self) -> Option<RecvTime> {
            None
        }
        fn fire(&mut self, _due: RecvTime, _out: &mut Outbox) {}
        fn save(&self, _out: &mut Vec<u8>) {}
        fn restore(&mut self, _bytes: &[u8]) -> Result<(), RestoreError> {
            Ok(())
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }
    impl World for Bombs {
        fn configuration(&self) -> Address {
            Address::default()
        }
        fn partitions(&self, _ticker: &str) -> Vec<Box<str>> {
            vec!["bomb".into()]
        }
        fn fold(&self, _partition: &str) -> Box<dyn Fold> {
            Box::new(Bomb)
        }
    }
    let journal = toy::journal(&toy::facts(3, 300, 1), 10);
    let mut engine = Engine::new(Arc::new(Bombs));
    toy::fold(&Rebatched::new(&journal, 7), &mut engine, Seq::MAX, 2);
}

/// A fold may ask for a moment that is over; its artifacts are stamped with the
/// time at which that could be known, so that stamps never run backwards.
#[test]
fn a_moment_that_is_over_is_stamped_with_now() {
    let events = [defined(1, 500, 1, "a"), quote(2, 510, 1)];
    let lines = diary(&events, 401).expect("a good journal");
    let expected = [
        "a@1: 1 instrument_defined (seen 1, at 500)",
        "a@2: timer 100 (seen 1, at 500)",
        "a@2: timer 501 (seen 1, at 501)",
        "a@2: 2 quote (seen 2, at 510)",
    ];
    assert_eq!(lines, expected);
}
