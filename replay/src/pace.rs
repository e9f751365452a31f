//! When the next checkpoint is due: by what folding has cost since the last one,
//! never by time.
//!
//! A quiet hour makes as many bodies as a busy one, of few events; a busy minute
//! has as many events. Neither time nor a number of events would bound what it
//! takes to fold from a checkpoint to the next one.

use orrery_journal::Head;
use orrery_journal::units::Seq;

use crate::checkpoint::Draft;
use crate::checkpoint::Purpose;
use crate::derived::Derived;
use crate::engine::Engine;

/// Events that are folded in one go at most, and at least where more are there:
/// what the next ones cost is known only afterwards. A go that turns out dearer
/// ends with the stretch in which it does.
const STRIDE_MAX: u64 = 65_536;
const STRIDE_MIN: u64 = 256;

/// What folding has cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Work that lies between two checkpoints.
    spacing: u64,
    /// Work from the first event to here.
    done: u64,
    /// Of it, since the last checkpoint.
    since: u64,
    /// Events of the last stride, and what they cost.
    last: (u64, u64),
}

impl Pace {
    /// From a position of which the record of a checkpoint may know the work.
    pub(crate) fn begin(derived: &Derived, at: Head, spacing: u64) -> Pace {
        // Whoever keeps what is folded next is told if nothing can be read.
        let record = derived.record_at_or_before(at.seq).ok().flatten();
        let (seq, work) = record.map_or((Seq::BEFORE_FIRST, 0), |r| (r.seq, r.work));
        let since = at.seq.0 - seq.0;
        // Nothing is known yet, so little is dared.
        let (spacing, last) = (spacing.max(1), (STRIDE_MIN.min(spacing).max(1), spacing));
        Pace { spacing, done: work.saturating_add(since), since, last }
    }

    /// How many events may be folded before the next look.
    pub(crate) fn stride(&self) -> u64 {
        let left = self.left();
        let (events, work) = self.last;
        let fit = u128::from(left) * u128::from(events) / u128::from(work.max(1));
        let fit = u64::try_from(fit).unwrap_or(u64::MAX);
        fit.clamp(left.min(STRIDE_MIN), STRIDE_MAX)
    }

    /// Work until the next checkpoint is due.
    pub(crate) fn left(&self) -> u64 {
        self.spacing.saturating_sub(self.since).max(1)
    }

    /// Events were folded.
    pub(crate) fn took(&mut self, events: u64, work: u64) {
        self.done = self.done.saturating_add(work);
        self.since = self.since.saturating_add(work);
        if events > 0 {
            self.last = (events, work);
        }
    }

    pub(crate) const fn is_due(&self) -> bool {
        self.since >= self.spacing
    }

    /// Whether anything was folded since the last checkpoint.
    pub(crate) const fn has_moved(&self) -> bool {
        self.since > 0
    }

    /// A checkpoint of an engine that stands here.
    pub(crate) fn draft(&mut self, engine: &Engine, purpose: Purpose) -> Draft {
        self.since = 0;
        let (seq, state) = (engine.position().seq, engine.state());
        Draft { seq, state, purpose, work: self.done, spacing: self.spacing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_end_where_the_next_checkpoint_is_due() {
        let derived = Derived::in_memory();
        let mut pace = Pace::begin(&derived, Head::default(), 100_000);
        assert_eq!(pace.stride(), STRIDE_MIN);
        pace.took(256, 0);
        assert_eq!(pace.stride(), STRIDE_MAX);
        // Ten units an event from here on.
        pace.took(2_000, 20_000);
        assert_eq!(pace.stride(), 8_000);
        pace.took(8_000, 80_000);
        assert!(pace.is_due() && pace.has_moved());
        // Work that is overdue is looked at soon, and never not at all.
        assert_eq!(pace.stride(), 1);
        let mut close = Pace::begin(&derived, Head::default(), 50);
        assert_eq!(close.stride(), 50);
        close.took(1, 1_000_000);
        assert_eq!(close.stride(), 1);
    }

    #[test]
    fn work_goes_on_from_the_last_record() {
        let derived = Derived::in_memory();
        derived.put_checkpoint(Seq(40), b"state".to_vec(), Purpose::Passing).expect("memory");
        let at = Head { seq: Seq(50), ..Head::default() };
        let pace = Pace::begin(&derived, at, 100);
        assert_eq!((pace.done, pace.since), (50, 10));
    }
}
