//! A store in memory that takes its time and counts what it is asked.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    readers_die: AtomicBool,
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

    /// From now on the reader's own threads panic when they read a page.
    pub fn kill_readers(&self) {
        self.readers_die.store(true, Ordering::SeqCst);
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
            let helper = std::thread::current().name() == Some("journal-reader");
            assert!(!helper || !self.readers_die.load(Ordering::SeqCst), "a test wants this");
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
