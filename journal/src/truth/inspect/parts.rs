//! The events in their order, put together from whatever can be read: pages by
//! their summaries, pages that have lost theirs, frames behind them, and the
//! stretches of which nothing is left.

use bytes::Bytes;

use crate::format::canon::{LABEL, Label};
use crate::format::contents::Contents;
use crate::format::page::{self, Decoder};
use crate::format::summary::PageSummary;
use crate::store::Table;
use crate::truth::raw::RawStore;
use crate::units::{Address, Seq};
use crate::{format::frame, keys};

/// A stretch of the journal.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Part {
    /// A page whose summary is whole. Whether the page is, is another question.
    Page(PageSummary),
    /// A page that is whole and whose summary is not.
    Bare(PageSummary),
    /// A frame; `live` unless its page should be there and is not.
    Frame { label: Label, live: bool },
    /// Nothing is left that says what was here.
    Nothing { first: Seq, last: Seq },
}

impl Part {
    pub(crate) fn events(&self) -> (Seq, Seq) {
        match self {
            Part::Page(page) | Part::Bare(page) => (page.first, page.last()),
            Part::Frame { label, .. } => (label.first, label.last()),
            Part::Nothing { first, last } => (*first, *last),
        }
    }
}

/// All parts, without gap, up to the last event that anything tells of. Of two
/// sources the first is asked first.
pub(crate) fn parts(sources: &[&RawStore]) -> Vec<Part> {
    let mut out = Vec::new();
    let mut at = Seq::FIRST;
    let mut decoder = Decoder::default();
    loop {
        let part = match part_at(sources, at, &mut decoder) {
            Some(part) => part,
            None => match following(sources, at, &mut decoder) {
                Some(next) => Part::Nothing { first: at, last: Seq(next.0 - 1) },
                None => return out,
            },
        };
        at = part.events().1.next();
        out.push(part);
    }
}

fn part_at(sources: &[&RawStore], at: Seq, decoder: &mut Decoder) -> Option<Part> {
    if let Some(summary) = summaries(sources, at).next() {
        return Some(Part::Page(summary));
    }
    let key = at.to_key();
    let values = |table| candidates(sources, table, at);
    let bare = values(keys::PAGES).find_map(|stored| {
        let address = said_address(&stored)?;
        let (label, rows) = decoder.decode(&stored, at, address).ok()?;
        Contents::of(label, address, rows).ok().map(|held| held.summary)
    });
    if let Some(page) = bare {
        return Some(Part::Bare(page));
    }
    let label = values(keys::FRAMES).find_map(|stored| frame_label(&stored, at))?;
    let live = sources.iter().any(|source| source.holds(keys::FRAMES, &key));
    Some(Part::Frame { label, live })
}

/// The first position behind `at` where something whole begins.
fn following(sources: &[&RawStore], at: Seq, decoder: &mut Decoder) -> Option<Seq> {
    let mut best: Option<Seq> = None;
    for source in sources {
        for table in [keys::SUMMARIES, keys::PAGES, keys::FRAMES] {
            let mut from = at.next();
            while let Some(next) = source.next_key(table, &from.to_key()) {
                let Some(seq) = Seq::from_key(&next) else { break };
                if best.is_some_and(|best| best <= seq) {
                    break;
                }
                if part_at(&[*source], seq, decoder).is_some() {
                    best = Some(seq);
                    break;
                }
                from = seq.next();
            }
        }
    }
    best
}

pub(crate) fn candidates<'a>(
    sources: &'a [&'a RawStore],
    table: Table,
    at: Seq,
) -> impl Iterator<Item = Bytes> + 'a {
    sources.iter().flat_map(move |source| source.candidates(table, at.to_key()))
}

/// Whole summaries of the page at a place.
pub(crate) fn summaries<'a>(
    sources: &'a [&'a RawStore],
    at: Seq,
) -> impl Iterator<Item = PageSummary> + 'a {
    candidates(sources, keys::SUMMARIES, at)
        .filter_map(|value| PageSummary::decode(&value).ok().map(|(summary, _)| summary))
        .filter(move |summary| summary.first == at)
}

pub(crate) fn frame_label(stored: &[u8], at: Seq) -> Option<Label> {
    frame::decode(stored).ok().map(|(label, _)| label).filter(|label| label.first == at)
}

/// The address that a stored page claims.
fn said_address(stored: &[u8]) -> Option<Address> {
    Label::parse(stored, page::STORED_MAGIC).ok()?;
    stored.get(LABEL / 2..LABEL)?.try_into().ok().map(Address)
}
