//! `orrery doctor`: what state a data directory is in, in words, and what can
//! be done about it.

use clap::Args;
use orrery_journal::guard::{self, Room};
use orrery_journal::units::Seq;
use orrery_journal::{DamageKind, Examination, HeadState, OpenError, examine_derived};
use serde::Serialize;

use super::exit::Exit;
use super::look::{self, FindingView, LossView};
use super::{Common, output};

/// Explain the state of a data directory and what can be done. Never writes.
///
/// Exit code 0: it opens. 1: damaged, or events are lost. 2: cannot be looked
/// at.
///
/// Example: orrery doctor --data orrery-data
#[derive(Debug, Args)]
pub struct Doctor {}

/// How a data directory is, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Clean,
    Damaged,
    Lost,
    InUse,
    Newer,
    Absent,
}

/// A command that helps, and why.
#[derive(Debug, Serialize)]
struct Advice {
    command: String,
    why: String,
}

#[derive(Serialize)]
struct Diagnosis {
    state: State,
    data: String,
    notes: Vec<String>,
    findings: Vec<FindingView>,
    unreadable: Vec<(u64, u64)>,
    accepted_losses: Vec<LossView>,
    advice: Vec<Advice>,
    #[serde(skip)]
    told: Vec<String>,
}

pub fn run(common: &Common, _: &Doctor) -> anyhow::Result<Exit> {
    let diagnosis = diagnose(common)?;
    let exit = match diagnosis.state {
        State::Clean => Exit::Fine,
        State::Damaged | State::Lost => Exit::Finding,
        State::InUse | State::Newer | State::Absent => Exit::Usage,
    };
    if common.json {
        output::json(&diagnosis)?;
        return Ok(exit);
    }
    let state = match diagnosis.state {
        State::Clean => "clean: it opens",
        State::Damaged => "DAMAGED: it does not open, and nothing in it was changed",
        State::Lost => "ACKNOWLEDGED EVENTS ARE LOST: it does not open",
        State::InUse => "in use",
        State::Newer => "written by a newer orrery",
        State::Absent => "no journal",
    };
    output::line(format!("{}: {state}", diagnosis.data));
    diagnosis.notes.iter().for_each(|note| output::line(format!("- {note}")));
    if !diagnosis.told.is_empty() {
        output::line("what is damaged:");
        diagnosis.told.iter().for_each(|told| output::line(format!("- {told}")));
    }
    if !diagnosis.advice.is_empty() {
        output::line("what can be done:");
        for advice in &diagnosis.advice {
            output::line(format!("  {}", advice.command));
            output::line(format!("      {}", advice.why));
        }
    }
    Ok(exit)
}

fn diagnose(common: &Common) -> anyhow::Result<Diagnosis> {
    let dir = common.data_dir();
    let data = dir.display().to_string();
    let mut out = Diagnosis {
        state: State::Clean,
        data: data.clone(),
        notes: Vec::new(),
        findings: Vec::new(),
        unreadable: Vec::new(),
        accepted_losses: Vec::new(),
        advice: Vec::new(),
        told: Vec::new(),
    };
    let advise = |out: &mut Diagnosis, command: String, why: &str| {
        out.advice.push(Advice { command, why: why.to_owned() });
    };
    if !dir.join("journal").is_dir() {
        out.state = State::Absent;
        let why = "makes a journal from captures; `orrery demo` makes one from a made-up session";
        advise(&mut out, format!("orrery import PATH... --data {data}"), why);
        return Ok(out);
    }
    let found = match look::look(common, None) {
        Ok(found) => found,
        Err(error) => match error.downcast_ref::<OpenError>() {
            Some(OpenError::Locked { holder, .. }) => {
                out.state = State::InUse;
                out.notes.push(format!("{holder} has it; what it reads is checked on the way"));
                advise(&mut out, format!("orrery doctor --data {data}"), "after it was stopped");
                return Ok(out);
            }
            _ => return Err(error),
        },
    };
    if let Some(format) = found.newer {
        out.state = State::Newer;
        out.notes.push(format!(
            "its format is {format}, which this orrery does not know; nothing was looked at"
        ));
        return Ok(out);
    }
    out.state = match (found.is_clean(), only_lost(&found)) {
        (true, _) => State::Clean,
        (false, true) => State::Lost,
        (false, false) => State::Damaged,
    };
    notes(common, &found, &mut out.notes);
    out.told = found.report.findings.iter().map(look::finding).collect();
    out.findings = found.report.findings.iter().map(Into::into).collect();
    out.unreadable = found.unreadable.iter().map(|(a, b)| (a.0, b.0)).collect();
    out.accepted_losses = found.report.losses.iter().map(Into::into).collect();
    if !found.is_clean() {
        out.advice = advice(&data, &found);
    }
    Ok(out)
}

/// Whether the files are in order and the end of the journal is missing.
fn only_lost(found: &Examination) -> bool {
    found.lost.is_some() && found.report.findings.iter().all(|f| f.kind == DamageKind::Missing)
}

fn notes(common: &Common, found: &Examination, notes: &mut Vec<String>) {
    let report = &found.report;
    notes.push(format!(
        "{} events can be read, the last that anything tells of is {}",
        output::grouped(report.events),
        found.end
    ));
    match &found.head {
        HeadState::Acknowledged { seq, epoch } => {
            notes.push(format!("acknowledged up to event {seq}, by writer {epoch}"));
        }
        HeadState::Missing if found.end == Seq::BEFORE_FIRST => {
            notes.push("HEAD is missing: it was being created; the next opening goes on".into());
        }
        HeadState::Missing => notes.push("HEAD is missing".into()),
        HeadState::Damaged(why) => notes.push(format!("HEAD is damaged: {why}")),
    }
    for harmless in &found.harmless {
        let (file, offset, what) = (harmless.file.display(), harmless.offset, &harmless.what);
        notes.push(format!("{file} at byte {offset}: {what}; that costs nothing"));
    }
    if let Some(torn) = &found.torn {
        let (file, bytes) = (torn.file.display(), torn.bytes);
        notes.push(format!(
            "a write of {bytes} bytes at the end of {file} was not finished, as after a crash; the \
             next opening keeps it in journal/quarantine/ and cuts it off"
        ));
    }
    if let Some(why) = &found.dirty {
        notes.push(format!(
            "the last writer stopped after a failed write ({why}); the next opening writes the \
             log anew and finds out what survived"
        ));
    }
    if report.dropped > 0 {
        notes.push(format!(
            "{} events were dropped by retention, as the journal says",
            output::grouped(report.dropped)
        ));
    }
    if let Some((from, to)) = found.lost {
        notes.push(format!("events {from}..{to} were acknowledged and are gone"));
    }
    for (from, to) in &found.unreadable {
        notes.push(format!("events {from}..{to} cannot be read"));
    }
    notes.extend(report.losses.iter().map(look::loss));
    if !common.data_dir().join("derived").is_dir() {
        notes.push("derived data are missing; the next command that needs them makes them".into());
    }
    match examine_derived(common.data_dir()) {
        Ok(found) => notes.extend(found.iter().filter(|d| !d.unfinished).map(|damage| {
            format!(
                "derived data are damaged in {} at byte {}: {}; what is there is skipped or made \
                 again from the journal. `orrery verify --derived` names checkpoints and artifacts",
                damage.file.display(),
                damage.offset,
                damage.what
            )
        })),
        Err(e) => notes.push(format!("the files of derived data cannot be read: {e}")),
    }
    match guard::room(common.data_dir()) {
        Ok(Room { free, total }) if free < guard::default_reserve(total) => notes.push(format!(
            "the disk is nearly full ({} MiB free): no events are taken until there is room",
            free >> 20
        )),
        Ok(Room { free, .. }) => notes.push(format!("{} MiB of disk are free", free >> 20)),
        Err(e) => notes.push(format!("how much room the disk has cannot be told: {e}")),
    }
}

fn advice(data: &str, found: &Examination) -> Vec<Advice> {
    let mut out = Vec::new();
    let mut advise = |command: String, why: String| out.push(Advice { command, why });
    advise(
        format!("cp -a {data} {data}.evidence"),
        "first of all, if there is room: keeps what is here as it is (orrery does not change it \
         either)"
            .into(),
    );
    let blobs = found.report.findings.iter().any(|f| f.kind == DamageKind::Blob);
    let headless = !matches!(found.head, HeadState::Acknowledged { .. });
    let complete = found.unreadable.is_empty() && found.lost.is_none() && !blobs && !headless;
    if complete {
        advise(
            format!("orrery repair --data {data}"),
            "every event can be read: builds a fresh database from what is here, checks it, puts \
             it in place and keeps the damaged one in journal/quarantine/"
                .into(),
        );
        return out;
    }
    advise(
        format!("orrery repair --data {data} --from COPY --dry-run"),
        "COPY is another data directory with the same events, such as one made by `orrery \
         backup`; says what would be taken from it. Without --dry-run it is done; the damaged \
         database is kept in journal/quarantine/"
            .into(),
    );
    let ranges = found.unreadable.iter().chain(found.lost.iter());
    let flags: Vec<String> =
        ranges.map(|(from, to)| format!("--accept-loss {from}..{to}")).collect();
    if !flags.is_empty() && !headless && !blobs {
        advise(
            format!("orrery repair --data {data} {}", flags.join(" ")),
            "without a copy: gives these events up for good and builds a journal of the rest; \
             who accepted the loss is journaled"
                .into(),
        );
    }
    out
}
