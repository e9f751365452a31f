//! Canonical bytes: the one little-endian encoding of an event.
//!
//! ```text
//!  0  recv time     i64   ns since the epoch
//!  8  vendor time   i64   ns since the epoch, 0 unless flag 0x01
//! 16  instrument    u32
//! 20  source        u16
//! 22  kind          u8
//! 23  flags         u8    0x01 vendor time, 0x80 extended, others by kind
//! 24  payload       40 bytes, or 104 for bars and chain snapshots
//! ```
//!
//! Encoding is a bijection: a field that is absent is written as zero, unused
//! bytes are zero, and `decode` refuses anything else, so that two different
//! byte strings never stand for one event.

use super::{
    Bar, Body, ChainSnapshot, Event, Gap, IndexValue, InlineText, Kind, Quarantine, Quote,
    RefusalReason, Trade,
};
use crate::units::{Address, InstrumentId, Price, RecvTime, Seq, SourceId, VendorTime};

/// Canonical length of most events.
pub const EVENT_BYTES_SHORT: usize = 64;
/// Canonical length of bars and chain snapshots.
pub const EVENT_BYTES_LONG: usize = 128;

const HEADER: usize = 24;
const VENDOR_TIME: u8 = 0x01;
const EXTENDED: u8 = 0x80;
const NO_EXCHANGE: u16 = u16::MAX;

/// Why bytes are not an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EventError {
    /// Fewer bytes than the kind needs.
    #[error("an event of kind tag {tag} needs {needed} bytes, {got} are left")]
    Short {
        /// Tag as found.
        tag: u8,
        /// Bytes needed.
        needed: usize,
        /// Bytes left.
        got: usize,
    },
    /// A kind that this version does not know.
    #[error("unknown event kind tag {0}")]
    UnknownKind(u8),
    /// The bytes differ from what encoding the decoded event gives.
    #[error("event bytes of kind {0} are not canonical")]
    NotCanonical(&'static str),
}

/// Canonical length of a kind.
#[must_use]
pub const fn encoded_len(kind: Kind) -> usize {
    match kind {
        Kind::Bar | Kind::ChainSnapshot => EVENT_BYTES_LONG,
        _ => EVENT_BYTES_SHORT,
    }
}

/// A field whose value is how the canonical bytes say that it is absent: such
/// a fact would come back without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoPlace {
    pub field: &'static str,
    pub value: u64,
}

impl NoPlace {
    /// An exchange that has no place.
    #[inline]
    pub(crate) const fn exchange(id: Option<u16>) -> Option<NoPlace> {
        match id {
            Some(NO_EXCHANGE) => Some(NoPlace { field: "exchange", value: NO_EXCHANGE as u64 }),
            _ => None,
        }
    }

    /// What has no place in a quote.
    #[inline]
    pub(crate) const fn quote(quote: &Quote) -> Option<NoPlace> {
        match NoPlace::exchange(quote.bid_exchange) {
            None => NoPlace::exchange(quote.ask_exchange),
            found => found,
        }
    }

    /// What has no place in a trade.
    #[inline]
    pub(crate) const fn trade(trade: &Trade) -> Option<NoPlace> {
        NoPlace::exchange(trade.exchange)
    }

    /// What has no place in a bar.
    pub(crate) const fn bar(bar: &Bar) -> Option<NoPlace> {
        match bar.trade_size_mean {
            Some(u64::MAX) => Some(NoPlace { field: "average trade size", value: u64::MAX }),
            _ => None,
        }
    }
}

/// A cursor that writes fixed-width fields into a zeroed payload.
struct Put<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Put<'_> {
    fn raw(&mut self, value: &[u8]) {
        self.bytes[self.at..self.at + value.len()].copy_from_slice(value);
        self.at += value.len();
    }
    fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }
    fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }
}

/// A cursor that reads fixed-width fields; the caller has checked the length.
struct Take<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Take<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        out
    }
    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
    fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }
    fn address(&mut self) -> Address {
        Address(self.array())
    }
}

fn flag<T>(flags: &mut u8, bit: u8, value: Option<T>) -> T
where
    T: Default,
{
    match value {
        Some(v) => {
            *flags |= bit;
            v
        }
        None => T::default(),
    }
}

/// What every row begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub recv: RecvTime,
    pub vendor_time: Option<VendorTime>,
    pub instrument: InstrumentId,
    pub source: SourceId,
    pub extended: bool,
}

/// The places of a row of 64 bytes.
struct Short([u8; EVENT_BYTES_SHORT]);

impl Short {
    #[inline(always)]
    fn put<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&value);
    }

    /// Puts the head; `flags` are those of the payload.
    #[inline(always)]
    fn head(&mut self, head: &Head, kind: Kind, mut flags: u8) {
        let vendor = flag(&mut flags, VENDOR_TIME, head.vendor_time);
        if head.extended {
            flags |= EXTENDED;
        }
        self.put(0, head.recv.0.to_le_bytes());
        self.put(8, vendor.0.to_le_bytes());
        self.put(16, head.instrument.0.to_le_bytes());
        self.put(20, head.source.0.to_le_bytes());
        self.put(22, [kind as u8, flags]);
    }
}

/// The canonical bytes of a quote.
#[inline]
pub(crate) fn quote_row(head: &Head, q: &Quote) -> [u8; EVENT_BYTES_SHORT] {
    let (mut row, mut flags) = (Short([0; EVENT_BYTES_SHORT]), 0);
    row.put(24, flag(&mut flags, 0x02, q.bid).0.to_le_bytes());
    row.put(32, flag(&mut flags, 0x04, q.ask).0.to_le_bytes());
    row.put(40, flag(&mut flags, 0x08, q.bid_size).to_le_bytes());
    row.put(44, flag(&mut flags, 0x10, q.ask_size).to_le_bytes());
    row.put(48, flag(&mut flags, 0x20, q.vendor_seq).to_le_bytes());
    row.put(56, q.bid_exchange.unwrap_or(NO_EXCHANGE).to_le_bytes());
    row.put(58, q.ask_exchange.unwrap_or(NO_EXCHANGE).to_le_bytes());
    row.put(60, q.conditions.to_le_bytes());
    row.head(head, Kind::Quote, flags);
    row.0
}

/// The canonical bytes of a trade.
#[inline]
pub(crate) fn trade_row(head: &Head, t: &Trade) -> [u8; EVENT_BYTES_SHORT] {
    let (mut row, mut flags) = (Short([0; EVENT_BYTES_SHORT]), 0);
    row.put(24, t.price.0.to_le_bytes());
    row.put(32, t.size.to_le_bytes());
    row.put(40, flag(&mut flags, 0x02, t.vendor_seq).to_le_bytes());
    row.put(48, t.exchange.unwrap_or(NO_EXCHANGE).to_le_bytes());
    row.put(52, t.conditions.to_le_bytes());
    row.head(head, Kind::Trade, flags);
    row.0
}

/// Appends the canonical bytes of `event` to `out`; returns their number.
pub fn encode(event: &Event, out: &mut Vec<u8>) -> usize {
    let Event { recv, vendor_time, instrument, source, extended, body } = event;
    let tick = || {
        let (recv, vendor_time) = (*recv, *vendor_time);
        let (instrument, source, extended) = (*instrument, *source, *extended);
        Head { recv, vendor_time, instrument, source, extended }
    };
    let tick = match body {
        Body::Quote(quote) => Some(quote_row(&tick(), quote)),
        Body::Trade(trade) => Some(trade_row(&tick(), trade)),
        _ => None,
    };
    if let Some(row) = tick {
        out.extend_from_slice(&row);
        return row.len();
    }
    let kind = event.body.kind();
    let len = encoded_len(kind);
    let start = out.len();
    out.resize(start + len, 0);
    let row = &mut out[start..];
    let mut flags = 0u8;
    let vendor = flag(&mut flags, VENDOR_TIME, event.vendor_time);
    if event.extended {
        flags |= EXTENDED;
    }
    {
        let mut put = Put { bytes: &mut row[HEADER..], at: 0 };
        match &event.body {
            // Done above.
            Body::Quote(_) | Body::Trade(_) => {}
            Body::Bar(b) => {
                put.i64(b.start.0);
                put.i64(b.end.0);
                put.i64(b.open.0);
                put.i64(b.high.0);
                put.i64(b.low.0);
                put.i64(b.close.0);
                put.u64(flag(&mut flags, 0x02, b.volume));
                put.i64(flag(&mut flags, 0x04, b.vwap).0);
                put.u64(flag(&mut flags, 0x08, b.trades));
                put.u64(flag(&mut flags, 0x10, b.day_volume));
                put.i64(flag(&mut flags, 0x20, b.day_open).0);
                put.i64(flag(&mut flags, 0x40, b.day_vwap).0);
                put.u64(b.trade_size_mean.unwrap_or(u64::MAX));
            }
            Body::IndexValue(v) => put.i64(v.value.0),
            Body::ChainSnapshot(c) => {
                put.raw(&c.rows.0);
                put.raw(&c.raw.0);
                put.i64(flag(&mut flags, 0x02, c.spot).0);
                put.u32(c.contracts);
                put.u32(c.refused);
                put.u64(c.latency_ns);
                put.u32(c.pages);
            }
            Body::InstrumentDefined(text) => match text {
                InlineText::Inline(text) => {
                    // Longer text is a blob by construction (see `Draft`).
                    let bytes = &text.as_bytes()[..text.len().min(InlineText::INLINE_MAX)];
                    put.raw(&[bytes.len() as u8]);
                    put.raw(bytes);
                }
                InlineText::Blob(address) => {
                    flags |= 0x02;
                    put.raw(&address.0);
                }
            },
            Body::ConditionsDefined { id, blob } => {
                put.raw(&blob.0);
                put.u32(*id);
            }
            Body::SourceDefined(a)
            | Body::Extension(a)
            | Body::Annotation(a)
            | Body::News(a)
            | Body::Control(a) => put.raw(&a.0),
            Body::ClockBeat => {}
            Body::Gap(g) => {
                put.i64(g.from.0);
                put.i64(g.to.0);
            }
            Body::Correction { corrects, blob } => {
                put.raw(&blob.0);
                put.u64(corrects.0);
            }
            Body::Quarantine(q) => {
                put.raw(&q.blob.0);
                put.u32(q.reason as u32);
            }
        }
    }
    row[0..8].copy_from_slice(&event.recv.0.to_le_bytes());
    row[8..16].copy_from_slice(&vendor.0.to_le_bytes());
    row[16..20].copy_from_slice(&event.instrument.0.to_le_bytes());
    row[20..22].copy_from_slice(&event.source.0.to_le_bytes());
    row[22] = kind as u8;
    row[23] = flags;
    len
}

/// Reads the event at the start of `bytes`; returns it with its length.
///
/// # Errors
/// When the bytes are too few, of an unknown kind, or not canonical.
pub fn decode(bytes: &[u8]) -> Result<(Event, usize), EventError> {
    let tag = *bytes.get(22).ok_or(EventError::Short {
        tag: 0,
        needed: EVENT_BYTES_SHORT,
        got: bytes.len(),
    })?;
    let kind = Kind::from_tag(tag).ok_or(EventError::UnknownKind(tag))?;
    let len = encoded_len(kind);
    let row = bytes.get(..len).ok_or(EventError::Short { tag, needed: len, got: bytes.len() })?;
    let event = parse(row, kind)?;
    let mut again = Vec::with_capacity(len);
    encode(&event, &mut again);
    if again != row {
        return Err(EventError::NotCanonical(kind.name()));
    }
    Ok((event, len))
}

/// The `N` bytes at a fixed place of a row.
#[inline(always)]
fn at<const N: usize>(row: &[u8; EVENT_BYTES_SHORT], place: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&row[place..place + N]);
    out
}

/// Reads a quote or a trade as `parse` does; `None` for other kinds. Nearly all
/// events are one of these, so this is inlined and writes the event where it
/// will stay.
#[inline(always)]
pub(crate) fn parse_tick(row: &[u8], kind: Kind) -> Option<Event> {
    let row: &[u8; EVENT_BYTES_SHORT] = row.try_into().ok()?;
    let flags = row[23];
    let has = |bit: u8| flags & bit != 0;
    let exchange = |x: u16| (x != NO_EXCHANGE).then_some(x);
    let word = |place| u64::from_le_bytes(at(row, place));
    let half = |place| u32::from_le_bytes(at(row, place));
    let short = |place| u16::from_le_bytes(at(row, place));
    let price = |place| Price(word(place) as i64);
    let body = match kind {
        Kind::Quote => Body::Quote(Quote {
            bid: has(0x02).then_some(price(24)),
            ask: has(0x04).then_some(price(32)),
            bid_size: has(0x08).then_some(half(40)),
            ask_size: has(0x10).then_some(half(44)),
            vendor_seq: has(0x20).then_some(word(48)),
            bid_exchange: exchange(short(56)),
            ask_exchange: exchange(short(58)),
            conditions: half(60),
        }),
        Kind::Trade => Body::Trade(Trade {
            price: price(24),
            size: word(32),
            vendor_seq: has(0x02).then_some(word(40)),
            exchange: exchange(short(48)),
            conditions: half(52),
        }),
        _ => return None,
    };
    Some(Event {
        recv: RecvTime(word(0) as i64),
        vendor_time: has(VENDOR_TIME).then_some(VendorTime(word(8) as i64)),
        instrument: InstrumentId(half(16)),
        source: SourceId(short(20)),
        extended: has(EXTENDED),
        body,
    })
}

/// Reads the event of one whole row without asking whether the row is
/// canonical: for rows whose hash was checked already.
pub(crate) fn parse(row: &[u8], kind: Kind) -> Result<Event, EventError> {
    let needed = encoded_len(kind);
    if row.len() != needed {
        return Err(EventError::Short { tag: kind as u8, needed, got: row.len() });
    }
    if let Some(tick) = parse_tick(row, kind) {
        return Ok(tick);
    }
    let flags = row[23];
    let has = |bit: u8| flags & bit != 0;
    let mut take = Take { bytes: row, at: 0 };
    let recv = RecvTime(take.i64());
    let vendor = take.i64();
    let instrument = InstrumentId(take.u32());
    let source = SourceId(take.u16());
    take.at = HEADER;
    let body = match kind {
        // Read above.
        Kind::Quote | Kind::Trade => return Err(EventError::NotCanonical(kind.name())),
        Kind::Bar => {
            let (start, end) = (VendorTime(take.i64()), VendorTime(take.i64()));
            let (open, high) = (Price(take.i64()), Price(take.i64()));
            let (low, close) = (Price(take.i64()), Price(take.i64()));
            let (volume, vwap, trades) = (take.u64(), Price(take.i64()), take.u64());
            let (day_volume, day_open) = (take.u64(), Price(take.i64()));
            let (day_vwap, mean) = (Price(take.i64()), take.u64());
            Body::Bar(Bar {
                start,
                end,
                open,
                high,
                low,
                close,
                volume: has(0x02).then_some(volume),
                vwap: has(0x04).then_some(vwap),
                trades: has(0x08).then_some(trades),
                day_volume: has(0x10).then_some(day_volume),
                day_open: has(0x20).then_some(day_open),
                day_vwap: has(0x40).then_some(day_vwap),
                trade_size_mean: (mean != u64::MAX).then_some(mean),
            })
        }
        Kind::IndexValue => Body::IndexValue(IndexValue { value: Price(take.i64()) }),
        Kind::ChainSnapshot => {
            let (rows, raw, spot) = (take.address(), take.address(), Price(take.i64()));
            Body::ChainSnapshot(ChainSnapshot {
                rows,
                raw,
                spot: has(0x02).then_some(spot),
                contracts: take.u32(),
                refused: take.u32(),
                latency_ns: take.u64(),
                pages: take.u32(),
            })
        }
        Kind::InstrumentDefined if has(0x02) => {
            Body::InstrumentDefined(InlineText::Blob(take.address()))
        }
        Kind::InstrumentDefined => {
            let [n] = take.array::<1>();
            let text = row
                .get(take.at..take.at + usize::from(n))
                .and_then(|b| std::str::from_utf8(b).ok())
                .ok_or(EventError::NotCanonical(kind.name()))?;
            Body::InstrumentDefined(InlineText::Inline(text.into()))
        }
        Kind::ConditionsDefined => {
            let blob = take.address();
            Body::ConditionsDefined { id: take.u32(), blob }
        }
        Kind::SourceDefined => Body::SourceDefined(take.address()),
        Kind::Extension => Body::Extension(take.address()),
        Kind::Annotation => Body::Annotation(take.address()),
        Kind::News => Body::News(take.address()),
        Kind::Control => Body::Control(take.address()),
        Kind::ClockBeat => Body::ClockBeat,
        Kind::Gap => Body::Gap(Gap { from: RecvTime(take.i64()), to: RecvTime(take.i64()) }),
        Kind::Correction => {
            let blob = take.address();
            Body::Correction { corrects: Seq(take.u64()), blob }
        }
        Kind::Quarantine => {
            let blob = take.address();
            let reason =
                RefusalReason::from_tag(take.u32()).ok_or(EventError::NotCanonical(kind.name()))?;
            Body::Quarantine(Quarantine { blob, reason })
        }
    };
    Ok(Event {
        recv,
        vendor_time: has(VENDOR_TIME).then_some(VendorTime(vendor)),
        instrument,
        source,
        extended: has(EXTENDED),
        body,
    })
}
