//! Import of an export of our own: the same events at the same places.
//!
//! The journal continues exactly where it stands: what it holds already is
//! skipped, so a broken import goes on when it is repeated, and later days can
//! follow earlier ones. Definitions are written by the journal itself; that each
//! event came to its old place, and each page to its old address, is checked.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use orrery_journal::event::{Draft, DraftBody};
use orrery_journal::units::{Seq, TradingDay};
use orrery_journal::{AppendError, DaySummary, Journal, ReadError, Ticket, Writer};

use super::report::{FileReport, ImportReport, Outcome};
use super::{ImportOptions, Progress};
use crate::export::read::{Events, ReadBackError, What, manifest};
use crate::export::{MANIFEST, Manifest};

/// Bytes of drafts that are appended together, about.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// What a contract of a chain counts for.
const CONTRACT_BYTES: usize = 256;

/// Why an export was not imported to its end. What was acknowledged stays.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RebuildError {
    #[error(transparent)]
    Export(#[from] ReadBackError),
    #[error("{path} is of a journal with another calendar, {calendar}; use another --data folder")]
    Calendar { path: PathBuf, calendar: String },
    #[error(
        "{path} begins with event {first}, and the journal ends with {head}: import the days \
         before first (a day by itself comes in as messages: `orrery export --form wire`)"
    )]
    Later { path: PathBuf, first: Seq, head: Seq },
    #[error(
        "{path} is of another journal: the two differ up to event {seq}; \
         use another --data folder"
    )]
    Other { path: PathBuf, seq: Seq },
    #[error("event {expected} of {path} came to place {got}: the files were changed")]
    Moved { path: PathBuf, expected: Seq, got: Seq },
    #[error(
        "the pages of {day} are not those that {path} was written from: its files were changed"
    )]
    Pages { path: PathBuf, day: TradingDay },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Whether a folder is an export of our own.
#[must_use]
pub fn is_export(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// Appends what an export holds beyond the journal's end.
///
/// # Errors
/// See [`RebuildError`].
pub fn rebuild(
    journal: &Journal,
    writer: &Writer,
    folder: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ImportReport, RebuildError> {
    let path = folder.to_path_buf();
    let manifest = manifest(folder)?;
    if manifest.calendar() != Some(journal.calendar()) {
        return Err(RebuildError::Calendar { path, calendar: manifest.calendar });
    }
    let (head, first) = (journal.head(), Seq(manifest.first_seq));
    if first > head.seq.next() {
        return Err(RebuildError::Later { path, first, head: head.seq });
    }
    if first_other_day(journal, &manifest)?.is_some() {
        return Err(RebuildError::Other { path, seq: head.seq });
    }
    let mut file = FileReport::new(path.clone(), None, Outcome::Read);
    let mut report = ImportReport::default();
    let mut events = Events::new(folder, manifest.clone());
    let mut into = Appending {
        writer,
        path: path.clone(),
        options: *options,
        batch: Vec::new(),
        bytes: 0,
        in_flight: VecDeque::new(),
    };
    let mut last = Seq::BEFORE_FIRST;
    while let Some(event) = events.read_next()? {
        if event.seq == head.seq && event.recv != head.recv {
            return Err(RebuildError::Other { path, seq: event.seq });
        }
        match event.what {
            What::Source(text) => {
                writer.define_source(&text)?;
            }
            What::Bookkeeping => {}
            What::Draft(draft) => {
                *file.kinds.entry(event.kind).or_default() += 1;
                if let DraftBody::Chain(chain) = &draft.body {
                    file.contracts += chain.rows.len() as u64;
                }
                file.first = file.first.or(Some(event.recv));
                file.last = Some(event.recv);
                if event.seq <= head.seq {
                    file.skipped += 1;
                } else {
                    file.added += 1;
                    report.seqs = Some((head.seq.next(), event.seq));
                    last = event.seq;
                    into.push(*draft, last)?;
                }
            }
        }
        if event.seq.0.is_multiple_of(4096) {
            let (bytes, bytes_total) = (event.seq.0, manifest.last_seq);
            let (read, added) = (file.skipped + file.added, file.added);
            progress(Progress { file: folder, bytes, bytes_total, read, added });
        }
    }
    into.end(last)?;
    if let Some(day) = first_other_day(journal, &manifest)? {
        return Err(RebuildError::Pages { path, day });
    }
    report.added = file.added;
    report.files.push(file);
    report.sum();
    Ok(report)
}

/// Appends on their way, each with the place where it must end.
struct Appending<'a> {
    writer: &'a Writer,
    path: PathBuf,
    options: ImportOptions,
    batch: Vec<Draft>,
    bytes: usize,
    in_flight: VecDeque<(Ticket, Seq)>,
}

impl Appending<'_> {
    fn push(&mut self, draft: Draft, expected: Seq) -> Result<(), RebuildError> {
        self.bytes += match &draft.body {
            DraftBody::Chain(chain) => chain.raw.len() + chain.rows.len() * CONTRACT_BYTES,
            _ => 0,
        };
        self.batch.push(draft);
        if self.batch.len() < self.options.batch.max(1) && self.bytes < BATCH_BYTES_MAX {
            return Ok(());
        }
        self.flush(expected)
    }

    fn flush(&mut self, expected: Seq) -> Result<(), RebuildError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.in_flight.len() >= self.options.appends_in_flight.max(1) {
            self.wait_for_one()?;
        }
        self.bytes = 0;
        let ticket = self.writer.append(std::mem::take(&mut self.batch))?;
        self.in_flight.push_back((ticket, expected));
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<(), RebuildError> {
        let Some((ticket, expected)) = self.in_flight.pop_front() else { return Ok(()) };
        let got = ticket.wait()?.last;
        if got == expected {
            return Ok(());
        }
        Err(RebuildError::Moved { path: self.path.clone(), expected, got })
    }

    /// Waits until everything up to `expected` is durable.
    fn end(&mut self, expected: Seq) -> Result<(), RebuildError> {
        self.flush(expected)?;
        while !self.in_flight.is_empty() {
            self.wait_for_one()?;
        }
        Ok(())
    }
}

/// The first day with a page that was sealed there and here and is not the same.
fn first_other_day(
    journal: &Journal,
    manifest: &Manifest,
) -> Result<Option<TradingDay>, ReadError> {
    let other = |ours: &DaySummary| {
        let theirs = manifest.days.iter().filter(|theirs| theirs.day == ours.day.to_string());
        let mut pages = theirs.flat_map(|theirs| theirs.pages.iter().zip(&ours.pages));
        pages.any(|(theirs, ours)| *theirs != ours.to_string())
    };
    Ok(journal.days()?.iter().find(|day| other(day)).map(|day| day.day))
}
