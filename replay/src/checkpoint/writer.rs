//! The thread that writes checkpoints while the fold goes on.
//!
//! The fold hands over a copy of its state; cutting, hashing, writing and
//! syncing happen here. One is written and one may wait: whoever comes with a
//! third waits, or, where it must not, comes again later.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use orrery_journal::store::StoreError;

use super::Draft;
use crate::derived::{Derived, DerivedError};

/// Checkpoints that are written or wait for it.
const AHEAD_MAX: usize = 2;

/// Writes checkpoints in order.
pub(crate) struct CheckpointWriter {
    derived: Derived,
    state: Arc<State>,
    worker: Option<(SyncSender<Draft>, JoinHandle<()>)>,
}

#[derive(Default)]
struct State {
    /// Handed over and not written yet.
    ahead: AtomicUsize,
    failed: Mutex<Option<DerivedError>>,
}

impl CheckpointWriter {
    pub(crate) fn new(derived: Derived) -> CheckpointWriter {
        CheckpointWriter { derived, state: Arc::default(), worker: None }
    }

    /// Whether one more would not have to wait.
    pub(crate) fn has_room(&self) -> bool {
        self.state.ahead.load(Ordering::Acquire) < AHEAD_MAX
    }

    /// Hands a checkpoint over. When this returns it is not written.
    ///
    /// # Errors
    /// When an earlier one could not be written, or no thread can be had.
    pub(crate) fn keep(&mut self, draft: Draft) -> Result<(), DerivedError> {
        self.look()?;
        let (jobs, _) = match &self.worker {
            Some(worker) => worker,
            None => self.worker.insert(start(&self.derived, &self.state)?),
        };
        self.state.ahead.fetch_add(1, Ordering::AcqRel);
        if jobs.send(draft).is_err() {
            return self.settle();
        }
        Ok(())
    }

    /// Waits until all that was handed over is written.
    ///
    /// # Errors
    /// When one could not be.
    pub(crate) fn settle(&mut self) -> Result<(), DerivedError> {
        if let Some((jobs, thread)) = self.worker.take() {
            drop(jobs);
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
        self.look()
    }

    fn look(&self) -> Result<(), DerivedError> {
        let failed = self.state.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        // Whoever wanted to know has settled; here only the store must be let go.
        if let Some((jobs, thread)) = self.worker.take() {
            drop(jobs);
            let _ = thread.join();
        }
    }
}

fn start(
    derived: &Derived,
    state: &Arc<State>,
) -> Result<(SyncSender<Draft>, JoinHandle<()>), DerivedError> {
    let (jobs, inbox) = sync_channel(AHEAD_MAX - 1);
    let (derived, state) = (derived.clone(), Arc::clone(state));
    let named = std::thread::Builder::new().name("checkpoints".to_owned());
    let thread = named.spawn(move || write(&derived, &state, &inbox)).map_err(|source| {
        StoreError::Engine { doing: "starting the thread of checkpoints", source: source.into() }
    })?;
    Ok((jobs, thread))
}

fn write(derived: &Derived, state: &State, inbox: &Receiver<Draft>) {
    while let Ok(draft) = inbox.recv() {
        let written = derived.keep_checkpoint(&draft);
        state.ahead.fetch_sub(1, Ordering::AcqRel);
        match written {
            Ok(written) => tracing::debug!(seq = draft.seq.0, ?written, "a checkpoint"),
            Err(error) => {
                // The store takes nothing more; the fold is told at its next step.
                *state.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return;
            }
        }
    }
}
