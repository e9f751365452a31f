//! Lines of `/metrics` that are looked up when somebody asks: artifacts by
//! family, delays, breakers, the process, the last look at Redis.
//!
//! Labels are bounded: symbols times families, buses, names of commands and
//! problems; never contracts, never versions. Of epochs only the active one of
//! each symbol is named.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use orrery_replay::artifact::Artifact;

use crate::backend::Archive;
use crate::clock;
use crate::control::session::{SessionView, Sessions};
use crate::projector::inspect::finding::Problem;
use crate::projector::inspect::health::{Latency, ServerHealth};
use crate::projector::inspect::observe::{Observations, Observed};
use crate::projector::stats::ProjectorStats;
use crate::shelf::Shelf;
use crate::telemetry::Metrics;

/// Families that are listed, at most; a partition has a dozen.
const FAMILIES_MAX: usize = 1_000;

/// How a session that is kept can stand.
const SESSION_STANDINGS: [&str; 5] = ["warming", "paused", "playing", "ended", "failed"];

/// Where the lines come from.
pub struct Observing {
    pub archive: Arc<Archive>,
    pub metrics: Arc<Metrics>,
    pub shelf: Arc<Shelf>,
    pub projector: Option<Arc<ProjectorStats>>,
    pub redis: Option<Observations>,
    pub sessions: Arc<dyn Sessions>,
}

impl Observing {
    /// The lines, without an end mark.
    pub fn lines(&self) -> String {
        let mut page = Page::default();
        self.delays(&mut page);
        artifacts(&mut page, &self.shelf.all());
        sessions(&mut page, &self.sessions.list());
        process(&mut page);
        if let Some(observed) = self.redis.as_ref().and_then(Observations::last) {
            redis(&mut page, &observed);
        }
        page.0
    }

    fn delays(&self, page: &mut Page) {
        let head = self.archive.journal().head();
        let now = clock::now();
        let seconds = |ns: i64| ns.max(0) as f64 / 1e9;
        let age = if head.seq.0 == 0 { 0.0 } else { seconds(now.0 - head.recv.0) };
        let folded = self.metrics.fold_recv_ns.get();
        let behind = head.seq.0 as i64 - self.metrics.fold_seq.get();
        let lag = if behind > 0 && folded > 0 { seconds(head.recv.0 - folded) } else { 0.0 };
        page.gauge("journal_head_age_seconds", "Time since the last durable event", age);
        page.gauge("fold_lag_events", "Durable events that the folds have not seen", behind.max(0));
        page.gauge("fold_lag_seconds", "Recv time between the journal's head and the folds", lag);
        let Some(stats) = &self.projector else { return };
        let made = i64::try_from(stats.delivered_created_at_ns.get()).unwrap_or(i64::MAX);
        let waits = stats.waiting.get() > 0 && made > 0;
        let lag = if waits { seconds(now.0 - made) } else { 0.0 };
        page.gauge(
            "projector_lag_seconds",
            "While versions wait for Redis: age of the newest delivered one",
            lag,
        );
        page.family("breaker_state", "gauge", "0 closed, 1 half open, 2 open");
        page.sample("breaker_state", &[("bus", "system")], stats.breaker_system.get());
        page.sample("breaker_state", &[("bus", "market")], stats.breaker_market.get());
    }
}

/// Version, seq and age of each family, and the epoch that is published.
fn artifacts(page: &mut Page, all: &[Arc<Artifact>]) {
    let all = all.get(..FAMILIES_MAX).unwrap_or(all);
    let now = clock::now();
    let labels = |a: &Artifact| [a.header.symbol.to_string(), a.header.family.to_string()];
    let mut each = |name: &str, help: &str, value: &dyn Fn(&Artifact) -> f64| {
        page.family(name, "gauge", help);
        for artifact in all {
            let [symbol, family] = labels(artifact);
            page.sample(name, &[("symbol", &symbol), ("family", &family)], value(artifact));
        }
    };
    each("artifact_version", "Newest version of a family", &|a| a.header.version as f64);
    each("artifact_seq", "Last event that it has seen", &|a| a.header.seq_last.0 as f64);
    each("artifact_age_seconds", "Time since it was made", &|a| {
        (now.0 - a.header.created_at.0).max(0) as f64 / 1e9
    });
    each("artifact_bytes", "Length of its body", &|a| a.header.body_len as f64);
    let mut active: BTreeMap<&str, &Artifact> = BTreeMap::new();
    for artifact in all.iter().filter(|a| a.header.epoch.is_some()) {
        let held = active.entry(&artifact.header.symbol).or_insert(artifact);
        if held.header.seq_last < artifact.header.seq_last {
            *held = artifact;
        }
    }
    page.family("epoch_info", "gauge", "The epoch that is published");
    for (symbol, artifact) in active {
        let epoch = artifact.header.epoch.map_or_else(String::new, |id| id.to_string());
        let short = epoch.get(..16).unwrap_or(&epoch);
        page.sample("epoch_info", &[("symbol", symbol), ("epoch", short)], 1);
    }
}

/// Replay sessions: how they stand, and who watches.
fn sessions(page: &mut Page, all: &[SessionView]) {
    page.family("sessions", "gauge", "Replay sessions that are kept, by how they stand");
    for name in SESSION_STANDINGS {
        let count = all.iter().filter(|view| view.standing.name() == name).count();
        page.sample("sessions", &[("standing", name)], count);
    }
    let watchers: u32 = all.iter().map(|view| view.watchers).sum();
    page.gauge("session_watchers", "Watchers of replay sessions", watchers);
    let folded: u64 = all.iter().map(|view| view.folded).sum();
    page.gauge(
        "session_folded_events",
        "Events that the sessions that are kept have folded",
        folded,
    );
}

/// What the process takes, as far as the system tells.
fn process(page: &mut Page) {
    let field = |name: &str| {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    if let Some(kib) = field("VmRSS") {
        page.gauge("process_resident_memory_bytes", "Memory that the process holds", kib * 1024);
    }
    if let Some(threads) = field("Threads") {
        page.gauge("process_threads", "Threads of the process", threads);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors", open.count());
    }
}

fn redis(page: &mut Page, observed: &Observed) {
    let age = observed.at.elapsed().as_secs_f64();
    page.gauge("redis_observed_age_seconds", "Time since the last look at Redis", age);
    let servers = &observed.health.servers;
    let mut each = |name: &str, help: &str, value: &dyn Fn(&ServerHealth) -> u64| {
        page.family(name, "gauge", help);
        for server in servers.iter().filter(|s| name == "redis_up" || s.unreachable.is_none()) {
            page.sample(name, &[("bus", &server.bus)], value(server));
        }
    };
    each("redis_up", "1 when it answered", &|s| u64::from(s.unreachable.is_none()));
    each("redis_problems", "What is not as it should be", &|s| s.problems.len() as u64);
    each("redis_memory_bytes", "Memory that it uses", &|s| s.memory_bytes);
    each("redis_memory_max_bytes", "Its limit; 0 is none", &|s| s.memory_max_bytes);
    each("redis_evicted_keys", "Keys that it gave up for room", &|s| s.evicted_keys);
    each("redis_clients", "Connections of all clients", &|s| s.clients);
    each("redis_subscribers", "Listeners of our channels, patterns included", &|s| {
        s.subscribers.iter().map(|s| s.count).sum::<u64>() + s.patterns
    });
    each("redis_slow_commands", "Entries of its slow log", &|s| s.slow.entries);
    families(page, servers);
    round_trips(page, servers);
    let Some(audit) = &observed.audit else { return };
    page.family("redis_findings", "gauge", "What may not stand in Redis, by the registry");
    for server in &audit.servers {
        for problem in Problem::ALL {
            let of = audit.findings.iter().filter(|f| f.problem == problem);
            let count = of.filter(|f| f.bus == server.bus).count();
            let labels = [("bus", &*server.bus), ("problem", problem.as_str())];
            page.sample("redis_findings", &labels, count);
        }
    }
}

fn families(page: &mut Page, servers: &[ServerHealth]) {
    type Value = fn(&crate::projector::inspect::audit::FamilyCount) -> u64;
    let each: [(&str, &str, Value); 3] = [
        ("redis_keys", "Registered keys", |f| f.keys),
        ("redis_keys_wrong_ttl", "Registered keys of another lifetime", |f| {
            f.keys - f.ttl_as_registered
        }),
        ("redis_key_bytes", "Memory of registered keys", |f| f.memory_bytes),
    ];
    for (name, help, value) in each {
        page.family(name, "gauge", help);
        for server in servers {
            for family in &server.families {
                let labels = [("bus", &*server.bus), ("family", &*family.family)];
                page.sample(name, &labels, value(family));
            }
        }
    }
}

fn round_trips(page: &mut Page, servers: &[ServerHealth]) {
    let name = "redis_round_trip_seconds";
    page.family(name, "gauge", "Round trips as measured at the last look");
    for (server, latency) in servers.iter().filter_map(|s| Some((s, s.latency?))) {
        for (command, Latency { p50_us, p95_us, p99_us, .. }) in
            [("get", latency.get), ("set", latency.set), ("publish", latency.publish)]
        {
            for (quantile, us) in [("0.5", p50_us), ("0.95", p95_us), ("0.99", p99_us)] {
                let labels = [("bus", &*server.bus), ("command", command), ("quantile", quantile)];
                page.sample(name, &labels, us as f64 / 1e6);
            }
        }
    }
}

/// Metrics as text.
#[derive(Default)]
struct Page(String);

// Writing to a String cannot fail.
impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP orrery_{name} {help}.");
        let _ = writeln!(self.0, "# TYPE orrery_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let text =
            |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", text(value))).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.0, "orrery_{name} {value}"),
            false => writeln!(self.0, "orrery_{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_families_named_once() {
        let mut page = Page::default();
        page.gauge("a", "What it is", 1.5);
        page.sample("b", &[("x", "say \"hi\"\n"), ("y", "\\")], 2);
        let expected = "# HELP orrery_a What it is.\n# TYPE orrery_a gauge\norrery_a 1.5\n\
                        orrery_b{x=\"say \\\"hi\\\" \",y=\"\\\\\"} 2\n";
        assert_eq!(page.0, expected);
    }
}
