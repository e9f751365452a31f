//! What happened: the append-only, content-addressed journal of market events.
//!
//! Promised: what was acknowledged is on disk, in one order, without gaps, and
//! comes back byte for byte or not at all; whatever is read was checked against
//! its hash; what is damaged is refused with its place and never rewritten.
//! Not known here: options mathematics, JSON, the network, the wall clock
//! (the writer is handed one).
//!
//! To read on: [`units`] and [`event`] are the vocabulary; `stage` turns drafts
//! into rows (producers of [`event::TickBatch`] do it themselves), `tail` gives
//! rows their place in frames and pages, `seal` makes a page what is stored;
//! `writer` drives them and says who hands what to whom; `reader` brings events
//! back, [`Filter`] only some; [`preflight`] looks at the files before anything
//! is opened; [`proof`] proves events to others; `recover` opens; [`store`] is the seam to the disk. `FORMAT.md` has
//! every byte.
#![warn(missing_docs)]

mod blob;
mod canon;
mod contents;
mod copy;
mod day;
mod definitions;
mod error;
pub mod event;
pub mod failpoint;
mod fault;
pub mod files;
mod filter;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod guard;
mod index;
mod inspect;
mod intern;
mod journal;
pub mod keys;
pub mod limits;
mod lock;
mod loss;
mod mend;
mod observe;
mod operate;
mod page;
#[doc(hidden)]
pub mod parts;
pub mod preflight;
pub mod proof;
mod raw;
mod reader;
mod recover;
mod repair;
mod retention;
mod rights;
mod running;
mod scrub;
mod seal;
mod sealed;
mod shared;
mod stage;
mod stat;
pub mod store;
mod summary;
mod tail;
pub mod units;
mod verify;
mod watermark;
mod writer;

pub use copy::{Copied, CopyError, CopyProgress};
pub use day::{Calendar, DaySummary};
pub use error::{AppendError, OpenError, ReadError};
pub use fault::Faults;
pub use filter::Filter;
pub use inspect::{Examination, HeadState, Stage, Torn, examine, holes};
pub use journal::{Journal, OpenOptions, SourceInfo, memory_store, open_derived};
pub use lock::listening;
pub use loss::{Loss, LossKind};
pub use observe::{Committed, Observer};
pub use reader::{Stretch, TailReader};
pub use repair::{RepairError, RepairOptions, Repaired, Taken, repair};
pub use retention::{Cut, Dropped, Plan, RetentionError};
pub use scrub::{Scrub, Scrubbed};
pub use sealed::SealedPage;
pub use shared::{Head, SyncMode};
pub use stat::{Part, Stat, allocated};
pub use verify::{DamageKind, Finding, VerifyReport};
pub use writer::{Appended, Ticket, Writer};
