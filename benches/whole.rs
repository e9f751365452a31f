//! A whole made day, bit for bit: replayed in every way there is, and compared
//! with what was recorded. Not a speed; whoever finds a difference ends with it.
//!
//! The day of `made_day.rs` is recorded by one thread. Then: from every checkpoint
//! to the next one (every header, and the state there against its address); from
//! scratch on one thread; `derived/` deleted and made again on two; from scratch on
//! two while a later session comes in at its own pace and is folded as it comes,
//! after which that is replayed, too.
//!
//! `--ticks N` (default 2,000,000), `--rate N` ticks a second of event time, `--full`:
//! 50 million ticks in six and a half hours, `--dir PATH` keeps the day there and, where
//! there is one, uses it again; `--again` only replays what another build recorded
//! there, from scratch on one thread: `cargo test --bench whole -- --again --dir PATH`
//! is the debug build. `--short` is a smoke run.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "made_day.rs"]
mod made_day;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_folds::models::parameters::Parameters;
use orrery_folds::world::MarketWorld;
use orrery_journal::units::{Address, Seq};
use orrery_journal::{Journal, OpenOptions};
use orrery_replay::audit::audit;
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::compare::{CompareOptions, Span, compare};
use orrery_replay::derived::Derived;
use orrery_replay::driver::{Folded, Threads, fold_range};
use orrery_replay::engine::Engine;
use orrery_replay::fold::World;
use orrery_replay::follow::Follower;

use made_day::{CONTRACTS, Ticks, append_later, number, processor, record};

const SESSION_S: usize = 23_400;

fn world() -> Arc<dyn World> {
    Arc::new(MarketWorld::new(Parameters::default()).unwrap())
}

/// The day and what is recorded of it.
struct Day {
    dir: PathBuf,
    journal: Journal,
    derived: Derived,
    last: Seq,
}

impl Day {
    fn of(dir: &Path, ticks: Ticks) -> Day {
        let journal = match dir.join("journal").is_dir() {
            true => Journal::open(dir, &OpenOptions::default()).unwrap(),
            false => record(dir, ticks.count, ticks.rate),
        };
        let derived = Derived::open(dir).unwrap();
        // A session that came in later is not of the day.
        let last = journal.days().unwrap()[0].last;
        let folded = caught_up(&journal, &derived, Threads::ONE);
        println!(
            "{last} events, {CONTRACTS} contracts, {} a second; {folded} folded now",
            ticks.rate
        );
        Day { dir: dir.to_owned(), journal, derived, last }
    }

    /// One hash over the newest header of every family, which names all before it.
    fn record(&self) -> Address {
        let mut told = String::new();
        for (symbol, family) in self.derived.families().unwrap() {
            let newest = self.derived.latest_at(&symbol, &family, self.last).unwrap().unwrap();
            told += &format!("{symbol} {family} v{} {}\n", newest.version, newest.hash());
        }
        Address::of(told.as_bytes())
    }

    fn replayed(&self, what: &str, span: Span, from_scratch: bool, threads: Threads) {
        let start = Instant::now();
        let options = CompareOptions { threads, from_scratch, ..CompareOptions::default() };
        let seen = &mut |_, _: &[_]| ControlFlow::Continue(());
        let found =
            compare(&self.journal, &self.derived, &world(), span, &options, &mut |_| {}, seen);
        let found = found.unwrap();
        assert!(found.identical(), "{what}: {:?}", found.first_difference());
        said(what, start, found.events, found.artifacts);
    }

    fn whole(&self) -> Span {
        Span { first: Seq::FIRST, last: self.last }
    }

    /// From each checkpoint to the next one.
    fn begun_at_every_checkpoint(&self) {
        let (start, world) = (Instant::now(), world());
        let records = self.derived.checkpoints().unwrap();
        let records: Vec<_> = records.iter().filter(|record| record.seq <= self.last).collect();
        let (mut events, mut artifacts) = (0, 0);
        let begins = std::iter::once(None).chain(records.iter().map(Some));
        let ends = records.iter().map(|r| (r.seq, Some(r.address))).chain([(self.last, None)]);
        for (begin, (end, address)) in begins.zip(ends) {
            let mut engine = match begin {
                None => Engine::new(Arc::clone(&world)),
                Some(record) => {
                    let checkpoint = self.derived.checkpoint(record).unwrap();
                    Engine::restore(Arc::clone(&world), &checkpoint.bytes).unwrap()
                }
            };
            let from = engine.position().seq;
            assert_eq!(from, begin.map_or(Seq::BEFORE_FIRST, |record| record.seq));
            let told = &mut |folded: Folded| {
                for made in &folded.made {
                    let header = &made.artifact.header;
                    let (symbol, family) = (&header.symbol, &header.family);
                    let recorded = self.derived.header(symbol, family, header.version).unwrap();
                    assert_eq!(recorded.as_ref(), Some(header), "from {from}");
                }
                events += folded.events;
                artifacts += folded.made.len() as u64;
                ControlFlow::Continue(())
            };
            fold_range(&self.journal, &mut engine, end, Threads::ONE, told).unwrap();
            let reached = Address::of(&engine.save());
            assert!(address.is_none_or(|a| a == reached), "another state at {end}, from {from}");
        }
        assert_eq!(self.derived.checkpoints_skipped(), 0);
        said(&format!("from each of {} checkpoints", records.len()), start, events, artifacts);
    }

    /// Deleted and made again, with the same record.
    fn made_again(self) -> Day {
        let (start, before) = (Instant::now(), self.record());
        let Day { dir, journal, derived, last } = self;
        drop(derived);
        std::fs::remove_dir_all(dir.join("derived")).unwrap();
        let derived = Derived::open(&dir).unwrap();
        let events = caught_up(&journal, &derived, Threads::new(2));
        let day = Day { dir, journal, derived, last };
        assert_eq!(day.record(), before, "another record");
        let whole = audit(&day.derived).unwrap();
        assert_eq!(whole.findings, Vec::<String>::new());
        said("derived/ deleted and made again, two threads", start, events, whole.headers);
        day
    }

    /// While a later session comes in and is folded as it comes.
    fn while_others_come_in(&self, rate: i64) {
        let options = CatchUpOptions::default();
        let go_on = &mut |_| ControlFlow::Continue(());
        let engine =
            catch_up(&self.journal, &self.derived, world(), options, go_on).unwrap().engine;
        let before = engine.position().seq;
        let later = self.journal.days().unwrap().len() as i64;
        let [ended, closed] = [false, false].map(AtomicBool::new);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let start = Instant::now();
                let ticks = Ticks { count: usize::MAX >> 1, rate };
                append_later(&self.journal, later, ticks, &mut |gone: Duration| {
                    std::thread::sleep(gone.saturating_sub(start.elapsed()));
                    match ended.load(Ordering::Acquire) {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                });
                closed.store(true, Ordering::Release);
            });
            scope.spawn(|| {
                let (journal, derived) = (self.journal.clone(), self.derived.clone());
                let follower = Follower::new(journal, derived, engine, options);
                let stop = || closed.load(Ordering::Acquire);
                follower.run(Duration::from_millis(50), &stop, &mut |_| {}).unwrap();
            });
            let what = "from scratch on two threads while others come in";
            self.replayed(what, self.whole(), true, Threads::new(2));
            ended.store(true, Ordering::Release);
        });
        let came = Span { first: before.next(), last: self.journal.head().seq };
        self.replayed("what came in meanwhile", came, false, Threads::ONE);
    }
}

fn caught_up(journal: &Journal, derived: &Derived, threads: Threads) -> u64 {
    let options = CatchUpOptions { threads, ..CatchUpOptions::default() };
    let go_on = &mut |_| ControlFlow::Continue(());
    catch_up(journal, derived, world(), options, go_on).unwrap().counts.events
}

fn said(what: &str, start: Instant, events: u64, artifacts: u64) {
    let took = start.elapsed().as_secs_f64();
    let spent = processor();
    println!(
        "identical: {what}: {events} events, {artifacts} artifacts ({took:.1} s; {spent:.0} s of \
         processor so far)"
    );
}

fn main() {
    let flag = |name: &str| std::env::args().any(|a| a == name);
    let (again, full) = (flag("--again"), flag("--full"));
    let short = flag("--short") || (flag("--test") && !again);
    let default = if short { 60_000 } else { 2_000_000 };
    let count = number("--ticks", if full { 50_000_000 } else { default });
    let rate = number("--rate", if full { count.div_ceil(SESSION_S) } else { 22_000 }) as i64;
    let kept: Option<PathBuf> =
        std::env::args().skip_while(|a| a != "--dir").nth(1).map(PathBuf::from);
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = kept.as_deref().unwrap_or(scratch.path());

    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let day = Day::of(dir, Ticks { count, rate });
    println!("recorded as {}; {build} build", day.record());
    let one = &format!("from scratch on one thread, {build} build");
    if again {
        return day.replayed(one, day.whole(), true, Threads::ONE);
    }
    day.begun_at_every_checkpoint();
    day.replayed(one, day.whole(), true, Threads::ONE);
    let day = day.made_again();
    day.while_others_come_in(rate);
}
