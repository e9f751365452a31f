//! `orrery replay DAY`: fold a day again and compare it with the record, or
//! fold it under other definitions and say what would have been different.

use std::ops::ControlFlow;

use clap::Args;
use orrery_replay::compare::{CompareOptions, Difference, Selection, Span, TraceLine};
use serde::Serialize;
use serde_json::json;

use super::exit::Exit;
use super::{Common, open, output, what_if};
use crate::clock::Stopwatch;

/// Replay a trading day and compare every artifact with the recorded one.
///
/// Ends with one line, `identical: ...` (exit code 0) or the first difference
/// (exit code 1). With --profile, --set or --without the day is folded under
/// other definitions instead, beside what was recorded, and what differs is
/// summed up by family and by cell (exit code 1 when anything does). Neither
/// changes the record.
///
/// Example: orrery replay 2015-12-24 --profile gex/naive-oi-cumulative@1
#[derive(Debug, Args)]
pub struct Replay {
    /// Trading day, YYYY-MM-DD.
    day: String,
    /// Print one line per artifact as it is made again.
    #[arg(long, conflicts_with_all = ["profile", "set", "without"])]
    trace: bool,
    /// Go on after the first difference and print all of them; with --json one
    /// line each, and the summary as the last line.
    #[arg(long, conflicts_with_all = ["profile", "set", "without"])]
    all: bool,
    /// Compare only this symbol, such as SPX; may be given several times.
    #[arg(long, value_name = "SYMBOL")]
    symbol: Vec<String>,
    /// Compare only this family, such as gex; may be given several times.
    #[arg(long, value_name = "FAMILY")]
    family: Vec<String>,
    #[command(flatten)]
    what_if: what_if::Other,
}

#[derive(Serialize)]
struct Report {
    identical: bool,
    day: String,
    artifacts: u64,
    events: u64,
    seconds: f64,
    differences: u64,
    difference: Option<String>,
    first: Option<serde_json::Value>,
}

impl Replay {
    fn selection(&self) -> Selection {
        Selection {
            symbols: self.symbol.iter().map(|s| crate::market::ticker::symbol_of(s)).collect(),
            families: self.family.iter().map(|f| f.as_str().into()).collect(),
        }
    }
}

pub fn run(common: &Common, command: &Replay) -> anyhow::Result<Exit> {
    if command.what_if.is_asked() {
        return what_if::run(common, &command.day, &command.what_if, &command.selection());
    }
    let archive = open::archive(common)?;
    let day = open::day(archive.journal(), &command.day)?;
    let only = command.selection();
    known(&archive.families()?, &only)?;
    let bar = output::progress(day.last.0 - day.first.0 + 1, "replaying");
    let watch = Stopwatch::start();
    let span = Span { first: day.first, last: day.last };
    let options = CompareOptions {
        threads: archive.threads(),
        stop_at_first: !command.all,
        only,
        ..CompareOptions::default()
    };
    let mut told = |difference: &Difference| match (command.all, common.json) {
        (false, _) => {}
        (true, true) => output::line(structured(difference).to_string()),
        (true, false) => output::line(difference.to_string()),
    };
    let found = archive.compare(span, &options, &mut told, &mut |reached, made| {
        bar.set_position(reached.seq.0.saturating_sub(day.first.0) + 1);
        if command.trace {
            made.iter().for_each(|m| output::line(format!("artifact {}", TraceLine::of(m))));
        }
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    let first = found.first_difference();
    let report = Report {
        identical: found.identical(),
        day: command.day.clone(),
        artifacts: found.artifacts,
        events: found.events,
        seconds: watch.seconds(),
        differences: found.difference_count,
        difference: first.map(ToString::to_string),
        first: first.map(structured),
    };
    let text = || match (&report.difference, command.all) {
        (Some(_), true) => format!(
            "DIFFERENT: {} differences in {} artifacts, {} events, {:.1} s",
            output::grouped(report.differences),
            output::grouped(report.artifacts),
            output::grouped(report.events),
            report.seconds
        ),
        (difference, _) => {
            summary(report.artifacts, report.events, report.seconds, difference.as_deref())
        }
    };
    match (common.json, command.all) {
        (true, true) => output::line(serde_json::to_string(&report)?),
        (true, false) => output::json(&report)?,
        (false, _) => output::line(text()),
    }
    Ok(if report.identical { Exit::Fine } else { Exit::Finding })
}

/// A difference for machines.
fn structured(d: &Difference) -> serde_json::Value {
    json!({ "seq": d.seq.0, "symbol": d.symbol, "family": d.family, "version": d.version,
            "profile": d.profile, "field": d.field, "recorded": d.recorded,
            "replayed": d.replayed })
}

/// Refuses a selection of what was never made: its comparison would say that
/// nothing differs.
///
/// # Errors
/// When a symbol or family has no artifact.
pub fn known(
    families: &[orrery_replay::derived::FamilyName],
    only: &Selection,
) -> anyhow::Result<()> {
    let check = |what: &str, wanted: &std::collections::BTreeSet<Box<str>>, all: Vec<&str>| {
        for name in wanted {
            anyhow::ensure!(
                all.contains(&&**name),
                "there is no artifact of the {what} {name}; there are {}",
                std::collections::BTreeSet::from_iter(all.iter().copied())
                    .into_iter()
                    .collect::<Vec<_>>()
                    .join(", ")
            );
        }
        Ok(())
    };
    check("symbol", &only.symbols, families.iter().map(|(symbol, _)| &**symbol).collect())?;
    check("family", &only.families, families.iter().map(|(_, family)| &**family).collect())
}

/// The one line that a replay ends with.
pub fn summary(artifacts: u64, events: u64, seconds: f64, difference: Option<&str>) -> String {
    match difference {
        None => format!(
            "identical: {} artifacts, {} events, {seconds:.1} s",
            output::grouped(artifacts),
            output::grouped(events)
        ),
        Some(what) => format!("DIFFERENT: {what}"),
    }
}
