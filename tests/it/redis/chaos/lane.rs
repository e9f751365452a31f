//! One pair of servers, one publisher (and sometimes one that lags behind), one
//! consumer, one session, and one fault after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use orrery::projector::registry::KeySets;
use orrery::shelf::Shelf;
use serde_json::Value;

use super::super::{HEATMAP, PublisherConfig, Running};
use super::checks::{look, missing};
use super::consumer::{Consumer, Shared};
use super::faults::{Bus, Fault};
use super::pipeline::{self, Journaled};
use super::session::Session;

/// Within which every family is at its newest version again.
const RETURN: Duration = Duration::from_secs(2);
/// What came of a lane.
#[derive(Default)]
pub struct Outcome {
    /// How often each fault was tried and the longest return, ms.
    pub faults: BTreeMap<Fault, (u64, u64)>,
    pub violations: Vec<String>,
    pub events: u64,
    pub fetched: u64,
    pub stats: Vec<(String, u64)>,
    pub server_bytes_max: u64,
    pub journaled: Journaled,
}

/// The same numbers for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Who publishes in a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The publisher.
    Ours,
    /// The publisher, and another one half a second behind it.
    Contested,
    /// The publisher, of a session that is journaled and folded as it comes.
    Journaled,
    /// Somebody who stores and tells apart: the control.
    Apart,
}

/// How much the machine keeps everybody waiting, so that a busy one is not
/// taken for a slow publisher.
pub struct Stalls(AtomicU64, AtomicBool);

impl Stalls {
    pub fn watch() -> Arc<Stalls> {
        let stalls = Arc::new(Stalls(AtomicU64::new(0), AtomicBool::new(false)));
        let theirs = stalls.clone();
        std::thread::spawn(move || {
            while !theirs.1.load(Ordering::Relaxed) {
                let asleep = Instant::now();
                std::thread::sleep(Duration::from_millis(5));
                let late = asleep.elapsed().saturating_sub(Duration::from_millis(15));
                theirs.0.fetch_add(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        stalls
    }

    fn so_far(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    pub fn stop(&self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

pub struct Lane {
    pub who: Who,
    pub seed: u64,
    pub faults: Vec<Fault>,
    pub session: Arc<Session>,
    pub stalls: Arc<Stalls>,
}

impl Lane {
    /// Everything of the lane; blocks its thread. Publishers run on `runtime`.
    pub fn run(self, runtime: &tokio::runtime::Handle) -> Outcome {
        let mut buses = [Bus::start(), Bus::start()];
        let (shelf, stop) = (Arc::new(Shelf::default()), Arc::new(AtomicBool::new(false)));
        let mut players = Vec::new();
        let journal = match self.who {
            Who::Journaled => {
                let (shelf, stop, seed) = (shelf.clone(), stop.clone(), self.seed);
                Some(std::thread::spawn(move || pipeline::run(&shelf, seed, &stop)))
            }
            _ => {
                players.push(self.play(&shelf, Duration::ZERO, &stop));
                None
            }
        };
        let mut running = Vec::new();
        let publish = |shelf: &Arc<Shelf>| {
            let _entered = runtime.enter();
            let (system, market) = (buses[0].proxy.url(), buses[1].proxy.url());
            let (lineage, takeover, prefix) = ("journal-a".into(), false, None);
            let sets = KeySets::default();
            let config = PublisherConfig { system, market, lineage, takeover, prefix, sets };
            Running::with(shelf, config)
        };
        match self.who {
            Who::Apart => {
                let ports = [buses[0].proxy.port(), buses[1].proxy.port()];
                let (shelf, stop) = (shelf.clone(), stop.clone());
                players
                    .push(std::thread::spawn(move || super::apart::publish(&shelf, ports, &stop)));
            }
            Who::Ours | Who::Journaled => running.push(publish(&shelf)),
            Who::Contested => {
                running.push(publish(&shelf));
                let behind = Arc::new(Shelf::default());
                players.push(self.play(&behind, Duration::from_millis(500), &stop));
                running.push(publish(&behind));
            }
        }
        let ports = (buses[0].proxy.port(), buses[1].proxy.port());
        let (shared, consumer) = Consumer::start(ports.0, ports.1);
        let mut outcome = Outcome::default();
        let stats = running.first().map(|r| r.stats.clone());
        // The first chain has to be folded before anything is published.
        let start = Duration::from_secs(20);
        let begun = Instant::now();
        while shelf.latest("SPX", "epoch").is_none() && begun.elapsed() < start {
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.who == Who::Apart {
            std::thread::sleep(Duration::from_millis(500));
        } else if let Err(late) = self.fresh(&shelf, &buses, start) {
            outcome.violations.push(format!("at the start: {late}"));
        }
        let mut random = Random(self.seed);
        for fault in &self.faults {
            std::thread::sleep(Duration::from_millis(20 + random.below(120)));
            self.suffer(*fault, &mut random, &mut buses, &shelf, &shared, &mut outcome);
            look(&buses, &shelf, stats.as_deref(), &mut outcome);
        }
        if self.who != Who::Apart {
            std::thread::sleep(Duration::from_millis(300));
        }
        stop.store(true, Ordering::Relaxed);
        players.into_iter().for_each(|player| player.join().expect("it ends"));
        if let Some(journal) = journal {
            let journaled = journal.join().expect("the journal ends");
            if journaled.brought != journaled.kept {
                outcome.violations.push(format!("the journal misses something: {journaled:?}"));
            }
            outcome.journaled = journaled;
        }
        if self.who != Who::Apart {
            self.settle(&shelf, &buses, &shared, &mut outcome);
        }
        shared.stop.store(true, Ordering::Relaxed);
        consumer.join().expect("the consumer ends");
        outcome.violations.extend(shared.violations());
        outcome.events = shared.events.load(Ordering::Relaxed);
        outcome.fetched = shared.fetched.load(Ordering::Relaxed);
        outcome.stats = stats.map(|s| s.all()).unwrap_or_default();
        for running in running {
            runtime.block_on(running.stop());
        }
        outcome
    }

    fn play(
        &self,
        shelf: &Arc<Shelf>,
        lag: Duration,
        stop: &Arc<AtomicBool>,
    ) -> std::thread::JoinHandle<()> {
        let (session, shelf, stop) = (self.session.clone(), shelf.clone(), stop.clone());
        std::thread::spawn(move || session.play(&shelf, lag, &stop))
    }

    /// One fault, and the way back.
    fn suffer(
        &self,
        fault: Fault,
        random: &mut Random,
        buses: &mut [Bus; 2],
        shelf: &Shelf,
        shared: &Shared,
        outcome: &mut Outcome,
    ) {
        let ms = 40 + random.below(220);
        let which = random.below(3);
        if fault.loses() {
            shared.begin_losing();
        }
        match which {
            0 | 1 => buses[which as usize].suffer(fault, ms),
            _ => buses.iter_mut().for_each(|bus| bus.suffer(fault, ms)),
        }
        let count = outcome.faults.entry(fault).or_default();
        count.0 += 1;
        if self.who != Who::Apart {
            match self.fresh(shelf, buses, RETURN) {
                Ok(took) => count.1 = count.1.max(took.as_millis() as u64),
                Err(late) => outcome.violations.push(format!("after {fault:?} of {which}: {late}")),
            }
        }
        if fault.loses() {
            shared.end_losing();
        }
    }

    /// Waits until every family that speaks is in Redis as it stands on the
    /// shelf now, or newer; how long it took, or what was missing.
    fn fresh(&self, shelf: &Shelf, buses: &[Bus; 2], within: Duration) -> Result<Duration, String> {
        let (begun, stalled) = (Instant::now(), self.stalls.so_far());
        let epoch = shelf.latest("SPX", "epoch").map(|a| a.header.epoch);
        let newest: Vec<(String, u64)> = shelf
            .all()
            .iter()
            .filter(|a| epoch.is_none_or(|epoch| a.header.epoch == epoch))
            .map(|a| (a.header.family.to_string(), a.header.version))
            .collect();
        loop {
            let late = newest.iter().find_map(|(family, wanted)| missing(buses, family, *wanted));
            let took = begun.elapsed();
            let Some(late) = late else { return Ok(took) };
            // What the machine kept from everybody is nobody's lateness.
            let allowed = within + 2 * (self.stalls.so_far() - stalled);
            if took > allowed && !newest.is_empty() {
                return Err(format!("{late} after {took:?} (allowed {allowed:?})"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Nothing new comes: everything is at its newest, and the consumer holds
    /// the newest heatmap.
    fn settle(&self, shelf: &Shelf, buses: &[Bus; 2], shared: &Shared, outcome: &mut Outcome) {
        if let Err(late) = self.fresh(shelf, buses, RETURN) {
            outcome.violations.push(format!("at the end: {late}"));
            return;
        }
        let text: Option<String> = buses[1].server.run(&["GET", HEATMAP]);
        let latest: Value = serde_json::from_str(&text.unwrap_or_default()).expect("JSON");
        let begun = Instant::now();
        while shared.tiles().0 != latest["version"].as_u64().unwrap_or_default() {
            if begun.elapsed() > Duration::from_secs(5) {
                let text = format!("at {}, not {}", shared.tiles().0, latest["version"]);
                return outcome.violations.push(format!("the consumer's heatmap is {text}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if Value::Object(shared.tiles().1) != latest["tiles"] {
            outcome.violations.push("differences led to other tiles".to_owned());
        }
    }
}
