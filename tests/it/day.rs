//! Real days through the whole house: other people's answers must come out.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{Orrery, shared, unpacked};

#[test]
fn spx_levels_equal_the_published_ones_24_of_24() {
    let Some(folder) = shared("spx-0dte-20260819") else { return };
    let orrery = Orrery::new();
    let report = orrery.import(&[&folder]);
    assert_eq!(report["kinds"]["chain_snapshot"], 24, "{report:#}");

    // The answers: one row per snapshot, found by its New York time.
    let levels = fs::read_to_string(folder.join("levels.csv")).expect("levels");
    let head: Vec<&str> = levels.lines().next().expect("a head").split(',').collect();
    let column = |row: &str, name: &str| -> f64 {
        let at = head.iter().position(|h| *h == name).expect("a column");
        row.split(',').nth(at).expect("a cell").parse().expect("a number")
    };
    let rows: BTreeMap<String, &str> = levels
        .lines()
        .skip(1)
        .map(|row| (row.split(',').nth(1).expect("a time").to_owned(), row))
        .collect();
    assert_eq!(rows.len(), 24);

    // The last version of each minute.
    let mut found = BTreeMap::new();
    for header in orrery.headers("SPX", "gex") {
        let version = header["version"].as_u64().expect("a version");
        let created = header["created_at"].as_str().expect("a time");
        // New York is four hours behind UTC in August; timers fire within 31 s.
        let hour: u32 = created[11..13].parse::<u32>().expect("an hour") - 4;
        found.insert(format!("{hour:02}:{}", &created[14..16]), version);
    }
    let mut equal = 0;
    for (time, row) in &rows {
        let version = *found
            .get(time)
            .unwrap_or_else(|| panic!("no gex artifact for {time}: {:?}", found.keys()));
        let body = &orrery.artifact("SPX", "gex", version)["body"];
        for (ours, theirs) in
            [("call_wall", "call_wall"), ("put_wall", "put_wall"), ("peak", "peak_strike")]
        {
            assert_eq!(body["levels"][ours].as_f64(), Some(column(row, theirs)), "{time} {theirs}");
        }
        equal += 1;
    }
    assert_eq!(equal, 24);
}

#[test]
fn qqq_net_gex_equals_an_independent_sum() {
    let Some(path) = shared("chain-qqq-20260504.json.zst") else { return };
    let orrery = Orrery::new();
    let report = orrery.import(&[&path]);
    assert_eq!(report["kinds"]["chain_snapshot"], 1, "{report:#}");

    // Straight from the vendor's JSON, by strike from the highest down, so that
    // neither the order nor the code is the model's.
    let chain: Value = serde_json::from_str(&unpacked(&path)).expect("JSON");
    let results = chain["results"].as_array().expect("results");
    assert_eq!(results.len(), 10_838);
    let (mut net, mut without_gamma) = (0.0, 0u64);
    let captured = results
        .iter()
        .filter_map(|r| r["underlying_asset"]["last_updated"].as_i64())
        .max()
        .expect("a time");
    let mut terms: Vec<(f64, f64)> = Vec::new();
    for r in results {
        let (Some(oi), Some(strike)) =
            (r["open_interest"].as_f64(), r["details"]["strike_price"].as_f64())
        else {
            continue;
        };
        let expiry = r["details"]["expiration_date"].as_str().expect("a date");
        // Settled at 16:00 New York (20:00 UTC in May) of that date.
        let settles =
            chrono::DateTime::parse_from_rfc3339(&format!("{expiry}T20:00:00Z")).expect("a date");
        if settles.timestamp_nanos_opt().expect("in range") <= captured {
            continue;
        }
        let Some(gamma) = r["greeks"]["gamma"].as_f64() else {
            without_gamma += u64::from(oi > 0.0);
            continue;
        };
        let sign = if r["details"]["contract_type"] == "call" { 1.0 } else { -1.0 };
        let spot = r["underlying_asset"]["price"].as_f64().expect("a spot");
        terms.push((strike, sign * gamma * oi * 100.0 * spot * spot * 0.01));
    }
    terms.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, term) in &terms {
        net += term;
    }
    let header = orrery.headers("QQQ", "gex").pop().expect("a gex artifact");
    let body =
        orrery.artifact("QQQ", "gex", header["version"].as_u64().expect("a version"))["body"]
            .clone();
    let ours = body["levels"]["net"].as_f64().expect("a net");
    assert!((ours - net).abs() <= 1e-9 * net.abs(), "ours {ours}, independent {net}");
    assert_eq!(body["quality"]["contracts"].as_u64(), Some(10_838), "{:#}", body["quality"]);
    // Living contracts with open interest that the vendor gave no gamma.
    let excluded = &body["quality"]["excluded"];
    assert_eq!(excluded["missing_gamma"].as_u64(), Some(without_gamma), "{excluded:#}");
    assert!(without_gamma > 0, "the capture has such contracts");
}

#[test]
fn goog_day_replays_identically_whatever_is_deleted_or_rearranged() {
    let Some(folder) = shared("goog-20151224") else { return };
    let orrery = Orrery::new();
    let report = orrery.import(&[&folder]);
    assert_eq!(report["kinds"]["quote"], 275_552, "{report:#}");
    assert_eq!(report["kinds"]["bar"], 958 + 227, "{report:#}");
    assert_eq!(report["kinds"]["chain_snapshot"], 14, "{report:#}");

    let days = orrery.run(&["days", "--json"]).expect(0).json();
    assert_eq!(days.as_array().map(Vec::len), Some(1), "{days:#}");
    let pages = days[0]["pages"].clone();
    assert!(pages.as_array().is_some_and(|p| p.len() > 60), "{days:#}");
    for family in ["heatmap", "gex", "gravity", "spot", "context"] {
        assert!(!orrery.headers("GOOG", family).is_empty(), "no {family}");
    }
    let epochs = orrery.run(&["epochs", "--json"]).expect(0).json();
    assert!(epochs.as_array().is_some_and(|e| !e.is_empty()), "{epochs:#}");

    let replay = |orrery: &Orrery, threads: &str| -> Value {
        let ended = orrery.run(&["replay", "2015-12-24", "--threads", threads, "--json"]).expect(0);
        let report = ended.json();
        assert_eq!(report["identical"], true, "{report:#}");
        report
    };
    let first = replay(&orrery, "1");
    let trace = |orrery: &Orrery| -> Vec<Value> {
        let newest = orrery.run(&["artifacts", "list", "--json"]).expect(0).json();
        let families: Vec<Value> = newest.as_array().expect("a list").clone();
        let family = |h: &Value| orrery.headers("GOOG", h["family"].as_str().expect("a name"));
        families.iter().flat_map(family).collect()
    };
    let recorded = trace(&orrery);
    assert_eq!(first["artifacts"].as_u64(), Some(recorded.len() as u64));

    // What is derived may be deleted; the next command rebuilds it.
    fs::remove_dir_all(orrery.data().join("derived")).expect("derived data");
    replay(&orrery, "2");
    assert_eq!(trace(&orrery), recorded, "after deleting derived data");

    // Another journal, written in other batches and folded with other threads.
    let other = Orrery::new();
    let ended = other.run(&[
        "import",
        "--batch",
        "997",
        "--threads",
        "1",
        "--json",
        folder.to_str().expect("UTF-8"),
    ]);
    ended.expect(0);
    let days = other.run(&["days", "--json"]).expect(0).json();
    assert_eq!(days[0]["pages"], pages, "page addresses must not depend on batching");
    assert_eq!(trace(&other), recorded, "another batching");
}

#[test]
fn importing_twice_adds_nothing_and_says_so() {
    let Some(path) = shared("chain-jpm-20260504.json.zst") else { return };
    let orrery = Orrery::new();
    let first = orrery.import(&[&path]);
    assert_eq!(first["added"], 1, "{first:#}");
    let head = orrery.run(&["days", "--json"]).expect(0).json();
    let second = orrery.import(&[&path]);
    assert_eq!(second["added"], 0, "{second:#}");
    assert_eq!(second["skipped"], 1, "{second:#}");
    assert_eq!(
        orrery.run(&["days", "--json"]).expect(0).json(),
        head,
        "the journal must not have changed"
    );
    let text = orrery.run(&["import", path.to_str().expect("UTF-8")]).expect(0).stdout;
    assert!(text.contains("nothing new"), "{text}");
}

#[test]
fn a_day_before_the_head_is_refused_with_the_remedy() {
    let (Some(late), Some(early)) =
        (shared("chain-jpm-20260504.json.zst"), shared("cboe-quotetable-spx-20220204.csv.zst"))
    else {
        return;
    };
    let orrery = Orrery::new();
    orrery.import(&[&late]);
    let ended = orrery.run(&["import", early.to_str().expect("UTF-8")]).expect(2);
    assert!(ended.stderr.contains("--data"), "{}", ended.stderr);
    // Both at once are merged by time.
    let orrery = Orrery::new();
    let report = orrery.import(&[&late, &early]);
    assert_eq!(report["kinds"]["chain_snapshot"], 2, "{report:#}");
    assert_eq!(orrery.run(&["days", "--json"]).expect(0).json().as_array().map(Vec::len), Some(2));
}

#[test]
fn three_tsla_snapshots_make_two_epochs_and_the_second_warms_in_silence() {
    let names = [
        "chain-tsla-20260715-1048et.json.zst",
        "chain-tsla-20260715-1121et.json.zst",
        "chain-tsla-20260715-1316et.json.zst",
    ];
    let paths: Vec<_> = names.iter().filter_map(|n| shared(n)).collect();
    if paths.len() < 3 {
        return;
    }
    let orrery = Orrery::new();
    orrery.import(&paths.iter().map(|p| p.as_path()).collect::<Vec<_>>());
    let epochs = orrery.run(&["epochs", "--json"]).expect(0).json();
    let epochs = epochs.as_array().expect("a list");
    assert_eq!(epochs.len(), 2, "{epochs:#?}");
    assert_eq!(epochs[0]["contracts"], 2_742);
    assert_eq!(epochs[1]["contracts"], 4_752);
    assert_eq!(epochs[0]["state"], "retired");
    assert_eq!(epochs[1]["state"], "active");
    let promoted = epochs[1]["promoted_seq"].as_u64().expect("a promotion");
    assert_eq!(epochs[0]["retired_seq"].as_u64(), Some(promoted), "one seq for both");
    for family in ["heatmap", "gex", "spot", "gravity", "context"] {
        for header in orrery.headers("TSLA", family) {
            let seq = header["seq_last"].as_u64().expect("a seq");
            let expected = &epochs[usize::from(seq >= promoted)]["id"];
            assert_eq!(&header["epoch"], expected, "{family} {header:#}");
        }
    }
}
