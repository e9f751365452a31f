//! Running it: copies, restores, numbers and upkeep, with and without a server.

use std::path::Path;

use serde_json::Value;

use crate::live::Live;
use crate::support::{Ended, Orrery};

/// A data directory with a made-up session of one minute.
fn recorded() -> Orrery {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1", "--json"]).expect(0);
    orrery
}

/// A command on another data directory.
fn on(orrery: &Orrery, data: &Path, args: &[&str]) -> Ended {
    let mut all = vec!["--data", data.to_str().expect("UTF-8")];
    all.extend(args);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_orrery"));
    command.args(all).env_remove("ORRERY_DATA").current_dir(orrery.data());
    command.output().expect("the binary starts").into()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Every day of a data directory replays identically to what it recorded.
#[track_caller]
fn replays(orrery: &Orrery, data: &Path) -> u64 {
    let days = on(orrery, data, &["days", "--json"]).expect(0).json();
    let mut artifacts = 0;
    for day in days.as_array().expect("a list") {
        let day = day["day"].as_str().expect("a date");
        let report = on(orrery, data, &["replay", day, "--json"]).expect(0).json();
        assert_eq!(report["identical"], true, "{report:#}");
        artifacts += report["artifacts"].as_u64().expect("a count");
    }
    artifacts
}

/// Headers of a family, by version.
fn headers(orrery: &Orrery, data: &Path) -> Value {
    let args = ["artifacts", "list", "--symbol", "SPX", "--family", "gex", "--limit", "100000"];
    on(orrery, data, &[&args[..], &["--json"]].concat()).expect(0).json()
}

#[test]
fn a_backup_is_a_data_directory_and_restores_to_the_same_artifacts() {
    let orrery = recorded();
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    let report = orrery.run(&["backup", "--to", text(&copy), "--json"]).expect(0).json();
    assert!(report["pages"].as_u64() > Some(2), "{report:#}");
    assert_eq!(report["from"], 0);
    on(&orrery, &copy, &["verify"]).expect(0);
    let again = orrery.run(&["backup", "--to", text(&copy), "--json"]).expect(0).json();
    assert_eq!((&again["pages"], &again["from"]), (&0.into(), &report["head"]), "{again:#}");

    let back = folder.path().join("back");
    let restored = on(&orrery, &back, &["restore", "--from", text(&copy), "--json"]);
    let restored = restored.expect(0).json();
    assert_eq!(restored["verified"], report["head"], "{restored:#}");
    let whole = headers(&orrery, &orrery.data());
    assert!(whole.as_array().is_some_and(|h| h.len() > 10));
    assert_eq!(headers(&orrery, &back), whole, "folded again from the copy: the same hashes");
    assert!(replays(&orrery, &back) > 10);

    // What is there is never written over.
    let ended = on(&orrery, &back, &["restore", "--from", text(&copy)]).expect(2);
    assert!(ended.stderr.contains("not empty"), "{}", ended.stderr);
    let ended = on(&orrery, &folder.path().join("x"), &["restore", "--from", text(folder.path())]);
    assert!(ended.expect(2).stderr.contains("no journal"));
    // Nor is a half of it taken for the whole.
    std::fs::write(back.join("RESTORING"), "").expect("a marker");
    let ended = on(&orrery, &back, &["days"]).expect(2);
    assert!(ended.stderr.contains("orrery restore"), "{}", ended.stderr);
    on(&orrery, &back, &["restore", "--from", text(&copy)]).expect(0);
    on(&orrery, &back, &["days"]).expect(0);

    for (to, why) in
        [(orrery.data().join("inside"), "inside"), (folder.path().to_owned(), "no journal")]
    {
        let ended = orrery.run(&["backup", "--to", text(&to)]).expect(2);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
    let other = Orrery::new();
    other.run(&["demo", "--exit", "--minutes", "1", "--seed", "9", "--json"]).expect(0);
    let ended = other.run(&["backup", "--to", text(&copy)]).expect(2);
    assert!(ended.stderr.contains("another journal"), "{}", ended.stderr);
}

#[test]
fn a_server_is_copied_and_asked_while_it_takes_events() {
    let orrery = Orrery::new();
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "3"]);
    live.wait_for("/api/models/gex/I:SPX", "expirations");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy");
    let mut heads = Vec::new();
    for _ in 0..3 {
        let report = orrery.run(&["backup", "--to", text(&copy), "--json"]).expect(0).json();
        assert!(report["server"].as_str().is_some_and(|s| live.url.ends_with(s)), "{report:#}");
        heads.push(report["head"].as_u64().expect("a seq"));
        let verified = on(&orrery, &copy, &["verify", "--json"]).expect(0).json();
        assert_eq!(verified["events"].as_u64(), heads.last().copied());
    }
    assert!(heads.is_sorted() && heads[0] > 0, "{heads:?}");
    let stat = orrery.run(&["journal", "stat", "--json"]).expect(0).json();
    assert!(stat["server"].is_string() && stat["events"].as_u64() >= heads.last().copied());
    assert!(stat["instruments"].as_u64() > Some(100) && stat["sources"] == 1, "{stat:#}");
    assert_eq!(stat["input_stopped"], false);
    let address = live.url.trim_start_matches("http://").to_owned();
    let nowhere = on(&orrery, folder.path(), &["journal", "stat", "--grpc", &address, "--json"]);
    assert_eq!(nowhere.expect(0).json()["calendar"], "new-york");
    let compacted = orrery.run(&["compact", "--json"]).expect(0).json();
    assert!(compacted["bytes_after"].as_u64() > Some(0), "{compacted:#}");

    // What a server may not be made to write.
    let inside = orrery.data().join("inside");
    for (to, why) in [(inside.as_path(), "inside"), (folder.path(), "no journal")] {
        let ended = orrery.run(&["backup", "--to", text(to)]).expect(2);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
    assert_eq!(live.terminate(), 0);
    let ended = orrery.run(&["journal", "stat", "--grpc", &address]).expect(2);
    assert!(ended.stderr.contains("no server answers"), "{}", ended.stderr);

    // The copy is the beginning of the journal, and so is what is made of it.
    let events = |data: &Path| on(&orrery, data, &["journal", "stat", "--json"]).expect(0).json();
    assert_eq!(events(&copy)["events"].as_u64(), heads.last().copied());
    assert!(replays(&orrery, &copy) > 4);
    orrery.run(&["backup", "--to", text(&copy)]).expect(0);
    assert_eq!(events(&copy)["events"], events(&orrery.data())["events"]);
    assert!(replays(&orrery, &copy) > 4);
}

#[test]
fn the_journal_is_told_in_numbers() {
    let orrery = recorded();
    let stat = orrery.run(&["journal", "stat", "--json"]).expect(0).json();
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    assert_eq!(stat["events"], days[0]["last_seq"]);
    assert_eq!(stat["pages"].as_u64(), days[0]["pages"].as_array().map(|p| p.len() as u64));
    let sum = |a: &str, b: &str| stat[a].as_u64().unwrap_or(0) + stat[b].as_u64().unwrap_or(0);
    assert_eq!(sum("page_events", "frame_events"), stat["events"].as_u64().expect("a count"));
    assert_eq!((&stat["calendar"], &stat["format"]), (&"new-york".into(), &2.into()));
    assert_eq!(stat["watermark_seq"], stat["events"]);
    assert!(stat["writer_epoch"].as_u64() >= Some(1) && stat["server"].is_null(), "{stat:#}");
    let bytes = stat["bytes"].as_u64().expect("bytes");
    let parts: u64 =
        stat["parts"].as_object().expect("parts").values().filter_map(Value::as_u64).sum();
    assert!(bytes > 0 && parts > bytes / 2, "{stat:#}");
    let text = orrery.run(&["journal", "stat"]).expect(0).stdout;
    for word in ["bytes on disk", "watermark", "instruments", "in reserve", "input"] {
        assert!(text.contains(word), "{text}");
    }
    let before = orrery.run(&["days", "--json"]).expect(0).stdout;
    orrery.run(&["compact"]).expect(0);
    assert_eq!(orrery.run(&["days", "--json"]).expect(0).stdout, before);
    orrery.run(&["verify"]).expect(0);
}
