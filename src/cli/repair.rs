//! `orrery repair`: a whole database from what can be read and from a copy.

use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{Seq, SourceId};
use orrery_journal::{
    Journal, Loss, LossKind, OpenOptions, RepairError, RepairOptions, Repaired, Stage, Taken,
    repair,
};
use serde::Serialize;

use super::exit::Exit;
use super::look::{self, LossView};
use super::{Common, output};
use crate::clock;

/// Build a whole journal from what can be read here and from a copy.
///
/// The damaged database is kept in journal/quarantine/ and never written to.
/// The new one is checked whole before it takes its place. Exit code 0: done.
/// 1: events are missing in both. 2: could not run.
///
/// Example: orrery repair --data orrery-data --from /backup/orrery-data --dry-run
#[derive(Debug, Args)]
pub struct Repair {
    /// Another data directory with the same events, such as a backup.
    #[arg(long, value_name = "COPY")]
    from: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    accept: Accept,
}

/// Losses to be accepted.
#[derive(Clone, Debug, Default, Args)]
pub struct Accept {
    /// Give up these events, which are nowhere to be found. All ranges together
    /// must be exactly what is missing. It is journaled.
    #[arg(long = "accept-loss", value_name = "FROM..TO", value_parser = range)]
    pub ranges: Vec<(Seq, Seq)>,
    /// Who accepts, for the journal.
    #[arg(long, env = "USER", value_name = "NAME", default_value = "unknown")]
    pub accepted_by: String,
}

fn range(text: &str) -> Result<(Seq, Seq), String> {
    let ends = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match ends {
        Some((first, last)) if 1 <= first && first <= last => Ok((Seq(first), Seq(last))),
        _ => Err("write two event numbers, as in 4097..8192".into()),
    }
}

#[derive(Serialize)]
struct Report {
    dry_run: bool,
    head: u64,
    pages: View,
    frames: View,
    blobs: View,
    rebuilt: u64,
    missing: Vec<(u64, u64)>,
    accepted_losses: Vec<LossView>,
    kept: Option<String>,
}

#[derive(Serialize)]
struct View {
    here: u64,
    copy: u64,
}

impl From<Taken> for View {
    fn from(taken: Taken) -> View {
        View { here: taken.here, copy: taken.copy }
    }
}

pub fn run(common: &Common, command: &Repair) -> anyhow::Result<Exit> {
    if !common.data_dir().join("journal").is_dir() {
        bail!("{} holds no journal", common.data_dir().display());
    }
    let Some(done) = rebuild(common, &command.accept, command.from.clone(), command.dry_run)?
    else {
        return Ok(Exit::Finding);
    };
    if common.json {
        output::json(&Report {
            dry_run: command.dry_run,
            head: done.head.0,
            pages: done.pages.into(),
            frames: done.frames.into(),
            blobs: done.blobs.into(),
            rebuilt: done.rebuilt,
            missing: done.missing.iter().map(|(a, b)| (a.0, b.0)).collect(),
            accepted_losses: done.losses.iter().map(Into::into).collect(),
            kept: done.kept.as_ref().map(|k| k.display().to_string()),
        })?;
    } else {
        tell(&done, command.dry_run);
    }
    let lacking = command.dry_run && !done.missing.is_empty();
    Ok(if lacking { Exit::Finding } else { Exit::Fine })
}

fn tell(done: &Repaired, dry_run: bool) {
    let of = |what: &str, taken: Taken| {
        let (here, copy) = (output::grouped(taken.here), output::grouped(taken.copy));
        output::line(format!("{what}: {here} from here, {copy} from the copy"));
    };
    of("pages", done.pages);
    of("frames", done.frames);
    of("blobs", done.blobs);
    output::line(format!("made anew from events: {}", output::grouped(done.rebuilt)));
    if dry_run {
        for (first, last) in &done.missing {
            output::line(format!("missing in both: events {first}..{last}"));
        }
        output::line("nothing was changed");
        return;
    }
    done.losses.iter().for_each(|loss| output::line(look::loss(loss)));
    if let Some(kept) = &done.kept {
        output::line(format!("the damaged database is kept in {}", kept.display()));
    }
    output::line(format!("repaired: the journal ends at event {}", done.head));
}

/// Repairs and journals what was accepted; `None` when events are missing.
fn rebuild(
    common: &Common,
    accept: &Accept,
    from: Option<PathBuf>,
    dry_run: bool,
) -> anyhow::Result<Option<Repaired>> {
    let options = RepairOptions { from, accept: accept.ranges.clone(), dry_run, now: clock::now() };
    let mut bar: Option<(Stage, ProgressBar)> = None;
    let done = repair(common.data_dir(), &options, &mut |stage, n, of| {
        let (_, bar) = match bar.take() {
            Some(held) if held.0 == stage => bar.insert(held),
            _ => bar.insert((stage, output::progress(of, "repairing"))),
        };
        bar.set_position(n);
    });
    if let Some((_, bar)) = bar {
        bar.finish_and_clear();
    }
    let done = match done {
        Err(error @ (RepairError::Missing { .. } | RepairError::Accepted { .. })) => {
            output::error(&anyhow::Error::new(error), common.json);
            return Ok(None);
        }
        other => other.context("the journal was not repaired")?,
    };
    if !done.losses.is_empty() {
        journal(common, &done.losses, &accept.accepted_by)?;
    }
    Ok(Some(done))
}

/// Puts the acceptance into the journal, and drops what was derived from events
/// that are no more.
fn journal(common: &Common, losses: &[Loss], by: &str) -> anyhow::Result<()> {
    let derived = common.data_dir().join("derived");
    if losses.iter().any(|loss| loss.kind == LossKind::End) && derived.is_dir() {
        std::fs::remove_dir_all(&derived)
            .with_context(|| format!("cannot delete {}", derived.display()))?;
    }
    let journal = Journal::open(common.data_dir(), &OpenOptions::default())?;
    let writer = journal.writer(clock::now)?;
    let drafts = losses.iter().map(|loss| {
        let text = serde_json::json!({
            "control": "loss_accepted",
            "kind": match loss.kind { LossKind::Hole => "hole", LossKind::End => "end" },
            "first": loss.first.0,
            "last": loss.last.0,
            "accepted_at": loss.accepted.to_rfc3339(),
            "accepted_by": by,
        });
        Draft {
            recv: None,
            vendor_time: None,
            instrument: InstrumentRef::None,
            source: SourceId::JOURNAL,
            extension: None,
            body: DraftBody::Control(Bytes::from(text.to_string())),
        }
    });
    writer.append(drafts.collect())?.wait()?;
    writer.close()?;
    Ok(())
}

/// What `serve --accept-loss` does before it opens: nothing if the journal
/// opens, for it may be started again and again.
///
/// # Errors
/// When other events are missing than those that were named.
pub fn accept(common: &Common, accept: &Accept) -> anyhow::Result<()> {
    if accept.ranges.is_empty() || !common.data_dir().join("journal").is_dir() {
        return Ok(());
    }
    match Journal::open(common.data_dir(), &OpenOptions::default()) {
        Ok(journal) => {
            let known = journal.losses();
            for (first, last) in &accept.ranges {
                if !known.iter().any(|loss| (loss.first, loss.last) == (*first, *last)) {
                    bail!("nothing is missing, so the loss of {first}..{last} cannot be accepted");
                }
            }
            Ok(())
        }
        Err(refused) if refused.is_damage() => match rebuild(common, accept, None, false)? {
            Some(_) => Ok(()),
            None => Err(refused.into()),
        },
        Err(refused) => Err(refused.into()),
    }
}
