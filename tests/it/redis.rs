//! Delivery to real Redis servers: what clients of the original system find,
//! and what they never see, whatever fails.

mod chaos;
mod cluster;
mod epochs;
mod faults;
pub mod reader;
mod sentinel;
mod sets;
mod told;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use bytes::Bytes;
use orrery::projector::documents::Documents;
use orrery::projector::publisher::{Publisher, PublisherConfig};
use orrery::projector::registry::{Bus, KeySets, Kind, RegisteredKey};
use orrery::projector::stats::ProjectorStats;
use orrery::shelf::Shelf;
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_replay::artifact::{Artifact, Header};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::redis::RedisServer;

const ARTIFACT: &str = "dealer_gravity:artifact:spx";
const HEATMAP: &str = "massive:heatmap:model:I:SPX:latest";

/// A publisher that runs until it is dropped.
struct Running {
    stats: Arc<ProjectorStats>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(shelf: &Arc<Shelf>, system: &RedisServer, market: &RedisServer) -> Running {
        Running::start_as(shelf, system, market, "journal-a", false)
    }

    fn start_as(
        shelf: &Arc<Shelf>,
        system: &RedisServer,
        market: &RedisServer,
        lineage: &str,
        takeover: bool,
    ) -> Running {
        let (system, market) = (system.url(), market.url());
        let lineage = lineage.into();
        let (prefix, sets) = (None, KeySets::default());
        Running::with(shelf, PublisherConfig { system, market, lineage, takeover, prefix, sets })
    }

    fn start_with(
        shelf: &Arc<Shelf>,
        system: &RedisServer,
        market: &RedisServer,
        sets: KeySets,
    ) -> Running {
        let (system, market) = (system.url(), market.url());
        let (lineage, takeover, prefix) = ("journal-a".into(), false, None);
        Running::with(shelf, PublisherConfig { system, market, lineage, takeover, prefix, sets })
    }

    fn with(shelf: &Arc<Shelf>, config: PublisherConfig) -> Running {
        Running::of(Publisher::new(shelf.clone(), config).expect("usable addresses"))
    }

    fn of(publisher: Publisher) -> Running {
        let (stats, stop) = (publisher.stats(), CancellationToken::new());
        let task = tokio::spawn(publisher.run(stop.clone()));
        Running { stats, stop, task }
    }

    /// Waits until everything is delivered.
    async fn settled(&self) {
        eventually("everything is delivered", || {
            self.stats.waiting.get() == 0 && self.stats.published.get() > 0
        })
        .await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the publisher ends");
    }
}

/// Waits for something for at most ten seconds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn artifact(family: &str, version: u64, body: &Value) -> Artifact {
    let body = Bytes::from(body.to_string());
    let header = Header {
        symbol: "SPX".into(),
        family: family.into(),
        version,
        epoch: Some(Address::of(b"epoch")),
        profile: "test/one@1".into(),
        configuration: Address::default(),
        seq_first: Seq(1),
        seq_last: Seq(version),
        created_at: RecvTime(1_770_388_200_000_000_000 + version as i64 * 250_000_000),
        content: Address::of(&body),
        body_len: body.len() as u64,
        previous: Address::default(),
    };
    Artifact { header, body }
}

fn gravity(version: u64) -> Artifact {
    let body = json!({
        "symbol": "SPX",
        "profile": {"min": 6500.0, "step": 1.0, "bins": [version % 1000, 1000]},
        "raw_bins": [1000, version % 1000],
        "structures": {"volume_nodes": [6501.0], "volume_wells": [[6500.0, 6500.0]],
            "crevasses": [], "market_memory_strength": 0.74},
        "structural_lines": [],
        "meta": {"spot": 6501.5, "algorithm": "tv_microbins_30", "normalized_scale": 1000,
            "proxy": {"symbol": "SPY", "multiplier": 10.0}},
        "quality": {"n": version},
    });
    artifact("gravity", version, &body)
}

fn context(version: u64) -> Artifact {
    let body = json!({"symbol": "SPX", "spot": 6500.0 + version as f64, "nearest_volume_node": 6501.0,
        "nearest_volume_node_dist": -0.000231, "volume_well_proximity": 7.7e-05,
        "in_crevasse": false, "market_memory_strength": 0.74, "gamma_alignment": null});
    artifact("context", version, &body)
}

fn spot(version: u64) -> Artifact {
    let value = 6500.0 + version as f64;
    artifact(
        "spot",
        version,
        &json!({"symbol": "I:SPX", "value": value, "at": "", "source": "index"}),
    )
}

fn gex(version: u64) -> Artifact {
    let expirations = json!({"2026-02-06": {"calls": {"6540": version as f64}, "puts": {}}});
    artifact(
        "gex",
        version,
        &json!({"symbol": "I:SPX", "spot": 6540.0, "expirations": expirations}),
    )
}

/// Tiles that come, change and go.
fn heatmap(version: u64) -> Artifact {
    let tiles: serde_json::Map<String, Value> = (version..version + 20)
        .map(|n| (format!("single:0:0:{}", n % 50), json!({"mid": (version / 3 + n) as f64 / 4.0})))
        .collect();
    let body = json!({"symbol": "I:SPX", "dtes_available": [0], "dte_tile_counts": {"0": 20},
        "tiles": tiles, "quality": {}});
    artifact("heatmap", version, &body)
}

fn epoch(version: u64) -> Artifact {
    artifact("epoch", version, &epoch_body())
}

fn epoch_body() -> Value {
    json!({"symbol": "I:SPX", "born_at": "2026-02-06T14:29:00.000000000Z",
        "promoted_at": "2026-02-06T14:30:00.000000000Z", "strikes": 3, "strike_min": 6500.0,
        "strike_max": 6510.0, "expiries": ["2026-02-06"], "quality": {"dormancies": 1}})
}

fn all(version: u64) -> [Artifact; 6] {
    [
        gravity(version),
        context(version),
        spot(version),
        gex(version),
        heatmap(version),
        epoch(version),
    ]
}

fn read(server: &RedisServer, key: &str) -> Option<Value> {
    let text: Option<String> = server.run(&["GET", key]);
    text.map(|text| serde_json::from_str(&text).expect("JSON"))
}

fn gravity_version(server: &RedisServer) -> Option<String> {
    let version = read(server, ARTIFACT)?["meta"]["artifact_version"].clone();
    version.as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_types_lifetimes_and_event_are_as_the_contract_says() {
    let (system, market) = (RedisServer::start(), RedisServer::start());
    let heard = reader::hear(market.port(), "dealer_gravity_updated");
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(all(1));
    let running = Running::start(&shelf, &system, &market);
    running.settled().await;

    for (server, key, kind, ttl) in [
        (&system, ARTIFACT, "string", -1),
        (&system, "dealer_gravity:context:spx", "string", -1),
        (&system, "massive:volume_profile", "string", -1),
        (&market, "massive:model:spot:I:SPX", "string", -1),
        (&market, "massive:model:spot:I:SPX:trail", "zset", 691_200),
        (&market, "massive:gex:model:I:SPX:calls", "string", 86_400),
        (&market, "massive:gex:model:I:SPX:puts", "string", 86_400),
        (&market, HEATMAP, "string", 259_200),
        (&market, "massive:heatmap:replay:I:SPX", "stream", 86_400),
        (&market, "massive:epoch:active", "string", -1),
        (&market, "epoch:active", "hash", -1),
        (&market, "epoch:timeline:I:SPX", "list", -1),
        (&market, "epoch:I:SPX:dormant_count", "string", 23_400),
        (&market, "orrery:{SPX}:stream", "stream", 86_400),
        (&market, "orrery:{SPX}:artifact:gex", "string", 86_400),
    ] {
        assert_eq!(server.run::<String>(&["TYPE", key]), kind, "{key}");
        let left: i64 = server.run(&["TTL", key]);
        assert!(left <= ttl && left > ttl - 60, "{key} lives {left} s, not {ttl}");
    }
    for (server, bus) in [(&system, Bus::System), (&market, Bus::Market)] {
        for key in server.run::<Vec<String>>(&["KEYS", "*"]) {
            let entry = RegisteredKey::parse(&key).unwrap_or_else(|| panic!("{key} is a stranger"));
            let entry = entry.entry();
            assert!(entry.bus == bus || entry.kind == Kind::Hash, "{key} is on the wrong bus");
        }
    }
    let event = heard.next().await;
    assert_eq!(event["type"], "dealer_gravity_artifact_updated");
    assert_eq!((&event["symbol"], &event["artifact_version"]), (&json!("SPX"), &json!("v1")));
    assert_eq!(event["occurred_at"], "2026-02-06T14:30:00.250000+00:00");
    let context = read(&system, "dealer_gravity:context:spx").expect("a context");
    assert_eq!(context["artifact_version"], "v1");
    let trail: Vec<(String, f64)> =
        market.run(&["ZRANGE", "massive:model:spot:I:SPX:trail", "0", "-1", "WITHSCORES"]);
    assert_eq!(trail.len(), 1);
    assert_eq!(trail[0].1, 1_770_388_200.0);
    assert_eq!(
        serde_json::from_str::<Value>(&trail[0].0).ok(),
        read(&market, "massive:model:spot:I:SPX")
    );

    // A context of its own announces no gravity, and keeps the version beside it.
    shelf.place(context_at(9));
    eventually("the new context", || {
        read(&system, "dealer_gravity:context:spx").is_some_and(|c| c["spot"] == 6509.0)
    })
    .await;
    let context = read(&system, "dealer_gravity:context:spx").expect("a context");
    assert_eq!(context["artifact_version"], "v1");
    assert!(heard.is_silent());
    running.stop().await;
}

fn context_at(version: u64) -> Artifact {
    context(version)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_repeated_after_a_restart_of_the_publisher() {
    let server = RedisServer::start();
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(all(3));
    let running = Running::start(&shelf, &server, &server);
    running.settled().await;
    running.stop().await;
    let heard = reader::hear(server.port(), "dealer_gravity_updated");
    let before: u64 = server.run(&["XLEN", "massive:heatmap:replay:I:SPX"]);
    let running = Running::start(&shelf, &server, &server);
    // The spot comes through; everything before it has been looked at.
    shelf.place(spot(4));
    running.settled().await;
    assert!(heard.is_silent(), "the same version was announced twice");
    assert_eq!(server.run::<u64>(&["XLEN", "massive:heatmap:replay:I:SPX"]), before);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_never_overwrites_a_newer_one() {
    let server = RedisServer::start();
    let (ahead, behind) = (Arc::new(Shelf::default()), Arc::new(Shelf::default()));
    ahead.place_all(all(10));
    behind.place_all(all(5));
    let first = Running::start(&ahead, &server, &server);
    first.settled().await;
    let second = Running::start(&behind, &server, &server);
    eventually("the second has been refused", || second.stats.outrun.get() >= 5).await;
    for version in 6..=10 {
        behind.place_all(all(version));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(gravity_version(&server).as_deref(), Some("v10"));
        assert_eq!(read(&server, HEATMAP).expect("a heatmap")["version"], 10);
    }
    behind.place_all(all(11));
    eventually("the second is ahead", || gravity_version(&server).as_deref() == Some("v11")).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_another_journal_are_left_alone_unless_taken_over() {
    let server = RedisServer::start();
    let shelf = Arc::new(Shelf::default());
    shelf.place(gravity(10));
    let running = Running::start(&shelf, &server, &server);
    running.settled().await;
    running.stop().await;
    let other = Arc::new(Shelf::default());
    other.place(gravity(99));
    let running = Running::start_as(&other, &server, &server, "journal-b", false);
    eventually("it is refused", || running.stats.outrun.get() > 0).await;
    assert_eq!(gravity_version(&server).as_deref(), Some("v10"));
    running.stop().await;
    let new = Arc::new(Shelf::default());
    new.place(gravity(1));
    let running = Running::start_as(&new, &server, &server, "journal-b", true);
    eventually("it is taken over", || gravity_version(&server).as_deref() == Some("v1")).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_or_edited_is_repaired() {
    let server = RedisServer::start();
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(all(7));
    let running = Running::start(&shelf, &server, &server);
    running.settled().await;
    let original: String = server.run(&["GET", ARTIFACT]);

    let heard = reader::hear(server.port(), "dealer_gravity_updated");
    let started = Instant::now();
    server.run::<()>(&["FLUSHALL"]);
    eventually("all is back", || {
        server.run::<usize>(&["DBSIZE"]) >= 16 && gravity_version(&server).as_deref() == Some("v7")
    })
    .await;
    assert!(started.elapsed() < Duration::from_secs(2), "repair took {:?}", started.elapsed());
    assert_eq!(heard.next().await["artifact_version"], "v7", "who waits for events hears of it");

    server.run::<()>(&["EXPIRE", HEATMAP, "1000"]);
    eventually("what is held lives on", || server.run::<i64>(&["TTL", HEATMAP]) > 259_000).await;
    server.run::<()>(&["DEL", HEATMAP]);
    eventually("a deleted key is back", || read(&server, HEATMAP).is_some()).await;
    server.run::<()>(&["SCRIPT", "FLUSH"]);
    server.run::<()>(&["SET", ARTIFACT, "x"]);
    eventually("an edited key is right", || server.run::<String>(&["GET", ARTIFACT]) == original)
        .await;
    let other = original.replace("6501.0", "6502.0");
    assert!(other.len() == original.len() && other != original);
    server.run::<()>(&["SET", ARTIFACT, &other]);
    let begun = Instant::now();
    while server.run::<String>(&["GET", ARTIFACT]) != original {
        assert!(begun.elapsed() < Duration::from_secs(30), "an edit of the same length stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.run::<()>(&["DEL", "orrery:{SPX}:artifact:gravity:meta"]);
    server.run::<()>(&["LPUSH", "orrery:{SPX}:artifact:gravity:meta", "x"]);
    server.run::<()>(&["DEL", "massive:model:spot:I:SPX:trail"]);
    server.run::<()>(&["SET", "massive:model:spot:I:SPX:trail", "x"]);
    shelf.place(spot(8));
    eventually("keys of another type are replaced", || {
        server.run::<String>(&["TYPE", "orrery:{SPX}:artifact:gravity:meta"]) == "hash"
            && server.run::<String>(&["TYPE", "massive:model:spot:I:SPX:trail"]) == "zset"
    })
    .await;
    assert!(running.stats.repaired.get() > 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_read_and_followed_through_a_restart() {
    let mut server = RedisServer::start();
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(all(1));
    let documents = Documents::redis(&server.url(), &server.url()).expect("usable addresses");
    let mut updates = documents.updates();
    let running = Running::start(&shelf, &server, &server);
    running.settled().await;
    let key = "massive:model:spot:I:SPX";
    let document = documents.get(Bus::Market, key).await.expect("Redis answers").expect("a spot");
    let document: Value = serde_json::from_slice(&document).expect("JSON");
    assert_eq!(document["value"], 6501.0);
    assert_eq!(documents.get(Bus::Market, "none").await.expect("Redis answers"), None);
    let keys = documents.keys(Bus::Market, "massive:model:spot:").await.expect("Redis answers");
    assert_eq!(keys, [key], "no trail");

    let mut wait_for = async |channel: &str, version: &str| {
        let search = async {
            loop {
                match updates.recv().await {
                    Ok(update) if update.channel == channel => {
                        let text = String::from_utf8_lossy(&update.payload).into_owned();
                        if text.contains(version) {
                            return;
                        }
                    }
                    Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), search).await;
        assert!(found.is_ok(), "no update on {channel} with {version}");
    };
    for version in 2..=3 {
        shelf.place_all(all(version));
        let n = format!("\"version\":{version}");
        wait_for(key, &n).await;
    }
    server.restart();
    shelf.place_all(all(4));
    wait_for("dealer_gravity_updated", "\"v4\"").await;
    shelf.place_all(all(5));
    wait_for("massive:heatmap:diff:I:SPX", "\"version\":5").await;
    running.stop().await;
}
