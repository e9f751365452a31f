//! Rows that producers encode themselves: the same events, bytes and addresses
//! as by way of drafts, whatever is mixed and however it is cut.

use orrery_journal::event::{
    self, Bar, Body, Draft, DraftBody, Event, InstrumentRef, Quote, TickBatch, Trade,
};
use orrery_journal::units::{InstrumentId, RecvTime, Seq, SourceId};
use orrery_journal::{AppendError, Appended, Calendar, Journal};

use crate::support::*;

fn memory() -> Journal {
    Journal::in_memory(Calendar::Utc).expect("opens")
}

/// The tick of an event, if it is one.
fn push(batch: &mut TickBatch, recv: Option<RecvTime>, event: &Event) -> bool {
    let Event { vendor_time, instrument, source, .. } = *event;
    match &event.body {
        _ if event.extended => return false,
        Body::Quote(quote) => batch.quote(recv, vendor_time, instrument, source, quote),
        Body::Trade(trade) => batch.trade(recv, vendor_time, instrument, source, trade),
        Body::Bar(bar) => batch.bar(recv, vendor_time, instrument, source, bar),
        Body::IndexValue(v) => batch.index_value(recv, vendor_time, instrument, source, *v),
        _ => return false,
    }
    true
}

/// Which draft each event came from; bookkeeping belongs to the one behind it.
fn origins(events: &[Event]) -> Vec<usize> {
    let mut draft = 0;
    let origin = |event: &Event| {
        let at = draft;
        draft += usize::from(!event.body.kind().is_bookkeeping());
        at
    };
    events.iter().map(origin).collect()
}

/// Appends again what `expected` holds, each event as a tick where that is
/// possible and `as_tick` says so, everything else as its draft.
fn append_mixed(
    journal: &Journal,
    drafts: &[Draft],
    expected: &[Event],
    random: &mut Random,
    pieces: u64,
) {
    let writer = journal.writer(clock).expect("a writer");
    let origins = origins(expected);
    let mut tickets = Vec::new();
    let (mut batch, mut pending) = (TickBatch::new(), Vec::new());
    for (at, event) in expected.iter().enumerate() {
        if event.body.kind().is_bookkeeping() {
            continue;
        }
        // What defines something goes in as a draft, with its definitions.
        let alone = at.checked_sub(1).is_none_or(|before| origins[before] != origins[at]);
        let tick = alone && random.below(8) > 0;
        if tick && pending.is_empty() && push(&mut batch, Some(event.recv), event) {
            if random.below(pieces) == 0 {
                tickets.push(writer.append_ticks(std::mem::take(&mut batch)).expect("queued"));
            }
            continue;
        }
        if !batch.is_empty() {
            tickets.push(writer.append_ticks(std::mem::take(&mut batch)).expect("queued"));
        }
        pending.push(drafts[origins[at]].clone());
        if random.below(4) == 0 {
            tickets.push(writer.append(std::mem::take(&mut pending)).expect("queued"));
        }
        if !pending.is_empty() && random.below(3) == 0 {
            tickets.push(writer.append(std::mem::take(&mut pending)).expect("queued"));
        }
    }
    tickets.push(writer.append_ticks(batch).expect("queued"));
    tickets.push(writer.append(pending).expect("queued"));
    let mut next = Seq::FIRST;
    for ticket in tickets {
        let Appended { first, last } = ticket.wait().expect("durable");
        assert_eq!(first, next, "answers in the order of appends");
        next = last.next();
    }
    writer.close().expect("closes");
}

#[test]
fn ticks_and_drafts_give_the_same_journal_however_they_are_mixed() {
    for seed in 0..6 {
        let drafts = session(seed, 14_000, 3);
        let journal = memory();
        append(&journal, &drafts, &[4_000, 1, 70]);
        let expected = events(&journal);
        let mut random = Random(seed);
        for pieces in [3, 300, 9_000] {
            let mixed = memory();
            append_mixed(&mixed, &drafts, &expected, &mut random, pieces);
            assert!(events(&mixed) == expected, "seed {seed}");
            assert_eq!(pages(&mixed), pages(&journal));
            assert_eq!(mixed.days().expect("days"), journal.days().expect("days"));
            verify_clean(&mixed);
        }
    }
}

fn tick(batch: &mut TickBatch, at: Option<i64>, instrument: u32, source: u16) {
    let quote = Quote { vendor_seq: Some(7), ..Quote::default() };
    batch.quote(at.map(RecvTime), None, InstrumentId(instrument), SourceId(source), &quote);
}

#[test]
fn ids_that_the_journal_has_not_given_are_refused_all_ticks_or_none() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    writer.append(vec![quote(OPENING, "A", 1, 2)]).expect("queued");
    let bad = |instrument, source, conditions| {
        let mut batch = TickBatch::new();
        tick(&mut batch, Some(OPENING + 50), 1, 0);
        let trade = Trade { conditions, ..Trade::default() };
        batch.trade(None, None, InstrumentId(instrument), SourceId(source), &trade);
        writer.append_ticks(batch).expect("queued").wait()
    };
    let unknown = |what, id| Err(AppendError::Unknown { what, id });
    assert_eq!(bad(2, 0, 0), unknown("instrument", 2));
    assert_eq!(bad(1, 1, 0), unknown("source", 1));
    assert_eq!(bad(1, 0, 1), unknown("condition list", 1));
    assert_eq!(bad(0, 0, 0), Ok(Appended { first: Seq(3), last: Seq(4) }));
    writer.close().expect("closes");
    assert_eq!(journal.head().seq, Seq(4));
    verify_clean(&journal);
}

#[test]
fn time_never_runs_backwards_and_missing_times_are_the_clock() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    for piece in [[Some(-9), Some(-5), Some(-7)], [Some(-6), None, Some(-1)]] {
        let mut batch = TickBatch::with_capacity(3);
        piece.iter().for_each(|at| tick(&mut batch, at.map(|at| OPENING + at), 0, 0));
        writer.append_ticks(batch).expect("queued");
    }
    writer.append(vec![beat(OPENING - 3), beat(OPENING + 4)]).expect("queued");
    writer.close().expect("closes");
    let times: Vec<_> = events(&journal).iter().map(|e| e.recv.0 - OPENING).collect();
    assert_eq!(times, [-9, -5, -5, -5, 0, 0, 0, 4]);
    assert_eq!(journal.head().recv, RecvTime(OPENING + 4));
    verify_clean(&journal);
}

#[test]
fn a_source_is_defined_right_before_its_first_tick() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    for n in 1..=3 {
        writer.define_source(&format!("{{\"n\":{n}}}")).expect("a source");
    }
    let mut batch = TickBatch::new();
    for source in [0, 1, 3, 2] {
        tick(&mut batch, Some(OPENING), 0, source);
    }
    let appended = writer.append_ticks(batch).expect("queued").wait().expect("durable");
    assert_eq!(appended, Appended { first: Seq(1), last: Seq(7) });
    writer.close().expect("closes");
    let found: Vec<_> =
        events(&journal).iter().map(|e| (e.body.kind().name(), e.source.0)).collect();
    let define = "source_defined";
    let quote = "quote";
    assert_eq!(
        found,
        [(quote, 0), (define, 1), (quote, 1), (define, 2), (define, 3), (quote, 3), (quote, 2)]
    );
    let counts: Vec<_> = journal.sources().expect("sources").iter().map(|s| s.events).collect();
    assert_eq!(counts, [1, 1, 1]);
    verify_clean(&journal);
}

#[test]
fn a_tick_has_the_bytes_of_its_event() {
    let drafts = session(77, 3_000, 1);
    let journal = memory();
    append(&journal, &drafts, &[3_000]);
    let again = memory();
    let writer = again.writer(clock).expect("a writer");
    // Tickers and condition lists first, so that all ids are known.
    let names: Vec<Draft> =
        drafts.iter().map(|d| Draft { recv: Some(RecvTime(OPENING)), ..d.clone() }).collect();
    writer.append(names).expect("queued").wait().expect("durable");
    let before = again.head().seq;
    let mut batch = TickBatch::new();
    let mut bytes = Vec::new();
    for event in events(&journal) {
        if push(&mut batch, Some(event.recv), &event) {
            event::encode(&event, &mut bytes);
        }
    }
    writer.append_ticks(batch).expect("queued");
    writer.close().expect("closes");
    let mut found = Vec::new();
    for event in read(&again, before.next(), Seq::MAX) {
        event::encode(&event, &mut found);
    }
    assert!(found == bytes && !found.is_empty());
}

#[test]
fn ticks_push_back_and_come_in_the_order_of_their_thread() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    let (threads, rounds, each) = (3u32, 40u32, 2_000u32);
    let define = |n| Draft {
        instrument: InstrumentRef::Ticker(format!("T{n}").into()),
        ..draft(OPENING, "", DraftBody::ClockBeat)
    };
    writer.append((1..=threads).map(define).collect()).expect("queued");
    std::thread::scope(|scope| {
        for thread in 1..=threads {
            let writer = &writer;
            scope.spawn(move || {
                for round in 0..rounds {
                    let mut batch = TickBatch::with_capacity(each as usize);
                    for n in 0..each {
                        let vendor_seq = Some(u64::from(round * each + n));
                        let quote = Quote { vendor_seq, ..Quote::default() };
                        let recv = Some(RecvTime(OPENING));
                        batch.quote(recv, None, InstrumentId(thread), SourceId(0), &quote);
                    }
                    writer.append_ticks(batch).expect("queued");
                }
            });
        }
    });
    writer.close().expect("closes");
    let mut next = vec![0u64; threads as usize + 1];
    for event in events(&journal) {
        let Body::Quote(quote) = event.body else { continue };
        let expected = &mut next[event.instrument.0 as usize];
        assert_eq!(quote.vendor_seq, Some(*expected));
        *expected += 1;
    }
    assert_eq!(next[1..], vec![u64::from(rounds * each); threads as usize]);
    verify_clean(&journal);
}

/// All bits set is how a row says "none": as a value it would be lost.
#[test]
fn a_value_that_would_not_come_back_is_refused_and_nothing_of_it_is_kept() {
    let journal = memory();
    let writer = journal.writer(clock).expect("a writer");
    let quote = |bid, ask| Quote { bid_exchange: bid, ask_exchange: ask, ..Quote::default() };
    let trade = |exchange| Trade { exchange, ..Trade::default() };
    let bar = |mean| Bar { trade_size_mean: mean, ..Bar::default() };
    let refused = AppendError::NoPlace { field: "exchange", value: 65_535 };
    let refused_bar = AppendError::NoPlace { field: "average trade size", value: u64::MAX };
    let none = || Box::<[u32]>::default();
    for (body, refused) in [
        (DraftBody::Quote { quote: quote(Some(65_535), None), conditions: none() }, &refused),
        (DraftBody::Quote { quote: quote(None, Some(65_535)), conditions: none() }, &refused),
        (DraftBody::Trade { trade: trade(Some(65_535)), conditions: none() }, &refused),
        (DraftBody::Bar(Box::new(bar(Some(u64::MAX)))), &refused_bar),
    ] {
        let drafts = vec![beat(OPENING), draft(OPENING, "A", body)];
        assert_eq!(writer.append(drafts).map(drop).as_ref(), Err(refused));
    }
    let (id, source) = (InstrumentId(1), SourceId::JOURNAL);
    type Add = fn(&mut TickBatch, InstrumentId, SourceId);
    let ticks: [(Add, &AppendError); 4] = [
        (
            |to, id, s| {
                to.quote(
                    None,
                    None,
                    id,
                    s,
                    &Quote { bid_exchange: Some(65_535), ..Quote::default() },
                )
            },
            &refused,
        ),
        (
            |to, id, s| {
                to.quote(
                    None,
                    None,
                    id,
                    s,
                    &Quote { ask_exchange: Some(65_535), ..Quote::default() },
                )
            },
            &refused,
        ),
        (
            |to, id, s| {
                to.trade(None, None, id, s, &Trade { exchange: Some(65_535), ..Trade::default() })
            },
            &refused,
        ),
        (
            |to, id, s| {
                to.bar(
                    None,
                    None,
                    id,
                    s,
                    &Bar { trade_size_mean: Some(u64::MAX), ..Bar::default() },
                )
            },
            &refused_bar,
        ),
    ];
    for (add, refused) in ticks {
        let mut batch = TickBatch::new();
        batch.trade(None, None, id, source, &trade(Some(65_534)));
        let mark = batch.mark();
        add(&mut batch, id, source);
        assert_eq!(writer.append_ticks(batch.clone()).map(drop).as_ref(), Err(refused));
        // What is taken back is not refused.
        batch.rollback(mark);
        let unknown = writer.append_ticks(batch).expect("queued").wait();
        assert!(matches!(unknown, Err(AppendError::Unknown { .. })), "{unknown:?}");
    }
    // The largest values that have a place come back, and nothing else is there.
    let largest = quote(Some(65_534), Some(65_534));
    let body = DraftBody::Quote { quote: largest, conditions: none() };
    let mean = DraftBody::Bar(Box::new(bar(Some(u64::MAX - 1))));
    let drafts = vec![draft(OPENING, "A", body), draft(OPENING, "A", mean)];
    writer.append(drafts).expect("queued").wait().expect("durable");
    writer.close().expect("closes");
    let bodies: Vec<Body> = events(&journal).into_iter().skip(1).map(|e| e.body).collect();
    assert_eq!(bodies, [Body::Quote(largest), Body::Bar(bar(Some(u64::MAX - 1)))]);
}
