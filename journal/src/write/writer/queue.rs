//! The bounded queue in front of the committer: what producers have handed over
//! and nobody has taken yet. Full, it makes producers wait; it drops nothing.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::ticket::Promise;
use crate::event::{Draft, DraftBody, TickBatch};
use crate::limits::{
    COMMIT_BYTES_MAX, COMMIT_DRAFTS_MAX, DRAFT_BYTES, QUEUE_BYTES_MAX, QUEUE_DRAFTS_MAX,
};
use crate::{AppendError, SyncMode};

/// What one append brings.
pub(super) enum Input {
    Drafts(Vec<Draft>),
    Ticks(TickBatch),
}

pub(super) struct Append {
    pub(super) input: Input,
    /// Drafts or ticks.
    pub(super) count: usize,
    pub(super) bytes: usize,
    pub(super) promise: Promise,
}

#[derive(Default)]
pub(super) struct Waiting {
    appends: VecDeque<Append>,
    pub(super) drafts: usize,
    bytes: usize,
    pub(super) closed: bool,
    pub(super) poisoned: Option<String>,
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// The committer waits here for work, appenders wait on `room`.
    pub(super) work: Condvar,
    pub(super) room: Condvar,
}

impl Queue {
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, append: Append) -> Result<(), AppendError> {
        let mut waiting = self.lock();
        loop {
            if let Some(why) = &waiting.poisoned {
                return Err(AppendError::Poisoned { why: why.clone() });
            }
            if waiting.closed {
                return Err(AppendError::Closed);
            }
            // An append larger than the queue goes in alone.
            let fits = waiting.drafts + append.count <= QUEUE_DRAFTS_MAX
                && waiting.bytes + append.bytes <= QUEUE_BYTES_MAX;
            if fits || waiting.appends.is_empty() {
                break;
            }
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.drafts += append.count;
        waiting.bytes += append.bytes;
        waiting.appends.push_back(append);
        drop(waiting);
        self.work.notify_one();
        Ok(())
    }

    /// What the next commit takes; waits for it. `None` when closed and empty.
    pub(super) fn take(&self, sync: SyncMode) -> Option<Vec<Append>> {
        let mut waiting = self.lock();
        while waiting.appends.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        Some(self.taken(waiting, sync))
    }

    /// As [`Queue::take`], but only what is there.
    pub(super) fn take_now(&self, sync: SyncMode) -> Option<Vec<Append>> {
        let waiting = self.lock();
        (!waiting.appends.is_empty()).then(|| self.taken(waiting, sync))
    }

    /// Whatever is waiting, up to the bounds of a commit.
    fn taken(&self, mut waiting: MutexGuard<'_, Waiting>, sync: SyncMode) -> Vec<Append> {
        let (mut taken, mut drafts, mut bytes) = (Vec::new(), 0, 0);
        while let Some(append) = waiting.appends.pop_front() {
            drafts += append.count;
            bytes += append.bytes;
            taken.push(append);
            let next = waiting.appends.front();
            let full = next.is_some_and(|next| {
                drafts + next.count > COMMIT_DRAFTS_MAX || bytes + next.bytes > COMMIT_BYTES_MAX
            });
            if full || sync == SyncMode::Every {
                break;
            }
        }
        waiting.drafts -= drafts;
        waiting.bytes -= bytes;
        drop(waiting);
        self.room.notify_all();
        taken
    }

    pub(super) fn poison(&self, why: String) {
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
pub(super) fn weight(draft: &Draft) -> usize {
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
