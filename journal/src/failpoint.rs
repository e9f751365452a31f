//! Named places where a test can stop the process.
//!
//! Built without the feature `failpoints` (as the product always is) a call is
//! an empty function. With it, one place of the process can be armed: the
//! given visit of it runs an action, which pauses or ends the process. A visit
//! in another thread is not held up, as in a real crash.

/// Every place, by the file that visits it; the harness kills at each.
pub const PLACES: &[&str] = &[
    // journal.rs: opening
    "open.locked",
    "open.inspected",
    "open.store",
    "open.recovered",
    "open.witnessed",
    // recover.rs: a new journal
    "meta.before",
    "meta.after",
    // watermark.rs
    "head.creating",
    "head.created",
    "head.begin",
    "head.torn",
    "head.written",
    "head.synced",
    // mend.rs
    "mend.keeping",
    "mend.kept",
    "mend.cut",
    "mend.copied",
    "mend.renamed",
    "mend.rewritten",
    "mend.clearing",
    // writer.rs
    "commit.before",
    "commit.after",
    "commit.witnessed",
    "ack.before",
    "ack.between",
    "ack.after",
    "finish.before",
    "finish.after",
    // tail.rs
    "seal.before",
    "seal.after",
    // store/fjall.rs
    "store.opening",
    "store.tables",
    "store.folders",
    "store.created",
    "store.renamed",
    // the checkpoints of derived data
    "checkpoint.before",
    "checkpoint.pieces",
    "checkpoint.after",
];

/// Visits a place.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_place: &'static str) {}

/// Nothing is tuned in the product.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn memtable_bytes() -> Option<u64> {
    None
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Armed {
        place: String,
        /// Visits until the action runs; 1: the next one.
        left: AtomicU64,
        action: fn(&'static str),
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();
    static MEMTABLE_BYTES: AtomicU64 = AtomicU64::new(0);

    /// Has the `visit`-th visit (from 1) of a place run `action`. Once a process.
    pub fn arm(place: &str, visit: u64, action: fn(&'static str)) {
        let armed = Armed { place: place.to_owned(), left: AtomicU64::new(visit), action };
        assert!(ARMED.set(armed).is_ok(), "armed twice");
    }

    /// Visits a place.
    pub fn hit(place: &'static str) {
        debug_assert!(super::PLACES.contains(&place), "{place} is not in the list");
        if let Some(armed) = ARMED.get()
            && armed.place == place
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            (armed.action)(place);
        }
    }

    /// Lets stores that are opened later flush and compact after this much.
    pub fn set_memtable_bytes(bytes: u64) {
        MEMTABLE_BYTES.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn memtable_bytes() -> Option<u64> {
        Some(MEMTABLE_BYTES.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::memtable_bytes;
#[cfg(feature = "failpoints")]
pub use armed::{arm, hit, set_memtable_bytes};
