//! `orrery verify`: reads and checks every byte that counts.

use anyhow::Context;
use clap::Args;
use orrery_journal::units::{Seq, TradingDay};
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};

/// Check the journal (or one day of it) against its addresses.
///
/// Exit code 0: clean. 1: damaged; every finding is listed. 2: could not run.
///
/// Example: orrery verify 2015-12-24
#[derive(Debug, Args)]
pub struct Verify {
    /// Trading day, YYYY-MM-DD; the whole journal without it.
    day: Option<String>,
}

#[derive(Serialize)]
struct Report {
    clean: bool,
    from: u64,
    to: u64,
    events: u64,
    pages: u64,
    frames: u64,
    blobs: u64,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    first: u64,
    last: u64,
    day: Option<String>,
    what: String,
}

pub fn run(common: &Common, command: &Verify) -> anyhow::Result<Exit> {
    let journal = open::journal(common)?;
    let (from, to) = match &command.day {
        None => (Seq::FIRST, journal.head().seq),
        Some(text) => {
            let day = open::day(&journal, text)?;
            (day.first, day.last)
        }
    };
    let bar = output::progress(to.0.saturating_sub(from.0) + 1, "verifying");
    let found = journal
        .verify(from, to, &mut |seq| bar.set_position(seq.0.saturating_sub(from.0) + 1))
        .context("the journal cannot be read")?;
    bar.finish_and_clear();
    let report = Report {
        clean: found.findings.is_empty(),
        from: from.0,
        to: to.0,
        events: found.events,
        pages: found.pages,
        frames: found.frames,
        blobs: found.blobs,
        findings: found
            .findings
            .into_iter()
            .map(|f| Finding {
                first: f.first.0,
                last: f.last.0,
                day: f.day.map(|d: TradingDay| d.to_string()),
                what: f.what,
            })
            .collect(),
    };
    if common.json {
        output::json(&report)?;
    } else {
        for f in &report.findings {
            output::line(format!(
                "damaged: events {}..{} ({}): {}",
                f.first,
                f.last,
                f.day.as_deref().unwrap_or("day unknown"),
                f.what
            ));
        }
        output::line(format!(
            "{}: {} events in {} pages and {} frames, {} blobs",
            if report.clean { "clean" } else { "DAMAGED" },
            output::grouped(report.events),
            output::grouped(report.pages),
            output::grouped(report.frames),
            output::grouped(report.blobs),
        ));
    }
    Ok(if report.clean { Exit::Fine } else { Exit::Finding })
}
