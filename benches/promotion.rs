//! A full chain of SPX, 30,000 contracts in the vendor's pages, on its way from
//! bytes to a promoted epoch with its artifacts; beside what numpy and pandas
//! need for the exposures and the curve from the same bytes, in one run.
//!
//! `cargo bench --bench promotion` prints medians, the ratio and the memory that
//! is live with all models. Memory is at hand, and in a row of its own still with
//! the host of a virtual machine (`at_hand.rs`). Python's side is `benches/promotion.py` in the
//! environment of the oracles (`cargo xtask setup`); without it that says so.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod at_hand;

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery::feeds::massive::rest::{PageText, Pages};
use orrery::feeds::{Decoded, Recv};
use orrery::market::black_scholes::Terms;
use orrery::models::parameters::Parameters;
use orrery::partition::Partition;
use orrery::world::MarketWorld;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef, OptionRight, Quote};
use orrery_journal::units::{NANOS_PER_SECOND, Price, RecvTime, Seq, SourceId};
use orrery_journal::{Journal, OpenOptions, Writer};
use orrery_replay::driver::{Threads, fold_range};
use orrery_replay::engine::{Engine, Made};
use serde_json::json;

const SPOT: f64 = 6_500.0;
const EXPIRIES: i64 = 50;
const STRIKES: i64 = 300;
const CONTRACTS: usize = (EXPIRIES * STRIKES * 2) as usize;
/// Results of one page, as the vendor delivers them.
const PAGE: usize = 250;
/// 2026-03-16 14:30 UTC, an hour into the session.
const NOW: RecvTime = RecvTime(1_773_671_400 * NANOS_PER_SECOND);
const GOAL_MS: f64 = 250.0;
const GOAL_MIB: f64 = 512.0;
/// Quotes that follow the chain where memory is measured.
const TICKS: usize = 200_000;
const CHILD: &str = "--live";
/// More than a round needs, its files' pages in the system's cache included.
const ROUND: usize = 768 << 20;

/// Dates from the day of [`NOW`] on: every day at first, then a week apart.
fn expiry(n: i64) -> chrono::NaiveDate {
    let days = if n < 20 { n } else { 20 + (n - 20) * 7 };
    chrono::NaiveDate::from_ymd_opt(2026, 3, 16).unwrap() + chrono::Days::new(days as u64)
}

/// The chain in the vendor's words, page by page.
fn pages() -> Vec<Bytes> {
    let mut contracts = Vec::with_capacity(CONTRACTS);
    for n in 0..EXPIRIES {
        let date = expiry(n);
        let days = (date - expiry(0)).num_days() as f64;
        for k in 0..STRIKES {
            let strike = 5_000.0 + 10.0 * k as f64;
            let far = libm::log(strike / SPOT);
            let volatility = 0.13 + 0.4 * far * far - 0.1 * far;
            let years = (days + 0.25) / 365.0;
            let terms = Terms { spot: SPOT, strike, years, rate: 0.0, carry: 0.0, volatility };
            for right in [OptionRight::Call, OptionRight::Put] {
                contracts.push(result(date, k, right, &terms));
            }
        }
    }
    let count = contracts.len().div_ceil(PAGE);
    let page = |(n, results): (usize, &[String])| {
        let next = if n + 1 < count {
            format!(r#""next_url":"https://api.example/v3/snapshot/options/I:SPX?cursor={n}","#)
        } else {
            String::new()
        };
        format!(
            r#"{{{next}"request_id":"{n:032x}","results":[{}],"status":"OK"}}"#,
            results.join(",")
        )
        .into()
    };
    contracts.chunks(PAGE).enumerate().map(page).collect()
}

fn result(date: chrono::NaiveDate, k: i64, right: OptionRight, terms: &Terms) -> String {
    let (letter, word) = match right {
        OptionRight::Call => ('C', "call"),
        OptionRight::Put => ('P', "put"),
    };
    let (greeks, price) = (terms.greeks(right).unwrap(), terms.price(right).unwrap());
    let bid = (price * 20.0 - 1.0).max(1.0).floor() / 20.0;
    let ask = (price * 20.0 + 1.0).ceil() / 20.0;
    let (strike, at) = (terms.strike, NOW.0 - 1_234_567);
    let cents = |value: f64| (value * 100.0).round() / 100.0;
    let last = cents(price.max(0.05));
    let (days, day) = ((date - expiry(0)).num_days(), date.format("%y%m%d"));
    json!({
        "break_even_price": cents(strike + price),
        "day": {
            "change": 0.5, "change_percent": 1.76, "close": last, "high": cents(ask),
            "last_updated": at, "low": cents(bid), "open": last, "previous_close": last,
            "volume": (k * 37) % 1_501, "vwap": last
        },
        "details": {
            "contract_type": word, "exercise_style": "european",
            "expiration_date": date.to_string(), "shares_per_contract": 100,
            "strike_price": strike,
            "ticker": format!("O:SPXW{day}{letter}{:08}", (strike * 1000.0) as u64)
        },
        "greeks": {
            "delta": greeks.delta, "gamma": greeks.gamma, "theta": greeks.theta / 365.0,
            "vega": greeks.vega / 100.0
        },
        "implied_volatility": terms.volatility,
        "last_quote": {
            "ask": cents(ask), "ask_size": 14, "bid": cents(bid), "bid_size": 28,
            "last_updated": at, "midpoint": (bid + ask) / 2.0, "timeframe": "REAL-TIME"
        },
        "last_trade": {
            "conditions": [209], "exchange": 316, "price": last, "sip_timestamp": at,
            "size": 2, "timeframe": "REAL-TIME"
        },
        "open_interest": (k * 7_919 + days) % 5_003,
        "underlying_asset": {
            "change_to_break_even": 4.2, "last_updated": at, "ticker": "I:SPX",
            "timeframe": "REAL-TIME", "value": SPOT
        }
    })
    .to_string()
}

/// A journal on disk and everything that folds it.
struct Way {
    journal: Journal,
    writer: Writer,
    source: SourceId,
    engine: Engine,
}

/// Seconds of the three parts of the way.
struct Took {
    decoded: f64,
    durable: f64,
    folded: f64,
}

impl Took {
    fn all(&self) -> f64 {
        self.decoded + self.durable + self.folded
    }
}

impl Way {
    fn new(dir: &Path) -> Way {
        let journal = Journal::open(dir, &OpenOptions::default()).unwrap();
        let writer = journal.writer(|| NOW).unwrap();
        let source = writer.define_source(r#"{"feed":"bench"}"#).unwrap();
        let world = MarketWorld::new(Parameters::default()).unwrap();
        Way { journal, writer, source, engine: Engine::new(Arc::new(world)) }
    }

    fn append(&self, mut drafts: Vec<Draft>) {
        for draft in &mut drafts {
            draft.source = self.source;
        }
        self.writer.append(drafts).unwrap().wait().unwrap();
    }

    fn fold(&mut self) -> Vec<Made> {
        let mut made = Vec::new();
        let head = self.journal.head().seq;
        fold_range(&self.journal, &mut self.engine, head, Threads::ONE, &mut |folded| {
            made.extend(folded.made);
            ControlFlow::Continue(())
        })
        .unwrap();
        made
    }

    /// From bytes to artifacts.
    fn chain(&mut self, pages: &[Bytes], at: RecvTime) -> (Took, Vec<Made>) {
        let start = Instant::now();
        let (mut out, mut snapshot) = (Decoded::default(), Pages::default());
        // As the reader of captured files does it.
        for batch in pages.chunks(8) {
            for page in PageText::read_all(batch) {
                snapshot.take(page, Recv::At(at), &mut out);
            }
        }
        snapshot.finish(Recv::At(at), &mut out);
        let decoded = start.elapsed().as_secs_f64();
        assert!(out.refused.is_empty(), "{:?}", out.refused);
        self.append(out.drafts);
        let durable = start.elapsed().as_secs_f64();
        let made = self.fold();
        let folded = start.elapsed().as_secs_f64();
        (Took { decoded, durable: durable - decoded, folded: folded - durable }, made)
    }

    fn partition(&self) -> &Partition {
        self.engine.fold_as("SPX").unwrap()
    }
}

/// One first chain and the same again a minute later, each with what came out.
fn round(pages: &[Bytes]) -> (Took, Took) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut way = Way::new(dir.path());
    let (first, made) = way.chain(pages, NOW);
    let record = way.partition().active_epoch().expect("promoted at once").clone();
    assert_eq!((record.contracts as usize, record.chains), (CONTRACTS, 1), "decomposed once");
    let body = made.iter().find(|m| &*m.artifact.header.family == "gex").expect("published");
    let text = std::str::from_utf8(&body.artifact.body).unwrap();
    assert!(text.contains("\"curve\""), "with its curve");
    assert!(made.iter().any(|m| &*m.artifact.header.family == "heatmap"));
    let (again, _) = way.chain(pages, NOW.plus_nanos(60 * NANOS_PER_SECOND));
    assert_eq!(way.partition().epochs().len(), 1, "the same epoch");
    (first, again)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == CHILD) {
        return live(Path::new(&args[at + 1]));
    }
    let smoke = args.iter().any(|a| a == "--test");
    let rounds = if smoke { 1 } else { 9 };
    let pages = pages();
    let bytes: usize = pages.iter().map(Bytes::len).sum();
    println!(
        "{CONTRACTS} contracts, {} pages, {:.1} MB of JSON, median of {rounds}",
        pages.len(),
        bytes as f64 / 1e6
    );
    let (mut first, mut again, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let mut far = Vec::new();
    for _ in 0..rounds {
        at_hand::take(ROUND);
        let (one, other) = round(&pages);
        first.push(one);
        again.push(other);
        bare.push(written_bare(&pages));
        if !smoke {
            at_hand::give_back();
            far.push(round(&pages).0);
        }
    }
    let sides = [
        ("first chain of a journal", &first),
        ("the same again", &again),
        ("first, memory with the host", &far),
    ];
    for (what, of) in sides.into_iter().filter(|(_, of)| !of.is_empty()) {
        let part = |f: fn(&Took) -> f64| median(of.iter().map(f).collect()) * 1e3;
        println!(
            "{what:<28} {:7.1} ms = decoded {:6.1} + durable {:6.1} + folded and published {:6.1}",
            part(Took::all),
            part(|t| t.decoded),
            part(|t| t.durable),
            part(|t| t.folded)
        );
    }
    let ours = median(first.iter().map(Took::all).collect());
    println!("bytes to promoted epoch: {:.1} ms, goal {GOAL_MS}", ours * 1e3);
    let bare: Vec<f64> = bare.iter().map(|s| s * 1e3).collect();
    let [least, most] = [f64::min, f64::max].map(|f| bare.iter().copied().reduce(f).unwrap());
    println!(
        "a bare file of as many bytes, written and synced between the rounds: {:.1} ms \
         [{least:.1}..{most:.1}]",
        median(bare.clone())
    );
    let python = if smoke { None } else { python(&pages) };
    match python {
        Some(seconds) => println!(
            "numpy and pandas, exposures and curve alone: {:.1} ms, {:.1} times ours",
            seconds * 1e3,
            seconds / ours
        ),
        None => println!("numpy and pandas: skipped, `cargo xtask setup` makes their environment"),
    }
    memory(&pages, smoke);
}

/// Seconds that a plain file of the same bytes takes.
fn written_bare(pages: &[Bytes]) -> f64 {
    let all = pages.concat();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut file = std::fs::File::create(dir.path().join("bare")).unwrap();
    let start = Instant::now();
    file.write_all(&all).unwrap();
    file.sync_data().unwrap();
    start.elapsed().as_secs_f64()
}

fn written(pages: &[Bytes], dir: &Path) -> std::path::PathBuf {
    let file = dir.join("chain.ndjson");
    std::fs::write(&file, pages.join(&b"\n"[..])).unwrap();
    file
}

fn python(pages: &[Bytes]) -> Option<f64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/oracles/bin/python");
    if !python.exists() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = written(pages, folder.path());
    let script = root.join("benches/promotion.py");
    let out = Command::new(python).arg(script).arg(&file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(out.stdout).unwrap().trim().parse().unwrap())
}

/// What a process holds: now, and at most so far, MiB.
fn resident(pid: &str) -> [f64; 2] {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        let kib = line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) / 1024.0
    })
}

/// Memory of the pipeline under ticks, and of the server with the same journal.
fn memory(pages: &[Bytes], smoke: bool) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = written(pages, dir.path());
    let me = std::env::current_exe().unwrap();
    let out = Command::new(me).arg(CHILD).arg(&file).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    print!("{}", String::from_utf8_lossy(&out.stdout));
    if smoke {
        return;
    }
    let data = dir.path().join("data");
    let orrery = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orrery"));
        command.arg("--data").arg(&data).env_remove("ORRERY_DATA");
        command
    };
    let imported = orrery().arg("import").arg(&file).output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let mut server = orrery()
        .args(["serve", "--feed", "simulate", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(20));
    let [now, most] = resident(&server.id().to_string());
    server.kill().unwrap();
    let _ = server.wait();
    println!("a server with that journal and a simulated feed: {now:.0} MiB, at most {most:.0}");
}

/// The process whose memory is measured: the chain and ticks on all contracts.
fn live(file: &Path) {
    let pages: Vec<Bytes> = BufReader::new(std::fs::File::open(file).unwrap())
        .split(b'\n')
        .map(|line| line.unwrap().into())
        .collect();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut way = Way::new(dir.path());
    way.chain(&pages, NOW);
    drop(pages);
    let ids: Vec<_> = {
        let book = way.partition().active_book().unwrap();
        book.topology.contracts.iter().map(|c| c.instrument).collect()
    };
    let (mut bytes, mut most_live) = (0, 0.0f64);
    for n in 0..TICKS / 1_000 {
        let at = NOW.plus_nanos((n as i64 + 1) * NANOS_PER_SECOND / 10);
        let quote = |i: usize| {
            let tick = n * 1_000 + i;
            let price = |cents: usize| Some(Price(cents as i64 * (Price::SCALE / 100)));
            let bid = 100 + tick % 97 * 5;
            let quote = Quote { bid: price(bid), ask: price(bid + 10), ..Quote::default() };
            Draft {
                recv: Some(at),
                vendor_time: None,
                instrument: InstrumentRef::Id(ids[tick * 7_919 % ids.len()]),
                source: SourceId(1),
                extension: None,
                body: DraftBody::Quote { quote, conditions: Box::default() },
            }
        };
        way.append((0..1_000).map(quote).collect());
        bytes += way.fold().iter().map(|m| m.artifact.body.len()).sum::<usize>();
        most_live = most_live.max(resident("self")[0]);
    }
    let head = way.journal.head().seq;
    assert!(head > Seq(TICKS as u64) && way.engine.position().seq == head);
    let most = resident("self")[1];
    println!(
        "live with all models under {TICKS} quotes ({:.0} MB of bodies): {most_live:.0} MiB; \
         at most, the decoding included, {most:.0} MiB; goal {GOAL_MIB}",
        bytes as f64 / 1e6
    );
}
