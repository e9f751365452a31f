//! Shapes against the contract, without a server.

use orrery_journal::units::{Address, Seq};
use serde_json::{Value, json};

use super::*;
use crate::projector::registry::{KeySet, Kind};

/// 2026-02-06T14:30:00Z.
const MOMENT: RecvTime = RecvTime(1_770_388_200_000_000_000);

fn artifact(symbol: &str, family: &str, version: u64, body: &Value) -> Artifact {
    let body = Bytes::from(body.to_string());
    let header = Header {
        symbol: symbol.into(),
        family: family.into(),
        version,
        epoch: Some(Address::of(b"epoch")),
        profile: "test/one@1".into(),
        configuration: Address::of(b"configuration"),
        seq_first: Seq(1),
        seq_last: Seq(version * 10),
        created_at: MOMENT,
        content: Address::of(&body),
        body_len: body.len() as u64,
        previous: Address::default(),
    };
    Artifact { header, body }
}

fn value(rendering: &Rendering, key: &str) -> Value {
    let put = rendering.puts.iter().find(|p| p.key.as_str() == key).expect("the key is written");
    serde_json::from_slice(&put.value)
        .unwrap_or_else(|_| Value::String(String::from_utf8(put.value.to_vec()).expect("text")))
}

fn payload(rendering: &Rendering, channel: &str) -> Value {
    let found = rendering.publishes.iter().find(|p| p.channel.as_str() == channel);
    serde_json::from_slice(&found.expect("the channel is told").payload).expect("JSON")
}

fn replaced(rendering: &Rendering) -> Vec<String> {
    let documents = rendering.puts.iter().filter(|put| put.write == Write::Replace);
    documents.map(|put| put.key.to_string()).collect()
}

/// As the sets say, for SPX.
fn rendered(sets: &[KeySet], family: &str, body: &Value) -> Rendering {
    let held = Held { sets: KeySets::of(sets.iter().copied()), ..Held::default() };
    documents(&artifact("SPX", family, 3, body), &held).expect("renders")
}

fn gravity() -> Value {
    json!({
        "symbol": "SPX",
        "profile": {"min": 6500.0, "step": 1.0, "bins": [600, 900, 1000]},
        "raw_bins": [0, 1000, 250],
        "structures": {"volume_nodes": [6502.0], "volume_wells": [[6500.0, 6501.0]],
            "crevasses": [], "market_memory_strength": 0.74},
        "structural_lines": [],
        "meta": {"spot": 6501.5, "algorithm": "tv_microbins_30", "normalized_scale": 1000,
            "proxy": {"symbol": "SPY", "multiplier": 10.0}, "detection": "percentile_d1",
            "volume_source": "bars", "days": null},
        "quality": {"bars": 3},
    })
}

#[test]
fn gravity_is_the_artifact_the_legacy_profile_and_the_event() {
    let artifact = artifact("SPX", "gravity", 7, &gravity());
    let rendering = documents(&artifact, &Held::default()).expect("renders");
    let document = value(&rendering, "dealer_gravity:artifact:spx");
    assert_eq!(document["profile"], json!({"min": 6500.0, "step": 1.0, "bins": [600, 900, 1000]}));
    assert_eq!(document["structures"]["volume_wells"], json!([[6500.0, 6501.0]]));
    let meta = &document["meta"];
    assert_eq!(meta["artifact_version"], "v7");
    assert_eq!(meta["last_update"], "2026-02-06T14:30:00+00:00");
    assert_eq!(meta["algorithm"], "tv_microbins_30");
    assert_eq!(
        (&meta["detection"], &meta["volume_source"]),
        (&json!("percentile_d1"), &json!("bars"))
    );
    assert_eq!(meta.get("days"), None, "all of them");
    assert_eq!(meta["content_hash"], artifact.header.content.to_string());
    assert_eq!(document.get("raw_bins"), None, "nothing raw in what clients hold");

    let legacy = value(&rendering, "massive:volume_profile");
    assert_eq!(legacy["symbol"], "SPY");
    assert_eq!(legacy["synthetic_symbol"], "SPX");
    assert_eq!(legacy["spy_multiplier"], 10.0);
    assert_eq!(legacy["bin_size"], 1.0);
    assert_eq!((&legacy["min_price"], &legacy["max_price"]), (&json!(6500.0), &json!(6502.0)));
    assert_eq!(legacy["bin_count"], 3);
    assert_eq!(legacy["buckets_tv"], json!({"6500": 600, "6501": 900, "6502": 1000}));
    assert_eq!(legacy["buckets_raw"], json!({"6500": 0, "6501": 1000, "6502": 250}));

    let event = payload(&rendering, "dealer_gravity_updated");
    let expected = json!({"type": "dealer_gravity_artifact_updated", "symbol": "SPX",
        "artifact_version": "v7", "occurred_at": "2026-02-06T14:30:00+00:00"});
    assert_eq!(event, expected);
}

#[test]
fn another_symbols_gravity_leaves_the_unsuffixed_key_alone() {
    let mut body = gravity();
    body["profile"]["step"] = json!(0.1);
    body["meta"]["proxy"] = Value::Null;
    let rendering =
        documents(&artifact("GOOG", "gravity", 1, &body), &Held::default()).expect("renders");
    let keys: Vec<_> = replaced(&rendering);
    assert_eq!(keys, ["dealer_gravity:artifact:goog", "orrery:{GOOG}:artifact:gravity"]);
}

#[test]
fn context_names_the_gravity_that_it_stands_beside() {
    let body = json!({"symbol": "SPX", "spot": 6505.5, "nearest_volume_node": 6507.0,
        "nearest_volume_node_dist": -0.000231, "volume_well_proximity": 7.7e-05,
        "in_crevasse": true, "market_memory_strength": 0.74, "gamma_alignment": null});
    let held = Held { gravity: Some(7), ..Held::default() };
    let rendering = documents(&artifact("SPX", "context", 3, &body), &held).expect("renders");
    let document = value(&rendering, "dealer_gravity:context:spx");
    for (name, field) in body.as_object().expect("an object") {
        assert_eq!(&document[name], field, "{name}");
    }
    assert_eq!(document["artifact_version"], "v7");
    assert_eq!(document["timestamp"], "2026-02-06T14:30:00+00:00");
    assert!(rendering.publishes.iter().all(|p| p.channel.as_str() == "orrery:{SPX}:events"));
}

#[test]
fn spot_is_a_document_and_a_member_of_its_trail() {
    let body = json!({"symbol": "I:SPX", "value": 6540.25, "at": "2026-02-06T14:29:59Z",
        "source": "index", "previous_close": 6500.0, "change": 40.25, "change_percent": 0.6192});
    let rendering =
        documents(&artifact("SPX", "spot", 1, &body), &Held::default()).expect("renders");
    let document = value(&rendering, "massive:model:spot:I:SPX");
    assert_eq!(document["symbol"], "I:SPX");
    assert_eq!(document["value"], 6540.25);
    assert_eq!(document["ts"], "2026-02-06T14:30:00+00:00");
    assert_eq!(document["source"], "massive/spot");
    assert_eq!(document["timeframe"], "REAL-TIME");
    assert_eq!((&document["prevClose"], &document["change"]), (&json!(6500.0), &json!(40.25)));
    assert_eq!(document["changePercent"], 0.6192);
    let trail = rendering.puts.iter().find(|p| p.key.entry().kind == Kind::Zset).expect("a trail");
    assert_eq!(trail.key.as_str(), "massive:model:spot:I:SPX:trail");
    let second = 1_770_388_200.0;
    assert_eq!(trail.write, Write::Trail { score: second, trim_below: second - 604_800.0 });
    assert_eq!(value(&rendering, "massive:model:spot:I:SPX:trail"), document);
}

#[test]
fn both_sides_of_gex_list_the_same_expirations_ascending() {
    let body = json!({"symbol": "I:SPX", "spot": 6540.0, "expirations": {
        "2026-02-09": {"calls": {"6540": 2.5}, "puts": {}},
        "2026-02-06": {"calls": {"6540": 1.25, "6537.5": 0.5}, "puts": {}},
    }, "by_strike": [], "levels": {}, "quality": {}});
    let rendering =
        documents(&artifact("SPX", "gex", 4, &body), &Held::default()).expect("renders");
    let calls = value(&rendering, "massive:gex:model:I:SPX:calls");
    assert_eq!(calls["ts"], 1_770_388_200.0);
    assert_eq!(calls["symbol"], "I:SPX");
    assert_eq!(calls["expirations"]["2026-02-06"], json!({"6540": 1.25, "6537.5": 0.5}));
    let puts = value(&rendering, "massive:gex:model:I:SPX:puts");
    assert_eq!(puts["expirations"], json!({"2026-02-06": {}, "2026-02-09": {}}));
    let text = rendering.puts.iter().find(|p| p.key.as_str().ends_with(":calls")).expect("calls");
    let text = std::str::from_utf8(&text.value).expect("text");
    assert!(text.find("2026-02-06") < text.find("2026-02-09"), "clients take the first: {text}");
}

fn heatmap(tiles: &Value) -> Value {
    json!({"symbol": "I:SPX", "dtes_available": [0], "dte_tile_counts": {"0": 2}, "tiles": tiles,
        "quality": {}})
}

#[test]
fn heatmap_is_the_whole_and_the_difference() {
    let first = artifact("SPX", "heatmap", 1, &heatmap(&json!({"a": {"d": 1}, "b": {"d": 2}})));
    let second = artifact("SPX", "heatmap", 2, &heatmap(&json!({"b": {"d": 3}, "c": {"d": 4}})));
    let rendering = documents(&first, &Held::default()).expect("renders");
    let latest = value(&rendering, "massive:heatmap:model:I:SPX:latest");
    assert_eq!(latest["ts"], 1_770_388_200.0);
    assert_eq!(latest["version"], 1);
    assert_eq!(latest["epoch"], Address::of(b"epoch").to_string());
    assert_eq!(latest["dtes_available"], json!([0]));
    assert_eq!(latest["dte_tile_counts"], json!({"0": 2}));
    let diff = payload(&rendering, "massive:heatmap:diff:I:SPX");
    assert_eq!(diff["changed"], latest["tiles"], "without a base everything has changed");

    let held =
        Held { last: Some((1, rendering.stamp_us)), tiles: Some(&first.body), ..Held::default() };
    let rendering = documents(&second, &held).expect("renders");
    let diff = payload(&rendering, "massive:heatmap:diff:I:SPX");
    let ts = 1_770_388_200.000_001;
    let expected = json!({"ts": ts, "version": 2, "symbol": "I:SPX",
        "changed": {"b": {"d": 3}, "c": {"d": 4}}, "removed": ["a"], "dtes_available": [0]});
    assert_eq!(diff, expected);
    let replay = rendering.puts.iter().find(|p| p.write == Write::Append).expect("a log entry");
    assert_eq!(replay.key.as_str(), "massive:heatmap:replay:I:SPX");
    let entry: Value = serde_json::from_slice(&replay.value).expect("JSON");
    assert_eq!(
        entry,
        json!({"ts": ts, "version": 2, "changed": diff["changed"], "removed": ["a"]})
    );
}

#[test]
fn an_uncertain_reader_is_brought_to_the_same_state() {
    let now = artifact("SPX", "heatmap", 9, &heatmap(&json!({"b": {"d": 3}})));
    let ghosts = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
    let held = Held { ghosts: Some(&ghosts), ..Held::default() };
    let diff = payload(&documents(&now, &held).expect("renders"), "massive:heatmap:diff:I:SPX");
    assert_eq!((&diff["changed"], &diff["removed"]), (&json!({"b": {"d": 3}}), &json!(["a"])));
}

#[test]
fn ts_changes_whenever_the_version_does() {
    let body = json!({"symbol": "I:SPX", "value": 1.0, "at": "", "source": "index"});
    let mut last = None;
    let mut seen = BTreeSet::new();
    for version in 1..=50 {
        let held = Held { last, ..Held::default() };
        let artifact = artifact("SPX", "spot", version, &body);
        let rendering = documents(&artifact, &held).expect("renders");
        let ts = value(&rendering, "massive:model:spot:I:SPX")["ts"].to_string();
        assert!(seen.insert(ts.clone()), "{ts} twice");
        last = Some((version, rendering.stamp_us));
        let again = documents(&artifact, &Held { last, ..Held::default() }).expect("renders");
        assert_eq!(again.stamp_us, rendering.stamp_us, "the same version keeps its stamp");
    }
}

#[test]
fn every_family_has_its_whole_artifact_and_says_where() {
    let artifact = artifact("BTC", "levels", 2, &json!({"x": 1.5}));
    let rendering = documents(&artifact, &Held::default()).expect("renders");
    let document = value(&rendering, "orrery:{BTC}:artifact:levels");
    assert_eq!(document["body"], json!({"x": 1.5}));
    assert_eq!(document["header"]["version"], 2);
    assert_eq!(document["header"]["created_at"], "2026-02-06T14:30:00.000000000Z");
    let event = payload(&rendering, "orrery:{BTC}:events");
    let expected = json!({"symbol": "BTC", "family": "levels", "version": 2, "seq": 20,
        "keys": [["market", "orrery:{BTC}:artifact:levels"]]});
    assert_eq!(event, expected);
}

#[test]
fn views_carry_ts_ahead_of_their_own_fields_and_spx_alone_the_bare_names() {
    let body = json!({"symbol": "I:SPX", "lfi_score": 50.3, "spot": null, "quality": {"absent": ["no_spot"]},
        "version": "the body's"});
    let rendering =
        documents(&artifact("SPX", "bias_lfi", 4, &body), &Held::default()).expect("renders");
    let document = value(&rendering, "massive:bias_lfi:model:latest");
    assert_eq!(document, value(&rendering, "massive:bias_lfi:model:I:SPX:latest"));
    assert_eq!(
        (&document["ts"], &document["ts_iso"]),
        (&json!(1_770_388_200.0), &json!("2026-02-06T14:30:00+00:00"))
    );
    assert_eq!((&document["lfi_score"], &document["spot"]), (&json!(50.3), &Value::Null));
    assert_eq!((&document["version"], &document["journal_seq"]), (&json!(4), &json!(40)));
    let keys = |symbol, family| {
        let artifact = artifact(symbol, family, 1, &json!({"symbol": symbol}));
        let rendering = documents(&artifact, &Held::default()).expect("renders");
        replaced(&rendering)
    };
    let own = |symbol, family| format!("orrery:{{{symbol}}}:artifact:{family}");
    assert_eq!(
        keys("NDX", "bias_lfi"),
        ["massive:bias_lfi:model:I:NDX:latest".into(), own("NDX", "bias_lfi")]
    );
    assert_eq!(
        keys("SPX", "market_mode"),
        ["massive:market_mode:model:latest".into(), own("SPX", "market_mode")]
    );
    assert_eq!(keys("NDX", "market_mode"), [own("NDX", "market_mode")]);
    assert_eq!(
        keys("SPX", "vix_regime"),
        ["massive:vix_regime:model:latest".into(), own("SPX", "vix_regime")]
    );
    assert_eq!(keys("NDX", "vix_regime"), [own("NDX", "vix_regime")]);
    assert_eq!(
        keys("NDX", "selector"),
        ["massive:selector:model:I:NDX:latest".into(), own("NDX", "selector")]
    );
    assert_eq!(keys("SPX", "selector_marketswarm"), [own("SPX", "selector_marketswarm")]);
}

fn epoch() -> Value {
    json!({"symbol": "I:SPX", "born_at": "2026-02-06T14:29:00.000000000Z",
        "promoted_at": "2026-02-06T14:30:00.000000000Z", "strikes": 3, "strike_min": 6500.0,
        "strike_max": 6510.0, "expiries": ["2026-02-06", "2026-02-09"],
        "quality": {"dormancies": 2}})
}

#[test]
fn the_epoch_of_spx_stands_under_its_bare_name_and_in_the_records_of_inspection() {
    let rendering = rendered(&[KeySet::Marketswarm], "epoch", &epoch());
    let id = Address::of(b"epoch").to_string();
    assert_eq!(value(&rendering, "massive:epoch:active"), Value::String(id.clone()));
    assert_eq!(value(&rendering, "epoch:I:SPX:dormant_count"), json!(2));
    let timeline = value(&rendering, "epoch:timeline:I:SPX");
    assert_eq!(timeline, format!("1770388200|{id}|forced=0|dormant=0"));
    let expected = json!({"epoch_id": id, "symbol": "I:SPX", "hash": id,
        "created_ts": "2026-02-06T14:29:00.000000000Z", "strike_count": "3", "dte_count": "2",
        "strike_range": "6500-6510", "forced_dirty": "0", "dormant_count": "2"});
    assert_eq!(value(&rendering, &format!("epoch:meta:{id}")), expected);
    let of_symbols = rendering.puts.iter().find(|p| p.key.as_str() == "epoch:active");
    let of_symbols = of_symbols.expect("a field of the record");
    let newest = Write::Newest { field: "I:SPX".into(), keys: "epoch:meta:".into() };
    assert_eq!((&*of_symbols.value, &of_symbols.write), (id.as_bytes(), &newest));
    let ours = rendered(&[KeySet::Orrery], "epoch", &epoch());
    assert_eq!(replaced(&ours), ["orrery:{SPX}:artifact:epoch"]);
}

#[test]
fn sister_systems_have_their_candles() {
    let candle = |t: i64, v: Value| json!({"t": t, "o": 1.0, "h": 4.5, "l": 0.5, "c": 2.0, "v": v});
    let frame =
        |name: &str, candles: Value| json!({"timeframe": name, "seconds": 60, "candles": candles});
    let body = json!({"symbol": "I:SPX", "timeframes": [
        frame("1M", json!([candle(1_770_388_140, json!(7.0)), candle(1_770_388_200, Value::Null)])),
        frame("5M", json!([candle(1_770_388_200, json!(7.0))])),
        frame("15M", json!([])), frame("1H", json!([])), frame("4H", json!([])),
    ]});
    let cache = rendered(&[KeySet::Candles], "candles", &body);
    let now = json!({"asset": "SPX", "timestamp": 1_770_388_200, "open": 1.0, "high": 4.5,
        "low": 0.5, "close": 2.0, "volume": 0.0, "date": "2026-02-06T14:30:00+00:00"});
    let minutes = value(&cache, "historical:SPX:1M");
    assert_eq!((&minutes[0]["volume"], &minutes[1]), (&json!(7.0), &now));
    assert_eq!(value(&cache, "historical:SPX:4H"), json!([]));
    assert_eq!(value(&cache, "ticks:SPX"), now);
    assert_eq!(payload(&cache, "updates:SPX"), now);
    let alerts = rendered(&[KeySet::Alerts], "candles", &body);
    assert_eq!(replaced(&alerts), ["ohlc:SPX:5m", "ohlc:SPX:1h"]);
    let latest = value(&alerts, "ohlc_latest:SPX");
    assert_eq!((&latest["high"], &latest["timestamp"]), (&json!("4.5"), &json!("1770388200")));
    assert_eq!(value(&alerts, "ohlc_updates:SPX")["volume"], 7.0);
    let original = rendered(&[KeySet::Marketswarm], "candles", &body);
    assert!(original.puts.is_empty() && original.publishes.is_empty());
}

#[test]
fn the_epoch_design_has_two_names() {
    let map = rendered(&[KeySet::Plane], "heatmap", &heatmap(&json!({"a": {"d": 1}})));
    assert_eq!(replaced(&map), ["mmaker:heatmap:model"]);
    assert_eq!(value(&map, "mmaker:heatmap:model")["tiles"], json!({"a": {"d": 1}}));
    let body = json!({"symbol": "I:SPX", "expirations": {"2026-02-06": {"calls": {"6540": 1.25}}}});
    let gex = value(&rendered(&[KeySet::Plane], "gex", &body), "mmaker:gex:model");
    let sides = json!({"calls": {"6540": 1.25}, "puts": {}});
    assert_eq!(gex["expirations"]["2026-02-06"], sides);
}

#[test]
fn what_does_not_fit_or_does_not_read_is_refused_as_a_whole() {
    let body = json!({"symbol": "I:SPX", "value": 1.0, "source": "x".repeat(5000)});
    let refused = documents(&artifact("SPX", "spot", 1, &body), &Held::default());
    assert!(matches!(refused, Err(RenderError::Oversized { len: 5001.., max: 4096, .. })));
    let refused = documents(&artifact("SPX", "gex", 1, &json!({"x": 1})), &Held::default());
    assert!(matches!(refused, Err(RenderError::Body { .. })));
    let refused = documents(&artifact("S X", "gex", 1, &json!({})), &Held::default());
    assert!(refused.is_err());
}
