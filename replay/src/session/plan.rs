//! What a session goes through.

use orrery_journal::Journal;
use orrery_journal::units::{RecvTime, Seq};

use super::{Layer, Layers, Mask, Moment, SessionError};
use crate::as_of::{At, resolve};

/// What a session goes through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Where it begins: everything up to here has happened.
    pub opening: Moment,
    /// Where it ends: the last event, and the last moment of a timer.
    pub end: Moment,
    /// What the folds are not told of.
    pub layers: Layers,
}

impl Plan {
    /// The events `first..=last`, and the timers that come due by `until`, which
    /// is not read beyond the event after the last; the last event's time when
    /// nothing is said.
    ///
    /// # Errors
    /// When the range is empty or not in the journal.
    pub fn new(
        journal: &Journal,
        first: Seq,
        last: Seq,
        until: Option<RecvTime>,
        mask: Mask,
    ) -> Result<Plan, SessionError> {
        if first < Seq::FIRST || last < first {
            return Err(SessionError::Inverted { first, last });
        }
        let opening = resolve(journal, At::Seq(Seq(first.0 - 1)))?;
        let end = resolve(journal, At::Seq(last))?;
        let until = until.map(|time| resolve(journal, At::Time(time))).transpose()?;
        let end = until.filter(|u| u.seq == end.seq && u.time > end.time).unwrap_or(end);
        let mut layers = Layers::default();
        layers.add(Layer { from: first, mask });
        Ok(Plan { opening, end, layers })
    }
}
