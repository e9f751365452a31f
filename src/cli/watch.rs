//! `orrery artifacts watch`: versions of a running server as they come out.

use std::io::Write as _;
use std::ops::ControlFlow;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::artifacts::HeaderView;
use super::exit::Exit;
use super::{Common, open};
use crate::control::client::Client;
use crate::control::client::watch::{Watched, Watching};

/// Print versions of a running server as they come out, one line each.
///
/// Begins with the newest version, or behind `--after`: whoever was cut off
/// names the last version that it has and misses none. Ends with Ctrl-C, after
/// --count versions, or with the server. `--json` prints one object a line.
///
/// Example: orrery artifacts watch --symbol SPX --family gex --after 1200 --json
#[derive(Debug, Args)]
pub struct Watch {
    /// Only this symbol, such as SPX.
    #[arg(long)]
    symbol: Option<String>,
    /// Only this family, such as gex.
    #[arg(long)]
    family: Option<String>,
    /// Only versions after this one.
    #[arg(long, value_name = "VERSION", requires = "symbol", requires = "family")]
    after: Option<u64>,
    /// When the reader is slower than the versions: skip to the newest and say
    /// how many were skipped.
    #[arg(long)]
    newest: bool,
    /// With --json: bodies, too.
    #[arg(long)]
    body: bool,
    /// End after so many versions.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    server: open::Server,
}

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    header: HeaderView,
    skipped: u64,
    behind: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

pub fn run(common: &Common, command: &Watch) -> anyhow::Result<Exit> {
    let client = Client::connect(&command.server.address(common)?)?;
    let watching = Watching {
        symbol: command.symbol.clone(),
        family: command.family.clone(),
        after: command.after,
        header_only: !(command.body && common.json),
        newest_only: command.newest,
    };
    let (mut left, mut failed) = (command.count, None);
    client.watch(&watching, &mut |watched| {
        match print(common, watched) {
            Ok(()) => {}
            // Whoever read this has gone.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return ControlFlow::Break(());
            }
            Err(error) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        left = left.map(|n| n.saturating_sub(1));
        if left == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(Exit::Fine),
    }
}

/// One whole line at a time, so that one that is killed leaves no half of one.
fn print(common: &Common, watched: Watched) -> std::io::Result<()> {
    let Watched { artifact, skipped, behind } = watched;
    let mut line = if common.json {
        let header = HeaderView::from(&artifact.header);
        let body = match artifact.body.is_empty() {
            true => None,
            false => Some(serde_json::from_slice(&artifact.body)?),
        };
        serde_json::to_string(&Line { header, skipped, behind, body })?
    } else {
        let h = &artifact.header;
        let told = match (skipped, behind) {
            (0, 0) => String::new(),
            (skipped, behind) => format!("  {skipped} skipped, {behind} behind"),
        };
        format!(
            "{} {}/{} v{} events {}..{} {}{told}",
            h.created_at.to_rfc3339(),
            h.symbol,
            h.family,
            h.version,
            h.seq_first,
            h.seq_last,
            h.content.to_string().get(..12).unwrap_or_default(),
        )
    };
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}
