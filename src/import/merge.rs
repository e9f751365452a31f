//! Several files as one stream, by time.
//!
//! A file is opened when its first draft is the next one, so that a folder of
//! many days holds only those open that overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{Address, RecvTime, Seq, SourceId};
use orrery_journal::{Head, ReadError, SourceInfo};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::{FileReport, ImportError, Input, Outcome, Progress};
use crate::feeds::Format;
use crate::feeds::file::{Damaged, Drafts, Scan, Scanned, Timed, scan, walk};

/// What the journal keeps of a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Descriptor {
    feed: String,
    format: String,
    name: String,
    /// Of the decompressed content; of a damaged file, of its bytes on disk.
    blake3: String,
    #[serde(default, skip_serializing_if = "is_false")]
    damaged: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

/// A file on its way.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) descriptor: String,
    /// Drafts that the journal holds already.
    pub(super) skip: u64,
    /// Its place in the report.
    pub(super) report: usize,
    start: RecvTime,
    content: Content,
    next: Option<Timed>,
    bytes: u64,
}

enum Content {
    Closed(Box<Scan>),
    Open(Box<Drafts>),
    /// Of a damaged file, only its start.
    Damaged(Damaged, Option<crate::feeds::Refusal>),
    Done,
}

/// The files of an import.
pub(super) struct Merge {
    sources: Vec<Source>,
    queue: BTreeSet<(RecvTime, usize)>,
    bytes_total: u64,
    finished: Vec<(usize, Box<Drafts>)>,
}

impl Merge {
    /// Scans everything; files that bring no drafts are only in the report.
    pub(super) fn open(
        inputs: &[Input],
        known: &[SourceInfo],
        head: Head,
    ) -> Result<(Merge, Vec<FileReport>), ImportError> {
        let mut reports = Vec::new();
        let mut found: Vec<(usize, Descriptor, Content, Option<RecvTime>)> = Vec::new();
        let mut bytes_total = 0;
        for (path, told) in files(inputs)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let scanned = scan(&path, told).map_err(|e| unreadable(&path, e))?;
            let describe = |format: Format, address: Address, damaged: bool| Descriptor {
                feed: format.feed().to_owned(),
                format: format.name().to_owned(),
                name: name.clone(),
                blake3: address.to_string(),
                damaged,
            };
            let (format, outcome, input) = match scanned {
                Scanned::Ignored { why } => (None, Outcome::Ignored { why: why.to_owned() }, None),
                Scanned::Refused { refusal, kept: None } => (told, Outcome::Refused(refusal), None),
                Scanned::Refused { refusal, kept: Some(damaged) } => {
                    let descriptor = describe(damaged.format, damaged.address, true);
                    let format = Some(damaged.format);
                    let content = Content::Damaged(damaged, Some(refusal.clone()));
                    (format, Outcome::Refused(refusal), Some((descriptor, content, None)))
                }
                Scanned::Input(scan) => {
                    let descriptor = describe(scan.format, scan.address, false);
                    let (format, first) = (Some(scan.format), scan.first);
                    bytes_total += scan.bytes;
                    let content = Content::Closed(Box::new(scan));
                    (format, Outcome::Read, Some((descriptor, content, first)))
                }
            };
            let mut report = FileReport::new(path, format, outcome);
            if let Some((descriptor, content, first)) = input {
                let twin = found.iter().find(|(_, other, ..)| same(other, &descriptor));
                match twin.and_then(|(at, ..)| reports.get(*at)) {
                    Some(FileReport { path, .. }) => {
                        report.outcome = Outcome::Twin { of: path.clone() };
                    }
                    None => found.push((reports.len(), descriptor, content, first)),
                }
            }
            reports.push(report);
        }
        // What has no time of its own belongs where the journal stands.
        let timeless = if head.seq == Seq::BEFORE_FIRST {
            found.iter().filter_map(|(.., first)| *first).min().unwrap_or_default()
        } else {
            head.recv
        };
        let known: Vec<(Descriptor, &SourceInfo)> = known
            .iter()
            .filter_map(|info| Some((serde_json::from_str(&info.descriptor).ok()?, info)))
            .collect();
        let mut sources = Vec::new();
        for (report, descriptor, content, first) in found {
            let held = known.iter().find(|(other, _)| same(other, &descriptor));
            let text = serde_json::to_string(&descriptor).unwrap_or_default();
            sources.push(Source {
                path: reports.get(report).map(|r| r.path.clone()).unwrap_or_default(),
                descriptor: held.map_or(text, |(_, info)| info.descriptor.clone()),
                skip: held.map_or(0, |(_, info)| info.events),
                report,
                start: first.unwrap_or(timeless),
                content,
                next: None,
                bytes: 0,
            });
        }
        let queue = sources.iter().enumerate().map(|(i, s)| (s.start, i)).collect();
        Ok((Merge { sources, queue, bytes_total, finished: Vec::new() }, reports))
    }

    pub(super) fn source_mut(&mut self, index: usize) -> &mut Source {
        &mut self.sources[index]
    }

    /// The next draft of all files, with the index of its source.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Timed)>, ImportError> {
        while let Some((_, index)) = self.queue.pop_first() {
            let source = &mut self.sources[index];
            let due = source.next.take();
            source.next = source.read().map_err(|e| unreadable(&source.path, e))?;
            match &source.next {
                Some(next) => {
                    self.queue.insert((next.at, index));
                }
                None if matches!(source.content, Content::Open(_)) => {
                    if let Content::Open(drafts) =
                        std::mem::replace(&mut source.content, Content::Done)
                    {
                        self.finished.push((source.report, drafts));
                    }
                }
                None => {}
            }
            if let Some(due) = due {
                return Ok(Some((index, due)));
            }
        }
        Ok(None)
    }

    pub(super) fn tell(
        &self,
        index: usize,
        read: u64,
        added: u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) {
        let bytes = self.sources.iter().map(|s| s.bytes).sum();
        let file = self.sources.get(index).map_or(Path::new(""), |s| &s.path);
        progress(Progress { file, bytes, bytes_total: self.bytes_total, read, added });
    }

    /// Moves what the readers counted into the report.
    pub(super) fn finish(self, reports: &mut [FileReport]) {
        for (report, drafts) in self.finished {
            if let Some(report) = reports.get_mut(report) {
                report.refused = drafts.refused;
                report.told = drafts.told;
                report.messages = drafts.messages;
                report.fallbacks = drafts.fallbacks;
            }
        }
        for source in self.sources {
            if let (Content::Damaged(_, None), Some(report)) =
                (&source.content, reports.get_mut(source.report))
                && let Outcome::Refused(refusal) = &report.outcome
            {
                report.refused = BTreeMap::from([(refusal.reason, 1)]);
            }
        }
    }

    /// Whether a source of the journal is one of these files.
    pub(super) fn descriptors_hold<L: Ledger>(
        &self,
        ledger: &L,
        id: SourceId,
    ) -> Result<bool, ReadError> {
        let known = ledger.sources()?;
        let of = known.iter().find(|info| info.id == id);
        Ok(of.is_some_and(|info| self.sources.iter().any(|s| s.descriptor == info.descriptor)))
    }
}

impl Source {
    fn read(&mut self) -> io::Result<Option<Timed>> {
        if let Content::Closed(scan) = &self.content {
            self.content = Content::Open(Box::new(scan.open(self.start)?));
        }
        match &mut self.content {
            Content::Open(drafts) => {
                let next = drafts.read_next();
                self.bytes = drafts.bytes;
                next
            }
            Content::Damaged(damaged, refusal) => Ok(refusal.take().map(|refusal| {
                let blob: Bytes = damaged.start.clone();
                let draft = Draft {
                    recv: Some(self.start),
                    vendor_time: None,
                    instrument: InstrumentRef::None,
                    source: SourceId::JOURNAL,
                    extension: None,
                    body: DraftBody::Quarantine { reason: refusal.reason, blob },
                };
                Timed { draft, at: self.start, late: false }
            })),
            Content::Closed(_) | Content::Done => Ok(None),
        }
    }
}

/// The same content under another name is the same source, except where the
/// name is what says symbol and date.
fn same(a: &Descriptor, b: &Descriptor) -> bool {
    let content = (&a.format, &a.blake3, a.damaged) == (&b.format, &b.blake3, b.damaged);
    let named = [Format::LeanTrades, Format::LeanBars, Format::Spx0dte];
    content && (a.name == b.name || !named.iter().any(|f| f.name() == a.format))
}

/// Every file of the inputs once, in order.
fn files(inputs: &[Input]) -> Result<Vec<(PathBuf, Option<Format>)>, ImportError> {
    let mut files: Vec<(PathBuf, Option<Format>)> = Vec::new();
    for Input { path, format } in inputs {
        for file in walk(path).map_err(|e| unreadable(path, e))? {
            if !files.iter().any(|(known, _)| *known == file) {
                files.push((file, *format));
            }
        }
    }
    if files.is_empty() {
        return Err(ImportError::NoFiles {
            paths: inputs.iter().map(|input| input.path.clone()).collect(),
        });
    }
    Ok(files)
}

fn unreadable(path: &Path, source: io::Error) -> ImportError {
    let path = path.to_path_buf();
    if source.kind() == io::ErrorKind::NotFound {
        ImportError::NotFound { path }
    } else {
        ImportError::Unreadable { path, source }
    }
}
