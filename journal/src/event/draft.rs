//! What a feed hands to the writer: facts with tickers instead of ids.
//!
//! The writer turns a draft into one event, preceded by whatever bookkeeping
//! it needs (definitions of new tickers, condition lists, an extension), all in
//! one frame.

use bytes::Bytes;

use super::{Bar, ChainRow, Gap, IndexValue, Quote, RefusalReason, Trade};
use crate::units::{InstrumentId, Price, RecvTime, Seq, SourceId, VendorTime};

/// An instrument by name or, where the feed already knows it, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstrumentRef {
    /// About no instrument.
    None,
    /// Known to this journal.
    Id(InstrumentId),
    /// The vendor's ticker.
    Ticker(Box<str>),
}

/// One fact on its way into the journal.
#[derive(Clone, Debug)]
pub struct Draft {
    /// When it was captured; `None` lets the writer stamp it with its clock.
    /// An earlier moment than the journal's head becomes the head's.
    pub recv: Option<RecvTime>,
    /// When the vendor says it happened.
    pub vendor_time: Option<VendorTime>,
    /// What it is about.
    pub instrument: InstrumentRef,
    /// Where it came from.
    pub source: SourceId,
    /// Original text of whatever does not fit the columns.
    pub extension: Option<Bytes>,
    /// What happened.
    pub body: DraftBody,
}

/// Bytes for the blob store.
pub type BlobDraft = Bytes;

/// What happened, before interning.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum DraftBody {
    /// `conditions` holds the list; the field inside the quote is ignored.
    Quote {
        quote: Quote,
        conditions: Box<[u32]>,
    },
    /// `conditions` holds the list; the field inside the trade is ignored.
    Trade {
        trade: Trade,
        conditions: Box<[u32]>,
    },
    Bar(Box<Bar>),
    IndexValue(IndexValue),
    Chain(Box<ChainDraft>),
    Annotation(BlobDraft),
    News(BlobDraft),
    Control(BlobDraft),
    ClockBeat,
    Gap(Gap),
    Correction {
        corrects: Seq,
        blob: BlobDraft,
    },
    Quarantine {
        reason: RefusalReason,
        blob: BlobDraft,
    },
}

/// A chain snapshot before interning.
#[derive(Clone, Debug)]
pub struct ChainDraft {
    /// The vendor's own bytes.
    pub raw: BlobDraft,
    /// Price of the underlying as the snapshot states it.
    pub spot: Option<Price>,
    /// Rows that the decoder refused.
    pub refused: u32,
    /// From the request to the last page, ns.
    pub latency_ns: u64,
    /// Vendor pages.
    pub pages: u32,
    /// The contracts.
    pub rows: Vec<ChainRowDraft>,
}

/// A row whose instrument is still a ticker; the id inside `row` is ignored.
#[derive(Clone, Debug)]
pub struct ChainRowDraft {
    /// The contract's vendor ticker.
    pub ticker: Box<str>,
    /// Everything else.
    pub row: ChainRow,
}
