//! `orrery calendar`: trading days, hours and settlements as the folds see them.

use anyhow::{Context, bail};
use clap::Args;
use orrery_journal::units::TradingDay;
use serde::Serialize;

use super::exit::Exit;
use super::{Common, output, parameters};
use crate::clock;
use crate::market::calendar::{DayKind, TradingCalendar, Venue, day_of};
use crate::market::ticker;

/// Longest stretch that is printed.
const DAYS_MAX: i32 = 36_600;

/// Print holidays and half days, or when contracts settle.
///
/// The calendar is the one of the parameters: another one goes in with
/// --parameters, as `trading_calendar`, under a version of its own.
///
/// Example: orrery calendar --from 2026-01-01 --to 2026-12-31
#[derive(Debug, Args)]
pub struct Calendar {
    /// First day. Default: today in New York.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Last day. Default: a year after the first.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Print every day, not only those that differ from a full session.
    #[arg(long)]
    all: bool,
    /// Print when these contracts settle instead, such as O:SPX260821C06500000.
    #[arg(value_name = "TICKER", conflicts_with_all = ["from", "to", "all"])]
    tickers: Vec<String>,
}

#[derive(Serialize)]
struct View<'a> {
    version: &'a str,
    hash: String,
    days: Vec<Day>,
    settlements: Vec<Settlement>,
}

#[derive(Serialize)]
struct Day {
    day: String,
    kind: DayKind,
    open: Option<String>,
    close: Option<String>,
}

#[derive(Serialize)]
struct Settlement {
    ticker: String,
    root: String,
    expiry: String,
    settles_at: String,
}

/// Runs the command.
///
/// # Errors
/// When a date or a ticker is none, or the parameters cannot be used.
pub fn run(common: &Common, command: &Calendar) -> anyhow::Result<Exit> {
    let parameters = parameters::read(common)?;
    let calendar = &parameters.trading_calendar;
    let mut view = View {
        version: calendar.version(),
        hash: calendar.hash().to_string(),
        days: Vec::new(),
        settlements: Vec::new(),
    };
    if command.tickers.is_empty() {
        view.days = days(calendar, command)?;
    }
    for name in &command.tickers {
        let terms = ticker::parse_option(name)
            .with_context(|| format!("{name:?} is no option; write O:SPX260821C06500000"))?;
        let at = calendar.settles_at(Venue::of_option(name), &terms.root, terms.expiry);
        view.settlements.push(Settlement {
            ticker: name.clone(),
            root: terms.root.into(),
            expiry: terms.expiry.to_string(),
            settles_at: at.to_rfc3339(),
        });
    }
    if common.json {
        output::json(&view)?;
    } else {
        print(&view);
    }
    Ok(Exit::Fine)
}

fn days(calendar: &TradingCalendar, command: &Calendar) -> anyhow::Result<Vec<Day>> {
    let date = |text: &String| {
        TradingDay::parse(text).with_context(|| format!("{text:?} is no date; write YYYY-MM-DD"))
    };
    let today = || day_of(orrery_journal::Calendar::NewYork, clock::now());
    let from = command.from.as_ref().map_or_else(|| Ok(today()), date)?;
    let to = command.to.as_ref().map_or(Ok(TradingDay(from.0.saturating_add(365))), date)?;
    if to < from || to.0 - from.0 > DAYS_MAX {
        bail!("--to must lie 0 to {DAYS_MAX} days after --from");
    }
    let of = |day: TradingDay| {
        let session = calendar.session(Venue::UsOptions, day);
        Day {
            day: day.to_string(),
            kind: calendar.kind(day),
            open: session.map(|s| s.open.to_rfc3339()),
            close: session.map(|s| s.close.to_rfc3339()),
        }
    };
    let shown = |d: &Day| command.all || matches!(d.kind, DayKind::Holiday | DayKind::Half);
    Ok((from.0..=to.0).map(|n| of(TradingDay(n))).filter(shown).collect())
}

fn print(view: &View<'_>) {
    output::line(format!("trading calendar {} {}", view.version, view.hash));
    let told = |t: &Option<String>| t.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = match view.settlements.is_empty() {
        true => {
            let row = |d: &Day| {
                vec![d.day.clone(), d.kind.name().to_owned(), told(&d.open), told(&d.close)]
            };
            view.days.iter().map(row).collect()
        }
        false => view
            .settlements
            .iter()
            .map(|s| vec![s.ticker.clone(), s.expiry.clone(), s.settles_at.clone()])
            .collect(),
    };
    match view.settlements.is_empty() {
        true => output::table(&["day", "kind", "opens", "closes"], &rows),
        false => output::table(&["contract", "expires", "settles at"], &rows),
    }
}
