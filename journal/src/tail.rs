//! The growing end of the journal: rows get their place in frames and pages,
//! all of one commit in one batch.
//!
//! No thread and no I/O: the writer drives it, and recovery fills it from the
//! frames it finds. Where pages begin depends on the events alone, never on
//! how they were batched.

use std::sync::Arc;

use bytes::Bytes;

use crate::canon::{Label, Row, Rows};
use crate::day::{Calendar, DayCache};
use crate::definitions::{self, Definition, Name};
use crate::event::{Draft, Kind};
use crate::failpoint::hit;
use crate::index::Open;
use crate::limits::{PAGE_EVENTS, PAGE_ROWS_BYTES_MAX};
use crate::stage::{Sources, Stage, StageError, Staged};
use crate::store::{Batch, Store};
use crate::summary::{PageSummary, Tally};
use crate::units::{Address, RecvTime, Seq, TradingDay};
use crate::{Appended, frame, keys, page};

/// The page that is being filled.
struct OpenPage {
    summary: PageSummary,
    rows: Vec<u8>,
    frames: Vec<Seq>,
    definitions: Vec<Definition>,
    /// Over the chain before the page and its rows so far.
    running: blake3::Hasher,
}

/// What one commit is going to write and what may be told once it is durable.
pub(crate) struct Commit {
    pub batch: Batch,
    /// Bytes of the batch's values, as a measure.
    pub bytes: usize,
    pub sealed: Vec<Arc<PageSummary>>,
    pub open: Option<Open>,
    pub tickers: Vec<Box<[u8]>>,
    pub conditions: Vec<Box<[u8]>>,
    pub sources: Vec<Box<[u8]>>,
    /// Events by source, bookkeeping left out.
    pub counted: Tally,
    pub head: Seq,
    pub recv: RecvTime,
    /// For the acknowledged watermark.
    pub running: Address,
}

/// The committer's state.
pub(crate) struct Tail {
    stage: Stage,
    days: DayCache,
    /// Last event that has a place.
    last: Seq,
    last_recv: RecvTime,
    open: Option<OpenPage>,
    /// Over the addresses of all pages; see [`chain`].
    chain: Address,
}

/// The chain of page addresses: 32 zero bytes, then for each page
/// blake3(chain so far, address).
pub(crate) fn chain(before: Address, page: Address) -> Address {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0).update(&page.0);
    Address(*hasher.finalize().as_bytes())
}

/// The hash that the watermark keeps: chain of the pages before, then the rows
/// behind them.
pub(crate) fn running(chain: Address) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&chain.0);
    hasher
}

impl Tail {
    /// The end of an empty journal.
    pub(crate) fn new(store: Arc<dyn Store>, calendar: Calendar) -> Tail {
        Tail {
            stage: Stage::new(store),
            days: DayCache::new(calendar),
            last: Seq::BEFORE_FIRST,
            last_recv: RecvTime(i64::MIN),
            open: None,
            chain: Address::default(),
        }
    }

    /// Where the journal ends.
    pub(crate) fn last(&self) -> (Seq, RecvTime) {
        (self.last, self.last_recv)
    }

    /// The sources that have an id.
    pub(crate) fn sources(&self) -> Sources {
        self.stage.sources()
    }

    /// Takes a page that is stored already.
    pub(crate) fn adopt_page(&mut self, summary: &PageSummary) {
        self.chain = chain(self.chain, summary.address);
        self.last = summary.last();
        self.last_recv = summary.last_recv;
        self.stage.adopt_recv(self.last_recv);
    }

    /// Takes a frame that is stored already.
    pub(crate) fn adopt_frame(&mut self, label: Label, rows: &[u8]) -> Result<(), String> {
        for row in Rows::new(rows) {
            let row = row.map_err(|e| e.to_string())?;
            if row.recv() < self.last_recv {
                return Err("its time runs backwards".into());
            }
            let full = |o: &OpenPage| o.summary.count as usize >= PAGE_EVENTS;
            if self.open.as_ref().is_some_and(|o| full(o) || o.summary.day != label.day) {
                return Err("it belongs to a page that was not sealed".into());
            }
            self.place(&row, label.day);
        }
        match &mut self.open {
            Some(open) if self.last == label.last() => {
                open.frames.push(label.first);
                open.running.update(rows);
                self.stage.adopt_recv(self.last_recv);
                Ok(())
            }
            _ => Err("its label does not count its rows".into()),
        }
    }

    /// Takes a name that is stored already; `false` when its id is not the
    /// next one.
    pub(crate) fn adopt_name(&mut self, kind: Kind, id: u32, name: &[u8]) -> bool {
        self.stage.adopt_name(kind, id, name)
    }

    /// Definitions in the events behind the last page.
    pub(crate) fn open_definitions(&self) -> Vec<Definition> {
        self.open.as_ref().map(|o| o.definitions.clone()).unwrap_or_default()
    }

    /// What the index says about the events behind the last page.
    pub(crate) fn open_summary(&self) -> Option<Open> {
        let open = self.open.as_ref()?;
        Some(Open { summary: open.summary.clone(), frames: open.frames.clone() })
    }

    /// Canonical rows behind the last page.
    pub(crate) fn open_rows(&self) -> &[u8] {
        self.open.as_ref().map(|o| o.rows.as_slice()).unwrap_or_default()
    }

    /// The hash for the watermark at the end of the journal.
    pub(crate) fn running(&self) -> Address {
        let hash = match &self.open {
            Some(open) => open.running.finalize(),
            None => running(self.chain).finalize(),
        };
        Address(*hash.as_bytes())
    }

    /// Turns drafts into rows of the next commit, all or none, and says which
    /// places they will have.
    pub(crate) fn stage(
        &mut self,
        drafts: Vec<Draft>,
        clock: fn() -> RecvTime,
    ) -> Result<Appended, StageError> {
        let first = Seq(self.last.0 + self.stage.count() + 1);
        self.stage.add(drafts, clock)?;
        Ok(Appended { first, last: Seq(self.last.0 + self.stage.count()) })
    }

    /// Gives everything staged its place and says what to write.
    pub(crate) fn commit(&mut self) -> Commit {
        let mut batch = Batch::default();
        let mut sealed = Vec::new();
        let mut counted = Tally::default();
        let Staged { rows: staged, blobs, tickers, conditions, sources } = self.stage.take();
        let mut bytes = staged.len();
        for (address, blob) in blobs {
            bytes += blob.len();
            batch.put(keys::BLOBS, address.0.to_vec(), blob);
        }
        // Rows of the open page up to here are durable in frames.
        let mut durable = self.open_rows().len();
        for row in Rows::new(&staged) {
            let Ok(row) = row else {
                // Only `emit` writes here, so this is a bug of ours.
                unreachable!("a staged row is not a row");
            };
            let day = self.days.day_of(row.recv());
            if self.open.as_ref().is_some_and(|o| o.summary.day != day) {
                sealed.extend(self.seal(&mut batch));
                durable = 0;
            }
            counted.count(&row);
            self.place(&row, day);
            if self.open.as_ref().is_some_and(|o| o.summary.count as usize >= PAGE_EVENTS) {
                sealed.extend(self.seal(&mut batch));
                durable = 0;
            }
        }
        if let Some(open) = &mut self.open {
            let rows = open.rows.get(durable..).unwrap_or_default();
            if !rows.is_empty() {
                let count = Rows::new(rows).count() as u32;
                let first = Seq(self.last.0 + 1 - u64::from(count));
                let label = Label { first, count, day: open.summary.day };
                batch.put(keys::FRAMES, first.to_key().to_vec(), frame::encode(label, rows));
                open.frames.push(first);
                open.running.update(rows);
            }
        }
        self.stage.recycle(staged);
        Commit {
            batch,
            bytes,
            sealed,
            open: self.open_summary(),
            tickers,
            conditions,
            sources,
            counted,
            head: self.last,
            recv: self.last_recv,
            running: self.running(),
        }
    }

    /// Gives one row the next seq, in the open page or a new one.
    fn place(&mut self, row: &Row<'_>, day: TradingDay) {
        self.last = self.last.next();
        let (first, chain) = (self.last, self.chain);
        let open = self.open.get_or_insert_with(|| OpenPage {
            summary: PageSummary {
                first,
                count: 0,
                day,
                address: Address::default(),
                first_recv: row.recv(),
                last_recv: row.recv(),
                tally: Tally::default(),
            },
            rows: Vec::with_capacity(PAGE_ROWS_BYTES_MAX / 2),
            frames: Vec::new(),
            definitions: Vec::new(),
            running: running(chain),
        });
        open.definitions.extend(Definition::of(row, open.summary.count));
        open.summary.count += 1;
        open.summary.last_recv = row.recv();
        open.summary.tally.count(row);
        open.rows.extend_from_slice(row.bytes);
        self.last_recv = self.last_recv.max(row.recv());
    }

    /// Turns the open page into a stored one.
    fn seal(&mut self, batch: &mut Batch) -> Option<Arc<PageSummary>> {
        let OpenPage { mut summary, rows, frames, definitions, .. } = self.open.take()?;
        hit("seal.before");
        let label = summary.label();
        let key = summary.first.to_key();
        let (stored, address) = page::encode(label, &rows);
        summary.address = address;
        self.chain = chain(self.chain, address);
        batch.put(keys::PAGES, key.to_vec(), stored);
        batch.put(keys::SUMMARIES, key.to_vec(), summary.encode());
        if !definitions.is_empty() {
            batch.put(keys::DEFINITIONS, key.to_vec(), definitions::encode(label, &definitions));
        }
        for first in frames {
            batch.delete(keys::FRAMES, first.to_key().to_vec());
        }
        hit("seal.after");
        Some(Arc::new(summary))
    }
}

/// The bytes that a definition names, read from its blob where it has one.
pub(crate) fn resolve(store: &dyn Store, name: &Name) -> Result<Bytes, crate::ReadError> {
    match name {
        Name::Inline(text) => Ok(Bytes::copy_from_slice(text)),
        Name::Blob(address) => crate::blob::get(store, *address),
    }
}
