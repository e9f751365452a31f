//! What must hold of the servers, whatever was done to them.

use orrery::projector::stats::ProjectorStats;
use orrery::shelf::Shelf;
use serde_json::Value;

use super::super::HEATMAP;
use super::consumer::version_of;
use super::faults::Bus;
use super::lane::Outcome;

/// What one server may hold: 14 families, their logs, and room for clients.
const SERVER_BYTES_MAX: u64 = 192 << 20;

/// What a family lacks, if anything: its documents where they belong, at least
/// in this version.
pub fn missing(buses: &[Bus; 2], family: &str, wanted: u64) -> Option<String> {
    let keys: &[(usize, &str)] = match family {
        "gravity" => &[(0, "dealer_gravity:artifact:spx"), (0, "massive:volume_profile")],
        "context" => &[(0, "dealer_gravity:context:spx")],
        "spot" => &[(1, "massive:model:spot:I:SPX")],
        "heatmap" => &[(1, HEATMAP)],
        "gex" => &[(1, "massive:gex:model:I:SPX:calls"), (1, "massive:gex:model:I:SPX:puts")],
        "bias_lfi" => &[(1, "massive:bias_lfi:model:latest")],
        "market_mode" => &[(1, "massive:market_mode:model:latest")],
        "selector" => &[(1, "massive:selector:model:I:SPX:latest")],
        _ => &[],
    };
    let own = format!("orrery:{{SPX}}:artifact:{family}");
    for (bus, key) in keys.iter().copied().chain([(1, &*own)]) {
        let Some(mut connection) = buses[bus].server.try_connect() else {
            return Some(format!("{key}: nobody answers"));
        };
        let text: redis::RedisResult<Option<String>> =
            redis::cmd("GET").arg(key).query(&mut connection);
        let text = match text {
            Ok(Some(text)) => text,
            Ok(None) => return Some(format!("{key} is missing (v{wanted})")),
            Err(error) => return Some(format!("{key}: {error}")),
        };
        let found = serde_json::from_str::<Value>(&text).ok().as_ref().and_then(version_of);
        if found < Some(wanted) {
            return Some(format!("{key} is v{found:?}, not v{wanted}"));
        }
    }
    None
}

/// What must stay bounded, as it is now.
pub fn look(
    buses: &[Bus; 2],
    shelf: &Shelf,
    stats: Option<&ProjectorStats>,
    outcome: &mut Outcome,
) {
    if let Some(stats) = stats {
        // The newest version of each family waits, and nothing else.
        let (waiting, families) = (stats.waiting.get(), shelf.all().len() as u64);
        if waiting > families {
            outcome.violations.push(format!("{waiting} of {families} families wait"));
        }
    }
    for bus in buses {
        let text: String = bus.server.run(&["INFO", "memory"]);
        let used = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
        let used = used.and_then(|n| n.trim().parse().ok()).unwrap_or_default();
        outcome.server_bytes_max = outcome.server_bytes_max.max(used);
        if used > SERVER_BYTES_MAX {
            outcome.violations.push(format!("a server holds {used} bytes"));
        }
    }
}
