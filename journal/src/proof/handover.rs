//! One key gives way to another: a checkpoint that both have signed and that
//! names the next one.
//!
//! ```text
//! ORIGIN          the log keeps its name
//! SIZE            everything that the former key has signed
//! ROOT
//! next KEY        name+id+base64; the name is the origin
//! by KEY          the former key
//!
//! — ORIGIN ...    of the former key
//! — ORIGIN ...    of the next one
//! ```
//! To others it is a checkpoint with a further line and two signatures. Whoever
//! trusts the former key learns the next one from it; whoever trusts the next
//! one sees that it takes over what the former one has signed.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::{self, NoteError, PublicKey, SecretKey};

/// A key that gave way, as far as the note itself tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handover {
    /// What the former key has signed last.
    pub checkpoint: Checkpoint,
    /// The former key.
    pub by: PublicKey,
    /// The key that signs from there on.
    pub next: PublicKey,
}

/// The note of a handover; `text` is that of the checkpoint.
pub(crate) fn sign(text: &str, by: &SecretKey, next: &SecretKey) -> Result<String, NoteError> {
    next.countersign(&by.sign(&format!("{text}next {}\nby {}\n", next.public(), by.public())))
}

impl Handover {
    /// Reads a note that the key it comes from and the key it names have both
    /// signed. Whether either is to be trusted is the reader's business.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn read(note: &[u8]) -> Result<Handover, CheckpointError> {
        let read = note::parse(note)?;
        let text = read.text_unchecked();
        let bad = |why| CheckpointError::NoCheckpoint { why };
        let key = |word: &str| {
            let line = text.lines().skip(3).find_map(|line| line.strip_prefix(word));
            line.map(PublicKey::parse)
        };
        let next = key("next ").ok_or_else(|| bad("it names no next key"))??;
        let by = key("by ").ok_or_else(|| bad("it names no former key"))??;
        let checkpoint = Checkpoint::read(note, &by)?;
        Checkpoint::read(note, &next)?;
        Ok(Handover { checkpoint, by, next })
    }
}

/// The handovers of a file, oldest first, each taken up by the next one.
///
/// # Errors
/// When one of them is none, or does not come from the key before.
pub fn read_all(file: &[u8]) -> Result<Vec<Handover>, CheckpointError> {
    let mut all: Vec<Handover> = Vec::new();
    let (notes, rest) = note::split(file);
    if !rest.is_empty() {
        let why = "its end is no whole note with an empty line behind it";
        return Err(CheckpointError::NoCheckpoint { why });
    }
    for note in notes {
        let handover = Handover::read(note)?;
        if all.last().is_some_and(|last| last.next != handover.by) {
            let why = "it does not come from the key that the one before it names";
            return Err(CheckpointError::NoCheckpoint { why });
        }
        all.push(handover);
    }
    Ok(all)
}

/// The keys of a log from the trusted one on, oldest first: the trusted one
/// itself, and whatever it handed the log to.
///
/// # Errors
/// When the file is damaged, or the trusted key has no part in it.
pub fn follow(file: &[u8], trusted: &PublicKey) -> Result<Vec<PublicKey>, CheckpointError> {
    let all = read_all(file)?;
    let mut keys = vec![trusted.clone()];
    keys.extend(all.iter().skip_while(|h| h.by != *trusted).map(|h| h.next.clone()));
    if keys.len() == 1 && all.last().is_none_or(|last| last.next != *trusted) {
        let why = "the trusted key neither gave way in it nor took over";
        return Err(CheckpointError::NoCheckpoint { why });
    }
    Ok(keys)
}
