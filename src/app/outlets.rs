//! Where replay sessions publish: the live pipeline's Redis, under a prefix of
//! each session's own, with the live publisher's rules and none of its keys.

use std::sync::Arc;

use orrery_replay::engine::Made;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backend::sessions::{Outlet, Outlets};
use crate::projector::link::BusUrl;
use crate::projector::publisher::{Publisher, PublisherConfig};
use crate::projector::registry::{KeySets, Prefix};
use crate::shelf::Shelf;

/// Opens outlets to one pair of buses.
pub struct RedisOutlets {
    pub system: BusUrl,
    pub market: BusUrl,
    pub lineage: Box<str>,
    pub sets: KeySets,
    pub runtime: Handle,
}

impl Outlets for RedisOutlets {
    fn prefix(&self, session: &str) -> String {
        Prefix::of_session(session).map_or_else(String::new, |p| p.as_str().to_owned())
    }

    fn open(&self, session: &str) -> Result<Box<dyn Outlet>, String> {
        let prefix = Prefix::of_session(session);
        let config = PublisherConfig {
            system: self.system.clone(),
            market: self.market.clone(),
            lineage: format!("{}/{session}", self.lineage).into(),
            // What an earlier server's session of this name left behind.
            takeover: true,
            prefix: Some(prefix.ok_or_else(|| format!("{session} cannot be part of a key"))?),
            sets: self.sets,
        };
        let mut outlet = RedisOutlet {
            config,
            runtime: self.runtime.clone(),
            shelf: Arc::default(),
            at_work: None,
        };
        outlet.start()?;
        Ok(Box::new(outlet))
    }
}

/// A publisher of a session's newest artifacts.
struct RedisOutlet {
    config: PublisherConfig,
    runtime: Handle,
    shelf: Arc<Shelf>,
    at_work: Option<(CancellationToken, JoinHandle<()>)>,
}

impl RedisOutlet {
    /// Starts a publisher with an empty shelf, once the one before has taken
    /// back what it wrote.
    fn start(&mut self) -> Result<(), String> {
        self.shelf = Arc::default();
        let publisher = Publisher::new(Arc::clone(&self.shelf), self.config.clone());
        let publisher = publisher.map_err(|e| e.to_string())?;
        let stop = CancellationToken::new();
        let before = self.at_work.take();
        let stopped = stop.clone();
        let task = self.runtime.spawn(async move {
            if let Some((stop, task)) = before {
                stop.cancel();
                let _ = task.await;
            }
            publisher.run(stopped).await;
        });
        self.at_work = Some((stop, task));
        Ok(())
    }
}

impl Outlet for RedisOutlet {
    fn put(&mut self, made: &[Made]) {
        self.shelf.place_all(made.iter().map(|m| m.artifact.clone()));
    }

    fn begin_again(&mut self) {
        if let Err(error) = self.start() {
            tracing::warn!(error, "a replay session publishes nothing any more");
        }
    }
}

impl Drop for RedisOutlet {
    fn drop(&mut self) {
        if let Some((stop, task)) = self.at_work.take() {
            stop.cancel();
            // Sessions end before the runtime does; what they wrote goes first.
            let _ = self.runtime.block_on(task);
        }
    }
}
