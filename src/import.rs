//! Import: captured files into the journal, each with its own times.
//!
//! Several files are merged by recv time (then by their order in the call, then
//! by position). Each file is a source of the journal, known by its content:
//! what the journal already holds of it is skipped, so that a repeated import
//! goes on after a crash and adds nothing when it is complete. A beat of the
//! clock closes each day and the import itself, so that whatever is due comes
//! out. Nothing here knows a model.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use orrery_journal::event::{Draft, DraftBody, InstrumentRef, Kind};
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq, SourceId, TradingDay};
use orrery_journal::{AppendError, Head, Journal, ReadError, Writer};

use crate::feeds::Format;
use crate::import::ledger::{Disk, Ledger, Promise};
use crate::import::merge::{Merge, Source};
pub use crate::import::own::{RebuildError, is_export, rebuild};
pub use crate::import::report::{FileReport, ImportReport, Outcome};

mod ledger;
mod merge;
mod own;
mod report;
#[cfg(test)]
mod tests;

/// How long after its last event a day is closed: longer than every cadence
/// and than the 30 s after which an epoch is promoted in any case.
pub const CLOSING_BEAT_NANOS: i64 = 31 * NANOS_PER_SECOND;

/// A file or folder to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds, where the user says so.
    pub format: Option<Format>,
}

impl Input {
    /// Reads `PATH` or `FORMAT=PATH`. A path that contains `=` is a path unless
    /// what stands before it names a format.
    #[must_use]
    pub fn parse(text: &str) -> Input {
        let told = text.split_once('=').and_then(|(f, p)| Some((Format::parse(f)?, p)));
        match told {
            Some((format, path)) => Input { path: path.into(), format: Some(format) },
            None => Input { path: text.into(), format: None },
        }
    }
}

/// How to import; what the journal holds afterwards does not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions {
    /// Drafts in one append.
    pub batch: usize,
    /// Appends on their way at once.
    pub appends_in_flight: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        ImportOptions { batch: 4096, appends_in_flight: 4 }
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file at hand.
    pub file: &'a Path,
    /// Decompressed bytes read.
    pub bytes: u64,
    /// Decompressed bytes of all files.
    pub bytes_total: u64,
    /// Drafts read, also those that the journal holds already.
    pub read: u64,
    /// Drafts handed to the journal.
    pub added: u64,
}

/// Why an import stopped. What was acknowledged before stays; repeating the
/// import goes on from there.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ImportError {
    #[error("{path} does not exist")]
    NotFound { path: PathBuf },
    #[error("cannot read {path}")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("nothing to import: no file in {}", paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoFiles { paths: Vec<PathBuf> },
    #[error(
        "{path} begins on {day}, and the journal has already reached {head_day}: \
         import days in chronological order, or use another --data folder"
    )]
    DayBeforeHead { path: PathBuf, day: TradingDay, head_day: TradingDay },
    #[error(
        "{path} begins at {at}, and the journal has already reached {head}: \
         import files of one day together in one call, into another --data folder"
    )]
    BeforeHead { path: PathBuf, at: RecvTime, head: RecvTime },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Imports files and folders, and returns when everything is durable.
///
/// # Errors
/// See [`ImportError`].
pub fn import(
    journal: &Journal,
    writer: &Writer,
    inputs: &[Input],
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ImportReport, ImportError> {
    run(&Disk { journal, writer }, inputs, options, progress)
}

fn run<L: Ledger>(
    ledger: &L,
    inputs: &[Input],
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ImportReport, ImportError> {
    let head = ledger.head();
    let (mut merge, files) = Merge::open(inputs, &ledger.sources()?, head)?;
    let last = ledger.last()?;
    let mut into = Appending {
        ledger,
        batch_max: options.batch.max(1),
        in_flight_max: options.appends_in_flight.max(1),
        batch: Vec::new(),
        in_flight: VecDeque::new(),
        first: None,
        last: None,
        beats: 0,
        closed: last.is_none_or(|(kind, _)| kind == Kind::ClockBeat),
        at: head.recv,
    };
    let mut report = ImportReport { files, ..ImportReport::default() };
    let mut ids: BTreeMap<usize, SourceId> = BTreeMap::new();
    let mut read = 0u64;
    while let Some((index, timed)) = merge.next()? {
        let source = merge.source_mut(index);
        let counted = &mut report.files[source.report];
        counted.take(&timed);
        read += 1;
        if source.skip > 0 {
            source.skip -= 1;
            counted.skipped += 1;
        } else {
            if report.added == 0 {
                in_order(ledger, head, source, timed.at)?;
            }
            let id = match ids.get(&index) {
                Some(id) => *id,
                None => {
                    let id = ledger.define_source(&source.descriptor)?;
                    *ids.entry(index).or_insert(id)
                }
            };
            counted.added += 1;
            report.added += 1;
            into.close_day_before(timed.at)?;
            into.push(Draft { source: id, ..timed.draft }, timed.at, false)?;
        }
        if read.is_multiple_of(4096) {
            merge.tell(index, read, report.added, progress);
        }
    }
    // An import that was cut off between its last event and its beat gets it now.
    let left_open = match last {
        Some((_, source)) => merge.descriptors_hold(ledger, source)?,
        None => false,
    };
    if report.added > 0 || left_open {
        into.close()?;
    }
    into.flush()?;
    while !into.in_flight.is_empty() {
        into.wait_for_one()?;
    }
    merge.finish(&mut report.files);
    report.beats = into.beats;
    report.seqs = into.first.zip(into.last);
    report.sum();
    Ok(report)
}

/// The first new event of an import must not lie before the journal's head.
fn in_order<L: Ledger>(
    ledger: &L,
    head: Head,
    source: &Source,
    at: RecvTime,
) -> Result<(), ImportError> {
    if head.seq == Seq::BEFORE_FIRST || at >= head.recv {
        return Ok(());
    }
    let path = source.path.clone();
    let (day, head_day) = (ledger.day_of(at), ledger.day_of(head.recv));
    Err(if day < head_day {
        ImportError::DayBeforeHead { path, day, head_day }
    } else {
        ImportError::BeforeHead { path, at, head: head.recv }
    })
}

/// Drafts on their way into the journal, in batches, several at once.
struct Appending<'a, L: Ledger> {
    ledger: &'a L,
    batch_max: usize,
    in_flight_max: usize,
    batch: Vec<Draft>,
    in_flight: VecDeque<L::Ticket>,
    first: Option<Seq>,
    last: Option<Seq>,
    beats: u64,
    /// Whether the newest event is a beat (or there is none).
    closed: bool,
    /// Time of the newest event.
    at: RecvTime,
}

impl<L: Ledger> Appending<'_, L> {
    fn push(&mut self, draft: Draft, at: RecvTime, beat: bool) -> Result<(), ImportError> {
        self.batch.push(draft);
        (self.at, self.closed) = (self.at.max(at), beat);
        if self.batch.len() >= self.batch_max { self.flush() } else { Ok(()) }
    }

    fn close_day_before(&mut self, at: RecvTime) -> Result<(), ImportError> {
        if self.ledger.day_of(at) <= self.ledger.day_of(self.at) {
            return Ok(());
        }
        self.close()
    }

    /// Lets time pass to the end of everything that is due.
    fn close(&mut self) -> Result<(), ImportError> {
        if self.closed {
            return Ok(());
        }
        let end = self.ledger.day_end(self.ledger.day_of(self.at));
        let at = self.at.plus_nanos(CLOSING_BEAT_NANOS).min(end).max(self.at);
        self.beats += 1;
        let beat = Draft {
            recv: Some(at),
            vendor_time: None,
            instrument: InstrumentRef::None,
            source: SourceId::JOURNAL,
            extension: None,
            body: DraftBody::ClockBeat,
        };
        self.push(beat, at, true)
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.in_flight.len() >= self.in_flight_max {
            self.wait_for_one()?;
        }
        let next = Vec::with_capacity(self.batch_max.min(1 << 16));
        let batch = std::mem::replace(&mut self.batch, next);
        self.in_flight.push_back(self.ledger.append(batch)?);
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<(), ImportError> {
        let Some(ticket) = self.in_flight.pop_front() else { return Ok(()) };
        let appended = ticket.wait()?;
        self.first = self.first.or(Some(appended.first));
        self.last = Some(appended.last);
        Ok(())
    }
}
