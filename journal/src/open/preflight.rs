//! A look at the database before the engine opens it: nothing here writes.
//!
//! Opening, the engine cuts its log at the first thing that it cannot read,
//! deletes keyspaces that look unfinished and trusts manifests blindly; damage
//! would be made permanent, and the evidence would be gone. So the files are
//! read first (their layout is in `FORMAT.md`, section 11) and what no crash
//! can have left is refused. Where this stops: what the values mean is checked
//! by `recover`, and what was acknowledged by the watermark.

mod head;
mod log;
pub(crate) mod probe;
mod sections;
mod survey;
mod table;
mod tree;
mod window;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::survey::{Files, at_rest, files, survey};

use self::log::{End, Progress};
use self::window::Window;
use crate::units::Seq;
use crate::{OpenError, open::rights};

/// Bytes of tables that are read at most, small files first, so that opening a
/// large journal does not read all of it. Larger files must exist; what is in
/// them is checked on every read and by verification.
const CHECK_BYTES: u64 = 1 << 30;

/// The engine's own and one for each table of format 1. Not counted from the
/// tables: a later format may add some to a journal that lacks them.
const KEYSPACES: usize = 7;

/// What state the files are in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Whole.
    Clean,
    /// The last write of the engine's log was cut short, as by a crash.
    TornTail {
        /// The log.
        file: PathBuf,
        /// Where the unfinished write begins.
        offset: u64,
        /// How much of it there is.
        bytes: u64,
    },
    /// Something no crash leaves.
    Corrupt {
        /// What is damaged.
        file: PathBuf,
        /// Where; 0 if only the file as a whole is known to be wrong.
        offset: u64,
        /// The last event that lies before the damage, if it is known: in the
        /// logs up to it, or in the table that is damaged.
        last_good: Option<Seq>,
        /// What is wrong.
        what: String,
    },
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The state of the files.
    pub verdict: Verdict,
    /// The last event that the files hold, if they hold any: in the logs, else
    /// in the tables.
    pub last: Option<Seq>,
    /// The last event that is known to be acknowledged, if `HEAD` says so.
    pub acknowledged: Option<Seq>,
    /// Damage that costs nothing, because what it hit is there a second time
    /// or is not read.
    pub harmless: Vec<Damage>,
}

impl Report {
    /// Where the log ends for whoever reads it: at a write that was cut short
    /// and that nobody was told of. It is no part of the journal, and some of its
    /// changes without the others would be a journal that never was.
    pub(crate) fn end_of_log(&self) -> Option<(&Path, u64)> {
        match &self.verdict {
            Verdict::TornTail { file, offset, .. }
                if self.acknowledged.is_some_and(|a| a <= self.last.unwrap_or_default()) =>
            {
                Some((file, *offset))
            }
            _ => None,
        }
    }
}

/// A damaged file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Which.
    pub file: PathBuf,
    /// Where; 0 if only the file as a whole is known to be wrong.
    pub offset: u64,
    /// As in [`Verdict::Corrupt`].
    pub last_good: Option<Seq>,
    /// What is wrong.
    pub what: String,
}

impl Damage {
    fn whole(file: PathBuf, what: &str) -> Option<Damage> {
        Some(Damage { file, offset: 0, last_good: None, what: what.to_owned() })
    }
}

/// Looks at the files in `folder` (`DATA/journal`).
///
/// # Errors
/// When files cannot be read or a newer version wrote them; damage is a verdict,
/// not an error.
pub fn inspect(folder: &Path) -> Result<Report, OpenError> {
    let database = folder.join("db");
    let io = |source| {
        let path = rights::unreadable(folder).unwrap_or_else(|| database.clone());
        OpenError::Io { path, source }
    };
    if let Some((path, found, known)) = newer(folder, &database).map_err(io)? {
        return Err(OpenError::NewerFormat { path, found, known });
    }
    look(folder, &database).map_err(io)
}

/// A file that says it was written by a newer version: itself, what it says and
/// what is known here.
fn newer(folder: &Path, database: &Path) -> io::Result<Option<(PathBuf, u32, u32)>> {
    let path = folder.join("HEAD");
    if let Some((found, known)) = head::newer(&path)? {
        return Ok(Some((path, found, known)));
    }
    // Further ones are more likely to be damage.
    let path = database.join("version");
    match tree::small(&path, 4)?.as_deref() {
        Some([b'F', b'J', b'L', found @ 4..=6]) => Ok(Some((path, u32::from(*found), 3))),
        _ => Ok(None),
    }
}

fn look(folder: &Path, database: &Path) -> io::Result<Report> {
    let head = head::read(&folder.join("HEAD"))?;
    let acknowledged = head.acknowledged;
    let harmless = head.harmless;
    let mut report = Report { verdict: Verdict::Clean, last: None, acknowledged, harmless };
    if !database.try_exists()? {
        if acknowledged.is_some_and(|seq| seq > Seq::BEFORE_FIRST) {
            let what = "missing, although events were acknowledged";
            report.verdict = corrupt(database.to_owned(), 0, None, what.into());
        }
        return Ok(report);
    }
    let (logs, strange_log) = numbered(database, ".jnl", false)?;
    let (keyspaces, strange_folder) = numbered(&database.join("keyspaces"), "", true)?;
    let mut tables = check_tables(&keyspaces)?;
    let flushed = std::mem::take(&mut tables.flushed);
    let mut progress = Progress { flushed, ..Progress::default() };
    let mut found = check_logs(&logs, &mut progress, acknowledged, &mut report.verdict)?;
    report.last = progress.event.or(tables.event);
    found = found.or_else(|| between(&logs, &progress, &tables));
    // A database that crashed while being created may lack anything, because
    // it has nothing to lose.
    let holds = progress.event.is_some() || tables.any;
    if found.is_none() && (holds || head.broken.is_none()) {
        let stranger = strange_log
            .or(strange_folder)
            .or(tables.stranger)
            .and_then(|path| Damage::whole(path, "not a name that the engine gives; move it away"));
        let folders = check_folders(database, &logs, &keyspaces)?;
        found = head.broken.or(folders).or(stranger).or(tables.broken);
    }
    if let Some(Damage { file, offset, last_good, what }) = found {
        report.verdict = corrupt(file, offset, last_good, what);
    }
    Ok(report)
}

/// Events that are neither in tables nor in logs, as when a log was deleted.
fn between(logs: &[(u64, PathBuf)], progress: &Progress, tables: &Tables) -> Option<Damage> {
    let (file, first) = (logs.first()?.1.clone(), progress.first?);
    let known = tables.event.unwrap_or(Seq::BEFORE_FIRST);
    if first <= known.next() || (tables.any && tables.event.is_none()) {
        return None;
    }
    let what = format!("it begins with event {first}, and the tables end with {known}");
    Some(Damage { file, offset: 0, last_good: tables.event, what })
}

fn corrupt(file: PathBuf, offset: u64, last_good: Option<Seq>, what: String) -> Verdict {
    Verdict::Corrupt { file, offset, last_good, what }
}

/// Reads all logs in order; a torn end of the last one goes to `verdict`.
fn check_logs(
    logs: &[(u64, PathBuf)],
    progress: &mut Progress,
    acknowledged: Option<Seq>,
    verdict: &mut Verdict,
) -> io::Result<Option<Damage>> {
    let mut before = None;
    for (at, (id, path)) in logs.iter().enumerate() {
        if before.is_some_and(|before: u64| before.checked_add(1) != Some(*id)) {
            return Ok(Damage::whole(path.clone(), "the log before it is missing"));
        }
        before = Some(*id);
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let end = log::scan(&mut Window::new(file, len), progress)?;
        let last_good = progress.event;
        let damage = |offset, what: &str| {
            Ok(Some(Damage { file: path.clone(), offset, last_good, what: what.to_owned() }))
        };
        match end {
            End::Clean => {}
            End::Corrupt { offset, what } => return damage(offset, &what),
            End::Torn { offset, .. } if at + 1 < logs.len() => {
                return damage(offset, "unreadable, although a later log follows");
            }
            End::Torn { offset, bytes, hole, later } => {
                // Writes that were not synced reach the disk in any order; but
                // then nothing behind them was promised.
                let promised =
                    acknowledged.is_none_or(|a| progress.event.unwrap_or(Seq::BEFORE_FIRST) < a);
                if later && promised {
                    return damage(offset, "unreadable, although what follows is not");
                }
                if hole {
                    tracing::warn!(path = %path.display(), offset, "sectors were never written");
                }
                *verdict = Verdict::TornTail { file: path.clone(), offset, bytes };
            }
        }
    }
    // What is in tables was in a log before, and was synced there. A log in
    // use that is empty follows one that was full, and says nothing.
    if let (Some((_, path)), Some(seqno), Some(newest)) =
        (logs.last(), progress.seqno, progress.flushed.last())
        && *newest > seqno
    {
        let what = "it ends before what is in tables, as an older copy would";
        return Ok(Damage::whole(path.clone(), what));
    }
    Ok(None)
}

/// Everything but the logs and the tables.
fn check_folders(
    database: &Path,
    logs: &[(u64, PathBuf)],
    keyspaces: &[(u64, PathBuf)],
) -> io::Result<Option<Damage>> {
    let version = database.join("version");
    if tree::small(&version, 4)?.as_deref() != Some(b"FJL\x03") {
        return Ok(Damage::whole(version, "the engine's format mark is missing or another"));
    }
    if logs.is_empty() {
        let what = "no log (*.jnl) is left; the engine would begin an empty one";
        return Ok(Damage::whole(database.to_owned(), what));
    }
    if keyspaces.len() < KEYSPACES {
        let what = "fewer keyspaces than the journal has tables";
        return Ok(Damage::whole(database.join("keyspaces"), what));
    }
    Ok(None)
}

/// What the tables and their manifests say.
#[derive(Default)]
struct Tables {
    /// Whether any keyspace but the engine's own has files.
    any: bool,
    /// The last event in them.
    event: Option<Seq>,
    /// Something among them that the engine would fall over.
    stranger: Option<PathBuf>,
    /// The first damage.
    broken: Option<Damage>,
    /// For each table the number of the last batch that something in it comes
    /// from.
    flushed: BTreeSet<u64>,
}

fn check_tables(keyspaces: &[(u64, PathBuf)]) -> io::Result<Tables> {
    let mut out = Tables::default();
    let mut wanted = Vec::new();
    for (id, folder) in keyspaces {
        let (files, stranger) = numbered(&folder.join("tables"), "", false)?;
        out.any |= *id != 0 && !files.is_empty();
        out.stranger = out.stranger.or(stranger);
        let broken = tree::manifest(folder, &mut wanted)?;
        out.broken = out.broken.or(broken);
    }
    wanted.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    let mut left = CHECK_BYTES;
    for file in &wanted {
        let newest = if let Some(rest) = left.checked_sub(file.bytes) {
            left = rest;
            match tree::contents(file)? {
                Ok(newest) => newest,
                Err(damage) => {
                    out.broken = out.broken.or(Some(damage));
                    continue;
                }
            }
        } else {
            tracing::debug!(path = %file.path.display(), "checked on reading only");
            tree::newest(file)?
        };
        out.flushed.extend(newest.number);
        out.event = out.event.max(newest.event);
    }
    Ok(out)
}

/// What in a folder is called by a number and this ending, in order, and the
/// first thing that the engine would fall over: another name with this ending,
/// or a folder among files. Nothing if there is no folder.
#[allow(clippy::type_complexity)]
fn numbered(
    folder: &Path,
    ending: &str,
    folders: bool,
) -> io::Result<(Vec<(u64, PathBuf)>, Option<PathBuf>)> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(e) => return Err(e),
    };
    let (mut out, mut strangers) = (Vec::new(), Vec::new());
    for entry in entries {
        let entry = entry?;
        let (name, is_folder) = (entry.file_name(), entry.file_type()?.is_dir());
        let name = name.to_string_lossy();
        let Some(stem) = name.strip_suffix(ending) else { continue };
        match stem.parse() {
            Ok(number) if is_folder == folders => out.push((number, entry.path())),
            // A file among keyspaces does no harm, nor what a desktop leaves.
            _ if folders && !is_folder => {}
            _ if name == ".DS_Store" || name.starts_with("._") => {}
            _ => strangers.push(entry.path()),
        }
    }
    out.sort();
    Ok((out, strangers.into_iter().min()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(folder: &Path, files: &[&[u8]]) -> Vec<(u64, PathBuf)> {
        let write = |(id, bytes): (usize, &&[u8])| {
            let path = folder.join(format!("{id}.jnl"));
            std::fs::write(&path, bytes).expect("writes");
            (id as u64, path)
        };
        files.iter().enumerate().map(write).collect()
    }

    /// The file and offset of the damage, else whether the end is torn.
    fn check(files: &[&[u8]], acknowledged: u64) -> Result<bool, (String, u64)> {
        let folder = tempfile::tempdir().expect("a folder");
        let logs = logs(folder.path(), files);
        let (mut progress, mut verdict) = (Progress::default(), Verdict::Clean);
        let seq = Some(Seq(acknowledged));
        match check_logs(&logs, &mut progress, seq, &mut verdict).expect("reads") {
            Some(Damage { file, offset, .. }) => {
                Err((file.file_name().expect("a name").to_string_lossy().into_owned(), offset))
            }
            None => Ok(verdict != Verdict::Clean),
        }
    }

    #[test]
    fn a_sealed_log_must_be_whole_and_the_next_must_follow() {
        let batches = |seqnos: std::ops::Range<u64>| {
            let mut out = Vec::new();
            seqnos.for_each(|n| log::tests::put(&mut out, n, &[&[n as u8; 3_000]]));
            out
        };
        let (one, two) = (batches(1..4), batches(4..7));
        let mut padded = one.clone();
        padded.resize(100_000, 0);
        assert_eq!(check(&[&padded, &two], 0), Ok(false));
        assert_eq!(check(&[&one, &two[..two.len() - 9]], 0), Ok(true));
        let third = batches(1..3).len() as u64;
        let cut = &one[..one.len() - 9];
        assert_eq!(check(&[cut, &two], 0), Err(("0.jnl".into(), third)));
        assert_eq!(check(&[&two, &one], 0), Err(("1.jnl".into(), 0)));

        // What was not synced may lack sectors in its midst, but only behind
        // what was acknowledged.
        let mut hole = two.clone();
        hole[1_024..1_536].fill(0);
        assert_eq!(check(&[&one, &hole], 0), Ok(true));
        assert_eq!(check(&[&one, &hole], 1), Err(("1.jnl".into(), 0)));
        assert_eq!(check(&[&hole, &one], 0), Err(("0.jnl".into(), 0)));
    }

    #[test]
    fn a_missing_log_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut logs = logs(folder.path(), &[b"", b"", b""]);
        logs.remove(1);
        let (mut progress, mut verdict) = (Progress::default(), Verdict::Clean);
        let found = check_logs(&logs, &mut progress, None, &mut verdict).expect("reads");
        assert!(found.is_some_and(|damage| damage.file.ends_with("2.jnl")));
    }
}
