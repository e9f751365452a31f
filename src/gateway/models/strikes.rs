//! `/api/options/strikes/{symbol}`: the strikes that can be traded, ascending.
//!
//! The original reads them from the chain; ours are those of the published
//! lattice and of the exposures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Read, read, unknown_symbol};
use crate::gateway::answer::{json, not_found};
use crate::gateway::{Gateway, names};
use crate::market::ticker::vendor_symbol;
use crate::projector::registry::Bus;

#[derive(Deserialize)]
struct Heatmap {
    tiles: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Side {
    expirations: BTreeMap<String, BTreeMap<String, IgnoredAny>>,
}

pub async fn strikes(State(gateway): State<Arc<Gateway>>, Path(symbol): Path<String>) -> Response {
    let Some(symbol) = names::route_symbol(&symbol) else { return unknown_symbol(&symbol) };
    let vendor = vendor_symbol(symbol.strip_prefix("I:").unwrap_or(&symbol));
    let mut strikes = BTreeSet::new();
    let keys = [names::heatmap(&vendor), names::gex_calls(&vendor), names::gex_puts(&vendor)];
    for (index, key) in keys.iter().enumerate() {
        match read(&gateway, Bus::Market, key).await {
            Read::Found(document) if index == 0 => strikes.extend(of_tiles(document.get())),
            Read::Found(document) => strikes.extend(of_side(document.get())),
            Read::Missing => {}
            Read::Failed(response) => return response,
        }
    }
    if strikes.is_empty() {
        return not_found(&format!("No strikes found for {symbol}"));
    }
    let strikes: Vec<u64> = strikes.into_iter().collect();
    json(
        StatusCode::OK,
        &serde_json::json!({"success": true, "symbol": symbol, "strikes": strikes,
            "ts": gateway.now_ms()}),
    )
}

/// Strikes of the tiles of one contract: `single:DTE:0:STRIKE`.
fn of_tiles(document: &str) -> BTreeSet<u64> {
    let tiles = serde_json::from_str::<Heatmap>(document).map(|h| h.tiles).unwrap_or_default();
    let strike = |key: &String| key.strip_prefix("single:")?.rsplit(':').next()?.parse().ok();
    tiles.keys().filter_map(strike).collect()
}

fn of_side(document: &str) -> BTreeSet<u64> {
    let expiries = serde_json::from_str::<Side>(document).map(|s| s.expirations);
    let expiries = expiries.unwrap_or_default();
    expiries
        .values()
        .flat_map(|by_strike| by_strike.keys())
        .filter_map(|k| k.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_come_from_singles_and_from_exposures() {
        let tiles = r#"{"tiles":{"single:0:0:6540":{"a":1},"single:1:0:6500":{},
            "butterfly:0:20:6400":{},"single:0:0:x":{}}}"#;
        assert_eq!(of_tiles(tiles), BTreeSet::from([6500, 6540]));
        let side =
            r#"{"expirations":{"2026-08-19":{"6540":1.5,"6550":2},"2026-08-20":{"6560":1}}}"#;
        assert_eq!(of_side(side), BTreeSet::from([6540, 6550, 6560]));
        assert_eq!(of_tiles("[]"), BTreeSet::new());
    }
}
