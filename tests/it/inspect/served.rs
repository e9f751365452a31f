//! The same beside a running server: over gRPC, in its metrics, in its logs.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::*;
use crate::live::Live;

#[test]
fn a_server_audits_and_mends_its_own_redis() {
    let (orrery, mut redis) = (Orrery::new(), RedisServer::start());
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let args = ["--feed", "simulate", "--seed", "5", "--redis", &url, "--redis-observe", "1"];
    let live = Live::start(&orrery, &args);
    live.wait_for("/api/models/heatmap/I:SPX", "tiles");
    live.wait_for("/api/dealer-gravity/context", "gamma_alignment");
    live.wait_for("/api/models/gex/I:SPX", "expirations");

    let report = orrery.run(&["redis", "audit", "--json"]);
    assert_eq!(report.code, 0, "{report:#?}");
    assert!(report.json()["servers"][0]["registered"].as_u64() > Some(10));
    redis.run::<()>(&["SET", "massive:stray", "[1,2,3]"]);
    redis.run::<()>(&["PERSIST", "orrery:{SPX}:artifact:gex"]);
    let found = orrery.run(&["redis", "audit", "--json"]).expect(1).json();
    assert!(
        found["findings"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|f| { f["problem"] == "raw" && f["key"] == "massive:stray" })
    );
    live.wait_for("/metrics", "orrery_redis_findings{bus=\"system+market\",problem=\"raw\"} 1");
    let health = orrery.run(&["redis", "health", "--samples", "20", "--json"]).json();
    assert_eq!(health["servers"][0]["latency"]["publish"]["samples"], 20, "{health:#}");

    let dry = orrery.run(&["redis", "repair", "--dry-run", "--json"]).expect(1).json();
    assert_eq!(dry["dry_run"], true, "{dry:#}");
    assert_eq!(redis.run::<u64>(&["EXISTS", "massive:stray"]), 1);
    let ended = orrery.run(&["redis", "repair", "--strangers", "--json"]).expect(0).json();
    assert_eq!(ended["left"], json!([]), "{ended:#}");
    assert_eq!(redis.run::<u64>(&["EXISTS", "massive:stray"]), 0);
    // The repair of a directory in use is the server's.
    let ended = orrery.run(&["redis", "repair", "--redis", &url]).expect(2);
    assert!(ended.stderr.contains("without --redis"), "{ended:?}");

    let metrics = live.get("/metrics").1;
    for line in [
        "orrery_artifact_version{symbol=\"SPX\",family=\"gex\"}",
        "orrery_artifact_seq{symbol=\"SPX\",family=\"heatmap\"}",
        "orrery_epoch_info{symbol=\"SPX\",epoch=\"",
        "orrery_redis_up{bus=\"system+market\"} 1",
        "orrery_redis_keys{bus=\"system+market\",family=\"gex\"}",
        "orrery_redis_round_trip_seconds{bus=\"system+market\",command=\"set\",quantile=\"0.99\"}",
        "orrery_breaker_state{bus=\"market\"} 0",
        "orrery_fold_lag_events",
        "orrery_process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.trim_end().ends_with("# EOF"), "one end mark, at the end");
    // Its Redis is away, and comes back empty.
    redis.kill();
    for asked in ["health", "audit", "repair"] {
        let ended = orrery.run(&["redis", asked]).expect(69);
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert!(told.contains("127.0.0.1"), "{asked} says where: {told}");
    }
    live.wait_for("/metrics", "orrery_redis_up{bus=\"system+market\"} 0");
    redis.restart();
    live.wait_for("/metrics", "orrery_redis_up{bus=\"system+market\"} 1");
    let begun = std::time::Instant::now();
    loop {
        let report = orrery.run(&["redis", "repair", "--dry-run", "--json"]);
        if report.code == 0 && redis.run::<usize>(&["DBSIZE"]) > 10 {
            break;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{report:#?}");
    }
    assert_eq!(live.terminate(), 0);

    // Without the server, from the data directory.
    let here = |args: &[&str]| {
        let mut all = vec!["redis", "repair", "--redis", &url, "--json"];
        all.extend(args);
        orrery.run(&all)
    };
    redis.run::<()>(&["FLUSHALL"]);
    let dry = here(&["--dry-run"]).expect(1).json();
    assert!(dry["actions"].as_array().expect("a list").iter().all(|a| a["remedy"] == "republish"));
    assert_eq!(redis.run::<usize>(&["DBSIZE"]), 0, "a dry run writes nothing");
    let ended = here(&[]).expect(0).json();
    assert!(ended["republished"].as_u64() > Some(4), "{ended:#}");
    assert!(redis.run::<usize>(&["DBSIZE"]) > 10);
    here(&[]).expect(0);
}

#[test]
fn logs_as_json_name_seq_epoch_and_family() {
    let orrery = Orrery::new();
    let args = ["--log", "orrery=debug", "--log-format", "json", "serve", "--feed", "simulate"];
    let mut command = orrery.command(&args);
    command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut found = None;
    for line in lines.map_while(Result::ok).take(10_000) {
        let line: Value = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("a log line is no JSON ({e}): {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
        if line["message"] == "artifact" && line["epoch"].is_string() {
            found = Some(line);
            break;
        }
    }
    child.kill().expect("it can be ended");
    child.wait().expect("it ends");
    let line = found.expect("a line of an artifact");
    assert!(line["seq"].as_u64() > Some(0) && line["version"].as_u64() > Some(0), "{line}");
    assert_eq!(line["symbol"], "SPX");
    assert!(line["family"].is_string(), "{line}");
}
