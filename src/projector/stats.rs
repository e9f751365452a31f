//! Counters of the projector, read by telemetry.

use std::sync::atomic::{AtomicU64, Ordering};

use super::link::Fault;
use super::registry::Bus;

/// Plain counters and gauges; each is exact on its own.
#[derive(Debug, Default)]
pub struct ProjectorStats {
    /// Versions stored (and announced where the family announces).
    pub published: Counter,
    /// Versions that were overtaken by a newer one before their turn.
    pub coalesced: Counter,
    /// Deliveries that failed or whose outcome is unknown; they are repeated.
    pub failed: Counter,
    /// Versions stored again because Redis had lost or changed them.
    pub repaired: Counter,
    /// Families that Redis was found to have lost: emptied, evicted, edited,
    /// expired, or replaced by another server.
    pub lost: Counter,
    /// Families of epochs that are over, whose keys were left a while to live.
    pub retired: Counter,
    /// Failures by their kind, in the order of [`Fault::ALL`].
    pub faults: [Counter; Fault::ALL.len()],
    /// Versions not sent: body not as agreed, key not registered, too large.
    pub refused: Counter,
    /// Versions not sent because Redis holds a newer one or another journal's.
    pub outrun: Counter,
    /// Connections made, to either bus.
    pub connects: Counter,
    /// Connections made again after one was lost.
    pub reconnects: Counter,
    /// Gauge: families whose newest version has not been stored yet.
    pub waiting: Counter,
    /// Gauge: state of the system bus, see [`BREAKER_CLOSED`].
    pub breaker_system: Counter,
    /// Gauge: state of the market bus.
    pub breaker_market: Counter,
    /// Gauge: microseconds from waking up to stored, of the last delivery.
    pub delivery_us_last: Counter,
    /// Gauge: the longest of them.
    pub delivery_us_max: Counter,
    /// Gauge: nanoseconds since the epoch at which the newest delivered version
    /// was made; what the lag is measured against.
    pub delivered_created_at_ns: Counter,
}

/// The bus works.
pub const BREAKER_CLOSED: u64 = 0;
/// The bus is being tried again.
pub const BREAKER_HALF_OPEN: u64 = 1;
/// The bus is given a rest.
pub const BREAKER_OPEN: u64 = 2;

/// A number that many may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(super) fn raise(&self, n: u64) {
        self.0.fetch_max(n, Ordering::Relaxed);
    }
}

impl ProjectorStats {
    /// The gauge of a bus.
    pub(super) fn breaker(&self, bus: Bus) -> &Counter {
        match bus {
            Bus::System => &self.breaker_system,
            Bus::Market => &self.breaker_market,
        }
    }

    /// Names and numbers, for `/metrics` and for people.
    #[must_use]
    pub fn all(&self) -> Vec<(String, u64)> {
        let named = [
            ("published", self.published.get()),
            ("coalesced", self.coalesced.get()),
            ("failed", self.failed.get()),
            ("repaired", self.repaired.get()),
            ("lost", self.lost.get()),
            ("retired", self.retired.get()),
            ("refused", self.refused.get()),
            ("outrun", self.outrun.get()),
            ("connects", self.connects.get()),
            ("reconnects", self.reconnects.get()),
            ("waiting", self.waiting.get()),
            ("breaker_system", self.breaker_system.get()),
            ("breaker_market", self.breaker_market.get()),
            ("delivery_us_last", self.delivery_us_last.get()),
            ("delivery_us_max", self.delivery_us_max.get()),
            ("delivered_created_at_ns", self.delivered_created_at_ns.get()),
        ];
        let named = named.into_iter().map(|(name, number)| (name.to_owned(), number));
        let faults = Fault::ALL.into_iter().zip(&self.faults);
        let faults = faults.map(|(fault, n)| (format!("fault_{}", fault.as_str()), n.get()));
        named.chain(faults).collect()
    }
}
