//! Proof bundles as files: one JSON document, as `journal/FORMAT.md` 12 has it.
//! What a bundle means, and whether it is true, is the business of the journal
//! (`orrery_journal::proof`: events, ranges, consistency) and of the room that
//! folds (`orrery_replay::certificate`: days and artifacts); this room only
//! reads and writes the form.

#[doc(hidden)]
pub mod probe;
mod wire;

use orrery_journal::proof::bundle::{Bundle, Claim, PageProof, ProofError, Proven};
use orrery_journal::proof::checkpoint::Checkpoint;
use orrery_journal::proof::note::PublicKey;
use orrery_journal::units::Seq;
use orrery_replay::certificate::proof::{
    ArtifactProof, DayProof, DayProofError, ProvenArtifact, ProvenDay,
};

use wire::{Artifact, Base64, File, Hash};

/// Longest bundle that is read: some 700 whole pages.
pub const BUNDLE_BYTES_MAX: usize = 256 << 20;
/// Whole pages that a bundle may hold, so that it can be read again.
pub const BUNDLE_PAGES_MAX: u64 = 512;

const FORMAT: &str = "orrery-proof/1";
/// Characters of a refused text that are shown.
const FOUND_CHARS_MAX: usize = 160;

/// A bundle of any sort.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AnyBundle {
    /// Of the log: events, a range, consistency.
    Log(Bundle),
    /// The certificate of a day.
    Day(DayProof),
    /// An artifact.
    Artifact(ArtifactProof),
}

/// What a bundle of any sort proves.
#[derive(Clone, PartialEq, Debug)]
pub enum AnyProven {
    /// Of the log.
    Log(Proven),
    /// A day.
    Day(Box<ProvenDay>),
    /// An artifact.
    Artifact(Box<ProvenArtifact>),
}

/// Why a bundle of any sort proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckError {
    /// Of the log.
    #[error(transparent)]
    Log(#[from] ProofError),
    /// Of a day or an artifact.
    #[error(transparent)]
    Day(#[from] DayProofError),
}

impl AnyBundle {
    /// Checks everything against the log's key.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, key: &PublicKey) -> Result<AnyProven, CheckError> {
        Ok(match self {
            AnyBundle::Log(bundle) => AnyProven::Log(bundle.check(key)?),
            AnyBundle::Day(proof) => AnyProven::Day(Box::new(proof.check(key)?)),
            AnyBundle::Artifact(proof) => AnyProven::Artifact(Box::new(proof.check(key)?)),
        })
    }
}

impl AnyProven {
    /// The checkpoint that everything stands on.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        match self {
            AnyProven::Log(proven) => &proven.checkpoint,
            AnyProven::Day(proven) => &proven.checkpoint,
            AnyProven::Artifact(proven) => &proven.day.checkpoint,
        }
    }

    /// An earlier checkpoint that was shown to be its beginning.
    #[must_use]
    pub fn old(&self) -> Option<&Checkpoint> {
        match self {
            AnyProven::Log(proven) => proven.old.as_ref(),
            AnyProven::Day(_) | AnyProven::Artifact(_) => None,
        }
    }
}

/// Why bytes are no bundle.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BundleError {
    #[error("it has {found} bytes; a bundle has {max} at most")]
    TooLong { found: usize, max: usize },
    #[error("it is no bundle: {why}")]
    Json { why: String },
    #[error("its format is `{found}`; this orrery reads `{known}`: use a newer one")]
    Format { found: String, known: &'static str },
    #[error(
        "it claims `{found}`, which is not `events`, `range`, `consistency`, `day` or `artifact`"
    )]
    Claim { found: String },
    #[error("a bundle that proves `{proves}` needs the field `{field}`")]
    Lacks { proves: &'static str, field: &'static str },
    #[error("a bundle that proves `{proves}` has no field `{field}`")]
    Stranger { proves: &'static str, field: &'static str },
}

/// What a bundle says that it proves decides about its fields: exactly these,
/// besides `format`, `proves` and `checkpoint`.
const CLAIMS: [(&str, &[&str]); 5] = [
    ("events", &["events", "pages"]),
    ("range", &["from", "to", "pages"]),
    ("consistency", &["old", "path"]),
    ("day", &["certificate", "path"]),
    ("artifact", &["certificate", "path", "artifact"]),
];

/// Reads a bundle; nothing in it is checked but its form.
///
/// # Errors
/// See [`BundleError`].
pub fn parse(bytes: &[u8]) -> Result<AnyBundle, BundleError> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLong { found: bytes.len(), max: BUNDLE_BYTES_MAX });
    }
    let file: File = serde_json::from_slice(bytes)
        .map_err(|why| BundleError::Json { why: harmless(&why.to_string()) })?;
    if file.format != FORMAT {
        return Err(BundleError::Format { found: harmless(&file.format), known: FORMAT });
    }
    let Some((proves, fields)) = CLAIMS.into_iter().find(|(name, _)| *name == file.proves) else {
        return Err(BundleError::Claim { found: harmless(&file.proves) });
    };
    for (field, there) in file.fields() {
        match (fields.contains(&field), there) {
            (true, false) => return Err(BundleError::Lacks { proves, field }),
            (false, true) => return Err(BundleError::Stranger { proves, field }),
            _ => {}
        }
    }
    // Whatever the claim has is there by now.
    let File { checkpoint, events, from, to, pages, old, path, certificate, artifact, .. } = file;
    let pages = pages.unwrap_or_default().into_iter().map(PageProof::from).collect();
    let path = Hash::read(path.unwrap_or_default());
    let claim = match proves {
        "events" => {
            Claim::Events { seqs: events.unwrap_or_default().into_iter().map(Seq).collect(), pages }
        }
        "range" => {
            let (from, to) = (Seq(from.unwrap_or_default()), Seq(to.unwrap_or_default()));
            Claim::Range { from, to, pages }
        }
        "consistency" => Claim::Consistency { old: old.unwrap_or_default(), path },
        _ => {
            let certificate = certificate.unwrap_or_default();
            let day = DayProof { checkpoint, certificate, path };
            return Ok(match artifact {
                None => AnyBundle::Day(day),
                Some(Artifact { header, index, path, body }) => {
                    let path = Hash::read(path);
                    AnyBundle::Artifact(ArtifactProof { day, header: header.0, index, path, body })
                }
            });
        }
    };
    Ok(AnyBundle::Log(Bundle { checkpoint, claim }))
}

/// What a stranger wrote, fit to be shown: not long, and no commands to the
/// terminal in it.
fn harmless(text: &str) -> String {
    let short = text.chars().take(FOUND_CHARS_MAX);
    short.map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The JSON text of a bundle.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn to_json(bundle: &AnyBundle) -> Result<String, serde_json::Error> {
    let mut file = File { format: FORMAT.to_owned(), ..File::default() };
    match bundle {
        AnyBundle::Log(Bundle { checkpoint, claim }) => {
            file.checkpoint.clone_from(checkpoint);
            put_claim(&mut file, claim);
        }
        AnyBundle::Day(day) => put_day(&mut file, "day", day),
        AnyBundle::Artifact(proof) => {
            put_day(&mut file, "artifact", &proof.day);
            file.artifact = Some(Artifact {
                header: Base64(proof.header.clone()),
                index: proof.index,
                path: Hash::all(&proof.path),
                body: proof.body.clone(),
            });
        }
    }
    serde_json::to_string_pretty(&file)
}

fn put_claim(file: &mut File, claim: &Claim) {
    let pages = |pages: &[PageProof]| Some(pages.iter().map(wire::Page::from).collect());
    match claim {
        Claim::Events { seqs, pages: proofs } => {
            file.proves = "events".to_owned();
            file.events = Some(seqs.iter().map(|seq| seq.0).collect());
            file.pages = pages(proofs);
        }
        Claim::Range { from, to, pages: proofs } => {
            file.proves = "range".to_owned();
            (file.from, file.to) = (Some(from.0), Some(to.0));
            file.pages = pages(proofs);
        }
        Claim::Consistency { old, path } => {
            file.proves = "consistency".to_owned();
            file.old = Some(old.clone());
            file.path = Some(Hash::all(path));
        }
    }
}

fn put_day(file: &mut File, proves: &str, day: &DayProof) {
    file.proves = proves.to_owned();
    file.checkpoint.clone_from(&day.checkpoint);
    file.certificate = Some(day.certificate.clone());
    file.path = Some(Hash::all(&day.path));
}
