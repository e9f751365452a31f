//! The fields of a bundle's JSON document, and how bytes stand in them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use orrery_journal::proof::bundle::PageProof;
use orrery_journal::proof::merkle::TreeHash;
use orrery_journal::proof::slice::{Run, Slice};
use orrery_journal::units::Address;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A field that is there has a value: `null` is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// The whole document.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub format: String,
    pub proves: String,
    pub checkpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub events: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub from: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub to: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub old: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub path: Option<Vec<Hash>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub pages: Option<Vec<Page>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub artifact: Option<Artifact>,
}

impl File {
    /// The fields that depend on what is claimed, and whether each is there.
    pub fn fields(&self) -> [(&'static str, bool); 8] {
        [
            ("events", self.events.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("old", self.old.is_some()),
            ("path", self.path.is_some()),
            ("pages", self.pages.is_some()),
            ("certificate", self.certificate.is_some()),
            ("artifact", self.artifact.is_some()),
        ]
    }
}

/// A header, its place among those of its day, and the body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Artifact {
    pub header: Base64,
    pub index: u64,
    pub path: Vec<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub body: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    index: u64,
    address: Hex,
    path: Vec<Hash>,
    length: u64,
    chunks: Vec<Chunks>,
    tree: Vec<Hash>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chunks {
    first: u64,
    bytes: Base64,
}

impl From<Page> for PageProof {
    fn from(page: Page) -> PageProof {
        let run = |chunks: Chunks| Run { first: chunks.first, bytes: chunks.bytes.0 };
        PageProof {
            index: page.index,
            address: page.address.0,
            path: Hash::read(page.path),
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
            path: Hash::all(&page.path),
            length: page.slice.length,
            chunks: page.slice.runs.iter().map(chunks).collect(),
            tree: page.slice.tree.iter().map(|hash| Hash(*hash)).collect(),
        }
    }
}

impl Hash {
    pub(super) fn all(path: &[TreeHash]) -> Vec<Hash> {
        path.iter().map(|hash| Hash(hash.0)).collect()
    }

    pub(super) fn read(path: Vec<Hash>) -> Vec<TreeHash> {
        path.into_iter().map(|hash| TreeHash(hash.0)).collect()
    }
}

/// 64 hex digits.
pub(super) struct Hex(Address);

/// 32 bytes as base64.
pub(super) struct Hash(pub [u8; 32]);

/// Any bytes as base64.
pub(super) struct Base64(pub Vec<u8>);

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
