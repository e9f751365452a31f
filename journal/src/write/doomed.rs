//! Blobs that are about to be deleted, and how the writer spares one.
//!
//! The committer asks the store whether it holds a blob before it writes it. A
//! blob that is deleted between the question and the commit would be lost, so
//! the committer first takes it off this list, and the list is held while blobs
//! are deleted: the question is answered before (then the blob stays) or after
//! (then the store does not have it, and it is written again).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;
use crate::units::Address;

/// The list.
#[derive(Default)]
pub(crate) struct Doomed {
    /// Whether there is any, so that the committer mostly takes no lock.
    any: AtomicBool,
    list: Mutex<BTreeSet<Address>>,
}

impl Doomed {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Address>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts blobs on the list. Whatever is staged from now on spares; what was
    /// staged before is for the caller to look through.
    pub(crate) fn begin(&self, blobs: BTreeSet<Address>) {
        let mut list = self.lock();
        *list = blobs;
        self.any.store(true, Ordering::SeqCst);
    }

    /// Takes one off.
    pub(crate) fn spare(&self, address: &Address) {
        if self.any.load(Ordering::SeqCst) {
            self.lock().remove(address);
        }
    }

    /// Hands over those of `named` that are on the list, to be deleted before
    /// it returns.
    pub(crate) fn take(
        &self,
        named: &BTreeSet<Address>,
        delete: impl FnOnce(&[Address]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut list = self.lock();
        let gone: Vec<Address> = named.intersection(&list).copied().collect();
        delete(&gone)?;
        gone.iter().for_each(|address| {
            list.remove(address);
        });
        if list.is_empty() {
            self.any.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}
