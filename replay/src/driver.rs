//! Whole stretches through the engine, on one thread or on several.
//!
//! The calling thread reads, checks and routes; with one thread it folds too,
//! with more each worker folds its share of the partitions (partition number
//! modulo the number of workers). Stretches are shared, queues are bounded, and
//! artifacts reach the sink in one order, so that neither the number of threads
//! nor the size of stretches can be seen in what comes out.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::ScopedJoinHandle;

use bytes::Bytes;
use orrery_journal::event::Event;
use orrery_journal::units::{Address, InstrumentId, Seq};
use orrery_journal::{Head, Journal, ReadError, Stretch};

use crate::engine::share::{Cell, Share, order};
use crate::engine::{Engine, EngineError, Made};
use crate::routes::Routes;

/// Stretches on their way to the slowest worker; bounds memory at this many
/// stretches and what came out of them.
const AHEAD_STRETCHES_MAX: usize = 4;

/// Bytes of bodies and blobs that cost as much to make or to take in as an event
/// costs to fold (measured: two nanoseconds a byte, a quarter of a microsecond an
/// event).
const WORK_BYTES: u64 = 128;

/// Where events come from: the journal, or whatever stands in for it.
pub trait Source {
    /// The events of `from..=to`, stretch by stretch, checked; ends after the
    /// first error.
    fn stretches(
        &self,
        from: Seq,
        to: Seq,
    ) -> Box<dyn Iterator<Item = Result<Stretch, ReadError>> + Send + '_>;

    /// A blob, checked.
    ///
    /// # Errors
    /// When it is missing or damaged.
    fn blob(&self, address: Address) -> Result<Bytes, ReadError>;
}

impl Source for Journal {
    fn stretches(
        &self,
        from: Seq,
        to: Seq,
    ) -> Box<dyn Iterator<Item = Result<Stretch, ReadError>> + Send + '_> {
        Box::new(self.read(from, to))
    }

    fn blob(&self, address: Address) -> Result<Bytes, ReadError> {
        Journal::blob(self, address)
    }
}

/// How many threads fold. The result never depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Threads(NonZeroU32);

impl Threads {
    /// The calling thread alone.
    pub const ONE: Threads = Threads(NonZeroU32::MIN);
    /// More than this many never help: partitions are the unit of work.
    pub const MAX: u32 = 64;

    /// `n` workers, at least one and at most [`Threads::MAX`].
    #[must_use]
    pub fn new(n: usize) -> Threads {
        let n = u32::try_from(n).unwrap_or(Threads::MAX).min(Threads::MAX);
        Threads(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for Threads {
    fn default() -> Threads {
        Threads::ONE
    }
}

/// Why a range was not folded to its end.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event's blob could not be read.
    #[error("event {seq} cannot be folded without its blob")]
    Blob {
        /// The event.
        seq: Seq,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// An event could not be folded.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A stretch that was folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// Its last event, and that event's time.
    pub reached: Head,
    /// Number of its events.
    pub events: u64,
    /// What folding it cost, in events: each of its own counts one, and so do
    /// every 128 bytes of blobs that went in and of bodies that came out. Depends
    /// on nothing but the events.
    pub work: u64,
    /// What came out, ordered by event, partition, and as the fold put it out.
    pub made: Vec<Made>,
}

/// What a range came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FoldSummary {
    /// Events folded and delivered.
    pub events: u64,
    /// Artifacts delivered.
    pub artifacts: u64,
    /// Whether the sink asked to stop. The engine may be ahead of what was
    /// delivered then and takes nothing more.
    pub stopped: bool,
}

/// What becomes of a range after a stretch of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// The next one.
    Go,
    /// What is on its way is folded and delivered; then the engine stands where
    /// the last delivered stretch ends, and takes the next event.
    Rest,
    /// Nothing more is delivered.
    Stop,
}

/// Events whose memory is asked for at once. What thousands of contracts need lies in
/// memory far from the processor: asked for one after the other, waiting for it took
/// two thirds of what a tick costs.
const AHEAD: usize = 32;

/// A part of a stretch with everything that folding it needs.
struct Work {
    events: Arc<[Event]>,
    /// Index of the first event to fold, and one past the last.
    range: std::ops::Range<usize>,
    /// Position of the event at `range.start`.
    first: Seq,
    routes: Arc<Routes>,
    /// Blobs by index of their event, ascending.
    blobs: Vec<(usize, Bytes)>,
}

impl Work {
    fn fold(&self, share: &mut Share, made: &mut Vec<Made>) -> Result<(), (Seq, EngineError)> {
        let mut blobs = self.blobs.iter().peekable();
        let mut seq = self.first;
        let events = self.events.get(self.range.clone()).unwrap_or_default();
        for (index, event) in self.range.clone().zip(events) {
            let done = index - self.range.start;
            if done.is_multiple_of(AHEAD) {
                let next = events.get(done..).unwrap_or_default();
                share.look_ahead(&self.routes, &next[..AHEAD.min(next.len())]);
            }
            let blob = blobs.next_if(|(at, _)| *at == index).map(|(_, bytes)| &**bytes);
            share.step(&self.routes, seq, event, blob, made).map_err(|e| (seq, e))?;
            seq = seq.next();
        }
        Ok(())
    }

    fn reached(&self) -> Head {
        let count = self.range.len() as u64;
        let recv = self.range.end.checked_sub(1).and_then(|i| self.events.get(i)).map(|e| e.recv);
        Head {
            seq: Seq(self.first.0.saturating_add(count).saturating_sub(1)),
            recv: recv.unwrap_or_default(),
        }
    }
}

/// Folds the events after the engine's position up to `to` (or to the end of
/// the source, if that comes earlier). `sink` gets each stretch once it is
/// folded, in order, also when nothing came out of it.
///
/// # Errors
/// See [`FoldError`]. The engine takes nothing more after an error.
pub fn fold_range(
    source: &dyn Source,
    engine: &mut Engine,
    to: Seq,
    threads: Threads,
    sink: &mut dyn FnMut(Folded) -> ControlFlow<()>,
) -> Result<FoldSummary, FoldError> {
    fold_until(source, engine, to, threads, &mut |folded| match sink(folded) {
        ControlFlow::Continue(()) => Then::Go,
        ControlFlow::Break(()) => Then::Stop,
    })
}

/// The same with a sink that may have the fold rest before `to`.
pub(crate) fn fold_until(
    source: &dyn Source,
    engine: &mut Engine,
    to: Seq,
    threads: Threads,
    sink: &mut dyn FnMut(Folded) -> Then,
) -> Result<FoldSummary, FoldError> {
    let from = engine.position().seq.next();
    engine.expect(from)?;
    if from > to {
        return Ok(FoldSummary::default());
    }
    engine.abandoned = true;
    let summary = match threads.get() {
        1 => fold_here(source, engine, to, sink)?,
        n => fold_on_workers(source, engine, to, n, sink)?,
    };
    engine.abandoned = summary.stopped;
    Ok(summary)
}

/// Cuts a stretch to what is wanted, takes its definitions into the routes and
/// loads its blobs. `None` when nothing of it is wanted.
fn prepare(
    source: &dyn Source,
    engine: &mut Engine,
    stretch: &Stretch,
    to: Seq,
    newborn: &mut Vec<Cell>,
) -> Result<Option<Work>, FoldError> {
    let expected = engine.position.seq.next();
    if stretch.first > expected {
        return Err(EngineError::OutOfOrder { expected, got: stretch.first }.into());
    }
    let start = (expected.0 - stretch.first.0) as usize;
    let wanted = to.0.saturating_sub(stretch.first.0).saturating_add(1);
    let end = stretch.events.len().min(usize::try_from(wanted).unwrap_or(usize::MAX));
    if start >= end {
        return Ok(None);
    }
    let mut blobs = Vec::new();
    let mut seq = expected;
    for (index, event) in stretch.events.iter().enumerate().take(end).skip(start) {
        let loaded = match Engine::blob_needed(event) {
            Some(address) if wants_blob(engine, event) => {
                Some(source.blob(address).map_err(|source| FoldError::Blob { seq, source })?)
            }
            _ => None,
        };
        newborn.extend(engine.define(seq, event, loaded.as_deref())?);
        blobs.extend(loaded.map(|bytes| (index, bytes)));
        seq = seq.next();
    }
    let work = Work {
        events: Arc::clone(&stretch.events),
        range: start..end,
        first: expected,
        routes: Arc::clone(&engine.routes),
        blobs,
    };
    engine.position = work.reached();
    Ok(Some(work))
}

/// A blob that no partition will look at is not read.
fn wants_blob(engine: &Engine, event: &Event) -> bool {
    event.body.fold_blob().is_none()
        || event.instrument == InstrumentId::NONE
        || engine.routes.get(event.instrument).is_none_or(|r| !r.partitions.is_empty())
}

fn fold_here(
    source: &dyn Source,
    engine: &mut Engine,
    to: Seq,
    sink: &mut dyn FnMut(Folded) -> Then,
) -> Result<FoldSummary, FoldError> {
    let mut summary = FoldSummary::default();
    let mut newborn = Vec::new();
    for stretch in source.stretches(engine.position().seq.next(), to) {
        let Some(work) = prepare(source, engine, &stretch?, to, &mut newborn)? else { continue };
        for cell in newborn.drain(..) {
            engine.share.push(cell);
        }
        let mut made = Vec::new();
        work.fold(&mut engine.share, &mut made).map_err(|(_, e)| e)?;
        order(&mut made);
        let then = deliver(&mut summary, &work, made, sink);
        if then != Then::Go || engine.position.seq >= to {
            break;
        }
    }
    Ok(summary)
}

fn deliver(
    summary: &mut FoldSummary,
    work: &Work,
    made: Vec<Made>,
    sink: &mut dyn FnMut(Folded) -> Then,
) -> Then {
    let events = work.range.len() as u64;
    summary.events += events;
    summary.artifacts += made.len() as u64;
    let blobs: u64 = work.blobs.iter().map(|(_, blob)| blob.len() as u64).sum();
    let bodies: u64 = made.iter().map(|m| m.artifact.header.body_len).sum();
    let cost = events + (blobs + bodies) / WORK_BYTES;
    let folded = Folded { reached: work.reached(), events, work: cost, made };
    let then = sink(folded);
    summary.stopped = then == Then::Stop;
    then
}

/// What a worker takes.
struct Job {
    work: Arc<Work>,
    newborn: Vec<Cell>,
}

/// What a worker answers, once per job.
type Answer = Result<Vec<Made>, (Seq, EngineError)>;

struct Worker<'scope> {
    jobs: SyncSender<Job>,
    answers: Receiver<Answer>,
    thread: ScopedJoinHandle<'scope, Share>,
}

fn fold_on_workers(
    source: &dyn Source,
    engine: &mut Engine,
    to: Seq,
    threads: u32,
    sink: &mut dyn FnMut(Folded) -> Then,
) -> Result<FoldSummary, FoldError> {
    let cells = std::mem::replace(&mut engine.share, Share::new(1)).into_cells();
    let (result, mut cells) = std::thread::scope(|scope| {
        let workers: Vec<Worker<'_>> = Share::deal(cells, threads)
            .into_iter()
            .map(|share| {
                let (jobs, inbox) = sync_channel::<Job>(AHEAD_STRETCHES_MAX);
                // One place more than jobs in flight: a worker never waits to answer.
                let (outbox, answers) = sync_channel::<Answer>(AHEAD_STRETCHES_MAX + 1);
                let thread = scope.spawn(move || work_off(share, &inbox, &outbox));
                Worker { jobs, answers, thread }
            })
            .collect();
        let result = conduct(source, engine, to, &workers, sink);
        // Hanging up is what ends the workers; they bring their cells home.
        let mut cells = Vec::new();
        for Worker { jobs, answers, thread } in workers {
            drop(jobs);
            drop(answers);
            match thread.join() {
                Ok(share) => cells.extend(share.into_cells()),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        (result, cells)
    });
    cells.sort_by_key(|c| c.number);
    for cell in cells {
        engine.share.push(cell);
    }
    result
}

/// Folds jobs until nobody sends any; after an error only answers with it.
fn work_off(mut share: Share, inbox: &Receiver<Job>, outbox: &SyncSender<Answer>) -> Share {
    let mut failed: Option<(Seq, EngineError)> = None;
    while let Ok(job) = inbox.recv() {
        for cell in job.newborn {
            share.push(cell);
        }
        let mut made = Vec::new();
        if failed.is_none() && !share.is_empty() {
            failed = job.work.fold(&mut share, &mut made).err();
        }
        let answer = match &failed {
            Some(error) => Err(error.clone()),
            None => Ok(made),
        };
        if outbox.send(answer).is_err() {
            break;
        }
    }
    share
}

fn conduct(
    source: &dyn Source,
    engine: &mut Engine,
    to: Seq,
    workers: &[Worker<'_>],
    sink: &mut dyn FnMut(Folded) -> Then,
) -> Result<FoldSummary, FoldError> {
    let mut summary = FoldSummary::default();
    let mut ahead: VecDeque<Arc<Work>> = VecDeque::new();
    for stretch in source.stretches(engine.position().seq.next(), to) {
        let mut newborn = Vec::new();
        // What failed here is told only after everything before it was
        // delivered, as on one thread.
        let prepared = match stretch {
            Ok(stretch) => prepare(source, engine, &stretch, to, &mut newborn),
            Err(error) => Err(error.into()),
        };
        let work = match prepared {
            Ok(Some(work)) => Arc::new(work),
            Ok(None) => continue,
            Err(error) => {
                while let Some(work) = ahead.pop_front() {
                    if finish(&work, workers, &mut summary, sink)? == Then::Stop {
                        return Ok(summary);
                    }
                }
                return Err(error);
            }
        };
        let mut dealt = Share::deal(newborn, workers.len() as u32).into_iter();
        for worker in workers {
            let newborn = dealt.next().map(Share::into_cells).unwrap_or_default();
            // A worker that hung up has panicked; joining it says so.
            let _ = worker.jobs.send(Job { work: Arc::clone(&work), newborn });
        }
        ahead.push_back(work);
        if ahead.len() >= AHEAD_STRETCHES_MAX
            && let Some(work) = ahead.pop_front()
        {
            match finish(&work, workers, &mut summary, sink)? {
                Then::Go => {}
                Then::Rest => break,
                Then::Stop => return Ok(summary),
            }
        }
        if engine.position.seq >= to {
            break;
        }
    }
    while let Some(work) = ahead.pop_front() {
        if finish(&work, workers, &mut summary, sink)? == Then::Stop {
            break;
        }
    }
    Ok(summary)
}

/// Waits for all answers to the oldest job and delivers them.
fn finish(
    work: &Work,
    workers: &[Worker<'_>],
    summary: &mut FoldSummary,
    sink: &mut dyn FnMut(Folded) -> Then,
) -> Result<Then, FoldError> {
    let mut made = Vec::new();
    let mut first: Option<(Seq, EngineError)> = None;
    for worker in workers {
        match worker.answers.recv() {
            Ok(Ok(part)) => made.extend(part),
            Ok(Err(error)) if first.as_ref().is_none_or(|f| error.0 < f.0) => first = Some(error),
            Ok(Err(_)) => {}
            // A worker that hung up has panicked: nothing of this stretch may
            // get out, and joining the worker passes the panic on.
            Err(_) => return Ok(Then::Stop),
        }
    }
    if let Some((_, error)) = first {
        return Err(error.into());
    }
    order(&mut made);
    Ok(deliver(summary, work, made, sink))
}
