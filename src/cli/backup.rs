//! `orrery backup`: a copy of the journal that is a data directory itself.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use orrery_journal::{Copied, CopyProgress};
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::operations;

/// Copy the journal into another folder, or bring the copy there up to date.
///
/// The copy is an ordinary data directory: days, verify and replay work on it.
/// Only pages and blobs that it lacks are copied, each checked on the way; the
/// journal may be written meanwhile. When a server holds the data directory, the
/// server makes the copy, on its own machine. A copy that broke off is whole,
/// and the next one goes on from it.
///
/// Exit code 0: the copy is complete. 2: it is not.
///
/// Example: orrery backup --to /mnt/copies/orrery
#[derive(Debug, Args)]
pub struct Backup {
    /// Folder of the copy; a new one, or a copy made before.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    server: open::Server,
}

#[derive(Serialize)]
struct Report {
    to: String,
    server: Option<String>,
    from: u64,
    head: u64,
    pages: u64,
    blobs: u64,
    frames: u64,
    bytes: u64,
}

pub fn run(common: &Common, command: &Backup) -> anyhow::Result<Exit> {
    let to = std::path::absolute(&command.to)
        .with_context(|| format!("{} is no path", command.to.display()))?;
    let bar = output::progress(0, "copying");
    let mut tell = |at: CopyProgress| {
        bar.set_length(at.head.0);
        bar.set_position(at.seq.0);
    };
    let (copied, server) = match open::reach(common, &command.server)? {
        open::Reach::Here(journal) => {
            let copied = operations::backup(&journal, &to, &mut |at| {
                tell(at);
                ControlFlow::Continue(())
            })?;
            (copied, None)
        }
        open::Reach::Server(mut client) => {
            let copied = client.backup(&to, &mut tell)?;
            (copied, Some(client.address().to_owned()))
        }
    };
    bar.finish_and_clear();
    let Copied { from, head, pages, blobs, frames, bytes } = copied;
    let to = to.display().to_string();
    let report = Report { to, server, from: from.0, head: head.0, pages, blobs, frames, bytes };
    if common.json {
        output::json(&report)?;
        return Ok(Exit::Fine);
    }
    output::line(format!(
        "{} ends at event {}: {} events, {} pages and {} blobs were new ({} bytes){}",
        report.to,
        output::grouped(report.head),
        output::grouped(report.head - report.from),
        output::grouped(report.pages),
        output::grouped(report.blobs),
        output::grouped(report.bytes),
        report.server.map_or(String::new(), |s| format!("; copied by the server at {s}")),
    ));
    Ok(Exit::Fine)
}
