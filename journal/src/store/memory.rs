//! The twin in memory: the same behaviour as on disk, and it can show what a
//! crash would leave.
//!
//! It remembers what was synced. [`MemoryStore::crash_image`] gives a store
//! that holds everything synced and a prefix of the batches behind it, which
//! is what an engine with an ordered log leaves after a power cut.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Batch, Change, Durability, Pair, Store, StoreError, Table};

type Tables = BTreeMap<&'static str, BTreeMap<Bytes, Bytes>>;

#[derive(Default)]
struct State {
    now: Tables,
    synced: Tables,
    /// Batches that are in `now` and not in `synced`, in order.
    pending: Vec<Batch>,
    /// Commits until one fails, and whether its changes survive.
    fault: Option<(u64, bool)>,
    poisoned: bool,
}

/// Tables in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

fn apply(tables: &mut Tables, batch: &Batch) {
    for change in &batch.changes {
        match change {
            Change::Put(table, key, value) => {
                tables.entry(table.name).or_default().insert(key.clone(), value.clone());
            }
            Change::Delete(table, key) => {
                tables.entry(table.name).or_default().remove(key);
            }
        }
    }
}

impl State {
    fn sync(&mut self) {
        for batch in std::mem::take(&mut self.pending) {
            apply(&mut self.synced, &batch);
        }
    }
}

impl MemoryStore {
    /// An empty store; tables come into being when they are written.
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// What a power cut at this moment leaves: everything synced and the first
    /// of the unsynced batches, how many is up to `seed`.
    #[must_use]
    pub fn crash_image(&self, seed: u64) -> MemoryStore {
        let state = self.lock();
        let mut tables = state.synced.clone();
        // splitmix64: neighbouring seeds cut at unrelated places.
        let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let kept = (x ^ (x >> 31)) % (state.pending.len() as u64 + 1);
        state.pending.iter().take(kept as usize).for_each(|batch| apply(&mut tables, batch));
        drop(state);
        let state = State { now: tables.clone(), synced: tables, ..State::default() };
        MemoryStore { state: Mutex::new(state) }
    }

    /// What the next process finds when this one is killed now: everything
    /// that was committed, synced or not.
    #[must_use]
    pub fn kill_image(&self) -> MemoryStore {
        let State { now, synced, pending, .. } = &*self.lock();
        let (now, synced, pending) = (now.clone(), synced.clone(), pending.clone());
        MemoryStore { state: Mutex::new(State { now, synced, pending, ..State::default() }) }
    }

    /// Lets the commit after `commits` more ones fail. Like a real failed
    /// commit it is *unknown*: with `survives` its changes are there afterwards.
    pub fn fail_after(&self, commits: u64, survives: bool) {
        self.lock().fault = Some((commits, survives));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves whole batches or none, so the state is good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.poisoned {
            return Err(StoreError::Poisoned);
        }
        let fails = match &mut state.fault {
            Some((0, survives)) => Some(*survives),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if let Some(survives) = fails {
            state.poisoned = true;
            if survives {
                state.pending.push(batch);
                state.sync();
            }
            let source = std::io::Error::other("injected fault").into();
            return Err(StoreError::Engine { doing: "committing", source });
        }
        apply(&mut state.now, &batch);
        state.pending.push(batch);
        if durability == Durability::Disk {
            state.sync();
        }
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.lock().now.get(table.name).and_then(|t| t.get(key)).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        if !to.is_empty() && from >= to {
            return Ok(Vec::new());
        }
        let state = self.lock();
        let Some(pairs) = state.now.get(table.name) else { return Ok(Vec::new()) };
        let end = if to.is_empty() { Unbounded } else { Excluded(to) };
        let range = pairs.range::<[u8], _>((Included(from), end));
        let pair = |(k, v): (&Bytes, &Bytes)| (k.clone(), v.clone());
        Ok(if reverse {
            range.rev().take(limit).map(pair).collect()
        } else {
            range.take(limit).map(pair).collect()
        })
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.poisoned {
            return Err(StoreError::Poisoned);
        }
        state.sync();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Table = Table { name: "t", compress: false };

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let store = MemoryStore::new();
        for i in 0u8..10 {
            let mut batch = Batch::default();
            batch.put(T, vec![i], vec![i]);
            let durability = if i == 4 { Durability::Disk } else { Durability::Os };
            store.commit(batch, durability).expect("commits");
        }
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let pairs = store.crash_image(seed).scan(T, &[], &[], false, 100).expect("scans");
            assert!(pairs.len() >= 5, "a synced batch is missing");
            for (i, (key, _)) in pairs.iter().enumerate() {
                assert_eq!(key.as_ref(), [i as u8], "not a prefix");
            }
            lengths.insert(pairs.len());
        }
        assert_eq!(lengths, (5..=10).collect(), "every cut can happen");
    }

    #[test]
    fn a_failed_commit_stops_the_store() {
        for survives in [false, true] {
            let store = MemoryStore::new();
            store.fail_after(0, survives);
            let mut batch = Batch::default();
            batch.put(T, vec![1], vec![1]);
            assert!(store.commit(batch, Durability::Disk).is_err());
            let after = store.commit(Batch::default(), Durability::Disk);
            assert!(matches!(after, Err(StoreError::Poisoned)));
            let found = store.crash_image(0).get(T, &[1]).expect("reads");
            assert_eq!(found.is_some(), survives);
        }
    }
}
