//! Two reads of one moment: as it was known, and as it has been corrected since.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use orrery::backend::Archive;
use orrery::control::CorrectedRead;
use orrery::models::parameters::Parameters;
use orrery::world::MarketWorld;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{Calendar, Journal};
use orrery_replay::as_of::At;
use orrery_replay::derived::Derived;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::live::Live;
use crate::proof::import;
use crate::support::Orrery;

/// 2026-03-16 14:30 UTC, ms.
const OPENING: i64 = 1_773_671_400_000;

/// A trade or a bar of SPY, one a second.
#[derive(Clone, Debug)]
struct Fact {
    bar: bool,
    cents: i64,
    size: i64,
}

impl Fact {
    fn wire(&self, second: i64) -> String {
        let (at, price) = (OPENING + second * 1_000, self.cents as f64 / 100.0);
        let size = self.size;
        match self.bar {
            false => format!(r#"{{"ev":"T","sym":"SPY","p":{price},"s":{size},"t":{at}}}"#),
            true => format!(
                r#"{{"ev":"AM","sym":"SPY","v":{size},"vw":{price},"o":{price},"h":{high},"l":{low},"c":{price},"s":{},"e":{at}}}"#,
                at - 60_000,
                high = price + 1.0,
                low = price - 1.0,
            ),
        }
    }

    /// What a correction says that makes another fact of this kind of it.
    fn right(&self) -> String {
        let price = self.cents as f64 / 100.0;
        match self.bar {
            false => json!({ "price": price, "size": self.size }),
            true => json!({
                "open": price, "high": price + 1.0, "low": price - 1.0, "close": price,
                "volume": self.size, "vwap": price,
            }),
        }
        .to_string()
    }
}

fn fact() -> impl Strategy<Value = Fact> {
    (any::<bool>(), 60_000..60_900i64, 1..500i64).prop_map(|(bar, cents, size)| Fact {
        bar,
        cents,
        size,
    })
}

/// What a session is made of: facts, and corrections of earlier ones.
#[derive(Clone, Debug)]
enum Step {
    Fact(Fact),
    /// Of the n-th fact so far; `None` cancels it.
    Correct(usize, Option<(i64, i64)>),
}

/// A journal in memory under the usual definitions.
struct House {
    archive: Archive,
    /// Events by number of their fact.
    seqs: Vec<Seq>,
}

/// Journals facts through the decoder that imports have.
fn house(steps: &[Step]) -> House {
    let journal = Journal::in_memory(Calendar::NewYork).expect("in memory");
    let mut seqs = Vec::new();
    {
        let writer = journal.writer(|| RecvTime(0)).expect("the only writer");
        let source = writer.define_source(r#"{"feed":"test"}"#).expect("a source");
        let draft = |second: i64, instrument: &str, body| Draft {
            recv: Some(RecvTime((OPENING + second * 1_000) * 1_000_000)),
            vendor_time: None,
            instrument: match instrument {
                "" => InstrumentRef::None,
                ticker => InstrumentRef::Ticker(ticker.into()),
            },
            source,
            extension: None,
            body,
        };
        let append = |draft: Draft| {
            writer.append(vec![draft]).expect("open").wait().expect("committed").last
        };
        for (second, step) in (0..).zip(steps) {
            match step {
                Step::Fact(fact) => seqs.push(append(draft(second, "SPY", body_of(fact)))),
                Step::Correct(n, right) => {
                    let text = right.map_or(String::new(), |(cents, size)| {
                        let was = &facts(steps)[*n];
                        Fact { cents, size, ..was.clone() }.right()
                    });
                    let blob = Bytes::from(text);
                    append(draft(second, "", DraftBody::Correction { corrects: seqs[*n], blob }));
                }
            }
        }
        append(draft(steps.len() as i64 + 30, "", DraftBody::ClockBeat));
        writer.close().expect("closes");
    }
    let world = MarketWorld::new(Parameters::default()).expect("defaults are fine");
    let archive = Archive::new(journal, Derived::in_memory(), Arc::new(world), 1);
    archive.catch_up(&mut |_| ControlFlow::Continue(())).expect("folds");
    House { archive, seqs }
}

fn facts(steps: &[Step]) -> Vec<Fact> {
    let facts = steps.iter().filter_map(|step| match step {
        Step::Fact(fact) => Some(fact.clone()),
        Step::Correct(..) => None,
    });
    facts.collect()
}

fn body_of(fact: &Fact) -> DraftBody {
    use orrery_journal::event::{Bar, Trade};
    use orrery_journal::units::{Price, VendorTime};
    let price = Price(fact.cents * 10_000_000);
    let point = Price::SCALE;
    match fact.bar {
        false => DraftBody::Trade {
            trade: Trade { price, size: fact.size as u64, ..Trade::default() },
            conditions: Box::default(),
        },
        true => DraftBody::Bar(Box::new(Bar {
            start: VendorTime(OPENING * 1_000_000),
            end: VendorTime((OPENING + 60_000) * 1_000_000),
            open: price,
            high: Price(price.0 + point),
            low: Price(price.0 - point),
            close: price,
            volume: Some(fact.size as u64),
            vwap: Some(price),
            ..Bar::default()
        })),
    }
}

impl House {
    /// Every family as corrected at a moment: body, version, and the account.
    fn corrected(&self, at: At) -> Vec<(String, Option<CorrectedRead>)> {
        let families = self.archive.families().expect("memory");
        families
            .iter()
            .map(|(symbol, family)| {
                let read = self.archive.corrected_at(symbol, family, at).expect("reads");
                (format!("{symbol} {family}"), read)
            })
            .collect()
    }

    /// Every family as known at a moment: body and header's hash.
    fn known(&self, at: At) -> Vec<(String, Option<(String, Bytes)>)> {
        let families = self.archive.families().expect("memory");
        families
            .iter()
            .map(|(symbol, family)| {
                let header = self.archive.latest_at(symbol, family, at).expect("reads");
                let read = header.map(|header| {
                    let body = self.archive.body(&header).expect("a body");
                    (header.hash().to_string(), body)
                });
                (format!("{symbol} {family}"), read)
            })
            .collect()
    }
}

/// Facts, then corrections among further facts.
fn session() -> impl Strategy<Value = Vec<Step>> {
    let before = proptest::collection::vec(fact().prop_map(Step::Fact), 3..12);
    let correct = (any::<prop::sample::Index>(), any::<Option<(u16, u8)>>());
    let after = proptest::collection::vec((fact(), proptest::option::of(correct)), 1..8);
    (before, after).prop_map(|(mut steps, after)| {
        let known = steps.len();
        for (fact, correct) in after {
            steps.push(Step::Fact(fact));
            if let Some((n, right)) = correct {
                let right = right.map(|(c, s)| (60_000 + i64::from(c % 900), 1 + i64::from(s)));
                steps.push(Step::Correct(n.index(known), right));
            }
        }
        steps
    })
}

/// The same session without corrections, every fact right from the start;
/// `None` in the place of what was cancelled. What is cancelled stays so.
fn right_from_the_start(steps: &[Step]) -> Vec<Option<Fact>> {
    let mut all: Vec<Option<Fact>> = facts(steps).into_iter().map(Some).collect();
    for step in steps {
        let Step::Correct(n, right) = step else { continue };
        all[*n] = match (&all[*n], right) {
            (Some(was), Some((cents, size))) => {
                Some(Fact { cents: *cents, size: *size, ..was.clone() })
            }
            _ => None,
        };
    }
    all
}

fn values(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn as_corrected_is_as_if_it_had_been_right_from_the_start(steps in session()) {
        let taken = house(&steps);
        let head = taken.archive.journal().head();
        let corrections = steps.iter().filter(|s| matches!(s, Step::Correct(..))).count();
        // What was known before the first correction came is what it was.
        let plain: Vec<Step> =
            steps.iter().take_while(|s| matches!(s, Step::Fact(_))).cloned().collect();
        let early = At::Seq(*house(&plain).seqs.last().expect("facts"));
        prop_assert_eq!(taken.known(early), house(&plain).known(early));
        // The journal in which nobody was ever wrong, at the same moments.
        let right = right_from_the_start(&steps);
        let mut facts = right.iter();
        let never_wrong: Vec<Option<Fact>> = steps
            .iter()
            .map(|step| match step {
                Step::Fact(_) => facts.next().cloned().flatten(),
                Step::Correct(..) => None,
            })
            .collect();
        let other = sparse(&never_wrong);
        for (name, read) in taken.corrected(At::Time(head.recv)) {
            let (symbol, family) = name.split_once(' ').expect("a name");
            let wanted = other.latest_at(symbol, family, At::Time(head.recv)).expect("reads");
            let wanted = wanted.map(|h| (h.version, values(&other.body(&h).expect("a body"))));
            let found = read.as_ref().map(|r| {
                (r.artifact.header.version, values(&r.artifact.body))
            });
            prop_assert_eq!(found, wanted, "{} of {:?}", name, steps);
            if let Some(read) = read {
                prop_assert_eq!(read.known, head.seq);
                prop_assert!(read.events as usize <= corrections);
                if corrections == 0 {
                    let known = taken.archive.latest_at(symbol, family, At::Seq(head.seq));
                    let known = known.expect("reads").expect("is there");
                    let body = taken.archive.body(&known).expect("a body");
                    prop_assert_eq!((&read.artifact.header, &read.artifact.body), (&known, &body));
                }
            }
        }
    }
}

/// A journal with these facts, one a second, and silence where there is none.
fn sparse(facts: &[Option<Fact>]) -> Archive {
    let journal = Journal::in_memory(Calendar::NewYork).expect("in memory");
    {
        let writer = journal.writer(|| RecvTime(0)).expect("the only writer");
        let source = writer.define_source(r#"{"feed":"test"}"#).expect("a source");
        let at = |second: i64| Some(RecvTime((OPENING + second * 1_000) * 1_000_000));
        let draft = |recv, instrument, body| Draft {
            recv,
            vendor_time: None,
            instrument,
            source,
            extension: None,
            body,
        };
        let spy = || InstrumentRef::Ticker("SPY".into());
        for (second, fact) in (0..).zip(facts) {
            let Some(fact) = fact else { continue };
            let draft = draft(at(second), spy(), body_of(fact));
            writer.append(vec![draft]).expect("open").wait().expect("committed");
        }
        let end = draft(at(facts.len() as i64 + 30), InstrumentRef::None, DraftBody::ClockBeat);
        writer.append(vec![end]).expect("open").wait().expect("committed");
        writer.close().expect("closes");
    }
    let world = MarketWorld::new(Parameters::default()).expect("defaults are fine");
    let archive = Archive::new(journal, Derived::in_memory(), Arc::new(world), 1);
    archive.catch_up(&mut |_| ControlFlow::Continue(())).expect("folds");
    archive
}

#[test]
fn both_reads_and_their_difference_are_shown_and_served() {
    let orrery = Orrery::new();
    let wire = |facts: &[(i64, i64)]| {
        let facts = facts.iter().map(|&(cents, size)| Fact { bar: false, cents, size });
        let lines = (0..).zip(facts).map(|(second, fact)| fact.wire(second));
        lines.collect::<Vec<_>>().join("\n")
    };
    import(&orrery, "a.ndjson", &wire(&[(60_000, 5), (99_900, 7), (60_100, 9)]));
    let events = orrery.run(&["journal", "read", "--kind", "trade", "--json"]).expect(0).json();
    let wrong = events["events"][1]["seq"].to_string();
    let last = events["to"].to_string();
    let show = |more: &[&str]| {
        let args = ["artifacts", "show", "SPY", "gravity", "--json"];
        orrery.run(&[&args[..], more].concat())
    };
    let before = show(&[]).expect(0).json();
    // Without a correction both are one.
    let both = show(&["--corrected"]).expect(0).json();
    assert_eq!((&both["header"], &both["body"]), (&before["header"], &before["body"]));
    assert_eq!(both["corrected"]["events"], json!(0));
    show(&["--corrected", "--diff"]).expect(0);
    orrery.run(&["correct", &wrong, "--right", r#"{"price":600.5,"size":7}"#]).expect(0);
    // As known then is what it was; as corrected then is what the same facts give
    // when they are right from the start, hash for hash.
    let then = ["--at", &last];
    let known = show(&then).expect(0).json();
    assert_eq!((&known["header"], &known["body"]), (&before["header"], &before["body"]));
    let corrected = show(&[&then[..], &["--corrected"]].concat()).expect(0).json();
    let right = Orrery::new();
    import(&right, "a.ndjson", &wire(&[(60_000, 5), (60_050, 7), (60_100, 9)]));
    let args = ["artifacts", "show", "SPY", "gravity", "--json"];
    let right = right.run(&args).expect(0).json();
    assert_eq!(corrected["body"], right["body"]);
    assert_eq!(corrected["header"], right["header"]);
    assert_ne!(corrected["body"], before["body"]);
    assert_eq!(corrected["corrected"]["events"], json!(1));
    let changes = show(&[&then[..], &["--corrected", "--diff"]].concat()).expect(1).json();
    assert!(changes["total"].as_u64() > Some(0), "{changes}");
    let told = orrery.run(&["artifacts", "show", "SPY", "gravity", "--corrected"]).expect(0).stdout;
    assert!(
        told.starts_with("SPY gravity as corrected at ") && told.contains("1 corrected events")
    );
    orrery.run(&["artifacts", "show", "SPY", "gravity", "--corrected", "--version", "1"]).expect(2);
    // What says nothing usable changes nothing, and is counted.
    orrery.run(&["correct", &wrong, "--right", r#"{"price":-1}"#]).expect(0);
    orrery.run(&["correct", "1", "--cancel"]).expect(0);
    let again = show(&[&then[..], &["--corrected"]].concat()).expect(0).json();
    assert_eq!(again["body"], corrected["body"]);
    assert_eq!(again["corrected"]["unusable"], json!(2));
    // The record is what it was: nothing of this was kept.
    let day = orrery.run(&["days", "--json"]).expect(0).json()[0]["day"].clone();
    orrery.run(&["replay", day.as_str().expect("a day")]).expect(0);
    served(&orrery, last.parse().expect("a seq"), &corrected);
}

/// The same over gRPC.
fn served(orrery: &Orrery, seq: u64, wanted: &Value) {
    use orrery_proto::v1;
    use orrery_proto::v1::artifact_service_client::ArtifactServiceClient;
    use orrery_proto::v1::get_artifact_request::Which;
    let live = Live::start(orrery, &[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut client = ArtifactServiceClient::connect(live.url.clone()).await.expect("connects");
        let at = |corrected| v1::GetArtifactRequest {
            symbol: "SPY".into(),
            family: "gravity".into(),
            which: Some(Which::AsOf(v1::AsOf { bound: Some(v1::as_of::Bound::Seq(seq)) })),
            header_only: false,
            corrected,
        };
        let known = client.get_artifact(at(false)).await.expect("an answer").into_inner();
        let found = client.get_artifact(at(true)).await.expect("an answer").into_inner();
        let body = |answer: &v1::GetArtifactResponse| -> Value {
            let artifact = answer.artifact.as_ref().expect("an artifact");
            serde_json::from_slice(&artifact.body).expect("JSON")
        };
        assert_eq!(body(&found), wanted["body"]);
        assert_ne!(body(&known), wanted["body"]);
        assert_eq!(known.corrected, None);
        let account = found.corrected.expect("an account");
        assert_eq!((account.events, account.unusable), (1, 2));
        let refused = v1::GetArtifactRequest { which: Some(Which::Version(1)), ..at(true) };
        let refused = client.get_artifact(refused).await.expect_err("no such read");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    });
    assert_eq!(live.terminate(), 0);
}
