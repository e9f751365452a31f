//! What an archive knows of the process that it serves: how far the folds are,
//! what they are asked for between two stretches, and who writes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use orrery_journal::Head;
use orrery_journal::event::Draft;
use orrery_journal::units::Seq;

/// Names of clients that one process journals for; each is a source.
const CLIENTS_MAX: usize = 1_000;

/// What a frame of a vendor says.
#[derive(Debug, Default)]
pub struct Framed {
    /// Facts and quarantined input, in the frame's order.
    pub drafts: Vec<Draft>,
    /// What is wrong with the first of what was refused.
    pub told: Vec<String>,
}

/// Reads a frame of a vendor.
pub type ReadFrame = fn(&[u8]) -> Framed;

/// Where the answer about a checkpoint goes.
type Answer = Sender<Result<Head, String>>;

/// The running process.
#[derive(Default)]
pub struct Pulse {
    folded: AtomicU64,
    news: AtomicBool,
    frames: OnceLock<ReadFrame>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether a fold answers.
    folds: bool,
    /// Whether nothing more is taken.
    closed: bool,
    asked: Vec<Answer>,
    clients: BTreeSet<Box<str>>,
}

impl Pulse {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how frames of a vendor are read; the first who says it counts.
    pub fn set_frames(&self, read: ReadFrame) {
        let _ = self.frames.set(read);
    }

    /// What a frame of a vendor says; `None` where nobody reads them.
    #[must_use]
    pub fn read_frame(&self, text: &[u8]) -> Option<Framed> {
        self.frames.get().map(|read| read(text))
    }

    /// The last event that has been folded.
    #[must_use]
    pub fn folded(&self) -> Seq {
        Seq(self.folded.load(Ordering::Acquire))
    }

    /// Clients have journaled something.
    pub fn tell_news(&self) {
        self.news.store(true, Ordering::Release);
    }

    /// Whether they have since the last time that this was asked.
    #[must_use]
    pub fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    /// Takes a client's name; `false` when there are too many.
    #[must_use]
    pub fn knows(&self, client: &str) -> bool {
        let mut state = self.state();
        if state.clients.contains(client) {
            return true;
        }
        let room = state.clients.len() < CLIENTS_MAX;
        room && state.clients.insert(client.into())
    }

    /// Nothing more is taken from clients: the process ends.
    pub fn close(&self) {
        self.state().closed = true;
    }

    /// Whether nothing more is taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Asks the folds for a checkpoint; `None` when none run.
    #[must_use]
    pub fn ask_checkpoint(&self) -> Option<Receiver<Result<Head, String>>> {
        let mut state = self.state();
        let (answer, answered) = channel();
        state.folds.then(|| {
            state.asked.push(answer);
            answered
        })
    }

    /// Says how far the folds are, and writes a checkpoint if somebody asked
    /// for one since.
    pub fn beat(&self, at: Head, checkpoint: impl FnOnce() -> Result<(), String>) {
        self.folded.store(at.seq.0, Ordering::Release);
        let asked = {
            let mut state = self.state();
            state.folds = true;
            std::mem::take(&mut state.asked)
        };
        if asked.is_empty() {
            return;
        }
        let done = checkpoint().map(|()| at);
        for answer in asked {
            // Whoever asked may have gone.
            let _ = answer.send(done.clone());
        }
    }

    /// The folds have ended; whoever waits learns of it.
    pub fn stop(&self) {
        let mut state = self.state();
        state.folds = false;
        state.asked.clear();
    }
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::RecvTime;

    use super::*;

    #[test]
    fn a_checkpoint_is_written_once_for_all_who_asked() {
        let pulse = Pulse::default();
        assert!(pulse.ask_checkpoint().is_none(), "nobody folds");
        let at = Head { seq: Seq(7), recv: RecvTime(3) };
        pulse.beat(at, || panic!("nobody asked"));
        let waiting: Vec<_> = (0..3).filter_map(|_| pulse.ask_checkpoint()).collect();
        let mut written = 0;
        pulse.beat(at, || {
            written += 1;
            Ok(())
        });
        assert_eq!((written, waiting.len(), pulse.folded()), (1, 3, Seq(7)));
        assert!(waiting.into_iter().all(|w| w.recv() == Ok(Ok(at))));
        let lonely = pulse.ask_checkpoint().expect("a fold runs");
        pulse.stop();
        assert!(lonely.recv().is_err(), "the fold ended");
        assert!(pulse.ask_checkpoint().is_none());
    }

    #[test]
    fn clients_are_bounded() {
        let pulse = Pulse::default();
        assert!((0..CLIENTS_MAX).all(|n| pulse.knows(&n.to_string())));
        assert!(!pulse.knows("one more") && pulse.knows("0"));
    }
}
