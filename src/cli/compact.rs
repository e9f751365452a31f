//! `orrery compact`: less disk for the same journal.

use clap::Args;
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::operations;

/// Have the store write its tables anew, without what was replaced or deleted.
///
/// Changes no event. Works beside a server, too: it is asked.
///
/// Example: orrery compact
#[derive(Debug, Args)]
pub struct Compact {
    #[command(flatten)]
    server: open::Server,
}

#[derive(Serialize)]
struct Report {
    server: Option<String>,
    bytes_before: u64,
    bytes_after: u64,
}

pub fn run(common: &Common, command: &Compact) -> anyhow::Result<Exit> {
    let ((bytes_before, bytes_after), server) = match open::reach(common, &command.server)? {
        open::Reach::Here(journal) => (operations::compact(&journal)?, None),
        open::Reach::Server(mut client) => (client.compact()?, Some(client.address().to_owned())),
    };
    let report = Report { server, bytes_before, bytes_after };
    if common.json {
        output::json(&report)?;
        return Ok(Exit::Fine);
    }
    output::line(format!(
        "{} bytes on disk before, {} after",
        output::grouped(report.bytes_before),
        output::grouped(report.bytes_after)
    ));
    Ok(Exit::Fine)
}
