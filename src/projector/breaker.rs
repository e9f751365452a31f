//! Circuit breaker: after a failure nothing is tried for a while, then once.
//!
//! Knows no server and reads no clock; moments and jitter are handed in. The
//! longest pause stays below the two seconds within which every family has to
//! be current again once Redis is back.

use std::time::Duration;

use tokio::time::Instant;

/// Shortest pause after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause, before jitter.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What may be tried now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Everything.
    Closed,
    /// Nothing until that moment.
    Open {
        /// When a probe is allowed.
        until: Instant,
    },
    /// One probe is under way.
    HalfOpen,
}

/// Decides whether something may be tried.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    failures: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker { state: State::Closed, failures: 0 }
    }
}

impl Breaker {
    /// What may be tried.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether to try now; an open breaker whose pause is over lets one probe
    /// through.
    pub fn allows(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed | State::HalfOpen => true,
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen;
                true
            }
            State::Open { .. } => false,
        }
    }

    /// When to come back; `None` unless open.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            _ => None,
        }
    }

    /// It worked. Returns whether it had not before.
    pub fn succeeded(&mut self) -> bool {
        let recovered = self.state != State::Closed;
        *self = Breaker::default();
        recovered
    }

    /// It did not. `jitter` from 0 to 1 spreads those who fail together over
    /// the upper half of the pause. Returns whether it had worked before.
    pub fn failed(&mut self, now: Instant, jitter: f64) -> bool {
        let news = self.state == State::Closed;
        let doubled = PAUSE_MIN.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.min(PAUSE_MAX).mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        self.state = State::Open { until: now + pause };
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opens_waits_probes_and_closes() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert!(breaker.allows(start));
        assert!(breaker.failed(start, 1.0), "the first failure is news");
        assert!(!breaker.allows(start + Duration::from_millis(49)));
        assert_eq!(breaker.retry_at(), Some(start + Duration::from_millis(50)));
        assert!(breaker.allows(start + Duration::from_millis(50)));
        assert_eq!(breaker.state(), State::HalfOpen);
        assert!(!breaker.failed(start, 1.0), "the second is not");
        assert_eq!(breaker.retry_at(), Some(start + Duration::from_millis(100)));
        assert!(breaker.allows(start + Duration::from_millis(100)));
        assert!(breaker.succeeded(), "recovery is news");
        assert!(!breaker.succeeded());
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test]
    async fn pauses_grow_to_their_bound_and_jitter_halves_them_at_most() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let mut longest = Duration::ZERO;
        for round in 0..1000 {
            breaker.failed(start, f64::from(round % 2));
            let pause = breaker.retry_at().expect("open") - start;
            assert!(pause >= PAUSE_MIN / 2 && pause <= PAUSE_MAX);
            longest = longest.max(pause);
        }
        assert_eq!(longest, PAUSE_MAX);
        breaker.failed(start, 0.0);
        assert_eq!(breaker.retry_at(), Some(start + PAUSE_MAX / 2));
    }
}
