//! The dashboard and the alert rules: every metric that they name exists on the
//! page of a running server, and their own tool accepts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::live::Live;

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops")
}

/// Files of one ending below `ops/`.
fn files(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in fs::read_dir(ops()).expect("ops/").flatten() {
        for file in fs::read_dir(folder.path()).expect("a folder").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(ending) {
                found.push((name, fs::read_to_string(file.path()).expect("text")));
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} below ops/");
    found
}

/// Names of our metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("orrery_") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let name = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_');
        found.insert(name.collect());
    }
    found
}

/// What is named and not on the page.
fn absent(named: &BTreeSet<String>, page: &str) -> Vec<String> {
    let lines: Vec<&str> = page.lines().filter(|l| !l.starts_with('#')).collect();
    // Histograms may be called by their stem.
    let begins = |rest: &str| rest.starts_with(['{', ' ']) || rest.starts_with("_bucket{");
    let exists = |name: &str| lines.iter().any(|line| line.strip_prefix(name).is_some_and(begins));
    named.iter().filter(|name| !exists(name)).cloned().collect()
}

#[test]
fn every_metric_that_is_named_exists_in_a_running_server() {
    let (orrery, redis) = (Orrery::new(), RedisServer::start());
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let args = ["--feed", "simulate", "--seed", "6", "--redis", &url, "--redis-observe", "1"];
    let live = Live::start(&orrery, &args);
    live.wait_for("/metrics", "orrery_redis_findings{");
    live.wait_for("/metrics", "orrery_redis_round_trip_seconds{");
    live.wait_for("/metrics", "orrery_redis_keys{");
    live.wait_for("/metrics", "orrery_epoch_info{");
    let page = live.get("/metrics").1;
    let mut named = BTreeSet::new();
    let rules = files(".yml").into_iter().filter(|(name, _)| name.contains("rules"));
    for (_, text) in files(".json").into_iter().chain(rules) {
        named.extend(names(&text));
    }
    assert!(named.len() > 40, "only {} metrics are named", named.len());
    assert_eq!(absent(&named, &page), Vec::<String>::new(), "not on the page:\n{page}");
    let unknown = BTreeSet::from(["orrery_never_there".to_owned()]);
    assert_eq!(absent(&unknown, &page).len(), 1, "the check can fail");

    // What docs/operations.md says of metrics is so, too.
    let told = fs::read_to_string(ops().join("../docs/operations.md")).expect("the guide");
    let rows = told.lines().filter(|l| l.starts_with("| `orrery_"));
    let cells: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).collect();
    let mut promised = names(&cells.join(" "));
    // `orrery_projector_*` is no name.
    promised.retain(|name| !name.ends_with('_'));
    assert!(promised.len() > 40, "only {} metrics are told of", promised.len());
    assert_eq!(absent(&promised, &page), Vec::<String>::new(), "told of and absent");
    assert_eq!(live.terminate(), 0);
}

#[test]
fn the_dashboard_is_whole() {
    for (name, text) in files(".json") {
        let dashboard: Value = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("ops/grafana/{name} is no JSON: {e}"));
        let panels = dashboard["panels"].as_array().expect("panels");
        let mut ids = BTreeSet::new();
        for panel in panels {
            let title = panel["title"].as_str().expect("a title");
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: an id twice");
            let place = &panel["gridPos"];
            let right = place["x"].as_u64().expect("x") + place["w"].as_u64().expect("w");
            assert!(right <= 24, "{title} does not fit");
            if panel["type"] == "row" {
                continue;
            }
            for target in panel["targets"].as_array().expect("targets") {
                let expr = target["expr"].as_str().expect("an expression");
                assert!(expr.contains("orrery_"), "{title}: {expr}");
                assert_eq!(expr.matches('(').count(), expr.matches(')').count(), "{title}: {expr}");
            }
        }
        assert!(ids.len() > 30, "{name} has {} panels", ids.len());
    }
}

#[test]
fn every_alert_has_a_case_in_which_it_fires() {
    let read = |name: &str| fs::read_to_string(ops().join("prometheus").join(name)).expect("text");
    let (rules, cases) = (read("orrery.rules.yml"), read("orrery.rules.test.yml"));
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts: Vec<&str> = alerts.collect();
    assert!(alerts.len() > 15, "{alerts:?}");
    for alert in alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n");
        assert!(cases.contains(&fires), "no case in which {alert} fires");
    }
}

/// By `promtool` of Debian's package `prometheus`.
#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    let folder = ops().join("prometheus");
    let run = |args: &[&str]| Command::new("promtool").args(args).current_dir(&folder).output();
    let Ok(checked) = run(&["check", "rules", "orrery.rules.yml"]) else {
        println!("SKIPPED: promtool is not here (Debian package prometheus); rules are unchecked");
        return;
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let tested = run(&["test", "rules", "orrery.rules.test.yml"]).expect("promtool runs");
    let told = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success(), "{told}{}", String::from_utf8_lossy(&tested.stderr));
    let config = run(&["check", "config", "prometheus.example.yml"]).expect("promtool runs");
    assert!(config.status.success(), "{}", String::from_utf8_lossy(&config.stderr));
    // It refuses what is wrong.
    let wrong = tempfile::tempdir().expect("a folder");
    let rules = fs::read_to_string(folder.join("orrery.rules.yml")).expect("rules");
    let broken = wrong.path().join("broken.yml");
    fs::write(&broken, rules.replacen("== 1", "=== 1", 1)).expect("a file");
    let refused = run(&["check", "rules", broken.to_str().expect("a path")]).expect("it runs");
    assert!(!refused.status.success(), "the check can fail");
}
