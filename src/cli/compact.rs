//! `orrery compact`: less disk, with the same journal or without its first days.

use std::ops::ControlFlow;

use anyhow::{Context, bail};
use clap::Args;
use orrery_journal::units::{Seq, TradingDay};
use orrery_journal::{Dropped, Journal, Plan};
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::sealing::{self, SealingError};
use crate::backend::{Archive, operations};
use crate::clock;

/// Have the store write its tables anew, without what was replaced or deleted;
/// first drop whole days, if asked to.
///
/// Dropping a day deletes its events and the blobs that only they name. Its
/// summary, its addresses and the state of the folds behind it stay, so that
/// everything after it still replays identically and proofs still hold. It is
/// journaled before anything is deleted, and it cannot be undone: make a backup
/// first. Each day is certified before it goes. Not while a server holds the data
/// directory.
///
/// Without --keep-days and --before no event changes, and a server is asked.
///
/// Example: orrery compact --keep-days 30 --dry-run
#[derive(Debug, Args)]
pub struct Compact {
    /// Drop every day but the last N, the open one included.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_days: Option<u32>,
    /// Drop every day before this one, YYYY-MM-DD.
    #[arg(long, value_name = "DAY", conflicts_with = "keep_days")]
    before: Option<String>,
    /// Drop days that have no certificate without making one.
    #[arg(long)]
    uncertified: bool,
    /// Only say what would be dropped.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: open::Server,
}

#[derive(Serialize)]
struct Report {
    server: Option<String>,
    dry_run: bool,
    days: Vec<String>,
    last_seq: Option<u64>,
    events: u64,
    pages: u64,
    blobs: u64,
    dropped_bytes: u64,
    bytes_before: u64,
    bytes_after: u64,
}

impl Report {
    fn new((bytes_before, bytes_after): (u64, u64)) -> Report {
        Report {
            server: None,
            dry_run: false,
            days: Vec::new(),
            last_seq: None,
            events: 0,
            pages: 0,
            blobs: 0,
            dropped_bytes: 0,
            bytes_before,
            bytes_after,
        }
    }

    fn of(plan: &Plan, sizes: (u64, u64)) -> Report {
        Report {
            days: plan.days.iter().map(ToString::to_string).collect(),
            last_seq: plan.last.map(|s| s.0),
            events: plan.events,
            pages: plan.pages,
            blobs: plan.blobs(),
            dropped_bytes: plan.bytes,
            ..Report::new(sizes)
        }
    }

    fn print(&self) {
        let n = output::grouped;
        if !self.days.is_empty() {
            output::line(format!(
                "{} {} days, {} to {}: {} events, {} pages and {} blobs, {} bytes",
                if self.dry_run { "would drop" } else { "dropped" },
                self.days.len(),
                self.days.first().map_or("-", String::as_str),
                self.days.last().map_or("-", String::as_str),
                n(self.events),
                n(self.pages),
                n(self.blobs),
                n(self.dropped_bytes),
            ));
        } else if self.dry_run {
            output::line("nothing to drop");
        }
        if !self.dry_run {
            let (before, after) = (n(self.bytes_before), n(self.bytes_after));
            output::line(format!("{before} bytes on disk before, {after} after"));
        }
    }
}

pub fn run(common: &Common, command: &Compact) -> anyhow::Result<Exit> {
    let retention = command.keep_days.is_some() || command.before.is_some();
    if command.dry_run && !retention {
        bail!("--dry-run needs --keep-days or --before");
    }
    let report = match open::reach(common, &command.server)? {
        open::Reach::Server(client) if retention => bail!(
            "the server at {} holds the data directory; stop it to drop days",
            client.address()
        ),
        open::Reach::Server(mut client) => {
            let sizes = client.compact()?;
            Report { server: Some(client.address().to_owned()), ..Report::new(sizes) }
        }
        open::Reach::Here(journal) if retention => drop_days(common, command, journal)?,
        open::Reach::Here(journal) => Report::new(operations::compact(&journal)?),
    };
    match common.json {
        true => output::json(&report)?,
        false => report.print(),
    }
    Ok(Exit::Fine)
}

fn drop_days(common: &Common, command: &Compact, journal: Journal) -> anyhow::Result<Report> {
    let before = journal.stat()?.bytes;
    let Some(day) = first_kept(command, &journal)? else {
        return Ok(Report { dry_run: command.dry_run, ..Report::new((before, before)) });
    };
    let plan = journal.plan_drop(day)?;
    if command.dry_run {
        return Ok(Report { dry_run: true, ..Report::of(&plan, (before, before)) });
    }
    let bar = output::progress(plan.last.map_or(0, |s| s.0), "dropping");
    let mut tell = |seq: Seq| {
        bar.set_position(seq.0);
        ControlFlow::Continue(())
    };
    let archive = open::with(common, journal)?.into_archive(common.threads);
    let state = match plan.last {
        Some(last) => Some(state_at(&archive, last)?),
        None => None,
    };
    if !command.uncertified {
        plan.days.iter().try_for_each(|day| certify(&archive, *day))?;
    }
    let journal = archive.journal();
    let writer = journal.writer(clock::now)?;
    // Whatever an earlier run left goes first.
    let left: Dropped = journal.finish_drop(&writer, &mut tell)?;
    if let Some(state) = state {
        journal.drop_days(&writer, &plan, state, &mut tell)?;
    }
    writer.close()?;
    bar.finish_and_clear();
    if left.pages > 0 {
        tracing::warn!(pages = left.pages, "an earlier drop had broken off and was finished");
    }
    // What follows from the control event, so that nothing is behind.
    open::catch_up(&archive)?;
    let (_, after) = operations::compact(archive.journal())?;
    Ok(Report::of(&plan, (before, after)))
}

/// Certifies a day that is about to go, if it has no certificate.
fn certify(archive: &Archive, day: TradingDay) -> anyhow::Result<()> {
    let go_on = &mut |_| ControlFlow::Continue(());
    match sealing::seal(archive, day, false, None, go_on) {
        // It keeps the one that it got under other definitions.
        Ok(_) | Err(SealingError::Otherwise { .. }) => Ok(()),
        Err(error) => Err(error).with_context(|| {
            format!("{day} gets no certificate; --uncertified drops it without one")
        }),
    }
}

/// The first day that stays; `None` when all of them do.
fn first_kept(command: &Compact, journal: &Journal) -> anyhow::Result<Option<TradingDay>> {
    if let Some(text) = &command.before {
        let day = TradingDay::parse(text);
        return day.map(Some).with_context(|| format!("`{text}` is no date; write YYYY-MM-DD"));
    }
    let keep = command.keep_days.unwrap_or(u32::MAX) as usize;
    let days = journal.days()?;
    Ok(days.len().checked_sub(keep).and_then(|at| days.get(at)).map(|d| d.day))
}

/// What the folds knew after an event that ends a day.
fn state_at(archive: &Archive, last: Seq) -> anyhow::Result<bytes::Bytes> {
    open::catch_up(archive)?;
    let found = archive.derived().checkpoint_at_or_before(last)?;
    found.filter(|c| c.seq == last).map(|c| c.bytes).with_context(|| {
        format!(
            "derived data has no state of event {last}, from which the days behind it could be \
             folded; delete {} and try again",
            archive.journal().folder().unwrap_or("derived".as_ref()).join("derived").display()
        )
    })
}
