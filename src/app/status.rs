//! What the running process says of itself: metrics and readiness.

use std::fmt::Write as _;
use std::sync::Arc;

use orrery_journal::event::Kind;
use orrery_journal::{Scrub, Scrubbed};

use super::journal::JournalMetrics;
use super::observe::Observing;
use crate::backend::Archive;
use crate::projector::stats::ProjectorStats;
use crate::telemetry::{self, Metrics};

/// Events that the fold may lie behind the journal and still count as caught up.
const READY_LAG_EVENTS: i64 = 50_000;

/// The metrics page: ours, then the projector's counters.
pub fn metrics(
    archive: &Arc<Archive>,
    metrics: &Arc<Metrics>,
    journal: Arc<JournalMetrics>,
    projector: Option<Arc<ProjectorStats>>,
    scrub: Option<Arc<Scrub>>,
    observing: Observing,
) -> Arc<dyn Fn() -> String + Send + Sync> {
    let mut registry = metrics.registry();
    journal.register(&mut registry);
    let (archive, metrics) = (Arc::clone(archive), Arc::clone(metrics));
    Arc::new(move || {
        journal.look(archive.journal());
        metrics.journal_seq.set(archive.journal().head().seq.0 as i64);
        metrics.quarantined.set(archive.journal().count(Kind::Quarantine) as i64);
        let mut text = telemetry::render(&registry);
        let end = text.rfind("# EOF").unwrap_or(text.len());
        let mut lines = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "# TYPE orrery_checkpoints_skipped gauge");
        let skipped = archive.derived().checkpoints_skipped();
        let _ = writeln!(lines, "orrery_checkpoints_skipped {skipped}");
        if let Some(scrub) = &scrub {
            let Scrubbed { pages, rounds, findings } = scrub.state();
            for (name, value) in
                [("pages", pages), ("rounds", rounds), ("findings", findings.len() as u64)]
            {
                // Writing to a String cannot fail.
                let _ = writeln!(lines, "# TYPE orrery_scrub_{name} gauge");
                let _ = writeln!(lines, "orrery_scrub_{name} {value}");
            }
        }
        if let Some(stats) = &projector {
            for (name, value) in stats.all() {
                // Writing to a String cannot fail.
                let _ = writeln!(lines, "# TYPE orrery_projector_{name} gauge");
                let _ = writeln!(lines, "orrery_projector_{name} {value}");
            }
        }
        lines.push_str(&observing.lines());
        text.insert_str(end, &lines);
        text
    })
}

/// Ready is: what is durable has been folded, but for a short tail, and none of
/// it was found damaged at rest.
pub fn readiness(
    archive: &Arc<Archive>,
    metrics: &Arc<Metrics>,
    scrub: Option<Arc<Scrub>>,
) -> Arc<dyn Fn() -> Result<(), String> + Send + Sync> {
    let (archive, metrics) = (Arc::clone(archive), Arc::clone(metrics));
    Arc::new(move || {
        let found = scrub.as_ref().map(|scrub| scrub.state().findings).unwrap_or_default();
        if let Some(first) = found.first() {
            return Err(format!(
                "the journal is damaged, findings: {}, the first: {}: {}; stop the server and run \
                 `orrery doctor`",
                found.len(),
                first.place(),
                first.what
            ));
        }
        let head = archive.journal().head().seq.0 as i64;
        let lag = head - metrics.fold_seq.get();
        match lag <= READY_LAG_EVENTS {
            true => Ok(()),
            false => Err(format!("the fold lies {lag} events behind the journal")),
        }
    })
}
