//! Signed notes and their Ed25519 keys, as <https://c2sp.org/signed-note> has
//! them.
//!
//! ```text
//! TEXT            lines, no control characters, ends with a newline
//!                 an empty line
//! — NAME BASE64   one line or more; BASE64: 4 bytes key id, 64 bytes signature
//! ```
//! The key id is the beginning of SHA-256(name, 0x0A, 0x01, public key).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// Longest note that is read.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
/// Signatures of one note at most.
pub const SIGNATURES_MAX: usize = 100;
/// Ed25519 in the one byte before a key.
const ALGORITHM: u8 = 1;
const SECRET: &str = "PRIVATE+KEY+";

/// Why a note or a key is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NoteError {
    #[error("it is longer than {max} bytes")]
    TooLong { max: usize },
    #[error("it is no signed note: {why}")]
    NoNote { why: &'static str },
    #[error("`{text}` is no key: {why}")]
    NoKey { text: String, why: &'static str },
    #[error("`{name}` is no name for a log: it must be 1 to 255 characters without space or +")]
    BadName { name: String },
    #[error("it is not signed by {wanted}; it is signed by {found}")]
    OtherSigner { wanted: String, found: String },
    #[error("the signature of {name} is not that of this text")]
    BadSignature { name: String },
    #[error("no randomness for a new key: {0}")]
    NoRandomness(String),
}

/// Whether a key may be called so.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let bad = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    (1..=255).contains(&name.len()) && !name.contains(bad)
}

/// The key that checks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

impl PublicKey {
    /// Reads `name+id+base64`.
    ///
    /// # Errors
    /// [`NoteError::NoKey`].
    pub fn parse(text: &str) -> Result<PublicKey, NoteError> {
        let shown = || text.chars().take(120).collect();
        let bad = |why| NoteError::NoKey { text: shown(), why };
        let text = text.trim();
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it is not of the form name+id+base64"));
        };
        if !is_name(name) {
            return Err(bad("its name has a space, or is empty or too long"));
        }
        let key = STANDARD.decode(key).map_err(|_| bad("its last part is not base64"))?;
        let Some((&ALGORITHM, key)) = key.split_first() else {
            return Err(bad("it is not an Ed25519 key"));
        };
        let key = key.try_into().map_err(|_| bad("it has not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| bad("it is no point of the curve"))?;
        let key = PublicKey { name: name.to_owned(), key };
        if hex(&key.id()) != id {
            return Err(bad("its id is not that of name and key: a character has changed"));
        }
        Ok(key)
    }

    /// Whose it is: the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures begin with.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', ALGORITHM])
            .chain_update(self.key.as_bytes())
            .finalize();
        hash.first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM][..], self.key.as_bytes()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(key))
    }
}

/// The key that signs. Never printed by accident.
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

impl SecretKey {
    /// A new one from the system's randomness.
    ///
    /// # Errors
    /// When the name is none, or the system has no randomness.
    pub fn generate(name: &str) -> Result<SecretKey, NoteError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| NoteError::NoRandomness(e.to_string()))?;
        SecretKey::from_seed(name, seed)
    }

    /// The key of a seed.
    ///
    /// # Errors
    /// When the name is none.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<SecretKey, NoteError> {
        if !is_name(name) {
            return Err(NoteError::BadName { name: name.to_owned() });
        }
        Ok(SecretKey { name: name.to_owned(), key: SigningKey::from_bytes(&seed) })
    }

    /// The same key under another name.
    ///
    /// # Errors
    /// When the name is none.
    pub fn named(&self, name: &str) -> Result<SecretKey, NoteError> {
        SecretKey::from_seed(name, self.key.to_bytes())
    }

    /// Reads `PRIVATE+KEY+name+id+base64`. The error shows nothing of it.
    ///
    /// # Errors
    /// [`NoteError::NoKey`].
    pub fn parse(text: &str) -> Result<SecretKey, NoteError> {
        let bad = |why| NoteError::NoKey { text: format!("{SECRET}..."), why };
        let text = text.trim_end().strip_prefix(SECRET);
        let mut parts = text.ok_or_else(|| bad("it does not begin so"))?.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it is not of the form name+id+base64"));
        };
        let seed = STANDARD.decode(key).map_err(|_| bad("its last part is not base64"))?;
        let Some((&ALGORITHM, seed)) = seed.split_first() else {
            return Err(bad("it is not an Ed25519 key"));
        };
        let seed = seed.try_into().map_err(|_| bad("it has not 32 bytes"))?;
        let key = SecretKey::from_seed(name, seed)?;
        if hex(&key.public().id()) != id {
            return Err(bad("its id is not that of name and key: a character has changed"));
        }
        Ok(key)
    }

    /// The text that [`SecretKey::parse`] reads: a secret.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        let key = [&[ALGORITHM][..], &self.key.to_bytes()].concat();
        format!("{SECRET}{}+{}+{}\n", self.name, hex(&self.public().id()), STANDARD.encode(key))
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The note with this text, which ends with a newline, and one signature.
    /// The same text always gives the same bytes.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        format!("{text}\n{}", self.signature(text))
    }

    /// The note with one more signature, of this key.
    ///
    /// # Errors
    /// When it is no note, or has no room for another signature.
    pub fn countersign(&self, note: &str) -> Result<String, NoteError> {
        let more = format!("{note}{}", self.signature(parse(note.as_bytes())?.text_unchecked()));
        parse(more.as_bytes()).map(|_| more)
    }

    /// The line of a signature of this text.
    fn signature(&self, text: &str) -> String {
        let id = self.public().id();
        let signature = [&id[..], &self.key.sign(text.as_bytes()).to_bytes()].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(signature))
    }
}

/// A signed note, its signatures not yet checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    text: String,
    signatures: Vec<(String, Vec<u8>)>,
}

/// Reads a note. The signatures are checked by [`Note::signed_by`].
///
/// # Errors
/// [`NoteError::TooLong`], [`NoteError::NoNote`].
pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
    let bad = |why| NoteError::NoNote { why };
    if bytes.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong { max: NOTE_BYTES_MAX });
    }
    let whole = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))?;
    if whole.contains(|c: char| c < ' ' && c != '\n') {
        return Err(bad("it has a control character"));
    }
    let (text, rest) = whole.rsplit_once("\n\n").ok_or_else(|| bad("it has no empty line"))?;
    let rest = rest.strip_suffix('\n').ok_or_else(|| bad("its last line does not end"))?;
    let mut signatures = Vec::new();
    for line in rest.split('\n') {
        let fields = line.strip_prefix("\u{2014} ").and_then(|l| l.split_once(' '));
        let (name, signature) = fields.ok_or_else(|| bad("a line of a signature is none"))?;
        let signature = STANDARD.decode(signature).map_err(|_| bad("a signature is not base64"))?;
        if !is_name(name) || signature.len() < 5 {
            return Err(bad("a line of a signature is none"));
        }
        if signatures.len() == SIGNATURES_MAX {
            return Err(bad("it has too many signatures"));
        }
        signatures.push((name.to_owned(), signature));
    }
    Ok(Note { text: format!("{text}\n"), signatures })
}

impl Note {
    /// The text, if this key has signed it. Signatures of others (witnesses)
    /// are not looked at.
    ///
    /// # Errors
    /// [`NoteError::OtherSigner`], [`NoteError::BadSignature`].
    pub fn signed_by(&self, key: &PublicKey) -> Result<&str, NoteError> {
        let id = key.id();
        let mut good = false;
        for (name, signature) in &self.signatures {
            let Some((found, signature)) = signature.split_first_chunk() else { continue };
            if *name != key.name || *found != id {
                continue;
            }
            let signature = ed25519_dalek::Signature::from_slice(signature);
            let checked =
                signature.is_ok_and(|s| key.key.verify_strict(self.text.as_bytes(), &s).is_ok());
            if !checked {
                return Err(NoteError::BadSignature { name: name.clone() });
            }
            good = true;
        }
        if good {
            return Ok(&self.text);
        }
        let of = |(name, signature): &(String, Vec<u8>)| {
            format!("{name}+{}", hex(signature.get(..4).unwrap_or_default()))
        };
        Err(NoteError::OtherSigner {
            wanted: format!("{}+{}", key.name, hex(&id)),
            found: self.signatures.iter().map(of).collect::<Vec<_>>().join(", "),
        })
    }

    /// The text, whoever signed it.
    #[must_use]
    pub fn text_unchecked(&self) -> &str {
        &self.text
    }
}

/// The notes of a file in which each is followed by an empty line, and what is
/// left behind the last whole one.
#[must_use]
pub fn split(file: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    // Where what follows the first empty line begins.
    let empty_line =
        |text: &[u8]| text.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 2);
    let (mut notes, mut rest) = (Vec::new(), file);
    // Text, empty line, signatures, empty line.
    while let Some(text) = empty_line(rest)
        && let Some(signatures) = rest.get(text..).and_then(empty_line)
        && let Some((whole, behind)) = rest.split_at_checked(text + signatures)
    {
        notes.push(whole.strip_suffix(b"\n").unwrap_or(whole));
        rest = behind;
    }
    (notes, rest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, text and note from the documentation of Go's sumdb/note.
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const SIGNED: &str = "\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZIn\
                          NIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_known_key_signs_a_known_note() {
        let secret = SecretKey::parse(PRIVATE).expect("a key");
        assert_eq!(secret.to_secret_text().trim_end(), PRIVATE);
        assert_eq!(secret.public().to_string(), PUBLIC);
        assert_eq!(secret.sign(TEXT), format!("{TEXT}{SIGNED}"));
        let public = PublicKey::parse(PUBLIC).expect("a key");
        let note = parse(format!("{TEXT}{SIGNED}").as_bytes()).expect("a note");
        assert_eq!(note.signed_by(&public), Ok(TEXT));
    }

    #[test]
    fn every_flipped_bit_of_a_note_is_refused() {
        let public = PublicKey::parse(PUBLIC).expect("a key");
        let good = format!("{TEXT}{SIGNED}").into_bytes();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let read = parse(&bad).and_then(|note| note.signed_by(&public).map(str::to_owned));
            assert!(read.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn witnesses_do_not_matter_and_one_bad_signature_of_ours_does() {
        let public = PublicKey::parse(PUBLIC).expect("a key");
        let ours = SIGNED.trim_start();
        let other = SecretKey::from_seed("witness.example", [7; 32]).expect("a key");
        let theirs = other.sign(TEXT);
        let theirs = theirs.strip_prefix(&format!("{TEXT}\n")).expect("a signature");
        let read = |signatures: &str| {
            let note = parse(format!("{TEXT}\n{signatures}").as_bytes()).expect("a note");
            note.signed_by(&public).map(str::to_owned)
        };
        assert_eq!(read(&format!("{theirs}{ours}")), Ok(TEXT.to_owned()));
        assert!(matches!(read(theirs), Err(NoteError::OtherSigner { .. })));
        let forged = ours.replace("x08go/ZJku", "x08go/ZJkv");
        assert!(matches!(read(&format!("{ours}{forged}")), Err(NoteError::BadSignature { .. })));
        let stolen = other.named("PeterNeumann").expect("a name").sign(TEXT);
        let stolen = stolen.strip_prefix(&format!("{TEXT}\n")).expect("a signature");
        assert!(matches!(read(stolen), Err(NoteError::OtherSigner { .. })), "same name, other key");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (bad, why) in [
            ("", "form"),
            ("PeterNeumann+c74f20a3", "form"),
            ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "space"),
            ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "changed"),
            ("PeterNeumann+c74f20a3+AhpcZZ", "base64"),
            ("PeterNeumann+c74f20a3+AQID", "32 bytes"),
            ("PeterNeumann+c74f20a3+BAID", "Ed25519"),
        ] {
            let refused = PublicKey::parse(bad).expect_err(bad).to_string();
            assert!(refused.contains(why), "{bad}: {refused}");
        }
        let secret = PRIVATE.replace("AYEK", "AYEL");
        let refused = SecretKey::parse(&secret).err().expect("refused").to_string();
        assert!(!refused.contains("EKFALV"), "no secret in an error: {refused}");
        for bad in ["", "a b", "a+b", "a\nb"] {
            assert!(SecretKey::from_seed(bad, [1; 32]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let long = "x".repeat(NOTE_BYTES_MAX + 1);
        let many = format!("a\n\n{}", "\u{2014} w AAAAAAA=\n".repeat(SIGNATURES_MAX + 1));
        for bad in [
            "",
            "a\n",
            "a\n\n",
            "a\n\nb\n",
            "a\n\n\u{2014} n AAAA\n",
            "\t\n\n\u{2014} n AAAAAAA=\n",
            "a\n\n\u{2014} n AAAAAAA=",
            long.as_str(),
            many.as_str(),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse(&[0xff; 20]).is_err());
        assert!(parse("a\n\n\u{2014} n AAAAAAA=\n".as_bytes()).is_ok());
    }
}
