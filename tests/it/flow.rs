//! The flow of a recorded day: quotes, chains and prices of the underlying as
//! captured, and the day's option bars as the trades that they are made of, each
//! half a second after its minute with a condition of its own, some cancelled.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Orrery, shared, unpacked};

/// Python with its standard library, or `None` with a line that says so.
fn python() -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/oracles/bin/python");
    let found = [ours, PathBuf::from("python3")]
        .into_iter()
        .find(|p| Command::new(p).arg("--version").output().is_ok_and(|o| o.status.success()));
    if found.is_none() {
        println!("skipped: there is no python3");
    }
    found
}

/// The captured messages with trades in place of the option bars.
fn with_trades(captured: &str) -> String {
    let mut lines: Vec<(i64, Value)> = Vec::new();
    let mut number = 0_i64;
    for line in captured.lines() {
        let message: Value = serde_json::from_str(line).expect("JSON");
        let is_bar =
            message["ev"] == "AM" && message["sym"].as_str().is_some_and(|s| s.starts_with("O:"));
        if !is_bar {
            let at = message["t"].as_i64().or(message["e"].as_i64()).expect("a time");
            lines.push((at, message));
            continue;
        }
        number += 1;
        let at = message["e"].as_i64().expect("an end") + 500;
        let code = match number % 20 {
            3 | 13 => 232,
            7 => 227,
            9 => 229,
            11 => 231,
            17 => 204,
            n if n % 2 == 0 => 209,
            _ => 219,
        };
        let trade = |at: i64, codes: &[i64], q: i64| {
            json!({"ev": "T", "sym": message["sym"], "x": 302, "p": message["c"], "s": message["v"],
                   "c": codes, "t": at, "q": q})
        };
        lines.push((at, trade(at, &[code], number)));
        if number % 25 == 0 {
            lines.push((at + 3_000, trade(at + 3_000, &[201], 100_000 + number)));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    for (_, line) in lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

#[test]
fn the_flow_of_a_recorded_day_equals_a_count_that_is_not_ours() {
    let (Some(folder), Some(python)) = (shared("goog-20151224"), python()) else { return };
    let orrery = Orrery::new();
    let chains = folder.join("chain-snapshots.ndjson.zst");
    let ticks = with_trades(&unpacked(&folder.join("ticks.ndjson.zst")));
    let ticks = orrery.file("ticks.ndjson", ticks);
    let report = orrery.import(&[&ticks, &chains]);
    assert_eq!(report["kinds"]["trade"], 958 + 38, "{report:#}");

    let shown = orrery.run(&["artifacts", "show", "GOOG", "flow", "--json"]).expect(0).stdout;
    let levels = ["levels", "GOOG", "--profile", "flow-signed", "--json"];
    let levels = orrery.run(&levels).expect(0).stdout;
    let body: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(body["header"]["profile"], "flow/lee-ready@1");
    assert!(body["body"]["quality"]["withdrawn_trades"].as_u64() > Some(20), "{body:#}");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/flow.py");
    let files = [
        ticks,
        orrery.file("chains.ndjson", unpacked(&chains)),
        orrery.file("body.json", &shown),
        orrery.file("levels.json", &levels),
    ];
    let ran = Command::new(python).arg(script).args(&files).output().expect("python runs");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{out}");
    assert!(ran.status.success(), "{out}\n{err}");

    // Fewer rules are another profile. The morning is enough for that.
    let morning = std::fs::read_to_string(&files[0]).expect("written");
    let mut morning: Vec<&str> = morning.lines().take(40_000).collect();
    let is_trade = |line: &str| line.contains(r#""ev":"T""#) && !line.contains("[201]");
    while morning.pop_if(|line| !is_trade(line)).is_some() {}
    let morning = morning.join("\n") + "\n";
    let fewer = Orrery::new();
    let parameters = fewer.file("fewer.json", r#"{"tape":{"rules":"at_quote"}}"#);
    let parameters = parameters.to_str().expect("UTF-8");
    let morning = fewer.file("morning.ndjson", morning);
    let chain = unpacked(&chains);
    let chain = fewer.file("chain.ndjson", chain.lines().next().expect("a chain"));
    let paths = [&morning, &chain].map(|p| p.to_str().expect("UTF-8"));
    fewer.run(&["--parameters", parameters, "import", paths[0], paths[1]]).expect(0);
    let show = ["--parameters", parameters, "artifacts", "show", "GOOG", "flow", "--json"];
    let less = fewer.run(&show).expect(0).json();
    assert_eq!(less["header"]["profile"], "flow/at-quote@1");
    let coverage = &less["body"]["flow"]["total"]["coverage"];
    assert_eq!((&coverage["midpoint"], &coverage["tick"]), (&0.0.into(), &0.0.into()));
    assert!(coverage["quote"].as_f64() > Some(0.0), "{less:#}");

    // The last event behind that body is the last trade, which never was.
    let seq = less["header"]["seq_last"].to_string();
    let at = less["header"]["created_at"].as_str().expect("a time");
    fewer.run(&["--parameters", parameters, "correct", &seq, "--cancel", "--at", at]).expect(0);
    let after = fewer.run(&show).expect(0).json();
    let undone = |body: &Value| body["body"]["quality"]["withdrawn_trades"].as_u64();
    assert_eq!(undone(&after), undone(&less).map(|n| n + 1), "{after:#}");
}
