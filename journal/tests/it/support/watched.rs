//! A store in memory that takes its time and counts what it is asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use orrery_journal::keys;
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::store::{Batch, Durability, Pair, Store, StoreError, Table};

/// Counts commits and the pages that are read.
#[derive(Default)]
pub struct Watched {
    inner: MemoryStore,
    commits: AtomicU64,
    pages: AtomicU64,
    before: Duration,
    after: Duration,
}

impl Watched {
    /// A commit waits before it happens, and when it has happened.
    pub fn slow(before: Duration, after: Duration) -> Watched {
        Watched { before, after, ..Watched::default() }
    }

    /// Commits so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Pages read so far.
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::SeqCst)
    }
}

impl Store for Watched {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        assert_eq!(durability, Durability::Disk, "no journal here is opened otherwise");
        self.commits.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.before);
        let done = self.inner.commit(batch, durability);
        std::thread::sleep(self.after);
        done
    }
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if table == keys::PAGES {
            self.pages.fetch_add(1, Ordering::SeqCst);
        }
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
        self.inner.sync()
    }
}
