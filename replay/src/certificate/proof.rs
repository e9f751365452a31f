//! Days and artifacts proven to others: a certificate under a signed checkpoint
//! of the log, and a header under the certificate.
//!
//! Checking needs the log's key and nothing else. The checkpoint and the
//! certificate are both signed by it; the certificate's root must be the
//! beginning of the checkpoint's log, so a certificate cannot speak of another
//! history than the one that witnesses have seen.

use orrery_journal::proof::checkpoint::{Checkpoint, CheckpointError};
use orrery_journal::proof::merkle::{TreeHash, consistent, includes};
use orrery_journal::proof::note::{self, NoteError, PublicKey};
use orrery_journal::units::Address;

use super::text::{Certificate, TextError};
use crate::artifact::Header;

/// A certificate and its way to the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DayProof {
    /// The checkpoint that the certificate stands on: a signed note.
    pub checkpoint: String,
    /// The certificate: a signed note.
    pub certificate: String,
    /// RFC 6962 consistency path from the certificate's root to the
    /// checkpoint's.
    pub path: Vec<TreeHash>,
}

/// An artifact and its way to the certificate of its day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArtifactProof {
    /// The certificate of the day that made it.
    pub day: DayProof,
    /// Canonical bytes of the header.
    pub header: Vec<u8>,
    /// Place of the header among the day's.
    pub index: u64,
    /// RFC 6962 path from the header to the certificate's artifact root.
    pub path: Vec<TreeHash>,
    /// The body, UTF-8 JSON; without it the header's hash of it is all that is
    /// proven.
    pub body: Option<String>,
}

/// What a proof of a day proves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProvenDay {
    /// What the log's key signed.
    pub checkpoint: Checkpoint,
    /// The certificate.
    pub certificate: Certificate,
}

/// What a proof of an artifact proves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProvenArtifact {
    /// The day that made it.
    pub day: ProvenDay,
    /// Everything about the artifact but its body.
    pub header: Header,
    /// Whether the proof brings the body along.
    pub with_body: bool,
}

/// Why a proof of a day or an artifact proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DayProofError {
    #[error("the checkpoint is refused")]
    Checkpoint(#[source] CheckpointError),
    #[error("the certificate is refused")]
    Note(#[source] NoteError),
    #[error("the certificate is refused")]
    Text(#[source] TextError),
    #[error("the certificate is of the log {found}, and the key is of {wanted}")]
    OtherLog { found: String, wanted: String },
    #[error(
        "the log of {size} pages does not begin with the {pages} pages that the certificate stands \
         on: it is of another history, or the path was changed"
    )]
    Inconsistent { pages: u64, size: u64 },
    #[error("the header is none: {why}")]
    Header { why: String },
    #[error(
        "the header is not among the {count} that the certificate of {day} stands for: it was \
         changed, or is of another day"
    )]
    NotOfTheDay { count: u64, day: String },
    #[error("the header does not fit the certificate in its {field}")]
    Unfit { field: &'static str },
    #[error("the body was changed: its blake3 is {found}, and the header's is {said}")]
    BodyChanged { said: Address, found: Address },
}

impl DayProof {
    /// Checks everything against the log's key.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, key: &PublicKey) -> Result<ProvenDay, DayProofError> {
        let checkpoint = Checkpoint::read(self.checkpoint.as_bytes(), key);
        let checkpoint = checkpoint.map_err(DayProofError::Checkpoint)?;
        let note = note::parse(self.certificate.as_bytes()).map_err(DayProofError::Note)?;
        let text = note.signed_by(key).map_err(DayProofError::Note)?;
        let certificate = Certificate::parse(text).map_err(DayProofError::Text)?;
        if certificate.log != key.name() {
            let (found, wanted) = (certificate.log, key.name().to_owned());
            return Err(DayProofError::OtherLog { found, wanted });
        }
        let (pages, root) = (certificate.facts.size(), certificate.facts.root);
        let log = (checkpoint.size, checkpoint.root);
        if !consistent((pages, root), log, &self.path) {
            return Err(DayProofError::Inconsistent { pages, size: checkpoint.size });
        }
        Ok(ProvenDay { checkpoint, certificate })
    }
}

impl ArtifactProof {
    /// Checks everything against the log's key.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, key: &PublicKey) -> Result<ProvenArtifact, DayProofError> {
        let day = self.day.check(key)?;
        let facts = &day.certificate.facts;
        let header = Header::decode(&self.header);
        let header = header.map_err(|why| DayProofError::Header { why: why.0 })?;
        let mut again = Vec::with_capacity(self.header.len());
        header.encode(&mut again);
        if again != self.header {
            let why = "it is not written in the one way that there is".to_owned();
            return Err(DayProofError::Header { why });
        }
        let leaf = TreeHash::leaf(header.hash());
        let count = facts.artifacts;
        if !includes(leaf, self.index, count, &self.path, facts.artifact_root) {
            let day = day.certificate.id.day.to_string();
            return Err(DayProofError::NotOfTheDay { count, day });
        }
        // An honest log has no other; a certificate that contradicts itself says nothing.
        let unfit = [
            (header.configuration != facts.configuration, "configuration"),
            (!facts.profiles.contains(&header.profile), "profile"),
            (header.seq_last > facts.last, "seq_last"),
            (header.created_at > facts.last_recv, "created_at"),
        ];
        if let Some((_, field)) = unfit.into_iter().find(|(unfit, _)| *unfit) {
            return Err(DayProofError::Unfit { field });
        }
        if let Some(body) = &self.body {
            let (said, found) = (header.content, Address::of(body.as_bytes()));
            if said != found {
                return Err(DayProofError::BodyChanged { said, found });
            }
        }
        Ok(ProvenArtifact { day, header, with_body: self.body.is_some() })
    }
}
