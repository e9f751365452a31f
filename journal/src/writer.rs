//! The one writer: a bounded queue in front of one committer thread.
//!
//! The committer takes whatever queued while its last sync ran (natural
//! batching; no timer), gives it its place, writes it in one atomic batch, and
//! only then moves the head and answers, refusals included. After a failed
//! commit it takes nothing more: what it carried is unknown until the journal
//! is opened again.

mod ticket;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use self::ticket::{Appended, Ticket};
use self::ticket::{Promise, promise};
use crate::event::{Draft, DraftBody};
use crate::failpoint::hit;
use crate::limits::{
    COMMIT_BYTES_MAX, COMMIT_DRAFTS_MAX, DRAFT_BYTES, OS_BYTES_MAX, QUEUE_BYTES_MAX,
    QUEUE_DRAFTS_MAX, SOURCES_MAX,
};
use crate::shared::Shared;
use crate::stage::{Sources, StageError};
use crate::store::{Durability, StoreError};
use crate::tail::Tail;
use crate::units::{Address, RecvTime, Seq, SourceId};
use crate::watermark::Keeper;
use crate::{AppendError, Committed, SyncMode, mend};

/// Takes drafts; one committer thread gives them their place.
///
/// Dropping it commits what was queued and stops the thread.
pub struct Writer {
    queue: Arc<Queue>,
    sources: Sources,
    thread: Option<JoinHandle<()>>,
}

struct Append {
    drafts: Vec<Draft>,
    bytes: usize,
    promise: Promise,
}

#[derive(Default)]
struct Waiting {
    appends: VecDeque<Append>,
    drafts: usize,
    bytes: usize,
    closed: bool,
    poisoned: Option<String>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// The committer waits here for work, appenders wait on `room`.
    work: Condvar,
    room: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, append: Append) -> Result<(), AppendError> {
        let mut waiting = self.lock();
        loop {
            if let Some(why) = &waiting.poisoned {
                return Err(AppendError::Poisoned { why: why.clone() });
            }
            if waiting.closed {
                return Err(AppendError::Closed);
            }
            // An append larger than the queue goes in alone.
            let fits = waiting.drafts + append.drafts.len() <= QUEUE_DRAFTS_MAX
                && waiting.bytes + append.bytes <= QUEUE_BYTES_MAX;
            if fits || waiting.appends.is_empty() {
                break;
            }
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.drafts += append.drafts.len();
        waiting.bytes += append.bytes;
        waiting.appends.push_back(append);
        drop(waiting);
        self.work.notify_one();
        Ok(())
    }

    /// Whatever is waiting, up to the bounds of a commit; `None` when closed
    /// and empty.
    fn take(&self) -> Option<Vec<Append>> {
        let mut waiting = self.lock();
        while waiting.appends.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut taken, mut drafts, mut bytes) = (Vec::new(), 0, 0);
        while let Some(append) = waiting.appends.pop_front() {
            drafts += append.drafts.len();
            bytes += append.bytes;
            taken.push(append);
            let next = waiting.appends.front();
            let full = next.is_some_and(|next| {
                drafts + next.drafts.len() > COMMIT_DRAFTS_MAX
                    || bytes + next.bytes > COMMIT_BYTES_MAX
            });
            if full {
                break;
            }
        }
        waiting.drafts -= drafts;
        waiting.bytes -= bytes;
        drop(waiting);
        self.room.notify_all();
        Some(taken)
    }

    fn poison(&self, why: String) {
        let mut waiting = self.lock();
        let appends = std::mem::take(&mut waiting.appends);
        waiting.drafts = 0;
        waiting.bytes = 0;
        waiting.poisoned.get_or_insert(why.clone());
        drop(waiting);
        for append in appends {
            append.promise.answer(Err(AppendError::Poisoned { why: why.clone() }));
        }
        self.room.notify_all();
    }
}

/// What a draft weighs in the queue.
fn weight(draft: &Draft) -> usize {
    let blobs = match &draft.body {
        DraftBody::Chain(chain) => {
            // A row and its ticker, as rows blob and in memory.
            chain.raw.len() + chain.rows.len() * 512
        }
        DraftBody::Annotation(blob)
        | DraftBody::News(blob)
        | DraftBody::Control(blob)
        | DraftBody::Correction { blob, .. }
        | DraftBody::Quarantine { blob, .. } => blob.len(),
        _ => 0,
    };
    DRAFT_BYTES + blobs + draft.extension.as_ref().map_or(0, |e| e.len())
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
        let committer =
            Committer { shared, tail, keeper, clock, queue: queue.clone(), unsynced: 0 };
        let thread = std::thread::Builder::new()
            .name("journal-committer".into())
            .spawn(move || committer.run())?;
        Ok(Writer { queue, sources, thread: Some(thread) })
    }

    /// Queues drafts that are to be committed together; blocks while the queue
    /// is full (backpressure, never a drop).
    ///
    /// # Errors
    /// When the writer is closed or poisoned.
    pub fn append(&self, drafts: Vec<Draft>) -> Result<Ticket, AppendError> {
        let (promise, ticket) = promise();
        let bytes = drafts.iter().map(weight).sum();
        self.queue.push(Append { drafts, bytes, promise })?;
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

/// The thread's own.
struct Committer {
    shared: Arc<Shared>,
    tail: Tail,
    keeper: Option<Keeper>,
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
        while let Some(appends) = self.queue.take() {
            let mut answers = Vec::with_capacity(appends.len());
            let done = self.commit(appends, &mut answers);
            if let Err(why) = done {
                tracing::error!(why, "journal stopped taking events");
                self.mark_dirty(&why);
                // The queue first: whoever hears of the failure finds it shut.
                self.queue.poison(why.clone());
                for (promise, _) in answers {
                    promise.answer(Err(AppendError::Poisoned { why: why.clone() }));
                }
                // The tail may be ahead of the disk now, so it is not given
                // back: only opening again tells what survived.
                return;
            }
        }
        match self.finish() {
            Ok(()) => self.shared.give_back(self.tail, self.keeper),
            Err(why) => {
                self.mark_dirty(&why);
                self.queue.poison(why);
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

    /// Commits appends and answers them. After an error `answers` holds those
    /// that have none yet.
    fn commit(
        &mut self,
        appends: Vec<Append>,
        answers: &mut Vec<(Promise, Result<Appended, AppendError>)>,
    ) -> Result<(), String> {
        let (drafts, bytes) =
            appends.iter().fold((0, 0), |(n, b), a| (n + a.drafts.len(), b + a.bytes as u64));
        if let Err(full) = self.shared.guard.admit(drafts, bytes + self.shared.store.unflushed()) {
            appends.into_iter().for_each(|a| a.promise.answer(Err(full.clone())));
            return Ok(());
        }
        let before = self.tail.last().0;
        let mut failed = None;
        for Append { drafts, promise, .. } in appends {
            let answer = match self.tail.stage(drafts, self.clock) {
                Ok(appended) => Ok(appended),
                Err(StageError::Refused(e)) => Err(e),
                Err(StageError::Store(e)) => {
                    failed.get_or_insert(chain(&e));
                    Err(AppendError::Closed)
                }
            };
            answers.push((promise, answer));
        }
        if let Some(why) = failed {
            return Err(why);
        }
        let mut commit = self.tail.commit();
        let batch = std::mem::take(&mut commit.batch);
        let bytes = commit.bytes;
        let mark = (commit.head, commit.running);
        let written = !batch.changes.is_empty();
        let told = Committed {
            appends: answers.len() as u64,
            events: commit.head.0.saturating_sub(before.0),
            bytes: bytes as u64,
            pages: commit.sealed.len() as u64,
            frames: u64::from(
                commit.open.as_ref().is_some_and(|o| o.frames.last() > Some(&before)),
            ),
            waiting: self.queue.lock().drafts as u64,
            nanos: 0,
        };
        let began = self.shared.observed.nanos();
        if written {
            let durability = match self.shared.sync {
                SyncMode::Group => Durability::Disk,
                SyncMode::Os => Durability::Os,
            };
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
        for (promise, answer) in answers.drain(..) {
            promise.answer(answer);
            hit("ack.between");
        }
        hit("ack.after");
        match self.shared.sync {
            SyncMode::Group if written => self.witness(mark),
            SyncMode::Group => Ok(()),
            SyncMode::Os => {
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
