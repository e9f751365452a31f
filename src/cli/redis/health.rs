//! `orrery redis health`: how the servers are.

use clap::Args;
use serde::Serialize;

use super::place::{Place, Reach, wait};
use crate::cli::exit::Exit;
use crate::cli::{Common, output};
use crate::projector::inspect::health::{self, Health, Latency, ServerHealth};

/// Say how Redis is: reachability, round trips of GET, SET and PUBLISH as
/// measured, keys and lifetimes by family, memory, subscribers, slow log.
///
/// SET and PUBLISH are measured on a key and a channel that nobody reads
/// (`replay:probe-of-health:...`), which is removed afterwards.
///
/// Exit code 0: fine. 1: something is not as it should be. 2: it could not be
/// asked for. 69: a Redis cannot be reached.
///
/// Example: orrery redis health --redis redis://127.0.0.1:6379 --samples 1000
#[derive(Debug, Args)]
pub struct HealthCommand {
    #[command(flatten)]
    place: Place,
    /// Round trips of each command to measure; 0 writes nothing.
    #[arg(long, default_value_t = 200, value_name = "N",
          value_parser = clap::value_parser!(u32).range(..=10_000))]
    samples: u32,
}

#[derive(Serialize)]
struct Report {
    fine: bool,
    reachable: bool,
    #[serde(flatten)]
    health: Health,
}

pub fn run(common: &Common, command: &HealthCommand) -> anyhow::Result<Exit> {
    let health = match command.place.reach(common)? {
        Reach::Here(buses) => wait(health::health(&buses, command.samples, &command.place.ours()))?,
        Reach::Server(client) => client.delivery_health(command.samples)?,
    };
    let (fine, reachable) = (health.is_fine(), health.is_reachable());
    let exit = match (reachable, fine) {
        (false, _) => Exit::Unreachable,
        (true, false) => Exit::Finding,
        (true, true) => Exit::Fine,
    };
    if common.json {
        output::json(&Report { fine, reachable, health })?;
        return Ok(exit);
    }
    health.servers.iter().for_each(print);
    Ok(exit)
}

fn print(server: &ServerHealth) {
    output::line(format!("{} at {}", server.bus, server.url));
    if let Some(why) = &server.unreachable {
        output::line(format!("  CANNOT BE REACHED: {why}"));
        return;
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
    let limit = match server.memory_max_bytes {
        0 => "no limit".to_owned(),
        max => format!("limit {} ({})", mib(max), server.memory_policy),
    };
    output::line(format!(
        "  Redis {} {}, up {} s, {} clients",
        server.version,
        server.role,
        output::grouped(server.uptime_seconds),
        server.clients
    ));
    output::line(format!(
        "  memory {}, peak {}, {limit}, {} keys evicted",
        mib(server.memory_bytes),
        mib(server.memory_peak_bytes),
        server.evicted_keys
    ));
    if let Some(latency) = &server.latency {
        let row = |name: &str, l: &Latency| {
            let cells = [l.p50_us, l.p95_us, l.p99_us, l.max_us, l.samples];
            let cells = cells.map(output::grouped);
            [name.to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
        };
        output::table(
            &["round trip, us", "p50", "p95", "p99", "max", "samples"],
            &[row("GET", &latency.get), row("SET", &latency.set), row("PUBLISH", &latency.publish)],
        );
    }
    let families = server.families.iter().map(|f| {
        vec![
            f.family.clone(),
            output::grouped(f.keys),
            output::grouped(f.ttl_as_registered),
            output::grouped(f.memory_bytes),
        ]
    });
    let families: Vec<_> = families.collect();
    output::table(&["family", "keys", "lifetime as registered", "bytes"], &families);
    for listeners in &server.subscribers {
        output::line(format!("  {} subscribers of {}", listeners.count, listeners.channel));
    }
    output::line(format!(
        "  {} patterns subscribed, {} keys of others, {} slow commands (from {} us on)",
        server.patterns,
        output::grouped(server.other_keys),
        server.slow.entries,
        output::grouped(server.slow.threshold_us)
    ));
    for (command, micros) in &server.slow.newest {
        output::line(format!("    slow: {command} {} us", output::grouped(*micros)));
    }
    for problem in &server.problems {
        output::line(format!("  NOT FINE: {problem}"));
    }
}
