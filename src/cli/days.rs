//! `orrery days`: what the journal holds, day by day.

use std::collections::BTreeMap;

use clap::Args;
use orrery_journal::proof::certificates;
use orrery_journal::units::TradingDay;
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};

/// List the trading days of the journal.
///
/// Example: orrery days --data orrery-data
#[derive(Debug, Args)]
pub struct Days {}

#[derive(Serialize)]
struct Day {
    day: String,
    first_seq: u64,
    last_seq: u64,
    first_recv: String,
    last_recv: String,
    sealed: bool,
    certificate: Option<u32>,
    dropped: bool,
    events: u64,
    kinds: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
    pages: Vec<String>,
    accepted_losses: Vec<super::look::LossView>,
}

pub fn run(common: &Common, _: &Days) -> anyhow::Result<Exit> {
    let journal = open::journal(common)?;
    let losses = journal.losses();
    // Ascending, so the newest certificate of a day is the last one.
    let certificates: BTreeMap<TradingDay, u32> =
        certificates::list(common.data_dir())?.into_iter().map(|id| (id.day, id.number)).collect();
    let days: Vec<Day> = journal
        .days()?
        .into_iter()
        .map(|d| Day {
            day: d.day.to_string(),
            first_seq: d.first.0,
            last_seq: d.last.0,
            first_recv: d.first_recv.to_rfc3339(),
            last_recv: d.last_recv.to_rfc3339(),
            sealed: d.sealed,
            certificate: certificates.get(&d.day).copied(),
            dropped: d.dropped,
            events: d.last.0 - d.first.0 + 1,
            kinds: d.kinds.iter().map(|(k, n)| (k.name(), *n)).collect(),
            refused: d.refused.iter().map(|(r, n)| (r.name(), *n)).collect(),
            pages: d.pages.iter().map(ToString::to_string).collect(),
            accepted_losses: losses
                .iter()
                .filter(|loss| loss.first <= d.last && d.first <= loss.last)
                .map(Into::into)
                .collect(),
        })
        .collect();
    if common.json {
        output::json(&days)?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = days
        .iter()
        .map(|d| {
            let count = |kind: &str| output::grouped(d.kinds.get(kind).copied().unwrap_or(0));
            vec![
                d.day.clone(),
                output::grouped(d.events),
                count("chain_snapshot"),
                count("quote"),
                count("trade"),
                count("bar"),
                count("gap"),
                output::grouped(d.refused.values().sum()),
                output::grouped(d.pages.len() as u64),
                match (d.dropped, d.sealed) {
                    (true, _) => "dropped",
                    (false, true) => "sealed",
                    (false, false) => "open",
                }
                .to_owned(),
                d.certificate.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            ]
        })
        .collect();
    output::table(
        &[
            "day",
            "events",
            "chains",
            "quotes",
            "trades",
            "bars",
            "gaps",
            "refused",
            "pages",
            "state",
            "certificate",
        ],
        &rows,
    );
    losses.iter().for_each(|loss| output::line(super::look::loss(loss)));
    Ok(Exit::Fine)
}
