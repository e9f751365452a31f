//! Copies and upkeep of the journal: for the command line, and for gRPC through
//! [`control::journal::Operations`](crate::control::journal::Operations).

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{Copied, CopyError, CopyProgress, Journal, OpenError, ReadError, Stat};

use super::{Archive, proving, reading, sealing};
use crate::clock;
use crate::control::BackendError;
use crate::control::events::{EventFilter, EventRange, Found, ReadDone, Start, Tailed};
use crate::control::journal::Operations;
use crate::control::proving::{Given, SignedCheckpoint, Wanted};

/// Says when the journal was copied last, and how far; in the data directory.
const NOTE: &str = "BACKUP";

/// The last copy of a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastCopy {
    /// When it was complete.
    pub at: RecvTime,
    /// Its last event.
    pub seq: Seq,
}

/// Copies a journal into a folder, or brings the copy there up to date.
///
/// # Errors
/// See [`CopyError`]; a folder that holds something else is refused, too.
pub fn backup(
    journal: &Journal,
    dir: &Path,
    progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
) -> Result<Copied, CopyError> {
    may_hold_a_copy(dir)?;
    let copied = journal.copy_to(dir, progress)?;
    if let Some(data) = journal.folder() {
        let note = format!("{} {} {}\n", clock::now(), copied.head, dir.display());
        // Losing the note loses a metric, not the copy.
        if let Err(error) = std::fs::write(data.join(NOTE), note) {
            tracing::warn!(%error, "the note of the last backup was not written");
        }
    }
    Ok(copied)
}

/// Has the store write its tables anew; bytes on disk before and after.
///
/// # Errors
/// When it cannot write.
pub fn compact(journal: &Journal) -> Result<(u64, u64), ReadError> {
    let before = journal.stat()?.bytes;
    journal.compact()?;
    Ok((before, journal.stat()?.bytes))
}

/// The last copy that was made of the journal in a data directory.
#[must_use]
pub fn last_copy(data: &Path) -> Option<LastCopy> {
    let note = std::fs::read_to_string(data.join(NOTE)).ok()?;
    let mut words = note.split_whitespace();
    let at = RecvTime::parse_rfc3339(words.next()?)?;
    Some(LastCopy { at, seq: Seq(words.next()?.parse().ok()?) })
}

/// A folder that does not exist, an empty one, or one with a journal: whoever
/// may ask for a copy must not be able to write into any other.
fn may_hold_a_copy(dir: &Path) -> Result<(), CopyError> {
    let refused = |source| CopyError::Target(OpenError::Io { path: dir.to_owned(), source });
    let mut entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(refused(e)),
    };
    if entries.next().is_none() || dir.join("journal").is_dir() {
        return Ok(());
    }
    let why = "it holds files and no journal; name an empty folder, or one that does not exist";
    Err(refused(std::io::Error::new(std::io::ErrorKind::DirectoryNotEmpty, why)))
}

/// An error with its causes: a client sees no other line of it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        out = format!("{out}: {e}");
        source = e.source();
    }
    out
}

impl Operations for Archive {
    fn stat(&self) -> Result<Stat, BackendError> {
        self.journal().stat().map_err(|e| BackendError::Damaged(e.to_string()))
    }

    fn backup(
        &self,
        dir: &Path,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<Copied, BackendError> {
        backup(self.journal(), dir, progress).map_err(|error| {
            let told = chain(&error);
            match error {
                CopyError::Source(_) => BackendError::Damaged(told),
                CopyError::NoRoom { .. } | CopyError::Write(_) | CopyError::Stopped { .. } => {
                    BackendError::Unavailable(told)
                }
                _ => BackendError::Precondition(told),
            }
        })
    }

    fn compact(&self) -> Result<(u64, u64), BackendError> {
        compact(self.journal()).map_err(|e| BackendError::Internal(Box::new(e)))
    }

    fn read(
        &self,
        range: &EventRange,
        each: &mut dyn FnMut(&[Found]) -> ControlFlow<()>,
    ) -> Result<ReadDone, BackendError> {
        reading::read(self.journal(), range, each)
    }

    fn tail(
        &self,
        filter: &EventFilter,
        start: Start,
        heartbeat: Duration,
        wanted: &mut dyn FnMut() -> ControlFlow<()>,
        each: &mut dyn FnMut(Tailed<'_>) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        reading::tail(self.journal(), filter, start, heartbeat, wanted, each)
    }

    fn prove(&self, wanted: &Wanted, origin: Option<&str>) -> Result<Given, BackendError> {
        Ok(sealing::prove(self, wanted, origin)?.into())
    }

    fn checkpoint(&self, origin: Option<&str>) -> Result<SignedCheckpoint, BackendError> {
        Ok(proving::checkpoint(self.journal(), origin)?)
    }

    fn key(&self, origin: Option<&str>) -> Result<String, BackendError> {
        Ok(proving::key(self.journal(), origin)?.to_string())
    }
}
