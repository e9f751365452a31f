//! Every body that is published says how good it is, and the calendar behind it
//! can be looked at and replaced.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Orrery;
use crate::support::chain::{healthy, spx};

/// What the quality block of a family has at least. A family that is not here
/// needs a block all the same.
const NEEDED: &[(&str, &[&str])] = &[
    ("spot", &["age_ms"]),
    ("candles", &["coverage", "stale_share", "late", "age_ms"]),
    (
        "gravity",
        &[
            "coverage",
            "stale_share",
            "stale_after_s",
            "counts",
            "outlier_bins",
            "outlier_volume",
            "volume_age_ms",
            "absent",
        ],
    ),
    ("flow", &["coverage", "stale_share", "apart_share", "age_ms", "spot_age_ms", "absent"]),
    (
        "gex",
        &[
            "coverage",
            "stale_share",
            "stale_after_s",
            "chain_age_ms",
            "spot_age_ms",
            "excluded",
            "unpriced",
            "absent",
        ],
    ),
    ("context", &["spot_from", "age_ms", "absent"]),
    ("levels", &["levels", "refused", "absent"]),
    ("bias_lfi", &["strikes", "near_share", "absent"]),
    ("market_mode", &["strikes", "absent"]),
    ("volatility", &["age_ms"]),
    ("vix_regime", &["age_ms"]),
    ("selector", &["tiles", "coverage", "without_neighbours", "absent"]),
    ("heatmap", &["coverage", "stale_share", "age_ms", "reasons", "contracts"]),
    (
        "epoch",
        &[
            "coverage",
            "stale_share",
            "stale_after_s",
            "age_ms",
            "excluded",
            "last_chain",
            "damaged",
            "absent",
        ],
    ),
];

/// A chain, prices of the underlying, trades of its proxy and of a contract, a value
/// of the index of volatility.
fn a_day() -> Orrery {
    let orrery = Orrery::new();
    let chain = orrery.file("chain.ndjson", spx("2026-03-16T14:30:00Z", &healthy()));
    let mut ticks = String::new();
    for i in 0..120 {
        let t = 1_773_671_400_000_i64 + i * 1_000;
        let price = 650.0 + (i % 7) as f64 / 10.0;
        ticks.push_str(&format!(
            "{{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":{price},\"s\":100,\"t\":{t},\"q\":{i}}}\n"
        ));
        ticks.push_str(&format!(
            "{{\"ev\":\"V\",\"T\":\"I:SPX\",\"val\":{},\"t\":{t}}}\n",
            price * 10.0
        ));
    }
    for line in [
        r#"{"ev":"V","T":"I:VIX","val":17.25,"t":1773671520000}"#,
        r#"{"ev":"T","sym":"O:SPXW260320C06500000","p":60,"s":3,"c":[209],"t":1773671521000,"q":1}"#,
    ] {
        ticks.push_str(line);
        ticks.push('\n');
    }
    let ticks = orrery.file("ticks.ndjson", ticks);
    orrery.import(&[&chain, &ticks]);
    orrery
}

fn newest(orrery: &Orrery) -> BTreeMap<(String, String), u64> {
    let listed = orrery.run(&["artifacts", "list", "--limit", "100000", "--json"]).expect(0).json();
    let mut newest = BTreeMap::new();
    for header in listed.as_array().expect("a list") {
        let text = |name: &str| header[name].as_str().expect("text").to_owned();
        let version = header["version"].as_u64().expect("a version");
        let held = newest.entry((text("symbol"), text("family"))).or_insert(version);
        *held = version.max(*held);
    }
    newest
}

#[test]
fn every_published_body_says_how_good_it_is() {
    let orrery = a_day();
    let newest = newest(&orrery);
    for (family, _) in NEEDED {
        assert!(newest.keys().any(|(_, f)| f == family), "{family} was not published: {newest:?}");
    }
    let mut lacking = Vec::new();
    for ((symbol, family), version) in &newest {
        let body = orrery.artifact(symbol, family, *version)["body"].clone();
        let Some(quality) = body["quality"].as_object().filter(|q| !q.is_empty()) else {
            lacking.push(format!("{symbol} {family}: no quality block"));
            continue;
        };
        let needed = NEEDED.iter().find(|(name, _)| name == family).map_or(&[][..], |(_, n)| n);
        for name in needed.iter().filter(|name| !quality.contains_key(**name)) {
            lacking.push(format!("{symbol} {family}: no {name}"));
        }
        for (name, value) in quality.iter().filter(|(n, _)| *n == "coverage" || *n == "stale_share")
        {
            if !value.is_null() && !value.as_f64().is_some_and(|v| (0.0..=1.0).contains(&v)) {
                lacking.push(format!("{symbol} {family}: {name} is {value}"));
            }
        }
    }
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[test]
fn the_calendar_is_shown_and_stands_in_the_epoch() {
    let orrery = a_day();
    let asked = ["calendar", "--from", "2026-11-20", "--to", "2026-12-31"];
    let shown = orrery.run(&asked).expect(0).stdout;
    assert!(shown.contains("2026-11-26  holiday"), "{shown}");
    assert!(
        shown.contains(
            "2026-11-27  half     2026-11-27T14:30:00.000000000Z  2026-11-27T18:00:00.000000000Z"
        ),
        "{shown}"
    );
    let json = orrery.run(&[&asked[..], &["--json"]].concat()).expect(0).json();
    let version = orrery.headers("SPX", "epoch").iter().filter_map(|h| h["version"].as_u64()).max();
    let epoch = orrery.artifact("SPX", "epoch", version.expect("published"))["body"].clone();
    assert_eq!(epoch["calendar"]["version"], json["version"]);
    assert_eq!(epoch["calendar"]["hash"], json["hash"]);
    let settles = orrery.run(&[
        "calendar",
        "O:SPX260821C06500000",
        "O:SPXW260821C06500000",
        "O:GOOG120121C00600000",
        "--json",
    ]);
    let settles = settles.expect(0).json();
    let at =
        |i: usize| settles["settlements"][i]["settles_at"].as_str().expect("a moment").to_owned();
    assert_eq!(
        [at(0), at(1), at(2)],
        [
            "2026-08-21T13:30:00.000000000Z",
            "2026-08-21T20:00:00.000000000Z",
            "2012-01-20T21:00:00.000000000Z"
        ]
    );
    orrery.run(&["calendar", "--from", "2026-13-01"]).expect(2);
    orrery.run(&["calendar", "AAPL"]).expect(2);
}

#[test]
fn another_calendar_is_another_configuration() {
    let orrery = Orrery::new();
    let mut all: Value = orrery.run(&["parameters", "--json"]).expect(0).json();
    let table = &mut all["trading_calendar"];
    assert_eq!(table["version"], "us-options/2010-2030@1");
    // A closure that is announced tomorrow.
    let days = table["holidays"]["2026"].as_str().expect("a list").replace("05-25", "05-25 06-01");
    table["holidays"]["2026"] = Value::from(days);
    let run = |orrery: &Orrery, all: &Value, args: &[&str]| {
        let file = orrery.file("mine.json", all.to_string());
        orrery.run(&[&["--parameters", file.to_str().expect("UTF-8")], args].concat())
    };
    let misnamed = run(&orrery, &all, &["calendar"]).expect(2);
    assert!(misnamed.stderr.contains("trading_calendar.version"), "{}", misnamed.stderr);
    all["trading_calendar"]["version"] = Value::from("mine@1");
    let asked = ["calendar", "--from", "2026-06-01", "--to", "2026-06-01", "--json"];
    let mine = run(&orrery, &all, &asked).expect(0).json();
    let shipped =
        orrery.run(&["calendar", "--from", "2026-06-01", "--to", "2026-06-01", "--all", "--json"]);
    let shipped = shipped.expect(0).json();
    assert_eq!((&mine["version"], &mine["days"][0]["kind"]), (&"mine@1".into(), &"holiday".into()));
    assert_eq!(shipped["days"][0]["kind"], "full");
    assert_ne!(mine["hash"], shipped["hash"]);
    // What expires on the new holiday settles on the trading day before.
    let ticker = ["calendar", "O:SPXW260601C06500000", "--json"];
    let settles = run(&orrery, &all, &ticker).expect(0).json();
    assert_eq!(settles["settlements"][0]["settles_at"], "2026-05-29T20:00:00.000000000Z");
}
