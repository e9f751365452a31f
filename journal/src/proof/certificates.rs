//! Where the signed certificates of trading days are kept: beside the key, so
//! that they outlive derived data and the days themselves.
//!
//! ```text
//! DATA/proof/days/2026-03-16.1    signed note; the number counts from 1
//! ```
//! A file is written once, synced, and never again. What the text says is not
//! known here.

use std::fs;
use std::path::{Path, PathBuf};

use super::keys::{io_at, read_if_there, replace};
use super::merkle::TreeHash;
use super::notary::{Notary, NotaryError};
use super::note::{self, NoteError};
use super::prover::Prover;
use crate::store::create_folder;
use crate::units::TradingDay;

/// One of the certificates of a day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CertificateId {
    /// The day.
    pub day: TradingDay,
    /// From 1.
    pub number: u32,
}

impl std::fmt::Display for CertificateId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.day, self.number)
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("proof/days")
}

/// The certificates of a data directory, ascending.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(data: &Path) -> Result<Vec<CertificateId>, NotaryError> {
    let folder = folder(data);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(io_at(&folder))? {
        let name = entry.map_err(io_at(&folder))?.file_name();
        let id = name.to_str().and_then(|name| name.split_once('.')).and_then(|(day, number)| {
            let id = CertificateId { day: TradingDay::parse(day)?, number: number.parse().ok()? };
            (id.number > 0 && name == id.to_string().as_str()).then_some(id)
        });
        // What is left of a write that was broken off ends in `.new`.
        found.extend(id);
    }
    found.sort_unstable();
    Ok(found)
}

/// The note of a certificate; nothing of it is checked.
///
/// # Errors
/// When it cannot be read.
pub fn read(data: &Path, id: CertificateId) -> Result<Option<String>, NotaryError> {
    let path = folder(data).join(id.to_string());
    let bytes = read_if_there(&path)?;
    bytes.map(String::from_utf8).transpose().map_err(|_| NotaryError::CertificateDamaged {
        path,
        source: NoteError::NoNote { why: "it is not UTF-8" },
    })
}

impl Notary {
    /// Signs a certificate and keeps it; the note that is kept already, where
    /// it says the same. The log is held against everything that was signed
    /// first, as for a checkpoint.
    ///
    /// # Errors
    /// See [`NotaryError`]; [`NotaryError::Certified`] when it says otherwise.
    pub fn certify(
        &mut self,
        log: &Prover<'_>,
        id: CertificateId,
        text: &str,
    ) -> Result<String, NotaryError> {
        self.checkpoint(log)?;
        let path = folder(self.data()).join(id.to_string());
        if let Some(kept) = read(self.data(), id)? {
            let said = self.signed_text(&kept);
            let said = said
                .map_err(|source| NotaryError::CertificateDamaged { path: path.clone(), source })?;
            return if said == text { Ok(kept) } else { Err(NotaryError::Certified { path }) };
        }
        let note = self.sign(text);
        let folder = folder(self.data());
        create_folder(&folder).map_err(io_at(&folder))?;
        replace(&folder, &id.to_string(), note.as_bytes(), 0o644).map_err(io_at(&path))?;
        Ok(note)
    }

    /// The text of a note that a key of this log has signed.
    ///
    /// # Errors
    /// When none has.
    pub fn signed_text(&self, note: &str) -> Result<String, NoteError> {
        let note = note::parse(note.as_bytes())?;
        let former = self.former().iter().find_map(|key| note.signed_by(key).ok());
        former.map_or_else(|| note.signed_by(&self.public()), Ok).map(str::to_owned)
    }

    /// A note that a former key has signed, signed by the present one as well,
    /// if the log still has the root that the note stands on.
    ///
    /// # Errors
    /// When no key of this log has signed it, or the log is another one there.
    pub fn renew(
        &self,
        log: &Prover<'_>,
        note: &str,
        size: u64,
        root: TreeHash,
    ) -> Result<String, NotaryError> {
        let read = note::parse(note.as_bytes()).map_err(NotaryError::Name)?;
        if read.signed_by(&self.public()).is_ok() {
            return Ok(note.to_owned());
        }
        self.signed_text(note).map_err(NotaryError::Name)?;
        if size > log.size() || log.root(size)? != root {
            return Err(NotaryError::Rewritten { size });
        }
        self.countersign(note)
    }
}
