//! How long until a tick is durable, beside the disk's own fdatasync.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::ours;
use crate::tick::Tick;

/// Ticks a second of the paced feed.
pub const RATE: u64 = 20_000;
/// Where the kernel may be asked to end the sleeps of this program's first
/// thread in time instead of some 50 us late. Spinning would take a core from
/// those who are measured.
const SLACK: &str = "/proc/self/timerslack_ns";
/// Filesystems that discard stall the first syncs after much was deleted.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Half and 99 of 100 took at most this, us.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The middle.
    pub p50: f64,
    /// All but one in a hundred.
    pub p99: f64,
}

impl Latency {
    fn of(mut nanos: Vec<u64>) -> Latency {
        nanos.sort_unstable();
        let at = |share: f64| {
            let place = (nanos.len() as f64 * share) as usize;
            nanos[place.min(nanos.len() - 1)] as f64 / 1e3
        };
        Latency { p50: at(0.5), p99: at(0.99) }
    }
}

/// Appends 4 KiB to a growing file and syncs it, one after the other.
pub fn disk(dir: &Path, time: Duration) -> Latency {
    let mut file = File::create(dir.join("growing")).unwrap();
    let block = [7; 4_096];
    let (began, mut nanos) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let start = Instant::now();
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        nanos.push(start.elapsed().as_nanos() as u64);
    }
    Latency::of(nanos)
}

/// Ticks come one by one at [`RATE`]; each counts from the moment it is due
/// until the ticket of its append has opened in another thread.
pub fn ours(dir: &Path, ticks: &[Tick]) -> Latency {
    let (ours, writer) = ours::prepare(dir);
    // Refused by some kernels; then the ticks come a little late.
    let _ = std::fs::write(SLACK, "1");
    std::thread::sleep(SETTLE);
    let start = Instant::now() + Duration::from_millis(20);
    let due = |n: usize| start + Duration::from_nanos(n as u64 * 1_000_000_000 / RATE);
    let (sent, tickets) = mpsc::channel();
    let nanos = std::thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            let mut nanos = Vec::with_capacity(ticks.len());
            for (ticket, from, to) in tickets {
                let ticket: orrery_journal::Ticket = ticket;
                ticket.wait().unwrap();
                let now = Instant::now();
                nanos.extend((from..to).map(|n| (now - due(n)).as_nanos() as u64));
            }
            nanos
        });
        let mut next = 0;
        while next < ticks.len() {
            std::thread::sleep(due(next).saturating_duration_since(Instant::now()));
            let now = Instant::now();
            let to = (next + 1..ticks.len()).find(|n| due(*n) > now).unwrap_or(ticks.len());
            let batch = ours.batch(ticks[next..to].iter().copied());
            sent.send((writer.append_ticks(batch).unwrap(), next, to)).unwrap();
            next = to;
        }
        drop(sent);
        waiter.join().unwrap()
    });
    writer.close().unwrap();
    Latency::of(nanos)
}
