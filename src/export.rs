//! Export: what the journal holds, as files that need no orrery to read.
//!
//! `wire`: the vendor's messages. `pages`: canonical bytes of sealed
//! pages. [`rows`]: events by kind and artifacts by family as tables, in Parquet,
//! Arrow IPC or JSON lines; of the last, [`read`] gives the events back.

mod arrow;
mod artifacts;
mod columns;
mod events;
mod files;
mod flat;
mod json;
mod manifest;
mod pages;
mod parquet;
pub mod read;
pub mod rows;
mod table;
mod wire;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use orrery_journal::ReadError;
use orrery_journal::event::RowsError;
use orrery_journal::units::Seq;
use serde::Serialize;

pub use self::files::{FormError, RowForm, Written};
pub use self::manifest::{MANIFEST, Manifest, ManifestDay};
pub use self::pages::{SUMS, pages};
pub use self::wire::{CHAINS, TICKS, wire};

/// Why an export ended early. What was written so far is whole lines and whole
/// files.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file's writer refused a batch of rows.
    #[error("cannot write {path}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: FormError,
    },
    /// The rows of a chain cannot be decoded.
    #[error("the chain of event {seq} cannot be decoded; `orrery verify` says more")]
    Rows {
        /// The event.
        seq: Seq,
        /// Why.
        #[source]
        why: RowsError,
    },
    /// The folder holds something already.
    #[error("{path} is not empty; export into a new folder")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("stopped at event {0}")]
    Stopped(Seq),
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Messages, or pages.
    pub written: u64,
    /// Raw pages of chains.
    pub chains: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Events that this form has no place for, by kind.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// Told the event that was reached; may stop the export.
pub type Progress<'a> = &'a mut dyn FnMut(Seq) -> ControlFlow<()>;

/// File that lies in a folder until its export has ended, and what it says.
const UNFINISHED: &str = "UNFINISHED";
const UNFINISHED_TEXT: &str = "`orrery export` has not ended; run it again\n";

/// Whether an export into this folder broke off, or goes on.
#[must_use]
pub fn is_unfinished(folder: &Path) -> bool {
    fs::read(folder.join(UNFINISHED)).is_ok_and(|text| text == UNFINISHED_TEXT.as_bytes())
}

struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn failed(&self, name: &str) -> impl FnOnce(io::Error) -> ExportError {
        let path = self.0.join(name);
        move |source| ExportError::Write { path, source }
    }

    /// Begins an export: the folder is new or empty, or what an export that
    /// broke off left behind, which goes.
    fn begin(&self) -> Result<(), ExportError> {
        self.make("")?;
        let broken_off = is_unfinished(self.0);
        for entry in fs::read_dir(self.0).map_err(self.failed(""))? {
            let entry = entry.map_err(self.failed(""))?;
            if !broken_off {
                return Err(ExportError::NotEmpty { path: self.0.to_path_buf() });
            }
            let (path, source) = (entry.path(), entry.file_type());
            if entry.file_name() != UNFINISHED {
                let folder = source.map_err(self.failed(""))?.is_dir();
                let gone = if folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                gone.map_err(|source| ExportError::Write { path, source })?;
            }
        }
        fs::write(self.0.join(UNFINISHED), UNFINISHED_TEXT).map_err(self.failed(UNFINISHED))
    }

    /// Ends an export: everything is there.
    fn end(&self) -> Result<(), ExportError> {
        fs::remove_file(self.0.join(UNFINISHED)).map_err(self.failed(UNFINISHED))
    }

    fn make(&self, name: &str) -> Result<(), ExportError> {
        fs::create_dir_all(self.0.join(name)).map_err(self.failed(name))
    }

    fn create(&self, name: &str) -> Result<BufWriter<File>, ExportError> {
        File::create_new(self.0.join(name)).map(BufWriter::new).map_err(self.failed(name))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let mut file = self.create(name)?;
        file.write_all(bytes).and_then(|()| file.flush()).map_err(self.failed(name))
    }
}
