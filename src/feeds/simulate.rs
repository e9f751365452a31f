//! A made-up session: an SPX-like chain whose quotes and trades follow a moving
//! spot, bars of SPY with volume, index values, one change of the topology and
//! one gap of the feed.
//!
//! The same seed and options give the same drafts on every machine. Times are
//! handed in: nothing here reads a clock, so the same generator feeds the demo
//! at full speed and a live pipeline in real time.

use std::collections::VecDeque;

use bytes::Bytes;
use orrery_journal::Calendar;
use orrery_journal::event::{
    Bar, ChainDraft, Draft, DraftBody, Gap, IndexValue, InstrumentRef, OptionRight, Quote, Trade,
};
use orrery_journal::units::{NANOS_PER_SECOND, Price, RecvTime, SourceId, TradingDay, VendorTime};

use self::listing::Listed;
use self::random::Random;
use crate::market::calendar;

mod listing;
pub mod random;

/// 2026-03-16 14:30 UTC, a Monday an hour into the session in New York.
pub const DEFAULT_START: RecvTime = RecvTime(1_773_671_400_000_000_000);

const MILLI: i64 = 1_000_000;
/// Deviation of the spot's logarithm in a second: 13 % a year of sessions.
const VOLATILITY_A_SECOND: f64 = 0.13 / 2_428.0;
/// Shares of SPY that change hands in a second, on average.
const SHARES_A_SECOND: f64 = 3_200.0;
const INDEX: &str = "I:SPX";
const PROXY: &str = "SPY";

/// What to make up.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationOptions {
    /// Same seed, same session.
    pub seed: u64,
    /// First moment.
    pub start: RecvTime,
    /// Length, ns; `None` goes on for ever.
    pub duration_ns: Option<i64>,
    /// Option quotes and trades in a second.
    pub ticks_per_second: u32,
    /// Between two chain snapshots, ns.
    pub chain_every_ns: i64,
    /// From the start to new strikes and a new expiration, ns.
    pub topology_change_ns: Option<i64>,
    /// From the start to a silence of the feed, and its length, ns.
    pub gap_ns: Option<(i64, i64)>,
    /// Price of the index at the start, points.
    pub spot: f64,
}

impl Default for SimulationOptions {
    /// Ten minutes with 400 option ticks a second.
    fn default() -> Self {
        SimulationOptions {
            seed: 42,
            start: DEFAULT_START,
            duration_ns: Some(600 * NANOS_PER_SECOND),
            ticks_per_second: 400,
            chain_every_ns: 60 * NANOS_PER_SECOND,
            topology_change_ns: Some(330 * NANOS_PER_SECOND),
            gap_ns: Some((450 * NANOS_PER_SECOND, 8 * NANOS_PER_SECOND)),
            spot: 6_540.0,
        }
    }
}

/// A session on its way.
#[derive(Clone, Debug)]
pub struct Simulation {
    options: SimulationOptions,
    random: Random,
    listed: Vec<Listed>,
    /// Contracts by nearness, drawn from for ticks.
    near: Vec<usize>,
    listed_for: Option<(TradingDay, bool)>,
    /// Middle of the strikes that are listed today, points.
    center: i64,
    spot: f64,
    momentum: f64,
    tick: i64,
    chain_due: i64,
    second: i64,
    proxy_open: f64,
    proxy_high: f64,
    proxy_low: f64,
    vendor_seq: u64,
    in_gap: bool,
    queue: VecDeque<Draft>,
}

impl Simulation {
    /// A session that has not begun.
    #[must_use]
    pub fn new(options: SimulationOptions) -> Simulation {
        let spot = options.spot;
        Simulation {
            random: Random::new(options.seed),
            listed: Vec::new(),
            near: Vec::new(),
            listed_for: None,
            center: 0,
            spot,
            momentum: 0.0,
            tick: 0,
            chain_due: 0,
            second: 0,
            proxy_open: spot / 10.0,
            proxy_high: spot / 10.0,
            proxy_low: spot / 10.0,
            vendor_seq: 0,
            in_gap: false,
            queue: VecDeque::new(),
            options,
        }
    }

    /// What the journal keeps as this source's descriptor, UTF-8 JSON.
    #[must_use]
    pub fn descriptor(&self) -> String {
        let SimulationOptions { seed, start, ticks_per_second, .. } = &self.options;
        serde_json::json!({
            "feed": "simulate",
            "format": "simulation",
            "name": format!("seed {seed} from {start} at {ticks_per_second} ticks/s"),
        })
        .to_string()
    }

    /// Everything that happens up to and at `until`, in order. Real time is
    /// kept by calling it with the time of day again and again.
    pub fn next_batch(&mut self, until: RecvTime) -> Vec<Draft> {
        let mut batch = Vec::new();
        loop {
            while self.queue.front().is_some_and(|d| d.recv <= Some(until)) {
                batch.extend(self.queue.pop_front());
            }
            if !self.queue.is_empty() || self.now() > until || self.is_over() {
                return batch;
            }
            self.step();
        }
    }

    /// Whether nothing more will come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let end = self.options.duration_ns.is_some_and(|d| self.elapsed() > d);
        end && self.queue.is_empty()
    }

    fn elapsed(&self) -> i64 {
        let a_second = i64::from(self.options.ticks_per_second.max(1));
        let (seconds, ticks) = (self.tick / a_second, self.tick % a_second);
        seconds * NANOS_PER_SECOND + ticks * NANOS_PER_SECOND / a_second
    }

    fn now(&self) -> RecvTime {
        self.options.start.plus_nanos(self.elapsed())
    }

    /// One tick's time: the spot moves, and whatever is due comes out.
    fn step(&mut self) {
        let elapsed = self.elapsed();
        let now = self.now();
        self.move_spot();
        let silent = self.options.gap_ns.filter(|(at, len)| (*at..at + len).contains(&elapsed));
        if let Some((at, _)) = silent {
            if !self.in_gap {
                self.in_gap = true;
                self.second = self.second.max(at / NANOS_PER_SECOND);
            }
            self.tick += 1;
            return;
        }
        if self.in_gap {
            self.end_gap(now);
        }
        let changed = self.options.topology_change_ns.is_some_and(|at| elapsed >= at);
        let day = calendar::day_of(Calendar::NewYork, now);
        if self.listed_for != Some((day, changed)) {
            self.list(day, changed);
            self.chain_due = elapsed;
        }
        if elapsed >= self.chain_due {
            self.chain(now);
            self.chain_due = elapsed + self.options.chain_every_ns.max(1);
        }
        if elapsed / NANOS_PER_SECOND > self.second || self.tick == 0 {
            self.second_over(now, elapsed / NANOS_PER_SECOND);
        }
        self.option_tick(now);
        self.tick += 1;
    }

    fn move_spot(&mut self) {
        let a_second = f64::from(self.options.ticks_per_second.max(1));
        let deviation = VOLATILITY_A_SECOND / libm::sqrt(a_second);
        // Drift that lasts for about 90 seconds; its own deviation is a sixth
        // of the spot's, whatever the number of ticks.
        let nudge = VOLATILITY_A_SECOND / (6.0 * a_second * libm::sqrt(45.0 * a_second));
        self.momentum += -self.momentum / (90.0 * a_second) + nudge * self.random.normal();
        let change = deviation * self.random.normal() + self.momentum;
        // Far from where it began, the market is pulled back.
        let pull = 2e-5 * (self.options.spot / self.spot - 1.0) / a_second;
        self.spot *= 1.0 + change + pull;
        let proxy = self.spot / 10.0;
        self.proxy_high = self.proxy_high.max(proxy);
        self.proxy_low = self.proxy_low.min(proxy);
    }

    fn end_gap(&mut self, now: RecvTime) {
        self.in_gap = false;
        if let Some((at, _)) = self.options.gap_ns {
            let from = self.options.start.plus_nanos(at);
            let gap = DraftBody::Gap(Gap { from, to: now });
            self.emit(now, None, InstrumentRef::None, gap);
        }
        self.second = self.elapsed() / NANOS_PER_SECOND;
        let proxy = self.spot / 10.0;
        (self.proxy_open, self.proxy_high, self.proxy_low) = (proxy, proxy, proxy);
    }

    /// Lists what is missing; what is listed stays until it expires.
    fn list(&mut self, day: TradingDay, changed: bool) {
        // Strikes stand around where the day began, not where the spot is now.
        if self.listed_for.map(|(of, _)| of) != Some(day) {
            self.center = (self.spot / 5.0).round() as i64 * 5;
        }
        for series in listing::series(day, changed) {
            for contract in listing::contracts(&series, self.center, &mut self.random) {
                if !self.listed.iter().any(|l| l.ticker == contract.ticker) {
                    self.listed.push(contract);
                }
            }
        }
        self.listed_for = Some((day, changed));
        self.rank();
    }

    /// Orders contracts by how busy they are: near in strike, near in time.
    fn rank(&mut self) {
        let mut order: Vec<(i64, usize)> = Vec::with_capacity(self.listed.len());
        let first = self.listed.iter().map(|l| l.expiry.0).min().unwrap_or_default();
        for (at, listed) in self.listed.iter().enumerate() {
            let points = (listed.strike - self.spot.round() as i64).abs();
            order.push((points + 12 * i64::from(listed.expiry.0 - first), at));
        }
        order.sort_unstable();
        self.near = order.into_iter().map(|(_, at)| at).collect();
    }

    fn chain(&mut self, now: RecvTime) {
        self.listed.retain(|l| l.settles_at > now);
        self.rank();
        let mut rows: Vec<_> =
            self.listed.iter().filter_map(|l| l.row(self.spot, now, &mut self.random)).collect();
        rows.sort_by(|a, b| a.ticker.cmp(&b.ticker));
        if rows.is_empty() {
            return;
        }
        let raw = serde_json::json!({
            "simulated": true, "seed": self.options.seed, "at": now.to_rfc3339(),
        });
        let draft = ChainDraft {
            raw: Bytes::from(raw.to_string()),
            spot: Price::from_f64_nearest(cents(self.spot)),
            refused: 0,
            latency_ns: 120 * MILLI as u64 + self.random.below(90 * MILLI as u64),
            pages: u32::try_from(rows.len().div_ceil(250)).unwrap_or(u32::MAX),
            rows,
        };
        let index = InstrumentRef::Ticker(INDEX.into());
        self.emit(now, None, index, DraftBody::Chain(Box::new(draft)));
    }

    /// At the end of a second: the index's value and the proxy's bar.
    fn second_over(&mut self, now: RecvTime, second: i64) {
        let at = Some(VendorTime(now.0 / MILLI * MILLI));
        if let Some(value) = Price::from_f64_nearest(cents(self.spot)) {
            let index = InstrumentRef::Ticker(INDEX.into());
            self.emit(now, at, index, DraftBody::IndexValue(IndexValue { value }));
        }
        if second > self.second {
            self.second = second;
            self.proxy_bar(now);
        }
    }

    fn proxy_bar(&mut self, now: RecvTime) {
        let close = self.spot / 10.0;
        let price = |value: f64| Price::from_f64_nearest(cents(value)).unwrap_or_default();
        let range = (self.proxy_high - self.proxy_low) / close;
        let busy = 0.5 + range / VOLATILITY_A_SECOND * 0.5 + 0.3 * self.random.unit();
        let volume = (SHARES_A_SECOND * busy) as u64 / 100 * 100 + 100;
        let end = now.0 / NANOS_PER_SECOND * NANOS_PER_SECOND;
        let (open, close) = (price(self.proxy_open), price(close));
        let bar = Bar {
            start: VendorTime(end - NANOS_PER_SECOND),
            end: VendorTime(end),
            open,
            high: price(self.proxy_high).max(open).max(close),
            low: price(self.proxy_low).min(open).min(close),
            close,
            volume: Some(volume),
            trades: Some(1 + volume / 120),
            ..Bar::default()
        };
        let proxy = InstrumentRef::Ticker(PROXY.into());
        self.emit(now, Some(bar.end), proxy, DraftBody::Bar(Box::new(bar)));
        let spot = self.spot / 10.0;
        (self.proxy_open, self.proxy_high, self.proxy_low) = (spot, spot, spot);
    }

    /// A quote, or now and then a trade, of a contract that is likely busy.
    fn option_tick(&mut self, now: RecvTime) {
        // The cube of a uniform number prefers the front of the ranking.
        let draw = self.random.unit();
        let place = (draw * draw * draw * self.near.len() as f64) as usize;
        let Some(at) = self.near.get(place).copied() else { return };
        let Some(listed) = self.listed.get(at) else { return };
        let Some(market) = listed.market(self.spot, now, &mut self.random) else { return };
        let instrument = InstrumentRef::Ticker(listed.ticker.clone());
        let call = listed.right == OptionRight::Call;
        let delay = 2 + self.random.below(18) as i64;
        let vendor_time = Some(VendorTime((now.0 / MILLI - delay) * MILLI));
        self.vendor_seq += 1 + self.random.below(3);
        let exchange = 300 + self.random.below(19) as u16;
        if self.random.below(12) > 0 {
            let quote = Quote {
                bid: Some(market.bid),
                ask: Some(market.ask),
                bid_size: Some(market.bid_size),
                ask_size: Some(market.ask_size),
                vendor_seq: Some(self.vendor_seq),
                bid_exchange: Some(exchange),
                ask_exchange: Some(300 + self.random.below(19) as u16),
                conditions: 0,
            };
            let body = DraftBody::Quote { quote, conditions: Box::default() };
            return self.emit(now, vendor_time, instrument, body);
        }
        // Calls are lifted and puts are hit a little more often while it rises.
        let rising = (self.momentum > 0.0) == call;
        let lifted = self.random.unit() < if rising { 0.62 } else { 0.42 };
        let price = if lifted || market.bid.0 == 0 { market.ask } else { market.bid };
        let size = 1 + self.random.below(6) * self.random.below(6);
        if let Some(listed) = self.listed.get_mut(at) {
            listed.volume += size;
            listed.last = Some(price);
        }
        let trade = Trade {
            price,
            size,
            vendor_seq: Some(self.vendor_seq),
            exchange: Some(exchange),
            conditions: 0,
        };
        let conditions = [if size > 1 { 232 } else { 209 }].into();
        self.emit(now, vendor_time, instrument, DraftBody::Trade { trade, conditions });
    }

    fn emit(
        &mut self,
        now: RecvTime,
        vendor_time: Option<VendorTime>,
        instrument: InstrumentRef,
        body: DraftBody,
    ) {
        let (source, extension) = (SourceId::JOURNAL, None);
        self.queue.push_back(Draft {
            recv: Some(now),
            vendor_time,
            instrument,
            source,
            extension,
            body,
        });
    }
}

impl Iterator for Simulation {
    type Item = Draft;

    fn next(&mut self) -> Option<Draft> {
        while self.queue.is_empty() {
            if self.is_over() {
                return None;
            }
            self.step();
        }
        self.queue.pop_front()
    }
}

fn cents(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
