//! Contracts that settle while they are in the lattice; roots of the morning
//! and of the close.

use super::*;

const HOUR_NS: i64 = 3_600 * NANOS_PER_SECOND;

/// Five strikes that settle at the close of day 3, and as many of another root
/// that settle in its morning.
fn two_roots() -> Book {
    let close = five_strikes();
    let mut contracts: Vec<Contract> = close.topology.contracts.clone();
    let mut states = close.states.clone();
    for (contract, state) in close.topology.contracts.iter().zip(&close.states) {
        let mut morning = contract.clone();
        morning.root = "SPX".into();
        morning.ticker = format!("AM{}", contract.ticker).into();
        morning.settles_at = contract.settles_at.plus_nanos(-6 * HOUR_NS);
        contracts.push(morning);
        let up = |price: Option<f64>| price.map(|p| p + 1.0);
        states.push(ContractState { bid: up(state.bid), ask: up(state.ask), ..*state });
    }
    book(contracts, states)
}

fn at(nanos: i64) -> RecvTime {
    RecvTime(3 * DAY_NS + nanos)
}

fn json(body: Option<Vec<u8>>) -> Value {
    serde_json::from_slice(&body.expect("a body")).expect("JSON")
}

#[test]
fn roots_are_lattices_of_their_own() {
    let book = two_roots();
    let body = emitted(&book);
    let tiles = body["tiles"].as_object().expect("a map");
    let plain = tiles.keys().filter(|key| !key.contains('@')).count();
    assert_eq!((plain, tiles.len()), (19, 38));
    // No structure mixes contracts of both.
    let fly = |key: &str| tiles[key]["call"]["debit"].as_f64();
    assert_eq!((fly("butterfly:2:10:100"), fly("butterfly:2:10:100@SPX")), (Some(4.0), Some(4.0)));
    let single = |key: &str| tiles[key]["call"]["mid"].as_f64();
    assert_eq!((single("single:2:0:100"), single("single:2:0:100@SPX")), (Some(4.0), Some(5.0)));
    let expiries = body["expiries"].as_array().expect("a list");
    let roots: Vec<_> =
        expiries.iter().map(|e| (e["root"].as_str(), e["plain_key"].as_bool())).collect();
    assert_eq!(roots, [(Some("SPXW"), Some(true)), (Some("SPX"), Some(false))]);
    let years = |i: usize| expiries[i]["years"].as_f64().expect("alive");
    assert!((years(0) - years(1) - 0.25 / 365.0).abs() < 1e-15, "T is each root's own");
}

#[test]
fn two_dates_that_settle_on_one_day_do_not_share_tiles() {
    let first = five_strikes();
    let mut contracts: Vec<Contract> = first.topology.contracts.clone();
    let mut states = first.states.clone();
    for (contract, state) in first.topology.contracts.iter().zip(&first.states) {
        let mut dated = contract.clone();
        // Nobody trades on that date.
        dated.expiry = TradingDay(contract.expiry.0 + 1);
        dated.ticker = format!("LATER{}", contract.ticker).into();
        contracts.push(dated);
        states.push(ContractState { bid: state.bid.map(|p| p - 1.0), ..*state });
    }
    let body = emitted(&book(contracts, states));
    assert_eq!(body["dtes_available"], serde_json::json!([2]));
    let tiles = body["tiles"].as_object().expect("a map");
    let plain = tiles.keys().filter(|key| !key.contains('@')).count();
    assert_eq!((plain, tiles.len()), (19, 38));
    let mid = |key: &str| tiles[key]["call"]["mid"].as_f64();
    assert_eq!(mid("single:2:0:100"), mid("single:2:0:100@SPXW-1970-01-05").map(|mid| mid + 0.5));
    let days: Vec<_> = body["expiries"].as_array().expect("a list").iter().collect();
    assert_eq!(days.iter().map(|e| &e["dte"]).collect::<Vec<_>>(), [2, 2]);
    assert_ne!(days[0]["expiry"], days[1]["expiry"]);
}

#[test]
fn a_contract_that_settled_has_no_price() {
    let book = two_roots();
    let mut model = Heatmap::default();
    // The day of expiration in the test calendar begins at the close itself, so
    // the morning root settles on the day before.
    let market_at = |nanos| market(Some(&book), Some(100.0), at(nanos));
    let morning = -6 * HOUR_NS;
    model.apply(&Change::Chain, &market_at(morning));
    let body = json(model.emit(&market_at(morning)));
    assert_eq!(body["quality"]["eligible"], 38, "what settles now still lives");
    assert!(!model.apply(&Change::Trade(0), &market_at(morning + 1)), "nothing was read");
    // The first quote after it, wherever it is, makes the root's tiles due.
    let later = market_at(morning + 1);
    assert!(model.apply(&Change::Quote(19), &later));
    assert_eq!(model.settle(&later), 19);
    let body = json(model.emit(&later));
    let tile = &body["tiles"]["butterfly:1:10:100@SPX"];
    assert!(tile["call"].is_null() && tile["put"].is_null() && tile["parity_gap"].is_null());
    assert_eq!((&tile["eligible"], &tile["reasons"][0]), (&false.into(), &"expired".into()));
    assert_eq!(body["tiles"]["butterfly:1:10:100"]["call"]["debit"], 4.0);
    let quality = &body["quality"];
    assert_eq!((&quality["eligible"], &quality["reasons"]["expired"]), (&19.into(), &19.into()));
    assert_eq!(quality["contracts"]["expired"], 10);
    assert_eq!(quality["coverage"], 1.0, "of those that live");
    let dead = &body["expiries"][1];
    assert!(dead["years"].is_null() && dead["discount"].is_null(), "null, not 0: {dead}");
    assert!(dead["parity"]["forward"].is_null() && dead["parity"]["strikes"] == 0);
    // The other root follows.
    let late = market_at(HOUR_NS);
    assert!(model.apply(&Change::Quote(0), &late));
    let body = json(model.emit(&late));
    assert_eq!(body["quality"]["eligible"], 0);
    assert!(body["quality"]["coverage"].is_null());
    // The day after, the lattice has neither.
    let next = market_at(DAY_NS);
    model.apply(&Change::Quote(0), &next);
    assert_eq!(json(model.emit(&next))["tiles"], serde_json::json!({}));
}
