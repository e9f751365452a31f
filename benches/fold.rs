//! What a dense day costs on its way through the folds, room by room, in one run.
//!
//! A made session of SPX (`made_day.rs`), 22,000 ticks a second of event time. It lies
//! in a journal on disk and is folded on one thread, first by no model, then by one more room a
//! row. `cargo bench --bench fold` prints ticks per second of processor time (the
//! wall clock depends on whatever else the machine does; the ratios to reading alone
//! do much less), and, for all models and views, what each family takes of the run.
//!
//! `--ticks N`, `--rate N` (ticks a second), `--rounds N`, `--short` for a smoke run.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "made_day.rs"]
mod made_day;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use orrery_folds::market::book::Market;
use orrery_folds::models::parameters::Parameters;
use orrery_folds::models::{self, Change, Figures, Model, Scope};
use orrery_folds::partition::Makers;
use orrery_folds::views::{self, Bodies, View};
use orrery_folds::world::MarketWorld;
use orrery_journal::Journal;
use orrery_journal::units::Seq;
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::derived::Derived;
use orrery_replay::driver::{Threads, fold_range};
use orrery_replay::engine::Engine;
use orrery_replay::fold::RestoreError;

use made_day::{CONTRACTS, number, processor, record};

/// Ticks a second of one core that the goal asks for with heatmap, gex, gravity.
const GOAL_M: f64 = 5.0;

/// Time in the emissions of each family, ns; emissions; bytes.
static SPENT: Mutex<BTreeMap<&str, (u64, u64, u64)>> = Mutex::new(BTreeMap::new());

fn spent<T: AsRef<[u8]>>(family: &'static str, make: impl FnOnce() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let body = make();
    let nanos = start.elapsed().as_nanos() as u64;
    let mut spent = SPENT.lock().unwrap();
    let (time, count, bytes) = spent.entry(family).or_default();
    *time += nanos;
    *count += 1;
    *bytes += body.as_ref().map_or(0, |body| body.as_ref().len() as u64);
    body
}

/// A model whose emissions are timed.
struct Clocked(Box<dyn Model>);

impl Model for Clocked {
    fn family(&self) -> &'static str {
        self.0.family()
    }
    fn profile(&self) -> &'static str {
        self.0.profile()
    }
    fn scope(&self) -> Scope {
        self.0.scope()
    }
    fn outlives_epochs(&self) -> bool {
        self.0.outlives_epochs()
    }
    fn cadence_ns(&self) -> i64 {
        self.0.cadence_ns()
    }
    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        self.0.apply(change, market)
    }
    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        spent(self.family(), || self.0.emit(market))
    }
    fn figures(&self) -> Option<Figures> {
        self.0.figures()
    }
    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
    }
    fn restore(&mut self, bytes: &[u8], market: &Market<'_>) -> Result<(), RestoreError> {
        self.0.restore(bytes, market)
    }
}

/// A view whose derivations are timed.
struct ClockedView(Box<dyn View>);

impl View for ClockedView {
    fn family(&self) -> &'static str {
        self.0.family()
    }
    fn profile(&self) -> &'static str {
        self.0.profile()
    }
    fn inputs(&self) -> &[&'static str] {
        self.0.inputs()
    }
    fn cadence_ns(&self) -> i64 {
        self.0.cadence_ns()
    }
    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>> {
        spent(self.family(), || self.0.derive(symbol, bodies))
    }
}

fn some(models: Vec<Box<dyn Model>>, families: &[&str]) -> Vec<Box<dyn Model>> {
    models.into_iter().filter(|m| families.contains(&m.family())).collect()
}

fn epoch_of(symbol: &str, p: &Parameters, families: &[&str]) -> Vec<Box<dyn Model>> {
    some(models::epoch_models(symbol, p), families)
}

fn none(_: &str, _: &Parameters) -> Vec<Box<dyn Model>> {
    Vec::new()
}

fn no_views(_: &Parameters) -> Vec<Box<dyn View>> {
    Vec::new()
}

fn clocked(models: Vec<Box<dyn Model>>) -> Vec<Box<dyn Model>> {
    models.into_iter().map(|m| Box::new(Clocked(m)) as Box<dyn Model>).collect()
}

/// Rows: what folds, besides the rows before.
fn rows() -> [(&'static str, Makers); 6] {
    let models = Makers { epoch: none, partition: none, views: no_views };
    let heatmap = Makers { epoch: |s, p| epoch_of(s, p, &["heatmap"]), ..models };
    let gex = Makers { epoch: |s, p| epoch_of(s, p, &["heatmap", "gex"]), ..models };
    let gravity =
        Makers { partition: |s, p| some(models::partition_models(s, p), &["gravity"]), ..gex };
    let all = Makers {
        epoch: |s, p| clocked(models::epoch_models(s, p)),
        partition: |s, p| clocked(models::partition_models(s, p)),
        views: no_views,
    };
    let views = Makers {
        views: |p| {
            let all = views::all(p).into_iter();
            all.map(|v| Box::new(ClockedView(v)) as Box<dyn View>).collect()
        },
        ..all
    };
    [
        ("partition, no model", models),
        ("+ heatmap", heatmap),
        ("+ gex", gex),
        ("+ gravity", gravity),
        ("all models", all),
        ("all models and views", views),
    ]
}

/// What a pass over the session came to.
#[derive(Clone, Copy, Default)]
struct Pass {
    seconds: f64,
    processor: f64,
    artifacts: u64,
    bytes: u64,
}

fn timed(run: impl FnOnce() -> (u64, u64)) -> Pass {
    let (start, before) = (Instant::now(), processor());
    let (artifacts, bytes) = run();
    let (seconds, processor) = (start.elapsed().as_secs_f64(), processor() - before);
    Pass { seconds, processor, artifacts, bytes }
}

fn read(journal: &Journal) -> Pass {
    timed(|| {
        let mut times = 0i64;
        for stretch in journal.read(Seq::FIRST, journal.head().seq) {
            times ^= stretch.unwrap().events.iter().fold(0, |sum, event| sum ^ event.recv.0);
        }
        std::hint::black_box(times);
        (0, 0)
    })
}

/// A pass, and a hash over every header that came out.
fn fold(journal: &Journal, makers: Makers) -> (Pass, blake3::Hash) {
    let world = MarketWorld::new(Parameters::default()).unwrap().with_makers(makers);
    let mut engine = Engine::new(Arc::new(world));
    let mut headers = blake3::Hasher::new();
    let pass = timed(|| {
        let (mut artifacts, mut bytes) = (0, 0);
        fold_range(journal, &mut engine, journal.head().seq, Threads::ONE, &mut |folded| {
            for made in &folded.made {
                artifacts += 1;
                bytes += made.artifact.header.body_len;
                headers.update(&made.artifact.header.content.0);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        (artifacts, bytes)
    });
    (pass, headers.finalize())
}

/// The same, kept on disk with its bodies and checkpoints as `orrery import` does.
fn keep(journal: &Journal, makers: Makers) -> Pass {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let derived = Derived::open(dir.path()).unwrap();
    let world = MarketWorld::new(Parameters::default()).unwrap().with_makers(makers);
    timed(|| {
        let go_on = &mut |_| ControlFlow::Continue(());
        let options = CatchUpOptions::default();
        let kept = catch_up(journal, &derived, Arc::new(world), options, go_on).unwrap();
        (kept.counts.artifacts, 0)
    })
}

fn median(mut of: Vec<Pass>) -> Pass {
    of.sort_by(|a, b| a.processor.total_cmp(&b.processor));
    of[of.len() / 2]
}

fn main() {
    let short = std::env::args().any(|a| a == "--short" || a == "--test");
    let ticks = number("--ticks", if short { 20_000 } else { 4_000_000 });
    let rate = number("--rate", 22_000) as i64;
    let rounds = number("--rounds", if short { 1 } else { 3 });
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let journal = record(dir.path(), ticks, rate);
    let events = journal.head().seq.0 as f64;
    println!(
        "{events} events, {ticks} of them ticks of {CONTRACTS} contracts, {rate} a second; \
         one thread folds; median of {rounds} by processor time"
    );
    println!(
        "{:<24} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "M/s core", "M/s wall", "ns/event", "x reading", "artifacts", "MB"
    );
    let reading = median((0..rounds).map(|_| read(&journal)).collect());
    let show = |what: &str, pass: &Pass| {
        println!(
            "{what:<24} {:>10.3} {:>10.3} {:>10.1} {:>10.2} {:>10} {:>10.1}",
            events / pass.processor / 1e6,
            events / pass.seconds / 1e6,
            pass.processor / events * 1e9,
            pass.processor / reading.processor,
            pass.artifacts,
            pass.bytes as f64 / 1e6,
        );
    };
    show("journal, read and decode", &reading);
    let mut last = Pass::default();
    for (what, makers) in rows() {
        SPENT.lock().unwrap().clear();
        let (passes, headers): (Vec<Pass>, Vec<_>) =
            (0..rounds).map(|_| fold(&journal, makers)).unzip();
        assert!(headers.iter().all(|h| *h == headers[0]), "the same events, the same artifacts");
        last = median(passes);
        show(what, &last);
        if what == "+ gravity" {
            let reached = events / last.processor / 1e6;
            println!("{:<24} {reached:>10.3} of the goal of {GOAL_M}", "");
        }
        if what == "all models and views" {
            println!("{:<24} {}", "contents", headers[0].to_hex());
        }
    }
    let spent = SPENT.lock().unwrap().clone();
    let (_, everything) = rows()[5];
    show(
        "the same, kept on disk",
        &median((0..rounds).map(|_| keep(&journal, everything)).collect()),
    );
    println!(
        "\n{:<24} {:>10} {:>10} {:>10} {:>10}",
        "family", "bodies", "us each", "kB each", "of run"
    );
    for (family, (nanos, count, bytes)) in &spent {
        println!(
            "{family:<24} {:>10} {:>10.1} {:>10.1} {:>9.1}%",
            count / rounds as u64,
            *nanos as f64 / *count as f64 / 1e3,
            *bytes as f64 / *count as f64 / 1e3,
            *nanos as f64 / 1e9 / rounds as f64 / last.seconds * 100.0,
        );
    }
    println!("`of run` is the making of bodies; hashing them and the ticks are the rest.");
}
