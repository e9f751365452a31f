//! What a tick costs the heatmap, from 1,000 to 30,000 contracts, beside pricing
//! the whole lattice again, in one run.
//!
//! `cargo bench --bench heatmap` prints medians and ratios. A round is 250 ms of a
//! feed: 250 quotes of random contracts around the spot, then the body. Two lattices: the
//! published one (ten days, 20 strikes to either side), and one that takes the
//! whole chain, where only the body itself can grow.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use orrery::market::book::{Book, Contract, ContractState, Market, Spot, SpotSource, Topology};
use orrery::models::heatmap::profile::Chosen;
use orrery::models::heatmap::{Heatmap, Parameters};
use orrery::models::{Change, Model};
use orrery_journal::event::OptionRight;
use orrery_journal::units::{
    Address, InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, TradingDay,
};

const SPOT: f64 = 6_500.0;
const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND;
const TICKS: usize = 250;

/// Expiries of a day each, the first eight inside of the published ten days; 62
/// strikes and more, 5 apart, around the spot.
fn book(contracts_wanted: usize) -> Book {
    let expiries = if contracts_wanted <= 3_000 { 8 } else { 40 };
    let strikes = (contracts_wanted / expiries / 2) as i64;
    let (mut contracts, mut states) = (Vec::new(), Vec::new());
    for expiry in 1..=expiries as i32 {
        for k in 0..strikes {
            for right in [OptionRight::Call, OptionRight::Put] {
                let strike = 6_500 + 5 * (k - strikes / 2);
                let id = contracts.len() as u32 + 1;
                contracts.push(Contract {
                    instrument: InstrumentId(id),
                    ticker: format!("O:SPXW{expiry}{}{strike}", right == OptionRight::Call).into(),
                    root: "SPXW".into(),
                    expiry: TradingDay(expiry),
                    settles_on: TradingDay(expiry),
                    settles_at: RecvTime(i64::from(expiry) * DAY_NS),
                    strike: Price(strike * Price::SCALE),
                    right,
                    style: None,
                    multiplier: 100.0,
                });
                let far = (strike as f64 - SPOT).abs();
                states.push(quoted(200.0 / (1.0 + far / 50.0)));
            }
        }
    }
    let topology = Topology {
        id: Address::default(),
        symbol: "SPX".into(),
        expiries: (1..=expiries as i32).map(TradingDay).collect(),
        contracts,
        widths: [20, 25, 30, 35, 40, 45, 50].map(|w| Price(w * Price::SCALE)).to_vec(),
        slots: BTreeMap::new(),
    };
    Book { topology: Arc::new(topology), states }
}

fn quoted(mid: f64) -> ContractState {
    ContractState {
        bid: Some(mid - 0.05),
        ask: Some(mid + 0.05),
        quoted_at: Some(RecvTime(0)),
        implied_volatility: Some(0.15),
        ..ContractState::default()
    }
}

/// Numbers without a clock or a crate: the same slots in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

/// Medians of a round, in seconds a tick, and what was priced and written.
#[derive(Clone, Copy)]
struct Row {
    /// Taking a quote and pricing its tiles.
    tick: f64,
    /// The body, by its round.
    body: f64,
    /// Pricing every tile of the lattice, by its round.
    full: f64,
    tiles: usize,
    priced: f64,
    bytes: usize,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(contracts: usize, parameters: &Parameters, rounds: usize) -> Row {
    let mut book = book(contracts);
    let mut model = Heatmap::new(parameters);
    let mut random = Random(contracts as u64);
    let mut nanos = DAY_NS / 2;
    // Feeds are busy where the published lattice is: every quote hits it, or no
    // tick would cost anything in a big chain.
    let busy: Vec<usize> = (0..book.states.len())
        .filter(|slot| {
            let contract = &book.topology.contracts[*slot];
            let near = (contract.strike.to_f64() - SPOT).abs() <= 100.0;
            contract.expiry.0 <= 8 && near
        })
        .collect();
    let tiles = {
        let market = market(&book, nanos);
        model.apply(&Change::Chain, &market);
        model.settle(&market)
    };
    let (mut ticks, mut bodies, mut fulls) = (Vec::new(), Vec::new(), Vec::new());
    let (mut priced, mut bytes) = (0, 0);
    for _ in 0..rounds {
        let slots: Vec<usize> = (0..TICKS).map(|_| busy[random.below(busy.len())]).collect();
        let start = Instant::now();
        for slot in &slots {
            nanos += NANOS_PER_SECOND / 1_000;
            let up = if random.below(2) == 0 { 0.05 } else { -0.05 };
            let state = &mut book.states[*slot];
            (state.bid, state.ask) = (state.bid.map(|b| b + up), state.ask.map(|a| a + up));
            state.quoted_at = Some(RecvTime(nanos));
            black_box(model.apply(&Change::Quote(*slot), &market(&book, nanos)));
        }
        priced += model.settle(&market(&book, nanos));
        ticks.push(start.elapsed().as_secs_f64() / TICKS as f64);
        let start = Instant::now();
        let body = black_box(model.emit(&market(&book, nanos))).unwrap();
        bodies.push(start.elapsed().as_secs_f64());
        bytes = body.len();
        let start = Instant::now();
        model.apply(&Change::All, &market(&book, nanos));
        black_box(model.settle(&market(&book, nanos)));
        fulls.push(start.elapsed().as_secs_f64());
    }
    Row {
        tick: median(ticks),
        body: median(bodies),
        full: median(fulls),
        tiles,
        priced: priced as f64 / rounds as f64,
        bytes,
    }
}

fn market(book: &Book, nanos: i64) -> Market<'_> {
    let now = RecvTime(nanos);
    let spot = Some(Spot { value: SPOT, at: RecvTime(0), source: SpotSource::Index });
    Market { symbol: "SPX", book: Some(book), spot, seq: Seq(0), now, day: TradingDay(0) }
}

fn main() {
    let smoke = std::env::args().any(|a| a == "--test");
    let rounds = if smoke { 1 } else { 41 };
    let sizes: &[usize] = if smoke { &[1_000] } else { &[1_000, 3_000, 10_000, 30_000] };
    for profile in ["mid", "theoretical"] {
        let published =
            Parameters { profile: Chosen::named(profile).unwrap(), ..Parameters::default() };
        let whole = Parameters { dte_max: 100, strikes_each_side: 10_000, ..published.clone() };
        for (name, parameters) in [("published lattice", &published), ("whole chain", &whole)] {
            if smoke && name == "whole chain" {
                continue;
            }
            println!(
                "\nheatmap/{profile}@1, {name}; {TICKS} random quotes a round, median of {rounds}"
            );
            println!(
                "{:>9} {:>8} {:>12} {:>14} {:>14} {:>10} {:>12} {:>12}",
                "contracts",
                "tiles",
                "priced/round",
                "us per tick",
                "all tiles us",
                "x",
                "body ms",
                "body MB"
            );
            let mut first: Option<Row> = None;
            for contracts in sizes {
                let row = measure(*contracts, parameters, rounds);
                let first = *first.get_or_insert(row);
                let full = row.full / TICKS as f64;
                println!(
                    "{contracts:>9} {:>8} {:>12.0} {:>14.3} {:>14.3} {:>9.1}x {:>12.3} {:>12.2}   tick {:.2}x of the first row",
                    row.tiles,
                    row.priced,
                    row.tick * 1e6,
                    full * 1e6,
                    full / row.tick,
                    row.body * 1e3,
                    row.bytes as f64 / 1e6,
                    row.tick / first.tick,
                );
            }
        }
    }
    println!(
        "\n`x` is what pricing every tile once a round would cost by the tick, over what the dirty ones do."
    );
}
