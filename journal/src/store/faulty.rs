//! Any store, with faults by seed: commits and syncs that fail, of which
//! nothing, something unsynced or everything has happened; delays; and, as a
//! control, syncs that lie.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Batch, Durability, Pair, Store, StoreError, Table};
use crate::fault::{Dice, Faults};

/// A store that fails on the way to another one. Like a real one it is
/// poisoned by a failed write; a new one over the same store is what a
/// process finds that starts again.
pub struct FaultyStore<S> {
    inner: Arc<S>,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    poisoned: bool,
}

impl<S: Store> FaultyStore<S> {
    /// Over a store, with faults by seed.
    pub fn new(inner: Arc<S>, seed: u64, faults: Faults) -> FaultyStore<S> {
        let state = State { dice: Dice::new(seed, faults), poisoned: false };
        FaultyStore { inner, state: Mutex::new(state) }
    }

    /// Faults that were given so far.
    pub fn given(&self) -> u64 {
        self.lock().dice.given
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected(doing: &'static str) -> StoreError {
    StoreError::Engine { doing, source: std::io::Error::other("injected fault").into() }
}

impl<S: Store> Store for FaultyStore<S> {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.poisoned {
            return Err(StoreError::Poisoned);
        }
        std::thread::sleep(state.dice.delay());
        let faults = state.dice.faults;
        let full = state.dice.happens(faults.full);
        let syncs = durability == Durability::Disk && state.dice.happens(faults.sync);
        if full || syncs || state.dice.happens(faults.write) {
            state.poisoned = true;
            match state.dice.below(3) {
                0 => {}
                1 => self.inner.commit(batch, Durability::Os)?,
                _ => self.inner.commit(batch, Durability::Disk)?,
            }
            let doing = "committing";
            return Err(if full { StoreError::NoSpace { doing } } else { injected(doing) });
        }
        // As on disk: written, visible to whoever starts next, not yet synced.
        self.inner.commit(batch, Durability::Os)?;
        if durability == Durability::Disk && !state.dice.happens(faults.lie) {
            std::thread::sleep(state.dice.delay());
            self.inner.sync()?;
        }
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        self.inner.scan(table, from, to, reverse, limit)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.poisoned {
            return Err(StoreError::Poisoned);
        }
        std::thread::sleep(state.dice.delay());
        let faults = state.dice.faults;
        if state.dice.happens(faults.sync) {
            state.poisoned = true;
            if state.dice.coin() {
                self.inner.sync()?;
            }
            return Err(injected("syncing"));
        }
        if state.dice.happens(faults.lie) { Ok(()) } else { self.inner.sync() }
    }
}
