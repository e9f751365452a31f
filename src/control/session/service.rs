//! `ReplaySessionService`: translates, decides nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orrery_proto::v1;
use orrery_proto::v1::replay_session_service_server::ReplaySessionService;
use orrery_proto::v1::watch_session_response::Event;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::feed::{Message, Taken, Told, Watcher};
use super::{Command, SessionView, Sessions, Shows, words};
use crate::control::BackendError;
use crate::control::calls::{Blocking, deadline};
use crate::control::convert;
use crate::control::status::{invalid, refusal};

/// Messages that a watcher takes from the ring at a time.
const TAKEN: usize = 64;

/// The service.
pub struct ReplaySessions {
    sessions: Arc<dyn Sessions>,
    /// For what is answered at once; long ways must not keep anybody from
    /// closing a session.
    quick: Blocking,
    /// For what waits until a session has done it.
    long: Blocking,
    shutdown: CancellationToken,
}

impl ReplaySessions {
    pub(crate) fn new(sessions: Arc<dyn Sessions>, shutdown: CancellationToken) -> ReplaySessions {
        let (quick, long) = (Blocking::default(), Blocking::default());
        ReplaySessions { sessions, quick, long, shutdown }
    }

    async fn ask<T: Send + 'static>(
        &self,
        deadline: Duration,
        question: impl FnOnce(&dyn Sessions) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, Status> {
        let sessions = Arc::clone(&self.sessions);
        self.quick.ask(deadline, move || question(sessions.as_ref())).await
    }

    async fn command(
        &self,
        deadline: Duration,
        id: String,
        command: Command,
    ) -> Result<(Option<v1::ReplaySession>, u32), Status> {
        let sessions = Arc::clone(&self.sessions);
        let (view, done) = self.long.ask(deadline, move || sessions.command(&id, command)).await?;
        Ok((Some(words::session(view)), done))
    }
}

fn told(view: SessionView) -> Option<v1::ReplaySession> {
    Some(words::session(view))
}

#[tonic::async_trait]
impl ReplaySessionService for ReplaySessions {
    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        let deadline = deadline(&request);
        let order = words::order(request.into_inner())?;
        let view = self.ask(deadline, move |s| s.create(&order)).await?;
        Ok(Response::new(v1::CreateSessionResponse { session: told(view) }))
    }

    async fn branch_session(
        &self,
        request: Request<v1::BranchSessionRequest>,
    ) -> Result<Response<v1::BranchSessionResponse>, Status> {
        let deadline = deadline(&request);
        let id = request.get_ref().session_id.clone();
        let order = words::branch(request.into_inner())?;
        let sessions = Arc::clone(&self.sessions);
        let view = self.long.ask(deadline, move || sessions.branch(&id, &order)).await?;
        Ok(Response::new(v1::BranchSessionResponse { session: told(view) }))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        let deadline = deadline(&request);
        let id = request.into_inner().session_id;
        let view = self.ask(deadline, move |s| s.get(&id)).await?;
        Ok(Response::new(v1::GetSessionResponse { session: told(view) }))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let views = self.ask(deadline(&request), |s| Ok(s.list())).await?;
        let sessions = views.into_iter().map(words::session).collect();
        Ok(Response::new(v1::ListSessionsResponse { sessions }))
    }

    async fn play_session(
        &self,
        request: Request<v1::PlaySessionRequest>,
    ) -> Result<Response<v1::PlaySessionResponse>, Status> {
        let deadline = deadline(&request);
        let id = request.into_inner().session_id;
        let (session, _) = self.command(deadline, id, Command::Play).await?;
        Ok(Response::new(v1::PlaySessionResponse { session }))
    }

    async fn pause_session(
        &self,
        request: Request<v1::PauseSessionRequest>,
    ) -> Result<Response<v1::PauseSessionResponse>, Status> {
        let deadline = deadline(&request);
        let id = request.into_inner().session_id;
        let (session, _) = self.command(deadline, id, Command::Pause).await?;
        Ok(Response::new(v1::PauseSessionResponse { session }))
    }

    async fn step_session(
        &self,
        request: Request<v1::StepSessionRequest>,
    ) -> Result<Response<v1::StepSessionResponse>, Status> {
        let deadline = deadline(&request);
        let asked = request.into_inner();
        let step = words::step(&asked)?;
        let (session, done) = self.command(deadline, asked.session_id, step).await?;
        Ok(Response::new(v1::StepSessionResponse { session, done }))
    }

    async fn seek_session(
        &self,
        request: Request<v1::SeekSessionRequest>,
    ) -> Result<Response<v1::SeekSessionResponse>, Status> {
        let deadline = deadline(&request);
        let id = request.get_ref().session_id.clone();
        let seek = words::seek(request.into_inner())?;
        let (session, _) = self.command(deadline, id, seek).await?;
        Ok(Response::new(v1::SeekSessionResponse { session }))
    }

    async fn set_session_speed(
        &self,
        request: Request<v1::SetSessionSpeedRequest>,
    ) -> Result<Response<v1::SetSessionSpeedResponse>, Status> {
        let deadline = deadline(&request);
        let id = request.get_ref().session_id.clone();
        let speeds = words::speeds(request.into_inner())?;
        let (session, _) = self.command(deadline, id, speeds).await?;
        Ok(Response::new(v1::SetSessionSpeedResponse { session }))
    }

    type WatchSessionStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchSessionResponse, Status>> + Send>>;

    async fn watch_session(
        &self,
        request: Request<v1::WatchSessionRequest>,
    ) -> Result<Response<Self::WatchSessionStream>, Status> {
        let deadline = deadline(&request);
        let asked = request.into_inner();
        let shows = words::shows(asked.symbols, asked.families)?;
        let heartbeat = heartbeat(asked.heartbeat)?;
        let (id, after, hold) = (asked.session_id, asked.after_number, asked.hold);
        let wanted = id.clone();
        let (watcher, view) = self
            .ask(deadline, move |s| Ok((s.watch(&wanted, after, hold)?, s.get(&wanted)?)))
            .await?;
        let (out, stream) = mpsc::channel(1);
        let watch = Watch {
            sessions: Arc::clone(&self.sessions),
            id,
            watcher,
            shows,
            header_only: asked.header_only,
            heartbeat,
            out,
        };
        tokio::spawn(watch.run(view, self.shutdown.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn close_session(
        &self,
        request: Request<v1::CloseSessionRequest>,
    ) -> Result<Response<v1::CloseSessionResponse>, Status> {
        let deadline = deadline(&request);
        let id = request.into_inner().session_id;
        let view = self.ask(deadline, move |s| s.close(&id)).await?;
        Ok(Response::new(v1::CloseSessionResponse { session: told(view) }))
    }
}

fn heartbeat(asked: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let Some(asked) = asked else { return Ok(Duration::from_secs(1)) };
    Duration::try_from(asked)
        .ok()
        .filter(|d| (Duration::from_millis(100)..=Duration::from_secs(300)).contains(d))
        .ok_or_else(|| invalid("heartbeat", "lies between 100 ms and 300 s"))
}

/// A watcher at work.
struct Watch {
    sessions: Arc<dyn Sessions>,
    id: String,
    watcher: Watcher,
    shows: Shows,
    header_only: bool,
    heartbeat: Duration,
    out: mpsc::Sender<Result<v1::WatchSessionResponse, Status>>,
}

/// The client went away.
struct Gone;

impl Watch {
    async fn run(mut self, view: SessionView, shutdown: CancellationToken) {
        let out = self.out.clone();
        tokio::select! {
            _ = self.follow(view) => {}
            () = out.closed() => {}
            () = shutdown.cancelled() => {
                let told = refusal(Code::Unavailable, "SHUTDOWN", "the server is stopping");
                let _ = out.try_send(Err(told));
            }
        }
    }

    async fn follow(&mut self, view: SessionView) -> Result<(), Gone> {
        self.send(0, Event::Session(words::session(view))).await?;
        loop {
            match self.watcher.take(TAKEN) {
                Taken::Messages(messages) => {
                    for message in messages {
                        self.tell(&message).await?;
                    }
                }
                Taken::Lagged(missed) => {
                    self.send(0, Event::Lag(v1::SessionLag { missed })).await?;
                }
                Taken::End => return Ok(()),
                Taken::Nothing => {
                    let more = tokio::time::timeout(self.heartbeat, self.watcher.changed());
                    // A session that has just ended tells so itself.
                    if more.await.is_err()
                        && let Ok(view) = self.sessions.get(&self.id)
                    {
                        self.send(0, Event::Heartbeat(words::session(view))).await?;
                    }
                }
            }
        }
    }

    async fn tell(&self, message: &Message) -> Result<(), Gone> {
        let event = match &message.told {
            Told::State(view) => Event::Session(words::session(view.clone())),
            Told::Artifact(artifact, at) if self.shows.admits(&artifact.header) => {
                let body = if self.header_only { Bytes::new() } else { artifact.body.clone() };
                let header = Some(convert::header(&artifact.header));
                let artifact = Some(v1::Artifact { header, body });
                Event::Artifact(v1::SessionArtifact { artifact, moment: Some(words::moment(*at)) })
            }
            Told::Artifact(..) => return Ok(()),
        };
        self.send(message.number, event).await
    }

    async fn send(&self, number: u64, event: Event) -> Result<(), Gone> {
        let message = v1::WatchSessionResponse { number, event: Some(event) };
        self.out.send(Ok(message)).await.map_err(|_| Gone)
    }
}
