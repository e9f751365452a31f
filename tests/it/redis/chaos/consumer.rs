//! A client that stores what it is told and fetches on each event, and notes
//! whatever it must never see.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::HEATMAP;
use super::super::reader::{Tiles, apply};
use crate::support::redis::try_connect;

const EVENTS: &str = "orrery:{SPX}:events";
const DIFFS: &str = "massive:heatmap:diff:I:SPX";
const GRAVITY: &str = "dealer_gravity_updated";
const ARTIFACT: &str = "dealer_gravity:artifact:spx";
/// How long somebody who cannot reach a server goes on asking.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a lane and its consumer know of each other.
#[derive(Default)]
pub struct Shared {
    /// Odd while a server may be without what it held, by our own doing.
    losing: AtomicU64,
    pub stop: AtomicBool,
    pub events: AtomicU64,
    pub fetched: AtomicU64,
    violations: Mutex<Vec<String>>,
    tiles: Mutex<Tiles>,
}

impl Shared {
    pub fn begin_losing(&self) {
        assert_eq!(self.losing.fetch_add(1, Ordering::SeqCst) % 2, 0);
    }

    pub fn end_losing(&self) {
        assert_eq!(self.losing.fetch_add(1, Ordering::SeqCst) % 2, 1);
    }

    /// A number that stands still, and is even, while nothing may be lost.
    fn steadiness(&self) -> u64 {
        self.losing.load(Ordering::SeqCst)
    }

    pub fn violation(&self, text: String) {
        self.violations.lock().expect("no panic").push(text);
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().expect("no panic").clone()
    }

    /// Version and tiles to which the differences have led.
    pub fn tiles(&self) -> Tiles {
        self.tiles.lock().expect("no panic").clone()
    }
}

pub struct Consumer {
    shared: Arc<Shared>,
    /// System, market.
    ports: [u16; 2],
    fetching: [Option<redis::Connection>; 2],
    /// The newest version that stood under each key.
    stored: BTreeMap<String, u64>,
}

impl Consumer {
    pub fn start(system: u16, market: u16) -> (Arc<Shared>, std::thread::JoinHandle<()>) {
        let shared = Arc::new(Shared::default());
        let mut consumer = Consumer {
            shared: shared.clone(),
            ports: [system, market],
            fetching: [None, None],
            stored: BTreeMap::new(),
        };
        let thread = std::thread::spawn(move || {
            while !consumer.is_over() {
                let _ = consumer.follow();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        (shared, thread)
    }

    fn is_over(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn follow(&mut self) -> Option<()> {
        let mut listening = try_connect(self.ports[1])?;
        listening.set_read_timeout(Some(Duration::from_millis(100))).ok()?;
        let mut pubsub = listening.as_pubsub();
        for channel in [EVENTS, DIFFS, GRAVITY] {
            pubsub.subscribe(channel).ok()?;
        }
        self.take_whole_heatmap()?;
        let mut heard_at = Instant::now();
        while !self.is_over() {
            match pubsub.get_message() {
                Ok(message) => {
                    heard_at = Instant::now();
                    let told: Value =
                        serde_json::from_slice(message.get_payload_bytes()).expect("JSON");
                    match message.get_channel_name() {
                        DIFFS => apply(&mut self.shared.tiles.lock().expect("no panic"), &told),
                        GRAVITY => self.check(0, ARTIFACT, version_of(&told)),
                        _ => self.check_all(&told),
                    }
                }
                // A line on which nothing comes may be dead.
                Err(error) if error.is_timeout() && heard_at.elapsed().as_millis() < 600 => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    /// State first, then differences: those that it includes are dropped.
    fn take_whole_heatmap(&mut self) -> Option<()> {
        let held = self.get(1, HEATMAP)?;
        if let Some(held) = held.and_then(|text| serde_json::from_str::<Value>(&text).ok()) {
            let mut tiles = self.shared.tiles.lock().expect("no panic");
            let version = held["version"].as_u64().expect("a version");
            if version >= tiles.0 {
                *tiles = (version, held["tiles"].as_object().expect("tiles").clone());
            }
        }
        Some(())
    }

    /// Everything that an event names must be there, in that version or newer.
    fn check_all(&mut self, told: &Value) {
        for pair in told["keys"].as_array().expect("keys") {
            let bus = usize::from(pair[0] == "market");
            let key = pair[1].as_str().expect("a key");
            self.check(bus, key, told["version"].as_u64());
        }
    }

    fn check(&mut self, bus: usize, key: &str, told: Option<u64>) {
        self.shared.events.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        loop {
            let before = self.shared.steadiness();
            let Some(found) = self.get(bus, key) else {
                if self.is_over() || begun.elapsed() > PATIENCE {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let steady = before.is_multiple_of(2) && before == self.shared.steadiness();
            let version = found.as_deref().map(|text| version_in(text).unwrap_or(u64::MAX));
            let stored = self.stored.get(key).copied().unwrap_or_default();
            let there = version.is_some_and(|found| found >= told.unwrap_or_default());
            let not_back = version.is_none_or(|found| found >= stored);
            if there && not_back {
                if let Some(found) = version.filter(|found| *found != u64::MAX) {
                    self.stored.insert(key.to_owned(), found);
                }
                return;
            }
            if steady || begun.elapsed() > PATIENCE {
                let what = match there {
                    true => "an older version in place of a newer one",
                    false => "an event without its artifact",
                };
                let text = format!("{what}: {key} told {told:?}, found {version:?}, had {stored}");
                return self.shared.violation(text);
            }
            if self.is_over() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `None` while the server cannot be asked.
    fn get(&mut self, bus: usize, key: &str) -> Option<Option<String>> {
        if self.fetching[bus].is_none() {
            self.fetching[bus] = try_connect(self.ports[bus]);
        }
        let connection = self.fetching[bus].as_mut()?;
        match redis::cmd("GET").arg(key).query(connection) {
            Ok(found) => {
                self.shared.fetched.fetch_add(1, Ordering::Relaxed);
                Some(found)
            }
            Err(_) => {
                self.fetching[bus] = None;
                None
            }
        }
    }
}

fn version_in(text: &str) -> Option<u64> {
    version_of(&serde_json::from_str(text).ok()?)
}

/// The version that a document or an event states, wherever it does.
pub fn version_of(document: &Value) -> Option<u64> {
    let numbered = |value: &Value| value.as_str()?.strip_prefix('v')?.parse().ok();
    document["version"]
        .as_u64()
        .or_else(|| document["header"]["version"].as_u64())
        .or_else(|| numbered(&document["meta"]["artifact_version"]))
        .or_else(|| numbered(&document["artifact_version"]))
}
