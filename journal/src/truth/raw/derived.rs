//! The files of derived data, looked at before the engine opens them.
//!
//! The engine cuts its log at the first batch that it cannot read, and what is
//! behind is made again from the journal: nothing is lost, and nobody is told.
//! This tells. Nothing here writes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{log, table};
use crate::open::preflight;

/// A damaged place of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileDamage {
    /// Which file.
    pub file: PathBuf,
    /// Where.
    pub offset: u64,
    /// How much of it is concerned.
    pub bytes: u64,
    /// What is wrong.
    pub what: String,
    /// Whether a crash explains it: the end of the last log, which is cut off
    /// and made again.
    pub unfinished: bool,
}

/// Reads every file of `dir/derived` against its checksums; no folder, no files.
///
/// # Errors
/// When a file cannot be read; damage is a finding, not an error.
pub fn examine_derived(dir: &Path) -> io::Result<Vec<FileDamage>> {
    let folder = dir.join("derived");
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    let preflight::Files { logs, tables } = preflight::files(&folder)?;
    for path in tables.iter().map(|file| &file.path) {
        let mut scar = |offset, bytes, what: &str| {
            let (file, what) = (path.clone(), what.to_owned());
            found.push(FileDamage { file, offset, bytes, what, unfinished: false });
        };
        let ends = table::walk(path, &mut |block| {
            if !block.whole {
                scar(block.at, block.len, block.what());
            }
        })?;
        if let Some((offset, bytes)) = ends {
            scar(offset, bytes, "the table's list of contents is damaged");
        }
    }
    let mut seqno = 0;
    for (n, path) in logs.iter().enumerate() {
        let mut bytes = Vec::new();
        File::open(path)?.read_to_end(&mut bytes)?;
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        let mut walk = log::Walk::new(bytes.get(..used).unwrap_or_default(), seqno);
        while let Some(piece) = walk.next() {
            if let log::Piece::Damage { at, end, .. } = piece {
                let what = "a batch of the log does not match its checksum".to_owned();
                let unfinished = end == used && n + 1 == logs.len();
                let (file, offset, bytes) = (path.clone(), at as u64, (end - at) as u64);
                found.push(FileDamage { file, offset, bytes, what, unfinished });
            }
        }
        seqno = walk.seqno();
    }
    Ok(found)
}
