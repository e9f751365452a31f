//! `orrery artifacts`: list, show, compare what was published.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::as_of::At;
use orrery_replay::diff::CellChange;
use serde::Serialize;
use serde_json::Value;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::Archive;
use crate::control::CorrectedRead;
use crate::control::point::{Point, Step, lineage};

/// Versioned outputs of the models.
#[derive(Debug, Args)]
pub struct Artifacts {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Diff(Diff),
    Lineage(Lineage),
    Watch(super::watch::Watch),
}

/// Show where an artifact comes from: the versions before it, with the events
/// that each had seen and its predecessor had not, and what a view has read.
///
/// Each header holds the hash of the one before; they are checked on the way.
///
/// Example: orrery artifacts lineage SPX/context@day:2026-08-19 --depth 3
#[derive(Debug, Args)]
struct Lineage {
    /// SYMBOL/FAMILY@WHEN, as for `orrery diff`.
    #[arg(value_name = "ARTIFACT", value_parser = Point::parse)]
    point: Point,
    /// How many versions to go back.
    #[arg(long, default_value_t = 10, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
}

/// List headers: the newest of each family, or all of one family.
///
/// Example: orrery artifacts list --symbol GOOG --family gex
#[derive(Debug, Args)]
struct List {
    /// Only this symbol, such as SPX.
    #[arg(long)]
    symbol: Option<String>,
    /// Only this family, such as gex; with --symbol all its versions.
    #[arg(long)]
    family: Option<String>,
    /// From this version on.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// Show one artifact: header and body.
///
/// Example: orrery artifacts show SPX gex --at 2026-08-19T14:30:00Z
#[derive(Debug, Args)]
struct Show {
    /// Symbol, such as SPX.
    symbol: String,
    /// Family, such as gex.
    family: String,
    /// This version; the newest without it.
    #[arg(long, conflicts_with = "at")]
    version: Option<u64>,
    /// What was known at a seq (`seq:1200`) or a time (RFC 3339).
    #[arg(long)]
    at: Option<String>,
    /// As corrected: as if every event that `orrery correct` has put right since
    /// had been right from the start. Its version and hashes are none of the
    /// record's.
    #[arg(long, conflicts_with = "version")]
    corrected: bool,
    /// With --corrected: what that changes, cell by cell, biggest change first.
    /// Exit code 0: nothing. 1: something.
    #[arg(long, requires = "corrected")]
    diff: bool,
}

/// Compare two versions cell by cell, biggest change first.
///
/// Exit code 0: equal. 1: different.
///
/// Example: orrery artifacts diff SPX gex 3 4
#[derive(Debug, Args)]
struct Diff {
    /// Symbol, such as SPX.
    symbol: String,
    /// Family, such as gex.
    family: String,
    /// Version before.
    before: u64,
    /// Version after.
    after: u64,
    /// At most so many changes.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// A header in JSON.
#[derive(Debug, Serialize)]
pub struct HeaderView {
    symbol: String,
    family: String,
    version: u64,
    epoch: Option<String>,
    profile: String,
    configuration: String,
    seq_first: u64,
    seq_last: u64,
    created_at: String,
    content: String,
    body_bytes: u64,
    header: String,
    previous: String,
}

impl From<&Header> for HeaderView {
    fn from(h: &Header) -> HeaderView {
        HeaderView {
            symbol: h.symbol.to_string(),
            family: h.family.to_string(),
            version: h.version,
            epoch: h.epoch.map(|e| e.to_string()),
            profile: h.profile.to_string(),
            configuration: h.configuration.to_string(),
            seq_first: h.seq_first.0,
            seq_last: h.seq_last.0,
            created_at: h.created_at.to_rfc3339(),
            content: h.content.to_string(),
            body_bytes: h.body_len,
            header: h.hash().to_string(),
            previous: h.previous.to_string(),
        }
    }
}

pub fn run(common: &Common, command: &Artifacts) -> anyhow::Result<Exit> {
    if let Command::Watch(watch) = &command.command {
        return super::watch::run(common, watch);
    }
    let archive = open::archive(common)?;
    match &command.command {
        Command::List(list) => run_list(common, &archive, list),
        Command::Show(show) => run_show(common, &archive, show),
        Command::Diff(diff) => run_diff(common, &archive, diff),
        Command::Lineage(lineage) => run_lineage(common, &archive, lineage),
        // Asked of a server, above.
        Command::Watch(_) => Ok(Exit::Fine),
    }
}

fn run_list(common: &Common, archive: &Archive, list: &List) -> anyhow::Result<Exit> {
    let families = archive.families()?.into_iter().filter(|(symbol, family)| {
        list.symbol.as_deref().is_none_or(|s| s == &**symbol)
            && list.family.as_deref().is_none_or(|f| f == &**family)
    });
    let whole = list.symbol.is_some() && list.family.is_some();
    let mut headers = Vec::new();
    for (symbol, family) in families {
        if whole {
            headers.extend(archive.derived().headers(&symbol, &family, list.from, list.limit)?);
        } else {
            headers.extend(archive.derived().latest(&symbol, &family)?);
        }
    }
    headers.truncate(list.limit);
    if common.json {
        output::json(&headers.iter().map(HeaderView::from).collect::<Vec<_>>())?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = headers
        .iter()
        .map(|h| {
            vec![
                h.symbol.to_string(),
                h.family.to_string(),
                format!("v{}", h.version),
                h.created_at.to_rfc3339(),
                format!("{}..{}", h.seq_first, h.seq_last),
                h.epoch.map_or_else(|| "-".to_owned(), |e| e.to_string()[..12].to_owned()),
                h.profile.to_string(),
                h.content.to_string()[..12].to_owned(),
            ]
        })
        .collect();
    output::table(
        &["symbol", "family", "version", "created at", "events", "epoch", "profile", "content"],
        &rows,
    );
    Ok(Exit::Fine)
}

fn run_show(common: &Common, archive: &Archive, show: &Show) -> anyhow::Result<Exit> {
    if show.corrected {
        return run_corrected(common, archive, show);
    }
    let header = match (show.version, &show.at) {
        (Some(version), _) => archive.derived().header(&show.symbol, &show.family, version)?,
        (None, Some(at)) => {
            let seq = open::moment(archive.journal(), Some(at))?;
            archive.latest_at(&show.symbol, &show.family, At::Seq(seq))?
        }
        (None, None) => archive.derived().latest(&show.symbol, &show.family)?,
    };
    let header = header.with_context(|| none(archive, &show.symbol, &show.family))?;
    let body: Value = serde_json::from_slice(&archive.body(&header)?)?;
    let view = HeaderView::from(&header);
    if !common.json {
        output::line(format!(
            "{} {} v{} at {} from events {}..{} by {}",
            view.symbol,
            view.family,
            view.version,
            view.created_at,
            view.seq_first,
            view.seq_last,
            view.profile
        ));
        output::line(serde_json::to_string_pretty(&body)?);
        return Ok(Exit::Fine);
    }
    output::json(&serde_json::json!({ "header": view, "body": body }))?;
    Ok(Exit::Fine)
}

/// The artifact as corrected, or what is other about it than as known.
fn run_corrected(common: &Common, archive: &Archive, show: &Show) -> anyhow::Result<Exit> {
    let Show { symbol, family, .. } = show;
    let seq = open::moment(archive.journal(), show.at.as_deref())?;
    let found = archive.corrected_at(symbol, family, At::Seq(seq))?;
    let found = found.with_context(|| none(archive, symbol, family))?;
    let CorrectedRead { artifact: Artifact { header, body }, known, events, unusable } = found;
    let view = HeaderView::from(&header);
    if show.diff {
        let before = archive.latest_at(symbol, family, At::Seq(seq))?;
        let before = before.with_context(|| none(archive, symbol, family))?;
        let before_body = archive.body(&before)?;
        let changes = orrery_replay::diff::diff_bodies(&before_body, &body)?;
        return print_changes(common, (&before, &header), &changes, usize::MAX);
    }
    let body: Value = serde_json::from_slice(&body)?;
    if common.json {
        output::json(&serde_json::json!({
            "corrected": { "known": known.0, "events": events, "unusable": unusable },
            "header": view,
            "body": body,
        }))?;
        return Ok(Exit::Fine);
    }
    output::line(format!(
        "{} {} as corrected at {} from events {}..{} by {}: {} corrected events, as known at event \
         {known}",
        view.symbol,
        view.family,
        view.created_at,
        view.seq_first,
        view.seq_last,
        view.profile,
        output::grouped(events),
    ));
    if unusable > 0 {
        output::line(format!("{unusable} corrections say nothing usable and change nothing"));
    }
    output::line(serde_json::to_string_pretty(&body)?);
    Ok(Exit::Fine)
}

fn none(archive: &Archive, symbol: &str, family: &str) -> String {
    let known: Vec<String> = archive
        .families()
        .map(|all| all.into_iter().map(|(s, f)| format!("{s} {f}")).collect())
        .unwrap_or_default();
    format!("no such artifact of {symbol} {family}; there are: {}", known.join(", "))
}

fn run_diff(common: &Common, archive: &Archive, diff: &Diff) -> anyhow::Result<Exit> {
    if diff.before == diff.after {
        bail!("version {} is equal to itself; name two versions", diff.before);
    }
    let read = |version: u64| -> anyhow::Result<(Header, bytes::Bytes)> {
        let header = archive
            .derived()
            .header(&diff.symbol, &diff.family, version)?
            .with_context(|| format!("{} {} has no version {version}", diff.symbol, diff.family))?;
        let body = archive.body(&header)?;
        Ok((header, body))
    };
    let ((before, before_body), (after, after_body)) = (read(diff.before)?, read(diff.after)?);
    let changes = orrery_replay::diff::diff_bodies(&before_body, &after_body)?;
    print_changes(common, (&before, &after), &changes, diff.limit)
}

/// Prints what differs between two bodies.
fn print_changes(
    common: &Common,
    (before, after): (&Header, &Header),
    changes: &[CellChange],
    limit: usize,
) -> anyhow::Result<Exit> {
    let shown = changes.get(..limit).unwrap_or(changes);
    if common.json {
        let cells: Vec<Value> = shown
            .iter()
            .map(|c| serde_json::json!({"path": c.path, "before": c.left, "after": c.right, "absolute": c.absolute, "relative": c.relative}))
            .collect();
        output::json(&serde_json::json!({
            "before": HeaderView::from(before),
            "after": HeaderView::from(after),
            "total": changes.len(),
            "changes": cells,
        }))?;
    } else {
        let text =
            |v: &Option<Value>| v.as_ref().map_or_else(|| "(absent)".to_owned(), Value::to_string);
        let number = |v: Option<f64>| v.map_or_else(String::new, |n| format!("{n:+.6}"));
        let rows: Vec<Vec<String>> = shown
            .iter()
            .map(|c| {
                vec![
                    c.path.clone(),
                    text(&c.left),
                    text(&c.right),
                    number(c.absolute),
                    number(c.relative),
                ]
            })
            .collect();
        output::table(&["path", "before", "after", "absolute", "relative"], &rows);
        output::line(format!("{} of {} changes", shown.len(), changes.len()));
    }
    Ok(if changes.is_empty() { Exit::Fine } else { Exit::Finding })
}

fn run_lineage(common: &Common, archive: &Archive, asked: &Lineage) -> anyhow::Result<Exit> {
    let steps = lineage(archive, &asked.point, asked.depth as usize)?;
    if common.json {
        let view = |step: &Step| {
            let inputs: Vec<HeaderView> = step.inputs.iter().map(HeaderView::from).collect();
            serde_json::json!({ "header": HeaderView::from(&step.header), "inputs": inputs,
                                "follows": step.follows })
        };
        output::json(&steps.iter().map(view).collect::<Vec<_>>())?;
    } else {
        let row = |step: &Step| {
            let h = &step.header;
            let inputs = step.inputs.iter().map(|i| format!("{} v{}", i.family, i.version));
            vec![
                format!("v{}", h.version),
                h.created_at.to_rfc3339(),
                format!("{}..{}", h.seq_first, h.seq_last),
                h.profile.to_string(),
                h.hash().to_string()[..12].to_owned(),
                match step.follows {
                    Some(true) => "follows",
                    Some(false) => "BROKEN",
                    None => "-",
                }
                .to_owned(),
                inputs.collect::<Vec<_>>().join(", "),
            ]
        };
        let head = ["version", "created at", "events", "profile", "header", "chain", "has read"];
        output::table(&head, &steps.iter().map(row).collect::<Vec<_>>());
    }
    let whole = steps.iter().all(|step| step.follows != Some(false));
    Ok(if whole { Exit::Fine } else { Exit::Finding })
}
