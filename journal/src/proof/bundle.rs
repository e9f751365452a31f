//! Bundles: a claim and everything that is needed to check it but the key of
//! the log, which the checker must have from elsewhere.
//!
//! Three claims are known. *Events*: each of these seqs holds this event.
//! *Range*: these are all events from one seq to another, none left out, in
//! order. *Consistency*: what was signed earlier is the beginning of what was
//! signed later. Days and artifacts are proven by the room that folds.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::merkle::{self, TreeHash};
use super::note::PublicKey;
use super::slice::{Slice, SliceError};
use crate::event::{self, EVENT_BYTES_LONG, EVENT_BYTES_SHORT, EventError, JournalEvent, Kind};
use crate::format::canon::{LABEL, Label};
use crate::format::page;
use crate::limits::PAGE_EVENTS;
use crate::units::{Address, RecvTime, Seq, TradingDay};

/// A page, or some of its bytes, and its way to the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageProof {
    /// Position in the log, from 0.
    pub index: u64,
    /// blake3 of the page's canonical bytes.
    pub address: Address,
    /// RFC 6962 path from the page to the checkpoint's root.
    pub path: Vec<TreeHash>,
    /// The bytes that are shown.
    pub slice: Slice,
}

/// What is claimed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Each of these events, by itself; ascending.
    Events {
        /// Where they are.
        seqs: Vec<Seq>,
        /// The pages that hold them, ascending.
        pages: Vec<PageProof>,
    },
    /// All events from one to another.
    Range {
        /// The first.
        from: Seq,
        /// The last.
        to: Seq,
        /// All pages from that of the first to that of the last, whole.
        pages: Vec<PageProof>,
    },
    /// An earlier checkpoint is the beginning of the bundle's.
    Consistency {
        /// The earlier signed note.
        old: String,
        /// RFC 6962 consistency path.
        path: Vec<TreeHash>,
    },
}

/// A claim under a signed checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle {
    /// The signed note.
    pub checkpoint: String,
    /// What is claimed.
    pub claim: Claim,
}

/// A page of which something is proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProvenPage {
    /// Position in the log, from 0.
    pub index: u64,
    /// blake3 of its canonical bytes.
    pub address: Address,
    /// Its first event.
    pub first: Seq,
    /// Its last event.
    pub last: Seq,
    /// Its trading day.
    pub day: TradingDay,
}

/// What a checked bundle proves.
#[derive(Clone, PartialEq, Debug)]
pub struct Proven {
    /// What the log's key signed.
    pub checkpoint: Checkpoint,
    /// What it signed before, for a proof of consistency.
    pub old: Option<Checkpoint>,
    /// The pages that were used.
    pub pages: Vec<ProvenPage>,
    /// The events of the claim, ascending.
    pub events: Vec<JournalEvent>,
}

/// Why a bundle proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProofError {
    #[error("the checkpoint is refused")]
    Checkpoint(#[source] CheckpointError),
    #[error("the older checkpoint is refused")]
    OldCheckpoint(#[source] CheckpointError),
    #[error(
        "the log of {new} pages does not begin with what was signed at {old} pages: one of the two \
         is not the history of this log, or the path was changed"
    )]
    Inconsistent { old: u64, new: u64 },
    #[error("page {index} is refused")]
    Slice {
        index: u64,
        #[source]
        source: SliceError,
    },
    #[error("page {index} was changed: its bytes have the address {found}, not {said}")]
    PageChanged { index: u64, said: Address, found: Address },
    #[error(
        "page {index} is not in the log that was signed: it was changed and hashed anew, or moved"
    )]
    NotInLog { index: u64 },
    #[error("page {index} has no readable label: {why}")]
    Label { index: u64, why: &'static str },
    #[error("page {index} cannot begin with event {first}")]
    Impossible { index: u64, first: Seq },
    #[error("pages are out of order, or one is left out, at page {index}")]
    PageOrder { index: u64 },
    #[error("page {index} does not show enough: {why}")]
    NotShown { index: u64, why: &'static str },
    #[error("page {index} has no event {seq} where it should be: {why}")]
    Row { index: u64, seq: Seq, why: EventError },
    #[error("page {index} names {said} events and holds {found}")]
    Count { index: u64, said: u32, found: u64 },
    #[error("event {seq} was taken earlier than the one before it")]
    TimeRunsBack { seq: Seq },
    #[error("no page of the bundle holds event {seq}")]
    NotHeld { seq: Seq },
    #[error("page {index} has nothing to do with what is claimed")]
    NotNeeded { index: u64 },
    #[error("the claim is empty or out of order at event {seq}")]
    Claim { seq: Seq },
}

impl Bundle {
    /// Checks everything against the log's key.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, key: &PublicKey) -> Result<Proven, ProofError> {
        let checkpoint =
            Checkpoint::read(self.checkpoint.as_bytes(), key).map_err(ProofError::Checkpoint)?;
        let (mut old, mut proven_pages, mut events) = (None, Vec::new(), Vec::new());
        match &self.claim {
            Claim::Consistency { old: note, path } => {
                let before =
                    Checkpoint::read(note.as_bytes(), key).map_err(ProofError::OldCheckpoint)?;
                let (from, to) = ((before.size, before.root), (checkpoint.size, checkpoint.root));
                if !merkle::consistent(from, to, path) {
                    return Err(ProofError::Inconsistent { old: from.0, new: to.0 });
                }
                old = Some(before);
            }
            Claim::Events { seqs, pages } => {
                proven_pages = check_pages(pages, &checkpoint)?;
                events = single_events(seqs, pages, &proven_pages)?;
            }
            Claim::Range { from, to, pages } => {
                proven_pages = check_pages(pages, &checkpoint)?;
                events = all_events(*from, *to, pages, &proven_pages)?;
            }
        }
        Ok(Proven { checkpoint, old, pages: proven_pages, events })
    }
}

/// Checks that all pages are in the log, and in order.
fn check_pages(
    pages: &[PageProof],
    checkpoint: &Checkpoint,
) -> Result<Vec<ProvenPage>, ProofError> {
    let mut proven: Vec<ProvenPage> = Vec::with_capacity(pages.len());
    for page in pages {
        let index = page.index;
        let found = page.slice.address().map_err(|source| ProofError::Slice { index, source })?;
        if found != page.address {
            return Err(ProofError::PageChanged { index, said: page.address, found });
        }
        let leaf = TreeHash::leaf(found);
        if !merkle::includes(leaf, index, checkpoint.size, &page.path, checkpoint.root) {
            return Err(ProofError::NotInLog { index });
        }
        let label = label(&page.slice).map_err(|why| ProofError::Label { index, why })?;
        // Every page before this one holds 1 to 4,096 events.
        let before = label.first.0 - 1;
        if before < index || before > index.saturating_mul(PAGE_EVENTS as u64) {
            return Err(ProofError::Impossible { index, first: label.first });
        }
        if let Some(last) = proven.last() {
            let ordered = last.index < index && last.last < label.first && last.day <= label.day;
            let adjacent = last.index + 1 == index;
            if !ordered || (adjacent && last.last.next() != label.first) {
                return Err(ProofError::PageOrder { index });
            }
        }
        let (first, last) = (label.first, label.last());
        proven.push(ProvenPage { index, address: found, first, last, day: label.day });
    }
    Ok(proven)
}

/// The label of a page whose first chunk is shown.
fn label(slice: &Slice) -> Result<Label, &'static str> {
    let bytes = slice.get(0..LABEL as u64).ok_or("its first chunk is not shown")?;
    let (label, _) = Label::parse(bytes, page::MAGIC)?;
    if bytes != page::canonical_label(label) {
        return Err("it is not that of a page of version 1");
    }
    Ok(label)
}

/// Where a row lies in the page, as far as can be known from what is shown.
/// All rows have 64 bytes or 128; where both occur, the rows before must be
/// shown, or nobody could say which row is which event.
pub(super) fn row_at(
    slice: &Slice,
    count: u32,
    position: u64,
) -> Result<std::ops::Range<u64>, Option<EventError>> {
    let (label, short) = (LABEL as u64, EVENT_BYTES_SHORT as u64);
    let long = EVENT_BYTES_LONG as u64;
    for width in [short, long] {
        if slice.length == label + u64::from(count) * width {
            let start = label + position * width;
            return Ok(start..start + width);
        }
    }
    let mut start = label;
    for _ in 0..position {
        start += row_len(slice, start)?;
    }
    Ok(start..start + row_len(slice, start)?)
}

fn row_len(slice: &Slice, start: u64) -> Result<u64, Option<EventError>> {
    let tag = slice.get(start + 22..start + 23).and_then(|tag| tag.first().copied());
    let tag = tag.ok_or(None)?;
    let kind = Kind::from_tag(tag).ok_or(Some(EventError::UnknownKind(tag)))?;
    Ok(event::encoded_len(kind) as u64)
}

fn single_events(
    seqs: &[Seq],
    pages: &[PageProof],
    proven: &[ProvenPage],
) -> Result<Vec<JournalEvent>, ProofError> {
    let mut events: Vec<JournalEvent> = Vec::with_capacity(seqs.len());
    let mut used = vec![false; pages.len()];
    for &seq in seqs {
        if events.last().is_some_and(|last| last.seq >= seq) {
            return Err(ProofError::Claim { seq });
        }
        let at = proven.partition_point(|page| page.last < seq);
        let (Some(page), Some(known), Some(used)) =
            (pages.get(at), proven.get(at).filter(|p| p.first <= seq), used.get_mut(at))
        else {
            return Err(ProofError::NotHeld { seq });
        };
        *used = true;
        let index = page.index;
        if !page.slice.has_end() {
            let why = "its last chunk, which proves its length";
            return Err(ProofError::NotShown { index, why });
        }
        let count = (known.last.0 - known.first.0 + 1) as u32;
        let hidden = ProofError::NotShown { index, why: "the rows up to the event" };
        let place = row_at(&page.slice, count, seq.0 - known.first.0)
            .map_err(|why| why.map_or(hidden.clone(), |why| ProofError::Row { index, seq, why }))?;
        let bytes = page.slice.get(place).ok_or(hidden)?;
        let event = decode(bytes).map_err(|why| ProofError::Row { index, seq, why })?;
        events.push(JournalEvent { seq, event });
    }
    if events.is_empty() {
        return Err(ProofError::Claim { seq: Seq::BEFORE_FIRST });
    }
    match used.iter().zip(proven).find(|(used, _)| !**used) {
        Some((_, page)) => Err(ProofError::NotNeeded { index: page.index }),
        None => Ok(events),
    }
}

fn all_events(
    from: Seq,
    to: Seq,
    pages: &[PageProof],
    proven: &[ProvenPage],
) -> Result<Vec<JournalEvent>, ProofError> {
    let (Some(first), Some(last)) = (proven.first(), proven.last()) else {
        return Err(ProofError::NotHeld { seq: from });
    };
    if from > to || from < Seq::FIRST {
        return Err(ProofError::Claim { seq: from });
    }
    for (outer, seq) in [(first, from), (last, to)] {
        if seq < outer.first || seq > outer.last {
            let held = proven.iter().any(|p| p.first <= seq && seq <= p.last);
            return Err(if held {
                ProofError::NotNeeded { index: outer.index }
            } else {
                ProofError::NotHeld { seq }
            });
        }
    }
    let mut events = Vec::new();
    let mut before = RecvTime(i64::MIN);
    let mut expected = first.index;
    for (page, known) in pages.iter().zip(proven) {
        let index = page.index;
        if index != expected {
            return Err(ProofError::PageOrder { index });
        }
        expected = index.saturating_add(1);
        let why = "all of its bytes";
        let canonical = page.slice.all().ok_or(ProofError::NotShown { index, why })?;
        let mut rows = canonical.get(LABEL..).unwrap_or_default();
        let mut seq = known.first;
        while !rows.is_empty() {
            let wrong = |why| ProofError::Row { index, seq, why };
            let (event, length) = event::decode(rows).map_err(wrong)?;
            if event.recv < before {
                return Err(ProofError::TimeRunsBack { seq });
            }
            before = event.recv;
            if from <= seq && seq <= to {
                events.push(JournalEvent { seq, event });
            }
            rows = rows.get(length..).unwrap_or_default();
            seq = seq.next();
        }
        let (said, found) = ((known.last.0 - known.first.0 + 1) as u32, seq.0 - known.first.0);
        if u64::from(said) != found {
            return Err(ProofError::Count { index, said, found });
        }
    }
    Ok(events)
}

/// The event that is exactly these bytes.
fn decode(bytes: &[u8]) -> Result<event::Event, EventError> {
    let (event, length) = event::decode(bytes)?;
    if length == bytes.len() { Ok(event) } else { Err(EventError::NotCanonical("row")) }
}
