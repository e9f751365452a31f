//! Proofs end to end: a journal made and proven through the command line, and
//! two checkers that must agree, ours and `tools/verify.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use orrery::bundle::{self, AnyProven};
use orrery_journal::proof::checkpoint::Checkpoint;
use orrery_journal::proof::merkle::TreeHash;
use orrery_journal::proof::note::{PublicKey, SecretKey};
use orrery_journal::units::Address;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Ended, Orrery};

/// 2026-03-16 14:30 UTC, ms.
const OPENING: i64 = 1_773_671_400_000;
const DAY: i64 = 86_400_000;
pub const ORIGIN: &str = "test.example/orrery";

/// Quotes and trades of a day, one a millisecond; a bar in the midst if wanted.
pub fn ticks(day: i64, n: i64, bar: bool) -> String {
    let opening = OPENING + day * DAY;
    let lines = (0..n).map(|i| {
        let at = opening + i;
        if bar && i == n / 2 {
            return format!(
                r#"{{"ev":"AM","sym":"SPY","v":5,"o":1,"h":3,"l":1,"c":2,"s":{},"e":{at}}}"#,
                at - 60_000
            );
        }
        match i % 7 {
            0 => format!(r#"{{"ev":"T","sym":"SPY","p":{}.25,"s":{i},"t":{at}}}"#, 600 + i % 9),
            _ => format!(
                r#"{{"ev":"Q","sym":"O:SPXW26032{}C06540000","bp":{}.5,"ap":{},"bs":{i},"t":{at}}}"#,
                i % 5,
                i % 30,
                i % 30 + 1
            ),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub fn import(orrery: &Orrery, name: &str, text: &str) {
    let path = orrery.file(name, text);
    orrery.import(&[&path]);
}

/// A journal of such days, and its public key.
pub fn journal(days: &[(i64, bool)]) -> (Orrery, String) {
    let orrery = Orrery::new();
    for (day, (n, bar)) in (0..).zip(days) {
        import(&orrery, &format!("{day}.ndjson"), &ticks(day, *n, *bar));
    }
    let key = orrery.run(&["prove", "key", "--origin", ORIGIN]).expect(0);
    (orrery, key.stdout.trim().to_owned())
}

/// A day of three pages, a mixed one, a small one, and one that is still open.
pub const LARGE: &[(i64, bool)] = &[(9_000, false), (300, true), (40, false), (5, false)];
/// Five pages and one that is still open.
const SMALL: &[(i64, bool)] =
    &[(300, false), (400, false), (60, true), (40, false), (30, false), (5, false)];

/// First and last seq of each day.
pub fn days(orrery: &Orrery) -> Vec<(u64, u64)> {
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    let days = days.as_array().expect("a list").iter();
    days.map(|d| (d["first_seq"].as_u64().unwrap(), d["last_seq"].as_u64().unwrap())).collect()
}

pub fn python() -> Option<()> {
    let found = Command::new("python3").arg("--version").output();
    if found.is_ok_and(|out| out.status.success()) {
        return Some(());
    }
    println!("skipped: tools/verify.py needs python3, which is not here");
    None
}

pub fn tool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/verify.py")
}

pub fn verify_py(args: &[&str]) -> Ended {
    Command::new("python3").arg(tool()).args(args).output().expect("python3 starts").into()
}

/// Proves through the command line; the bundle's path.
#[track_caller]
pub fn prove(orrery: &Orrery, args: &[&str]) -> PathBuf {
    let path = orrery.file("bundle.json", "");
    let name = path.to_str().expect("UTF-8").to_owned();
    let told = orrery.run(&[&["prove"], args, &["--out", &name]].concat()).expect(0);
    assert!(told.stdout.contains("check it with the key"), "{told:?}");
    path
}

/// What both checkers say, which must be the same.
#[track_caller]
pub fn check(orrery: &Orrery, path: &Path, key: &str, more: &[&str]) -> Ended {
    let path = path.to_str().expect("UTF-8");
    let ours = orrery.run(&[&["prove", "--check", path, "--key", key], more].concat());
    if python().is_some() {
        // With installed modules and without; one of both will do for what is refused.
        let both = [&[][..], &["--pure"]];
        let ways = if ours.code == 0 { &both[..] } else { &both[ours.stdout.len() % 2..][..1] };
        for way in ways.iter().copied() {
            let theirs = verify_py(&[&[path, "--key", key], more, way].concat());
            assert_eq!(theirs.code, ours.code, "{ours:#?} {theirs:#?}");
            if ours.code == 0 {
                assert_eq!(theirs.stdout, ours.stdout);
            } else {
                assert!(theirs.stdout.starts_with("REFUSED: "), "{theirs:#?}");
            }
        }
    }
    ours
}

#[test]
fn what_is_proven_is_printed_alike_by_both_checkers() {
    let (orrery, key) = journal(LARGE);
    let days = days(&orrery);
    // Single events: a quote of the first day with the name of its
    // instrument; events before and behind the bar of a mixed page.
    let told = check(&orrery, &prove(&orrery, &["event", "5000"]), &key, &[]).expect(0).stdout;
    assert!(told.contains("seq=5000 ") && told.contains("ticker=O:SPXW26032"), "{told}");
    assert!(told.contains("HOLDS: 2 events"), "{told}");
    let bundle = std::fs::metadata(prove(&orrery, &["event", "5000"])).unwrap().len();
    assert!(bundle < 30_000, "a few chunks, not two pages: {bundle} bytes");
    let (first, last) = days[1];
    let [first, last] = [first + 5, last - 5].map(|seq| seq.to_string());
    let told = check(&orrery, &prove(&orrery, &["event", &first, &last]), &key, &[]);
    assert!(told.expect(0).stdout.contains(&format!("seq={last} ")));
    // A page; a range over three days with a bar in it.
    let told = check(&orrery, &prove(&orrery, &["page", "5000"]), &key, &[]).expect(0);
    assert_eq!(told.stdout.lines().count(), 4_097);
    let (from, to) = (days[0].1 - 10, days[2].1);
    let [from_text, to_text] = [from, to].map(|seq| seq.to_string());
    let path = prove(&orrery, &["range", &from_text, &to_text]);
    let told = check(&orrery, &path, &key, &[]).expect(0).stdout;
    assert_eq!(told.lines().count() as u64, to - from + 2);
    for part in ["kind=bar ", "kind=trade ", "kind=quote ", "kind=clock_beat", "open=1 high=3 "] {
        assert!(told.contains(part), "{part} in {told}");
    }
    // The same as JSON.
    let name = path.to_str().expect("UTF-8");
    let ours = orrery.run(&["prove", "--check", name, "--json"]).expect(0).json();
    assert_eq!(ours["events"].as_array().map(Vec::len), Some((to - from + 1) as usize));
    if python().is_some() {
        let theirs = verify_py(&[name, "--key", &key, "--json"]).expect(0).json();
        assert_eq!(theirs["events"], ours["events"]);
        assert_eq!(theirs["checkpoint"], ours["checkpoint"]);
        verify_py(&["--self-test"]).expect(0);
        verify_py(&["--self-test", "--pure"]).expect(0);
        verify_py(&[name]).expect(2);
        verify_py(&[name, "--key", "no key"]).expect(2);
        verify_py(&["/nowhere", "--key", &key]).expect(2);
    }
}

#[test]
fn a_kept_checkpoint_holds_the_log_to_its_history() {
    let (orrery, key) = journal(LARGE);
    let kept = orrery.run(&["prove", "checkpoint"]).expect(0).stdout;
    let kept = orrery.file("monday.txt", kept);
    let kept = kept.to_str().expect("UTF-8");
    import(&orrery, "e.ndjson", &ticks(4, 6_000, false));
    import(&orrery, "f.ndjson", &ticks(5, 5, false));
    let path = prove(&orrery, &["consistency", kept]);
    let told = check(&orrery, &path, &key, &["--kept", kept]).expect(0).stdout;
    assert!(told.contains("is the beginning of it"), "{told}");
    // By size, too: what was signed can be named by it.
    let size = orrery.run(&["prove", "checkpoint", "--json"]).expect(0).json()["size"].to_string();
    check(&orrery, &prove(&orrery, &["consistency", "5", &size]), &key, &[]).expect(0);
    let unknown = orrery.run(&["prove", "consistency", "1"]).expect(2).stderr;
    assert!(unknown.contains("there are some over 5, "), "{unknown}");
    let back = orrery.run(&["prove", "consistency", &size, "5"]).expect(2).stderr;
    assert!(back.contains("the earlier one first"), "{back}");
    // A proof under a newer checkpoint says nothing of the kept one.
    let event = prove(&orrery, &["event", "5000"]);
    let told = check(&orrery, &event, &key, &["--kept", kept]).expect(1).stdout;
    assert!(told.contains("proof of consistency"), "{told}");
    // Another log with the same key: both notes are good, and two histories.
    let other = Orrery::new();
    import(&other, "a.ndjson", &ticks(0, 9_001, false));
    import(&other, "b.ndjson", &ticks(1, 300, true));
    import(&other, "c.ndjson", &ticks(2, 40, false));
    import(&other, "d.ndjson", &ticks(3, 5, false));
    let proof = other.data().join("proof");
    std::fs::create_dir(&proof).expect("a folder");
    std::fs::copy(orrery.data().join("proof/key"), proof.join("key")).expect("copies");
    std::fs::write(proof.join("signed"), "").expect("an empty record");
    let event = prove(&other, &["event", "5000"]);
    let told = check(&other, &event, &key, &["--kept", kept]).expect(1).stdout;
    assert!(told.contains("two histories"), "{told}");
    let refused = other.run(&["prove", "consistency", kept]).expect(2).stderr;
    assert!(refused.contains("does not hold"), "{refused}");
    // Nor does it sign what contradicts the record it should have had.
    std::fs::copy(orrery.data().join("proof/signed"), proof.join("signed")).expect("copies");
    let refused = other.run(&["prove", "event", "5000"]).expect(2).stderr;
    assert!(refused.contains("history"), "{refused}");
}

#[test]
fn what_cannot_be_proven_says_why() {
    let (orrery, key) = journal(LARGE);
    // A log that has signed something keeps its name.
    orrery.run(&["prove", "checkpoint"]).expect(0);
    let (first, head) = *days(&orrery).last().expect("a day");
    for (args, why) in [
        (
            vec!["event".to_owned(), head.to_string()],
            "with the first event of the next trading day",
        ),
        (vec!["range".into(), "1".into(), first.to_string()], "is not sealed"),
        (vec!["page".into(), head.to_string()], "is not sealed"),
        (vec!["event".into(), (head + 1).to_string()], "the journal ends at event"),
        (vec!["event".into(), "0".into()], "there is no event 0"),
        (vec!["range".into(), "9".into(), "8".into()], "no range"),
        (vec!["event".into(), "1".into(), "--origin".into(), "x.example".into()], "keeps its name"),
        (vec!["--check".into(), "/nowhere".into()], "cannot read"),
        (vec!["--check".into(), "/nowhere".into(), "--key".into(), "a+b".into()], "--key"),
        (vec![], "Usage"),
    ] {
        let args: Vec<&str> =
            ["prove"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let ended = orrery.run(&args).expect(2);
        assert!(ended.stderr.contains(why), "{args:?}: {}", ended.stderr);
    }
    // Whose log? Without a data directory the key must be named.
    let path = prove(&orrery, &["event", "7"]);
    let path = path.to_str().expect("UTF-8");
    let elsewhere = Orrery::new();
    let unknown = elsewhere.run(&["prove", "--check", path]).expect(2);
    assert!(unknown.stderr.contains("--key"), "{}", unknown.stderr);
    elsewhere.run(&["prove", "--check", path, "--key", &key]).expect(0);
    let file = elsewhere.file("key.txt", &key);
    elsewhere.run(&["prove", "--check", path, "--key", file.to_str().unwrap()]).expect(0);
    assert!(!elsewhere.data().exists(), "checking needs no data");
}

/// Edits the bytes that a page of a bundle shows.
fn edit_bytes(bundle: &mut Value, page: usize, edit: impl FnOnce(&mut Vec<u8>)) {
    let text = &mut bundle["pages"][page]["chunks"][0]["bytes"];
    let mut bytes = STANDARD.decode(text.as_str().expect("text")).expect("base64");
    edit(&mut bytes);
    *text = STANDARD.encode(bytes).into();
}

/// Makes a page what somebody would who can hash: whole, with its address.
fn rehash(bundle: &mut Value, page: usize) {
    let mut length = 0;
    let mut address = String::new();
    edit_bytes(bundle, page, |bytes| {
        length = bytes.len();
        address = Address::of(bytes).to_string();
    });
    bundle["pages"][page]["length"] = length.into();
    bundle["pages"][page]["address"] = address.into();
}

/// Signs a log of only these pages with another key of the same name.
fn resign(bundle: &mut Value) {
    let pages = bundle["pages"].as_array().expect("pages");
    let leaves: Vec<TreeHash> = pages
        .iter()
        .map(|page| TreeHash::leaf(Address::parse(page["address"].as_str().unwrap()).unwrap()))
        .collect();
    let tree = orrery_journal::proof::merkle::Tree::default();
    let size = leaves.len() as u64;
    let path = |index| tree.inclusion(leaves.as_slice(), index, size).expect("a path");
    let paths: Vec<Vec<TreeHash>> = (0..size).map(path).collect();
    for (index, path) in paths.into_iter().enumerate() {
        let path: Vec<String> = path.iter().map(|hash| STANDARD.encode(hash.0)).collect();
        bundle["pages"][index]["path"] = json!(path);
    }
    let root = tree.root(leaves.as_slice(), size).expect("a root");
    let thief = SecretKey::from_seed(ORIGIN, [9; 32]).expect("a key");
    bundle["checkpoint"] = Checkpoint { origin: ORIGIN.into(), size, root }.sign(&thief).into();
}

#[test]
fn both_checkers_refuse_changed_dropped_reordered_and_rehashed_events() {
    let (orrery, key) = journal(SMALL);
    let days = days(&orrery);
    let last = days[4].1.to_string();
    let read = |path: PathBuf| -> Value {
        serde_json::from_slice(&std::fs::read(path).expect("reads")).expect("JSON")
    };
    let range = read(prove(&orrery, &["range", "1", &last]));
    assert_eq!(range["pages"].as_array().map(Vec::len), Some(5));
    // In the second page; its instrument was named in the first.
    let seq = (days[1].0 + 200).to_string();
    let event = read(prove(&orrery, &["event", &seq]));
    let refuse = |name: &str, bundle: &Value, why: &str| {
        let path = orrery.file("bad.json", bundle.to_string());
        let told = check(&orrery, &path, &key, &[]).expect(1).stdout;
        assert!(told.contains(why), "{name}: {told}");
    };
    type Edit = fn(&mut Value);
    let of_range: &[(&str, Edit, &str)] = &[
        ("price", |b| edit_bytes(b, 1, |bytes| bytes[64 + 25] ^= 1), "was changed"),
        (
            "price, rehashed",
            |b| {
                edit_bytes(b, 1, |bytes| bytes[64 + 25] ^= 1);
                rehash(b, 1);
            },
            "hashed anew",
        ),
        (
            "dropped event, rehashed",
            |b| {
                edit_bytes(b, 2, |bytes| drop(bytes.drain(640..704)));
                rehash(b, 2);
            },
            "hashed anew",
        ),
        (
            "swapped events, rehashed",
            |b| {
                edit_bytes(b, 0, |bytes| bytes[640..768].rotate_left(64));
                rehash(b, 0);
            },
            "hashed anew",
        ),
        (
            "everything rehashed and signed anew",
            |b| {
                edit_bytes(b, 1, |bytes| bytes[64 + 25] ^= 1);
                rehash(b, 1);
                resign(b);
            },
            "not signed by",
        ),
        ("dropped page", |b| drop(b["pages"].as_array_mut().unwrap().remove(2)), "left out"),
        ("dropped last page", |b| drop(b["pages"].as_array_mut().unwrap().pop()), "holds event"),
        ("swapped pages", |b| b["pages"].as_array_mut().unwrap().swap(1, 2), "out of order"),
        (
            "swapped numbers",
            |b| (b["pages"][1]["index"], b["pages"][2]["index"]) = (2.into(), 1.into()),
            "moved",
        ),
        ("wider claim", |b| b["to"] = (b["to"].as_u64().unwrap() + 1).into(), "holds event"),
        ("narrower claim", |b| b["from"] = 350.into(), "nothing to do"),
        ("claim upside down", |b| b["from"] = 99_999.into(), ""),
        ("no claim", |b| drop(b.as_object_mut().unwrap().remove("from")), "from"),
        ("strange field", |b| b["note"] = "x".into(), "note"),
        ("another claim's field", |b| b["events"] = json!([1]), "events"),
        ("format", |b| b["format"] = "orrery-proof/2".into(), "format"),
        ("what", |b| b["proves"] = "everything".into(), ""),
        ("null", |b| b["pages"] = Value::Null, ""),
        ("null for what is absent", |b| b["old"] = Value::Null, ""),
        ("a float", |b| b["from"] = json!(1.5), ""),
        ("a negative number", |b| b["from"] = json!(-1), ""),
        ("short hash", |b| b["pages"][0]["path"][0] = "AAAA".into(), ""),
        ("path too short", |b| drop(b["pages"][0]["path"].as_array_mut().unwrap().pop()), "log"),
        (
            "padding",
            |b| {
                let text = b["pages"][0]["path"][0].as_str().unwrap();
                b["pages"][0]["path"][0] = text.trim_end_matches('=').into();
            },
            "",
        ),
        (
            "size",
            |b| {
                b["checkpoint"] = b["checkpoint"].as_str().unwrap().replace("\n5\n", "\n6\n").into()
            },
            "signature",
        ),
    ];
    for (name, edit, why) in of_range {
        let mut bad = range.clone();
        edit(&mut bad);
        refuse(name, &bad, why);
    }
    let of_event: &[(&str, Edit, &str)] = &[
        ("another event", |b| b["events"][1] = 400.into(), "does not show"),
        ("beyond the pages", |b| b["events"][1] = 9_900.into(), "holds event"),
        ("twice", |b| b["events"][0] = b["events"][1].clone(), ""),
        ("none", |b| b["events"] = json!([]), "empty"),
        ("left out", |b| drop(b["events"].as_array_mut().unwrap().remove(0)), "nothing to do"),
        ("length", |b| b["pages"][1]["length"] = 25_000.into(), ""),
        ("chunk moved", |b| b["pages"][1]["chunks"][1]["first"] = 7.into(), ""),
        (
            "chunk left out",
            |b| drop(b["pages"][1]["chunks"].as_array_mut().unwrap().remove(1)),
            "hashes",
        ),
        ("hash left out", |b| drop(b["pages"][1]["tree"].as_array_mut().unwrap().pop()), "hashes"),
        ("bit in a chunk", |b| edit_bytes(b, 1, |bytes| bytes[1_000] ^= 128), "changed"),
    ];
    for (name, edit, why) in of_event {
        let mut bad = event.clone();
        edit(&mut bad);
        refuse(name, &bad, why);
    }
    // What JSON allows and a bundle does not.
    let text = event.to_string();
    for (name, bad) in [
        ("repeated field", text.replacen('{', r#"{"format":"orrery-proof/1","#, 1)),
        ("cut", text[..text.len() / 2].to_owned()),
        ("empty", String::new()),
        ("nested", "[".repeat(100_000)),
        ("half a character", text.replacen("test.example", "\\ud800", 1)),
        ("a number", "7".to_owned()),
    ] {
        let path = orrery.file("bad.json", bad);
        let told = check(&orrery, &path, &key, &[]).expect(1);
        assert!(told.stdout.starts_with("REFUSED: "), "{name}: {told:?}");
    }
}

/// Loads the checker once and hands it one changed bundle after the other.
const EVERY_BYTE: &str = r#"
import base64, copy, importlib.util, json, sys
spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)
verify.use_installed_modules()
good, key = json.load(open(sys.argv[2])), verify.Key(sys.argv[3])
held = verify.check(json.dumps(good).encode(), key)[2]
count = 0

def refused(bad, what):
    global count
    try:
        verify.check(json.dumps(bad).encode(), key)
    except verify.Refused:
        count += 1
        return
    sys.exit(f"accepted: {what}")

def flips(text, put, what):
    data = base64.b64decode(text)
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        refused(put(base64.b64encode(bad).decode()), f"{what}, byte {at}")

def at(*place):
    def put(text):
        bad = copy.deepcopy(good)
        spot = bad
        for step in place[:-1]:
            spot = spot[step]
        spot[place[-1]] = text
        return bad
    return put

for p, page in enumerate(good["pages"]):
    for n, text in enumerate(page["path"]):
        flips(text, at("pages", p, "path", n), f"path {n} of page {p}")
    for n, text in enumerate(page["tree"]):
        flips(text, at("pages", p, "tree", n), f"tree {n} of page {p}")
    for n, chunks in enumerate(page["chunks"]):
        flips(chunks["bytes"], at("pages", p, "chunks", n, "bytes"), f"chunks {n} of page {p}")
    for n, c in enumerate(page["address"]):
        other = "0" if c != "0" else "1"
        text = page["address"][:n] + other + page["address"][n + 1:]
        refused(at("pages", p, "address")(text), f"address of page {p}, digit {n}")
note = good["checkpoint"].encode()
for n in range(len(note)):
    bad = bytearray(note)
    bad[n] ^= 1 << n % 8
    refused(at("checkpoint")(bad.decode(errors="replace")), f"checkpoint, byte {n}")
print(len(held), count)
"#;

#[test]
fn every_changed_byte_of_a_small_bundle_is_refused() {
    let (orrery, key) = journal(&[(35, false), (20, false), (3, false)]);
    let (first, last) = days(&orrery)[0];
    // Near the end of a page of three chunks: the one in the middle is left out.
    let path = prove(&orrery, &["event", &(last - 2).to_string()]);
    let good = bundle::parse(&std::fs::read(&path).expect("reads")).expect("a bundle");
    let public = PublicKey::parse(&key).expect("a key");
    let AnyProven::Log(proven) = good.check(&public).expect("true") else { panic!("events") };
    assert_eq!(proven.events.len(), 2, "{first} to {last}");
    if python().is_none() {
        return;
    }
    let out = Command::new("python3")
        .args(["-c", EVERY_BYTE])
        .arg(tool())
        .arg(&path)
        .arg(&key)
        .output()
        .expect("python3 starts");
    let ended = Ended::from(out).expect(0);
    let (events, refused) = ended.stdout.trim().split_once(' ').expect("two numbers");
    assert_eq!(events, "2");
    assert!(refused.parse::<u32>().expect("a number") > 1_500, "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever the bytes are, reading them ends with an answer, and what is
    /// read and written comes back.
    #[test]
    fn no_bytes_make_the_reader_panic(
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        cut in any::<usize>(),
    ) {
        let mut bytes = include_bytes!("proof/bundle.json").to_vec();
        let public = PublicKey::parse(include_str!("proof/key.txt")).expect("a key");
        let good = bundle::parse(&bytes).expect("a bundle");
        prop_assert_eq!(&bundle::parse(bundle::to_json(&good)?.as_bytes())?, &good);
        prop_assert!(good.check(&public).is_ok());
        for (at, value) in &edits {
            let at = at % bytes.len();
            bytes[at] = *value;
        }
        if cut % 5 == 0 {
            bytes.truncate(cut % bytes.len());
        }
        if let Ok(read) = bundle::parse(&bytes)
            && read != good
        {
            // JSON has room for changes that mean nothing, such as a space.
            prop_assert!(read.check(&public).is_err());
        }
    }
}
