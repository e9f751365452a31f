//! The one writer: a bounded queue in front of one committer thread.
//!
//! The committer takes whatever queued while its last sync ran (natural
//! batching; no timer), gives it its place, writes it in one atomic batch, and
//! only then moves the head and answers, refusals included. After a failed
//! commit it takes nothing more: what it carried is unknown until the journal
//! is opened again.
//!
//! **Hand-over between threads.** Who has what, and why nothing is lost, twice
//! or out of order:
//!
//! 1. *Producer to committer.* Rows are made on the producer's thread and moved
//!    into the queue, so that nobody else can touch them. The queue is a FIFO
//!    under one mutex, which both condition variables belong to. A producer waits on `room`
//!    in a loop that looks again at everything under the mutex; room is made,
//!    and the queue poisoned or closed, only under the mutex, with
//!    `notify_all` behind it, so that no wake-up is missed. One committer
//!    takes from the front: the order of events is the order of pushes.
//! 2. *Committer to sealers and back* (`writer/sealers.rs`). Complete pages are
//!    moved out and come back sealed, in the order in which they were given.
//! 3. *Two commits at a time.* While the pages of commit n are being sealed,
//!    n+1 may be planned (`begin`), but n is written, published and answered
//!    (`end`) before n+1: `serve` holds one `Flight` at most and ends it first.
//!    Promises wait in one list in the order of their commits, and `end`
//!    answers exactly those of its own from the front. If `begin` of n+1 fails,
//!    n is ended all the same; if `end` of n fails, n+1 is never written, and
//!    all its promises are told that it is unknown.
//! 4. *Nothing is visible before it is durable.* Planning changes only what the
//!    committer alone has (`Tail`). Readers see the index, which `publish`
//!    changes after the store's commit has returned. The answer follows the
//!    head, so whoever hears of an event can read it.
//! 5. *A crash* loses whole commits from the end and nothing else: one batch
//!    holds the pages that a commit completes, the removal of their frames, and
//!    the frame of what is left. Events of commit n+1 are in memory only until
//!    its own batch is written, and nobody was told of them.
//! 6. *A panic* of the committer poisons the queue (`Leaving`), and each promise
//!    that is dropped answers (`ticket.rs`); a panic of a sealer reaches the
//!    committer as a closed channel and ends it with an error.

mod queue;
mod sealers;
mod ticket;

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use self::queue::{Append, Input, Queue, weight};
use self::sealers::{Given, Sealers};
pub use self::ticket::{Appended, Ticket};
use self::ticket::{Promise, promise};
use crate::event::{Draft, DraftBody, NoPlace, TickBatch};
use crate::failpoint::hit;
use crate::limits::{OS_BYTES_MAX, SOURCES_MAX};
use crate::open::watermark::Keeper;
use crate::shared::Shared;
use crate::store::{Durability, StoreError};
use crate::units::{Address, RecvTime, Seq, SourceId};
use crate::write::stage::{Sources, StageError};
use crate::write::tail::{Plan, Tail};
use crate::{AppendError, Committed, SyncMode, open::mend};

/// What of a draft would not come back.
fn no_place(draft: &Draft) -> Option<NoPlace> {
    match &draft.body {
        DraftBody::Quote { quote, .. } => NoPlace::quote(quote),
        DraftBody::Trade { trade, .. } => NoPlace::trade(trade),
        DraftBody::Bar(bar) => NoPlace::bar(bar),
        _ => None,
    }
}

fn has_place(found: Option<NoPlace>) -> Result<(), AppendError> {
    match found {
        None => Ok(()),
        Some(NoPlace { field, value }) => Err(AppendError::NoPlace { field, value }),
    }
}

/// Takes drafts; one committer thread gives them their place.
///
/// Dropping it commits what was queued and stops the thread.
pub struct Writer {
    queue: Arc<Queue>,
    sources: Sources,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        shared: Arc<Shared>,
        tail: Tail,
        keeper: Option<Keeper>,
        clock: fn() -> RecvTime,
    ) -> Result<Writer, std::io::Error> {
        let queue = Arc::new(Queue::default());
        let sources = tail.sources();
        let (sealers, taken) = (Sealers::start()?, queue.clone());
        let committer =
            Committer { shared, tail, keeper, sealers, clock, queue: taken, unsynced: 0 };
        let thread = std::thread::Builder::new()
            .name("journal-committer".into())
            .spawn(move || committer.run())?;
        Ok(Writer { queue, sources, thread: Some(thread) })
    }

    /// Queues drafts that are to be committed together; blocks while the queue
    /// is full (backpressure, never a drop).
    ///
    /// # Errors
    /// When the writer is closed or poisoned; [`AppendError::NoPlace`] when a
    /// value would not come back. Then nothing was queued.
    pub fn append(&self, drafts: Vec<Draft>) -> Result<Ticket, AppendError> {
        drafts.iter().try_for_each(|draft| has_place(no_place(draft)))?;
        let (promise, ticket) = promise();
        let bytes = drafts.iter().map(weight).sum();
        let count = drafts.len();
        self.queue.push(Append { input: Input::Drafts(drafts), count, bytes, promise })?;
        Ok(ticket)
    }

    /// Queues ticks that are encoded already and are to be committed together;
    /// blocks while the queue is full. Ids that this journal has not given are
    /// refused with the ticket's answer, all ticks or none.
    ///
    /// # Errors
    /// When the writer is closed or poisoned; [`AppendError::NoPlace`] when a
    /// value would not come back. Then nothing was queued.
    pub fn append_ticks(&self, ticks: TickBatch) -> Result<Ticket, AppendError> {
        has_place(ticks.no_place())?;
        let (promise, ticket) = promise();
        let (count, bytes) = (ticks.len(), ticks.bytes());
        self.queue.push(Append { input: Input::Ticks(ticks), count, bytes, promise })?;
        Ok(ticket)
    }

    /// The id of a source with this descriptor (UTF-8 JSON). Equal descriptors
    /// give equal ids. The journal defines a new source right before its first
    /// event, so one that brings no event leaves no trace.
    ///
    /// # Errors
    /// When the writer is closed, poisoned, or all ids are taken.
    pub fn define_source(&self, descriptor: &str) -> Result<SourceId, AppendError> {
        if let Some(why) = &self.queue.lock().poisoned {
            return Err(AppendError::Poisoned { why: why.clone() });
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = sources.id(descriptor.as_bytes()) {
            return Ok(SourceId(id as u16));
        }
        if u64::from(sources.len()) >= SOURCES_MAX {
            return Err(AppendError::Exhausted { what: "sources", max: SOURCES_MAX });
        }
        Ok(SourceId(sources.define(descriptor.as_bytes()).unwrap_or_default() as u16))
    }

    /// Commits what is queued and stops.
    ///
    /// # Errors
    /// When the last commit failed.
    pub fn close(mut self) -> Result<(), AppendError> {
        self.stop();
        match &self.queue.lock().poisoned {
            Some(why) => Err(AppendError::Poisoned { why: why.clone() }),
            None => Ok(()),
        }
    }

    fn stop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.work.notify_all();
        self.queue.room.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the committer has poisoned the queue already.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

type Answer = Result<Appended, AppendError>;

/// A commit whose events have their place and are not yet on disk.
struct Flight {
    plan: Plan,
    /// Its pages, at the sealers.
    sealing: Vec<Given>,
    /// How many appends it carries.
    promises: usize,
}

/// The thread's own.
struct Committer {
    shared: Arc<Shared>,
    tail: Tail,
    keeper: Option<Keeper>,
    sealers: Sealers,
    clock: fn() -> RecvTime,
    queue: Arc<Queue>,
    /// Bytes that were acknowledged and not synced ([`SyncMode::Os`]).
    unsynced: usize,
}

/// Says that the committer is gone, however it went.
struct Leaving(Arc<Queue>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the committer panicked".into());
        }
    }
}

impl Committer {
    fn run(mut self) {
        let _leaving = Leaving(self.queue.clone());
        let mut answers = Vec::new();
        let done = self.serve(&mut answers).and_then(|()| self.finish());
        let Err(why) = done else {
            return self.shared.give_back(self.tail, self.keeper);
        };
        tracing::error!(why, "journal stopped taking events");
        self.mark_dirty(&why);
        // The queue first: whoever hears of the failure finds it shut.
        self.queue.poison(why.clone());
        for (promise, _) in answers {
            promise.answer(Err(AppendError::Poisoned { why: why.clone() }));
        }
        // The tail may be ahead of the disk now, so it is not given back: only
        // opening again tells what survived.
    }

    /// Commits whatever comes until the queue is closed. After an error
    /// `unanswered` holds the promises that have no answer yet.
    fn serve(&mut self, unanswered: &mut Vec<(Promise, Answer)>) -> Result<(), String> {
        let sync = self.shared.sync;
        let mut flight: Option<Flight> = None;
        loop {
            let next = match &flight {
                None => match self.queue.take(sync) {
                    None => return Ok(()),
                    some => some,
                },
                Some(_) => self.queue.take_now(sync),
            };
            let begun = next.map(|appends| self.begin(appends, unanswered)).transpose();
            if let Some(before) = flight.take() {
                self.end(before, unanswered)?;
            }
            match begun? {
                // Nothing to wait for: on disk with it.
                Some(next) if next.sealing.is_empty() => self.end(next, unanswered)?,
                next => flight = next,
            }
        }
    }

    /// Has the next opening put everything on disk anew.
    fn mark_dirty(&self, why: &str) {
        if let Some(keeper) = &self.keeper
            && let Some(folder) = keeper.path().parent()
        {
            mend::mark_dirty(keeper.files().as_ref(), folder, why);
        }
    }

    /// Gives appends their place and has their pages sealed. Their promises are
    /// put behind those of the commit in flight.
    fn begin(
        &mut self,
        appends: Vec<Append>,
        promises: &mut Vec<(Promise, Answer)>,
    ) -> Result<Flight, String> {
        let (drafts, bytes) =
            appends.iter().fold((0, 0), |(n, b), a| (n + a.count, b + a.bytes as u64));
        let refused = self.shared.guard.admit(drafts, bytes + self.shared.store.unflushed()).err();
        let (mut failed, before) = (None, promises.len());
        for Append { input, promise, .. } in appends {
            let staged = match (&refused, input) {
                (Some(full), _) => Err(full.clone().into()),
                (None, Input::Drafts(drafts)) => self.tail.stage(drafts, self.clock),
                (None, Input::Ticks(ticks)) => self.tail.stage_ticks(ticks, self.clock),
            };
            let answer = match staged {
                Ok(appended) => Ok(appended),
                Err(StageError::Refused(e)) => Err(e),
                Err(StageError::Store(e)) => {
                    failed.get_or_insert(chain(&e));
                    Err(AppendError::Closed)
                }
            };
            promises.push((promise, answer));
        }
        if let Some(why) = failed {
            return Err(why);
        }
        let (plan, complete) = self.tail.plan();
        let sealing = complete.into_iter().map(|page| self.sealers.give(page)).collect();
        Ok(Flight { plan, sealing, promises: promises.len() - before })
    }

    /// Makes a commit durable and answers its appends.
    fn end(
        &mut self,
        Flight { plan, sealing, promises }: Flight,
        unanswered: &mut Vec<(Promise, Answer)>,
    ) -> Result<(), String> {
        let mut sealed = Vec::with_capacity(sealing.len());
        for given in sealing {
            sealed.push(self.sealers.take(given)?);
        }
        let mut commit = self.tail.complete(plan, sealed);
        let batch = std::mem::take(&mut commit.batch);
        let bytes = commit.bytes;
        let mark = (commit.head, commit.running);
        let written = !batch.changes.is_empty();
        let durability = match self.shared.sync {
            SyncMode::Every | SyncMode::Group => Durability::Disk,
            SyncMode::Os => Durability::Os,
        };
        let told = Committed {
            appends: promises as u64,
            events: commit.head.0.saturating_sub(commit.before.0),
            bytes: bytes as u64,
            pages: commit.sealed.len() as u64,
            frames: u64::from(commit.framed),
            waiting: self.queue.lock().drafts as u64,
            nanos: 0,
        };
        let began = self.shared.observed.nanos();
        if written {
            hit("commit.before");
            self.shared.store.commit(batch, durability).map_err(|e| chain(&e))?;
            hit("commit.after");
            self.shared.observed.tell(told, began);
            // The witness of the commit before must be on disk before this one
            // is acknowledged, so that it never lags by more than one.
            self.witnessed()?;
            hit("commit.witnessed");
            self.shared.publish(commit);
        }
        hit("ack.before");
        for (promise, answer) in unanswered.drain(..promises.min(unanswered.len())) {
            promise.answer(answer);
            hit("ack.between");
        }
        hit("ack.after");
        match durability {
            Durability::Disk if written => self.witness(mark),
            Durability::Disk => Ok(()),
            Durability::Os => {
                self.unsynced += bytes;
                if self.unsynced >= OS_BYTES_MAX { self.sync(mark) } else { Ok(()) }
            }
        }
    }

    /// Starts writing the watermark; the next commit runs meanwhile.
    fn witness(&mut self, (seq, hash): (Seq, Address)) -> Result<(), String> {
        self.keeper.as_mut().map_or(Ok(()), |keeper| keeper.begin(seq, hash))
    }

    /// Waits until the watermark is on disk.
    fn witnessed(&mut self) -> Result<(), String> {
        self.keeper.as_mut().map_or(Ok(()), Keeper::wait)
    }

    fn sync(&mut self, mark: (Seq, Address)) -> Result<(), String> {
        self.shared.store.sync().map_err(|e: StoreError| chain(&e))?;
        self.unsynced = 0;
        self.witnessed()?;
        self.witness(mark)
    }

    /// Everything on disk, watermark included.
    fn finish(&mut self) -> Result<(), String> {
        hit("finish.before");
        if self.unsynced > 0 {
            self.sync((self.tail.last().0, self.tail.running()))?;
        }
        self.witnessed()?;
        self.shared.store.settle();
        hit("finish.after");
        Ok(())
    }
}

/// An error with its sources, for a message that outlives it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        out.push_str(": ");
        out.push_str(&e.to_string());
        source = e.source();
    }
    out
}
