//! Brings derived data to the journal's head.
//!
//! Newest good checkpoint, fold the tail, keep what comes out, write new
//! checkpoints on the way: every so many events, before the first event of each
//! trading day, and at the end. Interrupted at any point it begins again from
//! the last checkpoint, and what it folds twice must come out equal.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::units::Seq;
use orrery_journal::{Head, Journal, ReadError};

use crate::beginning::{self, BeginningError};
use crate::checkpoint::Purpose;
use crate::derived::{Derived, DerivedError};
use crate::driver::{FoldError, Threads, fold_range};
use crate::engine::{Engine, Made};
use crate::fold::World;
use crate::nearest::{nearest, recv_of};

/// How to catch up and follow. None of it can be seen in an artifact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CatchUpOptions {
    /// Threads that fold; default one.
    pub threads: Threads,
    /// A checkpoint is written at each multiple of this many events; default
    /// 262,144, under a second of folding. Never zero (read as 1).
    pub checkpoint_events: u64,
}

impl Default for CatchUpOptions {
    fn default() -> CatchUpOptions {
        CatchUpOptions { threads: Threads::ONE, checkpoint_events: 262_144 }
    }
}

/// Why derived data was not brought to the journal's head.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    /// Derived data could not be used.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event could not be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The derived folder belongs to another journal.
    #[error(
        "derived data at event {seq} was made from another journal; delete the derived folder, it is rebuilt"
    )]
    OtherJournal {
        /// Position of the checkpoint that does not fit.
        seq: Seq,
    },
    /// The first days were dropped, and folding cannot begin behind them.
    #[error(transparent)]
    Beginning(#[from] BeginningError),
    /// The caller asked to stop; the next start goes on from the last checkpoint.
    #[error("stopped at event {seq} before the journal's head")]
    Stopped {
        /// How far it came.
        seq: Seq,
    },
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Events folded.
    pub events: u64,
    /// Artifacts that came out.
    pub artifacts: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
}

impl Counts {
    pub(crate) const fn add(&mut self, other: Counts) {
        self.events += other.events;
        self.artifacts += other.artifacts;
        self.checkpoints += other.checkpoints;
    }
}

/// Derived data at the journal's head.
#[derive(Debug)]
pub struct CaughtUp {
    /// The folds at the head.
    pub engine: Engine,
    /// What was done to get there.
    pub counts: Counts,
    /// Where folding began: the checkpoint's position, or before the first event.
    pub resumed: Seq,
}

/// Brings derived data to the durable end that the journal has now. `progress`
/// is told after each stretch how far the fold is, and may stop it.
///
/// # Errors
/// See [`CatchUpError`].
pub fn catch_up(
    journal: &Journal,
    derived: &Derived,
    world: Arc<dyn World>,
    options: CatchUpOptions,
    progress: &mut dyn FnMut(Head) -> ControlFlow<()>,
) -> Result<CaughtUp, CatchUpError> {
    derived.claim(world.configuration())?;
    beginning::begin(journal, derived, &world)?;
    let head = journal.head();
    let mut engine = nearest(derived, &world, head.seq)?;
    let resumed = engine.position();
    if resumed.seq > Seq::BEFORE_FIRST && recv_of(journal, resumed.seq)? != Some(resumed.recv) {
        return Err(CatchUpError::OtherJournal { seq: resumed.seq });
    }
    let tail = Tail { journal: journal.clone(), derived: derived.clone(), options };
    let mut counts = tail.fold_to(&mut engine, head, &mut |reached, _| progress(reached))?;
    if counts.events > 0 {
        tail.checkpoint(&engine, Purpose::Passing)?;
        counts.checkpoints += 1;
    }
    Ok(CaughtUp { engine, counts, resumed: resumed.seq })
}

/// The way from an engine's position to the head, with everything that is kept
/// on it. Shared by catching up and following.
#[derive(Clone)]
pub(crate) struct Tail {
    pub(crate) journal: Journal,
    pub(crate) derived: Derived,
    pub(crate) options: CatchUpOptions,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tail {
    /// Folds up to `head`, keeps artifacts and checkpoints, then delivers.
    pub(crate) fn fold_to(
        &self,
        engine: &mut Engine,
        head: Head,
        deliver: &mut dyn FnMut(Head, &[Made]) -> ControlFlow<()>,
    ) -> Result<Counts, CatchUpError> {
        let mut counts = Counts::default();
        let openings = self.openings(engine.position(), head)?;
        while engine.position().seq < head.seq {
            let at = engine.position().seq;
            if openings.contains(&at) {
                self.checkpoint(engine, Purpose::Opening)?;
                counts.checkpoints += 1;
            }
            let every = self.options.checkpoint_events.max(1);
            let multiple = Seq((at.0 / every + 1).saturating_mul(every));
            let opening = openings.iter().copied().find(|o| *o > at);
            let to = opening.map_or(multiple, |o| o.min(multiple)).min(head.seq);
            counts.add(self.fold_part(engine, to, deliver)?);
            if to == multiple && to < head.seq && !openings.contains(&to) {
                self.checkpoint(engine, Purpose::Passing)?;
                counts.checkpoints += 1;
            }
        }
        Ok(counts)
    }

    fn fold_part(
        &self,
        engine: &mut Engine,
        to: Seq,
        deliver: &mut dyn FnMut(Head, &[Made]) -> ControlFlow<()>,
    ) -> Result<Counts, CatchUpError> {
        let mut failed = None;
        let mut reached = engine.position();
        let threads = self.options.threads;
        let summary = fold_range(&self.journal, engine, to, threads, &mut |folded| {
            reached = folded.reached;
            let artifacts: Vec<_> = folded.made.iter().map(|m| m.artifact.clone()).collect();
            if let Err(error) = self.derived.put(&artifacts) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            deliver(reached, &folded.made)
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        if summary.stopped {
            return Err(CatchUpError::Stopped { seq: reached.seq });
        }
        if engine.position().seq < to {
            return Err(ReadError::Missing { from: engine.position().seq.next(), to }.into());
        }
        Ok(Counts { events: summary.events, artifacts: summary.artifacts, checkpoints: 0 })
    }

    /// Positions right before the first event of a day, ascending; none before
    /// the first event of all, where there is no state to keep.
    fn openings(&self, at: Head, head: Head) -> Result<Vec<Seq>, ReadError> {
        let same_day = self.journal.day_of(at.recv) == self.journal.day_of(head.recv);
        if at.seq > Seq::BEFORE_FIRST && same_day {
            return Ok(Vec::new());
        }
        let mut openings = Vec::new();
        for day in self.journal.days()? {
            let before = Seq(day.first.0.saturating_sub(1));
            if before >= at.seq && before > Seq::BEFORE_FIRST && before < head.seq {
                openings.push(before);
            }
        }
        Ok(openings)
    }

    pub(crate) fn checkpoint(&self, engine: &Engine, purpose: Purpose) -> Result<(), CatchUpError> {
        self.derived.put_checkpoint(engine.position().seq, engine.save(), purpose)?;
        Ok(())
    }
}
