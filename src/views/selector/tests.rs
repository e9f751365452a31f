//! Whole documents, and the differences between the profiles.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::views::read::bodies;

type Published = (&'static str, &'static str, Value);

/// 2026-02-06 10:00 in New York.
const MORNING: &str = "2026-02-06T15:00:00.000000000Z";

fn spot(at: &str) -> Published {
    (
        "spot",
        "spot/newest@1",
        json!({"symbol": "I:SPX", "value": 6500.0, "at": at, "source": "index"}),
    )
}

fn fly(dte: i32, width: u32, strike: u32, call: Option<f64>, put: Option<f64>) -> (String, Value) {
    let side = |debit: Option<f64>| debit.map(|d| json!({"debit": d, "natural_debit": d + 0.1}));
    let tile = json!({"symbol": "I:SPX", "strategy": "butterfly", "dte": dte, "strike": f64::from(strike),
        "width": width, "call": side(call), "put": side(put)});
    (format!("butterfly:{dte}:{width}:{strike}"), tile)
}

fn heatmap(tiles: impl IntoIterator<Item = (String, Value)>) -> Published {
    let tiles: serde_json::Map<String, Value> = tiles.into_iter().collect();
    ("heatmap", "heatmap/mid@1", json!({"symbol": "I:SPX", "tiles": tiles, "quality": {}}))
}

fn row() -> Vec<(String, Value)> {
    // Debits fall away from the price; 6525 is cheaper than its neighbours.
    let debits = [(6510, 1.9), (6515, 1.8), (6520, 1.7), (6525, 1.0), (6530, 1.5), (6535, 1.4)];
    debits.into_iter().map(|(k, d)| fly(0, 20, k, Some(d), None)).collect()
}

fn gex() -> Published {
    let body = json!({
        "symbol": "I:SPX", "spot": 6500.0,
        "expirations": {"2026-02-06": {"calls": {"6480": 1.0, "6525": 9.0}, "puts": {"6480": 5.0, "6525": 1.0}}},
        "by_expiry": [
            {"expiry": "2026-02-06", "dte": 0, "expected_move": {"volatility": {"move": 999.0, "lower": 0, "upper": 0}}},
            {"expiry": "2026-03-06", "dte": 28, "expected_move": {"volatility": {"move": 360.0, "lower": 0, "upper": 0}}},
            {"expiry": "2026-06-05", "dte": 119, "expected_move": {"volatility": {"move": 900.0, "lower": 0, "upper": 0}}}],
    });
    ("gex", "gex/naive-oi@1", body)
}

fn vix(value: f64) -> Published {
    (
        "volatility",
        "volatility/index@1",
        json!({"symbol": "I:SPX", "index": "I:VIX", "value": value}),
    )
}

fn derived(profile: SelectorProfile, published: &[Published]) -> Value {
    let (view, bodies) = (Selector::new(profile), bodies(published));
    let body = view.derive("SPX", &bodies).expect("a body");
    assert_eq!(view.derive("SPX", &bodies).as_ref(), Some(&body), "the same again");
    serde_json::from_slice(&body).expect("JSON")
}

#[test]
fn a_document_by_hand() {
    let body =
        derived(SelectorProfile::Convexity, &[heatmap(row()), gex(), spot(MORNING), vix(15.0)]);
    assert_eq!((&body["vix"], &body["vix_regime"]), (&json!(15.0), &json!("zombieland")));
    assert_eq!(body["vix_special"], "timewarp");
    assert_eq!(body["volatility"], json!({"value": 15.0, "source": "index"}));
    assert_eq!((&body["total_scored"], &body["filtered_by_debit_rule"]), (&json!(6), &json!(0)));
    let weights = json!({"convexity": 0.4, "r2r": 0.25, "width_fit": 0.2, "gamma_alignment": 0.15});
    assert_eq!(body["scoring"]["weights"], weights);
    // 6500 x 0.15 x sqrt(1/252) = 61.42
    assert_eq!(body["expected_move"]["em_0dte"], 61.42);
    assert_eq!(body["expected_move"]["em_upper"], 6561.42);
    // 0.195 x 0.85 x 1.15
    assert_eq!(body["expected_move"]["breach"]["breach_probability"], 0.191);
    assert_eq!(body["playbook"]["session"], "morning");
    assert_eq!(
        (&body["playbook"]["ideal_width"], &body["playbook"]["ideal_dte"]),
        (&json!("20-30"), &json!("0-1"))
    );
    // Net -4 at 6480 and 8 at 6525: flip between them, magnet above.
    assert_eq!((&body["zero_gamma"], &body["gamma_magnet"]), (&json!(6502.5), &json!(6525.0)));

    let best = &body["recommendations"][0];
    assert_eq!((&best["rank"], &best["tile_key"]), (&json!(1), &json!("butterfly:0:20:6525:call")));
    // Debit 1 of 20: r2r 19 of 9-12: 95. Neighbours 1.9 1.8 1.7 1.5 1.4, mean 1.66:
    // 39.8 % cheaper and the cheapest, 98; z = 3.6: 95; efficiency 95: 96.5.
    // Width fit 0.4 x 95 + 0.25 x 95 + 19 + 8.25 = 89. Gamma 38 + 24 + 15 = 77.
    let parts = json!({"r2r": 95.0, "convexity": 96.5, "width_fit": 89.0, "gamma_alignment": 77.0});
    assert_eq!(best["score"]["components"], parts);
    // 0.25 x 95 + 0.4 x 96.5 + 0.2 x 89 + 0.15 x 77 = 91.7
    assert_eq!(best["score"]["composite"], 91.7);
    assert_eq!(best["score"]["confidence"], 1.0);
    let want = json!({"campaign": "0dte_tactical", "edge_cases": [], "r2r_vs_typical": "19.0 vs 9-12",
        "strategy": "butterfly", "side": "call", "strike": 6525.0, "width": 20, "dte": 0, "debit": 1.0,
        "debit_pct": 5.0, "max_profit": 19.0, "max_loss": 1.0, "r2r_ratio": 19.0, "distance_to_spot": 25.0,
        "distance_to_gamma_magnet": 0.0});
    for (name, value) in want.as_object().expect("an object") {
        assert_eq!(&best[name], value, "{name}");
    }
    // 19.1 % x 1.00; 0.5 x (1.5 + 3 x 0.191) - 0.5 = 0.5365
    assert_eq!(best["convexity"]["convexity_score"], 19.1);
    assert_eq!(
        (&best["convexity"]["r2r_quality"], &best["convexity"]["ev_per_risk"]),
        (&json!("exceptional"), &json!(0.54))
    );
    assert_eq!(body["scores"]["butterfly:0:20:6525:call"], best["score"]);
    assert_eq!(body["quality"]["absent"], json!([]));
    assert_eq!(body["parameters"]["compares_neighbours"], true);
    assert_eq!(
        body["sources"]["heatmap"],
        json!({"profile": "heatmap/mid@1", "version": 1, "age_ms": 0})
    );
}

#[test]
fn the_original_does_not_see_what_is_cheap() {
    let body =
        derived(SelectorProfile::Marketswarm, &[heatmap(row()), gex(), spot(MORNING), vix(15.0)]);
    // 0.5 x 50 + 0.3 x 50 + 0.2 x 95 for the cheapest as for its neighbour.
    for key in ["butterfly:0:20:6525:call", "butterfly:0:20:6520:call"] {
        assert_eq!(body["scores"][key]["components"]["convexity"], 59.0, "{key}");
    }
    assert_eq!(body["playbook"]["ideal_width"], "10-20", "timewarp for everything");
    assert_eq!(body["parameters"]["compares_neighbours"], false);
}

#[test]
fn the_hour_of_the_window_counts_with_its_minutes_only_when_repaired() {
    // 15:45 in New York on a day of 20: the window is open from 14.
    // 12:45 on a day of 20 is before; at 14:30 the original's 14 is inside, too.
    let at = "2026-02-06T20:45:00.000000000Z";
    for profile in SelectorProfile::ALL {
        let body =
            derived(profile, &[heatmap([fly(0, 20, 6510, Some(1.0), None)]), spot(at), vix(20.0)]);
        assert_eq!(body["vix_special"], "gamma_scalp");
        assert_eq!(body["gamma_scalp"]["window"]["urgency"], "high");
        assert_eq!(body["gamma_scalp"]["total_candidates"], 1);
        assert_eq!(body["gamma_scalp"]["candidates"][0]["gamma_scalp_score"], 89.1);
    }
    // 16:00:30 is over for whoever counts minutes, but its minute is not.
    let closing = "2026-02-06T21:30:00.000000000Z";
    let special = |profile| {
        derived(profile, &[heatmap(row()), spot(closing), vix(20.0)])["vix_special"].clone()
    };
    assert_eq!(special(SelectorProfile::Convexity), Value::Null);
    assert_eq!(special(SelectorProfile::Marketswarm), "gamma_scalp", "half past four is four");
}

#[test]
fn without_the_index_the_chain_is_asked_and_then_fifteen_is_assumed() {
    // 100 x 360 / (6500 x sqrt(28/365)) = 20.0
    let implied = derived(SelectorProfile::Convexity, &[heatmap(row()), gex(), spot(MORNING)]);
    assert_eq!(implied["volatility"], json!({"value": 20.0, "source": "implied"}));
    assert_eq!((&implied["vix"], &implied["vix_regime"]), (&Value::Null, &json!("goldilocks_1")));
    assert_eq!(implied["quality"]["absent"], json!(["no_volatility_index"]));
    let bare = derived(SelectorProfile::Convexity, &[heatmap(row()), spot(MORNING)]);
    assert_eq!(bare["volatility"], json!({"value": 15.0, "source": "assumed"}));
    assert_eq!(bare["vix"], Value::Null);
    assert!(
        bare["gamma_magnet"].is_null()
            && bare["recommendations"][0]["distance_to_gamma_magnet"].is_null()
    );
    assert_eq!(bare["recommendations"][0]["score"]["confidence"], 0.6);
    let original = derived(SelectorProfile::Marketswarm, &[heatmap(row()), gex(), spot(MORNING)]);
    assert_eq!(
        (&original["vix"], &original["volatility"]["source"]),
        (&json!(15.0), &json!("assumed"))
    );
}

#[test]
fn the_debit_rule_the_missing_spot_and_the_empty_heatmap() {
    // 2.0 of 20 is just allowed, 2.01 is not; a debit below zero is no debit.
    let tiles = [fly(0, 20, 6500, Some(2.0), Some(2.01)), fly(0, 20, 6505, Some(-0.2), None)];
    let body = derived(SelectorProfile::Convexity, &[heatmap(tiles), spot(MORNING), vix(15.0)]);
    assert_eq!((&body["total_scored"], &body["filtered_by_debit_rule"]), (&json!(1), &json!(1)));
    assert_eq!(body["quality"]["coverage"], 0.5);
    let none = derived(SelectorProfile::Convexity, &[heatmap(row())]);
    assert_eq!(none["error"], "No spot data available");
    assert_eq!((&none["recommendations"], &none["spot"]), (&json!({}), &Value::Null));
    let empty = derived(SelectorProfile::Convexity, &[heatmap([]), spot(MORNING)]);
    assert_eq!((&empty["recommendations"], &empty["total_scored"]), (&json!([]), &json!(0)));
    assert!(empty["quality"]["coverage"].is_null());
    assert_eq!(
        Selector::new(SelectorProfile::Convexity).derive("SPX", &bodies(&[spot(MORNING)])),
        None
    );
}

proptest! {
    /// Ranks are by score, scores within bounds, and the debit rule holds,
    /// whatever the tiles cost.
    #[test]
    fn recommendations_are_ranked_and_bounded(
        tiles in prop::collection::btree_map(
            (0i32..6, prop::sample::select(vec![20u32, 25, 50]), 1200u32..1400),
            (prop::option::of(0.01..8.0f64), prop::option::of(-1.0..8.0f64)), 0..60),
        vix_at in 8.0..60.0f64,
    ) {
        let published = [
            heatmap(tiles.iter().map(|((dte, width, k), (call, put))| fly(*dte, *width, k * 5, *call, *put))),
            gex(), spot(MORNING), vix(vix_at),
        ];
        for profile in SelectorProfile::ALL {
            let body = derived(profile, &published);
            let ranked = body["recommendations"].as_array().expect("a list");
            let scores = body["scores"].as_object().expect("an object");
            prop_assert_eq!(ranked.len(), scores.len().min(10));
            let composite = |v: &Value| v["composite"].as_f64().expect("a number");
            for pair in ranked.windows(2) {
                prop_assert!(composite(&pair[0]["score"]) >= composite(&pair[1]["score"]));
            }
            for score in scores.values() {
                prop_assert!((0.0..=100.0).contains(&composite(score)));
                prop_assert!((0.0..=1.0).contains(&score["confidence"].as_f64().expect("a number")));
            }
            for one in ranked {
                prop_assert!(one["debit_pct"].as_f64().is_some_and(|p| p <= 10.0));
            }
            let judged = scores.len() as u64 + body["filtered_by_debit_rule"].as_u64().expect("a count");
            let sides = tiles.values().flat_map(|(c, p)| [c, p]).flatten().filter(|d| **d > 0.0);
            prop_assert_eq!(judged, sides.count() as u64);
        }
    }
}
