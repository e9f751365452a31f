//! The list of what an export holds; written last, so that a folder without one
//! is an export that did not come to its end.

use std::collections::BTreeMap;

use orrery_journal::Calendar;
use serde::{Deserialize, Serialize};

use super::files::{RowForm, Written};

/// Its name in the folder.
pub const MANIFEST: &str = "orrery-export.json";
/// Version of the tables and of the manifest.
pub const FORMAT: u32 = 1;

/// What an export holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the tables and of this list.
    pub format: u32,
    /// Who wrote it.
    pub orrery: String,
    /// How rows are written.
    pub form: RowForm,
    /// `new-york` or `utc`.
    pub calendar: String,
    /// Hash of every parameter, 64 hex digits.
    pub configuration: String,
    /// First event of the first day.
    pub first_seq: u64,
    /// Last event of the last day.
    pub last_seq: u64,
    /// Whether every event of those days is there.
    pub all_events: bool,
    /// Its days, oldest first.
    pub days: Vec<ManifestDay>,
    /// Events by kind.
    pub events: BTreeMap<String, u64>,
    /// Versions by family.
    pub artifacts: BTreeMap<String, u64>,
    /// Its files.
    pub files: Vec<Written>,
}

/// A day of an export.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ManifestDay {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// First event.
    pub first_seq: u64,
    /// Last event.
    pub last_seq: u64,
    /// Addresses of its sealed pages, 64 hex digits each.
    pub pages: Vec<String>,
}

/// The name of a calendar.
pub(super) const fn calendar_name(calendar: Calendar) -> &'static str {
    match calendar {
        Calendar::NewYork => "new-york",
        Calendar::Utc => "utc",
    }
}

impl Manifest {
    /// The calendar, or `None` for a name that is none.
    #[must_use]
    pub fn calendar(&self) -> Option<Calendar> {
        [Calendar::NewYork, Calendar::Utc].into_iter().find(|c| calendar_name(*c) == self.calendar)
    }
}
