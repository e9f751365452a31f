//! `/api/models/volume_profile`: price levels, the highest price first, of the
//! main profile or of one that runs beside it (`profile=NAME`).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Asked, Read, read, unknown_symbol};
use crate::gateway::answer::{data, failure, not_found};
use crate::gateway::{Gateway, names};
use crate::projector::registry::Bus;

/// The document of the original, SPX only.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    bin_size: Option<f64>,
    #[serde(default)]
    buckets_raw: BTreeMap<String, f64>,
    #[serde(default)]
    buckets_tv: BTreeMap<String, f64>,
    #[serde(default)]
    structures: Option<Box<RawValue>>,
}

/// A gravity artifact as it is kept, for all other symbols and profiles.
#[derive(Deserialize)]
struct Whole {
    body: Body,
}

/// Which profile a kept artifact has.
#[derive(Deserialize)]
struct Named {
    header: Header,
}

#[derive(Deserialize)]
struct Header {
    profile: Box<str>,
}

#[derive(Deserialize)]
struct Body {
    profile: Profile,
    #[serde(default)]
    raw_bins: Vec<f64>,
    #[serde(default)]
    structures: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Profile {
    min: f64,
    step: f64,
    bins: Vec<f64>,
}

/// What clients get.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Levels {
    levels: Vec<Level>,
    max_volume: f64,
    count: usize,
    mode: &'static str,
    step: f64,
    structures: Box<RawValue>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
struct Level {
    price: f64,
    volume: f64,
}

pub async fn volume_profile(State(gateway): State<Arc<Gateway>>, Query(asked): Asked) -> Response {
    let mode = match asked.get("mode").map(String::as_str) {
        None | Some("raw") => "raw",
        Some("tv") => "tv",
        Some(_) => return failure(StatusCode::BAD_REQUEST, "mode is raw or tv"),
    };
    let (min, max) = match (bound(&asked, "min"), bound(&asked, "max")) {
        (Ok(min), Ok(max)) => (min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX)),
        (Err(response), _) | (_, Err(response)) => return *response,
    };
    let symbol = match asked.get("symbol") {
        None => names::DEFAULT_SYMBOL.to_owned(),
        Some(text) => match names::route_symbol(text) {
            Some(symbol) => symbol,
            None => return unknown_symbol(text),
        },
    };
    let wanted = match asked.get("profile").map(|name| plain_name(name)) {
        None => None,
        Some(Some(name)) => Some(name),
        Some(None) => {
            return failure(StatusCode::BAD_REQUEST, "profile is a name such as gravity/session@1");
        }
    };
    let (bus, key) = match wanted {
        Some(name) => (Bus::Market, names::artifact(&symbol, &family_of(name))),
        None if symbol == names::DEFAULT_SYMBOL => (Bus::System, names::VOLUME_PROFILE.to_owned()),
        None => (Bus::Market, names::artifact(&symbol, "gravity")),
    };
    let found = match wanted {
        Some(name) => read_profile(&gateway, &symbol, name).await,
        None => read(&gateway, bus, &key).await,
    };
    let document = match found {
        Read::Found(document) => document,
        Read::Missing if wanted.is_some() => {
            return not_found(
                "No such volume profile: the parameters name it neither as gravity.profile nor \
                 in gravity.beside",
            );
        }
        Read::Missing => return not_found("No volume profile data found"),
        Read::Failed(response) => return response,
    };
    let read = if bus == Bus::System {
        serde_json::from_str(document.get()).map(|d: Document| of_document(d, mode))
    } else {
        serde_json::from_str(document.get()).map(|w: Whole| of_body(w.body, mode))
    };
    let (mut levels, step, structures) = match read {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(key, %error, "a volume profile is not as agreed");
            return failure(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the volume profile is not as agreed",
            );
        }
    };
    levels.retain(|level| level.volume > 0.0 && (min..=max).contains(&level.price));
    levels.sort_by(|a, b| b.price.total_cmp(&a.price));
    let empty = r#"{"volume_nodes":[],"volume_wells":[],"crevasses":[]}"#;
    let Some(structures) = structures.or_else(|| serde_json::from_str(empty).ok()) else {
        return failure(StatusCode::INTERNAL_SERVER_ERROR, "the structures cannot be written");
    };
    let answer = Levels {
        max_volume: levels.iter().map(|level| level.volume).fold(0.0, f64::max),
        count: levels.len(),
        levels,
        mode,
        step,
        structures,
    };
    data(&answer, gateway.now_ms())
}

/// `/api/dealer-gravity/structures`: those of the profile document; empty lists
/// while there is none.
pub async fn structures(State(gateway): State<Arc<Gateway>>) -> Response {
    let document = match read(&gateway, Bus::System, names::VOLUME_PROFILE).await {
        Read::Found(document) => document,
        Read::Missing => return data(&no_structures(), gateway.now_ms()),
        Read::Failed(response) => return response,
    };
    let found = serde_json::from_str::<Document>(document.get()).ok().and_then(|d| d.structures);
    match found {
        Some(structures) => data(&structures, gateway.now_ms()),
        None => data(&no_structures(), gateway.now_ms()),
    }
}

fn no_structures() -> serde_json::Value {
    serde_json::json!({"volume_nodes": [], "volume_wells": [], "crevasses": []})
}

/// A profile's name without family and version.
fn plain_name(name: &str) -> Option<&str> {
    let name = name.strip_prefix("gravity/").unwrap_or(name).split('@').next()?;
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!name.is_empty() && name.chars().all(fine)).then_some(name)
}

/// The family of a profile that runs beside the main one.
fn family_of(name: &str) -> String {
    format!("gravity_{}", name.replace('-', "_"))
}

/// The artifact of a profile, whether it is the main one or runs beside it.
async fn read_profile(gateway: &Gateway, symbol: &str, name: &str) -> Read {
    let main = read(gateway, Bus::Market, &names::artifact(symbol, "gravity")).await;
    if let Read::Found(document) = &main
        && serde_json::from_str::<Named>(document.get())
            .is_ok_and(|named| plain_name(&named.header.profile) == Some(name))
    {
        return main;
    }
    read(gateway, Bus::Market, &names::artifact(symbol, &family_of(name))).await
}

type Read3 = (Vec<Level>, f64, Option<Box<RawValue>>);

fn of_document(document: Document, mode: &str) -> Read3 {
    let buckets = if mode == "tv" { document.buckets_tv } else { document.buckets_raw };
    let levels = buckets
        .iter()
        .filter_map(|(price, &volume)| Some(Level { price: price.parse().ok()?, volume }))
        .collect();
    (levels, document.bin_size.unwrap_or(1.0), document.structures)
}

fn of_body(body: Body, mode: &str) -> Read3 {
    let Profile { min, step, bins } = body.profile;
    let bins = if mode == "tv" { bins } else { body.raw_bins };
    let levels = bins
        .iter()
        .enumerate()
        .map(|(i, &volume)| Level { price: min + i as f64 * step, volume })
        .collect();
    (levels, step, body.structures)
}

fn bound(asked: &BTreeMap<String, String>, name: &str) -> Result<Option<f64>, Box<Response>> {
    let Some(text) = asked.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() => Ok(Some(price)),
        _ => Err(Box::new(failure(StatusCode::BAD_REQUEST, &format!("{name} is a price")))),
    }
}
