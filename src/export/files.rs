//! The files of an export: as many as are needed at once, within one bound of
//! memory, none of them ever written over.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};

use super::columns::{Columns, Misfit};
use super::table::{Cell, Table};
use super::{ExportError, arrow, json, parquet as parquet_form};

/// Rows of a batch: a row group of Parquet, a record batch of Arrow.
const BATCH_ROWS: usize = 131_072;
/// What rows that wait for their batch may take together.
const HELD_BYTES_MAX: usize = 96 << 20;
/// What those of one file may take.
const FILE_BYTES_MAX: usize = 32 << 20;

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowForm {
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC files.
    Arrow,
    /// JSON lines.
    Jsonl,
}

impl RowForm {
    /// What names of files end with.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            RowForm::Parquet => "parquet",
            RowForm::Arrow => "arrow",
            RowForm::Jsonl => "jsonl",
        }
    }
}

/// A file that was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Written {
    /// Below the folder of the export, with `/`.
    pub path: String,
    /// The table.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Why a batch did not reach its file.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The disk.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Our own rows.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// Parquet's writer.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

enum Output {
    Parquet(Columns, parquet_form::Writer),
    Arrow(Columns, arrow::Writer),
    Json(BufWriter<File>, String),
}

struct Open {
    path: String,
    table: &'static Table,
    rows: u64,
    output: Output,
}

impl Open {
    fn held(&self) -> usize {
        match &self.output {
            Output::Parquet(columns, _) | Output::Arrow(columns, _) => columns.bytes(),
            Output::Json(..) => 0,
        }
    }

    fn push(&mut self, row: &[Cell<'_>]) -> Result<(), FormError> {
        self.rows += 1;
        match &mut self.output {
            Output::Parquet(columns, _) | Output::Arrow(columns, _) => {
                columns.push(row)?;
                if columns.rows() >= BATCH_ROWS || columns.bytes() >= FILE_BYTES_MAX {
                    self.flush()?;
                }
            }
            Output::Json(file, line) => {
                line.clear();
                json::line(self.table, row, line);
                file.write_all(line.as_bytes())?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FormError> {
        match &mut self.output {
            Output::Parquet(columns, writer) if columns.rows() > 0 => {
                writer.write(&columns.batch())?;
            }
            Output::Arrow(columns, writer) if columns.rows() > 0 => {
                writer.write(&columns.batch())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Bytes of the finished file.
    fn close(mut self) -> Result<Written, FormError> {
        self.flush()?;
        let mut file = match self.output {
            Output::Parquet(_, writer) => writer.close()?,
            Output::Arrow(_, writer) => writer.close()?,
            Output::Json(file, _) => file,
        };
        file.flush()?;
        let bytes = file.get_ref().metadata()?.len();
        let (path, table) = (self.path, self.table.name.to_owned());
        Ok(Written { path, table, rows: self.rows, bytes })
    }
}

/// A file that is open, until [`Files::close`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct FileId(usize);

/// All files of an export.
pub(super) struct Files {
    root: PathBuf,
    form: RowForm,
    /// Of every file; each adds its own.
    metadata: Vec<(String, String)>,
    open: BTreeMap<FileId, Open>,
    /// What waits in all of them for a batch, in bytes.
    held: usize,
    next: usize,
    written: Vec<Written>,
}

impl Files {
    pub(super) fn new(root: &Path, form: RowForm, metadata: Vec<(String, String)>) -> Files {
        let root = root.to_path_buf();
        let (open, written) = (BTreeMap::new(), Vec::new());
        Files { root, form, metadata, open, held: 0, next: 0, written }
    }

    pub(super) const fn form(&self) -> RowForm {
        self.form
    }

    fn failed(&self, path: &str) -> impl FnOnce(FormError) -> ExportError {
        let path = self.root.join(path);
        move |source| match source {
            FormError::Io(source) => ExportError::Write { path, source },
            source => ExportError::Form { path, source },
        }
    }

    /// Begins a file `folder/part.EXTENSION`; `own` is metadata of it alone.
    pub(super) fn begin(
        &mut self,
        folder: &str,
        table: &'static Table,
        own: &[(&str, String)],
    ) -> Result<FileId, ExportError> {
        let path = format!("{folder}/part.{}", self.form.extension());
        let mut metadata = self.metadata.clone();
        metadata.push(("orrery.table".to_owned(), table.name.to_owned()));
        metadata.push(("orrery.units".to_owned(), table.units()));
        metadata.extend(own.iter().map(|(key, value)| (format!("orrery.{key}"), value.clone())));
        let opened = || -> Result<Output, FormError> {
            fs::create_dir_all(self.root.join(folder))?;
            let file = BufWriter::new(File::create_new(self.root.join(&path))?);
            Ok(match self.form {
                RowForm::Parquet => {
                    let writer = parquet_form::Writer::new(file, table, &metadata)?;
                    Output::Parquet(Columns::new(table), writer)
                }
                RowForm::Arrow => {
                    let writer = arrow::Writer::new(file, table, &metadata)?;
                    Output::Arrow(Columns::new(table), writer)
                }
                RowForm::Jsonl => Output::Json(file, String::new()),
            })
        };
        let output = opened().map_err(self.failed(&path))?;
        let id = FileId(self.next);
        self.next += 1;
        self.open.insert(id, Open { path, table, rows: 0, output });
        Ok(id)
    }

    /// Adds a row to an open file.
    pub(super) fn row(&mut self, id: FileId, row: &[Cell<'_>]) -> Result<(), ExportError> {
        let Some(open) = self.open.get_mut(&id) else { return Ok(()) };
        let before = open.held();
        if let Err(source) = open.push(row) {
            let path = open.path.clone();
            return Err(self.failed(&path)(source));
        }
        self.held = (self.held + open.held()).saturating_sub(before);
        Ok(())
    }

    /// Writes the largest batches until what waits is within its bound.
    pub(super) fn relieve(&mut self) -> Result<(), ExportError> {
        while self.held > HELD_BYTES_MAX {
            let Some(largest) = self.open.values_mut().max_by_key(|open| open.held()) else {
                return Ok(());
            };
            self.held = self.held.saturating_sub(largest.held());
            let path = largest.path.clone();
            largest.flush().map_err(self.failed(&path))?;
        }
        Ok(())
    }

    /// Ends all open files.
    pub(super) fn close(&mut self) -> Result<(), ExportError> {
        while let Some((_, open)) = self.open.pop_first() {
            let path = open.path.clone();
            let written = open.close().map_err(self.failed(&path))?;
            self.written.push(written);
        }
        self.held = 0;
        Ok(())
    }

    /// What was written so far.
    pub(super) fn written(&self) -> &[Written] {
        &self.written
    }
}
