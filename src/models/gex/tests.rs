use orrery_journal::event::OptionRight;
use serde_json::{Value, json};

use super::explain::{Level, explain};
use super::*;
use crate::market::book::ContractState;
use crate::models::testing::{
    DAY_NS, book, book_of, contract, decompressed, market, shared, state,
};

fn body_of(model: &mut Gex, market: &Market<'_>) -> Value {
    serde_json::from_slice(&model.emit(market).expect("a body")).expect("JSON")
}

fn small_book() -> Book {
    let iv = |gamma, open_interest| ContractState {
        implied_volatility: Some(0.2),
        ..state(gamma, open_interest)
    };
    book(
        vec![
            contract("C", 100.0, 7),
            contract("P", 100.0, 7),
            contract("C", 105.0, 7),
            contract("P", 95.0, 30),
            contract("C", 105.0, 30),
        ],
        vec![iv(0.05, 10.0), iv(0.05, 20.0), iv(0.03, 40.0), iv(0.02, 60.0), iv(0.01, 5.0)],
    )
}

#[test]
fn a_small_book_by_hand() {
    let book = small_book();
    let market = market(Some(&book), Some(102.0), RecvTime(DAY_NS));
    let mut model = Gex::default();
    assert!(model.apply(&Change::Chain, &market));
    let body = body_of(&mut model, &market);
    assert_eq!(body["symbol"], "I:SPX");
    // gamma x open interest x 100, unsigned, by expiry.
    assert_eq!(body["expirations"]["1970-01-08"]["calls"]["105"], 0.03 * 40.0 * 100.0);
    assert_eq!(body["expirations"]["1970-01-31"]["puts"]["95"], 0.02 * 60.0 * 100.0);
    // Strike 105: two expiries, times S^2 / 100.
    let per_percent = 102.0 * 102.0 * 0.01;
    let at_105 = (0.03 * 40.0 * 100.0 + 0.01 * 5.0 * 100.0) * per_percent;
    assert_eq!(body["by_strike"][2]["strike"], 105.0);
    assert_eq!(body["by_strike"][2]["call"], at_105);
    assert!(body["by_strike"][2]["put"].is_null());
    let levels = &body["levels"];
    assert_eq!(levels["call_wall"], 105.0);
    assert_eq!(levels["put_wall"], 95.0);
    assert_eq!(levels["peak"], 105.0);
    let net = levels["net"].as_f64().expect("a net");
    let expected = (50.0 - 100.0 + 120.0 - 120.0 + 5.0) * per_percent;
    assert!((net - expected).abs() < 1e-9 * per_percent);
    assert_eq!(body["quality"]["counted"], 5);
    assert_eq!(body["quality"]["coverage"], 1.0);
    assert_eq!(body["by_expiry"][0]["dte"], 6);
}

#[test]
fn without_a_spot_there_are_sums_but_no_dollars_and_no_levels() {
    let book = small_book();
    let market = market(Some(&book), None, RecvTime(DAY_NS));
    let mut model = Gex::default();
    model.apply(&Change::Chain, &market);
    let body = body_of(&mut model, &market);
    assert!(body["spot"].is_null());
    assert_eq!(body["by_strike"].as_array().map(Vec::len), Some(0));
    for level in ["net", "call_total", "call_wall", "put_wall", "peak"] {
        assert!(body["levels"][level].is_null(), "{level}");
    }
    assert_eq!(body["levels"]["flip"]["absent"], "no_spot");
    assert_eq!(body["expirations"]["1970-01-08"]["calls"]["100"], 50.0);
}

#[test]
fn a_damaged_snapshot_has_null_levels_and_says_why() {
    let mut book = small_book();
    for state in &mut book.states {
        state.gamma = Some(0.0);
        state.implied_volatility = None;
    }
    let market = market(Some(&book), Some(102.0), RecvTime(DAY_NS));
    let mut model = Gex::default();
    model.apply(&Change::Chain, &market);
    let body = body_of(&mut model, &market);
    for level in ["call_wall", "put_wall", "peak"] {
        assert!(body["levels"][level].is_null(), "{level}");
    }
    assert_eq!(body["levels"]["flip"]["absent"], "no_implied_volatility");
    assert_eq!(body["quality"]["absent"][0], "all_gammas_zero");
    for state in &mut book.states {
        state.gamma = None;
    }
    assert_eq!(
        model.emit(&crate::models::testing::market(Some(&book), Some(102.0), RecvTime(DAY_NS))),
        None
    );
}

#[test]
fn expired_contracts_leave_the_sums_once_something_newer_was_seen() {
    let book = small_book();
    let settles = RecvTime(7 * DAY_NS);
    let mut model = Gex::default();
    model.apply(&Change::Chain, &market(Some(&book), Some(102.0), settles));
    // The timer comes later, but the chain is that of the settlement itself.
    let later = market(Some(&book), Some(102.0), settles.plus_nanos(2 * NANOS_PER_SECOND));
    assert_eq!(body_of(&mut model, &later)["quality"]["excluded"]["expired"], 0);
    model.apply(&Change::Spot, &later);
    let body = body_of(&mut model, &later);
    assert_eq!(body["quality"]["excluded"]["expired"], 3);
    assert_eq!(body["quality"]["counted"], 2);
    assert!(body["expirations"]["1970-01-08"].is_null());
}

#[test]
fn only_chain_and_spot_make_it_due() {
    let book = small_book();
    let market = market(Some(&book), Some(102.0), RecvTime(DAY_NS));
    let mut model = Gex::default();
    assert!(!model.apply(&Change::Quote(0), &market));
    assert!(!model.apply(&Change::Trade(0), &market));
    assert_eq!(model.emit(&market), None);
    assert!(model.apply(&Change::Spot, &market));
    assert!(model.apply(&Change::All, &market));
}

#[test]
fn a_saved_state_goes_on_to_the_same_bytes() {
    let book = small_book();
    let at = |seconds: i64, spot| {
        market(Some(&book), Some(spot), RecvTime(DAY_NS + seconds * NANOS_PER_SECOND))
    };
    let mut model = Gex::default();
    model.apply(&Change::Chain, &at(0, 101.0));
    model.emit(&at(2, 101.0));
    let mut saved = Vec::new();
    model.save(&mut saved);
    let mut other = Gex::default();
    other.restore(&saved, &at(2, 101.0)).expect("its own state");
    // The curve of the first moment is still in use: its age is part of the state.
    for (seconds, spot) in [(4, 101.5), (61, 101.5), (63, 103.0)] {
        let market = at(seconds, spot);
        for model in [&mut model, &mut other] {
            assert!(model.apply(&Change::Spot, &market));
        }
        assert_eq!(model.emit(&market), other.emit(&market));
    }
    let mut again = Vec::new();
    other.save(&mut again);
    let mut first = Vec::new();
    model.save(&mut first);
    assert_eq!(first, again);
    for len in 0..saved.len() {
        assert!(Gex::default().restore(&saved[..len], &at(2, 101.0)).is_err(), "{len}");
    }
}

#[test]
fn delta_vanna_and_charm_follow_from_the_volatility() {
    let book = small_book();
    let market = market(Some(&book), Some(102.0), RecvTime(DAY_NS));
    let body: Value = serde_json::from_slice(
        &Gex::ask(&market, &Parameters::default(), Chosen::default()).expect("a body"),
    )
    .expect("JSON");
    let pricing = Pricing::default();
    let (mut delta, mut vanna, mut charm) = (0.0, 0.0, 0.0);
    for (contract, state) in book.topology.contracts.iter().zip(&book.states) {
        let terms = pricing.terms(contract, market.now, 102.0, 0.2);
        let greeks = terms.greeks(contract.right).expect("greeks");
        let sign = if contract.right == OptionRight::Call { 1.0 } else { -1.0 };
        let n = sign * state.open_interest.expect("stated") * 100.0 * 102.0;
        delta += n * greeks.delta;
        vanna += n * greeks.vanna * 0.01;
        charm += n * greeks.charm / 365.0;
    }
    for (metric, expected) in [("dex", delta), ("vex", vanna), ("chex", charm)] {
        let got = body["levels"][metric]["net"].as_f64().expect("a number");
        assert!((got - expected).abs() <= 1e-9 * expected.abs(), "{metric} {got} {expected}");
    }
    let buckets: Vec<_> =
        body["buckets"].as_array().expect("buckets").iter().map(|b| b["bucket"].clone()).collect();
    assert_eq!(buckets, ["0dte", "up_to_7d", "up_to_45d", "rest"]);
    assert_eq!(body["buckets"][1]["net"], body["by_expiry"][0]["net"]);
    assert!(body["buckets"][0]["net"].is_null(), "no contract expires today");
    assert_eq!(body["put_call"], json!({"open_interest": 80.0 / 55.0, "volume": null}));
    assert_eq!(body["curve"]["net"].as_array().map(Vec::len), Some(121));
}

#[test]
fn profiles_stand_side_by_side_as_families_of_their_own() {
    let beside = ["inverse-oi", "all-short-oi"].map(|p| Chosen::named(p).expect("shipped"));
    let parameters = Parameters { beside: beside.to_vec(), ..Parameters::default() };
    let models: Vec<Gex> = Gex::all(&parameters).collect();
    let names: Vec<_> = models.iter().map(|m| (m.family(), m.profile())).collect();
    assert_eq!(
        names,
        [
            ("gex", "gex/naive-oi@1"),
            ("gex_inverse_oi", "gex/inverse-oi@1"),
            ("gex_all_short_oi", "gex/all-short-oi@1"),
        ]
    );
    let book = small_book();
    let market = market(Some(&book), Some(102.0), RecvTime(DAY_NS));
    let net = |profile: Chosen| {
        let body = Gex::ask(&market, &parameters, profile).expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        body["levels"]["net"].as_f64().expect("a number")
    };
    assert_eq!(net(beside[0]), -net(Chosen::default()));
    assert!(net(beside[1]) < 0.0);
}

/// Every level is the sum of the contracts that are named for it.
#[test]
fn explanations_add_up_to_their_level() {
    let book = small_book();
    let market = market(Some(&book), Some(102.0), RecvTime(DAY_NS));
    let parameters = Parameters::default();
    for profile in Chosen::all() {
        let Some(body) = Gex::ask(&market, &parameters, profile) else { continue };
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        for (name, level) in Level::ALL {
            let told = explain(&market, &parameters, profile, level).expect("a chain");
            let place = if level == Level::Flip {
                "/levels/flip/nearest".to_owned()
            } else {
                format!("/levels/{name}")
            };
            let published = body.pointer(&place).and_then(Value::as_f64);
            match (told.level, published) {
                (Some(a), Some(b)) => assert!((a - b).abs() <= 1e-9 * b.abs(), "{name} {a} {b}"),
                (a, b) => assert_eq!(a, b, "{name} of {}", told.profile),
            }
            let shares: f64 = told.contracts.iter().map(|c| c.share).sum();
            assert!(told.contracts.is_empty() || (shares - 1.0).abs() < 1e-12, "{name}");
        }
    }
    let wall = explain(&market, &parameters, Chosen::default(), Level::CallWall).expect("a chain");
    let told: Vec<_> = wall.contracts.iter().map(|c| (&*c.ticker, c.share)).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].0, "C105@7");
    assert!((told[0].1 - 120.0 / 125.0).abs() < 1e-12);
    // At the flip the repriced book adds up to next to nothing.
    let flip = explain(&market, &parameters, Chosen::default(), Level::Flip).expect("a chain");
    let size: f64 = flip.contracts.iter().map(|c| c.value.abs()).sum();
    assert!(flip.value.abs() < 1e-2 * size, "{} of {size}", flip.value);
}

/// Somebody else's walls and peaks, all 24 of a day.
#[test]
fn walls_and_peak_equal_the_external_answers() {
    let Some(folder) = shared("spx-0dte-20260819") else { return };
    let levels = std::fs::read_to_string(folder.join("levels.csv")).expect("readable");
    let snapshots = decompressed(&folder.join("snapshots.ndjson.zst"));
    let snapshots = String::from_utf8(snapshots).expect("UTF-8");
    let mut matched = 0;
    for (answer, snapshot) in levels.lines().skip(1).zip(snapshots.lines()) {
        let answer: Vec<&str> = answer.split(',').collect();
        let snapshot: Value = serde_json::from_str(snapshot).expect("JSON");
        let at =
            snapshot["captured_at"].as_str().and_then(RecvTime::parse_rfc3339).expect("a time");
        let book = book_of(snapshot["contracts"].as_array().expect("rows").iter().map(|row| {
            let state = ContractState {
                gamma: row["gamma"].as_f64(),
                open_interest: row["open_interest"].as_f64(),
                ..ContractState::default()
            };
            (row["ticker"].as_str().expect("a ticker"), state)
        }));
        let mut market = market(Some(&book), snapshot["spot"].as_f64(), at);
        let mut model = Gex::default();
        model.apply(&Change::Chain, &market);
        market.now = at.plus_nanos(2 * NANOS_PER_SECOND);
        let body = body_of(&mut model, &market);
        for (name, column) in [("peak", 7), ("call_wall", 8), ("put_wall", 9)] {
            let expected: f64 = answer[column].parse().expect("a strike");
            assert_eq!(body["levels"][name], expected, "{name} at {}", answer[1]);
        }
        matched += 1;
    }
    assert_eq!(matched, 24);
}

/// Net exposure of a real chain against a sum straight from its JSON, grouped
/// and ordered in another way than the model does it.
#[test]
fn net_of_a_real_chain_equals_an_independent_sum() {
    let Some(path) = shared("chain-qqq-20260504.json.zst") else { return };
    let chain: Value = serde_json::from_slice(&decompressed(&path)).expect("JSON");
    let rows = chain["results"].as_array().expect("rows");
    let at = rows[0]["underlying_asset"]["last_updated"].as_i64().map(RecvTime).expect("a time");
    let spot = rows[0]["underlying_asset"]["price"].as_f64().expect("a price");
    let book = book_of(rows.iter().map(|row| {
        let state = ContractState {
            gamma: row["greeks"]["gamma"].as_f64(),
            open_interest: row["open_interest"].as_f64(),
            implied_volatility: row["implied_volatility"].as_f64(),
            ..ContractState::default()
        };
        (row["details"]["ticker"].as_str().expect("a ticker"), state)
    }));
    let market = market(Some(&book), Some(spot), at);
    let mut model = Gex::default();
    model.apply(&Change::Chain, &market);
    let body = body_of(&mut model, &market);

    let (mut plus, mut minus, mut without, mut negative) = (Vec::new(), Vec::new(), 0, 0);
    for row in rows {
        // Captured on the evening of 4 May: what expired that day is gone.
        let gone = row["details"]["expiration_date"] == "2026-05-04";
        let open_interest = row["open_interest"].as_f64().expect("stated everywhere");
        if gone || open_interest == 0.0 {
            continue;
        }
        match row["greeks"]["gamma"].as_f64() {
            None => without += 1,
            Some(gamma) if gamma < 0.0 => negative += 1,
            Some(gamma) => {
                let dollars = gamma * open_interest * spot * spot;
                let side =
                    if row["details"]["contract_type"] == "call" { &mut plus } else { &mut minus };
                side.push(dollars);
            }
        }
    }
    // Smallest first, so that this sum is the more exact one.
    for side in [&mut plus, &mut minus] {
        side.sort_by(f64::total_cmp);
    }
    let (calls, puts): (f64, f64) = (plus.iter().sum(), minus.iter().sum());
    let near = |got: &Value, expected: f64| {
        let got = got.as_f64().expect("a number");
        assert!((got - expected).abs() <= 1e-9 * expected.abs(), "{got} against {expected}");
    };
    near(&body["levels"]["call_total"], calls);
    near(&body["levels"]["put_total"], -puts);
    near(&body["levels"]["net"], calls - puts);
    let quality = &body["quality"];
    assert_eq!(quality["contracts"], 10_838);
    assert_eq!(quality["excluded"]["missing_gamma"], without);
    assert_eq!(quality["excluded"]["negative_gamma"], negative);
    assert_eq!(quality["counted"], plus.len() + minus.len());
    assert!(without > 0 && negative == 2);
    assert!(
        body["levels"]["flip"]["nearest"].as_f64().is_some_and(|f| (600.0..740.0).contains(&f))
    );
}
