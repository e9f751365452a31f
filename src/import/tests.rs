//! The rules of an import, against a journal that is a list.

use std::cell::RefCell;
use std::fs;
use std::io::Write as _;

use orrery_journal::event::RefusalReason;
use orrery_journal::{Appended, Calendar, SourceInfo};

use super::*;
use crate::market::calendar;

/// A journal in memory that may stop after a number of appends.
#[derive(Default)]
struct List {
    state: RefCell<State>,
    appends_max: Option<usize>,
}

#[derive(Default, Clone)]
struct State {
    events: Vec<Draft>,
    sources: Vec<String>,
    appends: usize,
}

impl Promise for Appended {
    fn wait(self) -> Result<Appended, AppendError> {
        Ok(self)
    }
}

impl Ledger for List {
    type Ticket = Appended;

    fn head(&self) -> Head {
        let events = &self.state.borrow().events;
        let recv = events.last().and_then(|d| d.recv).unwrap_or_default();
        Head { seq: Seq(events.len() as u64), recv }
    }

    fn sources(&self) -> Result<Vec<SourceInfo>, ReadError> {
        let state = self.state.borrow();
        let info = |(at, descriptor): (usize, &String)| {
            let id = SourceId(at as u16 + 1);
            let events = state.events.iter().filter(|d| d.source == id).count() as u64;
            SourceInfo { id, descriptor: descriptor.clone(), events }
        };
        let known = state.sources.iter().enumerate().map(info);
        Ok(known.filter(|source| source.events > 0).collect())
    }

    fn last(&self) -> Result<Option<(Kind, SourceId)>, ReadError> {
        let state = self.state.borrow();
        Ok(state.events.last().map(|d| match d.body {
            DraftBody::ClockBeat => (Kind::ClockBeat, d.source),
            _ => (Kind::Quote, d.source),
        }))
    }

    fn day_of(&self, at: RecvTime) -> TradingDay {
        calendar::day_of(Calendar::NewYork, at)
    }

    fn day_end(&self, day: TradingDay) -> RecvTime {
        calendar::day_bounds(Calendar::NewYork, day).1.plus_nanos(-1)
    }

    fn define_source(&self, descriptor: &str) -> Result<SourceId, AppendError> {
        let sources = &mut self.state.borrow_mut().sources;
        let at = sources.iter().position(|s| s == descriptor).unwrap_or_else(|| {
            sources.push(descriptor.to_owned());
            sources.len() - 1
        });
        Ok(SourceId(at as u16 + 1))
    }

    fn append(&self, drafts: Vec<Draft>) -> Result<Appended, AppendError> {
        let mut state = self.state.borrow_mut();
        state.appends += 1;
        if self.appends_max.is_some_and(|max| state.appends > max) {
            return Err(AppendError::Closed);
        }
        let first = Seq(state.events.len() as u64 + 1);
        for draft in drafts {
            let newest = state.events.last().and_then(|d| d.recv);
            assert!(draft.recv >= newest, "a draft before the head");
            state.events.push(draft);
        }
        Ok(Appended { first, last: Seq(state.events.len() as u64) })
    }
}

fn quiet(list: &List, inputs: &[Input], batch: usize) -> Result<ImportReport, ImportError> {
    let options = ImportOptions { batch, appends_in_flight: 2 };
    run(list, inputs, &options, &mut |_| ())
}

/// A folder of files, and the inputs that name them.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<Input>) {
    let dir = tempfile::tempdir().expect("a folder");
    let inputs = files.iter().map(|(name, text)| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        Input { path, format: None }
    });
    let inputs = inputs.collect();
    (dir, inputs)
}

/// A trade of `sym` at `t` seconds after 2026-03-16 14:30 UTC.
fn trade(sym: &str, t: i64) -> String {
    let millis = 1_773_671_400_000 + t * 1000;
    format!("{{\"ev\":\"T\",\"sym\":\"{sym}\",\"p\":1.5,\"s\":1,\"t\":{millis}}}\n")
}

fn trades(sym: &str, times: &[i64]) -> String {
    times.iter().map(|t| trade(sym, *t)).collect()
}

/// What the journal holds, as `ticker@seconds`; beats are `beat`.
fn story(list: &List) -> Vec<String> {
    let state = list.state.borrow();
    let told = state.events.iter().map(|draft| {
        let nanos = draft.recv.unwrap_or_default().0 - 1_773_671_400_000_000_000;
        let seconds = nanos / NANOS_PER_SECOND;
        match (&draft.body, &draft.instrument) {
            (DraftBody::ClockBeat, _) => format!("beat@{seconds}"),
            (DraftBody::Quarantine { reason, .. }, _) => format!("{}@{seconds}", reason.name()),
            (_, InstrumentRef::Ticker(ticker)) => format!("{ticker}@{seconds}"),
            _ => format!("?@{seconds}"),
        }
    });
    told.collect()
}

#[test]
fn files_are_merged_by_time_and_ties_by_their_order() {
    let (_dir, inputs) =
        folder(&[("b.ndjson", &trades("B", &[0, 2, 3])), ("a.ndjson", &trades("A", &[1, 2, 9]))]);
    let list = List::default();
    let report = quiet(&list, &inputs, 2).expect("imported");
    assert_eq!(story(&list), ["B@0", "A@1", "B@2", "A@2", "B@3", "A@9", "beat@40"]);
    assert_eq!((report.added, report.beats, report.late), (6, 1, 0));
    assert_eq!(report.seqs, Some((Seq(1), Seq(7))));
    assert_eq!(report.kinds, BTreeMap::from([(Kind::Trade, 6)]));
}

#[test]
fn a_second_import_adds_nothing_also_under_another_name() {
    let (dir, inputs) = folder(&[("a.ndjson", &trades("A", &[0, 1]))]);
    let list = List::default();
    quiet(&list, &inputs, 4096).expect("imported");
    let before = story(&list);
    let report = quiet(&list, &inputs, 4096).expect("imported again");
    assert_eq!((report.added, report.beats, report.skipped), (0, 0, 2));
    assert!(report.files[0].was_there() && report.seqs.is_none());
    fs::rename(&inputs[0].path, dir.path().join("renamed.ndjson")).expect("renamed");
    let renamed = [Input { path: dir.path().to_path_buf(), format: None }];
    assert_eq!(quiet(&list, &renamed, 4096).expect("imported").added, 0);
    assert_eq!(story(&list), before);
}

#[test]
fn a_broken_off_import_goes_on_to_the_same_end_whatever_the_batch() {
    let (_dir, inputs) = folder(&[
        (
            "a.ndjson",
            &format!("{}{{broken\n{}", trades("A", &[0, 5, 3]), trades("A", &[6, 90_000])),
        ),
        ("b.ndjson", &trades("B", &[1, 4, 4, 7, 80_000])),
    ]);
    let whole = List::default();
    let report = quiet(&whole, &inputs, 4096).expect("imported");
    assert_eq!((report.added, report.late, report.beats), (11, 1, 2));
    assert_eq!(report.refused, BTreeMap::from([(RefusalReason::Malformed, 1)]));
    assert_eq!((report.messages, report.fallbacks), (11, 1), "only what is broken");
    let expected = story(&whole);
    assert_eq!(
        expected[..9],
        ["A@0", "B@1", "B@4", "B@4", "A@5", "A@5", "malformed@5", "A@6", "B@7"]
    );
    assert_eq!(expected[9..], ["beat@38", "B@80000", "A@90000", "beat@90031"]);
    for batch in [1, 2, 3, 5] {
        for stop in 0..13 {
            let broken = List { appends_max: Some(stop), ..List::default() };
            let first = quiet(&broken, &inputs, batch);
            let list = List { state: broken.state, appends_max: None };
            let again = quiet(&list, &inputs, batch + 1).expect("continued");
            assert_eq!(story(&list), expected, "batch {batch}, stopped after {stop}: {first:?}");
            assert_eq!(again.added + again.skipped, 11);
        }
    }
}

#[test]
fn what_lies_before_the_head_is_refused_with_a_remedy() {
    let list = List::default();
    let (_dir, inputs) = folder(&[
        ("new.ndjson", &trades("A", &[100])),
        ("same_day.ndjson", &trades("B", &[130])),
        ("day_before.ndjson", &trades("C", &[-86_400])),
        ("later.ndjson", &trades("D", &[131])),
    ]);
    quiet(&list, &inputs[..1], 1).expect("imported");
    let same = quiet(&list, &inputs[1..2], 1).expect_err("the closing beat is later");
    assert!(matches!(same, ImportError::BeforeHead { .. }), "{same}");
    let before = quiet(&list, &inputs[2..3], 1).expect_err("a day before");
    assert!(matches!(before, ImportError::DayBeforeHead { .. }), "{before}");
    assert!(before.to_string().contains("--data") && before.to_string().contains("2026-03-15"));
    assert_eq!(quiet(&list, &inputs[3..], 1).expect("later").added, 1);
    assert_eq!(story(&list), ["A@100", "beat@131", "D@131", "beat@162"]);
}

#[test]
fn the_closing_beat_stays_inside_its_day() {
    let midnight = 13 * 3600 + 1800;
    let (_dir, inputs) = folder(&[("a.ndjson", &trades("A", &[midnight - 5, midnight + 5]))]);
    let list = List::default();
    quiet(&list, &inputs, 10).expect("imported");
    assert_eq!(
        story(&list),
        [
            format!("A@{}", midnight - 5),
            format!("beat@{}", midnight - 1),
            format!("A@{}", midnight + 5),
            format!("beat@{}", midnight + 36),
        ]
    );
}

#[test]
fn every_file_is_accounted_for() {
    let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    zeros.write_all(trade("A", 0).as_bytes()).expect("written");
    let blank = vec![b' '; 1 << 20];
    for _ in 0..80 {
        zeros.write_all(&blank).expect("written");
    }
    let bomb = zeros.finish().expect("gzip");
    let (dir, _) = folder(&[
        ("1.ndjson", &trades("A", &[1])),
        ("2.ndjson", &trades("A", &[1])),
        ("README.md", "# what is this\n"),
        ("levels.csv", "date,time,spot,net,callsum\n"),
        ("spread.csv", "1,2,3,4,5,6\n"),
        ("empty.json", ""),
    ]);
    fs::write(dir.path().join("bomb.gz"), &bomb).expect("written");
    fs::create_dir(dir.path().join("sub")).expect("a folder");
    fs::write(dir.path().join("sub/3.ndjson"), trades("C", &[2])).expect("written");
    let inputs = [Input { path: dir.path().to_path_buf(), format: None }];
    let list = List::default();
    let report = quiet(&list, &inputs, 10).expect("imported");
    let outcomes: Vec<String> = report
        .files
        .iter()
        .map(|file| {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            let outcome = match &file.outcome {
                Outcome::Read => format!("read {}", file.added),
                Outcome::Ignored { .. } => "ignored".to_owned(),
                Outcome::Twin { .. } => "twin".to_owned(),
                Outcome::Refused(refusal) => refusal.reason.name().to_owned(),
            };
            format!("{name}: {outcome}")
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            "1.ndjson: read 1",
            "2.ndjson: twin",
            "README.md: unknown_kind",
            "bomb.gz: too_large",
            "empty.json: unknown_kind",
            "levels.csv: ignored",
            "spread.csv: bad_time",
            "3.ndjson: read 1",
        ]
    );
    assert_eq!(report.files_refused, 4);
    assert_eq!(report.refused, BTreeMap::from([(RefusalReason::TooLarge, 1)]));
    assert_eq!(story(&list), ["A@1", "too_large@1", "C@2", "beat@33"]);
    assert_eq!(quiet(&list, &inputs, 10).expect("again").added, 0);
}

#[test]
fn missing_paths_and_empty_folders_are_errors_that_say_so() {
    let list = List::default();
    let nowhere = Input::parse("massive-ws=/nowhere/at/all");
    assert_eq!(nowhere.format, Some(Format::MassiveWs));
    assert!(matches!(quiet(&list, &[nowhere], 1), Err(ImportError::NotFound { .. })));
    let dir = tempfile::tempdir().expect("a folder");
    let empty = [Input { path: dir.path().to_path_buf(), format: None }];
    assert!(matches!(quiet(&list, &empty, 1), Err(ImportError::NoFiles { .. })));
    assert_eq!(Input::parse("odd=name.json").format, None);
}

#[test]
fn a_hundred_megabyte_line_costs_itself_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("long.ndjson");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).expect("a file"));
    file.write_all(trade("A", 0).as_bytes()).expect("written");
    let chunk = vec![b'['; 1 << 20];
    for _ in 0..100 {
        file.write_all(&chunk).expect("written");
    }
    file.write_all(format!("\n{}", trade("A", 1)).as_bytes()).expect("written");
    file.flush().expect("written");
    let list = List::default();
    let report = quiet(&list, &[Input { path, format: None }], 10).expect("imported");
    assert_eq!(report.refused, BTreeMap::from([(RefusalReason::TooLarge, 1)]));
    assert_eq!(story(&list), ["A@0", "too_large@0", "A@1", "beat@32"]);
}
