//! Which events are wanted, by kind and by instrument.

use crate::event::Kind;
use crate::format::summary::{Instruments, PageSummary};
use crate::units::InstrumentId;

/// Which events are wanted: those that every part of it lets through.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// A bit for each tag.
    kinds: Option<u32>,
    /// Ascending.
    instruments: Option<Vec<InstrumentId>>,
}

impl Filter {
    /// Lets everything through.
    #[must_use]
    pub fn new() -> Filter {
        Filter::default()
    }

    /// Only these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = Kind>) -> Filter {
        self.kinds = Some(kinds.into_iter().fold(0, |bits, kind| bits | bit(kind)));
        self
    }

    /// Only events about these instruments.
    #[must_use]
    pub fn instruments(mut self, ids: impl IntoIterator<Item = InstrumentId>) -> Filter {
        let mut ids: Vec<InstrumentId> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        self.instruments = Some(ids);
        self
    }

    /// Whether an event of this kind about this instrument is wanted.
    #[must_use]
    pub fn admits(&self, kind: Kind, instrument: InstrumentId) -> bool {
        self.kinds.is_none_or(|kinds| kinds & bit(kind) != 0)
            && self.instruments.as_ref().is_none_or(|ids| ids.binary_search(&instrument).is_ok())
    }

    /// Whether the page may hold a wanted event, by its kinds.
    pub(crate) fn may_be_in(&self, page: &PageSummary) -> bool {
        self.kinds.is_none_or(|kinds| {
            Kind::ALL.iter().any(|kind| kinds & bit(*kind) != 0 && page.tally.of_kind(*kind) > 0)
        })
    }

    /// Whether it asks for instruments at all.
    pub(crate) fn names_instruments(&self) -> bool {
        self.instruments.is_some()
    }

    /// Whether the page may hold a wanted event, by its instruments.
    pub(crate) fn may_be_among(&self, instruments: &Instruments) -> bool {
        self.instruments.as_ref().is_none_or(|ids| ids.iter().any(|id| instruments.may_hold(*id)))
    }
}

const fn bit(kind: Kind) -> u32 {
    1 << kind as u32
}
