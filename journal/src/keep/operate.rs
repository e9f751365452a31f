//! What whoever runs a journal asks of its handle.

use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::Journal;
use crate::keep::guard::{GuardState, Probe};
use crate::keep::observe::Observer;
use crate::store::StoreError;

impl Journal {
    /// The data directory; `None` for a journal in memory.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.shared.folder.get().map(AsRef::as_ref)
    }

    /// The right to copy or to delete; others wait.
    pub(crate) fn upkeep(&self) -> MutexGuard<'_, ()> {
        self.shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes into `LOCK` where this process listens ([`crate::listening`]).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&self, address: &str) -> std::io::Result<()> {
        self.shared.lock.as_ref().map_or(Ok(()), |lock| lock.announce(address))
    }

    /// Writes the engine's tables anew, without what was replaced or deleted.
    /// Readers and the writer go on.
    ///
    /// # Errors
    /// When the engine cannot write.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.shared.store.compact()
    }

    /// Keeps this much of the disk free by refusing input; `None` takes what
    /// suits the disk ([`crate::keep::guard`]).
    pub fn keep_free(&self, reserve: Option<u64>) {
        self.shared.guard.reserve(reserve);
    }

    /// Asks another probe for the free space: for tests, and for stores that
    /// do not lie on a disk.
    pub fn probe_room_with(&self, probe: Probe) {
        self.shared.guard.probe_with(probe);
    }

    /// Room, and whether input is taken.
    #[must_use]
    pub fn guard(&self) -> GuardState {
        self.shared.guard.state()
    }

    /// Has every commit told to `observer`; the first one stays.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.shared.observed.by(observer);
    }
}
