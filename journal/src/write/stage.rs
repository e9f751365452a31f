//! Drafts become rows: tickers, condition lists and sources get their ids,
//! variable parts become blobs, and each event is preceded, in the same commit,
//! by whatever it needs to be understood. An append that is refused half-way
//! leaves nothing behind.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::event::{
    self, Body, ChainRows, ChainSnapshot, Draft, DraftBody, Event, InlineText, InstrumentRef, Kind,
    Quarantine, Quote, TickBatch, Trade,
};
use crate::limits::{BLOB_BYTES_MAX, IDS_MAX};
use crate::store::{Store, StoreError};
use crate::units::{Address, InstrumentId, RecvTime, SourceId};
use crate::write::doomed::Doomed;
use crate::write::intern::Interner;
use crate::{AppendError, keys};

/// Sources with an id, some of them not yet defined by an event: a source is
/// defined right before its first event, so one without events leaves no trace.
pub(crate) type Sources = Arc<Mutex<Interner>>;

/// Why an append became no rows.
#[derive(Debug)]
pub(crate) enum StageError {
    /// This append is refused; others are not concerned.
    Refused(AppendError),
    /// The store cannot say what it holds.
    Store(StoreError),
}

impl From<AppendError> for StageError {
    fn from(e: AppendError) -> Self {
        StageError::Refused(e)
    }
}

impl From<StoreError> for StageError {
    fn from(e: StoreError) -> Self {
        StageError::Store(e)
    }
}

/// How many names of each sort there are.
#[derive(Clone, Copy, Default)]
struct Names {
    tickers: u32,
    conditions: u32,
    sources: u32,
}

/// Where an append began, in case it is refused half-way.
#[derive(Clone, Copy)]
struct Mark {
    rows: usize,
    count: u32,
    blobs: usize,
    last_recv: RecvTime,
    names: Names,
}

/// What the next commit has so far, and all names.
pub(crate) struct Stage {
    store: Arc<dyn Store>,
    /// Time of the last event, staged or placed.
    last_recv: RecvTime,
    tickers: Interner,
    conditions: Interner,
    sources: Sources,
    sources_defined: u32,
    /// Rows of the commit before those in `rows`, in order.
    before: Vec<Vec<u8>>,
    /// Blobs that are about to be deleted, unless one is named here again.
    pub(crate) doomed: Arc<Doomed>,
    rows: Vec<u8>,
    count: u32,
    blobs: Vec<(Address, Bytes)>,
    addresses: BTreeSet<Address>,
    /// Names that were durable before the commit began.
    durable: Names,
}

/// Everything that was staged for one commit.
pub(crate) struct Staged {
    /// Canonical rows in pieces; a row is never divided.
    pub rows: Vec<Vec<u8>>,
    pub blobs: Vec<(Address, Bytes)>,
    pub tickers: Vec<Box<[u8]>>,
    pub conditions: Vec<Box<[u8]>>,
    pub sources: Vec<Box<[u8]>>,
}

impl Stage {
    /// Nothing staged, no names.
    pub(crate) fn new(store: Arc<dyn Store>) -> Stage {
        Stage {
            store,
            last_recv: RecvTime(i64::MIN),
            tickers: Interner::new(),
            conditions: Interner::new(),
            sources: Arc::new(Mutex::new(Interner::new())),
            sources_defined: 0,
            before: Vec::new(),
            doomed: Arc::default(),
            rows: Vec::new(),
            count: 0,
            blobs: Vec::new(),
            addresses: BTreeSet::new(),
            durable: Names::default(),
        }
    }

    /// The sources that have an id.
    pub(crate) fn sources(&self) -> Sources {
        self.sources.clone()
    }

    /// Events staged so far.
    pub(crate) fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// No event may be earlier from here on.
    pub(crate) fn adopt_recv(&mut self, recv: RecvTime) {
        self.last_recv = self.last_recv.max(recv);
    }

    /// Takes a name that is stored already; `false` when its id is not the
    /// next one.
    pub(crate) fn adopt_name(&mut self, kind: Kind, id: u32, name: &[u8]) -> bool {
        let given = match kind {
            Kind::InstrumentDefined => self.tickers.define(name),
            Kind::ConditionsDefined => self.conditions.define(name),
            _ => {
                self.sources_defined = id;
                lock(&self.sources).define(name)
            }
        };
        self.durable = self.names();
        given == Some(id)
    }

    fn names(&self) -> Names {
        Names {
            tickers: self.tickers.len(),
            conditions: self.conditions.len(),
            sources: self.sources_defined,
        }
    }

    /// Hands over what was staged; the next commit begins empty.
    pub(crate) fn take(&mut self) -> Staged {
        let names = self.names();
        let before = std::mem::replace(&mut self.durable, names);
        let added = |names: &Interner, after: u32, to: u32| {
            (after + 1..=to).filter_map(|id| names.name(id)).map(Into::into).collect()
        };
        self.count = 0;
        self.addresses.clear();
        self.begin_piece();
        Staged {
            rows: std::mem::take(&mut self.before),
            blobs: std::mem::take(&mut self.blobs),
            tickers: added(&self.tickers, before.tickers, self.durable.tickers),
            conditions: added(&self.conditions, before.conditions, self.durable.conditions),
            sources: added(&lock(&self.sources), before.sources, self.durable.sources),
        }
    }

    /// Gives the memory of rows back; the largest is kept.
    pub(crate) fn recycle(&mut self, mut rows: Vec<u8>) {
        let kept = self.rows.capacity()..=RECYCLED_BYTES_MAX;
        if self.rows.is_empty() && kept.contains(&rows.capacity()) {
            rows.clear();
            self.rows = rows;
        }
    }

    fn begin_piece(&mut self) {
        if !self.rows.is_empty() {
            self.before.push(std::mem::take(&mut self.rows));
        }
    }

    /// Takes rows that are encoded already, all or none.
    pub(crate) fn add_ticks(
        &mut self,
        mut ticks: TickBatch,
        clock: fn() -> RecvTime,
    ) -> Result<(), StageError> {
        let named = ticks.names();
        for (what, id, max) in [
            ("instrument", named.instrument, self.tickers.len()),
            ("condition list", named.conditions, self.conditions.len()),
            ("source", u32::from(named.source), lock(&self.sources).len()),
        ] {
            if id > max {
                return Err(AppendError::Unknown { what, id: u64::from(id) }.into());
            }
        }
        ticks.stamp(clock);
        let count = ticks.len() as u32;
        if u32::from(named.source) > self.sources_defined {
            return self.add_ticks_of_new_sources(&ticks);
        }
        self.count += count;
        self.last_recv = self.last_recv.max(ticks.latest());
        let rows = ticks.into_rows();
        if rows.len() <= PIECE_BYTES_MIN {
            self.rows.extend_from_slice(&rows);
        } else {
            self.begin_piece();
            self.before.push(rows);
        }
        Ok(())
    }

    /// A source is defined right before its first event, wherever that is.
    fn add_ticks_of_new_sources(&mut self, ticks: &TickBatch) -> Result<(), StageError> {
        let mark = self.mark();
        for row in ticks.rows() {
            let recv = row.recv().max(self.last_recv);
            self.last_recv = recv;
            if let Err(e) = self.define_sources(row.source(), recv) {
                self.back_to(mark);
                return Err(e);
            }
            self.rows.extend_from_slice(row.bytes);
            self.count += 1;
        }
        Ok(())
    }

    fn mark(&self) -> Mark {
        Mark {
            rows: self.rows.len(),
            count: self.count,
            blobs: self.blobs.len(),
            last_recv: self.last_recv,
            names: self.names(),
        }
    }

    /// Forgets everything staged since the mark.
    fn back_to(&mut self, mark: Mark) {
        self.rows.truncate(mark.rows);
        self.count = mark.count;
        for (address, _) in self.blobs.drain(mark.blobs..) {
            self.addresses.remove(&address);
        }
        self.last_recv = mark.last_recv;
        self.tickers.truncate(mark.names.tickers);
        self.conditions.truncate(mark.names.conditions);
        self.sources_defined = mark.names.sources;
    }

    /// Turns drafts into rows of the next commit, all or none.
    pub(crate) fn add(
        &mut self,
        drafts: Vec<Draft>,
        clock: fn() -> RecvTime,
    ) -> Result<(), StageError> {
        let mark = self.mark();
        for draft in drafts {
            if let Err(e) = self.add_one(draft, clock) {
                self.back_to(mark);
                return Err(e);
            }
        }
        Ok(())
    }

    fn add_one(&mut self, draft: Draft, clock: fn() -> RecvTime) -> Result<(), StageError> {
        let Draft { recv, vendor_time, instrument, source, extension, body } = draft;
        // Never backwards: an earlier moment becomes that of the event before.
        let recv = recv.unwrap_or_else(clock).max(self.last_recv);
        self.last_recv = recv;
        self.define_sources(source, recv)?;
        let instrument = match instrument {
            InstrumentRef::None => InstrumentId::NONE,
            InstrumentRef::Id(id) if id.0 <= self.tickers.len() => id,
            InstrumentRef::Id(id) => {
                let (what, id) = ("instrument", u64::from(id.0));
                return Err(AppendError::Unknown { what, id }.into());
            }
            InstrumentRef::Ticker(ticker) => self.ticker(&ticker, source, recv)?,
        };
        let body = match body {
            DraftBody::Quote { quote, conditions } => {
                let conditions = self.conditions(&conditions, source, recv)?;
                Body::Quote(Quote { conditions, ..quote })
            }
            DraftBody::Trade { trade, conditions } => {
                let conditions = self.conditions(&conditions, source, recv)?;
                Body::Trade(Trade { conditions, ..trade })
            }
            DraftBody::Bar(bar) => Body::Bar(*bar),
            DraftBody::IndexValue(value) => Body::IndexValue(value),
            DraftBody::Chain(chain) => {
                let mut rows = Vec::with_capacity(chain.rows.len());
                for row in chain.rows {
                    let instrument = self.ticker(&row.ticker, source, recv)?;
                    rows.push(event::ChainRow { instrument, ..row.row });
                }
                Body::ChainSnapshot(ChainSnapshot {
                    rows: self.blob(ChainRows::encode(&rows).into())?,
                    raw: self.blob(chain.raw)?,
                    spot: chain.spot,
                    contracts: rows.len() as u32,
                    refused: chain.refused,
                    latency_ns: chain.latency_ns,
                    pages: chain.pages,
                })
            }
            DraftBody::Annotation(blob) => Body::Annotation(self.blob(blob)?),
            DraftBody::News(blob) => Body::News(self.blob(blob)?),
            DraftBody::Control(blob) => Body::Control(self.blob(blob)?),
            DraftBody::ClockBeat => Body::ClockBeat,
            DraftBody::Gap(gap) => Body::Gap(gap),
            DraftBody::Correction { corrects, blob } => {
                Body::Correction { corrects, blob: self.blob(blob)? }
            }
            DraftBody::Quarantine { reason, blob } => {
                Body::Quarantine(Quarantine { blob: self.blob(blob)?, reason })
            }
        };
        let extended = extension.is_some();
        if let Some(text) = extension {
            let body = Body::Extension(self.blob(text)?);
            self.emit(&Event {
                recv,
                vendor_time: None,
                instrument,
                source,
                extended: false,
                body,
            });
        }
        self.emit(&Event { recv, vendor_time, instrument, source, extended, body });
        Ok(())
    }

    fn emit(&mut self, event: &Event) {
        event::encode(event, &mut self.rows);
        self.count += 1;
    }

    /// The id of a ticker, defined by an event of this commit if it is new.
    fn ticker(
        &mut self,
        ticker: &str,
        source: SourceId,
        recv: RecvTime,
    ) -> Result<InstrumentId, StageError> {
        if let Some(id) = self.tickers.id(ticker.as_bytes()) {
            return Ok(InstrumentId(id));
        }
        if u64::from(self.tickers.len()) >= IDS_MAX {
            return Err(AppendError::Exhausted { what: "instruments", max: IDS_MAX }.into());
        }
        let text = if ticker.len() <= InlineText::INLINE_MAX {
            InlineText::Inline(ticker.into())
        } else {
            InlineText::Blob(self.blob(Bytes::copy_from_slice(ticker.as_bytes()))?)
        };
        let id = InstrumentId(self.tickers.define(ticker.as_bytes()).unwrap_or_default());
        let body = Body::InstrumentDefined(text);
        self.emit(&Event {
            recv,
            vendor_time: None,
            instrument: id,
            source,
            extended: false,
            body,
        });
        Ok(id)
    }

    /// The id of a condition list, 0 for the empty one.
    fn conditions(
        &mut self,
        list: &[u32],
        source: SourceId,
        recv: RecvTime,
    ) -> Result<u32, StageError> {
        if list.is_empty() {
            return Ok(0);
        }
        let bytes: Vec<u8> = list.iter().flat_map(|c| c.to_le_bytes()).collect();
        if let Some(id) = self.conditions.id(&bytes) {
            return Ok(id);
        }
        if u64::from(self.conditions.len()) >= IDS_MAX {
            return Err(AppendError::Exhausted { what: "condition lists", max: IDS_MAX }.into());
        }
        let id = self.conditions.define(&bytes).unwrap_or_default();
        let body = Body::ConditionsDefined { id, blob: self.blob(bytes.into())? };
        let instrument = InstrumentId::NONE;
        self.emit(&Event { recv, vendor_time: None, instrument, source, extended: false, body });
        Ok(id)
    }

    /// Defines every source up to `source` that no event has defined yet, so
    /// that ids appear in order.
    fn define_sources(&mut self, source: SourceId, recv: RecvTime) -> Result<(), StageError> {
        while self.sources_defined < u32::from(source.0) {
            let id = self.sources_defined + 1;
            let descriptor = lock(&self.sources).name(id).map(Bytes::copy_from_slice);
            let Some(descriptor) = descriptor else {
                let (what, id) = ("source", u64::from(source.0));
                return Err(AppendError::Unknown { what, id }.into());
            };
            let body = Body::SourceDefined(self.blob(descriptor)?);
            let source = SourceId(id as u16);
            let instrument = InstrumentId::NONE;
            self.emit(&Event {
                recv,
                vendor_time: None,
                instrument,
                source,
                extended: false,
                body,
            });
            self.sources_defined = id;
        }
        Ok(())
    }

    /// The address of a blob; the commit writes it unless it is there already.
    fn blob(&mut self, bytes: Bytes) -> Result<Address, StageError> {
        if bytes.len() > BLOB_BYTES_MAX {
            let max = BLOB_BYTES_MAX as u64;
            return Err(AppendError::Exhausted { what: "a blob", max }.into());
        }
        let address = Address::of(&bytes);
        self.doomed.spare(&address);
        if !self.addresses.contains(&address) && self.store.get(keys::BLOBS, &address.0)?.is_none()
        {
            self.addresses.insert(address);
            self.blobs.push((address, bytes));
        }
        Ok(address)
    }
}

/// A larger buffer than this is freed after its commit.
const RECYCLED_BYTES_MAX: usize = 16 << 20;

/// Fewer rows than this are copied to those before them.
const PIECE_BYTES_MIN: usize = 16 << 10;

/// Locks what only plain code without panics holds.
fn lock(sources: &Sources) -> MutexGuard<'_, Interner> {
    sources.lock().unwrap_or_else(PoisonError::into_inner)
}
