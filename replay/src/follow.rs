//! Keeps derived data at the journal's head while the journal grows.
//!
//! The follower waits for durable events, folds them, keeps what came out, and
//! only then hands it on. It runs the same code as catching up and replay; that
//! it runs live is known to its caller alone.

use std::ops::ControlFlow;
use std::time::Duration;

use orrery_journal::{Head, Journal};

use crate::catch_up::{CatchUpError, CatchUpOptions, Counts, Tail};
use crate::derived::Derived;
use crate::engine::{Engine, Made};

/// Folds what the journal takes, as it takes it.
#[derive(Debug)]
pub struct Follower {
    tail: Tail,
    engine: Engine,
    counts: Counts,
}

impl Follower {
    /// Follows from where `engine` stands, usually what
    /// [`crate::catch_up::catch_up`] returned.
    #[must_use]
    pub fn new(
        journal: Journal,
        derived: Derived,
        engine: Engine,
        options: CatchUpOptions,
    ) -> Follower {
        // A live fold never waits for a checkpoint that is merely due.
        let tail = Tail::begin(journal, derived, options, engine.position(), false);
        Follower { tail, engine, counts: Counts::default() }
    }

    /// Waits up to `timeout` for events beyond the engine's position and folds
    /// them; `deliver` gets what came out of each stretch after it was kept.
    /// Returns where the engine stands then.
    ///
    /// # Errors
    /// See [`CatchUpError`]; the follower must be dropped then.
    pub fn step(
        &mut self,
        timeout: Duration,
        deliver: &mut dyn FnMut(&[Made]),
    ) -> Result<Head, CatchUpError> {
        let at = self.engine.position();
        let head = self.tail.journal.wait_beyond(at.seq, timeout);
        if head.seq > at.seq {
            let counts = self.tail.fold_to(&mut self.engine, head, &mut |_, made| {
                deliver(made);
                ControlFlow::Continue(())
            })?;
            self.counts.add(counts);
        }
        Ok(self.engine.position())
    }

    /// Steps until `stop` says so, which is asked at least every `timeout`;
    /// then [`Follower::finish`]es.
    ///
    /// # Errors
    /// See [`CatchUpError`].
    pub fn run(
        mut self,
        timeout: Duration,
        stop: &dyn Fn() -> bool,
        deliver: &mut dyn FnMut(&[Made]),
    ) -> Result<Engine, CatchUpError> {
        while !stop() {
            self.step(timeout, deliver)?;
        }
        self.finish(deliver)
    }

    /// Writes a checkpoint of the folds as they are now, and waits until it is
    /// written; nothing where nothing has been folded since the last one.
    ///
    /// # Errors
    /// See [`CatchUpError`].
    pub fn checkpoint(&mut self) -> Result<(), CatchUpError> {
        self.tail.end(&self.engine)?;
        Ok(())
    }

    /// Folds whatever is durable by now, writes a checkpoint and gives the
    /// engine back.
    ///
    /// # Errors
    /// See [`CatchUpError`].
    pub fn finish(mut self, deliver: &mut dyn FnMut(&[Made])) -> Result<Engine, CatchUpError> {
        self.step(Duration::ZERO, deliver)?;
        self.tail.end(&self.engine)?;
        Ok(self.engine)
    }

    /// The folds as they are now.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What was done since the follower began.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }
}
