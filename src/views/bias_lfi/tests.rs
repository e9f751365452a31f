//! Bodies of `bias_lfi` and `market_mode`.

use serde_json::{Value, json};

use super::*;
use crate::views::market_mode::MarketMode;
use crate::views::read::bodies;

fn gex(expirations: &Value) -> (&'static str, &'static str, Value) {
    ("gex", "gex/naive-oi@1", json!({"spot": null, "expirations": expirations}))
}

fn spot(value: f64) -> (&'static str, &'static str, Value) {
    ("spot", "spot/newest@1", json!({"symbol": "I:SPX", "value": value}))
}

fn derived(view: &dyn View, bodies: &Bodies) -> Value {
    let body = view.derive("SPX", bodies).expect("a body");
    assert_eq!(view.derive("SPX", bodies).as_ref(), Some(&body), "the same again");
    serde_json::from_slice(&body).expect("JSON")
}

fn book() -> Value {
    json!({
        "2026-02-06": {"calls": {"6400": 10.0, "6490": 40.0, "6510": 60.0}, "puts": {"6400": 50.0, "6450": 30.0}},
        "2026-02-09": {"calls": {"6450": 20.0, "6560": 35.0, "6700": 12.0},
                       "puts": {"6490": 20.0, "6510": 10.0, "6560": 5.0, "6700": 12.0}},
    })
}

#[test]
fn the_golden_book_of_the_scores() {
    let bodies = bodies(&[gex(&book()), spot(6_500.0)]);
    let body = derived(&BiasLfi, &bodies);
    let want = json!({
        "symbol": "I:SPX", "spot": 6500.0, "directional_strength": -35.5, "lfi_score": 50.3,
        "market_mode_score": 60.9, "max_call_gex_strike": 6510.0, "max_put_gex_strike": 6400.0,
        "max_net_gex_strike": 6510.0, "total_call_gex": 177.0, "total_put_gex": -127.0,
        "total_net_gex": 50.0, "gex_flip_level": 6470.0, "flip_above": null, "flip_below": 6470.0,
        "strike_range": [6400.0, 6700.0], "proximity_bias_adj": -50.0, "proximity_lfi_adj": -30.0,
        "distance_to_flip": 30.0,
    });
    for (name, value) in want.as_object().expect("an object") {
        assert_eq!(&body[name], value, "{name}");
    }
    assert_eq!(
        body["sources"]["gex"],
        json!({"profile": "gex/naive-oi@1", "version": 1, "age_ms": 0})
    );
    assert_eq!(body["parameters"]["near_band"], 0.01);
    assert_eq!(body["quality"]["absent"], json!([]));
    assert_eq!(body["quality"]["strikes"], 6);
    let mode = derived(&MarketMode, &bodies);
    assert_eq!((&mode["score"], &mode["mode"]), (&json!(60.9), &json!("transition")));
    assert_eq!(mode["parameters"]["weights"]["flip"], 0.4);
}

#[test]
fn what_is_unknown_is_null_with_its_reason_and_never_zero() {
    let without_spot = bodies(&[gex(&book())]);
    let body = derived(&BiasLfi, &without_spot);
    for name in [
        "spot",
        "directional_strength",
        "lfi_score",
        "market_mode_score",
        "max_net_gex_strike",
        "gex_flip_level",
        "distance_to_flip",
        "proximity_bias_adj",
    ] {
        assert!(body[name].is_null(), "{name}");
    }
    assert_eq!(body["total_net_gex"], 50.0, "totals need no spot");
    assert_eq!(body["quality"]["absent"], json!(["no_spot"]));
    let mode = derived(&MarketMode, &without_spot);
    assert!(mode["score"].is_null() && mode["mode"].is_null());
    assert_eq!(mode["quality"]["absent"], json!(["no_spot"]));

    let zeros = json!({"2026-02-06": {"calls": {"6400": 0.0}, "puts": {"6600": 0.0}}});
    let zeros = bodies(&[gex(&zeros), spot(6_500.0)]);
    let body = derived(&BiasLfi, &zeros);
    assert!(body["lfi_score"].is_null() && body["max_call_gex_strike"].is_null());
    let absent = json!(["no_net_gamma", "no_flip", "no_positive_net_gamma"]);
    assert_eq!(body["quality"]["absent"], absent);

    let empty = bodies(&[gex(&json!({})), spot(6_500.0)]);
    let body = derived(&BiasLfi, &empty);
    assert!(body["total_net_gex"].is_null() && body["strike_range"].is_null());
    assert_eq!(BiasLfi.derive("SPX", &bodies_of_spot()), None, "nothing without gex");
    assert_eq!(MarketMode.derive("SPX", &bodies_of_spot()), None);
}

fn bodies_of_spot() -> Bodies {
    bodies(&[spot(6_500.0)])
}
