//! A day set beside its record, and beside what it might have been.

use std::collections::BTreeSet;

use orrery_journal::units::{Address, Seq};
use orrery_replay::artifact::Artifact;
use orrery_replay::checkpoint::CheckpointRecord;
use orrery_replay::derived::Derived;
use serde_json::{Value, json};

use crate::support::{Orrery, shared};

const DAY: &str = "2026-08-19";

fn captured() -> Option<Orrery> {
    let folder = shared("spx-0dte-20260819")?;
    let orrery = Orrery::new();
    orrery.import(&[&folder]);
    Some(orrery)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Puts other derived data in place of the recorded: one body is forged, and
/// all headers after it are chained as an honest writer would have.
fn forge(orrery: &Orrery, family: &str, version: u64, edit: impl Fn(&mut Value)) {
    let recorded = Derived::open(&orrery.data()).expect("derived data");
    let forged = tempfile::tempdir().expect("a folder");
    let other = Derived::open(forged.path()).expect("an empty store");
    let mut configuration = Address::default();
    for (symbol, name) in recorded.families().expect("readable") {
        let mut previous = Address::default();
        for mut header in recorded.headers(&symbol, &name, 1, usize::MAX).expect("readable") {
            let mut body = recorded.body(&header).expect("whole").unwrap_or_default();
            if *name == *family && header.version == version {
                let mut value: Value = serde_json::from_slice(&body).expect("JSON");
                edit(&mut value);
                body = value.to_string().into();
                (header.content, header.body_len) = (Address::of(&body), body.len() as u64);
            }
            header.previous = previous;
            previous = header.hash();
            configuration = header.configuration;
            other.put(&[Artifact { header, body }]).expect("in order");
        }
    }
    other.claim(configuration).expect("empty");
    for CheckpointRecord { seq, purpose, .. } in recorded.checkpoints().expect("readable") {
        let kept = recorded.checkpoint_at_or_before(seq).expect("readable").expect("whole");
        other.put_checkpoint(seq, kept.bytes, purpose).expect("room");
    }
    drop((recorded, other));
    let derived = orrery.data().join("derived");
    std::fs::remove_dir_all(&derived).expect("ours");
    std::fs::rename(forged.path().join("derived"), derived).expect("one file system");
}

#[test]
fn a_forged_cell_is_named_with_its_event_model_pointer_and_both_values() {
    let Some(orrery) = captured() else { return };
    let honest = orrery.artifact("SPX", "gex", 5);
    let wall = honest["body"]["levels"]["call_wall"].clone();
    forge(&orrery, "gex", 5, |body| body["levels"]["call_wall"] = json!(1.0));

    let ended = orrery.run(&["replay", DAY]).expect(1);
    let expected =
        format!("SPX gex v5 (gex/naive-oi@1) /levels/call_wall: recorded 1.0, replayed {wall}");
    assert!(ended.stdout.starts_with("DIFFERENT: event "), "{ended:#?}");
    assert!(ended.stdout.contains(&expected), "{ended:#?}");

    // All of them: the one cell, and nothing that only follows from it.
    let ended = orrery.run(&["replay", DAY, "--all", "--json"]).expect(1);
    let told = lines(&ended.stdout);
    let (summary, told) = told.split_last().expect("a summary");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["field"], "/levels/call_wall");
    assert_eq!(told[0]["recorded"], "1.0");
    assert_eq!(told[0]["replayed"], wall.to_string());
    let seq = told[0]["seq"].as_u64().expect("a seq");
    assert!(seq >= honest["header"]["seq_last"].as_u64().expect("a seq"));
    assert_eq!((&summary["identical"], &summary["differences"]), (&json!(false), &json!(1)));
    assert_eq!(summary["first"], told[0]);

    // What is not asked for is not compared.
    orrery.run(&["replay", DAY, "--family", "levels", "--family", "spot"]).expect(0);
    orrery.run(&["replay", DAY, "--family", "gex", "--symbol", "I:SPX"]).expect(1);
    let refused = orrery.run(&["replay", DAY, "--family", "gexx"]).expect(2);
    assert!(refused.stderr.contains("market_mode"), "families are listed: {}", refused.stderr);
}

/// Paths of the cells of a family that a what-if changed.
fn changed(story: &Value, family: &str) -> BTreeSet<String> {
    let families = story["families"].as_array().expect("a list");
    let found = families.iter().find(|f| f["family"] == family).expect("the family");
    assert_eq!(found["cells_total"], found["cells"].as_array().expect("a list").len());
    let paths = found["cells"].as_array().expect("a list").iter();
    paths.map(|cell| cell["path"].as_str().expect("a path").to_owned()).collect()
}

#[test]
fn another_flip_changes_the_flip_and_what_depends_on_it_and_nothing_else() {
    let Some(orrery) = captured() else { return };
    let before = orrery.run(&["artifacts", "list", "--json"]).expect(0).json();
    // The same profile but for the definition of the flip.
    let asked = ["replay", DAY, "--profile", "gex/naive-oi-cumulative@1", "--top", "100000"];
    let story = orrery.run(&[&asked[..], &["--json"]].concat()).expect(1).json();
    let gex = changed(&story, "gex");
    assert!(gex.contains("/definitions/flip") && gex.contains("/levels/flip/method"), "{gex:?}");
    for path in &gex {
        let flip = path == "/definitions/flip" || path.starts_with("/levels/flip/");
        assert!(flip, "{path} does not depend on the flip");
    }
    // The flat list has the flip, its crossings and the name of the profile.
    for path in changed(&story, "levels") {
        let named = path.ends_with("/profile") || path == "/quality/levels";
        let flip = ["/levels/flip:", "/levels/flip_crossing:", "/absent/flip"];
        assert!(named || flip.iter().any(|start| path.starts_with(start)), "{path}");
    }
    // Two views name the definitions that they have read, and read no flip.
    for family in ["bias_lfi", "market_mode"] {
        let only = BTreeSet::from(["/sources/gex/profile".to_owned()]);
        assert_eq!(changed(&story, family), only, "{family}");
    }
    for family in ["candles", "epoch", "spot"] {
        assert!(changed(&story, family).is_empty(), "{family}");
    }
    let gex = story["families"].as_array().expect("a list").iter().find(|f| f["family"] == "gex");
    let gex = gex.expect("the family");
    assert_eq!(gex["recorded"], gex["what_if"], "as many versions");
    assert_eq!(gex["what_if_profile"], "gex/naive-oi-cumulative@1");
    assert!(gex["first"]["seq"].as_u64() > Some(0), "{gex:#}");
    let sizes: Vec<f64> =
        gex["cells"].as_array().unwrap().iter().filter_map(|c| c["absolute"].as_f64()).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "biggest first: {sizes:?}");

    let text = orrery.run(&asked).expect(1).stdout;
    assert!(text.contains("no difference in SPX candles, SPX epoch, SPX spot"), "{text}");
    // Nothing of it was written.
    assert_eq!(orrery.run(&["artifacts", "list", "--json"]).expect(0).json(), before);
    orrery.run(&["replay", DAY]).expect(0);
}

#[test]
fn parameters_and_events_can_be_left_out_and_mistakes_say_what_would_be_right() {
    let Some(orrery) = captured() else { return };
    let what_if = |args: &[&str]| orrery.run(&[&["replay", DAY, "--json"], args].concat());
    // A number that decides about nothing that comes out here.
    let same = what_if(&["--set", "flow.pricing.rate=0.01"]).expect(0).json();
    let differing = |story: &Value| -> BTreeSet<String> {
        let families = story["families"].as_array().expect("a list").iter();
        let differ = families.filter(|f| f["differing"] != 0);
        differ.map(|f| f["family"].as_str().expect("a name").to_owned()).collect()
    };
    assert!(differing(&same).is_empty(), "{same:#}");
    let stale = what_if(&["--set", "gex.stale_after_s=60", "--top", "1000"]).expect(1).json();
    assert!(!changed(&stale, "gex").is_empty(), "{stale:#}");
    assert!(changed(&stale, "gex").iter().all(|path| path.starts_with("/quality/")), "{stale:#}");

    // Without bars there are no candles; chains still bring a spot.
    let bars = what_if(&["--without", "kind=bar"]).expect(1).json();
    assert!(differing(&bars).contains("candles"), "{bars:#}");
    // Without the last chain everything before it is as it was.
    let chains = orrery.run(&["journal", "read", "--kind", "chain_snapshot", "--json"]).expect(0);
    let chains = chains.json()["events"].as_array().expect("a list").clone();
    let last = chains.iter().filter_map(|event| event["seq"].as_u64()).max();
    let last = last.expect("many chains");
    let without = format!("kind=chain_snapshot,seq={last}..{last}");
    let story = what_if(&["--without", &without]).expect(1).json();
    for family in story["families"].as_array().expect("a list") {
        let first = family["first"]["seq"].as_u64();
        assert!(first.is_none_or(|seq| Seq(seq) >= Seq(last)), "{family:#}");
    }

    for (args, why) in [
        (&["--set", "gex.flip.stepp=1"][..], "did you mean gex.flip.step"),
        (&["--set", "gex.flip.step=fine"], "gex.flip.step cannot be"),
        (&["--set", "gex.flip.step=1", "--set", "gex.flip.step=2"], "set twice"),
        (&["--profile", "gex/best"], "gex/inverse-oi@1"),
        (&["--profile", "candles/utc@1"], "there is a choice for gex, gravity, heatmap"),
        (&["--without", "kind=instrument_defined"], "cannot be left out"),
        (&["--without", "kind=bars"], "no kind"),
        (&["--without", "ticker=NOBODY"], "no event of NOBODY"),
        (&["--without", "seq=9..3"], "is empty"),
        (&["--without", "everything"], "none of kind=KIND"),
    ] {
        let refused = what_if(args).expect(2);
        assert!(refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    }
}

#[test]
fn any_two_artifacts_are_compared_and_the_contracts_behind_a_cell_add_up_to_it() {
    let Some(orrery) = captured() else { return };
    let diff = |a: &str, b: &str, more: &[&str]| orrery.run(&[&["diff", a, b], more].concat());
    let told = diff("SPX/gex@v3", "SPX/gex@v40", &["--json", "--contracts", "1000"]).expect(1);
    let cells = lines(&told.stdout);
    let sizes: Vec<f64> =
        cells.iter().filter_map(|c| c["absolute"].as_f64()).map(f64::abs).collect();
    assert!(sizes.len() > 50 && sizes.is_sorted_by(|a, b| a >= b), "biggest first");
    let mut explained = 0;
    for cell in &cells {
        let path = cell["path"].as_str().expect("a path");
        let both = cell["before"].as_f64().zip(cell["value"].as_f64());
        let (Some((before, after)), Some(parts)) = (both, cell["contracts"].as_array()) else {
            continue;
        };
        assert_eq!(cell["op"], "replace");
        if !(path.starts_with("/by_strike/")
            && path.ends_with("/net")
            && path.matches('/').count() == 3)
        {
            continue;
        }
        // Those that add the same on both sides are left out, so the change is
        // what adds up.
        let sum: f64 = parts.iter().filter_map(|p| p["absolute"].as_f64()).sum();
        let change = after - before;
        assert!((sum - change).abs() <= 1e-6 * change.abs().max(1.0), "{path}: {sum} for {change}");
        explained += 1;
    }
    assert!(explained > 10, "{explained} strikes");

    // A version, the moment at which it was made and the event that it stands
    // on are one artifact.
    let third = orrery.artifact("SPX", "gex", 3);
    let at = format!("SPX/gex@{}", third["header"]["created_at"].as_str().expect("a time"));
    let equal = diff("SPX/gex@v3", &at, &[]).expect(0);
    assert!(equal.stdout.contains("0 of 0 cells"), "{}", equal.stdout);
    let close = format!("SPX/gex@day:{DAY}");
    diff(&close, "SPX/gex", &[]).expect(0);
    // The same moment under another flip.
    let other = diff("SPX/gex@v3", "SPX/gex@v3+gex/naive-oi-cumulative@1", &["--json"]).expect(1);
    let other = lines(&other.stdout);
    assert!(!other.is_empty());
    for cell in other {
        let path = cell["path"].as_str().expect("a path");
        assert!(path == "/definitions/flip" || path.starts_with("/levels/flip/"), "{path}");
    }

    for (a, b, why) in [
        ("SPX/gex@v3", "SPX/gex@v999999", "there is no artifact SPX/gex@v999999"),
        ("SPX/gex@v3", "SPX/nothing", "there is no artifact SPX/nothing"),
        ("SPX/gex@v3", "SPX/gex@seq:999999", "lies outside of the journal"),
        ("SPX/gex@v3", "SPX/gex@2001-01-01T00:00:00Z", "lies outside of the journal"),
        ("SPX/gex@v3", "SPX/gex@day:2001-01-01", "there is no day 2001-01-01"),
        ("SPX/gex@v3", "SPX/gex@v3+gex/best@1", "gex/inverse-oi@1"),
        ("SPX", "SPX/gex", "SYMBOL/FAMILY@WHEN"),
    ] {
        let refused = diff(a, b, &[]).expect(2);
        assert!(refused.stderr.contains(why), "{a} {b}: {}", refused.stderr);
    }
}

#[test]
fn an_artifact_knows_where_it_comes_from() {
    let Some(orrery) = captured() else { return };
    let asked = ["artifacts", "lineage", "SPX/levels@v9", "--depth", "4", "--json"];
    let steps = orrery.run(&asked).expect(0).json();
    let steps = steps.as_array().expect("a list");
    let versions: Vec<_> = steps.iter().filter_map(|s| s["header"]["version"].as_u64()).collect();
    assert_eq!(versions, [9, 8, 7, 6]);
    for (step, before) in steps.iter().zip(&steps[1..]) {
        assert_eq!(step["header"]["previous"], before["header"]["header"]);
        assert_eq!(step["follows"], true);
        let first = step["header"]["seq_first"].as_u64().expect("a seq");
        let last = before["header"]["seq_last"].as_u64().expect("a seq");
        assert!(first == last + 1 || first == last, "no event between two versions is lost");
        // The view says itself which versions it has read.
        let version = step["header"]["version"].as_u64().expect("a version");
        let body = orrery.artifact("SPX", "levels", version)["body"].clone();
        let inputs = step["inputs"].as_array().expect("a list");
        for input in inputs {
            let family = input["family"].as_str().expect("a family");
            assert_eq!(body["sources"][family]["version"], input["version"], "{family}");
        }
        assert_eq!(inputs.len(), body["sources"].as_object().expect("sources").len());
    }
    let refused = orrery.run(&["artifacts", "lineage", "SPX/gex@v3+gex/inverse-oi@1"]).expect(2);
    assert!(refused.stderr.contains("never recorded"), "{}", refused.stderr);
}

#[test]
fn a_tile_is_explained_by_its_legs() {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1"]).expect(0);
    let asked = ["diff", "SPX/heatmap@v1", "SPX/heatmap", "--json", "--contracts", "4"];
    let mut explained = 0;
    for cell in lines(&orrery.run(&asked).expect(1).stdout) {
        let path = cell["path"].as_str().expect("a path");
        let Some(parts) = cell["contracts"].as_array().filter(|_| path.ends_with("/debit")) else {
            continue;
        };
        let (Some(before), Some(after)) = (cell["before"].as_f64(), cell["value"].as_f64()) else {
            continue;
        };
        let legs: f64 = parts.iter().filter_map(|p| p["absolute"].as_f64()).sum();
        assert!((legs - (after - before)).abs() < 1e-6, "{cell:#}");
        explained += 1;
    }
    assert!(explained > 10, "{explained} tiles");
}
