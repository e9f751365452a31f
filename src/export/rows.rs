//! Days as tables: events by kind, artifacts by family.
//!
//! ```text
//! orrery-export.json                                                  what is there
//! events/kind=quote/date=2026-03-16/part.parquet                      one row an event
//! events/kind=chain_contract/date=...                                 one row a contract of a chain
//! artifacts/family=gex/symbol=SPX/date=...                            one row a version
//! tables/table=gex_by_strike/family=gex/symbol=SPX/date=...           bodies, taken apart
//! ```
//!
//! `date` is the trading day of the events, and of the events that brought an
//! artifact out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use orrery_journal::event::Kind;
use orrery_journal::units::{Address, InstrumentId};
use orrery_journal::{DaySummary, Filter, Journal};
use orrery_replay::engine::Made;
use serde::Serialize;

use super::artifacts::Artifacts;
use super::events;
use super::files::{Files, RowForm, Written};
use super::manifest::{FORMAT, MANIFEST, Manifest, ManifestDay, calendar_name};
use super::{ExportError, Folder, Progress};

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only events about these instruments, and those about none.
    pub instruments: Option<Vec<InstrumentId>>,
    /// Only artifacts of these symbols.
    pub symbols: Vec<String>,
    /// Only artifacts of these families.
    pub families: Vec<String>,
}

/// What an export of rows wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Exported {
    /// Events by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Versions by family.
    pub artifacts: BTreeMap<Box<str>, u64>,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
}

/// An export on its way.
pub struct Rows<'a> {
    journal: &'a Journal,
    to: PathBuf,
    days: Vec<DaySummary>,
    wanted: Wanted,
    configuration: Address,
    files: Files,
    events: BTreeMap<&'static str, u64>,
    whole: bool,
    artifacts: Artifacts,
    /// Index of the day of the newest artifact.
    at_day: usize,
}

impl<'a> Rows<'a> {
    /// Begins an export of whole days into a folder that holds none yet.
    ///
    /// # Errors
    /// When the folder holds something already, or cannot be made.
    pub fn begin(
        journal: &'a Journal,
        to: &Path,
        form: RowForm,
        days: Vec<DaySummary>,
        wanted: Wanted,
        configuration: Address,
    ) -> Result<Rows<'a>, ExportError> {
        Folder(to).begin()?;
        let metadata = [
            ("orrery.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("orrery.format", FORMAT.to_string()),
            ("orrery.calendar", calendar_name(journal.calendar()).to_owned()),
            ("orrery.configuration", configuration.to_string()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        Ok(Rows {
            journal,
            to: to.to_path_buf(),
            days,
            wanted,
            configuration,
            files: Files::new(to, form, metadata.into()),
            events: BTreeMap::new(),
            whole: false,
            artifacts: Artifacts::default(),
            at_day: 0,
        })
    }

    /// Writes the events of all days.
    ///
    /// # Errors
    /// When a file exists already or cannot be written, or the journal is damaged.
    pub fn events(&mut self, progress: Progress<'_>) -> Result<(), ExportError> {
        let filter = match &self.wanted.instruments {
            None => Filter::new(),
            Some(ids) => Filter::new().instruments(ids.iter().copied().chain([InstrumentId::NONE])),
        };
        for day in &self.days {
            let (files, counts) = (&mut self.files, &mut self.events);
            events::day(self.journal, day, &filter, files, counts, progress)?;
        }
        self.whole = self.wanted.instruments.is_none();
        Ok(())
    }

    /// Writes a version, if it is wanted. They come in the order of the events
    /// that brought them out.
    ///
    /// # Errors
    /// When a file exists already or cannot be written.
    pub fn artifact(&mut self, made: &Made) -> Result<(), ExportError> {
        let header = &made.artifact.header;
        let all =
            |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
        if !all(&self.wanted.symbols, &header.symbol) || !all(&self.wanted.families, &header.family)
        {
            return Ok(());
        }
        while self.days.get(self.at_day).is_some_and(|day| day.last < made.at)
            && self.at_day + 1 < self.days.len()
        {
            self.at_day += 1;
            self.files.close()?;
            self.artifacts.end_of_day();
        }
        let Some(day) = self.days.get(self.at_day) else { return Ok(()) };
        self.artifacts.take(made, day.day, &mut self.files)?;
        self.files.relieve()
    }

    /// Ends all files and writes the list of them.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> Result<Exported, ExportError> {
        self.files.close()?;
        let files = self.files.written().to_vec();
        let day = |day: &DaySummary| ManifestDay {
            day: day.day.to_string(),
            first_seq: day.first.0,
            last_seq: day.last.0,
            pages: day.pages.iter().map(ToString::to_string).collect(),
        };
        let exported = Exported {
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            files: files.len() as u64,
            events: self.events,
            artifacts: self.artifacts.counts,
        };
        let manifest = Manifest {
            format: FORMAT,
            orrery: env!("CARGO_PKG_VERSION").to_owned(),
            form: self.files.form(),
            calendar: calendar_name(self.journal.calendar()).to_owned(),
            configuration: self.configuration.to_string(),
            first_seq: self.days.first().map_or(0, |day| day.first.0),
            last_seq: self.days.last().map_or(0, |day| day.last.0),
            all_events: self.whole,
            days: self.days.iter().map(day).collect(),
            events: exported.events.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect(),
            artifacts: exported.artifacts.iter().map(|(f, n)| (f.to_string(), *n)).collect(),
            files,
        };
        let failed = |e: serde_json::Error| ExportError::Write {
            path: self.to.join(MANIFEST),
            source: e.into(),
        };
        let text = serde_json::to_vec_pretty(&manifest).map_err(failed)?;
        let folder = Folder(&self.to);
        folder.put(MANIFEST, &text)?;
        folder.end()?;
        Ok(exported)
    }
}

/// The files of a day's events, with their kinds.
pub(super) fn files_of_day<'a>(
    files: &'a [Written],
    day: &'a str,
) -> impl Iterator<Item = (Option<Kind>, &'a Written)> {
    files.iter().filter_map(move |file| {
        let date = format!("events/kind={}/date={day}/", file.table);
        file.path.starts_with(&date).then(|| (events::kind(&file.table), file))
    })
}
