//! Definitions that run beside those in force, and come into force at exactly
//! one event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orrery::models::parameters::Parameters;
use orrery::models::parameters::setting::Settings;
use orrery::world::MarketWorld;
use orrery::world::roster::Act;
use orrery_journal::units::{Address, Seq};
use orrery_replay::engine::{Engine, Made};
use orrery_replay::fold::World;
use serde_json::{Value, json};

use crate::live::Live;
use crate::properties::stream::{Taped, acts, fold, go_on, stream, with_facts};
use crate::support::{Orrery, shared};

/// No body depends on when an earlier one was asked for.
fn base() -> Parameters {
    let mut parameters = Parameters::default();
    (parameters.gex.flip.step, parameters.gex.flip.refresh_s) = (0.05, 0);
    parameters
}

fn settings() -> Settings {
    let chosen = ["gex/inverse-oi@1", "heatmap/natural@1", "gravity/tv-microbins-30-down@1"];
    chosen.iter().map(|name| base().profile_setting(name).expect("it ships")).collect()
}

fn world(parameters: Parameters) -> Arc<dyn World> {
    Arc::new(MarketWorld::new(parameters).expect("usable"))
}

fn shadow() -> Vec<u8> {
    Act::Shadow { name: "other".into(), settings: settings() }.fact()
}

fn promote() -> Vec<u8> {
    Act::Promote { name: "other".into() }.fact()
}

fn made(parameters: Parameters, stream: &[Taped]) -> Vec<Made> {
    fold(world(parameters), stream).expect("a stream").0
}

/// Everything that is no shadow's.
fn in_force(made: &[Made]) -> Vec<Made> {
    made.iter().filter(|m| !m.artifact.header.is_beside()).cloned().collect()
}

/// Bodies of models by symbol, family and instant. Views name versions, which
/// count what was said, so they are no function of the definitions alone.
fn said<'a>(made: impl Iterator<Item = &'a Made>) -> BTreeMap<(String, Seq, i64), String> {
    let views = ["context", "levels", "bias_lfi", "market_mode", "selector", "vix_regime"];
    made.filter(|m| {
        let header = &m.artifact.header;
        !header.is_beside() && !views.contains(&&*header.family)
    })
    .map(|m| {
        let header = &m.artifact.header;
        let name = format!("{} {}", header.symbol, header.family);
        let body = String::from_utf8_lossy(&m.artifact.body).into_owned();
        ((name, m.at, header.created_at.0), body)
    })
    .collect()
}

/// Whatever both sides say at one instant is the same, and that is nearly all.
#[track_caller]
fn agree(one: &BTreeMap<(String, Seq, i64), String>, other: &BTreeMap<(String, Seq, i64), String>) {
    let mut both = 0;
    for (instant, body) in one {
        let Some(theirs) = other.get(instant) else { continue };
        assert_eq!(body, theirs, "{instant:?}");
        both += 1;
    }
    assert!(both > 10 && both * 10 >= one.len() * 8, "{both} of {}", one.len());
}

/// A stream in which everybody speaks, and two places in it.
fn staged(seed: u64) -> (Vec<Taped>, usize, usize) {
    let stream = stream(&acts(seed, 160));
    let (one, other) = (stream.len() / 3, stream.len() * 2 / 3);
    (stream, one, other)
}

#[test]
fn a_shadow_changes_no_byte_of_what_is_in_force() {
    for seed in [1, 5] {
        let (stream, at, _) = staged(seed);
        // An event that means nothing stands where the shadow begins.
        let without = made(base(), &with_facts(&stream, &[(at, b"{}".to_vec())]));
        let with = made(base(), &with_facts(&stream, &[(at, shadow())]));
        let beside = with.iter().filter(|m| m.artifact.header.is_beside()).count();
        assert!(beside > 20, "seed {seed}: {beside}");
        assert_eq!(in_force(&with), without, "seed {seed}");
        // It counts versions of its own, under the hash of its own parameters.
        let hash = base().with(&settings()).expect("usable").hash();
        let mut versions: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for made in with.iter().filter(|m| m.artifact.header.is_beside()) {
            let h = &made.artifact.header;
            assert!(h.family.ends_with(&format!("+other.{}", at + 1)), "{}", h.family);
            assert_eq!(h.configuration, hash);
            let version = versions.entry((&h.symbol, &h.family)).or_default();
            *version += 1;
            assert_eq!(h.version, *version);
        }
    }
}

#[test]
fn a_shadow_from_the_beginning_says_what_the_other_world_says() {
    let (stream, ..) = staged(2);
    let with = made(base(), &with_facts(&stream, &[(0, shadow())]));
    let other = base().with(&settings()).expect("usable");
    let other = made(other, &with_facts(&stream, &[(0, b"{}".to_vec())]));
    let said = |made: &Made, family: &str| {
        let a = &made.artifact;
        (
            made.at,
            a.header.created_at,
            a.header.symbol.clone(),
            Box::<str>::from(family),
            a.body.clone(),
        )
    };
    let beside: Vec<_> = with
        .iter()
        .filter_map(|m| Some(said(m, m.artifact.header.family.split_once('+')?.0)))
        .collect();
    let other: Vec<_> = other.iter().map(|m| said(m, &m.artifact.header.family)).collect();
    assert!(beside.len() > 50);
    assert_eq!(beside, other);
}

#[test]
fn a_promotion_counts_from_its_event_on_for_all_models_at_once() {
    for seed in [2, 3] {
        let (stream, one, other) = staged(seed);
        let facts = [(0, shadow()), (one, promote()), (other, Act::Rollback.fact())];
        // Facts are events of their own: three of them, and so many before each.
        let (promoted, back) = (Seq(one as u64 + 2), Seq(other as u64 + 3));
        let told = with_facts(&stream, &facts);
        let all = made(base(), &told);
        let theirs = base().with(&settings()).expect("usable");
        let (ours, hash) = (base().hash(), theirs.hash());
        for made in in_force(&all) {
            let expected = if made.at >= promoted && made.at < back { hash } else { ours };
            // At the event itself both are told: what it brings out by time comes first.
            let header = &made.artifact.header;
            let borders = [promoted, back].contains(&made.at);
            assert!(header.configuration == expected || borders, "{} {header:?}", made.at);
        }
        // From there on it is the other world, to the byte, and after the
        // rollback this one, which had run on beside it.
        let end = |parameters: Parameters| {
            let same: Vec<_> = facts.iter().map(|(at, _)| (*at, b"{}".to_vec())).collect();
            made(parameters, &with_facts(&stream, &same))
        };
        let (theirs, mine) = (end(theirs), end(base()));
        let between = |m: &&Made| m.at > promoted && m.at < back;
        agree(&said(all.iter().filter(between)), &said(theirs.iter().filter(between)));
        let after = |m: &&Made| m.at > back;
        agree(&said(all.iter().filter(after)), &said(mine.iter().filter(after)));
        // Versions go on, one by one, through both.
        let mut versions: BTreeMap<(Box<str>, Box<str>), (u64, Address)> = BTreeMap::new();
        for made in &all {
            let h = &made.artifact.header;
            let name = (h.symbol.clone(), h.family.clone());
            let (version, previous) = versions.get(&name).copied().unwrap_or_default();
            assert_eq!((h.version, h.previous), (version + 1, previous), "{name:?}");
            versions.insert(name, (h.version, h.hash()));
        }
    }
}

#[test]
fn what_is_born_after_a_promotion_is_born_under_it() {
    let (stream, ..) = staged(4);
    // Both facts come before any instrument is defined.
    let all = made(base(), &with_facts(&stream, &[(0, shadow()), (0, promote())]));
    let hash = base().with(&settings()).expect("usable").hash();
    assert!(in_force(&all).len() > 50);
    assert!(in_force(&all).iter().all(|m| m.artifact.header.configuration == hash));
    let symbols: BTreeSet<_> = all.iter().map(|m| m.artifact.header.symbol.clone()).collect();
    assert!(symbols.len() > 1, "{symbols:?}");
    assert!(all.iter().any(|m| m.artifact.header.family.contains("+previous.")));
}

#[test]
fn a_checkpoint_carries_what_is_in_force_and_what_runs_beside() {
    let (stream, one, other) = staged(6);
    let drop = Act::Drop { name: "previous".into() };
    let facts = [(one / 2, shadow()), (one, promote()), (other, drop.fact())];
    let stream = with_facts(&stream, &facts);
    let world = world(base());
    let (whole, state) = fold(Arc::clone(&world), &stream).expect("a stream");
    for at in [one / 2 + 1, one + 1, one + 2, one + 9, other + 3] {
        let (mut engine, mut made) = (Engine::new(Arc::clone(&world)), Vec::new());
        go_on(&mut engine, &stream, at, &mut made).expect("a stream");
        let saved = engine.save();
        let mut engine = Engine::restore(Arc::clone(&world), &saved).expect("its own bytes");
        assert_eq!(engine.save(), saved, "at {at}");
        go_on(&mut engine, &stream, stream.len(), &mut made).expect("a stream");
        assert_eq!(made, whole, "at {at}");
        assert_eq!(engine.save(), state, "at {at}");
    }
}

#[test]
fn a_fact_that_cannot_be_meant_changes_nothing() {
    let (stream, at, _) = staged(7);
    let inert = made(base(), &with_facts(&stream, &[(at, b"{}".to_vec())]));
    for fact in [
        promote(),
        Act::Rollback.fact(),
        Act::Drop { name: "other".into() }.fact(),
        Act::Shadow { name: "x".into(), settings: Settings::new() }.fact(),
        Act::Shadow {
            name: "x".into(),
            settings: Settings::from([("epochs.damage_patience".to_owned(), json!(9))]),
        }
        .fact(),
        br#"{"control":"profiles","do":"dance"}"#.to_vec(),
    ] {
        assert_eq!(made(base(), &with_facts(&stream, &[(at, fact)])), inert);
    }
}

#[test]
fn shadows_are_added_reported_promoted_and_rolled_back_from_the_command_line() {
    const DAY: &str = "2026-08-19";
    let Some(folder) = shared("spx-0dte-20260819") else { return };
    let orrery = Orrery::new();
    orrery.import(&[&folder]);
    let profiles = |args: &[&str]| orrery.run(&[&["profiles"], args].concat());
    let listed = |args: &[&str]| profiles(&[&["list", "--json"], args].concat()).expect(0).json();
    let gex = || orrery.headers("SPX", "gex");
    let before = gex();
    assert_eq!(listed(&[])["shadows"], json!([]));

    let at = ["--at", "2026-08-19T20:10:00Z", "--json"];
    let flip = ["shadow", "add", "calm", "--profile", "gex/inverse-oi@1"];
    let begun = profiles(&[&flip[..], &at].concat()).expect(0).json();
    let seq = begun["seq"].as_u64().expect("a seq");
    assert_eq!(gex(), before, "it has no effect");
    let now = listed(&[]);
    assert_eq!(now["shadows"][0]["name"], "calm");
    assert_eq!(now["shadows"][0]["settings"], json!({"gex.profile": "gex/inverse-oi@1"}));
    assert_eq!(now["in_force"]["settings"], json!({}));
    let told = orrery.headers("SPX", &format!("gex+calm.{seq}"));
    assert_eq!((told.len(), &told[0]["profile"]), (1, &json!("gex/inverse-oi@1")));

    // It has only begun: there is nothing yet to disagree about.
    let report = profiles(&["report", DAY, "--json"]).expect(0).json();
    assert_eq!(report["shadows"][0]["shadow"], format!("calm.{seq}"), "{report:#}");

    // In force from one event on, and back again.
    let later = ["--at", "2026-08-19T20:11:00Z", "--json"];
    let promoted = profiles(&[&["promote", "calm"][..], &later].concat()).expect(0).json();
    let promoted = promoted["seq"].as_u64().expect("a seq");
    let after = gex();
    assert_eq!(after.len(), before.len() + 1, "one version more");
    let newest = after.last().expect("versions");
    assert_eq!(
        (&newest["profile"], &newest["seq_last"]),
        (&json!("gex/inverse-oi@1"), &json!(promoted))
    );
    assert_ne!(newest["configuration"], before[0]["configuration"]);
    let now = listed(&[]);
    assert_eq!(now["in_force"]["since"], promoted);
    assert_eq!(now["shadows"][0]["name"], "previous");
    assert_eq!(listed(&["--at", &format!("seq:{seq}")])["in_force"]["settings"], json!({}));
    // Opened again nothing is said twice.
    assert_eq!(gex(), after);
    profiles(&["rollback", "--at", "2026-08-19T20:12:00Z"]).expect(0);
    let back = gex();
    assert_eq!(back.len(), after.len() + 1);
    assert_eq!(back.last().expect("versions")["configuration"], before[0]["configuration"]);
    assert_eq!(back.last().expect("versions")["profile"], "gex/naive-oi@1");

    // The record with all of it is what the events say, also from nothing.
    orrery.run(&["replay", DAY]).expect(0);
    std::fs::remove_dir_all(orrery.data().join("derived")).expect("derived data");
    assert_eq!(gex(), back);
    orrery.run(&["replay", DAY]).expect(0);

    profiles(&["shadow", "remove", "previous", "--at", "2026-08-19T20:13:00Z"]).expect(0);
    for (args, why) in [
        (&["promote", "calm"][..], "there is no shadow calm"),
        (&["rollback"], "nothing was promoted"),
        (&["shadow", "add", "calm"], "differs from what is in force"),
        (&["shadow", "add", "calm", "--set", "tape.recall_max=3"], "all definitions see"),
        (&["shadow", "add", "calm", "--profile", "gex/best@1"], "gex/inverse-oi@1"),
        (&["shadow", "add", "Calm", "--profile", "gex/inverse-oi@1"], "a to z"),
        (&["rollback", "--at", "2001-01-01T00:00:00Z"], "before it"),
        (&["report", "2001-01-01"], "no day 2001-01-01"),
        (&["report", DAY, "--name", "nobody"], "no shadow nobody"),
    ] {
        let refused = profiles(args).expect(2);
        assert!(refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    }
}

#[test]
fn a_running_server_changes_profiles_at_one_event_and_replays_the_same() {
    let orrery = Orrery::new();
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "6"]);
    let newest = |family: &str| -> Value {
        let (status, body) = live.get(&format!("/api/v1/artifacts/SPX/{family}"));
        assert!(status == 200 || status == 404, "{status} {body}");
        serde_json::from_str(&body).unwrap_or_default()
    };
    live.wait_for("/api/v1/artifacts/SPX/gex", "gex/naive-oi@1");
    // The command asks the server that has the directory.
    let profiles = |args: &[&str]| orrery.run(&[&["profiles"], args].concat());
    let add = ["shadow", "add", "calm", "--profile", "gex/inverse-oi@1", "--json"];
    let seq = profiles(&add).expect(0).json()["seq"].as_u64().expect("a seq");
    // Both speak for a while.
    let version = || newest("gex")["data"]["header"]["version"].as_u64().expect("a version");
    let (start, patience) = (version(), Instant::now());
    while version() < start + 3 {
        assert!(patience.elapsed() < Duration::from_secs(60), "gex stays v{start}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let refused = profiles(&["promote", "nobody"]).expect(2);
    assert!(refused.stderr.contains("there are calm"), "{}", refused.stderr);
    let refused = profiles(&["rollback", "--at", "2001-01-01T00:00:00Z"]).expect(2);
    assert!(refused.stderr.contains("leave --at out"), "{}", refused.stderr);
    let promoted = profiles(&["promote", "calm", "--json"]).expect(0).json();
    let promoted = promoted["seq"].as_u64().expect("a seq");
    assert!(promoted > seq);
    live.wait_for("/api/v1/artifacts/SPX/gex", "gex/inverse-oi@1");
    // What runs beside never reaches the shelf.
    assert_eq!(newest(&format!("gex+calm.{seq}"))["status"], 404);
    let listed = profiles(&["list", "--json"]).expect(0).json();
    assert_eq!(listed["in_force"]["since"], promoted);
    assert_eq!(listed["shadows"][0]["tag"], format!("previous.{promoted}"));
    assert_eq!(live.terminate(), 0);

    // Opened again it goes on, and the record is what the events say.
    let recorded = orrery.headers("SPX", "gex");
    for header in &recorded {
        let inverse = header["profile"] == "gex/inverse-oi@1";
        let last = header["seq_last"].as_u64().expect("a seq");
        assert!(if inverse { last >= promoted } else { last <= promoted }, "{header:#}");
    }
    let again = Live::start(&orrery, &[]);
    again.wait_for("/api/v1/artifacts/SPX/gex", "gex/inverse-oi@1");
    assert_eq!(again.terminate(), 0);
    assert_eq!(orrery.headers("SPX", "gex"), recorded, "nothing is said twice");
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    let days: Vec<&str> =
        days.as_array().expect("a list").iter().filter_map(|d| d["day"].as_str()).collect();
    for day in &days {
        orrery.run(&["replay", day]).expect(0);
    }
    // Net exposure of the other sign: the report says where, and how far.
    let report = profiles(&["report", days[0], "--name", "calm", "--json"]).expect(1).json();
    let families = report["shadows"][0]["families"].as_array().expect("a list");
    let of = |family: &str| families.iter().find(|f| f["family"] == family).expect("a family");
    assert!(of("gex")["share"].as_f64() > Some(0.5), "{report:#}");
    assert_eq!(of("spot")["differing"], 0, "{report:#}");
    let mut levels = of("gex")["levels"].as_array().expect("levels").iter();
    let net = levels.find(|l| l["path"] == "/levels/net").expect("it lies apart");
    assert!(net["largest"].as_f64() >= net["mean"].as_f64() && net["mean"].as_f64() > Some(0.0));
    let text = profiles(&["report", days[0], "--name", "calm"]).expect(1).stdout;
    assert!(text.contains("/levels/net") && text.contains("mean change"), "{text}");
}
