//! The command line as a user meets it: help, JSON, exit codes, questions about
//! a moment.

use serde_json::Value;

use crate::support::Orrery;

const COMMANDS: &[&[&str]] = &[
    &["demo"],
    &["import"],
    &["export"],
    &["serve"],
    &["replay"],
    &["verify"],
    &["doctor"],
    &["repair"],
    &["days"],
    &["epochs"],
    &["artifacts", "list"],
    &["artifacts", "show"],
    &["artifacts", "diff"],
    &["artifacts", "lineage"],
    &["diff"],
    &["redis", "keys"],
    &["backup"],
    &["restore"],
    &["compact"],
    &["journal", "stat"],
    &["journal", "read"],
    &["journal", "tail"],
    &["levels"],
    &["explain"],
    &["profiles", "list"],
    &["profiles", "shadow", "add"],
    &["profiles", "shadow", "remove"],
    &["profiles", "report"],
    &["profiles", "promote"],
    &["profiles", "rollback"],
    &["gravity"],
    &["annotate"],
    &["correct"],
    &["selector"],
    &["parameters"],
    &["calendar"],
    &["prove"],
    &["prove", "event"],
    &["prove", "range"],
    &["prove", "page"],
    &["prove", "consistency"],
    &["prove", "checkpoint"],
    &["prove", "key"],
];

#[test]
fn every_command_explains_itself_with_an_example() {
    let orrery = Orrery::new();
    for command in COMMANDS {
        let ended = orrery.run(&[command, &["--help"][..]].concat()).expect(0);
        assert!(ended.stdout.contains("Example: orrery "), "{command:?}: {}", ended.stdout);
        assert!(ended.stdout.contains("--json"), "{command:?}: {}", ended.stdout);
    }
    assert!(!orrery.data().exists(), "help makes no data");
}

#[test]
fn the_registry_prints_every_key_once() {
    let orrery = Orrery::new();
    let keys = orrery.run(&["redis", "keys", "--json"]).expect(0).json();
    let templates: Vec<&str> =
        keys.as_array().expect("a list").iter().filter_map(|k| k["template"].as_str()).collect();
    for expected in [
        "dealer_gravity:artifact:{sym}",
        "dealer_gravity:context:{sym}",
        "massive:volume_profile",
        "dealer_gravity_updated",
        "massive:model:spot:{vendor_symbol}",
        "massive:model:spot:{vendor_symbol}:trail",
        "massive:heatmap:model:{vendor_symbol}:latest",
        "massive:heatmap:diff:{vendor_symbol}",
        "massive:gex:model:{vendor_symbol}:calls",
        "massive:gex:model:{vendor_symbol}:puts",
        "massive:bias_lfi:model:latest",
        "massive:bias_lfi:model:{vendor_symbol}:latest",
        "massive:market_mode:model:latest",
        "massive:vix_regime:model:latest",
        "massive:selector:model:{vendor_symbol}:latest",
    ] {
        let count = templates.iter().filter(|t| **t == expected).count();
        assert_eq!(count, 1, "{expected} in {templates:#?}");
    }
}

#[test]
fn when_input_is_synced_changes_no_byte_of_the_journal() {
    let journal = |sync: &str| {
        let orrery = Orrery::new();
        let demo = ["demo", "--exit", "--minutes", "1", "--batch", "64", "--sync", sync];
        orrery.run(&demo).expect(0);
        orrery.run(&["verify"]).expect(0);
        let refused = orrery.run(&["import", "--sync", "never", "nothing"]).expect(2);
        assert!(refused.stderr.contains("every, group, os"), "{}", refused.stderr);
        orrery.run(&["days", "--json"]).expect(0).json()
    };
    let every = journal("every");
    assert!(every[0]["events"].as_u64().is_some_and(|n| n > 1_000), "{every:#}");
    assert_eq!(journal("os"), every);
}

#[test]
fn a_demo_can_be_asked_about_any_moment() {
    let orrery = Orrery::new();
    let story = orrery.run(&["demo", "--exit", "--minutes", "1", "--json"]).expect(0).json();
    assert_eq!(story["replays"][0]["identical"], true, "{story:#}");
    assert_eq!(story["epochs"].as_array().map(Vec::len), Some(2), "one topology change: {story:#}");
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    assert_eq!(days[0]["kinds"]["gap"], 1, "one feed gap: {days:#}");

    // As of the middle of the session nothing of its second half is known.
    let headers = orrery.headers("SPX", "gex");
    let middle = &headers[headers.len() / 2];
    let seq = middle["seq_last"].as_u64().expect("a seq");
    let at = format!("seq:{seq}");
    let shown =
        orrery.run(&["artifacts", "show", "SPX", "gex", "--at", &at, "--json"]).expect(0).json();
    assert!(shown["header"]["seq_last"].as_u64() <= Some(seq), "{:#}", shown["header"]);
    let version = |h: &Value| h["version"].as_u64().expect("a version");
    assert!(version(&shown["header"]) <= version(middle) + 1);
    let born = story["epochs"][1]["born_seq"].as_u64().expect("a seq");
    let at = format!("seq:{}", born - 1);
    let epochs = orrery.run(&["epochs", "--at", &at, "--json"]).expect(0).json();
    assert_eq!(epochs.as_array().map(Vec::len), Some(1), "{epochs:#}");
    assert_eq!(epochs[0]["state"], "active");

    // Two versions, cell by cell, biggest change first.
    let diff =
        orrery.run(&["artifacts", "diff", "SPX", "gex", "1", "2", "--json"]).expect(1).json();
    let sizes: Vec<f64> = diff["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|c| c["absolute"].as_f64())
        .map(f64::abs)
        .collect();
    assert!(!sizes.is_empty() && sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");

    // Running it again adds nothing and is identical again.
    let again = orrery.run(&["demo", "--exit", "--minutes", "1", "--json"]).expect(0).json();
    assert_eq!(again["added"], 0, "{again:#}");
    assert_eq!(again["events"], story["events"]);

    for (args, why) in [
        (&["artifacts", "show", "SPX", "nothing"][..], "no such artifact"),
        (&["artifacts", "show", "SPX", "gex", "--version", "999999"], "no such artifact"),
        (&["artifacts", "show", "SPX", "gex", "--at", "seq:999999999"], "beyond the last event"),
        (&["artifacts", "show", "SPX", "gex", "--at", "yesterday"], "no moment"),
        (&["replay", "2001-01-01"], "no day"),
        (&["artifacts", "diff", "SPX", "gex", "1", "1"], "equal to itself"),
    ] {
        let ended = orrery.run(args).expect(2);
        assert!(ended.stderr.contains(why), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn parameters_come_from_a_file_and_profiles_stand_side_by_side() {
    let orrery = Orrery::new();
    let defaults = orrery.run(&["parameters", "--json"]).expect(0).json();
    assert_eq!(defaults["gex"]["profile"], "gex/naive-oi@1");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.json");
    let path = file.to_str().expect("a path");
    std::fs::write(&file, r#"{"gex":{"beside":["gex/best@1"]}}"#).expect("written");
    let refused = orrery.run(&["parameters", "--parameters", path]).expect(2).stderr;
    assert!(refused.contains("gex/inverse-oi@1"), "known names are listed: {refused}");
    std::fs::write(&file, r#"{"gex":{"beside":["gex/inverse-oi@1"]}}"#).expect("written");
    let demo = ["demo", "--exit", "--minutes", "1", "--json", "--parameters", path];
    orrery.run(&demo).expect(0);
    let asked = |args: &[&str]| orrery.run(&[args, &["--parameters", path]].concat()).expect(0);
    let families = asked(&["artifacts", "list", "--json"]).json().to_string();
    assert!(families.contains("gex_inverse_oi"), "{families}");
    let told =
        asked(&["levels", "SPX", "--profile", "naive-oi", "--profile", "inverse-oi", "--json"])
            .json();
    let net = |i: usize| told[i]["body"]["levels"]["net"].as_f64().expect("a net");
    assert_eq!(net(0), -net(1));
    let wall = asked(&["explain", "call_wall", "SPX", "--json"]).json();
    assert_eq!(wall["level"], told[0]["body"]["levels"]["call_wall"]);
    assert!(wall["contracts"].as_array().is_some_and(|c| !c.is_empty()), "{wall:#}");
}
