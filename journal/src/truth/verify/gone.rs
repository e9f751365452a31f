//! What stays of events that retention dropped, and the record that says so.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Check, DamageKind, chain};
use crate::event::Body;
use crate::format::cut::Cut;
use crate::format::definitions::Name;
use crate::format::summary::PageSummary;
use crate::open::recover::page_definitions;
use crate::store::Store;
use crate::units::{Address, Seq};
use crate::{ReadError, format::blob, keys, truth::loss};

/// The record of what was dropped, or why it cannot be read.
pub(super) fn record(store: &dyn Store) -> (Option<Cut>, Option<String>) {
    match store.get(keys::META, keys::CUT_KEY) {
        Ok(None) => (None, None),
        Ok(Some(value)) => match Cut::decode(&value) {
            Ok(cut) => (Some(cut), None),
            Err(why) => (None, Some(why.to_owned())),
        },
        Err(e) => (None, Some(chain(&e))),
    }
}

impl Check<'_> {
    /// Whether all events up to this one were dropped on purpose.
    pub(crate) fn is_dropped(&self, seq: Seq) -> bool {
        self.cut.is_some_and(|cut| cut.covers(seq))
    }

    /// Notes what the control event of the record says.
    pub(super) fn hear(&mut self, seq: Seq, body: &Body) {
        if let Some(cut) = self.cut.filter(|cut| cut.told == seq) {
            self.told = Some(*body == Body::Control(cut.fact));
        }
    }

    /// A page that was dropped: the names that it defines must be there, or all
    /// ids behind it would shift. Whether the page is there is all the same.
    pub(crate) fn gone(&mut self, page: &PageSummary) -> Result<(), ReadError> {
        let (events, day) = ((page.first, page.last()), Some(page.day));
        self.report.dropped += u64::from(page.count);
        let key = Bytes::copy_from_slice(&page.first.to_key());
        let at = (keys::DEFINITIONS, key.as_ref());
        let stored = self.store.get(keys::DEFINITIONS, &key)?;
        if page.tally.definitions() == 0 {
            if stored.is_some() {
                let what = "definitions are stored for a page that has none".into();
                self.find_at(DamageKind::Definitions, events, day, at, what);
            }
            return Ok(());
        }
        let list = match page_definitions(stored.map(|v| Ok((key.clone(), v))), page) {
            Ok(list) => list,
            Err(why) => {
                self.unreadable.push(events);
                let what = format!("the page's definitions: {why}");
                self.find_at(DamageKind::Definitions, events, day, at, what);
                return Ok(());
            }
        };
        for definition in list {
            if let Name::Blob(address) = definition.name {
                self.kept_blob(address, events, page, "the name of a definition");
            }
        }
        Ok(())
    }

    fn kept_blob(&mut self, address: Address, events: (Seq, Seq), page: &PageSummary, of: &str) {
        if !self.seen.insert(address) {
            return;
        }
        match blob::get(self.store, address) {
            Ok(_) => self.report.blobs += 1,
            Err(_) if loss::covers(&self.report.losses, events) => {}
            Err(e) => {
                let (at, what) = ((keys::BLOBS, address.0.as_slice()), chain(&e));
                self.find_at(DamageKind::Blob, events, Some(page.day), at, format!("{of}: {what}"));
            }
        }
    }

    /// The record must name the end of a page, or lie beyond the end, as in a
    /// copy that was broken off.
    pub(crate) fn record_fits(&mut self, end: Seq, ends: &BTreeSet<Seq>) {
        let misfit = |cut: &Cut| cut.last < end && !ends.contains(&cut.last);
        if let Some(cut) = self.cut.filter(misfit) {
            let what = "the record of what retention dropped names no page's end".into();
            let at = (keys::META, keys::CUT_KEY);
            self.find_at(DamageKind::Bytes, (Seq::FIRST, cut.last), Some(cut.day), at, what);
        }
    }

    /// The record of a drop must be told by its event, and the state that the
    /// folds begin with must be there. After all parts that are looked at; an
    /// event that was not looked at says nothing.
    pub(crate) fn record(&mut self) {
        let at = (keys::META, keys::CUT_KEY);
        if let Some(why) = self.bad_record.take() {
            let nowhere = (Seq::BEFORE_FIRST, Seq::BEFORE_FIRST);
            let what = format!("the record of what retention dropped: {why}");
            self.find_at(DamageKind::Bytes, nowhere, None, at, what);
        }
        let Some(cut) = self.cut else { return };
        let (events, day) = ((Seq::FIRST, cut.last), Some(cut.day));
        let told = |store: &dyn Store| blob::get(store, cut.fact).map(|fact| fact == cut.fact());
        // That the text is missing is found with its event.
        let other = self.told.is_some_and(|said| !said || told(self.store).is_ok_and(|same| !same));
        if other {
            let what = "what was dropped is not what a control event says".into();
            self.find_at(DamageKind::Missing, events, day, at, what);
        }
        if let Err(e) = blob::get(self.store, cut.state)
            && !loss::covers(&self.report.losses, events)
        {
            let what = format!("the state of the folds after what was dropped: {}", chain(&e));
            let at = (keys::BLOBS, cut.state.0.as_slice());
            self.find_at(DamageKind::Blob, events, day, at, what);
        }
    }
}
