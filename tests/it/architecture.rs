//! The arrows between the rooms, and what no room may touch. The tables here
//! are the only place where an arrow can be added.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room of `src/`, and the rooms that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("market", &[]),
    ("models", &["market"]),
    ("views", &["market", "models"]),
    ("partition", &["market", "models", "views"]),
    ("world", &["market", "models", "views", "partition"]),
    ("feeds", &["market"]),
    ("import", &["export", "feeds", "market"]),
    ("export", &["feeds"]),
    ("shelf", &[]),
    ("clock", &[]),
    ("bundle", &[]),
    ("telemetry", &[]),
    ("projector", &["market", "models", "shelf", "clock"]),
    ("control", &["market", "projector", "shelf"]),
    ("gateway", &["market", "projector"]),
    ("backend", &["bundle", "control", "market", "models", "partition", "world", "clock"]),
    (
        "app",
        &[
            "backend",
            "clock",
            "control",
            "feeds",
            "gateway",
            "import",
            "market",
            "partition",
            "projector",
            "shelf",
            "telemetry",
            "world",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "backend",
            "bundle",
            "clock",
            "control",
            "export",
            "feeds",
            "gateway",
            "import",
            "market",
            "models",
            "partition",
            "projector",
            "shelf",
            "telemetry",
            "views",
            "world",
        ],
    ),
];

/// Outside crate, and the only files (or folders) that may name it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("fjall::", &["journal/src/store/fjall.rs"]),
    ("redis::", &["src/projector", "src/cli.rs"]),
    ("orrery_proto", &["src/control", "src/gateway"]),
    ("axum::", &["src/gateway"]),
    ("parquet::", &["src/export"]),
    ("flatbuffers::", &["src/export"]),
    ("tonic::", &["src/control", "src/gateway", "proto/src"]),
    ("SystemTime::now", &["src/clock.rs"]),
    // The projector's is the runtime's: waiting, never a moment of the market.
    ("Instant::now", &["src/clock.rs", "src/projector"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target") {
                rust_files(&path, out);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn files(rooms: &[&str]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for room in rooms {
        rust_files(&root().join(room), &mut paths);
    }
    paths.sort();
    assert!(!paths.is_empty(), "no sources found below {rooms:?}");
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            let text = fs::read_to_string(&path).expect("readable source");
            // Comments and docs may speak of what code may not touch.
            let code = text
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            (name, code)
        })
        .collect()
}

/// Rooms that follow `prefix` in a piece of code: `crate::market`, and each
/// first segment of `use crate::{...}`.
fn uses(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        let word = |s: &str| -> String {
            s.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        };
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut start = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => start = true,
                    c if depth == 1 && start && c.is_ascii_lowercase() => {
                        found.insert(word(&group[i..]));
                        start = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found
}

#[test]
fn rooms_of_the_product_use_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for (name, code) in files(&["src"]) {
        let room = name.trim_start_matches("src/").split(['/', '.']).next().expect("a room");
        if ["main", "lib", "folds"].contains(&room) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(r, _)| *r == room) else {
            wrong.push(format!("{name}: room `{room}` is not in the table"));
            continue;
        };
        for used in uses(&code, "crate::") {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{name}: {room} -> {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that DESIGN.md does not have:\n{}", wrong.join("\n"));
}

#[test]
fn packages_point_one_way() {
    for (name, code) in files(&["journal/src"]) {
        assert!(
            !code.contains("orrery_replay")
                && !code.contains("orrery_proto")
                && !code.contains("serde"),
            "{name}: the journal knows nothing above it, and no JSON"
        );
    }
    for (name, code) in files(&["replay/src"]) {
        assert!(
            !code.contains("orrery_proto") && !code.contains("tokio"),
            "{name}: replay is plain and synchronous"
        );
    }
}

#[test]
fn outside_crates_stay_in_their_room() {
    let all = files(&["src", "journal/src", "replay/src", "proto/src"]);
    let mut wrong = Vec::new();
    for (what, homes) in ONLY_IN {
        for (name, code) in &all {
            let named = code.match_indices(what).any(|(at, _)| {
                !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
            });
            if named && !homes.iter().any(|h| name.starts_with(h)) {
                wrong.push(format!("{name}: {what}"));
            }
        }
    }
    assert!(wrong.is_empty(), "outside of their rooms:\n{}", wrong.join("\n"));
}

#[test]
fn banned_words_do_not_appear() {
    // The words are assembled so that this file does not hold them itself.
    let words: Vec<String> = [("P", "OC"), ("V", "AH"), ("V", "AL"), ("H", "VN"), ("L", "VN")]
        .map(|(a, b)| format!("{a}{b}"))
        .into();
    let phrases = [format!("{} {}", "value", "area"), format!("{} of {}", "point", "control")];
    let mut texts = files(&["src", "journal", "replay", "proto", "tests", "benches"]);
    for doc in ["README.md", "CHANGELOG.md", "web/index.html", "web/app.js", "docs/architecture.md"]
    {
        if let Ok(text) = fs::read_to_string(root().join(doc)) {
            texts.push((doc.to_owned(), text));
        }
    }
    for (name, text) in texts {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            assert!(!words.iter().any(|w| w == word), "{name} holds the banned word {word}");
        }
        let lower = text.to_lowercase();
        assert!(!phrases.iter().any(|p| lower.contains(p)), "{name} holds a banned phrase");
    }
}

#[test]
fn the_arrow_check_can_fail() {
    let code = "use crate::{gateway, market::book::{Book, Slot}};\nfn f() { crate::clock::now() }";
    let found: Vec<String> = uses(code, "crate::").into_iter().collect();
    assert_eq!(found, ["clock", "gateway", "market"]);
}
