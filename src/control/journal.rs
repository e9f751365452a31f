//! `JournalService`: the journal's events, proofs, numbers, copies and upkeep.

mod finding;
mod reading;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use orrery_journal::{Calendar, Copied, CopyProgress, Stat};
use orrery_proto::v1;
use orrery_proto::v1::journal_service_server::JournalService;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};

use super::append;
use super::calls::{Calls, deadline};
use super::events::{EventFilter, EventRange, Found, ReadDone, Start, Tailed};
use super::proving::{self, Given, SignedCheckpoint, Wanted};
use super::status::{invalid, refusal, status_of};
use super::{BackendError, convert};

pub(super) use self::reading::{Sending, Streams};

/// Bytes of a bundle in one message.
const BUNDLE_PIECE: usize = 256 * 1024;

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

    /// Reads events in order, those of a page or frame at a time; `each` may
    /// break off.
    ///
    /// # Errors
    /// An unknown day or ticker, a moment outside of the journal, damage.
    fn read(
        &self,
        range: &EventRange,
        each: &mut dyn FnMut(&[Found]) -> ControlFlow<()>,
    ) -> Result<ReadDone, BackendError>;

    /// Reads what is there from `start` on and then what becomes durable,
    /// until `each` breaks off. On a quiet journal it is asked often whether to
    /// go on, and told so after each `heartbeat`.
    ///
    /// # Errors
    /// Damage.
    fn tail(
        &self,
        filter: &EventFilter,
        start: Start,
        heartbeat: Duration,
        wanted: &mut dyn FnMut() -> ControlFlow<()>,
        each: &mut dyn FnMut(Tailed<'_>) -> ControlFlow<()>,
    ) -> Result<(), BackendError>;

    /// Proves something under the newest checkpoint.
    ///
    /// # Errors
    /// What is not sealed ([`BackendError::Precondition`]) or not there, a log
    /// that must not sign.
    fn prove(&self, wanted: &Wanted, origin: Option<&str>) -> Result<Given, BackendError>;

    /// The signed checkpoint over all sealed pages.
    ///
    /// # Errors
    /// A log that must not sign.
    fn checkpoint(&self, origin: Option<&str>) -> Result<SignedCheckpoint, BackendError>;

    /// The public key of the log.
    ///
    /// # Errors
    /// A log whose key cannot be read.
    fn key(&self, origin: Option<&str>) -> Result<String, BackendError>;
}

/// The service.
pub struct Journals {
    calls: Calls,
    /// Whether a copy or a compaction runs; one at a time.
    busy: Arc<AtomicBool>,
    streams: Streams,
    /// Streams that write have places of their own.
    appends: Streams,
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
        let streams = Streams::new(shutdown.clone());
        let appends = Streams::new(shutdown.clone());
        Journals { calls, busy: Arc::default(), streams, appends, shutdown }
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

    type ReadRangeStream = ReceiverStream<Result<v1::ReadRangeResponse, Status>>;

    async fn read_range(
        &self,
        request: Request<v1::ReadRangeRequest>,
    ) -> Result<Response<Self::ReadRangeStream>, Status> {
        reading::read(&self.streams, self.calls.backend(), request.into_inner()).map(Response::new)
    }

    type TailStream = ReceiverStream<Result<v1::TailResponse, Status>>;

    async fn tail(
        &self,
        request: Request<v1::TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        reading::tail(&self.streams, self.calls.backend(), request.into_inner()).map(Response::new)
    }

    type ProveStream = ReceiverStream<Result<v1::ProveResponse, Status>>;

    async fn prove(
        &self,
        request: Request<v1::ProveRequest>,
    ) -> Result<Response<Self::ProveStream>, Status> {
        let v1::ProveRequest { what, origin } = request.into_inner();
        let (wanted, backend) = (proving::wanted(what)?, self.calls.backend());
        let stream = self.streams.start(move |to| {
            let Given { bundle, key } = backend.prove(&wanted, proving::origin(&origin))?;
            let (bundle, mut key) = (Bytes::from(bundle), Some(key));
            for at in (0..bundle.len()).step_by(BUNDLE_PIECE) {
                let bundle = bundle.slice(at..bundle.len().min(at + BUNDLE_PIECE));
                let key = key.take().unwrap_or_default();
                if to.send(v1::ProveResponse { bundle, key }).is_break() {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(Response::new(stream))
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let patience = deadline(&request);
        let origin = request.into_inner().origin;
        let signed =
            self.calls.ask(patience, move |b| b.checkpoint(proving::origin(&origin))).await?;
        let SignedCheckpoint { origin, size, root, note, key } = signed;
        Ok(Response::new(v1::GetCheckpointResponse { note, origin, size, root, key }))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let patience = deadline(&request);
        let origin = request.into_inner().origin;
        let key = self.calls.ask(patience, move |b| b.key(proving::origin(&origin))).await?;
        Ok(Response::new(v1::GetKeyResponse { key }))
    }

    type AppendStream = ReceiverStream<Result<v1::AppendResponse, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<v1::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let asked = request.into_inner();
        append::append(&self.appends, self.calls.backend(), asked).map(Response::new)
    }

    async fn list_days(
        &self,
        request: Request<v1::ListDaysRequest>,
    ) -> Result<Response<v1::ListDaysResponse>, Status> {
        finding::days(self, request).await
    }

    async fn list_gaps(
        &self,
        request: Request<v1::ListGapsRequest>,
    ) -> Result<Response<v1::ListGapsResponse>, Status> {
        finding::gaps(self, request).await
    }

    async fn list_quarantine(
        &self,
        request: Request<v1::ListQuarantineRequest>,
    ) -> Result<Response<v1::ListQuarantineResponse>, Status> {
        finding::quarantine(self, request).await
    }

    async fn get_event(
        &self,
        request: Request<v1::GetEventRequest>,
    ) -> Result<Response<v1::GetEventResponse>, Status> {
        finding::event(self, request).await
    }

    async fn get_page(
        &self,
        request: Request<v1::GetPageRequest>,
    ) -> Result<Response<v1::GetPageResponse>, Status> {
        finding::page(self, request).await
    }

    type GetBlobStream = ReceiverStream<Result<v1::GetBlobResponse, Status>>;

    async fn get_blob(
        &self,
        request: Request<v1::GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        finding::blob(self, request).await
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
