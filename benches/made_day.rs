//! A made session of SPX for the benches of whole days: 12,000 contracts (40
//! expiries, 150 strikes, calls and puts), of the ticks 5 % are trades; how often a
//! contract ticks follows Zipf with s = 0.9, the nearest to the money first; an index
//! value and a bar of SPY a second, the chain anew every minute.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use orrery_folds::market::black_scholes::Terms;
use orrery_journal::event::{
    Bar, Body, ChainDraft, ChainRow, ChainRowDraft, Draft, DraftBody, IndexValue, InlineText,
    InstrumentRef, OptionRight, Quote, Trade,
};
use orrery_journal::units::{
    InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, SourceId, TradingDay, VendorTime,
};
use orrery_journal::{Journal, OpenOptions, Writer};

const SPOT: f64 = 6_500.0;
const EXPIRIES: i64 = 40;
const STRIKES: i64 = 150;
pub const CONTRACTS: usize = (EXPIRIES * STRIKES * 2) as usize;
/// 2026-03-16 14:30 UTC, an hour into the session.
const START: RecvTime = RecvTime(1_773_671_400 * NANOS_PER_SECOND);
const NICKEL: i64 = Price::SCALE / 20;
/// Ticks of one append.
const BATCH: usize = 4_096;

/// Xorshift: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

struct Contract {
    ticker: Box<str>,
    strike: i64,
    right: OptionRight,
    years: f64,
    /// Nickels.
    bid: i64,
    spread: i64,
    volume: u64,
}

impl Contract {
    fn terms(&self, spot: f64) -> Terms {
        let far = libm::log(self.strike as f64 / SPOT);
        let volatility = 0.13 + 0.4 * far * far - 0.1 * far;
        let (strike, years) = (self.strike as f64, self.years);
        Terms { spot, strike, years, rate: 0.0, carry: 0.0, volatility }
    }

    fn row(&self, spot: f64, now: RecvTime) -> ChainRowDraft {
        let terms = self.terms(spot);
        let greeks = terms.greeks(self.right);
        let dollars = |nickels: i64| Some(Price(nickels * NICKEL).to_f64());
        let row = ChainRow {
            instrument: InstrumentId::NONE,
            // The ticker says these.
            expiry: TradingDay(0),
            strike: Price(self.strike * Price::SCALE),
            right: self.right,
            style: None,
            multiplier: Some(100.0),
            bid: dollars(self.bid),
            ask: dollars(self.bid + self.spread),
            bid_size: Some(10.0),
            ask_size: Some(10.0),
            last: dollars(self.bid),
            updated: Some(VendorTime(now.0)),
            open_interest: Some((self.strike * 7_919 % 5_003) as f64),
            volume: Some(self.volume as f64),
            implied_volatility: Some(terms.volatility),
            delta: greeks.map(|g| g.delta),
            gamma: greeks.map(|g| g.gamma),
            theta: greeks.map(|g| g.theta / 365.0),
            vega: greeks.map(|g| g.vega / 100.0),
        };
        ChainRowDraft { ticker: self.ticker.clone(), row }
    }
}

/// The nearest to the money of the soonest expiries first.
fn contracts() -> Vec<Contract> {
    let mut all = Vec::with_capacity(CONTRACTS);
    for n in 0..EXPIRIES {
        // Each weekday of two weeks, then every Monday.
        let days = if n < 10 { n / 5 * 7 + n % 5 } else { (n - 8) * 7 };
        let date =
            chrono::NaiveDate::from_ymd_opt(2026, 3, 16).unwrap() + chrono::Days::new(days as u64);
        for k in 0..STRIKES {
            let strike = 6_500 + 5 * (k - STRIKES / 2);
            for (letter, right) in [('C', OptionRight::Call), ('P', OptionRight::Put)] {
                let mut contract = Contract {
                    ticker: format!("O:SPXW{}{letter}{:08}", date.format("%y%m%d"), strike * 1_000)
                        .into(),
                    strike,
                    right,
                    years: (days as f64 + 0.25) / 365.0,
                    bid: 0,
                    spread: 2,
                    volume: 0,
                };
                let worth = contract.terms(SPOT).price(right).unwrap();
                contract.bid = (worth * 20.0) as i64;
                all.push((n * 20 + (k - STRIKES / 2).abs(), contract));
            }
        }
    }
    all.sort_by_key(|(far, _)| *far);
    all.into_iter().map(|(_, contract)| contract).collect()
}

/// Draws places by Zipf with s = 0.9: a table of the cumulated weights.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(n: usize) -> Zipf {
        let mut sum = 0.0;
        let weight = |place: usize| libm::pow((place + 1) as f64, -0.9);
        let sums: Vec<f64> = (0..n)
            .map(|place| {
                sum += weight(place);
                sum
            })
            .collect();
        Zipf(sums.iter().map(|s| s / sum).collect())
    }

    fn draw(&self, random: &mut Random) -> usize {
        let at = random.unit();
        self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1)
    }
}

/// How to tick: how many in all, so many a second of event time.
#[derive(Clone, Copy)]
pub struct Ticks {
    pub count: usize,
    pub rate: i64,
}

struct Session {
    journal: Journal,
    writer: Writer,
    source: SourceId,
    contracts: Vec<Contract>,
    ids: Vec<InstrumentId>,
    spot: f64,
}

impl Session {
    fn draft(&self, at: RecvTime, instrument: InstrumentRef, body: DraftBody) -> Draft {
        let vendor_time = Some(VendorTime(at.0 - 2_000_000));
        Draft {
            recv: Some(at),
            vendor_time,
            instrument,
            source: self.source,
            extension: None,
            body,
        }
    }

    fn chain(&self, at: RecvTime) -> Draft {
        let chain = ChainDraft {
            raw: Vec::new().into(),
            spot: Price::from_f64_nearest(self.spot),
            refused: 0,
            latency_ns: 0,
            pages: 1,
            rows: self.contracts.iter().map(|c| c.row(self.spot, at)).collect(),
        };
        let index = InstrumentRef::Ticker("I:SPX".into());
        self.draft(at, index, DraftBody::Chain(Box::new(chain)))
    }

    fn second(&mut self, at: RecvTime, random: &mut Random) -> [Draft; 2] {
        let before = self.spot;
        self.spot = ((self.spot + (random.unit() - 0.5) * 0.8) * 100.0).round() / 100.0;
        let price = |value: f64| Price::from_f64_nearest((value * 10.0).round() / 100.0).unwrap();
        let bar = Bar {
            start: VendorTime(at.0 - NANOS_PER_SECOND),
            end: VendorTime(at.0),
            open: price(before),
            high: price(before.max(self.spot) + 0.3),
            low: price(before.min(self.spot) - 0.3),
            close: price(self.spot),
            volume: Some(100 * (5 + random.below(60))),
            ..Bar::default()
        };
        let value = Price::from_f64_nearest(self.spot).unwrap();
        let of = |ticker: &str| InstrumentRef::Ticker(ticker.into());
        [
            self.draft(at, of("I:SPX"), DraftBody::IndexValue(IndexValue { value })),
            self.draft(at, of("SPY"), DraftBody::Bar(Box::new(bar))),
        ]
    }

    fn tick(&mut self, at: RecvTime, place: usize, random: &mut Random) -> Draft {
        let contract = &mut self.contracts[place];
        let body = if random.below(20) == 0 {
            let lifted = random.below(2) as i64;
            let price = Price((contract.bid + lifted * contract.spread).max(1) * NICKEL);
            let size = 1 + random.below(20);
            contract.volume += size;
            let trade = Trade { price, size, ..Trade::default() };
            let conditions = [[209, 227, 232][random.below(3) as usize]].into();
            DraftBody::Trade { trade, conditions }
        } else {
            contract.bid = (contract.bid + random.below(3) as i64 - 1).max(0);
            contract.spread = (contract.spread + random.below(3) as i64 - 1).clamp(1, 6);
            let price = |nickels: i64| Some(Price(nickels * NICKEL));
            let quote = Quote {
                bid: price(contract.bid),
                ask: price(contract.bid + contract.spread),
                bid_size: Some(1 + random.below(90) as u32),
                ask_size: Some(1 + random.below(90) as u32),
                ..Quote::default()
            };
            DraftBody::Quote { quote, conditions: Box::default() }
        };
        self.draft(at, InstrumentRef::Id(self.ids[place]), body)
    }
}

/// The session in a journal; nothing of it is measured.
pub fn record(dir: &Path, ticks: usize, rate: i64) -> Journal {
    let journal = Journal::open(dir, &OpenOptions::default()).unwrap();
    append(&journal, START, Ticks { count: ticks, rate }, &mut |_| ControlFlow::Continue(()));
    // Else the engine goes on sorting its tables while others are measured.
    journal.compact().unwrap();
    journal
}

/// Another session in the same journal, days later; `paced` is told after each
/// append how much of it has gone by, and may end it.
#[allow(dead_code, reason = "not every bench has a second session")]
pub fn append_later(
    journal: &Journal,
    days: i64,
    ticks: Ticks,
    paced: &mut dyn FnMut(Duration) -> ControlFlow<()>,
) {
    append(journal, START.plus_nanos(days * 86_400 * NANOS_PER_SECOND), ticks, paced);
}

fn append(
    journal: &Journal,
    start: RecvTime,
    ticks: Ticks,
    paced: &mut dyn FnMut(Duration) -> ControlFlow<()>,
) {
    // Every draft says when it came.
    let writer = journal.writer(|| START).unwrap();
    let source = writer.define_source(r#"{"feed":"bench"}"#).unwrap();
    let (contracts, ids) = (contracts(), Vec::new());
    let journal = journal.clone();
    let mut session = Session { journal, writer, source, contracts, ids, spot: SPOT };
    session.writer.append(vec![session.chain(start)]).unwrap().wait().unwrap();
    session.ids = ids_of(&session);
    let (zipf, mut random) = (Zipf::new(CONTRACTS), Random(0x9e37_79b9_7f4a_7c15));
    let (mut drafts, mut second) = (Vec::with_capacity(BATCH), 0);
    for n in 0..ticks.count as i64 {
        let elapsed = n * NANOS_PER_SECOND / ticks.rate;
        let at = start.plus_nanos(elapsed);
        if elapsed / NANOS_PER_SECOND > second {
            second = elapsed / NANOS_PER_SECOND;
            drafts.extend(session.second(at, &mut random));
            if second % 60 == 0 {
                drafts.push(session.chain(at));
            }
        }
        let place = zipf.draw(&mut random);
        drafts.push(session.tick(at, place, &mut random));
        if drafts.len() >= BATCH {
            let full = std::mem::replace(&mut drafts, Vec::with_capacity(BATCH));
            session.writer.append(full).unwrap();
            if paced(Duration::from_nanos(elapsed as u64)).is_break() {
                break;
            }
        }
    }
    session.writer.append(drafts).unwrap().wait().unwrap();
    session.writer.close().unwrap();
}

fn ids_of(session: &Session) -> Vec<InstrumentId> {
    let mut by_ticker = BTreeMap::new();
    for stretch in session.journal.read(Seq::FIRST, session.journal.head().seq) {
        for event in stretch.unwrap().events.iter() {
            if let Body::InstrumentDefined(InlineText::Inline(ticker)) = &event.body {
                by_ticker.insert(ticker.to_string(), event.instrument);
            }
        }
    }
    session.contracts.iter().map(|c| by_ticker[&*c.ticker]).collect()
}

/// Seconds of processor time that this process has had, threads that have ended
/// included; the kernel counts hundredths.
pub fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which may hold anything: state is the third field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at - 3].parse::<f64>().unwrap();
    (ticks(14) + ticks(15)) / 100.0
}

/// A number after its name on the command line.
pub fn number(name: &str, default: usize) -> usize {
    let args: Vec<String> = std::env::args().collect();
    let at = args.iter().position(|a| a == name);
    at.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(default)
}
