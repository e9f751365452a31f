//! `orrery restore`: a data directory from a copy.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use orrery_journal::units::Seq;
use orrery_journal::{Journal, OpenOptions};
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};

/// Make a data directory from a copy, and read and check all of it.
///
/// --data names the new directory, which must not exist or be empty. A restore
/// that broke off is gone on with; until it is done, no other command opens the
/// directory. Derived data is folded again by the next command that needs it.
///
/// Exit code 0: restored and clean. 1: restored, and damaged as the copy was.
/// 2: not restored.
///
/// Example: orrery restore --from /mnt/copies/orrery --data orrery-data
#[derive(Debug, Args)]
pub struct Restore {
    /// A copy made by `orrery backup`, or any data directory that is not in use.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

#[derive(Serialize)]
struct Report {
    from: String,
    to: String,
    head: u64,
    pages: u64,
    blobs: u64,
    bytes: u64,
    verified: u64,
    findings: Vec<String>,
}

pub fn run(common: &Common, command: &Restore) -> anyhow::Result<Exit> {
    let to = common.data_dir();
    if !command.from.join("journal").is_dir() {
        bail!("{} holds no journal", command.from.display());
    }
    let marker = open::unfinished(to);
    if !marker.exists() && !is_empty(to)? {
        bail!("{} is not empty; --data names another folder", to.display());
    }
    let from = Journal::open(&command.from, &OpenOptions::default())
        .with_context(|| format!("the copy {} cannot be used", command.from.display()))?;
    std::fs::create_dir_all(to)
        .and_then(|()| std::fs::write(&marker, "`orrery restore` has not ended\n"))
        .with_context(|| format!("cannot write into {}", to.display()))?;
    let bar = output::progress(from.head().seq.0, "restoring");
    let copied = from.copy_to(to, &mut |at| {
        bar.set_position(at.seq.0);
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    let journal = Journal::open(to, &OpenOptions::default())?;
    let bar = output::progress(copied.head.0, "verifying");
    let found = journal.verify(Seq::FIRST, Seq::MAX, &mut |seq| bar.set_position(seq.0))?;
    bar.finish_and_clear();
    std::fs::remove_file(&marker)?;
    let report = Report {
        from: command.from.display().to_string(),
        to: to.display().to_string(),
        head: copied.head.0,
        pages: copied.pages,
        blobs: copied.blobs,
        bytes: copied.bytes,
        verified: found.events,
        findings: found
            .findings
            .iter()
            .map(|f| format!("events {}..{}: {}", f.first, f.last, f.what))
            .collect(),
    };
    if common.json {
        output::json(&report)?;
    } else {
        report.findings.iter().for_each(|f| output::line(format!("damaged: {f}")));
        output::line(format!(
            "{}: {} events in {} pages restored to {} and verified",
            if report.findings.is_empty() { "clean" } else { "DAMAGED" },
            output::grouped(report.head),
            output::grouped(report.pages),
            report.to,
        ));
    }
    Ok(if report.findings.is_empty() { Exit::Fine } else { Exit::Finding })
}

fn is_empty(dir: &Path) -> anyhow::Result<bool> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e).with_context(|| format!("cannot look into {}", dir.display())),
    }
}
