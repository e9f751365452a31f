//! The rounds of everybody, one after the other, and the table they give.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::at_hand;
use crate::fold::Fold;
use crate::latency;
use crate::measure::{Goal, Row, Run, heading, machine};
use crate::outside::{INSTALL, Places};
use crate::tick::Tick;
use crate::workload::{ticks, write_rows};
use crate::{kv, memory, ours, redis, segment, server};

/// How much is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Ticks of our side and of the quick peers.
    pub ticks: usize,
    /// Interleaved rounds.
    pub rounds: usize,
    /// The slow peers take all ticks, too.
    pub full: bool,
    /// Only peers whose key is here, [`LATENCY`] and [`MEMORY`] among them;
    /// everything when empty.
    pub only: Vec<String>,
    /// Peers outside of this process.
    pub outside: bool,
    /// Seconds of each latency measurement.
    pub latency_s: u64,
    /// Ticks of the long journal.
    pub memory_ticks: usize,
}

/// More than a side needs, its files' pages in the system's cache included.
const ROUND: usize = 2 << 30;
/// Key of the rows of latency.
pub const LATENCY: &str = "latency";
/// Key of the rows of peak memory.
pub const MEMORY: &str = "memory";

impl Plan {
    fn wants(&self, key: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|k| k == key)
    }

    /// Every key there is.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        PEERS.iter().map(|p| p.key).chain([LATENCY, MEMORY])
    }
}

/// What everybody is given.
struct Stage<'a> {
    tmp: &'a Path,
    ticks: Vec<Tick>,
    /// The same ticks in a file.
    rows: PathBuf,
    places: Places,
    /// Digests of the fold after so many ticks from memory.
    digests: BTreeMap<usize, u64>,
}

struct Peer {
    key: &'static str,
    name: &'static str,
    /// More would take too long in one round.
    ticks_max: usize,
    rounds_max: usize,
    append: Goal,
    replay: Goal,
    note: &'static str,
    outside: bool,
    run: fn(&Stage<'_>, &[Tick], &Path) -> Result<Run, String>,
}

const ALL: usize = usize::MAX;

const PEERS: [Peer; 10] = [
    Peer {
        key: "fold",
        name: "the fold from memory",
        ticks_max: ALL,
        rounds_max: ALL,
        append: Goal::None,
        replay: Goal::AtLeast(0.35),
        note: "no disk, no hash, no decoding",
        outside: false,
        run: |_, ticks, _| Ok(from_memory(ticks)),
    },
    Peer {
        key: "segment",
        name: "a bare prewritten segment file",
        ticks_max: ALL,
        rounds_max: ALL,
        append: Goal::AtLeast(0.75),
        replay: Goal::None,
        note: "same packed and hashed pages, fdatasync every 10 ms, one thread",
        outside: false,
        run: |_, ticks, dir| Ok(segment::run(dir, ticks)),
    },
    Peer {
        key: "fjall",
        name: "fjall, one key per tick",
        ticks_max: ALL,
        rounds_max: ALL,
        append: Goal::None,
        replay: Goal::None,
        note: "fdatasync every 10 ms",
        outside: false,
        run: |_, ticks, dir| Ok(kv::run(dir, ticks)),
    },
    Peer {
        key: "sqlite",
        name: "SQLite WAL",
        ticks_max: ALL,
        rounds_max: ALL,
        append: Goal::AtLeast(10.0),
        replay: Goal::None,
        note: "synchronous=FULL, a transaction every 10 ms",
        outside: true,
        run: |s, ticks, dir| {
            s.places.client("sqlite", &s.rows, ticks.len(), &dir.display().to_string())
        },
    },
    Peer {
        key: "rocksdb",
        name: "RocksDB, one key per tick",
        ticks_max: ALL,
        rounds_max: ALL,
        append: Goal::AtLeast(12.0),
        replay: Goal::None,
        note: "lz4, synced every 10 ms",
        outside: true,
        run: |s, ticks, dir| s.places.rocksdb(&s.rows, ticks.len(), dir),
    },
    Peer {
        key: "streams",
        name: "Redis Streams",
        ticks_max: 1_000_000,
        rounds_max: ALL,
        append: Goal::AtLeast(30.0),
        replay: Goal::AtLeast(40.0),
        note: "AOF everysec; replay by XRANGE from memory",
        outside: true,
        run: |_, ticks, dir| redis::streams(dir, ticks),
    },
    Peer {
        key: "contracts",
        name: "contract hashes in Redis",
        ticks_max: 500_000,
        rounds_max: ALL,
        append: Goal::AtLeast(60.0),
        replay: Goal::None,
        note: "HSET + SADD, AOF everysec; keeps no tick, so no replay",
        outside: true,
        run: |_, ticks, dir| redis::contract_state(dir, ticks),
    },
    Peer {
        key: "nats",
        name: "NATS JetStream",
        ticks_max: 500_000,
        rounds_max: ALL,
        append: Goal::AtLeast(50.0),
        replay: Goal::None,
        note: "acknowledged, 2,000 under way; the server syncs every 2 min",
        outside: true,
        run: |s, ticks, dir| {
            let server = server::nats(dir)?;
            let run = s.places.client("nats", &s.rows, ticks.len(), &server.port.to_string())?;
            let bytes = crate::measure::disk_bytes(dir, &|_| true) as f64 / ticks.len() as f64;
            Ok(Run { bytes: Some(bytes), ..run })
        },
    },
    Peer {
        key: "nautilus",
        name: "NautilusTrader",
        ticks_max: 500_000,
        rounds_max: 3,
        append: Goal::None,
        replay: Goal::AtLeast(150.0),
        note: "backtest engine, quotes of 200 contracts, a strategy that counts",
        outside: true,
        run: |s, ticks, _| s.places.python_peer("naut.py", &s.rows, ticks.len()),
    },
    Peer {
        key: "hftbacktest",
        name: "hftbacktest",
        ticks_max: 1_000_000,
        rounds_max: 3,
        append: Goal::None,
        replay: Goal::AtLeast(5.0),
        note: "one asset, arrays in memory, compiled loop of 250 ms",
        outside: true,
        run: |s, ticks, _| s.places.python_peer("hft.py", &s.rows, ticks.len()),
    },
];

/// What the rounds gave.
#[derive(Default)]
struct Results {
    ours: Vec<Run>,
    /// By peer; the same number of rounds or fewer.
    theirs: BTreeMap<&'static str, Vec<Run>>,
    skipped: BTreeMap<&'static str, String>,
}

/// Runs everything and prints the table.
///
/// # Errors
/// When a replay folded to another state than the ticks in memory.
pub fn compare(plan: &Plan, tmp: &Path) -> Result<(), String> {
    let scratch = folder(tmp);
    let mut stage = Stage {
        tmp,
        ticks: ticks(plan.ticks),
        rows: scratch.path().join("ticks.rows"),
        places: Places::new(tmp),
        digests: BTreeMap::new(),
    };
    let peers: Vec<&Peer> =
        PEERS.iter().filter(|p| plan.wants(p.key) && (plan.outside || !p.outside)).collect();
    if peers.iter().any(|p| p.outside) {
        write_rows(&stage.ticks, &stage.rows).map_err(|e| e.to_string())?;
    }
    let mut results = Results::default();
    let rounds = if peers.is_empty() { 0 } else { plan.rounds };
    for round in 0..rounds {
        one_round(plan, &mut stage, &peers, round, &mut results)?;
    }
    let rounds = if plan.wants(LATENCY) { plan.rounds } else { 0 };
    let latencies: Vec<_> = (0..rounds).map(|_| latency_pair(plan, tmp)).collect();
    println!(
        "{} ticks of 12,000 contracts, {} interleaved rounds; M ticks/s, median [min..max]; \
         ratio = orrery / the other, median of the rounds\n{}\n",
        plan.ticks,
        plan.rounds,
        machine()
    );
    println!("{}", heading());
    rates(plan, &peers, &results);
    sizes(&stage.ticks, &peers, &results);
    delays(&latencies);
    if plan.wants(MEMORY) {
        peaks(plan.memory_ticks, tmp);
    }
    Ok(())
}

fn folder(tmp: &Path) -> TempDir {
    tempfile::tempdir_in(tmp).unwrap()
}

fn one_round(
    plan: &Plan,
    stage: &mut Stage<'_>,
    peers: &[&Peer],
    round: usize,
    results: &mut Results,
) -> Result<(), String> {
    let say = |who: &str| eprintln!("round {} of {}: {who}", round + 1, plan.rounds);
    say("orrery");
    at_hand::take(ROUND);
    let run = ours::run(folder(stage.tmp).path(), &stage.ticks);
    check(stage, "orrery", &run)?;
    results.ours.push(run);
    for peer in peers {
        if round >= peer.rounds_max || results.skipped.contains_key(peer.key) {
            continue;
        }
        say(peer.name);
        at_hand::take(ROUND);
        let count = if plan.full { ALL } else { peer.ticks_max }.min(stage.ticks.len());
        let dir = folder(stage.tmp);
        match (peer.run)(stage, &stage.ticks[..count], dir.path()) {
            Ok(run) => {
                check(stage, peer.name, &run)?;
                results.theirs.entry(peer.key).or_default().push(run);
            }
            Err(why) => {
                results.skipped.insert(peer.key, format!("{why}; {INSTALL}"));
            }
        }
    }
    Ok(())
}

/// A replay that did other work is not compared.
fn check(stage: &mut Stage<'_>, who: &str, run: &Run) -> Result<(), String> {
    let Some(got) = run.digest else { return Ok(()) };
    let ticks = &stage.ticks[..run.ticks];
    let digest = *stage.digests.entry(run.ticks).or_insert_with(|| {
        let mut fold = Fold::default();
        ticks.iter().for_each(|t| fold.tick(t));
        fold.digest()
    });
    if digest == got { Ok(()) } else { Err(format!("{who}: the replay folds to another state")) }
}

fn from_memory(ticks: &[Tick]) -> Run {
    let mut fold = Fold::default();
    let start = Instant::now();
    ticks.iter().for_each(|t| fold.tick(t));
    let replay = ticks.len() as f64 / start.elapsed().as_secs_f64();
    Run { replay: Some(replay), digest: Some(fold.digest()), ticks: ticks.len(), ..Run::default() }
}

type Column = fn(&Run) -> Option<f64>;

fn pairs(ours: &[Run], theirs: &[Run], column: Column, unit: f64) -> Vec<(f64, f64)> {
    let pair = |(a, b)| Some((column(a)? / unit, column(b)? / unit));
    ours.iter().zip(theirs).filter_map(pair).collect()
}

fn rates(plan: &Plan, peers: &[&Peer], results: &Results) {
    let appends: Column = |r| r.append;
    let replays: Column = |r| r.replay;
    for (what, column) in [("durable append", appends), ("replay", replays)] {
        for peer in peers {
            let goal = if what == "replay" { peer.replay } else { peer.append };
            let theirs = results.theirs.get(peer.key).map_or(&[][..], |r| r);
            let pairs = pairs(&results.ours, theirs, column, 1e6);
            let skipped = results.skipped.get(peer.key);
            let has_goal = goal != Goal::None;
            if pairs.is_empty() && (skipped.is_none() || !has_goal) {
                continue;
            }
            let count = theirs.first().map_or(0, |r| r.ticks);
            let fewer = if count < plan.ticks { format!("{count} ticks; ") } else { String::new() };
            let note = skipped.map_or_else(|| format!("{fewer}{}", peer.note), Clone::clone);
            let name = format!("{what} : {}", peer.name);
            println!("{}", Row { name, pairs, goal, note });
        }
    }
}

fn sizes(ticks: &[Tick], peers: &[&Peer], results: &Results) {
    if results.ours.is_empty() {
        return;
    }
    let alone = |name: &str, bytes: Vec<f64>, goal, note: &str| {
        println!("{}", Row::alone(format!("bytes a tick, {name}"), bytes, goal, note.into()));
    };
    let ours = results.ours.iter().filter_map(|r| r.bytes).collect();
    alone("ns times", ours, Goal::AtMost(12.0), "tables at rest");
    let coarse: Vec<Tick> =
        ticks.iter().map(|t| Tick { vendor: t.vendor / 1_000_000 * 1_000_000, ..*t }).collect();
    let mut bytes = 0;
    segment::pack_all(&coarse, |page| bytes += page.len());
    let packed = vec![bytes as f64 / ticks.len() as f64];
    alone("ms times", packed, Goal::AtMost(8.5), "packed pages");
    for peer in peers {
        let theirs = results.theirs.get(peer.key).map_or(&[][..], |r| r);
        let pairs = pairs(&results.ours, theirs, |r| r.bytes, 1.0);
        if !pairs.is_empty() {
            let name = format!("bytes a tick : {}", peer.name);
            println!("{}", Row { name, pairs, goal: Goal::None, note: String::new() });
        }
    }
}

/// The disk and the journal in turn.
pub fn latency_pair(plan: &Plan, tmp: &Path) -> (latency::Latency, latency::Latency) {
    let time = Duration::from_secs(plan.latency_s);
    let disk = latency::disk(folder(tmp).path(), time);
    let paced = ticks((latency::RATE * plan.latency_s) as usize);
    (latency::ours(folder(tmp).path(), &paced), disk)
}

/// Prints the rows of latency.
pub fn delays(latencies: &[(latency::Latency, latency::Latency)]) {
    if latencies.is_empty() {
        return;
    }
    for (name, goal) in [("p50", 1.5), ("p99", 10.0)] {
        let of = |l: &latency::Latency| if name == "p50" { l.p50 } else { l.p99 };
        let pairs = latencies.iter().map(|(ours, disk)| (of(ours), of(disk))).collect();
        let name = format!("tick to durable, us, {name} : fdatasync");
        let note = format!("{} ticks/s; 4 KiB appended and synced", latency::RATE);
        println!("{}", Row { name, pairs, goal: Goal::AtMost(goal), note });
    }
}

/// Appends and replays a long journal in processes of their own.
fn peaks(ticks: usize, tmp: &Path) {
    if ticks == 0 {
        return;
    }
    let dir = folder(tmp);
    for (what, goal) in [("append", Goal::None), ("replay", Goal::AtMost(64.0))] {
        let name = format!("peak memory, MB : {what} of {:.1} M ticks", ticks as f64 / 1e6);
        let row = match memory::child(what, dir.path(), ticks) {
            Ok(told) => {
                let note = format!("VmHWM; {:.2} M ticks/s", told.rate / 1e6);
                Row::alone(name, vec![told.peak_mb], goal, note)
            }
            Err(why) => Row::alone(name, Vec::new(), goal, why),
        };
        println!("{row}");
    }
}
