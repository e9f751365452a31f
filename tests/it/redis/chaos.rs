//! A consumer that stores what it is told and fetches on each event, over a
//! session at twenty times its speed, while servers are killed, emptied, halted,
//! demoted, filled, locked and swapped. Two hundred faults here; `cargo xtask
//! redis-faults` does as many as it is told.

mod apart;
mod checks;
mod consumer;
mod faults;
mod lane;
mod pipeline;
mod proxy;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::faults::Fault;
use self::lane::{Lane, Outcome, Random, Stalls, Who};
use self::session::Session;

/// Pairs of servers that suffer side by side.
const LANES: usize = 5;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Every fault in turn, each lane in an order of its own.
fn deal(count: usize, lanes: usize, seed: u64) -> Vec<Vec<Fault>> {
    let mut random = Random(seed);
    let mut all: Vec<Fault> = (0..count).map(|n| Fault::ALL[n % Fault::ALL.len()]).collect();
    for at in (1..all.len()).rev() {
        all.swap(at, random.below(at as u64 + 1) as usize);
    }
    (0..lanes).map(|lane| all.iter().copied().skip(lane).step_by(lanes).collect()).collect()
}

async fn run(dealt: Vec<Vec<Fault>>, seed: u64, who: impl Fn(usize) -> Who) -> Vec<Outcome> {
    let session = Arc::new(Session::record(seed));
    let (stalls, runtime) = (Stalls::watch(), tokio::runtime::Handle::current());
    let mut lanes = Vec::new();
    for (at, faults) in dealt.into_iter().enumerate() {
        let (session, stalls) = (session.clone(), stalls.clone());
        let seed = seed.wrapping_mul(1_000).wrapping_add(at as u64);
        let lane = Lane { who: who(at), seed, faults, session, stalls };
        let runtime = runtime.clone();
        lanes.push(tokio::task::spawn_blocking(move || lane.run(&runtime)));
    }
    let mut outcomes = Vec::new();
    for lane in lanes {
        outcomes.push(lane.await.expect("the lane ends"));
    }
    stalls.stop();
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_no_event_is_without_its_artifact_and_nothing_goes_back() {
    let count = number("ORRERY_REDIS_FAULTS", 200);
    let seed = number("ORRERY_REDIS_SEED", 1);
    let who = |lane| match lane % LANES {
        1 => Who::Contested,
        2 => Who::Journaled,
        _ => Who::Ours,
    };
    let outcomes = run(deal(count as usize, LANES, seed), seed, who).await;
    let mut faults: BTreeMap<Fault, (u64, u64)> = BTreeMap::new();
    let mut stats: BTreeMap<String, u64> = BTreeMap::new();
    let (mut violations, mut events, mut fetched) = (Vec::new(), 0, 0);
    let (mut journaled, mut server_bytes) = (0, 0);
    for outcome in outcomes {
        for (fault, (count, slowest)) in outcome.faults {
            let sum = faults.entry(fault).or_default();
            *sum = (sum.0 + count, sum.1.max(slowest));
        }
        outcome.stats.into_iter().for_each(|(name, n)| *stats.entry(name).or_default() += n);
        violations.extend(outcome.violations);
        events += outcome.events;
        fetched += outcome.fetched;
        journaled += outcome.journaled.kept;
        server_bytes = server_bytes.max(outcome.server_bytes_max);
    }
    for (fault, (count, slowest)) in &faults {
        eprintln!("{fault:?}: {count}, back after at most {slowest} ms");
    }
    let trials: u64 = faults.values().map(|(count, _)| count).sum();
    let slowest = faults.values().map(|(_, slowest)| *slowest).max().unwrap_or_default();
    let failures = violations.len();
    eprintln!(
        "redis faults: trials={trials} failures={failures} events={events} fetched={fetched} \
         published={} repaired={} lost={} journaled={journaled} server_bytes={server_bytes} \
         slowest_ms={slowest} seed={seed}",
        stats["published"], stats["repaired"], stats["lost"]
    );
    assert!(violations.is_empty(), "{failures} violations:\n{}", violations.join("\n"));
    assert_eq!(trials, count);
    assert!(events > 20 * trials, "only {events} events were checked");
    assert!(journaled > 0, "nothing was journaled meanwhile");
    // Every kind of trouble was met and named.
    for (name, count) in stats.iter().filter(|(name, _)| name.starts_with("fault_")) {
        eprintln!("{name}: {count}");
    }
    for kind in ["unreachable", "silent", "read_only", "loading", "full", "refused"] {
        assert!(count < 100 || stats[&format!("fault_{kind}")] > 0, "no fault was {kind}");
    }
}

/// Whoever stores and tells apart must be caught by the same harness.
#[tokio::test(flavor = "multi_thread")]
async fn storing_and_telling_apart_is_caught() {
    let refusing = [Fault::Full, Fault::ReadOnly, Fault::Auth, Fault::Full, Fault::ReadOnly];
    let outcomes = run(vec![refusing.to_vec(), refusing.to_vec()], 7, |_| Who::Apart).await;
    let caught: usize = outcomes.iter().map(|outcome| outcome.violations.len()).sum();
    let first = outcomes.iter().find_map(|outcome| outcome.violations.first());
    eprintln!("redis faults control: trials=10 failures={caught}, the first: {first:?}");
    let orphans = outcomes.iter().flat_map(|outcome| &outcome.violations);
    assert!(orphans.filter(|text| text.starts_with("an event without")).count() > 0);
}
