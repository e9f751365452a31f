//! The header of an artifact as a document carries it.

use orrery_replay::artifact::Header;
use serde::Serialize;
use serde_json::value::RawValue;

/// A header as JSON. Numbers that may exceed 2^53 do not occur before year 2100.
#[derive(Serialize)]
pub(super) struct HeaderDoc<'a> {
    symbol: &'a str,
    family: &'a str,
    version: u64,
    epoch: Option<String>,
    profile: &'a str,
    configuration: String,
    seq_first: u64,
    seq_last: u64,
    created_at: String,
    content: String,
    body_len: u64,
    previous: String,
}

impl<'a> HeaderDoc<'a> {
    pub(super) fn of(header: &'a Header) -> HeaderDoc<'a> {
        HeaderDoc {
            symbol: &header.symbol,
            family: &header.family,
            version: header.version,
            epoch: header.epoch.map(|id| id.to_string()),
            profile: &header.profile,
            configuration: header.configuration.to_string(),
            seq_first: header.seq_first.0,
            seq_last: header.seq_last.0,
            created_at: header.created_at.to_rfc3339(),
            content: header.content.to_string(),
            body_len: header.body_len,
            previous: header.previous.to_string(),
        }
    }
}

/// An artifact as its key holds it.
#[derive(Serialize)]
pub(super) struct Whole<'a> {
    pub header: HeaderDoc<'a>,
    pub body: &'a RawValue,
}

/// The same of any header and body; `None` when the body is no JSON.
#[must_use]
pub fn whole(header: &Header, body: &[u8]) -> Option<Box<RawValue>> {
    let body: &RawValue = serde_json::from_slice(body).ok()?;
    serde_json::value::to_raw_value(&Whole { header: HeaderDoc::of(header), body }).ok()
}
