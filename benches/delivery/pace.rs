//! Ticks at a steady rate: each has a moment at which it is due, whether or not
//! the side that takes it keeps up.

use std::ops::Range;
use std::time::{Duration, Instant};

/// The shortest pause: what comes due meanwhile is taken together.
const PAUSE: Duration = Duration::from_micros(200);

/// When each tick is due.
#[derive(Clone, Copy)]
pub struct Pace {
    start: Instant,
    rate: u64,
    pub ticks: u64,
}

impl Pace {
    pub fn new(rate: u64, time: Duration) -> Pace {
        let ticks = rate * time.as_secs();
        Pace { start: Instant::now() + Duration::from_millis(20), rate, ticks }
    }

    pub fn due(&self, tick: u64) -> Instant {
        self.start + Duration::from_nanos(tick * 1_000_000_000 / self.rate)
    }

    /// Calls with whatever is due, until all ticks were.
    pub fn run(&self, mut take: impl FnMut(Range<u64>)) {
        let mut next = 0;
        while next < self.ticks {
            let pause = self.due(next).saturating_duration_since(Instant::now());
            std::thread::sleep(pause.max(PAUSE));
            let passed = self.start.elapsed().as_nanos() as u64;
            let to =
                ((passed as u128 * self.rate as u128 / 1_000_000_000) as u64 + 1).min(self.ticks);
            if to > next {
                take(next..to);
                next = to;
            }
        }
    }
}

/// Contract and price of a tick: the same on both sides.
pub fn tick(n: u64) -> (usize, i64) {
    let mixed = n.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17);
    ((mixed >> 33) as usize % super::CONTRACTS, 100 + (mixed % 997) as i64)
}

pub fn ticker(contract: usize) -> String {
    format!("O:SPXW260316C{:08}", 4_000_000 + contract * 5_000)
}
