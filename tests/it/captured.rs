//! Every captured file, read by its decoder: the counts of the data's README.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use orrery::feeds::file::{Scan, Scanned, scan, walk};
use orrery::feeds::massive::{encode, rest, wire};
use orrery::feeds::{Format, Recv, inflate};
use orrery_journal::event::{self, Body, Draft, DraftBody, Event, InstrumentRef, RefusalReason};
use orrery_journal::units::{InstrumentId, Price, RecvTime, SourceId};
use serde_json::Value;

use crate::support::exact::Exact;
use crate::support::shared;

fn input(path: &Path) -> Scan {
    match scan(path, None).expect("a file") {
        Scanned::Input(scan) => scan,
        other => panic!("{}: {other:?}", path.display()),
    }
}

fn drafts(scan: &Scan) -> Vec<Draft> {
    let mut reader = scan.open(RecvTime(0)).expect("a file");
    let mut drafts = Vec::new();
    while let Some(timed) = reader.read_next().expect("readable") {
        assert!(!timed.late, "{:?}", timed.draft);
        drafts.push(timed.draft);
    }
    assert!(reader.refused.is_empty(), "{:?} {:?}", reader.refused, reader.told);
    assert_eq!(reader.bytes, scan.bytes);
    assert_eq!(drafts.first().and_then(|d| d.recv), scan.first);
    drafts
}

/// Contracts, with gamma that is not zero, with open interest that is not
/// zero, expiries, strikes.
fn chain(draft: &Draft) -> [usize; 5] {
    let DraftBody::Chain(chain) = &draft.body else { panic!("no chain: {draft:?}") };
    let there = |v: Option<f64>| v.is_some_and(|v| v != 0.0);
    let mut expiries: Vec<_> = chain.rows.iter().map(|r| r.row.expiry).collect();
    let mut strikes: Vec<_> = chain.rows.iter().map(|r| r.row.strike).collect();
    expiries.sort();
    expiries.dedup();
    strikes.sort();
    strikes.dedup();
    [
        chain.rows.len(),
        chain.rows.iter().filter(|r| there(r.row.gamma)).count(),
        chain.rows.iter().filter(|r| there(r.row.open_interest)).count(),
        expiries.len(),
        strikes.len(),
    ]
}

fn one_chain(name: &str, format: Format) -> Option<(Draft, [usize; 5])> {
    let scan = input(&shared(name)?);
    assert_eq!(scan.format, format);
    let mut drafts = drafts(&scan);
    assert_eq!(drafts.len(), 1);
    let draft = drafts.remove(0);
    let counts = chain(&draft);
    Some((draft, counts))
}

fn spot(draft: &Draft) -> Option<Price> {
    match &draft.body {
        DraftBody::Chain(chain) => chain.spot,
        _ => None,
    }
}

fn ticker(draft: &Draft) -> &str {
    match &draft.instrument {
        InstrumentRef::Ticker(ticker) => ticker,
        _ => "",
    }
}

#[test]
fn vendor_chains() {
    let Some((draft, counts)) = one_chain("chain-qqq-20260504.json.zst", Format::MassiveChain)
    else {
        return;
    };
    assert_eq!(counts, [10_838, 9_829, 8_700, 34, 465]);
    assert_eq!((ticker(&draft), spot(&draft)), ("QQQ", Some(Price(672_000_000_000))));
    assert_eq!(draft.recv, Some(RecvTime(1_777_939_194_804_425_753)));
    let DraftBody::Chain(chain) = &draft.body else { panic!() };
    let count = |f: &dyn Fn(&&event::ChainRowDraft) -> bool| chain.rows.iter().filter(f).count();
    assert_eq!(count(&|r| r.row.gamma.is_some_and(|g| g < 0.0)), 5);
    assert_eq!(count(&|r| r.row.gamma.is_none()), 1_000, "nine more are zero");
    assert_eq!(count(&|r| r.row.volume.is_some()), 9_106 - 3_743, "volume of today only");
    let counts = one_chain("chain-jpm-20260504.json.zst", Format::MassiveChain).expect("JPM").1;
    assert_eq!(counts[..4], [2_068, 1_990, 1_482, 19]);
}

#[test]
fn three_chains_of_one_session() {
    for (at, contracts, expiries) in [("1048", 2_742, 12), ("1121", 2_742, 12), ("1316", 4_752, 21)]
    {
        let name = format!("chain-tsla-20260715-{at}et.json.zst");
        let Some((draft, counts)) = one_chain(&name, Format::OptionsDesk) else { return };
        assert_eq!((counts[0], counts[3], ticker(&draft)), (contracts, expiries, "TSLA"));
        assert!(spot(&draft).is_some());
    }
}

#[test]
fn cboe_chains() {
    let Some((draft, counts)) =
        one_chain("cboe-delayed-aapl-20260724.json.zst", Format::CboeDelayed)
    else {
        return;
    };
    assert_eq!(counts[..4], [3_576, 2_726, 2_804, 24]);
    assert_eq!(draft.recv, RecvTime::parse_rfc3339("2026-07-25T03:44:38Z"));
    let (draft, counts) =
        one_chain("cboe-quotetable-spx-20220204.csv.zst", Format::CboeQuotetable).expect("SPX");
    assert_eq!(counts, [20_514, 16_313, 15_723, 40, 499]);
    assert_eq!((ticker(&draft), spot(&draft)), ("I:SPX", Some(Price(4_500_529_800_000))));
    assert_eq!(draft.recv, RecvTime::parse_rfc3339("2022-02-05T20:09:00-05:00"));
}

#[test]
fn two_currencies_in_one_file() {
    let Some(folder) = shared("deribit-20260820") else { return };
    let files = walk(&folder).expect("a folder");
    let contracts: Vec<usize> = files
        .iter()
        .map(|file| {
            let scan = input(file);
            assert_eq!(scan.format, Format::DeribitOptions);
            let drafts = drafts(&scan);
            assert_eq!(drafts.iter().map(ticker).collect::<Vec<_>>(), ["BTC", "ETH"]);
            drafts.iter().map(|d| chain(d)[0]).sum()
        })
        .collect();
    assert_eq!(contracts, [1_738, 1_774, 1_830, 1_866]);
}

#[test]
fn the_gamma_archive() {
    let Some(folder) = shared("spx-0dte-20260819") else { return };
    let files = walk(&folder).expect("a folder");
    let ignored = files.iter().filter(|f| {
        matches!(scan(f, Some(Format::Spx0dte)).expect("a file"), Scanned::Ignored { .. })
    });
    assert_eq!(ignored.count(), 2);
    let snapshots = drafts(&input(&folder.join("snapshots.ndjson.zst")));
    assert_eq!(snapshots.len(), 24);
    assert!(snapshots.iter().all(|d| (122..=124).contains(&chain(d)[0]) && ticker(d) == "I:SPX"));
    let bars = drafts(&input(&folder.join("bars-1m.csv")));
    assert_eq!(bars.len(), 391);
    assert_eq!(bars[0].recv, RecvTime::parse_rfc3339("2026-08-19T13:31:00Z"));
}

#[test]
fn a_session_of_ticks_and_chains() {
    let Some(folder) = shared("goog-20151224") else { return };
    let mut kinds = BTreeMap::new();
    for draft in drafts(&input(&folder.join("ticks.ndjson.zst"))) {
        assert_eq!(draft.extension, None);
        let kind = match (&draft.body, ticker(&draft)) {
            (DraftBody::Quote { .. }, _) => "quotes",
            (DraftBody::Bar(_), "GOOG") => "bars of the underlying",
            (DraftBody::Bar(_), _) => "bars of options",
            _ => "else",
        };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        [("bars of options", 958), ("bars of the underlying", 227), ("quotes", 275_552),]
    );
    let chains = drafts(&input(&folder.join("chain-snapshots.ndjson.zst")));
    assert_eq!(chains.len(), 14);
    for draft in &chains {
        let counts = chain(draft);
        assert_eq!([counts[0], counts[2], counts[3], counts[4]], [2_192, 1_315, 12, 188]);
    }
}

#[test]
fn a_day_of_one_share() {
    let Some(trades) = shared("spy-trades-20131008.csv.zst") else { return };
    let (mut count, mut shares) = (0, 0);
    for draft in drafts(&input(&trades)) {
        let DraftBody::Trade { trade, .. } = &draft.body else { panic!("{draft:?}") };
        (count, shares) = (count + 1, shares + trade.size);
        assert_eq!(ticker(&draft), "SPY");
    }
    assert_eq!((count, shares), (451_545, 178_346_557));
    let bars = shared("spy-bars1m-20131008.csv.zst").expect("beside the trades");
    let volume = drafts(&input(&bars)).iter().fold(0, |sum, draft| match &draft.body {
        DraftBody::Bar(bar) => sum + bar.volume.expect("a volume"),
        other => panic!("{other:?}"),
    });
    assert!(volume > 0);
}

/// The vendor's message back from a draft, by way of canonical bytes.
fn back(draft: &Draft) -> String {
    let (body, conditions): (Body, &[u32]) = match &draft.body {
        DraftBody::Quote { quote, conditions } => (Body::Quote(*quote), conditions),
        DraftBody::Trade { trade, conditions } => (Body::Trade(*trade), conditions),
        DraftBody::Bar(bar) => (Body::Bar(**bar), &[]),
        other => panic!("no message: {other:?}"),
    };
    let event = Event {
        recv: draft.recv.expect("a time"),
        vendor_time: draft.vendor_time,
        instrument: InstrumentId(1),
        source: SourceId(1),
        extended: draft.extension.is_some(),
        body,
    };
    let mut bytes = Vec::new();
    event::encode(&event, &mut bytes);
    let event = event::decode(&bytes).expect("canonical").0;
    let extension = draft.extension.as_deref();
    encode::message(&event, extension, ticker(draft), conditions).expect("a message")
}

#[track_caller]
fn comes_back(text: &[u8]) -> Draft {
    let mut out = wire::decode(text, Recv::Own);
    let message = std::str::from_utf8(text).expect("text");
    assert_eq!(out.drafts.len(), 1, "{message}");
    let draft = out.drafts.remove(0);
    assert_eq!(Exact::parse(&back(&draft)), Exact::parse(message));
    draft
}

#[test]
fn every_message_of_the_session_comes_back() {
    let Some(path) = shared("goog-20151224/ticks.ndjson.zst") else { return };
    let mut count = 0;
    for line in BufReader::new(inflate::open(&path).expect("a file")).split(b'\n') {
        comes_back(&line.expect("readable"));
        count += 1;
    }
    assert_eq!(count, 275_552 + 958 + 227);
}

#[test]
fn the_vendors_own_examples_come_back() {
    let Some(path) = shared("vendor-message-samples.json") else { return };
    let samples: Value =
        serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON");
    let mut whole = 0;
    for (name, sample) in samples["websocket"].as_object().expect("messages") {
        let mut example = sample["example"].clone();
        let draft = comes_back(example.to_string().as_bytes());
        assert_eq!(draft.extension, None, "{name}: every documented field has its column");
        // Each documented field is known: the schema lists them.
        let text = sample["schema"].to_string();
        for key in example.as_object_mut().expect("an object").keys() {
            assert!(text.contains(&format!("\"{key}\":")), "{name} {key}");
        }
        whole += 1;
    }
    assert_eq!(whole, 4);
    let chain = &samples["rest"]["/v3/snapshot/options/{underlyingAsset}"]["example"];
    let out = rest::decode(&chain.to_string().into_bytes().into(), Recv::Own);
    // The vendor's example has nine digits of strike: no ticker that exists.
    assert_eq!(out.refused.get(&RefusalReason::BadTicker), Some(&1));
}
