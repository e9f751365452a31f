//! Logs and metrics: every name and help text in one place.

use std::io::IsTerminal;
use std::sync::Arc;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object in each line: `timestamp`, `level`, `target`, `message`,
    /// and the fields of the event (`seq`, `epoch`, `family`, ...) beside them.
    Json,
}

/// A client that resets streams has the HTTP/2 library warn of every connection, a
/// hundred thousand times in ten seconds; the gateway counts them and tells once.
const QUIET: &str = "h2=error";

/// What a user asked for, and of libraries only what is asked for by name.
fn filter_of(asked: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{asked}")).map_err(|e| e.to_string())
}

/// Sends logs that pass `filter` to standard error.
///
/// # Errors
/// When the filter cannot be read.
pub fn init_logs(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = filter_of(filter)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Already set in a process that runs several commands (tests): keep the first.
    let _ = match format {
        LogFormat::Text => {
            let subscriber = subscriber.with_ansi(std::io::stderr().is_terminal());
            tracing::subscriber::set_global_default(subscriber.finish())
        }
        LogFormat::Json => {
            let subscriber = subscriber.json().flatten_event(true).with_span_list(false);
            tracing::subscriber::set_global_default(subscriber.finish())
        }
    };
    Ok(())
}

/// What `/metrics` shows.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Last durable event.
    pub journal_seq: Gauge,
    /// Last event that the fold has seen.
    pub fold_seq: Gauge,
    /// Its recv time, ns; not shown, lags are told from it.
    pub fold_recv_ns: Gauge,
    /// Artifacts made since start.
    pub artifacts: Counter,
    /// Events appended since start.
    pub events: Counter,
    /// Refused inputs in the journal.
    pub quarantined: Gauge,
    /// Chain snapshots that the folds kept out as damaged.
    pub damaged_chains: Gauge,
    /// Clock beats since start.
    pub beats: Counter,
}

impl Metrics {
    /// The registry that renders these metrics.
    #[must_use]
    pub fn registry(self: &Arc<Self>) -> Registry {
        let mut r = Registry::with_prefix("orrery");
        r.register("journal_seq", "Last durable event of the journal", self.journal_seq.clone());
        r.register("fold_seq", "Last event that the folds have seen", self.fold_seq.clone());
        r.register("artifacts", "Artifact versions made since start", self.artifacts.clone());
        r.register("events", "Events appended since start", self.events.clone());
        r.register(
            "quarantined",
            "Refused inputs that the journal keeps",
            self.quarantined.clone(),
        );
        r.register(
            "damaged_chains",
            "Chain snapshots that the folds kept out as damaged",
            self.damaged_chains.clone(),
        );
        r.register("clock_beats", "Clock beats since start", self.beats.clone());
        let build = Gauge::<i64>::default();
        build.set(1);
        r.sub_registry_with_label(("version".into(), env!("CARGO_PKG_VERSION").into())).register(
            "build_info",
            "The running binary",
            build,
        );
        r
    }
}

/// The registry in Prometheus' text format.
#[must_use]
pub fn render(registry: &Registry) -> String {
    let mut out = String::new();
    // Writing to a String fails only if a metric's own encoder does.
    if text::encode(&mut out, registry).is_err() {
        out.push_str("# metrics could not be encoded\n");
    }
    out
}
