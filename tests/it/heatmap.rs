//! The heatmap end to end: random markets through the whole fold, its documents
//! and differences as readers of Redis apply them, and the command.

use std::collections::{BTreeMap, BTreeSet};

use orrery::market::ticker::parse_option;
use orrery::models::parameters::Parameters;
use orrery::projector::render::{Held, Rendering, Write, documents};
use orrery_journal::event::{
    ChainDraft, ChainRow, ChainRowDraft, Draft, DraftBody, IndexValue, InstrumentRef, Quote,
};
use orrery_journal::units::{
    Address, InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, SourceId, VendorTime,
};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::fold::Output;
use proptest::prelude::*;
use serde_json::Value;

use crate::folding::Fielded;
use crate::support::Orrery;

/// 2025-12-19 09:29 in New York: SPX settles in a minute, SPXW at the close.
const START: i64 = 1_766_154_540 * NANOS_PER_SECOND;
const MILLI: i64 = 1_000_000;

/// What happens in a random market, and on the way to its readers.
#[derive(Clone, Debug)]
enum Act {
    /// Contract, bid and ask in 20ths, age by the vendor's clock.
    Quote(usize, u32, u32, i64),
    Spot(u32),
    /// How many strikes the chain lists: another number is another epoch.
    Chain(usize),
    Wait(i64),
    /// The publisher's answer to the next version got lost; whether Redis took it.
    Unanswered(bool),
    /// The publisher starts over and knows what Redis holds.
    Restart,
    /// Nobody publishes for a while.
    Skip,
    Checkpoint,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => (0usize..60, 0u32..200, 0u32..220, 0i64..4_000)
            .prop_map(|(slot, bid, ask, age)| Act::Quote(slot, bid, ask, age)),
        2 => (6_440u32..6_560).prop_map(Act::Spot),
        1 => (8usize..13).prop_map(Act::Chain),
        6 => (1i64..700).prop_map(Act::Wait),
        1 => (30_000i64..40_000_000).prop_map(Act::Wait),
        1 => any::<bool>().prop_map(Act::Unanswered),
        1 => Just(Act::Restart),
        1 => Just(Act::Skip),
        1 => Just(Act::Checkpoint),
    ]
}

/// Contracts of three expiries and roots at strikes 10 apart.
fn tickers(strikes: usize) -> Vec<String> {
    let strikes: Vec<usize> = (0..strikes).map(|i| 6_440 + 10 * i).collect();
    let groups = ["SPX251219", "SPXW251219", "SPXW251222"];
    let each = groups.iter().flat_map(|group| strikes.iter().map(move |k| (group, k)));
    each.flat_map(|(group, k)| ["C", "P"].map(|side| format!("O:{group}{side}{:08}", k * 1_000)))
        .collect()
}

fn price(twentieths: u32) -> Option<Price> {
    Price::from_f64_exact(f64::from(twentieths) / 20.0)
}

/// A market with what is known of its quotes by rule C: older by the vendor's
/// clock never overwrites newer.
struct World {
    fielded: Fielded,
    now: i64,
    strikes: usize,
    quotes: BTreeMap<String, (VendorTime, Option<Price>, Option<Price>)>,
}

impl World {
    fn new() -> World {
        let fielded = Fielded::new(Parameters::default());
        let mut world = World { fielded, now: START, strikes: 10, quotes: BTreeMap::new() };
        world.send("I:SPX", 0, DraftBody::IndexValue(IndexValue { value: spot(6_500) }));
        world.chain(10);
        world
    }

    fn send(&mut self, ticker: &str, age: i64, body: DraftBody) {
        self.fielded.take(Draft {
            recv: Some(RecvTime(self.now)),
            vendor_time: Some(VendorTime(self.now - age * MILLI)),
            instrument: InstrumentRef::Ticker(ticker.into()),
            source: SourceId(1),
            extension: None,
            body,
        });
    }

    fn chain(&mut self, strikes: usize) {
        self.strikes = strikes;
        let updated = VendorTime(self.now);
        let row = |(i, ticker): (usize, String)| {
            let terms = parse_option(&ticker).expect("an option");
            let at = f64::from(u32::try_from(i).expect("few"));
            let row = ChainRow {
                bid: Some(1.0 + at / 4.0),
                ask: Some(1.5 + at / 4.0),
                gamma: Some(0.01),
                open_interest: Some(10.0),
                updated: Some(updated),
                ..terms.row(InstrumentId::NONE)
            };
            ChainRowDraft { ticker: ticker.into(), row }
        };
        let rows: Vec<_> = tickers(strikes).into_iter().enumerate().map(row).collect();
        // An epoch that is born knows nothing of before.
        for listed in &rows {
            let side = |p: Option<f64>| p.and_then(Price::from_f64_exact);
            let quote = (updated, side(listed.row.bid), side(listed.row.ask));
            self.quotes.insert(listed.ticker.to_string(), quote);
        }
        let chain = ChainDraft {
            raw: bytes::Bytes::new(),
            spot: None,
            refused: 0,
            latency_ns: 0,
            pages: 1,
            rows,
        };
        self.send("I:SPX", 0, DraftBody::Chain(Box::new(chain)));
    }

    fn run(&mut self, act: &Act) {
        match *act {
            Act::Quote(slot, bid, ask, age) => {
                let known = tickers(self.strikes);
                let ticker = known[slot % known.len()].clone();
                let (bid, ask) = (price(bid), price(ask));
                let at = VendorTime(self.now - age * MILLI);
                let held = self.quotes.get_mut(&ticker).expect("listed");
                if at >= held.0 {
                    *held = (at, bid, ask);
                }
                let quote = Quote { bid, ask, ..Quote::default() };
                self.send(&ticker, age, DraftBody::Quote { quote, conditions: Box::default() });
            }
            Act::Spot(value) => {
                self.send("I:SPX", 0, DraftBody::IndexValue(IndexValue { value: spot(value) }));
            }
            Act::Chain(strikes) => self.chain(strikes),
            Act::Wait(millis) => {
                self.now += millis * MILLI;
                self.fielded.fire_until(RecvTime(self.now));
            }
            Act::Checkpoint => self.fielded.checkpoint(),
            Act::Unanswered(_) | Act::Restart | Act::Skip => {}
        }
    }

    fn heatmaps(&self) -> Vec<(RecvTime, Output)> {
        self.fielded.outputs("SPX", "heatmap")
    }

    /// Mids of the newest body against the quotes that rule C leaves.
    fn check_mids(&self, body: &Value) {
        let tiles = body["tiles"].as_object().expect("a map");
        for tile in tiles.values().filter(|t| t["strategy"] == "single") {
            let root = tile["root"].as_str().unwrap_or("SPXW");
            let days = tile["dte"].as_i64().expect("days");
            let expiries = body["expiries"].as_array().expect("a list");
            let group = expiries.iter().find(|e| e["root"] == root && e["dte"] == days);
            let group = group.expect("its group");
            let date = group["expiry"].as_str().expect("a date").replace('-', "");
            for (side, letter) in [("call", "C"), ("put", "P")] {
                let strike = tile["strike"].as_f64().expect("a strike") as u64;
                let ticker = format!("O:{root}{}{letter}{:08}", &date[2..], strike * 1_000);
                let (_, bid, ask) = self.quotes[&ticker];
                let two_sided = bid.zip(ask).filter(|(b, a)| b.0 > 0 && a >= b);
                let mid = two_sided
                    .filter(|_| group["years"].is_number())
                    .map(|(b, a)| Price((b.0 + a.0) / 2).to_f64());
                assert_eq!(tile[side]["mid"].as_f64(), mid, "{ticker} in {tile}");
            }
        }
    }
}

fn spot(points: u32) -> Price {
    Price(i64::from(points) * Price::SCALE)
}

/// A publisher, the document in Redis, and a reader that folds differences.
#[derive(Default)]
struct Delivery {
    version: u64,
    /// Body that every reader holds for certain.
    certain: Option<bytes::Bytes>,
    ghosts: BTreeSet<String>,
    last: Option<(u64, i64)>,
    document: Option<Value>,
    reader: Option<(u64, BTreeMap<String, Value>)>,
    folded: usize,
}

fn keys(document: &Value) -> impl Iterator<Item = String> + '_ {
    document["tiles"].as_object().into_iter().flat_map(|tiles| tiles.keys().cloned())
}

impl Delivery {
    fn artifact(&self, at: RecvTime, output: &Output) -> Artifact {
        let header = Header {
            symbol: "SPX".into(),
            family: output.family.into(),
            version: self.version,
            epoch: output.epoch,
            profile: output.profile.into(),
            configuration: Address::default(),
            seq_first: Seq(1),
            seq_last: Seq(self.version),
            created_at: at,
            content: Address::of(&output.body),
            body_len: output.body.len() as u64,
            previous: Address::default(),
        };
        Artifact { header, body: output.body.clone() }
    }

    fn deliver(&mut self, artifact: &Artifact, fate: Option<bool>) {
        let held = Held {
            last: self.last,
            tiles: self.certain.as_deref(),
            ghosts: Some(&self.ghosts),
            ..Held::default()
        };
        let rendering = documents(artifact, &held).expect("renders");
        let (document, difference, logged) = parts(&rendering);
        assert_eq!(
            (&logged["changed"], &logged["removed"]),
            (&difference["changed"], &difference["removed"])
        );
        if fate != Some(false) {
            self.hear(&document, &difference);
            self.document = Some(document.clone());
        }
        self.last = Some((artifact.header.version, rendering.stamp_us));
        if fate.is_none() {
            self.certain = Some(artifact.body.clone());
            self.ghosts.clear();
        } else {
            let before = self.certain.take();
            let before = before.map(|b| serde_json::from_slice::<Value>(&b).expect("JSON"));
            self.ghosts.extend(before.iter().flat_map(keys));
            self.ghosts.extend(keys(&document));
        }
    }

    /// What a page does: the first document whole, then differences only; those
    /// that are not newer are dropped.
    fn hear(&mut self, document: &Value, difference: &Value) {
        let whole = || {
            let tiles = document["tiles"].as_object().expect("a map");
            tiles.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let Some((version, tiles)) = &mut self.reader else {
            self.reader = Some((document["version"].as_u64().expect("a number"), whole()));
            return;
        };
        let new = difference["version"].as_u64().expect("a number");
        if new <= *version {
            return;
        }
        *version = new;
        for key in difference["removed"].as_array().expect("a list") {
            tiles.remove(key.as_str().expect("a key"));
        }
        for (key, tile) in difference["changed"].as_object().expect("a map") {
            tiles.insert(key.clone(), tile.clone());
        }
        self.folded += 1;
        assert_eq!(*tiles, whole(), "folding gives the latest at version {new}");
        assert_eq!(difference["dtes_available"], document["dtes_available"]);
    }

    fn restart(&mut self) {
        (self.certain, self.last) = (None, None);
        self.ghosts = self.document.iter().flat_map(keys).collect();
    }
}

fn parts(rendering: &Rendering) -> (Value, Value, Value) {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    let put = |key: &str| rendering.puts.iter().find(|p| p.key.as_str() == key).expect("written");
    let diff =
        rendering.publishes.iter().find(|p| p.channel.as_str() == "massive:heatmap:diff:I:SPX");
    let log = put("massive:heatmap:replay:I:SPX");
    assert_eq!(log.write, Write::Append);
    (
        json(&put("massive:heatmap:model:I:SPX:latest").value),
        json(&diff.expect("told").payload),
        json(&log.value),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Across epochs, expiries, days, checkpoints, lost answers and restarts.
    #[test]
    fn folding_the_differences_gives_the_latest_at_every_version(
        acts in prop::collection::vec(act(), 20..120),
    ) {
        let (mut world, mut delivery) = (World::new(), Delivery::default());
        let (mut seen, mut fate, mut skip) = (0, None, false);
        for act in &acts {
            world.run(act);
            match act {
                Act::Unanswered(taken) => fate = Some(*taken),
                Act::Restart => delivery.restart(),
                Act::Skip => skip = true,
                _ => {}
            }
            let all = world.heatmaps();
            for (at, output) in &all[seen..] {
                delivery.version += 1;
                if !std::mem::take(&mut skip) {
                    let artifact = delivery.artifact(*at, output);
                    delivery.deliver(&artifact, fate.take());
                }
            }
            if let (Act::Wait(_), Some((_, newest))) = (act, all[seen..].last()) {
                world.check_mids(&serde_json::from_slice(&newest.body).expect("JSON"));
            }
            seen = all.len();
        }
        // The same events without any checkpoint give the same bodies.
        let mut again = World::new();
        for act in acts.iter().filter(|act| !matches!(act, Act::Checkpoint)) {
            again.run(act);
        }
        prop_assert!(again.heatmaps() == world.heatmaps());
    }
}

/// The property above would hold of a market that never says anything.
#[test]
fn a_market_of_these_acts_changes_epochs_and_removes_tiles() {
    let (mut world, mut delivery) = (World::new(), Delivery::default());
    let acts = [
        Act::Wait(300),
        Act::Quote(30, 100, 110, 0),
        Act::Wait(300),
        Act::Chain(8),
        Act::Wait(300),
        Act::Restart,
        Act::Chain(12),
        Act::Wait(61_000),
        Act::Quote(30, 90, 100, 70_000),
        Act::Quote(30, 90, 100, 0),
        Act::Wait(300),
    ];
    let mut epochs = BTreeSet::new();
    let mut seen = 0;
    for act in &acts {
        world.run(act);
        let all = world.heatmaps();
        for (at, output) in &all[seen..] {
            delivery.version += 1;
            let artifact = delivery.artifact(*at, output);
            delivery.deliver(&artifact, None);
            epochs.insert(output.epoch);
        }
        seen = all.len();
    }
    assert_eq!(epochs.len(), 3);
    assert!(delivery.folded >= 4, "{} differences", delivery.folded);
    let document = delivery.document.expect("delivered");
    assert_eq!(document["quality"]["contracts"]["expired"], 24, "the root of the morning");
    assert!(document["quality"]["reasons"]["expired"].as_u64() > Some(0));
}

#[test]
fn the_command_shows_layers_of_any_profile_at_any_moment() {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1"]).expect(0);
    let told = orrery.run(&["heatmap", "SPX"]).expect(0);
    assert!(told.stdout.contains("butterfly: debit"), "{}", told.stdout);
    for (layer, strategy) in
        [("density", "butterfly"), ("parity", "butterfly"), ("probability", "vertical")]
    {
        let args = ["heatmap", "SPX", "--dte", "4", "--layer", layer, "--strategy", strategy];
        let told = orrery.run(&args).expect(0).stdout;
        let cells = told.split_whitespace().filter_map(|c| c.parse::<f64>().ok()).count();
        assert!(cells > 100, "{layer}: {told}");
    }
    let body = |profile: &str, at: &str| {
        let args = ["heatmap", "SPX", "--profile", profile, "--at", at, "--json"];
        orrery.run(&args).expect(0).json()
    };
    let (mid, theory) = (body("mid", "seq:9000"), body("theoretical", "seq:9000"));
    assert_eq!(mid["profile"], "heatmap/mid@1");
    assert_eq!(theory["body"]["definitions"]["volatility"], "vendor_else_quotes");
    let debit = |body: &Value, field: &str| {
        let tiles = body["body"]["tiles"].as_object().expect("a map").values();
        tiles.filter_map(|t| t["call"][field].as_f64()).fold(0.0, |sum, debit| sum + debit)
    };
    assert_eq!(debit(&mid, "debit"), debit(&theory, "market_debit"), "the same market");
    assert_ne!(debit(&mid, "debit"), debit(&theory, "debit"));
    assert_ne!(mid["body"]["tiles"], body("mid", "seq:5000")["body"]["tiles"]);
    // The newest artifact is what the command answers of the configured profile.
    let shown = orrery.run(&["artifacts", "show", "SPX", "heatmap", "--json"]).expect(0).json();
    assert_eq!(shown["header"]["profile"], "heatmap/mid@1");
    for (args, why) in [
        (vec!["heatmap", "SPX", "--profile", "best"], "no heatmap profile"),
        (
            vec!["heatmap", "SPX", "--layer", "density", "--strategy", "vertical"],
            "only butterflies",
        ),
        (vec!["heatmap", "SPX", "--dte", "77"], "no expiry of that many days"),
        (vec!["heatmap", "NOPE"], "no symbol NOPE"),
    ] {
        let told = orrery.run(&args).expect(2);
        assert!(told.stderr.contains(why), "{args:?}: {}", told.stderr);
    }
    assert!(orrery.run(&["heatmap", "--list"]).expect(0).stdout.contains("heatmap/marketswarm@1"));
}
