//! Events of the journal in the schema's words, and back.

use std::sync::Arc;

use orrery_journal::event::{self, Body, InlineText, JournalEvent, Kind};
use orrery_journal::units::{InstrumentId, Price, RecvTime, Seq, TradingDay, VendorTime};
use orrery_proto::v1;
use orrery_proto::v1::journal_event::Body as Said;
use tonic::Status;

use super::convert::{recv_time, timestamp, trading_day};
use super::status::invalid;

/// Tickers that a filter may name.
const TICKERS_MAX: usize = 256;

/// One end of a range; the event or moment itself belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    /// An event.
    Seq(Seq),
    /// A receive time.
    Time(RecvTime),
}

/// Which events are wanted, wherever they stand.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventFilter {
    /// Only these; all when empty.
    pub kinds: Vec<Kind>,
    /// Only events about these; all when empty.
    pub tickers: Vec<String>,
}

/// Which events are read; all conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventRange {
    /// Only this day.
    pub day: Option<TradingDay>,
    /// From here on; several ends hold together.
    pub from: Vec<Edge>,
    /// Up to here.
    pub to: Vec<Edge>,
    /// No longer before the last event than this, ns.
    pub since: Option<i64>,
    /// Which of them.
    pub filter: EventFilter,
    /// At most so many.
    pub limit: Option<u64>,
}

/// Where a reader that waits begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// With this event.
    At(Seq),
    /// With the last so many wanted events that are there.
    Last(usize),
}

/// An event that was read, with the ticker of its instrument.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The event.
    pub at: JournalEvent,
    /// What its instrument is called.
    pub ticker: Option<Arc<str>>,
}

/// What a read came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadDone {
    /// First event of the range.
    pub from: Seq,
    /// Last event of the range; less than `from` when it is empty.
    pub to: Seq,
    /// Events that were wanted.
    pub events: u64,
    /// Pages read.
    pub pages_read: u64,
    /// Pages that were not, by their summary.
    pub pages_skipped: u64,
    /// Frames read.
    pub frames_read: u64,
    /// Where to go on, when the limit ended the read.
    pub next: Option<Seq>,
}

/// What a reader that waits tells.
#[derive(Debug)]
pub enum Tailed<'a> {
    /// Events that were wanted.
    Events(&'a [Found]),
    /// None for a while; everything before this seq was told or not wanted.
    Quiet(Seq),
}

/// The filter of a request.
pub(super) fn filter(said: Option<v1::EventFilter>) -> Result<EventFilter, Status> {
    let v1::EventFilter { kinds, tickers } = said.unwrap_or_default();
    if tickers.len() > TICKERS_MAX {
        return Err(invalid("filter.tickers", &format!("{TICKERS_MAX} at most")));
    }
    let kind = |tag: &i32| {
        let kind = u8::try_from(*tag).ok().and_then(Kind::from_tag);
        kind.ok_or_else(|| invalid("filter.kinds", "names a kind that there is not"))
    };
    Ok(EventFilter { kinds: kinds.iter().map(kind).collect::<Result<_, _>>()?, tickers })
}

/// A filter on the wire.
pub(super) fn filter_message(filter: &EventFilter) -> v1::EventFilter {
    let kinds = filter.kinds.iter().map(|kind| *kind as i32).collect();
    v1::EventFilter { kinds, tickers: filter.tickers.clone() }
}

/// The range of a request.
pub(super) fn range(said: v1::ReadRangeRequest) -> Result<EventRange, Status> {
    let seq = |seq| (seq != 0).then_some(Edge::Seq(Seq(seq)));
    let time = |field, time: Option<_>| {
        time.map(|time| recv_time(field, time).map(Edge::Time)).transpose()
    };
    let from_time = time("from_time", said.from_time)?;
    let to_time = time("to_time", said.to_time)?;
    if said.from_seq > said.to_seq && said.to_seq > 0 {
        return Err(invalid("to_seq", "lies before from_seq"));
    }
    if let (Some(Edge::Time(from)), Some(Edge::Time(to))) = (from_time, to_time)
        && from > to
    {
        return Err(invalid("to_time", "lies before from_time"));
    }
    Ok(EventRange {
        day: said.day.map(|day| trading_day("day", Some(day))).transpose()?,
        from: seq(said.from_seq).into_iter().chain(from_time).collect(),
        to: seq(said.to_seq).into_iter().chain(to_time).collect(),
        since: said.since.map(|since| nanos("since", since)).transpose()?,
        filter: filter(said.filter)?,
        limit: (said.limit > 0).then_some(said.limit),
    })
}

/// A duration that is not negative, ns.
pub(super) fn nanos(field: &str, duration: prost_types::Duration) -> Result<i64, Status> {
    let whole = duration.seconds.checked_mul(1_000_000_000);
    let nanos = whole.and_then(|nanos| nanos.checked_add(i64::from(duration.nanos)));
    nanos.filter(|n| *n >= 0).ok_or_else(|| invalid(field, "must lie in 0 to 292 years"))
}

/// A request for a range.
pub(super) fn range_message(range: &EventRange) -> v1::ReadRangeRequest {
    let seq = |edges: &[Edge], choose: fn(u64, u64) -> u64| {
        let seqs = edges.iter().filter_map(|edge| match edge {
            Edge::Seq(seq) => Some(seq.0),
            Edge::Time(_) => None,
        });
        seqs.reduce(choose).unwrap_or_default()
    };
    let time = |edges: &[Edge], choose: fn(RecvTime, RecvTime) -> RecvTime| {
        let times = edges.iter().filter_map(|edge| match edge {
            Edge::Time(time) => Some(*time),
            Edge::Seq(_) => None,
        });
        times.reduce(choose).map(timestamp)
    };
    v1::ReadRangeRequest {
        day: range.day.and_then(super::convert::date),
        from_seq: seq(&range.from, u64::max),
        from_time: time(&range.from, RecvTime::max),
        to_seq: seq(&range.to, u64::min),
        to_time: time(&range.to, RecvTime::min),
        since: range.since.map(|nanos| prost_types::Duration {
            seconds: nanos / 1_000_000_000,
            nanos: (nanos % 1_000_000_000) as i32,
        }),
        filter: Some(filter_message(&range.filter)),
        limit: range.limit.unwrap_or_default(),
        canonical: true,
    }
}

/// An event on the wire.
pub(super) fn message(found: &Found, canonical: bool) -> v1::JournalEvent {
    let Found { at: JournalEvent { seq, event }, ticker } = found;
    let mut bytes = Vec::new();
    if canonical {
        event::encode(event, &mut bytes);
    }
    v1::JournalEvent {
        seq: seq.0,
        recv: Some(timestamp(event.recv)),
        vendor_time: event.vendor_time.map(moment),
        kind: event.body.kind() as i32,
        instrument: event.instrument.0,
        ticker: ticker.as_deref().unwrap_or_default().to_owned(),
        source: event.source.0.into(),
        extended: event.extended,
        canonical: bytes.into(),
        body: body(&event.body),
    }
}

/// An event from the wire: what its canonical bytes say.
pub(super) fn found(said: v1::JournalEvent) -> Option<Found> {
    let (event, _) = event::decode(&said.canonical).ok()?;
    let named = event.instrument != InstrumentId::NONE && !said.ticker.is_empty();
    let ticker = named.then(|| said.ticker.into());
    Some(Found { at: JournalEvent { seq: Seq(said.seq), event }, ticker })
}

fn moment(time: VendorTime) -> prost_types::Timestamp {
    timestamp(RecvTime(time.0))
}

fn body(body: &Body) -> Option<Said> {
    let price = |price: Option<Price>| price.map(|price| price.0);
    let blob = |address: &orrery_journal::units::Address| {
        Said::Blob(v1::BlobEvent { address: address.to_string() })
    };
    Some(match body {
        Body::Quote(q) => Said::Quote(v1::QuoteEvent {
            bid: price(q.bid),
            ask: price(q.ask),
            bid_size: q.bid_size,
            ask_size: q.ask_size,
            vendor_seq: q.vendor_seq,
            bid_exchange: q.bid_exchange.map(Into::into),
            ask_exchange: q.ask_exchange.map(Into::into),
            conditions: q.conditions,
        }),
        Body::Trade(t) => Said::Trade(v1::TradeEvent {
            price: t.price.0,
            size: t.size,
            vendor_seq: t.vendor_seq,
            exchange: t.exchange.map(Into::into),
            conditions: t.conditions,
        }),
        Body::Bar(b) => Said::Bar(v1::BarEvent {
            start: Some(moment(b.start)),
            end: Some(moment(b.end)),
            open: b.open.0,
            high: b.high.0,
            low: b.low.0,
            close: b.close.0,
            volume: b.volume,
            vwap: price(b.vwap),
            trades: b.trades,
            day_volume: b.day_volume,
            day_open: price(b.day_open),
            day_vwap: price(b.day_vwap),
            trade_size_mean: b.trade_size_mean,
        }),
        Body::IndexValue(v) => Said::IndexValue(v1::IndexValueEvent { value: v.value.0 }),
        Body::ChainSnapshot(c) => Said::ChainSnapshot(v1::ChainSnapshotEvent {
            rows: c.rows.to_string(),
            raw: c.raw.to_string(),
            spot: price(c.spot),
            contracts: c.contracts,
            refused: c.refused,
            latency_ns: c.latency_ns,
            pages: c.pages,
        }),
        Body::InstrumentDefined(text) => Said::Definition(match text {
            InlineText::Inline(text) => {
                v1::DefinitionEvent { text: text.to_string(), ..Default::default() }
            }
            InlineText::Blob(blob) => {
                v1::DefinitionEvent { blob: blob.to_string(), ..Default::default() }
            }
        }),
        Body::ConditionsDefined { id, blob } => Said::Definition(v1::DefinitionEvent {
            id: *id,
            blob: blob.to_string(),
            ..Default::default()
        }),
        Body::SourceDefined(address) => Said::Definition(v1::DefinitionEvent {
            blob: address.to_string(),
            ..Default::default()
        }),
        Body::Extension(address)
        | Body::Annotation(address)
        | Body::News(address)
        | Body::Control(address) => blob(address),
        Body::ClockBeat => return None,
        Body::Gap(gap) => {
            Said::Gap(v1::GapEvent { from: Some(timestamp(gap.from)), to: Some(timestamp(gap.to)) })
        }
        Body::Correction { corrects, blob } => {
            Said::Correction(v1::CorrectionEvent { corrects: corrects.0, blob: blob.to_string() })
        }
        Body::Quarantine(q) => Said::Quarantine(v1::QuarantineEvent {
            blob: q.blob.to_string(),
            reason: q.reason.name().to_owned(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_the_schema_are_those_on_disk() {
        for kind in Kind::ALL {
            let said = v1::EventKind::try_from(kind as i32).expect("in the schema");
            let name = said.as_str_name().trim_start_matches("EVENT_KIND_").to_lowercase();
            assert_eq!(name, kind.name());
        }
        assert!(v1::EventKind::try_from(Kind::ALL.len() as i32 + 1).is_err());
    }

    #[test]
    fn a_range_says_the_same_on_both_sides() {
        let asked = EventRange {
            day: TradingDay::parse("2015-12-24"),
            from: vec![Edge::Seq(Seq(7)), Edge::Time(RecvTime(5))],
            to: vec![Edge::Seq(Seq(9)), Edge::Time(RecvTime(1_450_967_280_000_000_001))],
            since: Some(1_500_000_000),
            filter: EventFilter {
                kinds: vec![Kind::Quote, Kind::Gap],
                tickers: vec!["SPY".into()],
            },
            limit: Some(3),
        };
        assert_eq!(range(range_message(&asked)).expect("in order"), asked);
        assert_eq!(
            range(range_message(&EventRange::default())).expect("in order"),
            EventRange::default()
        );
        for kinds in [vec![0], vec![17], vec![-1]] {
            let filter = Some(v1::EventFilter { kinds, tickers: Vec::new() });
            let said = v1::ReadRangeRequest { filter, ..Default::default() };
            assert_eq!(range(said).expect_err("no kind").code(), tonic::Code::InvalidArgument);
        }
        let since = Some(prost_types::Duration { seconds: -1, nanos: 0 });
        assert!(range(v1::ReadRangeRequest { since, ..Default::default() }).is_err());
    }
}
