//! Pages decoded and checked ahead of whoever reads them, by two threads, in
//! order. What is ahead is bounded: the rows of [`PAGES_AHEAD`] pages, in memory
//! that goes round. Events are made where they are read, because memory that
//! one thread takes and another gives back costs more than it saves.
//!
//! Only pages: their bounds are known from the index and never change. Short
//! ranges and frames are read where they are asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
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

const WORKERS: usize = 2;
/// Pages asked for and not yet taken.
const PAGES_AHEAD: usize = 4;
/// A shorter range is not worth two threads.
const EVENTS_MIN: u64 = 8 * PAGE_EVENTS as u64;

type Job = (Arc<PageSummary>, Decoder);
type Done = (Result<Label, ReadError>, Decoder);

/// One thread: pages in, checked rows out, in the same order.
struct Worker {
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(shared: Arc<Shared>) -> Option<Worker> {
        let (jobs, asked) = channel::<Job>();
        let (answers, done) = channel();
        let work = move || {
            while let Ok((page, mut decoder)) = asked.recv() {
                let read = page_rows(shared.store.as_ref(), &page, &mut decoder);
                let label = read.map(|(label, _)| label);
                if answers.send((label, decoder)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("journal-reader".into()).spawn(work).ok()?;
        Some(Worker { jobs: Some(jobs), done, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Without a sender the thread ends after the pages it was asked for.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The threads, once they are worth it, and what they were asked for.
#[derive(Default)]
pub(super) struct Ahead {
    workers: Vec<Worker>,
    /// Pages asked for, in order, each of the worker of its turn.
    asked: VecDeque<(usize, Arc<PageSummary>)>,
    decoders: Vec<Decoder>,
    /// The page to ask for next.
    planned: Seq,
    turn: usize,
}

impl Ahead {
    /// The page that holds `next`; `None` when it is to be read directly.
    pub(super) fn take(
        &mut self,
        shared: &Arc<Shared>,
        next: Seq,
        to: Seq,
    ) -> Option<Result<Stretch, ReadError>> {
        if self.workers.is_empty() {
            if to.0.saturating_sub(next.0) < EVENTS_MIN {
                return None;
            }
            self.workers = (0..WORKERS).filter_map(|_| Worker::start(shared.clone())).collect();
        }
        self.plan(shared, next, to);
        let (worker, page) = self.asked.pop_front()?;
        // A thread that is gone has panicked: then reading directly tells why.
        let (label, decoder) = self.workers.get(worker)?.done.recv().ok()?;
        let read = label.and_then(|l| stretch(l, decoder.rows(), Some(page.address), "page"));
        self.decoders.push(decoder);
        Some(read)
    }

    fn plan(&mut self, shared: &Shared, next: Seq, to: Seq) {
        self.planned = self.planned.max(next);
        while self.asked.len() < PAGES_AHEAD && self.planned <= to {
            let Some(Place::Page(page)) = shared.index().place(self.planned) else { return };
            let turn = self.turn % self.workers.len().max(1);
            let Some(jobs) = self.workers.get(turn).and_then(|w| w.jobs.as_ref()) else { return };
            let decoder = self.decoders.pop().unwrap_or_default();
            if jobs.send((page.clone(), decoder)).is_err() {
                return;
            }
            self.planned = page.last().next();
            self.asked.push_back((turn, page));
            self.turn += 1;
        }
    }
}
