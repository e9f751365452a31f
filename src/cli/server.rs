//! `orrery server`: how a running server stands, and what its operator asks.

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Exit;
use super::{Common, open, output};
use crate::control::client::Client;
use crate::control::client::input::ServerSays;

/// A running server: how it stands, a checkpoint now.
#[derive(Debug, Args)]
pub struct ServerCommand {
    #[command(subcommand)]
    command: What,
    #[command(flatten)]
    server: open::Server,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print how it stands.
    ///
    /// Exit code 0: ready. 1: not ready.
    ///
    /// Example: orrery server status --json
    Status,
    /// Have the folds write a checkpoint of where they stand, so that the next
    /// start goes on from there.
    ///
    /// Example: orrery server checkpoint
    Checkpoint,
}

pub fn run(common: &Common, command: &ServerCommand) -> anyhow::Result<Exit> {
    let client = Client::connect(&command.server.address(common)?)?;
    match command.command {
        What::Status => status(common, &client),
        What::Checkpoint => {
            let seq = client.take_checkpoint()?;
            if common.json {
                output::json(&json!({ "seq": seq.0 }))?;
            } else {
                output::line(format!("checkpoint at event {seq}"));
            }
            Ok(Exit::Fine)
        }
    }
}

fn status(common: &Common, client: &Client) -> anyhow::Result<Exit> {
    let said = client.status()?;
    let ServerSays { version, not_ready, head, folded, feed, checkpoint, .. } = &said;
    let ServerSays { quarantined, input_stopped, sessions, .. } = &said;
    if common.json {
        output::json(&json!({
            "server": client.address(), "version": version, "ready": not_ready.is_none(),
            "not_ready": not_ready, "head_seq": head.seq.0,
            "head_recv": (head.seq.0 > 0).then(|| head.recv.to_rfc3339()),
            "folded_seq": folded.0, "feed": feed, "checkpoint_seq": checkpoint.map(|seq| seq.0),
            "quarantined": quarantined, "input_stopped": input_stopped, "sessions": sessions,
        }))?;
    } else {
        let ready = not_ready.as_ref().map_or("yes".to_owned(), |why| format!("no: {why}"));
        let input = if *input_stopped { "STOPPED: the disk is nearly full" } else { "taken" };
        let rows = [
            ("server", format!("{}, orrery {version}", client.address())),
            ("ready", ready),
            ("head", format!("event {} of {}", head.seq, head.recv)),
            ("folded", format!("event {folded}")),
            ("feed", feed.clone()),
            ("checkpoint", checkpoint.map_or("none".to_owned(), |seq| format!("event {seq}"))),
            ("quarantine", format!("{} inputs", output::grouped(*quarantined))),
            ("input", input.to_owned()),
            ("sessions", sessions.to_string()),
        ];
        rows.iter().for_each(|(name, value)| output::line(format!("{name:11} {value}")));
    }
    Ok(if not_ready.is_none() { Exit::Fine } else { Exit::Finding })
}
