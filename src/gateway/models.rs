//! Routes that answer with documents: `/api/dealer-gravity/*`, `/api/models/*`
//! and our own `/api/v1/*`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::{data, failure, not_found, unavailable};
use super::candles::{self, DAYS};
use super::routes::{Route, get};
use super::{Gateway, names};
use crate::projector::registry::Bus;

mod own;
mod profile;
mod strikes;

pub fn routes() -> Vec<Route> {
    vec![
        get("/api/dealer-gravity/artifact", gravity),
        get("/api/dealer-gravity/context", context),
        get("/api/dealer-gravity/structures", profile::structures),
        get("/api/models/spot", spot),
        get("/api/models/gex/{symbol}", gex),
        get("/api/models/heatmap/{symbol}", heatmap),
        get("/api/models/heatmap/{symbol}/{strategy}", heatmap_of_strategy),
        get("/api/models/bias_lfi", bias_lfi),
        get("/api/models/market_mode", market_mode),
        get("/api/models/vix_regime", vix_regime),
        get("/api/models/trade_selector/{symbol}", selector),
        get("/api/models/candles/{symbol}", candles_of),
        get("/api/models/volume_profile", profile::volume_profile),
        get("/api/options/strikes/{symbol}", strikes::strikes),
        get("/api/v1/symbols", own::symbols),
        get("/api/v1/artifacts/{symbol}/{family}", own::artifact),
        get("/api/v1/levels/{symbol}", own::levels),
    ]
}

/// A query string as it came; its meaning is each route's own.
pub type Asked = Query<BTreeMap<String, String>>;

/// A document, or the answer that says why there is none.
pub(super) enum Read {
    Found(Box<RawValue>),
    Missing,
    Failed(Response),
}

/// Reads a document that must be JSON.
pub(super) async fn read(gateway: &Gateway, bus: Bus, key: &str) -> Read {
    match gateway.parts.documents.get(bus, key).await {
        Ok(Some(bytes)) => match raw(&bytes) {
            Some(document) => Read::Found(document),
            None => {
                tracing::error!(key, "a document is not JSON");
                Read::Failed(failure(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    &format!("the document {key} is not JSON"),
                ))
            }
        },
        Ok(None) => Read::Missing,
        Err(error) => Read::Failed(unavailable(&error)),
    }
}

pub(super) fn raw(bytes: &Bytes) -> Option<Box<RawValue>> {
    serde_json::from_slice(bytes).ok()
}

fn unknown_symbol(symbol: &str) -> Response {
    not_found(&format!("{symbol:?} is no symbol"))
}

async fn gravity(state: State<Arc<Gateway>>, asked: Asked) -> Response {
    of_gravity(state, asked, names::gravity).await
}

async fn context(state: State<Arc<Gateway>>, asked: Asked) -> Response {
    of_gravity(state, asked, names::context).await
}

/// The original knows one symbol here and answers 503 while it has nothing; a
/// symbol that is asked for by name can be unknown.
async fn of_gravity(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Asked,
    key: fn(&str) -> String,
) -> Response {
    let symbol = match asked.get("symbol") {
        None => None,
        Some(text) => match names::route_symbol(text) {
            Some(symbol) => Some(symbol),
            None => return unknown_symbol(text),
        },
    };
    let key = key(symbol.as_deref().unwrap_or(names::DEFAULT_SYMBOL));
    match read(&gateway, Bus::System, &key).await {
        Read::Found(document) => data(&document, gateway.now_ms()),
        Read::Missing => match symbol {
            Some(symbol) => not_found(&format!("No dealer gravity found for {symbol}")),
            None => failure(StatusCode::SERVICE_UNAVAILABLE, "Volume profile data not available"),
        },
        Read::Failed(response) => response,
    }
}

async fn spot(State(gateway): State<Arc<Gateway>>) -> Response {
    let keys = match gateway.parts.documents.keys(Bus::Market, names::SPOT).await {
        Ok(keys) => keys,
        Err(error) => return unavailable(&error),
    };
    let mut prices: BTreeMap<String, Box<RawValue>> = BTreeMap::new();
    for key in &keys {
        let Some(symbol) = names::spot_symbol(key) else { continue };
        match read(&gateway, Bus::Market, key).await {
            Read::Found(document) => drop(prices.insert(symbol, document)),
            Read::Missing => {}
            Read::Failed(response) => return response,
        }
    }
    data(&prices, gateway.now_ms())
}

/// Both sides of a symbol; either may be missing.
#[derive(Serialize)]
pub(super) struct Gex<'a> {
    pub symbol: &'a str,
    pub calls: Option<Box<RawValue>>,
    pub puts: Option<Box<RawValue>>,
}

async fn gex(State(gateway): State<Arc<Gateway>>, Path(symbol): Path<String>) -> Response {
    let Some(symbol) = names::route_symbol(&symbol) else { return unknown_symbol(&symbol) };
    let mut sides = [None, None];
    for (side, key) in sides.iter_mut().zip([names::gex_calls(&symbol), names::gex_puts(&symbol)]) {
        match read(&gateway, Bus::Market, &key).await {
            Read::Found(document) => *side = Some(document),
            Read::Missing => {}
            Read::Failed(response) => return response,
        }
    }
    let [calls, puts] = sides;
    if calls.is_none() && puts.is_none() {
        return not_found(&format!("No GEX model found for {symbol}"));
    }
    data(&Gex { symbol: &symbol, calls, puts }, gateway.now_ms())
}

async fn heatmap(State(gateway): State<Arc<Gateway>>, Path(symbol): Path<String>) -> Response {
    heatmap_answer(&gateway, &symbol).await
}

/// The original looks for a document of the strategy, which nobody writes any
/// more, and then answers with all tiles; so do we.
async fn heatmap_of_strategy(
    State(gateway): State<Arc<Gateway>>,
    Path((symbol, _strategy)): Path<(String, String)>,
) -> Response {
    heatmap_answer(&gateway, &symbol).await
}

async fn heatmap_answer(gateway: &Gateway, symbol: &str) -> Response {
    let Some(symbol) = names::route_symbol(symbol) else { return unknown_symbol(symbol) };
    match read(gateway, Bus::Market, &names::heatmap(&symbol)).await {
        Read::Found(document) => data(&document, gateway.now_ms()),
        Read::Missing => not_found(&format!("No heatmap found for {symbol}")),
        Read::Failed(response) => response,
    }
}

/// The original knows one symbol here; another one can be asked for by name.
async fn bias_lfi(State(gateway): State<Arc<Gateway>>, Query(asked): Asked) -> Response {
    let key = match asked.get("symbol").map(|text| (text, names::route_symbol(text))) {
        None => names::BIAS_LFI.to_owned(),
        Some((_, Some(symbol))) => names::bias_lfi(&symbol),
        Some((text, None)) => return unknown_symbol(text),
    };
    document(&gateway, &key, "No bias_lfi model found").await
}

async fn market_mode(State(gateway): State<Arc<Gateway>>) -> Response {
    document(&gateway, names::MARKET_MODE, "No market_mode model found").await
}

async fn vix_regime(State(gateway): State<Arc<Gateway>>) -> Response {
    document(&gateway, names::VIX_REGIME, "No VIX regime model found").await
}

async fn selector(State(gateway): State<Arc<Gateway>>, Path(symbol): Path<String>) -> Response {
    let Some(symbol) = names::route_symbol(&symbol) else { return unknown_symbol(&symbol) };
    let none = format!("No trade selector model found for {symbol}");
    document(&gateway, &names::selector(&symbol), &none).await
}

/// `days` is clamped to 1 to 7, as the original does. Indices alone have an
/// `I:`, so `SPX` is no symbol here.
async fn candles_of(
    State(gateway): State<Arc<Gateway>>,
    Path(symbol): Path<String>,
    Query(asked): Asked,
) -> Response {
    let Some(symbol) = names::route_symbol(&symbol) else { return unknown_symbol(&symbol) };
    let days = match asked.get("days").map(|text| text.parse::<i64>()) {
        None => *DAYS.start(),
        Some(Ok(days)) => days.clamp(*DAYS.start(), *DAYS.end()),
        Some(Err(_)) => return failure(StatusCode::BAD_REQUEST, "days is a number from 1 to 7"),
    };
    let none = || not_found(&format!("No candles found for {symbol}"));
    if !names::is_vendor_symbol(&symbol) {
        return none();
    }
    match gateway.parts.documents.get(Bus::Market, &names::candles(&symbol)).await {
        Ok(Some(artifact)) => candles::candles(&symbol, days, &artifact)
            .map_or_else(none, |candles| data(&candles, gateway.now_ms())),
        Ok(None) => none(),
        Err(error) => unavailable(&error),
    }
}

/// A document of the market bus as it stands.
async fn document(gateway: &Gateway, key: &str, none: &str) -> Response {
    match read(gateway, Bus::Market, key).await {
        Read::Found(document) => data(&document, gateway.now_ms()),
        Read::Missing => not_found(none),
        Read::Failed(response) => response,
    }
}
