//! Ways that are not played: steps, and seeks forward and back.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::Filter;
use orrery_journal::event::Kind;
use orrery_journal::units::{RecvTime, Seq};

use super::{Moment, Next, Session, SessionError, Unit, before};
use crate::as_of::{At, resolve};
use crate::engine::{Engine, Made};

/// Asked on long ways after so many events whether to go on; whoever is asked
/// may take its time.
const BREATH_EVENTS: u64 = 256;

/// Asked now and then, with where the session stands.
pub type Breathe<'a> = &'a mut dyn FnMut(Moment) -> ControlFlow<()>;

/// Where to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The opening: before the first event of the session.
    Opening,
    /// After an event and what was due by its time.
    Seq(Seq),
    /// After everything at or before a time.
    Time(RecvTime),
}

impl Session {
    /// Goes on by `count` units, or to the end; pauses first. `made` gets what
    /// comes out, `wanted` says which artifacts [`Unit::Artifact`] counts.
    /// Returns how many units there were.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn step(
        &mut self,
        unit: Unit,
        count: u32,
        wanted: &dyn Fn(&Made) -> bool,
        made: &mut Vec<Made>,
        breathe: Breathe<'_>,
    ) -> Result<u32, SessionError> {
        self.pause();
        let mut done = 0;
        let mut frame = None;
        let mut breath = self.folded + BREATH_EVENTS;
        while done < count {
            let next = self.next()?;
            if next == Next::End {
                // A frame that the session's end cuts short is one, too.
                done += u32::from(frame.is_some());
                break;
            }
            let start = made.len();
            if unit == Unit::Frame && frame.is_none() {
                let seq = self.at.seq.next().min(self.plan.end.seq);
                frame = Some(self.cursor.last_beside(seq)?);
            }
            self.take(next, made)?;
            let fresh = made.get(start..).unwrap_or_default();
            done += u32::from(match unit {
                Unit::Event => matches!(next, Next::Event(..)),
                Unit::Timer => matches!(next, Next::Timer(_)),
                Unit::Artifact => fresh.iter().any(wanted),
                Unit::Frame => {
                    frame.is_some_and(|last| self.at.seq >= last) && {
                        frame = None;
                        true
                    }
                }
            });
            if self.folded >= breath {
                breath = self.folded + BREATH_EVENTS;
                self.breathe(breathe)?;
            }
        }
        self.settle(Some(self.at.time))?;
        Ok(done)
    }

    /// Goes to a moment, forward or back. What comes out on the way is not
    /// told. A session that plays goes on playing from there.
    ///
    /// # Errors
    /// See [`SessionError`]. One that lies outside leaves the session where it
    /// stood.
    pub fn seek(&mut self, target: Target, breathe: Breathe<'_>) -> Result<(), SessionError> {
        let to = self.moment(target)?;
        self.go(to, breathe)
    }

    /// Goes to the next gap of the feed that is not left out.
    ///
    /// # Errors
    /// [`SessionError::NoneLeft`] when there is none; the session stays.
    pub fn seek_gap(&mut self, breathe: Breathe<'_>) -> Result<(), SessionError> {
        let (from, to) = (self.at.seq.next(), self.plan.end.seq);
        for found in self.journal.read_matching(from, to, Filter::new().kinds([Kind::Gap])) {
            for gap in found? {
                if !self.plan.layers.hide(gap.seq, &gap.event) {
                    return self.go(Moment { seq: gap.seq, time: gap.event.recv }, breathe);
                }
            }
        }
        Err(self.none_left("gap"))
    }

    /// Goes on to the first moment after which `found` says yes; it is told of
    /// every moment and what came out of it.
    ///
    /// # Errors
    /// [`SessionError::NoneLeft`] when there is none; the session is where it
    /// was then, too.
    pub fn seek_until(
        &mut self,
        what: &str,
        found: &mut dyn FnMut(&Engine, &[Made]) -> bool,
        breathe: Breathe<'_>,
    ) -> Result<(), SessionError> {
        let (stood, state) = (self.at, self.engine.save());
        let mut made = Vec::new();
        let mut breath = self.folded + BREATH_EVENTS;
        loop {
            let next = self.next()?;
            let stopped = match next {
                Next::End => Some(self.none_left_since(what, stood)),
                _ if self.folded >= breath => {
                    breath = self.folded + BREATH_EVENTS;
                    self.breathe(breathe).err()
                }
                _ => None,
            };
            if let Some(why) = stopped {
                self.put_back(stood, &state)?;
                return Err(why);
            }
            made.clear();
            self.take(next, &mut made)?;
            if found(&self.engine, &made) {
                return self.settle(Some(self.at.time));
            }
        }
    }

    fn put_back(&mut self, at: Moment, state: &[u8]) -> Result<(), SessionError> {
        self.engine = Engine::restore(Arc::clone(&self.world), state)?;
        self.at = at;
        Ok(())
    }

    fn none_left(&self, what: &str) -> SessionError {
        self.none_left_since(what, self.at)
    }

    fn none_left_since(&self, what: &str, at: Moment) -> SessionError {
        SessionError::NoneLeft { what: what.to_owned(), at, end: self.plan.end }
    }

    /// The moment of a target, inside of the session.
    fn moment(&mut self, target: Target) -> Result<Moment, SessionError> {
        let (opening, end) = (self.plan.opening, self.plan.end);
        let asked = match target {
            Target::Opening => return Ok(opening),
            Target::Seq(seq) => format!("event {seq}"),
            Target::Time(time) => time.to_rfc3339(),
        };
        let first = match opening.seq < end.seq {
            true => resolve(&self.journal, At::Seq(opening.seq.next()))?,
            false => end,
        };
        let outside = || SessionError::Outside { asked: asked.clone(), opening, first, end };
        let moment = match target {
            Target::Opening => opening,
            Target::Seq(seq) if seq == opening.seq => return Ok(opening),
            Target::Seq(seq) if seq < opening.seq || seq > end.seq => return Err(outside()),
            Target::Seq(seq) => resolve(&self.journal, At::Seq(seq))?,
            Target::Time(time) if time == opening.time => return Ok(opening),
            Target::Time(time) if time < first.time || time > end.time => return Err(outside()),
            Target::Time(time) => resolve(&self.journal, At::Time(time))?,
        };
        match before(moment, opening) || before(end, moment) {
            true => Err(outside()),
            false => Ok(moment),
        }
    }

    fn go(&mut self, to: Moment, breathe: Breathe<'_>) -> Result<(), SessionError> {
        if before(to, self.at) {
            // The opening state is always there, so something is found.
            if let Some((at, state)) = self.marks.nearest(to) {
                self.put_back(at, &state)?;
            }
        }
        self.jump(to)?;
        self.fold_to(to, breathe)?;
        self.at = to;
        self.settle(Some(to.time))
    }

    /// Takes a recorded checkpoint, if one lies nearer.
    fn jump(&mut self, to: Moment) -> Result<(), SessionError> {
        let bound = to.seq.min(self.plan.layers.clear_until());
        let found = self.derived.record_at_or_before(bound)?;
        // Those of other definitions cannot be used; they are a derived folder's.
        if found.is_none_or(|record| record.seq <= self.at.seq) {
            return Ok(());
        }
        let engine = crate::nearest::nearest(&self.derived, &self.world, bound)?;
        let position = engine.position();
        if position.seq > self.at.seq {
            self.at = Moment { seq: position.seq, time: position.recv };
            self.engine = engine;
        }
        Ok(())
    }

    /// Folds on to a moment, and fires what is due by then.
    pub(super) fn fold_to(&mut self, to: Moment, breathe: Breathe<'_>) -> Result<(), SessionError> {
        self.fold_events(to.seq, breathe)?;
        if self.engine.next_due().is_some_and(|due| due <= to.time) {
            self.take(Next::Timer(to.time), &mut Vec::new())?;
        }
        Ok(())
    }

    /// Folds on to an event. What that event itself made due comes after it.
    pub(super) fn fold_events(
        &mut self,
        to: Seq,
        breathe: Breathe<'_>,
    ) -> Result<(), SessionError> {
        let mut made = Vec::new();
        let mut breath = self.folded + BREATH_EVENTS;
        while self.at.seq < to {
            let seq = self.at.seq.next();
            let next = self.event(seq)?;
            self.take(next, &mut made)?;
            made.clear();
            if self.folded >= breath {
                breath = self.folded + BREATH_EVENTS;
                self.breathe(breathe)?;
            }
        }
        Ok(())
    }

    fn breathe(&mut self, breathe: Breathe<'_>) -> Result<(), SessionError> {
        match breathe(self.at) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SessionError::Stopped { at: self.at }),
        }
    }
}
