//! The HTTP routes, as dashboards of the original system call them.

use serde_json::{Value, json};

use crate::served::{Served, artifact};

#[test]
fn envelopes_are_those_that_clients_know() {
    let served = Served::start();
    let (status, none) = served.get("/api/dealer-gravity/artifact");
    assert_eq!(status, 503);
    assert_eq!(none, json!({"success": false, "error": "Volume profile data not available"}));

    served.place_samples(1, 6540.25);
    let (status, gravity) = served.get("/api/dealer-gravity/artifact");
    assert_eq!(status, 200, "{gravity}");
    assert_eq!(gravity["success"], true);
    assert!(gravity["ts"].is_i64());
    assert_eq!(gravity["data"]["meta"]["artifact_version"], "v1");
    assert_eq!(gravity["data"]["profile"]["bins"], json!([100, 1000, 0, 300]));

    let (status, context) = served.get("/api/dealer-gravity/context");
    assert_eq!(status, 200, "{context}");
    assert_eq!(context["data"]["gamma_alignment"], "positive");

    let (status, spot) = served.get("/api/models/spot");
    assert_eq!(status, 200);
    assert_eq!(spot["data"]["I:SPX"]["value"], 6540.25);

    let (status, gex) = served.get("/api/models/gex/i:spx");
    assert_eq!(status, 200, "{gex}");
    assert_eq!(gex["data"]["symbol"], "I:SPX");
    assert_eq!(gex["data"]["calls"]["expirations"]["2026-08-19"]["6540"], 12.5);
    assert_eq!(gex["data"]["puts"]["expirations"]["2026-08-19"]["6540"], 7.25);

    for path in ["/api/models/heatmap/I:SPX", "/api/models/heatmap/I:SPX/butterfly"] {
        let (status, heatmap) = served.get(path);
        assert_eq!(status, 200, "{heatmap}");
        assert_eq!(heatmap["data"]["version"], 1);
        assert!(heatmap["data"]["tiles"]["single:0:0:6540"].is_object());
    }
}

#[test]
fn the_volume_profile_lists_levels_from_the_highest_price_down() {
    let served = Served::start();
    assert_eq!(served.get("/api/models/volume_profile").0, 404);
    served.place_samples(1, 6540.25);
    let (status, profile) = served.get("/api/models/volume_profile?mode=tv");
    assert_eq!(status, 200, "{profile}");
    let prices = |profile: &Value| -> Vec<f64> {
        let levels = profile["data"]["levels"].as_array().expect("levels");
        levels.iter().filter_map(|level| level["price"].as_f64()).collect()
    };
    assert_eq!(prices(&profile), [6542.0, 6540.0, 6539.0]);
    assert_eq!(profile["data"]["count"], 3);
    assert_eq!(profile["data"]["maxVolume"], 1000.0);
    assert_eq!(profile["data"]["mode"], "tv");
    let (_, cut) = served.get("/api/models/volume_profile?mode=tv&min=6540&max=6541");
    assert_eq!(prices(&cut), [6540.0]);
    assert_eq!(served.get("/api/models/volume_profile?mode=other").0, 400);
    assert_eq!(served.get("/api/models/volume_profile?min=cheap").0, 400);
    assert_eq!(served.get("/api/models/volume_profile?min=NaN").0, 400);
}

#[test]
fn what_does_not_exist_is_404_and_a_wrong_method_405_both_as_json() {
    let served = Served::start();
    served.place_samples(1, 6540.25);
    for path in [
        "/api/models/gex/I:NOPE",
        "/api/models/gex/SPX",
        "/api/models/heatmap/SPX",
        "/api/models/heatmap/A%20B",
        "/api/dealer-gravity/artifact?symbol=NOPE",
        "/api/models/nothing",
        "/nowhere",
        "/orrery.v1.EpochService",
        "/api/v1/artifacts/SPX/nope",
    ] {
        let (status, body) = served.get(path);
        assert_eq!(status, 404, "{path}: {body}");
        assert_eq!(body["success"], false, "{path}");
        assert!(body["error"].as_str().is_some_and(|e| !e.is_empty()), "{path}");
    }
    for path in ["/api/models/spot", "/api/health", "/sse/all", "/healthz", "/"] {
        let response = served.agent().post(served.url(path)).send("{}").expect("an answer");
        assert_eq!(response.status(), 405, "{path}");
        assert!(response.headers().contains_key("allow"), "{path}");
    }
}

#[test]
fn symbols_and_whole_artifacts_are_listed_for_the_page() {
    let served = Served::start();
    served.place_samples(3, 6540.25);
    let (status, symbols) = served.get("/api/v1/symbols");
    assert_eq!(status, 200);
    assert_eq!(symbols["data"][0]["symbol"], "SPX");
    assert_eq!(symbols["data"][0]["vendor_symbol"], "I:SPX");
    let families = symbols["data"][0]["families"].as_array().expect("families");
    assert!(families.contains(&json!("heatmap")) && families.contains(&json!("gravity")));
    let (status, whole) = served.get("/api/v1/artifacts/SPX/gex");
    assert_eq!(status, 200, "{whole}");
    assert_eq!(whole["data"]["header"]["version"], 3);
    assert_eq!(whole["data"]["header"]["profile"], "gex/naive-oi@1");
    assert_eq!(whole["data"]["body"]["levels"]["call_wall"], 6540.0);
}

#[test]
fn another_symbols_profile_comes_from_its_artifact() {
    let served = Served::start();
    let body = json!({
        "symbol": "GOOG", "profile": {"min": 700.0, "step": 1.0, "bins": [10, 0, 1000]},
        "raw_bins": [0, 1000, 5], "structures": {"volume_nodes": [702.0], "volume_wells": [],
        "crevasses": [], "market_memory_strength": 0.5}, "structural_lines": [],
        "meta": {"spot": 701.0, "algorithm": "tv_microbins_30", "normalized_scale": 1000,
        "proxy": null}, "quality": {},
    });
    served.shelf.place(artifact("GOOG", "gravity", 1, &body));
    let (status, profile) = served.get("/api/models/volume_profile?symbol=GOOG&mode=raw");
    assert_eq!(status, 200, "{profile}");
    assert_eq!(profile["data"]["levels"][0], json!({"price": 702.0, "volume": 5.0}));
    assert_eq!(profile["data"]["structures"]["volume_nodes"], json!([702.0]));
    assert_eq!(served.get("/api/models/volume_profile?symbol=NOPE").0, 404);
    // By name: the main one, one that runs beside it, one that does not.
    let mut beside = body.clone();
    beside["raw_bins"] = json!([7]);
    let mut session = artifact("GOOG", "gravity_session", 1, &beside);
    session.header.profile = "gravity/session@1".into();
    served.shelf.place(session);
    let asked = |name: &str| {
        let (status, profile) =
            served.get(&format!("/api/models/volume_profile?symbol=GOOG&profile={name}"));
        (status, profile["data"]["maxVolume"].clone())
    };
    assert_eq!(asked("gravity/tv-microbins-30@1"), (200, json!(1000.0)));
    assert_eq!(asked("session"), (200, json!(7.0)));
    assert_eq!(asked("twenty-days").0, 404);
    assert_eq!(asked("best").0, 404);
    assert_eq!(asked("no/name").0, 400);
}

#[test]
fn health_readiness_metrics_and_the_page() {
    let served = Served::start();
    let (status, health) = served.get("/api/health");
    assert_eq!((status, &health["status"]), (200, &json!("healthy")));
    assert_eq!(health["clients"]["all"], 0);
    assert_eq!(served.text("/healthz"), (200, "ok\n".into()));
    assert_eq!(served.text("/readyz"), (200, "ready\n".into()));
    served.set_ready(Err("catching up: 5 events behind".into()));
    assert_eq!(served.text("/readyz"), (503, "catching up: 5 events behind\n".into()));
    assert_eq!(served.text("/healthz").0, 200, "alive although not ready");
    let (status, metrics) = served.text("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let (status, page) = served.text("/");
    assert_eq!(status, 200);
    assert!(page.contains("<canvas"), "the page draws");
    for (path, part) in [("/app.js", "/sse/all"), ("/style.css", "body")] {
        let (status, text) = served.text(path);
        assert!(status == 200 && text.contains(part), "{path}");
    }
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "the page loads nothing from elsewhere"
    );
}

#[test]
fn any_origin_may_read_the_api_and_keep_nothing() {
    let served = Served::start();
    served.place_samples(1, 6540.25);
    let response = served.agent().get(served.url("/api/models/spot")).call().expect("an answer");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert!(!response.headers().contains_key("access-control-allow-credentials"));
}

#[test]
fn bias_mode_and_selector_answer_as_clients_know_them() {
    let served = Served::start();
    let paths = [
        ("bias_lfi", "/api/models/bias_lfi"),
        ("market_mode", "/api/models/market_mode"),
        ("vix_regime", "/api/models/vix_regime"),
        ("selector", "/api/models/trade_selector/i:spx"),
    ];
    for (family, path) in paths {
        let (status, none) = served.get(path);
        assert_eq!((status, &none["success"]), (404, &json!(false)), "{path}");
        let body = json!({"symbol": "I:SPX", "spot": 6540.0, "score": 1.5, "ts": "not the body's"});
        served.shelf.place(artifact("SPX", family, 3, &body));
        let (status, answer) = served.get(path);
        assert_eq!(status, 200, "{answer}");
        let document = &answer["data"];
        assert_eq!((&document["symbol"], &document["version"]), (&json!("I:SPX"), &json!(3)));
        assert!(document["ts"].is_f64() && document["ts_iso"].is_string(), "{document}");
        let (status, whole) = served.get(&format!("/api/v1/artifacts/SPX/{family}"));
        assert_eq!((status, &whole["data"]["body"]), (200, &body));
    }
    assert_eq!(served.get("/api/models/trade_selector/SPX").0, 404, "SPX is not I:SPX");
    assert_eq!(served.get("/api/models/bias_lfi?symbol=A%20B").0, 404);
}

/// A candles artifact with one candle of each timeframe.
fn some_candles(version: u64, close: f64) -> orrery_replay::artifact::Artifact {
    let frame = |name: &str, seconds: u32| {
        let candle = json!({"t": 1_787_149_800, "o": 6540.0, "h": 6550.0, "l": 6530.0, "c": close, "v": null});
        json!({"timeframe": name, "seconds": seconds, "candles": [candle]})
    };
    let frames = [("1M", 60), ("5M", 300), ("15M", 900), ("1H", 3_600), ("4H", 14_400)];
    let frames: Vec<Value> = frames.into_iter().map(|(name, s)| frame(name, s)).collect();
    let body =
        json!({"symbol": "I:SPX", "timeframes": frames, "quality": {"late": 0, "age_ms": 0}});
    artifact("SPX", "candles", version, &body)
}

#[test]
fn candles_answer_and_stream_as_charts_read_them() {
    let served = Served::start();
    assert_eq!(served.get("/api/models/candles/I:SPX").0, 404);
    served.shelf.place(some_candles(1, 6545.0));
    let (status, answer) = served.get("/api/models/candles/i:spx?days=2");
    assert_eq!(status, 200, "{answer}");
    let data = &answer["data"];
    assert_eq!(
        (&data["symbol"], &data["days"], &data["spot"]),
        (&json!("I:SPX"), &json!(2), &json!(6545.0))
    );
    for name in ["candles_5m", "candles_10m", "candles_15m", "candles_1h"] {
        let one = json!([{"t": 1_787_149_800, "o": 6540.0, "h": 6550.0, "l": 6530.0, "c": 6545.0}]);
        let mut got = data[name].clone();
        got[0]["t"] = json!(1_787_149_800); // Ten minutes begin where they begin.
        assert_eq!(got, one, "{name}");
    }
    assert_eq!(served.get("/api/models/candles/I:SPX?days=soon").0, 400);
    assert_eq!(served.get("/api/models/candles/SPX").0, 404, "SPX is not I:SPX");
    let mut body =
        served.agent().get(served.url("/sse/candles/I:SPX")).call().expect("a stream").into_body();
    let mut reader = std::io::BufReader::new(body.as_reader());
    let mut next = || {
        let mut line = String::new();
        loop {
            line.clear();
            std::io::BufRead::read_line(&mut reader, &mut line).expect("the stream goes on");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str::<Value>(data).expect("JSON");
            }
        }
    };
    assert_eq!(next()["candles_1h"][0]["c"], 6545.0);
    assert_eq!(next()["channel"], "candles");
    served.shelf.place(some_candles(2, 6547.0));
    assert_eq!(next()["candles_15m"][0]["c"], 6547.0);
}
