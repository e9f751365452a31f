//! One construction path for the drafts of all tests.

mod watched;

use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::event::{
    Bar, ChainDraft, ChainRow, ChainRowDraft, Draft, DraftBody, Event, Gap, IndexValue,
    InstrumentRef, OptionRight, Quote, RefusalReason, Trade,
};
use orrery_journal::store::Store;
use orrery_journal::units::{
    Address, InstrumentId, Price, RecvTime, Seq, SourceId, TradingDay, VendorTime,
};
use orrery_journal::{Calendar, Journal, OpenOptions, SyncMode};

pub use self::watched::Watched;

/// 2026-03-02 14:30:00 UTC, a Monday.
pub const OPENING: i64 = 1_772_461_800_000_000_000;
pub const SECOND: i64 = 1_000_000_000;

/// A clock that would show in any event that was stamped by it.
pub fn clock() -> RecvTime {
    RecvTime(OPENING)
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub fn draft(at: i64, ticker: &str, body: DraftBody) -> Draft {
    Draft {
        recv: Some(RecvTime(at)),
        vendor_time: Some(VendorTime(at - 250_000)),
        instrument: InstrumentRef::Ticker(ticker.into()),
        source: SourceId::JOURNAL,
        extension: None,
        body,
    }
}

pub fn quote(at: i64, ticker: &str, bid: i64, ask: i64) -> Draft {
    let quote = Quote {
        bid: Some(Price(bid * 10_000_000)),
        ask: Some(Price(ask * 10_000_000)),
        bid_size: Some(10),
        ask_size: Some(20),
        vendor_seq: Some(at as u64),
        bid_exchange: Some(302),
        ask_exchange: Some(303),
        conditions: 0,
    };
    draft(at, ticker, DraftBody::Quote { quote, conditions: Box::default() })
}

pub fn beat(at: i64) -> Draft {
    Draft {
        vendor_time: None,
        instrument: InstrumentRef::None,
        ..draft(at, "", DraftBody::ClockBeat)
    }
}

/// `n` drafts of all kinds over `days` days, the same for the same seed.
pub fn session(seed: u64, n: usize, days: i64) -> Vec<Draft> {
    let mut random = Random(seed);
    let step = (days - 1) * 86_400 * SECOND / n.max(1) as i64 + 1_000_000;
    let mut at = OPENING;
    (0..n)
        .map(|i| {
            at += random.below(2 * step as u64) as i64;
            let strike = 5_000 + random.below(40) * 5;
            let ticker = format!("O:SPXW260320C{:08}", strike * 1000);
            let bid = 100 + random.below(400) as i64;
            let conditions: Box<[u32]> =
                (0..random.below(3)).map(|_| 200 + random.below(8) as u32).collect();
            let blob = || Bytes::from(format!("{{\"n\":{}}}", i / 3));
            match random.below(40) {
                0 => draft(at, &ticker, DraftBody::Bar(Box::new(bar(at, &mut random)))),
                1 => {
                    let value = IndexValue { value: Price(5_100_000_000_000 + bid) };
                    draft(at, "I:SPX", DraftBody::IndexValue(value))
                }
                2 if i % 8 == 0 => draft(at, "I:SPX", DraftBody::Chain(Box::new(chain(i as u64)))),
                3 => draft(at, "I:SPX", DraftBody::Annotation(blob())),
                4 => draft(at, "I:SPX", DraftBody::News(blob())),
                5 => draft(at, "I:SPX", DraftBody::Control(blob())),
                6 => beat(at),
                7 => {
                    let gap = Gap { from: RecvTime(at - SECOND), to: RecvTime(at) };
                    draft(at, "I:SPX", DraftBody::Gap(gap))
                }
                8 => {
                    let corrects = Seq(random.below(i as u64 + 1) + 1);
                    draft(at, &ticker, DraftBody::Correction { corrects, blob: blob() })
                }
                9 => {
                    let reason = RefusalReason::BadPrice;
                    draft(at, &ticker, DraftBody::Quarantine { reason, blob: blob() })
                }
                10 => Draft {
                    extension: Some(Bytes::from_static(b"{\"unknown\":1}")),
                    ..quote(at, &ticker, bid, bid + 5)
                },
                11..15 => {
                    let trade = Trade {
                        price: Price(bid * 10_000_000),
                        size: 1 + random.below(9),
                        vendor_seq: Some(i as u64),
                        exchange: Some(302),
                        conditions: 0,
                    };
                    draft(at, &ticker, DraftBody::Trade { trade, conditions })
                }
                _ => quote(at, &ticker, bid, bid + 5),
            }
        })
        .collect()
}

fn bar(at: i64, random: &mut Random) -> Bar {
    let open = 5_000_000_000 + random.below(1000) as i64 * 10_000_000;
    Bar {
        start: VendorTime(at - SECOND),
        end: VendorTime(at),
        open: Price(open),
        high: Price(open + 20_000_000),
        low: Price(open - 10_000_000),
        close: Price(open + 10_000_000),
        volume: Some(random.below(10_000)),
        vwap: None,
        trades: Some(3),
        day_volume: None,
        day_open: None,
        day_vwap: Some(Price(open)),
        trade_size_mean: None,
    }
}

pub fn chain(n: u64) -> ChainDraft {
    let row = |strike: i64| ChainRow {
        instrument: InstrumentId::NONE,
        expiry: TradingDay(20_532),
        strike: Price(strike * Price::SCALE),
        right: OptionRight::Call,
        style: None,
        multiplier: Some(100.0),
        bid: Some(1.0),
        ask: Some(1.5),
        bid_size: None,
        ask_size: None,
        last: None,
        updated: None,
        open_interest: Some(n as f64),
        volume: None,
        implied_volatility: None,
        delta: None,
        gamma: Some(0.01),
        theta: None,
        vega: None,
    };
    let rows = (0..5)
        .map(|i| ChainRowDraft {
            ticker: format!("O:SPXW260320C{:08}", (5_000 + 5 * i) * 1000).into(),
            row: row(5_000 + 5 * i),
        })
        .collect();
    let raw = Bytes::from(format!("[{n}]"));
    ChainDraft { raw, spot: None, refused: 0, latency_ns: 7, pages: 1, rows }
}

pub fn utc() -> OpenOptions {
    OpenOptions { calendar: Some(Calendar::Utc), sync: SyncMode::Group }
}

pub fn on(store: &Arc<impl Store + 'static>) -> Journal {
    Journal::on_store(store.clone(), &utc()).expect("the store opens")
}

/// Appends in pieces of these lengths, again and again; waits for all.
pub fn append(journal: &Journal, drafts: &[Draft], lengths: &[usize]) {
    let writer = journal.writer(clock).expect("no other writer");
    let mut rest = drafts;
    let mut tickets = Vec::new();
    for len in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at((*len).min(rest.len()));
        tickets.push(writer.append(piece.to_vec()).expect("the writer is open"));
        rest = tail;
    }
    for ticket in tickets {
        ticket.wait().expect("the commit succeeds");
    }
    writer.close().expect("nothing is left");
}

pub fn events(journal: &Journal) -> Vec<Event> {
    read(journal, Seq::FIRST, Seq::MAX)
}

pub fn read(journal: &Journal, from: Seq, to: Seq) -> Vec<Event> {
    let mut expected = from.max(Seq::FIRST);
    let mut out = Vec::new();
    for stretch in journal.read(from, to) {
        let stretch = stretch.expect("reads");
        assert_eq!(stretch.first, expected, "no gap and no overlap");
        expected = Seq(expected.0 + stretch.events.len() as u64);
        out.extend_from_slice(&stretch.events);
    }
    out
}

pub fn pages(journal: &Journal) -> Vec<Address> {
    journal.days().expect("days").into_iter().flat_map(|d| d.pages).collect()
}

pub fn verify_clean(journal: &Journal) {
    let report = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {}).expect("verifies");
    assert_eq!(report.findings, Vec::new());
    assert_eq!(report.events, journal.head().seq.0);
}
