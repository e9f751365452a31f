//! `ReadRange` and `Tail`: events as streams.
//!
//! Each stream reads on a thread that may block, and sends into a channel of a
//! few messages: a slow client holds up its own thread and nothing else.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use orrery_journal::units::Seq;
use orrery_proto::v1;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::control::events::{self, Found, ReadDone, Start, Tailed};
use crate::control::status::{invalid, refusal, status_of};
use crate::control::{Backend, BackendError};

/// Streams at the same time.
const STREAMS_MAX: usize = 16;
/// Events of one message: less than clients take without being told.
const EVENTS_MAX: usize = 2_048;
/// Events that a tail may begin with.
const LAST_MAX: u32 = 10_000;
/// Time between heartbeats where the client says nothing.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The shortest and the longest that it may ask for.
const HEARTBEATS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(300);

/// What streams need.
#[derive(Clone)]
pub(in crate::control) struct Streams {
    permits: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Streams {
    pub(in crate::control) fn new(shutdown: CancellationToken) -> Streams {
        Streams { permits: Arc::new(Semaphore::new(STREAMS_MAX)), shutdown }
    }

    /// Ends when the server stops.
    pub(in crate::control) fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Runs `work`, which sends until it is told to stop, on its own thread.
    pub(in crate::control) fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sending<T>) -> Result<(), BackendError> + Send + 'static,
    ) -> Result<ReceiverStream<Result<T, Status>>, Status> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            let told = format!("{STREAMS_MAX} streams of events are open already; end one");
            refusal(Code::ResourceExhausted, "TOO_MANY_STREAMS", &told)
        })?;
        let (out, stream) = mpsc::channel(4);
        let sending = Sending { out, shutdown: self.shutdown.clone() };
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let ended = work(&sending);
            if sending.shutdown.is_cancelled() {
                let told = "the server is stopping; resume elsewhere or later";
                let told = refusal(Code::Unavailable, "SHUTDOWN", told);
                // A client that does not read any more must not hold up the end.
                let _ = sending.out.try_send(Err(told));
            } else if let Err(error) = ended {
                let _ = sending.offer(Err(status_of(&error)));
            }
        });
        Ok(ReceiverStream::new(stream))
    }
}

/// The sending side of a stream.
pub(in crate::control) struct Sending<T> {
    out: mpsc::Sender<Result<T, Status>>,
    shutdown: CancellationToken,
}

impl<T> Sending<T> {
    /// Sends a message; says whether anybody wants another.
    pub(in crate::control) fn send(&self, message: T) -> ControlFlow<()> {
        self.offer(Ok(message))
    }

    /// Ends the stream with a refusal.
    pub(in crate::control) fn refuse(&self, status: Status) {
        let _ = self.offer(Err(status));
    }

    fn offer(&self, mut message: Result<T, Status>) -> ControlFlow<()> {
        // Asked again and again, so that a client that has stopped reading
        // does not keep the server from ending.
        loop {
            if self.shutdown.is_cancelled() {
                return ControlFlow::Break(());
            }
            message = match self.out.try_send(message) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(mpsc::error::TrySendError::Closed(_)) => return ControlFlow::Break(()),
                Err(mpsc::error::TrySendError::Full(message)) => message,
            };
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the stream goes on.
    pub(super) fn wanted(&self) -> ControlFlow<()> {
        match self.out.is_closed() || self.shutdown.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn messages(found: &[Found], canonical: bool) -> impl Iterator<Item = Vec<v1::JournalEvent>> {
    let chunks = found.chunks(EVENTS_MAX);
    chunks.map(move |chunk| chunk.iter().map(|found| events::message(found, canonical)).collect())
}

/// Streams a range.
pub(super) fn read(
    streams: &Streams,
    backend: Arc<dyn Backend>,
    request: v1::ReadRangeRequest,
) -> Result<ReceiverStream<Result<v1::ReadRangeResponse, Status>>, Status> {
    let canonical = request.canonical;
    let range = events::range(request)?;
    streams.start(move |to| {
        let done = backend.read(&range, &mut |found| {
            for events in messages(found, canonical) {
                to.send(v1::ReadRangeResponse { events, done: None })?;
            }
            to.wanted()
        })?;
        let _ =
            to.send(v1::ReadRangeResponse { events: Vec::new(), done: Some(done_message(done)) });
        Ok(())
    })
}

fn done_message(done: ReadDone) -> v1::ReadDone {
    v1::ReadDone {
        from_seq: done.from.0,
        to_seq: done.to.0,
        events: done.events,
        pages_read: done.pages_read,
        pages_skipped: done.pages_skipped,
        frames_read: done.frames_read,
        next_seq: done.next.map(|seq| seq.0),
    }
}

/// Streams what becomes durable.
pub(super) fn tail(
    streams: &Streams,
    backend: Arc<dyn Backend>,
    request: v1::TailRequest,
) -> Result<ReceiverStream<Result<v1::TailResponse, Status>>, Status> {
    let v1::TailRequest { filter, from_seq, last, canonical, heartbeat } = request;
    let filter = events::filter(filter)?;
    if last > LAST_MAX {
        return Err(invalid("last", &format!("{LAST_MAX} at most")));
    }
    let start = match (from_seq, last) {
        (0, last) => Start::Last(last as usize),
        (seq, 0) => Start::At(Seq(seq)),
        _ => return Err(invalid("last", "goes with from_seq 0 only")),
    };
    let heartbeat = match heartbeat {
        None => HEARTBEAT,
        Some(asked) => {
            let asked = events::nanos("heartbeat", asked)?;
            let asked = Duration::from_nanos(asked.unsigned_abs());
            match HEARTBEATS.contains(&asked) {
                true => asked,
                false => return Err(invalid("heartbeat", "must lie in 100 ms to 5 min")),
            }
        }
    };
    streams.start(move |to| {
        backend.tail(&filter, start, heartbeat, &mut || to.wanted(), &mut |tailed| match tailed {
            Tailed::Quiet(next) => {
                to.send(v1::TailResponse { events: Vec::new(), next_seq: next.0 })
            }
            Tailed::Events(found) => {
                for events in messages(found, canonical) {
                    let next_seq = events.last().map_or(0, |event| event.seq + 1);
                    to.send(v1::TailResponse { events, next_seq })?;
                }
                ControlFlow::Continue(())
            }
        })
    })
}
