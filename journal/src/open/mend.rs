//! What is done to the engine's logs before it opens them, after a crash or a
//! failed write. Never to damaged ones: those are left as they are.
//!
//! - An end that was cut short is kept in `quarantine/` and then cut off here,
//!   because the engine refuses some of the ends that a power cut leaves.
//! - After a failed write (`DIRTY`) the system may hold pages for written that
//!   are not on disk, and syncing them again does nothing. So the logs are
//!   written anew to other files, synced, and put in place.

use std::io;
use std::path::{Path, PathBuf};

use crate::failpoint::hit;
use crate::files::{Files, How, OpenFile};

const PIECE: usize = 1 << 20;

/// Keeps a log with a torn end in the quarantine, then cuts the end off.
/// Returns where it is kept.
pub(crate) fn cut(
    files: &dyn Files,
    folder: &Path,
    log: &Path,
    offset: u64,
    bytes: u64,
) -> io::Result<PathBuf> {
    let quarantine = folder.join("quarantine");
    files.create_folder(&quarantine)?;
    let len = offset.saturating_add(bytes);
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let mut count = 1u32;
    let (path, copy) = loop {
        let path = quarantine.join(format!("{stem}-{len}-{count}.jnl"));
        match files.open(&path, How::New) {
            Ok(file) => break (path, file),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => count += 1,
            Err(e) => return Err(e),
        }
    };
    hit("mend.keeping");
    let log = files.open(log, How::Existing)?;
    transfer(log.as_ref(), copy.as_ref(), len)?;
    files.sync_folder(&quarantine)?;
    hit("mend.kept");
    log.set_len(offset)?;
    log.sync()?;
    hit("mend.cut");
    Ok(path)
}

/// The engine does not open without its empty `lock`, which people delete
/// because they take it for a left-over. It guards nothing: `LOCK` does.
pub(crate) fn lock_file(files: &dyn Files, folder: &Path) -> io::Result<()> {
    let database = folder.join("db");
    if files.exists(&database.join("version"))? && !files.exists(&database.join("lock"))? {
        files.open(&database.join("lock"), How::Create)?.sync()?;
        files.sync_folder(&database)?;
    }
    Ok(())
}

/// Says that a write failed. Best effort: the disk may be the reason.
pub(crate) fn mark_dirty(files: &dyn Files, folder: &Path, why: &str) {
    let marked = files.open(&dirty(folder), How::Empty).and_then(|file| {
        file.write_all_at(format!("{why}\n").as_bytes(), 0)?;
        file.sync()?;
        files.sync_folder(folder)
    });
    if let Err(e) = marked {
        tracing::warn!(error = %e, "the journal could not be marked as dirty");
    }
}

/// Whether the last writer failed.
pub(crate) fn is_dirty(files: &dyn Files, folder: &Path) -> io::Result<bool> {
    files.exists(&dirty(folder))
}

/// Why the last writer failed, if it did.
pub(crate) fn dirty_why(folder: &Path) -> io::Result<Option<String>> {
    match std::fs::read(dirty(folder)) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes all logs anew; whole on return.
pub(crate) fn rewrite_logs(files: &dyn Files, folder: &Path) -> io::Result<()> {
    let database = folder.join("db");
    if !files.exists(&database)? {
        return Ok(());
    }
    let anew = folder.join("anew");
    for path in files.list(&database)? {
        if path.extension().is_some_and(|ext| ext == "jnl") {
            let from = files.open(&path, How::Read)?;
            let to = files.open(&anew, How::Empty)?;
            transfer(from.as_ref(), to.as_ref(), from.len()?)?;
            hit("mend.copied");
            files.rename(&anew, &path)?;
            hit("mend.renamed");
        }
    }
    files.sync_folder(&database)?;
    files.sync_folder(folder)?;
    hit("mend.rewritten");
    Ok(())
}

/// Takes the mark away, after everything was synced.
pub(crate) fn clear_dirty(files: &dyn Files, folder: &Path) -> io::Result<()> {
    hit("mend.clearing");
    files.remove(&dirty(folder))?;
    files.sync_folder(folder)
}

fn dirty(folder: &Path) -> PathBuf {
    folder.join("DIRTY")
}

/// Copies the first `len` bytes, leaving out zeros; on disk on return.
fn transfer(from: &dyn OpenFile, to: &dyn OpenFile, len: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < len {
        let wanted = usize::try_from(len - at).unwrap_or(PIECE).min(PIECE);
        let wanted = piece.get_mut(..wanted).unwrap_or_default();
        let n = from.read_full_at(wanted, at)?;
        let read = wanted.get(..n).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        if read.iter().any(|b| *b != 0) {
            to.write_all_at(read, at)?;
        }
        at += n as u64;
    }
    to.set_len(len)?;
    to.sync()
}
