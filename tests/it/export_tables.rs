//! Tables of an export, as DuckDB and polars read them, and the journal that is
//! made of them again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use orrery::export::RowForm;
use orrery::export::rows::{Rows, Wanted};
use orrery::import::{ImportOptions, rebuild};
use orrery_journal::event::{
    Bar, Body, ChainDraft, ChainRowDraft, Draft, DraftBody, Event, ExerciseStyle, Gap, IndexValue,
    InstrumentRef, Kind, OptionRight, Quote, RefusalReason, Trade,
};
use orrery_journal::units::{Address, Price, RecvTime, Seq, TradingDay, VendorTime};
use orrery_journal::{Journal, OpenOptions};
use serde_json::{Value, json};

use crate::oracle::{agree, python};
use crate::support::{Orrery, shared};

/// A made-up session of one minute.
fn recorded() -> Orrery {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1", "--json"]).expect(0);
    orrery
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What the journal itself says, read event by event.
fn numbers(data: &Path) -> Value {
    let journal = Journal::open(data, &OpenOptions::default()).expect("opens");
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    let mut nulls: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut contracts, mut quotes) = (0, Vec::new());
    for stretch in journal.read(Seq::FIRST, journal.head().seq) {
        for event in stretch.expect("whole").events.iter() {
            *kinds.entry(event.body.kind().name()).or_default() += 1;
            let mut add = |name, price: Option<i64>| match price {
                Some(units) => *sums.entry(name).or_default() += i128::from(units),
                None => *nulls.entry(name).or_default() += 1,
            };
            match &event.body {
                Body::Quote(q) => {
                    add("quote.bid", q.bid.map(|p| p.0));
                    add("quote.ask", q.ask.map(|p| p.0));
                    quotes.push(event.recv.0);
                }
                Body::Trade(t) => add("trade.price", Some(t.price.0)),
                Body::Bar(b) => add("bar.day_open", b.day_open.map(|p| p.0)),
                Body::IndexValue(v) => add("index_value.value", Some(v.value.0)),
                Body::ChainSnapshot(chain) => contracts += chain.contracts,
                _ => {}
            }
        }
    }
    let sums: BTreeMap<_, i64> =
        sums.into_iter().map(|(k, n)| (k, n.try_into().expect("fits"))).collect();
    json!({
        "kinds": kinds, "sums": sums, "nulls": nulls, "contracts": contracts,
        "first_quote": quotes.iter().min(), "last_quote": quotes.iter().max(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// Header hashes of every version of every family.
fn headers(orrery: &Orrery) -> Vec<Value> {
    let newest = orrery.run(&["artifacts", "list", "--json"]).expect(0).json();
    let newest = newest.as_array().expect("a list");
    let name = |of: &Value, key: &str| of[key].as_str().expect("text").to_owned();
    newest.iter().flat_map(|h| orrery.headers(&name(h, "symbol"), &name(h, "family"))).collect()
}

fn days(orrery: &Orrery) -> Value {
    orrery.run(&["days", "--json"]).expect(0).json()
}

#[test]
fn duckdb_and_polars_read_what_the_journal_holds() {
    let Some(python) = python() else { return };
    let orrery = recorded();
    let out = tempfile::tempdir().expect("a folder");
    let folder = |name: &str| out.path().join(name);
    let mut told = numbers(&orrery.data());
    let export = |to: &Path, args: &[&str]| {
        let all = [&["export", "--to", text(to), "--json"], args].concat();
        orrery.run(&all).expect(0).json()
    };
    let (parquet, arrow) = (folder("parquet"), folder("arrow"));
    let all = export(&parquet, &["--form", "parquet"]);
    assert_eq!(all["events"], told["kinds"], "every kind has its place");
    let versions: u64 =
        all["artifacts"].as_object().expect("families").values().filter_map(Value::as_u64).sum();
    assert_eq!(headers(&orrery).len() as u64, versions, "every version");

    let first = &headers(&orrery)[0];
    told["configuration"] = first["configuration"].clone();
    told["day"] = days(&orrery)[0]["day"].clone();
    told["artifacts"] = all["artifacts"].clone();
    told["tables"] = json!([
        "gex",
        "gex_by_expiry",
        "gravity_bins",
        "gravity_structures",
        "heatmap_tiles",
        "levels",
        "spot",
        "candles"
    ]);
    let stat = orrery.file("stat.json", told.to_string());
    agree(&python, "export.py", &[Path::new("parquet"), &parquet, &stat]);

    // The same tables as Arrow files: all of the events, some of the artifacts.
    export(&arrow, &["--form", "arrow", "--events"]);
    told["parquet"] = text(&parquet).into();
    let stat = orrery.file("stat.json", told.to_string());
    agree(&python, "export.py", &[Path::new("arrow"), &arrow, &stat]);
    let some = folder("some");
    export(&some, &["--form", "arrow", "--family", "gex,spot,gravity"]);
    agree(&python, "export.py", &[Path::new("same"), &some, &stat]);
}

fn same_again(orrery: &Orrery, export: &Path) -> Orrery {
    let second = Orrery::new();
    let report = second.import(&[export]);
    assert_eq!(report["files"][0]["format"], "orrery-export", "{report:#}");
    // Pages and all: counts, moments, addresses.
    assert_eq!(days(&second), days(orrery));
    let (ours, theirs) = (headers(&second), headers(orrery));
    assert!(ours.len() > 100, "{}", ours.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    second
}

#[test]
fn an_export_as_json_lines_gives_the_same_journal_again() {
    let orrery = recorded();
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("lines");
    orrery.run(&["export", "--to", text(&to), "--form", "jsonl", "--events"]).expect(0);
    let second = same_again(&orrery, &to);

    // Again, nothing is new.
    let report = second.import(&[&to]);
    assert_eq!((&report["added"], &report["seqs"]), (&0.into(), &Value::Null), "{report:#}");
    // Nothing is written over.
    let again = orrery.run(&["export", "--to", text(&to), "--form", "jsonl"]).expect(2);
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
    // Another journal's events do not follow ours.
    let other = Orrery::new();
    drop(of_every_kind(&other.data()));
    let refused = other.run(&["import", text(&to)]).expect(2);
    assert!(refused.stderr.contains("of another journal"), "{}", refused.stderr);

    // A changed price is found by the address of its page.
    let file = quotes(&to);
    let lines = fs::read_to_string(&file).expect("written");
    let at = lines.find("\"bid\":1").expect("a bid of one and more");
    let changed = format!("{}\"bid\":2{}", &lines[..at], &lines[at + 7..]);
    fs::write(&file, changed).expect("changed");
    let refused = Orrery::new().run(&["import", text(&to)]).expect(2);
    assert!(refused.stderr.contains("were changed"), "{}", refused.stderr);
    // A line that went missing, too, and one that is no row.
    let cut = lines.split_once('\n').expect("lines").1;
    fs::write(&file, cut).expect("changed");
    let refused = Orrery::new().run(&["import", text(&to)]).expect(2);
    assert!(refused.stderr.contains("a file beside it is missing"), "{}", refused.stderr);
    fs::write(&file, lines.replacen("\"bid\":", "\"bud\":", 1)).expect("changed");
    let refused = Orrery::new().run(&["import", text(&to)]).expect(2);
    assert!(refused.stderr.contains("`bud` is no column of quote"), "{}", refused.stderr);
}

fn quotes(export: &Path) -> PathBuf {
    let day = fs::read_dir(export.join("events/kind=quote")).expect("quotes").flatten().next();
    day.expect("a day").path().join("part.jsonl")
}

#[test]
fn two_captured_days_come_back_each_with_its_artifacts() {
    let names = ["chain-qqq-20260504.json.zst", "chain-tsla-20260715-1048et.json.zst"];
    let [Some(first), Some(second)] = names.map(shared) else { return };
    let orrery = Orrery::new();
    orrery.import(&[&first, &second]);
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("lines");
    orrery.run(&["export", "--to", text(&to), "--form", "jsonl"]).expect(0);
    for folder in ["symbol=QQQ/date=2026-05-04", "symbol=TSLA/date=2026-07-15"] {
        let file = to.join("artifacts/family=gex").join(folder).join("part.jsonl");
        assert!(file.is_file(), "{}", file.display());
    }
    let again = Orrery::new();
    again.import(&[&to]);
    assert_eq!(days(&again), days(&orrery));
    assert_eq!(headers(&again), headers(&orrery));
}

/// The marker lies there from the first file to the last.
#[test]
fn an_export_that_broke_off_is_not_taken_for_one_and_is_made_again() {
    let orrery = recorded();
    let out = tempfile::tempdir().expect("a folder");
    for (form, more) in [("jsonl", &["--events"][..]), ("wire", &[])] {
        let (whole, broken) = (out.path().join(form), out.path().join(format!("{form}-again")));
        let export =
            |to: &Path| orrery.run(&[&["export", "--to", text(to), "--form", form], more].concat());
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).expect("a folder");
            let mut names: Vec<String> = entries
                .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        export(&whole).expect(0);
        std::fs::create_dir_all(broken.join("events/kind=quote")).expect("a folder");
        for part in ["ticks.ndjson", "events/kind=quote/part.jsonl"] {
            std::fs::write(broken.join(part), "{\"half\":").expect("written");
        }
        // What lies there is anybody's until the marker says that it is ours.
        let refused = export(&broken).expect(2);
        assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
        let marker = "`orrery export` has not ended; run it again\n";
        std::fs::write(broken.join("UNFINISHED"), marker).expect("written");
        let refused = Orrery::new().run(&["import", text(&broken)]).expect(2);
        assert!(refused.stderr.contains("has not ended"), "{}", refused.stderr);
        export(&broken).expect(0);
        assert_eq!(names(&broken), names(&whole), "{form}");
    }
}

#[test]
fn tables_are_chosen_by_kind_family_and_symbol() {
    let orrery = recorded();
    let out = tempfile::tempdir().expect("a folder");
    let to = |name: &str| out.path().join(name);
    let export = |to: &Path, args: &[&str]| {
        orrery.run(&[&["export", "--to", text(to), "--form", "jsonl", "--json"], args].concat())
    };
    let one = export(&to("a"), &["--family", "spot", "--symbol", "SPY"]).expect(0).json();
    assert_eq!(one["events"], json!({}), "a family is a choice among artifacts");
    let families: Vec<_> = one["artifacts"].as_object().expect("families").keys().collect();
    assert_eq!(families, ["spot"]);
    assert!(to("a/artifacts/family=spot/symbol=SPY").is_dir());
    assert!(!to("a/artifacts/family=spot/symbol=SPX").exists());

    let some = export(&to("b"), &["--events", "--symbol", "SPY"]).expect(0).json();
    assert_eq!(some["artifacts"], json!({}));
    assert_eq!(some["events"]["gap"], 1, "what is about no instrument concerns all: {some:#}");
    assert_eq!(some["events"].get("chain_snapshot"), None, "{some:#}");
    let refused = Orrery::new().run(&["import", text(&to("b"))]).expect(2);
    assert!(refused.stderr.contains("some events only"), "{}", refused.stderr);

    orrery.run(&["export", "--to", text(&to("c")), "--form", "arrow", "--events"]).expect(0);
    let refused = Orrery::new().run(&["import", text(&to("c"))]).expect(2);
    assert!(refused.stderr.contains("--form jsonl"), "{}", refused.stderr);
    let refused = orrery.run(&["export", "--to", text(&to("d")), "--symbol", "SPX"]).expect(2);
    assert!(refused.stderr.contains("choose tables"), "{}", refused.stderr);
    for (args, word) in [
        (["--symbol", "NOPE"], "folded into NOPE"),
        (["--family", "gexx"], "no family `gexx`; there are bias_lfi,"),
    ] {
        let refused = export(&to("e"), &args).expect(2);
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
        assert!(!to("e").exists(), "nothing is begun");
    }
}

const SECOND: i64 = 1_000_000_000;
/// 2026-03-16, 14:30 in UTC.
const OPENING: i64 = 1_773_671_400 * SECOND;

fn opened(dir: &Path) -> Journal {
    Journal::open(dir, &OpenOptions::default()).expect("opens")
}

/// Two days with every kind of event, and what is unusual of each.
fn of_every_kind(dir: &Path) -> Journal {
    let journal = opened(dir);
    let writer = journal.writer(|| RecvTime(OPENING)).expect("a writer");
    // The second source speaks first.
    let quiet = writer.define_source("{\"feed\":\"quiet\"}").expect("a source");
    let source = writer.define_source("{\"feed\":\"test\"}").expect("a source");
    let ticker = |name: &str| InstrumentRef::Ticker(name.into());
    let blob = |text: &'static str| Bytes::from_static(text.as_bytes());
    let long = "O:A-TICKER-THAT-IS-LONGER-THAN-WHAT-FITS-INTO-AN-EVENT";
    let price = Some(Price(i64::MIN));
    let quote = Quote {
        bid: price,
        ask: None,
        bid_size: Some(u32::MAX),
        ask_size: Some(0),
        vendor_seq: Some(u64::MAX),
        bid_exchange: Some(65_534),
        ask_exchange: None,
        conditions: 0,
    };
    let row = orrery::market::ticker::parse_option("O:SPXW260316C06500000").expect("terms");
    let row = orrery_journal::event::ChainRow {
        style: Some(ExerciseStyle::European),
        right: OptionRight::Put,
        bid: Some(-0.0),
        ask: Some(0.1 + 0.2),
        gamma: Some(5e-324),
        updated: Some(VendorTime(-1)),
        ..row.row(Default::default())
    };
    let other = orrery_journal::event::ChainRow { style: None, bid: None, updated: None, ..row };
    let rows = [("O:SPXW260316C06500000", row), (long, other)];
    let chain = ChainDraft {
        raw: Bytes::from_static(b"\xff\x00 no text"),
        spot: Some(Price(1)),
        refused: 3,
        latency_ns: u64::MAX,
        pages: 7,
        rows: rows.map(|(ticker, row)| ChainRowDraft { ticker: ticker.into(), row }).into(),
    };
    let drafts = |conditions: &[u32]| {
        let conditions: Box<[u32]> = conditions.into();
        [
            (ticker(long), DraftBody::Quote { quote, conditions: conditions.clone() }),
            (ticker("SPY"), DraftBody::Quote { quote: Quote::default(), conditions: [].into() }),
            (
                ticker("SPY"),
                DraftBody::Trade {
                    trade: Trade { price: Price(-1), size: u64::MAX, ..Trade::default() },
                    conditions,
                },
            ),
            (
                ticker("SPY"),
                DraftBody::Bar(Box::new(Bar {
                    start: VendorTime(i64::MIN),
                    end: VendorTime(i64::MAX),
                    day_volume: Some(u64::MAX),
                    trade_size_mean: Some(u64::MAX - 1),
                    ..Bar::default()
                })),
            ),
            (ticker("I:SPX"), DraftBody::IndexValue(IndexValue { value: Price(i64::MAX) })),
            (ticker("I:SPX"), DraftBody::Chain(Box::new(chain.clone()))),
            (InstrumentRef::None, DraftBody::Control(blob("{\"a\":\"\\u0000\\n\"}"))),
            (ticker("I:SPX"), DraftBody::Annotation(blob("{\"kind\": \"line\"}"))),
            (ticker("I:SPX"), DraftBody::News(blob("täglich"))),
            (InstrumentRef::None, DraftBody::ClockBeat),
            (InstrumentRef::None, DraftBody::Gap(Gap { from: RecvTime(1), to: RecvTime(2) })),
            (InstrumentRef::None, DraftBody::Correction { corrects: Seq(3), blob: blob("") }),
            (
                InstrumentRef::None,
                DraftBody::Quarantine {
                    reason: RefusalReason::BadPrice,
                    blob: Bytes::from_static(b"\xc3\x28"),
                },
            ),
        ]
    };
    for day in 0..2 {
        for (n, (instrument, body)) in (0..).zip(drafts(&[day, 7])) {
            let extended = matches!(body, DraftBody::Quote { .. } | DraftBody::Trade { .. });
            let draft = Draft {
                recv: Some(RecvTime(OPENING + i64::from(day) * 86_400 * SECOND + n)),
                vendor_time: (n % 2 == 0).then_some(VendorTime(-n)),
                instrument,
                source: if n == 8 { quiet } else { source },
                extension: extended.then(|| blob("{\"more\":1}")),
                body,
            };
            writer.append(vec![draft]).and_then(|ticket| ticket.wait()).expect("taken");
        }
    }
    writer.close().expect("closes");
    journal
}

fn events(journal: &Journal) -> Vec<Event> {
    let read = journal.read(Seq::FIRST, journal.head().seq);
    read.flat_map(|stretch| stretch.expect("whole").events.to_vec()).collect()
}

fn export(journal: &Journal, to: &Path, form: RowForm, days: std::ops::Range<usize>) {
    let days = journal.days().expect("days")[days].to_vec();
    let wanted = Wanted::default();
    let mut rows = Rows::begin(journal, to, form, days, wanted, Address([7; 32])).expect("begins");
    rows.events(&mut |_| std::ops::ControlFlow::Continue(())).expect("writes");
    rows.finish().expect("ends");
}

#[test]
fn every_kind_of_event_comes_back_from_json_lines_and_fits_the_other_forms() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let journal = of_every_kind(&at("journal"));
    for kind in Kind::ALL {
        assert!(journal.count(kind) > 0, "{} is missing in this test", kind.name());
    }
    for form in [RowForm::Parquet, RowForm::Arrow] {
        export(&journal, &at(form.extension()), form, 0..2);
        for kind in Kind::ALL {
            let path = at(form.extension()).join(format!("events/kind={}", kind.name()));
            assert!(path.is_dir(), "{}", path.display());
        }
    }
    // The days one after the other, the second not before the first.
    export(&journal, &at("first"), RowForm::Jsonl, 0..1);
    export(&journal, &at("second"), RowForm::Jsonl, 1..2);
    let again = opened(&at("again"));
    let writer = again.writer(|| RecvTime(0)).expect("a writer");
    let import =
        |from: &str| rebuild(&again, &writer, &at(from), &ImportOptions::default(), &mut |_| {});
    let refused = import("second").expect_err("too early").to_string();
    assert!(refused.contains("import the days before first"), "{refused}");
    let nothing = Orrery::new();
    let refused = nothing.run(&["import", text(&at("second"))]).expect(2).stderr;
    assert!(refused.contains("import the days before first"), "{refused}");
    assert!(!nothing.data().join("journal").exists(), "nothing is begun");
    for (from, added) in [("first", 13), ("first", 0), ("second", 13)] {
        assert_eq!(import(from).expect("taken").added, added);
    }
    writer.close().expect("closes");
    assert_eq!(again.days().expect("days"), journal.days().expect("days"));
    let (ours, theirs) = (events(&again), events(&journal));
    assert_eq!(ours, theirs);
    for address in theirs.iter().flat_map(|event| event.body.blobs()) {
        assert_eq!(again.blob(address).expect("kept"), journal.blob(address).expect("kept"));
    }
    assert_eq!(ours.iter().filter(|e| matches!(e.body, Body::SourceDefined(_))).count(), 2);
    assert_eq!(journal.day_of(RecvTime(OPENING)), TradingDay::parse("2026-03-16").expect("a date"));
}
