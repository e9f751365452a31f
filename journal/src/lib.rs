//! What happened: the append-only, content-addressed journal of market events.
//!
//! Promised: what was acknowledged is on disk, in one order, without gaps, and
//! comes back byte for byte or not at all; whatever is read was checked against
//! its hash; what is damaged is refused with its place and never rewritten.
//! Not known here: options mathematics, JSON, the network, the wall clock
//! (the writer is handed one).
//!
//! The rooms, in the order in which an event walks through them:
//!
//! | room | what |
//! |---|---|
//! | [`units`], [`event`], `day`, [`limits`] | the vocabulary |
//! | `write` | drafts and ticks become rows, frames, pages; one committer makes them durable |
//! | `format` | the bytes of all of these; pure |
//! | [`store`], [`files`] | the seams to the disk |
//! | `open` | looking at the files before anything is opened, and opening |
//! | `read` | events back, checked; [`Filter`] only some |
//! | `truth` | what is damaged, told whole, and mended from a copy |
//! | [`proof`] | events proven to others |
//! | `keep` | copies, retention, room on the disk, figures |
//!
//! `journal` is the handle, `shared` what the handle, readers and the committer
//! have in common. `FORMAT.md` has every byte.
#![warn(missing_docs)]

mod day;
mod error;
pub mod event;
pub mod failpoint;
mod fault;
pub mod files;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod keep;
pub mod keys;
pub mod limits;
mod open;
pub mod proof;
mod read;
mod shared;
pub mod store;
mod truth;
pub mod units;
mod write;

pub use day::{Calendar, DaySummary};
pub use error::{AppendError, OpenError, ReadError};
pub use fault::Faults;
pub use format::cut::Cut;
pub use format::parts;
pub use journal::{Journal, OpenOptions, SourceInfo, memory_store, open_derived};
pub use keep::copy::{Copied, CopyError, CopyProgress};
pub use keep::guard;
pub use keep::observe::{Committed, Observer};
pub use keep::retention::{Dropped, Plan, RetentionError};
pub use keep::stat::{Part, Stat, allocated};
pub use open::lock::listening;
pub use open::preflight;
pub use read::filter::Filter;
pub use read::reader::{Looked, Selection, Stretch, TailReader};
pub use read::sealed::SealedPage;
pub use shared::{Head, SyncMode};
pub use truth::inspect::{Examination, HeadState, Stage, Torn, examine, holes};
pub use truth::loss::{Loss, LossKind};
pub use truth::raw::derived::{FileDamage, examine_derived};
pub use truth::repair::{RepairError, RepairOptions, Repaired, Taken, repair};
pub use truth::scrub::{Scrub, Scrubbed};
pub use truth::verify::{DamageKind, Finding, VerifyReport};
pub use write::writer::{Appended, Ticket, Writer};
