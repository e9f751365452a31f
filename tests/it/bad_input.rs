//! Bad input as a user meets it: a clear error or a count in quarantine, the
//! documented exit code, and the good rest of the file is kept.

use serde_json::Value;

use crate::support::Orrery;

/// Imports a file that the test makes; exit code 1 says that something was
/// refused, 2 that nothing could be done with it.
fn import(name: &str, content: impl AsRef<[u8]>, code: i32) -> (Orrery, Value) {
    let orrery = Orrery::new();
    let file = orrery.file(name, content);
    let report =
        orrery.run(&["import", "--json", file.to_str().expect("UTF-8")]).expect(code).json();
    (orrery, report)
}

fn refused(report: &Value, reason: &str) -> u64 {
    report["refused"][reason].as_u64().unwrap_or(0)
}

const GOOD: &str =
    "{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":652.1,\"s\":100,\"t\":1773671400000,\"q\":1}\n";

#[test]
fn a_broken_line_is_quarantined_and_the_rest_kept() {
    for (bad, reason) in [
        ("{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":652.1,\"s\":1", "malformed"),
        ("{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":-1.0,\"s\":1,\"t\":1773671400001}", "bad_price"),
        ("{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":0,\"s\":1,\"t\":1773671400001}", "bad_price"),
        (
            "{\"ev\":\"AM\",\"sym\":\"SPY\",\"v\":7,\"o\":2,\"h\":1,\"l\":3,\"c\":2,\"s\":1773671340000,\"e\":1773671400000}",
            "bad_price",
        ),
        ("{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":NaN,\"s\":1,\"t\":1773671400001}", "malformed"),
        ("{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":\"NaN\",\"s\":1,\"t\":1773671400001}", "bad_price"),
        (
            "{\"ev\":\"Q\",\"sym\":\"O:SPXW260316C00000000\",\"bp\":1,\"ap\":2,\"t\":1773671400001}",
            "bad_strike",
        ),
    ] {
        let (orrery, report) = import("ticks.ndjson", format!("{GOOD}{bad}\n{GOOD}"), 1);
        assert_eq!(refused(&report, reason), 1, "{bad}: {report:#}");
        assert_eq!(report["kinds"]["trade"], 2, "{bad}: {report:#}");
        // Refused is not lost: the journal holds it, with its reason.
        let days = orrery.run(&["days", "--json"]).expect(0).json();
        assert_eq!(days[0]["refused"][reason], 1, "{days:#}");
    }
}

#[test]
fn a_tick_of_an_unknown_contract_is_journaled_and_changes_nothing() {
    let text =
        "{\"ev\":\"Q\",\"sym\":\"O:SPXW260316C06500000\",\"bp\":1,\"ap\":2,\"t\":1773671400000}\n";
    let (orrery, report) = import("ticks.ndjson", text, 0);
    assert_eq!(report["kinds"]["quote"], 1);
    assert_eq!(report["geometry_miss"], 1, "{report:#}");
    assert!(orrery.headers("SPX", "heatmap").is_empty());
}

#[test]
fn events_out_of_order_are_kept_at_the_heads_time_and_counted() {
    let line = |t: u64| format!("{{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":652.1,\"s\":1,\"t\":{t}}}\n");
    let text = [1_773_671_402_000, 1_773_671_401_000, 1_773_671_403_000].map(line).concat();
    let (_, report) = import("ticks.ndjson", text, 0);
    assert_eq!(report["kinds"]["trade"], 3, "{report:#}");
    assert_eq!(report["late"], 1, "{report:#}");
}

#[test]
fn an_empty_chain_is_refused_by_name() {
    let text = "{\"captured_at\":\"2026-03-16T14:30:00Z\",\"underlying\":\"SPX\",\"results\":[]}\n";
    let (_, report) = import("chain.ndjson", text, 1);
    assert_eq!(refused(&report, "empty_chain"), 1, "{report:#}");
}

#[test]
fn a_line_of_a_hundred_megabytes_is_refused_without_being_held() {
    let mut text = GOOD.as_bytes().to_vec();
    text.extend_from_slice(b"{\"ev\":\"T\",\"sym\":\"");
    text.resize(text.len() + 100_000_000, b'A');
    text.extend_from_slice(b"\"}\n");
    text.extend_from_slice(GOOD.as_bytes());
    let (_, report) = import("ticks.ndjson", text, 1);
    assert_eq!(refused(&report, "too_large"), 1, "{report:#}");
    assert_eq!(report["kinds"]["trade"], 2, "{report:#}");
}

#[test]
fn a_zip_bomb_is_refused_and_what_stood_before_it_kept() {
    use std::io::Write;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(GOOD.as_bytes()).expect("in memory");
    let zeros = vec![b'0'; 1 << 20];
    for _ in 0..600 {
        bomb.write_all(&zeros).expect("in memory");
    }
    let orrery = Orrery::new();
    let file = orrery.file("ticks.ndjson.gz", bomb.finish().expect("in memory"));
    let report = orrery.run(&["import", "--json", file.to_str().expect("UTF-8")]).expect(1).json();
    assert_eq!(refused(&report, "too_large"), 1, "{report:#}");
    assert_eq!(report["kinds"]["trade"], 1, "what stood before it is kept: {report:#}");
}

#[test]
fn what_is_no_capture_and_what_is_not_there_are_told_apart() {
    let orrery = Orrery::new();
    orrery.run(&["days"]).expect(2);
    let file = orrery.file("notes.txt", "nothing of ours\n");
    let ended = orrery.run(&["import", file.to_str().expect("UTF-8")]).expect(2);
    assert!(ended.stderr.contains("notes.txt"), "{}", ended.stderr);
    let ended = orrery.run(&["import", "/nonexistent/capture.json"]).expect(2);
    assert!(ended.stderr.contains("/nonexistent/capture.json"), "{}", ended.stderr);
    orrery.run(&["replay", "2026-13-45"]).expect(2);
    orrery.run(&["no-such-command"]).expect(2);
}
