//! Clients that listen, as a gateway of the original system does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::time::Instant;

use serde_json::{Map, Value};

use super::{ARTIFACT, HEATMAP};
use crate::support::redis::try_connect;

/// Messages of one channel, from now on.
pub struct Heard(mpsc::Receiver<Value>);

/// Subscribes and returns once the server has confirmed it.
pub fn hear(port: u16, channel: &str) -> Heard {
    let (sender, receiver) = mpsc::channel();
    let mut connection = try_connect(port).expect("the server answers");
    connection.set_read_timeout(None).expect("a socket");
    let channel = channel.to_owned();
    let (ready, confirmed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut pubsub = connection.as_pubsub();
        pubsub.subscribe(&channel).expect("subscribed");
        ready.send(()).expect("somebody waits");
        while let Ok(message) = pubsub.get_message() {
            let value = serde_json::from_slice(message.get_payload_bytes()).expect("JSON");
            if sender.send(value).is_err() {
                return;
            }
        }
    });
    confirmed.recv().expect("subscribed");
    Heard(receiver)
}

impl Heard {
    pub async fn next(&self) -> Value {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Ok(value) = self.0.try_recv() {
                return value;
            }
            assert!(Instant::now() < deadline, "no event came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn is_silent(&self) -> bool {
        self.0.recv_timeout(Duration::from_millis(200)).is_err()
    }
}

/// Fetches on each event and holds what it found against what it was told;
/// keeps a heatmap by applying differences. Connects again when it must.
pub struct Reader {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    events: AtomicU64,
    diffs: AtomicU64,
    violations: Mutex<Vec<String>>,
    last_fault: Mutex<Option<Instant>>,
    tiles: Mutex<(u64, Map<String, Value>)>,
}

/// How long after a fault what is stored may lag behind what was told: the
/// server may have lost it after telling.
const REPAIR: Duration = Duration::from_millis(2500);

impl Reader {
    pub fn start(system: u16, market: u16) -> Reader {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::spawn(move || {
            while !theirs.stop.load(Ordering::Relaxed) {
                let _ = theirs.follow(system, market);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Reader { shared, thread: Some(thread) }
    }

    pub fn fault(&self) {
        *self.shared.last_fault.lock().expect("no panic") = Some(Instant::now());
    }

    pub fn events(&self) -> u64 {
        self.shared.events.load(Ordering::Relaxed)
    }

    pub fn diffs(&self) -> u64 {
        self.shared.diffs.load(Ordering::Relaxed)
    }

    /// Version and tiles that the differences have led to.
    pub fn tiles(&self) -> (u64, Map<String, Value>) {
        self.shared.tiles.lock().expect("no panic").clone()
    }

    /// Ends it; panics with what it saw that it must not see.
    pub fn finish(mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("running").join().expect("the reader ends");
        let violations = self.shared.violations.lock().expect("no panic");
        assert!(violations.is_empty(), "{} violations: {violations:#?}", violations.len());
    }

    pub fn violations(mut self) -> usize {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("running").join().expect("the reader ends");
        self.shared.violations.lock().expect("no panic").len()
    }
}

impl Shared {
    fn follow(&self, system: u16, market: u16) -> Option<()> {
        let mut listening = try_connect(market)?;
        listening.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
        let mut pubsub = listening.as_pubsub();
        pubsub.subscribe("dealer_gravity_updated").ok()?;
        pubsub.subscribe("massive:heatmap:diff:I:SPX").ok()?;
        // State first, then differences: those that it includes are dropped.
        let mut asking = try_connect(market)?;
        let held: Option<String> = redis::cmd("GET").arg(HEATMAP).query(&mut asking).ok()?;
        if let Some(held) = held.and_then(|text| serde_json::from_str::<Value>(&text).ok()) {
            let mut tiles = self.tiles.lock().expect("no panic");
            let version = held["version"].as_u64().expect("a version");
            if version >= tiles.0 {
                *tiles = (version, held["tiles"].as_object().expect("tiles").clone());
            }
        }
        let mut fetching = None;
        while !self.stop.load(Ordering::Relaxed) {
            let message = match pubsub.get_message() {
                Ok(message) => message,
                Err(error) if error.is_timeout() => {
                    try_connect(market)?;
                    continue;
                }
                Err(_) => return None,
            };
            let told: Value = serde_json::from_slice(message.get_payload_bytes()).expect("JSON");
            if message.get_channel_name() == "dealer_gravity_updated" {
                self.events.fetch_add(1, Ordering::Relaxed);
                self.check(system, &told, &mut fetching);
            } else {
                self.diffs.fetch_add(1, Ordering::Relaxed);
                self.apply(&told);
            }
        }
        Some(())
    }

    /// What is stored must be what was told or newer: at once, or shortly after
    /// a fault that may have taken it away.
    fn check(&self, system: u16, told: &Value, fetching: &mut Option<redis::Connection>) {
        let told = number(&told["artifact_version"]);
        let begun = Instant::now();
        loop {
            let found = self.fetch(system, fetching);
            if found >= told && found.is_some() {
                return;
            }
            let excused = self
                .last_fault
                .lock()
                .expect("no panic")
                .is_some_and(|fault| fault.elapsed() < REPAIR + Duration::from_secs(2));
            if !excused || begun.elapsed() > REPAIR {
                let text = format!("told of {told:?}, found {found:?} after {:?}", begun.elapsed());
                self.violations.lock().expect("no panic").push(text);
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn fetch(&self, system: u16, fetching: &mut Option<redis::Connection>) -> Option<u64> {
        if fetching.is_none() {
            *fetching = try_connect(system);
        }
        let connection = fetching.as_mut()?;
        let found: redis::RedisResult<Option<String>> =
            redis::cmd("GET").arg(ARTIFACT).query(connection);
        let Ok(found) = found else {
            *fetching = None;
            return None;
        };
        let document: Value = serde_json::from_str(&found?).expect("JSON");
        number(&document["meta"]["artifact_version"])
    }

    fn apply(&self, diff: &Value) {
        apply(&mut self.tiles.lock().expect("no panic"), diff);
    }
}

/// Version and tiles that a page holds.
pub type Tiles = (u64, Map<String, Value>);

/// As the page does: what is not newer than what it holds is dropped.
pub fn apply(held: &mut Tiles, diff: &Value) {
    let version = diff["version"].as_u64().expect("a version");
    if version <= held.0 {
        return;
    }
    held.0 = version;
    for (key, tile) in diff["changed"].as_object().expect("tiles") {
        held.1.insert(key.clone(), tile.clone());
    }
    for key in diff["removed"].as_array().expect("keys") {
        held.1.remove(key.as_str().expect("a key"));
    }
}

fn number(version: &Value) -> Option<u64> {
    version.as_str()?.strip_prefix('v')?.parse().ok()
}
