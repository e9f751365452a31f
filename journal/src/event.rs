//! The closed list of facts, and their canonical bytes.
//!
//! An event is small and fixed: 64 canonical bytes, or 128 for bars and chain
//! snapshots. Everything variable is a blob and the event carries its address.
//! Identity is defined on canonical bytes, never on how they are stored; the
//! layout is written down in `FORMAT.md`.

mod chain;
mod codec;
mod draft;
mod ticks;

pub use chain::{ChainRow, ChainRows, ExerciseStyle, OptionRight, RowsError};
pub use codec::{EVENT_BYTES_LONG, EVENT_BYTES_SHORT, EventError, decode, encode, encoded_len};
pub(crate) use codec::{NoPlace, parse, parse_tick};
pub use draft::{BlobDraft, ChainDraft, ChainRowDraft, Draft, DraftBody, InstrumentRef};
pub use ticks::{TickBatch, TickMark};

use crate::units::{Address, InstrumentId, Price, RecvTime, Seq, SourceId, VendorTime};

/// One fact from outside, as the journal keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When the journal took it; the only clock inside a fold.
    pub recv: RecvTime,
    /// When the vendor says it happened.
    pub vendor_time: Option<VendorTime>,
    /// What it is about; [`InstrumentId::NONE`] when about no instrument.
    pub instrument: InstrumentId,
    /// Where it came from.
    pub source: SourceId,
    /// The event right before this one is an [`Body::Extension`] with what did
    /// not fit the columns.
    pub extended: bool,
    /// What happened.
    pub body: Body,
}

/// An event and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEvent {
    /// Position in the journal.
    pub seq: Seq,
    /// The fact.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Best bid and offer.
    Quote(Quote),
    /// One trade.
    Trade(Trade),
    /// An aggregate bar.
    Bar(Bar),
    /// The value of an index.
    IndexValue(IndexValue),
    /// A whole option chain; the only fact that declares topology.
    ChainSnapshot(ChainSnapshot),
    /// A ticker gets its dense id (the event's instrument).
    InstrumentDefined(InlineText),
    /// A list of trade conditions gets its dense id; the blob holds the list
    /// as little-endian u32 values.
    ConditionsDefined {
        /// The id, from 1.
        id: u32,
        /// The list.
        blob: Address,
    },
    /// A source gets its dense id (the event's source); the blob is its
    /// descriptor, UTF-8 JSON.
    SourceDefined(Address),
    /// What did not fit the columns of the next event: its original text.
    Extension(Address),
    /// Structural lines found by a person or an AI, UTF-8 JSON.
    Annotation(Address),
    /// A news item, UTF-8 JSON.
    News(Address),
    /// A control fact: configuration, promotion of a profile; UTF-8 JSON.
    Control(Address),
    /// Time has passed.
    ClockBeat,
    /// A feed was away: nothing between the two moments was seen.
    Gap(Gap),
    /// Names an earlier event and what it should have said.
    Correction {
        /// The event that was wrong.
        corrects: Seq,
        /// What is right, UTF-8 JSON; empty blob for a cancellation.
        blob: Address,
    },
    /// Input that was refused.
    Quarantine(Quarantine),
}

/// The kinds, as their stable tags on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    Quote = 1,
    Trade = 2,
    Bar = 3,
    IndexValue = 4,
    ChainSnapshot = 5,
    InstrumentDefined = 6,
    ConditionsDefined = 7,
    SourceDefined = 8,
    Extension = 9,
    Annotation = 10,
    News = 11,
    Control = 12,
    ClockBeat = 13,
    Gap = 14,
    Correction = 15,
    Quarantine = 16,
}

impl Kind {
    /// All kinds, by tag.
    pub const ALL: [Kind; 16] = [
        Kind::Quote,
        Kind::Trade,
        Kind::Bar,
        Kind::IndexValue,
        Kind::ChainSnapshot,
        Kind::InstrumentDefined,
        Kind::ConditionsDefined,
        Kind::SourceDefined,
        Kind::Extension,
        Kind::Annotation,
        Kind::News,
        Kind::Control,
        Kind::ClockBeat,
        Kind::Gap,
        Kind::Correction,
        Kind::Quarantine,
    ];

    /// The kind of a tag.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Kind> {
        // `ALL` is in the order of the tags, which begin at 1.
        Kind::ALL.get(usize::from(tag).checked_sub(1)?).copied()
    }

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Quote => "quote",
            Kind::Trade => "trade",
            Kind::Bar => "bar",
            Kind::IndexValue => "index_value",
            Kind::ChainSnapshot => "chain_snapshot",
            Kind::InstrumentDefined => "instrument_defined",
            Kind::ConditionsDefined => "conditions_defined",
            Kind::SourceDefined => "source_defined",
            Kind::Extension => "extension",
            Kind::Annotation => "annotation",
            Kind::News => "news",
            Kind::Control => "control",
            Kind::ClockBeat => "clock_beat",
            Kind::Gap => "gap",
            Kind::Correction => "correction",
            Kind::Quarantine => "quarantine",
        }
    }

    /// Whether the journal itself writes this kind ahead of another event;
    /// such events do not count as input of their source.
    #[must_use]
    pub const fn is_bookkeeping(self) -> bool {
        matches!(
            self,
            Kind::InstrumentDefined
                | Kind::ConditionsDefined
                | Kind::SourceDefined
                | Kind::Extension
        )
    }
}

impl Body {
    /// The kind of this body.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Body::Quote(_) => Kind::Quote,
            Body::Trade(_) => Kind::Trade,
            Body::Bar(_) => Kind::Bar,
            Body::IndexValue(_) => Kind::IndexValue,
            Body::ChainSnapshot(_) => Kind::ChainSnapshot,
            Body::InstrumentDefined(_) => Kind::InstrumentDefined,
            Body::ConditionsDefined { .. } => Kind::ConditionsDefined,
            Body::SourceDefined(_) => Kind::SourceDefined,
            Body::Extension(_) => Kind::Extension,
            Body::Annotation(_) => Kind::Annotation,
            Body::News(_) => Kind::News,
            Body::Control(_) => Kind::Control,
            Body::ClockBeat => Kind::ClockBeat,
            Body::Gap(_) => Kind::Gap,
            Body::Correction { .. } => Kind::Correction,
            Body::Quarantine(_) => Kind::Quarantine,
        }
    }

    /// The blob that a fold needs in order to understand this event, if any.
    #[must_use]
    pub const fn fold_blob(&self) -> Option<Address> {
        match self {
            Body::ChainSnapshot(c) => Some(c.rows),
            Body::Annotation(a) | Body::Control(a) => Some(*a),
            Body::Correction { blob, .. } => Some(*blob),
            _ => None,
        }
    }

    /// Every blob that this event refers to.
    #[must_use]
    pub fn blobs(&self) -> Vec<Address> {
        match self {
            Body::ChainSnapshot(c) => vec![c.rows, c.raw],
            Body::InstrumentDefined(text) => text.blob().into_iter().collect(),
            Body::ConditionsDefined { blob, .. } | Body::Correction { blob, .. } => vec![*blob],
            Body::SourceDefined(a)
            | Body::Extension(a)
            | Body::Annotation(a)
            | Body::News(a)
            | Body::Control(a) => vec![*a],
            Body::Quarantine(q) => vec![q.blob],
            Body::Quote(_)
            | Body::Trade(_)
            | Body::Bar(_)
            | Body::IndexValue(_)
            | Body::ClockBeat
            | Body::Gap(_) => Vec::new(),
        }
    }
}

/// Best bid and offer. A side that is `None` was absent in the message; a
/// vendor's 0 stays 0 here and means "no quote on this side".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quote {
    /// Bid price.
    pub bid: Option<Price>,
    /// Ask price.
    pub ask: Option<Price>,
    /// Bid size, contracts or shares.
    pub bid_size: Option<u32>,
    /// Ask size, contracts or shares.
    pub ask_size: Option<u32>,
    /// Vendor sequence number.
    pub vendor_seq: Option<u64>,
    /// Exchange of the bid; below 65535, which writers refuse.
    pub bid_exchange: Option<u16>,
    /// Exchange of the ask; below 65535, which writers refuse.
    pub ask_exchange: Option<u16>,
    /// Interned condition list; 0 for none.
    pub conditions: u32,
}

/// One trade.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trade {
    /// Price paid.
    pub price: Price,
    /// Contracts or shares.
    pub size: u64,
    /// Vendor sequence number.
    pub vendor_seq: Option<u64>,
    /// Exchange; below 65535, which writers refuse.
    pub exchange: Option<u16>,
    /// Interned condition list; 0 for none.
    pub conditions: u32,
}

/// An aggregate bar over `start..end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bar {
    /// First moment of the bar.
    pub start: VendorTime,
    /// First moment after the bar.
    pub end: VendorTime,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Contracts or shares; `None` for an index.
    pub volume: Option<u64>,
    /// Volume-weighted price.
    pub vwap: Option<Price>,
    /// Number of trades.
    pub trades: Option<u64>,
    /// Today's accumulated volume.
    pub day_volume: Option<u64>,
    /// Today's official open.
    pub day_open: Option<Price>,
    /// Today's volume-weighted price.
    pub day_vwap: Option<Price>,
    /// Average trade size; below `u64::MAX`, which writers refuse.
    pub trade_size_mean: Option<u64>,
}

/// The value of an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IndexValue {
    /// Index points.
    pub value: Price,
}

/// A whole option chain at one moment; the event's instrument is the
/// underlying.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainSnapshot {
    /// Decoded rows, [`ChainRows`] bytes.
    pub rows: Address,
    /// The vendor's own bytes.
    pub raw: Address,
    /// Price of the underlying as the snapshot states it.
    pub spot: Option<Price>,
    /// Rows in the blob.
    pub contracts: u32,
    /// Rows that the decoder refused, each with its own quarantine event.
    pub refused: u32,
    /// From the request to the last page, ns; 0 for captured files.
    pub latency_ns: u64,
    /// Vendor pages; 1 for captured files.
    pub pages: u32,
}

/// A feed was away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gap {
    /// Last moment that was seen.
    pub from: RecvTime,
    /// First moment that is seen again.
    pub to: RecvTime,
}

/// Input that was refused, kept with its reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quarantine {
    /// The refused bytes, cut at a documented length.
    pub blob: Address,
    /// Why.
    pub reason: RefusalReason,
}

/// Why input was refused; the tags are stable on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum RefusalReason {
    Malformed = 1,
    MissingField = 2,
    BadPrice = 3,
    BadStrike = 4,
    BadTime = 5,
    BadTicker = 6,
    BadSize = 7,
    UnknownKind = 8,
    EmptyChain = 9,
    DamagedChain = 10,
    TooLarge = 11,
    Duplicate = 12,
    WrongUnderlying = 13,
}

impl RefusalReason {
    /// All reasons, by tag.
    pub const ALL: [RefusalReason; 13] = [
        RefusalReason::Malformed,
        RefusalReason::MissingField,
        RefusalReason::BadPrice,
        RefusalReason::BadStrike,
        RefusalReason::BadTime,
        RefusalReason::BadTicker,
        RefusalReason::BadSize,
        RefusalReason::UnknownKind,
        RefusalReason::EmptyChain,
        RefusalReason::DamagedChain,
        RefusalReason::TooLarge,
        RefusalReason::Duplicate,
        RefusalReason::WrongUnderlying,
    ];

    /// The reason of a tag.
    #[must_use]
    pub fn from_tag(tag: u32) -> Option<RefusalReason> {
        RefusalReason::ALL.into_iter().find(|r| *r as u32 == tag)
    }

    /// The name in JSON, metrics and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RefusalReason::Malformed => "malformed",
            RefusalReason::MissingField => "missing_field",
            RefusalReason::BadPrice => "bad_price",
            RefusalReason::BadStrike => "bad_strike",
            RefusalReason::BadTime => "bad_time",
            RefusalReason::BadTicker => "bad_ticker",
            RefusalReason::BadSize => "bad_size",
            RefusalReason::UnknownKind => "unknown_kind",
            RefusalReason::EmptyChain => "empty_chain",
            RefusalReason::DamagedChain => "damaged_chain",
            RefusalReason::TooLarge => "too_large",
            RefusalReason::Duplicate => "duplicate",
            RefusalReason::WrongUnderlying => "wrong_underlying",
        }
    }
}

/// A ticker: inline up to [`InlineText::INLINE_MAX`] bytes, a blob beyond.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InlineText {
    /// The text itself.
    Inline(Box<str>),
    /// Address of the text.
    Blob(Address),
}

impl InlineText {
    /// Longest text that stays inside the event.
    pub const INLINE_MAX: usize = 39;

    /// The blob's address, when the text is one.
    #[must_use]
    pub const fn blob(&self) -> Option<Address> {
        match self {
            InlineText::Inline(_) => None,
            InlineText::Blob(a) => Some(*a),
        }
    }
}
