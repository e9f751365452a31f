//! A journal as it would read without some of its events.
//!
//! An event that is left out leaves its moment behind: time passes as it did,
//! and nothing else happens. Positions stay what they are, so that what comes
//! out can be set beside the record. Definitions are never left out: what
//! follows them would have no meaning.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::event::{Event, Kind};
use orrery_journal::units::{Address, InstrumentId, Seq};
use orrery_journal::{ReadError, Stretch};

use crate::driver::Source;
use crate::session::hidden;

/// Events of one sort: all conditions that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// Kinds; any when empty.
    pub kinds: BTreeSet<Kind>,
    /// Instruments; any when empty.
    pub instruments: BTreeSet<InstrumentId>,
    /// First and last position; any when `None`.
    pub seqs: Option<(Seq, Seq)>,
}

impl Sort {
    fn matches(&self, seq: Seq, event: &Event) -> bool {
        self.seqs.is_none_or(|(first, last)| first <= seq && seq <= last)
            && (self.kinds.is_empty() || self.kinds.contains(&event.body.kind()))
            && (self.instruments.is_empty() || self.instruments.contains(&event.instrument))
    }
}

/// Which events are left out: those of any of these sorts, from a position on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Nothing before it is left out.
    pub from: Seq,
    /// The sorts; nothing is left out when there is none.
    pub sorts: Vec<Sort>,
}

impl Without {
    /// Whether an event is left out.
    #[must_use]
    pub fn leaves_out(&self, seq: Seq, event: &Event) -> bool {
        seq >= self.from
            && !event.body.kind().is_bookkeeping()
            && self.sorts.iter().any(|sort| sort.matches(seq, event))
    }

    /// Events of a source without these.
    #[must_use]
    pub const fn of<'a>(&'a self, source: &'a dyn Source) -> Remaining<'a> {
        Remaining { source, without: self }
    }
}

/// A source without some of its events.
pub struct Remaining<'a> {
    source: &'a dyn Source,
    without: &'a Without,
}

impl Source for Remaining<'_> {
    fn stretches(
        &self,
        from: Seq,
        to: Seq,
    ) -> Box<dyn Iterator<Item = Result<Stretch, ReadError>> + Send + '_> {
        let without = self.without;
        let stretches = self.source.stretches(from, to);
        Box::new(stretches.map(move |stretch| stretch.map(|s| cleared(s, without))))
    }

    fn blob(&self, address: Address) -> Result<Bytes, ReadError> {
        self.source.blob(address)
    }
}

fn cleared(stretch: Stretch, without: &Without) -> Stretch {
    let gone = |(index, event): (usize, &Event)| {
        without.leaves_out(Seq(stretch.first.0.saturating_add(index as u64)), event)
    };
    if !stretch.events.iter().enumerate().any(gone) {
        return stretch;
    }
    let events: Arc<[Event]> = stretch
        .events
        .iter()
        .enumerate()
        .map(|(index, event)| if gone((index, event)) { hidden(event) } else { event.clone() })
        .collect();
    // They are no longer the page that they were read from.
    Stretch { events, address: None, ..stretch }
}
