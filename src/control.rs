//! gRPC services: they translate between `orrery.v1` and a [`Backend`], and
//! decide nothing.
//!
//! Knows the schema, the shelf and what a backend may answer; knows no journal,
//! no disk and no clock. Whoever wires the house implements [`Backend`] over
//! journal, replay and partitions.

pub mod admin;
pub mod annotations;
pub mod append;
pub mod artifact;
mod calls;
pub mod certificate;
pub mod client;
mod convert;
pub mod delivery;
pub mod epoch;
pub mod events;
pub mod journal;
pub mod lookup;
mod page;
pub mod point;
pub mod profiles;
pub mod proving;
pub mod replay;
pub mod session;
mod status;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use orrery_journal::units::{RecvTime, Seq, TradingDay};
use orrery_proto::v1::admin_service_server::AdminServiceServer;
use orrery_proto::v1::annotation_service_server::AnnotationServiceServer;
use orrery_proto::v1::artifact_service_server::ArtifactServiceServer;
use orrery_proto::v1::certificate_service_server::CertificateServiceServer;
use orrery_proto::v1::delivery_service_server::DeliveryServiceServer;
use orrery_proto::v1::epoch_service_server::EpochServiceServer;
use orrery_proto::v1::journal_service_server::JournalServiceServer;
use orrery_proto::v1::profile_service_server::ProfileServiceServer;
use orrery_proto::v1::replay_service_server::ReplayServiceServer;
use orrery_proto::v1::replay_session_service_server::ReplaySessionServiceServer;
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::derived::FamilyName;
use orrery_replay::fold::EpochId;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use crate::market::book::{Book, Spot};
use crate::market::epoch::{EpochRecord, Moment};
use crate::projector::inspect::Inspector;
use crate::shelf::Shelf;

use calls::Calls;

/// Requests are small; a bigger one is no request of ours.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The largest reply: one artifact with its body.
pub const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// At which moment a question is asked. The answer sees nothing after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AsOf {
    /// The durable end.
    #[default]
    Head,
    /// This event included.
    Seq(Seq),
    /// Every event received up to this time.
    Time(RecvTime),
}

/// The epochs of a symbol, in any order.
#[derive(Clone, PartialEq, Debug)]
pub struct Epochs {
    /// The moment of the answer.
    pub moment: Moment,
    /// The epochs that had been born by then, as they stood at that moment.
    pub epochs: Vec<EpochRecord>,
}

/// An epoch's market at a moment.
#[derive(Clone, Debug)]
pub struct Plane {
    /// The moment of the answer.
    pub moment: Moment,
    /// Its trading day; days to expiry count from it.
    pub day: TradingDay,
    /// Topology and states.
    pub book: Book,
    /// Price of the underlying.
    pub spot: Option<Spot>,
}

/// A gamma level with the contracts that make it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The moment of the answer.
    pub moment: Moment,
    /// Profile that defines the level.
    pub profile: String,
    /// Where it lies, or its size; `None` when there is no such level.
    pub level: Option<f64>,
    /// Sum of what the contracts add.
    pub value: f64,
    /// All contracts that add anything, the largest first.
    pub contracts: Vec<LevelShare>,
}

/// One contract's part in a level.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelShare {
    /// The contract.
    pub ticker: Box<str>,
    /// Expiration date.
    pub expiry: TradingDay,
    /// Strike, points.
    pub strike: f64,
    /// What it adds.
    pub value: f64,
    /// Its size in the sum of all sizes.
    pub share: f64,
}

/// Which version of a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The newest.
    Latest,
    /// Exactly this one.
    Version(u64),
    /// The newest that had seen nothing beyond a moment.
    AsOf(AsOf),
}

/// An artifact as it would be, had every event been right from the start.
#[derive(Clone, PartialEq, Debug)]
pub struct CorrectedRead {
    /// The artifact; its version and hashes are those of that other history.
    pub artifact: Artifact,
    /// Corrections up to this event are known.
    pub known: Seq,
    /// Events up to the moment that were corrected or cancelled; with none it is
    /// the recorded artifact.
    pub events: u64,
    /// Corrections that say nothing usable; they change nothing.
    pub unusable: u64,
}

/// What to replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayOrder {
    /// The day.
    pub day: TradingDay,
    /// Threads at most; `None` takes one per core.
    pub threads: Option<u32>,
}

/// How far a replay is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReplayProgress {
    /// Events folded so far.
    pub events: u64,
    /// Events of the day.
    pub events_total: u64,
    /// Artifacts compared so far.
    pub artifacts: u64,
}

/// The first artifact that is not the recorded one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayDifference {
    /// Symbol.
    pub symbol: Box<str>,
    /// Family.
    pub family: Box<str>,
    /// Version.
    pub version: u64,
    /// Last event that the artifact has seen.
    pub seq: Seq,
    /// Header field or JSON pointer.
    pub field: String,
    /// What was recorded.
    pub recorded: String,
    /// What the replay made.
    pub replayed: String,
}

/// How a replay ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplaySummary {
    /// Where it was when it ended.
    pub progress: ReplayProgress,
    /// How long it took.
    pub elapsed: Duration,
    /// Stopped because it was asked to.
    pub cancelled: bool,
    /// `None` when every artifact was the recorded one.
    pub difference: Option<ReplayDifference>,
}

/// Why a backend has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// There is no such thing; `what` names its kind: symbol, epoch, day.
    #[error("there is no {what} {name}")]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// The moment lies outside of the journal.
    #[error("{asked} lies outside of the journal, which holds {has}")]
    OutOfRange {
        /// The moment that was asked for.
        asked: String,
        /// What the journal holds.
        has: String,
    },
    /// The thing exists but not in the state that the question needs.
    #[error("{0}")]
    Precondition(String),
    /// The request can never be answered, with the field that is wrong.
    #[error("{field}: {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// The same of a field that is named as it is asked.
    #[error("{field}: {why}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// There is nothing of the kind from here on.
    #[error("{0}")]
    NoneLeft(String),
    /// The server has a limit.
    #[error("{told}")]
    Exhausted {
        /// For machines.
        reason: &'static str,
        /// For people.
        told: String,
    },
    /// Not now; asking again may help.
    #[error("{0}")]
    Unavailable(String),
    /// Stored data is damaged.
    #[error("{0}")]
    Damaged(String),
    /// Anything else.
    #[error("the question could not be answered")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the services need from the rest of the house. Methods may block; they
/// are called on threads where that is allowed.
pub trait Backend:
    journal::Operations
    + lookup::Lookup
    + append::Appending
    + annotations::Annotating
    + admin::Administration
    + certificate::Certifying
    + point::Points
    + profiles::Profiles
    + Send
    + Sync
    + 'static
{
    /// Epochs of a symbol that had been born at a moment.
    ///
    /// # Errors
    /// An unknown symbol, a moment outside of the journal, damage.
    fn epochs(&self, symbol: &str, as_of: AsOf) -> Result<Epochs, BackendError>;

    /// The market of an epoch (of the active one for `None`) at a moment.
    ///
    /// # Errors
    /// An unknown symbol or epoch, no active epoch
    /// ([`BackendError::Precondition`]), a moment outside of the journal, damage.
    fn plane(
        &self,
        symbol: &str,
        epoch: Option<EpochId>,
        as_of: AsOf,
    ) -> Result<Plane, BackendError>;

    /// The contracts behind a level of a symbol, by its name in bodies, under a
    /// profile of gex (the configured one for `None`).
    ///
    /// # Errors
    /// An unknown symbol, level or profile, no chain
    /// ([`BackendError::Precondition`]), a moment outside of the journal, damage.
    fn explain(
        &self,
        symbol: &str,
        level: &str,
        profile: Option<&str>,
        as_of: AsOf,
    ) -> Result<Explained, BackendError>;

    /// Symbols and families that have artifacts, ascending.
    ///
    /// # Errors
    /// Damage.
    fn families(&self) -> Result<Vec<FamilyName>, BackendError>;

    /// A header, or `None` when there is no such version.
    ///
    /// # Errors
    /// A moment outside of the journal, damage.
    fn header(
        &self,
        symbol: &str,
        family: &str,
        which: Which,
    ) -> Result<Option<Header>, BackendError>;

    /// The newest artifact of a family at a moment, as corrected; `None` when
    /// there is none.
    ///
    /// # Errors
    /// A moment outside of the journal, damage.
    fn corrected(
        &self,
        symbol: &str,
        family: &str,
        as_of: AsOf,
    ) -> Result<Option<CorrectedRead>, BackendError>;

    /// Up to `limit` headers of a family from a version on, ascending.
    ///
    /// # Errors
    /// Damage.
    fn headers(
        &self,
        symbol: &str,
        family: &str,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Header>, BackendError>;

    /// The body of a header, rebuilt where it is not kept.
    ///
    /// # Errors
    /// Damage, or a body that can no longer be rebuilt.
    fn body(&self, header: &Header) -> Result<Bytes, BackendError>;

    /// Says whether a day can be replayed, before a replay is started.
    ///
    /// # Errors
    /// An unknown day.
    fn check_day(&self, day: TradingDay) -> Result<(), BackendError>;

    /// Replays a day; tells `progress` of its way now and then and stops soon
    /// after `cancel` is set.
    ///
    /// # Errors
    /// An unknown day, damage.
    fn replay(
        &self,
        order: ReplayOrder,
        progress: &mut dyn FnMut(ReplayProgress),
        cancel: &AtomicBool,
    ) -> Result<ReplaySummary, BackendError>;
}

/// Says whether the process is ready, or why it is not.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The services did not come up.
#[derive(Debug, thiserror::Error)]
#[error("the schema's descriptors cannot be served")]
pub struct ServicesError(#[from] tonic_reflection::server::Error);

/// All services, with health and both versions of reflection; to be merged
/// into the listener's router. Streams end when `shutdown` is cancelled.
///
/// Must be called inside a tokio runtime.
///
/// # Errors
/// When the compiled-in descriptors do not decode.
pub async fn services(
    backend: Arc<dyn Backend>,
    sessions: Arc<dyn session::Sessions>,
    shelf: Arc<Shelf>,
    delivery: Option<Inspector>,
    ready: Ready,
    shutdown: CancellationToken,
) -> Result<(Routes, HealthReporter), ServicesError> {
    let calls = Calls::new(backend);
    let epochs = EpochServiceServer::new(epoch::Epochs::new(calls.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX);
    let artifacts = ArtifactServiceServer::new(artifact::Artifacts::new(
        calls.clone(),
        shelf,
        shutdown.clone(),
    ))
    .max_decoding_message_size(REQUEST_BYTES_MAX)
    .max_encoding_message_size(REPLY_BYTES_MAX);
    let profiles = ProfileServiceServer::new(profiles::ProfileCalls::new(calls.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX);
    let journals = journal::Journals::new(calls.clone(), shutdown.clone());
    let journals = JournalServiceServer::new(journals)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX);
    let certificates = Arc::new(certificate::Certificates::new(calls.clone(), shutdown.clone()));
    let admin = admin::Admin::new(
        calls.clone(),
        Arc::clone(&certificates),
        Arc::clone(&sessions),
        ready,
        shutdown.clone(),
    );
    let admin = AdminServiceServer::new(admin).max_decoding_message_size(REQUEST_BYTES_MAX);
    let annotations = annotations::AnnotationCalls::new(calls.clone());
    let annotations = AnnotationServiceServer::new(annotations)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX);
    let certificates = CertificateServiceServer::from_arc(certificates)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX);
    let replays = ReplayServiceServer::new(replay::Replays::new(calls, shutdown.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX);

    let sessions = session::ReplaySessions::new(sessions, shutdown.clone());
    let sessions = ReplaySessionServiceServer::new(sessions)
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX);

    let deliveries = DeliveryServiceServer::new(delivery::Deliveries::new(delivery))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(REPLY_BYTES_MAX);

    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<EpochServiceServer<epoch::Epochs>>().await;
    health.set_serving::<ArtifactServiceServer<artifact::Artifacts>>().await;
    health.set_serving::<ReplayServiceServer<replay::Replays>>().await;
    health.set_serving::<JournalServiceServer<journal::Journals>>().await;
    health.set_serving::<ReplaySessionServiceServer<session::ReplaySessions>>().await;
    health.set_serving::<CertificateServiceServer<certificate::Certificates>>().await;
    health.set_serving::<ProfileServiceServer<profiles::ProfileCalls>>().await;
    health.set_serving::<DeliveryServiceServer<delivery::Deliveries>>().await;
    health.set_serving::<AnnotationServiceServer<annotations::AnnotationCalls>>().await;
    health.set_serving::<AdminServiceServer<admin::Admin>>().await;
    // Whoever watches health learns of the end before the connection closes.
    let at_end = health.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        at_end.set_not_serving::<EpochServiceServer<epoch::Epochs>>().await;
        at_end.set_not_serving::<ArtifactServiceServer<artifact::Artifacts>>().await;
        at_end.set_not_serving::<ReplayServiceServer<replay::Replays>>().await;
        at_end.set_not_serving::<JournalServiceServer<journal::Journals>>().await;
        at_end.set_not_serving::<ReplaySessionServiceServer<session::ReplaySessions>>().await;
        at_end.set_not_serving::<CertificateServiceServer<certificate::Certificates>>().await;
        at_end.set_not_serving::<ProfileServiceServer<profiles::ProfileCalls>>().await;
        at_end.set_not_serving::<DeliveryServiceServer<delivery::Deliveries>>().await;
        at_end.set_not_serving::<AnnotationServiceServer<annotations::AnnotationCalls>>().await;
        at_end.set_not_serving::<AdminServiceServer<admin::Admin>>().await;
        at_end.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    });

    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(orrery_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Older clients (Python's, grpcurl's) only speak v1alpha.
    let mut routes = Routes::builder();
    routes
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(epochs)
        .add_service(artifacts)
        .add_service(replays)
        .add_service(sessions)
        .add_service(profiles)
        .add_service(journals)
        .add_service(annotations)
        .add_service(admin)
        .add_service(certificates)
        .add_service(deliveries);
    Ok((routes.routes(), health))
}
