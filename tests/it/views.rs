//! Views from events to Redis: what they read is what was published, what they
//! say stands under the contract's keys, and nobody needs them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use orrery::feeds::simulate::{Simulation, SimulationOptions};
use orrery::models::parameters::Parameters;
use orrery::models::parameters::views::SelectorProfile;
use orrery::partition::Makers;
use orrery::projector::publisher::{Publisher, PublisherConfig};
use orrery::projector::registry::KeySets;
use orrery::shelf::Shelf;
use orrery::views::{self, View};
use orrery::world::MarketWorld;
use orrery_journal::Journal;
use orrery_journal::event::{Draft, DraftBody, IndexValue, InstrumentRef};
use orrery_journal::units::{NANOS_PER_SECOND, Price, RecvTime, Seq};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::as_of;
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::compare::{CompareOptions, Span, compare};
use orrery_replay::derived::Derived;
use orrery_replay::driver::Threads;
use orrery_replay::fold::World;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::redis::RedisServer;
use crate::support::{Orrery, journal_of, shared};

const OURS: [&str; 6] =
    ["levels", "bias_lfi", "market_mode", "vix_regime", "selector", "selector_marketswarm"];

type MakeViews = fn(&Parameters) -> Vec<Box<dyn View>>;

/// Forty seconds of a made-up session with a change of the topology, and with an
/// index of volatility from the tenth on.
fn drafts() -> Vec<Draft> {
    let options = SimulationOptions {
        duration_ns: Some(40 * NANOS_PER_SECOND),
        ticks_per_second: 60,
        chain_every_ns: 10 * NANOS_PER_SECOND,
        topology_change_ns: Some(25 * NANOS_PER_SECOND),
        gap_ns: None,
        ..SimulationOptions::default()
    };
    let mut next = options.start.plus_nanos(10 * NANOS_PER_SECOND);
    let mut simulation = Simulation::new(options);
    let mut drafts = Vec::new();
    // It falls every five seconds until it stands at 17.25.
    let mut vix = 18.25_f64;
    for draft in simulation.next_batch(RecvTime(i64::MAX)) {
        if draft.recv > Some(next) && matches!(draft.body, DraftBody::IndexValue(_)) {
            let value = Price::from_f64_exact(vix).expect("a price");
            let body = DraftBody::IndexValue(IndexValue { value });
            let instrument = InstrumentRef::Ticker("I:VIX".into());
            drafts.push(Draft { instrument, body, ..draft.clone() });
            next = next.plus_nanos(5 * NANOS_PER_SECOND);
            vix = (vix - 0.25).max(17.25);
        }
        drafts.push(draft);
    }
    drafts
}

fn journal() -> Journal {
    journal_of(drafts())
}

fn parameters() -> Parameters {
    let mut parameters = Parameters::default();
    parameters.views.selector_beside = vec![SelectorProfile::Marketswarm];
    parameters
}

fn folded(journal: &Journal, makers: Makers) -> (Arc<dyn World>, Derived) {
    let world = MarketWorld::new(parameters()).expect("usable").with_makers(makers);
    let world: Arc<dyn World> = Arc::new(world);
    let derived = Derived::in_memory();
    let options = CatchUpOptions { checkpoint_events: 3_000, ..CatchUpOptions::default() };
    let go_on = &mut |_| ControlFlow::Continue(());
    catch_up(journal, &derived, Arc::clone(&world), options, go_on).expect("folded");
    (world, derived)
}

fn headers(derived: &Derived, family: &str) -> Vec<Header> {
    derived.headers("SPX", family, 1, usize::MAX).expect("readable")
}

fn body(journal: &Journal, derived: &Derived, world: &Arc<dyn World>, header: &Header) -> Value {
    let body = as_of::body(journal, derived, world, header).expect("kept or made again");
    serde_json::from_slice(&body).expect("JSON")
}

#[test]
fn views_name_the_versions_that_they_read_and_replay_alike() {
    let journal = journal();
    let (world, derived) = folded(&journal, Makers::default());
    let told = |header: &Header| body(&journal, &derived, &world, header);
    for family in OURS {
        let headers = headers(&derived, family);
        assert!(headers.len() > 3, "{family} has {} versions", headers.len());
        let mut named = BTreeMap::new();
        for header in &headers {
            let body = told(header);
            assert!(body["quality"].is_object(), "{family} without quality");
            let mut made = Vec::new();
            for (source, said) in body["sources"].as_object().expect("sources") {
                // The newest of the source when the view was made.
                let of_source = self::headers(&derived, source);
                // An event of the same moment comes after the timers.
                let moment = |h: &Header| (h.created_at, h.seq_last);
                let read = of_source.iter().rfind(|h| moment(h) <= moment(header));
                let read = read.expect("it was published before it was read");
                assert_eq!(said["version"], read.version, "{family} reads {source}");
                assert_eq!(said["profile"], *read.profile, "{family} reads {source}");
                *named.entry(source.clone()).or_insert(0) += 1;
                made.push((read.created_at, said["age_ms"].as_i64().expect("an age")));
            }
            let newest = made.iter().map(|(at, _)| at.0).max().expect("a source");
            for (at, age_ms) in made {
                assert_eq!(age_ms, (newest - at.0) / 1_000_000, "{family}");
            }
        }
        println!("{family}: {} versions, sources {named:?}", headers.len());
        let needed: &[&str] =
            if family == "vix_regime" { &["volatility"] } else { &["gex", "spot"] };
        assert!(needed.iter().all(|n| named.contains_key(*n)), "{family}: {named:?}");
    }
    let rankings = headers(&derived, "selector");
    let mut scored = 0;
    for header in &rankings {
        let selector = told(header);
        let read = selector["sources"]["heatmap"]["version"].as_u64().expect("a version");
        let heatmap = derived.headers("SPX", "heatmap", read, 1).expect("readable");
        let (cheap, dear) = sides(&told(&heatmap[0]));
        assert_eq!(selector["total_scored"], cheap, "v{} of heatmap v{read}", header.version);
        assert_eq!(selector["filtered_by_debit_rule"], dear, "v{}", header.version);
        scored += cheap;
    }
    assert!(scored > 0, "{} rankings and nothing scored", rankings.len());
    let last = told(rankings.last().expect("a selector"));
    assert_eq!(last["volatility"], json!({"value": 17.25, "source": "index"}));
    let regime = told(&headers(&derived, "vix_regime").pop().expect("a regime"));
    assert_eq!((&regime["regime"], &regime["vix"]), (&last["vix_regime"], &last["vix"]));
    let levels = told(&headers(&derived, "levels").pop().expect("levels"));
    let kinds: std::collections::BTreeSet<&str> = levels["levels"]
        .as_array()
        .expect("levels")
        .iter()
        .filter_map(|l| l["kind"].as_str())
        .collect();
    for kind in ["call_wall", "peak", "absolute_gamma", "max_pain"] {
        assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
    }
    let span = Span { first: Seq::FIRST, last: journal.head().seq };
    for from_scratch in [true, false] {
        let threads = Threads::new(2);
        let options = CompareOptions { threads, from_scratch, ..CompareOptions::default() };
        let (told, seen) = (&mut |_: &_| {}, &mut |_, _: &[_]| ControlFlow::Continue(()));
        let result =
            compare(&journal, &derived, &world, span, &options, told, seen).expect("replayed");
        assert!(result.identical(), "{:?}", result.first_difference());
    }
}

/// Sides of a heatmap's butterflies with a debit above zero: those of at most a
/// tenth of the width, and the others.
fn sides(heatmap: &Value) -> (u64, u64) {
    let tiles = heatmap["tiles"].as_object().expect("tiles").values();
    let (mut cheap, mut dear) = (0, 0);
    for tile in tiles.filter(|tile| tile["strategy"] == "butterfly") {
        let width = tile["width"].as_f64().expect("a width");
        let debits = ["call", "put"].into_iter().filter_map(|side| tile[side]["debit"].as_f64());
        for debit in debits.filter(|debit| *debit > 0.0) {
            *(if debit <= width / 10.0 { &mut cheap } else { &mut dear }) += 1;
        }
    }
    (cheap, dear)
}

fn without(parameters: &Parameters, family: &str) -> Vec<Box<dyn View>> {
    let mut all = views::all(parameters);
    let before = all.len();
    all.retain(|view| view.family() != family);
    assert_eq!(all.len() + 1, before, "there is one {family}");
    all
}

#[test]
fn a_view_less_changes_nothing_of_anything_else() {
    let journal = journal();
    let (_, whole) = folded(&journal, Makers::default());
    let fewer: [(&str, MakeViews); 7] = [
        ("levels", |p| without(p, "levels")),
        ("bias_lfi", |p| without(p, "bias_lfi")),
        ("market_mode", |p| without(p, "market_mode")),
        ("vix_regime", |p| without(p, "vix_regime")),
        ("selector", |p| without(p, "selector")),
        ("context", |p| without(p, "context")),
        ("selector_marketswarm", |p| without(p, "selector_marketswarm")),
    ];
    let families = whole.families().expect("readable");
    for (gone, views) in fewer {
        let (_, derived) = folded(&journal, Makers { views, ..Makers::default() });
        for (symbol, family) in &families {
            let of = |derived: &Derived| derived.latest(symbol, family).expect("readable");
            if **family == *gone {
                assert_eq!(of(&derived), None, "{gone} is gone");
            } else {
                // A header holds the hash of the one before: all versions are equal.
                assert_eq!(of(&derived), of(&whole), "{symbol} {family} without {gone}");
            }
        }
    }
}

/// Asks until it holds, for at most half a minute.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn read(server: &RedisServer, key: &str) -> Option<Value> {
    let text: Option<String> = server.run(&["GET", key]);
    text.map(|text| serde_json::from_str(&text).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_the_views_hold_what_the_contract_says() {
    let journal = journal();
    let (world, derived) = folded(&journal, Makers::default());
    let artifact = |header: Header| {
        let body = as_of::body(&journal, &derived, &world, &header).expect("kept or made again");
        Artifact { header, body }
    };
    let (system, market) = (RedisServer::start(), RedisServer::start());
    let shelf = Arc::new(Shelf::default());
    let config = PublisherConfig {
        system: system.url(),
        market: market.url(),
        lineage: "views".into(),
        takeover: false,
        prefix: None,
        sets: KeySets::default(),
    };
    let publisher = Publisher::new(shelf.clone(), config).expect("usable addresses");
    let stop = CancellationToken::new();
    let task = tokio::spawn(publisher.run(stop.clone()));

    let names = [
        ("bias_lfi", "massive:bias_lfi:model:latest"),
        ("market_mode", "massive:market_mode:model:latest"),
        ("vix_regime", "massive:vix_regime:model:latest"),
        ("selector", "massive:selector:model:I:SPX:latest"),
    ];
    // Some versions in turn: `ts` changes with each, versions only rise.
    for (family, key) in names {
        let mut last: Option<(f64, u64)> = None;
        for header in headers(&derived, family).into_iter().take(3) {
            let version = header.version;
            shelf.place(artifact(header));
            eventually(key, || read(&market, key).is_some_and(|d| d["version"] == version)).await;
            let document = read(&market, key).expect("stored");
            let ts = document["ts"].as_f64().expect("seconds");
            assert!(last.is_none_or(|(t, v)| ts > t && version > v), "{key}: {last:?}, {ts}");
            last = Some((ts, version));
            let moment = RecvTime((ts * 1e6).round() as i64 * 1_000).to_rfc3339();
            let iso = document["ts_iso"].as_str().expect("a moment").to_owned();
            assert_eq!(iso[..19], moment[..19], "{key}: one moment, twice");
        }
        let left: i64 = market.run(&["TTL", key]);
        assert!((3_540..=3_600).contains(&left), "{key} lives {left} s");
        assert_eq!(market.run::<String>(&["TYPE", key]), "string");
        assert_eq!(read(&system, key), None, "{key} is the market bus's");
    }
    let bias = read(&market, names[0].1).expect("stored");
    for name in [
        "ts",
        "ts_iso",
        "symbol",
        "spot",
        "directional_strength",
        "lfi_score",
        "market_mode_score",
        "max_call_gex_strike",
        "max_put_gex_strike",
        "max_net_gex_strike",
        "total_call_gex",
        "total_put_gex",
        "total_net_gex",
        "gex_flip_level",
        "flip_above",
        "flip_below",
        "strike_range",
        "proximity_bias_adj",
        "proximity_lfi_adj",
        "distance_to_flip",
    ] {
        assert!(bias.get(name).is_some(), "bias_lfi has no {name}");
    }
    assert_eq!(bias["symbol"], "I:SPX");
    let same = read(&market, "massive:bias_lfi:model:I:SPX:latest");
    assert_eq!(Some(&bias), same.as_ref(), "one document, two names");
    let mode = read(&market, names[1].1).expect("stored");
    let name = mode["mode"].as_str().expect("a mode");
    assert!(["compression", "transition", "expansion"].contains(&name), "{mode}");
    let regime = read(&market, names[2].1).expect("stored");
    assert_eq!((&regime["index"], &regime["regime"]), (&"I:VIX".into(), &"goldilocks_1".into()));
    let selector = read(&market, names[3].1).expect("stored");
    for name in [
        "ts",
        "ts_iso",
        "symbol",
        "spot",
        "vix",
        "vix_regime",
        "vix_special",
        "scoring",
        "campaigns",
        "playbook",
        "edge_cases",
        "expected_move",
        "gamma_scalp",
        "gamma_magnet",
        "zero_gamma",
        "indicator_snapshot",
        "scores",
        "recommendations",
        "total_scored",
        "filtered_by_debit_rule",
    ] {
        assert!(selector.get(name).is_some(), "selector has no {name}");
    }
    let best = &selector["recommendations"][0];
    for name in [
        "rank",
        "tile_key",
        "score",
        "campaign",
        "edge_cases",
        "r2r_vs_typical",
        "strategy",
        "side",
        "strike",
        "width",
        "dte",
        "debit",
        "debit_pct",
        "max_profit",
        "max_loss",
        "r2r_ratio",
        "distance_to_spot",
        "distance_to_gamma_magnet",
        "convexity",
    ] {
        assert!(best.get(name).is_some(), "a recommendation has no {name}");
    }
    stop.cancel();
    task.await.expect("the publisher ends");
}

#[test]
fn the_command_line_prints_the_flat_list_and_both_rankings() {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1", "--seed", "3"]).expect(0);
    let flat = orrery.run(&["levels", "SPX", "--flat"]).expect(0).stdout;
    assert!(flat.contains("call_wall") && flat.contains("gex/naive-oi@1 v"), "{flat}");
    let walls = orrery.run(&["levels", "SPX", "--kind", "call_wall", "--json"]).expect(0).json();
    let rows = walls["body"]["levels"].as_array().expect("levels");
    assert!(!rows.is_empty() && rows.iter().all(|l| l["kind"] == "call_wall"), "{walls:#}");
    let ranked = |profile: &str| {
        orrery.run(&["selector", "SPX", "--profile", profile, "--json"]).expect(0).json()
    };
    let (ours, theirs) = (ranked("convexity"), ranked("marketswarm"));
    assert_eq!(ours["profile"], "selector/convexity@1");
    assert_eq!(theirs["body"]["parameters"]["compares_neighbours"], false);
    // What the command computes from artifacts is the artifact of the view.
    let shown = orrery.run(&["artifacts", "show", "SPX", "selector", "--json"]).expect(0).json();
    assert_eq!(shown["body"]["parameters"], ours["body"]["parameters"]);
    let table = orrery.run(&["selector", "SPX"]).expect(0).stdout;
    assert!(table.contains("butterfly:") && table.contains("convexity"), "{table}");
    let unknown = orrery.run(&["selector", "SPX", "--profile", "best"]).expect(2);
    assert!(unknown.stderr.contains("selector/marketswarm@1"), "{}", unknown.stderr);
}

/// A captured chain: the list has what the model says, each under its source.
#[test]
fn levels_of_a_captured_day_are_those_of_its_models() {
    let Some(folder) = shared("spx-0dte-20260819") else { return };
    let orrery = Orrery::new();
    orrery.import(&[&folder]);
    let last =
        |family: &str| orrery.run(&["artifacts", "show", "SPX", family, "--json"]).expect(0).json();
    let (gex, levels) = (last("gex"), last("levels"));
    let first = |kind: &str| {
        let rows = levels["body"]["levels"].as_array().expect("levels");
        rows.iter().find(|l| l["kind"] == kind && l["rank"].as_u64().unwrap_or(1) == 1).cloned()
    };
    for (kind, place) in [("call_wall", "call_wall"), ("put_wall", "put_wall"), ("peak", "peak")] {
        let want = &gex["body"]["levels"][place];
        match first(kind) {
            Some(level) => {
                assert_eq!(&level["price"], want, "{kind}");
                assert_eq!(level["version"], gex["header"]["version"], "{kind}");
            }
            None => assert!(want.is_null(), "{kind} is missing"),
        }
    }
}
