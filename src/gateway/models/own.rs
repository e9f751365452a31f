//! Our own routes below `/api/v1`: which symbols there are, whole artifacts, and
//! all named levels in one list; at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use orrery_replay::artifact::Header;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Asked, Read, read, unknown_symbol};
use crate::gateway::answer::{data, failure, later, not_found, of_house, unavailable};
use crate::gateway::house::{At, HouseError};
use crate::gateway::{Gateway, names};
use crate::projector::registry::Bus;
use crate::projector::render;

/// A whole artifact, header and body, as it is kept or as it was.
pub async fn artifact(
    State(gateway): State<Arc<Gateway>>,
    Path((symbol, family)): Path<(String, String)>,
    Query(asked): Asked,
) -> Response {
    let Some(symbol) = names::route_symbol(&symbol) else { return unknown_symbol(&symbol) };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let known = !family.is_empty() && family.len() <= 64 && family.bytes().all(plain);
    if !known {
        return not_found(&format!("{family:?} is no family"));
    }
    match whole(&gateway, &symbol, &family, asked.get("at")).await {
        Ok(document) => data(&document, gateway.now_ms()),
        Err(response) => *response,
    }
}

/// The levels of a symbol as one flat document. Symbols may be written as the
/// vendor writes them.
pub async fn levels(
    State(gateway): State<Arc<Gateway>>,
    Path(symbol): Path<String>,
    Query(asked): Asked,
) -> Response {
    let Some(symbol) = names::route_symbol(&symbol) else { return unknown_symbol(&symbol) };
    let symbol = symbol.strip_prefix("I:").unwrap_or(&symbol);
    let document = match whole(&gateway, symbol, "levels", asked.get("at")).await {
        Ok(document) => document,
        Err(response) => return *response,
    };
    match flat(&document) {
        Some(flat) => data(&flat, gateway.now_ms()),
        None => failure(StatusCode::INTERNAL_SERVER_ERROR, "the levels cannot be read"),
    }
}

/// The body with what its header says about where it stands.
fn flat(document: &RawValue) -> Option<Value> {
    let mut whole: Value = serde_json::from_str(document.get()).ok()?;
    let Value::Object(mut flat) = whole.get_mut("body")?.take() else { return None };
    let header = whole.get("header")?;
    for field in ["version", "profile", "epoch", "created_at", "content"] {
        flat.insert(field.to_owned(), header.get(field).cloned().unwrap_or(Value::Null));
    }
    let seq = header.get("seq_last").cloned().unwrap_or(Value::Null);
    flat.insert("as_of".to_owned(), json!({"seq": seq}));
    flat.insert(
        "units".to_owned(),
        json!({"price": "points of the underlying", "to": "points of the underlying",
               "strength": "0 to 1", "distance": "(spot - level) / spot"}),
    );
    Some(Value::Object(flat))
}

/// `{header, body}`: the newest as clients of Redis see it, or one of the past.
async fn whole(
    gateway: &Gateway,
    symbol: &str,
    family: &str,
    at: Option<&String>,
) -> Result<Box<RawValue>, Box<Response>> {
    let none = || not_found(&format!("No {family} artifact found for {symbol}"));
    let Some(at) = at else {
        return match read(gateway, Bus::Market, &names::artifact(symbol, family)).await {
            Read::Found(document) => Ok(document),
            Read::Missing => Err(Box::new(none())),
            Read::Failed(response) => Err(Box::new(response)),
        };
    };
    let at = At::parse(at).map_err(|why| Box::new(failure(StatusCode::BAD_REQUEST, why)))?;
    match past(gateway, symbol, family, at).await {
        Ok(Some((header, body))) => render::whole(&header, &body).ok_or_else(|| {
            let told = "the artifact cannot be read";
            Box::new(failure(StatusCode::INTERNAL_SERVER_ERROR, told))
        }),
        Ok(None) => Err(Box::new(none())),
        Err(response) => Err(response),
    }
}

/// Asks for the past, of which few questions are answered at the same time: each
/// may fold a part of a day.
async fn past(
    gateway: &Gateway,
    symbol: &str,
    family: &str,
    at: At,
) -> Result<Option<(Header, Bytes)>, Box<Response>> {
    let Ok(folding) = Arc::clone(&gateway.folding).try_acquire_owned() else {
        gateway.stats.overloaded.add();
        let told = "too many questions about the past; ask again soon";
        return Err(Box::new(later(StatusCode::SERVICE_UNAVAILABLE, told, 1)));
    };
    let house = Arc::clone(&gateway.parts.house);
    let (symbol, family) = (symbol.to_owned(), family.to_owned());
    let asking = tokio::task::spawn_blocking(move || {
        let answer = house.artifact(&symbol, &family, at);
        drop(folding);
        answer
    });
    asking.await.unwrap_or(Err(HouseError::Failed)).map_err(|e| Box::new(of_house(&e)))
}

/// Which symbols have something to show, and what.
pub async fn symbols(State(gateway): State<Arc<Gateway>>) -> Response {
    #[derive(Serialize)]
    struct Known {
        symbol: String,
        vendor_symbol: String,
        families: BTreeSet<String>,
    }
    let documents = &gateway.parts.documents;
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (bus, prefix) in [
        (Bus::Market, names::OWN),
        (Bus::Market, names::SPOT),
        (Bus::Market, names::GEX),
        (Bus::Market, names::HEATMAP),
        (Bus::System, names::GRAVITY),
    ] {
        let keys = match documents.keys(bus, prefix).await {
            Ok(keys) => keys,
            Err(error) => return unavailable(&error),
        };
        for key in &keys {
            if let Some((symbol, family)) = symbol_and_family(key) {
                known.entry(symbol).or_default().insert(family);
            }
        }
    }
    let known: Vec<Known> = known
        .into_iter()
        .map(|(symbol, families)| Known {
            vendor_symbol: crate::market::ticker::vendor_symbol(&symbol),
            symbol,
            families,
        })
        .collect();
    data(&known, gateway.now_ms())
}

fn symbol_and_family(key: &str) -> Option<(String, String)> {
    let plain = |vendor: String| vendor.strip_prefix("I:").map(str::to_owned).unwrap_or(vendor);
    if let Some((symbol, family)) = names::artifact_parts(key) {
        return Some((symbol.to_owned(), family.to_owned()));
    }
    if let Some(symbol) = names::gravity_symbol(key) {
        return Some((symbol, "gravity".to_owned()));
    }
    names::spot_symbol(key)
        .map(|s| (plain(s), "spot".to_owned()))
        .or_else(|| names::gex_symbol(key).map(|s| (plain(s), "gex".to_owned())))
        .or_else(|| names::heatmap_symbol(key).map(|s| (plain(s), "heatmap".to_owned())))
}
