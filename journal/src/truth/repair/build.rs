//! What goes into the new database, part by part.

mod rest;

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;

use self::rest::dropped;
use super::{RepairError, Repaired, Taken};
use crate::files::Disk;
use crate::format::canon::{Label, Rows};
use crate::format::contents::Contents;
use crate::format::cut::Cut;
use crate::format::definitions::Name;
use crate::format::page::{self, Decoder};
use crate::format::running::Running;
use crate::format::summary::PageSummary;
use crate::limits::PAGE_EVENTS;
use crate::open::watermark::{self, Mark, MarkError};
use crate::store::fjall::FjallStore;
use crate::store::{Batch, Durability, Store};
use crate::truth::inspect::parts::{self, Part};
use crate::truth::loss::{self, Loss, LossKind};
use crate::truth::raw::RawStore;
use crate::units::{Address, RecvTime, Seq};
use crate::{OpenError, Stage, format::definitions, format::frame, keys, open::recover};

/// Bytes that one commit writes, more or less.
const COMMIT_BYTES: usize = 8 << 20;

/// A database on its way; without a store it only counts.
pub(super) struct Built<'a> {
    sources: &'a [&'a RawStore],
    store: Option<FjallStore>,
    batch: Batch,
    pending: usize,
    /// Accepted before, and now.
    accepted: Vec<Loss>,
    running: Running,
    decoder: Decoder,
    seen: BTreeSet<Address>,
    /// Frames whose page is not complete yet: label, rows, stored.
    open: Vec<(Label, Vec<u8>, Bytes)>,
    head: Seq,
    pages: Taken,
    frames: Taken,
    blobs: Taken,
    rebuilt: u64,
    /// Stretches that are in no source, in order.
    pub missing: Vec<(Seq, Seq)>,
    /// What retention dropped; of these pages only names are kept.
    dropped: Option<Cut>,
    /// From here on nothing is kept.
    cut: Option<(Seq, Seq)>,
}

/// The acknowledged watermark to be kept to, and whether it is the one here.
pub(super) fn mark(folder: &Path, copy: Option<&Path>) -> Result<(Mark, bool), RepairError> {
    for (at, folder) in [Some(folder), copy].into_iter().flatten().enumerate() {
        match watermark::read(&Disk, &folder.join("HEAD")) {
            Ok(mark) => return Ok((mark, at == 0)),
            Err(MarkError::Io(source)) => {
                return Err(RepairError::Io { path: folder.join("HEAD"), source });
            }
            Err(_) => {}
        }
    }
    Err(RepairError::NoHead)
}

impl<'a> Built<'a> {
    pub(super) fn new(
        sources: &'a [&'a RawStore],
        folder: Option<&Path>,
        losses: &[Loss],
    ) -> Result<Built<'a>, RepairError> {
        let mut marks = sources.iter().flat_map(|s| s.candidates(keys::META, keys::META_KEY));
        let known = |value: Bytes| match recover::read_meta(&value) {
            Ok((format, calendar)) if format <= recover::FORMAT => calendar,
            _ => None,
        };
        let calendar = marks.find_map(known).ok_or(RepairError::NoFormat)?;
        let mut accepted: Vec<Loss> = sources.first().map(|s| loss::all(*s)).unwrap_or_default();
        accepted.extend_from_slice(losses);
        let store = match folder {
            Some(folder) => Some(FjallStore::open(&folder.join("db"), &keys::ALL)?),
            None => None,
        };
        let mut batch = Batch::default();
        batch.put(keys::META, keys::META_KEY, recover::encode_meta(calendar));
        accepted.iter().for_each(|loss| loss.put(&mut batch));
        Ok(Built {
            sources,
            store,
            batch,
            pending: 0,
            accepted,
            running: Running::behind(Address::default()),
            decoder: Decoder::default(),
            seen: BTreeSet::new(),
            open: Vec::new(),
            head: Seq::BEFORE_FIRST,
            pages: Taken::default(),
            frames: Taken::default(),
            blobs: Taken::default(),
            rebuilt: 0,
            missing: Vec::new(),
            dropped: dropped(sources),
            cut: None,
        })
    }

    /// All parts; `acknowledged` is the last event that must be there.
    pub(super) fn all(
        &mut self,
        plan: &[Part],
        acknowledged: Seq,
        progress: &mut dyn FnMut(Stage, u64, u64),
    ) -> Result<(), RepairError> {
        let end = plan.last().map_or(Seq::BEFORE_FIRST, |part| part.events().1);
        for part in plan {
            progress(Stage::Events, part.events().1.0, end.0);
            match part {
                Part::Page(page) | Part::Bare(page) => {
                    self.seal()?;
                    self.rebuilt += u64::from(matches!(part, Part::Bare(_)));
                    if !self.page(page)? {
                        self.cut = Some((page.first, end.max(acknowledged)));
                        break;
                    }
                    self.running.page(page.address);
                    self.head = page.last();
                }
                Part::Frame { label, .. } => {
                    let other = |open: &(Label, Vec<u8>, Bytes)| open.0.day != label.day;
                    if self.open.first().is_some_and(other) {
                        self.seal()?;
                    }
                    self.frame(label)?;
                    self.head = label.last();
                }
                // Without knowing what was here, what follows has no place.
                Part::Nothing { first, .. } => {
                    self.cut = Some((*first, end.max(acknowledged)));
                    break;
                }
            }
        }
        if self.cut.is_none() && self.head < acknowledged {
            self.cut = Some((self.head.next(), acknowledged));
        }
        self.missing.extend(self.cut);
        self.record()?;
        self.ends()?;
        self.commit()
    }

    fn candidates(&self, table: crate::store::Table, key: &[u8]) -> Vec<(usize, Bytes)> {
        let of = |(at, source): (usize, &&RawStore)| {
            source.candidates(table, key).into_iter().map(move |value| (at, value))
        };
        self.sources.iter().enumerate().flat_map(of).collect()
    }

    /// A page, or what is left of it. `false`: nothing behind it could be read
    /// right.
    fn page(&mut self, page: &PageSummary) -> Result<bool, RepairError> {
        let events = (page.first, page.last());
        if self.dropped.is_some_and(|cut| cut.covers(page.last())) {
            return self.rest(page);
        }
        let mut decoder = std::mem::take(&mut self.decoder);
        for (at, stored) in self.candidates(keys::PAGES, &page.first.to_key()) {
            let Ok((label, rows)) = decoder.decode(&stored, page.first, page.address) else {
                continue;
            };
            let intact = page::is_intact(&stored);
            count(&mut self.pages, at);
            self.write_page(label, rows, page.address, intact.then_some(stored))?;
            self.decoder = decoder;
            return Ok(true);
        }
        self.decoder = decoder;
        // A page that was sealed lately is in the log as frames, too.
        let (label, rows) = (page.label(), self.rows(page));
        let mut encoder = page::Encoder::default();
        if rows.as_ref().is_some_and(|rows| encoder.encode(label, rows).1 == page.address) {
            self.rebuilt += 1;
            self.write_page(label, &rows.unwrap_or_default(), page.address, None)?;
            return Ok(true);
        }
        if !self.hole(page)? {
            return Ok(false);
        }
        if !loss::covers(&self.accepted, events) {
            self.missing.push(events);
        }
        Ok(true)
    }

    /// The rows of a page from the frames that it replaced.
    fn rows(&self, page: &PageSummary) -> Option<Vec<u8>> {
        let (mut rows, mut at) = (Vec::new(), page.first);
        while at <= page.last() {
            let stored = self.candidates(keys::FRAMES, &at.to_key());
            let (_, stored) = stored.iter().find(|(_, v)| parts::frame_label(v, at).is_some())?;
            let (label, more) = frame::decode(stored).ok()?;
            rows.extend_from_slice(more);
            at = label.last().next();
        }
        Some(rows)
    }

    /// What is left of a page: its name and the names it defines. Without these
    /// all ids behind it would shift.
    fn hole(&mut self, page: &PageSummary) -> Result<bool, RepairError> {
        let key = page.first.to_key();
        let stored = self.candidates(keys::DEFINITIONS, &key);
        let whole = |value: &Bytes| {
            definitions::decode(value).is_ok_and(|(label, list)| {
                label.first == page.first && list.len() as u32 == page.tally.definitions()
            })
        };
        let stored = stored.into_iter().find(|(_, value)| whole(value));
        if let Some((_, value)) = stored {
            let names = definitions::decode(&value).map(|(_, list)| list).unwrap_or_default();
            let blobs: Vec<Address> = names
                .into_iter()
                .filter_map(|definition| match definition.name {
                    Name::Blob(address) => Some(address),
                    Name::Inline(_) => None,
                })
                .collect();
            let before = self.missing.len();
            self.take_blobs(&blobs, (page.first, page.last()))?;
            if self.missing.len() > before {
                self.missing.truncate(before);
                return Ok(false);
            }
            self.put(keys::DEFINITIONS, &key, value.to_vec());
        } else if page.tally.definitions() > 0 {
            return Ok(false);
        }
        let stored = self.candidates(keys::SUMMARIES, &key);
        let same = |value: &Bytes| PageSummary::decode(value).is_ok_and(|(s, _)| s == *page);
        let Some((_, summary)) = stored.into_iter().find(|(_, value)| same(value)) else {
            return Ok(false);
        };
        self.put(keys::SUMMARIES, &key, summary.to_vec());
        self.commit_some()?;
        Ok(true)
    }

    fn write_page(
        &mut self,
        label: Label,
        rows: &[u8],
        address: Address,
        stored: Option<Bytes>,
    ) -> Result<(), RepairError> {
        let first = label.first;
        let held = Contents::of(label, address, rows).map_err(|e| unclear(first, &e))?;
        self.take_blobs(&held.blobs, (first, label.last()))?;
        let key = first.to_key();
        let stored = match stored {
            Some(stored) => stored.to_vec(),
            None => page::Encoder::default().encode(label, rows).0,
        };
        self.put(keys::PAGES, &key, stored);
        self.put(keys::SUMMARIES, &key, held.summary.encode(&held.instruments));
        if !held.definitions.is_empty() {
            self.put(keys::DEFINITIONS, &key, definitions::encode(label, &held.definitions));
        }
        self.commit_some()
    }

    fn frame(&mut self, label: &Label) -> Result<(), RepairError> {
        for (at, stored) in self.candidates(keys::FRAMES, &label.first.to_key()) {
            if parts::frame_label(&stored, label.first) != Some(*label) {
                continue;
            }
            let Ok((_, rows)) = frame::decode(&stored) else { continue };
            count(&mut self.frames, at);
            self.open.push((*label, rows.to_vec(), stored.clone()));
            break;
        }
        let events: usize = self.open.iter().map(|(label, _, _)| label.count as usize).sum();
        if events >= PAGE_EVENTS { self.seal() } else { Ok(()) }
    }

    /// Makes a page of the frames so far, if there are any.
    fn seal(&mut self) -> Result<(), RepairError> {
        let open = std::mem::take(&mut self.open);
        let Some((first, _, _)) = open.first() else { return Ok(()) };
        let rows: Vec<u8> = open.iter().flat_map(|(_, rows, _)| rows.iter().copied()).collect();
        let label = Label { count: Rows::new(&rows).count() as u32, ..*first };
        let address = page::Encoder::default().encode(label, &rows).1;
        self.running.page(address);
        self.rebuilt += 1;
        self.write_page(label, &rows, address, None)
    }

    /// What is behind the last page stays as it is.
    fn ends(&mut self) -> Result<(), RepairError> {
        for (label, rows, stored) in std::mem::take(&mut self.open) {
            let (first, address) = (label.first, Address::default());
            let held = Contents::of(label, address, &rows).map_err(|e| unclear(first, &e))?;
            self.take_blobs(&held.blobs, (first, label.last()))?;
            self.running.rows(&rows);
            self.put(keys::FRAMES, &first.to_key(), stored.to_vec());
        }
        Ok(())
    }

    fn take_blobs(&mut self, wanted: &[Address], events: (Seq, Seq)) -> Result<(), RepairError> {
        for address in wanted {
            if !self.seen.insert(*address) {
                continue;
            }
            let mut found = self.candidates(keys::BLOBS, &address.0).into_iter();
            match found.find(|(_, bytes)| Address::of(bytes) == *address) {
                Some((at, bytes)) => {
                    count(&mut self.blobs, at);
                    self.put(keys::BLOBS, &address.0, bytes.to_vec());
                }
                None if loss::covers(&self.accepted, events) => {}
                None => self.missing.push(events),
            }
        }
        Ok(())
    }

    fn put(&mut self, table: crate::store::Table, key: &[u8], value: Vec<u8>) {
        if self.store.is_some() {
            self.pending += value.len();
            self.batch.put(table, key.to_vec(), value);
        }
    }

    fn commit_some(&mut self) -> Result<(), RepairError> {
        if self.pending < COMMIT_BYTES { Ok(()) } else { self.commit() }
    }

    fn commit(&mut self) -> Result<(), RepairError> {
        self.pending = 0;
        match &self.store {
            Some(store) => Ok(store.commit(std::mem::take(&mut self.batch), Durability::Os)?),
            None => Ok(()),
        }
    }

    /// Everything on disk, with a HEAD.
    pub(super) fn finish(self, folder: &Path, before: Mark) -> Result<(), RepairError> {
        if let Some(store) = &self.store {
            store.sync()?;
        }
        let mark = Mark { seq: self.head, running: self.running.hash(), ..before };
        let path = folder.join("HEAD");
        watermark::create(&Disk, &path, &mark).map_err(|source| RepairError::Io { path, source })
    }

    /// The missing stretches as losses.
    pub(super) fn losses(&self, accepted: RecvTime) -> Vec<Loss> {
        let mut missing = self.missing.clone();
        missing.dedup();
        let loss = |(first, last): (Seq, Seq)| {
            let kind = match self.cut {
                Some(cut) if cut == (first, last) => LossKind::End,
                _ => LossKind::Hole,
            };
            Loss { kind, first, last, accepted }
        };
        missing.into_iter().map(loss).collect()
    }

    pub(super) fn done(&self, missing: Vec<(Seq, Seq)>) -> Repaired {
        Repaired {
            head: self.head,
            pages: self.pages,
            frames: self.frames,
            blobs: self.blobs,
            rebuilt: self.rebuilt,
            missing,
            losses: Vec::new(),
            kept: None,
        }
    }
}

fn count(taken: &mut Taken, at: usize) {
    match at {
        0 => taken.here += 1,
        _ => taken.copy += 1,
    }
}

fn unclear(first: Seq, why: &crate::event::EventError) -> RepairError {
    let why = why.to_string();
    OpenError::Read(crate::ReadError::Undecodable { what: "page", first, why }).into()
}
