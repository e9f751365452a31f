//! Each key set alone on real servers: nothing but its own names.

use orrery::projector::registry::{KeySet, KeySets};

use super::*;

fn candles(version: u64) -> Artifact {
    let candle = json!({"t": 1_770_388_200, "o": 1.0, "h": 4.5, "l": 0.5, "c": version, "v": null});
    let frames = ["1M", "5M", "15M", "1H", "4H"];
    let frames = frames.map(|name| json!({"timeframe": name, "seconds": 60, "candles": [candle]}));
    artifact("candles", version, &json!({"symbol": "I:SPX", "timeframes": frames}))
}

/// Every key of a server with its type, sorted.
fn keys(server: &RedisServer) -> Vec<String> {
    let mut keys: Vec<String> = server.run(&["KEYS", "*"]);
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_set_alone_writes_its_own_names_and_nothing_else() {
    let (system, market) = (RedisServer::start(), RedisServer::start());
    for (set, expected) in [
        (KeySet::Marketswarm, "massive:gex:model:I:SPX:calls"),
        (KeySet::Orrery, "orrery:{SPX}:artifact:gex"),
        (KeySet::Candles, "historical:SPX:1M"),
        (KeySet::Alerts, "ohlc_latest:SPX"),
        (KeySet::Plane, "mmaker:gex:model"),
    ] {
        for server in [&system, &market] {
            server.run::<()>(&["FLUSHALL"]);
        }
        let told = reader::hear(system.port(), "updates:SPX");
        let shelf = Arc::new(Shelf::default());
        shelf.place_all(all(1));
        shelf.place(candles(1));
        let sets = KeySets::of([set]);
        let running = Running::start_with(&shelf, &system, &market, sets);
        running.settled().await;
        shelf.place(candles(2));
        running.settled().await;
        let mut found = Vec::new();
        for (server, bus) in [(&system, Bus::System), (&market, Bus::Market)] {
            for key in keys(server) {
                let registered = RegisteredKey::parse(&key).expect("no stranger");
                let entry = registered.entry();
                assert!(sets.writes(entry), "{key} is not of {set}");
                assert!(entry.bus == bus || entry.set == KeySet::Record, "{key} on {bus:?}");
                let ttl: i64 = server.run(&["TTL", &key]);
                let most = entry.ttl_seconds.map_or(-1, i64::from);
                assert!(ttl <= most && ttl > most - 60, "{key} lives {ttl} s, not {most}");
                found.push(key);
            }
        }
        assert!(found.iter().any(|key| key == expected), "{set}: {found:?}");
        if set == KeySet::Candles {
            eventually("the newest candle is told", || {
                let newest: Option<String> = system.run(&["LINDEX", "ticks:SPX", "0"]);
                newest.is_some_and(|text| text.contains("\"close\":2.0"))
            })
            .await;
            assert_eq!(system.run::<u64>(&["LLEN", "ticks:SPX"]), 2);
            assert_eq!(told.next().await["close"], 1.0);
            assert_eq!(told.next().await["close"], 2.0);
        } else {
            assert!(told.is_silent());
        }
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_catches_up_from_the_log_of_a_symbol() {
    let server = RedisServer::start();
    let shelf = Arc::new(Shelf::default());
    let running = Running::start(&shelf, &server, &server);
    for version in 1..=3 {
        shelf.place(spot(version));
        eventually("it is there", || {
            read(&server, "massive:model:spot:I:SPX").is_some_and(|d| d["version"] == version)
        })
        .await;
    }
    let entries: Vec<(String, (String, String))> =
        server.run(&["XRANGE", "orrery:{SPX}:stream", "-", "+"]);
    let told: Vec<Value> = entries
        .iter()
        .map(|(_, (_, payload))| serde_json::from_str(payload).expect("JSON"))
        .collect();
    let versions: Vec<u64> = told.iter().filter_map(|t| t["version"].as_u64()).collect();
    assert_eq!(versions, [1, 2, 3]);
    assert_eq!(told[0]["keys"][0], json!(["market", "massive:model:spot:I:SPX"]));
    // Asking for what comes after an entry is what catching up means.
    let after = format!("({}", entries[1].0);
    let rest: Vec<(String, (String, String))> =
        server.run(&["XRANGE", "orrery:{SPX}:stream", &after, "+"]);
    assert_eq!(rest.len(), 1);
    running.stop().await;
}
