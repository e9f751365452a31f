//! `orrery diff A B`: what differs between any two artifacts, and the contracts
//! behind it.

use clap::Args;
use orrery_replay::diff::CellChange;
use serde_json::{Value, json};

use super::exit::Exit;
use super::{Common, open, output};
use crate::control::point::{DiffedCell, PartChange, Point, PointError, Said, diff_points};

/// Cells that are printed when nothing is said; with --json all of them are.
const CELLS: usize = 20;

/// Compare any two artifacts cell by cell, biggest change first, with the
/// contracts behind each cell.
///
/// A and B are SYMBOL/FAMILY@WHEN. WHEN is a version (v12), a time (RFC 3339),
/// an event (seq:1200) or the close of a day (day:2015-12-24); without it the
/// newest. +PROFILE asks what another profile would have said then. With --json
/// one line for each cell: op, path, before, value, absolute, relative,
/// contracts. Exit code 0: equal. 1: different.
///
/// Example: orrery diff SPX/gex@v12 SPX/gex@day:2026-08-19
#[derive(Debug, Args)]
pub struct Diff {
    /// The artifact before.
    #[arg(value_name = "A", value_parser = point)]
    before: Point,
    /// The artifact after.
    #[arg(value_name = "B", value_parser = point)]
    after: Point,
    /// At most so many cells; 20 without it, with --json all.
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// At most so many contracts behind each cell.
    #[arg(long, value_name = "N", default_value_t = 3)]
    contracts: usize,
}

fn point(text: &str) -> Result<Point, PointError> {
    Point::parse(text)
}

/// Runs the command.
///
/// # Errors
/// When the data does not open, or there is no such artifact.
pub fn run(common: &Common, command: &Diff) -> anyhow::Result<Exit> {
    let archive = open::archive(common)?;
    let top = command.top.unwrap_or(if common.json { usize::MAX } else { CELLS });
    let found = diff_points(&archive, &command.before, &command.after, top, command.contracts)?;
    if common.json {
        for cell in &found.cells {
            output::line(line(cell).to_string());
        }
    } else {
        output::line(headline("before", &found.before));
        output::line(headline("after ", &found.after));
        print(&found.cells);
        output::line(format!("{} of {} cells that differ", found.cells.len(), found.total));
    }
    Ok(if found.total == 0 { Exit::Fine } else { Exit::Finding })
}

fn headline(which: &str, said: &Said) -> String {
    let h = &said.header;
    format!(
        "{which} {} {} v{} of {} by {} from events up to {}",
        h.symbol, h.family, h.version, h.created_at, h.profile, h.seq_last
    )
}

/// A cell as one operation: what JSON Patch says, and what was there before.
fn line(cell: &DiffedCell) -> Value {
    let DiffedCell { change, parts } = cell;
    let CellChange { path, left, right, absolute, relative } = change;
    let op = match (left, right) {
        (None, _) => "add",
        (_, None) => "remove",
        _ => "replace",
    };
    let mut line = json!({ "op": op, "path": path });
    for (name, value) in [("before", left), ("value", right)] {
        if let Some(value) = value {
            line[name] = value.clone();
        }
    }
    for (name, value) in [("absolute", absolute), ("relative", relative)] {
        if let Some(value) = value {
            line[name] = json!(value);
        }
    }
    if !parts.is_empty() {
        let part = |p: &PartChange| {
            json!({ "ticker": p.ticker, "expiry": p.expiry, "strike": p.strike,
                    "before": p.before, "value": p.after, "absolute": p.change() })
        };
        line["contracts"] = parts.iter().map(part).collect();
    }
    line
}

fn print(cells: &[DiffedCell]) {
    let mut rows = Vec::new();
    for DiffedCell { change, parts } in cells {
        let number = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |n| format!("{n:+.6}"));
        let percent =
            |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |n| format!("{:+.4} %", n * 100.0));
        rows.push(vec![
            change.path.clone(),
            output::short(change.left.as_ref()),
            output::short(change.right.as_ref()),
            number(change.absolute),
            percent(change.relative),
        ]);
        let value = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |n| format!("{n:.4}"));
        rows.extend(parts.iter().map(|p| {
            vec![
                format!("  {}", p.ticker),
                value(p.before),
                value(p.after),
                format!("{:+.4}", p.change()),
                String::new(),
            ]
        }));
    }
    if !rows.is_empty() {
        output::table(&["cell", "before", "after", "change", "relative"], &rows);
    }
}
