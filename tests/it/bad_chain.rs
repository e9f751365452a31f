//! Bad chains end to end: import, then what the artifacts say. The outcomes are
//! those of docs/models/bad-input.md.

use serde_json::{Value, json};

use crate::live::Live;
use crate::support::Orrery;
use crate::support::chain::{Leg, healthy, legs, page, spx};

/// Imports a capture and expects that exit code.
fn import(orrery: &Orrery, name: &str, text: String, code: i32) -> Value {
    let file = orrery.file(name, text);
    orrery.run(&["import", "--json", file.to_str().expect("UTF-8")]).expect(code).json()
}

/// The newest body of a family; null without any.
fn body(orrery: &Orrery, symbol: &str, family: &str) -> Value {
    let headers = orrery.headers(symbol, family);
    let version = headers.iter().filter_map(|h| h["version"].as_u64()).max();
    version.map_or(Value::Null, |v| orrery.artifact(symbol, family, v)["body"].clone())
}

fn quality(orrery: &Orrery, family: &str) -> Value {
    body(orrery, "SPX", family)["quality"].clone()
}

fn spoilt(spoil: impl Fn(usize, &mut Leg)) -> Vec<Leg> {
    let mut legs = healthy();
    legs.iter_mut().enumerate().for_each(|(i, leg)| spoil(i, leg));
    legs
}

const AT: [&str; 5] = [
    "2026-03-16T14:30:00Z",
    "2026-03-16T14:31:00Z",
    "2026-03-16T14:32:00Z",
    "2026-03-16T14:33:00Z",
    "2026-03-16T14:34:00Z",
];

#[test]
fn gammas_that_vanish_are_kept_out_told_and_believed_the_third_time() {
    let orrery = Orrery::new();
    let zero = spoilt(|_, leg| leg.gamma = Some(0.0));
    let report =
        import(&orrery, "a.ndjson", [spx(AT[0], &healthy()), spx(AT[1], &zero)].concat(), 0);
    assert_eq!(report["damaged"], json!({"gammas_zero": 1}), "{report:#}");
    // Journaled all the same.
    assert_eq!(report["kinds"]["chain_snapshot"], 2, "{report:#}");
    let wall = body(&orrery, "SPX", "gex")["levels"]["call_wall"].clone();
    assert!(wall.is_f64(), "the last good chain stays: {wall}");
    let told = quality(&orrery, "epoch");
    assert_eq!(told["damaged"]["reason"], "gammas_zero", "{told:#}");
    assert_eq!((&told["damaged"]["in_a_row"], &told["damaged_chains"]), (&json!(1), &json!(1)));
    assert_eq!(told["chains"], 1, "{told:#}");

    let report = import(&orrery, "b.ndjson", [spx(AT[2], &zero), spx(AT[3], &zero)].concat(), 0);
    assert_eq!(report["damaged"], json!({"gammas_zero": 2}), "the third is believed: {report:#}");
    let gex = body(&orrery, "SPX", "gex");
    assert_eq!(gex["levels"]["call_wall"], Value::Null, "{gex:#}");
    assert_eq!(gex["quality"]["absent"], json!(["all_gammas_zero"]));
    assert_eq!(quality(&orrery, "epoch")["damaged"], Value::Null);

    let live = Live::start(&orrery, &[]);
    live.wait_for("/metrics", "orrery_damaged_chains 2");
    assert_eq!(live.terminate(), 0);

    import(&orrery, "c.ndjson", spx(AT[4], &healthy()), 0);
    assert_eq!(body(&orrery, "SPX", "gex")["levels"]["call_wall"], wall, "and it recovers");
    orrery.run(&["replay", "2026-03-16"]).expect(0);
}

#[test]
fn a_first_chain_without_gammas_has_no_walls_and_says_why() {
    let orrery = Orrery::new();
    let zero = spoilt(|_, leg| leg.gamma = Some(0.0));
    import(&orrery, "a.ndjson", spx(AT[0], &zero), 0);
    let gex = body(&orrery, "SPX", "gex");
    for level in ["call_wall", "put_wall", "peak", "absolute_gamma"] {
        assert_eq!(gex["levels"][level], Value::Null, "{level}");
    }
    assert_eq!(gex["quality"]["absent"], json!(["all_gammas_zero"]));
    assert_eq!(gex["quality"]["zero_gamma"], 42);
}

#[test]
fn a_negative_gamma_is_left_out_and_counted() {
    let orrery = Orrery::new();
    let legs = spoilt(|i, leg| {
        if i < 3 {
            leg.gamma = leg.gamma.map(|g| -1e6 * g);
        }
    });
    import(&orrery, "a.ndjson", spx(AT[0], &legs), 0);
    let gex = body(&orrery, "SPX", "gex");
    let quality = &gex["quality"];
    assert_eq!(quality["excluded"]["negative_gamma"], 3, "{quality:#}");
    assert_eq!((&quality["contracts"], &quality["counted"]), (&json!(42), &json!(39)));
    let coverage = quality["coverage"].as_f64().expect("a share");
    assert!((coverage - 39.0 / 42.0).abs() < 1e-12);
    assert!(gex["levels"]["net"].as_f64().expect("a net").abs() < 1e12, "it adds nothing");
}

#[test]
fn the_vendors_cap_is_no_volatility() {
    let orrery = Orrery::new();
    let legs = spoilt(|i, leg| {
        if i < 5 {
            leg.volatility = Some(20.0);
        }
    });
    import(&orrery, "a.ndjson", spx(AT[0], &legs), 0);
    let gex = body(&orrery, "SPX", "gex");
    assert_eq!(gex["curve"]["left_out"]["capped_iv"], 5);
    assert_eq!(gex["curve"]["contracts"], 37);
    let vex = gex["quality"]["coverages"]["vex"].as_f64().expect("a share");
    assert!((vex - 37.0 / 42.0).abs() < 1e-12, "{vex}");
    assert_eq!(gex["quality"]["coverage"], 1.0, "the vendor's gamma still counts");
    assert_eq!(quality(&orrery, "epoch")["last_chain"]["volatilities_in_percent"], 0);
}

#[test]
fn volatilities_in_percent_are_unknown_not_divided() {
    let orrery = Orrery::new();
    let percent = spoilt(|_, leg| leg.volatility = Some(20.0 + leg.strike / 1e4));
    import(&orrery, "a.ndjson", spx(AT[0], &percent), 0);
    let gex = body(&orrery, "SPX", "gex");
    assert_eq!(gex["curve"]["left_out"]["missing_iv"], 42);
    assert_eq!(gex["levels"]["flip"]["absent"], "no_implied_volatility");
    assert_eq!(gex["levels"]["vex"]["net"], Value::Null);
    assert!(gex["levels"]["call_wall"].is_f64(), "gammas are the vendor's");
    let told = quality(&orrery, "epoch");
    assert_eq!(told["last_chain"]["volatilities_in_percent"], 42, "{told:#}");
    assert_eq!(told["volatilities_in_percent"], 42);
    // The next chain states fractions again.
    import(&orrery, "b.ndjson", spx(AT[1], &healthy()), 0);
    let told = quality(&orrery, "epoch");
    assert_eq!(told["last_chain"]["volatilities_in_percent"], 0, "{told:#}");
    assert_eq!(body(&orrery, "SPX", "gex")["curve"]["left_out"]["missing_iv"], 0);
}

#[test]
fn without_a_spot_there_are_sums_and_no_levels() {
    let orrery = Orrery::new();
    import(&orrery, "a.ndjson", page(AT[0], "SPX", None, &healthy(), false), 0);
    assert!(
        orrery.headers("SPX", "spot").is_empty() && orrery.headers("SPX", "heatmap").is_empty()
    );
    let gex = body(&orrery, "SPX", "gex");
    assert_eq!((&gex["spot"], &gex["levels"]["call_wall"]), (&Value::Null, &Value::Null));
    assert_eq!(gex["levels"]["flip"]["absent"], "no_spot");
    assert_eq!(gex["quality"]["absent"], json!(["no_spot"]));
    assert_eq!(gex["expirations"]["2026-03-20"]["calls"].as_object().map(|o| o.len()), Some(21));
    let told = quality(&orrery, "epoch");
    assert_eq!((&told["absent"], &told["age_ms"]["spot"]), (&json!(["no_spot"]), &Value::Null));
}

#[test]
fn half_a_chain_is_kept_out_beside_a_whole_one() {
    let orrery = Orrery::new();
    let whole = healthy();
    let calls: Vec<Leg> = whole.iter().step_by(2).cloned().collect();
    let report = import(&orrery, "a.ndjson", [spx(AT[0], &whole), spx(AT[1], &calls)].concat(), 0);
    assert_eq!(report["damaged"], json!({"shrunk": 1}), "{report:#}");
    assert_eq!(report["epochs"].as_array().map(Vec::len), Some(1), "{report:#}");
    let told = quality(&orrery, "epoch");
    assert_eq!(told["damaged"]["reason"], "shrunk", "{told:#}");
    assert!(body(&orrery, "SPX", "gex")["levels"]["put_wall"].is_f64());
}

#[test]
fn half_a_chain_alone_has_one_side_and_no_zeros_for_the_other() {
    let orrery = Orrery::new();
    let calls: Vec<Leg> = healthy().into_iter().step_by(2).collect();
    import(&orrery, "a.ndjson", spx(AT[0], &calls), 0);
    let levels = body(&orrery, "SPX", "gex")["levels"].clone();
    assert!(levels["call_wall"].is_f64() && levels["call_total"].is_f64(), "{levels:#}");
    assert_eq!((&levels["put_wall"], &levels["put_total"]), (&Value::Null, &Value::Null));
    assert_eq!(body(&orrery, "SPX", "gex")["put_call"]["open_interest"], Value::Null);
    let tile = body(&orrery, "SPX", "heatmap")["tiles"]["single:4:0:6500"].clone();
    assert!(tile["call"]["mid"].is_f64() && tile["put"].is_null(), "{tile:#}");
}

#[test]
fn a_missing_page_is_quarantined_and_its_symbol_hears_of_it() {
    let orrery = Orrery::new();
    let whole = healthy();
    let first = page(AT[1], "SPX", Some(6_500.0), &whole[..30], true);
    let report = import(&orrery, "a.ndjson", [spx(AT[0], &whole), first].concat(), 1);
    assert_eq!(report["refused"]["damaged_chain"], 1, "{report:#}");
    assert_eq!(report["damaged"], json!({"missing_page": 1}), "{report:#}");
    let told = quality(&orrery, "epoch");
    assert_eq!(told["damaged"]["reason"], "missing_page", "{told:#}");
    assert_eq!((&told["damaged_missing_page"], &told["contracts"]), (&json!(1), &json!(42)));
}

#[test]
fn refused_rows_cost_themselves_and_are_counted() {
    let orrery = Orrery::new();
    let legs = spoilt(|i, leg| {
        if i == 4 {
            leg.bid = Some(-1.0);
        }
    });
    let report = import(&orrery, "a.ndjson", spx(AT[0], &legs), 1);
    assert_eq!(report["refused"]["bad_price"], 1, "{report:#}");
    let told = quality(&orrery, "epoch");
    assert_eq!((&told["last_chain"]["refused"], &told["refused_rows"]), (&json!(1), &json!(1)));
    assert_eq!(told["contracts"], 41);
}

#[test]
fn crossed_and_one_sided_quotes_price_nothing_and_are_counted_by_reason() {
    let orrery = Orrery::new();
    let legs = spoilt(|i, leg| match i {
        20 => (leg.bid, leg.ask) = (leg.ask, leg.bid),
        21 | 22 => leg.bid = Some(0.0),
        24 => (leg.bid, leg.ask) = (None, None),
        _ => {}
    });
    import(&orrery, "a.ndjson", spx(AT[0], &legs), 0);
    let told = quality(&orrery, "epoch");
    let excluded = json!({"crossed": 1, "one_sided": 2, "unquoted": 1});
    assert_eq!(told["excluded"], excluded, "{told:#}");
    assert_eq!(told["two_sided"], 38);
    let heatmap = body(&orrery, "SPX", "heatmap");
    let contracts = &heatmap["quality"]["contracts"];
    assert_eq!((&contracts["crossed"], &contracts["one_sided"]), (&json!(1), &json!(2)));
    let tile = &heatmap["tiles"]["single:4:0:6500"];
    assert_eq!(tile["eligible"], false, "{tile:#}");
    assert_eq!(tile["reasons"], json!(["one_sided_center_put", "crossed_center_call"]));
    // Our own greeks need a quote: where the vendor has none either, it says why.
    let bare = spoilt(|i, leg| {
        (leg.gamma, leg.delta, leg.volatility) = (None, None, None);
        match i {
            20 => (leg.bid, leg.ask) = (leg.ask, leg.bid),
            21 | 22 => leg.bid = Some(0.0),
            0 => (leg.bid, leg.ask) = (Some(90.0), Some(95.0)),
            1 => (leg.bid, leg.ask) = (Some(6_500.0), Some(6_501.0)),
            _ => {}
        }
    });
    let orrery = Orrery::new();
    import(&orrery, "a.ndjson", spx(AT[0], &bare), 0);
    let asked = ["levels", "SPX", "--profile", "naive-oi-quotes", "--json"];
    let told = orrery.run(&asked).expect(0).json();
    let quality = &told[0]["body"]["quality"];
    let why = json!({"above_bound": 1, "below_intrinsic": 1, "crossed": 1, "one_sided": 2});
    assert_eq!(quality["unpriced"], why, "{quality:#}");
    assert_eq!(quality["excluded"]["missing_gamma"], 5);
    assert_eq!(quality["own_greeks"], 37);
}

#[test]
fn an_expired_contract_is_in_the_chain_and_in_no_sum() {
    let orrery = Orrery::new();
    let mut all = legs("SPXW", "2026-03-13", AT[0], 6_500.0, &[6_490, 6_500, 6_510]);
    all.extend(healthy());
    import(&orrery, "a.ndjson", spx(AT[0], &all), 0);
    let gex = body(&orrery, "SPX", "gex");
    assert_eq!(gex["quality"]["excluded"]["expired"], 6, "{:#}", gex["quality"]);
    assert_eq!(gex["quality"]["counted"], 42);
    assert_eq!(gex["curve"]["left_out"]["expired"], 6);
    assert_eq!(gex["expirations"]["2026-03-13"], Value::Null);
    assert_eq!(quality(&orrery, "epoch")["excluded"], json!({"expired": 6}));
    assert_eq!(body(&orrery, "SPX", "heatmap")["dtes_available"], json!([4]));
}

#[test]
fn a_saturday_expiry_lives_until_fridays_close() {
    let strikes = [600, 610, 620, 630, 640];
    // Friday at 15:00 and at 16:30 in New York; dated Saturday.
    let chain =
        |at| page(at, "GOOG", Some(620.0), &legs("GOOG", "2012-01-21", at, 620.0, &strikes), false);
    let orrery = Orrery::new();
    import(&orrery, "a.ndjson", chain("2012-01-20T20:00:00Z"), 0);
    let gex = body(&orrery, "GOOG", "gex");
    assert_eq!(gex["quality"]["excluded"]["expired"], 0, "{:#}", gex["quality"]);
    assert_eq!((&gex["quality"]["counted"], &gex["curve"]["contracts"]), (&json!(10), &json!(10)));
    // It keeps its date, and this is its last day.
    let row = &gex["by_expiry"][0];
    assert_eq!((&row["expiry"], &row["dte"]), (&json!("2012-01-21"), &json!(0)), "{row:#}");
    assert_eq!(gex["buckets"][0]["bucket"], "0dte");
    assert_eq!(gex["buckets"][0]["net"], gex["levels"]["net"]);
    assert!(gex["levels"]["net"].is_number());
    assert_eq!(body(&orrery, "GOOG", "heatmap")["dtes_available"], json!([0]));
    let orrery = Orrery::new();
    import(&orrery, "b.ndjson", chain("2012-01-20T21:30:00Z"), 0);
    let gex = body(&orrery, "GOOG", "gex");
    assert_eq!(gex["quality"]["excluded"]["expired"], 10, "{:#}", gex["quality"]);
    assert_eq!(gex["levels"]["call_wall"], Value::Null);
    assert_eq!(body(&orrery, "GOOG", "epoch")["quality"]["absent"], json!(["no_living_contract"]));
}
