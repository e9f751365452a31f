//! `orrery import`: captured files into the journal, then folded.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, ValueEnum};
use orrery_journal::Calendar;
use orrery_journal::units::Seq;
use serde::Serialize;

use super::exit::Exit;
use super::{Common, epochs, open, output, sync};
use crate::clock::{self, Stopwatch};
use crate::export::is_unfinished;
use crate::feeds::Format;
use crate::import::{
    ImportOptions, ImportReport, Input, Outcome, Progress, RebuildError, import, is_export, rebuild,
};
use crate::partition::Partition;

/// Journal captured market files and fold them.
///
/// Files or folders; the format of each file is recognised by content, zstd and
/// gzip included, or told as FORMAT=PATH. Several files are merged by time.
/// Importing a file twice adds nothing; an interrupted import goes on where it
/// stopped.
///
/// A folder that `orrery export --form jsonl` wrote gives the same journal again,
/// event by event; such folders are imported oldest day first and by themselves.
///
/// Exit code 0: all input was taken or was there. 1: some of it was refused
/// (it is kept in quarantine with its reason). 2: nothing could be done.
///
/// Example: orrery import massive-ws=ticks.ndjson.zst chains/
#[derive(Debug, Args)]
pub struct Import {
    /// Files and folders; FORMAT=PATH names the format.
    #[arg(required = true, value_name = "[FORMAT=]PATH")]
    inputs: Vec<String>,
    /// Calendar of a new journal.
    #[arg(long, value_enum)]
    calendar: Option<CalendarName>,
    /// Drafts in one append. Changes no byte of the result.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    #[command(flatten)]
    sync: sync::Sync,
    /// Print `acknowledged SEQ` whenever more of the journal is durable.
    #[arg(long)]
    acks: bool,
}

/// How a moment maps to a trading day.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CalendarName {
    /// The date in New York.
    NewYork,
    /// The date in UTC.
    Utc,
}

#[derive(Serialize)]
struct Report {
    files: Vec<File>,
    kinds: BTreeMap<&'static str, u64>,
    contracts: u64,
    refused: BTreeMap<&'static str, u64>,
    files_refused: u64,
    wire_messages: u64,
    wire_fallbacks: u64,
    late: u64,
    skipped: u64,
    added: u64,
    first: Option<String>,
    last: Option<String>,
    seqs: Option<(u64, u64)>,
    geometry_miss: u64,
    damaged_chains: u64,
    damaged: BTreeMap<&'static str, u64>,
    folded_events: u64,
    artifacts: u64,
    seconds: f64,
    epochs: Vec<epochs::EpochView>,
}

#[derive(Serialize)]
struct File {
    path: String,
    format: Option<&'static str>,
    outcome: String,
    kinds: BTreeMap<&'static str, u64>,
    contracts: u64,
    refused: BTreeMap<&'static str, u64>,
    examples: Vec<String>,
    late: u64,
    skipped: u64,
    added: u64,
}

pub fn run(common: &Common, command: &Import) -> anyhow::Result<Exit> {
    let inputs: Vec<Input> = command.inputs.iter().map(|i| Input::parse(i)).collect();
    let calendar = command.calendar.map(|c| match c {
        CalendarName::NewYork => Calendar::NewYork,
        CalendarName::Utc => Calendar::Utc,
    });
    if let Some(input) = inputs.iter().find(|input| is_unfinished(&input.path)) {
        let path = input.path.display();
        bail!("{path}: an export into this folder has not ended; run `orrery export` again");
    }
    let exports = inputs.iter().filter(|input| is_export(&input.path)).count();
    if exports > 0 && exports < inputs.len() {
        bail!("an export of orrery's own is imported by itself, not together with other files");
    }
    let calendar = match (calendar, inputs.first()) {
        (None, Some(input)) if exports > 0 => {
            crate::export::read::manifest(&input.path)?.calendar()
        }
        _ => calendar,
    };
    if exports > 0 && !common.data_dir().join("journal").exists() {
        // Nothing is made where nothing can come in.
        let manifest = crate::export::read::manifest(&inputs[0].path)?;
        let (path, first) = (inputs[0].path.clone(), Seq(manifest.first_seq));
        if first > Seq::BEFORE_FIRST.next() {
            return Err(RebuildError::Later { path, first, head: Seq::BEFORE_FIRST }.into());
        }
    }
    let data = open::or_create(common, calendar, command.sync.mode())?;
    let watch = Stopwatch::start();
    let report = append(command, &data, &inputs)?;
    let nothing = report.added + report.skipped == 0;
    if nothing && report.files_refused > 0 {
        let told: Vec<String> = report.files.iter().filter_map(refusal).collect();
        bail!("no file was taken: {}", told.join("; "));
    }
    let archive = data.into_archive(common.threads);
    let head = archive.journal().head().seq;
    let caught_up = open::catch_up(&archive)?;
    let (mut geometry_miss, mut damaged_chains) = (0, 0);
    let mut damaged = BTreeMap::new();
    for symbol in caught_up.engine.partitions() {
        if let Some(partition) = caught_up.engine.fold_as::<Partition>(symbol) {
            geometry_miss += partition.counters().geometry_miss();
            damaged_chains += partition.counters().damaged_chains;
            for (reason, count) in partition.counters().damaged() {
                *damaged.entry(reason.name()).or_insert(0) += count;
            }
        }
    }
    let epochs = match head {
        Seq::BEFORE_FIRST => Vec::new(),
        head => epochs::views(&archive, None, head)?,
    };
    let refused = report.files_refused + report.refused.values().sum::<u64>();
    let view = Report {
        kinds: report.kinds.iter().map(|(k, n)| (k.name(), *n)).collect(),
        contracts: report.contracts,
        refused: report.refused.iter().map(|(r, n)| (r.name(), *n)).collect(),
        files_refused: report.files_refused,
        wire_messages: report.messages,
        wire_fallbacks: report.fallbacks,
        late: report.late,
        skipped: report.skipped,
        added: report.added,
        first: report.first.map(|t| t.to_rfc3339()),
        last: report.last.map(|t| t.to_rfc3339()),
        seqs: report.seqs.map(|(a, b)| (a.0, b.0)),
        geometry_miss,
        damaged_chains,
        damaged: damaged.into_iter().filter(|(_, count)| *count > 0).collect(),
        folded_events: caught_up.counts.events,
        artifacts: caught_up.counts.artifacts,
        seconds: watch.seconds(),
        epochs,
        files: report.files.iter().map(File::from).collect(),
    };
    if common.json {
        output::json(&view)?;
    } else {
        print(&view);
    }
    Ok(if refused == 0 { Exit::Fine } else { Exit::Finding })
}

fn append(command: &Import, data: &open::Data, inputs: &[Input]) -> anyhow::Result<ImportReport> {
    let writer = data.journal.writer(clock::now)?;
    let options = ImportOptions { batch: command.batch as usize, ..ImportOptions::default() };
    let bar = output::progress(0, "importing");
    let mut acknowledged = Seq::BEFORE_FIRST;
    let mut tell = || {
        let head = data.journal.head().seq;
        if command.acks && head > acknowledged {
            acknowledged = head;
            output::line(format!("acknowledged {head}"));
        }
    };
    let mut progress = |p: Progress<'_>| {
        bar.set_length(p.bytes_total);
        bar.set_position(p.bytes);
        tell();
    };
    let mut report = ImportReport::default();
    for input in inputs.iter().filter(|input| is_export(&input.path)) {
        report.join(rebuild(&data.journal, &writer, &input.path, &options, &mut progress)?);
    }
    if report.files.is_empty() {
        report = import(&data.journal, &writer, inputs, &options, &mut progress)?;
    }
    bar.finish_and_clear();
    writer.close()?;
    tell();
    Ok(report)
}

fn refusal(file: &crate::import::FileReport) -> Option<String> {
    match &file.outcome {
        Outcome::Refused(r) => {
            Some(format!("{}: {} ({})", file.path.display(), r.what, r.reason.name()))
        }
        _ => None,
    }
}

impl From<&crate::import::FileReport> for File {
    fn from(f: &crate::import::FileReport) -> File {
        File {
            path: f.path.display().to_string(),
            format: match is_export(&f.path) {
                true => Some("orrery-export"),
                false => f.format.map(Format::name),
            },
            outcome: match &f.outcome {
                Outcome::Read if f.was_there() => "nothing new".to_owned(),
                Outcome::Read => "read".to_owned(),
                Outcome::Ignored { why } => format!("ignored: {why}"),
                Outcome::Twin { of } => format!("same content as {}", of.display()),
                Outcome::Refused(r) => format!("refused: {} ({})", r.what, r.reason.name()),
            },
            kinds: f.kinds.iter().map(|(k, n)| (k.name(), *n)).collect(),
            contracts: f.contracts,
            refused: f.refused.iter().map(|(r, n)| (r.name(), *n)).collect(),
            examples: f.told.iter().map(|r| format!("{}: {}", r.reason.name(), r.what)).collect(),
            late: f.late,
            skipped: f.skipped,
            added: f.added,
        }
    }
}

fn print(report: &Report) {
    for file in &report.files {
        let kinds: Vec<String> =
            file.kinds.iter().map(|(k, n)| format!("{} {k}", output::grouped(*n))).collect();
        output::line(format!(
            "{} [{}] {}{}{}",
            file.path,
            file.format.unwrap_or("unknown"),
            file.outcome,
            if kinds.is_empty() { "" } else { ": " },
            kinds.join(", "),
        ));
        for example in &file.examples {
            output::line(format!("  refused {example}"));
        }
    }
    let counts = |what: &BTreeMap<&'static str, u64>| -> String {
        what.iter()
            .map(|(k, n)| format!("{k} {}", output::grouped(*n)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if report.added == 0 {
        output::line(format!(
            "nothing new: the journal held all {} facts",
            output::grouped(report.skipped)
        ));
    } else {
        output::line(format!(
            "added {} facts ({} were there, {} came late), {} contracts in chains, {} .. {}",
            output::grouped(report.added),
            output::grouped(report.skipped),
            output::grouped(report.late),
            output::grouped(report.contracts),
            report.first.as_deref().unwrap_or("-"),
            report.last.as_deref().unwrap_or("-"),
        ));
    }
    if !report.refused.is_empty() {
        output::line(format!("refused, kept in quarantine: {}", counts(&report.refused)));
    }
    if report.wire_messages > 0 {
        output::line(format!(
            "{} WebSocket messages, {} of them unusual and read by serde_json",
            output::grouped(report.wire_messages),
            output::grouped(report.wire_fallbacks)
        ));
    }
    if report.geometry_miss > 0 {
        output::line(format!(
            "{} ticks were for contracts that no chain declares; they are journaled and change nothing",
            output::grouped(report.geometry_miss)
        ));
    }
    if report.damaged_chains > 0 {
        output::line(format!(
            "{} damaged chain snapshots are kept out of the fold ({}); the last good ones stay",
            report.damaged_chains,
            counts(&report.damaged)
        ));
    }
    output::line(format!(
        "folded {} events into {} artifacts, {:.1} s in all",
        output::grouped(report.folded_events),
        output::grouped(report.artifacts),
        report.seconds
    ));
    if !report.epochs.is_empty() {
        epochs::print(&report.epochs);
    }
}
