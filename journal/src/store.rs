//! The seam between the journal and whatever keeps its bytes.
//!
//! Tables of ordered keys, atomic batches over several tables, an explicit
//! durability per batch. fjall lives behind it in `store/fjall.rs` and nowhere
//! else; `store/memory.rs` is the twin that can show what a crash leaves.

pub mod faulty;
pub mod fjall;
pub mod memory;

use std::path::{Path, PathBuf};

use bytes::Bytes;

pub use crate::keep::stat::Part;

/// One table of ordered keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Table {
    /// Name on disk; never changes.
    pub name: &'static str,
    /// Whether values gain from general compression (text, rows); packed
    /// pages do not.
    pub compress: bool,
}

/// What must survive which failure before a commit returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// The process may die; the machine may not.
    Os,
    /// The machine may die.
    Disk,
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub enum Change {
    /// Sets a key.
    Put(Table, Bytes, Bytes),
    /// Removes a key.
    Delete(Table, Bytes),
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In order; a later change of the same key wins.
    pub changes: Vec<Change>,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.changes.push(Change::Put(table, key.into(), value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: impl Into<Bytes>) {
        self.changes.push(Change::Delete(table, key.into()));
    }
}

/// What can go wrong below the seam.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the directory.
    #[error("{path} is in use by another process")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// An earlier commit or sync failed; what it carried is unknown until the
    /// store is opened again.
    #[error("the store stopped after a failed write; reopen it to learn what survived")]
    Poisoned,
    /// No room is left. What was acknowledged is kept.
    #[error("the disk is full ({doing}): make room and start again, what was acknowledged is kept")]
    NoSpace {
        /// What was being done.
        doing: &'static str,
    },
    /// The engine refused.
    #[error("store: {doing}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Key and value.
pub type Pair = (Bytes, Bytes);

/// Ordered tables with atomic batches.
pub trait Store: Send + Sync {
    /// Applies a batch atomically; returns when `durability` holds.
    ///
    /// # Errors
    /// After an error the batch is *unknown*, not absent.
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError>;

    /// The value of a key.
    ///
    /// # Errors
    /// When the engine cannot read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Up to `limit` pairs with `from <= key < to` (`to` empty: no bound),
    /// ascending, or descending when `reverse`.
    ///
    /// # Errors
    /// When the engine cannot read.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError>;

    /// Makes everything committed so far survive the machine.
    ///
    /// # Errors
    /// After an error the store is poisoned.
    fn sync(&self) -> Result<(), StoreError>;

    /// Puts what waits in memory where the next opening needs not read it from
    /// the log. Costs nothing but time when it is left undone.
    fn settle(&self) {}

    /// Brings what is committed nearer to the disk, without holding up whoever
    /// commits meanwhile, so that the next sync has little left to do. Promises
    /// nothing.
    fn presync(&self) {}

    /// Bytes that are in a log and in memory and will be written once more,
    /// into tables.
    fn unflushed(&self) -> u64 {
        0
    }

    /// What takes how much on disk, `log` and tables; empty in memory.
    fn footprint(&self) -> Vec<Part> {
        Vec::new()
    }

    /// Writes tables anew, without what was replaced or deleted; blocks until
    /// that is done.
    ///
    /// # Errors
    /// When the engine cannot write.
    fn compact(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Makes the names in a folder survive the machine.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Creates a folder and whatever is missing above it, names on disk.
pub(crate) fn create_folder(folder: &Path) -> std::io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    create_folder(above)?;
    match std::fs::create_dir(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    sync_folder(if above.as_os_str().is_empty() { Path::new(".") } else { above })
}
