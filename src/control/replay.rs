//! `ReplayService`: starts, watches and cancels replays of recorded days.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use orrery_journal::units::TradingDay;
use orrery_proto::v1;
use orrery_proto::v1::ReplayState;
use orrery_proto::v1::replay_service_server::ReplayService;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::calls::{Calls, deadline};
use super::status::{invalid, refusal};
use super::{BackendError, ReplayDifference, ReplayOrder, ReplayProgress, ReplaySummary, convert};

/// Replays that fold at the same time.
const RUNNING_MAX: usize = 2;

/// Replays that are remembered; the oldest ended ones are forgotten.
const REMEMBERED_MAX: usize = 64;

/// Threads that a client may ask for.
const THREADS_MAX: u32 = 256;

/// Time between two messages of a running replay.
const MESSAGE_GAP: Duration = Duration::from_millis(50);

/// The service.
pub struct Replays {
    calls: Calls,
    runs: Arc<Mutex<Runs>>,
    shutdown: CancellationToken,
}

#[derive(Default)]
struct Runs {
    by_number: BTreeMap<u64, Arc<Run>>,
    last: u64,
}

/// One replay.
struct Run {
    number: u64,
    day: TradingDay,
    cancel: AtomicBool,
    progress: watch::Sender<Standing>,
}

/// How far it is, and how it ended.
#[derive(Clone, Debug)]
enum Standing {
    Running(ReplayProgress),
    Ended(ReplaySummary),
    Failed(ReplayProgress, String),
}

impl Standing {
    fn progress(&self) -> ReplayProgress {
        match self {
            Standing::Running(progress) | Standing::Failed(progress, _) => *progress,
            Standing::Ended(summary) => summary.progress,
        }
    }

    fn running(&self) -> bool {
        matches!(self, Standing::Running(_))
    }
}

impl Replays {
    pub(super) fn new(calls: Calls, shutdown: CancellationToken) -> Replays {
        let runs = Arc::new(Mutex::new(Runs::default()));
        let at_end = Arc::clone(&runs);
        let ended = shutdown.clone();
        tokio::spawn(async move {
            ended.cancelled().await;
            let runs = at_end.lock().unwrap_or_else(PoisonError::into_inner);
            for run in runs.by_number.values() {
                run.cancel.store(true, Ordering::Relaxed);
            }
        });
        Replays { calls, runs, shutdown }
    }

    fn run(&self, replay_id: &str) -> Result<Arc<Run>, Status> {
        let number: u64 = replay_id
            .strip_prefix("replay-")
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| invalid("replay_id", "not an id that StartReplay gave"))?;
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.by_number.get(&number).cloned().ok_or_else(|| {
            refusal(
                Code::NotFound,
                "UNKNOWN_REPLAY",
                &format!("{replay_id} is unknown here; the last {REMEMBERED_MAX} are remembered"),
            )
        })
    }

    /// Gives a replay its number, if there is room for another.
    fn admit(&self, day: TradingDay) -> Result<Arc<Run>, Status> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let running = runs.by_number.values().filter(|run| run.progress.borrow().running()).count();
        if running >= RUNNING_MAX {
            return Err(refusal(
                Code::ResourceExhausted,
                "TOO_MANY_REPLAYS",
                &format!("{RUNNING_MAX} replays run already; cancel one or wait"),
            ));
        }
        while runs.by_number.len() >= REMEMBERED_MAX {
            let ended = runs.by_number.values().find(|run| !run.progress.borrow().running());
            let Some(number) = ended.map(|run| run.number) else { break };
            runs.by_number.remove(&number);
        }
        runs.last += 1;
        let run = Arc::new(Run {
            number: runs.last,
            day,
            cancel: AtomicBool::new(self.shutdown.is_cancelled()),
            progress: watch::Sender::new(Standing::Running(ReplayProgress::default())),
        });
        runs.by_number.insert(run.number, Arc::clone(&run));
        Ok(run)
    }
}

#[tonic::async_trait]
impl ReplayService for Replays {
    async fn start_replay(
        &self,
        request: Request<v1::StartReplayRequest>,
    ) -> Result<Response<v1::StartReplayResponse>, Status> {
        let deadline = deadline(&request);
        let asked = request.into_inner();
        let day = convert::trading_day("day", asked.day)?;
        if asked.threads > THREADS_MAX {
            return Err(invalid("threads", &format!("{THREADS_MAX} at most")));
        }
        self.calls.ask(deadline, move |b| b.check_day(day)).await?;
        let run = self.admit(day)?;
        let order = ReplayOrder { day, threads: (asked.threads > 0).then_some(asked.threads) };
        let backend = self.calls.backend();
        let at_work = Arc::clone(&run);
        let work = tokio::task::spawn_blocking(move || {
            let mut tell = |progress| {
                at_work.progress.send_replace(Standing::Running(progress));
            };
            backend.replay(order, &mut tell, &at_work.cancel)
        });
        let watched = Arc::clone(&run);
        tokio::spawn(async move {
            let reached = |run: &Run| run.progress.borrow().progress();
            let standing = match work.await {
                Ok(Ok(summary)) => Standing::Ended(summary),
                Ok(Err(error)) => Standing::Failed(reached(&watched), sentence(&error)),
                Err(_) => Standing::Failed(reached(&watched), "the replay broke off".into()),
            };
            watched.progress.send_replace(standing);
        });
        Ok(Response::new(v1::StartReplayResponse { replay: Some(message(&run)) }))
    }

    type WatchReplayStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchReplayResponse, Status>> + Send>>;

    async fn watch_replay(
        &self,
        request: Request<v1::WatchReplayRequest>,
    ) -> Result<Response<Self::WatchReplayStream>, Status> {
        let run = self.run(&request.into_inner().replay_id)?;
        let shutdown = self.shutdown.clone();
        let (out, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut progress = run.progress.subscribe();
            loop {
                let running = progress.borrow_and_update().running();
                let replay = Some(message(&run));
                if out.send(Ok(v1::WatchReplayResponse { replay })).await.is_err() || !running {
                    return;
                }
                tokio::select! {
                    _ = progress.changed() => {}
                    () = out.closed() => return,
                    () = shutdown.cancelled() => {
                        let told = refusal(Code::Unavailable, "SHUTDOWN", "the server is stopping");
                        let _ = out.try_send(Err(told));
                        return;
                    }
                }
                tokio::time::sleep(MESSAGE_GAP).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn cancel_replay(
        &self,
        request: Request<v1::CancelReplayRequest>,
    ) -> Result<Response<v1::CancelReplayResponse>, Status> {
        let run = self.run(&request.into_inner().replay_id)?;
        run.cancel.store(true, Ordering::Relaxed);
        Ok(Response::new(v1::CancelReplayResponse { replay: Some(message(&run)) }))
    }
}

/// What a client may read of an error.
fn sentence(error: &BackendError) -> String {
    if let BackendError::Internal(cause) = error {
        tracing::error!(%cause, "a replay could not be carried out");
    }
    error.to_string()
}

fn message(run: &Run) -> v1::Replay {
    let standing = run.progress.borrow().clone();
    let progress = standing.progress();
    let mut replay = v1::Replay {
        replay_id: format!("replay-{}", run.number),
        day: convert::date(run.day),
        events: progress.events,
        events_total: progress.events_total,
        artifacts: progress.artifacts,
        ..v1::Replay::default()
    };
    let state = match standing {
        Standing::Running(_) => ReplayState::Running,
        Standing::Failed(_, error) => {
            replay.error = error;
            ReplayState::Failed
        }
        Standing::Ended(summary) => {
            replay.elapsed = prost_types::Duration::try_from(summary.elapsed).ok();
            replay.difference = summary.difference.map(difference);
            match (&replay.difference, summary.cancelled) {
                (Some(_), _) => ReplayState::Different,
                (None, true) => ReplayState::Cancelled,
                (None, false) => ReplayState::Identical,
            }
        }
    };
    replay.set_state(state);
    replay
}

fn difference(first: ReplayDifference) -> v1::ReplayDifference {
    v1::ReplayDifference {
        symbol: first.symbol.into(),
        family: first.family.into(),
        version: first.version,
        seq: first.seq.0,
        field: first.field,
        recorded: first.recorded,
        replayed: first.replayed,
    }
}
