//! Running it: copies, restores, numbers and upkeep, with and without a server.

use std::path::Path;
use std::time::{Duration, Instant};

use orrery::feeds::simulate::{Simulation, SimulationOptions};
use orrery_journal::event::{Body, Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq, SourceId};
use orrery_journal::{Journal, OpenOptions};
use serde_json::Value;

use crate::live::Live;
use crate::support::{Ended, Orrery, on_a_small_disk};

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
    assert_eq!(stat["calendar"], "new-york");
    assert!(stat["format"].as_u64() >= Some(2), "{stat:#}");
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

/// A data directory with a made-up minute on each of three days.
fn three_days() -> Orrery {
    let orrery = Orrery::new();
    let journal = Journal::open(&orrery.data(), &OpenOptions::default()).expect("opens");
    let writer = journal.writer(|| RecvTime(0)).expect("a writer");
    let first = SimulationOptions::default().start;
    for day in 0..3 {
        let start = first.plus_nanos(day * 86_400 * NANOS_PER_SECOND);
        let options = SimulationOptions { seed: 5, start, ..SimulationOptions::default() };
        let mut simulation = Simulation::new(options);
        let source = writer.define_source(&simulation.descriptor()).expect("a source");
        for second in 1..=40 {
            let mut drafts = simulation.next_batch(start.plus_nanos(second * NANOS_PER_SECOND));
            drafts.iter_mut().for_each(|draft| draft.source = source);
            writer.append(drafts).and_then(|t| t.wait()).expect("commits");
        }
        let beat = Draft {
            recv: Some(start.plus_nanos(75 * NANOS_PER_SECOND)),
            vendor_time: None,
            instrument: InstrumentRef::None,
            source: SourceId::JOURNAL,
            extension: None,
            body: DraftBody::ClockBeat,
        };
        writer.append(vec![beat]).and_then(|t| t.wait()).expect("commits");
    }
    writer.close().expect("nothing is left");
    orrery
}

#[test]
fn kept_days_replay_identically_when_the_first_ones_are_gone() {
    let orrery = three_days();
    let data = orrery.data();
    let list = |data: &Path| on(&orrery, data, &["days", "--json"]).expect(0).json();
    let days = list(&data);
    let day = |n: usize| days[n]["day"].as_str().expect("a date").to_owned();
    assert_eq!(days.as_array().map(Vec::len), Some(3), "{days:#}");
    let whole = headers(&orrery, &data);
    assert!(replays(&orrery, &data) > 10);
    let first_seq = days[1]["first_seq"].as_u64().expect("a seq");

    let look = orrery.run(&["compact", "--keep-days", "2", "--dry-run", "--json"]);
    let look = look.expect(0).json();
    assert_eq!(look["days"], serde_json::json!([day(0)]), "{look:#}");
    assert_eq!(list(&data), days, "only a look");
    let dropped = orrery.run(&["compact", "--before", &day(1), "--json"]).expect(0).json();
    for what in ["days", "events", "pages", "blobs", "dropped_bytes", "last_seq"] {
        assert_eq!(dropped[what], look[what], "{what}");
    }
    assert!(dropped["blobs"].as_u64() > Some(0), "{dropped:#}");

    // What is gone is known to be gone; what is there is what it was.
    let verified = orrery.run(&["verify", "--json"]).expect(0).json();
    assert_eq!(verified["dropped"], look["last_seq"], "{verified:#}");
    assert_eq!((&verified["clean"], &verified["findings"]), (&true.into(), &Value::Array(vec![])));
    let diagnosis = orrery.run(&["doctor", "--json"]).expect(0).json();
    assert_eq!(diagnosis["state"], "clean", "{diagnosis:#}");
    let notes = diagnosis["notes"].to_string();
    assert!(notes.contains("dropped by retention"), "{notes}");
    let repair = orrery.run(&["repair", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((&repair["missing"], &repair["rebuilt"]), (&Value::Array(vec![]), &0.into()));
    let now = list(&data);
    let gone: Vec<_> = (0..3).map(|n| now[n]["dropped"].as_bool()).collect();
    assert_eq!(gone, [Some(true), Some(false), Some(false)]);
    for n in 0..2 {
        assert_eq!((&now[n]["events"], &now[n]["pages"]), (&days[n]["events"], &days[n]["pages"]));
    }
    let kept = |data: &Path| {
        for n in 1..3 {
            let report = on(&orrery, data, &["replay", &day(n), "--json"]).expect(0).json();
            assert_eq!(report["identical"], true, "{report:#}");
            assert!(report["artifacts"].as_u64() > Some(5), "{report:#}");
        }
        let ended = on(&orrery, data, &["replay", &day(0)]).expect(2);
        assert!(ended.stderr.contains("dropped by retention"), "{}", ended.stderr);
    };
    kept(&data);

    // Folded again from what is left, with the same versions and hashes.
    let of_kept_days = |headers: &Value| -> Vec<Value> {
        let all = headers.as_array().expect("a list").iter();
        all.filter(|h| h["seq_last"].as_u64() >= Some(first_seq)).cloned().collect()
    };
    let expected = of_kept_days(&whole);
    assert!(expected.len() > 5 && expected[0]["version"].as_u64() > Some(1));
    std::fs::remove_dir_all(data.join("derived")).expect("derived data");
    assert_eq!(headers(&orrery, &data), Value::Array(expected.clone()));
    kept(&data);

    // And so it is from a copy of what is left.
    let folder = tempfile::tempdir().expect("a folder");
    let (copy, back) = (folder.path().join("copy"), folder.path().join("back"));
    orrery.run(&["backup", "--to", text(&copy)]).expect(0);
    on(&orrery, &back, &["restore", "--from", text(&copy)]).expect(0);
    assert_eq!(headers(&orrery, &back), Value::Array(expected));
    kept(&back);

    // The open day stays, and so does what is not asked for.
    let none = orrery.run(&["compact", "--keep-days", "9", "--json"]).expect(0).json();
    assert_eq!(none["days"], serde_json::json!([]));
    let ended = orrery.run(&["compact", "--before", "2999-01-01"]).expect(2);
    assert!(ended.stderr.contains("only whole days"), "{}", ended.stderr);
    orrery.run(&["compact", "--before", "someday"]).expect(2);
    orrery.run(&["compact", "--dry-run"]).expect(2);
}

/// A value of the metrics page.
fn metric(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find(|l| l.split(' ').next() == Some(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn every_metric_of_the_table_is_served() {
    let orrery = Orrery::new();
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "3"]);
    live.wait_for("/api/models/gex/I:SPX", "expirations");
    let folder = tempfile::tempdir().expect("a folder");
    let page = live.get("/metrics").1;
    assert_eq!(metric(&page, "orrery_backup_age_seconds"), Some(-1.0), "{page}");
    orrery.run(&["backup", "--to", text(&folder.path().join("copy"))]).expect(0);
    let page = live.get("/metrics").1;
    let docs = include_str!("../../docs/operations.md");
    // What a Redis adds is looked for where there is one: `inspect::dashboards`.
    let (docs, with_redis) = docs.split_once("\nWith a Redis").expect("two tables");
    assert!(with_redis.contains("| `orrery_redis_up"));
    let names: Vec<&str> = docs
        .lines()
        .filter(|l| l.starts_with("| `orrery_"))
        .flat_map(|l| l.split('|').nth(1).unwrap_or_default().split('`'))
        .filter(|w| w.starts_with("orrery_") && !w.contains('*'))
        .collect();
    assert!(names.len() > 18, "{names:?}");
    for name in names {
        // A family without members has no line but its type.
        let bare = name.split('{').next().expect("a name");
        let base = bare.trim_end_matches("_total");
        assert!(page.contains(&format!("# TYPE {base} ")), "{name} is not served: {page}");
    }
    for (name, least) in [
        ("orrery_journal_events_total", 100.0),
        ("orrery_journal_commits_total", 1.0),
        ("orrery_journal_bytes_total", 1_000.0),
        ("orrery_journal_frames_total", 1.0),
        ("orrery_journal_commit_seconds_count", 1.0),
        ("orrery_journal_commit_seconds_sum", 0.000_001),
        ("orrery_journal_commit_events_count", 1.0),
        ("orrery_disk_free_bytes", 1.0),
        ("orrery_disk_reserve_bytes", 1.0),
        ("orrery_backup_seq", 100.0),
        ("orrery_backup_age_seconds", 0.0),
    ] {
        assert!(metric(&page, name) >= Some(least), "{name}: {page}");
    }
    assert_eq!(metric(&page, "orrery_input_stopped"), Some(0.0));
    let (events, head) =
        (metric(&page, "orrery_journal_events_total"), metric(&page, "orrery_journal_seq"));
    assert!(events <= head, "all of them in this process: {page}");
    assert_eq!(live.terminate(), 0);
}

/// A server whose disk runs full and gets room again.
#[test]
fn a_live_feed_survives_a_full_disk_and_says_what_it_missed() {
    on_a_small_disk("256m", full_and_back);
}

fn full_and_back(disk: &Path) {
    let orrery = Orrery::at(disk.join("data"));
    let live = Live::start(&orrery, &["--feed", "simulate", "--disk-reserve", "64MiB"]);
    live.wait_for("/api/models/gex/I:SPX", "expirations");
    let wait = |stopped: f64, refused: f64| {
        let start = Instant::now();
        loop {
            let page = live.get("/metrics").1;
            if metric(&page, "orrery_input_stopped") == Some(stopped)
                && metric(&page, "orrery_input_refused_drafts") > Some(refused)
            {
                return page;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{page}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let free = orrery_journal::guard::room(disk).expect("statvfs").free;
    let ballast = disk.join("ballast");
    // What the folds have yet to write needs room, too.
    std::fs::write(&ballast, vec![7; free as usize - (48 << 20)]).expect("most of it");
    wait(1.0, 20.0);
    for path in ["/api/models/gex/I:SPX", "/api/models/spot", "/healthz"] {
        assert_eq!(live.get(path).0, 200, "{path}: answers go on");
    }
    let stat = orrery.run(&["journal", "stat", "--json"]).expect(0).json();
    assert_eq!(stat["input_stopped"], true, "{stat:#}");
    std::fs::remove_file(&ballast).expect("removed");
    let page = wait(0.0, 20.0);
    let refused = metric(&page, "orrery_input_refused_drafts").expect("a count");
    assert_eq!(metric(&page, "orrery_input_stops"), Some(1.0), "{page}");
    assert_eq!(live.terminate(), 0);

    orrery.run(&["verify"]).expect(0);
    let journal = Journal::open(&orrery.data(), &OpenOptions::default()).expect("opens");
    let mut told = Vec::new();
    for stretch in journal.read(Seq::FIRST, Seq::MAX) {
        for event in stretch.expect("reads").events.iter() {
            match event.body {
                Body::Gap(gap) => told.push((gap.to.0 - gap.from.0, Value::Null)),
                Body::Control(blob) => {
                    let blob = journal.blob(blob).expect("there");
                    told.push((0, serde_json::from_slice(&blob).expect("JSON")));
                }
                _ => {}
            }
        }
    }
    let [(gap, _), (_, fact)] = &told[..] else { panic!("a gap and a fact: {told:?}") };
    assert!(*gap > 0);
    assert_eq!(fact["control"], "input_refused", "{fact:#}");
    // The guard also counts the gaps and facts that it refused.
    let drafts = fact["drafts"].as_f64().expect("a count");
    assert!(drafts > 20.0 && drafts <= refused, "{drafts} of {refused}");
    drop(journal);
    assert!(replays(&orrery, &orrery.data()) > 4);
}
