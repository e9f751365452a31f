//! A damaged data directory as a user meets it: what is said, which exit code,
//! and that nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::live::Live;
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
    flip(&log, 5_000);
    let current = orrery.data().join("journal/db/keyspaces/5/current");
    fs::remove_file(&current).expect("removes");

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
    assert!(places.len() == 1 && places[0] < 5_000, "{report:#}");
    let missing = current.to_str().expect("UTF-8");
    assert!(findings.iter().any(|f| f["file"] == missing), "behind the first: {report:#}");
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

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy_into(&path, &target),
            false => drop(fs::copy(&path, &target).expect("copies")),
        }
    }
}

#[test]
fn a_copy_makes_a_damaged_journal_whole() {
    let orrery = imported();
    let before = orrery.run(&["days", "--json"]).expect(0).stdout;
    let copies = tempfile::tempdir().expect("a folder");
    copy_into(&orrery.data(), copies.path());
    let from = copies.path().to_str().expect("UTF-8");
    let log = log(&orrery);
    let bytes = fs::read(&log).expect("reads");
    let page = bytes.windows(8).position(|w| w == b"ORRYCOLS").expect("a stored page");
    flip(&log, page + 500);
    fs::remove_file(orrery.data().join("journal/HEAD")).expect("removes");
    let dry = looked(&orrery, &["repair", "--from", from, "--dry-run", "--json"], 0).json();
    assert!(dry["pages"]["copy"].as_u64() > Some(0) && dry["kept"].is_null(), "{dry:#}");
    let told = orrery.run(&["repair", "--from", from]).expect(0).stdout;
    assert!(told.contains("kept in") && told.contains("repaired"), "{told}");
    looked(&orrery, &["verify"], 0);
    assert_eq!(orrery.run(&["days", "--json"]).expect(0).stdout, before);
    assert!(orrery.data().join("journal/quarantine/damaged-1/db/0.jnl").exists());
}

#[test]
fn a_loss_is_accepted_journaled_and_shown() {
    let orrery = imported();
    let log = log(&orrery);
    let file = fs::File::options().write(true).open(&log).expect("opens");
    file.set_len(used(&log) as u64 - 20_000).expect("cuts");
    let report = looked(&orrery, &["doctor", "--json"], 1).json();
    let advised = command(&report, 2);
    let range = advised.rsplit(' ').next().expect("a range");
    looked(&orrery, &["repair"], 1);
    looked(&orrery, &["repair", "--accept-loss", "1..2"], 1);
    let args = ["repair", "--accept-loss", range, "--accepted-by", "somebody"];
    let told = orrery.run(&args).expect(0).stdout;
    assert!(told.contains("their numbers went to other events"), "{told}");
    let days = orrery.run(&["days"]).expect(0).stdout;
    assert!(days.contains(&format!("events {range} were lost")), "{days}");
    let report = looked(&orrery, &["verify", "--json"], 0).json();
    assert_eq!(report["accepted_losses"][0]["kind"], "end", "{report:#}");
    let journal =
        orrery_journal::Journal::open(&orrery.data(), &orrery_journal::OpenOptions::default())
            .expect("opens");
    assert_eq!(journal.count(orrery_journal::event::Kind::Control), 1);
    drop(journal);
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    let days = days.as_array().expect("a list");
    let shown: Vec<&Value> =
        days.iter().flat_map(|d| d["accepted_losses"].as_array()).flatten().collect();
    assert!(!shown.is_empty(), "{days:#?}");
    assert!(shown.iter().all(|l| range == format!("{}..{}", l["first"], l["last"])), "{shown:?}");
    // A server that is told the same again just starts; another range is refused.
    let other = ["serve", "--listen", "127.0.0.1:0", "--accept-loss", "1..2"];
    assert!(orrery.run(&other).expect(2).stderr.contains("nothing is missing"));
}

/// The table of the stored pages, and where in it the first page lies.
fn pages_table(orrery: &Orrery) -> (PathBuf, usize) {
    let found = files(&orrery.data().join("journal/db/keyspaces"));
    let place = |bytes: &[u8]| bytes.windows(8).position(|w| w == b"ORRYCOLS");
    found.into_iter().find_map(|(path, bytes)| Some((path, place(&bytes)?))).expect("a table")
}

/// What `/metrics` says; `None` if it says nothing of it.
fn gauge(live: &Live, name: &str) -> Option<u64> {
    let page = live.get("/metrics").1;
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Asks until it is so, a minute at most.
#[track_caller]
fn until(live: &Live, so: impl Fn() -> bool) {
    for _ in 0..600 {
        if so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("it never came to that: {}", live.get("/metrics").1);
}

#[test]
fn a_server_tells_of_damage_that_comes_while_it_runs() {
    let orrery = imported();
    orrery.run(&["compact"]).expect(0);
    let live = Live::start(&orrery, &["--scrub-mib-per-second", "64"]);
    until(&live, || gauge(&live, "orrery_scrub_rounds") > Some(0));
    assert_eq!(live.get("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(gauge(&live, "orrery_scrub_findings"), Some(0));
    assert!(gauge(&live, "orrery_scrub_pages") >= Some(3));

    let (table, page) = pages_table(&orrery);
    // In place, as a disk does it: the server has the file open.
    let file = fs::File::options().read(true).write(true).open(&table).expect("opens");
    let (mut byte, at) = ([0u8], page as u64 + 500);
    file.read_exact_at(&mut byte, at).expect("reads");
    file.write_all_at(&[byte[0] ^ 4], at).expect("writes");

    until(&live, || live.get("/readyz").0 == 503);
    let told = live.get("/readyz").1;
    let place = table.strip_prefix(orrery.data()).expect("inside").display().to_string();
    assert!(told.contains("orrery doctor"), "{told}");
    assert!(told.contains(&place) || told.contains("events 1.."), "{told}");
    assert!(gauge(&live, "orrery_scrub_findings") > Some(0));
    assert_eq!(live.terminate(), 0);
    looked(&orrery, &["days"], 65);
}

#[test]
fn the_scrub_can_be_turned_off() {
    let orrery = imported();
    let live = Live::start(&orrery, &["--scrub-mib-per-second", "0"]);
    assert_eq!(gauge(&live, "orrery_scrub_pages"), None);
    assert_eq!(live.get("/readyz").0, 200);
    assert_eq!(live.terminate(), 0);
}
