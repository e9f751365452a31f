//! One connection to one bus, with its breaker.
//!
//! Owns the reconnect loop: a connection that failed once is thrown away, since
//! what became of its last command is unknown. A failure is logged when it
//! begins and when it ends, not in between. Credentials stay inside [`BusUrl`].

mod fault;
mod route;
mod url;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError};
use tokio::time::{Instant, timeout};

use super::breaker::{Breaker, State};
use super::registry::Bus;
use super::stats::{BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN, ProjectorStats};

pub use self::fault::Fault;
pub use self::url::{BusUrl, BusUrlError};

/// How long a connection may take to come up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long a command may take; beyond it the outcome is unknown.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// A bus could not be used. The text is the server's, without our values.
#[derive(Debug, thiserror::Error)]
#[error("Redis at {url} ({bus}): {problem}")]
pub struct LinkError {
    bus: &'static str,
    url: BusUrl,
    problem: String,
}

/// A bus that is used or given a rest.
pub(super) struct Link {
    bus: Bus,
    url: BusUrl,
    /// Of the keys that this link writes; matters for a cluster only.
    slot: u16,
    connection: Option<MultiplexedConnection>,
    breaker: Breaker,
    /// Counts connections: what was known about the bus before is doubtful
    /// when it changes.
    generation: u64,
    stats: Arc<ProjectorStats>,
    jitter: RandomState,
    /// Something was found missing when it was last asked.
    losing: bool,
}

impl Link {
    pub(super) fn new(bus: Bus, url: BusUrl, slot: u16, stats: Arc<ProjectorStats>) -> Link {
        let (connection, breaker, jitter) = (None, Breaker::default(), RandomState::new());
        let (generation, losing) = (0, false);
        Link { bus, url, slot, connection, breaker, generation, stats, jitter, losing }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.breaker.retry_at()
    }

    /// Whether the breaker lets something through; `Some` is a connection that
    /// was up when last used.
    pub(super) async fn ready(&mut self) -> Option<MultiplexedConnection> {
        if !self.breaker.allows(Instant::now()) {
            return None;
        }
        self.show();
        if let Some(connection) = &self.connection {
            return Some(connection.clone());
        }
        match self.connect().await {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    async fn connect(&mut self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connecting = timeout(CONNECT_TIMEOUT, self.url.connect(self.slot, &config)).await;
        let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let connection = connecting.map_err(late)??;
        self.connection = Some(connection.clone());
        self.generation += 1;
        self.stats.connects.add(1);
        if self.generation > 1 {
            self.stats.reconnects.add(1);
        }
        Ok(connection)
    }

    /// A command was answered.
    pub(super) fn succeeded(&mut self) {
        if self.breaker.succeeded() {
            tracing::warn!(bus = self.bus.as_str(), url = %self.url, "Redis is back");
        }
        self.show();
    }

    /// A pass is over and nothing failed on this bus.
    pub(super) fn survived(&mut self) {
        if self.breaker.state() == State::HalfOpen && self.connection.is_some() {
            self.succeeded();
        }
    }

    /// A command failed or was not answered in time.
    pub(super) fn failed(&mut self, error: &RedisError) {
        self.connection = None;
        let fault = Fault::of(error);
        self.stats.failed.add(1);
        self.stats.faults[fault as usize].add(1);
        if self.breaker.failed(Instant::now(), self.chance()) {
            let (bus, fault) = (self.bus.as_str(), fault.as_str());
            let error = self.error(error);
            tracing::warn!(bus, fault, %error, "Redis is away; newest versions wait");
        }
        self.show();
    }

    /// It was asked what it holds, and this many families are missing, older or
    /// changed: emptied, evicted, edited, or replaced by another server.
    pub(super) fn found_lost(&mut self, families: usize) {
        self.stats.lost.add(families as u64);
        if families > 0 && !self.losing {
            let bus = self.bus.as_str();
            tracing::warn!(
                bus,
                families,
                url = %self.url,
                "Redis has lost what it held; it is stored and told again"
            );
        }
        self.losing = families > 0;
    }

    pub(super) fn error(&self, error: &RedisError) -> LinkError {
        LinkError { bus: self.bus.as_str(), url: self.url.clone(), problem: error.to_string() }
    }

    /// From 0 to 1. Nothing derived depends on it.
    fn chance(&self) -> f64 {
        let mut hasher = self.jitter.build_hasher();
        hasher.write_u64(self.stats.failed.get() ^ self.stats.connects.get() << 32);
        hasher.write_u64(self.breaker.retry_at().map_or(0, |t| t.elapsed().as_nanos() as u64));
        (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// [`BREAKER_CLOSED`] and so on.
    pub(super) fn breaker_state(&self) -> u64 {
        match self.breaker.state() {
            State::Closed => BREAKER_CLOSED,
            State::HalfOpen => BREAKER_HALF_OPEN,
            State::Open { .. } => BREAKER_OPEN,
        }
    }

    fn show(&self) {
        self.stats.breaker(self.bus).set(self.breaker_state());
    }
}
