//! Views in the shape that clients of the original know: the body's fields, and
//! ahead of them `ts` and `ts_iso`, which change with each version.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use super::{Page, RenderError, Write};
use crate::projector::registry::{Name, UNSUFFIXED_SYMBOL};

/// Names that are delivery's own; a body's fields of these names give way.
const OURS: [&str; 5] = ["ts", "ts_iso", "version", "epoch", "journal_seq"];

type Fields<'a> = BTreeMap<&'a str, &'a RawValue>;

struct Document<'a> {
    ts: f64,
    ts_iso: String,
    body: &'a Fields<'a>,
    version: u64,
    epoch: String,
    journal_seq: u64,
}

impl Serialize for Document<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ts", &self.ts)?;
        map.serialize_entry("ts_iso", &self.ts_iso)?;
        for (name, value) in self.body.iter().filter(|(name, _)| !OURS.contains(name)) {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("epoch", &self.epoch)?;
        map.serialize_entry("journal_seq", &self.journal_seq)?;
        map.end()
    }
}

fn put(page: &mut Page<'_>, names: &[Name]) -> Result<(), RenderError> {
    let body: Fields<'_> = page.body()?;
    let document = Document {
        ts: page.ts(),
        ts_iso: page.iso(),
        body: &body,
        version: page.header().version,
        epoch: page.epoch(),
        journal_seq: page.header().seq_last.0,
    };
    names.iter().try_for_each(|name| page.put(*name, Write::Replace, &document))
}

/// Under the symbol's name, and for SPX under the one without a symbol.
pub(super) fn bias_lfi(page: &mut Page<'_>) -> Result<(), RenderError> {
    if page.symbol() == UNSUFFIXED_SYMBOL {
        put(page, &[Name::BiasLfiLatest, Name::BiasLfi])
    } else {
        put(page, &[Name::BiasLfi])
    }
}

/// The name carries no symbol: others have only the whole artifact.
pub(super) fn market_mode(page: &mut Page<'_>) -> Result<(), RenderError> {
    if page.symbol() == UNSUFFIXED_SYMBOL { put(page, &[Name::MarketMode]) } else { Ok(()) }
}

/// The same.
pub(super) fn vix_regime(page: &mut Page<'_>) -> Result<(), RenderError> {
    if page.symbol() == UNSUFFIXED_SYMBOL { put(page, &[Name::VixRegime]) } else { Ok(()) }
}

pub(super) fn selector(page: &mut Page<'_>) -> Result<(), RenderError> {
    put(page, &[Name::Selector])
}
