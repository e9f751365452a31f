//! `orrery export`: the journal as files that need no orrery.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use orrery_journal::units::{InstrumentId, Seq};
use orrery_journal::{DaySummary, Journal};
use orrery_replay::compare::Span;
use orrery_replay::fold::World;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::Archive;
use crate::export::rows::{Rows, Wanted};
use crate::export::{self, Exported, RowForm};

/// Write a day, or all of the journal, as files that other programs read.
///
/// `wire` writes the vendor's messages, one a line (ticks.ndjson), equal in value
/// to what came in, and the raw pages of chains (chains/); `orrery import` takes
/// the folder again. `pages` writes the canonical bytes of sealed pages and a list
/// of their addresses: `b3sum --check B3SUMS` proves that each is what it was.
///
/// `parquet`, `arrow` and `jsonl` write tables in the layout of Hive: events by
/// kind, contracts of chains, artifacts by family, and what their bodies say by
/// strike, level, bin, tile and candle. pandas, polars and DuckDB read the first
/// two; `orrery import` makes the same journal again of the last.
///
/// Example: orrery export --day 2015-12-24 --to day --form parquet
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
    /// Tables: only events, nothing that is derived.
    #[arg(long, conflicts_with_all = ["artifacts", "family"])]
    events: bool,
    /// Tables: only artifacts.
    #[arg(long)]
    artifacts: bool,
    /// Tables: only artifacts of this family; may be given more than once.
    #[arg(long, value_name = "FAMILY", value_delimiter = ',')]
    family: Vec<String>,
    /// Tables: only what this symbol is folded from (and events about no
    /// instrument), and its artifacts; may be given more than once.
    #[arg(long, value_name = "SYMBOL", value_delimiter = ',')]
    symbol: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// The vendor's messages and raw chains.
    Wire,
    /// Canonical bytes of sealed pages.
    Pages,
    /// Tables as Apache Parquet.
    Parquet,
    /// Tables as Arrow IPC files.
    Arrow,
    /// Tables as JSON lines.
    Jsonl,
}

impl Form {
    const fn rows(self) -> Option<RowForm> {
        match self {
            Form::Wire | Form::Pages => None,
            Form::Parquet => Some(RowForm::Parquet),
            Form::Arrow => Some(RowForm::Arrow),
            Form::Jsonl => Some(RowForm::Jsonl),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When the data does not open, is damaged, or a file cannot be written.
pub fn run(common: &Common, command: &Export) -> anyhow::Result<Exit> {
    if let Some(form) = command.form.rows() {
        return tables(common, command, form);
    }
    if command.events
        || command.artifacts
        || !command.family.is_empty()
        || !command.symbol.is_empty()
    {
        bail!("--events, --artifacts, --family and --symbol choose tables: parquet, arrow, jsonl");
    }
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
    let (what, exported): (_, Exported) = match command.form {
        Form::Pages => ("pages", export::pages(&journal, range, &command.to, &mut progress)?),
        _ => ("messages", export::wire(&journal, range, &command.to, &mut progress)?),
    };
    bar.finish_and_clear();
    if common.json {
        output::json(&exported)?;
        return Ok(Exit::Fine);
    }
    let (written, bytes) = (output::grouped(exported.written), output::grouped(exported.bytes));
    output::line(format!("{written} {what}, {} chains, {bytes} bytes", exported.chains));
    for (kind, n) in &exported.left_out {
        output::line(format!("left out: {} {kind}", output::grouped(*n)));
    }
    Ok(Exit::Fine)
}

fn tables(common: &Common, command: &Export, form: RowForm) -> anyhow::Result<Exit> {
    let (events, artifacts) = match (command.events, command.artifacts) {
        (true, _) => (true, false),
        (false, true) => (false, true),
        // A family is a choice among artifacts.
        (false, false) => (command.family.is_empty(), true),
    };
    let data = open::existing(common)?;
    let world = data.world.clone();
    let archive = data.into_archive(common.threads);
    let journal = archive.journal();
    let days = days(journal, command.day.as_deref())?;
    let wanted = Wanted {
        instruments: (!command.symbol.is_empty())
            .then(|| instruments(journal, world.as_ref(), &command.symbol)),
        symbols: command.symbol.clone(),
        families: command.family.clone(),
    };
    if wanted.instruments.as_ref().is_some_and(Vec::is_empty) {
        bail!("nothing in the journal is folded into {}", command.symbol.join(" or "));
    }
    if artifacts {
        open::catch_up(&archive)?;
        let there = archive.families()?;
        if let Some(none) = command.family.iter().find(|f| there.iter().all(|(_, is)| **is != ***f))
        {
            let mut names: Vec<&str> = there.iter().map(|(_, family)| &**family).collect();
            names.sort_unstable();
            names.dedup();
            bail!("there is no family `{none}`; there are {}", names.join(", "));
        }
    }
    let (to, configuration) = (&command.to, world.configuration());
    let mut rows = Rows::begin(journal, to, form, days.clone(), wanted, configuration)?;
    if events {
        let bar = output::progress(span(&days).last.0 - span(&days).first.0 + 1, "exporting");
        rows.events(&mut |at| {
            bar.set_position(at.0.saturating_sub(span(&days).first.0));
            ControlFlow::Continue(())
        })?;
        bar.finish_and_clear();
    }
    if artifacts {
        folded(&archive, span(&days), &mut rows)?;
    }
    let exported = rows.finish()?;
    if common.json {
        output::json(&exported)?;
        return Ok(Exit::Fine);
    }
    output::line(format!(
        "{} events, {} artifacts: {} rows in {} files, {} bytes",
        output::grouped(exported.events.values().sum()),
        output::grouped(exported.artifacts.values().sum()),
        output::grouped(exported.rows),
        output::grouped(exported.files),
        output::grouped(exported.bytes),
    ));
    let told = exported.events.iter().map(|(kind, n)| (*kind, *n));
    for (name, n) in told.chain(exported.artifacts.iter().map(|(family, n)| (&**family, *n))) {
        output::line(format!("{:>12} {name}", output::grouped(n)));
    }
    Ok(Exit::Fine)
}

/// The days that are there and asked for.
fn days(journal: &Journal, day: Option<&str>) -> anyhow::Result<Vec<DaySummary>> {
    let days = match day {
        Some(text) => vec![open::day(journal, text)?],
        None => journal.days()?.into_iter().filter(|day| !day.dropped).collect(),
    };
    if days.is_empty() {
        bail!("the journal holds no event");
    }
    Ok(days)
}

fn span(days: &[DaySummary]) -> Span {
    let (first, last) = (days.first(), days.last());
    Span { first: first.map_or(Seq::FIRST, |d| d.first), last: last.map_or(Seq::FIRST, |d| d.last) }
}

/// Everything that is folded into the partitions of these symbols.
fn instruments(journal: &Journal, world: &dyn World, symbols: &[String]) -> Vec<InstrumentId> {
    let wanted = |id: &InstrumentId| {
        let partitions = journal.ticker(*id).map(|ticker| world.partitions(&ticker));
        partitions.unwrap_or_default().iter().any(|p| symbols.iter().any(|s| **s == **p))
    };
    (1..=journal.instruments()).map(InstrumentId).filter(wanted).collect()
}

/// Folds the days again: what comes out is compared with the record, and written.
fn folded(archive: &Archive, span: Span, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let bar = output::progress(span.last.0 - span.first.0 + 1, "folding");
    let mut failed = None;
    let found = archive.replay(span, None, &mut |reached, made| {
        bar.set_position(reached.seq.0.saturating_sub(span.first.0) + 1);
        match made.iter().try_for_each(|made| rows.artifact(made)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error.into());
    }
    if let Some(difference) = found.first_difference() {
        bail!(
            "what is folded now is not what was recorded, so this is no export of it: {difference}"
        );
    }
    Ok(())
}
