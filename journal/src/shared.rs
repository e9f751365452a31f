//! What the handle, its readers and the committer share.
//!
//! The committer alone writes: first the index, then the head, both after a
//! commit is durable. Whoever reads takes what is published and never waits for
//! a sync.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use crate::day::Calendar;
use crate::files::Files;
use crate::keep::guard::Guard;
use crate::keep::observe::Observed;
use crate::open::lock::DirectoryLock;
use crate::open::watermark::{Keeper, Mark};
use crate::proof::merkle::Tree;
use crate::read::index::Index;
use crate::store::Store;
use crate::units::{RecvTime, Seq};
use crate::write::doomed::Doomed;
use crate::write::tail::{Commit, Tail};

/// When an acknowledgement may be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SyncMode {
    /// After the disk has it (natural group commit).
    #[default]
    Group,
    /// As `Group`, but each append is a commit of its own, with its own sync.
    Every,
    /// After the operating system has it: for imports that can be repeated.
    Os,
}

/// Where the durable journal ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// Last durable event; [`Seq::BEFORE_FIRST`] for an empty journal.
    pub seq: Seq,
    /// Its time.
    pub recv: RecvTime,
}

/// What all clones, readers and the committer share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sync: SyncMode,
    pub(crate) calendar: Calendar,
    /// Written by the committer only, after a commit is durable.
    pub(crate) index: RwLock<Index>,
    /// Moves after the index; waiters are woken then.
    pub(crate) head: Mutex<Head>,
    pub(crate) moved: Condvar,
    /// Subtrees of the Merkle log over the pages, as far as somebody asked.
    pub(crate) log: Mutex<Tree>,
    /// What a writer needs; empty while there is one, and for good after one
    /// has failed.
    pub(crate) seat: Mutex<Option<Seat>>,
    /// The data directory, if it lies on a disk.
    pub(crate) folder: OnceLock<PathBuf>,
    /// Held by whoever copies or deletes: one at a time.
    pub(crate) upkeep: Mutex<()>,
    /// What the writer must spare; the tail's own list.
    pub(crate) doomed: Arc<Doomed>,
    pub(crate) guard: Guard,
    pub(crate) observed: Observed,
    pub(crate) lock: Option<DirectoryLock>,
}

/// What the next writer needs.
pub(crate) struct Seat {
    pub tail: Tail,
    pub witness: Option<Witness>,
}

/// The watermark beside the database.
pub(crate) struct Witness {
    pub files: Arc<dyn Files>,
    pub path: PathBuf,
    pub mark: Mark,
}

impl Shared {
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody see a commit that is durable.
    pub(crate) fn publish(&self, commit: Commit) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let Index { pages, open, tickers, conditions, sources, .. } = &mut *index;
        pages.extend(commit.sealed);
        *open = commit.open;
        for (names, added) in
            [(tickers, commit.tickers), (conditions, commit.conditions), (sources, commit.sources)]
        {
            added.iter().for_each(|name| {
                names.define(name);
            });
        }
        index.count_sources(commit.counted.sources().map(|(id, n)| (id.0, n)));
        drop(index);
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) =
            Head { seq: commit.head, recv: commit.recv };
        self.moved.notify_all();
    }

    /// A writer has ended well: the next one may begin where it stopped.
    pub(crate) fn give_back(&self, tail: Tail, keeper: Option<Keeper>) {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        let witness = keeper.map(|k| Witness {
            files: k.files().clone(),
            path: k.path().to_owned(),
            mark: k.mark(),
        });
        *seat = Some(Seat { tail, witness });
    }
}
