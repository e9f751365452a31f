//! The newest artifact of every family, and who waits for the next one.
//!
//! A shelf keeps one artifact per (symbol, family): memory is bounded whatever
//! the readers do. Waking up is a hint; what stands on the shelf is the truth.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use orrery_replay::artifact::Artifact;
use tokio::sync::watch;

/// Symbol and family.
pub type ShelfKey = orrery_replay::derived::FamilyName;

/// Newest artifacts by (symbol, family).
#[derive(Debug)]
pub struct Shelf {
    artifacts: RwLock<BTreeMap<ShelfKey, Arc<Artifact>>>,
    changes: watch::Sender<u64>,
}

impl Default for Shelf {
    fn default() -> Self {
        Shelf { artifacts: RwLock::default(), changes: watch::Sender::new(0) }
    }
}

impl Shelf {
    /// Puts an artifact in place of an older version; a version that is not
    /// newer is left alone. Returns whether it was placed.
    pub fn place(&self, artifact: Artifact) -> bool {
        self.place_all([artifact]) > 0
    }

    /// The same for all artifacts of one moment: readers see all of them or
    /// none. Returns how many were placed.
    pub fn place_all(&self, arrivals: impl IntoIterator<Item = Artifact>) -> usize {
        let mut placed = 0;
        {
            let mut artifacts = self.artifacts.write().unwrap_or_else(PoisonError::into_inner);
            // What runs beside has no effect: it ends before the shelf.
            for artifact in arrivals.into_iter().filter(|a| !a.header.is_beside()) {
                let key = (artifact.header.symbol.clone(), artifact.header.family.clone());
                let held = artifacts.get(&key).map(|a| a.header.version);
                if held < Some(artifact.header.version) {
                    artifacts.insert(key, Arc::new(artifact));
                    placed += 1;
                }
            }
        }
        if placed > 0 {
            self.changes.send_modify(|n| *n += 1);
        }
        placed
    }

    /// The newest artifact of a symbol's family.
    #[must_use]
    pub fn latest(&self, symbol: &str, family: &str) -> Option<Arc<Artifact>> {
        let artifacts = self.artifacts.read().unwrap_or_else(PoisonError::into_inner);
        artifacts.get(&(Box::from(symbol), Box::from(family))).cloned()
    }

    /// All newest artifacts, by symbol and family.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Artifact>> {
        let artifacts = self.artifacts.read().unwrap_or_else(PoisonError::into_inner);
        artifacts.values().cloned().collect()
    }

    /// Tells of changes; the value only counts them.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
