//! The log's key and what was signed with it.
//!
//! ```text
//! DATA/proof/signed   every checkpoint that was signed, each followed by an
//!                     empty line; only appended to, synced before one is given out
//! ```
//! A log must never sign two histories. So before anything is signed, the
//! roots of all earlier checkpoints are computed anew from the journal; one
//! that differs, or a journal with fewer pages than were signed, is refused
//! for good. The signature of a text is always the same, so an append that a
//! crash cut short can be told from damage, and is completed. The first
//! signature of a process puts the record on disk anew: after a failed sync the
//! system shows what the disk may not have, and another sync does not help.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::keys::{Keys, read_if_there, replace};
use super::note::{self, NoteError, PublicKey};
use super::prover::{ProveError, Prover};

pub use super::keys::public_key;

/// Why nothing is signed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NotaryError {
    #[error("cannot use {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{path} is missing, but checkpoints were signed with it; put it back from a copy. Without \
         it this log is over: move the folder away to begin another one under another name"
    )]
    KeyMissing { path: PathBuf },
    #[error(
        "{path}, the record of what was signed, is missing beside the key; put it back from a \
         copy: without it nobody could keep this log from signing a second history"
    )]
    RecordMissing { path: PathBuf },
    #[error("{path} can be read by others (mode {mode:o}); run chmod 600 on it")]
    KeyExposed { path: PathBuf, mode: u32 },
    #[error("the key in {path} is damaged; put it back from a copy")]
    KeyDamaged {
        path: PathBuf,
        #[source]
        source: NoteError,
    },
    #[error(
        "{path} is not the key that the last handover names, and neither is key.next beside it; \
         put the key {wanted} back from a copy"
    )]
    NextKeyMissing { path: PathBuf, wanted: String },
    #[error("{path} is damaged; put it back from a copy")]
    HandoversDamaged {
        path: PathBuf,
        #[source]
        why: CheckpointError,
    },
    #[error("{path} holds a certificate that says otherwise; it is not replaced")]
    Certified { path: PathBuf },
    #[error("{path} is no certificate that a key of this log has signed; put it back from a copy")]
    CertificateDamaged {
        path: PathBuf,
        #[source]
        source: NoteError,
    },
    #[error("this log is called {has} and keeps its name; {wanted} would be another log")]
    OtherOrigin { has: String, wanted: String },
    #[error("{path} is damaged in its record {number} ({why}); put it back from a copy")]
    RecordDamaged { path: PathBuf, number: usize, why: String },
    #[error(
        "a checkpoint over {signed} pages was signed, and the journal has {size}: signed history \
         is missing, so nothing is signed. Restore the journal"
    )]
    Shrunk { signed: u64, size: u64 },
    #[error(
        "the first {size} pages of the journal are not those that were signed: this is another \
         history, so nothing is signed. Restore the journal, or move proof/ away to begin another \
         log under another name"
    )]
    Rewritten { size: u64 },
    #[error("writing {path} failed before; nothing is signed until it is opened again")]
    Failed { path: PathBuf },
    #[error("no checkpoint over {size} pages was signed; there are some over {known}")]
    NeverSigned { size: u64, known: String },
    #[error(transparent)]
    Name(NoteError),
    #[error(transparent)]
    Prove(#[from] ProveError),
}

/// What is known of the file of records.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Read, but an earlier process may have failed to write it: then it can
    /// be in the system's memory and not on disk, and syncing does not help.
    Read,
    /// On disk.
    Durable,
    /// A write failed: unknown until it is read again.
    Failed,
}

/// Signs checkpoints of one journal. Whoever holds one has the journal open,
/// so there is only one.
pub struct Notary {
    keys: Keys,
    data: PathBuf,
    folder: PathBuf,
    records: Vec<Checkpoint>,
    /// Behind the last whole record: what an interrupted append left.
    torn: Vec<u8>,
    /// The whole records, as they are in the file.
    whole: Vec<u8>,
    /// Where the file stands.
    state: State,
}

impl Notary {
    /// The notary of a data directory. The first call makes the key: named
    /// `origin`, or `orrery.local/` and a piece of itself. A log that has signed
    /// nothing yet can be given another name.
    ///
    /// # Errors
    /// See [`NotaryError`].
    pub fn open(data: &Path, origin: Option<&str>) -> Result<Notary, NotaryError> {
        let folder = data.join("proof");
        let (key_path, path) = (folder.join("key"), folder.join("signed"));
        let record = read_if_there(&path)?;
        let mut keys = match (Keys::read(&folder)?, &record) {
            (Some(_), None) => return Err(NotaryError::RecordMissing { path }),
            (None, Some(record)) if !record.is_empty() => {
                return Err(NotaryError::KeyMissing { path: key_path });
            }
            (Some(keys), Some(_)) => keys,
            (None, _) => Keys::make(&folder, origin)?,
        };
        let record = record.unwrap_or_default();
        let has = keys.key.public().name().to_owned();
        if let Some(wanted) = origin.filter(|wanted| *wanted != has) {
            if !record.is_empty() || !keys.former.is_empty() {
                return Err(NotaryError::OtherOrigin { has, wanted: wanted.to_owned() });
            }
            keys.rename(&folder, wanted)?;
        }
        let mut notary = Notary {
            keys,
            data: data.to_owned(),
            folder,
            records: Vec::new(),
            torn: Vec::new(),
            whole: Vec::new(),
            state: State::Read,
        };
        notary.read(&record)?;
        Ok(notary)
    }

    /// The key that checks this log.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.keys.key.public()
    }

    /// The keys that signed before it, oldest first.
    #[must_use]
    pub fn former(&self) -> &[PublicKey] {
        &self.keys.former
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn sign(&self, text: &str) -> String {
        self.keys.key.sign(text)
    }

    pub(super) fn countersign(&self, note: &str) -> Result<String, NotaryError> {
        self.keys.key.countersign(note).map_err(NotaryError::Name)
    }

    /// Puts a new key in place of the one that signs, and returns the handover:
    /// the checkpoint over all pages, signed by both. The former key is gone
    /// then.
    ///
    /// # Errors
    /// See [`NotaryError`].
    pub fn rotate(&mut self, log: &Prover<'_>) -> Result<String, NotaryError> {
        let (checkpoint, _) = self.checkpoint(log)?;
        self.keys.rotate(&self.folder, &checkpoint.text())
    }

    /// What was signed, oldest first.
    #[must_use]
    pub fn signed(&self) -> &[Checkpoint] {
        &self.records
    }

    /// The note over this many pages that was signed earlier.
    ///
    /// # Errors
    /// [`NotaryError::NeverSigned`].
    pub fn earlier(&self, size: u64) -> Result<String, NotaryError> {
        if let Some(found) = self.records.iter().find(|record| record.size == size) {
            // Signing the same text again gives the same note.
            return Ok(found.sign(&self.keys.key));
        }
        let mut known: Vec<String> = self.records.iter().map(|r| r.size.to_string()).collect();
        let hidden = known.len().saturating_sub(10);
        known.drain(..hidden);
        let dots = if hidden > 0 { "..., " } else { "" };
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        Err(NotaryError::NeverSigned { size, known: format!("{dots}{known}") })
    }

    /// The signed checkpoint over all pages of the log: the last one, if the
    /// log has not grown; else a new one, on disk before it is returned.
    ///
    /// # Errors
    /// See [`NotaryError`]; [`NotaryError::Shrunk`] and
    /// [`NotaryError::Rewritten`] stay until the journal is restored.
    pub fn checkpoint(&mut self, log: &Prover<'_>) -> Result<(Checkpoint, String), NotaryError> {
        if self.state == State::Failed {
            return Err(NotaryError::Failed { path: self.path() });
        }
        let size = log.size();
        for record in &self.records {
            self.compare(record, log, size)?;
        }
        if self.state == State::Read {
            self.complete(log, size)?;
            let whole = std::mem::take(&mut self.whole);
            let renewed = replace(&self.folder, "signed", &whole, 0o644);
            self.whole = whole;
            self.note_write(renewed)?;
        }
        let origin = self.public().name().to_owned();
        let checkpoint = Checkpoint { origin, size, root: log.root(size)? };
        let note = checkpoint.sign(&self.keys.key);
        if self.records.last() != Some(&checkpoint) {
            self.append(checkpoint.clone(), &note)?;
        }
        Ok((checkpoint, note))
    }

    /// Whether a signed checkpoint is the beginning of the log as it is.
    fn compare(&self, signed: &Checkpoint, log: &Prover<'_>, size: u64) -> Result<(), NotaryError> {
        if signed.size > size {
            return Err(NotaryError::Shrunk { signed: signed.size, size });
        }
        if log.root(signed.size)? != signed.root {
            return Err(NotaryError::Rewritten { size: signed.size });
        }
        Ok(())
    }

    /// Completes a record that a crash cut short. Its note was never given
    /// out, but a root that is on disk counts as signed.
    fn complete(&mut self, log: &Prover<'_>, size: u64) -> Result<(), NotaryError> {
        let torn = self.torn.clone();
        let damaged = |why: &str| self.damaged(self.records.len() + 1, why.to_owned());
        let origin = self.public().name().to_owned();
        let head = format!("{origin}\n").into_bytes();
        let rest = torn.strip_prefix(head.as_slice());
        let line = rest.and_then(|rest| rest.split_inclusive(|b| *b == b'\n').next());
        let Some(said) = line.and_then(|line| line.strip_suffix(b"\n")) else {
            // Cut within its first two lines: no root was on disk.
            let begun = head.starts_with(&torn)
                || rest.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit));
            if !begun {
                return Err(damaged("its end begins no record"));
            }
            self.torn.clear();
            return Ok(());
        };
        let said = std::str::from_utf8(said).ok().and_then(|said| said.parse().ok());
        let signed: u64 = said.ok_or_else(|| damaged("its end has no size"))?;
        if signed > size {
            return Err(NotaryError::Shrunk { signed, size });
        }
        let checkpoint = Checkpoint { origin, size: signed, root: log.root(signed)? };
        let record = format!("{}\n", checkpoint.sign(&self.keys.key)).into_bytes();
        if !record.starts_with(&torn) {
            // Another root, or a flipped bit: either way not ours to complete.
            return Err(damaged("its end is not what would be signed for the log as it is"));
        }
        self.torn.clear();
        self.whole.extend(record);
        self.records.push(checkpoint);
        Ok(())
    }

    fn append(&mut self, checkpoint: Checkpoint, note: &str) -> Result<(), NotaryError> {
        let record = format!("{note}\n").into_bytes();
        let write = || -> io::Result<()> {
            let mut file = File::options().append(true).open(self.path())?;
            file.write_all(&record)?;
            file.sync_all()
        };
        let written = write();
        self.note_write(written)?;
        self.whole.extend(record);
        self.records.push(checkpoint);
        Ok(())
    }

    /// Remembers how a write ended.
    fn note_write(&mut self, written: io::Result<()>) -> Result<(), NotaryError> {
        self.state = if written.is_ok() { State::Durable } else { State::Failed };
        written.map_err(|source| NotaryError::Io { path: self.path(), source })
    }

    /// Reads the record, each note checked against the keys.
    fn read(&mut self, record: &[u8]) -> Result<(), NotaryError> {
        let damaged = |this: &Notary, why: String| this.damaged(this.records.len() + 1, why);
        let (notes, rest) = note::split(record);
        for note in notes {
            let found = self.read_note(note).map_err(|why| damaged(self, why.to_string()))?;
            if self.records.last().is_some_and(|last| last.size >= found.size) {
                return Err(damaged(self, "its sizes do not rise".into()));
            }
            self.records.push(found);
        }
        self.torn = rest.to_owned();
        self.whole = record.strip_suffix(rest).unwrap_or_default().to_owned();
        Ok(())
    }

    fn read_note(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let read = note::parse(note)?;
        let found = Checkpoint::parse_text(read.text_unchecked())?;
        // The signature is the only one there can be, so comparing is checking.
        if found.sign(&self.keys.key).as_bytes() == note {
            return Ok(found);
        }
        if self.former().iter().any(|key| read.signed_by(key).is_ok()) {
            return Ok(found);
        }
        let name = found.origin;
        Err(NoteError::BadSignature { name }.into())
    }

    fn damaged(&self, number: usize, why: String) -> NotaryError {
        NotaryError::RecordDamaged { path: self.path(), number, why }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("signed")
    }
}
