//! `orrery session watch`: what comes out of a session.

use std::ops::ControlFlow;

use clap::Args;
use serde_json::json;

use super::order::{Told, print};
use super::{document, moment};
use crate::cli::exit::Exit;
use crate::cli::{Common, output};
use crate::control::client::session::{Heard, SessionClient, Watching};

/// Artifacts go to standard output, one a line; what becomes of the session to
/// standard error. Ends with the session, with Ctrl-C, or after --count.
///
/// Example: orrery session watch session-1 --family gex --json
#[derive(Debug, Args)]
pub struct Watch {
    /// The session.
    id: String,
    #[command(flatten)]
    told: Told,
    /// Go on after this number, as far as it is still held.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// Have the clock wait for this watcher, so that it misses nothing.
    #[arg(long)]
    hold: bool,
    /// End after so many artifacts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print bodies, too.
    #[arg(long)]
    bodies: bool,
    /// End when the session stands at its end, or still.
    #[arg(long)]
    until_still: bool,
}

pub fn run(common: &Common, command: &Watch, client: &mut SessionClient) -> anyhow::Result<Exit> {
    let watching = Watching {
        after: command.after,
        shows: command.told.shows(),
        header_only: !command.bodies,
        hold: command.hold,
    };
    let (mut printed, mut missed, mut failed) = (0, 0, None);
    client.watch(&command.id, &watching, &mut |number, heard| {
        let still = |name: &str| command.until_still && !matches!(name, "warming" | "playing");
        match heard {
            Heard::Artifact(artifact, at) => {
                failed = print(&artifact, at, common.json, command.bodies).err();
                printed += 1;
                if failed.is_some() || command.count == Some(printed) {
                    return ControlFlow::Break(());
                }
            }
            Heard::State(view) => {
                let name = view.standing.name();
                match common.json {
                    true => output::note(json!({ "state": document(&view) }).to_string()),
                    false => {
                        let at = moment(view.at);
                        output::note(format!("{name} at event {}, {at}", view.at.seq));
                    }
                }
                // The first message only says how it stands.
                if still(name) && (number > 0 || command.after.is_none()) {
                    return ControlFlow::Break(());
                }
            }
            Heard::Lagged(n) => {
                missed += n;
                output::note(format!("lagged: {n} messages were missed; --hold would wait"));
            }
            Heard::Quiet(view) if still(view.standing.name()) => return ControlFlow::Break(()),
            Heard::Quiet(_) => {}
        }
        ControlFlow::Continue(())
    })?;
    match failed {
        Some(error) => Err(error),
        // Whoever counts must know that it did not get everything.
        None if missed > 0 => Ok(Exit::Finding),
        None => Ok(Exit::Fine),
    }
}
