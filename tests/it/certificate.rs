//! Trading days certified, artifacts proven under them, and the key that signs
//! replaced: through the command line, with and without a server, and with two
//! checkers that must agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use orrery::bundle::{self, AnyBundle};
use orrery_journal::proof::checkpoint::Checkpoint;
use orrery_journal::proof::merkle::TreeHash;
use orrery_journal::proof::note::{PublicKey, SecretKey};
use orrery_journal::units::Address;
use orrery_replay::artifact::Header;
use orrery_replay::certificate::Certificate;
use serde_json::{Value, json};

use crate::live::Live;
use crate::proof::{LARGE, ORIGIN, check, import, journal, prove, python, ticks, tool, verify_py};
use crate::support::{Ended, Orrery};

const DAYS: [&str; 4] = ["2026-03-16", "2026-03-17", "2026-03-18", "2026-03-19"];

/// Four days, the first three of them certified, and the log's public key.
fn certified() -> (Orrery, String) {
    let (orrery, key) = journal(LARGE);
    for day in &DAYS[..3] {
        orrery.run(&["seal", day]).expect(0);
    }
    (orrery, key)
}

fn note(orrery: &Orrery, day: &str) -> String {
    let shown = orrery.run(&["certificate", day, "--json"]).expect(0).json();
    shown["note"].as_str().expect("a note").to_owned()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("reads")).expect("JSON")
}

/// A version of a family that was made on a day.
fn made_on(orrery: &Orrery, symbol: &str, family: &str, day: &str) -> String {
    let headers = orrery.headers(symbol, family);
    let of_day = |h: &&Value| h["created_at"].as_str().is_some_and(|at| at.starts_with(day));
    headers.iter().find(of_day).expect("one of that day")["version"].to_string()
}

#[test]
fn a_day_is_certified_once_and_its_certificate_outlives_what_was_derived() {
    let (orrery, _) = journal(LARGE);
    let refused = orrery.run(&["certificate", DAYS[0]]).expect(2).stderr;
    assert!(refused.contains("orrery seal 2026-03-16"), "{refused}");
    let sealed = orrery.run(&["seal", DAYS[0], "--json"]).expect(0).json();
    assert_eq!((&sealed["made"], &sealed["number"]), (&json!(true), &json!(1)));
    let again = orrery.run(&["seal", DAYS[0], "--json"]).expect(0).json();
    assert_eq!((&again["made"], &again["note"]), (&json!(false), &sealed["note"]));
    assert_eq!(json!(note(&orrery, DAYS[0])), sealed["note"]);
    // What it says is what the other commands say.
    let text = sealed["note"].as_str().expect("a note").rsplit_once("\n\n").expect("signed").0;
    let certificate = Certificate::parse(&format!("{text}\n")).expect("a certificate");
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    let of_day = &days[0];
    let facts = &certificate.facts;
    assert_eq!(
        json!([facts.first.0, facts.last.0]),
        json!([of_day["first_seq"], of_day["last_seq"]])
    );
    assert_eq!(facts.pages, of_day["pages"].as_array().expect("pages").len() as u64);
    for (kind, n) in &facts.kinds {
        assert_eq!(json!(n), of_day["kinds"][kind.name()], "{kind:?}");
    }
    assert_eq!((&of_day["certificate"], &days[1]["certificate"]), (&json!(1), &Value::Null));
    let made: usize = [("SPY", "spot"), ("SPY", "candles"), ("SPY", "gravity")]
        .iter()
        .map(|(symbol, family)| {
            let at = |h: &Value| h["created_at"].as_str().expect("a time").starts_with(DAYS[0]);
            orrery.headers(symbol, family).iter().filter(|h| at(h)).count()
        })
        .sum();
    assert!(made > 3 && facts.artifacts >= made as u64, "{made} of {}", facts.artifacts);
    // Nothing of it lies in what may be deleted, and all of it is found again.
    fs::remove_dir_all(orrery.data().join("derived")).expect("removes");
    let holds = orrery.run(&["certificate", DAYS[0], "--verify"]).expect(0).stdout;
    assert!(holds.contains("HOLDS: certificate 2026-03-16.1"), "{holds}");
    orrery.run(&["certificate", DAYS[0], "--verify", "--from-scratch"]).expect(0);
    // The same facts are the same bytes, whenever they are signed.
    fs::remove_file(orrery.data().join("proof/days/2026-03-16.1")).expect("removes");
    let anew = orrery.run(&["seal", DAYS[0], "--json", "--threads", "1"]).expect(0).json();
    assert_eq!((&anew["made"], &anew["note"]), (&json!(true), &sealed["note"]));
    // A day that is not over is not certified; one that the calendar has ended
    // can be closed, and the next certificate opens where this one closes.
    let refused = orrery.run(&["seal", DAYS[3]]).expect(2).stderr;
    assert!(refused.contains("is not over"), "{refused}");
    assert!(refused.contains(&format!("orrery seal {} --close", DAYS[3])), "{refused}");
    assert!(orrery.run(&["seal", "2026-03-20"]).expect(2).stderr.contains("no events"));
    assert!(orrery.run(&["seal", "tomorrow"]).expect(2).stderr.contains("no date"));
    orrery.run(&["seal", DAYS[3], "--close"]).expect(0);
    orrery.run(&["seal", DAYS[3], "--close"]).expect(0);
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    assert_eq!(days[4]["day"], json!("2026-03-20"));
    assert_eq!(days[4]["first_recv"], json!("2026-03-20T04:00:00.000000000Z"), "one beat");
    assert_eq!(days[4]["kinds"], json!({ "clock_beat": 1, "source_defined": 1 }));
    for day in &DAYS[1..3] {
        orrery.run(&["seal", day]).expect(0);
    }
    let line = |day: &str, name: &str| {
        let note = note(&orrery, day);
        note.lines().find_map(|l| l.strip_prefix(name)).expect("a line").to_owned()
    };
    for days in DAYS.windows(2) {
        assert_eq!(line(days[0], "closing "), line(days[1], "opening "), "{days:?}");
    }
    let all = orrery.run(&["certificate", "--json"]).expect(0).json();
    let names: Vec<&Value> = all.as_array().expect("a list").iter().map(|c| &c["day"]).collect();
    assert_eq!(names, DAYS);
}

#[test]
fn other_definitions_get_another_certificate_and_the_first_says_what_differs() {
    let (orrery, key) = certified();
    let first = note(&orrery, DAYS[1]);
    let parameters = orrery.file("p.json", r#"{"gravity":{"kept_trades":7}}"#);
    let with = ["--parameters", parameters.to_str().expect("UTF-8")];
    fs::remove_dir_all(orrery.data().join("derived")).expect("removes");
    let run = |args: &[&str]| orrery.run(&[args, &with].concat());
    let refused = run(&["seal", DAYS[1]]).expect(2).stderr;
    assert!(refused.contains("--again") && refused.contains("says opening"), "{refused}");
    assert_eq!(note(&orrery, DAYS[1]), first);
    let differs = run(&["certificate", DAYS[1], "--verify", "--json"]).expect(1).json();
    let fields: Vec<&str> = differs["differences"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| d["field"].as_str().expect("a name"))
        .collect();
    assert_eq!(fields, ["opening", "closing", "configuration", "artifacts"]);
    let again = run(&["seal", DAYS[1], "--again", "--json"]).expect(0).json();
    assert_eq!(again["number"], json!(2));
    run(&["certificate", DAYS[1], "--verify"]).expect(0);
    run(&["certificate", DAYS[1], "--verify", "--number", "1"]).expect(1);
    assert!(
        run(&["certificate", DAYS[1], "--number", "3"])
            .expect(2)
            .stderr
            .contains("no certificate 3")
    );
    // Both are proven, each as what it is.
    for number in ["1", "2"] {
        let day = prove(&orrery, &["day", DAYS[1], "--number", number]);
        let told = check(&orrery, &day, &key, &[]).expect(0).stdout;
        assert!(told.contains(&format!("HOLDS: certificate 2026-03-17.{number}")), "{told}");
    }
    // Events that are not those that were certified are never certified again.
    let other = Orrery::new();
    import(&other, "a.ndjson", &ticks(0, 9_001, false));
    import(&other, "b.ndjson", &ticks(1, 300, true));
    let proof = other.data().join("proof");
    fs::create_dir_all(proof.join("days")).expect("folders");
    fs::write(proof.join("signed"), "").expect("writes");
    for name in ["key", "days/2026-03-16.1"] {
        fs::copy(orrery.data().join("proof").join(name), proof.join(name)).expect("copies");
    }
    let refused = other.run(&["seal", DAYS[0], "--again"]).expect(2).stderr;
    assert!(refused.contains("not the events that were certified"), "{refused}");
}

#[test]
fn days_and_artifacts_are_proven_and_told_alike_by_both_checkers() {
    let (orrery, key) = certified();
    let day = prove(&orrery, &["day", DAYS[0]]);
    let told = check(&orrery, &day, &key, &[]).expect(0).stdout;
    assert!(told.starts_with("orrery day certificate 1\nlog test.example/orrery\n"), "{told}");
    assert!(told.contains("HOLDS: certificate 2026-03-16.1, in the log"), "{told}");
    let mut proven = 0;
    for (symbol, family, day) in
        [("SPY", "spot", 0), ("SPY", "candles", 1), ("SPX", "gravity", 0), ("SPY", "levels", 2)]
    {
        let version = made_on(&orrery, symbol, family, DAYS[day]);
        let path = prove(&orrery, &["artifact", symbol, family, &version]);
        let told = check(&orrery, &path, &key, &[]).expect(0).stdout;
        let wanted = format!("symbol={symbol} family={family} ");
        assert!(told.starts_with(&wanted) && told.contains(" with its body\n"), "{told}");
        assert!(told.contains(&format!("HOLDS: certificate {}.1", DAYS[day])), "{told}");
        // The body is the one that is shown, byte for byte.
        let shown = orrery.artifact(symbol, family, version.parse().expect("a number"));
        let body = read(&path)["artifact"]["body"].as_str().expect("a text").to_owned();
        assert_eq!(serde_json::from_str::<Value>(&body).expect("JSON"), shown["body"]);
        assert_eq!(json!(Address::of(body.as_bytes()).to_string()), shown["header"]["content"]);
        proven += 1;
    }
    assert_eq!(proven, 4);
    let version = made_on(&orrery, "SPY", "spot", DAYS[0]);
    let path =
        prove(&orrery, &["artifact", "SPY", "spot", &format!("v{version}"), "--header-only"]);
    assert_eq!(read(&path)["artifact"]["body"], Value::Null);
    let told = check(&orrery, &path, &key, &[]).expect(0).stdout;
    assert!(told.contains(" without its body\n"), "{told}");
    let name = path.to_str().expect("UTF-8");
    let ours = orrery.run(&["prove", "--check", name, "--json"]).expect(0).json();
    if python().is_some() {
        assert_eq!(verify_py(&[name, "--key", &key, "--json"]).expect(0).json(), ours);
    }
    // What cannot be proven says why.
    let of_last = made_on(&orrery, "SPY", "spot", DAYS[3]);
    for (args, why) in [
        (["artifact", "SPY", "spot", &of_last], "is not over"),
        (["artifact", "SPY", "spot", "9999"], "no artifact SPY spot v9999"),
        (["artifact", "SPY", "spott", "1"], "no artifact"),
        (["artifact", "SPY", "spot", "one"], "no version"),
        (["day", DAYS[3], "--number", "1"], "orrery seal"),
    ] {
        let refused = orrery.run(&[&["prove"], &args[..]].concat()).expect(2).stderr;
        assert!(refused.contains(why), "{args:?}: {refused}");
    }
}

fn edit_text(value: &mut Value, edit: impl FnOnce(&str) -> String) {
    *value = edit(value.as_str().expect("text")).into();
}

fn edit_header(bundle: &mut Value, edit: impl FnOnce(&mut Header)) {
    edit_text(&mut bundle["artifact"]["header"], |text| {
        let mut header = Header::decode(&STANDARD.decode(text).expect("base64")).expect("a header");
        edit(&mut header);
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        STANDARD.encode(bytes)
    });
}

/// Changes the body and everything that follows from it, up to the signatures,
/// which are another key's of the same name.
fn forge(bundle: &mut Value) {
    edit_text(&mut bundle["artifact"]["body"], |body| body.replacen('{', "{ ", 1));
    let body = bundle["artifact"]["body"].as_str().expect("text").to_owned();
    edit_header(bundle, |header| {
        header.content = Address::of(body.as_bytes());
        header.body_len = body.len() as u64;
    });
    let header = STANDARD.decode(bundle["artifact"]["header"].as_str().expect("text"));
    let header = Header::decode(&header.expect("base64")).expect("a header");
    bundle["artifact"]["index"] = 0.into();
    bundle["artifact"]["path"] = json!([]);
    let thief = SecretKey::from_seed(ORIGIN, [9; 32]).expect("a key");
    let mut size_and_root = (0, TreeHash::empty());
    edit_text(&mut bundle["certificate"], |note| {
        let (text, _) = note.rsplit_once("\n\n").expect("a note");
        let mut certificate = Certificate::parse(&format!("{text}\n")).expect("a certificate");
        certificate.facts.artifacts = 1;
        certificate.facts.artifact_root = TreeHash::leaf(header.hash());
        size_and_root = (certificate.facts.size(), certificate.facts.root);
        thief.sign(&certificate.text())
    });
    let (size, root) = size_and_root;
    bundle["checkpoint"] = Checkpoint { origin: ORIGIN.into(), size, root }.sign(&thief).into();
    bundle["path"] = json!([]);
    let own = bundle::parse(bundle.to_string().as_bytes()).expect("a bundle");
    assert!(own.check(&thief.public()).is_ok(), "whoever trusts the thief is lost");
}

#[test]
fn both_checkers_refuse_what_was_changed_moved_or_forged() {
    let (orrery, key) = certified();
    let version = made_on(&orrery, "SPY", "spot", DAYS[0]);
    let good = read(&prove(&orrery, &["artifact", "SPY", "spot", &version]));
    let other_version = made_on(&orrery, "SPY", "spot", DAYS[1]);
    let other = read(&prove(&orrery, &["artifact", "SPY", "spot", &other_version]));
    let refuse = |name: &str, bundle: &Value, why: &str| {
        let path = orrery.file("bad.json", bundle.to_string());
        let told = check(&orrery, &path, &key, &[]).expect(1).stdout;
        assert!(told.contains(why), "{name}: {told}");
    };
    type Edit = fn(&mut Value, &Value);
    let edits: &[(&str, Edit, &str)] = &[
        (
            "body",
            |b, _| edit_text(&mut b["artifact"]["body"], |t| t.replacen(':', ": ", 1)),
            "body was changed",
        ),
        (
            "body and its hash in the header",
            |b, _| {
                edit_text(&mut b["artifact"]["body"], |t| t.replacen(':', ": ", 1));
                let body = b["artifact"]["body"].as_str().unwrap().to_owned();
                edit_header(b, |h| h.content = Address::of(body.as_bytes()));
            },
            "is not among",
        ),
        ("header", |b, _| edit_header(b, |h| h.seq_last = h.seq_last.next()), "is not among"),
        ("version", |b, _| edit_header(b, |h| h.version += 1), "is not among"),
        ("epoch", |b, _| edit_header(b, |h| h.epoch = Some(Address([1; 32]))), "is not among"),
        ("time", |b, _| edit_header(b, |h| h.created_at.0 = i64::MAX), ""),
        ("place", |b, _| b["artifact"]["index"] = 0.into(), "is not among"),
        ("far place", |b, _| b["artifact"]["index"] = u64::MAX.into(), "is not among"),
        ("path", |b, _| drop(b["artifact"]["path"].as_array_mut().unwrap().pop()), "not among"),
        ("artifact of another day", |b, o| b["artifact"] = o["artifact"].clone(), "not among"),
        (
            "certificate of another day",
            |b, o| {
                b["certificate"] = o["certificate"].clone();
                b["path"] = o["path"].clone();
            },
            "is not among",
        ),
        (
            "certificate of another day without its path",
            |b, o| b["certificate"] = o["certificate"].clone(),
            "does not begin with",
        ),
        ("the log's path", |b, _| b["path"][0] = STANDARD.encode([7; 32]).into(), "begin with"),
        ("no path", |b, _| b["path"] = json!([]), "does not begin with"),
        // Both are signed by the right key, and neither is the other.
        ("a checkpoint for a certificate", |b, _| b["certificate"] = b["checkpoint"].clone(), ""),
        ("a certificate for a checkpoint", |b, _| b["checkpoint"] = b["certificate"].clone(), ""),
        (
            "day",
            |b, _| edit_text(&mut b["certificate"], |t| t.replacen("03-16", "03-17", 1)),
            "signature",
        ),
        (
            "artifacts",
            |b, _| {
                edit_text(&mut b["certificate"], |t| t.replacen("\nartifacts ", "\nartifacts 1", 1))
            },
            "signature",
        ),
        ("everything, hashed and signed anew", |b, _| forge(b), "not signed by"),
        ("no certificate", |b, _| drop(b.as_object_mut().unwrap().remove("certificate")), ""),
        ("no artifact", |b, _| drop(b.as_object_mut().unwrap().remove("artifact")), ""),
        ("another claim", |b, _| b["proves"] = "day".into(), ""),
        ("another claim's field", |b, _| b["events"] = json!([1]), ""),
        ("no body, said aloud", |b, _| b["artifact"]["body"] = Value::Null, ""),
        ("a strange field", |b, _| b["artifact"]["note"] = "x".into(), ""),
        ("no header", |b, _| b["artifact"]["header"] = "".into(), "header"),
        (
            "half a header",
            |b, _| {
                edit_text(&mut b["artifact"]["header"], |t| {
                    let bytes = STANDARD.decode(t).unwrap();
                    STANDARD.encode(&bytes[..bytes.len() / 2])
                });
            },
            "header",
        ),
        (
            "more than a header",
            |b, _| {
                edit_text(&mut b["artifact"]["header"], |t| {
                    STANDARD.encode([&STANDARD.decode(t).unwrap()[..], &[0]].concat())
                });
            },
            "header",
        ),
    ];
    for (name, edit, why) in edits {
        let mut bad = good.clone();
        edit(&mut bad, &other);
        assert_ne!(bad, good, "{name}");
        refuse(name, &bad, why);
    }
    // A day by itself is refused for the same reasons.
    let mut day = read(&prove(&orrery, &["day", DAYS[0]]));
    refuse(
        "a day with an artifact",
        &{
            let mut bad = day.clone();
            bad["artifact"] = good["artifact"].clone();
            bad
        },
        "",
    );
    day["path"] = json!([]);
    refuse("a day of another history", &day, "does not begin with");
}

/// Loads the checker once and hands it one changed document after the other.
const EVERY_PLACE: &str = r#"
import copy, importlib.util, json, sys
spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)
verify.use_installed_modules()
text, key = open(sys.argv[2]).read(), verify.Key(sys.argv[3])
held = verify.check(text.encode(), key)
for change in json.load(open(sys.argv[4])):
    try:
        verify.check(change.encode(), key)
        print("holds")
    except verify.Refused:
        print("refused")
"#;

#[test]
fn the_checkers_agree_on_every_place_of_a_certificate_and_a_header() {
    let (orrery, key) = certified();
    let version = made_on(&orrery, "SPY", "spot", DAYS[1]);
    let path = prove(&orrery, &["artifact", "SPY", "spot", &version]);
    let (text, good) = (fs::read_to_string(&path).expect("reads"), read(&path));
    let mut changed = Vec::new();
    // One character of each line of the certificate and the checkpoint.
    for field in ["certificate", "checkpoint"] {
        let note: Vec<char> = good[field].as_str().expect("text").chars().collect();
        let mut line = 0;
        for at in 0..note.len() {
            line = if note[at] == '\n' { 0 } else { line + 1 };
            if line % 9 == 8 || note[at] == '\n' {
                let mut bad = good.clone();
                let mut other = note.clone();
                other[at] = if other[at] == '1' { '2' } else { '1' };
                bad[field] = other.into_iter().collect::<String>().into();
                changed.push(bad.to_string());
            }
        }
    }
    // One bit of each byte of the header, of each path, of the body.
    let header = STANDARD.decode(good["artifact"]["header"].as_str().expect("text"));
    let header = header.expect("base64");
    for at in 0..header.len() {
        let (mut bad, mut bytes) = (good.clone(), header.clone());
        bytes[at] ^= 1 << (at % 8);
        bad["artifact"]["header"] = STANDARD.encode(bytes).into();
        changed.push(bad.to_string());
    }
    for (place, list) in [("/path", &good["path"]), ("/artifact/path", &good["artifact"]["path"])] {
        for n in 0..list.as_array().expect("a path").len() {
            let mut bad = good.clone();
            let hash = bad.pointer_mut(&format!("{place}/{n}")).expect("a hash");
            let mut bytes = STANDARD.decode(hash.as_str().expect("text")).expect("base64");
            bytes[n % 32] ^= 1;
            *hash = STANDARD.encode(bytes).into();
            changed.push(bad.to_string());
        }
    }
    let body = good["artifact"]["body"].as_str().expect("text");
    for at in (0..body.len()).step_by(body.len() / 20) {
        let mut bad = good.clone();
        let mut other = body.as_bytes().to_vec();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        bad["artifact"]["body"] = String::from_utf8_lossy(&other).into_owned().into();
        changed.push(bad.to_string());
    }
    // What JSON may change and the bundle may not care for.
    changed.push(good.to_string());
    changed.push(text.replace('\n', "\r\n "));
    let public = PublicKey::parse(&key).expect("a key");
    let ours: Vec<&str> = changed
        .iter()
        .map(|text| {
            let read = bundle::parse(text.as_bytes());
            match read.is_ok_and(|bundle: AnyBundle| bundle.check(&public).is_ok()) {
                true => "holds",
                false => "refused",
            }
        })
        .collect();
    assert!(ours.len() > 300, "{}", ours.len());
    assert_eq!(ours.iter().filter(|said| **said == "holds").count(), 2);
    if python().is_none() {
        return;
    }
    let list = orrery.file("changed.json", json!(changed).to_string());
    let mut python = Command::new("python3");
    let python = python.args(["-c", EVERY_PLACE]).arg(tool()).arg(&path).arg(&key).arg(&list);
    let out = python.output().expect("python3 starts");
    let theirs = Ended::from(out).expect(0).stdout;
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(theirs, ours);
}

#[test]
fn a_new_key_goes_on_and_what_the_former_one_signed_still_holds() {
    let (orrery, former) = certified();
    let version = made_on(&orrery, "SPY", "spot", DAYS[0]);
    let keep = |name: &str, path: PathBuf| orrery.file(name, fs::read(path).expect("reads"));
    let old_day = keep("day.json", prove(&orrery, &["day", DAYS[0]]));
    let old = keep("old.json", prove(&orrery, &["artifact", "SPY", "spot", &version]));
    let monday = orrery.file("monday.txt", orrery.run(&["prove", "checkpoint"]).expect(0).stdout);
    let monday = monday.to_str().expect("UTF-8");
    let handover = orrery.run(&["key", "rotate"]).expect(0).stdout;
    assert_eq!(orrery.run(&["key", "handovers"]).expect(0).stdout, handover);
    let handovers = orrery.file("handovers.txt", &handover);
    let handovers = handovers.to_str().expect("UTF-8");
    let key = orrery.run(&["key", "show"]).expect(0).stdout.trim().to_owned();
    assert_ne!(key, former);
    assert!(handover.contains(&format!("\nnext {key}\nby {former}\n\n")), "{handover}");
    // The former key checks what it signed, and nothing that came later.
    check(&orrery, &old_day, &former, &[]).expect(0);
    check(&orrery, &old, &former, &[]).expect(0);
    import(&orrery, "later.ndjson", &ticks(4, 300, false));
    import(&orrery, "last.ndjson", &ticks(5, 3, false));
    let event = prove(&orrery, &["event", "7"]);
    let refused = check(&orrery, &event, &former, &[]).expect(1).stdout;
    assert!(refused.contains("not signed by"), "{refused}");
    check(&orrery, &event, &key, &[]).expect(0);
    // Whoever trusts the former one follows the handover.
    check(&orrery, &event, &former, &["--handovers", handovers]).expect(0);
    // Old certificates are proven under the new key, signed by both.
    let day = prove(&orrery, &["day", DAYS[0]]);
    check(&orrery, &day, &key, &[]).expect(0);
    assert_eq!(read(&day)["certificate"].as_str().expect("text").matches('\u{2014}').count(), 2);
    check(&orrery, &prove(&orrery, &["artifact", "SPY", "spot", &version]), &key, &[]).expect(0);
    orrery.run(&["certificate", DAYS[0], "--verify"]).expect(0);
    // And the log still begins with what was kept.
    let path = prove(&orrery, &["consistency", monday]);
    check(&orrery, &path, &key, &[]).expect(0);
    let more = ["--handovers", handovers, "--kept", monday];
    check(&orrery, &path, &former, &more).expect(0);
    // A stranger's handover leads nowhere.
    let thief = SecretKey::from_seed(ORIGIN, [9; 32]).expect("a key");
    let stolen = handover.replace(&key, &thief.public().to_string());
    let stolen = orrery.file("stolen.txt", stolen);
    let ended = orrery.run(&[
        "prove",
        "--check",
        event.to_str().expect("UTF-8"),
        "--key",
        &former,
        "--handovers",
        stolen.to_str().expect("UTF-8"),
    ]);
    assert!(ended.expect(2).stderr.contains("leads to no other key"));
    if python().is_some() {
        let args = [event.to_str().expect("UTF-8"), "--key", &former];
        let stolen = ["--handovers", stolen.to_str().expect("UTF-8")];
        verify_py(&[&args[..], &stolen[..]].concat()).expect(2);
    }
}

#[test]
fn days_that_are_dropped_are_certified_first_and_keep_their_certificates() {
    let (orrery, key) = journal(LARGE);
    orrery.run(&["compact", "--keep-days", "2"]).expect(0);
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    for (n, day) in DAYS.iter().enumerate() {
        assert_eq!(days[n]["dropped"], json!(n < 2), "{day}");
        assert_eq!(days[n]["certificate"].is_null(), n >= 2, "{day}");
    }
    let told = check(&orrery, &prove(&orrery, &["day", DAYS[0]]), &key, &[]).expect(0).stdout;
    assert!(told.contains("count quote 7714"), "{told}");
    let refused = orrery.run(&["certificate", DAYS[0], "--verify"]).expect(2).stderr;
    assert!(refused.contains("dropped by retention"), "{refused}");
    // A day behind the cut is certified and proven as ever.
    orrery.run(&["seal", DAYS[2]]).expect(0);
    orrery.run(&["certificate", DAYS[2], "--verify"]).expect(0);
    let version = made_on(&orrery, "SPY", "spot", DAYS[2]);
    check(&orrery, &prove(&orrery, &["artifact", "SPY", "spot", &version]), &key, &[]).expect(0);
}

#[test]
fn a_server_certifies_the_day_that_ended_and_answers_for_the_others() {
    use std::os::unix::fs::PermissionsExt;
    let (orrery, key) = journal(LARGE);
    let live = Live::start(&orrery, &[]);
    // The day that ended last, without being asked.
    let newest = orrery.data().join("proof/days/2026-03-18.1");
    let start = std::time::Instant::now();
    while !newest.exists() {
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "nothing is certified");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let held = orrery.run(&["seal", DAYS[2], "--json"]).expect(0).json();
    assert_eq!((&held["made"], &held["note"]), (&json!(false), &json!(note(&orrery, DAYS[2]))));
    // Any other when it is asked.
    let made = orrery.run(&["seal", DAYS[0], "--json"]).expect(0).json();
    assert_eq!(made["made"], json!(true));
    let address = live.url.strip_prefix("http://").expect("an address").to_owned();
    let far = ["--connect", &address];
    let shown = orrery.run(&[&["certificate", DAYS[0], "--json"], &far[..]].concat()).expect(0);
    assert_eq!(shown.json()["note"], made["note"]);
    let all = orrery.run(&[&["certificate", "--json"], &far[..]].concat()).expect(0).json();
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    let held = orrery.run(&["certificate", DAYS[0], "--verify"]).expect(0).stdout;
    assert!(held.contains("HOLDS"), "{held}");
    for (args, why) in [
        (&["seal", DAYS[3]][..], "is not over"),
        (&["seal", "2001-01-01"], "no day"),
        (&["certificate", DAYS[1], "--verify"], "no certificate"),
    ] {
        let refused = orrery.run(args).expect(2).stderr;
        assert!(refused.contains(why), "{args:?}: {refused}");
    }
    // The newest one, which the calendar has ended and no event has.
    let closed = orrery.run(&["seal", DAYS[3], "--close", "--json"]).expect(0).json();
    assert_eq!(closed["day"], json!(DAYS[3]));
    let artifact = ["artifact", "SPY", "spot", "3"];
    check(&orrery, &prove(&orrery, &artifact), &key, &[]).expect(0);
    check(&orrery, &prove(&orrery, &["day", DAYS[2]]), &key, &[]).expect(0);
    let handover = orrery.run(&["key", "rotate"]).expect(0).stdout;
    let next = orrery.run(&["key", "show"]).expect(0).stdout.trim().to_owned();
    assert!(handover.contains(&format!("\nnext {next}\nby {key}\n")), "{handover}");
    check(&orrery, &prove(&orrery, &artifact), &next, &[]).expect(0);
    // With a key that others can read nothing is signed; the server goes on.
    let path = orrery.data().join("proof/key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changes");
    let refused = orrery.run(&["seal", DAYS[1]]).expect(2).stderr;
    assert!(refused.contains("chmod 600"), "{refused}");
    assert_eq!(live.terminate(), 0);
    let live = Live::start(&orrery, &[]);
    assert_eq!(live.get("/healthz").0, 200);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changes");
    orrery.run(&["seal", DAYS[1]]).expect(0);
    assert_eq!(live.terminate(), 0);
}

#[test]
fn the_first_start_of_a_server_makes_the_key_and_may_name_the_log() {
    let orrery = Orrery::new();
    import(&orrery, "a.ndjson", &ticks(0, 20, false));
    assert!(!orrery.data().join("proof").exists(), "an import signs nothing");
    let key = |live: Live| {
        assert_eq!(live.terminate(), 0);
        orrery.run(&["key", "show"]).expect(0).stdout
    };
    let first = key(Live::start(&orrery, &[]));
    assert!(first.starts_with("orrery.local/"), "{first}");
    // Nothing is signed yet, so the name may still be chosen.
    let named = key(Live::start(&orrery, &["--origin", "test.example/named"]));
    assert!(named.starts_with("test.example/named+"), "{named}");
    assert_eq!(named.rsplit('+').next(), first.rsplit('+').next(), "the same key");
}
