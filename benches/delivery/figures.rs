//! Figures of a run, and the disk's own.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// Latencies, ascending, ns.
pub struct Figures(Vec<u64>);

impl Figures {
    pub fn of(mut nanos: Vec<u64>) -> Figures {
        assert!(!nanos.is_empty(), "nothing was measured");
        nanos.sort_unstable();
        Figures(nanos)
    }

    /// p50, p99, p999 and the longest, ms.
    pub fn row(&self) -> [f64; 4] {
        [0.5, 0.99, 0.999, 1.0].map(|share| {
            let place = (self.0.len() as f64 * share) as usize;
            self.0[place.min(self.0.len() - 1)] as f64 / 1e6
        })
    }
}

/// For each tick the first of `seen` (how far, when) that covers it, from
/// `since`; both ascend.
pub fn covered(since: &[(u64, Instant)], seen: &[(u64, Instant)]) -> Figures {
    let mut next = 0;
    let mut nanos = Vec::with_capacity(since.len());
    for (tick, at) in since {
        while next < seen.len() && seen[next].0 < *tick {
            next += 1;
        }
        // The last ticks may never be told of: nothing followed them.
        let Some((_, when)) = seen.get(next) else { break };
        nanos.push(when.saturating_duration_since(*at).as_nanos() as u64);
    }
    let missed = since.len() - nanos.len();
    assert!(missed * 50 < since.len(), "{missed} of {} ticks were never seen", since.len());
    Figures::of(nanos)
}

/// Appends 4 KiB to a growing file and syncs it, one after the other.
pub fn disk(time: Duration) -> Figures {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut file = std::fs::File::create(dir.path().join("growing")).unwrap();
    let (block, began, mut nanos) = ([7; 4_096], Instant::now(), Vec::new());
    while began.elapsed() < time {
        let start = Instant::now();
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        nanos.push(start.elapsed().as_nanos() as u64);
    }
    Figures::of(nanos)
}
