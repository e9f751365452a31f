//! Bodies by hand, and what a model says of bad input.

mod expiry;
mod profiles;
mod stream;
mod surface;

use std::collections::BTreeMap;

use orrery_journal::units::{Price, RecvTime};
use serde_json::Value;

use super::*;
use crate::market::book::{Contract, ContractState};
use crate::models::testing::{DAY_NS, book, book_of, contract, decompressed, market, shared};

const STRIKES: [f64; 5] = [90.0, 95.0, 100.0, 105.0, 110.0];

fn quoted(bid: f64, ask: f64, at: i64) -> ContractState {
    let (bid, ask, quoted_at) = (Some(bid), Some(ask), Some(RecvTime(at)));
    ContractState { bid, ask, quoted_at, ..ContractState::default() }
}

/// Calls and puts at five strikes of one expiry; mids on a convex curve.
fn five_strikes() -> Book {
    let calls = [11.0, 7.0, 4.0, 2.0, 1.0];
    let puts = [1.2, 2.2, 4.2, 7.2, 11.2];
    let (mut contracts, mut states) = (Vec::new(), Vec::new());
    for (i, strike) in STRIKES.into_iter().enumerate() {
        for (right, mid) in [("C", calls[i]), ("P", puts[i])] {
            contracts.push(contract(right, strike, 3));
            states.push(quoted(mid - 0.1, mid + 0.1, DAY_NS));
        }
    }
    book(contracts, states)
}

fn now() -> RecvTime {
    RecvTime(DAY_NS + NANOS_PER_SECOND)
}

fn emitted(book: &Book) -> Value {
    let market = market(Some(book), Some(100.0), now());
    let mut model = Heatmap::default();
    model.apply(&Change::Chain, &market);
    serde_json::from_slice(&model.emit(&market).expect("a body")).expect("JSON")
}

#[test]
fn golden_tiles() {
    let body = emitted(&five_strikes());
    let single = &body["tiles"]["single:2:0:100"];
    assert_eq!(
        single.to_string(),
        r#"{"call":{"mid":4.0,"natural":4.1},"dte":2,"put":{"mid":4.2,"natural":4.3},"strategy":"single","strike":100.0,"symbol":"I:SPX","width":0}"#
    );
    // Calls 4 - 2, puts 4.2 - 2.2; naturally 4.1 - 1.9 and 4.3 - 2.1.
    let vertical = &body["tiles"]["vertical:2:5:100"];
    let side = serde_json::json!({"debit":2.0,"natural_debit":2.2,"max_profit":3.0,"max_loss":2.0,
        "probability":0.4});
    assert_eq!((&vertical["call"], &vertical["put"]), (&side, &side));
    // 11 - 8 + 1 and 11.2 - 8.4 + 1.2; naturally 11.1 - 7.8 + 1.1.
    let butterfly = &body["tiles"]["butterfly:2:10:100"];
    let side = serde_json::json!({"debit":4.0,"natural_debit":4.4,"max_profit":6.0,"max_loss":4.0,
        "density":0.04});
    assert_eq!((&butterfly["call"], &butterfly["put"]), (&side, &side));
    assert_eq!(butterfly["parity_gap"], 0.0);
    assert_eq!(butterfly["width"], 10);
    assert!(butterfly["eligible"].is_null());
    assert_eq!(body["dtes_available"], serde_json::json!([2]));
    // 5 singles; 5 verticals of width 5 (all have a side) and 5 of width 10;
    // butterflies at 95, 100, 105 and, of width 10, at 100.
    assert_eq!(body["dte_tile_counts"]["2"], 5 + 5 + 5 + 3 + 1);
    assert_eq!(body["quality"]["tiles"], body["quality"]["eligible"]);
    assert_eq!(body["quality"]["age_ms"]["oldest"], 1000);
}

#[test]
fn a_tile_without_its_contracts_does_not_exist() {
    let whole = five_strikes();
    let mut contracts: Vec<Contract> = whole.topology.contracts.clone();
    let mut states = whole.states.clone();
    // The put at 95 is not listed.
    let gone = contracts.iter().position(|c| &*c.ticker == "P95@3").expect("listed");
    contracts.remove(gone);
    states.remove(gone);
    let body = emitted(&book(contracts, states));
    let tiles = body["tiles"].as_object().expect("a map");
    for key in ["butterfly:2:5:95", "butterfly:2:5:100"] {
        assert!(!tiles.contains_key(key), "{key}");
    }
    assert!(tiles.contains_key("butterfly:2:5:105"));
    // The call side is there, the put side is not, and nothing is wrong.
    let vertical = &tiles["vertical:2:5:100"];
    assert!(vertical["put"].is_null() && vertical["eligible"].is_null());
    assert_eq!(vertical["call"]["debit"], 2.0);
}

#[test]
fn tiles_without_quotes_are_not_eligible_and_say_why() {
    let mut book = five_strikes();
    let slot = |book: &Book, ticker: &str| {
        book.topology.contracts.iter().position(|c| &*c.ticker == ticker).expect("listed")
    };
    let (c105, p95, c90) = (slot(&book, "C105@3"), slot(&book, "P95@3"), slot(&book, "C90@3"));
    book.states[c105] = ContractState::default();
    book.states[p95].bid = Some(0.0);
    book.states[c90].bid = Some(12.0);
    let body = emitted(&book);
    let tile = &body["tiles"]["butterfly:2:5:100"];
    assert!(tile["call"].is_null() && tile["put"].is_null() && tile["parity_gap"].is_null());
    assert_eq!(tile["eligible"], false);
    assert_eq!(tile["reasons"], serde_json::json!(["missing_upper_call", "one_sided_lower_put"]));
    let tile = &body["tiles"]["vertical:2:5:90"];
    assert_eq!(tile["reasons"], serde_json::json!(["crossed_center_call"]));
    // One side may still be priced.
    let tile = &body["tiles"]["single:2:0:105"];
    assert!(tile["call"].is_null());
    assert_eq!(tile["put"]["mid"], 7.2);
    let quality = &body["quality"];
    assert_eq!(quality["contracts"]["missing"], 1);
    assert_eq!(quality["contracts"]["one_sided"], 1);
    assert_eq!(quality["contracts"]["crossed"], 1);
    assert_eq!(quality["coverage"], 0.7);
    assert_eq!(quality["reasons"]["one_sided_center_put"], 3);
}

#[test]
fn debits_out_of_bounds_are_flagged_and_left_alone() {
    let mut book = five_strikes();
    let c100 = book.topology.contracts.iter().position(|c| &*c.ticker == "C100@3").expect("listed");
    book.states[c100] = quoted(8.4, 8.6, DAY_NS);
    let body = emitted(&book);
    let fly = &body["tiles"]["butterfly:2:10:100"]["call"];
    assert_eq!((&fly["debit"], &fly["flag"]), (&(-5.0).into(), &"below_zero".into()));
    let vertical = &body["tiles"]["vertical:2:5:100"]["call"];
    assert_eq!((&vertical["debit"], &vertical["flag"]), (&6.5.into(), &"above_width".into()));
    let tile = &body["tiles"]["butterfly:2:10:100"];
    assert_eq!(
        (&tile["parity_gap"], &tile["parity_flag"]),
        (&(-9.0).into(), &"beyond_spread".into())
    );
    // Layers follow the debit, wherever it lies.
    assert_eq!((&fly["density"], &vertical["probability"]), (&(-0.05).into(), &1.3.into()));
    let parity = &body["quality"]["parity"];
    // Butterflies at 95 and 105 have the contract as a wing, those at 100 twice.
    assert_eq!((&parity["pairs"], &parity["beyond_spread"]), (&4.into(), &4.into()));
    assert_eq!((&parity["gap_max"], &parity["gap_mean"]), (&9.0.into(), &6.75.into()));
    assert!(body["quality"]["out_of_bounds"].as_u64() >= Some(2));
}

#[test]
fn the_root_that_settles_last_has_the_plain_key() {
    let morning = |right| {
        let mut contract = contract(right, 100.0, 3);
        contract.root = "SPX".into();
        contract.settles_at = contract.settles_at.plus_nanos(-6 * 3600 * NANOS_PER_SECOND);
        contract.ticker = format!("AM{right}").into();
        contract
    };
    let contracts =
        vec![morning("C"), morning("P"), contract("C", 100.0, 3), contract("P", 100.0, 3)];
    let states = [9.0, 9.0, 4.0, 4.0].map(|mid| quoted(mid - 0.1, mid + 0.1, DAY_NS)).to_vec();
    let body = emitted(&book(contracts, states));
    assert_eq!(body["tiles"]["single:2:0:100"]["call"]["mid"], 4.0);
    assert_eq!(body["tiles"]["single:2:0:100@SPX"]["call"]["mid"], 9.0);
    assert_eq!(body["tiles"]["single:2:0:100@SPX"]["root"], "SPX");
}

#[test]
fn keys_keep_the_decimals_of_a_strike() {
    let contracts = vec![contract("C", 297.5, 3), contract("C", 297.0, 3)];
    let body = emitted(&book(contracts, vec![quoted(1.0, 1.2, DAY_NS); 2]));
    let tiles = body["tiles"].as_object().expect("a map");
    assert!(tiles.contains_key("single:2:0:297.5") && tiles.contains_key("single:2:0:297"));
}

#[test]
fn a_quote_reprices_only_the_tiles_of_its_contract() {
    let mut book = five_strikes();
    let mut model = Heatmap::default();
    let at = market(Some(&book), Some(100.0), now());
    model.apply(&Change::Chain, &at);
    let first = model.emit(&at).expect("a body");
    book.states[0] = quoted(11.5, 11.7, DAY_NS);
    let at = market(Some(&book), Some(100.0), now());
    assert!(model.apply(&Change::Quote(0), &at));
    assert!(!model.apply(&Change::Trade(0), &at), "tiles are priced from quotes only");
    // The call at 90: its single, two verticals, a wing of two butterflies.
    assert_eq!(model.settle(&at), 5);
    let second = model.emit(&at).expect("a body");
    let tiles = |body: &[u8]| -> serde_json::Map<String, Value> {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        body["tiles"].as_object().expect("a map").clone()
    };
    let (first, second) = (tiles(&first), tiles(&second));
    let changed: Vec<&String> =
        second.iter().filter(|(key, tile)| first.get(*key) != Some(tile)).map(|(k, _)| k).collect();
    assert_eq!(
        changed,
        [
            "butterfly:2:10:100",
            "butterfly:2:5:95",
            "single:2:0:90",
            "vertical:2:10:90",
            "vertical:2:5:90"
        ]
    );
}

#[test]
fn the_band_follows_the_spot_and_the_days_count_down() {
    let contracts: Vec<Contract> =
        (1..=100).map(|strike| contract("C", f64::from(strike), 3)).collect();
    let book = book(contracts, vec![quoted(1.0, 1.2, DAY_NS); 100]);
    let mut model = Heatmap::default();
    let mut keys = |spot: f64, day: i64, change: Change<'_>| {
        let market = market(Some(&book), Some(spot), RecvTime(day * DAY_NS));
        let due = model.apply(&change, &market);
        let body: Value =
            serde_json::from_slice(&model.emit(&market).expect("a body")).expect("JSON");
        let tiles = body["tiles"].as_object().expect("a map");
        let single: Vec<f64> = tiles
            .iter()
            .filter(|(key, _)| key.starts_with("single:"))
            .filter_map(|(_, tile)| tile["strike"].as_f64())
            .collect();
        let low = single.iter().copied().fold(f64::MAX, f64::min);
        let high = single.iter().copied().fold(0.0, f64::max);
        (due, low, high, body["dtes_available"][0].as_i64())
    };
    assert_eq!(keys(50.0, 1, Change::Chain), (true, 30.0, 70.0, Some(2)));
    assert_eq!(keys(50.1, 1, Change::Spot), (false, 30.0, 70.0, Some(2)));
    assert_eq!(keys(52.0, 1, Change::Spot), (true, 32.0, 72.0, Some(2)));
    assert_eq!(keys(52.0, 3, Change::Quote(0)), (true, 32.0, 72.0, Some(0)));
}

#[test]
fn a_chain_without_quotes_or_spot_has_nothing_to_say() {
    let mut book = five_strikes();
    let mut model = Heatmap::default();
    let without_spot = market(Some(&book), None, now());
    model.apply(&Change::Chain, &without_spot);
    assert_eq!(model.emit(&without_spot), None);
    book.states.fill(ContractState::default());
    let without_quotes = market(Some(&book), Some(100.0), now());
    model.apply(&Change::Chain, &without_quotes);
    assert_eq!(model.emit(&without_quotes), None);
    assert_eq!(model.emit(&market(None, Some(100.0), now())), None);
}

/// Prices of tiles carry no binary dust.
#[test]
fn debits_are_decimal() {
    let mut book = five_strikes();
    for (state, mid) in book.states.iter_mut().zip([0.7, 0.1, 0.3, 0.1, 0.1].iter().cycle()) {
        *state = quoted(mid - 0.05, mid + 0.05, DAY_NS);
    }
    let text = emitted(&book)["tiles"].to_string();
    assert!(!text.contains("0000") && !text.contains("9999"), "{text}");
    assert_eq!(Price::from_f64_nearest(0.1 + 0.2).map(Price::to_f64), Some(0.3));
}

/// Tiles of a real chain against prices taken straight from its JSON.
#[test]
fn a_real_chain_is_priced_as_its_quotes_say() {
    let Some(path) = shared("goog-20151224/chain-snapshots.ndjson.zst") else { return };
    let text = String::from_utf8(decompressed(&path)).expect("UTF-8");
    let chain: Value = serde_json::from_str(text.lines().nth(7).expect("14 lines")).expect("JSON");
    let rows = chain["results"].as_array().expect("rows");
    let at = chain["captured_at"].as_str().and_then(RecvTime::parse_rfc3339).expect("a time");
    let mut mids: BTreeMap<(String, i64, bool), Option<f64>> = BTreeMap::new();
    let book = book_of(rows.iter().map(|row| {
        let (details, quote) = (&row["details"], &row["last_quote"]);
        let (bid, ask) = (quote["bid"].as_f64(), quote["ask"].as_f64());
        let mid = bid.zip(ask).filter(|(b, a)| *b > 0.0 && a >= b).map(|(b, a)| (b + a) / 2.0);
        let strike = details["strike_price"].as_f64().expect("a strike");
        let expiry = details["expiration_date"].as_str().expect("a date").to_owned();
        let is_call = details["contract_type"] == "call";
        mids.insert((expiry, (strike * 1000.0).round() as i64, is_call), mid);
        let state = ContractState { bid, ask, quoted_at: Some(at), ..ContractState::default() };
        (details["ticker"].as_str().expect("a ticker"), state)
    }));
    let spot = rows[0]["underlying_asset"]["price"].as_f64().expect("a price");
    let market = market(Some(&book), Some(spot), at);
    let mut model = Heatmap::default();
    model.apply(&Change::Chain, &market);
    let body: Value = serde_json::from_slice(&model.emit(&market).expect("a body")).expect("JSON");
    let expiries = [("2015-12-24", 0), ("2015-12-31", 7)];
    assert_eq!(body["dtes_available"], serde_json::json!([0, 7]));
    let (mut priced, mut absent) = (0, 0);
    for tile in body["tiles"].as_object().expect("a map").values() {
        let strategy = tile["strategy"].as_str().expect("a strategy");
        let (expiry, _) =
            expiries.iter().find(|(_, dte)| tile["dte"] == *dte).expect("one of the two expiries");
        let of = |field: &str| (tile[field].as_f64().expect("a number") * 1000.0).round() as i64;
        let (strike, width) = (of("strike"), of("width"));
        for (side, is_call) in [("call", true), ("put", false)] {
            let leg = |k: i64| mids.get(&((*expiry).to_owned(), k, is_call)).copied().flatten();
            let beyond = if is_call { strike + width } else { strike - width };
            let expected = match strategy {
                "single" => leg(strike),
                "vertical" => leg(strike).zip(leg(beyond)).map(|(long, short)| long - short),
                _ => leg(strike - width)
                    .zip(leg(strike + width))
                    .zip(leg(strike))
                    .map(|((low, high), center)| low + high - 2.0 * center),
            };
            let field = if strategy == "single" { "mid" } else { "debit" };
            let got = tile[side][field].as_f64();
            assert_eq!(got.is_some(), expected.is_some(), "{side} of {tile}");
            match got.zip(expected) {
                Some((got, expected)) => {
                    assert!((got - expected).abs() < 1e-9, "{side} of {tile}: {expected}");
                    priced += 1;
                }
                None => absent += 1,
            }
        }
    }
    assert!(priced > 200 && absent > 0, "{priced} priced, {absent} absent");
}
