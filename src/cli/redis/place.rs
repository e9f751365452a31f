//! Which Redis is meant: one that is named, or that of a running server.

use clap::Args;

use crate::cli::{Common, open};
use crate::control::client::Client;
use crate::projector::inspect::{Buses, Ours};
use crate::projector::link::BusUrl;
use crate::projector::registry::{KeySet, KeySets};

/// Which Redis to look at.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Redis of `dealer_gravity:*` (and of everything, without --redis-market).
    /// Without it the Redis of the server that holds the data directory is
    /// looked at, by that server.
    #[arg(long, env = "ORRERY_REDIS", hide_env_values = true, value_name = "URL")]
    redis: Option<String>,
    /// Redis of the model keys and of all channels.
    #[arg(
        long,
        env = "ORRERY_REDIS_MARKET",
        hide_env_values = true,
        value_name = "URL",
        requires = "redis"
    )]
    redis_market: Option<String>,
    #[command(flatten)]
    server: open::Server,
    /// Whose names are ours to judge there: those that are written to it. A
    /// server knows it of itself.
    #[arg(long, env = "ORRERY_REDIS_SETS", value_name = "SET,...",
          value_delimiter = ',', default_values = ["marketswarm", "orrery"])]
    redis_sets: Vec<KeySet>,
    /// Beginning of keys of others that may stand in our namespaces, such as
    /// massive:heartbeat; may be repeated.
    #[arg(long, value_name = "PREFIX", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub allow: Vec<String>,
}

/// A Redis within reach.
pub enum Reach {
    /// By this process.
    Here(Box<Buses>),
    /// By a server.
    Server(Box<Client>),
}

impl Place {
    /// Which keys are ours to judge.
    #[must_use]
    pub fn ours(&self) -> Ours {
        let sets = KeySets::of(self.redis_sets.iter().copied());
        Ours { sets, allowed: self.allow.clone() }
    }

    /// The Redis that is meant.
    ///
    /// # Errors
    /// When an address cannot be read, or no Redis and no server is named and
    /// none is found.
    pub fn reach(&self, common: &Common) -> anyhow::Result<Reach> {
        match &self.redis {
            Some(system) if !self.server.is_named() => {
                let market = self.redis_market.as_ref().unwrap_or(system);
                let (system, market) = (BusUrl::parse(system)?, BusUrl::parse(market)?);
                Ok(Reach::Here(Box::new(Buses { system, market })))
            }
            _ => {
                let address = self.server.address(common);
                let address = address.map_err(|e| e.context("--redis URL names a Redis"))?;
                Ok(Reach::Server(Box::new(Client::connect(&address)?)))
            }
        }
    }
}

/// Waits for an answer of Redis.
///
/// # Errors
/// When there is no runtime to wait in.
pub fn wait<T>(asked: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(asked))
}
