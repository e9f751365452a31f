//! Looks at what Redis holds, says what may not stand there, and mends it.
//!
//! Everything is judged by the registry: which keys there may be, of which
//! kind, how large, how long they live, and what is in them. Only `SCAN` is
//! used to find keys, so a busy server is not held up. Nothing is written but
//! by [`repair`], and by the probes of [`health`], whose names no client reads.

pub mod audit;
mod bus;
mod compare;
pub mod finding;
pub mod health;
mod latency;
mod namespace;
pub mod observe;
pub mod repair;
mod rules;
mod schema;
mod survey;
mod values;

use std::sync::Arc;

use super::link::BusUrl;
use super::registry::{Bus, KeySets};
use crate::shelf::Shelf;
use bus::Server;

/// What it takes to inspect the Redis of a running process.
#[derive(Clone, Debug)]
pub struct Inspector {
    /// Where.
    pub buses: Buses,
    /// What should be there.
    pub shelf: Arc<Shelf>,
    /// Names the journal that versions are counted in.
    pub lineage: Box<str>,
    /// Which keys are ours to judge.
    pub ours: Ours,
}

/// Which keys are ours to judge.
#[derive(Clone, Debug, Default)]
pub struct Ours {
    /// Whose names are written; names of other sets may be somebody else's.
    pub sets: KeySets,
    /// Beginnings of keys of others that may stand in our namespaces.
    pub allowed: Vec<String>,
}

/// The addresses of both buses.
#[derive(Clone, Debug)]
pub struct Buses {
    /// `dealer_gravity:*`, `massive:volume_profile`.
    pub system: BusUrl,
    /// Model keys and every channel. May be the same server.
    pub market: BusUrl,
}

impl Buses {
    /// The servers, each with what it serves.
    fn servers(&self) -> Vec<(&'static [Bus], &BusUrl)> {
        if self.system.same_server(&self.market) {
            return vec![(&[Bus::System, Bus::Market], &self.system)];
        }
        vec![(&[Bus::System], &self.system), (&[Bus::Market], &self.market)]
    }

    /// Connects to all of them.
    async fn reach(&self) -> Result<Vec<Server>, InspectError> {
        let mut servers = Vec::new();
        for (buses, url) in self.servers() {
            servers.extend(Server::reach(buses, url).await?);
        }
        Ok(servers)
    }
}

/// `system`, `market`, or both.
fn name_of(buses: &[Bus]) -> String {
    buses.iter().map(|bus| bus.as_str()).collect::<Vec<_>>().join("+")
}

/// A server could not be asked. The text is the server's, without our values
/// and without credentials.
#[derive(Clone, Debug, thiserror::Error)]
#[error("Redis at {url} ({bus}) cannot be asked: {problem}")]
pub struct InspectError {
    /// `system`, `market` or `system+market`.
    pub bus: String,
    /// Where, without credentials.
    pub url: String,
    /// What is wrong.
    pub problem: String,
}
