//! `orrery explain`: the contracts behind a level.

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::exit::Exit;
use super::{Common, levels, open, output};
use crate::models::gex::explain::{Level, explain};
use crate::models::gex::profile::Chosen;

/// Show which contracts make a level, with their shares.
///
/// Example: orrery explain call_wall SPX --at 2026-08-19T18:00:00Z
#[derive(Debug, Args)]
pub struct Explain {
    /// The level.
    #[arg(value_parser = PossibleValuesParser::new(Level::ALL.map(|(name, _)| name)))]
    level: String,
    /// Symbol of the underlying, such as SPX.
    symbol: String,
    /// A profile, such as naive-oi. Default: the one that is configured.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// As known at a seq (`seq:1200`) or a time (RFC 3339).
    #[arg(long)]
    at: Option<String>,
    /// How many contracts to print; --json prints all.
    #[arg(long, default_value_t = 20)]
    top: usize,
}

/// Runs the command.
///
/// # Errors
/// When the data does not open, or there is no such symbol, profile or moment.
pub fn run(common: &Common, command: &Explain) -> anyhow::Result<Exit> {
    let level = Level::named(&command.level).context("no such level")?;
    let data = open::existing(common)?;
    let parameters = data.world.parameters().gex.clone();
    let profile = match &command.profile {
        Some(name) => Chosen::named(name)?,
        None => parameters.profile,
    };
    let archive = data.into_archive(common.threads);
    open::catch_up(&archive)?;
    let seq = open::moment(archive.journal(), command.at.as_deref())?;
    let found = levels::asked(&archive, &command.symbol, seq, |market| {
        explain(market, &parameters, profile, level)
    })?;
    let found = found.with_context(|| format!("{} has no chain at event {seq}", command.symbol))?;
    if common.json {
        output::json(&found)?;
        return Ok(Exit::Fine);
    }
    let number = |v: f64| format!("{v:.4}");
    output::line(format!(
        "{} of {} under {}: {}",
        command.level,
        command.symbol,
        found.profile,
        found.level.map_or_else(|| "there is none".to_owned(), number)
    ));
    let rows: Vec<Vec<String>> = found
        .contracts
        .iter()
        .take(command.top)
        .map(|c| {
            vec![
                c.ticker.to_string(),
                c.expiry.to_string(),
                format!("{}", c.strike),
                format!("{:.4e}", c.value),
                format!("{:.2} %", c.share * 100.0),
            ]
        })
        .collect();
    output::table(&["contract", "expires", "strike", "adds", "share"], &rows);
    let left = found.contracts.len().saturating_sub(command.top);
    if left > 0 {
        let rest: f64 = found.contracts.iter().skip(command.top).map(|c| c.share).sum();
        output::line(format!("and {left} more with {:.2} %", rest * 100.0));
    }
    Ok(Exit::Fine)
}
