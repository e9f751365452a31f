//! How long an append takes to be durable while Redis is there, killed, or
//! halted: the same session, fold and publisher, phase by phase in turn.
//!
//! `cargo bench --bench redis_away -- [--seconds N] [--rounds N] [--rate N]` prints
//! p50 and p99 of each and the ratio to Redis being there. Needs redis-server.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use orrery::feeds::simulate::{Simulation, SimulationOptions};
use orrery::models::parameters::Parameters;
use orrery::projector::link::BusUrl;
use orrery::projector::publisher::{Publisher, PublisherConfig};
use orrery::projector::registry::KeySets;
use orrery::shelf::Shelf;
use orrery::world::MarketWorld;
use orrery_journal::units::RecvTime;
use orrery_journal::{Journal, OpenOptions, Ticket};
use orrery_replay::catch_up::CatchUpOptions;
use orrery_replay::derived::Derived;
use orrery_replay::engine::{Engine, Made};
use orrery_replay::follow::Follower;
use tokio_util::sync::CancellationToken;

const PHASES: [&str; 3] = ["there", "killed", "halted"];
const TURN: Duration = Duration::from_millis(2);

struct Server {
    port: u16,
    child: Option<Child>,
}

impl Server {
    fn start() -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Server { port, child: None };
        server.restart();
        server
    }

    fn restart(&mut self) {
        self.kill();
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server starts; apt-get install redis-server"));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    fn url(&self) -> BusUrl {
        BusUrl::parse(&format!("redis://127.0.0.1:{}", self.port)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn argument(name: &str, default: u64) -> u64 {
    let mut words = std::env::args().skip_while(|word| word != name).skip(1);
    words.next().and_then(|word| word.parse().ok()).unwrap_or(default)
}

fn quantile(sorted: &[u64], q: f64) -> u64 {
    let at = (sorted.len().saturating_sub(1) as f64 * q) as usize;
    sorted.get(at).copied().unwrap_or_default()
}

fn main() {
    let (seconds, rounds) = (argument("--seconds", 10), argument("--rounds", 3));
    let rate = argument("--rate", 2_000);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let journal = Journal::open(dir.path(), &OpenOptions::default()).unwrap();
    let options = SimulationOptions {
        duration_ns: None,
        ticks_per_second: rate as u32,
        gap_ns: None,
        topology_change_ns: None,
        ..SimulationOptions::default()
    };
    let start = options.start;
    let writer = journal.writer(|| RecvTime(0)).unwrap();
    let source = writer.define_source(r#"{"feed":"bench"}"#).unwrap();
    let world = MarketWorld::new(Parameters::default()).unwrap();
    let engine = Engine::new(Arc::new(world));
    let derived = Derived::in_memory();
    let mut follower = Follower::new(journal.clone(), derived, engine, CatchUpOptions::default());
    let (shelf, stop) = (Arc::new(Shelf::default()), Arc::new(AtomicBool::new(false)));
    let folding = {
        let (shelf, stop) = (shelf.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut place = |made: &[Made]| {
                shelf.place_all(made.iter().map(|m| m.artifact.clone()));
            };
            while !stop.load(Ordering::Relaxed) {
                follower.step(Duration::from_millis(50), &mut place).unwrap();
            }
        })
    };
    let mut servers = [Server::start(), Server::start()];
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = PublisherConfig {
        system: servers[0].url(),
        market: servers[1].url(),
        lineage: "bench".into(),
        takeover: false,
        prefix: None,
        sets: KeySets::default(),
    };
    let publisher = Publisher::new(shelf, config).unwrap();
    let (stats, cancel) = (publisher.stats(), CancellationToken::new());
    let publishing = runtime.spawn(publisher.run(cancel.clone()));

    // Whoever waits for the disk does not keep the feed waiting.
    let phase = Arc::new(AtomicUsize::new(usize::MAX));
    let (sender, tickets) = std::sync::mpsc::channel::<(usize, Instant, Ticket)>();
    let waiting = std::thread::spawn(move || {
        let mut took = vec![Vec::new(); PHASES.len()];
        for (phase, sent, ticket) in tickets {
            ticket.wait().unwrap();
            if let Some(took) = took.get_mut(phase) {
                took.push(sent.elapsed().as_micros() as u64);
            }
        }
        took
    });
    let feeding = {
        let (stop, phase) = (stop.clone(), phase.clone());
        std::thread::spawn(move || {
            let (mut simulation, begun) = (Simulation::new(options), Instant::now());
            while !stop.load(Ordering::Relaxed) {
                let now = start.plus_nanos(begun.elapsed().as_nanos() as i64);
                let mut drafts = simulation.next_batch(now);
                drafts.iter_mut().for_each(|draft| draft.source = source);
                if !drafts.is_empty() {
                    let sent = Instant::now();
                    let ticket = writer.append(drafts).unwrap();
                    sender.send((phase.load(Ordering::Relaxed), sent, ticket)).unwrap();
                }
                std::thread::sleep(TURN);
            }
            writer.close().unwrap();
        })
    };
    let lasting = Duration::from_secs(seconds);
    std::thread::sleep(Duration::from_secs(5));
    for _ in 0..rounds {
        for (number, name) in PHASES.into_iter().enumerate() {
            match name {
                "killed" => servers.iter_mut().for_each(Server::kill),
                "halted" => servers.iter().for_each(|server| server.signal("STOP")),
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(500));
            phase.store(number, Ordering::Relaxed);
            std::thread::sleep(lasting);
            phase.store(usize::MAX, Ordering::Relaxed);
            match name {
                "killed" => servers.iter_mut().for_each(Server::restart),
                "halted" => servers.iter().for_each(|server| server.signal("CONT")),
                _ => {}
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }
    stop.store(true, Ordering::Relaxed);
    feeding.join().unwrap();
    folding.join().unwrap();
    cancel.cancel();
    runtime.block_on(publishing).unwrap();
    let mut took = waiting.join().unwrap();
    took.iter_mut().for_each(|took| took.sort_unstable());
    println!(
        "append to durable, {rate} ticks/s, {rounds} x {seconds} s each, events {}",
        journal.head().seq.0
    );
    let there = quantile(&took[0], 0.99).max(1);
    for (name, took) in PHASES.iter().zip(&took) {
        let (p50, p99, p999) = (quantile(took, 0.5), quantile(took, 0.99), quantile(took, 0.999));
        println!(
            "Redis {name:>6}: appends {:>6}, p50 {p50} us, p99 {p99} us, p99.9 {p999} us, p99 ratio {:.3}",
            took.len(),
            p99 as f64 / there as f64
        );
    }
    println!(
        "published {}, failed {}, repaired {}",
        stats.published.get(),
        stats.failed.get(),
        stats.repaired.get()
    );
}
