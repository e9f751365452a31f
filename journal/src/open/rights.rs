//! Whether the files may be used at all, asked before the engine does: it would
//! find out in the middle of its work, and stop.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::OpenError;

/// A name that the engine passes over, should it ever be left behind.
const PROBE: &str = "._orrery";

fn denied(path: PathBuf) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { path: path.clone(), source }
}

/// Tries to write: opens what will be written to, and makes and removes a file
/// in each folder. Changes nothing.
pub(crate) fn check(folder: &Path) -> Result<(), OpenError> {
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let probe = folder.join(PROBE);
        File::create(&probe).map_err(denied(folder.clone()))?;
        fs::remove_file(&probe).map_err(denied(folder.clone()))?;
        for path in entries(&folder).map_err(denied(folder.clone()))? {
            // What is kept in quarantine is not touched again.
            if path.is_dir() && !path.ends_with("quarantine") {
                left.push(path);
            } else if is_written(&path) {
                File::options().write(true).open(&path).map_err(denied(path))?;
            }
        }
    }
    Ok(())
}

fn is_written(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name == "HEAD" || name == "lock" || path.extension().is_some_and(|ext| ext == "jnl")
}

/// The first thing below a folder that cannot be read.
pub(crate) fn unreadable(folder: &Path) -> Option<PathBuf> {
    let Ok(paths) = entries(folder) else { return Some(folder.to_owned()) };
    paths.into_iter().find_map(|path| {
        if path.is_dir() {
            return unreadable(&path);
        }
        File::open(&path).is_err().then_some(path)
    })
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
