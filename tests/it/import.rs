//! Imports of captured files into a journal on disk.

use std::fs;
use std::path::{Path, PathBuf};

use orrery::import::{ImportError, ImportOptions, ImportReport, Input, Outcome, import};
use orrery_journal::event::{Kind, RefusalReason};
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_journal::{Journal, OpenOptions, SyncMode};

use crate::support::shared;

/// What a journal comes down to: its end and the addresses of its pages.
type Root = (Seq, Vec<Address>);

fn open(dir: &Path) -> Journal {
    let options = OpenOptions { calendar: None, sync: SyncMode::Os };
    Journal::open(dir, &options).expect("a journal")
}

fn take(dir: &Path, paths: &[PathBuf], batch: usize) -> Result<ImportReport, ImportError> {
    let journal = open(dir);
    let writer = journal.writer(|| RecvTime(0)).expect("the writer");
    let inputs: Vec<Input> =
        paths.iter().map(|path| Input { path: path.clone(), format: None }).collect();
    let options = ImportOptions { batch, ..ImportOptions::default() };
    let report = import(&journal, &writer, &inputs, &options, &mut |_| ())?;
    writer.close().expect("closed");
    Ok(report)
}

fn root(dir: &Path) -> Root {
    let journal = open(dir);
    let days = journal.days().expect("days");
    (journal.head().seq, days.into_iter().flat_map(|day| day.pages).collect())
}

fn data_dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_session_of_two_files_is_one_day_whatever_the_batch_and_once_only() {
    let Some(folder) = shared("goog-20151224") else { return };
    let (a, b) = (data_dir(), data_dir());
    let inputs = [folder];
    let report = take(a.path(), &inputs, 4096).expect("imported");
    assert_eq!((report.added, report.beats, report.late), (276_737 + 14, 1, 0));
    assert_eq!(report.contracts, 14 * 2_192);
    let kinds: Vec<(Kind, u64)> = report.kinds.clone().into_iter().collect();
    assert_eq!(kinds, [(Kind::Quote, 275_552), (Kind::Bar, 1_185), (Kind::ChainSnapshot, 14)]);
    assert!(report.refused.is_empty() && report.files_refused == 0);
    let journal = open(a.path());
    let days = journal.days().expect("days");
    assert_eq!(days.len(), 1);
    assert_eq!(days[0].day.to_string(), "2015-12-24");
    assert_eq!(journal.sources().expect("sources").len(), 2);
    let verified = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| ()).expect("verified");
    assert!(verified.findings.is_empty(), "{:?}", verified.findings);
    drop(journal);
    let whole = root(a.path());
    take(b.path(), &inputs, 777).expect("imported in other batches");
    assert_eq!(root(b.path()), whole);
    let again = take(a.path(), &inputs, 4096).expect("imported again");
    assert_eq!((again.added, again.beats, again.skipped), (0, 0, report.added));
    assert!(again.files.iter().all(orrery::import::FileReport::was_there));
    assert_eq!(root(a.path()), whole);
}

#[test]
fn everything_at_once_is_put_in_order() {
    let Some(all) = shared("") else { return };
    let dir = data_dir();
    let report = take(dir.path(), &[all], 4096).expect("imported");
    let refused: Vec<String> = report
        .files
        .iter()
        .filter(|file| matches!(file.outcome, Outcome::Refused(_)))
        .map(|file| file.path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    assert_eq!(refused, ["README.md", "vendor-message-samples.json"]);
    let ignored = report.files.iter().filter(|f| matches!(f.outcome, Outcome::Ignored { .. }));
    assert_eq!(ignored.count(), 2);
    let deribit = 1_738 + 1_774 + 1_830 + 1_866;
    let tsla = 2_742 + 2_742 + 4_752;
    let archive: u64 = report
        .files
        .iter()
        .filter(|f| f.path.ends_with("spx-0dte-20260819/snapshots.ndjson.zst"))
        .map(|f| f.contracts)
        .sum();
    let chains = 10_838 + 2_068 + 14 * 2_192 + 3_576 + 20_514 + deribit + tsla;
    assert_eq!(report.contracts, chains + archive);
    assert_eq!(report.kinds.get(&Kind::Trade), Some(&451_545));
    assert!(report.refused.is_empty() && report.late == 0, "{:?}", report.refused);
    let days: Vec<String> =
        open(dir.path()).days().expect("days").iter().map(|d| d.day.to_string()).collect();
    assert_eq!(
        days,
        [
            "2013-10-08",
            "2015-12-24",
            "2022-02-05",
            "2026-05-04",
            "2026-07-15",
            "2026-07-24",
            "2026-08-19",
            "2026-08-20",
        ]
    );
    assert_eq!(report.beats, days.len() as u64);
}

#[test]
fn an_earlier_day_is_refused_with_its_remedy_and_changes_nothing() {
    let (Some(late), Some(early)) =
        (shared("chain-jpm-20260504.json.zst"), shared("spy-bars1m-20131008.csv.zst"))
    else {
        return;
    };
    let dir = data_dir();
    take(dir.path(), &[late], 4096).expect("imported");
    let before = root(dir.path());
    let error = take(dir.path(), &[early], 4096).expect_err("an earlier day");
    assert!(matches!(error, ImportError::DayBeforeHead { .. }), "{error}");
    assert!(error.to_string().contains("--data"), "{error}");
    assert_eq!(root(dir.path()), before);
}

#[test]
fn bad_input_is_quarantined_and_counted_and_the_rest_is_taken() {
    let dir = data_dir();
    let files = data_dir();
    let text = [
        r#"{"ev":"T","sym":"SPY","p":1.5,"s":1,"t":1773671400000}"#,
        r#"{"ev":"T","sym":"SPY","p":-1.5,"s":1,"t":1773671401000}"#,
        r#"{"ev":"T","sym":"SPY","p":NaN,"s":1,"t":1773671402000}"#,
        r#"{"ev":"Q","sym":"O:SPXW260316C00000000","bp":1,"ap":2,"t":1773671402000}"#,
        r#"{"ev":"Q","sym":"O:SPXW260316C0654","bp":1,"ap":2,"t":1773671402000}"#,
        r#"{"ev":"T","sym":"SPY","p":1.5,"s":1,"t":1773671405000}"#,
        r#"{"ev":"T","sym":"SPY","p":1.5,"s":1,"t":1773671403000}"#,
        r#"{"ev":"Q","sym":"O:SPXW260316C06540000","bp":3,"ap":2,"t":1773671406000}"#,
        r#"{"ev":"T","sym":"SPY","p":1.5,"s"#,
    ]
    .join("\n");
    fs::write(files.path().join("ticks.ndjson"), text).expect("written");
    fs::write(files.path().join("cut.json"), r#"{"results":[{"details":{"ticker":"O:"#)
        .expect("written");
    fs::write(files.path().join("empty.json"), r#"{"results":[],"status":"OK"}"#).expect("written");
    let inputs = [files.path().to_path_buf()];
    let report = take(dir.path(), &inputs, 2).expect("imported");
    assert_eq!(report.late, 1);
    assert_eq!(
        report.refused.into_iter().collect::<Vec<_>>(),
        [
            (RefusalReason::Malformed, 3),
            (RefusalReason::BadPrice, 1),
            (RefusalReason::BadStrike, 1),
            (RefusalReason::BadTicker, 1),
            (RefusalReason::EmptyChain, 1),
        ]
    );
    assert_eq!(report.kinds.get(&Kind::Trade), Some(&3));
    assert_eq!(report.kinds.get(&Kind::Quarantine), Some(&7));
    let told = &report.files[0].told[0];
    assert!(told.what.contains("line 1 column"), "{told:?}");
    let days = open(dir.path()).days().expect("days");
    assert_eq!(days[0].refused.iter().map(|(_, n)| n).sum::<u64>(), 7);
    assert_eq!(take(dir.path(), &inputs, 3).expect("again").added, 0);
}
