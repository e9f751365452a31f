mod again;
mod profiles;
mod rebuild;

use orrery_journal::units::{TradingDay, VendorTime};
use serde_json::{Value, json};

use super::*;
use crate::models::testing::{decompressed, market, shared};

const MINUTE: i64 = 60 * NANOS_PER_SECOND;

/// A moment, whose event has the number of the second.
fn at(seconds: i64) -> Market<'static> {
    let market = market(None, Some(6505.5), RecvTime(seconds * NANOS_PER_SECOND));
    Market { seq: Seq(seconds as u64), ..market }
}

/// A moment of a trading day.
fn on(day: i32, seq: u64) -> Market<'static> {
    Market { day: TradingDay(day), seq: Seq(seq), ..at(1) }
}

fn with(change: impl FnOnce(&mut Parameters)) -> Gravity {
    let mut parameters = Parameters::default();
    change(&mut parameters);
    let proxy = |symbol: &str, multiplier| Proxy { symbol: symbol.to_owned(), multiplier };
    Gravity::new("SPX", &parameters, vec![proxy("SPY", 10.0), proxy("ES", 1.0)])
}

fn fresh() -> Gravity {
    with(|_| ())
}

fn profiled(name: &str) -> Gravity {
    with(|p| p.profile = Chosen::named(name).expect("a profile"))
}

fn trade(price: f64, size: f64) -> Change<'static> {
    Change::UnderlyingTrade { proxy: None, price, size }
}

/// The bar of a minute.
fn minute_bar(minute: i64, low: f64, high: f64, volume: f64) -> Change<'static> {
    spanned(minute * MINUTE, MINUTE, low, high, volume)
}

fn spanned(start: i64, length: i64, low: f64, high: f64, volume: f64) -> Change<'static> {
    Change::UnderlyingBar {
        span: Some((VendorTime(start), VendorTime(start + length))),
        proxy: None,
        open: low,
        high,
        low,
        close: high,
        volume: Some(volume),
        vwap: None,
    }
}

fn flat_bar(price: f64, volume: f64) -> Change<'static> {
    Change::UnderlyingBar {
        span: None,
        proxy: None,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: Some(volume),
        vwap: None,
    }
}

fn body_of(model: &mut Gravity) -> Value {
    serde_json::from_slice(&model.emit(&at(1)).expect("a body")).expect("JSON")
}

#[test]
fn what_the_definitions_lose_is_not_covered_and_old_volume_is_stale() {
    let mut model = profiled("marketswarm-quick");
    assert!(model.apply(&minute_bar(0, 6500.0, 6502.0, 45.0), &at(1)));
    let quality = |model: &mut Gravity, seconds: i64| {
        let body: Value =
            serde_json::from_slice(&model.emit(&at(seconds)).expect("a body")).expect("JSON");
        body["quality"].clone()
    };
    let fresh = quality(&mut model, 901);
    // A whole share for each of the thirty micro-bins, and half of one lost.
    assert_eq!((&fresh["coverage"], &fresh["lost_volume"]), (&json!(30.0 / 45.0), &json!(15.0)));
    assert_eq!((&fresh["stale_share"], &fresh["absent"]), (&json!(0.0), &json!([])));
    assert_eq!(quality(&mut model, 902)["stale_share"], 1.0);
}

#[test]
fn the_golden_profile_of_the_contract() {
    let mut model = fresh();
    for (i, volume) in [10.0, 50.0, 100.0, 5.0, 0.0, 1.0, 1.0, 80.0, 90.0, 3.0].iter().enumerate() {
        let due = model.apply(&flat_bar(6500.0 + i as f64, *volume), &at(0));
        assert_eq!(due, *volume > 0.0);
    }
    let body = body_of(&mut model);
    assert_eq!(body["symbol"], "SPX");
    assert_eq!(body["profile"]["min"], 6500.0);
    assert_eq!(
        body["profile"]["bins"],
        serde_json::json!([100, 500, 1000, 50, 0, 10, 10, 800, 900, 30])
    );
    assert_eq!(body["raw_bins"], body["profile"]["bins"]);
    let structures = &body["structures"];
    assert_eq!(structures["volume_nodes"], serde_json::json!([6502.0, 6507.0, 6508.0]));
    assert_eq!(structures["volume_wells"], serde_json::json!([[6505.0, 6506.0]]));
    assert_eq!(structures["crevasses"], serde_json::json!([[6504.0, 6506.0]]));
    assert_eq!(structures["market_memory_strength"], 0.74);
    assert_eq!(body["meta"]["spot"], 6505.5);
    assert_eq!(body["meta"]["algorithm"], "tv_microbins_30");
    assert_eq!(body["meta"]["normalized_scale"], 1000);
    assert!(body["meta"]["proxy"].is_null());
    assert_eq!(body["quality"]["outlier_volume"].to_string(), "0.0", "and not -0.0");
}

#[test]
fn bars_win_over_trades_and_are_never_added_to_them() {
    let mut model = fresh();
    assert_eq!(model.emit(&at(0)), None);
    assert!(model.apply(&trade(6400.0, 10.0), &at(0)));
    let body = body_of(&mut model);
    assert_eq!(body["meta"]["volume_source"], "trades");
    assert_eq!(body["profile"]["bins"], serde_json::json!([1000]));
    assert!(model.apply(&flat_bar(6500.0, 30.0), &at(0)));
    let body = body_of(&mut model);
    assert_eq!(body["meta"]["volume_source"], "bars");
    assert_eq!(body["profile"]["min"], 6500.0);
    assert_eq!(body["quality"]["volume"], 30.0);
    assert_eq!(body["quality"]["counts"]["trades"], 1);
    // Nothing that is shown has changed.
    assert!(!model.apply(&trade(6401.0, 10.0), &at(0)));
}

#[test]
fn the_raw_profile_lies_at_the_close() {
    let mut model = fresh();
    let bar = Change::UnderlyingBar {
        span: None,
        proxy: None,
        open: 6500.0,
        high: 6503.0,
        low: 6500.0,
        close: 6503.0,
        volume: Some(3000.0),
        vwap: Some(6501.5),
    };
    model.apply(&bar, &at(0));
    let body = body_of(&mut model);
    assert_eq!(body["profile"]["bins"], serde_json::json!([545, 818, 1000, 363]));
    assert_eq!(body["raw_bins"], serde_json::json!([0, 0, 0, 1000]));
}

#[test]
fn what_cannot_be_used_is_counted() {
    let mut model = fresh();
    let bar = |high, volume| Change::UnderlyingBar {
        span: None,
        proxy: None,
        open: 2.0,
        high,
        low: 2.0,
        close: 2.0,
        volume,
        vwap: None,
    };
    for change in [
        bar(3.0, None),
        bar(f64::NAN, Some(1.0)),
        bar(3.0, Some(-1.0)),
        bar(1.0, Some(1.0)),
        trade(-1.0, 1.0),
        trade(f64::NAN, 1.0),
        trade(6500.0, 0.0),
        Change::Annotation(b"not JSON"),
    ] {
        assert!(!model.apply(&change, &at(0)), "{change:?}");
    }
    model.apply(&flat_bar(6500.0, 1.0), &at(0));
    let counts = &body_of(&mut model)["quality"]["counts"];
    assert_eq!(counts["bars_without_volume"], 1);
    assert_eq!(counts["bars_refused"], 3, "not a number, negative volume, high below low");
    assert_eq!(counts["trades_refused"], 3);
    assert_eq!(counts["annotations_refused"], 1);
}

#[test]
fn structural_lines_stand_beside_with_their_provenance() {
    let mut model = fresh();
    model.apply(&flat_bar(6500.0, 1.0), &at(0));
    let before = body_of(&mut model);
    let annotation = br#"{"author":"ann","model":"m-1","lines":[6510],"crevasses":[[6520,6530]]}"#;
    assert!(model.apply(&Change::Annotation(annotation), &at(7)));
    let body = body_of(&mut model);
    assert_eq!(body["structures"], before["structures"]);
    assert_eq!(
        body["structural_lines"][0],
        serde_json::json!({"kind":"line","from":6510.0,"to":6510.0,"author":"ann",
            "model":"m-1","at":"1970-01-01T00:00:07.000000000Z","seq":7})
    );
    // The newest of an author takes the place of the former one.
    model.apply(&Change::Annotation(br#"{"author":"ann","volume_nodes":[6540.5]}"#), &at(8));
    let body = body_of(&mut model);
    assert_eq!(body["structural_lines"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["structural_lines"][0]["from"], 6540.5);
}

#[test]
fn authors_are_bounded() {
    let mut model = fresh();
    model.apply(&flat_bar(6500.0, 1.0), &at(0));
    for i in 0..AUTHORS_MAX as i64 + 3 {
        let json = format!(r#"{{"author":"a{i}","lines":[6510]}}"#);
        model.apply(&Change::Annotation(json.as_bytes()), &at(i));
    }
    assert_eq!(model.annotations.len(), AUTHORS_MAX);
    assert!(!model.annotations.contains_key("a2") && model.annotations.contains_key("a3"));
}

#[test]
fn the_proxy_with_the_lowest_rank_is_shown_and_named() {
    let mut model = fresh();
    let by = |proxy, price| Change::UnderlyingTrade { proxy, price, size: 5.0 };
    assert!(model.apply(&by(Some(1), 6600.0), &at(0)));
    assert_eq!(body_of(&mut model)["meta"]["proxy"]["symbol"], "ES");
    assert!(model.apply(&by(Some(0), 6500.0), &at(0)));
    assert!(!model.apply(&by(Some(1), 6601.0), &at(0)), "no longer shown");
    let body = body_of(&mut model);
    assert_eq!(body["meta"]["proxy"], json!({"symbol":"SPY","multiplier":10.0}));
    assert_eq!(body["quality"]["volume"], 5.0, "shares and contracts are not added");
    // Its own volume goes before that of any proxy.
    assert!(model.apply(&by(None, 6400.0), &at(0)));
    let body = body_of(&mut model);
    assert!(body["meta"]["proxy"].is_null());
    assert_eq!(body["profile"]["min"], 6400.0);
}

#[test]
fn bars_of_two_lengths_are_never_added() {
    let mut model = fresh();
    for second in 0..30 {
        let bar = spanned(second * NANOS_PER_SECOND, NANOS_PER_SECOND, 6500.0, 6500.0, 10.0);
        model.apply(&bar, &at(second));
    }
    assert_eq!(body_of(&mut model)["quality"]["bar_s"], 1.0);
    model.apply(&minute_bar(0, 6500.0, 6500.0, 600.0), &at(60));
    let quality = &body_of(&mut model)["quality"];
    assert_eq!((&quality["volume"], &quality["bar_s"]), (&json!(600.0), &json!(60.0)));
}

#[test]
fn without_a_spot_it_is_null_and_says_why() {
    let mut model = fresh();
    model.apply(&flat_bar(6500.0, 1.0), &at(0));
    let nowhere = market(None, None, RecvTime(1));
    let body: Value = serde_json::from_slice(&model.emit(&nowhere).expect("a body")).expect("JSON");
    assert!(body["meta"]["spot"].is_null());
    assert_eq!(body["quality"]["absent"], json!(["no_spot"]));
    assert_eq!(body_of(&mut model)["quality"]["absent"], json!([]));
}

#[test]
fn the_width_of_a_bin_is_the_symbols() {
    let mut model = with(|p| p.steps = BTreeMap::from([("SPX".to_owned(), 5.0)]));
    for price in [6500.0, 6502.4, 6502.6, 6509.0] {
        model.apply(&trade(price, 1.0), &at(0));
    }
    let body = body_of(&mut model);
    assert_eq!(body["profile"], json!({"min":6500.0,"step":5.0,"bins":[1000,500,500]}));
}

#[test]
fn a_state_that_is_cut_or_of_another_version_is_refused() {
    let mut model = fresh();
    model.apply(&minute_bar(1, 6500.0, 6503.0, 3000.0), &at(1));
    let mut saved = Vec::new();
    model.save(&mut saved);
    for end in 0..saved.len() {
        assert!(fresh().restore(&saved[..end], &at(0)).is_err(), "{end}");
    }
    saved[0] += 1;
    assert!(fresh().restore(&saved, &at(0)).is_err());
}

/// Every trade of a day against a count in whole numbers.
#[test]
fn a_day_of_trades_equals_a_direct_count() {
    let Some(path) = shared("spy-trades-20131008.csv.zst") else { return };
    let text = String::from_utf8(decompressed(&path)).expect("UTF-8");
    let mut model = fresh();
    let mut counted: BTreeMap<i64, i64> = BTreeMap::new();
    let (mut shares, mut trades) = (0, 0);
    for line in text.lines() {
        let mut fields = line.split(',').skip(1).map(|f| f.parse::<i64>().expect("a number"));
        let (price, size) = (fields.next().expect("a price"), fields.next().expect("a size"));
        // Ten points of the index per dollar; prices are in 1/10,000 dollar.
        model.apply(&trade(price as f64 / 1e3, size as f64), &at(0));
        let (whole, rest) = (price.div_euclid(1000), price.rem_euclid(1000));
        let up = rest > 500 || (rest == 500 && whole % 2 == 1);
        *counted.entry(whole + i64::from(up)).or_default() += size;
        shares += size;
        trades += 1;
    }
    assert_eq!((trades, shares), (451_545, 178_346_557));
    let body = body_of(&mut model);
    let shown = model.held.shown(&model.rules).expect("volume");
    let extent = shown.spread.extent(&model.bounds()).expect("a profile");
    let most = counted.values().max().expect("a largest bin");
    let direct: Vec<i64> = (extent.first..=extent.last)
        .map(|bin| counted.get(&bin).map_or(0, |volume| volume * 1000 / most))
        .collect();
    assert_eq!(body["profile"]["bins"], serde_json::json!(direct));
    assert_eq!(body["quality"]["volume"], shares as f64);
    let outside: i64 = counted
        .iter()
        .filter(|(b, _)| !(extent.first..=extent.last).contains(b))
        .map(|(_, v)| v)
        .sum();
    assert_eq!(body["quality"]["outlier_volume"], outside as f64);
}
