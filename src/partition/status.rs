//! `epoch`: what the active epoch is and how good its input was. Never says
//! anything of a warming epoch.

use serde::Serialize;

use super::Partition;
use super::quality::{Quality, quality};
use crate::market::ticker;

pub(super) const FAMILY: &str = "epoch";
pub(super) const PROFILE: &str = "epoch/status@1";

#[derive(Serialize)]
struct Body<'a> {
    symbol: String,
    epoch: String,
    born_seq: u64,
    born_at: String,
    promoted_seq: Option<u64>,
    promoted_at: Option<String>,
    contracts: u32,
    strikes: u32,
    strike_min: Option<f64>,
    strike_max: Option<f64>,
    expiries: Vec<String>,
    roots: &'a [Box<str>],
    widths: Vec<f64>,
    calendar: Calendar<'a>,
    quality: Quality<'a>,
}

/// Which trading days and hours stand behind settlements and sessions.
#[derive(Serialize)]
struct Calendar<'a> {
    version: &'a str,
    hash: String,
}

/// The canonical body, or `None` without an active epoch.
pub(super) fn body(partition: &Partition) -> Option<Vec<u8>> {
    let active = partition.active.as_ref()?;
    let record = &active.epoch.record;
    let calendar = &partition.parameters.trading_calendar;
    let body = Body {
        symbol: ticker::vendor_symbol(partition.symbol()),
        epoch: record.id.to_string(),
        born_seq: record.born.seq.0,
        born_at: record.born.at.to_rfc3339(),
        promoted_seq: record.promoted.map(|m| m.seq.0),
        promoted_at: record.promoted.map(|m| m.at.to_rfc3339()),
        contracts: record.contracts,
        strikes: record.strikes,
        strike_min: record.strike_range.map(|(low, _)| low.to_f64()),
        strike_max: record.strike_range.map(|(_, high)| high.to_f64()),
        expiries: record.expiries.iter().map(ToString::to_string).collect(),
        roots: &record.roots,
        widths: record.widths.iter().map(|w| w.to_f64()).collect(),
        calendar: Calendar { version: calendar.version(), hash: calendar.hash().to_string() },
        quality: quality(partition, active),
    };
    serde_json::to_vec(&body).ok()
}
