//! A copy of the journal in another folder, made while the journal is in use.
//!
//! The copy is an ordinary data directory. What it lacks is added: pages as
//! they are stored, each checked against its address on the way and preceded by
//! its blobs; then the frames behind them; HEAD last. Every commit leaves a
//! whole, shorter journal, so a copy that was broken off is gone on with. A
//! folder that holds other events is refused and left as it is.
//!
//! What is copied is the journal of one moment: the pages and frames that there
//! were when the copy began. The writer goes on meanwhile and waits for nothing.

mod target;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use self::target::Target;
use crate::format::cut::Cut;
use crate::format::summary::PageSummary;
use crate::read::index::Open;
use crate::units::{Address, Seq};
use crate::{Journal, OpenError, ReadError, keys, read::reader};

/// How long to wait for the index to hear of a commit that is in the store.
const INDEX_WAIT: std::time::Duration = std::time::Duration::from_millis(20);
/// How often; each time a page was sealed in between.
const CUT_TRIES: u32 = 1_000;

/// What was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Copied {
    /// Last event that the folder held before.
    pub from: Seq,
    /// Last event that it holds now.
    pub head: Seq,
    /// Pages added.
    pub pages: u64,
    /// Blobs added.
    pub blobs: u64,
    /// Frames that the copy ends with.
    pub frames: u64,
    /// Bytes written: pages, blobs and frames as they are stored.
    pub bytes: u64,
}

/// How far a copy is: the last event that is there, and the last that will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyProgress {
    /// Reached so far.
    pub seq: Seq,
    /// The end.
    pub head: Seq,
}

/// Why there is no copy, or only the beginning of one.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CopyError {
    #[error("{target} lies inside of {data}, or around it; name another folder")]
    Inside { target: PathBuf, data: PathBuf },
    #[error("the copy cannot be opened")]
    Target(#[source] OpenError),
    #[error("the journal cannot be read")]
    Source(#[source] ReadError),
    #[error(
        "{path} holds another journal: from event {at} on its events are not these. Nothing was \
         changed; name another folder"
    )]
    Diverged { path: PathBuf, at: Seq },
    #[error(
        "{path} is ahead: it ends at event {theirs} and this journal at {ours}. Nothing was \
         changed; is this an older copy?"
    )]
    Ahead { path: PathBuf, ours: Seq, theirs: Seq },
    #[error(
        "events {from} to {to} were dropped by retention before this copy had them; begin a new \
         copy in another folder"
    )]
    Dropped { from: Seq, to: Seq },
    #[error("there is no room for the copy: {free} bytes are free, {reserve} are kept in reserve")]
    NoRoom { free: u64, reserve: u64 },
    #[error("the copy cannot be written; what is there is whole, and the next try goes on from it")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("stopped at event {at}; the next try goes on from there")]
    Stopped { at: Seq },
}

/// The journal at one moment.
pub(crate) struct Moment {
    pub pages: Vec<Arc<PageSummary>>,
    pub open: Option<Open>,
    /// The frames of `open`, as stored.
    pub frames: Vec<Bytes>,
    /// What retention dropped.
    pub cut: Option<Cut>,
}

impl Moment {
    /// Last event.
    pub(crate) fn last(&self) -> Seq {
        let open = self.open.as_ref().map(|o| &o.summary);
        let last = open.or(self.pages.last().map(AsRef::as_ref));
        last.map_or(Seq::BEFORE_FIRST, PageSummary::last)
    }
}

impl Journal {
    /// Brings the copy in `dir` to where this journal is now; makes it when
    /// there is none. `progress` may break off; what is there stays.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn copy_to(
        &self,
        dir: &Path,
        progress: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<Copied, CopyError> {
        if let Some(data) = self.folder() {
            apart(data, dir)?;
        }
        let _alone = self.upkeep();
        let moment = self.moment().map_err(CopyError::Source)?;
        Target::open(dir, self.calendar())?.bring_to(self, &moment, progress)
    }

    /// Pages and frames as they are at this moment, each event in one of them.
    fn moment(&self) -> Result<Moment, ReadError> {
        for _ in 0..CUT_TRIES {
            let (pages, open, cut) = {
                let index = self.shared.index();
                (index.pages.clone(), index.open.clone(), index.cut)
            };
            let firsts = open.as_ref().map(|o| o.frames.clone()).unwrap_or_default();
            let mut frames = Vec::with_capacity(firsts.len());
            for first in &firsts {
                frames.extend(self.shared.store.get(keys::FRAMES, &first.to_key())?);
            }
            if frames.len() == firsts.len() {
                for (first, frame) in firsts.iter().zip(&frames) {
                    reader::frame_rows(frame, *first, *first)?;
                }
                return Ok(Moment { pages, open, frames, cut });
            }
            // A commit has sealed them into a page just now; the index is about
            // to hear of it. If it does not, they are missing.
            let seen = open.map_or(Seq::BEFORE_FIRST, |o| o.summary.last());
            let _ = self.wait_beyond(seen, INDEX_WAIT);
        }
        let (from, to) = self
            .shared
            .index()
            .open
            .as_ref()
            .map_or_else(Default::default, |o| (o.summary.first, o.summary.last()));
        Err(ReadError::Missing { from, to })
    }
}

/// Refuses two folders of which one holds the other.
fn apart(data: &Path, target: &Path) -> Result<(), CopyError> {
    let (data, target) = (resolved(data), resolved(target));
    match target.starts_with(&data) || data.starts_with(&target) {
        true => Err(CopyError::Inside { target, data }),
        false => Ok(()),
    }
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return real.join(rest);
        }
    }
    path
}

/// The chain of page addresses; see [`crate::write::tail::chain`].
pub(crate) fn chain(pages: &[Arc<PageSummary>]) -> Address {
    pages.iter().fold(Address::default(), |c, p| crate::format::running::chain(c, p.address))
}
