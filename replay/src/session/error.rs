//! Why a session cannot do what it was asked.

use orrery_journal::ReadError;
use orrery_journal::units::Seq;

use super::Moment;
use crate::as_of::AsOfError;
use crate::derived::DerivedError;
use crate::driver::FoldError;
use crate::engine::EngineRestoreError;

/// Why a session cannot do what it was asked. After [`SessionError::Read`],
/// [`SessionError::Fold`] and [`SessionError::Restore`] it takes nothing more.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The range is empty, or its ends are the wrong way round.
    #[error("the range ends at event {last}, before its first event {first}")]
    Inverted {
        /// First event.
        first: Seq,
        /// Last event.
        last: Seq,
    },
    /// The moment lies outside of the session.
    #[error(
        "{asked} lies outside of the session, which goes from event {} to {}, {} to {}",
        .opening.seq.next(), .end.seq, .first.time, .end.time
    )]
    Outside {
        /// As asked for.
        asked: String,
        /// Where the session begins.
        opening: Moment,
        /// Its first event.
        first: Moment,
        /// Where it ends.
        end: Moment,
    },
    /// Nothing of the kind comes before the end of the session.
    #[error("no {what} comes between event {} and the end of the session at event {}", .at.seq, .end.seq)]
    NoneLeft {
        /// What was looked for.
        what: String,
        /// Where the session stands.
        at: Moment,
        /// Where it ends.
        end: Moment,
    },
    /// There is nothing left to play.
    #[error("the session stands at its end, event {}; seek back first", .end.seq)]
    AtEnd {
        /// Where it ends.
        end: Moment,
    },
    /// Whoever asked broke off.
    #[error("broken off at event {}", .at.seq)]
    Stopped {
        /// How far it came.
        at: Moment,
    },
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Derived data could not be used.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// An event could not be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A state that was remembered could not be taken again.
    #[error(transparent)]
    Restore(#[from] EngineRestoreError),
    /// A moment could not be found in the journal.
    #[error(transparent)]
    AsOf(#[from] AsOfError),
}
