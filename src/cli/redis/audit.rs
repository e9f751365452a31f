//! `orrery redis audit`: what may not stand in Redis.

use clap::Args;
use serde::Serialize;

use super::place::{Place, Reach, wait};
use crate::cli::exit::Exit;
use crate::cli::{Common, output};
use crate::projector::inspect::audit::{self, Audit};
use crate::projector::inspect::finding::Finding;

/// List what may not stand in Redis: strangers in our namespaces, keys without
/// their lifetime or of another type, values that are too large, no finished
/// documents, or raw.
///
/// Reads only, and finds keys by SCAN. Whether documents are current is what
/// `orrery redis repair --dry-run` says.
///
/// Exit code 0: clean. 1: something was found. 2: it could not be asked for. 69:
/// Redis cannot be reached.
///
/// Example: orrery redis audit --redis redis://127.0.0.1:6379
#[derive(Debug, Args)]
pub struct AuditCommand {
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    clean: bool,
    #[serde(flatten)]
    audit: Audit,
}

pub fn run(common: &Common, command: &AuditCommand) -> anyhow::Result<Exit> {
    let audit = match command.place.reach(common)? {
        Reach::Here(buses) => wait(audit::audit(&buses, &command.place.ours()))??,
        Reach::Server(client) => client.delivery_audit(command.place.allow.clone())?,
    };
    let clean = audit.findings.is_empty() && audit.servers.iter().all(|s| !s.cut);
    let exit = if clean { Exit::Fine } else { Exit::Finding };
    if common.json {
        output::json(&Report { clean, audit })?;
        return Ok(exit);
    }
    for server in &audit.servers {
        output::line(format!(
            "{}: {} registered keys, {} others in our namespaces, {} keys elsewhere",
            server.bus,
            output::grouped(server.registered),
            output::grouped(server.unknown),
            output::grouped(server.others),
        ));
        if server.cut {
            output::line("there are more keys in our namespaces than are looked at");
        }
    }
    findings(&audit.findings);
    Ok(exit)
}

/// Prints findings, or that there are none.
pub fn findings(findings: &[Finding]) {
    if findings.is_empty() {
        output::line("clean: nothing that may not stand there");
        return;
    }
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|f| vec![f.problem.as_str().into(), f.bus.clone(), f.key.clone(), f.detail.clone()])
        .collect();
    output::table(&["problem", "bus", "key", "what was found"], &rows);
}
