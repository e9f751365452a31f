//! The links to both buses.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::projector::link::{BusUrl, Link};
use crate::projector::registry::{Bus, slots};
use crate::projector::stats::ProjectorStats;

/// One link to each server; both buses may be one.
pub(super) struct Buses {
    /// `None` where the market bus is the same server.
    system: Option<Line>,
    market: Line,
}

/// The links of one bus: one, or one for each symbol in a cluster, so that the
/// symbols of one node do not wait for another node.
struct Line {
    bus: Bus,
    url: BusUrl,
    stats: Arc<ProjectorStats>,
    links: BTreeMap<Box<str>, Link>,
}

impl Line {
    fn new(bus: Bus, url: BusUrl, stats: &Arc<ProjectorStats>) -> Line {
        Line { bus, url, stats: stats.clone(), links: BTreeMap::new() }
    }

    fn link(&mut self, symbol: &str) -> &mut Link {
        let Line { bus, url, stats, links } = self;
        let of = if url.is_cluster() { symbol } else { "" };
        links.entry(of.into()).or_insert_with(|| {
            Link::new(*bus, url.clone(), slots::slot_of_symbol(of), stats.clone())
        })
    }

    fn survived(&mut self) {
        self.links.values_mut().for_each(Link::survived);
        // Of several links the one in most trouble is what is shown.
        let worst = self.links.values().map(Link::breaker_state).max();
        self.stats.breaker(self.bus).set(worst.unwrap_or_default());
    }
}

impl Buses {
    pub(super) fn new(system: BusUrl, market: BusUrl, stats: &Arc<ProjectorStats>) -> Buses {
        let one_server = system.same_server(&market);
        Buses {
            system: (!one_server).then(|| Line::new(Bus::System, system, stats)),
            market: Line::new(Bus::Market, market, stats),
        }
    }

    /// Whether both buses are one server.
    pub(super) fn is_one(&self) -> bool {
        self.system.is_none()
    }

    /// The link to where a symbol's keys of a bus live.
    pub(super) fn link(&mut self, bus: Bus, symbol: &str) -> &mut Link {
        match (bus, &mut self.system) {
            (Bus::System, Some(line)) => line.link(symbol),
            _ => self.market.link(symbol),
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
        self.system.iter().chain([&self.market]).flat_map(|line| line.links.values())
    }
}
