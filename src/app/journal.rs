//! The journal's metrics: counted as it commits, looked up when somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_journal::event::RefusalReason;
use orrery_journal::{Committed, Journal, Observer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::backend::operations;
use crate::clock::{self, Stopwatch};

/// Buckets of the time that a commit takes: 100 us to 3.3 s.
const COMMIT_SECONDS: (f64, f64, u16) = (0.0001, 2.0, 16);
/// Buckets of the events in a commit: 1 to 262,144.
const COMMIT_EVENTS: (f64, f64, u16) = (1.0, 4.0, 10);

/// Why input was refused.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What `/metrics` shows of the journal. `docs/operations.md` has the table.
pub struct JournalMetrics {
    watch: Stopwatch,
    events: Counter,
    commits: Counter,
    bytes: Counter,
    pages: Counter,
    frames: Counter,
    seconds: Histogram,
    batch: Histogram,
    waiting: Gauge,
    disk_free: Gauge,
    disk_reserve: Gauge,
    stopped: Gauge,
    stops: Gauge,
    refused: Gauge,
    quarantined: Family<Reason, Gauge>,
    backup_seq: Gauge,
    backup_age: Gauge,
}

impl JournalMetrics {
    /// Counts the commits of a journal from now on.
    pub fn watch(journal: &Journal) -> Arc<JournalMetrics> {
        let histogram = |(start, factor, n)| Histogram::new(exponential_buckets(start, factor, n));
        let metrics = Arc::new(JournalMetrics {
            watch: Stopwatch::start(),
            events: Counter::default(),
            commits: Counter::default(),
            bytes: Counter::default(),
            pages: Counter::default(),
            frames: Counter::default(),
            seconds: histogram(COMMIT_SECONDS),
            batch: histogram(COMMIT_EVENTS),
            waiting: Gauge::default(),
            disk_free: Gauge::default(),
            disk_reserve: Gauge::default(),
            stopped: Gauge::default(),
            stops: Gauge::default(),
            refused: Gauge::default(),
            quarantined: Family::default(),
            backup_seq: Gauge::default(),
            backup_age: Gauge::default(),
        });
        journal.observe(metrics.clone());
        metrics
    }

    /// Adds them to a registry.
    pub fn register(&self, r: &mut Registry) {
        let counters = [
            ("journal_events", "Events made durable since start", &self.events),
            ("journal_commits", "Commits since start", &self.commits),
            ("journal_bytes", "Bytes of events and blobs committed since start", &self.bytes),
            ("journal_pages_sealed", "Pages sealed since start", &self.pages),
            ("journal_frames", "Frames written since start", &self.frames),
        ];
        for (name, help, counter) in counters {
            r.register(name, help, counter.clone());
        }
        let gauges = [
            (
                "journal_queue_drafts",
                "Drafts that waited when the last commit began",
                &self.waiting,
            ),
            ("disk_free_bytes", "Free bytes of the journal's file system", &self.disk_free),
            ("disk_reserve_bytes", "Bytes that are kept free", &self.disk_reserve),
            ("input_stopped", "1 while input is refused: the disk is nearly full", &self.stopped),
            ("input_stops", "How often input was stopped since start", &self.stops),
            ("input_refused_drafts", "Drafts refused while it was, since start", &self.refused),
            ("backup_seq", "Last event of the last backup; 0 without one", &self.backup_seq),
            ("backup_age_seconds", "Time since the last backup; -1 without one", &self.backup_age),
        ];
        for (name, help, gauge) in gauges {
            r.register(name, help, gauge.clone());
        }
        r.register(
            "journal_quarantined",
            "Refused inputs that the journal keeps, by reason",
            self.quarantined.clone(),
        );
        r.register_with_unit(
            "journal_commit",
            "Time from the write of a commit to its sync",
            Unit::Seconds,
            self.seconds.clone(),
        );
        r.register("journal_commit_events", "Events in a commit", self.batch.clone());
    }

    /// Looks up what is not counted.
    pub fn look(&self, journal: &Journal) {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let guard = journal.guard();
        if let Some(room) = guard.room {
            self.disk_free.set(number(room.free));
        }
        self.disk_reserve.set(number(guard.reserve));
        self.stopped.set(i64::from(guard.closed));
        self.stops.set(number(guard.closures));
        self.refused.set(number(guard.refused));
        // Reasons that never came up are 0, not absent.
        let all = (0..=u32::from(u8::MAX)).filter_map(RefusalReason::from_tag);
        let mut refused: BTreeMap<_, u64> = all.map(|reason| (reason.name(), 0)).collect();
        for (reason, n) in journal.days().unwrap_or_default().into_iter().flat_map(|d| d.refused) {
            *refused.entry(reason.name()).or_insert(0) += n;
        }
        for (reason, n) in refused {
            self.quarantined.get_or_create(&Reason { reason }).set(number(n));
        }
        let copy = journal.folder().and_then(operations::last_copy);
        self.backup_seq.set(copy.map_or(0, |c| number(c.seq.0)));
        let age = copy.map(|c| (clock::now().seconds() - c.at.seconds()).max(0));
        self.backup_age.set(age.unwrap_or(-1));
    }
}

impl Observer for JournalMetrics {
    fn nanos(&self) -> u64 {
        u64::try_from(self.watch.nanos()).unwrap_or_default()
    }

    fn committed(&self, commit: &Committed) {
        self.events.inc_by(commit.events);
        self.commits.inc();
        self.bytes.inc_by(commit.bytes);
        self.pages.inc_by(commit.pages);
        self.frames.inc_by(commit.frames);
        self.seconds.observe(commit.nanos as f64 / 1e9);
        self.batch.observe(commit.events as f64);
        self.waiting.set(i64::try_from(commit.waiting).unwrap_or(i64::MAX));
    }
}
