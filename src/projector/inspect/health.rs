//! How the servers are, as seen from here.

use serde::Serialize;

use super::audit::{FamilyCount, by_family};
use super::bus::Server;
use super::latency;
use super::namespace::Namespaces;
use super::survey::survey;
use super::{Buses, InspectError, Ours, name_of};
use crate::projector::registry::{Bus, Kind, Name, table};

pub use super::latency::{Latencies, Latency};

/// Slow commands that are told.
const SLOW_MAX: usize = 8;
/// Share of the memory limit beyond which writes will soon be refused.
const MEMORY_SHARE_MAX: f64 = 0.9;

/// How all servers are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    /// One for each server.
    pub servers: Vec<ServerHealth>,
}

/// How one server is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ServerHealth {
    /// `system`, `market`, or `system+market`; of a cluster `market#2`.
    pub bus: String,
    /// Where, without credentials.
    pub url: String,
    /// Why nothing more is known.
    pub unreachable: Option<String>,
    /// Its version.
    pub version: String,
    /// `master` or `slave`, as Redis says.
    pub role: String,
    /// Since it started.
    pub uptime_seconds: u64,
    /// Connections of all clients.
    pub clients: u64,
    /// Memory that it uses.
    pub memory_bytes: u64,
    /// The most that it used since it started.
    pub memory_peak_bytes: u64,
    /// Its limit; 0 is none.
    pub memory_max_bytes: u64,
    /// What it does at the limit.
    pub memory_policy: String,
    /// Keys that it gave up for room since it started.
    pub evicted_keys: u64,
    /// Keys of others.
    pub other_keys: u64,
    /// Registered keys by family.
    pub families: Vec<FamilyCount>,
    /// Round trips; absent where they were not measured.
    pub latency: Option<Latencies>,
    /// Listeners of our channels, and of all patterns together.
    pub subscribers: Vec<Subscribers>,
    /// Patterns that anybody subscribed to.
    pub patterns: u64,
    /// Commands that took long.
    pub slow: SlowLog,
    /// What is not as it should be.
    pub problems: Vec<String>,
}

/// Listeners of a channel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Subscribers {
    /// The channel.
    pub channel: String,
    /// Its listeners, without those that came by a pattern.
    pub count: u64,
}

/// What the server found slow. Arguments are not told: they are our values.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SlowLog {
    /// Entries.
    pub entries: u64,
    /// From this long on a command is noted, microseconds.
    pub threshold_us: u64,
    /// The newest: command and microseconds.
    pub newest: Vec<(String, u64)>,
}

impl Health {
    /// Whether every server answered.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.servers.iter().all(|s| s.unreachable.is_none())
    }

    /// Whether nothing was found wrong.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.servers.iter().all(|s| s.unreachable.is_none() && s.problems.is_empty())
    }
}

/// Asks every server. `samples` round trips of each command are measured on
/// each; 0 measures none and writes nothing. A server that cannot be asked is
/// told of, the others are asked all the same.
pub async fn health(buses: &Buses, samples: u32, ours: &Ours) -> Health {
    let namespaces = Namespaces::new(ours);
    let mut health = Health::default();
    for (of, url) in buses.servers() {
        let told = |bus: String| ServerHealth { bus, url: url.to_string(), ..Default::default() };
        match Server::reach(of, url).await {
            Ok(servers) => {
                for mut server in servers {
                    let mut told = told(server.name());
                    let asked = look(&mut server, samples, &namespaces, &mut told).await;
                    told.unreachable = asked.err().map(|error| error.problem);
                    health.servers.push(told);
                }
            }
            Err(error) => {
                let unreachable = Some(error.problem);
                health.servers.push(ServerHealth { unreachable, ..told(name_of(of)) });
            }
        }
    }
    health
}

async fn look(
    server: &mut Server,
    samples: u32,
    namespaces: &Namespaces,
    told: &mut ServerHealth,
) -> Result<(), InspectError> {
    let info: String = server.ask(redis::cmd("INFO").arg("everything")).await?;
    let text = |name: &str| field(&info, name).unwrap_or_default().to_owned();
    let number = |name: &str| field(&info, name).and_then(|v| v.parse().ok()).unwrap_or(0);
    told.version = text("redis_version");
    told.role = text("role");
    told.uptime_seconds = number("uptime_in_seconds");
    told.clients = number("connected_clients");
    told.memory_bytes = number("used_memory");
    told.memory_peak_bytes = number("used_memory_peak");
    told.memory_max_bytes = number("maxmemory");
    told.memory_policy = text("maxmemory_policy");
    told.evicted_keys = number("evicted_keys");
    let survey = survey(server, namespaces).await?;
    told.other_keys = survey.others;
    told.families = by_family(&survey.seen);
    problems(told);
    // Loading servers refuse nearly everything; what is known so far is told.
    if number("loading") != 0 {
        told.problems.push("it is loading its data".to_owned());
        return Ok(());
    }
    if server.serves(Bus::Market) {
        told.subscribers = subscribers(server).await?;
        told.patterns = server.ask(redis::cmd("PUBSUB").arg("NUMPAT")).await?;
    }
    told.slow = slow(server).await?;
    match latency::measure(server, samples).await {
        Ok(measured) => told.latency = measured,
        Err(error) => told.problems.push(format!("it takes no writes: {}", error.problem)),
    }
    Ok(())
}

fn problems(told: &mut ServerHealth) {
    let mut found = Vec::new();
    if told.role != "master" {
        found.push("it is a replica: what is written to it is refused or lost".to_owned());
    }
    if told.memory_max_bytes > 0 {
        let share = told.memory_bytes as f64 / told.memory_max_bytes as f64;
        if share > MEMORY_SHARE_MAX {
            found.push(format!("{:.0} % of its memory limit is used", share * 100.0));
        }
        if told.memory_policy.starts_with("allkeys") {
            let policy = &told.memory_policy;
            found.push(format!("at its memory limit it gives up any key ({policy})"));
        }
    }
    if told.evicted_keys > 0 {
        found.push(format!("{} keys were given up for room", told.evicted_keys));
    }
    for family in &told.families {
        let wrong = family.keys - family.ttl_as_registered;
        if wrong > 0 {
            let of = family.keys;
            found.push(format!("{}: {wrong} of {of} keys have another lifetime", family.family));
        }
    }
    told.problems.extend(found);
}

/// A line of INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// Channels of the registry that somebody listens to, or that have no symbol.
async fn subscribers(server: &mut Server) -> Result<Vec<Subscribers>, InspectError> {
    let active: Vec<String> = server.ask(redis::cmd("PUBSUB").arg("CHANNELS")).await?;
    let known = |channel: &String| {
        crate::projector::registry::RegisteredKey::parse(channel)
            .is_some_and(|key| key.entry().kind == Kind::Channel)
    };
    let mut channels: Vec<String> = active.into_iter().filter(known).collect();
    let plain = table().iter().filter(|e| e.kind == Kind::Channel && !e.template.contains('{'));
    channels.extend(plain.map(|entry| entry.template.to_owned()));
    channels.push(Name::GravityUpdated.entry().template.to_owned());
    channels.sort();
    channels.dedup();
    let mut ask = redis::cmd("PUBSUB");
    ask.arg("NUMSUB").arg(&channels);
    let counts: Vec<(String, u64)> = server.ask(&ask).await?;
    Ok(counts.into_iter().map(|(channel, count)| Subscribers { channel, count }).collect())
}

/// The slow log; empty where it may not be read.
async fn slow(server: &mut Server) -> Result<SlowLog, InspectError> {
    let threshold: Result<Vec<String>, _> =
        server.ask(redis::cmd("CONFIG").arg("GET").arg("slowlog-log-slower-than")).await;
    let threshold_us = threshold.ok().and_then(|pair| pair.get(1)?.parse().ok()).unwrap_or(0);
    let entries = server.ask(redis::cmd("SLOWLOG").arg("LEN")).await.unwrap_or(0);
    let newest: Vec<Vec<redis::Value>> =
        server.ask(redis::cmd("SLOWLOG").arg("GET").arg(SLOW_MAX)).await.unwrap_or_default();
    let newest = newest.iter().filter_map(|entry| {
        let micros: u64 = redis::from_redis_value_ref(entry.get(2)?).ok()?;
        let words: Vec<String> = redis::from_redis_value_ref(entry.get(3)?).ok()?;
        Some((words.first()?.to_ascii_uppercase(), micros))
    });
    Ok(SlowLog { entries, threshold_us, newest: newest.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_by_whole_names() {
        let info = "# Memory\r\nused_memory_peak:7\r\nused_memory:5\r\nrole:master\r\n";
        assert_eq!(field(info, "used_memory"), Some("5"));
        assert_eq!(field(info, "role"), Some("master"));
        assert_eq!(field(info, "used"), None);
    }

    #[test]
    fn what_endangers_delivery_is_a_problem() {
        let mut told = ServerHealth {
            role: "slave".into(),
            memory_bytes: 95,
            memory_max_bytes: 100,
            memory_policy: "allkeys-lru".into(),
            evicted_keys: 3,
            families: vec![FamilyCount { keys: 2, ttl_as_registered: 1, ..Default::default() }],
            ..ServerHealth::default()
        };
        problems(&mut told);
        assert_eq!(told.problems.len(), 5, "{:?}", told.problems);
        let mut fine = ServerHealth { role: "master".into(), ..ServerHealth::default() };
        problems(&mut fine);
        assert!(fine.problems.is_empty());
    }
}
