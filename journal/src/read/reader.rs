//! Reading: pages, then the frames behind them, each checked before a single
//! event of it is shown. Readers hold no lock while they read the store and
//! never make the writer wait.

mod ahead;
mod follow;
mod select;

use std::sync::Arc;

use bytes::Bytes;

use self::ahead::Ahead;
pub use self::follow::TailReader;
pub use self::select::{Looked, Selection};
use crate::event::Event;
use crate::format::canon::{Label, decode_checked};
use crate::format::page::{Decoder, PageError};
use crate::format::summary::PageSummary;
use crate::read::index::Place;
use crate::shared::Shared;
use crate::store::Store;
use crate::units::{Address, RecvTime, Seq, TradingDay};
use crate::{ReadError, format::frame, keys};

/// Events that were stored together: a page, or a frame behind the last page.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Position of the first event.
    pub first: Seq,
    /// The page's address; `None` while the events are in frames.
    pub address: Option<Address>,
    /// Their trading day.
    pub day: TradingDay,
    /// The events, checked.
    pub events: Arc<[Event]>,
}

/// Goes through a range, stretch by stretch.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    next: Seq,
    to: Seq,
    decoder: Decoder,
    ahead: Ahead,
    ended: bool,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, from: Seq, to: Seq) -> Reader {
        let end = shared.index().end().0;
        let (next, to) = (from.max(Seq::FIRST), to.min(end));
        Reader {
            shared,
            next,
            to,
            decoder: Decoder::default(),
            ahead: Ahead::default(),
            ended: false,
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Stretch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.next > self.to {
            return None;
        }
        let read = match dropped(&self.shared, self.next) {
            Some(gone) => Err(gone),
            None => match self.ahead.take(&self.shared, self.next, self.to) {
                Some(read) => read,
                None => stretch_at(&self.shared, self.next, &mut self.decoder),
            },
        };
        // It may have gone while it was read.
        let read = read.map_err(|e| dropped(&self.shared, self.next).unwrap_or(e));
        let trimmed = read.map(|stretch| trim(stretch, self.next, self.to));
        match &trimmed {
            Ok(stretch) => self.next = Seq(stretch.first.0 + stretch.events.len() as u64),
            Err(_) => self.ended = true,
        }
        Some(trimmed)
    }
}

/// What holds an event.
pub(crate) enum Found {
    /// This page.
    Page(Arc<PageSummary>),
    /// The frame that begins here, as stored.
    Frame(Seq, Bytes),
}

/// What holds `seq`, which must not lie beyond the end.
pub(crate) fn find(shared: &Shared, seq: Seq) -> Result<Found, ReadError> {
    if let Some(dropped) = dropped(shared, seq) {
        return Err(dropped);
    }
    let missing = ReadError::Missing { from: seq, to: seq };
    let place = shared.index().place(seq);
    match place {
        Some(Place::Page(page)) => Ok(Found::Page(page)),
        Some(Place::Frame(first)) => match shared.store.get(keys::FRAMES, &first.to_key())? {
            Some(stored) => Ok(Found::Frame(first, stored)),
            // A commit has sealed it into a page just now. The index learns of
            // the page a moment later, the store knows it already.
            None => match stored_summary(shared.store.as_ref(), seq)? {
                Some(page) => Ok(Found::Page(Arc::new(page))),
                None => Err(missing),
            },
        },
        None => Err(missing),
    }
}

/// Why there is nothing at `seq`, if retention dropped it.
pub(crate) fn dropped(shared: &Shared, seq: Seq) -> Option<ReadError> {
    let cut = shared.index().cut.filter(|cut| cut.covers(seq))?;
    Some(ReadError::Dropped { from: seq, to: cut.last, day: cut.day })
}

/// The summary of the page that holds `seq`, from the store.
pub(crate) fn stored_summary(
    store: &dyn Store,
    seq: Seq,
) -> Result<Option<PageSummary>, ReadError> {
    let pairs = store.scan(keys::SUMMARIES, &[], &seq.next().to_key(), true, 1)?;
    let Some((_, value)) = pairs.first() else { return Ok(None) };
    let (page, _) = PageSummary::decode(value).map_err(|why| ReadError::Undecodable {
        what: "page summary",
        first: seq,
        why,
    })?;
    Ok((page.first <= seq && seq <= page.last()).then_some(page))
}

/// The page or frame that holds `seq`, whole.
fn stretch_at(shared: &Shared, seq: Seq, decoder: &mut Decoder) -> Result<Stretch, ReadError> {
    match find(shared, seq)? {
        Found::Page(page) => {
            let (label, rows) = page_rows(shared.store.as_ref(), &page, decoder)?;
            stretch(label, rows, Some(page.address), "page")
        }
        Found::Frame(first, stored) => {
            let (label, rows) = frame_rows(&stored, first, seq)?;
            stretch(label, rows, None, "frame")
        }
    }
}

/// Canonical rows of the frame that begins at `first` and should hold `seq`.
pub(crate) fn frame_rows(
    stored: &Bytes,
    first: Seq,
    seq: Seq,
) -> Result<(Label, &[u8]), ReadError> {
    let undecodable = |why| ReadError::Undecodable { what: "frame", first, why };
    let (label, rows) = frame::decode(stored).map_err(undecodable)?;
    if label.first != first || label.last() < seq {
        return Err(undecodable("it is stored under another key".into()));
    }
    Ok((label, rows))
}

fn stretch(
    label: Label,
    rows: &[u8],
    address: Option<Address>,
    what: &'static str,
) -> Result<Stretch, ReadError> {
    let events = decode_checked(rows, label.count as usize)
        .map_err(|e| ReadError::Undecodable { what, first: label.first, why: e.to_string() })?;
    Ok(Stretch { first: label.first, address, day: label.day, events })
}

/// Canonical rows of a page, its address checked.
pub(crate) fn page_rows<'a>(
    store: &dyn Store,
    page: &PageSummary,
    decoder: &'a mut Decoder,
) -> Result<(Label, &'a [u8]), ReadError> {
    let (first, to) = (page.first, page.last());
    let stored =
        store.get(keys::PAGES, &first.to_key())?.ok_or(ReadError::Missing { from: first, to })?;
    let (label, rows) = decoder.decode(&stored, first, page.address).map_err(|e| match e {
        PageError::Malformed(why) => ReadError::Undecodable { what: "page", first, why },
        PageError::Address { expected, got } => ReadError::AddressMismatch { first, expected, got },
    })?;
    if label != page.label() {
        let why = "its summary is that of another page".into();
        return Err(ReadError::Undecodable { what: "page", first, why });
    }
    Ok((label, rows))
}

/// Cuts a stretch to `from..=to`.
fn trim(stretch: Stretch, from: Seq, to: Seq) -> Stretch {
    let first = stretch.first.0;
    let skip = from.0.saturating_sub(first) as usize;
    let keep = (to.0 + 1).saturating_sub(first) as usize;
    if skip == 0 && keep >= stretch.events.len() {
        return stretch;
    }
    let keep = keep.min(stretch.events.len());
    let events = stretch.events.get(skip..keep).unwrap_or_default().into();
    Stretch { first: Seq(first + skip as u64), events, ..stretch }
}

/// The last event at or before `time`.
pub(crate) fn seq_at(shared: &Shared, time: RecvTime) -> Result<Seq, ReadError> {
    let (begin, whole) = {
        let index = shared.index();
        let open = index.open.as_ref().filter(|o| o.summary.first_recv <= time);
        let summary = match open {
            Some(open) => Some(&open.summary),
            None => {
                let at = index.pages.partition_point(|p| p.first_recv <= time);
                at.checked_sub(1).and_then(|at| index.pages.get(at)).map(AsRef::as_ref)
            }
        };
        match summary {
            None => return Ok(Seq::BEFORE_FIRST),
            Some(s) if s.last_recv <= time => return Ok(s.last()),
            Some(s) => (s.first, s.last()),
        }
    };
    // Somewhere inside this page, or inside one of the frames behind the last.
    let mut decoder = Decoder::default();
    let (mut seq, mut found) = (begin, begin);
    while seq <= whole {
        let stretch = stretch_at(shared, seq, &mut decoder)?;
        let before = stretch.events.partition_point(|e| e.recv <= time) as u64;
        if before > 0 {
            found = Seq(stretch.first.0 + before - 1);
        }
        if before < stretch.events.len() as u64 {
            break;
        }
        seq = Seq(stretch.first.0 + stretch.events.len() as u64);
    }
    Ok(found)
}
