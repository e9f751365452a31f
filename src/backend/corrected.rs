//! The read *as corrected* of artifacts; see [`orrery_replay::corrected`].

use std::collections::BTreeMap;

use orrery_journal::Journal;
use orrery_journal::event::{Body, Event};
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_replay::as_of::{self, AsOfError, At};
use orrery_replay::corrected::{self, Corrected, Corrections};

use super::Archive;
use crate::control::CorrectedRead;
use crate::market::correction;
use crate::models::gravity::lines;

impl Archive {
    /// The newest artifact of a family at a moment, as corrected by everything
    /// that is known now.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub fn corrected_at(
        &self,
        symbol: &str,
        family: &str,
        at: At,
    ) -> Result<Option<CorrectedRead>, AsOfError> {
        let journal = &self.journal;
        let corrections = corrections(journal)?;
        let source = Corrected { journal, corrections: &corrections };
        let found = corrected::latest(source, &self.derived, &self.world, (symbol, family), at)?;
        let events = corrections.up_to(as_of::resolve(journal, at)?.seq);
        let Corrections { known, unusable, .. } = corrections;
        Ok(found.map(|artifact| CorrectedRead { artifact, known, events, unusable }))
    }
}

/// All corrections of a journal, as the folds understand them.
fn corrections(journal: &Journal) -> Result<Corrections, orrery_journal::ReadError> {
    let lists = || (1..).map_while(|id| Some((journal.conditions(id)?, id)));
    let ids: BTreeMap<Box<[u32]>, u32> = lists().collect();
    Corrections::find(journal, &|event, address, right| {
        if let Body::Annotation(was) = event.body {
            return annotation(journal, event, was, address, right);
        }
        correction::righted(event, right, &|list| ids.get(list).copied())
    })
}

/// An annotation of the same author in the place of another.
fn annotation(
    journal: &Journal,
    event: &Event,
    was: Address,
    address: Address,
    right: &[u8],
) -> Option<Event> {
    let author = |text: &[u8]| Some(lines::parse(text, RecvTime(0), Seq::BEFORE_FIRST)?.0);
    let same = author(right)? == author(&journal.blob(was).ok()?)?;
    same.then(|| Event { body: Body::Annotation(address), ..event.clone() })
}
