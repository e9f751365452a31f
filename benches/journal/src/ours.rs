//! Our side: the journal through its public interface.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use fjall::Database;
use orrery_journal::event::{
    Body, ChainDraft, ChainRow, ChainRowDraft, Draft, DraftBody, InstrumentRef, OptionRight, Quote,
    TickBatch, Trade,
};
use orrery_journal::units::{InstrumentId, Price, RecvTime, Seq, SourceId, TradingDay, VendorTime};
use orrery_journal::{Journal, OpenOptions, Ticket, Writer};

use crate::fold::Fold;
use crate::measure::{Run, disk_bytes};
use crate::tick::{CONTRACTS, FIRST_ID, Tick};
use crate::workload::{CONDITIONS, OPENS_NS, ticker};

/// Ticks of one append, as a feed at full speed brings them.
pub const BATCH: usize = 4_096;

/// An open journal that knows all contracts.
pub struct Ours {
    /// Held: the writer is of this journal.
    _journal: Journal,
    source: SourceId,
    /// The first event that is a tick.
    first: Seq,
}

/// Opens a new journal and declares the contracts, which is not measured.
pub fn prepare(dir: &Path) -> (Ours, Writer) {
    let journal = Journal::open(dir, &OpenOptions::default()).unwrap();
    let writer = journal.writer(|| RecvTime(OPENS_NS)).unwrap();
    let source = writer.define_source("{\"feed\":\"bench\"}").unwrap();
    let chain = ChainDraft {
        raw: Vec::new().into(),
        spot: None,
        refused: 0,
        latency_ns: 0,
        pages: 1,
        rows: (0..CONTRACTS as u32).map(declared).collect(),
    };
    let draft = |instrument, body| Draft {
        recv: Some(RecvTime(OPENS_NS)),
        vendor_time: None,
        instrument,
        source,
        extension: None,
        body,
    };
    let underlying = InstrumentRef::Ticker("I:SPX".into());
    let mut drafts = vec![draft(underlying, DraftBody::Chain(Box::new(chain)))];
    // A trade of each condition list, so that the lists have their ids.
    drafts.extend(CONDITIONS.iter().map(|condition| {
        let body = DraftBody::Trade { trade: Trade::default(), conditions: [*condition].into() };
        draft(InstrumentRef::Id(InstrumentId(FIRST_ID)), body)
    }));
    let known = writer.append(drafts).unwrap().wait().unwrap();
    let ours = Ours { _journal: journal, source, first: known.last.next() };
    (ours, writer)
}

/// A contract of which nothing is known but that it exists.
fn declared(contract: u32) -> ChainRowDraft {
    let row = ChainRow {
        instrument: InstrumentId::NONE,
        expiry: TradingDay(20_500),
        strike: Price(0),
        right: OptionRight::Call,
        style: None,
        multiplier: None,
        bid: None,
        ask: None,
        bid_size: None,
        ask_size: None,
        last: None,
        updated: None,
        open_interest: None,
        volume: None,
        implied_volatility: None,
        delta: None,
        gamma: None,
        theta: None,
        vega: None,
    };
    ChainRowDraft { ticker: ticker(contract).into(), row }
}

impl Ours {
    /// What the feed hands over: this is measured, as it is part of appending.
    pub fn batch(&self, ticks: impl Iterator<Item = Tick>) -> TickBatch {
        let mut batch = TickBatch::with_capacity(ticks.size_hint().1.unwrap_or(BATCH));
        for t in ticks {
            let recv = Some(RecvTime(t.recv));
            let vendor = Some(VendorTime(t.vendor));
            let id = InstrumentId(t.contract + FIRST_ID);
            if t.trade {
                let trade = Trade {
                    price: Price(t.price),
                    size: u64::from(t.size),
                    vendor_seq: Some(t.vendor_seq),
                    exchange: Some(t.exchange),
                    conditions: u32::from(t.condition),
                };
                batch.trade(recv, vendor, id, self.source, &trade);
            } else {
                let quote = Quote {
                    bid: Some(Price(t.price)),
                    ask: Some(Price(t.ask)),
                    bid_size: Some(t.size),
                    ask_size: Some(t.ask_size),
                    vendor_seq: Some(t.vendor_seq),
                    bid_exchange: Some(t.exchange),
                    ask_exchange: Some(t.exchange),
                    conditions: 0,
                };
                batch.quote(recv, vendor, id, self.source, &quote);
            }
        }
        batch
    }

    /// Appends all ticks; returns when the last one is durable.
    pub fn append(&self, writer: &Writer, ticks: impl Iterator<Item = Tick>) {
        let mut ticks = ticks.peekable();
        let mut tickets: VecDeque<Ticket> = VecDeque::new();
        while ticks.peek().is_some() {
            let batch = self.batch(ticks.by_ref().take(BATCH));
            tickets.push_back(writer.append_ticks(batch).unwrap());
            while tickets.front().is_some_and(Ticket::is_answered) {
                tickets.pop_front().map(|t| t.wait().unwrap());
            }
        }
        tickets.into_iter().for_each(|t| {
            t.wait().unwrap();
        });
    }
}

/// Reads, checks and folds all ticks; tells how many.
pub fn replay(journal: &Journal, first: Seq, fold: &mut Fold) -> u64 {
    let mut count = 0;
    for stretch in journal.read(first, Seq::MAX) {
        for event in stretch.unwrap().events.iter() {
            let contract = event.instrument.0.wrapping_sub(FIRST_ID);
            match &event.body {
                Body::Quote(q) => {
                    let price = |p: Option<Price>| p.map_or(0, |p| p.0);
                    let sizes = (q.bid_size.unwrap_or(0), q.ask_size.unwrap_or(0));
                    fold.quote(event.recv.0, contract, (price(q.bid), price(q.ask)), sizes);
                }
                Body::Trade(t) => fold.trade(event.recv.0, contract, t.price.0, t.size),
                _ => continue,
            }
            count += 1;
        }
    }
    count
}

/// Opens the journal of a folder to read its ticks.
pub fn reopen(dir: &Path) -> Journal {
    Journal::open(dir, &OpenOptions::default()).unwrap()
}

/// Append, close, open again, replay.
pub fn run(dir: &Path, ticks: &[Tick]) -> Run {
    let (ours, writer) = prepare(dir);
    let start = Instant::now();
    ours.append(&writer, ticks.iter().copied());
    let append = start.elapsed().as_secs_f64();
    writer.close().unwrap();
    let first = ours.first;
    drop(ours);
    let journal = reopen(dir);
    let mut fold = Fold::default();
    let start = Instant::now();
    let count = replay(&journal, first, &mut fold);
    let replay = start.elapsed().as_secs_f64();
    assert_eq!(count, ticks.len() as u64);
    drop(journal);
    let n = ticks.len() as f64;
    Run {
        append: Some(n / append),
        replay: Some(n / replay),
        bytes: Some(bytes_at_rest(&dir.join("journal/db")) / n),
        digest: Some(fold.digest()),
        ticks: ticks.len(),
    }
}

/// Bytes of the tables of a fjall database once everything has gone from its
/// log (a bounded buffer) into them.
pub fn bytes_at_rest(folder: &Path) -> f64 {
    let db = Database::builder(folder).open().unwrap();
    for name in db.list_keyspace_names() {
        let keyspace = db.keyspace(&name, Default::default).unwrap();
        keyspace.rotate_memtable_and_wait().unwrap();
    }
    drop(db);
    disk_bytes(&folder.join("keyspaces"), &|_| true) as f64
}
