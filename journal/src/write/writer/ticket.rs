//! The promise of an answer, kept once: accepted or refused, never before the
//! commit is as durable as promised.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::AppendError;
use crate::units::Seq;

/// What a drafted append became.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// First event of the append, bookkeeping included.
    pub first: Seq,
    /// Last event of the append; before `first` when nothing was drafted.
    pub last: Seq,
}

type Answer = Result<Appended, AppendError>;

#[derive(Default)]
struct Slot {
    answer: Mutex<Option<Answer>>,
    given: Condvar,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Answer>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The promise of an answer; opens when the append is as durable as promised.
pub struct Ticket {
    slot: Arc<Slot>,
}

impl Ticket {
    /// Waits for the answer.
    ///
    /// # Errors
    /// When the commit failed: then the append is *unknown*, not absent.
    pub fn wait(self) -> Result<Appended, AppendError> {
        let mut answer = self.slot.lock();
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            answer = self.slot.given.wait(answer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the answer is there, so that [`Ticket::wait`] returns at once.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.slot.lock().is_some()
    }
}

/// The side that answers. Dropped without an answer it says that the append is
/// unknown, so that nobody waits forever.
pub(super) struct Promise {
    slot: Option<Arc<Slot>>,
}

/// A promise and its ticket.
pub(super) fn promise() -> (Promise, Ticket) {
    let slot = Arc::new(Slot::default());
    (Promise { slot: Some(slot.clone()) }, Ticket { slot })
}

impl Promise {
    pub(super) fn answer(mut self, answer: Answer) {
        self.give(answer);
    }

    fn give(&mut self, answer: Answer) {
        if let Some(slot) = self.slot.take() {
            *slot.lock() = Some(answer);
            slot.given.notify_all();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.give(Err(AppendError::Poisoned { why: "the committer ended early".into() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_promise_is_an_answer() {
        let (promise, ticket) = promise();
        assert!(!ticket.is_answered());
        drop(promise);
        assert!(ticket.is_answered());
        assert!(matches!(ticket.wait(), Err(AppendError::Poisoned { .. })));
    }
}
