//! What-if: a day under other definitions, or without some of its events.

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use orrery_journal::Journal;
use orrery_journal::units::Seq;
use orrery_replay::as_of::At;
use orrery_replay::compare::{Selection, Span};
use orrery_replay::derived::FamilyName;
use orrery_replay::fold::World;
use orrery_replay::tally::{Cell, FamilyTally};
use orrery_replay::what_if::{Question, WhatIf, what_if};
use orrery_replay::without::{Sort, Without};
use serde_json::{Value, json};

use super::exit::Exit;
use super::journal::kind;
use super::{Common, open, output, replay};
use crate::backend::Archive;
use crate::clock::Stopwatch;
use crate::models::parameters::Parameters;
use crate::models::parameters::setting::Settings;
use crate::world::MarketWorld;

/// Other definitions, other parameters, missing events.
#[derive(Clone, Debug, Default, Args)]
pub struct Other {
    /// What if this profile had been in force, such as gex/naive-oi-cumulative@1;
    /// may be given several times, for different models.
    #[arg(long, value_name = "PROFILE", help_heading = "What if")]
    pub profile: Vec<String>,
    /// What if this parameter had been another, such as gex.flip.step=0.001; may
    /// be given several times. `orrery parameters` prints all of them.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "What if")]
    pub set: Vec<String>,
    /// What if these events of the day had never come: `kind=trade`, `ticker=SPY`,
    /// `seq=100..200`, or several of them with commas, which must all hold. May
    /// be given several times. Time passes all the same, and definitions stay.
    #[arg(long, value_name = "EVENTS", help_heading = "What if")]
    pub without: Vec<String>,
    /// How many cells of each family to print, biggest change first.
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "What if")]
    pub top: usize,
}

impl Other {
    /// Whether anything is to be different.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        !(self.profile.is_empty() && self.set.is_empty() && self.without.is_empty())
    }

    /// The parameters that differ, by path.
    ///
    /// # Errors
    /// When a profile or parameter is unknown, or named twice.
    pub fn settings(&self, from: &Parameters) -> anyhow::Result<Settings> {
        let profiles = self.profile.iter().map(|name| from.profile_setting(name));
        let set = self.set.iter().map(|text| from.setting(text));
        let mut settings = Settings::new();
        for setting in profiles.chain(set) {
            let (name, value) = setting?;
            ensure!(!settings.contains_key(&name), "{name} is set twice; set it once");
            settings.insert(name, value);
        }
        Ok(settings)
    }

    /// The definitions that were in force before the range, otherwise.
    ///
    /// # Errors
    /// See [`Other::settings`]; and when all of it cannot be used together.
    fn world(&self, archive: &Archive, before: Seq) -> anyhow::Result<Arc<dyn World>> {
        let from = archive.in_force(At::Seq(before))?;
        let settings = self.settings(&from)?;
        if settings.is_empty() {
            return Ok(archive.world());
        }
        // What was promoted meanwhile would undo what is asked.
        Ok(Arc::new(MarketWorld::new(from.with(&settings)?)?.unsteered()))
    }

    fn without(&self, journal: &Journal, from: Seq) -> anyhow::Result<Without> {
        let sorts = self
            .without
            .iter()
            .map(|text| sort(journal, text).with_context(|| format!("--without {text}")));
        Ok(Without { from, sorts: sorts.collect::<anyhow::Result<_>>()? })
    }
}

/// Events as the command line names them.
fn sort(journal: &Journal, text: &str) -> anyhow::Result<Sort> {
    let mut sort = Sort::default();
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("kind", name)) => {
                let kind = kind(name).map_err(anyhow::Error::msg)?;
                ensure!(
                    !kind.is_bookkeeping(),
                    "{name} gives others their meaning and cannot be left out"
                );
                sort.kinds.insert(kind);
            }
            Some(("ticker", name)) => {
                let id = journal.instrument(name);
                let id = id.with_context(|| format!("the journal has no event of {name}"))?;
                sort.instruments.insert(id);
            }
            Some(("seq", range)) => {
                let (first, last) = range.split_once("..").unwrap_or((range, range));
                let seq = |text: &str| {
                    text.parse().map(Seq).with_context(|| format!("`{text}` is no seq"))
                };
                let (first, last) = (seq(first)?, seq(last)?);
                ensure!(first <= last, "{first}..{last} is empty");
                ensure!(sort.seqs.replace((first, last)).is_none(), "seq is given twice");
            }
            _ => bail!("`{part}` is none of kind=KIND, ticker=TICKER, seq=FIRST..LAST"),
        }
    }
    Ok(sort)
}

/// Folds a day as it might have been and prints what differs.
///
/// # Errors
/// When the data does not open, or something that was named does not exist.
pub fn run(common: &Common, day: &str, other: &Other, only: &Selection) -> anyhow::Result<Exit> {
    let data = open::existing(common)?;
    // Mistakes are told before anything is folded.
    other.settings(data.world.parameters())?;
    let archive = data.into_archive(common.threads);
    open::catch_up(&archive)?;
    replay::known(&archive.families()?, only)?;
    let summary = open::day(archive.journal(), day)?;
    let span = Span { first: summary.first, last: summary.last };
    let without = other.without(archive.journal(), span.first)?;
    let world = other.world(&archive, Seq(span.first.0.saturating_sub(1)))?;
    let bar = output::progress(span.last.0, "folding twice");
    let watch = Stopwatch::start();
    let question = Question { span, world: &world, without: &without, threads: archive.threads() };
    let (journal, derived, recorded) = (archive.journal(), archive.derived(), archive.world());
    let found = what_if(journal, derived, &recorded, &question, &mut |at| {
        bar.set_position(at.seq.0);
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    let wanted = |(symbol, family): &&FamilyName| only.admits(symbol, family);
    let families: Vec<(&FamilyName, &FamilyTally)> =
        found.tally.families().iter().filter(|(name, _)| wanted(name)).collect();
    if common.json {
        output::json(&document(day, &found, &families, other.top, watch.seconds()))?;
    } else {
        print(day, &found, &families, other.top, watch.seconds());
    }
    let same = families.iter().all(|(_, family)| family.differing == 0);
    Ok(if same { Exit::Fine } else { Exit::Finding })
}

type Families<'a> = [(&'a FamilyName, &'a FamilyTally)];

fn document(day: &str, found: &WhatIf, families: &Families<'_>, top: usize, seconds: f64) -> Value {
    let cell = |family: &FamilyTally, path: &str, cell: &Cell| {
        json!({ "path": path, "times": cell.times, "absolute": cell.largest,
                "relative": cell.relative, "mean": family.mean(path), "seq": cell.at.0,
                "recorded": cell.left, "what_if": cell.right })
    };
    let families: Vec<Value> = families
        .iter()
        .map(|((symbol, family), tally)| {
            let cells = tally.biggest();
            let shown: Vec<Value> =
                cells.iter().take(top).map(|(path, c)| cell(tally, path, c)).collect();
            let first = tally.first.as_ref().map(|first| {
                json!({ "seq": first.at.0, "at": first.time.to_rfc3339(), "path": first.path,
                        "recorded_version": first.left_version,
                        "what_if_version": first.right_version,
                        "recorded": first.left, "what_if": first.right })
            });
            json!({ "symbol": symbol, "family": family, "recorded_profile": tally.left_profile,
                    "what_if_profile": tally.right_profile, "recorded": tally.left_versions,
                    "what_if": tally.right_versions, "instants": tally.instants,
                    "differing": tally.differing, "first": first, "cells": shown,
                    "cells_total": cells.len() })
        })
        .collect();
    json!({ "day": day, "events": found.events, "warm_up_events": found.warm_up_events,
            "seconds": seconds, "cells_untold": found.tally.untold, "families": families })
}

fn print(day: &str, found: &WhatIf, families: &Families<'_>, top: usize, seconds: f64) {
    let (same, differ): (Vec<_>, Vec<_>) = families.iter().partition(|(_, f)| f.differing == 0);
    output::line(format!(
        "what if: {day}, {} events beside the record, {} folded to get there, {seconds:.1} s",
        output::grouped(found.events),
        output::grouped(found.warm_up_events)
    ));
    let rows: Vec<Vec<String>> = differ
        .iter()
        .map(|((symbol, family), f)| {
            let profile = match f.left_profile == f.right_profile {
                true => f.left_profile.to_string(),
                false => format!("{} -> {}", dash(&f.left_profile), dash(&f.right_profile)),
            };
            let first = f.first.as_ref().map_or_else(String::new, |first| {
                format!("event {} {}", first.at, first.time.to_rfc3339())
            });
            vec![
                symbol.to_string(),
                family.to_string(),
                output::grouped(f.left_versions),
                output::grouped(f.right_versions),
                format!("{} of {}", output::grouped(f.differing), output::grouped(f.instants)),
                first,
                profile,
            ]
        })
        .collect();
    if !rows.is_empty() {
        let head = ["symbol", "family", "recorded", "what if", "differ", "first", "profile"];
        output::table(&head, &rows);
    }
    if !same.is_empty() {
        let names = same.iter().map(|((symbol, family), _)| format!("{symbol} {family}"));
        output::line(format!("no difference in {}", names.collect::<Vec<_>>().join(", ")));
    }
    for ((symbol, family), f) in differ {
        let cells = f.biggest();
        let rows: Vec<Vec<String>> = cells.iter().take(top).map(|(path, c)| row(path, c)).collect();
        if rows.is_empty() {
            continue;
        }
        output::line(format!("\n{symbol} {family}: {} of {} cells", rows.len(), cells.len()));
        let head = ["cell", "recorded", "what if", "change", "relative", "times", "event"];
        output::table(&head, &rows);
    }
    if found.tally.untold > 0 {
        output::line(format!("{} more changes of cells are not told apart", found.tally.untold));
    }
}

fn dash(profile: &str) -> &str {
    if profile.is_empty() { "-" } else { profile }
}

fn row(path: &str, cell: &Cell) -> Vec<String> {
    vec![
        path.to_owned(),
        output::short(cell.left.as_ref()),
        output::short(cell.right.as_ref()),
        cell.largest.map_or_else(|| "-".to_owned(), |x| format!("{x:.6}")),
        cell.relative.map_or_else(|| "-".to_owned(), |x| format!("{:+.4} %", x * 100.0)),
        output::grouped(cell.times),
        cell.at.to_string(),
    ]
}
