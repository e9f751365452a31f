//! Single things of the journal, by position or address, and lists of them:
//! days, gaps, refused input, what was recorded of a contract.

use std::ops::ControlFlow;

use bytes::Bytes;
use orrery_journal::event::{self, Body, Kind, RefusalReason};
use orrery_journal::units::{Address, Seq, TradingDay};
use orrery_journal::{DaySummary, SealedPage};
use orrery_proto::v1;
use tonic::Status;

use super::events::{self, Edge, EventFilter, EventRange, Found};
use super::page::{self, Page};
use super::status::invalid;
use super::{AsOf, Backend, BackendError, convert};

/// Bytes of a blob in one message.
pub(super) const BLOB_PIECE: usize = 256 * 1024;

/// An event, and where it is stored.
#[derive(Clone, PartialEq, Debug)]
pub struct Placed {
    /// The event.
    pub found: Found,
    /// Its trading day.
    pub day: TradingDay,
    /// The sealed page that holds it, and its place there; `None` while it lies
    /// in a frame.
    pub page: Option<(Address, u32)>,
    /// Its source's descriptor.
    pub source: String,
}

/// Which event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhichEvent {
    /// By position.
    Seq(Seq),
    /// By its place in a sealed page.
    Paged(Address, u32),
    /// By the blake3 of its canonical bytes, the first of a day.
    Hashed(Address, TradingDay),
}

/// Which sealed page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhichPage {
    /// By its address.
    Address(Address),
    /// The one that holds this event.
    Of(Seq),
}

/// What a backend looks up.
pub trait Lookup {
    /// Trading days, oldest first, with the number of the newest certificate.
    ///
    /// # Errors
    /// Damage.
    fn days(&self) -> Result<Vec<(DaySummary, Option<u32>)>, BackendError>;

    /// An event.
    ///
    /// # Errors
    /// When there is none, damage.
    fn event(&self, which: WhichEvent) -> Result<Placed, BackendError>;

    /// A sealed page.
    ///
    /// # Errors
    /// When there is none, damage.
    fn page(&self, which: WhichPage) -> Result<SealedPage, BackendError>;

    /// The bytes behind an address.
    ///
    /// # Errors
    /// When there are none, damage.
    fn blob(&self, address: Address) -> Result<Bytes, BackendError>;

    /// A source's descriptor; empty for the journal itself.
    fn source(&self, id: u16) -> String;
}

/// 64 hex digits.
pub(super) fn address(field: &str, text: &str) -> Result<Address, Status> {
    Address::parse(text).ok_or_else(|| invalid(field, "is not 64 hex digits"))
}

/// The event that a request names.
pub(super) fn which(said: v1::GetEventRequest) -> Result<WhichEvent, Status> {
    use v1::get_event_request::Which;
    Ok(match said.which.ok_or_else(|| invalid("which", "must be given"))? {
        Which::Seq(0) => return Err(invalid("seq", "the first event is 1")),
        Which::Seq(seq) => WhichEvent::Seq(Seq(seq)),
        Which::Paged(v1::PagedEvent { page, index }) => {
            WhichEvent::Paged(address("paged.page", &page)?, index)
        }
        Which::Hashed(v1::HashedEvent { address: of, day }) => WhichEvent::Hashed(
            address("hashed.address", &of)?,
            convert::trading_day("hashed.day", day)?,
        ),
    })
}

/// The page that a request names.
pub(super) fn which_page(said: v1::GetPageRequest) -> Result<WhichPage, Status> {
    use v1::get_page_request::Which;
    Ok(match said.which.ok_or_else(|| invalid("which", "must be given"))? {
        Which::Address(text) => WhichPage::Address(address("address", &text)?),
        Which::Seq(0) => return Err(invalid("seq", "the first event is 1")),
        Which::Seq(seq) => WhichPage::Of(Seq(seq)),
    })
}

/// An event on the wire, with its place.
pub(super) fn placed(placed: &Placed) -> v1::GetEventResponse {
    let said = events::message(&placed.found, true);
    v1::GetEventResponse {
        address: Address::of(&said.canonical).to_string(),
        event: Some(said),
        day: convert::date(placed.day),
        page: placed.page.map(|(page, _)| page.to_string()).unwrap_or_default(),
        index: placed.page.map_or(0, |(_, index)| index),
        source: placed.source.clone(),
    }
}

/// A page on the wire.
pub(super) fn page_message(page: SealedPage) -> v1::GetPageResponse {
    v1::GetPageResponse {
        address: page.address.to_string(),
        first_seq: page.first.0,
        last_seq: page.last.0,
        day: convert::date(page.day),
        canonical: page.bytes.into(),
    }
}

/// A day on the wire.
pub(super) fn day(
    (day, certificate): (DaySummary, Option<u32>),
    with_pages: bool,
) -> v1::JournalDay {
    let kind = |(kind, count): &(Kind, u64)| v1::KindCount { kind: *kind as i32, count: *count };
    let reason = |(reason, count): &(RefusalReason, u64)| v1::RefusalCount {
        reason: reason.name().to_owned(),
        count: *count,
    };
    v1::JournalDay {
        date: convert::date(day.day),
        first_seq: day.first.0,
        last_seq: day.last.0,
        first_time: Some(convert::timestamp(day.first_recv)),
        last_time: Some(convert::timestamp(day.last_recv)),
        sealed: day.sealed,
        dropped: day.dropped,
        kinds: day.kinds.iter().map(kind).collect(),
        refused: day.refused.iter().map(reason).collect(),
        pages: match with_pages {
            true => day.pages.iter().map(ToString::to_string).collect(),
            false => Vec::new(),
        },
        sealed_pages: day.pages.len() as u64,
        certificate: certificate.unwrap_or_default(),
    }
}

/// The bounds of a list.
pub(super) struct Bounds {
    /// Only this day.
    pub day: Option<v1::Date>,
    /// From here on.
    pub from: Option<v1::AsOf>,
    /// Up to here.
    pub to: Option<v1::AsOf>,
}

/// A part of the events of some kinds, and how to go on.
pub(super) struct Part {
    range: EventRange,
    size: usize,
    of: u64,
}

/// What was found, and the token of the next page.
pub(super) struct PartFound {
    /// The events.
    pub events: Vec<Found>,
    /// Empty on the last page.
    pub next: String,
    /// The last event of the range on which all pages stand.
    pub to: Seq,
}

impl Part {
    /// `of` is the fingerprint of the request without its paging fields.
    pub fn new(
        bounds: Bounds,
        filter: EventFilter,
        size: usize,
        of: u64,
        token: &str,
    ) -> Result<Part, Status> {
        let edge = |field: &str, said: Option<v1::AsOf>| {
            let edge = convert::as_of(said).map_err(|e| {
                invalid(field, e.message().split_once(": ").map_or(e.message(), |(_, why)| why))
            })?;
            Ok::<_, Status>(match edge {
                AsOf::Head => None,
                AsOf::Seq(seq) => Some(Edge::Seq(seq)),
                AsOf::Time(time) => Some(Edge::Time(time)),
            })
        };
        let (from, to) = (edge("from", bounds.from)?, edge("to", bounds.to)?);
        let inverted = match (from, to) {
            (Some(Edge::Seq(from)), Some(Edge::Seq(to))) => from > to,
            (Some(Edge::Time(from)), Some(Edge::Time(to))) => from > to,
            _ => false,
        };
        if inverted {
            return Err(invalid("to", "lies before from"));
        }
        let day = bounds.day.map(|day| convert::trading_day("day", Some(day))).transpose()?;
        let range = match page::parse(of, token)? {
            // What was asked stands in the token: where to go on, and how far.
            Some(Page { start, seq }) => EventRange {
                from: vec![Edge::Seq(Seq(start))],
                to: vec![Edge::Seq(seq)],
                ..EventRange::default()
            },
            None => EventRange {
                day,
                from: from.into_iter().collect(),
                to: to.into_iter().collect(),
                ..EventRange::default()
            },
        };
        Ok(Part { range: EventRange { filter, ..range }, size, of })
    }

    /// Reads it; only what `wanted` lets through counts.
    pub fn read(
        mut self,
        backend: &dyn Backend,
        wanted: &mut dyn FnMut(&Found) -> bool,
    ) -> Result<PartFound, BackendError> {
        let mut events = Vec::new();
        self.range.limit = None;
        let mut next = None;
        let done = backend.read(&self.range, &mut |found| {
            for found in found {
                if !wanted(found) {
                    continue;
                }
                // One more than fits tells where the next page begins.
                if events.len() == self.size {
                    next = Some(found.at.seq);
                    return ControlFlow::Break(());
                }
                events.push(found.clone());
            }
            ControlFlow::Continue(())
        })?;
        let token = |start: Seq| page::token(self.of, Page { start: start.0, seq: done.to });
        Ok(PartFound { events, next: next.map(token).unwrap_or_default(), to: done.to })
    }
}

/// A gap on the wire.
pub(super) fn gap(backend: &dyn Backend, found: &Found) -> Option<v1::FeedGap> {
    let Body::Gap(gap) = &found.at.event.body else { return None };
    Some(v1::FeedGap {
        seq: found.at.seq.0,
        recorded_at: Some(convert::timestamp(found.at.event.recv)),
        from: Some(convert::timestamp(gap.from)),
        to: Some(convert::timestamp(gap.to)),
        source: backend.source(found.at.event.source.0),
    })
}

/// Refused input on the wire.
pub(super) fn quarantined(
    backend: &dyn Backend,
    found: &Found,
    with_input: bool,
) -> Result<Option<v1::QuarantinedInput>, BackendError> {
    let Body::Quarantine(kept) = &found.at.event.body else { return Ok(None) };
    let input = if with_input { backend.blob(kept.blob)? } else { Bytes::new() };
    Ok(Some(v1::QuarantinedInput {
        seq: found.at.seq.0,
        recorded_at: Some(convert::timestamp(found.at.event.recv)),
        reason: kept.reason.name().to_owned(),
        input,
        address: kept.blob.to_string(),
        ticker: found.ticker.as_deref().unwrap_or_default().to_owned(),
        source: backend.source(found.at.event.source.0),
    }))
}

/// The reason that a request names; `None` for any.
pub(super) fn reason(text: &str) -> Result<Option<RefusalReason>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let known = RefusalReason::ALL;
    match known.into_iter().find(|reason| reason.name() == text) {
        Some(reason) => Ok(Some(reason)),
        None => {
            let names: Vec<&str> = known.iter().map(|reason| reason.name()).collect();
            Err(invalid("reason", &format!("is none of {}", names.join(", "))))
        }
    }
}

/// The blake3 of an event's canonical bytes.
#[must_use]
pub fn address_of(event: &event::Event) -> Address {
    let mut bytes = Vec::with_capacity(128);
    event::encode(event, &mut bytes);
    Address::of(&bytes)
}
