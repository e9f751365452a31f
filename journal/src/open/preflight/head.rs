//! `HEAD` before anything is opened.
//!
//! One slot may be unreadable: a crash tears one, and the other one, which lags
//! a commit at most, is enough. It is told all the same, because it may as well
//! be rot.

use std::io;
use std::path::Path;

use super::Damage;
use crate::open::watermark::{self, Mark, SLOT};
use crate::units::Seq;

/// What the file says.
pub(super) struct Head {
    /// The last event that is known to be acknowledged.
    pub acknowledged: Option<Seq>,
    /// Why it cannot be used, if it cannot.
    pub broken: Option<Damage>,
    /// What is wrong with it and costs nothing.
    pub harmless: Vec<Damage>,
}

/// The version of a slot that a newer version wrote, and the one known here.
pub(super) fn newer(path: &Path) -> io::Result<Option<(u32, u32)>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let versions = bytes.chunks(SLOT).filter_map(watermark::version);
    let known = watermark::VERSION;
    Ok(versions.max().filter(|found| *found > known).map(|found| (found, known)))
}

/// Reads the file.
pub(super) fn read(path: &Path) -> io::Result<Head> {
    let broken = |what: &str| {
        let what = format!(
            "{what}, so nobody can say whether acknowledged events are missing; put the file \
             back from a copy of the directory"
        );
        let damage = Damage { file: path.to_owned(), offset: 0, last_good: None, what };
        Ok(Head { acknowledged: None, broken: Some(damage), harmless: Vec::new() })
    };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return broken("it is missing"),
        Err(e) => return Err(e),
    };
    if bytes.len() != 2 * SLOT {
        return broken("it has another length than 8,192 bytes");
    }
    let mut harmless = Vec::new();
    let mut newest: Option<Mark> = None;
    for (n, slot) in bytes.chunks(SLOT).enumerate() {
        let at = (n * SLOT) as u64;
        let mut told = |offset: u64, what: &str| {
            let what = what.to_owned();
            harmless.push(Damage { file: path.to_owned(), offset, last_good: None, what });
        };
        match Mark::decode(slot) {
            None => told(at, "one of the two slots cannot be read; the other one is whole"),
            Some(mark) => {
                if newest.is_none_or(|newest| newest.count <= mark.count) {
                    newest = Some(mark);
                }
                let used = 128;
                let dirt = slot.get(used..).and_then(|rest| rest.iter().position(|b| *b != 0));
                if let Some(dirt) = dirt {
                    told(at + (used + dirt) as u64, "not zero; nothing is kept there");
                }
            }
        }
    }
    match newest {
        Some(mark) => Ok(Head { acknowledged: Some(mark.seq), broken: None, harmless }),
        None => broken("neither of its slots is whole"),
    }
}
