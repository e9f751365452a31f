//! A data directory looked at without opening it, for the commands that tell
//! what is wrong with it.

use anyhow::bail;
use orrery_journal::units::{Seq, TradingDay};
use orrery_journal::{Examination, Finding, Loss, LossKind, Stage, examine};
use serde::Serialize;

use super::{Common, output};

/// Looks at the whole journal, or at the events of one day, behind a progress
/// bar.
///
/// # Errors
/// When there is no journal, another process has it, or it has no such day.
pub fn look(common: &Common, day: Option<TradingDay>) -> anyhow::Result<Examination> {
    let dir = common.data_dir();
    if !dir.join("journal").is_dir() {
        bail!(
            "{} holds no journal; `orrery import PATH...` or `orrery demo` makes one, --data names another",
            dir.display()
        );
    }
    let mut bar = None;
    let found = examine(dir, day, &mut |stage, n, of| {
        let bar = match &bar {
            Some((at, bar)) if *at == stage => bar,
            _ => {
                let what = match stage {
                    Stage::Files => "checking files (bytes)",
                    Stage::Contents => "reading files (bytes)",
                    Stage::Events => "verifying events",
                };
                &bar.insert((stage, output::progress(of, what))).1
            }
        };
        bar.set_position(n);
    });
    if let Some((_, bar)) = bar {
        bar.finish_and_clear();
    }
    let found = found?;
    if let Some(day) = day
        && !found.days.contains(&day)
        && found.is_clean()
    {
        let known: Vec<String> = found.days.iter().map(ToString::to_string).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        bail!("the journal has no day {day}; it has {known}");
    }
    Ok(found)
}

/// A finding in JSON.
#[derive(Debug, Serialize)]
pub struct FindingView {
    kind: &'static str,
    file: Option<String>,
    offset: u64,
    first: Option<u64>,
    last: Option<u64>,
    day: Option<String>,
    what: String,
}

impl From<&Finding> for FindingView {
    fn from(f: &Finding) -> FindingView {
        let seq = |seq: Seq| (f.last > Seq::BEFORE_FIRST).then_some(seq.0);
        FindingView {
            kind: f.kind.name(),
            file: f.file.as_ref().map(|file| file.display().to_string()),
            offset: f.offset,
            first: seq(f.first),
            last: seq(f.last),
            day: f.day.map(|day| day.to_string()),
            what: f.what.clone(),
        }
    }
}

/// One line: where, which events, which day, what.
pub fn finding(f: &Finding) -> String {
    let place = match &f.file {
        Some(file) => format!("{} at byte {}", file.display(), f.offset),
        None => "no file".to_owned(),
    };
    let events = match (f.first, f.last) {
        (_, Seq::BEFORE_FIRST) => "events unknown".to_owned(),
        (first, last) if first == last => format!("event {first}"),
        (first, last) => format!("events {first}..{last}"),
    };
    let day = f.day.map_or_else(|| "day unknown".to_owned(), |day| day.to_string());
    format!("{}: {place}; {events} ({day}): {}", f.kind.name(), f.what)
}

/// An accepted loss in JSON.
#[derive(Debug, Serialize)]
pub struct LossView {
    kind: &'static str,
    first: u64,
    last: u64,
    accepted: String,
}

impl From<&Loss> for LossView {
    fn from(loss: &Loss) -> LossView {
        let kind = match loss.kind {
            LossKind::Hole => "hole",
            LossKind::End => "end",
        };
        let accepted = loss.accepted.to_rfc3339();
        LossView { kind, first: loss.first.0, last: loss.last.0, accepted }
    }
}

/// One line on an accepted loss.
pub fn loss(loss: &Loss) -> String {
    let (first, last, when) = (loss.first, loss.last, loss.accepted);
    match loss.kind {
        LossKind::Hole => {
            format!(
                "events {first}..{last} are lost, as was accepted at {when}; reading them is refused"
            )
        }
        LossKind::End => {
            format!(
                "events {first}..{last} were lost, as was accepted at {when}; their numbers went to other events"
            )
        }
    }
}
