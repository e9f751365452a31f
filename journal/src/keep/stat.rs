//! The journal in numbers, without reading any page.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::files::Disk;
use crate::keep::guard::GuardState;
use crate::open::recover::FORMAT;
use crate::open::watermark::{self, Mark};
use crate::units::Seq;
use crate::{Calendar, Head, Journal, ReadError};

/// A part of the store and what it takes on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// A table's name; `log` for what the engine has not yet put into tables.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Entries, about: the engine counts those that were replaced, too.
    pub entries: u64,
}

/// What a journal is, in numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct Stat {
    /// The durable end.
    pub head: Head,
    /// Last event that HEAD names; at most one commit behind. `None` in memory.
    pub watermark: Option<Seq>,
    /// How many writers there were. `None` in memory.
    pub writer_epoch: Option<u64>,
    /// Its calendar.
    pub calendar: Calendar,
    /// Its format.
    pub format: u32,
    /// Trading days.
    pub days: u64,
    /// Sealed pages.
    pub pages: u64,
    /// Events in them.
    pub page_events: u64,
    /// Frames behind the last page.
    pub frames: u64,
    /// Events in them.
    pub frame_events: u64,
    /// Blobs, about.
    pub blobs: u64,
    /// Instruments defined.
    pub instruments: u64,
    /// Condition lists defined.
    pub conditions: u64,
    /// Sources defined.
    pub sources: u64,
    /// What takes how much, `log` and tables; empty in memory.
    pub parts: Vec<Part>,
    /// Everything in `journal/`, as it is allocated on disk.
    pub bytes: u64,
    /// Room, and whether input is taken.
    pub guard: GuardState,
}

impl Stat {
    /// Bytes on disk for each event.
    #[must_use]
    pub fn bytes_per_event(&self) -> Option<f64> {
        (self.head.seq > Seq::BEFORE_FIRST).then(|| self.bytes as f64 / self.head.seq.0 as f64)
    }
}

impl Journal {
    /// The journal in numbers.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn stat(&self) -> Result<Stat, ReadError> {
        let days = self.days()?.len() as u64;
        let head = self.head();
        let parts = self.shared.store.footprint();
        let folder = self.folder().map(|data| data.join("journal"));
        let mark: Option<Mark> =
            folder.as_ref().and_then(|folder| watermark::read(&Disk, &folder.join("HEAD")).ok());
        let index = self.shared.index();
        let open = index.open.as_ref();
        Ok(Stat {
            head,
            watermark: mark.map(|m| m.seq),
            writer_epoch: mark.map(|m| m.epoch),
            calendar: self.calendar(),
            format: FORMAT,
            days,
            pages: index.pages.len() as u64,
            page_events: index.pages.last().map_or(0, |p| p.last().0),
            frames: open.map_or(0, |o| o.frames.len() as u64),
            frame_events: open.map_or(0, |o| u64::from(o.summary.count)),
            blobs: parts.iter().find(|p| p.name == "blobs").map_or(0, |p| p.entries),
            instruments: u64::from(index.tickers.len()),
            conditions: u64::from(index.conditions.len()),
            sources: u64::from(index.sources.len()),
            parts,
            bytes: folder.as_deref().map_or(0, allocated),
            guard: self.guard(),
        })
    }
}

/// Bytes that a folder takes on disk: holes in files take none. What goes away
/// meanwhile counts as gone.
#[must_use]
pub fn allocated(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => allocated(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
