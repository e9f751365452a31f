//! How much of the machine sessions take.
//!
//! Whoever folds for a session does so in turns: one at a time, in the order of
//! asking, for a slice of some milliseconds. After a slice that took `d` nobody
//! folds for `d * (100 - percent) / percent`, so all sessions together take at
//! most `percent` of one core, however many there are and however fast they
//! are to go.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;

/// The longest turn, ns.
pub const SLICE_NS: i64 = 5_000_000;

/// The turns of all sessions.
pub struct Share {
    percent: i64,
    watch: Stopwatch,
    queue: Mutex<Queue>,
    moved: Condvar,
}

#[derive(Default)]
struct Queue {
    /// The next number to give out.
    next: u64,
    /// Whose turn it is.
    serving: u64,
    /// Nobody folds before.
    rest_until: i64,
}

/// Somebody's turn; over when dropped.
pub struct Turn<'a> {
    share: &'a Share,
    since: i64,
}

impl Share {
    /// So many percent of one core, at least one.
    #[must_use]
    pub fn new(percent: u8) -> Share {
        let percent = i64::from(percent.clamp(1, 100));
        Share { percent, watch: Stopwatch::start(), queue: Mutex::default(), moved: Condvar::new() }
    }

    /// Nanoseconds of a clock that never runs backwards.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.watch.nanos()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn.
    #[must_use]
    pub fn turn(&self) -> Turn<'_> {
        let mut queue = self.queue();
        let number = queue.next;
        queue.next += 1;
        while queue.serving != number {
            queue = self.moved.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        loop {
            let now = self.now();
            let Some(rest) = rest(queue.rest_until, now) else {
                return Turn { share: self, since: now };
            };
            // Nobody else can take the turn meanwhile.
            queue = self.moved.wait_timeout(queue, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn rest(until: i64, now: i64) -> Option<Duration> {
    u64::try_from(until - now).ok().filter(|ns| *ns > 0).map(Duration::from_nanos)
}

impl Turn<'_> {
    /// Whether somebody else should have the next turn.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.share.now() - self.since >= SLICE_NS
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = self.share.now();
        let percent = self.share.percent;
        let rest = (now - self.since).max(0).saturating_mul(100 - percent) / percent;
        let mut queue = self.share.queue();
        queue.rest_until = now.saturating_add(rest);
        queue.serving += 1;
        drop(queue);
        self.share.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn one_at_a_time_and_everybody_in_turn() {
        let share = Arc::new(Share::new(100));
        let (inside, turns) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (share, inside, turns) = (share.clone(), inside.clone(), turns.clone());
                std::thread::spawn(move || {
                    for _ in 0..50 {
                        let turn = share.turn();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        turns.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("nobody panicked");
        }
        assert_eq!(turns.load(Ordering::SeqCst), 200);
    }

    #[test]
    fn after_a_turn_everybody_rests_for_what_the_share_leaves() {
        for percent in [10, 50, 100] {
            let share = Share::new(percent);
            let mut worked = 0;
            for _ in 0..20 {
                let turn = share.turn();
                while share.now() - turn.since < 200_000 {
                    std::hint::spin_loop();
                }
                worked += share.now() - turn.since;
                drop(turn);
            }
            let next = share.turn();
            // All of it lies between the first turn and the next one.
            let passed = next.since;
            assert!(worked * 100 <= passed * i64::from(percent), "{worked} of {passed}");
        }
    }
}
