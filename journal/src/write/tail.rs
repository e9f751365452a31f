//! The growing end of the journal: rows get their place in frames and pages,
//! all of one commit in one batch.
//!
//! No thread and no I/O: the writer drives it, and recovery fills it from the
//! frames it finds. Where pages begin depends on the events alone, never on
//! how they were batched.
//!
//! A commit is made in two steps, so that pages can be sealed in between by
//! somebody else: [`Tail::plan`] gives everything its place, [`Tail::complete`]
//! makes the batch once the pages are sealed. The next commit may be planned
//! meanwhile; commits are completed in the order in which they were planned.

use std::sync::Arc;

use bytes::Bytes;

use crate::day::{Calendar, DayCache};
use crate::event::{Draft, Kind, TickBatch};
use crate::format::canon::{Label, Row, Rows};
use crate::format::definitions::{Definition, Name};
use crate::format::running::Running;
use crate::format::summary::{Counter, PageSummary, Tally};
use crate::limits::{PAGE_EVENTS, PAGE_ROWS_BYTES_MAX};
use crate::read::index::Open;
use crate::store::{Batch, Store};
use crate::units::{Address, RecvTime, Seq, TradingDay};
use crate::write::doomed::Doomed;
use crate::write::seal::{Sealed, Unsealed};
use crate::write::stage::{Sources, Stage, StageError, Staged};
use crate::{Appended, format::frame, keys};

/// Memory for the rows of pages that is kept for the next ones.
const ROOMS_MAX: usize = 32;

/// The page that is being filled.
struct OpenPage {
    page: Unsealed,
    /// Bytes and events of its rows that lie in frames.
    framed: (usize, u32),
}

/// What one commit is going to write, as soon as its pages are sealed.
pub(crate) struct Plan {
    blobs: Vec<(Address, Bytes)>,
    bytes: usize,
    frame: Option<(Label, Bytes)>,
    open: Option<Open>,
    tickers: Vec<Box<[u8]>>,
    conditions: Vec<Box<[u8]>>,
    sources: Vec<Box<[u8]>>,
    counted: Tally,
    before: Seq,
    head: Seq,
    recv: RecvTime,
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
    /// Whether part of it is a frame.
    pub framed: bool,
    /// End of the commit before.
    pub before: Seq,
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
    /// At the end of the last completed commit, not of the last planned one.
    running: Running,
    rooms: Vec<Vec<u8>>,
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
            running: Running::behind(Address::default()),
            rooms: Vec::new(),
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

    /// The blobs that are about to be deleted.
    pub(crate) fn doomed(&self) -> Arc<Doomed> {
        self.stage.doomed.clone()
    }

    /// Takes a page that is stored already.
    pub(crate) fn adopt_page(&mut self, summary: &PageSummary) {
        self.running.page(summary.address);
        self.last = summary.last();
        self.last_recv = summary.last_recv;
        self.stage.adopt_recv(self.last_recv);
    }

    /// Takes a frame that is stored already.
    pub(crate) fn adopt_frame(&mut self, label: Label, rows: &[u8]) -> Result<(), String> {
        let mut count = 0;
        let mut last = self.last_recv;
        for row in Rows::new(rows) {
            let recv = row.map_err(|e| e.to_string())?.recv();
            if recv < last {
                return Err("its time runs backwards".into());
            }
            last = recv;
            count += 1;
        }
        if count != label.count {
            return Err("its label does not count its rows".into());
        }
        if self.open.as_ref().is_some_and(|o| o.room() < count || o.page.summary.day != label.day) {
            return Err("it belongs to a page that was not sealed".into());
        }
        self.fill(rows, label.day, &mut Counter::default(), RecvTime(i64::MAX));
        if let Some(open) = &mut self.open {
            open.frame(label.first);
        }
        self.running.rows(rows);
        self.stage.adopt_recv(self.last_recv);
        Ok(())
    }

    /// Takes a name that is stored already; `false` when its id is not the
    /// next one.
    pub(crate) fn adopt_name(&mut self, kind: Kind, id: u32, name: &[u8]) -> bool {
        self.stage.adopt_name(kind, id, name)
    }

    /// Definitions in the events behind the last page.
    pub(crate) fn open_definitions(&self) -> Vec<Definition> {
        self.open.as_ref().map(|o| o.page.definitions.clone()).unwrap_or_default()
    }

    /// What the index says about the events behind the last page.
    pub(crate) fn open_summary(&self) -> Option<Open> {
        let Unsealed { summary, frames, .. } = &self.open.as_ref()?.page;
        Some(Open { summary: summary.clone(), frames: frames.clone() })
    }

    /// Canonical rows behind the last page.
    pub(crate) fn open_rows(&self) -> &[u8] {
        self.open.as_ref().map(|o| o.page.rows.as_slice()).unwrap_or_default()
    }

    /// The hash for the watermark at the end of the last completed commit.
    pub(crate) fn running(&self) -> Address {
        self.running.hash()
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

    /// As [`Tail::stage`] for rows that are encoded already.
    pub(crate) fn stage_ticks(
        &mut self,
        ticks: TickBatch,
        clock: fn() -> RecvTime,
    ) -> Result<Appended, StageError> {
        let first = Seq(self.last.0 + self.stage.count() + 1);
        self.stage.add_ticks(ticks, clock)?;
        Ok(Appended { first, last: Seq(self.last.0 + self.stage.count()) })
    }

    /// Gives everything staged its place. The pages that are complete now are
    /// to be sealed, in any way and anywhere, and brought to
    /// [`Tail::complete`] in this order.
    pub(crate) fn plan(&mut self) -> (Plan, Vec<Unsealed>) {
        let before = self.last;
        let mut complete = Vec::new();
        let mut counted = Tally::default();
        let Staged { rows, blobs, tickers, conditions, sources } = self.stage.take();
        let mut bytes = blobs.iter().map(|(_, blob)| blob.len()).sum();
        for rows in rows {
            bytes += rows.len();
            self.place(&rows, &mut counted, &mut complete);
            self.stage.recycle(rows);
        }
        let frame = self.open.as_mut().and_then(|open| {
            let rows = open.page.rows.get(open.framed.0..).filter(|rows| !rows.is_empty())?;
            let count = open.page.summary.count - open.framed.1;
            let first = Seq(self.last.0 + 1 - u64::from(count));
            let label = Label { first, count, day: open.page.summary.day };
            let stored = frame::encode(label, rows);
            open.frame(first);
            Some((label, stored.into()))
        });
        let open = self.open_summary();
        let (head, recv) = (self.last, self.last_recv);
        let plan = Plan {
            blobs,
            bytes,
            frame,
            open,
            tickers,
            conditions,
            sources,
            counted,
            before,
            head,
            recv,
        };
        (plan, complete)
    }

    /// Says what to write, in one batch, and what may be told then.
    pub(crate) fn complete(
        &mut self,
        plan: Plan,
        pages: impl IntoIterator<Item = Sealed>,
    ) -> Commit {
        let mut batch = Batch::default();
        for (address, blob) in plan.blobs {
            batch.put(keys::BLOBS, address.0.to_vec(), blob);
        }
        let mut sealed = Vec::new();
        for page in pages {
            let Sealed { summary, page, summary_bytes, definitions, frames, rows } = page;
            let key = Bytes::copy_from_slice(&summary.first.to_key());
            self.running.page(summary.address);
            batch.put(keys::PAGES, key.clone(), page);
            batch.put(keys::SUMMARIES, key.clone(), summary_bytes);
            if let Some(definitions) = definitions {
                batch.put(keys::DEFINITIONS, key, definitions);
            }
            for first in frames {
                batch.delete(keys::FRAMES, first.to_key().to_vec());
            }
            sealed.push(Arc::new(summary));
            if self.rooms.len() < ROOMS_MAX {
                self.rooms.push(rows);
            }
        }
        let framed = plan.frame.is_some();
        if let Some((label, frame)) = plan.frame {
            self.running.rows(frame::rows(&frame));
            batch.put(keys::FRAMES, label.first.to_key().to_vec(), frame);
        }
        Commit {
            batch,
            bytes: plan.bytes,
            sealed,
            open: plan.open,
            tickers: plan.tickers,
            conditions: plan.conditions,
            sources: plan.sources,
            counted: plan.counted,
            framed,
            before: plan.before,
            head: plan.head,
            recv: plan.recv,
            running: self.running(),
        }
    }

    /// Gives rows the next seqs, page after page.
    fn place(&mut self, rows: &[u8], counted: &mut Tally, complete: &mut Vec<Unsealed>) {
        let mut rest = rows;
        while let Some(row) = Rows::new(rest).next() {
            let Ok(row) = row else {
                // Only encoders of ours write here, so this is a bug.
                unreachable!("a staged row is not a row");
            };
            let day = self.days.day_of(row.recv().max(self.last_recv));
            if self.open.as_ref().is_some_and(|o| o.page.summary.day != day) {
                complete.extend(self.open.take().map(|o| o.page));
            }
            let mut counter = Counter::default();
            let placed = self.fill(rest, day, &mut counter, self.days.until());
            counter.add_to(counted);
            rest = rest.get(placed..).unwrap_or_default();
            if self.open.as_ref().is_some_and(|o| o.room() == 0) {
                complete.extend(self.open.take().map(|o| o.page));
            }
        }
    }

    /// Places rows of one day in the open page or a new one, as many as fit and
    /// are not later than `until`; returns the length of what was placed.
    fn fill(
        &mut self,
        rows: &[u8],
        day: TradingDay,
        counter: &mut Counter,
        until: RecvTime,
    ) -> usize {
        let (first, last_recv) = (self.last.next(), self.last_recv);
        let rooms = &mut self.rooms;
        let open = self.open.get_or_insert_with(|| {
            let first_recv = Rows::new(rows).next().and_then(Result::ok).map(|row| row.recv());
            let first_recv = first_recv.unwrap_or_default().max(last_recv);
            let room = || Vec::with_capacity(PAGE_ROWS_BYTES_MAX / 2);
            OpenPage::new(first, day, first_recv, rooms.pop().unwrap_or_else(room))
        });
        let (mut len, mut count, mut recv, mut late) = (0, 0, last_recv, false);
        let position = open.page.summary.count;
        for row in Rows::new(rows).take(open.room() as usize).flatten() {
            let own = row.recv();
            if own > until {
                break;
            }
            late |= own < recv;
            recv = recv.max(own);
            open.page.definitions.extend(Definition::of(&row, position + count));
            counter.count(&row);
            len += row.bytes.len();
            count += 1;
        }
        let at = open.page.rows.len();
        open.page.rows.extend_from_slice(rows.get(..len).unwrap_or_default());
        if late {
            stamp(open.page.rows.get_mut(at..).unwrap_or_default(), last_recv);
        }
        counter.add_to(&mut open.page.summary.tally);
        open.page.summary.count += count;
        open.page.summary.last_recv = recv;
        self.last = Seq(self.last.0 + u64::from(count));
        self.last_recv = recv;
        len
    }
}

impl OpenPage {
    fn new(first: Seq, day: TradingDay, first_recv: RecvTime, rows: Vec<u8>) -> OpenPage {
        let summary = PageSummary {
            first,
            count: 0,
            day,
            address: Address::default(),
            first_recv,
            last_recv: first_recv,
            tally: Tally::default(),
        };
        let page = Unsealed { summary, rows, frames: Vec::new(), definitions: Vec::new() };
        OpenPage { page, framed: (0, 0) }
    }

    /// Events that still fit.
    fn room(&self) -> u32 {
        (PAGE_EVENTS as u32).saturating_sub(self.page.summary.count)
    }

    /// Everything so far lies in frames, the last of which begins here.
    fn frame(&mut self, first: Seq) {
        self.page.frames.push(first);
        self.framed = (self.page.rows.len(), self.page.summary.count);
    }
}

/// Gives each row that is earlier than the one before it that one's time.
fn stamp(rows: &mut [u8], before: RecvTime) {
    let mut recv = before.0;
    let mut rest = rows;
    while let Some(Ok(Row { kind, .. })) = Rows::new(rest).next() {
        let (row, tail) = rest.split_at_mut(crate::event::encoded_len(kind));
        if let Some(own) = row.first_chunk_mut::<8>() {
            recv = recv.max(i64::from_le_bytes(*own));
            *own = recv.to_le_bytes();
        }
        rest = tail;
    }
}

/// The bytes that a definition names, read from its blob where it has one.
pub(crate) fn resolve(store: &dyn Store, name: &Name) -> Result<Bytes, crate::ReadError> {
    match name {
        Name::Inline(text) => Ok(Bytes::copy_from_slice(text)),
        Name::Blob(address) => crate::format::blob::get(store, *address),
    }
}
