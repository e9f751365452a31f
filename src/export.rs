//! Export: what the journal holds, as files that need no orrery to read.
//!
//! Two forms. *Wire*: the vendor's messages, one a line, equal in value to what
//! came in, and the raw pages of chains as they came. *Pages*: the canonical
//! bytes of sealed pages, each named by its first event, with a list of addresses
//! that `b3sum --check` takes. Nothing is converted on the way: what the
//! vendor's protocol has no message for is left out and counted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use orrery_journal::event::{Body, Event, Kind};
use orrery_journal::units::Seq;
use orrery_journal::{Journal, ReadError};
use serde::Serialize;

use crate::feeds::massive::encode;

/// Messages of quotes, trades, bars, index values and the connection's state.
pub const TICKS: &str = "ticks.ndjson";
/// Folder of the raw pages of chains.
pub const CHAINS: &str = "chains";
/// Addresses and names of page files.
pub const SUMS: &str = "B3SUMS";

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

struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn failed(&self, name: &str) -> impl FnOnce(io::Error) -> ExportError {
        let path = self.0.join(name);
        move |source| ExportError::Write { path, source }
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

/// Writes the vendor's messages of `from..=to` into `to_folder`.
///
/// # Errors
/// When a file exists already or cannot be written, or the journal is damaged.
pub fn wire(
    journal: &Journal,
    (from, to): (Seq, Seq),
    to_folder: &Path,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let folder = Folder(to_folder);
    folder.make("")?;
    let mut ticks = folder.create(TICKS)?;
    let mut exported = Exported::default();
    let mut extension: Option<Bytes> = None;
    for stretch in journal.read(from, to) {
        let stretch = stretch?;
        let mut seq = stretch.first;
        for event in stretch.events.iter() {
            if let Body::Extension(address) = event.body {
                extension = Some(journal.blob(address)?);
            } else {
                // An extension belongs to the event right behind it.
                let original = extension.take().filter(|_| event.extended);
                one(journal, seq, event, original, &folder, &mut ticks, &mut exported)?;
            }
            seq = seq.next();
        }
        if progress(Seq(seq.0.saturating_sub(1))).is_break() {
            return Err(ExportError::Stopped(Seq(seq.0.saturating_sub(1))));
        }
    }
    ticks.flush().map_err(folder.failed(TICKS))?;
    Ok(exported)
}

fn one(
    journal: &Journal,
    seq: Seq,
    event: &Event,
    extension: Option<Bytes>,
    folder: &Folder<'_>,
    ticks: &mut impl Write,
    exported: &mut Exported,
) -> Result<(), ExportError> {
    let conditions = match &event.body {
        Body::Quote(quote) => journal.conditions(quote.conditions),
        Body::Trade(trade) => journal.conditions(trade.conditions),
        Body::ChainSnapshot(chain) => {
            if exported.chains == 0 {
                folder.make(CHAINS)?;
            }
            let raw = journal.blob(chain.raw)?;
            let name = match raw.first() {
                Some(b'{' | b'[') => "json",
                _ => "csv",
            };
            folder.put(&format!("{CHAINS}/{:012}.{name}", seq.0), &raw)?;
            exported.chains += 1;
            exported.bytes += raw.len() as u64;
            return Ok(());
        }
        _ => None,
    };
    let ticker = journal.ticker(event.instrument).unwrap_or_default();
    let conditions = conditions.unwrap_or_default();
    let message = match &event.body {
        Body::Control(fact) => encode::status(&journal.blob(*fact)?).map(str::to_owned),
        _ => encode::message(event, extension.as_deref(), &ticker, &conditions),
    };
    match message {
        Some(message) => {
            // A message that is kept as it came may have line breaks; inside of
            // text JSON has none, so that its value stays the same.
            let line = message.replace(['\n', '\r'], " ");
            writeln!(ticks, "{line}").map_err(folder.failed(TICKS))?;
            exported.written += 1;
            exported.bytes += line.len() as u64 + 1;
        }
        None => {
            let kind: Kind = event.body.kind();
            *exported.left_out.entry(kind.name()).or_default() += 1;
        }
    }
    Ok(())
}

/// Writes the sealed pages that have an event in `from..=to` into `to_folder`,
/// and [`SUMS`] beside them.
///
/// # Errors
/// When a file exists already or cannot be written, or a page is damaged.
pub fn pages(
    journal: &Journal,
    (from, to): (Seq, Seq),
    to_folder: &Path,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let folder = Folder(to_folder);
    folder.make("")?;
    let mut sums = folder.create(SUMS)?;
    let mut exported = Exported::default();
    for page in journal.sealed_pages(from, to) {
        let page = page?;
        let name = format!("{:012}.page", page.first.0);
        folder.put(&name, &page.bytes)?;
        writeln!(sums, "{}  {name}", page.address).map_err(folder.failed(SUMS))?;
        exported.written += 1;
        exported.bytes += page.bytes.len() as u64;
        if progress(page.last).is_break() {
            return Err(ExportError::Stopped(page.last));
        }
    }
    sums.flush().map_err(folder.failed(SUMS))?;
    Ok(exported)
}
