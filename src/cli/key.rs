//! `orrery key`: the key that signs for the log.

use clap::{Args, Subcommand};
use orrery_journal::proof::keys;

use super::exit::Exit;
use super::{Common, open, output, prove};
use crate::backend::sealing;
use crate::control::certificate::Rotated;

/// The key that signs checkpoints and certificates.
#[derive(Debug, Args)]
pub struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(prove::Plain),
    Rotate(Rotate),
    Handovers(Handovers),
}

/// Put a new key in place of the one that signs.
///
/// The former key signs once more: the checkpoint over everything so far, which
/// names the new key and is signed by both. Then it is deleted. Publish what is
/// printed: whoever trusts the former key learns the new one from it. What the
/// former key has signed still holds under it.
///
/// Example: orrery key rotate > handover.txt
#[derive(Debug, Args)]
struct Rotate {
    #[command(flatten)]
    server: open::Server,
}

/// Print every handover from one key to the next, oldest first.
///
/// Example: orrery key handovers > handovers.txt
#[derive(Debug, Args)]
struct Handovers {}

pub fn run(common: &Common, command: &Key) -> anyhow::Result<Exit> {
    match &command.command {
        Command::Show(plain) => prove::key(common, plain),
        Command::Rotate(rotate) => run_rotate(common, rotate),
        Command::Handovers(_) => handovers(common),
    }
}

fn run_rotate(common: &Common, rotate: &Rotate) -> anyhow::Result<Exit> {
    let Rotated { handover, key } = match open::reach(common, &rotate.server)? {
        open::Reach::Here(journal) => sealing::rotate(&journal)?,
        open::Reach::Server(mut client) => client.rotate_key()?,
    };
    if common.json {
        output::json(&serde_json::json!({ "handover": handover, "key": key }))?;
    } else {
        output::line(handover);
    }
    Ok(Exit::Fine)
}

fn handovers(common: &Common) -> anyhow::Result<Exit> {
    let all = keys::handovers(common.data_dir())?;
    if common.json {
        output::json(&serde_json::json!({ "handovers": all }))?;
    } else if !all.is_empty() {
        // The file as it is: each note with an empty line behind it.
        output::line(all.strip_suffix('\n').unwrap_or(&all));
    }
    Ok(Exit::Fine)
}
