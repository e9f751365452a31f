//! A made-up session, folded once, whose artifacts are played again and again at
//! twenty times its speed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery::feeds::simulate::{Simulation, SimulationOptions};
use orrery::models::parameters::Parameters;
use orrery::shelf::Shelf;
use orrery::world::MarketWorld;
use orrery_journal::Journal;
use orrery_journal::units::{Address, NANOS_PER_SECOND, RecvTime, Seq};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::derived::Derived;
use orrery_replay::driver::{Folded, Threads, fold_range};
use orrery_replay::engine::Engine;
use orrery_replay::fold::World;
use serde_json::Value;

use crate::support::journal_of;

const SPEED: i64 = 20;
const SECONDS: i64 = 60;
/// Tiles that are kept of a heatmap: what is tried is delivery, not size.
const TILES: usize = 60;
const FAMILIES: [&str; 14] = [
    "epoch",
    "spot",
    "heatmap",
    "gex",
    "flow",
    "gravity",
    "context",
    "levels",
    "bias_lfi",
    "market_mode",
    "vix_regime",
    "selector",
    "candles",
    "volatility",
];

/// Artifacts by the moment at which they were made.
pub struct Session {
    steps: Vec<(i64, Vec<Artifact>)>,
    /// The first of each family.
    opening: Vec<Artifact>,
    /// Versions of each family, for those of the next round to go on.
    versions: BTreeMap<Box<str>, u64>,
    events: u64,
}

impl Session {
    /// Folds a minute with a change of the topology in its middle.
    pub fn record(seed: u64) -> Session {
        let journal = journal(seed);
        let world: Arc<dyn World> =
            Arc::new(MarketWorld::new(Parameters::default()).expect("usable"));
        let derived = Derived::in_memory();
        // As it is followed live: every body is kept.
        let mut engine = Engine::new(world);
        let keep = &mut |folded: Folded| {
            let made: Vec<_> = folded.made.into_iter().map(|m| m.artifact).collect();
            derived.put(&made).expect("in order");
            ControlFlow::Continue(())
        };
        fold_range(&journal, &mut engine, journal.head().seq, Threads::ONE, keep).expect("folded");
        let mut steps: BTreeMap<i64, Vec<Artifact>> = BTreeMap::new();
        let (mut opening, mut versions) = (Vec::new(), BTreeMap::new());
        for family in FAMILIES {
            let headers = derived.headers("SPX", family, 1, usize::MAX).expect("readable");
            // Only what belongs to an epoch: before the first there is no gate.
            for header in headers.into_iter().filter(|h| h.epoch.is_some()) {
                let body = derived.body(&header).expect("readable").expect("kept whole");
                let artifact = thin(Artifact { header, body });
                let made = &artifact.header;
                if versions.insert(made.family.clone(), made.version).is_none() {
                    opening.push(artifact.clone());
                }
                steps.entry(made.created_at.0).or_default().push(artifact);
            }
        }
        assert!(opening.len() > 8, "only {} families spoke", opening.len());
        let steps = steps.into_iter().collect();
        Session { steps, opening, versions, events: journal.head().seq.0 }
    }

    /// Plays until stopped; `lag` behind its time.
    pub fn play(&self, shelf: &Shelf, lag: Duration, stop: &AtomicBool) {
        let begun = Instant::now() + lag;
        let length = SECONDS * NANOS_PER_SECOND;
        let first = self.steps.first().map_or(0, |(at, _)| *at);
        for round in 0_i64.. {
            let again = |artifact: &Artifact| self.in_round(artifact, round, length);
            // A promotion brings all families at once.
            shelf.place_all(self.opening.iter().map(again));
            for (at, artifacts) in &self.steps {
                let due = (at - first + round * length) / SPEED;
                let due = begun + Duration::from_nanos(due.max(0) as u64);
                while let Some(left) = due.checked_duration_since(Instant::now()) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(left.min(Duration::from_millis(20)));
                }
                shelf.place_all(artifacts.iter().map(again));
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn in_round(&self, artifact: &Artifact, round: i64, length: i64) -> Artifact {
        let header = &artifact.header;
        let versions = self.versions.get(&header.family).copied().unwrap_or_default();
        let further = |seq: Seq| Seq(seq.0 + round as u64 * self.events);
        let header = Header {
            version: header.version + round as u64 * versions,
            seq_first: further(header.seq_first),
            seq_last: further(header.seq_last),
            created_at: RecvTime(header.created_at.0 + round * length),
            ..header.clone()
        };
        Artifact { header, body: artifact.body.clone() }
    }
}

/// Fewer tiles and scores, so that several sessions can be played side by side.
fn thin(artifact: Artifact) -> Artifact {
    let field = match &*artifact.header.family {
        "heatmap" => "tiles",
        "selector" => "scores",
        _ => return artifact,
    };
    let mut body: Value = serde_json::from_slice(&artifact.body).expect("JSON");
    if let Some(map) = body[field].as_object_mut() {
        let more: Vec<String> = map.keys().skip(TILES).cloned().collect();
        more.iter().for_each(|key| drop(map.remove(key)));
    }
    let body = Bytes::from(body.to_string());
    let (content, body_len) = (Address::of(&body), body.len() as u64);
    Artifact { header: Header { content, body_len, ..artifact.header }, body }
}

fn journal(seed: u64) -> Journal {
    let options = SimulationOptions {
        seed,
        duration_ns: Some(SECONDS * NANOS_PER_SECOND),
        ticks_per_second: 60,
        chain_every_ns: 10 * NANOS_PER_SECOND,
        topology_change_ns: Some(SECONDS / 2 * NANOS_PER_SECOND),
        gap_ns: None,
        ..SimulationOptions::default()
    };
    journal_of(Simulation::new(options).next_batch(RecvTime(i64::MAX)))
}
