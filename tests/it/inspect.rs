//! `orrery redis health`, `audit` and `repair` against real servers: what does
//! not belong there is found, what is ours is mended, strangers stay.

mod dashboards;
mod guide;
mod served;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use orrery::projector::inspect::audit::audit;
use orrery::projector::inspect::finding::{Finding, Problem};
use orrery::projector::inspect::health::health;
use orrery::projector::inspect::repair::{self, Orders, Remedy};
use orrery::projector::inspect::{Buses, Inspector, Ours};
use orrery::projector::publisher::Publisher;
use orrery::shelf::Shelf;
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_replay::artifact::{Artifact, Header};
use serde_json::{Value, json};

use crate::support::Orrery;
use crate::support::redis::RedisServer;

const GEX_CALLS: &str = "massive:gex:model:I:SPX:calls";
const GEX_PUTS: &str = "massive:gex:model:I:SPX:puts";
const SPOT: &str = "massive:model:spot:I:SPX";
const TRAIL: &str = "massive:model:spot:I:SPX:trail";
const GRAVITY: &str = "dealer_gravity:artifact:spx";
const CONTEXT: &str = "dealer_gravity:context:spx";

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

fn all(version: u64) -> Vec<Artifact> {
    let value = 6500.0 + version as f64;
    vec![
        artifact(
            "gravity",
            version,
            &json!({
                "symbol": "SPX",
                "profile": {"min": 6500.0, "step": 1.0, "bins": [version % 1000, 1000]},
                "raw_bins": [1000, version % 1000],
                "structures": {"volume_nodes": [6501.0], "volume_wells": [[6500.0, 6500.0]],
                    "crevasses": [], "market_memory_strength": 0.74},
                "structural_lines": [],
                "meta": {"spot": 6501.5, "algorithm": "tv_microbins_30", "normalized_scale": 1000},
            }),
        ),
        artifact(
            "context",
            version,
            &json!({"symbol": "SPX", "spot": value, "nearest_volume_node": 6501.0,
                "in_crevasse": false, "gamma_alignment": null}),
        ),
        artifact("spot", version, &json!({"symbol": "I:SPX", "value": value, "source": "index"})),
        artifact(
            "gex",
            version,
            &json!({"symbol": "I:SPX", "spot": value,
                "expirations": {"2026-02-06": {"calls": {"6540": 1.5}, "puts": {"6500": value}}}}),
        ),
        artifact(
            "heatmap",
            version,
            &json!({"symbol": "I:SPX", "dtes_available": [0], "dte_tile_counts": {"0": 1},
                "tiles": {"single:0:0:6500": {"mid": value}}, "quality": {}}),
        ),
    ]
}

/// Two servers that hold version 7 of everything.
struct Stage {
    system: RedisServer,
    market: RedisServer,
    inspector: Inspector,
}

impl Stage {
    async fn set() -> Stage {
        let (system, market) = (RedisServer::start(), RedisServer::start());
        let buses = Buses { system: system.url(), market: market.url() };
        let shelf = Arc::new(Shelf::default());
        shelf.place_all(all(7));
        let config = repair::publishing(&buses, &orders());
        let publisher = Publisher::new(Arc::clone(&shelf), config).expect("usable addresses");
        let stats = publisher.once(BTreeSet::new()).await;
        assert_eq!(stats.waiting.get(), 0, "everything was delivered");
        let lineage = orders().lineage;
        let inspector = Inspector { buses, shelf, lineage, ours: Ours::default() };
        Stage { system, market, inspector }
    }

    async fn findings(&self) -> Vec<Finding> {
        audit(&self.inspector.buses, &Ours::default()).await.expect("Redis answers").findings
    }

    async fn repair(&self, orders: &Orders) -> repair::Repaired {
        let Inspector { buses, shelf, .. } = &self.inspector;
        repair::repair(buses, shelf, orders).await.expect("Redis answers")
    }

    /// The command on these servers.
    fn command(&self, args: &[&str]) -> crate::support::Ended {
        let url = |server: &RedisServer| format!("redis://127.0.0.1:{}", server.port());
        let (system, market) = (url(&self.system), url(&self.market));
        let mut all = vec!["redis"];
        all.extend(args);
        all.extend(["--redis", &system, "--redis-market", &market]);
        Orrery::new().run(&all)
    }
}

fn orders() -> Orders {
    Orders { lineage: "journal-a".into(), ..Orders::default() }
}

fn told(findings: &[Finding]) -> BTreeSet<(&str, Problem)> {
    findings.iter().map(|f| (f.key.as_str(), f.problem)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_finds_what_was_planted_and_nothing_else() {
    let stage = Stage::set().await;
    assert_eq!(stage.findings().await, [], "what the publisher writes is clean");
    stage.command(&["audit"]).expect(0);

    stage.market.run::<()>(&["SET", "massive:model:vexy:latest", "{\"a\":1}"]);
    stage.market.run::<()>(&["SET", "massive:bars:I:SPX", "[[1,2],[3,4]]"]);
    stage.market.run::<()>(&["SET", "massive:last", r#"{"price":6500.5,"ts":1}"#]);
    stage.market.run::<()>(&["HSET", "epoch:1:heatmap:contract:O:SPXW1", "last_price", "1"]);
    stage.market.run::<()>(&["SADD", "epoch:1:heatmap:dirty_contracts", "O:SPXW1"]);
    stage.market.run::<()>(&["PERSIST", GEX_CALLS]);
    stage.market.run::<()>(&["EXPIRE", GEX_PUTS, "9999999"]);
    stage.market.run::<()>(&["SET", SPOT, "[6500.5,6501.5]"]);
    stage.market.run::<()>(&["DEL", TRAIL]);
    stage.market.run::<()>(&["LPUSH", TRAIL, "x"]);
    stage.system.run::<()>(&["EXPIRE", GRAVITY, "5000"]);
    let long = format!("{{\"symbol\":\"{}\"}}", "x".repeat(9_000));
    stage.system.run::<()>(&["SET", CONTEXT, &long]);
    stage.system.run::<()>(&["SET", "massive:market_mode:model:latest", "{\"ts\":1}"]);
    // Nobody's business.
    stage.system.run::<()>(&["SET", "truth", "{}"]);
    stage.market.run::<()>(&["SET", "vexy:latest", "[1,2,3]"]);

    let findings = stage.findings().await;
    let expected = BTreeSet::from([
        ("massive:model:vexy:latest", Problem::Stranger),
        ("massive:bars:I:SPX", Problem::Raw),
        ("massive:last", Problem::Raw),
        ("epoch:1:heatmap:contract:O:SPXW1", Problem::Raw),
        ("epoch:1:heatmap:dirty_contracts", Problem::Raw),
        (GEX_CALLS, Problem::NoTtl),
        (GEX_PUTS, Problem::LongTtl),
        (SPOT, Problem::Raw),
        (TRAIL, Problem::WrongType),
        (GRAVITY, Problem::UnexpectedTtl),
        (CONTEXT, Problem::Oversized),
        ("massive:market_mode:model:latest", Problem::WrongBus),
        ("massive:market_mode:model:latest", Problem::NoTtl),
        ("massive:market_mode:model:latest", Problem::Schema),
    ]);
    assert_eq!(told(&findings), expected);

    let report = stage.command(&["audit", "--json"]).expect(1).json();
    assert_eq!(report["clean"], false);
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(expected.len()), "{report:#}");
    assert_eq!(report["servers"][0]["others"], 1, "{report:#}");
    let text = stage.command(&["audit", "--allow", "massive:model:vexy"]).expect(1).stdout;
    assert!(text.contains("no_ttl") && text.contains(GEX_CALLS), "{text}");
    assert!(!text.contains("vexy"), "what is allowed is no stranger: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_mends_what_is_ours_and_leaves_strangers() {
    let stage = Stage::set().await;
    let original: String = stage.system.run(&["GET", GRAVITY]);
    let other = original.replace("6501.0", "6502.0");
    assert_ne!(other, original);
    stage.system.run::<()>(&["SET", GRAVITY, &other]);
    stage.market.run::<()>(&["SET", "massive:model:vexy:latest", "{}"]);
    stage.market.run::<()>(&["PERSIST", GEX_CALLS]);
    stage.market.run::<()>(&["DEL", GEX_PUTS]);
    stage.market.run::<()>(&["SET", SPOT, "[1]"]);
    stage.market.run::<()>(&["DEL", TRAIL]);
    stage.market.run::<()>(&["LPUSH", TRAIL, "x"]);
    // A family that nobody makes any more.
    let old = ["SET", "massive:vix_regime:model:latest", "{\"ts\":1}", "EX", "3600"];
    stage.market.run::<()>(&old);
    let before = stage.market.run::<usize>(&["DBSIZE"]);

    let dry = stage.repair(&Orders { dry_run: true, ..orders() }).await;
    let remedies: BTreeSet<(&str, Remedy)> =
        dry.actions.iter().map(|a| (a.finding.key.as_str(), a.remedy)).collect();
    let expected = BTreeSet::from([
        (GRAVITY, Remedy::Republish),
        ("massive:model:vexy:latest", Remedy::Leave),
        (GEX_CALLS, Remedy::Expire),
        (GEX_PUTS, Remedy::Republish),
        (SPOT, Remedy::Republish),
        (TRAIL, Remedy::Republish),
        ("massive:vix_regime:model:latest", Remedy::Remove),
    ]);
    assert_eq!(remedies, expected);
    assert_eq!(stage.market.run::<usize>(&["DBSIZE"]), before, "a dry run writes nothing");
    assert_eq!(stage.system.run::<String>(&["GET", GRAVITY]), other);

    let heard = crate::redis::reader::hear(stage.market.port(), "dealer_gravity_updated");
    let repaired = stage.repair(&orders()).await;
    assert_eq!(told(&repaired.left), [("massive:model:vexy:latest", Problem::Stranger)].into());
    assert!(repaired.republished >= 3, "{repaired:#?}");
    assert_eq!(stage.system.run::<String>(&["GET", GRAVITY]), original);
    assert_eq!(heard.next().await["artifact_version"], "v7", "who waits for events hears of it");
    assert_eq!(stage.market.run::<String>(&["TYPE", TRAIL]), "zset");
    assert!(stage.market.run::<i64>(&["TTL", GEX_CALLS]) > 86_000);
    assert_eq!(stage.market.run::<u64>(&["EXISTS", "massive:vix_regime:model:latest"]), 0);
    assert_eq!(stage.market.run::<String>(&["GET", "massive:model:vexy:latest"]), "{}");

    let far = stage.repair(&Orders { strangers: true, ..orders() }).await;
    assert_eq!(far.left, []);
    assert_eq!(stage.market.run::<u64>(&["EXISTS", "massive:model:vexy:latest"]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_overwrites_nothing_newer_and_no_other_journal() {
    let stage = Stage::set().await;
    let older = Arc::new(Shelf::default());
    older.place_all(all(5));
    let buses = &stage.inspector.buses;
    let repaired = repair::repair(buses, &older, &orders()).await.expect("Redis answers");
    assert_eq!(repaired.republished, 0, "{repaired:#?}");
    assert!(repaired.left.iter().all(|f| f.problem == Problem::Ahead), "{repaired:#?}");
    assert!(repaired.left.len() >= 5, "{repaired:#?}");

    stage.inspector.shelf.place_all(all(9));
    let foreign = Orders { lineage: "journal-b".into(), ..Orders::default() };
    let left = stage.repair(&foreign).await.left;
    assert!(!left.is_empty() && left.iter().all(|f| f.problem == Problem::Foreign), "{left:#?}");
    assert!(stage.system.run::<String>(&["GET", GRAVITY]).contains("\"v7\""));
    let repaired = stage.repair(&Orders { takeover: true, ..foreign }).await;
    assert_eq!(repaired.left, [], "taken over");
    assert!(stage.system.run::<String>(&["GET", GRAVITY]).contains("\"v9\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_round_trips_lifetimes_and_who_is_away() {
    let mut stage = Stage::set().await;
    let listening = crate::redis::reader::hear(stage.market.port(), "dealer_gravity_updated");
    let report = stage.command(&["health", "--samples", "50", "--json"]).expect(0).json();
    assert_eq!((&report["fine"], &report["reachable"]), (&json!(true), &json!(true)));
    for server in report["servers"].as_array().expect("a list") {
        for command in ["get", "set", "publish"] {
            let latency = &server["latency"][command];
            let number = |name: &str| latency[name].as_u64().expect("a number");
            assert_eq!(number("samples"), 50);
            assert!(number("p50_us") > 0, "{server:#}");
            assert!(number("p50_us") <= number("p95_us"), "{server:#}");
            assert!(number("p95_us") <= number("p99_us"), "{server:#}");
        }
        assert!(server["memory_bytes"].as_u64() > Some(100_000), "{server:#}");
    }
    let market = &report["servers"][1];
    let listeners = json!({"channel": "dealer_gravity_updated", "count": 1});
    assert!(market["subscribers"].as_array().expect("a list").contains(&listeners), "{market:#}");
    drop(listening);
    for server in [&stage.system, &stage.market] {
        let probes: Vec<String> = server.run(&["KEYS", "replay:*"]);
        assert!(probes.is_empty(), "nothing is left of the probes: {probes:?}");
    }

    stage.market.run::<()>(&["PERSIST", GEX_CALLS]);
    stage.market.run::<()>(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    stage.market.run::<()>(&["GET", SPOT]);
    let report = stage.command(&["health", "--samples", "0", "--json"]).expect(1).json();
    let market = &report["servers"][1];
    assert!(market["latency"].is_null(), "nothing was measured: {market:#}");
    assert!(market["slow"]["entries"].as_u64() > Some(0), "{market:#}");
    assert!(market["problems"][0].as_str().is_some_and(|p| p.starts_with("gex")), "{market:#}");

    stage.system.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let found = health(&stage.inspector.buses, 3, &Ours::default()).await;
    assert!(found.is_reachable() && !found.is_fine());
    let problems = found.servers[0].problems.join("\n");
    assert!(problems.contains("replica") && problems.contains("no writes"), "{problems}");

    stage.system.kill();
    let ended = stage.command(&["health"]).expect(69);
    assert!(ended.stdout.contains("CANNOT BE REACHED"), "{ended:?}");
    assert!(ended.stdout.contains("GET"), "the other one is asked all the same: {ended:?}");
    let ended = stage.command(&["audit"]).expect(69);
    assert!(ended.stderr.contains("system"), "{ended:?}");
    let ended = Orrery::new().run(&["redis", "audit"]).expect(2);
    assert!(ended.stderr.contains("--redis"), "says what to do: {ended:?}");
    let ended = Orrery::new().run(&["redis", "audit", "--redis", "http://u:hunter2@x"]).expect(2);
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}
