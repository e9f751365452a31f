//! Taking proofs from a journal.
//!
//! Only sealed pages are in the log. An event behind the last page has no
//! address yet, so nothing can be proven of it; its page is sealed when it is
//! full or when the next trading day begins, and never early, because then the
//! pages would depend on who asked.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{MutexGuard, PoisonError};

use super::bundle::{PageProof, row_at};
use super::merkle::{Leaves, NoLeaf, Tree, TreeHash};
use super::slice::Slice;
use crate::event::Kind;
use crate::format::canon::{LABEL, Label};
use crate::format::definitions;
use crate::format::page::Decoder;
use crate::keys;
use crate::limits::{PAGE_EVENTS, SCAN_PAIRS};
use crate::shared::Shared;
use crate::units::{Address, InstrumentId, Seq};
use crate::{Journal, ReadError, read::reader};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProveError {
    #[error("the journal ends at event {head}, so there is no event {seq}")]
    Beyond { seq: Seq, head: Seq },
    #[error(
        "event {seq} cannot be proven yet: its page, which begins at event {first}, is not sealed. \
         That happens after {more} more events, or with the first event of the next trading day"
    )]
    NotSealed { seq: Seq, first: Seq, more: u64 },
    #[error("events {from} to {to} are no range")]
    NoRange { from: Seq, to: Seq },
    #[error("the log has {size} pages, not {wanted}")]
    NoSize { wanted: u64, size: u64 },
    #[error(transparent)]
    NoLeaf(#[from] NoLeaf),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The log of a journal's pages.
pub struct Prover<'a> {
    shared: &'a Shared,
}

impl Leaves for Shared {
    fn hashes(&self, range: Range<u64>) -> Vec<TreeHash> {
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let range = at(range.start)..at(range.end);
        // Copied first: nobody waits for the index while hashes are computed.
        let addresses: Vec<Address> = {
            let index = self.index();
            let range = range.start.min(index.pages.len())..range.end.min(index.pages.len());
            index.pages.get(range).unwrap_or_default().iter().map(|page| page.address).collect()
        };
        addresses.into_iter().map(TreeHash::leaf).collect()
    }
}

impl Journal {
    /// The log of this journal's pages.
    #[must_use]
    pub fn prover(&self) -> Prover<'_> {
        Prover { shared: &self.shared }
    }
}

impl Prover<'_> {
    /// Pages in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.index().pages.len() as u64
    }

    /// Root of the first `size` pages.
    ///
    /// # Errors
    /// [`ProveError::NoSize`].
    pub fn root(&self, size: u64) -> Result<TreeHash, ProveError> {
        Ok(self.tree(size)?.root(self.shared, size)?)
    }

    /// RFC 6962 path that proves the first `old` pages in the first `new`.
    ///
    /// # Errors
    /// [`ProveError::NoSize`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<TreeHash>, ProveError> {
        if old > new {
            return Err(ProveError::NoSize { wanted: old, size: new });
        }
        Ok(self.tree(new)?.consistency(self.shared, old, new)?)
    }

    /// First and last event of the sealed page that holds an event.
    ///
    /// # Errors
    /// [`ProveError::Beyond`], [`ProveError::NotSealed`].
    pub fn page_of(&self, seq: Seq) -> Result<(Seq, Seq), ProveError> {
        let index = self.index_of(seq)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let page = self.shared.index().pages.get(index).cloned();
        page.map(|page| (page.first, page.last()))
            .ok_or_else(|| NoLeaf { index: index as u64 }.into())
    }

    /// Proves single events in the first `size` pages: for each page, the
    /// chunks with its label, its end and the events; where its rows differ in
    /// length, also everything before the events.
    ///
    /// # Errors
    /// [`ProveError`], each as it says.
    pub fn events(&self, seqs: &BTreeSet<Seq>, size: u64) -> Result<Vec<PageProof>, ProveError> {
        let mut pages: Vec<(u64, Vec<Seq>)> = Vec::new();
        for seq in seqs {
            let index = self.index_of(*seq)?;
            match pages.last_mut() {
                Some((last, seqs)) if *last == index => seqs.push(*seq),
                _ => pages.push((index, vec![*seq])),
            }
        }
        let pages = pages.into_iter();
        pages.map(|(index, seqs)| self.page(index, size, Some(&seqs))).collect()
    }

    /// How many pages hold the events from `from` to `to`.
    ///
    /// # Errors
    /// [`ProveError`], each as it says.
    pub fn pages_between(&self, from: Seq, to: Seq) -> Result<u64, ProveError> {
        if from > to {
            return Err(ProveError::NoRange { from, to });
        }
        Ok(self.index_of(to)? - self.index_of(from)? + 1)
    }

    /// Proves all events from `from` to `to` in the first `size` pages.
    ///
    /// # Errors
    /// [`ProveError`], each as it says.
    pub fn range(&self, from: Seq, to: Seq, size: u64) -> Result<Vec<PageProof>, ProveError> {
        if from > to {
            return Err(ProveError::NoRange { from, to });
        }
        let (first, last) = (self.index_of(from)?, self.index_of(to)?);
        (first..=last).map(|index| self.page(index, size, None)).collect()
    }

    /// The sealed event that gives an instrument its id.
    ///
    /// # Errors
    /// When the definitions cannot be read.
    pub fn definition(&self, instrument: InstrumentId) -> Result<Option<Seq>, ProveError> {
        if instrument == InstrumentId::NONE {
            return Ok(None);
        }
        let mut from = Seq::FIRST;
        loop {
            let (key, store) = (from.to_key(), &self.shared.store);
            let pairs = store
                .scan(keys::DEFINITIONS, &key, &[], false, SCAN_PAIRS)
                .map_err(ReadError::from)?;
            for (_, value) in &pairs {
                let (label, list) = definitions::decode(value).map_err(|why| {
                    ReadError::Undecodable { what: "definitions", first: from, why }
                })?;
                let found =
                    list.iter().find(|d| d.kind == Kind::InstrumentDefined && d.id == instrument.0);
                if let Some(found) = found {
                    return Ok(Some(Seq(label.first.0 + u64::from(found.position))));
                }
                from = label.first.next();
            }
            if pairs.len() < SCAN_PAIRS {
                return Ok(None);
            }
        }
    }

    fn tree(&self, size: u64) -> Result<MutexGuard<'_, Tree>, ProveError> {
        let has = self.size();
        if size > has {
            return Err(ProveError::NoSize { wanted: size, size: has });
        }
        // A panic cannot leave it wrong: every hash is final when it is pushed.
        let mut tree = self.shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        tree.grow(self.shared, has)?;
        Ok(tree)
    }

    /// Index in the log of the sealed page that holds an event.
    ///
    /// # Errors
    /// [`ProveError::Beyond`], [`ProveError::NotSealed`].
    pub fn index_of(&self, seq: Seq) -> Result<u64, ProveError> {
        let index = self.shared.index();
        let head = index.end().0;
        if seq < Seq::FIRST || seq > head {
            return Err(ProveError::Beyond { seq, head });
        }
        let at = index.pages.partition_point(|page| page.last() < seq);
        match (index.pages.get(at), &index.open) {
            (Some(page), _) if page.first <= seq => Ok(at as u64),
            (None, Some(open)) => {
                let (first, held) = (open.summary.first, u64::from(open.summary.count));
                let more = (PAGE_EVENTS as u64).saturating_sub(held);
                Err(ProveError::NotSealed { seq, first, more })
            }
            _ => Err(ReadError::Missing { from: seq, to: seq }.into()),
        }
    }

    /// The proof of a page with the chunks that prove `seqs`, or all chunks.
    fn page(&self, index: u64, size: u64, seqs: Option<&[Seq]>) -> Result<PageProof, ProveError> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let summary = self.shared.index().pages.get(at).cloned().ok_or(NoLeaf { index })?;
        let mut decoder = Decoder::default();
        let (label, _) = reader::page_rows(self.shared.store.as_ref(), &summary, &mut decoder)?;
        let whole = Slice::whole(decoder.canonical());
        let slice = match seqs {
            None => whole,
            Some(seqs) => Slice::of(decoder.canonical(), &wanted(&whole, label, seqs)),
        };
        let path = self.tree(size)?.inclusion(self.shared, index, size)?;
        Ok(PageProof { index, address: summary.address, path, slice })
    }
}

/// The bytes of a page that prove these events of it.
fn wanted(whole: &Slice, label: Label, seqs: &[Seq]) -> Vec<Range<u64>> {
    let count = u64::from(label.count);
    let rows = whole.length - LABEL as u64;
    let equal = [64, 128].iter().any(|width| rows == count * width);
    let mut wanted = vec![0..LABEL as u64, whole.length - 1..whole.length];
    wanted.extend(seqs.iter().filter_map(|seq| {
        // The rows come from a page whose address was right: each is one.
        let row = row_at(whole, label.count, seq.0 - label.first.0).ok()?;
        Some(if equal { row } else { 0..row.end })
    }));
    wanted
}
