//! Drafts in, events out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orrery_journal::event::{
    Body, ChainRows, Draft, DraftBody, InlineText, InstrumentRef, Kind, Trade,
};
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::units::{Address, InstrumentId, RecvTime, Seq, SourceId, TradingDay};
use orrery_journal::{AppendError, Appended, Calendar, Journal};

use crate::support::*;

fn memory() -> Journal {
    Journal::in_memory(Calendar::Utc).expect("opens")
}

#[test]
fn definitions_precede_their_first_use_in_one_append() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    let source = writer.define_source("{\"feed\":\"test\"}").expect("a source");
    assert_eq!(source, SourceId(1));
    assert_eq!(writer.define_source("{\"feed\":\"test\"}"), Ok(source));
    assert_eq!(journal.sources().expect("sources"), [], "without an event it leaves no trace");

    let trade = Trade::default();
    let body = DraftBody::Trade { trade, conditions: [209, 37].into() };
    let long = format!("O:{}", "X".repeat(60));
    let mut one = draft(OPENING, &long, body);
    one.source = source;
    one.extension = Some(Bytes::from_static(b"{\"x\":1}"));
    let appended = writer.append(vec![one.clone()]).expect("queued").wait().expect("durable");
    assert_eq!(appended, Appended { first: Seq(1), last: Seq(5) });

    let all = events(&journal);
    let kinds: Vec<Kind> = all.iter().map(|e| e.body.kind()).collect();
    assert_eq!(
        kinds,
        [
            Kind::SourceDefined,
            Kind::InstrumentDefined,
            Kind::ConditionsDefined,
            Kind::Extension,
            Kind::Trade
        ]
    );
    assert!(all.iter().all(|e| e.source == source && e.recv == RecvTime(OPENING)));
    assert!(all[4].extended && !all[3].extended);
    assert_eq!(
        all[1].body,
        Body::InstrumentDefined(InlineText::Blob(Address::of(long.as_bytes())))
    );
    assert_eq!(journal.ticker(InstrumentId(1)).as_deref(), Some(long.as_str()));
    assert_eq!(journal.instrument(&long), Some(InstrumentId(1)));
    assert_eq!(journal.conditions(1).as_deref(), Some([209, 37].as_slice()));
    assert_eq!(journal.conditions(0).as_deref(), Some([].as_slice()));
    assert_eq!(journal.conditions(2), None);
    let Body::Extension(text) = all[3].body else { panic!("an extension") };
    assert_eq!(journal.blob(text).expect("stored"), "{\"x\":1}");
    let sources = journal.sources().expect("sources");
    assert_eq!(sources[0].events, 1, "bookkeeping does not count");
    assert_eq!(sources[0].descriptor, "{\"feed\":\"test\"}");

    // The second time nothing is new.
    let again = writer.append(vec![one]).expect("queued").wait().expect("durable");
    assert_eq!(again, Appended { first: Seq(6), last: Seq(7) });
    verify_clean(&journal);
}

#[test]
fn a_source_is_defined_in_the_order_of_ids_even_when_used_out_of_order() {
    let store = Arc::new(MemoryStore::new());
    let journal = on(&store);
    let writer = journal.writer(clock).expect("a writer");
    let first = writer.define_source("{\"n\":1}").expect("a source");
    let second = writer.define_source("{\"n\":2}").expect("a source");
    let of = |source| Draft { source, ..beat(OPENING) };
    writer.append(vec![of(second)]).expect("queued").wait().expect("durable");
    writer.append(vec![of(first)]).expect("queued").wait().expect("durable");
    writer.close().expect("closes");
    let again = on(&store);
    let sources = again.sources().expect("sources");
    let counts: Vec<_> = sources.iter().map(|s| (s.id, s.events)).collect();
    assert_eq!(counts, [(first, 1), (second, 1)]);
    assert_eq!(sources, journal.sources().expect("sources"));
}

#[test]
fn time_never_runs_backwards() {
    let journal = memory();
    append(&journal, &[beat(OPENING + 5), beat(OPENING - 5)], &[1]);
    let writer = journal.writer(clock).expect("a writer");
    // The clock is behind as well.
    let late = Draft { recv: None, ..beat(0) };
    writer.append(vec![late]).expect("queued").wait().expect("durable");
    let times: Vec<_> = events(&journal).iter().map(|e| e.recv.0 - OPENING).collect();
    assert_eq!(times, [5, 5, 5]);
    assert_eq!(journal.head().recv, RecvTime(OPENING + 5));
}

#[test]
fn a_draft_without_time_gets_the_clock() {
    let journal = memory();
    append(&journal, &[Draft { recv: None, ..beat(0) }], &[1]);
    assert_eq!(events(&journal)[0].recv, clock());
}

#[test]
fn a_refused_append_leaves_nothing_and_others_go_on() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    let bad = Draft { source: SourceId(9), ..beat(OPENING) };
    let refused = writer.append(vec![quote(OPENING, "A", 1, 2), bad]).expect("queued");
    let unknown = Draft { instrument: InstrumentRef::Id(InstrumentId(7)), ..beat(OPENING + 9) };
    let refused_too = writer.append(vec![unknown]).expect("queued");
    let taken = writer.append(vec![quote(OPENING, "B", 1, 2)]).expect("queued");
    assert_eq!(refused.wait(), Err(AppendError::Unknown { what: "source", id: 9 }));
    assert_eq!(refused_too.wait(), Err(AppendError::Unknown { what: "instrument", id: 7 }));
    assert_eq!(taken.wait(), Ok(Appended { first: Seq(1), last: Seq(2) }));
    assert_eq!(journal.instrument("A"), None);
    assert_eq!(journal.instrument("B"), Some(InstrumentId(1)));
    assert_eq!(journal.head().recv, RecvTime(OPENING));
    verify_clean(&journal);
}

#[test]
fn a_chain_is_interned_and_its_blobs_are_kept_once() {
    let journal = memory();
    let body = || DraftBody::Chain(Box::new(chain(3)));
    append(&journal, &[draft(OPENING, "I:SPX", body()), draft(OPENING, "I:SPX", body())], &[2]);
    let all = events(&journal);
    assert_eq!(all.len(), 1 + 5 + 2);
    let Body::ChainSnapshot(snapshot) = all[6].body else { panic!("a chain") };
    let rows = ChainRows::decode(&journal.blob(snapshot.rows).expect("rows")).expect("decodes");
    let tickers: Vec<_> = rows.iter().map(|r| journal.ticker(r.instrument)).collect();
    assert_eq!(tickers[1].as_deref(), Some("O:SPXW260320C05005000"));
    assert_eq!(snapshot.contracts, 5);
    let report = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert_eq!((report.blobs, report.findings), (2, Vec::new()));
}

#[test]
fn days_pages_and_moments_can_be_found() {
    let journal = memory();
    let drafts = session(11, 12_000, 3);
    append(&journal, &drafts, &[100, 1, 2_000]);
    let all = events(&journal);
    let days = journal.days().expect("days");
    assert_eq!(days.len(), 3);
    assert_eq!(days.iter().map(|d| d.sealed).collect::<Vec<_>>(), [true, true, false]);
    let mut next = Seq::FIRST;
    for day in &days {
        assert_eq!(day.first, next);
        next = day.last.next();
        let inside = &all[day.first.0 as usize - 1..day.last.0 as usize];
        assert!(inside.iter().all(|e| journal.day_of(e.recv) == day.day));
        assert_eq!(inside.first().map(|e| e.recv), Some(day.first_recv));
        assert_eq!(inside.last().map(|e| e.recv), Some(day.last_recv));
        for (kind, n) in &day.kinds {
            let count = inside.iter().filter(|e| e.body.kind() == *kind).count();
            assert_eq!(count as u64, *n, "{kind:?}");
        }
        assert_eq!(day.kinds.iter().map(|k| k.1).sum::<u64>(), inside.len() as u64);
        if day.sealed {
            assert_eq!(day.pages.len(), inside.len().div_ceil(4096));
        }
    }
    assert_eq!(next, journal.head().seq.next());
    assert_eq!(days[0].day, TradingDay::parse("2026-03-02").expect("a date"));

    for at in (0..all.len()).step_by(97).chain([all.len() - 1]) {
        let time = all[at].recv;
        let last = all.partition_point(|e| e.recv <= time) as u64;
        assert_eq!(journal.seq_at(time).expect("reads"), Seq(last));
        let before = RecvTime(time.0 - 1);
        let last = all.partition_point(|e| e.recv <= before) as u64;
        assert_eq!(journal.seq_at(before).expect("reads"), Seq(last));
    }
    assert_eq!(journal.seq_at(RecvTime(i64::MAX)).expect("reads"), journal.head().seq);
    assert_eq!(
        journal.count(Kind::Quote),
        all.iter().filter(|e| e.body.kind() == Kind::Quote).count() as u64
    );
    verify_clean(&journal);
}

#[test]
fn waiters_are_woken() {
    let journal = memory();
    let other = journal.clone();
    let waiter = std::thread::spawn(move || other.wait_beyond(Seq(2), Duration::from_secs(20)));
    append(&journal, &[beat(OPENING), beat(OPENING), beat(OPENING)], &[1]);
    assert_eq!(waiter.join().expect("joins").seq, Seq(3));
    let none = journal.wait_beyond(Seq(3), Duration::from_millis(1));
    assert_eq!(none.seq, Seq(3));
}

#[test]
fn there_is_one_writer_at_a_time() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    assert!(matches!(journal.writer(clock), Err(AppendError::Exhausted { .. })));
    writer.append(vec![quote(OPENING, "A", 1, 2)]).expect("queued");
    writer.close().expect("closes");
    // The next one goes on where it stopped.
    append(&journal, &[quote(OPENING, "A", 1, 2), quote(OPENING, "B", 1, 2)], &[1]);
    assert_eq!(journal.head().seq, Seq(5));
    verify_clean(&journal);
}

#[test]
fn an_append_of_nothing_is_answered() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    let appended = writer.append(Vec::new()).expect("queued").wait().expect("answered");
    assert_eq!(appended, Appended { first: Seq(1), last: Seq(0) });
    assert_eq!(journal.head().seq, Seq::BEFORE_FIRST);
}

#[test]
fn the_queue_pushes_back_and_loses_nothing() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    let threads = 4;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let writer = &writer;
            scope.spawn(move || {
                for _ in 0..50 {
                    let drafts = vec![quote(OPENING, &format!("T{thread}"), 1, 2); 1_000];
                    writer.append(drafts).expect("queued");
                }
            });
        }
    });
    writer.close().expect("closes");
    assert_eq!(journal.head().seq, Seq(threads * 50_000 + threads));
}

/// A page is sealed in the store before the index says so; a reader that
/// looks for the frame in between must find the page.
#[test]
fn a_reader_beside_the_writer_sees_every_event_once() {
    // Slow to return from a commit, so that what is durable can be read long
    // before the journal is told.
    let journal = on(&Arc::new(Watched::slow(Duration::ZERO, Duration::from_millis(2))));
    let total = 20_000u64;
    let tail = journal.clone();
    let follower = std::thread::spawn(move || {
        let (mut from, mut rounds) = (Seq::FIRST, 0);
        loop {
            let head = tail.head();
            for (i, event) in read(&tail, from, head.seq).iter().enumerate() {
                assert_eq!(event.recv, RecvTime(OPENING + (from.0 + i as u64) as i64));
            }
            if rounds % 10 == 0 {
                let report = tail.verify(from, head.seq, &mut |_| {}).expect("verifies");
                assert_eq!(report.findings, []);
            }
            if head.seq == Seq(total) {
                return rounds;
            }
            // Everything that is not in a full page yet.
            from = Seq(head.seq.0 / 4096 * 4096 + 1);
            rounds += 1;
        }
    });
    let drafts: Vec<_> = (1..=total).map(|i| beat(OPENING + i as i64)).collect();
    let writer = journal.writer(clock).expect("a writer");
    for piece in drafts.chunks(400) {
        writer.append(piece.to_vec()).expect("queued").wait().expect("durable");
    }
    writer.close().expect("closes");
    assert!(follower.join().expect("the follower agrees") > 50);
}

#[test]
fn sources_run_out_with_an_error() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    for n in 1..=u16::MAX {
        assert_eq!(writer.define_source(&format!("{{\"n\":{n}}}")), Ok(SourceId(n)));
    }
    let full = AppendError::Exhausted { what: "sources", max: 65_535 };
    assert_eq!(writer.define_source("{}"), Err(full));
    assert_eq!(writer.define_source("{\"n\":7}"), Ok(SourceId(7)), "known ones still work");
    let last = Draft { source: SourceId(u16::MAX), ..beat(OPENING) };
    let appended = writer.append(vec![last]).expect("queued").wait().expect("durable");
    assert_eq!(appended.last, Seq(65_536), "all of them are defined, in order");
    writer.close().expect("closes");
    verify_clean(&journal);
}
