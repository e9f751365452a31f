//! The vendor's messages: our reader beside serde_json, and the whole way from
//! text to durable events beside serde_json's parsing alone, in the same run.
//!
//! `cargo bench --bench wire` prints rates and, more to the point, their
//! ratios: absolute rates vary several-fold with whatever else the machine does.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use orrery::feeds::intake::Intake;
use orrery::feeds::massive::wire::{self, Fact, FactBody, Sink};
use orrery::feeds::{Decoded, Recv};
use orrery_journal::event::RefusalReason;
use orrery_journal::units::RecvTime;
use orrery_journal::{Journal, OpenOptions};
use serde::Deserialize;

const CONTRACTS: usize = 12_000;
/// Messages of one frame.
const FRAME: usize = 50;
const ROUNDS: usize = 7;

/// A deterministic stream of numbers (xorshift*): the same messages every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

/// Frames of quotes and, one in twenty, trades of 12,000 contracts, a few of
/// which have most of them; fields in the vendor's order.
fn frames(count: usize) -> Vec<String> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let contracts: Vec<String> = (0..CONTRACTS as u64)
        .map(|n| {
            let (expiry, right) = (n / 2 % 40, if n % 2 == 0 { 'C' } else { 'P' });
            let (month, day) = (1 + expiry / 4, 1 + expiry % 4 * 7);
            format!("O:SPXW26{month:02}{day:02}{right}{:08}", (4_000 + n / 80 * 25) * 1000)
        })
        .collect();
    let mut prices: Vec<u64> = (0..CONTRACTS).map(|_| 5 + random.below(20_000)).collect();
    let (mut millis, mut seq) = (1_767_623_400_000u64, 844_090_872u64);
    let mut frames = Vec::with_capacity(count / FRAME);
    for _ in 0..count / FRAME {
        let mut text = String::with_capacity(FRAME * 160);
        for _ in 0..FRAME {
            text.push(if text.is_empty() { '[' } else { ',' });
            // A product of two has most of its weight near nothing.
            let n = (random.below(CONTRACTS as u64) * random.below(CONTRACTS as u64)) as usize
                / CONTRACTS;
            prices[n] = (prices[n] + random.below(11)).saturating_sub(5).max(5);
            millis += u64::from(random.below(20) == 0);
            seq += 1 + random.below(3);
            let (bid, ask) = (prices[n], prices[n] + 5 * (1 + random.below(8)));
            let (bid, ask) = (bid as f64 / 100.0, ask as f64 / 100.0);
            let (sym, x) = (&contracts[n], 300 + random.below(19));
            let (a, b) = (1 + random.below(200), 1 + random.below(200));
            if random.below(20) == 0 {
                write!(text, r#"{{"ev":"T","sym":"{sym}","x":{x},"p":{bid},"s":{a},"c":[{}],"t":{millis},"q":{seq}}}"#, 200 + b % 40)
            } else {
                write!(text, r#"{{"ev":"Q","sym":"{sym}","bx":{x},"ax":{x},"bp":{bid},"ap":{ask},"bs":{a},"as":{b},"t":{millis},"q":{seq}}}"#)
            }
            .unwrap();
        }
        text.push(']');
        frames.push(text);
    }
    frames
}

/// What serde_json makes of a message when it is told the fields.
#[derive(Deserialize)]
#[allow(dead_code)]
struct Typed<'a> {
    ev: &'a str,
    sym: &'a str,
    bx: Option<u16>,
    ax: Option<u16>,
    x: Option<u16>,
    bp: Option<f64>,
    ap: Option<f64>,
    p: Option<f64>,
    bs: Option<u32>,
    #[serde(rename = "as")]
    ask_size: Option<u32>,
    s: Option<u64>,
    c: Option<Vec<u32>>,
    t: i64,
    q: Option<u64>,
}

/// Takes facts and keeps a sum, so that no reader may leave a field out.
#[derive(Default)]
struct Sum {
    facts: u64,
    sum: u64,
    fallbacks: u64,
}

impl Sink for Sum {
    #[inline]
    fn fact(&mut self, fact: Fact<'_>) {
        self.facts += 1;
        let body = match fact.body {
            FactBody::Quote(q, _) => {
                let sizes = q.bid_size.unwrap_or(0) + q.ask_size.unwrap_or(0);
                let prices = q.bid.unwrap_or_default().0 + q.ask.unwrap_or_default().0;
                u64::from(sizes)
                    + prices as u64
                    + u64::from(q.bid_exchange.unwrap_or(0))
                    + q.vendor_seq.unwrap_or(0)
            }
            FactBody::Trade(t, list) => t.price.0 as u64 + t.size + u64::from(list[0]),
            _ => 0,
        };
        self.sum = self.sum.wrapping_add(body + fact.at.0 as u64 + fact.ticker.len() as u64);
    }
    fn status(&mut self, _: &[u8]) {}
    fn refuse(&mut self, _: RefusalReason, _: &[u8], _: &dyn std::fmt::Display) {}
    fn fallback(&mut self) {
        self.fallbacks += 1;
    }
    fn rollback(&mut self) {}
    fn mark(&mut self) {}
}

fn ours(frames: &[String]) -> u64 {
    let mut sum = Sum::default();
    for frame in frames {
        wire::read_frame(frame.as_bytes(), &mut sum);
    }
    assert_eq!(sum.fallbacks, 0);
    black_box(sum.sum);
    sum.facts
}

fn drafts(frames: &[String]) -> u64 {
    let mut count = 0;
    for frame in frames {
        let mut out = Decoded::default();
        wire::frame(frame.as_bytes(), Recv::Own, &mut out);
        count += out.drafts.len() as u64;
        black_box(&out);
    }
    count
}

fn typed(frames: &[String]) -> u64 {
    let mut count = 0;
    for frame in frames {
        let messages: Vec<Typed<'_>> = serde_json::from_str(frame).unwrap();
        count += messages.len() as u64;
        black_box(&messages);
    }
    count
}

fn values(frames: &[String]) -> u64 {
    let mut count = 0;
    for frame in frames {
        let messages: serde_json::Value = serde_json::from_str(frame).unwrap();
        count += messages.as_array().unwrap().len() as u64;
        black_box(&messages);
    }
    count
}

/// Text to durable events in a journal of its own, opened beforehand: reading,
/// ids and rows on this thread, place, hashes and fsync on the journal's. Twice:
/// with every contract and condition new to the journal, then with all known,
/// as they are from the first chain snapshot on.
fn journaled(frames: &[String]) -> [f64; 2] {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), &OpenOptions::default()).unwrap();
    let writer = journal.writer(|| RecvTime(0)).unwrap();
    let source = writer.define_source("{\"feed\":\"bench\"}").unwrap();
    let rates = [(); 2].map(|()| {
        let start = Instant::now();
        let mut intake = Intake::new(&journal, &writer, source);
        for frame in frames {
            intake.frame(frame.as_bytes(), Recv::Own).unwrap();
        }
        let taken = intake.finish().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(taken.facts as usize, frames.len() * FRAME);
        taken.facts as f64 / seconds
    });
    writer.close().unwrap();
    rates
}

fn timed(read: fn(&[String]) -> u64, frames: &[String]) -> f64 {
    let start = Instant::now();
    let count = read(black_box(frames));
    assert_eq!(count as usize, frames.len() * FRAME);
    count as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn main() {
    // `cargo test --benches` passes --test: then one small round only.
    let smoke = std::env::args().any(|a| a == "--test");
    let (count, rounds) = if smoke { (10_000, 1) } else { (500_000, ROUNDS) };
    let frames = frames(count);
    let bytes: usize = frames.iter().map(String::len).sum();
    let mut rates = [const { Vec::new() }; 6];
    for _ in 0..rounds {
        let alone = [typed, values, ours, drafts].map(|read| timed(read, &frames));
        for (rates, rate) in rates.iter_mut().zip(alone.into_iter().chain(journaled(&frames))) {
            rates.push(rate);
        }
    }
    println!(
        "{count} messages ({:.1} bytes each, {FRAME} a frame) of {CONTRACTS} contracts, \
         {rounds} interleaved rounds, median [min..max]\n",
        bytes as f64 / count as f64
    );
    println!(
        "{:<52} {:>24} {:>11} {:>11}",
        "M messages/s, one thread reads", "", "to typed", "to Value"
    );
    let (typed, value) = (median(rates[0].clone()).0, median(rates[1].clone()).0);
    let names = [
        "serde_json, typed: parse alone",
        "serde_json, Value: parse alone",
        "orrery: facts, nothing allocated",
        "orrery: drafts for the writer",
        "orrery: to fsynced events, every contract new",
        "orrery: to fsynced events, contracts known",
    ];
    for (name, rates) in names.iter().zip(rates) {
        let (mid, low, high) = median(rates);
        let rate = format!("{:.2} [{:.2}..{:.2}]", mid / 1e6, low / 1e6, high / 1e6);
        println!("{name:<52} {rate:>24} {:>10.2}x {:>10.2}x", mid / typed, mid / value);
    }
}
