//! Every bound of the journal and why it is what it is.
//!
//! A bound that others depend on is checked against them at compile time.

use crate::event::EVENT_BYTES_LONG;

/// Events of a full page. Large enough that columns pack and blake3 runs at
/// full speed, small enough that one page decodes within a cache.
pub const PAGE_EVENTS: usize = 4096;

/// Canonical bytes of a page's rows at most.
pub const PAGE_ROWS_BYTES_MAX: usize = PAGE_EVENTS * EVENT_BYTES_LONG;

/// Drafts that one commit takes from the queue. An append is never split, so a
/// single larger one still is one commit.
pub const COMMIT_DRAFTS_MAX: usize = 65_536;

/// Bytes of drafts, blobs included, that one commit takes from the queue.
pub const COMMIT_BYTES_MAX: usize = 32 << 20;

/// Drafts that wait at most; beyond, `append` blocks.
pub const QUEUE_DRAFTS_MAX: usize = 131_072;

/// Bytes that wait at most; beyond, `append` blocks.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// What a draft weighs in the queue beside its blobs.
pub const DRAFT_BYTES: usize = 256;

/// Longest blob. The engine keeps lengths in 32 bits and cuts them in silence,
/// so the bound is ours to hold.
pub const BLOB_BYTES_MAX: usize = 1 << 30;

/// Instruments, condition lists: dense u32 ids from 1.
pub const IDS_MAX: u64 = u32::MAX as u64;

/// Sources: dense u16 ids from 1.
pub const SOURCES_MAX: u64 = u16::MAX as u64;

/// Bytes that may be acknowledged without a sync when the writer runs in
/// [`crate::SyncMode::Os`]; bounds what a power cut can take from an import.
pub const OS_BYTES_MAX: usize = 64 << 20;

/// Pairs of one scan of the store.
pub const SCAN_PAIRS: usize = 512;

const _: () = assert!(COMMIT_DRAFTS_MAX <= QUEUE_DRAFTS_MAX);
const _: () = assert!(COMMIT_BYTES_MAX <= QUEUE_BYTES_MAX);
// Positions inside a page travel as u16 in the definitions.
const _: () = assert!(PAGE_EVENTS <= u16::MAX as usize + 1);
// The largest value that is written must fit the engine's 32-bit lengths.
const _: () = assert!(BLOB_BYTES_MAX < u32::MAX as usize);
