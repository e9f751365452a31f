//! The second read of a moment: *as corrected*, beside *as known*.
//!
//! As known at T is what the folds made of the events up to T. As corrected at T
//! is what they would have made of them if every event that a correction names,
//! whenever that came, had been right from the start. It is a fold of the same
//! journal through a [`Source`] that puts right facts in the place of wrong ones:
//!
//! - a corrected event is its right self in the same place, at the same time;
//! - a cancelled event, and every correction that was used, is nothing: an event
//!   that no partition is told of, so that seqs stay what they are and timers
//!   fire when they did;
//! - corrections of one event are applied in their order; what is cancelled
//!   stays so, and what is said of it later is nothing, too. A correction that
//!   says nothing usable, or corrects a correction or a definition, stays in its
//!   place and does what it does as known.
//!
//! Nothing of the record is touched, and nothing is kept. Without corrections
//! that concern the moment both reads are the same bytes; with them versions and
//! hashes are those of another history, and never those of the record.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::event::{Body, Event, Kind};
use orrery_journal::units::{Address, Seq};
use orrery_journal::{Filter, Journal, ReadError, Stretch};

use crate::artifact::{Artifact, Header};
use crate::as_of::{self, AsOfError, At, forward};
use crate::derived::Derived;
use crate::driver::Source;
use crate::fold::World;
use crate::nearest::nearest;

/// Makes an event as it should have been: from the event, and the address and
/// text of what is right. `None` when the text says nothing usable. It must
/// leave the time, the place and the instrument alone.
pub type Righter<'a> = dyn Fn(&Event, Address, &[u8]) -> Option<Event> + 'a;

/// What corrections make of the events that they name.
#[derive(Clone, Debug, PartialEq)]
pub struct Corrections {
    /// Events that are another one, by place.
    changed: BTreeMap<Seq, Event>,
    /// The events that were corrected, and the last correction of each.
    corrected: BTreeMap<Seq, Seq>,
    /// Corrections that were used.
    pub used: u64,
    /// Corrections that say nothing usable.
    pub unusable: u64,
    /// The last event that was looked at.
    pub known: Seq,
}

/// Nobody is told of it.
fn nothing(event: &Event) -> Event {
    Event { body: Body::Extension(Address::of(&[])), extended: false, ..event.clone() }
}

/// Whether a correction can speak of it: facts from outside, and nothing that
/// other events stand on.
fn can_be_corrected(kind: Kind) -> bool {
    !kind.is_bookkeeping() && !matches!(kind, Kind::Correction | Kind::Control | Kind::ClockBeat)
}

impl Corrections {
    /// All corrections that the journal knows, made of the events that they
    /// name. Pages without any are not read.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn find(journal: &Journal, right: &Righter<'_>) -> Result<Corrections, ReadError> {
        let known = journal.head().seq;
        let mut found = Corrections {
            changed: BTreeMap::new(),
            corrected: BTreeMap::new(),
            used: 0,
            unusable: 0,
            known,
        };
        let first = journal.cut_end().map_or(Seq::FIRST, |end| end.seq.next());
        let only = Filter::new().kinds([Kind::Correction]);
        for events in journal.read_matching(first, known, only) {
            for correction in events? {
                if let Body::Correction { corrects, blob } = correction.event.body {
                    let of_nothing = found.is_cancelled(corrects);
                    found.take(journal, right, correction.seq, corrects, blob)?;
                    if of_nothing || found.corrected.get(&corrects) == Some(&correction.seq) {
                        found.changed.insert(correction.seq, nothing(&correction.event));
                    }
                }
            }
        }
        Ok(found)
    }

    fn is_cancelled(&self, seq: Seq) -> bool {
        let now = self.changed.get(&seq).filter(|_| self.corrected.contains_key(&seq));
        now.is_some_and(|event| matches!(event.body, Body::Extension(_)))
    }

    fn take(
        &mut self,
        journal: &Journal,
        right: &Righter<'_>,
        at: Seq,
        corrects: Seq,
        blob: Address,
    ) -> Result<(), ReadError> {
        let now = match self.changed.get(&corrects) {
            Some(event) => Some(event.clone()),
            None => event_at(journal, corrects)?.filter(|_| corrects < at),
        };
        let now = now.filter(|event| can_be_corrected(event.body.kind()));
        let text = journal.blob(blob)?;
        let then = now.and_then(|event| match text.is_empty() {
            true => Some(nothing(&event)),
            false => right(&event, blob, &text),
        });
        match then {
            Some(event) => {
                self.used += 1;
                self.changed.insert(corrects, event);
                self.corrected.insert(corrects, at);
            }
            None => self.unusable += 1,
        }
        Ok(())
    }

    /// The first event that is another one.
    #[must_use]
    pub fn first(&self) -> Option<Seq> {
        self.corrected.keys().next().copied()
    }

    /// How many events up to a moment were corrected.
    #[must_use]
    pub fn up_to(&self, seq: Seq) -> u64 {
        self.corrected.range(..=seq).count() as u64
    }

    fn put_right(&self, stretch: Stretch) -> Stretch {
        let Some(last) = (stretch.events.len() as u64).checked_sub(1) else { return stretch };
        let range = stretch.first..=Seq(stretch.first.0.saturating_add(last));
        let mut here = self.changed.range(range).peekable();
        if here.peek().is_none() {
            return stretch;
        }
        let mut events = stretch.events.to_vec();
        for (seq, right) in here {
            let at = usize::try_from(seq.0 - stretch.first.0).unwrap_or(usize::MAX);
            if let Some(event) = events.get_mut(at) {
                event.clone_from(right);
            }
        }
        // These are no bytes that an address was made of.
        Stretch { events: events.into(), address: None, ..stretch }
    }
}

/// The event at a place; `None` where retention has dropped it.
fn event_at(journal: &Journal, seq: Seq) -> Result<Option<Event>, ReadError> {
    if seq == Seq::BEFORE_FIRST || journal.cut_end().is_some_and(|end| seq <= end.seq) {
        return Ok(None);
    }
    for stretch in journal.read(seq, seq) {
        let stretch = stretch?;
        let at = seq.0.checked_sub(stretch.first.0).and_then(|i| usize::try_from(i).ok());
        if let Some(event) = at.and_then(|i| stretch.events.get(i)) {
            return Ok(Some(event.clone()));
        }
    }
    Ok(None)
}

/// The journal with right facts in the place of wrong ones.
#[derive(Clone, Copy)]
pub struct Corrected<'a> {
    /// As it was taken.
    pub journal: &'a Journal,
    /// What is other about it.
    pub corrections: &'a Corrections,
}

impl Source for Corrected<'_> {
    fn stretches(
        &self,
        from: Seq,
        to: Seq,
    ) -> Box<dyn Iterator<Item = Result<Stretch, ReadError>> + Send + '_> {
        let corrections = self.corrections;
        Box::new(self.journal.read(from, to).map(|s| s.map(|s| corrections.put_right(s))))
    }

    fn blob(&self, address: Address) -> Result<Bytes, ReadError> {
        self.journal.blob(address)
    }
}

/// The newest artifact of a family at a moment, as corrected. Folds from the
/// first corrected event on.
///
/// # Errors
/// See [`AsOfError`].
pub fn latest(
    Corrected { journal, corrections }: Corrected<'_>,
    derived: &Derived,
    world: &Arc<dyn World>,
    (symbol, family): (&str, &str),
    at: At,
) -> Result<Option<Artifact>, AsOfError> {
    let moment = as_of::resolve(journal, at)?;
    let recorded = |header: Option<Header>| match header {
        None => Ok(None),
        Some(header) => {
            let body = as_of::body(journal, derived, world, &header)?;
            Ok(Some(Artifact { header, body }))
        }
    };
    let Some(first) = corrections.first().filter(|first| *first <= moment.seq) else {
        return recorded(as_of::latest(journal, derived, symbol, family, at)?);
    };
    let mut engine = nearest(derived, world, Seq(first.0 - 1))?;
    let before = engine.line(symbol, family).map(|line| line.version);
    let mut newest = None;
    let source = Corrected { journal, corrections };
    forward(&source, &mut engine, moment, &mut |made| {
        let header = &made.artifact.header;
        if *header.symbol == *symbol && *header.family == *family {
            newest = Some(made.artifact);
        }
        ControlFlow::Continue(())
    })?;
    match (newest, before) {
        (Some(artifact), _) => Ok(Some(artifact)),
        // From before the first corrected event, so it is the recorded one.
        (None, Some(version)) => recorded(derived.header(symbol, family, version)?),
        (None, None) => Ok(None),
    }
}
