//! The folder that is brought up to date.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::{Copied, CopyError, CopyProgress, Moment, chain};
use crate::event::EventError;
use crate::files::Disk;
use crate::format::contents::Contents;
use crate::format::definitions::Name;
use crate::format::page::{self, Decoder, PageError};
use crate::format::running::Running;
use crate::format::summary::PageSummary;
use crate::open::recover::page_definitions;
use crate::open::watermark::Keeper;
use crate::shared::{Seat, Shared, Witness};
use crate::store::{Batch, Durability, Store, StoreError};
use crate::units::{Address, Seq};
use crate::{
    AppendError, Calendar, Journal, OpenOptions, ReadError, SyncMode, format::blob,
    format::definitions, keys, open::mend, read::reader,
};

/// Bytes that one commit writes, more or less.
const COMMIT_BYTES: usize = 8 << 20;
/// Bytes between two syncs: bounds what a power cut takes from a copy.
const SYNC_BYTES: u64 = 256 << 20;

/// A copy, open.
pub(super) struct Target {
    dir: PathBuf,
    journal: Journal,
    seat: Seat,
    /// Frames that it had, until pages or other frames replace them.
    old_frames: Vec<Seq>,
    batch: Batch,
    pending: usize,
    unsynced: u64,
    decoder: Decoder,
    copied: Copied,
}

fn write(error: impl std::error::Error + Send + Sync + 'static) -> CopyError {
    CopyError::Write(Box::new(error))
}

impl Target {
    /// Opens the copy in a folder, or begins one.
    pub(super) fn open(dir: &Path, calendar: Calendar) -> Result<Target, CopyError> {
        let options = OpenOptions { calendar: Some(calendar), sync: SyncMode::Os };
        let journal = Journal::open(dir, &options).map_err(CopyError::Target)?;
        let taken = journal.shared.seat.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(seat) = taken else { return Err(write(AppendError::Closed)) };
        let old_frames = seat.tail.open_summary().map(|o| o.frames).unwrap_or_default();
        let copied = Copied { from: journal.head().seq, ..Copied::default() };
        Ok(Target {
            dir: dir.to_owned(),
            journal,
            seat,
            old_frames,
            batch: Batch::default(),
            pending: 0,
            unsynced: 0,
            decoder: Decoder::default(),
            copied,
        })
    }

    fn shared(&self) -> Arc<Shared> {
        self.journal.shared.clone()
    }

    /// Adds what is missing.
    pub(super) fn bring_to(
        mut self,
        source: &Journal,
        moment: &Moment,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<Copied, CopyError> {
        let from = source.shared.store.as_ref();
        let held = self.shared().index().pages.len();
        self.compare(from, moment, held)?;
        let head = moment.last();
        self.dropped(from, moment, held)?;
        for page in moment.pages.get(held..).unwrap_or_default() {
            match moment.cut.is_some_and(|cut| cut.covers(page.last())) {
                true => self.rest_of(from, page)?,
                false => self.page(from, page)?,
            }
            if self.pending >= COMMIT_BYTES {
                self.commit()?;
            }
            if progress(CopyProgress { seq: page.last(), head }).is_break() {
                self.commit()?;
                return Err(CopyError::Stopped { at: page.last() });
            }
        }
        self.frames(from, moment)?;
        self.commit()?;
        self.finish(moment)?;
        let _ = progress(CopyProgress { seq: head, head });
        Ok(self.copied)
    }

    /// Refuses a copy that holds anything but the first events of the source.
    fn compare(&mut self, from: &dyn Store, moment: &Moment, held: usize) -> Result<(), CopyError> {
        let shared = self.shared();
        let index = shared.index();
        let diverged = |at| CopyError::Diverged { path: self.dir.clone(), at };
        for (ours, theirs) in moment.pages.iter().zip(&index.pages) {
            if (ours.first, ours.address) != (theirs.first, theirs.address) {
                return Err(diverged(theirs.first));
            }
        }
        let (ours, theirs) = (moment.last(), index.end().0);
        if theirs > ours {
            return Err(CopyError::Ahead { path: self.dir.clone(), ours, theirs });
        }
        // Where pages begin depends on the events alone.
        if let Some(page) = index.pages.get(moment.pages.len()) {
            return Err(diverged(page.first));
        }
        let Some(open) = &index.open else { return Ok(()) };
        // The events that lie in frames there are the first of a page here, or
        // of the frames here.
        let rows = self.seat.tail.open_rows();
        let same = match moment.pages.get(held) {
            Some(page) if moment.cut.is_some_and(|cut| cut.covers(page.last())) => {
                return Err(CopyError::Dropped { from: open.summary.first, to: page.last() });
            }
            Some(page) => {
                let (_, whole) =
                    reader::page_rows(from, page, &mut self.decoder).map_err(CopyError::Source)?;
                whole.starts_with(rows)
            }
            None => frame_rows(moment)?.starts_with(rows),
        };
        if same { Ok(()) } else { Err(diverged(open.summary.first)) }
    }

    /// Begins a copy of a journal whose first days are gone. One that has events
    /// already and not all of those would have a hole, which nothing explains.
    fn dropped(&mut self, from: &dyn Store, moment: &Moment, held: usize) -> Result<(), CopyError> {
        let Some(cut) = moment.cut else { return Ok(()) };
        let Some(next) = moment.pages.get(held).filter(|p| cut.covers(p.last())) else {
            return Ok(());
        };
        let shared = self.shared();
        let pages = shared.store.scan(keys::PAGES, &[], &[], false, 1).map_err(write)?;
        if !pages.is_empty() {
            return Err(CopyError::Dropped { from: next.first, to: cut.last });
        }
        self.blobs(from, &[cut.state])?;
        self.batch.put(keys::META, keys::CUT_KEY, cut.encode());
        // Its first summary comes in the same commit, so that the record never
        // stands alone.
        Ok(())
    }

    /// What stays of a page that retention dropped.
    fn rest_of(&mut self, from: &dyn Store, page: &PageSummary) -> Result<(), CopyError> {
        let key = page.first.to_key();
        if page.tally.definitions() > 0 {
            let found =
                from.get(keys::DEFINITIONS, &key).map_err(|e| CopyError::Source(e.into()))?;
            let pair = found.clone().map(|value| Ok((Bytes::copy_from_slice(&key), value)));
            let list = page_definitions(pair, page).map_err(|why| {
                let (what, first) = ("definitions", page.first);
                CopyError::Source(ReadError::Undecodable { what, first, why })
            })?;
            let names: Vec<Address> = list
                .iter()
                .filter_map(|d| match &d.name {
                    Name::Blob(address) => Some(*address),
                    Name::Inline(_) => None,
                })
                .collect();
            self.blobs(from, &names)?;
            self.batch.put(keys::DEFINITIONS, key.to_vec(), found.unwrap_or_default());
        }
        let first = page.first;
        let found = from.get(keys::SUMMARIES, &key).map_err(|e| CopyError::Source(e.into()))?;
        let value =
            found.ok_or(CopyError::Source(ReadError::Missing { from: first, to: first }))?;
        if !PageSummary::decode(&value).is_ok_and(|(summary, _)| summary == *page) {
            let why = "it is another page's".into();
            return Err(CopyError::Source(ReadError::Undecodable { what: "summary", first, why }));
        }
        self.put_bytes(value.len());
        self.batch.put(keys::SUMMARIES, key.to_vec(), value);
        self.copied.pages += 1;
        Ok(())
    }

    /// A page with everything that belongs to it.
    fn page(&mut self, from: &dyn Store, page: &PageSummary) -> Result<(), CopyError> {
        let (first, key) = (page.first, page.first.to_key());
        let missing = ReadError::Missing { from: first, to: page.last() };
        let stored = from.get(keys::PAGES, &key).map_err(|e| CopyError::Source(e.into()))?;
        let stored = stored.ok_or(CopyError::Source(missing))?;
        let mut decoder = std::mem::take(&mut self.decoder);
        let (label, rows) = decoder
            .decode(&stored, first, page.address)
            .map_err(|e| CopyError::Source(unreadable(first, e)))?;
        let held = Contents::of(label, page.address, rows).map_err(|e| unclear(first, &e))?;
        if held.summary != *page {
            let why = "its summary does not say what it holds".into();
            return Err(CopyError::Source(ReadError::Undecodable { what: "page", first, why }));
        }
        self.blobs(from, &held.blobs)?;
        // Bits that changed without changing an event end here.
        let stored = match page::is_intact(&stored) {
            true => stored,
            false => page::Encoder::default().encode(label, rows).0.into(),
        };
        self.decoder = decoder;
        self.put_bytes(stored.len());
        self.batch.put(keys::PAGES, key.to_vec(), stored);
        self.batch.put(keys::SUMMARIES, key.to_vec(), page.encode(&held.instruments));
        if !held.definitions.is_empty() {
            let value = definitions::encode(page.label(), &held.definitions);
            self.put_bytes(value.len());
            self.batch.put(keys::DEFINITIONS, key.to_vec(), value);
        }
        self.forget_frames();
        self.copied.pages += 1;
        Ok(())
    }

    /// Blobs that the copy lacks, each checked.
    fn blobs(&mut self, from: &dyn Store, wanted: &[Address]) -> Result<(), CopyError> {
        let shared = self.shared();
        let mut put: Vec<&Address> = Vec::new();
        for address in wanted {
            if put.contains(&address)
                || shared.store.get(keys::BLOBS, &address.0).map_err(write)?.is_some()
            {
                continue;
            }
            put.push(address);
            let bytes = blob::get(from, *address).map_err(CopyError::Source)?;
            self.put_bytes(bytes.len());
            self.batch.put(keys::BLOBS, address.0.to_vec(), bytes);
            self.copied.blobs += 1;
        }
        Ok(())
    }

    /// The frames behind the last page, in place of those that were there.
    fn frames(&mut self, from: &dyn Store, moment: &Moment) -> Result<(), CopyError> {
        self.forget_frames();
        let Some(open) = &moment.open else { return Ok(()) };
        let rows = frame_rows(moment)?;
        let (label, first) = (open.summary.label(), open.summary.first);
        let held =
            Contents::of(label, Address::default(), &rows).map_err(|e| unclear(first, &e))?;
        self.blobs(from, &held.blobs)?;
        for (first, stored) in open.frames.iter().zip(&moment.frames) {
            self.put_bytes(stored.len());
            self.batch.put(keys::FRAMES, first.to_key().to_vec(), stored.clone());
            self.copied.frames += 1;
        }
        Ok(())
    }

    /// Drops the frames that the copy had when it was opened; once.
    fn forget_frames(&mut self) {
        for first in std::mem::take(&mut self.old_frames) {
            self.batch.delete(keys::FRAMES, first.to_key().to_vec());
        }
    }

    /// Has the next opening write anew what this one may not have written.
    fn failed(&self, error: StoreError) -> CopyError {
        mend::mark_dirty(&Disk, &self.dir.join("journal"), &error.to_string());
        write(error)
    }

    fn put_bytes(&mut self, bytes: usize) {
        self.pending += bytes;
        self.copied.bytes += bytes as u64;
    }

    fn commit(&mut self) -> Result<(), CopyError> {
        let shared = self.shared();
        let bytes = std::mem::take(&mut self.pending) as u64;
        let batch = std::mem::take(&mut self.batch);
        if batch.changes.is_empty() {
            return Ok(());
        }
        let needed = 2 * bytes + shared.store.unflushed();
        if let Err(AppendError::DiskFull { free, reserve }) = shared.guard.admit(0, needed) {
            return Err(CopyError::NoRoom { free, reserve });
        }
        self.unsynced += bytes;
        let mut done = shared.store.commit(batch, Durability::Os);
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            done = done.and_then(|()| shared.store.sync());
        }
        done.map_err(|e| self.failed(e))
    }

    /// Everything on disk, then HEAD.
    fn finish(&mut self, moment: &Moment) -> Result<(), CopyError> {
        self.shared().store.sync().map_err(|e| self.failed(e))?;
        let mut running = Running::behind(chain(&moment.pages));
        running.rows(&frame_rows(moment)?);
        let hash = running.hash();
        let Some(Witness { files, path, mark }) = &self.seat.witness else { return Ok(()) };
        let mut keeper = Keeper::start(files, path, *mark).map_err(write)?;
        let said = keeper.begin(moment.last(), hash).and_then(|()| keeper.wait());
        said.map_err(|why| write(std::io::Error::other(why)))?;
        self.copied.head = moment.last();
        Ok(())
    }
}

/// The rows of all frames, one after another.
fn frame_rows(moment: &Moment) -> Result<Vec<u8>, CopyError> {
    let mut out = Vec::new();
    let firsts = moment.open.iter().flat_map(|o| &o.frames);
    for (first, stored) in firsts.zip(&moment.frames) {
        let (_, rows) = reader::frame_rows(stored, *first, *first).map_err(CopyError::Source)?;
        out.extend_from_slice(rows);
    }
    Ok(out)
}

fn unreadable(first: Seq, error: PageError) -> ReadError {
    match error {
        PageError::Malformed(why) => ReadError::Undecodable { what: "page", first, why },
        PageError::Address { expected, got } => ReadError::AddressMismatch { first, expected, got },
    }
}

fn unclear(first: Seq, error: &EventError) -> CopyError {
    let why = error.to_string();
    CopyError::Source(ReadError::Undecodable { what: "page", first, why })
}
