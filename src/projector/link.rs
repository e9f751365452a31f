//! One connection to one bus, with its breaker.
//!
//! Owns the reconnect loop: a connection that failed once is thrown away, since
//! what became of its last command is unknown. A failure is logged when it
//! begins and when it ends, not in between. Credentials stay inside [`BusUrl`].

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use tokio::time::Instant;

use super::breaker::{Breaker, State};
use super::registry::Bus;
use super::stats::{BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN, Counter, ProjectorStats};

/// How long a connection may take to come up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(1000);
/// How long a command may take; beyond it the outcome is unknown.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Address of a bus: `redis://[user:password@]host:port[/db]`.
///
/// Prints without credentials, whatever it is asked for.
#[derive(Clone)]
pub struct BusUrl(ConnectionInfo);

/// A bus address that cannot be read. Does not repeat it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Redis address: write redis://[user:password@]host:port[/db] or unix:///path")]
pub struct BusUrlError;

impl BusUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, or asks for TLS, which this build does not have.
    pub fn parse(text: &str) -> Result<BusUrl, BusUrlError> {
        let info = text.into_connection_info().map_err(|_| BusUrlError)?;
        if !info.addr().is_supported() {
            return Err(BusUrlError);
        }
        Ok(BusUrl(info))
    }

    /// Whether two addresses are the same server and database, as written.
    #[must_use]
    pub fn same_server(&self, other: &BusUrl) -> bool {
        self.0.addr() == other.0.addr() && self.db() == other.db()
    }

    fn db(&self) -> i64 {
        self.0.redis_settings().db()
    }

    /// A client for it; connects to nothing yet.
    ///
    /// # Errors
    /// As [`BusUrl::parse`].
    pub(super) fn client(&self) -> Result<Client, BusUrlError> {
        Client::open(self.0.clone()).map_err(|_| BusUrlError)
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.addr() {
            ConnectionAddr::Unix(path) => write!(f, "unix://{}", path.display()),
            ConnectionAddr::Tcp(host, port) => write!(f, "redis://{host}:{port}/{}", self.db()),
            _ => f.write_str("redis"),
        }
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusUrl({self})")
    }
}

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
    client: Client,
    connection: Option<MultiplexedConnection>,
    breaker: Breaker,
    /// Counts connections: what was known about the bus before is doubtful
    /// when it changes.
    generation: u64,
    stats: Arc<ProjectorStats>,
    jitter: RandomState,
}

impl Link {
    pub(super) fn new(
        bus: Bus,
        url: BusUrl,
        stats: Arc<ProjectorStats>,
    ) -> Result<Link, BusUrlError> {
        let (client, jitter) = (url.client()?, RandomState::new());
        let (connection, breaker) = (None, Breaker::default());
        Ok(Link { bus, url, client, connection, breaker, generation: 0, stats, jitter })
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

    async fn connect(&mut self) -> Result<MultiplexedConnection, redis::RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
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
            tracing::info!(bus = self.bus.as_str(), url = %self.url, "Redis is back");
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
    pub(super) fn failed(&mut self, error: &redis::RedisError) {
        self.connection = None;
        if self.breaker.failed(Instant::now(), self.chance()) {
            let error = self.error(error);
            tracing::warn!(bus = self.bus.as_str(), %error, "Redis is away; newest versions wait");
        }
        self.show();
    }

    pub(super) fn error(&self, error: &redis::RedisError) -> LinkError {
        LinkError { bus: self.bus.as_str(), url: self.url.clone(), problem: error.to_string() }
    }

    /// From 0 to 1. Nothing derived depends on it.
    fn chance(&self) -> f64 {
        let mut hasher = self.jitter.build_hasher();
        hasher.write_u64(self.stats.failed.get() ^ self.stats.connects.get() << 32);
        hasher.write_u64(self.breaker.retry_at().map_or(0, |t| t.elapsed().as_nanos() as u64));
        (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn show(&self) {
        let gauge: &Counter = match self.bus {
            Bus::System => &self.stats.breaker_system,
            Bus::Market => &self.stats.breaker_market,
        };
        gauge.set(match self.breaker.state() {
            State::Closed => BREAKER_CLOSED,
            State::HalfOpen => BREAKER_HALF_OPEN,
            State::Open { .. } => BREAKER_OPEN,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_printed() {
        let url = BusUrl::parse("redis://operator:hunter2@127.0.0.1:6379/3").expect("an address");
        for text in [url.to_string(), format!("{url:?}"), format!("{:#?}", Some(&url))] {
            assert!(text.contains("127.0.0.1:6379/3"), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("operator"), "{text}");
        }
        let error = BusUrl::parse("redis://operator:hunter2@:not-a-port").expect_err("no address");
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(BusUrl::parse("http://127.0.0.1").err(), Some(BusUrlError));
    }

    #[test]
    fn one_server_is_recognised() {
        let url = |text| BusUrl::parse(text).expect("an address");
        assert!(url("redis://127.0.0.1:6379").same_server(&url("redis://:x@127.0.0.1:6379/0")));
        assert!(!url("redis://127.0.0.1:6379").same_server(&url("redis://127.0.0.1:6379/1")));
        assert!(!url("redis://127.0.0.1:6379").same_server(&url("redis://127.0.0.1:6380")));
    }
}
