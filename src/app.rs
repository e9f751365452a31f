//! The live process: wires feed, journal, fold, projector and listener, and
//! ends them in that order.
//!
//! Two threads do what must be in order: the feed's thread appends, the fold's
//! thread folds what is durable and puts artifacts on the shelf. Everything that
//! talks to the network runs on the runtime and only reads the shelf.

mod beats;
mod damage;
mod descriptors;
mod feed;
mod frames;
mod house;
mod journal;
mod observe;
mod outlets;
mod sealing;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use orrery_journal::units::Seq;
use orrery_replay::artifact::Header;
use orrery_replay::catch_up::CatchUpError;
use orrery_replay::engine::{Engine, Made};
use orrery_replay::follow::Follower;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::backend::Archive;
use crate::backend::pulse::Pulse;
use crate::backend::sessions::{Keeper, Limits, Outlets};
use crate::clock;
use crate::control;
use crate::control::session::Sessions;
use crate::gateway;
use crate::projector::documents::Documents;
use crate::projector::inspect::observe::Observations;
use crate::projector::inspect::{Buses, Inspector, Ours};
use crate::projector::link::BusUrl;
use crate::projector::publisher::{Publisher, PublisherConfig};
use crate::projector::registry::{KeySet, KeySets};
use crate::projector::stats::ProjectorStats;
use crate::shelf::Shelf;
use crate::telemetry::Metrics;
use crate::world::MarketWorld;

pub use feed::{Feed, Pace};

/// How long the fold waits for new events before it looks whether to stop.
const FOLD_WAIT: Duration = Duration::from_millis(50);

/// How long the name of a new journal waits for its first event.
const FIRST_EVENT_WAIT: Duration = Duration::from_secs(2);

/// What a live process is made of.
pub struct Service {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whom to let in there.
    pub door: gateway::Door,
    /// Where events come from; `None` serves what the journal holds.
    pub feed: Option<Feed>,
    /// Redis of both buses; `None` serves documents from this process.
    pub redis: Option<(BusUrl, BusUrl)>,
    /// Whose names are written there.
    pub sets: KeySets,
    /// Whether versions of another journal may be overwritten in Redis.
    pub takeover: bool,
    /// How often Redis is looked at for its metrics; `None`: never.
    pub observe: Option<Duration>,
    /// Bytes of stored pages that are checked again in a second; 0: none.
    pub scrub: u64,
    /// What replay sessions may take.
    pub sessions: Limits,
    /// The definitions that the archive folds with.
    pub world: Arc<MarketWorld>,
    /// Name of the log and its key; only the first start can choose it.
    pub origin: Option<String>,
}

/// Runs until SIGTERM, SIGINT or a failure; then stops the feed, syncs and folds
/// what was taken, publishes it, and ends every stream.
///
/// `engine` is the folds at the journal's head; `ready` is told the address.
///
/// # Errors
/// When the listener cannot be had, or a part of the pipeline failed.
pub fn run(
    archive: Arc<Archive>,
    engine: Engine,
    service: Service,
    ready: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Before anything is journaled: an address in use is the commonest mistake.
    // Before anybody can reach the process: whoever can may also end it.
    let mut signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let listener = runtime.block_on(TcpListener::bind(service.listen)).with_context(|| {
        format!("cannot listen on {}; --listen names another address", service.listen)
    })?;
    let address = listener.local_addr()?;
    let announced = match service.door.tls {
        Some(_) => format!("https://{address}"),
        None => address.to_string(),
    };
    archive.journal().announce(&announced).context("cannot write LOCK")?;
    let mut door = service.door;
    descriptors::raise(&mut door.limits);
    let metrics = Arc::new(Metrics::default());
    let scrub = match service.scrub {
        0 => None,
        rate => Some(Arc::new(archive.journal().scrub(rate).context("cannot start the scrub")?)),
    };
    let of_journal = journal::JournalMetrics::watch(archive.journal());
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(archive.newest()?);
    let failed = CancellationToken::new();
    archive.pulse().set_frames(frames::read);
    let beats = match &service.feed {
        None => Some(beats::start(&archive)?),
        Some(_) => None,
    };
    let feeding = match service.feed {
        Some(feed) => Some(feed::start(&archive, feed, Arc::clone(&metrics), failed.clone())?),
        None => None,
    };
    let folding = start_fold(&archive, engine, &shelf, &metrics, failed.clone())?;
    sealing::look_at_key(&archive, service.origin.as_deref());
    let certifying = sealing::start(&archive, &metrics)?;

    let shutdown = CancellationToken::new();
    let served = runtime.block_on(async {
        let sets = service.sets;
        let outlets = service.redis.as_ref().map(|buses| outlets(&archive, buses, sets));
        let outlets = outlets.transpose()?;
        let parameters = service.world.parameters().clone();
        let sessions =
            Arc::new(Keeper::new(Arc::clone(&archive), parameters, service.sessions, outlets));
        let inspector = inspector(&archive, &shelf, service.redis.as_ref(), sets)?;
        let observations = inspector.clone().zip(service.observe).map(|(inspector, every)| {
            let observations = Observations::default();
            let keeping = observations.clone().keep(inspector, every, shutdown.clone());
            tokio::spawn(keeping);
            observations
        });
        let (documents, publishing) =
            deliver(&archive, &shelf, service.redis, service.takeover, sets)?;
        let (stats, publishing) = publishing.unzip();
        let parts = gateway::Parts {
            documents: Arc::new(documents),
            house: Arc::new(house::Rooms(Arc::clone(&archive))),
            now_ms: clock::now_ms,
            metrics: {
                let observing = observe::Observing {
                    archive: Arc::clone(&archive),
                    metrics: Arc::clone(&metrics),
                    shelf: Arc::clone(&shelf),
                    projector: stats.clone(),
                    redis: observations,
                    sessions: Arc::clone(&sessions) as Arc<dyn Sessions>,
                };
                status::metrics(&archive, &metrics, of_journal, stats, scrub.clone(), observing)
            },
            ready: status::readiness(&archive, &metrics, scrub.clone()),
        };
        let ready_for_grpc = Arc::clone(&parts.ready);
        let (grpc, _health) = control::services(
            archive.clone(),
            sessions.clone(),
            Arc::clone(&shelf),
            inspector,
            ready_for_grpc,
            shutdown.clone(),
        )
        .await?;
        let serving = gateway::serve(listener, parts, Some(grpc), door, shutdown.clone());
        let serving = tokio::spawn(serving);
        ready(address);
        let why = tokio::select! {
            () = signals.any() => "asked to stop",
            () = failed.cancelled() => "a part of the pipeline failed",
        };
        tracing::info!(why, "stopping");
        // Replays give way first.
        let closing = tokio::task::spawn_blocking(move || sessions.close_all());
        drop(certifying);
        // The order of the tick: nothing that was taken may miss the steps after.
        let pen = archive.clone();
        pen.pulse().close();
        drop(beats);
        let drained = tokio::task::spawn_blocking(move || drain(feeding, &pen, folding));
        let drained = drained.await.map_err(|e| anyhow!("the pipeline ended badly: {e}"))?;
        if let Some((stop, task)) = publishing {
            stop.cancel();
            let _ = task.await;
        }
        let _ = closing.await;
        shutdown.cancel();
        let served = serving.await.map_err(|e| anyhow!("the listener ended badly: {e}"))?;
        drained?;
        served.context("the listener failed")
    });
    // Whatever a client still holds open ends with the runtime.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served
}

/// Where replay sessions publish, if they are asked to.
fn outlets(
    archive: &Archive,
    buses: &(BusUrl, BusUrl),
    sets: KeySets,
) -> anyhow::Result<Box<dyn Outlets>> {
    let (system, market) = buses.clone();
    let (lineage, runtime) = (lineage(archive)?, Handle::current());
    Ok(Box::new(outlets::RedisOutlets { system, market, lineage, sets, runtime }))
}

/// What inspects the Redis that is published to, when there is one.
fn inspector(
    archive: &Archive,
    shelf: &Arc<Shelf>,
    buses: Option<&(BusUrl, BusUrl)>,
    sets: KeySets,
) -> anyhow::Result<Option<Inspector>> {
    let Some((system, market)) = buses.cloned() else { return Ok(None) };
    let (buses, shelf) = (Buses { system, market }, Arc::clone(shelf));
    let ours = Ours { sets, allowed: Vec::new() };
    Ok(Some(Inspector { buses, shelf, lineage: lineage(archive)?, ours }))
}

type Publishing = (Arc<ProjectorStats>, (CancellationToken, tokio::task::JoinHandle<()>));

/// Where documents come from, and the publisher when there is a Redis.
fn deliver(
    archive: &Archive,
    shelf: &Arc<Shelf>,
    redis: Option<(BusUrl, BusUrl)>,
    takeover: bool,
    sets: KeySets,
) -> anyhow::Result<(Documents, Option<Publishing>)> {
    let Some((system, market)) = redis else {
        return Ok((Documents::local(Arc::clone(shelf)), None));
    };
    // Routes and streams are made of these two; where one is not in Redis, they
    // are made here.
    let readable = sets.has(KeySet::Marketswarm) && sets.has(KeySet::Orrery);
    let documents = match readable {
        true => Documents::redis(&system, &market)?,
        false => Documents::local(Arc::clone(shelf)),
    };
    let lineage = lineage(archive)?;
    let config = PublisherConfig { system, market, lineage, takeover, prefix: None, sets };
    let publisher = Publisher::new(Arc::clone(shelf), config)?;
    let stats = publisher.stats();
    let stop = CancellationToken::new();
    let task = tokio::spawn(publisher.run(stop.clone()));
    Ok((documents, Some((stats, (stop, task)))))
}

/// What tells one journal from another: its first event. An empty journal gets
/// it from the feed that has just started.
fn lineage(archive: &Archive) -> anyhow::Result<Box<str>> {
    let _ = archive.journal().wait_beyond(Seq::BEFORE_FIRST, FIRST_EVENT_WAIT);
    let origin = archive.journal().origin()?;
    Ok(origin.map_or_else(Box::default, |hash| hash.to_string().into()))
}

struct Folding {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

fn start_fold(
    archive: &Arc<Archive>,
    engine: Engine,
    shelf: &Arc<Shelf>,
    metrics: &Arc<Metrics>,
    failed: CancellationToken,
) -> anyhow::Result<Folding> {
    let stop = Arc::new(AtomicBool::new(false));
    metrics.fold_seq.set(engine.position().seq.0 as i64);
    let follower = Follower::new(
        archive.journal().clone(),
        archive.derived().clone(),
        engine,
        archive.options(),
    );
    let (stopping, shelf, metrics) = (Arc::clone(&stop), Arc::clone(shelf), Arc::clone(metrics));
    let archive = Arc::clone(archive);
    let thread = std::thread::Builder::new().name("fold".to_owned()).spawn(move || {
        let folded = fold(follower, archive.pulse(), &stopping, &shelf, &metrics);
        archive.pulse().stop();
        if folded.is_err() {
            failed.cancel();
        }
        folded.context("the fold stopped")
    })?;
    Ok(Folding { stop, thread })
}

/// Folds what becomes durable until told to stop, then the rest.
fn fold(
    mut follower: Follower,
    pulse: &Pulse,
    stop: &AtomicBool,
    shelf: &Shelf,
    metrics: &Metrics,
) -> Result<(), CatchUpError> {
    let mut deliver = |made: &[Made]| {
        metrics.artifacts.inc_by(made.len() as u64);
        for Made { artifact, .. } in made {
            let Header { symbol, family, version, seq_last, epoch, .. } = &artifact.header;
            let epoch = epoch.map(tracing::field::display);
            tracing::debug!(seq = seq_last.0, epoch, %symbol, %family, version, "artifact");
        }
        // At once, so that nobody sees a context without its gravity.
        shelf.place_all(made.iter().map(|m| m.artifact.clone()));
    };
    let mut damage = damage::DamageWatch::new(follower.engine(), metrics);
    while !stop.load(Ordering::Acquire) {
        let reached = follower.step(FOLD_WAIT, &mut deliver)?;
        metrics.fold_seq.set(reached.seq.0 as i64);
        metrics.fold_recv_ns.set(reached.recv.0);
        pulse.beat(reached, || follower.checkpoint().map_err(|e| e.to_string()));
        damage.look(follower.engine(), metrics);
    }
    let engine = follower.finish(&mut deliver)?;
    damage.look(&engine, metrics);
    metrics.fold_seq.set(engine.position().seq.0 as i64);
    Ok(())
}

/// Stops the feed, then lets the fold finish what is durable.
fn drain(
    feeding: Option<feed::Feeding>,
    archive: &Archive,
    folding: Folding,
) -> anyhow::Result<()> {
    let fed = feeding.map_or(Ok(()), feed::Feeding::stop);
    let closed = archive.put_pen_down();
    folding.stop.store(true, Ordering::Release);
    let folded = folding.thread.join().map_err(|_| anyhow!("the fold panicked"))?;
    fed?;
    closed?;
    folded
}

/// What asks the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on a signal is kept until somebody waits for it. Needs a
    /// runtime to be entered.
    fn new() -> anyhow::Result<Signals> {
        let terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        Ok(Signals { terminate, interrupt })
    }

    /// Resolves when the process is asked to stop.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
