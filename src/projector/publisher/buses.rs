//! The links to both buses.

use std::sync::Arc;

use tokio::time::Instant;

use crate::projector::link::{BusUrl, Link};
use crate::projector::registry::Bus;
use crate::projector::stats::ProjectorStats;

/// One link to each server; both buses may be one.
pub(super) struct Buses {
    /// `None` where the market bus is the same server.
    system: Option<Link>,
    market: Link,
}

impl Buses {
    pub(super) fn new(system: BusUrl, market: BusUrl, stats: &Arc<ProjectorStats>) -> Buses {
        let one_server = system.same_server(&market);
        let link = |bus, url| Link::new(bus, url, stats.clone());
        Buses {
            system: (!one_server).then(|| link(Bus::System, system)),
            market: link(Bus::Market, market),
        }
    }

    /// Whether both buses are one server.
    pub(super) fn is_one(&self) -> bool {
        self.system.is_none()
    }

    /// The link to where a symbol's keys of a bus live.
    pub(super) fn link(&mut self, bus: Bus, _symbol: &str) -> &mut Link {
        match (bus, &mut self.system) {
            (Bus::System, Some(link)) => link,
            _ => &mut self.market,
        }
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.all().filter_map(Link::retry_at).min()
    }

    /// Changes whenever a connection is a new one.
    pub(super) fn connected(&self) -> u64 {
        self.all().map(Link::generation).sum()
    }

    /// A pass is over and nothing failed on those that are up.
    pub(super) fn survived(&mut self) {
        self.market.survived();
        if let Some(system) = &mut self.system {
            system.survived();
        }
    }

    fn all(&self) -> impl Iterator<Item = &Link> {
        self.system.iter().chain([&self.market])
    }
}
