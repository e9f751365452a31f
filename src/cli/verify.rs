//! `orrery verify`: reads and checks every byte that counts.

use anyhow::Context;
use clap::Args;
use orrery_journal::units::TradingDay;
use orrery_journal::{FileDamage, examine_derived};
use orrery_replay::audit::{AuditReport, audit};
use orrery_replay::derived::Derived;
use serde::Serialize;

use super::exit::Exit;
use super::look::{self, FindingView, LossView};
use super::{Common, output};

/// Check the journal (or one day of it) against its checksums and addresses.
///
/// Reads all files without opening them: nothing is written, and damage in one
/// place does not hide what lies behind it. Exit code 0: clean. 1: damaged;
/// every finding is listed. 2: could not run.
///
/// Example: orrery verify --day 2015-12-24
#[derive(Debug, Args)]
pub struct Verify {
    /// Trading day, YYYY-MM-DD, the events of which are checked; all without
    /// it. Files are always checked whole.
    #[arg(value_name = "DAY")]
    day: Option<String>,
    /// The same.
    #[arg(long = "day", value_name = "DAY", conflicts_with = "day")]
    of_day: Option<String>,
    /// Check derived data, too: its files, headers, bodies, and every part of
    /// every checkpoint. Its store is opened for that, which may write to
    /// `derived/`; never to the journal.
    #[arg(long)]
    derived: bool,
}

#[derive(Serialize)]
struct Report {
    clean: bool,
    head: u64,
    events: u64,
    pages: u64,
    frames: u64,
    blobs: u64,
    dropped: u64,
    unfinished_bytes: u64,
    findings: Vec<FindingView>,
    accepted_losses: Vec<LossView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    derived: Option<DerivedView>,
}

#[derive(Serialize)]
struct DerivedView {
    headers: u64,
    bodies: u64,
    checkpoints: u64,
    findings: Vec<String>,
}

pub fn run(common: &Common, command: &Verify) -> anyhow::Result<Exit> {
    let text = command.day.as_ref().or(command.of_day.as_ref());
    let parse = |text: &String| {
        TradingDay::parse(text).with_context(|| format!("`{text}` is no date; write YYYY-MM-DD"))
    };
    let day = text.map(parse).transpose()?;
    let found = look::look(common, day)?;
    if let Some(format) = found.newer {
        anyhow::bail!("the journal was written by format {format}; use a newer orrery");
    }
    let derived = match command.derived && common.data_dir().join("derived").is_dir() {
        true => Some(derived(common)?),
        false => None,
    };
    let whole = derived.as_ref().is_none_or(|d| d.findings.is_empty());
    let clean = found.is_clean() && whole;
    if common.json {
        output::json(&Report {
            clean,
            head: found.end.0,
            events: found.report.events,
            pages: found.report.pages,
            frames: found.report.frames,
            blobs: found.report.blobs,
            dropped: found.report.dropped,
            unfinished_bytes: found.torn.as_ref().map_or(0, |t| t.bytes),
            findings: found.report.findings.iter().map(Into::into).collect(),
            accepted_losses: found.report.losses.iter().map(Into::into).collect(),
            derived: derived.map(|d| DerivedView {
                headers: d.headers,
                bodies: d.bodies,
                checkpoints: d.checkpoints,
                findings: d.findings,
            }),
        })?;
    } else {
        for f in &found.report.findings {
            output::line(format!("damaged {}", look::finding(f)));
        }
        if found.report.dropped > 0 {
            let dropped = output::grouped(found.report.dropped);
            output::line(format!(
                "{dropped} events were dropped by retention, as the journal says"
            ));
        }
        for loss in &found.report.losses {
            output::line(format!("accepted: {}", look::loss(loss)));
        }
        if let Some(torn) = &found.torn {
            let (file, offset, bytes) = (torn.file.display(), torn.offset, torn.bytes);
            output::line(format!("unfinished: {file} at byte {offset}: {bytes} bytes of a write"));
        }
        if let Some(derived) = &derived {
            derived
                .findings
                .iter()
                .for_each(|f| output::line(format!("damaged derived data: {f}")));
            output::line(format!(
                "derived: {} headers, {} bodies, {} checkpoints",
                output::grouped(derived.headers),
                output::grouped(derived.bodies),
                output::grouped(derived.checkpoints),
            ));
        }
        output::line(format!(
            "{}: {} events in {} pages and {} frames, {} blobs",
            if clean { "clean" } else { "DAMAGED" },
            output::grouped(found.report.events),
            output::grouped(found.report.pages),
            output::grouped(found.report.frames),
            output::grouped(found.report.blobs),
        ));
        if !found.is_clean() {
            let dir = common.data_dir().display();
            output::line(format!("`orrery doctor --data {dir}` says what can be done"));
        }
    }
    Ok(if clean { Exit::Fine } else { Exit::Finding })
}

/// The files first, as they are: opening may change them.
fn derived(common: &Common) -> anyhow::Result<AuditReport> {
    let folder = common.data_dir().join("derived");
    let advice =
        || format!("derived data cannot be read; deleting {} has it made again", folder.display());
    let files = examine_derived(common.data_dir()).with_context(advice)?;
    let place = |damage: &FileDamage| {
        let FileDamage { file, offset, bytes, what, .. } = damage;
        format!("{} at byte {offset} ({bytes} bytes): {what}", file.display())
    };
    let (unfinished, damaged): (Vec<_>, Vec<_>) = files.iter().partition(|d| d.unfinished);
    let damaged: Vec<String> = damaged.into_iter().map(place).collect();
    for damage in unfinished {
        tracing::warn!(place = place(damage), "an unfinished write; what it held is made again");
    }
    let audited = Derived::open(common.data_dir()).and_then(|derived| audit(&derived));
    match audited {
        Ok(mut report) => {
            report.findings.splice(0..0, damaged);
            Ok(report)
        }
        // Where the files say what is wrong, that is the answer.
        Err(error) if !damaged.is_empty() => {
            let mut findings = damaged;
            findings.push(format!("{:#}", anyhow::Error::new(error).context(advice())));
            Ok(AuditReport { findings, ..AuditReport::default() })
        }
        Err(error) => Err(error).with_context(advice),
    }
}
