//! Pages decoded and checked ahead of whoever reads them, in order. What is
//! ahead is bounded: the rows of [`PAGES_AHEAD`] pages, in memory that goes
//! round. Events are made where they are read, because memory that one thread
//! takes and another gives back costs more than it saves.
//!
//! Whoever reads does not wait while there is a page to decode: it takes the one
//! that it needs if no thread has begun with it, and a later one while a thread
//! is busy with it. So reading is never slower than on one thread, also where
//! what crosses from core to core is dear.
//!
//! Only pages: their bounds are known from the index and never change. Short
//! ranges and frames are read where they are asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{Stretch, page_rows, stretch};
use crate::ReadError;
use crate::format::canon::Label;
use crate::format::page::Decoder;
use crate::format::summary::PageSummary;
use crate::limits::PAGE_EVENTS;
use crate::read::index::Place;
use crate::shared::Shared;
use crate::units::Seq;

/// Threads beside the one that reads, where there are cores for them.
const WORKERS_MAX: usize = 2;
/// Pages asked for and not yet taken.
const PAGES_AHEAD: usize = 4;
/// A shorter range is not worth a thread.
const EVENTS_MIN: u64 = 8 * PAGE_EVENTS as u64;

/// What is known of a page that was asked for.
enum Slot {
    /// Nobody has begun with it.
    Free,
    /// Somebody is busy with it.
    Taken,
    Done(Box<(Result<Label, ReadError>, Decoder)>),
}

/// The pages asked for, in order.
#[derive(Default)]
struct Pages {
    slots: VecDeque<(Arc<PageSummary>, Slot)>,
    /// Pages that were before the first of these.
    gone: u64,
    decoders: Vec<Decoder>,
    ended: bool,
}

impl Pages {
    /// Takes the first free page from the one at `from` on; its number counts
    /// those that are gone.
    fn claim(&mut self, from: usize) -> Option<(u64, Arc<PageSummary>, Decoder)> {
        let mut slots = self.slots.iter_mut().enumerate().skip(from);
        let (at, (page, slot)) = slots.find(|(_, (_, slot))| matches!(slot, Slot::Free))?;
        *slot = Slot::Taken;
        let decoder = self.decoders.pop().unwrap_or_default();
        Some((self.gone + at as u64, page.clone(), decoder))
    }

    fn put(&mut self, number: u64, slot: Slot) {
        let at = number.checked_sub(self.gone).and_then(|at| usize::try_from(at).ok());
        if let Some(place) = at.and_then(|at| self.slots.get_mut(at)) {
            place.1 = slot;
        }
    }
}

/// What the threads and the one that reads share.
#[derive(Default)]
struct Board {
    pages: Mutex<Pages>,
    asked: Condvar,
    done: Condvar,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Pages> {
        // Nothing that is done under the lock leaves it in between.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does until it is told to end.
    fn work(&self, shared: &Shared) {
        loop {
            let mut pages = self.lock();
            let (number, page, mut decoder) = loop {
                if pages.ended {
                    return;
                }
                // The first one is left to the one that reads, who needs it now.
                match pages.claim(1).or_else(|| pages.claim(0)) {
                    Some(claimed) => break claimed,
                    None => {
                        pages = self.asked.wait(pages).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(pages);
            let mut claim = Claim { board: self, number, outcome: Slot::Free };
            let label = page_rows(shared.store.as_ref(), &page, &mut decoder).map(|(l, _)| l);
            claim.outcome = Slot::Done(Box::new((label, decoder)));
        }
    }
}

/// A page that a thread is busy with. Should the thread panic, the page is free
/// again, and whoever reads it finds out why.
struct Claim<'a> {
    board: &'a Board,
    number: u64,
    outcome: Slot,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.board.lock().put(self.number, std::mem::replace(&mut self.outcome, Slot::Free));
        self.board.done.notify_one();
    }
}

/// The threads, once they are worth it, and what they were asked for.
#[derive(Default)]
pub(super) struct Ahead {
    board: Arc<Board>,
    threads: Vec<JoinHandle<()>>,
    /// The page to ask for next.
    planned: Seq,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.board.lock().ended = true;
        self.board.asked.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Ahead {
    /// The page that holds `next`; `None` when it is to be read directly.
    pub(super) fn take(
        &mut self,
        shared: &Arc<Shared>,
        next: Seq,
        to: Seq,
    ) -> Option<Result<Stretch, ReadError>> {
        if self.threads.is_empty() {
            if to.0.saturating_sub(next.0) < EVENTS_MIN {
                return None;
            }
            self.start(shared);
        }
        self.plan(shared, next, to);
        let mut pages = self.board.lock();
        let (page, (label, decoder)) = loop {
            if let (_, Slot::Done(..)) = pages.slots.front()?
                && let Some((page, Slot::Done(done))) = pages.slots.pop_front()
            {
                pages.gone += 1;
                break (page, *done);
            }
            let Some((number, page, mut decoder)) = pages.claim(0) else {
                pages = self.board.done.wait(pages).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(pages);
            let label = page_rows(shared.store.as_ref(), &page, &mut decoder).map(|(l, _)| l);
            pages = self.board.lock();
            pages.put(number, Slot::Done(Box::new((label, decoder))));
        };
        drop(pages);
        let read = label.and_then(|l| stretch(l, decoder.rows(), Some(page.address), "page"));
        self.board.lock().decoders.push(decoder);
        Some(read)
    }

    fn start(&mut self, shared: &Arc<Shared>) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..(cores - 1).clamp(1, WORKERS_MAX) {
            let (board, shared) = (self.board.clone(), shared.clone());
            let work = move || board.work(&shared);
            let thread = std::thread::Builder::new().name("journal-reader".into()).spawn(work);
            // Without one more, those that are there do its part.
            self.threads.extend(thread.ok());
        }
    }

    fn plan(&mut self, shared: &Shared, next: Seq, to: Seq) {
        self.planned = self.planned.max(next);
        let wanted = PAGES_AHEAD.saturating_sub(self.board.lock().slots.len());
        for _ in 0..wanted {
            if self.planned > to {
                return;
            }
            let Some(Place::Page(page)) = shared.index().place(self.planned) else { return };
            self.planned = page.last().next();
            self.board.lock().slots.push_back((page, Slot::Free));
            self.board.asked.notify_one();
        }
    }
}
