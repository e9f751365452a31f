//! Proofs of a journal: for the command line, and for gRPC through
//! [`control::journal::Operations`](crate::control::journal::Operations).
//!
//! One process holds the journal, so one signs. Each signature reads the record
//! of the log anew, as if the process had just begun: a record that could not
//! be written is then looked at before anything else is signed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use orrery_journal::proof::bundle::{Bundle, Claim};
use orrery_journal::proof::checkpoint::{Checkpoint, CheckpointError};
use orrery_journal::proof::notary::{Notary, NotaryError};
use orrery_journal::proof::note::PublicKey;
use orrery_journal::proof::prover::{ProveError, Prover};
use orrery_journal::units::Seq;
use orrery_journal::{Journal, ReadError};

use crate::bundle::{self, AnyBundle, AnyProven, CheckError};
use crate::control::BackendError;
use crate::control::proving::{Given, Part, SignedCheckpoint, Wanted};

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProvingError {
    /// Nothing is signed.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// There is no such proof.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The journal is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// More than a bundle takes.
    #[error("events {from} to {to} lie in {pages} pages; a bundle holds {max}: ask for parts")]
    TooMany {
        /// First event.
        from: Seq,
        /// Last event.
        to: Seq,
        /// Pages that hold them.
        pages: u64,
        /// What a bundle holds.
        max: u64,
    },
    /// OLD or NEW is something else.
    #[error("{what} is no checkpoint of this log: {why}")]
    NoCheckpoint {
        /// Which one.
        what: &'static str,
        /// Why not.
        why: CheckpointError,
    },
    /// The wrong way round.
    #[error("OLD is over {old} pages and NEW over {new}: name the earlier one first")]
    Backwards {
        /// Pages of the one that was named first.
        old: u64,
        /// Pages of the other.
        new: u64,
    },
    /// The check that the proof is made for refuses it.
    #[error("what was asked for does not hold: {0}")]
    Refused(#[source] CheckError),
    /// It cannot be written down.
    #[error("the bundle cannot be written")]
    Json(#[from] serde_json::Error),
    /// Days and artifacts need more than the log.
    #[error("days and artifacts are proven with what is derived from the journal")]
    NotOfTheLog,
    /// A journal in memory has no place for a key.
    #[error("a journal without a folder has no key, so nothing is signed")]
    NoFolder,
}

impl From<ProvingError> for BackendError {
    fn from(error: ProvingError) -> BackendError {
        match error {
            ProvingError::Read(e) | ProvingError::Prove(ProveError::Read(e)) => {
                super::reading::error(e)
            }
            ProvingError::Prove(e @ ProveError::Beyond { .. }) => {
                BackendError::Precondition(e.to_string())
            }
            error @ (ProvingError::Json(_) | ProvingError::Notary(NotaryError::Io { .. })) => {
                BackendError::Internal(Box::new(error))
            }
            error => BackendError::Precondition(error.to_string()),
        }
    }
}

/// A proof, and what it proves.
pub struct Proof {
    /// The bundle: JSON.
    pub text: String,
    /// What its own check finds in it.
    pub proven: AnyProven,
    /// The key that checks it.
    pub key: PublicKey,
}

/// One signature at a time.
static SIGNING: Mutex<()> = Mutex::new(());

/// Works with the notary of a journal, and the data directory that it is of.
pub(super) fn notary<T, E: From<ProvingError>>(
    journal: &Journal,
    origin: Option<&str>,
    work: impl FnOnce(&mut Notary, &Path) -> Result<T, E>,
) -> Result<T, E> {
    let _one = SIGNING.lock().unwrap_or_else(PoisonError::into_inner);
    let data: &Path = journal.folder().ok_or(ProvingError::NoFolder)?;
    work(&mut Notary::open(data, origin).map_err(ProvingError::from)?, data)
}

/// Proves something under the newest checkpoint, and checks it.
///
/// # Errors
/// See [`ProvingError`].
pub fn prove(
    journal: &Journal,
    wanted: &Wanted,
    origin: Option<&str>,
) -> Result<Proof, ProvingError> {
    let log = journal.prover();
    let part = match wanted {
        Wanted::Part(part) => part,
        Wanted::Consistency(old, new) => {
            let (made, key) = notary(journal, origin, |notary, _| {
                let (_, last) = notary.checkpoint(&log)?;
                let made = consistency(&log, notary, last, old, new.as_deref())?;
                Ok::<_, ProvingError>((made, notary.public()))
            })?;
            return checked(&AnyBundle::Log(made), key);
        }
        Wanted::Day(_) | Wanted::Artifact(_) => return Err(ProvingError::NotOfTheLog),
    };
    // First what can be refused for what was asked; then the signature.
    let size = log.size();
    let claimed = claim(journal, &log, part, size)?;
    let (signed, note, key) = notary(journal, origin, |notary, _| {
        let (signed, note) = notary.checkpoint(&log)?;
        Ok::<_, ProvingError>((signed, note, notary.public()))
    })?;
    // A writer may have sealed pages in between; the paths must lead to the
    // root that was signed.
    let claim = match signed.size == size {
        true => claimed,
        false => claim(journal, &log, part, signed.size)?,
    };
    checked(&AnyBundle::Log(Bundle { checkpoint: note, claim }), key)
}

/// A bundle that has passed its own check.
pub(super) fn checked(made: &AnyBundle, key: PublicKey) -> Result<Proof, ProvingError> {
    let proven = made.check(&key).map_err(ProvingError::Refused)?;
    Ok(Proof { text: bundle::to_json(made)?, proven, key })
}

fn claim(
    journal: &Journal,
    log: &Prover<'_>,
    part: &Part,
    size: u64,
) -> Result<Claim, ProvingError> {
    match part {
        Part::Events(seqs) => events(journal, log, seqs, size),
        Part::Range(from, to) => range(log, *from, *to, size),
        Part::Page(seq) => {
            let (from, to) = log.page_of(*seq)?;
            range(log, from, to, size)
        }
    }
}

fn events(
    journal: &Journal,
    log: &Prover<'_>,
    seqs: &[Seq],
    size: u64,
) -> Result<Claim, ProvingError> {
    let seqs = with_names(log, journal, seqs.iter().copied().collect())?;
    let pages = log.events(&seqs, size)?;
    Ok(Claim::Events { seqs: seqs.into_iter().collect(), pages })
}

fn range(log: &Prover<'_>, from: Seq, to: Seq, size: u64) -> Result<Claim, ProvingError> {
    let (pages, max) = (log.pages_between(from, to)?, bundle::BUNDLE_PAGES_MAX);
    if pages > max {
        return Err(ProvingError::TooMany { from, to, pages, max });
    }
    Ok(Claim::Range { from, to, pages: log.range(from, to, size)? })
}

/// Adds the events that name the instruments of these.
fn with_names(
    log: &Prover<'_>,
    journal: &Journal,
    mut seqs: BTreeSet<Seq>,
) -> Result<BTreeSet<Seq>, ProvingError> {
    let mut instruments = BTreeSet::new();
    for seq in &seqs {
        for stretch in journal.read(*seq, *seq) {
            instruments.extend(stretch?.events.iter().map(|event| event.instrument));
        }
    }
    for instrument in instruments {
        seqs.extend(log.definition(instrument)?);
    }
    Ok(seqs)
}

fn consistency(
    log: &Prover<'_>,
    notary: &Notary,
    last: String,
    old: &str,
    new: Option<&str>,
) -> Result<Bundle, ProvingError> {
    // A signed note, or the number of pages that one was signed over.
    let note = |text: &str| match text.trim().parse() {
        Ok(size) => notary.earlier(size),
        Err(_) => {
            let of = |key| Checkpoint::read(text.as_bytes(), key).ok();
            match notary.former().iter().find_map(of) {
                Some(Checkpoint { size, root, .. }) => notary.renew(log, text, size, root),
                None => Ok(text.to_owned()),
            }
        }
    };
    let (old, new) = (note(old)?, new.map_or_else(|| Ok(last), note)?);
    let key = notary.public();
    let size = |text: &str, what| {
        let read = Checkpoint::read(text.as_bytes(), &key);
        read.map(|c| c.size).map_err(|why| ProvingError::NoCheckpoint { what, why })
    };
    let (from, to) = (size(&old, "OLD")?, size(&new, "NEW")?);
    if from > to {
        return Err(ProvingError::Backwards { old: from, new: to });
    }
    let claim = Claim::Consistency { old, path: log.consistency(from, to)? };
    Ok(Bundle { checkpoint: new, claim })
}

/// The signed checkpoint over all sealed pages.
///
/// # Errors
/// See [`ProvingError`].
pub fn checkpoint(
    journal: &Journal,
    origin: Option<&str>,
) -> Result<SignedCheckpoint, ProvingError> {
    notary(journal, origin, |notary, _| {
        let (Checkpoint { origin, size, root }, note) = notary.checkpoint(&journal.prover())?;
        let key = notary.public().to_string();
        Ok(SignedCheckpoint { origin, size, root: root.to_string(), note, key })
    })
}

/// The public key of the log; the first call makes it.
///
/// # Errors
/// See [`ProvingError`].
pub fn key(journal: &Journal, origin: Option<&str>) -> Result<PublicKey, ProvingError> {
    notary(journal, origin, |notary, _| Ok(notary.public()))
}

impl From<Proof> for Given {
    fn from(proof: Proof) -> Given {
        Given { bundle: proof.text, key: proof.key.to_string() }
    }
}
