//! Restart and as-of reads after a whole made day, beside folding the whole.
//!
//! The day of `made_day.rs` lies in a journal on disk, is folded once with
//! everything kept (bodies, headers, checkpoints), and closed. Then: from nothing
//! open to serving (journal and derived data opened, folds at the head, the newest
//! artifact of every family read), and the folds at moments drawn at random, each from
//! the nearest checkpoint; and header and body of the newest heatmap, gex and context
//! of such moments, of which most bodies have to be made again.
//!
//! `--ticks N` (default 2,000,000), `--rate N` ticks a second of event time (default
//! 22,000), `--moments N` (default 200), `--full`: 50 million ticks over a session of
//! six and a half hours, `--dir PATH` keeps the journal there and, where there is one,
//! uses it again; `--short` for a smoke run.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "made_day.rs"]
mod made_day;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orrery_folds::models::parameters::Parameters;
use orrery_folds::world::MarketWorld;
use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{Journal, OpenOptions};
use orrery_replay::as_of::{At, as_of, body, latest};
use orrery_replay::catch_up::{CatchUpOptions, CaughtUp, catch_up};
use orrery_replay::derived::Derived;
use orrery_replay::engine::Engine;
use orrery_replay::fold::World;

use made_day::{CONTRACTS, Random, number, processor, record};

const SESSION_S: usize = 23_400;
const GOAL: Duration = Duration::from_secs(1);

fn world() -> Arc<dyn World> {
    Arc::new(MarketWorld::new(Parameters::default()).unwrap())
}

fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = run();
    (start.elapsed(), done)
}

fn caught_up(journal: &Journal, derived: &Derived) -> CaughtUp {
    let go_on = &mut |_| ControlFlow::Continue(());
    catch_up(journal, derived, world(), CatchUpOptions::default(), go_on).unwrap()
}

/// From nothing open to the newest artifact of every family.
fn restart(dir: &Path) -> (Journal, Derived, CaughtUp) {
    let journal = Journal::open(dir, &OpenOptions::default()).unwrap();
    let derived = Derived::open(dir).unwrap();
    let caught = caught_up(&journal, &derived);
    for (symbol, family) in derived.families().unwrap() {
        let header = derived.latest(&symbol, &family).unwrap().unwrap();
        body(&journal, &derived, &world(), &header).unwrap();
    }
    (journal, derived, caught)
}

struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Times {
        times.sort();
        Times(times)
    }

    fn at(&self, hundredths: usize) -> Duration {
        self.0[(self.0.len() - 1) * hundredths / 100]
    }

    fn row(&self, what: &str, whole: Duration) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (p50, p99, max) = (self.at(50), self.at(99), self.at(100));
        println!(
            "{what:<34} {:>8.1} {:>8.1} {:>8.1} {:>12.5} {:>10}",
            ms(p50),
            ms(p99),
            ms(max),
            p99.as_secs_f64() / whole.as_secs_f64(),
            if p99 < GOAL { "under 1 s" } else { "OVER 1 s" },
        );
    }
}

fn random_moment(journal: &Journal, random: &mut Random) -> At {
    let head = journal.head();
    if random.below(2) == 0 {
        return At::Seq(Seq(1 + random.below(head.seq.0)));
    }
    // A quiet stretch has as many moments as a busy one of the same length.
    let At::Time(first) = first_moment(journal) else { unreachable!() };
    At::Time(RecvTime(first.0 + random.below((head.recv.0 - first.0).max(1) as u64) as i64))
}

fn first_moment(journal: &Journal) -> At {
    At::Time(journal.days().unwrap()[0].first_recv)
}

fn bytes(n: u64) -> String {
    format!("{:.1} MB", n as f64 / 1e6)
}

fn main() {
    let flag = |name: &str| std::env::args().any(|a| a == name);
    let (short, full) = (flag("--short") || flag("--test"), flag("--full"));
    let default = if short { 60_000 } else { 2_000_000 };
    let ticks = number("--ticks", if full { 50_000_000 } else { default });
    let rate = number("--rate", if full { ticks.div_ceil(SESSION_S) } else { 22_000 });
    let moments = number("--moments", if short { 20 } else { 200 });
    let kept: Option<PathBuf> =
        std::env::args().skip_while(|a| a != "--dir").nth(1).map(PathBuf::from);
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = kept.as_deref().unwrap_or(scratch.path());

    let (took, journal) = timed(|| match dir.join("journal").is_dir() {
        true => Journal::open(dir, &OpenOptions::default()).unwrap(),
        false => record(dir, ticks, rate as i64),
    });
    let events = journal.head().seq.0;
    println!(
        "{events} events, {ticks} ticks of {CONTRACTS} contracts, {rate} a second of event time \
         (recorded in {:.0} s)",
        took.as_secs_f64()
    );
    // Folded anew also where the journal is an old one.
    let _ = std::fs::remove_dir_all(dir.join("derived"));
    let derived = Derived::open(dir).unwrap();
    let before = processor();
    let (whole, caught) = timed(|| caught_up(&journal, &derived));
    let spent = processor() - before;
    let (snapshot, state) = timed(|| caught.engine.state());
    println!(
        "folded whole and kept in {:.2} s ({spent:.2} s of processor): {} artifacts, {} checkpoints \
         handed over; {:.3} M events/s",
        whole.as_secs_f64(),
        caught.counts.artifacts,
        caught.counts.checkpoints,
        events as f64 / whole.as_secs_f64() / 1e6,
    );
    println!(
        "a state has {}; taking it holds the fold up for {snapshot:.1?}",
        bytes(state.bytes.len() as u64)
    );
    parts(&state);
    let usage = derived.checkpoint_usage().unwrap();
    println!(
        "{} checkpoints kept: states of {} together, {} pieces of {} ({:.3} of them), manifests {}",
        usage.checkpoints,
        bytes(usage.state_bytes),
        usage.pieces,
        bytes(usage.kept_bytes),
        usage.kept_bytes as f64 / usage.state_bytes.max(1) as f64,
        bytes(usage.manifest_bytes),
    );
    let final_state = caught.engine.save();
    drop((caught, derived, journal));

    println!(
        "\n{:<34} {:>8} {:>8} {:>8} {:>12} {:>10}",
        "ms", "p50", "p99", "max", "p99 : whole", "goal"
    );
    let restarts = (0..5).map(|_| {
        let (took, (_, _, caught)) = timed(|| restart(dir));
        assert!(caught.engine.save() == final_state, "another state after a restart");
        took
    });
    Times::of(restarts.collect()).row("restart to serving", whole);
    let (journal, derived, _) = restart(dir);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut folds = Vec::new();
    for _ in 0..moments {
        let at = random_moment(&journal, &mut random);
        let (took, engine): (_, Engine) =
            timed(|| as_of(&journal, &derived, &world(), at).unwrap());
        std::hint::black_box(&engine);
        folds.push(took);
    }
    Times::of(folds).row("the folds as of a moment", whole);
    for family in ["heatmap", "gex", "context"] {
        let mut reads = Vec::new();
        for _ in 0..moments.div_ceil(4) {
            let at = random_moment(&journal, &mut random);
            let (took, _) = timed(|| {
                let header = latest(&journal, &derived, "SPX", family, at).unwrap();
                header.map(|header| body(&journal, &derived, &world(), &header).unwrap())
            });
            reads.push(took);
        }
        Times::of(reads).row(&format!("{family} as of a moment"), whole);
    }
    println!("\non disk (what is in the log is written once more, into tables):");
    for part in derived.footprint() {
        println!("  {:<20} {:>12}", part.name, bytes(part.bytes));
    }
}

/// What a state consists of, the largest parts first.
fn parts(state: &orrery_replay::checkpoint::state::State) {
    let ends = state.marks.iter().skip(1).map(|m| m.at).chain([state.bytes.len() as u64]);
    let mut sizes: Vec<_> =
        state.marks.iter().zip(ends).map(|(m, end)| (end - m.at, &m.name)).collect();
    sizes.sort_by(|a, b| b.cmp(a));
    for (size, name) in sizes.iter().take(8) {
        println!("  {name:<30} {:>12}", bytes(*size));
    }
}
