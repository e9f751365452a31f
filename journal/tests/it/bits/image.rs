//! The files of a data directory in memory, and journals made to be damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use orrery_journal::event::{Draft, Event};
use orrery_journal::units::Seq;
use orrery_journal::{Journal, keys};

use crate::support::*;

pub const LOG: &str = "journal/db/0.jnl";
pub const HEAD: &str = "journal/HEAD";

/// A folder in memory if there is one, since millions of writes come.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = tempfile::Builder::new().prefix("orrery-bits-").tempdir_in(memory);
    folder.or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// What a data directory holds, by path within it.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub folders: BTreeSet<PathBuf>,
}

impl Image {
    pub fn of(dir: &Path) -> Image {
        let mut image = Image { files: BTreeMap::new(), folders: BTreeSet::new() };
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let inside = path.strip_prefix(dir).expect("inside").to_owned();
                if path.is_dir() {
                    image.folders.insert(inside);
                    folders.push(path);
                } else {
                    image.files.insert(inside, fs::read(&path).expect("reads"));
                }
            }
        }
        image
    }

    /// Makes a folder hold this and nothing else.
    pub fn write(&self, dir: &Path) {
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            let removed =
                if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.expect("removes");
        }
        for folder in &self.folders {
            fs::create_dir_all(dir.join(folder)).expect("creates");
        }
        for (path, bytes) in &self.files {
            fs::write(dir.join(path), bytes).expect("writes");
        }
    }

    /// Everything but `LOCK`, which names whoever tried last.
    pub fn evidence(mut self) -> Image {
        self.files.remove(Path::new("LOCK"));
        self
    }
}

/// A journal, and what it is right to get out of it.
pub struct Sample {
    pub image: Image,
    pub events: Vec<Event>,
    /// No batch of a log and no block of a table is longer, so that a report
    /// may lie so far before the damage and no farther.
    pub unit: u64,
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, &utc()).expect("opens")
}

/// Moves what is in memory to table files.
pub fn flush(dir: &Path) {
    let database = fjall::Database::builder(dir.join("journal/db")).open().expect("opens");
    for table in keys::ALL {
        let keyspace = database.keyspace(table.name, Default::default).expect("a table");
        keyspace.rotate_memtable_and_wait().expect("flushes");
    }
}

/// Appends in commits of so many drafts, one after another, so that the files
/// are the same in every run.
fn commit(dir: &Path, drafts: &[Draft], lengths: &[usize]) {
    let journal = open(dir);
    let writer = journal.writer(clock).expect("no other writer");
    let (mut rest, mut lengths) = (drafts, lengths.iter().cycle());
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at((*lengths.next().expect("a cycle")).min(rest.len()));
        writer.append(piece.to_vec()).and_then(|ticket| ticket.wait()).expect("commits");
        rest = tail;
    }
    writer.close().expect("nothing is left");
}

/// How much of the log was written to.
fn used(dir: &Path) -> usize {
    let log = fs::read(dir.join(LOG)).expect("a log");
    log.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)
}

/// Some hundred events over three days: pages, frames, blobs, definitions.
/// Half of them are in tables; the logs are cut in three as after rotations:
/// the first is gone, because all of it is in tables, the second is complete,
/// the third is being written.
pub fn small() -> Sample {
    let drafts = session(5, 200, 3);
    rotated([(&drafts[..100], &[4]), (&drafts[100..150], &[4]), (&drafts[150..], &[4])])
}

/// Some ten thousand events over four days, so that pages are full.
pub fn large() -> Sample {
    let drafts = session(6, 40_000, 4);
    let (tables, rest) = drafts.split_at(34_000);
    let (full, active) = rest.split_at(3_000);
    let sample = rotated([(tables, &[700, 40]), (full, &[300, 9]), (active, &[300, 9])]);
    Sample { unit: 128 << 10, ..sample }
}

/// Drafts and the lengths of their commits.
type Part<'a> = (&'a [Draft], &'a [usize]);

/// What is in tables, in a full log, and in the log in use.
fn rotated([tables, full, active]: [Part<'_>; 3]) -> Sample {
    let dir = scratch();
    // Two flushes, so that some keyspaces have two tables.
    let (first, second) = tables.0.split_at(tables.0.len() / 2);
    commit(dir.path(), first, tables.1);
    flush(dir.path());
    commit(dir.path(), second, tables.1);
    flush(dir.path());
    let from = used(dir.path());
    commit(dir.path(), full.0, full.1);
    let to = used(dir.path());
    commit(dir.path(), active.0, active.1);
    let mut image = Image::of(dir.path());
    let log = image.files.remove(Path::new(LOG)).expect("a log");
    let mut put = |name: &str, bytes: &[u8]| {
        image.files.insert(Path::new("journal/db").join(name), bytes.to_vec());
    };
    put("1.jnl", &log[from..to]);
    // The engine reserves room behind what it writes.
    let mut rest = log[to..used(dir.path())].to_vec();
    rest.resize(rest.len() + 16, 0);
    put("2.jnl", &rest);
    sample(image)
}

/// A journal after each of several steps; the last is as it is now.
pub fn history() -> (Sample, Vec<Image>) {
    let (dir, mut images) = (scratch(), Vec::new());
    for (n, drafts) in session(8, 160, 3).chunks(32).enumerate() {
        commit(dir.path(), drafts, &[4]);
        images.push(Image::of(dir.path()));
        if n % 2 == 1 {
            flush(dir.path());
            images.push(Image::of(dir.path()));
        }
    }
    (sample(images.pop().expect("steps")), images)
}

fn sample(image: Image) -> Sample {
    let dir = scratch();
    image.write(dir.path());
    let journal = open(dir.path());
    verify_clean(&journal);
    Sample { events: events(&journal), image, unit: 8 << 10 }
}

/// Where every event is named in a file: place behind its frame or page, and
/// its last seq.
pub fn labels(bytes: &[u8]) -> Vec<(usize, Seq)> {
    let number = |at: usize, len: usize| {
        let mut out = [0; 8];
        out[..len].copy_from_slice(&bytes[at..at + len]);
        u64::from_le_bytes(out)
    };
    let is = |at: usize| {
        let magic = &bytes[at..at + 8];
        magic == b"ORRYFRAM" || magic == b"ORRYCOLS" || magic == b"ORRYSUMM"
    };
    let found = (0..bytes.len().saturating_sub(64)).filter(|at| is(*at));
    found.map(|at| (at, Seq(number(at + 16, 8) + number(at + 12, 4) - 1))).collect()
}
