//! The only file that reads the wall clock.
//!
//! What is read here stamps what comes in and paces what goes out; it never
//! reaches a fold (folds take their time from the journal).
#![allow(clippy::disallowed_methods)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use orrery_journal::units::RecvTime;

/// The wall clock, ns since the Unix epoch. A clock before 1970 reads 0; the
/// journal keeps recv times from running backwards.
#[must_use]
pub fn now() -> RecvTime {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RecvTime(i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX))
}

/// Milliseconds since the Unix epoch: the `ts` of HTTP envelopes.
#[must_use]
pub fn now_ms() -> i64 {
    now().0 / 1_000_000
}

/// A stopwatch for rates and durations that are printed, never journaled.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn nanos(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}
