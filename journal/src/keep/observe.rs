//! What the committer tells whoever counts.
//!
//! The journal has no clock of its own, so an observer brings one.

use std::sync::{Arc, OnceLock};

/// One commit that is as durable as promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// Appends that it answered.
    pub appends: u64,
    /// Events that it wrote, bookkeeping included.
    pub events: u64,
    /// Bytes of rows and blobs that it wrote.
    pub bytes: u64,
    /// Pages that it sealed.
    pub pages: u64,
    /// Frames that it wrote: one, or none when all its events went into pages.
    pub frames: u64,
    /// Drafts that waited for the next one when it began.
    pub waiting: u64,
    /// How long the write took, sync included, ns by the observer's clock.
    pub nanos: u64,
}

/// Hears of commits. Called by the committer, so it must not block.
pub trait Observer: Send + Sync {
    /// A clock that only moves forward, ns from any point.
    fn nanos(&self) -> u64;

    /// A commit is durable.
    fn committed(&self, commit: &Committed);
}

/// The one observer, if there is one.
#[derive(Default)]
pub(crate) struct Observed(OnceLock<Arc<dyn Observer>>);

impl Observed {
    /// The first one stays.
    pub(crate) fn by(&self, observer: Arc<dyn Observer>) {
        let _ = self.0.set(observer);
    }

    pub(crate) fn nanos(&self) -> u64 {
        self.0.get().map_or(0, |o| o.nanos())
    }

    /// Tells of a commit that began at `began`.
    pub(crate) fn tell(&self, commit: Committed, began: u64) {
        if let Some(observer) = self.0.get() {
            let nanos = observer.nanos().saturating_sub(began);
            observer.committed(&Committed { nanos, ..commit });
        }
    }
}
