use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::models::testing::{decompressed, market, shared};

fn at(seconds: i64) -> Market<'static> {
    market(None, Some(6505.5), RecvTime(seconds * NANOS_PER_SECOND))
}

fn fresh() -> Gravity {
    Gravity::new(Parameters::default(), None)
}

fn flat_bar(price: f64, volume: f64) -> Change<'static> {
    Change::UnderlyingBar {
        span: None,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: Some(volume),
    }
}

fn body_of(model: &mut Gravity) -> Value {
    serde_json::from_slice(&model.emit(&at(1)).expect("a body")).expect("JSON")
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
    assert!(model.apply(&Change::UnderlyingTrade { price: 6400.0, size: 10.0 }, &at(0)));
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
    assert!(!model.apply(&Change::UnderlyingTrade { price: 6401.0, size: 10.0 }, &at(0)));
}

#[test]
fn the_raw_profile_lies_at_the_close() {
    let mut model = fresh();
    let bar = Change::UnderlyingBar {
        span: None,
        open: 6500.0,
        high: 6503.0,
        low: 6500.0,
        close: 6503.0,
        volume: Some(3000.0),
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
        open: 1.0,
        high,
        low: 1.0,
        close: 1.0,
        volume,
    };
    for change in [
        bar(2.0, None),
        bar(f64::NAN, Some(1.0)),
        bar(2.0, Some(-1.0)),
        Change::UnderlyingTrade { price: -1.0, size: 1.0 },
        Change::Annotation(b"not JSON"),
    ] {
        assert!(!model.apply(&change, &at(0)), "{change:?}");
    }
    model.apply(&flat_bar(6500.0, 1.0), &at(0));
    let counts = &body_of(&mut model)["quality"]["counts"];
    assert_eq!(counts["bars_without_volume"], 1);
    assert_eq!(counts["bars_refused"], 2);
    assert_eq!(counts["trades_refused"], 1);
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
            "model":"m-1","at":"1970-01-01T00:00:07.000000000Z"})
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
fn a_proxy_is_named() {
    let proxy = Proxy { symbol: "SPY".to_owned(), multiplier: 10.0 };
    let mut model = Gravity::new(Parameters::default(), Some(proxy));
    model.apply(&flat_bar(6500.0, 1.0), &at(0));
    assert_eq!(
        body_of(&mut model)["meta"]["proxy"],
        serde_json::json!({"symbol":"SPY","multiplier":10.0})
    );
}

#[derive(Clone, Debug)]
enum Given {
    Bar(u32, u32, u32),
    Trade(u32, u32),
    Lines(u32),
}

fn given() -> impl Strategy<Value = Given> {
    prop_oneof![
        (25_000u32..27_000, 0u32..60, 0u32..10_000).prop_map(|(l, r, v)| Given::Bar(l, r, v)),
        (25_000u32..27_000, 1u32..500).prop_map(|(p, s)| Given::Trade(p, s)),
        (0u32..3).prop_map(Given::Lines),
    ]
}

fn give(model: &mut Gravity, given: &Given, seconds: i64) {
    let quarter = |n: u32| f64::from(n) / 4.0;
    let json;
    let change = match *given {
        Given::Bar(low, range, volume) => Change::UnderlyingBar {
            span: None,
            open: quarter(low),
            low: quarter(low),
            high: quarter(low + range),
            close: quarter(low + range / 2),
            volume: Some(f64::from(volume)),
        },
        Given::Trade(price, size) => {
            Change::UnderlyingTrade { price: quarter(price), size: f64::from(size) }
        }
        Given::Lines(author) => {
            json = format!(r#"{{"author":"a{author}","lines":[{}]}}"#, 6500 + seconds);
            Change::Annotation(json.as_bytes())
        }
    };
    model.apply(&change, &at(seconds));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Emitting on the way changes nothing, and a restored model goes on to the
    /// same bytes as one that saw everything.
    #[test]
    fn incremental_is_full(all in prop::collection::vec(given(), 1..60), cut in 0usize..60) {
        let mut full = fresh();
        let mut incremental = fresh();
        for (i, given) in all.iter().enumerate() {
            give(&mut full, given, i as i64);
            give(&mut incremental, given, i as i64);
            incremental.emit(&at(i as i64));
            if i == cut {
                let mut saved = Vec::new();
                incremental.save(&mut saved);
                incremental = fresh();
                incremental.restore(&saved, &at(i as i64)).expect("its own state");
                prop_assert!(fresh().restore(&saved[..saved.len() - 1], &at(0)).is_err());
            }
        }
        prop_assert_eq!(&full, &incremental);
        let end = at(all.len() as i64);
        prop_assert_eq!(full.emit(&end), incremental.emit(&end));
    }

    /// Structures are ordered, disjoint where they must be, and inside of the
    /// profile.
    #[test]
    fn structures_lie_inside_of_the_profile(bins in prop::collection::vec(0u32..=1000, 0..200)) {
        let found = structures::detect(&bins);
        for (i, bin) in found.nodes.iter().zip(found.nodes.iter().skip(1)) {
            prop_assert!(i < bin && *bin < bins.len());
        }
        for runs in [&found.wells, &found.crevasses] {
            for (first, last) in runs {
                prop_assert!(first <= last && *last < bins.len());
            }
            for (a, b) in runs.iter().zip(runs.iter().skip(1)) {
                prop_assert!(a.1 + 1 < b.0);
            }
        }
        prop_assert!(found.crevasses.iter().all(|(first, last)| last - first >= 2));
    }
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
        let change = Change::UnderlyingTrade { price: price as f64 / 1e3, size: size as f64 };
        model.apply(&change, &at(0));
        let (whole, rest) = (price.div_euclid(1000), price.rem_euclid(1000));
        let up = rest > 500 || (rest == 500 && whole % 2 == 1);
        *counted.entry(whole + i64::from(up)).or_default() += size;
        shares += size;
        trades += 1;
    }
    assert_eq!((trades, shares), (451_545, 178_346_557));
    let body = body_of(&mut model);
    let extent = model.trades.extent(&Parameters::default()).expect("a profile");
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
