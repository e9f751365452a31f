//! One damage at a time, through the same path that a user takes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery_journal::preflight::{Verdict, inspect};
use orrery_journal::store::fjall::FjallStore;
use orrery_journal::units::Seq;
use orrery_journal::{Journal, OpenError, keys};

use super::image::{HEAD, Image, Sample, labels, scratch};
use crate::support::*;

/// Refusals of the look at the files that are followed by a real opening.
const OPENED: u64 = 64;

/// What became of one damage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Refused before anything was opened.
    Refused { file: bool, offset: bool, seq: bool },
    /// Cut as a torn end or refused as loss: both say what is missing.
    Loss,
    /// Found, but only after the engine had opened its files.
    Late(String),
    /// Opened, and the full check names it.
    Verified,
    /// Every event and blob is there and right. `told`: and yet it was seen.
    Harmless { told: bool },
    /// Opened with wrong or missing events and nothing said so.
    Silent(String),
    /// Something fell over, or a refused start wrote.
    Broken(String),
}

/// How often what happened, by kind of file.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    pub trials: u64,
    pub refused: u64,
    /// Of those refused: the right file, the right place, the right seq.
    pub located: [u64; 3],
    pub loss: u64,
    pub late: Vec<String>,
    pub verified: u64,
    pub harmless: u64,
    pub told: u64,
    pub failures: Vec<String>,
}

impl Tally {
    pub fn count(&mut self, what: &str, outcome: Outcome) {
        self.trials += 1;
        match outcome {
            Outcome::Refused { file, offset, seq } => {
                self.refused += 1;
                for (n, yes) in self.located.iter_mut().zip([file, offset, seq]) {
                    *n += u64::from(yes);
                }
            }
            Outcome::Loss => self.loss += 1,
            Outcome::Late(why) => self.late.push(format!("{what}: {why}")),
            Outcome::Verified => self.verified += 1,
            Outcome::Harmless { told } => {
                self.harmless += 1;
                self.told += u64::from(told);
            }
            Outcome::Silent(why) => self.failures.push(format!("{what}: silent: {why}")),
            Outcome::Broken(why) => self.failures.push(format!("{what}: {why}")),
        }
    }

    pub fn add(&mut self, other: Tally) {
        self.trials += other.trials;
        self.refused += other.refused;
        for (n, more) in self.located.iter_mut().zip(other.located) {
            *n += more;
        }
        self.loss += other.loss;
        self.late.extend(other.late);
        self.verified += other.verified;
        self.harmless += other.harmless;
        self.told += other.told;
        self.failures.extend(other.failures);
    }

    /// Share of those refused that name file, place and seq.
    pub fn share(&self) -> f64 {
        self.located[2] as f64 / self.refused.max(1) as f64
    }
}

/// The kind of a file, for tables of results.
pub fn kind(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let within = |folder: &str| path.components().any(|c| c.as_os_str() == folder);
    match name.as_ref() {
        "HEAD" => "HEAD",
        "LOCK" => "LOCK",
        "DIRTY" => "DIRTY",
        "current" => "current",
        "version" => "version",
        _ if within("tables") => "table",
        _ if within("keyspaces") => "manifest",
        _ if name.ends_with(".jnl") => "log",
        _ => "other",
    }
}

/// Results by kind of file.
pub type Results = BTreeMap<&'static str, Tally>;

pub fn merge(into: &mut Results, from: Results) {
    for (kind, tally) in from {
        into.entry(kind).or_default().add(tally);
    }
}

pub fn total(results: &Results) -> Tally {
    let mut out = Tally::default();
    results.values().for_each(|tally| out.add(tally.clone()));
    out
}

/// One thread's directory to do damage in.
pub struct Bench<'a> {
    sample: &'a Sample,
    dir: tempfile::TempDir,
    labels: BTreeMap<PathBuf, Vec<(usize, Seq)>>,
    /// The file that is being flipped.
    file: Option<(PathBuf, fs::File)>,
    refused: u64,
    /// Whether the look at the files is left out: the negative control.
    pub blind: bool,
}

impl<'a> Bench<'a> {
    pub fn new(sample: &'a Sample) -> Bench<'a> {
        let dir = scratch();
        sample.image.write(dir.path());
        let labels = sample.image.files.iter().map(|(p, b)| (p.clone(), labels(b))).collect();
        Bench { sample, dir, labels, file: None, refused: 0, blind: false }
    }

    /// Flips one bit of a file, looks, and flips it back.
    pub fn flip(&mut self, path: &Path, at: usize, bit: u8) -> Outcome {
        let good = self.sample.image.files[path][at];
        let file = match self.file.take() {
            Some((open, file)) if open == path => file,
            _ => fs::File::options().write(true).open(self.dir.path().join(path)).expect("opens"),
        };
        file.write_all_at(&[good ^ (1 << bit)], at as u64).expect("writes");
        let (outcome, opened) = self.judge(path, at);
        if opened {
            self.sample.image.write(self.dir.path());
        } else {
            file.write_all_at(&[good], at as u64).expect("writes");
            self.file = Some((path.to_owned(), file));
        }
        outcome
    }

    /// Cuts a file shorter and shorter, byte by byte, down to nothing.
    pub fn cut(&mut self, path: &Path) -> Tally {
        let (name, good) = (self.dir.path().join(path), &self.sample.image.files[path]);
        let mut tally = Tally::default();
        for len in (0..good.len()).rev().take(64 << 10) {
            let file = fs::File::options().write(true).open(&name).expect("opens");
            file.set_len(len as u64).expect("cuts");
            let (outcome, opened) = self.judge(path, len);
            if opened {
                self.sample.image.write(self.dir.path());
            }
            tally.count(&format!("{} cut to {len}", path.display()), outcome);
        }
        self.sample.image.write(self.dir.path());
        tally
    }

    /// Puts other files in place, looks, and puts the good ones back. `path` is
    /// where the damage is.
    pub fn replace(&mut self, image: &Image, path: &Path) -> Outcome {
        self.file = None;
        image.write(self.dir.path());
        // So that a refusal is tried for real.
        self.refused = OPENED - 1;
        let (outcome, _) = self.judge(path, 0);
        self.sample.image.write(self.dir.path());
        outcome
    }

    /// Last event of the logs before a log.
    fn logged_before(&self, path: &Path) -> Option<Seq> {
        let logs = self.labels.iter().filter(|(p, _)| kind(p) == "log" && kind(path) == "log");
        logs.take_while(|(p, _)| *p < path).flat_map(|(_, l)| l).map(|(_, seq)| *seq).max()
    }

    /// What the journal makes of its files, and whether they may have changed.
    fn judge(&mut self, path: &Path, at: usize) -> (Outcome, bool) {
        if self.blind {
            return (self.opened(false), true);
        }
        let report = match inspect(&self.dir.path().join("journal")) {
            Ok(report) => report,
            Err(e) => return (Outcome::Broken(format!("cannot look: {e}")), false),
        };
        let lost = report.last.is_some() && report.last < report.acknowledged;
        let outcome = match &report.verdict {
            Verdict::Corrupt { file, offset, last_good, .. } => {
                self.located(path, at, file, *offset, *last_good)
            }
            _ if lost => Outcome::Loss,
            _ => return (self.opened(!report.harmless.is_empty()), true),
        };
        self.refused += 1;
        if self.refused.is_multiple_of(OPENED)
            && let Err(why) = self.refusal()
        {
            return (Outcome::Broken(why), true);
        }
        (outcome, false)
    }

    /// A real opening of what was judged bad: refused, and nothing is written.
    fn refusal(&self) -> Result<(), String> {
        let before = Image::of(self.dir.path()).evidence();
        let open = || Journal::open(self.dir.path(), &utc());
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Err(OpenError::Corrupt { .. } | OpenError::AcknowledgedLoss { .. })) => {}
            Ok(Err(other)) => return Err(format!("refused as {other}")),
            Ok(Ok(_)) => return Err("it opens".into()),
            Err(_) => return Err("it panicked".into()),
        }
        let same = Image::of(self.dir.path()).evidence() == before;
        if same { Ok(()) } else { Err("a refused start wrote".into()) }
    }

    fn located(
        &self,
        path: &Path,
        at: usize,
        file: &Path,
        offset: u64,
        last: Option<Seq>,
    ) -> Outcome {
        let inside = file.strip_prefix(self.dir.path()).expect("a file of ours");
        let labels = self.labels.get(inside).map_or(&[][..], Vec::as_slice);
        let before = labels.iter().filter(|(place, _)| (*place as u64) < offset);
        let expected = before.map(|(_, seq)| *seq).max().or_else(|| self.logged_before(inside));
        let file = inside == path;
        let offset = file && offset.abs_diff(at as u64) < self.sample.unit;
        let seq = offset && last == expected;
        Outcome::Refused { file, offset, seq }
    }

    /// Opens and reads everything that there is.
    fn opened(&self, told: bool) -> Outcome {
        let open = || -> Result<Journal, OpenError> {
            if self.blind {
                let database = self.dir.path().join("journal/db");
                let store = FjallStore::open(&database, &keys::ALL)?;
                return Journal::on_store(Arc::new(store), &utc());
            }
            Journal::open(self.dir.path(), &utc())
        };
        let look = || match open() {
            Err(e) => Outcome::Late(e.to_string()),
            Ok(journal) => self.compare(&journal, told),
        };
        catch_unwind(AssertUnwindSafe(look))
            .unwrap_or_else(|_| Outcome::Broken("it panicked".into()))
    }

    fn compare(&self, journal: &Journal, told: bool) -> Outcome {
        let right = &self.sample.events;
        let (mut events, mut whole) = (Vec::with_capacity(right.len()), true);
        for stretch in journal.read(Seq::FIRST, Seq::MAX) {
            match stretch {
                Ok(stretch) => events.extend_from_slice(&stretch.events),
                Err(_) => whole = false,
            }
        }
        let report = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {});
        let verified = report.is_ok_and(|report| report.findings.is_empty());
        match (verified && whole, events == *right) {
            (true, true) => Outcome::Harmless { told },
            (true, false) => Outcome::Silent(format!("{} events, not these", events.len())),
            (false, _) if right.starts_with(&events) => Outcome::Verified,
            (false, _) => Outcome::Silent("a wrong event was served".into()),
        }
    }

    /// Whether what is on disk is what should be: no refused start wrote.
    pub fn untouched(&self) -> bool {
        Image::of(self.dir.path()).evidence() == self.sample.image.clone().evidence()
    }
}

/// `HEAD` holds little in much room: the places of it that say something, and
/// one in each 256 of the zeros.
pub fn places(sample: &Sample, path: &Path, all: bool) -> Vec<usize> {
    let len = sample.image.files[path].len();
    let dense = |at: &usize| all || path != Path::new(HEAD) || at % 4_096 < 128 || at % 256 == 255;
    (0..len).filter(dense).collect()
}
