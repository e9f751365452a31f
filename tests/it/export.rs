//! What leaves the journal is what came in.

use std::fs;

use serde_json::Value;

use crate::support::exact::Exact;
use crate::support::{Orrery, shared, unpacked};

#[test]
fn the_vendor_gets_back_each_message_of_a_day() {
    let Some(folder) = shared("goog-20151224") else { return };
    let orrery = Orrery::new();
    orrery.import(&[&folder]);
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("day");
    let path = to.to_str().expect("a path");
    let told = orrery.run(&["export", "--day", "2015-12-24", "--to", path, "--json"]).expect(0);
    let told = told.json();
    assert_eq!((&told["written"], &told["chains"]), (&276_737.into(), &14.into()), "{told:#}");

    let read = |text: &str| -> Vec<Exact> { text.lines().map(Exact::parse).collect() };
    let theirs = read(&unpacked(&folder.join("ticks.ndjson.zst")));
    let ours = read(&fs::read_to_string(to.join("ticks.ndjson")).expect("written"));
    assert_eq!(ours.len(), theirs.len());
    for (n, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "line {}", n + 1);
    }
    let chains = unpacked(&folder.join("chain-snapshots.ndjson.zst"));
    let mut files: Vec<_> =
        fs::read_dir(to.join("chains")).expect("chains").flatten().map(|e| e.path()).collect();
    files.sort();
    for (file, line) in files.iter().zip(chains.lines()) {
        assert_eq!(fs::read_to_string(file).expect("written").trim_end(), line);
    }

    // Nothing is overwritten.
    let again = orrery.run(&["export", "--day", "2015-12-24", "--to", path]).expect(2);
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);

    // And a journal made of it gives the same once more.
    let second = Orrery::new();
    second.import(&[&to]);
    let back = out.path().join("back");
    let back_path = back.to_str().expect("a path");
    second.run(&["export", "--to", back_path]).expect(0);
    assert_eq!(
        fs::read(back.join("ticks.ndjson")).expect("written"),
        fs::read(to.join("ticks.ndjson")).expect("written")
    );
}

#[test]
fn exported_pages_hash_to_their_addresses() {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1", "--json"]).expect(0);
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("pages");
    let path = to.to_str().expect("a path");
    let told = orrery.run(&["export", "--form", "pages", "--to", path, "--json"]).expect(0).json();
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    let addresses: Vec<&str> =
        days[0]["pages"].as_array().expect("pages").iter().filter_map(Value::as_str).collect();
    let sums = fs::read_to_string(to.join("B3SUMS")).expect("written");
    let listed: Vec<(&str, &str)> = sums.lines().filter_map(|l| l.split_once("  ")).collect();
    assert!(listed.len() > 2, "{told:#}");
    assert_eq!(listed.iter().map(|(sum, _)| *sum).collect::<Vec<_>>(), addresses);
    for (sum, name) in listed {
        let bytes = fs::read(to.join(name)).expect("written");
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), sum, "{name}");
        assert_eq!(&bytes[..8], b"ORRYPAGE");
    }
}
