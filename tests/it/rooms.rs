//! Each model is one room: a file or folder below `src/models`, a row in the
//! registry, a page of documentation, and nothing anywhere else.

use std::fs;
use std::path::{Path, PathBuf};

use orrery::models::parameters::Parameters;
use orrery::projector::render::{Held, documents};
use orrery::views;

use crate::properties::rules;
use crate::properties::stream::{acts, stream};
use crate::properties::{Registered, Registry, parameters, toys};

/// Files of `src/models` that are no model: what all models share.
const SHARED: [&str; 3] = ["parameters", "profile", "testing"];

/// Who may know a model by name besides `src/models.rs`, the registry, and
/// `src/models/parameters.rs`: commands that ask one model a question of its own,
/// and views, which join what models of known families have said.
const ASK_A_MODEL: &[&str] = &["src/backend/", "src/cli/", "src/views/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names of the models' rooms.
fn rooms() -> Vec<String> {
    let entries = fs::read_dir(root().join("src/models")).expect("the models");
    let stem = |path: PathBuf| path.file_stem().map(|s| s.to_string_lossy().into_owned());
    let mut rooms: Vec<String> = entries.flatten().filter_map(|e| stem(e.path())).collect();
    rooms.sort();
    rooms.dedup();
    rooms.retain(|room| !SHARED.contains(&&**room));
    rooms
}

/// The room of a profile: `gex` of `gex/naive-oi@1`.
fn room(profile: &str) -> &str {
    profile.split('/').next().unwrap_or(profile)
}

/// The page of a room: `market-mode.md` of `market_mode/net-gamma@1`.
fn page_of(profile: &str) -> String {
    format!("{}.md", room(profile).replace('_', "-"))
}

/// What is missing on the pages for a family with this profile.
fn missing(page: Option<&str>, table: &str, family: &str, profile: &str) -> Vec<String> {
    let name = page_of(profile);
    let Some(page) = page else {
        return vec![format!("docs/models/{name}, the page of {family}")];
    };
    let mut missing = Vec::new();
    let short = profile.split(['/', '@']).nth(1).unwrap_or(profile);
    if ![page, table].iter().any(|text| text.contains(profile))
        && !page.contains(&format!("`{short}`"))
    {
        missing.push(format!("{profile} on docs/models/{name}"));
    }
    if !page.contains("```json") {
        missing.push(format!("an example body on docs/models/{name}"));
    }
    if !table.contains(&format!("]({name})")) {
        missing.push(format!("a row with docs/models/{name} in docs/models/README.md"));
    }
    missing
}

#[test]
fn every_registered_model_and_view_has_its_page_and_its_row() {
    let read = |name: &str| fs::read_to_string(root().join("docs/models").join(name)).ok();
    let table = read("README.md").expect("docs/models/README.md");
    let all = parameters();
    let models =
        Registered::partition("SPX", &all).into_iter().chain(Registered::epoch("SPX", &all));
    let models = models.map(|m| (m.family(), m.profile()));
    let views = views::all(&all).into_iter().map(|v| (v.family(), v.profile()));
    let mut wrong = Vec::new();
    for (family, profile) in models.chain(views) {
        let page = read(&page_of(profile));
        wrong.extend(missing(page.as_deref(), &table, family, profile));
    }
    // What runs without being asked for stands in the table with its profile.
    let usual = Parameters::default();
    let models =
        Registered::partition("SPX", &usual).into_iter().chain(Registered::epoch("SPX", &usual));
    for model in models {
        if !table.contains(&format!("`{}`", model.profile())) {
            wrong.push(format!("{} in docs/models/README.md", model.profile()));
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "missing:\n{}", wrong.join("\n"));
    assert_eq!(missing(Some("nothing"), "", "toy", "toy/control@1").len(), 3, "the check can fail");
}

#[test]
fn every_room_is_in_the_registry_and_every_registered_model_in_a_room() {
    let all = parameters();
    let models =
        Registered::partition("SPX", &all).into_iter().chain(Registered::epoch("SPX", &all));
    let mut registered: Vec<String> = models.map(|m| room(m.profile()).to_owned()).collect();
    registered.sort();
    registered.dedup();
    assert_eq!(rooms(), registered);
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for path in fs::read_dir(dir).expect("readable").flatten().map(|e| e.path()) {
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Rooms that a piece of code of the file reaches into.
fn reaches(name: &str, code: &str, rooms: &[String]) -> Vec<String> {
    let own = |room: &str| {
        name.starts_with(&format!("src/models/{room}/")) || name == format!("src/models/{room}.rs")
    };
    let inside_models = name.starts_with("src/models/");
    let mut found = Vec::new();
    for room in rooms.iter().filter(|r| !own(r)) {
        let path = [format!("models::{room}::"), format!("models::{room};")];
        // A model sees another one as its neighbour, too.
        let beside = [format!("super::{room}::"), format!("super::super::{room}::")];
        let named = path.iter().any(|p| code.contains(p))
            || (inside_models && beside.iter().any(|p| code.contains(p)))
            || grouped(code, room);
        if named {
            found.push(format!("{name}: {room}"));
        }
    }
    found
}

/// `use crate::models::{gex, ...}`.
fn grouped(code: &str, room: &str) -> bool {
    code.match_indices("models::{").any(|(at, _)| {
        let group = code[at..].split(';').next().unwrap_or_default();
        group.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == room)
    })
}

#[test]
fn nobody_else_knows_what_is_inside_a_model() {
    let rooms = rooms();
    let mut paths = Vec::new();
    rust_files(&root().join("src"), &mut paths);
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        let shared = SHARED.iter().any(|s| name == format!("src/models/{s}.rs"));
        if shared || ASK_A_MODEL.iter().any(|room| name.starts_with(room)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        // Tests may set a model on a stage.
        if name.contains("/tests") {
            continue;
        }
        let code: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
        wrong.extend(reaches(&name, &code.join("\n"), &rooms));
    }
    assert!(wrong.is_empty(), "models that are known by name:\n{}", wrong.join("\n"));
}

#[test]
fn the_check_of_rooms_can_fail() {
    let rooms = ["gex".to_owned(), "gravity".to_owned()];
    let reaches = |name: &str, code: &str| reaches(name, code, &rooms).len();
    assert_eq!(reaches("src/partition.rs", "use crate::models::gex::Gex;"), 1);
    assert_eq!(reaches("src/partition.rs", "use crate::models::{Model, gravity::Gravity};"), 1);
    assert_eq!(reaches("src/models/gravity/lines.rs", "use crate::models::gex::Gex;"), 1);
    assert_eq!(reaches("src/models/gravity.rs", "use super::gex::Gex;"), 1);
    assert_eq!(reaches("src/models/gravity.rs", "use crate::models::gravity::lines;"), 0);
    assert_eq!(reaches("src/partition.rs", "use crate::models::{Change, Model};"), 0);
}

/// A model that exists in this test alone is folded, versioned and delivered.
#[test]
fn a_new_model_is_delivered_without_a_change_elsewhere() {
    let (made, _) = rules::fold::<toys::Beside<toys::Honest>>(&stream(&acts(1, 200)));
    let toys = made.iter().map(|m| &m.artifact).filter(|a| &*a.header.family == "toy");
    let mut versions = 0;
    for artifact in toys.filter(|a| &*a.header.symbol == "SPX") {
        versions += 1;
        assert_eq!(artifact.header.version, versions);
        let rendering = documents(artifact, &Held::default()).expect("delivered");
        let keys: Vec<String> = rendering.puts.iter().map(|put| put.key.to_string()).collect();
        assert_eq!(keys[0], "orrery:{SPX}:artifact:toy", "{keys:?}");
        assert_eq!(rendering.publishes.len(), 1, "and announced");
    }
    assert!(versions > 2, "{versions} bodies of the toy");
}
