//! Ticks as canonical rows, made on the thread of whoever has them.
//!
//! The short way into the journal, for facts that need nothing but their own
//! row: quotes, trades, bars and index values whose instrument, source and
//! condition list have their ids already. The committer gives such rows their
//! place and looks at no field but the time. Whatever brings something new (a
//! ticker, a condition list, an extension, a blob) goes in as a
//! [`Draft`](super::Draft); both ways may be mixed and give the same bytes.

use super::codec::{Head, NoPlace, quote_row, trade_row};
use super::{Bar, Body, Event, IndexValue, Quote, Trade, codec};
use crate::format::canon::{Row, Rows};
use crate::units::{InstrumentId, RecvTime, SourceId, VendorTime};

/// Stands for "the writer's clock" until the writer has the row. As a moment it
/// is in the year 1677, and any journal's head is later.
const UNSTAMPED: RecvTime = RecvTime(i64::MIN);

/// What the ticks of a batch refer to: the highest id of each sort.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Named {
    pub instrument: u32,
    pub source: u16,
    pub conditions: u32,
}

/// Ticks that are appended together with
/// [`Writer::append_ticks`](crate::Writer::append_ticks).
///
/// `recv` is when the tick was captured; `None` lets the writer stamp it with
/// its clock. An earlier moment than that of the event before becomes that one.
#[derive(Clone, Debug, Default)]
pub struct TickBatch {
    rows: Vec<u8>,
    count: usize,
    named: Named,
    latest: Option<RecvTime>,
    unstamped: bool,
    no_place: Option<NoPlace>,
}

/// How much a [`TickBatch`] held at some time.
#[derive(Clone, Copy, Debug, Default)]
pub struct TickMark {
    bytes: usize,
    count: usize,
    named: Named,
    latest: Option<RecvTime>,
    unstamped: bool,
    no_place: Option<NoPlace>,
}

impl TickBatch {
    /// What it holds now, for [`TickBatch::rollback`].
    #[must_use]
    pub fn mark(&self) -> TickMark {
        let TickBatch { rows, count, named, latest, unstamped, no_place } = self;
        TickMark {
            bytes: rows.len(),
            count: *count,
            named: *named,
            latest: *latest,
            unstamped: *unstamped,
            no_place: *no_place,
        }
    }

    /// Forgets what came after a mark of this batch.
    pub fn rollback(&mut self, mark: TickMark) {
        self.rows.truncate(mark.bytes);
        self.count = mark.count;
        (self.named, self.latest, self.unstamped) = (mark.named, mark.latest, mark.unstamped);
        self.no_place = mark.no_place;
    }

    /// No ticks yet.
    #[must_use]
    pub fn new() -> TickBatch {
        TickBatch::default()
    }

    /// No ticks yet and room for `ticks` quotes or trades.
    #[must_use]
    pub fn with_capacity(ticks: usize) -> TickBatch {
        let rows = Vec::with_capacity(ticks.saturating_mul(codec::EVENT_BYTES_SHORT));
        TickBatch { rows, ..TickBatch::default() }
    }

    /// Ticks so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a quote; its condition list is the interned one in it.
    #[inline]
    pub fn quote(
        &mut self,
        recv: Option<RecvTime>,
        vendor_time: Option<VendorTime>,
        instrument: InstrumentId,
        source: SourceId,
        quote: &Quote,
    ) {
        let head = self.head(recv, vendor_time, instrument, source);
        self.named.conditions = self.named.conditions.max(quote.conditions);
        self.no_place = self.no_place.or(NoPlace::quote(quote));
        self.rows.extend_from_slice(&quote_row(&head, quote));
    }

    /// Adds a trade; its condition list is the interned one in it.
    #[inline]
    pub fn trade(
        &mut self,
        recv: Option<RecvTime>,
        vendor_time: Option<VendorTime>,
        instrument: InstrumentId,
        source: SourceId,
        trade: &Trade,
    ) {
        let head = self.head(recv, vendor_time, instrument, source);
        self.named.conditions = self.named.conditions.max(trade.conditions);
        self.no_place = self.no_place.or(NoPlace::trade(trade));
        self.rows.extend_from_slice(&trade_row(&head, trade));
    }

    /// Adds an aggregate bar.
    pub fn bar(
        &mut self,
        recv: Option<RecvTime>,
        vendor_time: Option<VendorTime>,
        instrument: InstrumentId,
        source: SourceId,
        bar: &Bar,
    ) {
        let head = self.head(recv, vendor_time, instrument, source);
        self.no_place = self.no_place.or(NoPlace::bar(bar));
        self.other(head, Body::Bar(*bar));
    }

    /// Adds the value of an index.
    pub fn index_value(
        &mut self,
        recv: Option<RecvTime>,
        vendor_time: Option<VendorTime>,
        instrument: InstrumentId,
        source: SourceId,
        value: IndexValue,
    ) {
        let head = self.head(recv, vendor_time, instrument, source);
        self.other(head, Body::IndexValue(value));
    }

    fn other(&mut self, head: Head, body: Body) {
        let Head { recv, vendor_time, instrument, source, extended } = head;
        let event = Event { recv, vendor_time, instrument, source, extended, body };
        codec::encode(&event, &mut self.rows);
    }

    /// Counts a tick and what it refers to.
    #[inline]
    fn head(
        &mut self,
        recv: Option<RecvTime>,
        vendor_time: Option<VendorTime>,
        instrument: InstrumentId,
        source: SourceId,
    ) -> Head {
        self.count += 1;
        self.named.instrument = self.named.instrument.max(instrument.0);
        self.named.source = self.named.source.max(source.0);
        self.latest = self.latest.max(recv);
        let recv = recv.unwrap_or(UNSTAMPED);
        self.unstamped |= recv == UNSTAMPED;
        Head { recv, vendor_time, instrument, source, extended: false }
    }

    /// What has no place in a row: then the writer refuses all of them.
    pub(crate) fn no_place(&self) -> Option<NoPlace> {
        self.no_place
    }

    /// Bytes of all rows.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// The highest ids.
    pub(crate) fn names(&self) -> Named {
        self.named
    }

    /// The latest time, once all are stamped.
    pub(crate) fn latest(&self) -> RecvTime {
        self.latest.unwrap_or(UNSTAMPED)
    }

    /// The rows, one by one.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        Rows::new(&self.rows).flatten()
    }

    /// All rows.
    pub(crate) fn into_rows(self) -> Vec<u8> {
        self.rows
    }

    /// Gives a time to the ticks that have none.
    pub(crate) fn stamp(&mut self, clock: fn() -> RecvTime) {
        if !std::mem::take(&mut self.unstamped) {
            return;
        }
        let mut rest = self.rows.as_mut_slice();
        while let Some(Ok(Row { kind, .. })) = Rows::new(rest).next() {
            let (row, tail) = rest.split_at_mut(codec::encoded_len(kind));
            match row.first_chunk_mut::<8>() {
                Some(recv) if *recv == UNSTAMPED.0.to_le_bytes() => {
                    let now = clock();
                    *recv = now.0.to_le_bytes();
                    self.latest = self.latest.max(Some(now));
                }
                _ => {}
            }
            rest = tail;
        }
    }
}
