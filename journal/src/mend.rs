//! What is done to the engine's logs before it opens them, after a crash or a
//! failed write. Never to damaged ones: those are left as they are.
//!
//! - An end that was cut short is kept in `quarantine/` and then cut off here,
//!   because the engine refuses some of the ends that a power cut leaves.
//! - After a failed write (`DIRTY`) the system may hold pages for written that
//!   are not on disk, and syncing them again does nothing. So the logs are
//!   written anew to other files, synced, and put in place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::store::{create_folder, sync_folder};

const PIECE: usize = 1 << 20;

/// Keeps a log with a torn end in the quarantine, then cuts the end off.
/// Returns where it is kept.
pub(crate) fn cut(folder: &Path, log: &Path, offset: u64, bytes: u64) -> io::Result<PathBuf> {
    let quarantine = folder.join("quarantine");
    create_folder(&quarantine)?;
    let len = offset.saturating_add(bytes);
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let mut count = 1u32;
    let (path, mut copy) = loop {
        let path = quarantine.join(format!("{stem}-{len}-{count}.jnl"));
        match File::options().write(true).create_new(true).open(&path) {
            Ok(file) => break (path, file),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => count += 1,
            Err(e) => return Err(e),
        }
    };
    transfer(log, &mut copy, len)?;
    sync_folder(&quarantine)?;
    let log = File::options().write(true).open(log)?;
    log.set_len(offset)?;
    log.sync_all()?;
    Ok(path)
}

/// Says that a write failed. Best effort: the disk may be the reason.
pub(crate) fn mark_dirty(folder: &Path, why: &str) {
    let marked = File::create(dirty(folder)).and_then(|mut file| {
        writeln!(file, "{why}")?;
        file.sync_all()?;
        sync_folder(folder)
    });
    if let Err(e) = marked {
        tracing::warn!(error = %e, "the journal could not be marked as dirty");
    }
}

/// Whether the last writer failed.
pub(crate) fn is_dirty(folder: &Path) -> io::Result<bool> {
    dirty(folder).try_exists()
}

/// Writes all logs anew; whole on return.
pub(crate) fn rewrite_logs(folder: &Path) -> io::Result<()> {
    let database = folder.join("db");
    if !database.is_dir() {
        return Ok(());
    }
    let anew = folder.join("anew");
    for entry in std::fs::read_dir(&database)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "jnl") {
            let len = std::fs::metadata(&path)?.len();
            transfer(&path, &mut File::create(&anew)?, len)?;
            std::fs::rename(&anew, &path)?;
        }
    }
    sync_folder(&database)?;
    sync_folder(folder)
}

/// Takes the mark away, after everything was synced.
pub(crate) fn clear_dirty(folder: &Path) -> io::Result<()> {
    std::fs::remove_file(dirty(folder))?;
    sync_folder(folder)
}

fn dirty(folder: &Path) -> PathBuf {
    folder.join("DIRTY")
}

/// Copies the first `len` bytes, leaving out zeros; on disk on return.
fn transfer(from: &Path, to: &mut File, len: u64) -> io::Result<()> {
    let mut from = File::open(from)?.take(len);
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        if from.by_ref().take(PIECE as u64).read_to_end(&mut piece)? == 0 {
            break;
        }
        if piece.iter().all(|b| *b == 0) {
            to.seek(SeekFrom::Current(piece.len() as i64))?;
        } else {
            to.write_all(&piece)?;
        }
    }
    to.set_len(len)?;
    to.sync_all()
}
