//! Sealed pages as the bytes that their addresses are the hash of, for whoever
//! keeps or checks pages outside of a journal.

use crate::format::page::Decoder;
use crate::units::{Address, Seq, TradingDay};
use crate::{Journal, ReadError, read::reader};

/// A sealed page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPage {
    /// Its first event.
    pub first: Seq,
    /// Its last event.
    pub last: Seq,
    /// The trading day of its events.
    pub day: TradingDay,
    /// blake3 of the bytes.
    pub address: Address,
    /// Canonical bytes: label and rows as in `FORMAT.md`.
    pub bytes: Vec<u8>,
}

impl Journal {
    /// The sealed page of an address, whole and checked; `None` where there is
    /// none.
    #[must_use]
    pub fn sealed_page(&self, address: Address) -> Option<Result<SealedPage, ReadError>> {
        let first = {
            let index = self.shared.index();
            index.pages.iter().find(|page| page.address == address)?.first
        };
        self.sealed_pages(first, first).next()
    }

    /// The sealed pages that have an event in `from..=to`, whole and checked.
    /// Events behind the last page are in none of them. The iterator ends after
    /// the first error.
    pub fn sealed_pages(
        &self,
        from: Seq,
        to: Seq,
    ) -> impl Iterator<Item = Result<SealedPage, ReadError>> + '_ {
        let mut decoder = Decoder::default();
        let (begin, pages) = {
            let index = self.shared.index();
            let begin = index.pages.partition_point(|page| page.last() < from);
            (begin, index.pages.len())
        };
        let summaries = (begin..pages).map_while(move |at| {
            let page = self.shared.index().pages.get(at).cloned();
            page.filter(|page| page.first <= to)
        });
        let mut ended = false;
        let pages = summaries.map(move |page| {
            let read = reader::page_rows(self.shared.store.as_ref(), &page, &mut decoder);
            let gone = |e| reader::dropped(&self.shared, page.first).unwrap_or(e);
            let (label, _) = read.map_err(gone)?;
            Ok(SealedPage {
                first: label.first,
                last: label.last(),
                day: label.day,
                address: page.address,
                bytes: decoder.canonical().to_vec(),
            })
        });
        pages.take_while(move |page| !std::mem::replace(&mut ended, page.is_err()))
    }
}
