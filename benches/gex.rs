//! Exposures and the repriced curve of a 12,000-contract book, beside the same in
//! libm and in numpy, in one run.
//!
//! `cargo bench --bench gex` prints medians and ratios. numpy's side is
//! `benches/gex.py` in the environment of the oracles (`cargo xtask setup`);
//! without it that column says so.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use orrery::market::book::{Book, Contract, ContractState, Topology};
use orrery::market::pricing::Pricing;
use orrery::models::gex::exposure::{Layout, exposures};
use orrery::models::gex::flip::{FlipParameters, curve};
use orrery::models::gex::held::View;
use orrery::models::gex::profile::Chosen;
use orrery_journal::event::OptionRight;
use orrery_journal::units::{Address, InstrumentId, NANOS_PER_SECOND, Price, RecvTime, TradingDay};

const SPOT: f64 = 6_500.0;
const EXPIRIES: i32 = 40;
const STRIKES: i64 = 150;
const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND;

/// 40 expiries x 150 strikes x 2 sides, all with figures.
fn book() -> Book {
    let (mut contracts, mut states) = (Vec::new(), Vec::new());
    for expiry in 1..=EXPIRIES {
        for k in 0..STRIKES {
            for right in [OptionRight::Call, OptionRight::Put] {
                let strike = 5_750 + 10 * k;
                let id = contracts.len() as u32 + 1;
                contracts.push(Contract {
                    instrument: InstrumentId(id),
                    ticker: format!("O:SPXW{expiry}{}{strike}", right == OptionRight::Call).into(),
                    root: "SPXW".into(),
                    expiry: TradingDay(expiry * 3),
                    settles_on: TradingDay(expiry * 3),
                    settles_at: RecvTime(i64::from(expiry) * 3 * DAY_NS),
                    strike: Price(strike * Price::SCALE),
                    right,
                    style: None,
                    multiplier: 100.0,
                });
                let far = (strike as f64 / SPOT - 1.0).abs();
                states.push(ContractState {
                    gamma: Some(0.002 / (1.0 + 40.0 * far)),
                    delta: Some(0.5),
                    implied_volatility: Some(0.12 + far),
                    open_interest: Some(f64::from(id % 977 + 1)),
                    ..ContractState::default()
                });
            }
        }
    }
    let topology = Topology {
        id: Address::default(),
        symbol: "SPX".into(),
        expiries: (1..=EXPIRIES).map(|e| TradingDay(e * 3)).collect(),
        contracts,
        widths: Vec::new(),
        slots: BTreeMap::new(),
    };
    Book { topology: Arc::new(topology), states }
}

/// Gamma exposure alone, as the published figure has it.
fn gamma_only(book: &Book) -> f64 {
    let mut sum = 0.0;
    for (contract, state) in book.topology.contracts.iter().zip(&book.states) {
        let sign = if contract.right == OptionRight::Call { 1.0 } else { -1.0 };
        let (gamma, n) = (state.gamma.unwrap_or(0.0), state.open_interest.unwrap_or(0.0));
        sum += sign * gamma * n * contract.multiplier;
    }
    sum * SPOT * SPOT * 0.01
}

/// The curve as one would write it with libm, contract by contract.
fn plain_curve(book: &Book, pricing: &Pricing, grid: &[f64]) -> Vec<f64> {
    let net = |spot: f64| {
        let mut sum = 0.0;
        for (contract, state) in book.topology.contracts.iter().zip(&book.states) {
            let terms =
                pricing.terms(contract, RecvTime(0), spot, state.implied_volatility.unwrap());
            let sign = if contract.right == OptionRight::Call { 1.0 } else { -1.0 };
            sum += sign * terms.gamma().unwrap() * state.open_interest.unwrap() * 100.0;
        }
        sum * spot * spot * 0.01
    };
    grid.iter().map(|spot| net(*spot)).collect()
}

/// Median seconds of `rounds` calls.
fn median(rounds: usize, mut call: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[rounds / 2]
}

fn main() {
    let smoke = std::env::args().any(|a| a == "--test");
    let rounds = if smoke { 1 } else { 31 };
    let (book, profile, pricing) = (book(), Chosen::default(), Pricing::default());
    let definitions = &profile.get().definitions;
    let view = View { definitions, pricing: &pricing, as_of: RecvTime(0), spot: Some(SPOT) };
    let layout = Layout::new(&book.topology);
    let parameters = FlipParameters::default();
    let day = TradingDay(0);
    let net = median(rounds, || {
        black_box(gamma_only(black_box(&book)));
    });
    let all = median(rounds, || drop(black_box(exposures(black_box(&book), &layout, &view, day))));
    let ours = median(rounds, || {
        drop(black_box(curve(black_box(&book), &view, SPOT, day, &parameters)));
    });
    let priced = curve(&book, &view, SPOT, day, &parameters);
    let grid: Vec<f64> = priced.points(&parameters).map(|(spot, _)| spot).collect();
    let plain = median(rounds.min(5), || {
        drop(black_box(plain_curve(black_box(&book), &pricing, &grid)));
    });
    let theirs = plain_curve(&book, &pricing, &grid);
    let size = theirs.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let off = priced.net.iter().zip(&theirs).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    let numpy = numpy(&book, smoke);
    println!("{} contracts, {} spots, median of {rounds}", book.states.len(), grid.len());
    let row = |what: &str, ours: f64, libm: Option<f64>, numpy: Option<f64>| {
        let beside = |other: Option<f64>| {
            other.map_or_else(
                || "-".to_owned(),
                |other| format!("{:9.3} ms {:6.1}x", other * 1e3, other / ours),
            )
        };
        println!(
            "{what:<34} {:9.3} ms   libm {:<22} numpy {}",
            ours * 1e3,
            beside(libm),
            beside(numpy)
        );
    };
    row("net gamma exposure", net, None, numpy.map(|n| n[0]));
    row("all exposures by strike and expiry", all, None, numpy.map(|n| n[1]));
    row("curve", ours, Some(plain), numpy.map(|n| n[2]));
    println!("largest difference between the curves: {:.1e} of the curve's height", off / size);
    if numpy.is_none() {
        println!("numpy: skipped, `cargo xtask setup` makes its environment");
    }
}

/// Seconds that numpy takes for the three rows.
fn numpy(book: &Book, smoke: bool) -> Option<[f64; 3]> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/oracles/bin/python");
    if !python.exists() || smoke {
        return None;
    }
    let mut rows = String::from("call,strike,expiry,gamma,delta,iv,oi\n");
    for (c, s) in book.topology.contracts.iter().zip(&book.states) {
        let call = u8::from(c.right == OptionRight::Call);
        let [gamma, delta, iv, oi] =
            [s.gamma, s.delta, s.implied_volatility, s.open_interest].map(Option::unwrap);
        rows += &format!("{call},{},{},{gamma:?},{delta:?},{iv:?},{oi:?}\n", c.strike, c.expiry.0);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book.csv");
    std::fs::write(&file, rows).unwrap();
    let out = Command::new(python).arg(root.join("benches/gex.py")).arg(&file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().unwrap());
    Some(std::array::from_fn(|_| numbers.next().unwrap()))
}
