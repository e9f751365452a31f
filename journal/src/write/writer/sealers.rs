//! Threads that seal pages beside the committer.
//!
//! Pages are dealt out in turn and each thread answers in the order in which it
//! was asked. Whoever takes the answers in the order of giving therefore has
//! them in the order of pages: the k-th page given to a thread is the k-th that
//! comes back from it. A page belongs to one thread at a time, because it is
//! moved through channels. Channels have no bound of their own and need none:
//! the committer gives the pages of two commits at most before it takes. No
//! thread waits for another one here but the committer for an answer that is
//! owed to it; if the thread that owes it is gone, the channel says so.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::format::page::Encoder;
use crate::write::seal::{Sealed, Unsealed};

const SEALERS: usize = 2;

struct Sealer {
    pages: Option<Sender<Unsealed>>,
    sealed: Receiver<Sealed>,
    thread: Option<JoinHandle<()>>,
}

/// Which thread has a page.
pub(super) struct Given(usize);

/// The threads.
pub(super) struct Sealers {
    sealers: Vec<Sealer>,
    turn: usize,
}

impl Sealers {
    pub(super) fn start() -> Result<Sealers, std::io::Error> {
        let sealers = (0..SEALERS).map(|_| Sealer::start()).collect::<Result<_, _>>()?;
        Ok(Sealers { sealers, turn: 0 })
    }

    /// Has a page sealed.
    pub(super) fn give(&mut self, page: Unsealed) -> Given {
        let given = self.turn;
        self.turn = (self.turn + 1) % SEALERS;
        if let Some(pages) = self.sealers.get(given).and_then(|s| s.pages.as_ref()) {
            // A thread that is gone is noticed when its answer is missing.
            let _ = pages.send(page);
        }
        Given(given)
    }

    /// The next page of that thread, as soon as it is sealed.
    pub(super) fn take(&mut self, given: Given) -> Result<Sealed, String> {
        let sealer = self.sealers.get(given.0);
        let sealed = sealer.and_then(|sealer| sealer.sealed.recv().ok());
        sealed.ok_or_else(|| "sealing a page: its thread ended".into())
    }
}

impl Sealer {
    fn start() -> Result<Sealer, std::io::Error> {
        let (pages, given) = channel::<Unsealed>();
        let (answers, sealed) = channel();
        let thread =
            std::thread::Builder::new().name("journal-sealer".into()).spawn(move || {
                let mut encoder = Encoder::default();
                for page in given {
                    if answers.send(page.seal(&mut encoder)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Sealer { pages: Some(pages), sealed, thread: Some(thread) })
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        drop(self.pages.take());
        if let Some(thread) = self.thread.take() {
            // If it has panicked, the committer has heard of it.
            let _ = thread.join();
        }
    }
}
