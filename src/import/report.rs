//! What an import did, file by file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orrery_journal::event::{DraftBody, Kind, RefusalReason};
use orrery_journal::units::{RecvTime, Seq};

use crate::feeds::file::Timed;
use crate::feeds::{Format, Refusal};

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was read to its end.
    Read,
    /// It is known and not input.
    Ignored {
        /// Why.
        why: String,
    },
    /// It has the content of another file of the same call.
    Twin {
        /// The other file.
        of: PathBuf,
    },
    /// It was not taken: unknown, damaged, or without what its format needs.
    Refused(Refusal),
}

/// One file of an import.
#[derive(Clone, Debug, PartialEq)]
pub struct FileReport {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds.
    pub format: Option<Format>,
    /// What became of it.
    pub outcome: Outcome,
    /// Facts in the file by kind, also those that the journal held already.
    pub kinds: BTreeMap<Kind, u64>,
    /// Contracts in its chain snapshots.
    pub contracts: u64,
    /// Refused input by reason; each is an event of kind quarantine.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// The first refusals in words.
    pub told: Vec<Refusal>,
    /// WebSocket messages in the file.
    pub messages: u64,
    /// Those of them that serde_json had to read: unusual, not wrong.
    pub fallbacks: u64,
    /// Facts that came before an earlier one of the same file; they stand at
    /// the time of that one.
    pub late: u64,
    /// Facts that the journal held already.
    pub skipped: u64,
    /// Facts that are new.
    pub added: u64,
    /// Time of the first fact.
    pub first: Option<RecvTime>,
    /// Time of the last fact.
    pub last: Option<RecvTime>,
}

impl FileReport {
    pub(super) fn new(path: PathBuf, format: Option<Format>, outcome: Outcome) -> FileReport {
        FileReport {
            path,
            format,
            outcome,
            kinds: BTreeMap::new(),
            contracts: 0,
            refused: BTreeMap::new(),
            told: Vec::new(),
            messages: 0,
            fallbacks: 0,
            late: 0,
            skipped: 0,
            added: 0,
            first: None,
            last: None,
        }
    }

    pub(super) fn take(&mut self, timed: &Timed) {
        *self.kinds.entry(kind_of(&timed.draft.body)).or_insert(0) += 1;
        if let DraftBody::Chain(chain) = &timed.draft.body {
            self.contracts += chain.rows.len() as u64;
        }
        self.late += u64::from(timed.late);
        self.first = self.first.or(Some(timed.at));
        self.last = Some(timed.at);
    }

    /// Whether the journal held all of it already.
    #[must_use]
    pub fn was_there(&self) -> bool {
        self.added == 0 && self.skipped > 0
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportReport {
    /// Every file that was found, in the order of the call.
    pub files: Vec<FileReport>,
    /// Facts by kind, also those that the journal held already.
    pub kinds: BTreeMap<Kind, u64>,
    /// Contracts in all chain snapshots.
    pub contracts: u64,
    /// Refused input by reason, inside files.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// Files that were refused as a whole.
    pub files_refused: u64,
    /// WebSocket messages in all files.
    pub messages: u64,
    /// Those of them that serde_json had to read: unusual, not wrong.
    pub fallbacks: u64,
    /// Facts that came out of order.
    pub late: u64,
    /// Facts that the journal held already.
    pub skipped: u64,
    /// Facts that are new; 0 when everything was there.
    pub added: u64,
    /// Beats of the clock that close days.
    pub beats: u64,
    /// Time of the first fact.
    pub first: Option<RecvTime>,
    /// Time of the last fact.
    pub last: Option<RecvTime>,
    /// First and last event that this import wrote, bookkeeping included.
    pub seqs: Option<(Seq, Seq)>,
}

impl ImportReport {
    /// Takes what another import did after this one.
    pub fn join(&mut self, later: ImportReport) {
        let ImportReport { files, added, seqs, .. } = later;
        self.added += added;
        self.seqs = match (self.seqs, seqs) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (ours, theirs) => ours.or(theirs),
        };
        let files = self.files.drain(..).chain(files).collect();
        let (added, seqs) = (self.added, self.seqs);
        *self = ImportReport { files, added, seqs, ..ImportReport::default() };
        self.sum();
    }

    pub(super) fn sum(&mut self) {
        for file in &self.files {
            for (kind, count) in &file.kinds {
                *self.kinds.entry(*kind).or_insert(0) += count;
            }
            for (reason, count) in &file.refused {
                *self.refused.entry(*reason).or_insert(0) += count;
            }
            self.contracts += file.contracts;
            self.messages += file.messages;
            self.fallbacks += file.fallbacks;
            self.files_refused += u64::from(matches!(file.outcome, Outcome::Refused(_)));
            self.late += file.late;
            self.skipped += file.skipped;
            self.first = self.first.into_iter().chain(file.first).min();
            self.last = self.last.max(file.last);
        }
    }
}

/// The kind that a draft's event will have.
fn kind_of(body: &DraftBody) -> Kind {
    match body {
        DraftBody::Quote { .. } => Kind::Quote,
        DraftBody::Trade { .. } => Kind::Trade,
        DraftBody::Bar(_) => Kind::Bar,
        DraftBody::IndexValue(_) => Kind::IndexValue,
        DraftBody::Chain(_) => Kind::ChainSnapshot,
        DraftBody::Annotation(_) => Kind::Annotation,
        DraftBody::News(_) => Kind::News,
        DraftBody::Control(_) => Kind::Control,
        DraftBody::ClockBeat => Kind::ClockBeat,
        DraftBody::Gap(_) => Kind::Gap,
        DraftBody::Correction { .. } => Kind::Correction,
        DraftBody::Quarantine { .. } => Kind::Quarantine,
    }
}
