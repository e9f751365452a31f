//! Derived data that are made again and do not get to their end: killed, or on a
//! disk that runs full. Whatever is left is whole as far as it goes, the next
//! command goes on from there, and the end is the same.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use orrery_replay::derived::BODY_WINDOW_BYTES;
use serde_json::Value;

use crate::support::{Orrery, on_a_small_disk};

const KILLS: u32 = 5;

/// A recorded session whose heatmaps are far more than a fold that catches up
/// holds, and what the record says.
fn recorded(orrery: &Orrery) -> Value {
    orrery.run(&["demo", "--exit", "--seed", "9", "--minutes", "1"]).expect(0);
    forget(orrery);
    let record = record(orrery);
    let bytes = |header: &Value| header["body_bytes"].as_u64().expect("bytes");
    let heatmaps: u64 = orrery.headers("SPX", "heatmap").iter().map(bytes).sum();
    assert!(heatmaps > 4 * BODY_WINDOW_BYTES, "{heatmaps} bytes are too few for this test");
    record
}

/// The newest header of every family; each names the one before it.
fn record(orrery: &Orrery) -> Value {
    orrery.run(&["artifacts", "list", "--json"]).expect(0).json()
}

fn forget(orrery: &Orrery) {
    std::fs::remove_dir_all(orrery.data().join("derived")).expect("may be deleted at any time");
}

fn is_as_it_was(orrery: &Orrery, before: &Value) {
    assert!(record(orrery) == *before, "another record");
    orrery.run(&["verify", "--derived"]).expect(0);
}

/// Every header of the record, not only the newest.
fn replays(orrery: &Orrery) {
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    let day = days[0]["day"].as_str().expect("a date");
    let report = orrery.run(&["replay", day, "--json"]).expect(0).json();
    assert_eq!(report["identical"], true, "{report:#}");
}

#[test]
fn killed_at_any_moment_the_next_one_comes_to_the_same_end() {
    let orrery = Orrery::new();
    let before = recorded(&orrery);
    forget(&orrery);
    let start = Instant::now();
    assert!(record(&orrery) == before, "another record");
    let whole = start.elapsed();
    let mut killed = 0;
    for n in 1..=KILLS {
        forget(&orrery);
        let mut child = orrery
            .command(&["artifacts", "list", "--json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        std::thread::sleep(whole * n / (KILLS + 1));
        killed += u32::from(child.try_wait().expect("ours").is_none());
        let _ = child.kill();
        child.wait().expect("ours");
        orrery.run(&["verify", "--derived"]).expect(0);
        is_as_it_was(&orrery, &before);
    }
    replays(&orrery);
    assert!(killed > KILLS / 3, "only {killed} of {KILLS} did not come to their end");
}

#[test]
fn on_a_full_disk_it_says_so_and_goes_on_when_there_is_room() {
    on_a_small_disk("256m", |disk| {
        let orrery = Orrery::at(disk.join("data"));
        let before = recorded(&orrery);
        for room in [1, 3, 10] {
            forget(&orrery);
            fill(disk, room << 20);
            let told = orrery.run(&["artifacts", "list", "--json"]).expect(2);
            assert!(told.stderr.contains("the disk is full"), "{room} MiB: {told:#?}");
            std::fs::remove_file(disk.join("ballast")).expect("ours");
            is_as_it_was(&orrery, &before);
        }
        replays(&orrery);
    });
}

/// Leaves so much room.
fn fill(disk: &Path, room: u64) {
    let free = orrery_journal::guard::room(disk).expect("statvfs").free;
    std::fs::write(disk.join("ballast"), vec![7; (free - room) as usize]).expect("most of it");
}
