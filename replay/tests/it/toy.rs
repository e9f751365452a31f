//! Toy folds and seeded days for them.
//!
//! The folds do everything that real ones do (timers at multiples of a cadence,
//! outputs from events, epochs from chains, floating-point state) and little
//! else, so that a lost event, a late timer or a forgotten field shows.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::event::{
    Body, ChainDraft, Draft, DraftBody, Gap, IndexValue, InstrumentRef, JournalEvent, Quote, Trade,
};
use orrery_journal::units::{Address, Price, RecvTime, Seq, SourceId};
use orrery_journal::{Calendar, Journal, ReadError, Stretch};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::compare::TraceLine;
use orrery_replay::driver::{Source, Threads, fold_range};
use orrery_replay::engine::{Engine, Made};
use orrery_replay::fold::{Fold, Input, Outbox, Output, RestoreError, World};

/// Cadence of the toy's timer.
pub const CADENCE_NS: i64 = 250_000_000;
/// 2026-01-05, a Monday, 14:30 UTC.
pub const START: RecvTime = RecvTime(1_767_623_400_000_000_000);
const SECOND_NS: i64 = 1_000_000_000;

/// Tickers are `A:x` (partition A), `AB:x` (A and B), `X:x` (nobody's)...
pub struct Toys {
    pub configuration: u8,
}

impl World for Toys {
    fn configuration(&self) -> Address {
        Address([self.configuration; 32])
    }

    fn partitions(&self, ticker: &str) -> Vec<Box<str>> {
        let (names, _) = ticker.split_once(':').unwrap_or_default();
        names.chars().filter(|c| *c != 'X').map(|c| c.to_string().into()).collect()
    }

    fn fold(&self, partition: &str) -> Box<dyn Fold> {
        // A world with another configuration has folds that compute otherwise.
        let weight = f64::from(self.configuration) / 10.0;
        // Something is due before anything has happened: also at birth.
        Box::new(Toy { name: partition.into(), weight, due: Some(START.0), ..Toy::default() })
    }
}

pub fn toys() -> Arc<dyn World> {
    Arc::new(Toys { configuration: 1 })
}

/// A book of last prices, a decaying mean, a count of everything.
#[derive(Debug, Default, PartialEq)]
pub struct Toy {
    name: String,
    weight: f64,
    pub events: u64,
    definitions: u64,
    mean: f64,
    last: BTreeMap<u32, i64>,
    epoch: Option<Address>,
    due: Option<i64>,
    notes: Vec<u8>,
}

impl Toy {
    fn dirty(&mut self, now: RecvTime) {
        self.due.get_or_insert((now.0.div_euclid(CADENCE_NS) + 1) * CADENCE_NS);
    }

    fn output(&self, family: &'static str, body: String) -> Output {
        Output { family, profile: "toy/sum@1", epoch: self.epoch, body: body.into(), by: None }
    }
}

impl Fold for Toy {
    fn apply(&mut self, input: &Input<'_>, out: &mut Outbox) {
        self.events += 1;
        match &input.event.body {
            Body::Quote(q) => {
                let bid = q.bid.unwrap_or_default();
                self.last.insert(input.event.instrument.0, bid.0);
                self.mean += self.weight * (bid.to_f64() - self.mean);
                self.dirty(input.event.recv);
            }
            Body::Trade(t) => {
                let conditions = input.conditions.expect("every list is defined before its use");
                assert_eq!(conditions.is_empty(), t.conditions == 0);
                let body = format!(
                    "{{\"price\":{},\"on\":\"{}\",\"conditions\":{conditions:?}}}",
                    t.price,
                    input.ticker.unwrap_or("?"),
                );
                out.outputs.push(self.output("trade", body));
            }
            Body::ChainSnapshot(c) => {
                assert!(input.blob.is_some(), "a chain comes with its rows");
                self.epoch = Some(Address::of(input.blob.unwrap_or_default()));
                let body = format!("{{\"contracts\":{}}}", c.contracts);
                out.outputs.push(self.output("chain", body.clone()));
                // Said twice, becomes one version.
                out.outputs.push(self.output("chain", body));
                self.dirty(input.event.recv);
            }
            Body::Annotation(_) | Body::Control(_) => {
                self.notes = input.blob.unwrap_or_default().to_vec();
                self.dirty(input.event.recv);
            }
            Body::InstrumentDefined(_) => {
                assert!(input.ticker.is_some(), "a definition comes with its ticker");
                self.definitions += 1;
            }
            _ => {}
        }
    }

    fn next_due(&self) -> Option<RecvTime> {
        self.due.map(RecvTime)
    }

    fn fire(&mut self, due: RecvTime, out: &mut Outbox) {
        self.due = None;
        let sum: i64 = self.last.values().copied().fold(0, i64::wrapping_add);
        let body = format!(
            "{{\"sum\":{sum},\"mean\":{},\"notes\":{},\"definitions\":{}}}",
            self.mean,
            self.notes.len(),
            self.definitions
        );
        out.outputs.push(self.output("sum", body));
        // Every fourth cadence something more is due, so that timers chain.
        if due.0 / CADENCE_NS % 4 == 1 {
            self.due = Some(due.0 + CADENCE_NS);
            self.mean *= 0.5;
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u64(self.events);
        e.u64(self.definitions);
        e.f64(self.mean);
        e.count(self.last.len());
        for (id, price) in &self.last {
            e.u32(*id);
            e.i64(*price);
        }
        e.option(self.epoch, Encoder::address);
        e.option(self.due, Encoder::i64);
        e.bytes(&self.notes);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        self.events = d.u64()?;
        self.definitions = d.u64()?;
        self.mean = d.f64()?;
        self.last.clear();
        for _ in 0..d.count()? {
            self.last.insert(d.u32()?, d.i64()?);
        }
        self.epoch = d.option(Decoder::address)?;
        self.due = d.option(Decoder::i64)?;
        self.notes = d.bytes()?.to_vec();
        d.end()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// splitmix64: small, seeded, the same everywhere.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
}

fn draft(recv: RecvTime, instrument: InstrumentRef, body: DraftBody) -> Draft {
    Draft {
        recv: Some(recv),
        vendor_time: None,
        instrument,
        source: SourceId::JOURNAL,
        extension: None,
        body,
    }
}

/// `count` seeded facts over `days` days.
pub fn facts(seed: u64, count: usize, days: i64) -> Vec<Draft> {
    let mut dice = Dice(seed);
    let long = format!("B:{}", "LONG".repeat(12));
    let tickers = ["A:1", "A:2", "B:1", "AB:1", "X:1", "C:1", &long];
    let per_day = (count as i64 / days.max(1)).max(1);
    let mut now = START;
    let mut facts = Vec::with_capacity(count);
    for i in 0..count as i64 {
        if i > 0 && i % per_day == 0 && i / per_day < days {
            now = RecvTime(START.0 + i / per_day * 86_400 * SECOND_NS);
        } else if dice.below(3) > 0 {
            now = now.plus_nanos(dice.below(200_000_000) as i64);
        }
        let ticker = tickers[dice.below(tickers.len() as u64) as usize];
        let about = InstrumentRef::Ticker(ticker.into());
        let price = Price(dice.below(50) as i64 * 10_000_000);
        let text = Bytes::from(format!("{{\"n\":{}}}", dice.below(5)));
        let fact = match dice.below(40) {
            0 => draft(now, InstrumentRef::None, DraftBody::ClockBeat),
            1 => draft(now, InstrumentRef::None, DraftBody::Control(text)),
            2 => draft(now, about, DraftBody::Annotation(text)),
            3 => draft(now, InstrumentRef::None, DraftBody::Gap(Gap { from: now, to: now })),
            4 => draft(now, about, DraftBody::IndexValue(IndexValue { value: price })),
            5 => draft(
                now,
                about,
                DraftBody::Chain(Box::new(ChainDraft {
                    raw: text,
                    spot: Some(price),
                    refused: dice.below(2) as u32,
                    latency_ns: 0,
                    pages: 1,
                    rows: Vec::new(),
                })),
            ),
            6..=12 => {
                let trade = Trade { price, size: 1, ..Trade::default() };
                // Lists that partitions born later use, too.
                let code = (price.0 / 10_000_000 % 5) as u32;
                let conditions: Vec<u32> = (0..code).collect();
                draft(now, about, DraftBody::Trade { trade, conditions: conditions.into() })
            }
            n => {
                let quote = Quote { bid: Some(price), ..Quote::default() };
                let conditions = if n == 13 { vec![7, 9] } else { Vec::new() };
                draft(now, about, DraftBody::Quote { quote, conditions: conditions.into() })
            }
        };
        facts.push(fact);
    }
    facts
}

/// A journal in memory with these facts, appended `batch` at a time.
pub fn journal(facts: &[Draft], batch: usize) -> Journal {
    let journal = Journal::in_memory(Calendar::NewYork).expect("in memory");
    append(&journal, facts, batch);
    journal
}

/// Appends facts and closes the writer again.
pub fn append(journal: &Journal, facts: &[Draft], batch: usize) {
    let writer = journal.writer(|| RecvTime(0)).expect("no other writer");
    for part in facts.chunks(batch.max(1)) {
        writer.append(part.to_vec()).expect("open").wait().expect("committed");
    }
    writer.close().expect("committed");
}

/// The events of a journal in stretches of any size.
pub struct Rebatched<'a> {
    journal: &'a Journal,
    events: Vec<JournalEvent>,
    size: usize,
}

impl<'a> Rebatched<'a> {
    pub fn new(journal: &'a Journal, size: usize) -> Rebatched<'a> {
        Rebatched { journal, events: events(journal), size: size.max(1) }
    }
}

impl Source for Rebatched<'_> {
    fn stretches(
        &self,
        from: Seq,
        _to: Seq,
    ) -> Box<dyn Iterator<Item = Result<Stretch, ReadError>> + Send + '_> {
        // Whole stretches, also where only a part was asked for: the driver
        // must cut them itself.
        let stretches = self.events.chunks(self.size).map(|part| Stretch {
            first: part[0].seq,
            address: None,
            day: self.journal.day_of(part[0].event.recv),
            events: part.iter().map(|e| e.event.clone()).collect(),
        });
        let wanted = move |s: &Stretch| s.first.0 + s.events.len() as u64 > from.0;
        Box::new(stretches.filter(wanted).map(Ok).collect::<Vec<_>>().into_iter())
    }

    fn blob(&self, address: Address) -> Result<Bytes, ReadError> {
        self.journal.blob(address)
    }
}

/// All events of a journal.
pub fn events(journal: &Journal) -> Vec<JournalEvent> {
    let mut all = Vec::new();
    for stretch in journal.read(Seq::FIRST, Seq::MAX) {
        let stretch = stretch.expect("undamaged");
        for (i, event) in stretch.events.iter().enumerate() {
            all.push(JournalEvent { seq: Seq(stretch.first.0 + i as u64), event: event.clone() });
        }
    }
    all
}

/// Folds up to `to`; returns what came out.
pub fn fold(source: &dyn Source, engine: &mut Engine, to: Seq, threads: usize) -> Vec<Made> {
    let mut all = Vec::new();
    fold_range(source, engine, to, Threads::new(threads), &mut |folded| {
        all.extend(folded.made);
        ControlFlow::Continue(())
    })
    .expect("a good journal folds");
    all
}

/// The trace of a whole journal, with the final state as its last line.
pub fn trace(source: &dyn Source, threads: usize) -> Vec<String> {
    let mut engine = Engine::new(toys());
    let made = fold(source, &mut engine, Seq::MAX, threads);
    let mut lines: Vec<String> = made.iter().map(|m| TraceLine::of(m).to_string()).collect();
    lines.push(format!("state {}", Address::of(&engine.save())));
    lines
}

/// Compares two traces line by line.
pub fn assert_same(left: &[String], right: &[String], what: &str) {
    for (i, (l, r)) in left.iter().zip(right).enumerate() {
        assert_eq!(l, r, "{what}: line {i} differs");
    }
    assert_eq!(left.len(), right.len(), "{what}: one trace is longer");
}
