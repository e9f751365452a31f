//! Answers of journal and replay: for the command line, and for gRPC through
//! [`control::Backend`](crate::control::Backend).
//!
//! Everything here only reads. A question about a moment is answered from the
//! state folded up to that moment, so nothing after it can be seen.

mod administration;
pub mod annotating;
mod answers;
mod appending;
mod corrected;
mod lookup;
pub mod operations;
mod points;
pub mod profiles;
pub mod proving;
pub mod pulse;
pub mod reading;
pub mod sealing;
pub mod sessions;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use orrery_journal::units::Seq;
use orrery_journal::{AppendError, Head, Journal, Writer};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::as_of::{self, AsOfError, At, Moment};
use orrery_replay::catch_up::{CatchUpError, CatchUpOptions, CaughtUp, catch_up};
use orrery_replay::compare::{self, CompareError, CompareOptions, Comparison, Difference, Span};
use orrery_replay::derived::{Derived, DerivedError, FamilyName};
use orrery_replay::driver::Threads;
use orrery_replay::engine::{Engine, Made};
use orrery_replay::fold::World;

use crate::clock;
use crate::market::epoch::EpochRecord;
use crate::partition::Partition;
use crate::world::MarketWorld;

use annotating::TimePasses;

/// A journal, what is derived from it, and the definitions.
pub struct Archive {
    journal: Journal,
    derived: Derived,
    world: Arc<dyn World>,
    /// The same, as what it is.
    market: Arc<MarketWorld>,
    threads: Threads,
    /// The state of the last moment that was asked for.
    state: Mutex<Option<(Moment, Engine)>>,
    /// The one writer, while anybody in this process needs it.
    pen: Mutex<Option<Arc<Writer>>>,
    /// Who lets time pass while something is said.
    passes: Mutex<TimePasses>,
    pulse: pulse::Pulse,
}

impl Archive {
    /// An archive over open data.
    #[must_use]
    pub fn new(
        journal: Journal,
        derived: Derived,
        world: Arc<MarketWorld>,
        threads: u16,
    ) -> Archive {
        Archive {
            journal,
            derived,
            world: Arc::clone(&world) as Arc<dyn World>,
            market: world,
            threads: Threads::new(usize::from(threads)),
            state: Mutex::default(),
            pen: Mutex::default(),
            passes: Mutex::default(),
            pulse: pulse::Pulse::default(),
        }
    }

    /// Brings derived data to the journal's head; rebuilds what was deleted.
    ///
    /// # Errors
    /// See [`CatchUpError`].
    pub fn catch_up(
        &self,
        progress: &mut dyn FnMut(Head) -> ControlFlow<()>,
    ) -> Result<CaughtUp, CatchUpError> {
        catch_up(&self.journal, &self.derived, self.world(), self.options(), progress)
    }

    /// How this archive catches up and follows.
    #[must_use]
    pub fn options(&self) -> CatchUpOptions {
        CatchUpOptions { threads: self.threads, ..CatchUpOptions::default() }
    }

    /// The journal.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The process that serves it.
    #[must_use]
    pub const fn pulse(&self) -> &pulse::Pulse {
        &self.pulse
    }

    /// The journal's one writer, shared by all who append.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn writer(&self) -> Result<Arc<Writer>, AppendError> {
        let mut pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = &*pen {
            return Ok(Arc::clone(writer));
        }
        let writer = Arc::new(self.journal.writer(clock::now)?);
        *pen = Some(Arc::clone(&writer));
        Ok(writer)
    }

    /// Lets the writer go: what was queued is committed, and it ends with the
    /// last one who has it.
    ///
    /// # Errors
    /// When the last commit failed.
    pub fn put_pen_down(&self) -> Result<(), AppendError> {
        let pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner).take();
        match pen.and_then(Arc::into_inner) {
            Some(writer) => writer.close(),
            None => Ok(()),
        }
    }

    /// Says who lets time pass from now on.
    pub fn let_time_pass(&self, passes: TimePasses) {
        *self.passes.lock().unwrap_or_else(PoisonError::into_inner) = passes;
    }

    /// Who lets time pass.
    #[must_use]
    pub fn time_passes(&self) -> TimePasses {
        *self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is derived from it.
    #[must_use]
    pub const fn derived(&self) -> &Derived {
        &self.derived
    }

    /// Asks the state at a moment.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub fn at<T>(&self, at: At, ask: impl FnOnce(Moment, &Engine) -> T) -> Result<T, AsOfError> {
        let moment = as_of::resolve(&self.journal, at)?;
        let mut held = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|(of, _)| *of != moment) {
            *held = None;
            *held = Some((moment, as_of::as_of(&self.journal, &self.derived, &self.world(), at)?));
        }
        match &*held {
            Some((moment, engine)) => Ok(ask(*moment, engine)),
            None => Ok(ask(moment, &Engine::new(self.world()))),
        }
    }

    /// Epochs of all symbols that had been born at a moment.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub fn epochs(&self, seq: Seq) -> Result<Vec<(Box<str>, EpochRecord)>, AsOfError> {
        self.at(At::Seq(seq), |_, engine| {
            let mut epochs = Vec::new();
            for symbol in engine.partitions() {
                if let Some(partition) = engine.fold_as::<Partition>(symbol) {
                    epochs.extend(partition.epochs().iter().map(|r| (symbol.into(), r.clone())));
                }
            }
            epochs
        })
    }

    /// (symbol, family) of everything kept.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn families(&self) -> Result<Vec<FamilyName>, DerivedError> {
        self.derived.families()
    }

    /// Newest header of a family as of a seq.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub fn latest_at(
        &self,
        symbol: &str,
        family: &str,
        at: At,
    ) -> Result<Option<Header>, AsOfError> {
        as_of::latest(&self.journal, &self.derived, symbol, family, at)
    }

    /// A body, from the store or folded again.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub fn body(&self, header: &Header) -> Result<Bytes, AsOfError> {
        as_of::body(&self.journal, &self.derived, &self.world(), header)
    }

    /// The newest artifact of every family.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub fn newest(&self) -> Result<Vec<Artifact>, AsOfError> {
        let mut newest = Vec::new();
        for (symbol, family) in self.families()? {
            if let Some(header) = self.derived.latest(&symbol, &family)? {
                let body = self.body(&header)?;
                newest.push(Artifact { header, body });
            }
        }
        Ok(newest)
    }

    /// Folds a range again and compares every artifact with the recorded one.
    ///
    /// # Errors
    /// See [`CompareError`].
    pub fn replay(
        &self,
        span: Span,
        threads: Option<u32>,
        seen: &mut dyn FnMut(Head, &[Made]) -> ControlFlow<()>,
    ) -> Result<Comparison, CompareError> {
        let threads = threads.map_or(self.threads, |n| Threads::new(n as usize));
        let options = CompareOptions { threads, ..CompareOptions::default() };
        self.compare(span, &options, &mut |_| {}, seen)
    }

    /// The same with a choice of what is compared; `told` gets every difference.
    ///
    /// # Errors
    /// See [`CompareError`].
    pub fn compare(
        &self,
        span: Span,
        options: &CompareOptions,
        told: &mut dyn FnMut(&Difference),
        seen: &mut dyn FnMut(Head, &[Made]) -> ControlFlow<()>,
    ) -> Result<Comparison, CompareError> {
        compare::compare(&self.journal, &self.derived, &self.world(), span, options, told, seen)
    }

    /// Threads that fold.
    #[must_use]
    pub const fn threads(&self) -> Threads {
        self.threads
    }

    /// The definitions that the record is made by.
    #[must_use]
    pub fn world(&self) -> Arc<dyn World> {
        Arc::clone(&self.world)
    }
}
