//! States that a session remembers, so that going back is cheap.
//!
//! Bounded in number and bytes: when there are too many, every second one goes
//! and the next ones lie twice as far apart. The opening state always stays.

use bytes::Bytes;

use super::{Moment, before};

/// States at most, the opening one included.
const MARKS_MAX: usize = 9;
/// Bytes of states at most, the opening one not counted.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Events between two states, at first.
const EVERY_EVENTS: u64 = 65_536;

pub(super) struct Marks {
    /// Ascending; the first is the opening state.
    kept: Vec<(Moment, Bytes)>,
    every: u64,
}

impl Marks {
    pub(super) fn new(opening: Moment, state: Bytes) -> Marks {
        Marks { kept: vec![(opening, state)], every: EVERY_EVENTS }
    }

    /// Whether a state at this moment is worth keeping.
    pub(super) fn wants(&self, at: Moment) -> bool {
        self.kept.last().is_none_or(|(last, _)| at.seq.0 >= last.seq.0.saturating_add(self.every))
    }

    /// Keeps a state beyond all others.
    pub(super) fn keep(&mut self, at: Moment, state: Bytes) {
        self.kept.push((at, state));
        while self.kept.len() > 1 && (self.kept.len() > MARKS_MAX || bytes(&self.kept) > BYTES_MAX)
        {
            let mut place = 0;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every = self.every.saturating_mul(2);
        }
    }

    /// The newest state at or before a moment.
    pub(super) fn nearest(&self, to: Moment) -> Option<(Moment, Bytes)> {
        self.kept.iter().rev().find(|(at, _)| !before(to, *at)).cloned()
    }
}

/// All but the opening state.
fn bytes(kept: &[(Moment, Bytes)]) -> usize {
    kept.iter().skip(1).map(|(_, state)| state.len()).sum()
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::{RecvTime, Seq};

    use super::*;

    fn at(seq: u64) -> Moment {
        Moment { seq: Seq(seq), time: RecvTime(seq as i64) }
    }

    #[test]
    fn a_long_day_keeps_few_states_and_always_the_first() {
        let mut marks = Marks::new(at(7), Bytes::from_static(b"opening"));
        for seq in (7..50_000_000).step_by(4_096) {
            if marks.wants(at(seq)) {
                marks.keep(at(seq), Bytes::from_static(b"state"));
            }
            assert!(marks.kept.len() <= MARKS_MAX);
        }
        assert_eq!(marks.nearest(at(7)).map(|m| m.0), Some(at(7)));
        assert_eq!(marks.nearest(at(6)), None);
        let far = marks.nearest(at(40_000_000)).map_or(0, |m| m.0.seq.0);
        assert!((30_000_000..=40_000_000).contains(&far), "{far}");
    }

    #[test]
    fn large_states_are_fewer() {
        let mut marks = Marks::new(at(0), Bytes::new());
        let large = Bytes::from(vec![0; BYTES_MAX / 3]);
        for n in 1..=8 {
            marks.keep(at(n * 1_000_000), large.clone());
        }
        assert!(marks.kept.len() <= 4, "{} states", marks.kept.len());
        let huge = Bytes::from(vec![0; BYTES_MAX + 1]);
        marks.keep(at(9_000_000), huge);
        assert!(bytes(&marks.kept) <= BYTES_MAX, "one that is too large is not kept");
    }
}
