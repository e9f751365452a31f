//! Building a whole database from what can be read and from a copy.
//!
//! The damaged one is never written to. A fresh database is built beside it, in
//! `repair/`, from every page, frame and blob whose address or hash is right,
//! taken from here where it is whole and from the copy where it is not. It is
//! looked at as `verify` looks at one; only then it is put in place, by names,
//! and the damaged one is kept in `quarantine/` (`swap.rs`).
//!
//! What is nowhere to be found is given up only for exactly the ranges that
//! somebody has named; a record of it goes into the new database (`loss.rs`).

mod build;

use std::path::{Path, PathBuf};

use self::build::Built;
use crate::open::lock::{self, DirectoryLock};
use crate::open::preflight;
use crate::store::StoreError;
use crate::truth::inspect::parts::{self, Part};
use crate::truth::inspect::{self, joined};
use crate::truth::loss::Loss;
use crate::truth::raw::{self, RawStore};
use crate::truth::swap;
use crate::truth::verify::Finding;
use crate::units::{RecvTime, Seq};
use crate::{OpenError, Stage};

/// How to repair.
#[derive(Clone, Debug, Default)]
pub struct RepairOptions {
    /// Another data directory with the same events, perhaps fewer of them.
    pub from: Option<PathBuf>,
    /// Stretches that are given up if they are nowhere to be found. Together
    /// they must be exactly what is missing.
    pub accept: Vec<(Seq, Seq)>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The moment to be recorded with an accepted loss.
    pub now: RecvTime,
}

/// What a repair did, or would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repaired {
    /// Last event of the new database.
    pub head: Seq,
    /// Pages that are whole here, and those taken from the copy.
    pub pages: Taken,
    /// The same for frames.
    pub frames: Taken,
    /// The same for blobs.
    pub blobs: Taken,
    /// Pages whose summary or definitions were made anew from their events,
    /// or that were put together from the log.
    pub rebuilt: u64,
    /// What is missing in both.
    pub missing: Vec<(Seq, Seq)>,
    /// Losses that were accepted with this repair.
    pub losses: Vec<Loss>,
    /// Where the damaged database is kept; `None` if nothing was changed.
    pub kept: Option<PathBuf>,
}

/// How many came from where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// From the damaged database.
    pub here: u64,
    /// From the copy.
    pub copy: u64,
}

/// Why nothing was repaired.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RepairError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{path} holds no journal; COPY is a data directory, such as `orrery backup` makes")]
    NoCopy { path: PathBuf },
    #[error("the copy holds other events from {at} on; nothing was changed")]
    OtherHistory { at: Seq },
    #[error("events {} are nowhere to be found; nothing was changed. Name another copy with \
             --from, or give them up with {}", ranges(.missing, ""), ranges(.missing, "--accept-loss "))]
    Missing { missing: Vec<(Seq, Seq)> },
    #[error("{} was to be accepted as lost, but {} is missing; nothing was changed",
            ranges(.asked, ""), ranges(.missing, ""))]
    Accepted { asked: Vec<(Seq, Seq)>, missing: Vec<(Seq, Seq)> },
    #[error(
        "neither HEAD can be read, so nobody can say whether acknowledged events are missing; \
             nothing was changed. Name a copy with --from"
    )]
    NoHead,
    #[error("the format mark can be read neither here nor in a copy; nothing was changed")]
    NoFormat,
    #[error("what was built is not whole, so it was not put in place: {}", .findings.first().map_or("", |f| f.what.as_str()))]
    NotWhole { findings: Vec<Finding> },
    #[error("cannot use {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn ranges(list: &[(Seq, Seq)], before: &str) -> String {
    match list {
        [] => "nothing".to_owned(),
        list => {
            let one = |(first, last): &(Seq, Seq)| format!("{before}{first}..{last}");
            list.iter().map(one).collect::<Vec<_>>().join(if before.is_empty() {
                ", "
            } else {
                " "
            })
        }
    }
}

/// Repairs the journal in `dir/journal`; nothing is changed before everything
/// is built and checked. A repair that was interrupted is finished or undone
/// first.
///
/// # Errors
/// See [`RepairError`].
pub fn repair(
    dir: &Path,
    options: &RepairOptions,
    progress: &mut dyn FnMut(Stage, u64, u64),
) -> Result<Repaired, RepairError> {
    let folder = dir.join("journal");
    let io = |source| RepairError::Io { path: folder.clone(), source };
    let _lock = DirectoryLock::take(dir)?;
    if !options.dry_run {
        swap::resume(&folder).map_err(io)?;
        swap::roll_back(&folder).map_err(io)?;
    }
    let read = |folder: &Path, progress: &mut dyn FnMut(Stage, u64, u64)| {
        let source = |source| RepairError::Io { path: folder.to_owned(), source };
        // What cannot be looked at has no end that is known.
        let found = preflight::inspect(folder).ok();
        let end = found.as_ref().and_then(preflight::Report::end_of_log);
        let mut contents = |n, of| progress(Stage::Contents, n, of);
        raw::read(&folder.join("db"), end, &mut contents).map_err(source)
    };
    let here = read(&folder, progress)?;
    let mut copied = None;
    let mut _copy_lock = None;
    if let Some(from) = &options.from {
        let theirs = from.join("journal");
        if !theirs.join("db").is_dir() {
            return Err(RepairError::NoCopy { path: from.clone() });
        }
        _copy_lock = lock::share(from)?;
        copied = Some((read(&theirs, progress)?, theirs));
    }
    let copy = copied.as_ref().map(|(raw, _)| raw);
    let sources: Vec<&RawStore> = [Some(&here), copy].into_iter().flatten().collect();
    same_history(&here, copy)?;
    let theirs = copied.as_ref().map(|(_, folder)| folder.as_path());
    let (mark, ours) = build::mark(&folder, theirs)?;

    let plan = parts::parts(&sources);
    // First without writing anything, to know what is missing.
    let mut built = Built::new(&sources, None, &[])?;
    built.all(&plan, mark.seq, progress)?;
    let missing = joined(built.missing.clone());
    let mut done = built.done(missing.clone());
    let asked = joined(options.accept.clone());
    if options.dry_run {
        return Ok(done);
    }
    if missing != asked {
        return Err(match asked.is_empty() {
            true => RepairError::Missing { missing },
            false => RepairError::Accepted { asked, missing },
        });
    }
    let losses = built.losses(options.now);
    let fresh = swap::fresh(&folder).map_err(io)?;
    let mut built = Built::new(&sources, Some(&fresh), &losses)?;
    built.all(&plan, mark.seq, progress)?;
    built.finish(&fresh, mark)?;
    check(&fresh, mark.seq.min(done.head), ours.then_some(mark.running), progress)?;
    done.kept = Some(swap::put_in_place(&folder, &mut |_| Ok(())).map_err(io)?);
    done.losses = losses;
    Ok(done)
}

/// Refuses a copy that says something else of the same events.
fn same_history(here: &RawStore, copy: Option<&RawStore>) -> Result<(), RepairError> {
    let Some(copy) = copy else { return Ok(()) };
    let (ours, theirs) = (parts::parts(&[here]), parts::parts(&[copy]));
    let page = |part: &Part| match part {
        Part::Page(page) | Part::Bare(page) => Some((page.first, page.address)),
        _ => None,
    };
    let known: std::collections::BTreeMap<_, _> = theirs.iter().filter_map(page).collect();
    for (first, address) in ours.iter().filter_map(page) {
        if known.get(&first).is_some_and(|theirs| *theirs != address) {
            return Err(RepairError::OtherHistory { at: first });
        }
    }
    Ok(())
}

/// Looks at what was built as `verify` does, and holds it against what was
/// acknowledged here.
fn check(
    fresh: &Path,
    at: Seq,
    running: Option<crate::units::Address>,
    progress: &mut dyn FnMut(Stage, u64, u64),
) -> Result<(), RepairError> {
    let found = inspect::examine_folder(fresh, None, progress)?;
    if !found.is_clean() {
        return Err(RepairError::NotWhole { findings: found.report.findings });
    }
    let source = |source| RepairError::Io { path: fresh.to_owned(), source };
    let raw = raw::read(&fresh.join("db"), None, &mut |_, _| {}).map_err(source)?;
    let all = parts::parts(&[&raw]);
    let got = inspect::running_at(&raw, &all, at);
    match (running, got) {
        (Some(expected), Some(got)) if expected != got && found.report.losses.is_empty() => {
            Err(RepairError::OtherHistory { at })
        }
        _ => Ok(()),
    }
}
