//! `AdminService`: how a server stands, and what its operator asks of it.

use std::sync::Arc;
use std::time::Duration;

use orrery_journal::Head;
use orrery_journal::units::{Seq, TradingDay};
use orrery_proto::v1;
use orrery_proto::v1::admin_service_server::AdminService;
use orrery_proto::v1::certificate_service_server::CertificateService as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::calls::{Blocking, Calls, deadline};
use super::certificate::Certificates;
use super::profiles::Order;
use super::session::Sessions;
use super::{BackendError, Ready, convert};

/// How long an answer about a checkpoint may take: the folds are asked between
/// two stretches, and writing one takes as long as their state is large.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(30);

/// What lets time pass in the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Timekeeper {
    /// Nothing: what is recorded is served.
    #[default]
    Nobody,
    /// A feed on the wall clock.
    Wall,
    /// A made-up session on its own clock.
    Session,
}

/// How a server stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServerStatus {
    /// The durable end.
    pub head: Head,
    /// The last event that has been folded.
    pub folded: Seq,
    /// What brings events.
    pub time: Timekeeper,
    /// The newest checkpoint.
    pub checkpoint: Option<Seq>,
    /// Inputs in quarantine.
    pub quarantined: u64,
    /// Whether input is refused because the disk is nearly full.
    pub input_stopped: bool,
    /// The newest trading day.
    pub day: Option<TradingDay>,
}

/// What an operator asks of the rest of the house.
pub trait Administration {
    /// How the server stands.
    ///
    /// # Errors
    /// Damage.
    fn status(&self) -> Result<ServerStatus, BackendError>;

    /// Has the folds write a checkpoint; says where they stood.
    ///
    /// # Errors
    /// When nothing folds ([`BackendError::Precondition`]), it could not be
    /// written, or not within `patience`.
    fn take_checkpoint(&self, patience: Duration) -> Result<Head, BackendError>;

    /// Ends the newest day, if it is this one and the calendar has ended it.
    ///
    /// # Errors
    /// When it is not over yet ([`BackendError::Precondition`]), or the journal
    /// takes nothing.
    fn close_day(&self, day: TradingDay) -> Result<(), BackendError>;
}

/// The service.
pub struct Admin {
    calls: Calls,
    /// Places of its own: an operator is answered also when all others wait.
    own: Blocking,
    certificates: Arc<Certificates>,
    sessions: Arc<dyn Sessions>,
    ready: Ready,
    shutdown: CancellationToken,
}

impl Admin {
    pub(super) fn new(
        calls: Calls,
        certificates: Arc<Certificates>,
        sessions: Arc<dyn Sessions>,
        ready: Ready,
        shutdown: CancellationToken,
    ) -> Admin {
        Admin { calls, own: Blocking::default(), certificates, sessions, ready, shutdown }
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let (backend, sessions) = (self.calls.backend(), Arc::clone(&self.sessions));
        let ready = Arc::clone(&self.ready);
        let (status, ready, sessions) = self
            .own
            .ask(deadline(&request), move || {
                Ok((backend.status()?, ready(), sessions.list().len()))
            })
            .await?;
        let ready = match self.shutdown.is_cancelled() {
            true => Err("the server is stopping".to_owned()),
            false => ready,
        };
        let feed = match status.time {
            Timekeeper::Nobody => v1::FeedState::None,
            Timekeeper::Wall => v1::FeedState::Live,
            Timekeeper::Session => v1::FeedState::Session,
        };
        let empty = status.head.seq == Seq::BEFORE_FIRST;
        Ok(Response::new(v1::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: ready.is_ok(),
            not_ready: ready.err().unwrap_or_default(),
            head_seq: status.head.seq.0,
            head_time: (!empty).then(|| convert::timestamp(status.head.recv)),
            folded_seq: status.folded.0,
            feed: feed.into(),
            checkpoint_seq: status.checkpoint.unwrap_or_default().0,
            quarantined: status.quarantined,
            input_stopped: status.input_stopped,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            day: status.day.and_then(convert::date),
        }))
    }

    async fn take_checkpoint(
        &self,
        request: Request<v1::TakeCheckpointRequest>,
    ) -> Result<Response<v1::TakeCheckpointResponse>, Status> {
        let patience = deadline(&request).min(CHECKPOINT_PATIENCE);
        let backend = self.calls.backend();
        let Head { seq, recv } =
            self.own.ask(patience, move || backend.take_checkpoint(patience)).await?;
        let time = (seq > Seq::BEFORE_FIRST).then(|| convert::timestamp(recv));
        Ok(Response::new(v1::TakeCheckpointResponse { seq: seq.0, time }))
    }

    async fn seal_day(
        &self,
        request: Request<v1::SealDayRequest>,
    ) -> Result<Response<v1::SealDayResponse>, Status> {
        let patience = deadline(&request);
        let v1::SealDayRequest { day, close, again } = request.into_inner();
        if close {
            let ends = convert::trading_day("day", day)?;
            let backend = self.calls.backend();
            self.own.ask(patience, move || backend.close_day(ends)).await?;
        }
        let request = Request::new(v1::SealRequest { day, again, origin: String::new() });
        let v1::SealResponse { certificate, made } =
            self.certificates.seal(request).await?.into_inner();
        Ok(Response::new(v1::SealDayResponse { certificate, made }))
    }

    async fn promote_profile(
        &self,
        request: Request<v1::PromoteProfileRequest>,
    ) -> Result<Response<v1::PromoteProfileResponse>, Status> {
        let patience = deadline(&request);
        let name = convert::name("name", &request.get_ref().name)?.to_owned();
        let order = Order::Promote(name);
        let seq = self.calls.ask(patience, move |backend| backend.order(&order)).await?;
        Ok(Response::new(v1::PromoteProfileResponse { seq: seq.0 }))
    }
}
