//! `JournalService`: the journal's numbers, copies and upkeep.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orrery_journal::{Calendar, Copied, CopyProgress, Stat};
use orrery_proto::v1;
use orrery_proto::v1::journal_service_server::JournalService;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::calls::{Calls, deadline};
use super::status::{invalid, refusal, status_of};
use super::{BackendError, convert};

/// What those who run a journal ask of it. Methods may block for as long as the
/// journal is large.
pub trait Operations {
    /// The journal in numbers.
    ///
    /// # Errors
    /// Damage.
    fn stat(&self) -> Result<Stat, BackendError>;

    /// Brings the copy in a folder up to date, or makes it; `progress` may
    /// break off.
    ///
    /// # Errors
    /// A folder that cannot hold a copy ([`BackendError::Precondition`]), no
    /// room, damage.
    fn backup(
        &self,
        dir: &Path,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<Copied, BackendError>;

    /// Has the engine write its tables anew; bytes on disk before and after.
    ///
    /// # Errors
    /// When it cannot write.
    fn compact(&self) -> Result<(u64, u64), BackendError>;
}

/// The service.
pub struct Journals {
    calls: Calls,
    /// Whether a copy or a compaction runs; one at a time.
    busy: Arc<AtomicBool>,
    shutdown: CancellationToken,
}

/// Holds the one place for upkeep.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Journals {
    pub(super) fn new(calls: Calls, shutdown: CancellationToken) -> Journals {
        Journals { calls, busy: Arc::default(), shutdown }
    }

    fn admit(&self) -> Result<Busy, Status> {
        match self.busy.swap(true, Ordering::AcqRel) {
            false => Ok(Busy(Arc::clone(&self.busy))),
            true => Err(refusal(
                Code::ResourceExhausted,
                "BUSY",
                "a backup or a compaction runs already; try again when it has ended",
            )),
        }
    }
}

#[tonic::async_trait]
impl JournalService for Journals {
    async fn stat(
        &self,
        request: Request<v1::StatRequest>,
    ) -> Result<Response<v1::StatResponse>, Status> {
        let stat = self.calls.ask(deadline(&request), |b| b.stat()).await?;
        Ok(Response::new(v1::StatResponse { stat: Some(message(&stat)) }))
    }

    type BackupStream = Pin<Box<dyn Stream<Item = Result<v1::BackupResponse, Status>> + Send>>;

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let path = PathBuf::from(request.into_inner().path);
        if !path.is_absolute() {
            return Err(invalid("path", "must be an absolute path of the server's machine"));
        }
        let busy = self.admit()?;
        let (backend, shutdown) = (self.calls.backend(), self.shutdown.clone());
        let (out, stream) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let _busy = busy;
            let done = backend.backup(&path, &mut |at| {
                let CopyProgress { seq, head } = at;
                // A slow client misses some of the way, never the end.
                let _ = out.try_send(Ok(v1::BackupResponse {
                    seq: seq.0,
                    head_seq: head.0,
                    done: None,
                }));
                match out.is_closed() || shutdown.is_cancelled() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            let last = done.map(|c| v1::BackupResponse {
                seq: c.head.0,
                head_seq: c.head.0,
                done: Some(v1::BackupDone {
                    from_seq: c.from.0,
                    head_seq: c.head.0,
                    pages: c.pages,
                    blobs: c.blobs,
                    frames: c.frames,
                    bytes: c.bytes,
                }),
            });
            // Nobody may be there to hear it any more.
            let _ = out.blocking_send(last.map_err(|e| status_of(&e)));
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn compact(
        &self,
        _: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        let busy = self.admit()?;
        let backend = self.calls.backend();
        let done = tokio::task::spawn_blocking(move || {
            let _busy = busy;
            backend.compact()
        });
        let done =
            done.await.map_err(|_| refusal(Code::Internal, "PANIC", "it was not survived"))?;
        let (bytes_before, bytes_after) = done.map_err(|e| status_of(&e))?;
        Ok(Response::new(v1::CompactResponse { bytes_before, bytes_after }))
    }
}

/// A calendar's name on the wire.
pub(super) const fn calendar(calendar: Calendar) -> &'static str {
    match calendar {
        Calendar::NewYork => "new-york",
        Calendar::Utc => "utc",
    }
}

fn message(stat: &Stat) -> v1::JournalStat {
    let empty = stat.head.seq.0 == 0;
    v1::JournalStat {
        head_seq: stat.head.seq.0,
        head_recv: (!empty).then(|| convert::timestamp(stat.head.recv)),
        watermark_seq: stat.watermark.map(|s| s.0),
        writer_epoch: stat.writer_epoch,
        calendar: calendar(stat.calendar).to_owned(),
        format: stat.format,
        days: stat.days,
        pages: stat.pages,
        page_events: stat.page_events,
        frames: stat.frames,
        frame_events: stat.frame_events,
        blobs: stat.blobs,
        instruments: stat.instruments,
        conditions: stat.conditions,
        sources: stat.sources,
        parts: stat
            .parts
            .iter()
            .map(|p| v1::JournalPart { name: p.name.clone(), bytes: p.bytes, entries: p.entries })
            .collect(),
        bytes: stat.bytes,
        free_bytes: stat.guard.room.map(|r| r.free),
        reserve_bytes: stat.guard.reserve,
        input_stopped: stat.guard.closed,
        refused: stat.guard.refused,
    }
}
