//! `orrery redis repair`: mends what an audit and a comparison find.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use orrery_journal::OpenError;

use super::audit::findings;
use super::place::{Place, Reach, wait};
use crate::cli::exit::Exit;
use crate::cli::{Common, open, output};
use crate::projector::inspect::repair::{self, Orders, Repaired};
use crate::shelf::Shelf;

/// Compare Redis with the newest artifacts and mend it: what is missing, older
/// or other is stored and announced again, lifetimes are set, and what we own
/// and may not stand is removed.
///
/// Strangers and raw data under unknown names are listed and left, unless
/// --strangers. Versions are compared on the way, so nothing newer is ever
/// overwritten. When a server holds the data directory it does the repair in
/// its own Redis; otherwise the artifacts come from the data directory.
///
/// Exit code 0: nothing is wrong, or nothing any more. 1: something is left (of
/// a dry run: was found). 2: it could not be asked for. 69: Redis cannot be
/// reached.
///
/// Example: orrery redis repair --redis redis://127.0.0.1:6379 --dry-run
#[derive(Debug, Args)]
pub struct RepairCommand {
    #[command(flatten)]
    place: Place,
    /// Say what would be done and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Remove strangers, raw data and keys on the wrong bus, too.
    #[arg(long)]
    strangers: bool,
    /// Overwrite what another journal left.
    #[arg(long)]
    takeover: bool,
}

pub fn run(common: &Common, command: &RepairCommand) -> anyhow::Result<Exit> {
    let mut orders = Orders {
        dry_run: command.dry_run,
        strangers: command.strangers,
        takeover: command.takeover,
        ours: command.place.ours(),
        lineage: Box::default(),
    };
    let repaired = match command.place.reach(common)? {
        Reach::Server(client) => client.delivery_repair(&orders)?,
        Reach::Here(buses) => {
            let archive = open::archive(common).map_err(beside_a_server)?;
            let origin = archive.journal().origin()?;
            orders.lineage = origin.map_or_else(Box::default, |hash| hash.to_string().into());
            let shelf = Arc::new(Shelf::default());
            shelf.place_all(archive.newest().context("the newest artifacts cannot be read")?);
            wait(repair::repair(&buses, &shelf, &orders))??
        }
    };
    let exit = if repaired.left.is_empty() { Exit::Fine } else { Exit::Finding };
    if common.json {
        output::json(&repaired)?;
        return Ok(exit);
    }
    print(&repaired);
    Ok(exit)
}

/// The data directory is in use: its server can do it.
fn beside_a_server(refused: anyhow::Error) -> anyhow::Error {
    match refused.downcast_ref() {
        Some(OpenError::Locked { .. }) => refused.context(
            "without --redis (and without ORRERY_REDIS) the server that holds the data directory \
             repairs its own Redis",
        ),
        _ => refused,
    }
}

fn print(repaired: &Repaired) {
    let rows: Vec<Vec<String>> = repaired
        .actions
        .iter()
        .map(|action| {
            vec![
                action.remedy.as_str().into(),
                action.finding.problem.as_str().into(),
                action.finding.bus.clone(),
                action.finding.key.clone(),
                action.finding.detail.clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        findings(&[]);
        return;
    }
    output::table(&["remedy", "problem", "bus", "key", "what was found"], &rows);
    if repaired.dry_run {
        output::line("a dry run: nothing was written");
        return;
    }
    output::line(format!("{} versions stored and announced again", repaired.republished));
    match repaired.left.len() {
        0 => output::line("nothing is left"),
        n => {
            output::line(format!("{n} left:"));
            findings(&repaired.left);
        }
    }
}
