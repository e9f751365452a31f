//! Replay sessions: a recorded range that is played, paused, stepped, sought
//! and branched, on a virtual clock.
//!
//! A session folds what was recorded with the very engine that folds live, one
//! moment at a time: an event, or a timer that came due between two events. So
//! what comes out of it is what came out then, header by header. It knows no
//! wall clock: whoever runs it hands in the time ([`Session::tick`]) and is
//! told how long to wait. It keeps nothing on disk and publishes nothing.
//!
//! It begins, and goes back, from the nearest state that it can use: one that
//! it remembers itself, or a recorded checkpoint, as long as both were made
//! under the session's definitions and before anything was left out.

mod cursor;
mod error;
mod layers;
mod marks;
mod pacer;
mod plan;
mod travel;

use std::sync::Arc;

use orrery_journal::Journal;
use orrery_journal::event::JournalEvent;
use orrery_journal::units::{RecvTime, Seq};

use self::cursor::Cursor;
pub use self::error::SessionError;
pub(crate) use self::layers::hidden;
pub use self::layers::{Layer, Layers, Mask};
use self::marks::Marks;
pub use self::pacer::{GAP_CAP_MAX, Pacer, Speed, SpeedError, parse_speed};
pub use self::plan::Plan;
pub use self::travel::{Breathe, Target};
pub use crate::as_of::Moment;
use crate::derived::Derived;
use crate::driver::FoldError;
use crate::engine::{Engine, Made};
use crate::fold::World;

/// Whether a session moves by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It waits to be told.
    Paused,
    /// Its clock runs.
    Playing,
    /// It stands behind its last moment; only going back leads on.
    Ended,
}

/// What a session is stepped by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// An event that is not left out, with the timers that were due before it.
    Event,
    /// To the end of the page (or of the frame, behind the last page) that holds
    /// the next event.
    Frame,
    /// A timer, with the events before it.
    Timer,
    /// A moment in which a wanted artifact comes out.
    Artifact,
}

/// One step on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// This event.
    Event(Seq, RecvTime),
    /// This event, which is left out: its time passes.
    Hidden(Seq, RecvTime),
    /// The timers that are due at this moment.
    Timer(RecvTime),
    /// Nothing.
    End,
}

/// What came of a look at the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tick {
    /// A moment passed.
    Passed,
    /// The next moment is so many nanoseconds of wall time away.
    Wait(i64),
    /// The clock does not run.
    Still,
}

/// A session.
pub struct Session {
    journal: Journal,
    derived: Derived,
    world: Arc<dyn World>,
    plan: Plan,
    engine: Engine,
    at: Moment,
    cursor: Cursor,
    pacer: Pacer,
    state: State,
    marks: Marks,
    /// Events that were folded, over all ways.
    folded: u64,
}

/// Whether a moment comes before another one.
pub(crate) fn before(one: Moment, other: Moment) -> bool {
    (one.seq, one.time) < (other.seq, other.time)
}

impl Session {
    /// A session that stands, paused, at the opening of its plan. `breathe` is
    /// asked now and then on the way there.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn open(
        journal: Journal,
        derived: Derived,
        world: Arc<dyn World>,
        plan: Plan,
        pacer: Pacer,
        breathe: Breathe<'_>,
    ) -> Result<Session, SessionError> {
        let clear = plan.opening.seq.min(plan.layers.clear_until());
        let engine = crate::nearest::nearest(&derived, &world, clear)?;
        Session::over(journal, derived, world, plan, pacer, engine, breathe)
    }

    /// A session that goes on from here with the same definitions, leaving out
    /// more. Its opening is this moment.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn branch(&self, plan: Plan, breathe: Breathe<'_>) -> Result<Session, SessionError> {
        let engine = Engine::restore(Arc::clone(&self.world), &self.engine.save())?;
        Session::over(
            self.journal.clone(),
            self.derived.clone(),
            Arc::clone(&self.world),
            plan,
            Pacer::new(self.pacer.speed(), self.pacer.gap_cap()),
            engine,
            breathe,
        )
    }

    /// The plan of a branch: from here to the end, leaving out more.
    #[must_use]
    pub fn branch_plan(&self, mask: Mask) -> Plan {
        let mut layers = self.plan.layers.clone();
        layers.add(Layer { from: self.at.seq.next(), mask });
        Plan { opening: self.at, end: self.plan.end, layers }
    }

    fn over(
        journal: Journal,
        derived: Derived,
        world: Arc<dyn World>,
        plan: Plan,
        pacer: Pacer,
        engine: Engine,
        breathe: Breathe<'_>,
    ) -> Result<Session, SessionError> {
        let position = engine.position();
        let at = Moment { seq: position.seq, time: position.recv };
        let cursor = Cursor::new(journal.clone());
        let marks = Marks::new(plan.opening, bytes::Bytes::new());
        let state = State::Paused;
        let mut session = Session {
            journal,
            derived,
            world,
            plan,
            engine,
            at,
            cursor,
            pacer,
            state,
            marks,
            folded: 0,
        };
        let opening = session.plan.opening;
        session.fold_events(opening.seq, breathe)?;
        // Behind a later moment its timers have fired, too.
        if session.engine.position().recv < opening.time {
            session.fold_to(opening, breathe)?;
        }
        session.at = session.plan.opening;
        session.marks = Marks::new(session.at, session.engine.save().into());
        session.settle(None)?;
        Ok(session)
    }

    /// What it goes through.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it stands.
    #[must_use]
    pub const fn at(&self) -> Moment {
        self.at
    }

    /// Whether it moves by itself.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Its virtual clock.
    #[must_use]
    pub const fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    /// The folds as they stand.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Events folded since it was opened, those on the way of seeks included.
    #[must_use]
    pub const fn folded(&self) -> u64 {
        self.folded
    }

    /// Lets the clock run from a wall time on. One that has ended stays so.
    pub fn play(&mut self, wall: i64) {
        if self.state == State::Paused {
            self.state = State::Playing;
            self.pacer.run(wall);
        }
    }

    /// Stops the clock.
    pub fn pause(&mut self) {
        if self.state == State::Playing {
            self.state = State::Paused;
            self.pacer.halt();
        }
    }

    /// Another speed from a wall time on.
    pub fn set_speed(&mut self, speed: Speed, wall: i64) {
        self.pacer.set_speed(speed, wall);
    }

    /// Another cap for silence, ns of the market's time.
    pub fn set_gap_cap(&mut self, gap_cap: Option<i64>) {
        self.pacer.set_gap_cap(gap_cap);
    }

    /// Lets the next moment pass if it is due at a wall time; `made` gets what
    /// came out.
    ///
    /// # Errors
    /// See [`SessionError`]; the session takes nothing more then.
    pub fn tick(&mut self, wall: i64, made: &mut Vec<Made>) -> Result<Tick, SessionError> {
        if self.state != State::Playing {
            return Ok(Tick::Still);
        }
        let next = self.next()?;
        match next {
            // Nobody waits for what nobody sees.
            Next::Hidden(..) => {}
            Next::Event(_, time) | Next::Timer(time) => match self.pacer.wait(time, wall) {
                Some(0) => self.pacer.pass(time),
                Some(nanos) => return Ok(Tick::Wait(nanos)),
                None => return Ok(Tick::Still),
            },
            Next::End => {
                self.end();
                return Ok(Tick::Still);
            }
        }
        self.take(next, made)?;
        if self.next()? == Next::End {
            self.end();
        }
        Ok(Tick::Passed)
    }

    fn end(&mut self) {
        self.pause();
        self.state = State::Ended;
    }

    /// After a way that was not played: the clock goes on from `time` (from the
    /// next event at the latest), and whoever stands at the end has ended.
    fn settle(&mut self, time: Option<RecvTime>) -> Result<(), SessionError> {
        let first = match self.next()? {
            Next::End => {
                self.end();
                return Ok(());
            }
            // A timer of the evening before does not hold up the morning.
            _ if self.at.seq < self.plan.end.seq => {
                let seq = self.at.seq.next();
                self.cursor.event(seq)?.recv
            }
            _ => self.at.time,
        };
        self.pacer.place(time.unwrap_or(first));
        if self.state == State::Ended {
            self.state = State::Paused;
        }
        Ok(())
    }

    /// What comes next.
    fn next(&mut self) -> Result<Next, SessionError> {
        let due = self.engine.next_due().map(|due| due.max(self.at.time));
        if self.at.seq >= self.plan.end.seq {
            return Ok(match due {
                Some(due) if due <= self.plan.end.time => Next::Timer(due),
                _ => Next::End,
            });
        }
        let next = self.event(self.at.seq.next())?;
        Ok(match (due, next) {
            (Some(due), Next::Event(_, recv) | Next::Hidden(_, recv)) if due <= recv => {
                Next::Timer(due)
            }
            _ => next,
        })
    }

    /// The event, as one that is left out or one that is not.
    fn event(&mut self, seq: Seq) -> Result<Next, SessionError> {
        let event = self.cursor.event(seq)?;
        Ok(match self.plan.layers.hide(seq, event) {
            true => Next::Hidden(seq, event.recv),
            false => Next::Event(seq, event.recv),
        })
    }

    /// Lets something happen.
    fn take(&mut self, next: Next, made: &mut Vec<Made>) -> Result<(), SessionError> {
        match next {
            Next::Event(seq, time) | Next::Hidden(seq, time) => {
                let event = self.cursor.event(seq)?;
                let event = match next {
                    Next::Hidden(..) => hidden(event),
                    _ => event.clone(),
                };
                let blob = match Engine::blob_needed(&event) {
                    Some(address) => Some(
                        self.journal
                            .blob(address)
                            .map_err(|source| FoldError::Blob { seq, source })?,
                    ),
                    None => None,
                };
                let next = JournalEvent { seq, event };
                self.engine.apply(&next, blob.as_deref(), made).map_err(FoldError::Engine)?;
                self.at = Moment { seq, time };
                self.folded += 1;
            }
            Next::Timer(time) => {
                self.engine.advance(time, made).map_err(FoldError::Engine)?;
                self.at.time = time;
            }
            Next::End => {}
        }
        if self.marks.wants(self.at) {
            self.marks.keep(self.at, self.engine.save().into());
        }
        Ok(())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("plan", &self.plan)
            .field("at", &self.at)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
