//! What would go, found without changing anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Cut, RetentionError};
use crate::format::contents::{Contents, names_blobs};
use crate::format::definitions::{self, Name};
use crate::format::page::Decoder;
use crate::format::summary::PageSummary;
use crate::open::recover::pairs;
use crate::read::index::Index;
use crate::store::Store;
use crate::units::{Address, Seq, TradingDay};
use crate::{Journal, ReadError, keys, read::reader, truth::loss};

/// What dropping days would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Days that go, oldest first.
    pub days: Vec<TradingDay>,
    /// Their last event; `None` when there is nothing to drop.
    pub last: Option<Seq>,
    /// Events that go.
    pub events: u64,
    /// Pages that go.
    pub pages: u64,
    /// Blobs that nothing else names.
    pub(super) blobs: BTreeSet<Address>,
    /// Bytes of both, as they are stored.
    pub bytes: u64,
    /// The last event that was looked at for what it names.
    pub(super) seen: Seq,
    /// What the folds knew at an earlier drop.
    pub(super) old_state: Option<Address>,
}

impl Plan {
    /// How many blobs go.
    #[must_use]
    pub fn blobs(&self) -> u64 {
        self.blobs.len() as u64
    }
}

/// The blobs that the events of a page name.
pub(super) fn blobs_of(
    store: &dyn Store,
    page: &PageSummary,
    decoder: &mut Decoder,
) -> Result<Vec<Address>, ReadError> {
    let (label, rows) = reader::page_rows(store, page, decoder)?;
    let contents = Contents::of(label, page.address, rows);
    let undecodable = |e: crate::event::EventError| ReadError::Undecodable {
        what: "page",
        first: page.first,
        why: e.to_string(),
    };
    contents.map(|c| c.blobs).map_err(undecodable)
}

/// The blobs of names that are defined up to an event: whatever uses the id
/// needs them, also when the event that defined it is gone.
fn names(store: &dyn Store, last: Seq) -> Result<Vec<Address>, ReadError> {
    let mut found = Vec::new();
    for pair in pairs(store, keys::DEFINITIONS, Seq::BEFORE_FIRST) {
        let (key, value) = pair?;
        let first = Seq::from_key(&key).unwrap_or_default();
        if first > last {
            break;
        }
        let (_, list) = definitions::decode(&value).map_err(|why| ReadError::Undecodable {
            what: "definitions",
            first,
            why,
        })?;
        found.extend(list.into_iter().filter_map(|d| match d.name {
            Name::Blob(address) => Some(address),
            Name::Inline(_) => None,
        }));
    }
    Ok(found)
}

/// Whether any event of a page can name a blob.
fn may_name_blobs(page: &PageSummary) -> bool {
    page.tally.kinds().iter().any(|(kind, _)| names_blobs(*kind))
}

pub(super) fn plan(journal: &Journal, before: TradingDay) -> Result<Plan, RetentionError> {
    let cut = journal.cut();
    let days = journal.days()?;
    let gone = |seq: Seq| cut.is_some_and(|cut| cut.covers(seq));
    if days.last().is_none_or(|open| before > open.day) {
        return Err(RetentionError::OpenDay { day: before });
    }
    let go: Vec<_> = days.iter().filter(|d| d.day < before && d.sealed && !gone(d.last)).collect();
    let mut plan = Plan {
        days: go.iter().map(|d| d.day).collect(),
        last: go.last().map(|d| d.last),
        events: go.iter().map(|d| d.last.0 - d.first.0 + 1).sum(),
        old_state: cut.map(|cut| cut.state),
        ..Plan::default()
    };
    let Some(last) = plan.last else { return Ok(plan) };
    look(journal, &mut plan, cut, last)?;
    Ok(plan)
}

/// What a drop that broke off left.
pub(super) fn left(journal: &Journal, cut: Cut) -> Result<Plan, RetentionError> {
    let mut plan = Plan::default();
    look(journal, &mut plan, None, cut.last)?;
    // What is kept must not be doomed, whatever names it.
    plan.blobs.remove(&cut.state);
    plan.blobs.remove(&cut.fact);
    Ok(plan)
}

/// Pages up to `last` that are still there, and the blobs that only they name.
fn look(
    journal: &Journal,
    plan: &mut Plan,
    cut: Option<Cut>,
    last: Seq,
) -> Result<(), RetentionError> {
    let shared = &journal.shared;
    let (pages, end): (Vec<Arc<PageSummary>>, Seq) = {
        let index: &Index = &shared.index();
        (index.pages.clone(), index.end().0)
    };
    plan.seen = end;
    let store = shared.store.as_ref();
    let mut decoder = Decoder::default();
    let (go, stay) = pages.split_at(pages.partition_point(|p| p.last() <= last));
    for page in go.iter().filter(|p| cut.is_none_or(|cut| !cut.covers(p.last()))) {
        let stored = store.get(keys::PAGES, &page.first.to_key()).map_err(ReadError::from)?;
        let Some(stored) = stored else { continue };
        plan.pages += 1;
        plan.bytes += stored.len() as u64;
        plan.blobs.extend(blobs_of(store, page, &mut decoder)?);
    }
    // Of what was given up nobody can say what it named.
    let losses = loss::all(store);
    let lost = |p: &PageSummary| loss::covers(&losses, (p.first, p.last()));
    for page in stay.iter().filter(|p| may_name_blobs(p) && !lost(p)) {
        for address in blobs_of(store, page, &mut decoder)? {
            plan.blobs.remove(&address);
        }
    }
    let behind = stay.last().map_or(last, |p| p.last()).next();
    for stretch in journal.read(behind, end) {
        for event in stretch?.events.iter() {
            for address in event.body.blobs() {
                plan.blobs.remove(&address);
            }
        }
    }
    for address in names(store, last)? {
        plan.blobs.remove(&address);
    }
    for address in &plan.blobs {
        let blob = store.get(keys::BLOBS, &address.0).map_err(ReadError::from)?;
        plan.bytes += blob.map_or(0, |b| b.len() as u64);
    }
    Ok(())
}
