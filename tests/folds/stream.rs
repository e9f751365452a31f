//! Random streams of events, and the plainest way to fold them.
//!
//! A stream is made of numbers: each names one act of the market, so that a
//! property test can draw and shrink them and a program can make them from a
//! seed. Acts are what feeds bring and what they should not: ticks before the
//! chain, of contracts that no chain has and of vendor times that have passed,
//! chains that grow, shrink, repeat and lose their gammas, silence, gaps,
//! corrections, annotations that are none.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_journal::event::{
    Bar, Body, ChainRow, ChainRows, ChainSnapshot, Event, Gap, IndexValue, InlineText,
    JournalEvent, OptionRight, Quote, Trade,
};
use orrery_journal::units::{
    Address, InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, SourceId, TradingDay, VendorTime,
};
use orrery_replay::engine::{Engine, Made};
use orrery_replay::fold::World;

/// 2025-12-19 10:00 in New York, and a whole multiple of every cadence.
const START: RecvTime = RecvTime(1_766_156_400 * NANOS_PER_SECOND);

/// An underlying of the streams.
struct Underlying {
    /// Its own ticker.
    ticker: &'static str,
    spot: f64,
    step: f64,
    /// Root and date of its expirations, soonest first.
    listed: &'static [(&'static str, &'static str)],
}

/// An index with a proxy and two roots, a share, and a coin that never closes.
const UNDERLYINGS: [Underlying; 3] = [
    Underlying {
        ticker: "I:SPX",
        spot: 6_000.0,
        step: 5.0,
        listed: &[("SPXW", "251219"), ("SPX", "251219"), ("SPXW", "251222"), ("SPXW", "260116")],
    },
    Underlying {
        ticker: "TSLA",
        spot: 300.0,
        step: 5.0,
        listed: &[("TSLA", "251219"), ("TSLA", "251226"), ("TSLA", "260320")],
    },
    Underlying {
        ticker: "BTC",
        spot: 85_000.0,
        step: 1_000.0,
        listed: &[("BTC", "19DEC25"), ("BTC", "26DEC25")],
    },
];

/// Stands in for the volume of the index.
const PROXY: &str = "SPY";
/// Strikes to either side of the middle one.
const REACH: u64 = 6;

const ANNOTATIONS: [&[u8]; 5] = [
    br#"{"author":"ann","symbol":"I:SPX","lines":[5990.5,[6000,6005]]}"#,
    br#"{"author":"bob","model":"m","symbol":"TSLA","volume_nodes":[{"price":301,"color":"red"}]}"#,
    br#"{"author":"ann","symbol":"I:SPX","crevasses":[[5980,5985]]}"#,
    br#"{"author":"eve","symbol":"BTC","lines":"none"}"#,
    b"no JSON",
];

/// An event with the blob that its fold needs.
#[derive(Clone, Debug)]
pub struct Taped {
    /// The fact and its place.
    pub event: JournalEvent,
    /// Its blob.
    pub blob: Option<Vec<u8>>,
}

/// Numbers of one act, taken from its number digit by digit.
struct Digits(u64);

impl Digits {
    /// The next one below `n`.
    fn below(&mut self, n: u64) -> u64 {
        let digit = self.0 % n;
        self.0 /= n;
        digit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// A stream in the making.
struct Recorder {
    events: Vec<Taped>,
    ids: BTreeMap<String, InstrumentId>,
    now: RecvTime,
}

/// The stream of some acts.
#[must_use]
pub fn stream(acts: &[u64]) -> Vec<Taped> {
    let mut recorder = Recorder { events: Vec::new(), ids: BTreeMap::new(), now: START };
    for act in acts {
        recorder.act(&mut Digits(*act));
    }
    // Whatever is due comes out.
    recorder.now = recorder.now.plus_nanos(60 * NANOS_PER_SECOND);
    recorder.send(InstrumentId::NONE, Body::ClockBeat, None, None);
    recorder.events
}

/// The acts of a seed: splitmix64.
#[must_use]
pub fn acts(seed: u64, count: usize) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count).map(|_| next()).collect()
}

/// A stream with control facts in it, each ahead of the event of an index of the
/// stream as it was; indices ascend.
#[must_use]
pub fn with_facts(stream: &[Taped], facts: &[(usize, Vec<u8>)]) -> Vec<Taped> {
    let mut told = Vec::new();
    let mut facts = facts.iter().peekable();
    let mut places: Vec<Seq> = Vec::new();
    for (index, taped) in stream.iter().enumerate() {
        let mut taped = taped.clone();
        while let Some((_, fact)) = facts.next_if(|(at, _)| *at <= index) {
            let seq = Seq(told.len() as u64 + 1);
            let event = Event {
                recv: taped.event.event.recv,
                vendor_time: None,
                instrument: InstrumentId::NONE,
                source: SourceId(1),
                extended: false,
                body: Body::Control(Address::of(fact)),
            };
            let event = JournalEvent { seq, event };
            told.push(Taped { event, blob: Some(fact.clone()) });
        }
        taped.event.seq = Seq(told.len() as u64 + 1);
        places.push(taped.event.seq);
        if let Body::Correction { corrects, .. } = &mut taped.event.event.body {
            let was = (corrects.0 as usize).saturating_sub(1);
            *corrects = places.get(was).copied().unwrap_or(*corrects);
        }
        told.push(taped);
    }
    told
}

impl Recorder {
    fn act(&mut self, d: &mut Digits) {
        // More than half are ticks of contracts.
        match d.below(24) {
            0..=3 => self.wait(d),
            4..=11 => self.quote(d),
            12..=13 => self.option_trade(d),
            14 => self.underlying_trade(d),
            15 => self.index_value(d),
            16 => self.bar(d),
            17 => self.proxy(d),
            18..=20 => self.chain(d),
            21 => self.annotation(d),
            22 => self.correction(d),
            _ => self.rest(d),
        }
    }

    fn send(
        &mut self,
        instrument: InstrumentId,
        body: Body,
        blob: Option<Vec<u8>>,
        vendor: Option<i64>,
    ) {
        let seq = Seq(self.events.len() as u64 + 1);
        let event = Event {
            recv: self.now,
            vendor_time: vendor.map(VendorTime),
            instrument,
            source: SourceId(1),
            extended: false,
            body,
        };
        self.events.push(Taped { event: JournalEvent { seq, event }, blob });
    }

    /// The id of a ticker, defined first if it is new.
    fn id(&mut self, ticker: &str) -> InstrumentId {
        if let Some(id) = self.ids.get(ticker) {
            return *id;
        }
        let id = InstrumentId(self.ids.len() as u32 + 1);
        self.ids.insert(ticker.to_owned(), id);
        self.send(id, Body::InstrumentDefined(InlineText::Inline(ticker.into())), None, None);
        id
    }

    fn tell(&mut self, ticker: &str, body: Body, d: &mut Digits) {
        let id = self.id(ticker);
        // Most ticks say when they happened, some of them long ago.
        let vendor = match d.below(8) {
            0 => None,
            1 => Some(self.now.0 - 3_600 * NANOS_PER_SECOND),
            late => Some(self.now.0 - late as i64 * 1_000_000),
        };
        self.send(id, body, None, vendor);
    }

    fn wait(&mut self, d: &mut Digits) {
        let tenths = match d.below(16) {
            0 => 200,
            1 => 650,
            // Past a settlement, over a night, over a week.
            2 => d.one_of(&[25_200, 216_000, 864_000, 6_048_000]) * 10,
            _ => d.below(40) as i64 + 1,
        };
        self.now = self.now.plus_nanos(tenths * NANOS_PER_SECOND / 10);
    }

    fn contract(&self, d: &mut Digits) -> String {
        let underlying = &UNDERLYINGS[d.below(3) as usize];
        let (root, date) = d.one_of(underlying.listed);
        let strike = strike(underlying, d.below(2 * REACH + 1));
        ticker(root, date, d.below(2) == 0, strike)
    }

    fn quote(&mut self, d: &mut Digits) {
        let contract = self.contract(d);
        let quarters = |n: u64| Some(price(n as f64 * 0.25));
        let bid = d.below(40);
        let (bid, ask) = match d.below(16) {
            0 => (None, quarters(bid)),
            1 => (quarters(bid), None),
            2 => (quarters(0), quarters(bid)),
            3 => (quarters(bid + 4), quarters(bid)),
            4 => (quarters(bid), quarters(bid)),
            _ => (quarters(bid + 1), quarters(bid + 1 + d.below(8))),
        };
        self.tell(&contract, Body::Quote(Quote { bid, ask, ..Quote::default() }), d);
    }

    fn option_trade(&mut self, d: &mut Digits) {
        let contract = self.contract(d);
        let paid = price(d.below(40) as f64 * 0.25);
        let conditions = d.one_of(&[0, 0, 0, 1]);
        let trade = Trade { price: paid, size: d.below(50), conditions, ..Trade::default() };
        self.tell(&contract, Body::Trade(trade), d);
    }

    /// An underlying and a price near its own.
    fn near(d: &mut Digits) -> (&'static str, f64) {
        let u = &UNDERLYINGS[d.below(3) as usize];
        (u.ticker, u.spot * (1.0 + (d.below(81) as f64 - 40.0) * 0.0005))
    }

    fn underlying_trade(&mut self, d: &mut Digits) {
        let (ticker, paid) = Self::near(d);
        let trade = Trade { price: price(paid), size: d.below(900), ..Trade::default() };
        self.tell(ticker, Body::Trade(trade), d);
    }

    fn index_value(&mut self, d: &mut Digits) {
        let (_, value) = Self::near(d);
        self.tell("I:SPX", Body::IndexValue(IndexValue { value: price(value) }), d);
        // The index of its volatility, which moves against it.
        let value = price(f64::from((70.0 - value / 100.0).clamp(5.0, 90.0) as i32));
        self.tell("I:VIX", Body::IndexValue(IndexValue { value }), d);
    }

    fn minute(&mut self, ticker: &str, at: f64, volume: Option<u64>, d: &mut Digits) {
        let end = self.now.0.div_euclid(60 * NANOS_PER_SECOND) * 60 * NANOS_PER_SECOND;
        // Now and then a bar of an hour ago, and one that ends nowhere.
        let end = end - d.one_of(&[0, 0, 0, 1, 60]) * 60 * NANOS_PER_SECOND;
        let range = at * d.one_of(&[0.0, 0.0002, 0.001]);
        let bar = Bar {
            start: VendorTime(end - 60 * NANOS_PER_SECOND),
            end: VendorTime(end),
            open: price(at),
            high: price(at + range),
            low: price(at - range),
            close: price(at + range / 2.0),
            volume,
            day_volume: volume.map(|v| v * 7),
            ..Bar::default()
        };
        self.tell(ticker, Body::Bar(bar), d);
    }

    fn bar(&mut self, d: &mut Digits) {
        if d.below(4) == 0 {
            let contract = self.contract(d);
            return self.minute(&contract, 2.5, Some(d.below(99)), d);
        }
        let (ticker, at) = Self::near(d);
        let volume = d.one_of(&[None, Some(0), Some(120), Some(45_000)]);
        self.minute(ticker, at, volume, d);
    }

    fn proxy(&mut self, d: &mut Digits) {
        let at = 600.0 + d.below(40) as f64 * 0.25 - 5.0;
        if d.below(2) == 0 {
            let trade = Trade { price: price(at), size: 1 + d.below(500), ..Trade::default() };
            self.tell(PROXY, Body::Trade(trade), d);
        } else {
            let volume = Some(1 + d.below(9_000));
            self.minute(PROXY, at, volume, d);
        }
    }

    fn chain(&mut self, d: &mut Digits) {
        let underlying = &UNDERLYINGS[d.below(3) as usize];
        // Mostly the whole chain, so that it is often refreshed; else a part.
        let (expiries, strikes) = match d.below(4) {
            0 => (1 + d.below(underlying.listed.len() as u64) as usize, 1 + d.below(2 * REACH)),
            _ => (underlying.listed.len(), 2 * REACH + 1),
        };
        let quoted = d.below(3) > 0;
        let greeks = d.below(5) > 0;
        let spot = (d.below(3) > 0)
            .then(|| price(underlying.spot * (1.0 + (d.below(41) as f64 - 20.0) * 0.0005)));
        let mut rows = Vec::new();
        for (root, date) in &underlying.listed[..expiries] {
            for n in 0..strikes {
                for call in [true, false] {
                    let strike = strike(underlying, n);
                    let id = self.id(&ticker(root, date, call, strike));
                    rows.push(row(id, call, strike, underlying.spot, quoted, greeks, d));
                }
            }
        }
        if d.below(8) == 0 {
            rows.extend_from_within(..1);
            rows[0].instrument = InstrumentId(9_999);
        }
        let blob = ChainRows::encode(&rows);
        let snapshot = ChainSnapshot {
            rows: Address::of(&blob),
            spot,
            contracts: rows.len() as u32,
            pages: 1,
            ..ChainSnapshot::default()
        };
        let id = self.id(underlying.ticker);
        self.send(id, Body::ChainSnapshot(snapshot), Some(blob), None);
    }

    fn annotation(&mut self, d: &mut Digits) {
        let json = d.one_of(&ANNOTATIONS);
        let instrument = match d.below(3) {
            0 => self.id("I:SPX"),
            _ => InstrumentId::NONE,
        };
        self.send(instrument, Body::Annotation(Address::of(json)), Some(json.to_vec()), None);
    }

    /// Of an event that was, with what it should have said; or its cancellation.
    fn correction(&mut self, d: &mut Digits) {
        let Some(last) = self.events.len().checked_sub(1) else { return };
        let wrong = &self.events[d.below(last as u64 + 1) as usize].event;
        let (corrects, instrument) = (wrong.seq, wrong.event.instrument);
        let right: &[u8] = d.one_of(&[b"" as &[u8], br#"{"price":1.5}"#]);
        let body = Body::Correction { corrects, blob: Address::of(right) };
        self.send(instrument, body, Some(right.to_vec()), None);
    }

    fn rest(&mut self, d: &mut Digits) {
        let control = br#"{"control":"none that we know"}"#;
        match d.below(4) {
            0 => self.send(InstrumentId::NONE, Body::ClockBeat, None, None),
            1 => {
                let blob = Some(control.to_vec());
                self.send(InstrumentId::NONE, Body::Control(Address::of(control)), blob, None);
            }
            2 => self.send(InstrumentId::NONE, Body::News(Address::of(b"{}")), None, None),
            _ => {
                let (ticker, _) = Self::near(d);
                let id = self.id(ticker);
                let gap = Gap { from: self.now.plus_nanos(-NANOS_PER_SECOND), to: self.now };
                self.send(id, Body::Gap(gap), None, None);
            }
        }
    }
}

fn price(value: f64) -> Price {
    Price::from_f64_nearest(value).unwrap_or_default()
}

fn strike(underlying: &Underlying, n: u64) -> f64 {
    underlying.spot + (n as f64 - REACH as f64) * underlying.step
}

fn ticker(root: &str, date: &str, call: bool, strike: f64) -> String {
    let right = if call { "C" } else { "P" };
    if root == "BTC" {
        return format!("{root}-{date}-{strike}-{right}");
    }
    format!("O:{root}{date}{right}{:08}", (strike * 1000.0) as u64)
}

fn row(
    instrument: InstrumentId,
    call: bool,
    strike: f64,
    spot: f64,
    quoted: bool,
    greeks: bool,
    d: &mut Digits,
) -> ChainRow {
    // The tape holds few digits for so many rows: mix them with the strike.
    let mut mixed = Digits(d.0 ^ (instrument.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let away = (strike - spot) / spot;
    let inner = if call { spot - strike } else { strike - spot }.max(0.0);
    let mid = inner + 0.004 * spot / (1.0 + 900.0 * away * away);
    let known = |present: bool, value: f64| present.then_some(value);
    let bid = match mixed.below(12) {
        0 => 0.0,
        1 => mid + 3.0,
        _ => (mid - 0.25).max(0.25),
    };
    let gamma = match mixed.below(24) {
        0 => Some(-0.001),
        1 => Some(0.0),
        2 => None,
        _ => Some(0.002 / (1.0 + 9_000.0 * away * away)),
    };
    let volatility = match mixed.below(24) {
        0 => Some(20.0),
        1 => None,
        n => Some(0.1 + 0.01 * n as f64),
    };
    ChainRow {
        instrument,
        // The ticker says expiry, strike and right; these are never read.
        expiry: TradingDay::default(),
        strike: Price::default(),
        right: if call { OptionRight::Call } else { OptionRight::Put },
        style: None,
        multiplier: None,
        bid: known(quoted, bid),
        ask: known(quoted && mixed.below(16) > 0, mid + 0.25),
        bid_size: known(quoted, 7.0),
        ask_size: known(quoted, 9.0),
        last: known(mixed.below(3) == 0, mid),
        updated: None,
        open_interest: known(mixed.below(12) > 0, (mixed.below(40) * 25) as f64),
        volume: known(mixed.below(3) > 0, mixed.below(500) as f64),
        implied_volatility: volatility.filter(|_| greeks),
        delta: known(greeks && mixed.below(8) > 0, if call { 0.5 - away } else { -0.5 - away }),
        gamma: gamma.filter(|_| greeks),
        theta: known(greeks, -1.25),
        vega: known(greeks, 3.5),
    }
}

/// An engine that folds a stream from where it stands to before `end`.
///
/// # Errors
/// What the engine says against the stream.
pub fn go_on(
    engine: &mut Engine,
    stream: &[Taped],
    end: usize,
    made: &mut Vec<Made>,
) -> Result<(), String> {
    let from = engine.position().seq.0 as usize;
    for taped in stream.get(from..end).unwrap_or_default() {
        let blob = taped.blob.as_deref();
        engine.apply(&taped.event, blob, made).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Everything that a stream makes of a world, and the state at its end.
///
/// # Errors
/// What the engine says against the stream.
pub fn fold(world: Arc<dyn World>, stream: &[Taped]) -> Result<(Vec<Made>, Vec<u8>), String> {
    let (mut engine, mut made) = (Engine::new(world), Vec::new());
    go_on(&mut engine, stream, stream.len(), &mut made)?;
    Ok((made, engine.save()))
}
