//! The epoch that is being published, as inspection tools read it: its id by
//! symbol, what it is made of, and those before it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::{Page, RenderError, Write};
use crate::projector::registry::Name;

#[derive(Deserialize)]
struct Body<'a> {
    symbol: &'a str,
    born_at: &'a str,
    promoted_at: Option<&'a str>,
    strikes: u32,
    strike_min: Option<f64>,
    strike_max: Option<f64>,
    expiries: Vec<&'a str>,
    quality: Quality,
}

#[derive(Deserialize)]
struct Quality {
    #[serde(default)]
    dormancies: u32,
}

/// Names that carry no symbol hold SPX; others have the records.
pub(super) fn render(page: &mut Page<'_>) -> Result<(), RenderError> {
    if !page.writes(Name::EpochActive) {
        return Ok(());
    }
    let body: Body<'_> = page.body()?;
    let id = page.epoch();
    if page.is_unsuffixed() {
        page.put_bytes(Name::EpochActive, Write::Replace, Bytes::from(id.clone()))?;
    }
    let range = body.strike_min.zip(body.strike_max);
    let dormancies = body.quality.dormancies.to_string();
    let fields = BTreeMap::from([
        ("epoch_id", id.clone()),
        ("symbol", body.symbol.to_owned()),
        ("created_ts", body.born_at.to_owned()),
        ("strike_count", body.strikes.to_string()),
        ("dte_count", body.expiries.len().to_string()),
        ("strike_range", range.map_or_else(String::new, |(low, high)| format!("{low}-{high}"))),
        ("hash", id.clone()),
        // Nothing is computed anew because somebody forces it.
        ("forced_dirty", "0".to_owned()),
        ("dormant_count", dormancies.clone()),
    ]);
    let fields = serde_json::to_vec(&fields).map_err(|e| page.bad_body(e))?;
    let meta = Name::EpochMeta.key_of_epoch(page.symbol(), &id)?;
    let meta = page.placed(meta);
    // A key of the epoch before is this one's with another id.
    let keys: Box<str> = meta.as_str().trim_end_matches(&*id).into();
    page.put_at(meta, Write::Fields, fields.into())?;
    let newest = Write::Newest { field: body.symbol.into(), keys };
    page.put_bytes(Name::EpochOfSymbols, newest, Bytes::from(id.clone()))?;
    let promoted = body.promoted_at.unwrap_or(body.born_at);
    let line = format!("{}|{id}|forced=0|dormant=0", seconds(promoted));
    page.put_bytes(Name::EpochTimeline, Write::Push, Bytes::from(line))?;
    page.put_bytes(Name::EpochDormancies, Write::Replace, Bytes::from(dormancies))
}

/// Whole seconds since 1970 of a moment that we wrote ourselves; as it is
/// written when it is not one.
fn seconds(moment: &str) -> String {
    let parsed = chrono::DateTime::parse_from_rfc3339(moment);
    parsed.map_or_else(|_| moment.to_owned(), |at| at.timestamp().to_string())
}
