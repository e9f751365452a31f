//! Carries the newest version of each family from the shelf to Redis.
//!
//! What waits is the newest version of each family and nothing else, so memory
//! is bounded however long Redis is away. One pass takes all due families of a
//! symbol together: what the system bus holds is stored and acknowledged first,
//! then the market bus stores its keys and announces, in one script. Where both
//! are one server, one script does all of it. So no event exists without its
//! stored artifact, and a promotion shows all families at once. What only the
//! epoch before published is left a while to live and is not sent again.
//!
//! Redis is asked every second what it holds; what is missing, older, or of
//! another length is sent again, and one family a second is read back and
//! compared. Outcomes that are unknown are repeated: the scripts compare
//! versions, so repeating is harmless.

mod buses;
mod call;
mod job;
mod ledger;
mod once;
mod pass;
mod reconcile;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::buses::Buses;
use self::call::Scripts;
use self::ledger::Ledger;
use super::link::BusUrl;
use super::registry::slots::{Scattered, gathered};
use super::registry::{Bus, KeySets, Prefix, RegisteredKey};
use super::stats::ProjectorStats;
use crate::shelf::Shelf;

/// How often Redis is asked what it holds. Half of the two seconds within which
/// a loss has to be repaired.
const RECONCILE_EVERY: Duration = Duration::from_secs(1);
/// How long the last pass may take when the process stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Where to publish, and as whom.
#[derive(Clone, Debug)]
pub struct PublisherConfig {
    /// `dealer_gravity:*`, `massive:volume_profile`.
    pub system: BusUrl,
    /// Model keys and every channel. May be the same server.
    pub market: BusUrl,
    /// Names the journal that versions are counted in. A Redis that holds
    /// versions of another lineage is not written to, since the numbers cannot
    /// be compared. Default: empty.
    pub lineage: Box<str>,
    /// Overwrite what another lineage left behind. For a journal that replaces
    /// another one; two publishers that both take over would fight.
    pub takeover: bool,
    /// Publish for a replay session: every key and channel has this before it,
    /// everything expires, and what was written is deleted at the end. Default:
    /// none.
    pub prefix: Option<Prefix>,
    /// Whose names are written.
    pub sets: KeySets,
}

/// The publishing task.
pub struct Publisher {
    shelf: Arc<Shelf>,
    lineage: Box<str>,
    takeover: bool,
    prefix: Option<Prefix>,
    sets: KeySets,
    /// Keys that a replay session may have written, by where they live.
    written: BTreeSet<(Bus, RegisteredKey)>,
    buses: Buses,
    scripts: Scripts,
    ledger: Ledger,
    stats: Arc<ProjectorStats>,
}

impl Publisher {
    /// Prepares; connects to nothing yet.
    ///
    /// # Errors
    /// When a bus is a cluster, and key sets are switched on whose names it
    /// cannot keep together.
    pub fn new(shelf: Arc<Shelf>, config: PublisherConfig) -> Result<Publisher, Scattered> {
        if config.system.is_cluster() || config.market.is_cluster() {
            gathered(config.sets)?;
        }
        let stats = Arc::new(ProjectorStats::default());
        Ok(Publisher {
            shelf,
            lineage: config.lineage,
            takeover: config.takeover,
            prefix: config.prefix,
            sets: config.sets,
            written: BTreeSet::new(),
            buses: Buses::new(config.system, config.market, &stats),
            scripts: Scripts::default(),
            ledger: Ledger::default(),
            stats,
        })
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> Arc<ProjectorStats> {
        self.stats.clone()
    }

    /// Publishes until stopped, then once more what still waits.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.shelf.changes();
        let mut reconcile_at = Instant::now();
        let mut connected = None;
        loop {
            let now = Instant::now();
            let retry = self.buses.retry_at().is_some_and(|at| at <= now);
            if now >= reconcile_at || retry || connected != Some(self.buses.connected()) {
                self.reconcile().await;
                connected = Some(self.buses.connected());
                reconcile_at = Instant::now() + RECONCILE_EVERY;
            }
            changes.borrow_and_update();
            self.pass().await;
            // A probe that only read does not say that writing works (a full or
            // read-only server answers reads), so breakers close after a pass.
            self.buses.survived();
            if connected != Some(self.buses.connected()) {
                continue;
            }
            let wake = self.buses.retry_at().map_or(reconcile_at, |at| at.min(reconcile_at));
            tokio::select! {
                () = stop.cancelled() => break,
                _ = changes.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
        if self.prefix.is_some() {
            if timeout(DRAIN_TIMEOUT, self.take_back()).await != Ok(true) {
                tracing::warn!("not everything of a replay session was deleted; it expires");
            }
            return;
        }
        if timeout(DRAIN_TIMEOUT, self.pass()).await.is_err() || self.stats.waiting.get() > 0 {
            let waiting = self.stats.waiting.get();
            tracing::warn!(waiting, "stopped before Redis took everything; the next start repairs");
        }
    }

    /// Deletes what a replay session wrote; whether that went well. One key at
    /// a time: in a cluster they need not lie together.
    async fn take_back(&mut self) -> bool {
        let mut all = true;
        for (bus, key) in std::mem::take(&mut self.written) {
            let Some(mut connection) = self.buses.link(bus, key.symbol()).ready().await else {
                all = false;
                continue;
            };
            let mut delete = redis::cmd("UNLINK");
            let deleted = delete.arg(key.as_str()).query_async::<u64>(&mut connection).await;
            all &= deleted.is_ok();
        }
        all
    }

    /// The key where this publisher has it.
    fn placed(&self, key: RegisteredKey) -> RegisteredKey {
        match &self.prefix {
            Some(prefix) => key.under(prefix),
            None => key,
        }
    }
}
