//! Replay of a made day through heatmap, gex and gravity with every header compared,
//! beside NautilusTrader with a strategy that counts and a consumer of a Redis stream
//! that keeps the state in Redis: the same ticks, in one run.
//!
//! The day of `made_day.rs` lies in a journal on disk and was folded once, so that
//! headers are recorded. A round is our replay from the first event (as `orrery
//! replay DAY`, decoding on further threads), then each peer. NautilusTrader gets the quotes
//! and sees each once; the Redis stream and its contracts lie in one server with its log
//! synced every second. `--ticks N` (2,000,000), `--rounds N` (3), `--short` for a smoke
//! run without peers. `cargo bench --bench journal -- --install` installs the peers.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod made_day;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use orrery_bench_journal::measure::{Goal, Row, Run, heading, machine};
use orrery_bench_journal::outside::{INSTALL, Places};
use orrery_bench_journal::redis;
use orrery_bench_journal::tick::Tick;
use orrery_bench_journal::workload::write_rows;
use orrery_folds::models;
use orrery_folds::models::parameters::Parameters;
use orrery_folds::partition::Makers;
use orrery_folds::world::MarketWorld;
use orrery_journal::Journal;
use orrery_journal::event::Body;
use orrery_journal::units::Seq;
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::compare::{CompareOptions, Span, compare};
use orrery_replay::derived::Derived;
use orrery_replay::fold::World;

use made_day::{number, processor, record};

const RATE: i64 = 22_000;
/// What a peer of some hundred thousand ticks a second gets.
const PEER_TICKS: usize = 500_000;
const GOAL_NAUTILUS: f64 = 35.0;
const GOAL_A_CORE: f64 = 5.0;

/// Heatmap, gex and gravity, and nothing else.
fn world() -> Arc<dyn World> {
    let makers = Makers {
        epoch: |symbol, p| {
            let models = models::epoch_models(symbol, p).into_iter();
            models.filter(|m| ["heatmap", "gex"].contains(&m.family())).collect()
        },
        partition: |symbol, p| {
            let models = models::partition_models(symbol, p).into_iter();
            models.filter(|m| m.family() == "gravity").collect()
        },
        views: |_| Vec::new(),
    };
    Arc::new(MarketWorld::new(Parameters::default()).unwrap().with_makers(makers))
}

/// Events a second by the wall and by processor time, and how many headers.
fn replayed(journal: &Journal, derived: &Derived) -> (f64, f64, u64) {
    // One symbol is folded by one thread, whatever is allowed.
    let options = CompareOptions { from_scratch: true, ..CompareOptions::default() };
    let span = Span { first: Seq::FIRST, last: journal.head().seq };
    let (start, before) = (Instant::now(), processor());
    let go_on = &mut |_, _: &[_]| ControlFlow::Continue(());
    let found = compare(journal, derived, &world(), span, &options, &mut |_| {}, go_on).unwrap();
    let (seconds, spent) = (start.elapsed().as_secs_f64(), processor() - before);
    assert!(found.identical() && found.artifacts > 0, "{:?}", found.first_difference());
    (found.events as f64 / seconds, found.events as f64 / spent, found.artifacts)
}

/// The first quotes and trades of the day, as the peers take them.
fn ticks(journal: &Journal, count: usize) -> Vec<Tick> {
    let mut contracts = BTreeMap::new();
    let mut ticks = Vec::with_capacity(count);
    for stretch in journal.read(Seq::FIRST, journal.head().seq) {
        for event in stretch.unwrap().events.iter() {
            let places = contracts.len() as u32;
            let mut tick = Tick {
                recv: event.recv.0,
                vendor: event.vendor_time.map_or(0, |at| at.0),
                ..Tick::default()
            };
            match &event.body {
                Body::Quote(quote) => {
                    tick.price = quote.bid.map_or(0, |price| price.0);
                    tick.ask = quote.ask.map_or(0, |price| price.0);
                    tick.size = quote.bid_size.unwrap_or_default();
                    tick.ask_size = quote.ask_size.unwrap_or_default();
                }
                Body::Trade(trade) => {
                    (tick.price, tick.size, tick.trade) = (trade.price.0, trade.size as u32, true);
                }
                _ => continue,
            }
            tick.contract = *contracts.entry(event.instrument).or_insert(places);
            ticks.push(tick);
            if ticks.len() == count {
                return ticks;
            }
        }
    }
    ticks
}

type Peer<'a> = (&'static str, Goal, &'static str, Box<dyn Fn() -> Result<Run, String> + 'a>);

fn peers<'a>(ticks: &'a [Tick], places: &'a Places, rows: &'a Path) -> [Peer<'a>; 2] {
    [
        (
            "NautilusTrader",
            Goal::AtLeast(GOAL_NAUTILUS),
            "quotes of 200 contracts, a strategy that counts",
            Box::new(|| places.python_peer("naut.py", rows, ticks.len())),
        ),
        (
            "a consumer of Redis Streams, state in Redis",
            Goal::None,
            "XRANGE, HSET + SADD a tick, a sum over what is dirty every 250 ms",
            Box::new(|| {
                let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
                redis::consumer(dir.path(), ticks)
            }),
        ),
    ]
}

fn main() {
    let short = std::env::args().any(|a| a == "--short" || a == "--test");
    let count = number("--ticks", if short { 20_000 } else { 2_000_000 });
    let rounds = number("--rounds", if short { 1 } else { 3 });
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let journal = record(dir.path(), count, RATE);
    let derived = Derived::open(dir.path()).unwrap();
    let go_on = &mut |_| ControlFlow::Continue(());
    catch_up(&journal, &derived, world(), CatchUpOptions::default(), go_on).unwrap();

    let given = ticks(&journal, PEER_TICKS);
    let rows = dir.path().join("ticks.rows");
    write_rows(&given, &rows).unwrap();
    let places = Places::new(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let peers = peers(&given, &places, &rows);
    let (mut wall, mut cores, mut headers) = (Vec::new(), Vec::new(), 0);
    let mut theirs: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    let mut skipped: Vec<Option<String>> = vec![None; peers.len()];
    for _ in 0..rounds {
        let (by_wall, by_core, compared) = replayed(&journal, &derived);
        wall.push(by_wall / 1e6);
        cores.push(by_core / 1e6);
        headers = compared;
        for (n, (_, _, _, run)) in peers.iter().enumerate() {
            if short || skipped[n].is_some() {
                continue;
            }
            match run() {
                Ok(run) => theirs[n].extend(run.replay.map(|rate| rate / 1e6)),
                Err(why) => skipped[n] = Some(format!("{why}; {INSTALL}")),
            }
        }
    }
    println!(
        "{} events, {headers} headers compared in each replay, {rounds} interleaved rounds; \
         M events/s, median [min..max]\n{}\n\n{}",
        journal.head().seq,
        machine(),
        heading()
    );
    let note = "heatmap, gex, gravity; processor time of all threads".to_owned();
    println!("{}", Row::alone("replay, a core".into(), cores, Goal::AtLeast(GOAL_A_CORE), note));
    for (n, (name, goal, note, _)) in peers.iter().enumerate() {
        let pairs = wall.iter().copied().zip(theirs[n].iter().copied()).collect();
        let note = match (&skipped[n], short) {
            (Some(why), _) => why.clone(),
            (None, true) => "a smoke run".into(),
            (None, false) => format!("{} ticks; {note}", given.len()),
        };
        println!("{}", Row { name: format!("replay : {name}"), pairs, goal: *goal, note });
    }
}
