//! The other side of `ReplaySessionService`.

use std::ops::ControlFlow;

use orrery_proto::v1;
use orrery_proto::v1::replay_session_service_client::ReplaySessionServiceClient;
use orrery_proto::v1::watch_session_response::Event;
use orrery_replay::artifact::Artifact;
use orrery_replay::session::Moment;
use tokio::runtime::Runtime;
use tonic::{Response, Status};

use super::way::{Link, Way};
use super::{ClientError, reach, refused};
use crate::control::session::{BranchOrder, Command, SessionOrder, SessionView, Shows, words};
use crate::control::{REPLY_BYTES_MAX, convert};

/// A connection to a server's sessions.
pub struct SessionClient {
    address: String,
    runtime: Runtime,
    calls: ReplaySessionServiceClient<Link>,
}

/// What to watch of a session.
#[derive(Clone, Debug, Default)]
pub struct Watching {
    /// Go on after this number.
    pub after: Option<u64>,
    /// Which artifacts.
    pub shows: Shows,
    /// Headers alone.
    pub header_only: bool,
    /// Have the clock wait.
    pub hold: bool,
}

/// What a watcher hears.
#[derive(Debug)]
pub enum Heard {
    /// An artifact came out at a moment.
    Artifact(Artifact, Moment),
    /// The session was moved.
    State(SessionView),
    /// So many messages were missed.
    Lagged(u64),
    /// Nothing for a while.
    Quiet(SessionView),
}

impl SessionClient {
    /// Connects to a server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn connect(way: impl Into<Way>) -> Result<SessionClient, ClientError> {
        let way = way.into();
        let (runtime, channel) = reach(&way)?;
        let calls = ReplaySessionServiceClient::new(channel);
        let calls = calls.max_decoding_message_size(REPLY_BYTES_MAX);
        Ok(SessionClient { address: way.address, runtime, calls })
    }

    fn view(&self, said: Option<v1::ReplaySession>) -> Result<SessionView, ClientError> {
        words::view(said).map_err(|e| refused(&self.address, &e))
    }

    fn said<T>(&self, asked: Result<Response<T>, Status>) -> Result<T, ClientError> {
        asked.map(Response::into_inner).map_err(|e| refused(&self.address, &e))
    }

    /// Makes a session.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn create(&mut self, order: &SessionOrder) -> Result<SessionView, ClientError> {
        let asked = self.runtime.block_on(self.calls.create_session(words::order_message(order)));
        self.view(self.said(asked)?.session)
    }

    /// Branches a session off.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn branch(&mut self, id: &str, order: &BranchOrder) -> Result<SessionView, ClientError> {
        let request = words::branch_message(id, order);
        let asked = self.runtime.block_on(self.calls.branch_session(request));
        self.view(self.said(asked)?.session)
    }

    /// A session.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get(&mut self, id: &str) -> Result<SessionView, ClientError> {
        let request = v1::GetSessionRequest { session_id: id.to_owned() };
        let asked = self.runtime.block_on(self.calls.get_session(request));
        self.view(self.said(asked)?.session)
    }

    /// All sessions.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn list(&mut self) -> Result<Vec<SessionView>, ClientError> {
        let asked = self.runtime.block_on(self.calls.list_sessions(v1::ListSessionsRequest {}));
        self.said(asked)?.sessions.into_iter().map(|s| self.view(Some(s))).collect()
    }

    /// Tells a session what to do; how many units a step had.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn command(
        &mut self,
        id: &str,
        command: &Command,
    ) -> Result<(SessionView, u32), ClientError> {
        let session_id = id.to_owned();
        let (run, calls) = (&self.runtime, &mut self.calls);
        let (session, done) = match command {
            Command::Play => {
                let asked = run.block_on(calls.play_session(v1::PlaySessionRequest { session_id }));
                (self.said(asked)?.session, 0)
            }
            Command::Pause => {
                let request = v1::PauseSessionRequest { session_id };
                let asked = run.block_on(calls.pause_session(request));
                (self.said(asked)?.session, 0)
            }
            Command::Step(unit, count, shows) => {
                let request = words::step_message(id, *unit, *count, shows);
                let said = run.block_on(calls.step_session(request));
                let said = self.said(said)?;
                (said.session, said.done)
            }
            Command::Seek(to) => {
                let asked = run.block_on(calls.seek_session(words::seek_message(id, to)));
                (self.said(asked)?.session, 0)
            }
            Command::Speed(speed, gap_cap) => {
                let request = words::speeds_message(id, *speed, *gap_cap);
                let asked = run.block_on(calls.set_session_speed(request));
                (self.said(asked)?.session, 0)
            }
        };
        Ok((self.view(session)?, done))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn close(&mut self, id: &str) -> Result<SessionView, ClientError> {
        let request = v1::CloseSessionRequest { session_id: id.to_owned() };
        let asked = self.runtime.block_on(self.calls.close_session(request));
        self.view(self.said(asked)?.session)
    }

    /// Watches until `each` breaks off or the session ends. `each` gets the
    /// number of each message; 0 for what was told to this watcher alone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn watch(
        &mut self,
        id: &str,
        watching: &Watching,
        each: &mut dyn FnMut(u64, Heard) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let request = v1::WatchSessionRequest {
            session_id: id.to_owned(),
            after_number: watching.after,
            symbols: watching.shows.symbols.clone(),
            families: watching.shows.families.clone(),
            header_only: watching.header_only,
            hold: watching.hold,
            heartbeat: None,
        };
        let asked = self.runtime.block_on(self.calls.watch_session(request));
        let mut stream = self.said(asked)?;
        while let Some(said) = {
            let said = self.runtime.block_on(stream.message());
            said.map_err(|e| refused(&self.address, &e))?
        } {
            let heard = match said.event {
                Some(Event::Artifact(artifact)) => self.artifact(artifact)?,
                Some(Event::Session(view)) => Heard::State(self.view(Some(view))?),
                Some(Event::Heartbeat(view)) => Heard::Quiet(self.view(Some(view))?),
                Some(Event::Lag(lag)) => Heard::Lagged(lag.missed),
                // Something that a newer server tells.
                None => continue,
            };
            if each(said.number, heard).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn artifact(&self, said: v1::SessionArtifact) -> Result<Heard, ClientError> {
        let v1::Artifact { header, body } = said.artifact.unwrap_or_default();
        let header = convert::header_said(header.unwrap_or_default());
        let moment = words::moment_said(said.moment);
        let both = header.and_then(|header| Ok((header, moment?)));
        let (header, moment) = both.map_err(|e| refused(&self.address, &e))?;
        Ok(Heard::Artifact(Artifact { header, body }, moment))
    }
}
