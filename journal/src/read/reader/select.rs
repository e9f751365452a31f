//! Reading only what a filter wants. Pages that cannot hold any of it are not
//! read: the kinds of a page are known from the index, its instruments from its
//! stored summary. Of the others only the wanted rows become events.

use std::sync::Arc;

use super::{Found, find, frame_rows, page_rows};
use crate::event::{self, JournalEvent};
use crate::format::canon::{Label, Rows};
use crate::format::page::Decoder;
use crate::format::summary::PageSummary;
use crate::read::filter::Filter;
use crate::shared::Shared;
use crate::units::Seq;
use crate::{ReadError, keys};

/// What a [`Selection`] has looked at so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Looked {
    /// Pages that were read.
    pub pages: u64,
    /// Pages whose summary said that nothing wanted is in them.
    pub skipped: u64,
    /// Frames that were read.
    pub frames: u64,
}

/// Goes through the wanted events of a range, page by page.
pub struct Selection {
    shared: Arc<Shared>,
    next: Seq,
    to: Seq,
    filter: Filter,
    decoder: Decoder,
    looked: Looked,
    ended: bool,
}

impl Selection {
    pub(crate) fn new(shared: Arc<Shared>, from: Seq, to: Seq, filter: Filter) -> Selection {
        let end = shared.index().end().0;
        let (next, to) = (from.max(Seq::FIRST), to.min(end));
        let (decoder, looked) = (Decoder::default(), Looked::default());
        Selection { shared, next, to, filter, decoder, looked, ended: false }
    }

    /// What it has looked at so far.
    #[must_use]
    pub fn looked(&self) -> Looked {
        self.looked
    }

    /// The wanted events of the page or frame that holds `next`.
    fn step(&mut self) -> Result<Vec<JournalEvent>, ReadError> {
        let (from, to) = (self.next, self.to);
        match find(&self.shared, from)? {
            Found::Page(page) => {
                self.next = page.last().next();
                if !self.may_hold(&page)? {
                    self.looked.skipped += 1;
                    return Ok(Vec::new());
                }
                self.looked.pages += 1;
                let (label, rows) =
                    page_rows(self.shared.store.as_ref(), &page, &mut self.decoder)?;
                wanted(label, rows, from, to, &self.filter, "page")
            }
            Found::Frame(first, stored) => {
                let (label, rows) = frame_rows(&stored, first, from)?;
                self.next = label.last().next();
                self.looked.frames += 1;
                wanted(label, rows, from, to, &self.filter, "frame")
            }
        }
    }

    fn may_hold(&self, page: &PageSummary) -> Result<bool, ReadError> {
        if !self.filter.may_be_in(page) {
            return Ok(false);
        }
        if !self.filter.names_instruments() {
            return Ok(true);
        }
        let (first, to) = (page.first, page.last());
        let stored = self.shared.store.get(keys::SUMMARIES, &first.to_key())?;
        let stored = stored.ok_or(ReadError::Missing { from: first, to })?;
        let undecodable = |why| ReadError::Undecodable { what: "page summary", first, why };
        let (summary, instruments) = PageSummary::decode(&stored).map_err(undecodable)?;
        if summary != *page {
            return Err(undecodable("it is that of another page".into()));
        }
        // An old summary says nothing: anything may be there.
        Ok(instruments.is_none_or(|instruments| self.filter.may_be_among(&instruments)))
    }
}

fn wanted(
    label: Label,
    rows: &[u8],
    from: Seq,
    to: Seq,
    filter: &Filter,
    what: &'static str,
) -> Result<Vec<JournalEvent>, ReadError> {
    let first = label.first;
    let undecodable =
        |e: event::EventError| ReadError::Undecodable { what, first, why: e.to_string() };
    let mut out = Vec::new();
    for (row, seq) in Rows::new(rows).zip(first.0..).map(|(row, seq)| (row, Seq(seq))) {
        let row = row.map_err(undecodable)?;
        if seq >= from && seq <= to && filter.admits(row.kind, row.instrument()) {
            let event = event::parse(row.bytes, row.kind).map_err(undecodable)?;
            out.push(JournalEvent { seq, event });
        }
    }
    Ok(out)
}

impl Iterator for Selection {
    type Item = Result<Vec<JournalEvent>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended && self.next <= self.to {
            match self.step() {
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Some(Ok(events)),
                Err(e) => {
                    self.ended = true;
                    return Some(Err(e));
                }
            }
        }
        None
    }
}
