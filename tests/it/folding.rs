//! Captured days through the fold itself, without a journal in between: what
//! epochs, books and artifacts come of them, and that a checkpoint anywhere is
//! invisible.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use orrery::feeds::file::{Scanned, scan, walk};
use orrery::market::epoch::EpochState;
use orrery::models::parameters::Parameters;
use orrery::partition::{Partition, PlaneFilter};
use orrery::world::MarketWorld;
use orrery_journal::event::{
    Body, ChainRow, ChainRows, ChainSnapshot, Draft, DraftBody, Event, InlineText, InstrumentRef,
};
use orrery_journal::units::{
    Address, InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, SourceId,
};
use orrery_journal::{Calendar, Journal};
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::compare::{CompareOptions, Span, compare};
use orrery_replay::derived::Derived;
use orrery_replay::driver::Threads;
use orrery_replay::fold::{Fold, Input, Outbox, Output, World};

use crate::support::shared;

/// A body and when it came out.
#[derive(Clone, Debug, PartialEq)]
struct Printed {
    at: RecvTime,
    output: Output,
}

/// The part of a journal and an engine that a fold sees.
pub struct Fielded {
    world: MarketWorld,
    ids: BTreeMap<Box<str>, InstrumentId>,
    folds: BTreeMap<Box<str>, Box<dyn Fold>>,
    printed: BTreeMap<Box<str>, Vec<Printed>>,
    seq: u64,
    now: RecvTime,
}

impl Fielded {
    pub fn new(parameters: Parameters) -> Fielded {
        Fielded {
            world: MarketWorld::new(parameters).expect("defaults"),
            ids: BTreeMap::new(),
            folds: BTreeMap::new(),
            printed: BTreeMap::new(),
            seq: 0,
            now: RecvTime(0),
        }
    }

    fn partition(&self, symbol: &str) -> &Partition {
        let fold = self.folds.get(symbol).expect("a partition");
        fold.as_any().downcast_ref().expect("a partition of ours")
    }

    fn bodies(&self, symbol: &str, family: &str) -> Vec<(RecvTime, serde_json::Value)> {
        let printed = self.printed.get(symbol).map_or(&[][..], |p| p);
        let of_family = printed.iter().filter(|p| p.output.family == family);
        of_family.map(|p| (p.at, serde_json::from_slice(&p.output.body).expect("JSON"))).collect()
    }

    /// What a symbol's family put out, as it came.
    pub fn outputs(&self, symbol: &str, family: &str) -> Vec<(RecvTime, Output)> {
        let printed = self.printed.get(symbol).into_iter().flatten();
        let of_family = printed.filter(|p| p.output.family == family);
        of_family.map(|p| (p.at, p.output.clone())).collect()
    }

    pub fn fire_until(&mut self, to: RecvTime) {
        self.now = self.now.max(to);
        for (symbol, fold) in &mut self.folds {
            while let Some(due) = fold.next_due().filter(|due| *due <= self.now) {
                let mut out = Outbox::default();
                fold.fire(due, &mut out);
                let printed = self.printed.entry(symbol.clone()).or_default();
                printed.extend(out.outputs.into_iter().map(|output| Printed { at: due, output }));
            }
        }
    }

    fn id(&mut self, ticker: &str) -> InstrumentId {
        if let Some(id) = self.ids.get(ticker) {
            return *id;
        }
        let id = InstrumentId(u32::try_from(self.ids.len()).expect("few") + 1);
        self.ids.insert(ticker.into(), id);
        let body = Body::InstrumentDefined(InlineText::Inline(ticker.into()));
        self.event(id, ticker, body, None, None);
        id
    }

    fn event(
        &mut self,
        instrument: InstrumentId,
        ticker: &str,
        body: Body,
        blob: Option<&[u8]>,
        vendor: Option<orrery_journal::units::VendorTime>,
    ) {
        self.seq += 1;
        let source = SourceId(1);
        let recv = self.now;
        let event = Event { recv, vendor_time: vendor, instrument, source, extended: false, body };
        let conditions = Some(&[][..]);
        let input =
            Input { seq: Seq(self.seq), event: &event, ticker: Some(ticker), blob, conditions };
        for symbol in self.world.partitions(ticker) {
            let world = &self.world;
            let fold = self.folds.entry(symbol.clone()).or_insert_with(|| world.fold(&symbol));
            let mut out = Outbox::default();
            fold.apply(&input, &mut out);
            let printed = self.printed.entry(symbol).or_default();
            printed.extend(out.outputs.into_iter().map(|output| Printed { at: recv, output }));
        }
    }

    pub fn take(&mut self, draft: Draft) {
        self.fire_until(draft.recv.expect("captured files have times"));
        let InstrumentRef::Ticker(ticker) = &draft.instrument else { return };
        let id = self.id(ticker);
        match draft.body {
            DraftBody::Quote { quote, .. } => {
                self.event(id, ticker, Body::Quote(quote), None, draft.vendor_time);
            }
            DraftBody::Trade { trade, .. } => {
                self.event(id, ticker, Body::Trade(trade), None, draft.vendor_time);
            }
            DraftBody::Bar(bar) => {
                self.event(id, ticker, Body::Bar(*bar), None, draft.vendor_time);
            }
            DraftBody::IndexValue(value) => {
                self.event(id, ticker, Body::IndexValue(value), None, draft.vendor_time);
            }
            DraftBody::Chain(chain) => {
                let rows: Vec<ChainRow> = chain
                    .rows
                    .iter()
                    .map(|r| ChainRow { instrument: self.id(&r.ticker), ..r.row })
                    .collect();
                let blob = ChainRows::encode(&rows);
                let snapshot = ChainSnapshot {
                    rows: Address::of(&blob),
                    spot: chain.spot,
                    ..ChainSnapshot::default()
                };
                let body = Body::ChainSnapshot(snapshot);
                self.event(id, ticker, body, Some(&blob), draft.vendor_time);
            }
            other => panic!("not in captured files: {other:?}"),
        }
    }

    /// Replaces each fold by one restored from its own bytes.
    pub fn checkpoint(&mut self) {
        for (symbol, fold) in &mut self.folds {
            let mut bytes = Vec::new();
            fold.save(&mut bytes);
            let mut fresh = self.world.fold(symbol);
            fresh.restore(&bytes).expect("its own bytes");
            let mut again = Vec::new();
            fresh.save(&mut again);
            assert!(bytes == again, "{symbol}: saving again changes the bytes");
            *fold = fresh;
        }
    }

    /// What closes an import: all timers come due.
    fn close(&mut self) {
        self.fire_until(self.now.plus_nanos(31 * NANOS_PER_SECOND));
    }
}

/// The drafts of these files, merged by time.
fn drafts(paths: &[PathBuf]) -> Vec<Draft> {
    let mut all = Vec::new();
    for path in paths.iter().flat_map(|p| walk(p).expect("a folder")) {
        let Scanned::Input(scan) = scan(&path, None).expect("a file") else { continue };
        let mut reader = scan.open(RecvTime(0)).expect("a file");
        while let Some(timed) = reader.read_next().expect("readable") {
            all.push(timed.draft);
        }
    }
    all.sort_by_key(|d| d.recv);
    all
}

fn fold(parameters: Parameters, drafts: Vec<Draft>, checkpoint_every: usize) -> Fielded {
    let mut fielded = Fielded::new(parameters);
    for (n, draft) in drafts.into_iter().enumerate() {
        fielded.take(draft);
        if (n + 1) % checkpoint_every == 0 {
            fielded.checkpoint();
        }
    }
    fielded.close();
    fielded
}

#[test]
fn three_tsla_chains_are_two_epochs() {
    let names = ["1048", "1121", "1316"].map(|t| format!("chain-tsla-20260715-{t}et.json.zst"));
    let Some(paths) = names.iter().map(|n| shared(n)).collect::<Option<Vec<_>>>() else { return };
    let fielded = fold(Parameters::default(), drafts(&paths), usize::MAX);
    let records = fielded.partition("TSLA").epochs();
    let facts: Vec<_> =
        records.iter().map(|r| (r.contracts, r.expiries.len(), r.chains, r.state())).collect();
    assert_eq!(facts, [(2_742, 12, 2, EpochState::Retired), (4_752, 21, 1, EpochState::Active)]);
    assert_eq!(records[0].retired, records[1].promoted);
    // Nothing of the second epoch before its promotion, nothing of the first after.
    let promoted = records[1].promoted.expect("active").at;
    for printed in &fielded.printed["TSLA"] {
        if let Some(id) = printed.output.epoch {
            assert!(if id == records[1].id {
                printed.at >= promoted
            } else {
                printed.at <= promoted
            });
        }
    }
    for family in ["spot", "gex", "heatmap", "epoch"] {
        assert!(!fielded.bodies("TSLA", family).is_empty(), "{family}");
    }
}

#[test]
fn every_spx_snapshot_gives_the_published_walls_and_peak() {
    let Some(folder) = shared("spx-0dte-20260819") else { return };
    let answers = std::fs::read_to_string(folder.join("levels.csv")).expect("levels");
    let fielded = fold(Parameters::default(), drafts(&[folder]), usize::MAX);
    let gex = fielded.bodies("SPX", "gex");
    let mut lines = answers.lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let column = |name: &str| names.iter().position(|n| *n == name).expect("a column");
    let mut rows = 0;
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let text = format!("{}T{}:00-04:00", cells[column("date")], cells[column("time")]);
        let captured = RecvTime::parse_rfc3339(&text).expect("a time");
        let until = captured.plus_nanos(60 * NANOS_PER_SECOND);
        let (_, body) = gex
            .iter()
            .rfind(|(at, _)| *at > captured && *at <= until)
            .unwrap_or_else(|| panic!("no gex within a minute of {text}"));
        for (ours, theirs) in
            [("call_wall", "call_wall"), ("put_wall", "put_wall"), ("peak", "peak_strike")]
        {
            let want: f64 = cells[column(theirs)].parse().expect("a number");
            assert_eq!(body["levels"][ours].as_f64(), Some(want), "{text} {ours}");
        }
        rows += 1;
    }
    assert_eq!(rows, 24);
}

#[test]
fn a_whole_chain_counts_what_it_lacks() {
    let Some(path) = shared("chain-qqq-20260504.json.zst") else { return };
    let fielded = fold(Parameters::default(), drafts(&[path]), usize::MAX);
    let qqq = fielded.partition("QQQ");
    assert_eq!(qqq.epochs().len(), 1);
    assert_eq!(qqq.epochs()[0].state(), EpochState::Active, "by the timer, without a quote");
    assert_eq!((qqq.epochs()[0].contracts, qqq.epochs()[0].expiries.len()), (10_838, 34));
    let all = qqq.contracts(&PlaneFilter::default());
    assert_eq!(all.iter().filter(|c| c.state.gamma.is_some_and(|g| g != 0.0)).count(), 9_829);
    assert!(all.iter().any(|c| c.state.gamma.is_none()));
    assert_eq!(fielded.bodies("QQQ", "gex").len(), 1);
    // Its own partition has a stand-in role for another symbol, and only that.
    assert!(fielded.partition("NDX").epochs().is_empty());
}

#[test]
fn deribit_chains_settle_in_the_morning_and_roll_their_epochs() {
    let Some(folder) = shared("deribit-20260820") else { return };
    let parameters =
        Parameters { calendar: orrery_journal::Calendar::Utc, ..Parameters::default() };
    let fielded = fold(parameters, drafts(&[folder]), usize::MAX);
    let btc = fielded.partition("BTC");
    assert!(!btc.epochs().is_empty() && fielded.folds.contains_key("ETH"));
    let all = btc.contracts(&PlaneFilter::default());
    assert!(
        all.iter().all(|c| c.contract.settles_at.0 % (86_400 * NANOS_PER_SECOND)
            == 8 * 3_600 * NANOS_PER_SECOND)
    );
    assert!(all.iter().all(|c| (c.contract.multiplier - 1.0).abs() < f64::EPSILON));
}

#[test]
fn a_day_of_ticks_folds_alike_with_and_without_checkpoints() {
    let Some(folder) = shared("goog-20151224") else { return };
    let drafts = drafts(&[folder]);
    let count = drafts.len();
    let whole = fold(Parameters::default(), drafts.clone(), usize::MAX);
    let cut = fold(Parameters::default(), drafts, count / 5);
    assert!(whole.printed.keys().all(|symbol| &**symbol == "GOOG"));
    let (a, b) = (&whole.printed["GOOG"], &cut.printed["GOOG"]);
    for (one, other) in a.iter().zip(b) {
        assert_eq!((one.at, one.output.family), (other.at, other.output.family));
        assert!(one.output == other.output, "{} at {}", one.output.family, one.at);
    }
    assert_eq!(a.len(), b.len());
    let goog = whole.partition("GOOG");
    let active = goog.active_epoch().expect("an epoch");
    assert_eq!((active.contracts, active.expiries.len(), active.chains), (2_192, 12, 14));
    assert_eq!(goog.epochs().len(), 1);
    assert_eq!(goog.counters().damaged_chains, 0);
    let strike = Some(Price(750 * Price::SCALE));
    let at = PlaneFilter { strike_min: strike, strike_max: strike, ..PlaneFilter::default() };
    assert!(goog.contracts(&at).iter().any(|c| c.state.two_sided().is_some()));
    for family in ["spot", "gex", "heatmap", "gravity", "context", "epoch"] {
        let bodies = whole.bodies("GOOG", family);
        println!("{family}: {} bodies", bodies.len());
        assert!(!bodies.is_empty(), "{family}");
    }
    println!("{:?}", goog.counters());
}

/// The same through a journal and the engine: what was folded once is folded
/// again from the first event, on other threads, with nothing different.
#[test]
fn journaled_captures_replay_alike() {
    let names = ["goog-20151224", "spx-0dte-20260819", "spy-bars1m-20131008.csv.zst"];
    let Some(paths) = names.iter().map(|n| shared(n)).collect::<Option<Vec<_>>>() else { return };
    let mut all = drafts(&paths);
    // Enough of the long day for chains, quotes and bars; all of the short ones.
    let goog = RecvTime::parse_rfc3339("2015-12-24T15:20:00Z").expect("a time");
    let later = RecvTime::parse_rfc3339("2016-01-01T00:00:00Z").expect("a time");
    all.retain(|d| d.recv.is_some_and(|at| at < goog || at > later));
    let journal = Journal::in_memory(Calendar::NewYork).expect("memory");
    let writer = journal.writer(|| RecvTime(0)).expect("the first writer");
    let source = writer.define_source(r#"{"feed":"test"}"#).expect("a source");
    for draft in &mut all {
        draft.source = source;
    }
    while !all.is_empty() {
        let rest = all.split_off(all.len().min(1_000));
        writer.append(all).expect("open");
        all = rest;
    }
    writer.close().expect("committed");
    let world: Arc<dyn World> = Arc::new(MarketWorld::new(Parameters::default()).expect("fine"));
    let derived = Derived::in_memory();
    let go_on = &mut |_| ControlFlow::Continue(());
    let options = CatchUpOptions { checkpoint_events: 10_000, ..CatchUpOptions::default() };
    catch_up(&journal, &derived, Arc::clone(&world), options, go_on).expect("folded");
    let families = derived.families().expect("readable");
    for wanted in [("GOOG", "heatmap"), ("GOOG", "context"), ("SPX", "gex"), ("SPX", "gravity")] {
        assert!(families.iter().any(|(s, f)| (&**s, &**f) == wanted), "{wanted:?}");
    }
    let span = Span { first: Seq::FIRST, last: journal.head().seq };
    for from_scratch in [true, false] {
        let threads = Threads::new(2);
        let options = CompareOptions { threads, from_scratch, ..CompareOptions::default() };
        let (told, seen) = (&mut |_: &_| {}, &mut |_, _: &[_]| ControlFlow::Continue(()));
        let result =
            compare(&journal, &derived, &world, span, &options, told, seen).expect("replayed");
        assert_eq!(result.first_difference(), None);
        assert!(result.identical() && result.artifacts > 200, "{result:?}");
    }
}
