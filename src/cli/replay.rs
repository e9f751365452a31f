//! `orrery replay DAY`: fold a day again and compare it with the record.

use std::ops::ControlFlow;

use clap::Args;
use orrery_replay::compare::{Span, TraceLine};
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::clock::Stopwatch;

/// Replay a trading day and compare every artifact with the recorded one.
///
/// Ends with one line, `identical: ...` (exit code 0) or the first difference
/// (exit code 1).
///
/// Example: orrery replay 2015-12-24
#[derive(Debug, Args)]
pub struct Replay {
    /// Trading day, YYYY-MM-DD.
    day: String,
    /// Print one line per artifact as it is made again.
    #[arg(long)]
    trace: bool,
}

#[derive(Serialize)]
struct Report {
    identical: bool,
    day: String,
    artifacts: u64,
    events: u64,
    seconds: f64,
    difference: Option<String>,
}

pub fn run(common: &Common, command: &Replay) -> anyhow::Result<Exit> {
    let archive = open::archive(common)?;
    let day = open::day(archive.journal(), &command.day)?;
    let bar = output::progress(day.last.0 - day.first.0 + 1, "replaying");
    let watch = Stopwatch::start();
    let span = Span { first: day.first, last: day.last };
    let found = archive.replay(span, None, &mut |reached, made| {
        bar.set_position(reached.seq.0.saturating_sub(day.first.0) + 1);
        if command.trace {
            made.iter().for_each(|m| output::line(format!("artifact {}", TraceLine::of(m))));
        }
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    let report = Report {
        identical: found.identical(),
        day: command.day.clone(),
        artifacts: found.artifacts,
        events: found.events,
        seconds: watch.seconds(),
        difference: found.first_difference().map(ToString::to_string),
    };
    if common.json {
        output::json(&report)?;
    } else {
        output::line(summary(
            report.artifacts,
            report.events,
            report.seconds,
            report.difference.as_deref(),
        ));
    }
    Ok(if report.identical { Exit::Fine } else { Exit::Finding })
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
