//! The HTTP routes, as dashboards of the original system call them.

use orrery::gateway::{LIMITS, Limits};
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
        let why = if path.starts_with("/api/v1/") { &body["detail"] } else { &body["error"] };
        assert!(why.as_str().is_some_and(|e| !e.is_empty()), "{path}");
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
fn any_origin_may_read_the_api_and_ask_again_each_time() {
    let served = Served::start();
    served.place_samples(1, 6540.25);
    let ask = |path: &str| {
        let asked = served.agent().get(served.url(path)).header("Origin", "https://a.example");
        asked.call().expect("an answer")
    };
    for path in ["/api/models/spot", "/api/models/nothing-of-ours", "/sse/nothing"] {
        let response = ask(path);
        let headers = response.headers();
        assert!(!headers.contains_key("access-control-allow-credentials"), "{path}");
    }
    let response = ask("/api/models/spot");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    assert_eq!(ask("/api/models/gex/NOPE").headers()["cache-control"], "no-store");
    let metrics = ask("/metrics");
    assert!(!metrics.headers().contains_key("access-control-allow-origin"), "not for pages");
}

#[test]
fn whoever_holds_a_document_is_not_sent_it_again() {
    let served = Served::start();
    served.place_samples(1, 6540.25);
    let paths = ["/api/models/heatmap/I:SPX", "/api/v1/artifacts/SPX/gex", "/api/v1/symbols"];
    for (path, version) in paths.into_iter().zip(2..) {
        let ask = |held: &str| {
            let agent = served.agent();
            let asked = agent.get(served.url(path)).header("If-None-Match", held);
            asked.call().expect("an answer")
        };
        let first = ask("\"other\"");
        assert_eq!(first.status(), 200, "{path}");
        let tag = first.headers()["etag"].to_str().expect("text").to_owned();
        assert!(tag.starts_with("W/\""), "`ts` differs each time: {tag}");
        for held in [&*tag, "*", &format!("\"x\", {tag}")] {
            let mut again = ask(held);
            assert_eq!(again.status(), 304, "{path} {held}");
            assert_eq!(again.headers()["etag"].to_str().expect("text"), tag);
            assert_eq!(again.body_mut().read_to_string().expect("text"), "");
        }
        served.place_samples(version, 6541.25);
        let changed = ask(&tag);
        if path != "/api/v1/symbols" {
            assert_eq!(changed.status(), 200, "{path}: there is a new version");
        }
    }
}

#[test]
fn answers_are_packed_for_whoever_can_unpack_them() {
    let served = Served::start();
    served.place_samples(1, 6540.25);
    let ask = |path: &str, accepts: &str| {
        let mut socket = std::net::TcpStream::connect(served.address).expect("a connection");
        std::io::Write::write_all(
            &mut socket,
            format!(
                "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: {accepts}\r\n\
                Connection: close\r\n\r\n"
            )
            .as_bytes(),
        )
        .expect("asked");
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut socket, &mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let packed = ask("/api/models/heatmap/I:SPX", "gzip");
    assert!(packed.contains("content-encoding: gzip"), "{packed}");
    assert!(packed.contains("vary: accept-encoding"), "{packed}");
    assert!(!packed.contains("single:0:0:6540"), "{packed}");
    let plain = ask("/api/models/heatmap/I:SPX", "identity");
    assert!(!plain.contains("content-encoding") && plain.contains("single:0:0:6540"), "{plain}");
}

#[test]
fn strikes_and_structures_answer_as_clients_know_them() {
    let served = Served::start();
    let empty = json!({"volume_nodes": [], "volume_wells": [], "crevasses": []});
    let (status, none) = served.get("/api/dealer-gravity/structures");
    assert_eq!((status, &none["data"]), (200, &empty));
    assert_eq!(served.get("/api/options/strikes/I:SPX").0, 404);
    served.place_samples(1, 6540.25);
    let (_, found) = served.get("/api/dealer-gravity/structures");
    assert_eq!(found["data"]["volume_nodes"][0], 6540.0, "{found}");
    for symbol in ["I:SPX", "spx"] {
        let (status, strikes) = served.get(&format!("/api/options/strikes/{symbol}"));
        assert_eq!(status, 200, "{strikes}");
        assert_eq!(strikes["strikes"], json!([6540]));
        assert_eq!((&strikes["success"], strikes["ts"].is_i64()), (&json!(true), true));
        assert_eq!(strikes["symbol"], symbol.to_uppercase());
    }
}

/// A levels artifact with one level.
fn some_levels(version: u64, wall: f64) -> orrery_replay::artifact::Artifact {
    let level = json!({"kind": "call_wall", "price": wall, "strength": 0.75, "distance": -0.01});
    let body = json!({"symbol": "I:SPX", "spot": 6500.0, "levels": [level], "quality": {}});
    artifact("SPX", "levels", version, &body)
}

#[test]
fn levels_are_one_flat_document_now_and_at_any_moment() {
    let served = Served::start();
    for version in 1..=3 {
        served.backend.publish(some_levels(version, 6500.0 + 10.0 * version as f64));
    }
    let (status, now) = served.get("/api/v1/levels/SPX");
    assert_eq!(status, 200, "{now}");
    let data = &now["data"];
    assert_eq!((&data["version"], &data["levels"][0]["price"]), (&json!(3), &json!(6530.0)));
    assert_eq!((&data["as_of"]["seq"], &data["profile"]), (&json!(30), &json!("sample@1")));
    assert!(data["units"]["price"].is_string() && data["content"].is_string(), "{data}");
    assert_eq!(served.get("/api/v1/levels/i:spx").1["data"], *data);
    for (at, version) in [
        ("v1", 1),
        ("v2", 2),
        ("seq:25", 2),
        ("2026-08-19T14:30:15Z", 1),
        ("2026-08-19T14:30:30Z", 3),
    ] {
        let (status, then) = served.get(&format!("/api/v1/levels/SPX?at={at}"));
        assert_eq!((status, &then["data"]["version"]), (200, &json!(version)), "{at}: {then}");
        let (_, whole) = served.get(&format!("/api/v1/artifacts/SPX/levels?at={at}"));
        assert_eq!(whole["data"]["header"]["version"], version, "{at}: {whole}");
        assert_eq!(whole["data"]["header"]["content"], then["data"]["content"]);
    }
    for (path, status) in [
        ("/api/v1/levels/SPX?at=yesterday", 400),
        ("/api/v1/levels/SPX?at=v99", 404),
        ("/api/v1/levels/NOPE", 404),
        ("/api/v1/levels/NOPE?at=v1", 404),
        ("/api/v1/levels/A%20B", 404),
    ] {
        let (got, problem) = served.get(path);
        assert_eq!((got, &problem["status"]), (status, &json!(status)), "{path}: {problem}");
    }
}

#[test]
fn our_own_routes_refuse_with_problems_and_the_others_with_envelopes() {
    let served = Served::start();
    let agent = served.agent();
    for (path, status) in [
        ("/api/v1/artifacts/SPX/nope", 404),
        ("/api/v1/artifacts/SPX/No!", 404),
        ("/api/v1/artifacts/SPX/gex?at=soon", 400),
        ("/api/v1/nothing", 404),
        ("/api/v1/annotations", 405),
        ("/api/v1/artifacts/%ff/gex", 400),
    ] {
        let mut response = agent.get(served.url(path)).call().expect("an answer");
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        assert_eq!(response.headers().contains_key("allow"), status == 405, "{path}");
        let text = response.body_mut().read_to_string().expect("text");
        let problem: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(problem["status"], status, "{path}");
        assert_eq!(problem["instance"], path.split('?').next().expect("a path"));
        assert!(problem["detail"].as_str().is_some_and(|d| d.len() > 5), "{problem}");
    }
    let (status, envelope) = served.get("/api/models/gex/%ff");
    assert_eq!((status, &envelope["success"]), (400, &json!(false)), "{envelope}");
}

fn post(served: &Served, kind: &str, body: &[u8]) -> (u16, Value) {
    let agent = served.agent();
    let asked = agent.post(served.url("/api/v1/annotations")).header("Content-Type", kind);
    let mut response = asked.send(body).expect("an answer");
    let text = response.body_mut().read_to_string().expect("text");
    let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    (response.status().as_u16(), json)
}

#[test]
fn annotations_come_in_with_their_author_and_bad_ones_are_told_what_is_wrong() {
    let served = Served::start();
    let good = br#"{"symbol":"I:SPX","author":"ann","model":"m-1","provenance":{"image":"b3:1"},
        "lines":[6510.25],"via":"forged"}"#;
    let (status, said) = post(&served, "application/json; charset=utf-8", good);
    assert_eq!((status, &said["success"]), (201, &json!(true)), "{said}");
    assert_eq!(said["data"], json!({"seq": 1001, "symbol": "SPX"}));
    {
        let annotated = served.backend.brought.lock().expect("not poisoned");
        let kept: Value = serde_json::from_slice(&annotated[0].json).expect("JSON");
        assert_eq!(annotated[0].symbol, "SPX");
        assert_eq!((&kept["author"], &kept["model"]), (&json!("ann"), &json!("m-1")));
        assert_eq!(kept["provenance"]["image"], "b3:1");
        assert_eq!(kept["lines"], json!([6510.25]));
        assert_eq!(kept["via"], json!({"api": "http", "client": "127.0.0.1"}), "ours, not theirs");
    }
    let json_kind = "application/json";
    let (status, bad) = post(&served, json_kind, b"{\"symbol\":\"SPX\",\n \"author\": oops}");
    assert_eq!((status, &bad["line"], &bad["column"]), (400, &json!(2), &json!(12)), "{bad}");
    let huge = format!("{{\"symbol\":\"SPX\",\"note\":\"{}\"}}", "x".repeat(10 << 20));
    for (kind, body, status) in [
        (json_kind, &b"[]"[..], 400),
        (json_kind, b"{}", 400),
        (json_kind, b"{\"symbol\":7}", 400),
        (json_kind, b"{\"symbol\":\"A B\"}", 404),
        (json_kind, b"{\"symbol\":\"NOPE\",\"author\":\"a\"}", 404),
        ("text/plain", good, 415),
        (json_kind, huge.as_bytes(), 413),
    ] {
        let (got, problem) = post(&served, kind, body);
        assert_eq!((got, &problem["status"]), (status, &json!(status)), "{problem}");
    }
    assert_eq!(served.backend.brought.lock().expect("not poisoned").len(), 1);
}

#[test]
fn one_client_cannot_fill_the_journal() {
    let served = Served::with(Limits { annotations_per_minute: 3, ..LIMITS });
    let good = br#"{"symbol":"SPX","author":"ann","lines":[6510]}"#;
    let statuses: Vec<u16> = (0..4).map(|_| post(&served, "application/json", good).0).collect();
    assert_eq!(statuses, [201, 201, 201, 429]);
    let (_, metrics) = served.text("/metrics");
    assert!(metrics.contains("orrery_gateway_rated_total 1\n"), "{metrics}");
    assert!(metrics.contains("orrery_gateway_annotations_total 3\n"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
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
