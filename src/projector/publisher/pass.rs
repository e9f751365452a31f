//! One pass: what is newer on the shelf than what was delivered goes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_replay::artifact::Artifact;
use tokio::time::Instant;

use super::Publisher;
use super::call::Verdict;
use super::job::Job;
use super::ledger::Delivered;
use crate::projector::registry::{Bus, Name};
use crate::projector::render::{self, Held};

impl Publisher {
    /// Sends whatever is newer on the shelf than what was delivered.
    pub(super) async fn pass(&mut self) {
        let woken = Instant::now();
        let mut symbols: BTreeMap<Box<str>, Vec<Arc<Artifact>>> = BTreeMap::new();
        for artifact in self.shelf.all() {
            symbols.entry(artifact.header.symbol.clone()).or_default().push(artifact);
        }
        let mut waiting = 0;
        for (symbol, artifacts) in symbols {
            let over = self.ledger.over(&artifacts);
            let due = self.ledger.due(artifacts);
            let count = due.len() as u64;
            if count > 0 {
                let done = self.deliver(&symbol, due, woken).await;
                waiting += count.saturating_sub(done);
            }
            for artifact in over {
                self.retire(&artifact).await;
            }
        }
        self.stats.waiting.set(waiting);
    }

    /// Sends the due families of one symbol; returns how many are done with.
    async fn deliver(&mut self, symbol: &str, due: Vec<Arc<Artifact>>, woken: Instant) -> u64 {
        let Some(mut market) = self.buses.link(Bus::Market, symbol).ready().await else { return 0 };
        if let Err(error) = self.learn_ghosts(symbol, &due, &mut market).await {
            self.failed(Bus::Market, symbol, &error, &[]);
            return 0;
        }
        let count = due.len();
        let mut jobs = self.render(symbol, due);
        self.note_written(&jobs);
        let mut done = count - jobs.len();
        let one_server = self.buses.is_one();
        if !one_server {
            let before = jobs.len();
            let (kept, held_back) = self.store_on_system(symbol, jobs).await;
            done += before - kept.len() - held_back;
            jobs = kept;
        }
        if jobs.is_empty() {
            return done as u64;
        }
        let on_market = |bus| one_server || bus == Bus::Market;
        let sections: Vec<_> = jobs.iter().map(|job| job.section(on_market)).collect();
        let sent = self.scripts.publish(&mut market, &self.lineage, self.takeover, &sections).await;
        drop(sections);
        match sent {
            Ok(verdicts) => {
                self.buses.link(Bus::Market, symbol).succeeded();
                done += jobs.len();
                for (job, verdict) in jobs.into_iter().zip(verdicts) {
                    self.settle(job, verdict, woken);
                }
            }
            Err(error) => self.failed(Bus::Market, symbol, &error, &jobs),
        }
        done as u64
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
    async fn store_on_system(&mut self, symbol: &str, jobs: Vec<Job>) -> (Vec<Job>, usize) {
        let (mut theirs, mut kept): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.is_on(Bus::System));
        if theirs.is_empty() {
            return (kept, 0);
        }
        let link = self.buses.link(Bus::System, symbol);
        let Some(mut connection) = link.ready().await else { return (kept, theirs.len()) };
        let sections: Vec<_> =
            theirs.iter().map(|job| job.section(|bus| bus == Bus::System)).collect();
        let sent =
            self.scripts.publish(&mut connection, &self.lineage, self.takeover, &sections).await;
        drop(sections);
        let verdicts = match sent {
            Ok(verdicts) => verdicts,
            Err(error) => {
                self.failed(Bus::System, symbol, &error, &theirs);
                return (kept, theirs.len());
            }
        };
        self.buses.link(Bus::System, symbol).succeeded();
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
        let generation = self.buses.link(Bus::Market, symbol).generation();
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
                sets: self.sets,
            };
            let rendered = render::documents(&artifact, &held);
            let meta = Name::ArtifactMeta.key_of(symbol, &key.1).map(|meta| self.placed(meta));
            let version = artifact.header.version;
            match rendered.and_then(|rendering| Ok((rendering, meta?))) {
                // None of the names that are switched on is this family's.
                Ok((rendering, _)) if rendering.puts.is_empty() => {
                    self.ledger.set_aside(&key, version, paired, true);
                }
                Ok((rendering, meta)) => {
                    let force = self.ledger.forced(&key);
                    let repaired = force;
                    jobs.push(Job { key, artifact, paired, meta, rendering, force, repaired });
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    if self.ledger.set_aside(&key, version, paired, true) {
                        let family = &*key.1;
                        tracing::warn!(
                            symbol,
                            family,
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
        let generation = self.buses.link(Bus::Market, symbol).generation();
        let key = (Box::from(symbol), Box::from("heatmap"));
        let wanted = due.iter().any(|a| *a.header.family == *key.1);
        if !wanted
            || !self.sets.writes(Name::HeatmapLatest.entry())
            || !self.ledger.needs_ghosts(&key, generation)
        {
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
            self.stats.coalesced.add(version.saturating_sub(before).saturating_sub(1));
        }
        let micros = woken.elapsed().as_micros() as u64;
        self.stats.delivery_us_last.set(micros);
        self.stats.delivery_us_max.raise(micros);
        self.stats.delivered_created_at_ns.raise(job.artifact.header.created_at.0.max(0) as u64);
        let documents = Delivered::documents(&job.rendering, self.buses.is_one());
        let (paired, stamp_us) = (job.paired, job.rendering.stamp_us);
        let generation = self.buses.link(Bus::Market, &job.key.0).generation();
        let delivered =
            Delivered { artifact: job.artifact, paired, stamp_us, meta: job.meta, documents };
        self.ledger.delivered(job.key, delivered, generation);
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

    /// What a family of an epoch that is over left behind gets a while to live.
    async fn retire(&mut self, artifact: &Artifact) {
        let key = (artifact.header.symbol.clone(), artifact.header.family.clone());
        let symbol = &*key.0;
        let held = Held { prefix: self.prefix.as_ref(), sets: self.sets, ..Held::default() };
        let rendered = render::documents(artifact, &held);
        let meta = Name::ArtifactMeta.key_of(symbol, &key.1).map(|meta| self.placed(meta));
        // What cannot be rendered was never delivered.
        let (Ok(rendering), Ok(meta)) = (rendered, meta) else {
            return self.ledger.retired(key, artifact.header.version);
        };
        let theirs = |bus: Bus| {
            let of_bus = |put: &&render::Put| self.buses.is_one() || put.key.entry().bus == bus;
            let own = rendering.puts.iter().filter(of_bus).filter(|put| put.is_the_familys_own());
            own.map(|put| put.key.clone()).collect::<Vec<_>>()
        };
        let (system, market) = (theirs(Bus::System), theirs(Bus::Market));
        for (bus, documents) in [(Bus::System, system), (Bus::Market, market)] {
            if bus == Bus::System && (self.buses.is_one() || documents.is_empty()) {
                continue;
            }
            let link = self.buses.link(bus, symbol);
            let Some(mut connection) = link.ready().await else { return };
            let version = artifact.header.version;
            let asked = self
                .scripts
                .retire(&mut connection, &self.lineage, version, &meta, &documents)
                .await;
            if let Err(error) = asked {
                return self.failed(bus, symbol, &error, &[]);
            }
        }
        self.stats.retired.add(1);
        self.ledger.retired(key, artifact.header.version);
    }

    /// A call failed or was not answered: its outcome is unknown.
    pub(super) fn failed(
        &mut self,
        bus: Bus,
        symbol: &str,
        error: &redis::RedisError,
        jobs: &[Job],
    ) {
        self.buses.link(bus, symbol).failed(error);
        for job in jobs {
            self.ledger.doubt(&job.key, &job.artifact);
        }
    }
}
