//! `orrery serve`: the live pipeline and the API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::{Common, open, output, sync};
use crate::app::{self, Feed, Pace, Service};
use crate::backend::sessions::Limits;
use crate::clock;
use crate::feeds::simulate::{Simulation, SimulationOptions};
use crate::projector::link::BusUrl;
use crate::projector::registry::slots::gathered;
use crate::projector::registry::{KeySet, KeySets};

/// Serve page, HTTP, SSE and gRPC, with or without a live feed.
///
/// Stops on SIGTERM or Ctrl-C: the feed ends, what was taken is synced, folded
/// and published, streams end.
///
/// Example: orrery serve --feed simulate --redis redis://127.0.0.1:6379
#[derive(Debug, Args)]
pub struct Serve {
    /// Where events come from; without it only what the journal holds is served.
    #[arg(long, value_enum)]
    feed: Option<FeedName>,
    /// Seed of the simulated session.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    sync: sync::Sync,
    #[command(flatten)]
    listener: Listener,
    /// Name of the log and its key, such as example.com/orrery; only the first
    /// use can choose it.
    #[arg(long, env = "ORRERY_ORIGIN", value_name = "NAME")]
    origin: Option<String>,
    #[command(flatten)]
    accept: super::repair::Accept,
}

/// Feeds that can be served live.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FeedName {
    /// A seeded, realistic session in real time.
    Simulate,
}

/// Where to listen and to deliver.
#[derive(Clone, Debug, Args)]
pub struct Listener {
    /// Address of page, HTTP, SSE and gRPC; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8417", env = "ORRERY_LISTEN", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Redis of `dealer_gravity:*` (and of everything, without --redis-market):
    /// redis://, redis+sentinel:// or redis+cluster://, see docs/redis.md.
    /// Without it documents are served from this process.
    #[arg(long, env = "ORRERY_REDIS", hide_env_values = true, value_name = "URL")]
    pub redis: Option<String>,
    /// Redis of the model keys and of all channels.
    #[arg(
        long,
        env = "ORRERY_REDIS_MARKET",
        hide_env_values = true,
        value_name = "URL",
        requires = "redis"
    )]
    pub redis_market: Option<String>,
    /// Overwrite what another journal left in Redis.
    #[arg(long, requires = "redis")]
    pub redis_takeover: bool,
    /// Whose names are written to Redis: marketswarm, orrery, candles, alerts,
    /// plane; `orrery redis keys --set NAME` shows them.
    #[arg(long, env = "ORRERY_REDIS_SETS", value_name = "SET,...", requires = "redis",
          value_delimiter = ',', default_values = ["marketswarm", "orrery"])]
    pub redis_sets: Vec<KeySet>,
    /// Seconds between two looks at Redis for its metrics (keys, findings,
    /// memory, round trips); 0 looks never.
    #[arg(long, default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub redis_observe: u64,
    /// MiB of stored pages that are read and checked again in a second, round
    /// and round, while serving; 0 turns it off.
    #[arg(long, default_value_t = 4, value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=65_536))]
    pub scrub_mib_per_second: u64,
    /// How much of one core all replay sessions together may take, in percent.
    #[arg(long, default_value_t = Limits::default().share_percent, value_name = "PERCENT",
          value_parser = clap::value_parser!(u8).range(1..=100))]
    pub replay_share: u8,
    /// Replay sessions that are kept at the same time.
    #[arg(long, default_value_t = 16, value_name = "N",
          value_parser = clap::value_parser!(u16).range(..=256))]
    pub replay_sessions: u16,
    #[command(flatten)]
    pub door: super::door::DoorArgs,
}

impl Listener {
    /// What replay sessions may take.
    #[must_use]
    pub fn sessions(&self) -> Limits {
        let sessions = usize::from(self.replay_sessions);
        Limits { sessions, share_percent: self.replay_share, ..Limits::default() }
    }

    /// Whose names are written.
    #[must_use]
    pub fn sets(&self) -> KeySets {
        KeySets::of(self.redis_sets.iter().copied())
    }

    /// How often Redis is looked at.
    #[must_use]
    pub fn observe(&self) -> Option<Duration> {
        (self.redis_observe > 0).then(|| Duration::from_secs(self.redis_observe))
    }

    /// What the listener speaks.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.door.speaks_tls() { "https" } else { "http" }
    }

    /// The buses, when Redis is configured.
    ///
    /// # Errors
    /// When an address cannot be read, or is a cluster's that cannot hold the
    /// names which are switched on.
    pub fn buses(&self) -> anyhow::Result<Option<(BusUrl, BusUrl)>> {
        let Some(system) = &self.redis else { return Ok(None) };
        let market = self.redis_market.as_ref().unwrap_or(system);
        let (system, market) = (BusUrl::parse(system)?, BusUrl::parse(market)?);
        if system.is_cluster() || market.is_cluster() {
            gathered(self.sets())?;
        }
        Ok(Some((system, market)))
    }
}

pub fn run(common: &Common, command: &Serve) -> anyhow::Result<Exit> {
    let redis = command.listener.buses()?;
    let door = command.listener.door.door(command.listener.listen)?;
    let scheme = command.listener.scheme();
    super::repair::accept(common, &command.accept)?;
    let data = match command.feed {
        Some(_) => open::or_create(common, None, command.sync.mode())?,
        None => open::existing(common)?,
    };
    let feed = command.feed.map(|FeedName::Simulate| {
        let simulation = Simulation::new(SimulationOptions {
            seed: command.seed,
            start: clock::now(),
            duration_ns: None,
            ..SimulationOptions::default()
        });
        let descriptor = simulation.descriptor();
        Feed::Simulate { simulation: Box::new(simulation), descriptor, pace: Pace::Wall }
    });
    let world = Arc::clone(&data.world);
    let archive = Arc::new(data.into_archive(common.threads));
    let engine = open::catch_up(&archive)?.engine;
    let service = Service {
        listen: command.listener.listen,
        door,
        feed,
        redis,
        takeover: command.listener.redis_takeover,
        sets: command.listener.sets(),
        observe: command.listener.observe(),
        scrub: command.listener.scrub_mib_per_second << 20,
        sessions: command.listener.sessions(),
        world,
        origin: command.origin.clone(),
    };
    app::run(archive, engine, service, |address| {
        output::line(format!(
            "serving {scheme}://{address}/ (page, HTTP, SSE, gRPC); stop with Ctrl-C"
        ));
    })?;
    Ok(Exit::Fine)
}
