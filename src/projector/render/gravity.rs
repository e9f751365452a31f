//! Dealer gravity: artifact, context, the legacy profile document, the event.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Page, RenderError, Write, artifact_version};
use crate::projector::registry::{Name, UNSUFFIXED_SYMBOL};

#[derive(Deserialize)]
struct Body<'a> {
    profile: Profile,
    #[serde(default)]
    raw_bins: Vec<i64>,
    #[serde(borrow)]
    structures: &'a RawValue,
    #[serde(borrow, default)]
    structural_lines: Option<&'a RawValue>,
    #[serde(borrow)]
    meta: Meta<'a>,
    #[serde(borrow, default)]
    quality: Option<&'a RawValue>,
}

#[derive(Deserialize, Serialize)]
struct Profile {
    min: f64,
    step: f64,
    bins: Vec<i64>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    spot: Option<f64>,
    algorithm: Box<str>,
    normalized_scale: i64,
    /// What the volume was taken from, when it is not the symbol itself.
    #[serde(borrow, default)]
    proxy: Option<BTreeMap<Box<str>, &'a RawValue>>,
    /// How structures were found.
    #[serde(borrow, default)]
    detection: Option<&'a RawValue>,
    /// Bars or trades.
    #[serde(borrow, default)]
    volume_source: Option<&'a RawValue>,
    /// Which trading days, where not simply all.
    #[serde(borrow, default)]
    days: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Document<'a> {
    profile: &'a Profile,
    structures: &'a RawValue,
    meta: DocumentMeta<'a>,
    symbol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    structural_lines: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct DocumentMeta<'a> {
    spot: Option<f64>,
    algorithm: &'a str,
    normalized_scale: i64,
    artifact_version: String,
    last_update: String,
    epoch: String,
    profile: &'a str,
    journal_seq: u64,
    content_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: &'a Option<BTreeMap<Box<str>, &'a RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detection: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_source: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<&'a RawValue>,
}

pub(super) fn artifact(page: &mut Page<'_>) -> Result<(), RenderError> {
    let body: Body<'_> = page.body()?;
    let header = page.header();
    let document = Document {
        profile: &body.profile,
        structures: body.structures,
        meta: DocumentMeta {
            spot: body.meta.spot,
            algorithm: &body.meta.algorithm,
            normalized_scale: body.meta.normalized_scale,
            artifact_version: page.artifact_version(),
            last_update: page.iso(),
            epoch: page.epoch(),
            profile: &header.profile,
            journal_seq: header.seq_last.0,
            content_hash: header.content.to_string(),
            proxy: &body.meta.proxy,
            detection: body.meta.detection,
            volume_source: body.meta.volume_source,
            days: body.meta.days,
        },
        symbol: page.symbol(),
        structural_lines: body.structural_lines,
        quality: body.quality,
    };
    page.put(Name::GravityArtifact, Write::Replace, &document)?;
    if page.symbol() == UNSUFFIXED_SYMBOL {
        page.put(Name::VolumeProfile, Write::Replace, &volume_profile(page, &body))?;
    }
    let event = Event {
        kind: "dealer_gravity_artifact_updated",
        symbol: page.symbol(),
        artifact_version: page.artifact_version(),
        occurred_at: page.iso(),
    };
    page.publish(Name::GravityUpdated, &event)
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    symbol: &'a str,
    artifact_version: String,
    occurred_at: String,
}

/// The legacy document. Its buckets are the scaled integers of the artifact,
/// never raw volume; clients use ratios only. It spans what traded, without the
/// original's ceiling of 7000.
#[derive(Serialize)]
struct VolumeProfile<'a> {
    symbol: Box<str>,
    synthetic_symbol: &'a str,
    spy_multiplier: f64,
    bin_size: f64,
    min_price: f64,
    max_price: f64,
    bin_count: usize,
    last_updated: String,
    artifact_version: String,
    buckets_raw: Buckets<'a>,
    buckets_tv: Buckets<'a>,
    structures: &'a RawValue,
}

fn volume_profile<'a>(page: &Page<'a>, body: &'a Body<'a>) -> VolumeProfile<'a> {
    let Profile { min, step, bins } = &body.profile;
    let proxy = body.meta.proxy.as_ref();
    let text = |names: &[&str]| {
        let raw = names.iter().find_map(|name| proxy?.get(*name))?;
        serde_json::from_str::<Box<str>>(raw.get()).ok()
    };
    let number = |names: &[&str]| {
        let raw = names.iter().find_map(|name| proxy?.get(*name))?;
        serde_json::from_str::<f64>(raw.get()).ok()
    };
    VolumeProfile {
        symbol: text(&["symbol", "ticker"]).unwrap_or_else(|| page.symbol().into()),
        synthetic_symbol: page.symbol(),
        spy_multiplier: number(&["multiplier", "ratio", "scale"]).unwrap_or(1.0),
        bin_size: *step,
        min_price: *min,
        max_price: min + bins.len().saturating_sub(1) as f64 * step,
        bin_count: bins.len(),
        last_updated: page.iso(),
        artifact_version: page.artifact_version(),
        buckets_raw: Buckets { min: *min, step: *step, bins: &body.raw_bins },
        buckets_tv: Buckets { min: *min, step: *step, bins },
        structures: body.structures,
    }
}

/// Bins as an object by price: `{"6540": 600}`, ascending, zeros included.
struct Buckets<'a> {
    min: f64,
    step: f64,
    bins: &'a [i64],
}

impl Serialize for Buckets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.bins.len()))?;
        for (i, bin) in self.bins.iter().enumerate() {
            // Nine decimals are what prices have; rounding takes back what
            // adding binary fractions brought in.
            let price = ((self.min + i as f64 * self.step) * 1e9).round() / 1e9;
            map.serialize_entry(&price.to_string(), bin)?;
        }
        map.end()
    }
}

/// The fields of the context are the view's own; what is added is which gravity
/// artifact it stands beside.
pub(super) fn context(page: &mut Page<'_>, gravity: Option<u64>) -> Result<(), RenderError> {
    #[derive(Serialize)]
    struct Context<'a> {
        #[serde(flatten)]
        body: serde_json::Map<String, serde_json::Value>,
        artifact_version: Option<String>,
        timestamp: String,
        version: u64,
        epoch: &'a str,
    }
    let mut body: serde_json::Map<String, serde_json::Value> = page.body()?;
    // Ours are the only ones.
    for name in ["artifact_version", "timestamp", "version", "epoch"] {
        body.remove(name);
    }
    let context = Context {
        body,
        artifact_version: gravity.map(artifact_version),
        timestamp: page.iso(),
        version: page.header().version,
        epoch: &page.epoch(),
    };
    page.put(Name::GravityContext, Write::Replace, &context)
}
