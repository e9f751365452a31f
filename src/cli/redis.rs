//! `orrery redis`: what the projector may write.

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::{Common, output};
use crate::projector::registry;

/// The delivery layer.
#[derive(Debug, Args)]
pub struct Redis {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the registry: every key and channel that may be written.
    ///
    /// Example: orrery redis keys --json
    Keys,
}

pub fn run(common: &Common, command: &Redis) -> anyhow::Result<Exit> {
    match command.command {
        Command::Keys => keys(common),
    }
}

fn keys(common: &Common) -> anyhow::Result<Exit> {
    let table = registry::table();
    if common.json {
        output::json(&table)?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = table
        .iter()
        .map(|entry| {
            vec![
                entry.template.to_owned(),
                entry.family.to_owned(),
                format!("{:?}", entry.kind).to_lowercase(),
                format!("{:?}", entry.bus).to_lowercase(),
                entry.ttl_seconds.map_or_else(|| "none".to_owned(), |s| format!("{s}s")),
                entry.description.to_owned(),
            ]
        })
        .collect();
    output::table(&["key or channel", "family", "kind", "bus", "ttl", "what it is"], &rows);
    Ok(Exit::Fine)
}
