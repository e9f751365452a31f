//! The workload: option ticks of 12,000 contracts, the same in every run and on
//! every machine.
//!
//! 40 expiries x 150 strikes x call and put; how often a contract ticks follows
//! Zipf with s = 0.9 (the busiest takes 6 %); 5 % trades; bursts of 100 to 500
//! ticks some 2 us apart between stretches of some 110 us; vendor times with
//! ns, 180 us and more before the capture. Sizes and prices walk at random.

use std::io::{self, Write};
use std::path::Path;

use crate::tick::{CONTRACTS, Tick};

/// 1e-9 units of 5 cents, the step of prices.
const STEP: i64 = 50_000_000;
/// The trade conditions; a tick holds an index into it, from 1.
pub const CONDITIONS: [u32; 4] = [209, 227, 232, 233];
const EXCHANGE: u16 = 302;
/// 2025-12-08 14:30 UTC: the market opens in New York.
pub const OPENS_NS: i64 = 1_765_204_200_000_000_000;

/// Xorshift: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// In 0..1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponential with this mean.
    fn wait(&mut self, mean: f64) -> f64 {
        -libm::log(1.0 - self.unit()) * mean
    }

    fn sign(&mut self) -> i64 {
        1 - 2 * self.below(2) as i64
    }
}

struct Book {
    bid: i64,
    ask: i64,
    bid_size: u32,
    ask_size: u32,
}

/// The endless sequence of ticks.
pub struct Workload {
    random: Random,
    /// How often the contract of this rank and all before it tick, of `total`.
    shares: Vec<f64>,
    total: f64,
    /// Contract of a rank.
    ranked: Vec<u32>,
    books: Vec<Book>,
    now: i64,
    vendor_seq: u64,
    burst: u64,
}

impl Default for Workload {
    fn default() -> Self {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut ranked: Vec<u32> = (0..CONTRACTS as u32).collect();
        for i in (1..ranked.len()).rev() {
            ranked.swap(i, random.below(i as u64 + 1) as usize);
        }
        let mut total = 0.0;
        let shares = (1..=CONTRACTS)
            .map(|rank| {
                total += 1.0 / libm::pow(rank as f64, 0.9);
                total
            })
            .collect();
        let books = (0..CONTRACTS)
            .map(|_| {
                let bid = (10 + random.below(4_000) as i64) * STEP;
                let ask = bid + STEP * (1 + random.below(8) as i64);
                let (bid_size, ask_size) =
                    (1 + random.below(200) as u32, 1 + random.below(200) as u32);
                Book { bid, ask, bid_size, ask_size }
            })
            .collect();
        Workload {
            random,
            shares,
            total,
            ranked,
            books,
            now: OPENS_NS,
            vendor_seq: 844_090_872,
            burst: 0,
        }
    }
}

impl Iterator for Workload {
    type Item = Tick;

    fn next(&mut self) -> Option<Tick> {
        let r = &mut self.random;
        if self.burst == 0 && r.below(200) == 0 {
            self.burst = 100 + r.below(400);
        }
        let mean = if self.burst > 0 { 2_000.0 } else { 110_000.0 };
        self.burst = self.burst.saturating_sub(1);
        self.now += 300 + r.wait(mean) as i64;
        let vendor = self.now - 180_000 - r.wait(60_000.0) as i64;
        self.vendor_seq += 1 + r.below(3);
        let at = r.unit() * self.total;
        let rank = self.shares.partition_point(|share| *share < at).min(CONTRACTS - 1);
        let contract = self.ranked[rank];
        let mut tick = Tick {
            recv: self.now,
            vendor,
            vendor_seq: self.vendor_seq,
            contract,
            exchange: EXCHANGE,
            ..Tick::default()
        };
        let book = &mut self.books[contract as usize];
        if r.below(20) == 0 {
            tick.trade = true;
            tick.price = if r.below(2) == 0 { book.bid } else { book.ask };
            tick.size = 1 + r.wait(4.0) as u32;
            tick.condition = 1 + r.below(CONDITIONS.len() as u64) as u8;
        } else {
            step(book, r);
            (tick.price, tick.ask) = (book.bid, book.ask);
            (tick.size, tick.ask_size) = (book.bid_size, book.ask_size);
        }
        Some(tick)
    }
}

/// One change of the best bid and offer.
fn step(book: &mut Book, r: &mut Random) {
    let resize = |size: u32, r: &mut Random| {
        let by = r.wait(8.0) as i64 * r.sign();
        (i64::from(size) + by).max(1) as u32
    };
    match r.below(10) {
        0..=2 => {
            let by = STEP * r.sign() * (1 + r.wait(0.6) as i64);
            if book.bid + by > 0 {
                book.bid += by;
                book.ask = (book.ask + by).max(book.bid + STEP);
            }
        }
        3 => book.bid = (book.bid + STEP * r.sign()).clamp(STEP, book.ask - STEP),
        4 => book.ask = (book.ask + STEP * r.sign()).max(book.bid + STEP),
        5..=7 => book.bid_size = resize(book.bid_size, r),
        _ => book.ask_size = resize(book.ask_size, r),
    }
}

/// The first ticks.
#[must_use]
pub fn ticks(count: usize) -> Vec<Tick> {
    Workload::default().take(count).collect()
}

/// The vendor's ticker of a contract.
#[must_use]
pub fn ticker(contract: u32) -> String {
    let (expiry, rest) = (contract / 300, contract % 300);
    let (year, month, day) = (25 + expiry / 12, 1 + expiry % 12, 1 + (expiry * 7) % 28);
    let right = if rest.is_multiple_of(2) { 'C' } else { 'P' };
    let strike = (5_250 + rest / 2 * 10) * 1_000;
    format!("O:SPXW{year:02}{month:02}{day:02}{right}{strike:08}")
}

/// Writes the rows of ticks, for peers that run elsewhere.
///
/// # Errors
/// When the file cannot be written.
pub fn write_rows(ticks: &[Tick], path: &Path) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    for tick in ticks {
        out.write_all(&tick.row())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use orrery_journal::event::{self, Body, Event, Quote, Trade};
    use orrery_journal::units::{InstrumentId, Price, RecvTime, SourceId, VendorTime};

    use super::*;
    use crate::fold::Fold;
    use crate::tick::FIRST_ID;

    #[test]
    fn rows_are_the_journals_canonical_bytes() {
        for tick in Workload::default().take(2_000) {
            let body = if tick.trade {
                Body::Trade(Trade {
                    price: Price(tick.price),
                    size: u64::from(tick.size),
                    vendor_seq: Some(tick.vendor_seq),
                    exchange: Some(tick.exchange),
                    conditions: u32::from(tick.condition),
                })
            } else {
                Body::Quote(Quote {
                    bid: Some(Price(tick.price)),
                    ask: Some(Price(tick.ask)),
                    bid_size: Some(tick.size),
                    ask_size: Some(tick.ask_size),
                    vendor_seq: Some(tick.vendor_seq),
                    bid_exchange: Some(tick.exchange),
                    ask_exchange: Some(tick.exchange),
                    conditions: 0,
                })
            };
            let event = Event {
                recv: RecvTime(tick.recv),
                vendor_time: Some(VendorTime(tick.vendor)),
                instrument: InstrumentId(tick.contract + FIRST_ID),
                source: SourceId(1),
                extended: false,
                body,
            };
            let mut canonical = Vec::new();
            event::encode(&event, &mut canonical);
            assert_eq!(tick.row().as_slice(), canonical);
            assert_eq!(Tick::from_row(&tick.row()), tick);
        }
    }

    #[test]
    fn the_workload_is_what_it_says() {
        let ticks = ticks(200_000);
        let trades = ticks.iter().filter(|t| t.trade).count();
        assert!((9_000..11_000).contains(&trades), "{trades} trades");
        let mut seen = vec![0u32; CONTRACTS];
        ticks.iter().for_each(|t| seen[t.contract as usize] += 1);
        let busiest = seen.iter().max().copied().unwrap_or_default();
        assert!((11_000..14_000).contains(&busiest), "{busiest} ticks of one contract");
        assert!(ticks.is_sorted_by_key(|t| t.recv));
        let names: BTreeSet<String> = (0..CONTRACTS as u32).map(ticker).collect();
        assert_eq!(names.len(), CONTRACTS);
    }

    /// Figures of two days can be compared only if their ticks are the same.
    #[test]
    fn the_workload_never_changes() {
        let mut fold = Fold::default();
        Workload::default().take(50_000).for_each(|t| fold.tick(&t));
        assert_eq!(fold.digest(), 6_574_217_108_344_156_297);
    }
}
