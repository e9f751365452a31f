//! What the folds knew at a moment, and what they said.
//!
//! Nearest checkpoint at or before the moment, then forward; no event beyond it
//! is ever read, so nothing that happened later can be seen in the answer.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_journal::{Journal, ReadError};

use crate::artifact::Header;
use crate::derived::{Derived, DerivedError};
use crate::driver::{FoldError, Source, Threads, fold_range};
use crate::engine::{Engine, EngineError, Made};
use crate::fold::World;
use crate::nearest::{nearest, recv_of};

/// A moment to ask about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// After this event and whatever timers were due by its recv time.
    Seq(Seq),
    /// After every event at or before this time and whatever timers were due
    /// by then.
    Time(RecvTime),
}

/// A moment, resolved against a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Last event that may be seen.
    pub seq: Seq,
    /// Last moment that may be seen.
    pub time: RecvTime,
}

/// Why an as-of question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AsOfError {
    /// Derived data could not be used.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event could not be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A timer could not be fired.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The journal does not reach that far.
    #[error("event {seq} has not happened; the journal ends at {head}")]
    Beyond {
        /// What was asked for.
        seq: Seq,
        /// Where the journal ends.
        head: Seq,
    },
    /// A body was rebuilt and is not what was recorded.
    #[error(
        "{symbol} {family} v{version} rebuilt from the journal is {got}, recorded is {expected}"
    )]
    Rebuilt {
        /// Partition.
        symbol: Box<str>,
        /// Family.
        family: Box<str>,
        /// Version.
        version: u64,
        /// Content hash in the header.
        expected: Address,
        /// Content hash of what came out; zeros when nothing did.
        got: Address,
    },
}

/// Turns a question into the last event and the last moment that the answer may
/// see. A time after the head is the head's.
///
/// # Errors
/// When the event has not happened, or the journal cannot be read.
pub fn resolve(journal: &Journal, at: At) -> Result<Moment, AsOfError> {
    let head = journal.head();
    match at {
        At::Seq(Seq::BEFORE_FIRST) => {
            Ok(Moment { seq: Seq::BEFORE_FIRST, time: RecvTime(i64::MIN) })
        }
        At::Seq(seq) if seq > head.seq => Err(AsOfError::Beyond { seq, head: head.seq }),
        At::Seq(seq) => {
            let time = recv_of(journal, seq)?.ok_or(ReadError::Missing { from: seq, to: seq })?;
            Ok(Moment { seq, time })
        }
        At::Time(time) => {
            // Nobody knows yet what happens after the head, not even that
            // nothing does.
            let time = time.min(head.recv);
            Ok(Moment { seq: journal.seq_at(time)?, time })
        }
    }
}

/// The folds as they stood at a moment.
///
/// # Errors
/// See [`AsOfError`].
pub fn as_of(
    journal: &Journal,
    derived: &Derived,
    world: &Arc<dyn World>,
    at: At,
) -> Result<Engine, AsOfError> {
    let moment = resolve(journal, at)?;
    let mut engine = nearest(derived, world, moment.seq)?;
    forward(journal, &mut engine, moment, &mut |_| ControlFlow::Continue(()))?;
    Ok(engine)
}

/// Folds to a moment and fires what is due by then.
pub(crate) fn forward(
    source: &dyn Source,
    engine: &mut Engine,
    to: Moment,
    seen: &mut dyn FnMut(Made) -> ControlFlow<()>,
) -> Result<(), AsOfError> {
    let summary = fold_range(source, engine, to.seq, Threads::ONE, &mut |folded| {
        folded.made.into_iter().try_for_each(&mut *seen)
    })?;
    if summary.stopped {
        return Ok(());
    }
    let reached = engine.position().seq;
    if reached < to.seq {
        return Err(ReadError::Missing { from: reached.next(), to: to.seq }.into());
    }
    let mut made = Vec::new();
    engine.advance(to.time, &mut made)?;
    // Whoever breaks has what it wanted; nothing comes after this.
    let _ = made.into_iter().try_for_each(seen);
    Ok(())
}

/// The newest header of a family at a moment: made by then, of events seen by
/// then.
///
/// # Errors
/// See [`AsOfError`].
pub fn latest(
    journal: &Journal,
    derived: &Derived,
    symbol: &str,
    family: &str,
    at: At,
) -> Result<Option<Header>, AsOfError> {
    let Moment { seq, time } = resolve(journal, at)?;
    Ok(derived.newest_by(symbol, family, seq, time)?)
}

/// The body of a recorded version: as kept, or rebuilt from the nearest
/// checkpoint and checked against its recorded hash.
///
/// # Errors
/// See [`AsOfError`].
pub fn body(
    journal: &Journal,
    derived: &Derived,
    world: &Arc<dyn World>,
    header: &Header,
) -> Result<Bytes, AsOfError> {
    match derived.body(header) {
        Ok(Some(body)) => return Ok(body),
        Ok(None) => {}
        Err(error @ DerivedError::Damaged { .. }) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a body is rebuilt");
        }
        Err(error) => return Err(error.into()),
    }
    // No state before the version's last event can hold the version already.
    let mut engine = nearest(derived, world, Seq(header.seq_last.0.saturating_sub(1)))?;
    let mut found = None;
    let moment = Moment { seq: header.seq_last, time: header.created_at };
    forward(journal, &mut engine, moment, &mut |made| {
        let h = &made.artifact.header;
        if h.version == header.version && h.symbol == header.symbol && h.family == header.family {
            found = Some(made.artifact);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    let got = found.as_ref().map_or(Address::default(), |a| a.header.content);
    match found {
        Some(artifact) if got == header.content => Ok(artifact.body),
        _ => Err(AsOfError::Rebuilt {
            symbol: header.symbol.clone(),
            family: header.family.clone(),
            version: header.version,
            expected: header.content,
            got,
        }),
    }
}
