//! Feeds: bytes in, drafts out.
//!
//! A decoder is a pure function: it opens nothing, reads no clock and never
//! fails. What it cannot read becomes a quarantine draft with its reason and is
//! counted; the rest goes on. [`mod@file`] is the shell around the decoders for
//! captured files, [`simulate`] makes a market up. Feeds know the market's
//! words (tickers, terms, calendar) and no model.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef, RefusalReason};
use orrery_journal::units::{RecvTime, SourceId, VendorTime};

pub mod cboe;
pub mod chain;
pub mod csv;
pub mod deribit;
pub mod desk;
pub mod file;
pub mod inflate;
pub mod intake;
pub mod lean;
pub mod literal;
pub mod massive;
pub mod moment;
pub mod recognize;
pub mod simulate;
pub mod spx0dte;

/// Longest stretch of refused input that quarantine keeps.
pub const QUARANTINE_BYTES_MAX: usize = 64 * 1024;
/// Longest line of a line-by-line format.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest document: a chain of 30,000 contracts has about 22 MB.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Refusals that are described in words; all are counted.
const REFUSALS_TOLD_MAX: usize = 8;

const _: () = assert!(QUARANTINE_BYTES_MAX <= LINE_BYTES_MAX);
const _: () = assert!(LINE_BYTES_MAX <= DOCUMENT_BYTES_MAX);

/// Which moment a decoder writes into its drafts as recv time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recv {
    /// The input's own: captured files.
    Own,
    /// This one: live input.
    At(RecvTime),
}

impl Recv {
    /// The recv time of a fact that the input dates `own`. A fact without a
    /// time of its own stays undated: it belongs where the one before it stands.
    #[must_use]
    pub fn of(self, own: Option<RecvTime>) -> Option<RecvTime> {
        match self {
            Recv::Own => own,
            Recv::At(at) => Some(at),
        }
    }
}

/// Input that was refused, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// What exactly, and where.
    pub what: String,
}

/// What a decoder made of some bytes.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// Facts and quarantined input, in the input's order.
    pub drafts: Vec<Draft>,
    /// Refused input by reason; each also lies in `drafts` as quarantine.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// The first refusals in words.
    pub told: Vec<Refusal>,
    /// WebSocket messages that were read.
    pub messages: u64,
    /// Those of them, and broken frames, that the fast reader left.
    pub fallbacks: u64,
}

impl Decoded {
    /// Takes a fact.
    pub fn accept(
        &mut self,
        recv: Option<RecvTime>,
        vendor_time: Option<VendorTime>,
        instrument: InstrumentRef,
        extension: Option<Bytes>,
        body: DraftBody,
    ) {
        let source = SourceId::JOURNAL;
        self.drafts.push(Draft { recv, vendor_time, instrument, source, extension, body });
    }

    /// Quarantines `text`, cut at [`QUARANTINE_BYTES_MAX`], and counts it.
    pub fn refuse(
        &mut self,
        reason: RefusalReason,
        recv: Option<RecvTime>,
        text: &[u8],
        what: impl fmt::Display,
    ) {
        self.refuse_of(InstrumentRef::None, reason, recv, text, what);
    }

    /// The same for input that is known to be about an instrument, whose
    /// partition hears of it.
    pub fn refuse_of(
        &mut self,
        instrument: InstrumentRef,
        reason: RefusalReason,
        recv: Option<RecvTime>,
        text: &[u8],
        what: impl fmt::Display,
    ) {
        *self.refused.entry(reason).or_insert(0) += 1;
        if self.told.len() < REFUSALS_TOLD_MAX {
            self.told.push(Refusal { reason, what: what.to_string() });
        }
        let blob = Bytes::copy_from_slice(&text[..text.len().min(QUARANTINE_BYTES_MAX)]);
        self.accept(recv, None, instrument, None, DraftBody::Quarantine { reason, blob });
    }
}

/// What a captured file holds; the importer stamps the source in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Format {
    MassiveChain,
    MassiveWs,
    CboeDelayed,
    CboeQuotetable,
    Spx0dte,
    OptionsDesk,
    DeribitOptions,
    LeanTrades,
    LeanBars,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 9] = [
        Format::MassiveChain,
        Format::MassiveWs,
        Format::CboeDelayed,
        Format::CboeQuotetable,
        Format::Spx0dte,
        Format::OptionsDesk,
        Format::DeribitOptions,
        Format::LeanTrades,
        Format::LeanBars,
    ];

    /// The name on the command line and in source descriptors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::MassiveChain => "massive-chain",
            Format::MassiveWs => "massive-ws",
            Format::CboeDelayed => "cboe-delayed",
            Format::CboeQuotetable => "cboe-quotetable",
            Format::Spx0dte => "spx-0dte",
            Format::OptionsDesk => "options-desk",
            Format::DeribitOptions => "deribit-options",
            Format::LeanTrades => "lean-trades",
            Format::LeanBars => "lean-bars",
        }
    }

    /// The format of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|f| f.name() == name)
    }

    /// Whose data it is: the `feed` of a source descriptor.
    #[must_use]
    pub const fn feed(self) -> &'static str {
        match self {
            Format::MassiveChain | Format::MassiveWs => "massive",
            Format::CboeDelayed | Format::CboeQuotetable => "cboe",
            Format::Spx0dte => "spx-0dte",
            Format::OptionsDesk => "options-desk",
            Format::DeribitOptions => "deribit",
            Format::LeanTrades | Format::LeanBars => "lean",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_input_is_cut_counted_and_told_up_to_a_bound() {
        let mut out = Decoded::default();
        let text = vec![b'x'; QUARANTINE_BYTES_MAX + 1];
        for i in 0..20 {
            out.refuse(RefusalReason::TooLarge, None, &text, format_args!("line {i}"));
        }
        assert_eq!(out.refused.get(&RefusalReason::TooLarge), Some(&20));
        assert_eq!((out.drafts.len(), out.told.len()), (20, REFUSALS_TOLD_MAX));
        let DraftBody::Quarantine { blob, .. } = &out.drafts[0].body else {
            panic!("not quarantined")
        };
        assert_eq!(blob.len(), QUARANTINE_BYTES_MAX);
    }

    #[test]
    fn names_of_formats_read_back() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()), Some(format));
        }
        assert_eq!(Format::parse("parquet"), None);
    }
}
