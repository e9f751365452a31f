//! The store on disk: fjall, and everything that we know about it.
//!
//! fjall's crash durability is good and its handling of damage is not, so the
//! journal trusts it with durability only and hashes everything itself.
//! Deliberate settings, each for a reason found in its source or by
//! experiment:
//! - no compression of its journal: recovery compresses again to check, which
//!   fails with another encoder's blocks;
//! - no key-value separation: a flipped length comes back as a wrong value;
//! - no FIFO compaction and no `clear()`: both lose data;
//! - `SyncData` within the commit, so that nothing is visible before it is on
//!   disk;
//! - folders are synced by us after keyspaces are created: fjall leaves out
//!   `keyspaces/`, and a power cut could take every table with it.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
};
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode,
};

use super::{
    Batch, Change, Durability, Pair, Part, Store, StoreError, Table, create_folder, sync_folder,
};
use crate::OpenError;
use crate::failpoint::{hit, memtable_bytes};

/// Bytes of blocks that are kept in memory: indexes mostly, because a page is
/// read once and whole.
const CACHE_BYTES: u64 = 8 << 20;
/// Big, because flushing one stalls commits.
const MEMTABLE_BYTES: u64 = 64 << 20;
/// Many small values of a compressed table share a block.
const BLOCK_BYTES: u32 = 16 << 10;
/// One. Of several, fjall 3.1.13 has the first hand every compaction straight
/// back to the queue, so that it keeps a core busy for as long as the others
/// compact; on two cores, at real-time priority, an import took six times as long.
///
/// One alone would wait for itself for ever once the queue is full (fjall-rs
/// pull request 323), and what fills the queue is a write to a memtable over
/// its limit. So no memtable gets there: see [`rotate`].
const WORKERS: usize = 1;
/// A memtable is rotated when it has this part of its limit, in sixteenths.
const ROTATE_AT: u64 = 12;
/// Less than this in memory is read from the log quickly enough.
const SETTLED_BYTES: u64 = 4 << 20;
/// How often settling looks whether it is done, and how long it waits between:
/// two seconds in all. A worker that met a full disk never says that it is.
const SETTLING_LOOKS: u32 = 200;
const SETTLING_LOOK: Duration = Duration::from_millis(10);

/// Tables on disk.
pub struct FjallStore {
    // Declared before the database, so that handles close first.
    tables: Vec<(Table, Keyspace)>,
    database: Database,
    folder: PathBuf,
}

fn engine(doing: &'static str) -> impl Fn(fjall::Error) -> StoreError {
    move |e| match e {
        fjall::Error::Poisoned => StoreError::Poisoned,
        fjall::Error::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => {
            StoreError::NoSpace { doing }
        }
        e => StoreError::Engine { doing, source: Box::new(e) },
    }
}

/// The engine's logs in a folder.
fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "jnl")).collect()
}

impl FjallStore {
    /// Opens or creates the tables in a folder.
    ///
    /// The engine opens only some of what its creation leaves when it is broken
    /// off, so a new database comes into being under another name, whole.
    ///
    /// # Errors
    /// When the folder is in use, unreadable or damaged.
    pub fn open(folder: &Path, tables: &[Table]) -> Result<FjallStore, OpenError> {
        let io = |source| OpenError::Io { path: folder.to_owned(), source };
        if !folder.try_exists().map_err(io)? {
            let anew = folder.with_extension("new");
            if anew.try_exists().map_err(io)? {
                std::fs::remove_dir_all(&anew).map_err(io)?;
            }
            drop(FjallStore::open_in(&anew, tables)?);
            hit("store.created");
            std::fs::rename(&anew, folder).map_err(io)?;
            hit("store.renamed");
        }
        FjallStore::open_in(folder, tables)
    }

    fn open_in(folder: &Path, tables: &[Table]) -> Result<FjallStore, OpenError> {
        let parent = folder.parent().map(Path::to_owned).unwrap_or_default();
        let io = |source| OpenError::Io { path: folder.to_owned(), source };
        create_folder(&parent).map_err(io)?;
        hit("store.opening");
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .worker_threads(WORKERS)
            .open();
        let database = match database {
            Err(fjall::Error::Locked) => {
                return Err(StoreError::Locked { path: folder.to_owned() }.into());
            }
            other => other.map_err(engine("opening the database"))?,
        };
        let mut opened = Vec::with_capacity(tables.len());
        for table in tables {
            let keyspace = database
                .keyspace(table.name, || options(*table))
                .map_err(engine("opening a table"))?;
            opened.push((*table, keyspace));
            hit("store.tables");
        }
        let keyspaces: PathBuf = folder.join("keyspaces");
        for folder in [keyspaces.as_path(), folder] {
            sync_folder(folder).map_err(io)?;
        }
        sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { &parent })
            .map_err(io)?;
        hit("store.folders");
        Ok(FjallStore { tables: opened, database, folder: folder.to_owned() })
    }

    /// Moves everything in memory to table files.
    #[cfg(test)]
    pub(crate) fn flush(&self) -> fjall::Result<()> {
        self.tables.iter().try_for_each(|(_, keyspace)| keyspace.rotate_memtable_and_wait())
    }

    fn keyspace(&self, table: Table) -> Result<&Keyspace, StoreError> {
        let found = self.tables.iter().find(|(t, _)| t.name == table.name);
        found.map(|(_, keyspace)| keyspace).ok_or_else(|| StoreError::Engine {
            doing: "looking for a table",
            source: format!("table {} was not opened", table.name).into(),
        })
    }
}

fn options(table: Table) -> KeyspaceCreateOptions {
    let memtable = memtable_bytes().unwrap_or(MEMTABLE_BYTES);
    let options = KeyspaceCreateOptions::default().max_memtable_size(memtable);
    let plain = CompressionPolicy::all(CompressionType::None);
    if table.compress {
        // Text and content-addressed values: point reads of keys that are
        // mostly absent, so filters pay.
        let bloom = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(12.0));
        options
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            .filter_policy(FilterPolicy::all(bloom))
    } else {
        // Ascending keys that are there when they are asked for.
        options
            .data_block_compression_policy(plain)
            .filter_policy(FilterPolicy::all(FilterPolicyEntry::None))
    }
}

/// Seals the memtable of a table and has it written to a file, if it is nearly
/// full. The commit before it is durable whatever comes of this.
fn rotate(keyspace: &Keyspace) {
    let limit = memtable_bytes().unwrap_or(MEMTABLE_BYTES);
    if keyspace.tree.active_memtable().size() < limit / 16 * ROTATE_AT {
        return;
    }
    if let Err(error) = keyspace.rotate_memtable() {
        tracing::warn!(table = %keyspace.name(), %error, "a full memtable stays in memory");
    }
}

impl Store for FjallStore {
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let mode = match durability {
            Durability::Os => PersistMode::Buffer,
            Durability::Disk => PersistMode::SyncData,
        };
        let mut write = self.database.batch().durability(Some(mode));
        // All changes of a batch get one sequence number in fjall, so that of
        // two for one key the winner would be undefined: only the last goes in.
        let mut seen = BTreeSet::new();
        let mut written: Vec<&Keyspace> = Vec::new();
        for change in batch.changes.iter().rev() {
            let (Change::Put(table, key, _) | Change::Delete(table, key)) = change;
            if !seen.insert((table.name, key)) {
                continue;
            }
            let keyspace = self.keyspace(*table)?;
            if !written.iter().any(|known| known.id() == keyspace.id()) {
                written.push(keyspace);
            }
            match change {
                Change::Put(_, key, value) => write.insert(keyspace, key.clone(), value.clone()),
                Change::Delete(_, key) => write.remove(keyspace, key.clone()),
            }
        }
        write.commit().map_err(engine("committing"))?;
        written.into_iter().for_each(rotate);
        Ok(())
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.keyspace(table)?.get(key).map_err(engine("reading"))?;
        Ok(value.map(Bytes::from))
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
        let end = if to.is_empty() { Unbounded } else { Excluded(to) };
        let range = self.keyspace(table)?.range::<&[u8], _>((Included(from), end));
        let pair = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(engine("scanning"))?;
            Ok((Bytes::from(key), Bytes::from(value)))
        };
        if reverse {
            range.rev().take(limit).map(pair).collect()
        } else {
            range.take(limit).map(pair).collect()
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncData).map_err(engine("syncing"))
    }

    /// The engine holds its log's lock for as long as it syncs, and every commit
    /// waits for that; the file itself knows no lock.
    fn presync(&self) {
        for log in logs(&self.folder) {
            if let Err(error) = std::fs::File::open(&log).and_then(|file| file.sync_data()) {
                tracing::debug!(log = %log.display(), %error, "not synced ahead");
            }
        }
    }

    fn unflushed(&self) -> u64 {
        self.database.write_buffer_size()
    }

    fn settle(&self) {
        if self.unflushed() <= SETTLED_BYTES {
            return;
        }
        for (table, keyspace) in &self.tables {
            if let Err(error) = keyspace.rotate_memtable() {
                tracing::warn!(table = table.name, %error, "left in the log");
                return;
            }
        }
        for _ in 0..SETTLING_LOOKS {
            if self.unflushed() <= SETTLED_BYTES {
                return;
            }
            std::thread::sleep(SETTLING_LOOK);
        }
    }

    fn footprint(&self) -> Vec<Part> {
        let log = logs(&self.folder).into_iter().filter_map(|path| path.metadata().ok());
        let log =
            Part { name: "log".into(), bytes: log.map(|m| m.blocks() * 512).sum(), entries: 0 };
        let tables = self.tables.iter().map(|(table, keyspace)| Part {
            name: table.name.into(),
            bytes: keyspace.disk_space(),
            entries: keyspace.approximate_len() as u64,
        });
        std::iter::once(log).chain(tables).collect()
    }

    /// Memory first, so that the log goes, then each table into new files.
    fn compact(&self) -> Result<(), StoreError> {
        for (_, keyspace) in &self.tables {
            keyspace.rotate_memtable_and_wait().map_err(engine("writing tables"))?;
        }
        for (_, keyspace) in &self.tables {
            keyspace.major_compact().map_err(engine("compacting"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let told = engine("committing")(fjall::Error::Io(full));
        assert!(matches!(told, StoreError::NoSpace { .. }), "{told:?}");
        assert!(told.to_string().contains("make room"), "{told}");
        let other = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let told = engine("committing")(fjall::Error::Io(other));
        assert!(matches!(told, StoreError::Engine { .. }), "{told:?}");
    }

    /// Two tables are written in small commits, with keys that have every
    /// flush compacted, until the engine's one worker is far behind: it
    /// must never wait for itself.
    #[test]
    fn many_small_commits_do_not_stop_the_only_worker() {
        const TABLES: [Table; 2] =
            [Table { name: "plain", compress: false }, Table { name: "packed", compress: true }];
        let folder = tempfile::tempdir().expect("a folder");
        let store = FjallStore::open(&folder.path().join("db"), &TABLES).expect("opens");
        let (ended, end) = std::sync::mpsc::channel();
        let writes = std::thread::spawn(move || {
            let mut x = 1u64;
            for _ in 0..90_000 {
                let mut batch = Batch::default();
                for table in TABLES {
                    x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    batch.put(table, x.to_be_bytes().to_vec(), x.to_le_bytes().repeat(256));
                }
                store.commit(batch, Durability::Os).expect("commits");
            }
            ended.send(()).expect("somebody waits");
            store
        });
        let patience = Duration::from_secs(300);
        assert!(end.recv_timeout(patience).is_ok(), "the store has stopped");
        let store = writes.join().expect("no panic");
        store.settle();
        let full = MEMTABLE_BYTES * TABLES.len() as u64;
        assert!(store.unflushed() < full, "memtables are written to files");
    }
}
