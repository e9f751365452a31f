//! Checkpoints: what a log says of itself, as <https://c2sp.org/tlog-checkpoint>
//! has it. The text of a signed note:
//!
//! ```text
//! ORIGIN     the log's name; the name of its key
//! SIZE       pages, decimal
//! ROOT       base64 of the root of the first SIZE pages
//! ...        further lines are allowed and mean nothing here
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::merkle::TreeHash;
use super::note::{self, NoteError, PublicKey, SecretKey};

/// The first `size` pages of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many pages.
    pub size: u64,
    /// Root of the tree over their addresses.
    pub root: TreeHash,
}

/// Why a checkpoint is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CheckpointError {
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("its text is no checkpoint: {why}")]
    NoCheckpoint { why: &'static str },
    #[error("it is of the log {found}, and the key is of {wanted}")]
    OtherLog { found: String, wanted: String },
}

impl Checkpoint {
    /// The text to sign.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// The signed note; its origin must be the key's name.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> String {
        key.sign(&self.text())
    }

    /// Reads the text of a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::NoCheckpoint`].
    pub fn parse_text(text: &str) -> Result<Checkpoint, CheckpointError> {
        let bad = |why| CheckpointError::NoCheckpoint { why };
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(bad("it has fewer than three lines"));
        };
        if origin.is_empty() {
            return Err(bad("it names no log"));
        }
        let digits = size.bytes().all(|b| b.is_ascii_digit());
        if !digits || (size.starts_with('0') && size != "0") {
            return Err(bad("its second line is no size"));
        }
        let size = size.parse().map_err(|_| bad("its second line is no size"))?;
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        let root = TreeHash(root.ok_or_else(|| bad("its third line is no root"))?);
        let further: Vec<&str> = lines.collect();
        match further.split_last() {
            Some((&"", further)) if further.iter().all(|line| !line.is_empty()) => {}
            _ => return Err(bad("it has an empty line, or does not end with a newline")),
        }
        Ok(Checkpoint { origin: origin.to_owned(), size, root })
    }

    /// Reads a note that this key must have signed.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn read(note: &[u8], key: &PublicKey) -> Result<Checkpoint, CheckpointError> {
        let note = note::parse(note)?;
        let found = Checkpoint::parse_text(note.signed_by(key)?)?;
        if found.origin != key.name() {
            let wanted = key.name().to_owned();
            return Err(CheckpointError::OtherLog { found: found.origin, wanted });
        }
        Ok(found)
    }
}
