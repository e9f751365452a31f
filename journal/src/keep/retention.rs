//! Retention: whole days go, what proves them stays.
//!
//! Dropped are the pages of the first days and the blobs that only they name.
//! Their summaries, definitions and addresses stay, so that seqs, ids, counts
//! and the chain of addresses hold. A control event says so before anything is
//! deleted, and a record ([`Cut`]) in the store from then on; both name the
//! state of the folds at the last dropped event, kept as a blob, from which
//! everything behind it can be folded again. Broken off at any point, the next
//! run deletes what is left.

mod plan;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

pub use self::plan::Plan;
use crate::event::{Draft, DraftBody, InstrumentRef};
use crate::files::Disk;
use crate::format::cut::{self, Cut};
use crate::format::summary::PageSummary;
use crate::store::{Batch, Durability, StoreError};
use crate::units::{Address, Seq, SourceId, TradingDay};
use crate::{AppendError, Head, Journal, ReadError, Writer, keys, open::watermark};

/// Pages that one commit deletes, with their blobs.
const COMMIT_PAGES: usize = 64;

/// Why nothing, or not everything, was dropped.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RetentionError {
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    #[error("the drop could not be journaled; nothing was deleted")]
    Append(#[from] AppendError),
    #[error("{day} is open or in the future: only whole days before the last one can go")]
    OpenDay { day: TradingDay },
    #[error("the event that tells of the drop is not in HEAD yet; nothing was deleted, try again")]
    Unwitnessed,
    #[error("deleting broke off; start again, the next run deletes what is left")]
    Write(#[from] StoreError),
    #[error("stopped; the next run deletes what is left")]
    Stopped,
}

/// What was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// Pages deleted.
    pub pages: u64,
    /// Blobs deleted.
    pub blobs: u64,
    /// Bytes of both, as they were stored.
    pub bytes: u64,
}

impl Journal {
    /// What was dropped before; `None` when the journal is whole.
    #[must_use]
    pub fn cut(&self) -> Option<Cut> {
        self.shared.index().cut
    }

    /// The last dropped event and its time: where folding begins.
    #[must_use]
    pub fn cut_end(&self) -> Option<Head> {
        let index = self.shared.index();
        let last = index.cut?.last;
        let page = index.pages.iter().find(|p| p.last() == last)?;
        Some(Head { seq: last, recv: page.last_recv })
    }

    /// The hash of the first event's canonical bytes, which tells one journal
    /// from another; kept when the event itself is dropped. `None` for an empty
    /// journal.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn origin(&self) -> Result<Option<Address>, ReadError> {
        if let Some(cut) = self.cut() {
            return Ok(Some(cut.origin));
        }
        for stretch in self.read(Seq::FIRST, Seq::FIRST) {
            if let Some(first) = stretch?.events.first() {
                let mut bytes = Vec::new();
                crate::event::encode(first, &mut bytes);
                return Ok(Some(Address::of(&bytes)));
            }
        }
        Ok(None)
    }

    /// What dropping every day before `day` would do. Reads what is to go and
    /// whatever may share its blobs.
    ///
    /// # Errors
    /// See [`RetentionError`].
    pub fn plan_drop(&self, day: TradingDay) -> Result<Plan, RetentionError> {
        plan::plan(self, day)
    }

    /// Drops the days of a plan. `state` is what the folds knew after
    /// [`Plan::last`]. `writer` is this journal's.
    ///
    /// # Errors
    /// See [`RetentionError`]. After an error the journal is whole up to what
    /// was deleted, and reads of what was to go are refused.
    pub fn drop_days(
        &self,
        writer: &Writer,
        plan: &Plan,
        state: Bytes,
        progress: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<Dropped, RetentionError> {
        let _alone = self.upkeep();
        let (Some(last), Some(day)) = (plan.last, plan.days.last().copied()) else {
            return Ok(Dropped::default());
        };
        let origin = self.origin()?.unwrap_or_default();
        let fact = cut::fact(last, day, Address::of(&state), origin);
        // From here on a blob that is named again is spared.
        let doomed = &self.shared.doomed;
        doomed.begin(plan.blobs.clone());
        let mut batch = Batch::default();
        let kept = Address::of(&state);
        doomed.spare(&kept);
        batch.put(keys::BLOBS, kept.0.to_vec(), state);
        self.shared.store.commit(batch, Durability::Disk)?;
        let told = writer.append(vec![control(fact.clone())])?.wait()?;
        let cut = Cut { last, day, told: told.last, fact: Address::of(&fact), state: kept, origin };
        self.head_beyond(last)?;
        self.spare_since(plan.seen)?;
        self.delete(cut, plan.old_state.filter(|old| *old != kept), progress)
    }

    /// Deletes what a drop that broke off left.
    ///
    /// # Errors
    /// See [`RetentionError`].
    pub fn finish_drop(
        &self,
        writer: &Writer,
        progress: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<Dropped, RetentionError> {
        let _alone = self.upkeep();
        let Some(cut) = self.cut() else { return Ok(Dropped::default()) };
        let left = plan::left(self, cut)?;
        if left.pages == 0 {
            return Ok(Dropped::default());
        }
        self.shared.doomed.begin(left.blobs.clone());
        // Nothing is staged that has not heard of it once this is answered.
        writer.append(Vec::new())?.wait()?;
        self.spare_since(left.seen)?;
        self.delete(cut, None, progress)
    }

    /// Refuses to delete what HEAD does not yet lie behind.
    fn head_beyond(&self, last: Seq) -> Result<(), RetentionError> {
        let Some(folder) = self.folder() else { return Ok(()) };
        match watermark::read(&Disk, &folder.join("journal/HEAD")) {
            Ok(mark) if mark.seq > last => Ok(()),
            _ => Err(RetentionError::Unwitnessed),
        }
    }

    /// Spares the blobs of events that came after the plan was made.
    fn spare_since(&self, seen: Seq) -> Result<(), RetentionError> {
        for stretch in self.read(seen.next(), Seq::MAX) {
            for event in stretch?.events.iter() {
                event.body.blobs().iter().for_each(|address| self.shared.doomed.spare(address));
            }
        }
        Ok(())
    }

    /// Pages up to the cut and the blobs that are still doomed, oldest first.
    fn delete(
        &self,
        cut: Cut,
        old_state: Option<Address>,
        progress: &mut dyn FnMut(Seq) -> ControlFlow<()>,
    ) -> Result<Dropped, RetentionError> {
        let pages: Vec<Arc<PageSummary>> = {
            let mut index = self.shared.index.write().unwrap_or_else(|e| e.into_inner());
            index.cut = Some(cut);
            index.pages.iter().take_while(|p| p.last() <= cut.last).cloned().collect()
        };
        let store = self.shared.store.as_ref();
        let mut dropped = Dropped::default();
        let mut record = Some(cut.encode());
        let mut decoder = crate::format::page::Decoder::default();
        for chunk in pages.chunks(COMMIT_PAGES) {
            let mut batch = Batch::default();
            if let Some(record) = record.take() {
                batch.put(keys::META, keys::CUT_KEY, record);
                old_state.iter().for_each(|old| batch.delete(keys::BLOBS, old.0.to_vec()));
            }
            let mut named = BTreeSet::new();
            for page in chunk {
                let key = page.first.to_key();
                let Some(stored) = store.get(keys::PAGES, &key)? else { continue };
                named.extend(plan::blobs_of(store, page, &mut decoder)?);
                dropped.pages += 1;
                dropped.bytes += stored.len() as u64;
                batch.delete(keys::PAGES, key.to_vec());
            }
            // Held while it is deleted: a blob is either spared before, or
            // written again after.
            self.shared.doomed.take(&named, |gone| {
                for address in gone {
                    if let Some(blob) = store.get(keys::BLOBS, &address.0)? {
                        dropped.blobs += 1;
                        dropped.bytes += blob.len() as u64;
                        batch.delete(keys::BLOBS, address.0.to_vec());
                    }
                }
                store.commit(std::mem::take(&mut batch), Durability::Disk)
            })?;
            let reached = chunk.last().map_or(cut.last, |p| p.last());
            if progress(reached).is_break() {
                return Err(RetentionError::Stopped);
            }
        }
        Ok(dropped)
    }
}

fn control(fact: Bytes) -> Draft {
    Draft {
        recv: None,
        vendor_time: None,
        instrument: InstrumentRef::None,
        source: SourceId::JOURNAL,
        extension: None,
        body: DraftBody::Control(fact),
    }
}
