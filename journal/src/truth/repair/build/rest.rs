//! What retention dropped stays dropped: the new database has the record of it
//! and the names of these pages, whatever a copy still has.

use super::Built;
use crate::format::contents::Contents;
use crate::format::cut::Cut;
use crate::format::definitions::{self, Name};
use crate::format::page::Decoder;
use crate::format::summary::PageSummary;
use crate::keys;
use crate::truth::raw::RawStore;
use crate::truth::repair::RepairError;
use crate::units::{Address, Seq};

/// The record of what was dropped. That of a copy counts only if the first page
/// is not here, as after a drop, and the record here cannot be read.
pub(super) fn dropped(sources: &[&RawStore]) -> Option<Cut> {
    let record = |source: &RawStore| {
        let found = source.candidates(keys::META, keys::CUT_KEY);
        found.iter().find_map(|value| Cut::decode(value).ok())
    };
    let (here, copies) = sources.split_first()?;
    record(here).or_else(|| match here.holds(keys::PAGES, &Seq::FIRST.to_key()) {
        true => None,
        false => copies.iter().find_map(|copy| record(copy)),
    })
}

impl Built<'_> {
    /// What stays of a page that was dropped. `false`: nothing behind it could
    /// be read right.
    pub(super) fn rest(&mut self, page: &PageSummary) -> Result<bool, RepairError> {
        if self.hole(page)? {
            return Ok(true);
        }
        // A copy from before the drop still has the page, which says the same.
        let key = page.first.to_key();
        let mut decoder = Decoder::default();
        for (_, stored) in self.candidates(keys::PAGES, &key) {
            let Ok((label, rows)) = decoder.decode(&stored, page.first, page.address) else {
                continue;
            };
            let Ok(held) = Contents::of(label, page.address, rows) else { continue };
            let names: Vec<Address> = held
                .definitions
                .iter()
                .filter_map(|definition| match definition.name {
                    Name::Blob(address) => Some(address),
                    Name::Inline(_) => None,
                })
                .collect();
            let whole = |address: &Address| {
                let mut found = self.candidates(keys::BLOBS, &address.0).into_iter();
                found.any(|(_, bytes)| Address::of(&bytes) == *address)
            };
            if !names.iter().all(whole) {
                continue;
            }
            self.take_blobs(&names, (page.first, page.last()))?;
            self.rebuilt += 1;
            self.put(keys::SUMMARIES, &key, held.summary.encode(&held.instruments));
            if !held.definitions.is_empty() {
                let list = definitions::encode(label, &held.definitions);
                self.put(keys::DEFINITIONS, &key, list);
            }
            self.commit_some()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The record and the state of the folds that it names. Without all the
    /// pages up to it the record would speak of other events.
    pub(super) fn record(&mut self) -> Result<(), RepairError> {
        let Some(cut) = self.dropped.filter(|cut| cut.last <= self.head) else { return Ok(()) };
        self.take_blobs(&[cut.state], (Seq::FIRST, cut.last))?;
        self.put(keys::META, keys::CUT_KEY, cut.encode());
        Ok(())
    }
}
