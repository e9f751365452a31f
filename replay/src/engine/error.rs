//! Why an event was not folded, and why a saved engine was not taken.

use orrery_journal::units::{Address, InstrumentId, RecvTime, Seq};

use crate::fold::RestoreError;

/// Why an event was not folded. After any of these the engine takes nothing
/// more: part of the event may have been applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Events must come without a gap.
    #[error("the fold needs event {expected} next and got event {got}")]
    OutOfOrder {
        /// Next position.
        expected: Seq,
        /// What came.
        got: Seq,
    },
    /// The journal uses an instrument before it defines it.
    #[error("event {seq} uses instrument {}, which no event before it defines", id.0)]
    UndefinedInstrument {
        /// The event.
        seq: Seq,
        /// The unknown id.
        id: InstrumentId,
    },
    /// The journal gives an id to two tickers.
    #[error("event {seq} gives instrument {} to {now}; it is {was} already", id.0)]
    Redefined {
        /// The event.
        seq: Seq,
        /// The id.
        id: InstrumentId,
        /// Ticker so far.
        was: String,
        /// Ticker of this event.
        now: String,
    },
    /// The blob that an event needs was not handed in, or is no text where text
    /// is needed.
    #[error("event {seq} came without a usable blob")]
    Blob {
        /// The event.
        seq: Seq,
    },
    /// A fold asks to be called at a moment that it was just called for; this
    /// would never end.
    #[error("the fold of {partition} did not move its timer beyond {due} (before event {seq})")]
    StuckTimer {
        /// Whose fold.
        partition: Box<str>,
        /// The moment.
        due: RecvTime,
        /// The event that waits.
        seq: Seq,
    },
    /// An earlier error or a stop in mid-stretch.
    #[error("the fold stopped in the middle of a stretch; start again from a checkpoint")]
    Abandoned,
}

/// Why a saved engine was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineRestoreError {
    /// It was saved under other definitions.
    #[error("the state was saved under configuration {saved}, this is {ours}")]
    Configuration {
        /// Hash in the saved state.
        saved: Address,
        /// Hash of the world at hand.
        ours: Address,
    },
    /// A fold refused its part.
    #[error("partition {partition}")]
    Fold {
        /// Whose.
        partition: Box<str>,
        /// Why.
        #[source]
        source: RestoreError,
    },
    /// The bytes are no saved engine.
    #[error(transparent)]
    Bytes(#[from] RestoreError),
}
