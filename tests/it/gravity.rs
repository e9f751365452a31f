//! Volume profiles as a user meets them: every profile that ships beside a
//! direct count, lines and corrections from the command line, bad input.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Orrery, shared, unpacked};

/// Compares what every profile says of an imported capture with a count of its
/// text in Python, for which the standard library is enough.
fn agrees_with_a_count(kind: &str, capture: &str, multiplier: &str) {
    let Some(path) = shared(capture) else { return };
    let orrery = Orrery::new();
    orrery.import(&[&path]);
    let parameters = orrery.file(
        "parameters.json",
        format!(r#"{{"proxies":{{"SPY":{{"symbol":"SPX","multiplier":{multiplier}}}}}}}"#),
    );
    let with = parameters.to_str().expect("UTF-8");
    let asked = ["--parameters", with, "gravity", "SPX", "--profile", "all", "--json"];
    let bodies = orrery.run(&asked).expect(0).stdout;
    let folder = tempfile::tempdir().expect("a folder");
    let (text, asked) = (folder.path().join("capture"), folder.path().join("bodies.json"));
    std::fs::write(&text, unpacked(&path)).expect("written");
    std::fs::write(&asked, bodies).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/gravity.py");
    let ran = Command::new("python3")
        .arg(script)
        .args([kind, multiplier])
        .arg(&text)
        .arg(&asked)
        .output();
    let Ok(ran) = ran else {
        println!("skipped: there is no python3 on this machine");
        return;
    };
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{out}");
    assert!(ran.status.success(), "{out}\n{err}");
    assert_eq!(out.lines().count(), 8, "one line for each profile: {out}");
}

#[test]
fn every_profile_of_451_545_trades_equals_a_direct_count() {
    agrees_with_a_count("trades", "spy-trades-20131008.csv.zst", "10");
}

#[test]
fn every_profile_of_a_day_of_bars_equals_a_direct_count() {
    agrees_with_a_count("bars", "spy-bars1m-20131008.csv.zst", "10");
}

/// The same day as if the index stood at 7000, where the original stops.
#[test]
fn every_profile_across_the_ceiling_of_the_original_equals_a_direct_count() {
    agrees_with_a_count("bars", "spy-bars1m-20131008.csv.zst", "41.8");
}

/// A minute of SPY, at this minute after 2026-03-16 14:30 UTC.
fn bar(minute: u64, low: f64, high: f64, volume: u64) -> String {
    let start = 1_773_671_400_000 + minute * 60_000;
    let end = start + 60_000;
    format!(
        "{}\n",
        json!({"ev":"AM","sym":"SPY","v":volume,"o":low,"h":high,"l":low,"c":high,"s":start,"e":end})
    )
}

fn newest(orrery: &Orrery, family: &str) -> Value {
    orrery.run(&["artifacts", "show", "SPX", family, "--json"]).expect(0).json()["body"].clone()
}

#[test]
fn profiles_run_beside_each_other_and_are_compared() {
    let orrery = Orrery::new();
    let parameters = orrery.file(
        "parameters.json",
        r#"{"gravity":{"beside":["marketswarm","session"],"steps":{"SPX":1}}}"#,
    );
    let ticks = orrery.file("ticks.ndjson", bar(0, 650.0, 650.3, 3000) + &bar(1, 650.0, 650.0, 60));
    let with = parameters.to_str().expect("UTF-8");
    orrery.run(&["--parameters", with, "import", ticks.to_str().expect("UTF-8")]).expect(0);
    let show = |family| {
        let args = ["--parameters", with, "artifacts", "show", "SPX", family, "--json"];
        orrery.run(&args).expect(0).json()
    };
    let main = show("gravity");
    assert_eq!(main["header"]["profile"], "gravity/tv-microbins-30@1");
    // 600 + 60, 900, 1100, 400 of the largest.
    assert_eq!(main["body"]["profile"]["bins"], json!([600, 818, 1000, 363]));
    assert_eq!(main["body"]["meta"]["proxy"]["symbol"], "SPY");
    let original = show("gravity_marketswarm");
    assert_eq!(original["header"]["profile"], "gravity/marketswarm@1");
    assert_eq!(original["body"]["profile"]["bins"], json!([545, 818, 1000, 363]));
    assert_eq!(original["body"]["quality"]["lost_volume"], 60.0);
    let session = show("gravity_session");
    assert_eq!(session["body"]["meta"]["days"]["held"][0]["day"], "2026-03-16");
    let compared = orrery.run(&["--parameters", with, "gravity", "SPX", "--profile", "all"]);
    let table = compared.expect(0).stdout;
    assert!(table.contains("gravity/marketswarm-quick@1"), "{table}");
    assert!(table.contains("market memory"), "{table}");
    let listed = orrery.run(&["gravity", "--list", "--json"]).expect(0).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(8));
    let ended = orrery.run(&["gravity", "SPX", "--profile", "best"]).expect(2);
    assert!(ended.stderr.contains("gravity/session@1"), "{}", ended.stderr);
    orrery.run(&["gravity", "NOPE"]).expect(2);
}

#[test]
fn lines_and_corrections_are_journaled_and_both_states_stay_answerable() {
    let orrery = Orrery::new();
    let text = "{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":650.0,\"s\":100,\"t\":1773671400000,\"q\":1}\n\
                {\"ev\":\"T\",\"sym\":\"SPY\",\"p\":660.0,\"s\":100,\"t\":1773671401000,\"q\":2}\n";
    let ticks = orrery.file("ticks.ndjson", text);
    orrery.import(&[&ticks]);
    let lines = orrery.file(
        "lines.json",
        r#"{"author":"ann","model":"m-1","lines":[6510],"crevasses":[[6520,6530]]}"#,
    );
    let at = "2026-03-16T14:40:00Z";
    let told = orrery
        .run(&["annotate", "SPX", lines.to_str().expect("UTF-8"), "--at", at, "--json"])
        .expect(0)
        .json();
    let body = newest(&orrery, "gravity");
    let line = &body["structural_lines"][0];
    assert_eq!((&line["author"], &line["model"]), (&json!("ann"), &json!("m-1")));
    assert_eq!(line["seq"], told["seq"], "where it can be read again");
    assert_eq!(body["structures"]["crevasses"], json!([[6500.0, 6600.0]]), "computed");
    // The second trade, the last event with a trade, was at 651 and not at 660.
    let before = told["seq"].as_u64().expect("a seq");
    let wrong = (1..before).rev().find(|seq| {
        let right = r#"{"price":651.0,"size":100}"#;
        let (seq, at) = (seq.to_string(), "2026-03-16T14:50:00Z");
        orrery.run(&["correct", &seq, "--right", right, "--at", at]).expect(0);
        newest(&orrery, "gravity")["quality"]["counts"]["corrections"] == 1
    });
    assert!(wrong.is_some(), "one of them is the trade");
    let body = newest(&orrery, "gravity");
    assert_eq!(body["profile"]["min"], 6500.0);
    assert_eq!(body["profile"]["bins"].as_array().map(Vec::len), Some(11));
    // As known before, and as corrected.
    let then = orrery.run(&["gravity", "SPX", "--at", &format!("seq:{before}"), "--json"]);
    let then = &then.expect(0).json()[0]["body"];
    assert_eq!(then["profile"]["bins"].as_array().map(Vec::len), Some(101));
    // What cannot be meant is refused before it is journaled.
    for args in [
        &["correct", "999999", "--cancel"][..],
        &["correct", "2", "--right", "651"],
        &["correct", "2"],
        &["annotate", "SPX", ticks.to_str().expect("UTF-8")],
    ] {
        orrery.run(args).expect(2);
    }
}

#[test]
fn bars_that_cannot_be_are_refused_with_their_reason() {
    let (empty, good) = (bar(0, 650.0, 650.0, 0), bar(2, 650.0, 650.3, 3000));
    for (bad, reason) in [
        (bar(1, 651.0, 650.0, 100), "bad_price"),
        (bar(1, -650.0, 650.0, 100), "bad_price"),
        (bar(1, 650.0, 651.0, 100).replace("650.0", "NaN"), "malformed"),
    ] {
        let orrery = Orrery::new();
        let file = orrery.file("ticks.ndjson", format!("{empty}{bad}{good}"));
        let report =
            orrery.run(&["import", "--json", file.to_str().expect("UTF-8")]).expect(1).json();
        assert_eq!(report["refused"][reason], 1, "{bad}: {report:#}");
        let body = newest(&orrery, "gravity");
        assert_eq!(body["profile"]["bins"], json!([545, 818, 1000, 363]));
        assert_eq!(body["quality"]["counts"]["bars_without_volume"], 1);
        assert!(body["meta"]["spot"].is_null(), "a proxy is no spot of the index");
        assert_eq!(body["quality"]["absent"], json!(["no_spot"]));
        // Without a spot there is no context to speak of.
        orrery.run(&["artifacts", "show", "SPX", "context"]).expect(2);
    }
}

/// The state in the middle of a day, put away and taken up again, is the state.
#[test]
fn a_checkpoint_inside_of_a_day_changes_no_profile() {
    let (Some(bars), Some(trades)) =
        (shared("spy-bars1m-20131008.csv.zst"), shared("spy-trades-20131008.csv.zst"))
    else {
        return;
    };
    let orrery = Orrery::new();
    orrery.import(&[&bars, &trades]);
    let headers = orrery.headers("SPX", "gravity");
    assert!(headers.len() > 300, "{}", headers.len());
    let ended = orrery.run(&["replay", "2013-10-08"]).expect(0);
    assert!(ended.stdout.starts_with("identical:"), "{}", ended.stdout);
    std::fs::remove_dir_all(orrery.data().join("derived")).expect("derived data");
    assert_eq!(orrery.headers("SPX", "gravity"), headers, "rebuilt from the journal alone");
}
