//! A document by hand, and what holds for every one.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::models::gex::profile::Chosen;
use crate::views::read::bodies;

type Published = (&'static str, &'static str, Value);

fn gex() -> Published {
    let body = json!({
        "symbol": "I:SPX", "spot": 6500.0, "expirations": {}, "curve": {"net": [1.0, 2.0]},
        "by_strike": [
            {"strike": 6450.0, "call": 10.0, "put": -40.0, "net": -30.0, "dex": {"call": 1.0}},
            {"strike": 6550.0, "call": 60.0, "put": -10.0, "net": 50.0}],
        "by_expiry": [
            {"expiry": "2026-02-06", "dte": 0, "max_pain": 6490.0, "expected_move": {"strike": 6500.0,
                "straddle": {"move": 30.0, "lower": 6470.0, "upper": 6530.0}, "volatility": null}},
            {"expiry": "2026-02-09", "dte": 3, "max_pain": null, "expected_move": null}],
        "levels": {"call_wall": 6550.0, "put_wall": 6450.0,
            "call_walls": [{"strike": 6550.0, "value": 60.0, "share": 0.75},
                           {"strike": 6600.0, "value": 20.0, "share": 0.25}],
            "put_walls": [], "peak": 6550.0, "absolute_gamma": 6550.0,
            "flip": {"nearest": 6480.0, "crossings": [6300.0, 6480.0], "method": "repriced_book",
                     "degenerate": false, "absent": null}},
        "quality": {"absent": []},
    });
    ("gex", "gex/naive-oi@1", body)
}

fn gravity() -> Published {
    let body = json!({
        "profile": {"min": 6498.0, "step": 1.0, "bins": [100, 900, 1000, 0, 200]},
        "structures": {"volume_nodes": [6499.0, {"price": 6500.0, "color": "#ff0", "weight": 1.5}],
                       "volume_wells": [[6498.0, 6498.0]], "crevasses": [[6501.0, 6502.0]]},
        "structural_lines": [{"kind": "crevasse", "from": 6520.0, "to": 6530.0, "author": "ann", "at": ""}],
        "meta": {"spot": 6500.0, "normalized_scale": 1000},
    });
    ("gravity", "gravity/tv-microbins-30@1", body)
}

fn spot(value: f64) -> Published {
    ("spot", "spot/newest@1", json!({"symbol": "I:SPX", "value": value}))
}

fn view() -> Levels {
    Levels::new(&GexParameters::default())
}

fn derived(published: &[Published]) -> Value {
    let bodies = bodies(published);
    let body = view().derive("SPX", &bodies).expect("a body");
    assert_eq!(view().derive("SPX", &bodies).as_ref(), Some(&body), "the same again");
    serde_json::from_slice(&body).expect("JSON")
}

#[test]
fn every_named_level_in_one_sorted_list_by_hand() {
    let body = derived(&[gex(), gravity(), spot(6_500.0)]);
    let rows: Vec<(String, f64, Value, Value)> = body["levels"]
        .as_array()
        .expect("levels")
        .iter()
        .map(|l| {
            let kind = l["kind"].as_str().expect("a kind").to_owned();
            (
                kind,
                l["price"].as_f64().expect("a price"),
                l["strength"].clone(),
                l["distance"].clone(),
            )
        })
        .collect();
    let row = |kind: &str, price: f64, strength: Value, distance: f64| {
        (kind.to_owned(), price, strength, json!(distance))
    };
    let none = Value::Null;
    // Distances are (6500 - level) / 6500; strengths as `kinds` says.
    let want = vec![
        row("flip_crossing", 6_300.0, none.clone(), 0.030769),
        row("expected_move_lower", 6_470.0, none.clone(), 0.004615),
        row("flip", 6_480.0, none.clone(), 0.003077),
        row("flip_crossing", 6_480.0, none.clone(), 0.003077),
        row("max_pain", 6_490.0, none.clone(), 0.001538),
        row("volume_well", 6_498.0, json!(0.9), 0.000308),
        row("volume_node", 6_499.0, json!(0.9), 0.000154),
        row("volume_node", 6_500.0, json!(1.0), 0.0),
        row("crevasse", 6_501.0, json!(0.9), -0.000154),
        row("line_crevasse", 6_520.0, none.clone(), -0.003077),
        row("expected_move_upper", 6_530.0, none.clone(), -0.004615),
        row("absolute_gamma", 6_550.0, json!(0.583333), -0.007692),
        row("call_wall", 6_550.0, json!(0.75), -0.007692),
        row("peak", 6_550.0, json!(0.625), -0.007692),
        row("call_wall", 6_600.0, json!(0.25), -0.015385),
    ];
    assert_eq!(rows, want);
    let of = |kind: &str| {
        body["levels"].as_array().into_iter().flatten().find(|l| l["kind"] == kind).expect(kind)
    };
    let wall = of("call_wall");
    assert_eq!((&wall["family"], &wall["profile"]), (&json!("gex"), &json!("gex/naive-oi@1")));
    assert_eq!((&wall["version"], &wall["rank"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&of("line_crevasse")["to"], &of("line_crevasse")["basis"]),
        (&json!(6530.0), &json!("ann"))
    );
    assert_eq!(of("flip")["basis"], "repriced_book");
    assert_eq!(of("expected_move_lower")["expiry"], "2026-02-06");
    let absent: Vec<(&str, &str)> = body["absent"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|a| (a["kind"].as_str().unwrap_or(""), a["reason"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        absent,
        [
            ("expected_move_lower", "no_implied_volatility 2026-02-06"),
            ("expected_move_lower", "no_quoted_straddle 2026-02-09"),
            ("expected_move_upper", "no_implied_volatility 2026-02-06"),
            ("expected_move_upper", "no_quoted_straddle 2026-02-09"),
            ("max_pain", "no_open_interest 2026-02-09"),
            ("put_wall", "no_strike_ranks"),
        ]
    );
    assert_eq!(body["sources"]["gravity"]["version"], 1);
    assert_eq!(body["kinds"]["flip"], Value::Null);
    assert_eq!(body["quality"]["levels"], 15);
}

#[test]
fn a_missing_source_is_named_and_a_missing_spot_leaves_distances_out() {
    let mut without = gex();
    without.2["spot"] = Value::Null;
    let body = derived(&[without]);
    assert_eq!(body["spot"], Value::Null);
    assert!(body["levels"].as_array().into_iter().flatten().all(|l| l["distance"].is_null()));
    assert_eq!(body["quality"]["absent"], json!(["no_spot"]));
    let named = |a: &Value| a["family"] == "gravity" && a["reason"] == "not_published";
    assert!(body["absent"].as_array().into_iter().flatten().any(named), "{}", body["absent"]);
    let alone = derived(&[gravity()]);
    assert!(alone["levels"].as_array().is_some_and(|l| l.len() == 5));
    assert_eq!(view().derive("SPX", &bodies(&[spot(1.0)])), None, "a price alone is no level");
    let foreign = derived(&[("gex", "gex/naive-oi@1", json!({"spot": 1.0}))]);
    assert_eq!(
        foreign["absent"][0],
        json!({"kind": "gex", "family": "gex", "reason": "unreadable"})
    );
}

#[test]
fn profiles_that_run_beside_are_listed_under_their_own_names() {
    let inverse = Chosen::named("inverse-oi").expect("shipped");
    let parameters = GexParameters { beside: vec![inverse], ..GexParameters::default() };
    let mut other = gex();
    (other.0, other.1) = ("gex_inverse_oi", "gex/inverse-oi@1");
    let view = Levels::new(&parameters);
    let body = view.derive("SPX", &bodies(&[gex(), other, spot(6_500.0)])).expect("a body");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let walls: Vec<_> = body["levels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|l| l["kind"] == "call_wall" && l["price"] == 6550.0)
        .map(|l| l["profile"].as_str().unwrap_or("").to_owned())
        .collect();
    assert_eq!(walls, ["gex/naive-oi@1", "gex/inverse-oi@1"]);
}

proptest! {
    #[test]
    fn levels_are_sorted_bounded_and_none_is_lost(
        nodes in prop::collection::vec(6_400u32..6_600, 0..40),
        lines in prop::collection::vec((6_400u32..6_600, 0u32..20), 0..10),
        price in 6_300.0..6_700.0f64,
    ) {
        let mut published = gravity();
        published.2["profile"] = json!({"min": 6400.0, "step": 1.0, "bins": vec![500; 200]});
        published.2["structures"]["volume_nodes"] = json!(nodes);
        published.2["structural_lines"] = lines
            .iter()
            .map(|(at, by)| json!({"kind": "line", "from": at, "to": at + by, "author": "a"}))
            .collect();
        let body = derived(&[published, spot(price)]);
        let levels = body["levels"].as_array().expect("levels");
        prop_assert_eq!(levels.len(), nodes.len() + lines.len() + 2);
        let prices: Vec<f64> = levels.iter().filter_map(|l| l["price"].as_f64()).collect();
        prop_assert!(prices.is_sorted());
        for level in levels {
            let (from, distance) = (level["price"].as_f64(), level["distance"].as_f64());
            let (from, distance) = (from.expect("a price"), distance.expect("a distance"));
            let to = level["to"].as_f64().unwrap_or(from);
            prop_assert!(level["strength"].as_f64().is_none_or(|s| (0.0..=1.0).contains(&s)));
            if distance > 0.0 { prop_assert!(price > to) }
            if distance < 0.0 { prop_assert!(price < from) }
        }
    }
}
