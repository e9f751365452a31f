//! `orrery redis`: what the projector may write, how Redis is, what may not
//! stand there, and how it is mended.

mod audit;
mod health;
mod place;
mod repair;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::{Common, output};
use crate::projector::registry::{self, Entry, KeySet, KeySets};

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
    /// Example: orrery redis keys --set marketswarm --json
    Keys(Keys),
    Health(health::HealthCommand),
    Audit(audit::AuditCommand),
    Repair(repair::RepairCommand),
}

#[derive(Debug, Args)]
struct Keys {
    /// Only what is written when these key sets are switched on: marketswarm,
    /// orrery, candles, alerts, plane.
    #[arg(long, value_name = "SET", value_delimiter = ',')]
    set: Vec<KeySet>,
}

pub fn run(common: &Common, command: &Redis) -> anyhow::Result<Exit> {
    match &command.command {
        Command::Keys(asked) => keys(common, asked),
        Command::Health(command) => health::run(common, command),
        Command::Audit(command) => audit::run(common, command),
        Command::Repair(command) => repair::run(common, command),
    }
}

fn keys(common: &Common, asked: &Keys) -> anyhow::Result<Exit> {
    let sets = match asked.set.is_empty() {
        true => KeySets::of(KeySet::CHOICE),
        false => KeySets::of(asked.set.iter().copied()),
    };
    let written = registry::table().iter().filter(|entry| sets.writes(entry));
    let table: Vec<&Entry> = written.collect();
    if common.json {
        output::json(&table)?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = table
        .iter()
        .map(|entry| {
            vec![
                entry.template.to_owned(),
                entry.set.to_string(),
                entry.family.to_owned(),
                format!("{:?}", entry.kind).to_lowercase(),
                format!("{:?}", entry.bus).to_lowercase(),
                entry.ttl_seconds.map_or_else(|| "none".to_owned(), |s| format!("{s}s")),
                entry.description.to_owned(),
            ]
        })
        .collect();
    output::table(&["key or channel", "set", "family", "kind", "bus", "ttl", "what it is"], &rows);
    Ok(Exit::Fine)
}
