//! Brings derived data to the journal's head.
//!
//! Newest good checkpoint, fold the tail, keep what comes out, write new
//! checkpoints on the way: wherever folding has cost so much since the last one,
//! before the first event of each trading day, and at the end. Another thread
//! writes them. Interrupted at any point it begins again from the last
//! checkpoint, and what it folds twice must come out equal.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::units::Seq;
use orrery_journal::{Head, Journal, ReadError};

use crate::beginning::{self, BeginningError};
use crate::checkpoint::writer::CheckpointWriter;
use crate::checkpoint::{Purpose, SPACING};
use crate::derived::held::Held;
use crate::derived::{Derived, DerivedError};
use crate::driver::{FoldError, Then, Threads, fold_until};
use crate::engine::{Engine, Made};
use crate::fold::World;
use crate::nearest::{nearest, recv_of};
use crate::pace::Pace;

/// How to catch up and follow. None of it can be seen in an artifact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CatchUpOptions {
    /// Threads that fold; default one.
    pub threads: Threads,
    /// A checkpoint is written wherever folding has cost as much as this many
    /// events since the last one ([`crate::driver::Folded::work`]); default
    /// [`SPACING`], a fraction of a second. Never zero (read as 1).
    pub checkpoint_events: u64,
}

impl Default for CatchUpOptions {
    fn default() -> CatchUpOptions {
        CatchUpOptions { threads: Threads::ONE, checkpoint_events: SPACING }
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
    /// Checkpoints handed over to be written.
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
    let mut tail = Tail::begin(journal.clone(), derived.clone(), options, resumed, true);
    let mut counts = tail.fold_to(&mut engine, head, &mut |reached, _| progress(reached))?;
    counts.checkpoints += tail.end(&engine)?;
    Ok(CaughtUp { engine, counts, resumed: resumed.seq })
}

/// The way from an engine's position to the head, with everything that is kept
/// on it. Shared by catching up and following.
pub(crate) struct Tail {
    pub(crate) journal: Journal,
    derived: Derived,
    options: CatchUpOptions,
    pace: Pace,
    writer: CheckpointWriter,
    /// Where nobody waits for what is folded: what is kept later, and of bodies
    /// only the newest; and the fold waits when checkpoints cannot be written as
    /// fast as they are due. Else artifacts are kept at once, a checkpoint later.
    held: Option<Held>,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tail {
    pub(crate) fn begin(
        journal: Journal,
        derived: Derived,
        options: CatchUpOptions,
        at: Head,
        patient: bool,
    ) -> Tail {
        let pace = Pace::begin(&derived, at, options.checkpoint_events);
        let writer = CheckpointWriter::new(derived.clone());
        let held = patient.then(Held::default);
        Tail { journal, derived, options, pace, writer, held }
    }

    /// Folds up to `head`, keeps artifacts and checkpoints, then delivers.
    pub(crate) fn fold_to(
        &mut self,
        engine: &mut Engine,
        head: Head,
        deliver: &mut dyn FnMut(Head, &[Made]) -> ControlFlow<()>,
    ) -> Result<Counts, CatchUpError> {
        let mut counts = Counts::default();
        let openings = self.openings(engine.position(), head)?;
        while engine.position().seq < head.seq {
            let at = engine.position().seq;
            let opens = openings.contains(&at);
            // An opening one must not be missing, so it waits for its turn.
            if opens || (self.pace.is_due() && (self.held.is_some() || self.writer.has_room())) {
                let purpose = if opens { Purpose::Opening } else { Purpose::Passing };
                // Whatever a checkpoint knows of is kept before it.
                if let Some(held) = &mut self.held {
                    held.put_headers(&self.derived)?;
                }
                self.writer.keep(self.pace.draft(engine, purpose))?;
                counts.checkpoints += 1;
            }
            let stride = Seq(at.0.saturating_add(self.pace.stride()));
            let opening = openings.iter().copied().find(|o| *o > at);
            let to = opening.map_or(stride, |o| o.min(stride)).min(head.seq);
            counts.add(self.fold_part(engine, to, deliver)?);
        }
        Ok(counts)
    }

    /// Leaves a checkpoint where the engine stands, if it has moved since the
    /// last one, and waits until all are written; returns how many it left.
    pub(crate) fn end(&mut self, engine: &Engine) -> Result<u64, DerivedError> {
        if let Some(held) = &mut self.held {
            held.put_all(&self.derived)?;
        }
        let moved = self.pace.has_moved();
        if moved {
            self.writer.keep(self.pace.draft(engine, Purpose::Passing))?;
        }
        self.writer.settle()?;
        Ok(u64::from(moved))
    }

    fn fold_part(
        &mut self,
        engine: &mut Engine,
        to: Seq,
        deliver: &mut dyn FnMut(Head, &[Made]) -> ControlFlow<()>,
    ) -> Result<Counts, CatchUpError> {
        let mut failed = None;
        let mut reached = engine.position();
        let mut work = 0;
        let threads = self.options.threads;
        let left = self.pace.left();
        let summary = fold_until(&self.journal, engine, to, threads, &mut |folded| {
            reached = folded.reached;
            work += folded.work;
            let kept = keep(&self.derived, self.held.as_mut(), &folded.made);
            if let Err(error) = kept {
                failed = Some(error);
                return Then::Stop;
            }
            match deliver(reached, &folded.made) {
                ControlFlow::Break(()) => Then::Stop,
                // Dearer than was thought.
                ControlFlow::Continue(()) if work >= left => Then::Rest,
                ControlFlow::Continue(()) => Then::Go,
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        if summary.stopped {
            return Err(CatchUpError::Stopped { seq: reached.seq });
        }
        if summary.events == 0 {
            return Err(ReadError::Missing { from: engine.position().seq.next(), to }.into());
        }
        self.pace.took(summary.events, work);
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
}

/// Keeps what came out, or has it held where nobody waits for it.
fn keep(derived: &Derived, held: Option<&mut Held>, made: &[Made]) -> Result<(), DerivedError> {
    let artifacts = made.iter().map(|m| m.artifact.clone());
    match held {
        Some(held) => held.take(derived, artifacts),
        None => derived.put(&artifacts.collect::<Vec<_>>()),
    }
}
