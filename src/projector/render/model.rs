//! Spot and gamma exposure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Page, RenderError, Write};
use crate::projector::registry::Name;

/// How far back a trail reaches.
const TRAIL_SECONDS: f64 = 604_800.0;

#[derive(Deserialize)]
struct SpotBody<'a> {
    symbol: Box<str>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(borrow, default)]
    at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
    previous_close: Option<f64>,
    change: Option<f64>,
    change_percent: Option<f64>,
}

/// `source` and `timeframe` are what clients of the original have always seen;
/// where the price really comes from stands in `basis`.
#[derive(Serialize)]
struct SpotDocument<'a> {
    symbol: &'a str,
    value: &'a RawValue,
    ts: String,
    source: &'a str,
    timeframe: &'a str,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<&'a RawValue>,
    #[serde(rename = "prevClose", skip_serializing_if = "Option::is_none")]
    previous_close: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<f64>,
    #[serde(rename = "changePercent", skip_serializing_if = "Option::is_none")]
    change_percent: Option<f64>,
}

pub(super) fn spot(page: &mut Page<'_>) -> Result<(), RenderError> {
    let body: SpotBody<'_> = page.body()?;
    let document = SpotDocument {
        symbol: &body.symbol,
        value: body.value,
        ts: page.iso(),
        source: "massive/spot",
        timeframe: "REAL-TIME",
        version: page.header().version,
        at: body.at,
        basis: body.source,
        previous_close: body.previous_close,
        change: body.change,
        change_percent: body.change_percent,
    };
    let second = page.stamp_us.div_euclid(1_000_000) as f64;
    let trail = Write::Trail { score: second, trim_below: second - TRAIL_SECONDS };
    page.put(Name::Spot, Write::Replace, &document)?;
    page.put(Name::SpotTrail, trail, &document)
}

#[derive(Deserialize)]
struct GexBody<'a> {
    symbol: Box<str>,
    #[serde(borrow)]
    expirations: BTreeMap<Box<str>, Sides<'a>>,
}

#[derive(Deserialize)]
struct Sides<'a> {
    #[serde(borrow, default)]
    calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    puts: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct GexDocument<'a, T> {
    ts: f64,
    symbol: &'a str,
    expirations: BTreeMap<&'a str, T>,
    version: u64,
    epoch: &'a str,
    journal_seq: u64,
}

/// Both sides list the same expirations, ascending: the page picks one by its
/// place in the list, so a side must not lose an expiration because it has
/// nothing there. An empty side is written as empty objects; the original left
/// the key as it was, stale.
pub(super) fn gex(page: &mut Page<'_>) -> Result<(), RenderError> {
    let body: GexBody<'_> = page.body()?;
    let epoch = page.epoch();
    let empty: &RawValue = serde_json::from_str("{}").map_err(|e| page.bad_body(e))?;
    for name in [Name::GexCalls, Name::GexPuts] {
        let expirations = body.expirations.iter().map(|(expiration, sides)| {
            let side = if name == Name::GexCalls { sides.calls } else { sides.puts };
            (&**expiration, side.unwrap_or(empty))
        });
        let document = GexDocument {
            ts: page.ts(),
            symbol: &body.symbol,
            expirations: expirations.collect(),
            version: page.header().version,
            epoch: &epoch,
            journal_seq: page.header().seq_last.0,
        };
        page.put(name, Write::Replace, &document)?;
    }
    if !page.is_unsuffixed() {
        return Ok(());
    }
    let both = body.expirations.iter().map(|(expiration, sides)| {
        let (calls, puts) = (sides.calls.unwrap_or(empty), sides.puts.unwrap_or(empty));
        (&**expiration, BTreeMap::from([("calls", calls), ("puts", puts)]))
    });
    let document = GexDocument {
        ts: page.ts(),
        symbol: &body.symbol,
        expirations: both.collect(),
        version: page.header().version,
        epoch: &epoch,
        journal_seq: page.header().seq_last.0,
    };
    page.put(Name::PlaneGex, Write::Replace, &document)
}
