//! Carries the newest version of each family from the shelf to Redis.
//!
//! What waits is the newest version of each family and nothing else, so memory
//! is bounded however long Redis is away. One pass takes all due families of a
//! symbol together: what the system bus holds is stored and acknowledged first,
//! then the market bus stores its keys and announces, in one script. Where both
//! are one server, one script does all of it. So no event exists without its
//! stored artifact, and a promotion shows all families at once.
//!
//! Redis is asked every second what it holds; what is missing, older, or of
//! another length is sent again, and one family a second is read back and
//! compared. Outcomes that are unknown are repeated: the scripts compare
//! versions, so repeating is harmless.

mod call;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use orrery_replay::artifact::Artifact;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::call::{Scripts, Section, Verdict};
use self::ledger::{Delivered, Ledger};
use super::link::{BusUrl, BusUrlError, Link};
use super::registry::{Bus, Name, Prefix, RegisteredKey};
use super::render::{self, EPOCH_FAMILY, Held, Rendering};
use super::stats::ProjectorStats;
use crate::shelf::{Shelf, ShelfKey};

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
}

/// The publishing task.
pub struct Publisher {
    shelf: Arc<Shelf>,
    lineage: Box<str>,
    takeover: bool,
    prefix: Option<Prefix>,
    /// Keys that a replay session may have written, by where they live.
    written: BTreeSet<(Bus, RegisteredKey)>,
    /// `None` where the market bus is the same server.
    system: Option<Link>,
    market: Link,
    scripts: Scripts,
    ledger: Ledger,
    stats: Arc<ProjectorStats>,
}

/// One version on its way.
struct Job {
    key: ShelfKey,
    artifact: Arc<Artifact>,
    paired: u64,
    meta: RegisteredKey,
    rendering: Rendering,
    force: bool,
    repaired: bool,
}

impl Publisher {
    /// Prepares; connects to nothing yet.
    ///
    /// # Errors
    /// When an address cannot be used.
    pub fn new(shelf: Arc<Shelf>, config: PublisherConfig) -> Result<Publisher, BusUrlError> {
        let stats = Arc::new(ProjectorStats::default());
        let one_server = config.system.same_server(&config.market);
        let link = |bus, url| Link::new(bus, url, stats.clone());
        Ok(Publisher {
            shelf,
            lineage: config.lineage,
            takeover: config.takeover,
            prefix: config.prefix,
            written: BTreeSet::new(),
            system: if one_server { None } else { Some(link(Bus::System, config.system)?) },
            market: link(Bus::Market, config.market)?,
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
        let mut generations = None;
        loop {
            let now = Instant::now();
            let retry = self.retry_at().is_some_and(|at| at <= now);
            if now >= reconcile_at || retry || generations != Some(self.generations()) {
                self.reconcile().await;
                generations = Some(self.generations());
                reconcile_at = Instant::now() + RECONCILE_EVERY;
            }
            changes.borrow_and_update();
            self.pass().await;
            self.close_breakers();
            if generations != Some(self.generations()) {
                continue;
            }
            let wake = self.retry_at().map_or(reconcile_at, |at| at.min(reconcile_at));
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

    /// Deletes what a replay session wrote; whether that went well.
    async fn take_back(&mut self) -> bool {
        let mut all = true;
        for bus in [Bus::System, Bus::Market] {
            let keys = self.written.iter().filter(|(on, _)| *on == bus);
            let keys: Vec<&str> = keys.map(|(_, key)| key.as_str()).collect();
            if keys.is_empty() {
                continue;
            }
            let link = match (bus, &mut self.system) {
                (Bus::System, Some(link)) => link,
                _ => &mut self.market,
            };
            let Some(mut connection) = link.ready().await else {
                all = false;
                continue;
            };
            let mut delete = redis::cmd("UNLINK");
            let deleted = delete.arg(keys).query_async::<u64>(&mut connection).await;
            all &= deleted.is_ok();
        }
        all
    }

    fn retry_at(&self) -> Option<Instant> {
        let system = self.system.as_ref().and_then(Link::retry_at);
        system.into_iter().chain(self.market.retry_at()).min()
    }

    /// A probe that only read does not say that writing works (a full or
    /// read-only server answers reads), so a breaker closes after a pass.
    fn close_breakers(&mut self) {
        self.market.survived();
        if let Some(link) = &mut self.system {
            link.survived();
        }
    }

    fn generations(&self) -> (u64, u64) {
        (self.system.as_ref().map_or(0, Link::generation), self.market.generation())
    }

    /// Sends whatever is newer on the shelf than what was delivered.
    async fn pass(&mut self) {
        let woken = Instant::now();
        let mut symbols: BTreeMap<Box<str>, Vec<Arc<Artifact>>> = BTreeMap::new();
        for artifact in self.shelf.all() {
            symbols.entry(artifact.header.symbol.clone()).or_default().push(artifact);
        }
        let mut waiting = 0;
        for (symbol, mut artifacts) in symbols {
            artifacts.extend(self.ledger.active_epoch(&symbol, &artifacts));
            let due = self.ledger.due(artifacts);
            let count = due.len() as u64;
            if count > 0 {
                let done = self.deliver(&symbol, due, woken).await;
                waiting += count.saturating_sub(done);
            }
        }
        self.stats.waiting.set(waiting);
    }

    /// Sends the due families of one symbol; returns how many are done with.
    async fn deliver(&mut self, symbol: &str, due: Vec<Arc<Artifact>>, woken: Instant) -> u64 {
        let Some(mut market) = self.market.ready().await else { return 0 };
        if let Err(error) = self.learn_ghosts(symbol, &due, &mut market).await {
            self.failed(Bus::Market, &error, &[]);
            return 0;
        }
        let count = due.len();
        let mut jobs = self.render(symbol, due);
        self.note_written(&jobs);
        let mut done = count - jobs.len();
        if self.system.is_some() {
            let before = jobs.len();
            let (kept, held_back) = self.store_on_system(jobs).await;
            done += before - kept.len() - held_back;
            jobs = kept;
        }
        if jobs.is_empty() {
            return done as u64;
        }
        let one_server = self.system.is_none();
        let sections: Vec<_> = jobs
            .iter()
            .map(|job| job.section(|bus| one_server || bus == Bus::Market, true))
            .collect();
        let sent = self.scripts.publish(&mut market, &self.lineage, self.takeover, &sections).await;
        drop(sections);
        match sent {
            Ok(verdicts) => {
                self.market.succeeded();
                done += jobs.len();
                for (job, verdict) in jobs.into_iter().zip(verdicts) {
                    self.settle(job, verdict, woken);
                }
            }
            Err(error) => self.failed(Bus::Market, &error, &jobs),
        }
        done as u64
    }

    /// The key where this publisher has it.
    fn placed(&self, key: RegisteredKey) -> RegisteredKey {
        match &self.prefix {
            Some(prefix) => key.under(prefix),
            None => key,
        }
    }

    /// Notes what is about to be written, so that it can be taken back.
    fn note_written(&mut self, jobs: &[Job]) {
        if self.prefix.is_none() {
            return;
        }
        for job in jobs {
            for put in &job.rendering.puts {
                self.written.insert((put.key.entry().bus, put.key.clone()));
                self.written.insert((put.key.entry().bus, job.meta.clone()));
            }
            self.written.insert((Bus::Market, job.meta.clone()));
        }
    }

    /// Stores on the system bus what belongs there. Returns the jobs that may
    /// be announced and how many must wait for the bus.
    async fn store_on_system(&mut self, jobs: Vec<Job>) -> (Vec<Job>, usize) {
        let on_system =
            |job: &Job| job.rendering.puts.iter().any(|p| p.key.entry().bus == Bus::System);
        let (mut theirs, mut kept): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(on_system);
        if theirs.is_empty() {
            return (kept, 0);
        }
        let Some(link) = &mut self.system else { return (kept, 0) };
        let Some(mut connection) = link.ready().await else { return (kept, theirs.len()) };
        let sections: Vec<_> =
            theirs.iter().map(|job| job.section(|bus| bus == Bus::System, false)).collect();
        let sent =
            self.scripts.publish(&mut connection, &self.lineage, self.takeover, &sections).await;
        drop(sections);
        let verdicts = match sent {
            Ok(verdicts) => verdicts,
            Err(error) => {
                self.failed(Bus::System, &error, &theirs);
                return (kept, theirs.len());
            }
        };
        link.succeeded();
        for (mut job, verdict) in theirs.drain(..).zip(verdicts) {
            match verdict {
                Verdict::Same => kept.push(job),
                Verdict::Stored | Verdict::Repaired => {
                    // Whoever reads on events must hear of it, even if the
                    // market bus remembers the version from before the loss.
                    job.force = true;
                    job.repaired |= verdict == Verdict::Repaired;
                    kept.push(job);
                }
                Verdict::Newer | Verdict::Foreign | Verdict::Conflict => self.outrun(&job, verdict),
            }
        }
        (kept, 0)
    }

    /// Renders what is due; what cannot be rendered is set aside.
    fn render(&mut self, symbol: &str, mut due: Vec<Arc<Artifact>>) -> Vec<Job> {
        // Gravity first: if it cannot be rendered, no context may name it.
        due.sort_by_key(|artifact| &*artifact.header.family != "gravity");
        let generation = self.market.generation();
        let mut jobs = Vec::with_capacity(due.len());
        for artifact in due {
            let key = (artifact.header.symbol.clone(), artifact.header.family.clone());
            let paired = self.ledger.paired(&key);
            let held = Held {
                last: self.ledger.last(&key),
                tiles: self.ledger.tiles(&key, generation),
                ghosts: self.ledger.ghosts(&key),
                gravity: (paired > 0).then_some(paired),
                prefix: self.prefix.as_ref(),
            };
            let rendered = render::documents(&artifact, &held);
            let meta = Name::ArtifactMeta.key_of(symbol, &key.1).map(|meta| self.placed(meta));
            match rendered.and_then(|rendering| Ok((rendering, meta?))) {
                Ok((rendering, meta)) => {
                    let force = self.ledger.forced(&key);
                    jobs.push(Job {
                        key,
                        artifact,
                        paired,
                        meta,
                        rendering,
                        force,
                        repaired: force,
                    });
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    let version = artifact.header.version;
                    if self.ledger.set_aside(&key, version, paired, true) {
                        tracing::warn!(
                            symbol,
                            family = &*key.1,
                            version,
                            error,
                            "artifact cannot be delivered"
                        );
                    }
                    self.stats.refused.add(1);
                }
            }
        }
        jobs
    }

    /// Before the first heatmap on a connection: what does Redis hold? Another
    /// publisher, or ourselves before a restart, may have told readers of tiles
    /// that we do not know.
    async fn learn_ghosts(
        &mut self,
        symbol: &str,
        due: &[Arc<Artifact>],
        market: &mut redis::aio::MultiplexedConnection,
    ) -> redis::RedisResult<()> {
        let generation = self.market.generation();
        let key = (Box::from(symbol), Box::from("heatmap"));
        let wanted = due.iter().any(|a| *a.header.family == *key.1);
        if !wanted || !self.ledger.needs_ghosts(&key, generation) {
            return Ok(());
        }
        // A symbol that makes no key is refused when it is rendered.
        let Ok(latest) = Name::HeatmapLatest.key(symbol) else { return Ok(()) };
        let latest = self.placed(latest);
        let document: Option<Vec<u8>> =
            redis::cmd("GET").arg(latest.as_str()).query_async(market).await?;
        self.ledger.learn_ghosts(&key, document.as_deref(), generation);
        Ok(())
    }

    fn settle(&mut self, job: Job, verdict: Verdict, woken: Instant) {
        match verdict {
            Verdict::Newer | Verdict::Foreign | Verdict::Conflict => {
                return self.outrun(&job, verdict);
            }
            Verdict::Stored | Verdict::Repaired if job.repaired => self.stats.repaired.add(1),
            Verdict::Repaired if !job.force => self.stats.repaired.add(1),
            Verdict::Stored | Verdict::Repaired => self.stats.published.add(1),
            Verdict::Same => {}
        }
        let version = job.artifact.header.version;
        if let Some((before, _)) = self.ledger.last(&job.key) {
            // The record of the epoch is numbered by seq, so it leaves gaps.
            if *job.key.1 != *EPOCH_FAMILY {
                self.stats.coalesced.add(version.saturating_sub(before).saturating_sub(1));
            }
        }
        let micros = woken.elapsed().as_micros() as u64;
        self.stats.delivery_us_last.set(micros);
        self.stats.delivery_us_max.raise(micros);
        self.stats.delivered_created_at_ns.raise(job.artifact.header.created_at.0.max(0) as u64);
        let documents = Delivered::documents(&job.rendering, self.system.is_none());
        let (paired, stamp_us) = (job.paired, job.rendering.stamp_us);
        let delivered =
            Delivered { artifact: job.artifact, paired, stamp_us, meta: job.meta, documents };
        self.ledger.delivered(job.key, delivered, self.market.generation());
    }

    /// Redis holds something that must not be overwritten.
    fn outrun(&mut self, job: &Job, verdict: Verdict) {
        let (symbol, family) = (&*job.key.0, &*job.key.1);
        let version = job.artifact.header.version;
        if !self.ledger.set_aside(&job.key, version, job.paired, false) {
            return;
        }
        self.stats.outrun.add(1);
        match verdict {
            Verdict::Newer => {
                tracing::info!(symbol, family, version, "Redis holds a newer version")
            }
            _ => tracing::warn!(
                symbol,
                family,
                version,
                "Redis holds versions of another journal; publish to another Redis, empty this \
                 one, or take it over"
            ),
        }
    }

    /// A call failed or was not answered: its outcome is unknown.
    fn failed(&mut self, bus: Bus, error: &redis::RedisError, jobs: &[Job]) {
        self.stats.failed.add(1);
        match (bus, &mut self.system) {
            (Bus::System, Some(link)) => link.failed(error),
            _ => self.market.failed(error),
        }
        for job in jobs {
            self.ledger.doubt(&job.key, &job.artifact);
        }
    }

    /// Asks both buses what they hold; what they lost is due again.
    async fn reconcile(&mut self) {
        self.ledger.reconsider();
        let one_server = self.system.is_none();
        self.reconcile_bus(Bus::Market, one_server).await;
        if !one_server {
            self.reconcile_bus(Bus::System, one_server).await;
        }
    }

    async fn reconcile_bus(&mut self, bus: Bus, one_server: bool) {
        let link = match (bus, &mut self.system) {
            (Bus::System, Some(link)) => link,
            _ => &mut self.market,
        };
        let Some(mut connection) = link.ready().await else { return };
        let entries = self.ledger.on_bus(bus, one_server);
        let metas: Vec<_> = entries.iter().map(|e| e.meta.clone()).collect();
        let documents: Vec<_> =
            entries.iter().flat_map(|e| e.documents.iter().map(|d| &d.key)).collect();
        let asked = self.scripts.inspect(&mut connection, &metas, &documents).await;
        let (held, lengths) = match asked {
            Ok(answer) => answer,
            Err(error) => {
                self.failed(bus, &error, &[]);
                return;
            }
        };
        let mut lost = self.ledger.lost(&entries, &held, &lengths, &self.lineage);
        if let Some(sample) = self.ledger.sample(&entries, &held) {
            let asked: redis::RedisResult<Option<Vec<u8>>> =
                redis::cmd("GET").arg(sample.key.as_str()).query_async(&mut connection).await;
            match asked {
                Ok(found) if !sample.matches(found.as_deref()) => lost.push(sample.family),
                Ok(_) => {}
                Err(error) => self.failed(bus, &error, &[]),
            }
        }
        for key in lost {
            self.ledger.lose(&key);
        }
    }
}

impl Job {
    fn section(&self, on: impl Fn(Bus) -> bool, announce: bool) -> Section<'_> {
        let puts = self.rendering.puts.iter().filter(|put| on(put.key.entry().bus));
        let publishes =
            if announce { self.rendering.publishes.iter().collect() } else { Vec::new() };
        Section {
            meta: self.meta.clone(),
            header: &self.artifact.header,
            paired: self.paired,
            force: self.force,
            puts: puts.collect(),
            publishes,
        }
    }
}
