//! A session that is journaled, folded and published as it comes, instead of one
//! that was recorded: whatever happens to Redis, the journal misses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery::feeds::simulate::{Simulation, SimulationOptions};
use orrery::models::parameters::Parameters;
use orrery::shelf::Shelf;
use orrery::world::MarketWorld;
use orrery_journal::event::Kind;
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};
use orrery_journal::{Journal, OpenOptions};
use orrery_replay::catch_up::CatchUpOptions;
use orrery_replay::derived::Derived;
use orrery_replay::engine::{Engine, Made};
use orrery_replay::follow::Follower;

/// Slower than the recorded ones: all of it is folded while it comes.
const SPEED: i64 = 4;

/// What was brought and what the journal has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Journaled {
    pub brought: u64,
    pub kept: u64,
}

/// Goes on until stopped.
pub fn run(shelf: &Arc<Shelf>, seed: u64, stop: &Arc<AtomicBool>) -> Journaled {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let journal = Journal::open(dir.path(), &OpenOptions::default()).expect("a new journal");
    let options = SimulationOptions {
        seed,
        duration_ns: None,
        ticks_per_second: 60,
        chain_every_ns: 20 * NANOS_PER_SECOND,
        topology_change_ns: Some(40 * NANOS_PER_SECOND),
        gap_ns: None,
        ..SimulationOptions::default()
    };
    let start = options.start;
    let writer = journal.writer(|| RecvTime(0)).expect("the first writer");
    let source = writer.define_source(r#"{"feed":"test"}"#).expect("a source");
    let world = MarketWorld::new(Parameters::default()).expect("usable");
    let (engine, derived) = (Engine::new(Arc::new(world)), Derived::in_memory());
    let mut follower = Follower::new(journal.clone(), derived, engine, CatchUpOptions::default());
    let folding = {
        let (shelf, stop) = (shelf.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut place = |made: &[Made]| {
                shelf.place_all(made.iter().map(|m| m.artifact.clone()));
            };
            while !stop.load(Ordering::Relaxed) {
                follower.step(Duration::from_millis(50), &mut place).expect("folded");
            }
        })
    };
    let (mut simulation, begun) = (Simulation::new(options), Instant::now());
    let (mut tickets, mut brought) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let now = start.plus_nanos(begun.elapsed().as_nanos() as i64 * SPEED);
        let mut drafts = simulation.next_batch(now);
        drafts.iter_mut().for_each(|draft| draft.source = source);
        if !drafts.is_empty() {
            brought += drafts.len() as u64;
            tickets.push(writer.append(drafts).expect("taken"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    for ticket in tickets {
        ticket.wait().expect("durable");
    }
    folding.join().expect("the fold ends");
    // What the journal defines for itself nobody brought.
    let own = [Kind::InstrumentDefined, Kind::ConditionsDefined, Kind::SourceDefined];
    let kinds = Kind::ALL.into_iter().filter(|kind| !own.contains(kind));
    let kept = kinds.map(|kind| journal.count(kind)).sum();
    writer.close().expect("committed");
    Journaled { brought, kept }
}
