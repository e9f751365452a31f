//! `orrery export`: the journal as files that need no orrery.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use orrery_journal::units::Seq;

use super::exit::Exit;
use super::{Common, open, output};
use crate::export::{self, Exported};

/// Write a day, or all of the journal, as files that other programs read.
///
/// `wire` writes the vendor's messages, one a line (ticks.ndjson), equal in value
/// to what came in, and the raw pages of chains (chains/); `orrery import` takes
/// the folder again. `pages` writes the canonical bytes of sealed pages and a list
/// of their addresses: `b3sum --check B3SUMS` proves that each is what it was.
///
/// Example: orrery export --day 2015-12-24 --to day --form wire
#[derive(Debug, Args)]
pub struct Export {
    /// A trading day, YYYY-MM-DD. Default: everything.
    #[arg(long)]
    day: Option<String>,
    /// Folder to write to; files that exist are never overwritten.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Form of the files.
    #[arg(long, value_enum, default_value = "wire")]
    form: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// The vendor's messages and raw chains.
    Wire,
    /// Canonical bytes of sealed pages.
    Pages,
}

/// Runs the command.
///
/// # Errors
/// When the data does not open, is damaged, or a file cannot be written.
pub fn run(common: &Common, command: &Export) -> anyhow::Result<Exit> {
    let journal = open::journal(common)?;
    let range = match &command.day {
        None => (Seq::FIRST, journal.head().seq),
        Some(text) => {
            let day = open::day(&journal, text)?;
            (day.first, day.last)
        }
    };
    if range.1 == Seq::BEFORE_FIRST {
        bail!("the journal holds no event");
    }
    let bar = output::progress(range.1.0 - range.0.0 + 1, "exporting");
    let mut progress = |at: Seq| {
        bar.set_position(at.0.saturating_sub(range.0.0));
        ControlFlow::Continue(())
    };
    let exported: Exported = match command.form {
        Form::Wire => export::wire(&journal, range, &command.to, &mut progress)?,
        Form::Pages => export::pages(&journal, range, &command.to, &mut progress)?,
    };
    bar.finish_and_clear();
    if common.json {
        output::json(&exported)?;
        return Ok(Exit::Fine);
    }
    let what = match command.form {
        Form::Wire => "messages",
        Form::Pages => "pages",
    };
    let (written, bytes) = (output::grouped(exported.written), output::grouped(exported.bytes));
    output::line(format!("{written} {what}, {} chains, {bytes} bytes", exported.chains));
    for (kind, n) in &exported.left_out {
        output::line(format!("left out: {} {kind}", output::grouped(*n)));
    }
    Ok(Exit::Fine)
}
