//! A damaged data directory as a user meets it: what is said, which exit code,
//! and that nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Orrery;

/// A journal of two days, imported one after the other.
fn imported() -> Orrery {
    let orrery = Orrery::new();
    for day in 0..2u64 {
        let mut text = String::new();
        for i in 0..5_000u64 {
            let t = 1_773_671_400_000 + day * 86_400_000 + i * 10;
            let price = 652.0 + (i % 50) as f64 / 10.0;
            text.push_str(&format!(
                "{{\"ev\":\"T\",\"sym\":\"SPY\",\"p\":{price},\"s\":{},\"t\":{t},\"q\":{i}}}\n",
                1 + i % 9
            ));
        }
        let file = orrery.file(&format!("day-{day}.ndjson"), text);
        orrery.run(&["import", file.to_str().expect("UTF-8")]).expect(0);
    }
    orrery
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(out.insert(path.clone(), fs::read(&path).expect("reads"))),
            }
        }
    }
    out
}

fn log(orrery: &Orrery) -> PathBuf {
    orrery.data().join("journal/db/0.jnl")
}

fn used(path: &Path) -> usize {
    let bytes = fs::read(path).expect("reads");
    bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("reads");
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("writes");
}

/// The commands that only look leave every file as it is.
fn looked(orrery: &Orrery, args: &[&str], code: i32) -> crate::support::Ended {
    let before = files(&orrery.data().join("journal"));
    let ended = orrery.run(args).expect(code);
    assert!(files(&orrery.data().join("journal")) == before, "{args:?} writes nothing");
    ended
}

fn command(report: &Value, at: usize) -> &str {
    report["advice"][at]["command"].as_str().unwrap_or_default()
}

#[test]
fn a_whole_journal_is_clean_to_everybody() {
    let orrery = imported();
    let report = looked(&orrery, &["verify", "--json", "--derived"], 0).json();
    assert_eq!(report["clean"], true, "{report:#}");
    assert!(report["events"].as_u64() > Some(10_000), "{report:#}");
    assert!(report["derived"]["headers"].as_u64() > Some(0), "{report:#}");
    let day = looked(&orrery, &["verify", "--json", "--day", "2026-03-16"], 0).json();
    assert!(day["events"].as_u64() < report["events"].as_u64(), "{day:#}");
    looked(&orrery, &["verify", "2026-01-01"], 2);
    let told = looked(&orrery, &["doctor"], 0).stdout;
    assert!(told.contains("clean: it opens") && told.contains("MiB of disk"), "{told}");
    fs::remove_dir_all(orrery.data().join("derived")).expect("removes");
    let told = looked(&orrery, &["doctor"], 0).stdout;
    assert!(told.contains("derived data are missing"), "{told}");

    let nothing = Orrery::new();
    let told = nothing.run(&["doctor"]).expect(2).stdout;
    assert!(told.contains("no journal") && told.contains("orrery import"), "{told}");
}

#[test]
fn damage_is_told_with_its_place_and_what_can_be_done() {
    let orrery = imported();
    let log = log(&orrery);
    let at = used(&log) * 3 / 4;
    flip(&log, at);
    flip(&log, 5_000);

    // Whatever opens the journal refuses, with its own code and a hint.
    for args in [&["days"][..], &["epochs"], &["serve", "--listen", "127.0.0.1:0"]] {
        let ended = looked(&orrery, args, 65);
        assert!(ended.stderr.contains("orrery doctor --data"), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("0.jnl"), "{args:?}: {}", ended.stderr);
    }
    let report = looked(&orrery, &["verify", "--json"], 1).json();
    assert_eq!(report["clean"], false);
    let findings = report["findings"].as_array().expect("a list");
    let places: Vec<u64> = findings
        .iter()
        .filter(|f| f["kind"] == "bytes")
        .filter_map(|f| f["offset"].as_u64())
        .collect();
    assert_eq!(places.len(), 2, "{report:#}");
    for (place, at) in places.iter().zip([5_000, at]) {
        assert!(*place <= at as u64, "{places:?} for {at}");
    }
    let told = looked(&orrery, &["doctor"], 1).stdout;
    for part in ["DAMAGED", "0.jnl at byte", "what can be done", "orrery repair --data"] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
}

#[test]
fn lost_events_are_told_from_damage() {
    let orrery = imported();
    let log = log(&orrery);
    let file = fs::File::options().write(true).open(&log).expect("opens");
    file.set_len(used(&log) as u64 - 20_000).expect("cuts");
    let ended = looked(&orrery, &["days"], 65);
    assert!(ended.stderr.contains("were acknowledged and are missing"), "{}", ended.stderr);
    let report = looked(&orrery, &["doctor", "--json"], 1).json();
    assert_eq!(report["state"], "lost", "{report:#}");
    assert!(command(&report, 1).contains("--from COPY"), "{report:#}");
    assert!(command(&report, 2).contains("--accept-loss"), "{report:#}");
    looked(&orrery, &["verify"], 1);
}

#[test]
fn a_journal_in_use_is_left_alone() {
    let orrery = imported();
    let options = orrery_journal::OpenOptions::default();
    let held = orrery_journal::Journal::open(&orrery.data(), &options).expect("opens");
    let told = looked(&orrery, &["doctor"], 2).stdout;
    assert!(told.contains("in use") && told.contains("pid"), "{told}");
    let ended = looked(&orrery, &["verify"], 2);
    assert!(ended.stderr.contains("in use by pid"), "{}", ended.stderr);
    drop(held);
}
