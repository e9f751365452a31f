//! Proof bundles as files: one JSON document, as `journal/FORMAT.md` 12 has it.
//! What a bundle means, and whether it is true, is the journal's business
//! (`orrery_journal::proof`); this room only reads and writes the form.

#[doc(hidden)]
pub mod probe;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use orrery_journal::proof::bundle::{Bundle, Claim, PageProof};
use orrery_journal::proof::merkle::TreeHash;
use orrery_journal::proof::slice::{Run, Slice};
use orrery_journal::units::{Address, Seq};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest bundle that is read: some 700 whole pages.
pub const BUNDLE_BYTES_MAX: usize = 256 << 20;
/// Whole pages that a bundle may hold, so that it can be read again.
pub const BUNDLE_PAGES_MAX: u64 = 512;

const FORMAT: &str = "orrery-proof/1";
/// Characters of a refused text that are shown.
const FOUND_CHARS_MAX: usize = 160;

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
    #[error("it claims `{found}`, which is not `events`, `range` or `consistency`")]
    Claim { found: String },
    #[error("a bundle that proves `{proves}` needs the field `{field}`")]
    Lacks { proves: &'static str, field: &'static str },
    #[error("a bundle that proves `{proves}` has no field `{field}`")]
    Stranger { proves: &'static str, field: &'static str },
}

/// Reads a bundle; nothing in it is checked but its form.
///
/// # Errors
/// See [`BundleError`].
pub fn parse(bytes: &[u8]) -> Result<Bundle, BundleError> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLong { found: bytes.len(), max: BUNDLE_BYTES_MAX });
    }
    let file: File = serde_json::from_slice(bytes)
        .map_err(|why| BundleError::Json { why: harmless(&why.to_string()) })?;
    if file.format != FORMAT {
        return Err(BundleError::Format { found: harmless(&file.format), known: FORMAT });
    }
    let File { events, from, to, pages, old, path, .. } = file;
    let claim = match file.proves.as_str() {
        "events" => {
            let of = Claimed("events");
            of.has_no("from", &from)?.has_no("to", &to)?;
            of.has_no("old", &old)?.has_no("path", &path)?;
            let seqs = of.needs("events", events)?.into_iter().map(Seq).collect();
            let pages = of.needs("pages", pages)?.into_iter().map(PageProof::from).collect();
            Claim::Events { seqs, pages }
        }
        "range" => {
            let of = Claimed("range");
            of.has_no("events", &events)?.has_no("old", &old)?.has_no("path", &path)?;
            let (from, to) = (of.needs("from", from)?, of.needs("to", to)?);
            let pages = of.needs("pages", pages)?.into_iter().map(PageProof::from).collect();
            Claim::Range { from: Seq(from), to: Seq(to), pages }
        }
        "consistency" => {
            let of = Claimed("consistency");
            of.has_no("events", &events)?.has_no("from", &from)?;
            of.has_no("to", &to)?.has_no("pages", &pages)?;
            let old = of.needs("old", old)?;
            let path = of.needs("path", path)?.into_iter().map(|h| TreeHash(h.0)).collect();
            Claim::Consistency { old, path }
        }
        _ => return Err(BundleError::Claim { found: harmless(&file.proves) }),
    };
    Ok(Bundle { checkpoint: file.checkpoint, claim })
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
pub fn to_json(bundle: &Bundle) -> Result<String, serde_json::Error> {
    let pages = |pages: &[PageProof]| Some(pages.iter().map(Page::from).collect());
    let mut file = File {
        format: FORMAT.to_owned(),
        proves: String::new(),
        checkpoint: bundle.checkpoint.clone(),
        ..File::default()
    };
    match &bundle.claim {
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
            file.path = Some(path.iter().map(|hash| Hash(hash.0)).collect());
        }
    }
    serde_json::to_string_pretty(&file)
}

/// What a bundle says that it proves decides about its fields.
struct Claimed(&'static str);

impl Claimed {
    fn needs<T>(&self, field: &'static str, value: Option<T>) -> Result<T, BundleError> {
        value.ok_or(BundleError::Lacks { proves: self.0, field })
    }

    fn has_no<T>(&self, field: &'static str, value: &Option<T>) -> Result<&Self, BundleError> {
        match value {
            None => Ok(self),
            Some(_) => Err(BundleError::Stranger { proves: self.0, field }),
        }
    }
}

/// A field that is there has a value: `null` is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    proves: String,
    checkpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    events: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    from: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    to: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    old: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    path: Option<Vec<Hash>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pages: Option<Vec<Page>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    index: u64,
    address: Hex,
    path: Vec<Hash>,
    length: u64,
    chunks: Vec<Chunks>,
    tree: Vec<Hash>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chunks {
    first: u64,
    bytes: Base64,
}

impl From<Page> for PageProof {
    fn from(page: Page) -> PageProof {
        let run = |chunks: Chunks| Run { first: chunks.first, bytes: chunks.bytes.0 };
        PageProof {
            index: page.index,
            address: page.address.0,
            path: page.path.into_iter().map(|hash| TreeHash(hash.0)).collect(),
            slice: Slice {
                length: page.length,
                runs: page.chunks.into_iter().map(run).collect(),
                tree: page.tree.into_iter().map(|hash| hash.0).collect(),
            },
        }
    }
}

impl From<&PageProof> for Page {
    fn from(page: &PageProof) -> Page {
        let chunks = |run: &Run| Chunks { first: run.first, bytes: Base64(run.bytes.clone()) };
        Page {
            index: page.index,
            address: Hex(page.address),
            path: page.path.iter().map(|hash| Hash(hash.0)).collect(),
            length: page.slice.length,
            chunks: page.slice.runs.iter().map(chunks).collect(),
            tree: page.slice.tree.iter().map(|hash| Hash(*hash)).collect(),
        }
    }
}

/// 64 hex digits.
struct Hex(Address);

/// 32 bytes as base64.
struct Hash([u8; 32]);

/// Any bytes as base64.
struct Base64(Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Hex, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
        Address::parse(&text).map(Hex).ok_or_else(|| D::Error::custom("no 64 hex digits"))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        let bytes = Base64::deserialize(from)?.0;
        bytes.try_into().map(Hash).map_err(|_| D::Error::custom("no 32 bytes"))
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Base64, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
        STANDARD.decode(text.as_bytes()).map(Base64).map_err(D::Error::custom)
    }
}
