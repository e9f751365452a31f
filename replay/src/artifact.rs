//! Finished outputs: header, version, content hash, lineage.
//!
//! A header's canonical bytes name everything that the artifact depends on, and
//! its hash goes into the next version's header: the versions of a family form
//! a chain in which nothing can be changed or dropped unnoticed. The layout
//! below never changes; another one gets another version number and its own
//! decoder.
//!
//! ```text
//! format u32 = 1 | symbol, family, profile: length u64 + UTF-8 each
//! version u64 | epoch: presence u8, 32 bytes when present | configuration 32
//! seq_first u64 | seq_last u64 | created_at i64 | content 32 | body_len u64
//! previous 32
//! ```

use std::fmt;

use bytes::Bytes;
use orrery_journal::units::{Address, RecvTime, Seq};

use crate::canonical::{Decoder, Encoder};
use crate::fold::{EpochId, RestoreError};

/// Stands between a family and what runs beside it: `gex+calm.1200`.
pub const BESIDE: char = '+';

/// Layout of [`Header::encode`].
pub const HEADER_FORMAT: u32 = 1;

/// blake3 key derivation context of header hashes; never changes.
const HEADER_DOMAIN: &str = "orrery 2026-01 artifact header";

/// Everything about an artifact but its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Partition: `SPX`.
    pub symbol: Box<str>,
    /// Family: `gex`.
    pub family: Box<str>,
    /// Strictly increasing per symbol and family, from 1.
    pub version: u64,
    /// The active epoch, if the partition has one.
    pub epoch: Option<EpochId>,
    /// Definitions that made it.
    pub profile: Box<str>,
    /// Hash of every parameter.
    pub configuration: Address,
    /// First event that the previous version had not seen. When only time has
    /// passed since then, [`Header::seq_last`] itself, which that one had seen,
    /// too; never beyond it.
    pub seq_first: Seq,
    /// Last event of the partition that it has seen.
    pub seq_last: Seq,
    /// Recv time at which it was made: the timer's moment or the event's. Never
    /// earlier than the previous version's.
    pub created_at: RecvTime,
    /// blake3 of the body.
    pub content: Address,
    /// Length of the body in bytes.
    pub body_len: u64,
    /// Hash of the previous version's header; zeros for the first.
    pub previous: Address,
}

/// A header and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Everything but the body.
    pub header: Header,
    /// Canonical body (UTF-8 JSON).
    pub body: Bytes,
}

/// Parts of a header that can differ, in the order in which they are compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Field {
    Profile,
    Configuration,
    Epoch,
    SeqFirst,
    SeqLast,
    CreatedAt,
    Content,
    BodyLen,
    Previous,
}

impl Field {
    /// All fields, in the order in which they are compared: causes before
    /// consequences.
    pub const ALL: [Field; 9] = [
        Field::Profile,
        Field::Configuration,
        Field::Epoch,
        Field::SeqFirst,
        Field::SeqLast,
        Field::CreatedAt,
        Field::Content,
        Field::BodyLen,
        Field::Previous,
    ];

    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Field::Profile => "profile",
            Field::Configuration => "configuration",
            Field::Epoch => "epoch",
            Field::SeqFirst => "seq_first",
            Field::SeqLast => "seq_last",
            Field::CreatedAt => "created_at",
            Field::Content => "content",
            Field::BodyLen => "body_len",
            Field::Previous => "previous",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Header {
    /// Whether it comes from definitions that run beside those in force: nobody
    /// but who asks for it may ever see it.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        self.family.contains(BESIDE)
    }

    /// Appends the canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u32(HEADER_FORMAT);
        e.text(&self.symbol);
        e.text(&self.family);
        e.text(&self.profile);
        e.u64(self.version);
        e.option(self.epoch, Encoder::address);
        e.address(self.configuration);
        e.seq(self.seq_first);
        e.seq(self.seq_last);
        e.recv(self.created_at);
        e.address(self.content);
        e.u64(self.body_len);
        e.address(self.previous);
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// When they are not a header of this format.
    pub fn decode(bytes: &[u8]) -> Result<Header, RestoreError> {
        let mut d = Decoder::new(bytes);
        let format = d.u32()?;
        if format != HEADER_FORMAT {
            return Err(RestoreError(format!(
                "header format {format}; this orrery reads {HEADER_FORMAT}"
            )));
        }
        let symbol = d.text()?.into();
        let family = d.text()?.into();
        let profile = d.text()?.into();
        let header = Header {
            symbol,
            family,
            version: d.u64()?,
            epoch: d.option(Decoder::address)?,
            profile,
            configuration: d.address()?,
            seq_first: d.seq()?,
            seq_last: d.seq()?,
            created_at: d.recv()?,
            content: d.address()?,
            body_len: d.u64()?,
            previous: d.address()?,
        };
        d.end()?;
        Ok(header)
    }

    /// Hash of the canonical bytes, under a domain of its own.
    #[must_use]
    pub fn hash(&self) -> Address {
        let mut bytes = Vec::with_capacity(256);
        self.encode(&mut bytes);
        Address(blake3::derive_key(HEADER_DOMAIN, &bytes))
    }

    /// A field as text, for people and reports.
    #[must_use]
    pub fn field(&self, field: Field) -> String {
        match field {
            Field::Profile => self.profile.to_string(),
            Field::Configuration => self.configuration.to_string(),
            Field::Epoch => self.epoch.map_or_else(|| "none".to_owned(), |e| e.to_string()),
            Field::SeqFirst => self.seq_first.to_string(),
            Field::SeqLast => self.seq_last.to_string(),
            Field::CreatedAt => self.created_at.to_rfc3339(),
            Field::Content => self.content.to_string(),
            Field::BodyLen => self.body_len.to_string(),
            Field::Previous => self.previous.to_string(),
        }
    }

    /// The fields in which two headers of one version differ.
    pub fn differing<'a>(&'a self, other: &'a Header) -> impl Iterator<Item = Field> + 'a {
        Field::ALL.into_iter().filter(|field| match field {
            Field::Profile => self.profile != other.profile,
            Field::Configuration => self.configuration != other.configuration,
            Field::Epoch => self.epoch != other.epoch,
            Field::SeqFirst => self.seq_first != other.seq_first,
            Field::SeqLast => self.seq_last != other.seq_last,
            Field::CreatedAt => self.created_at != other.created_at,
            Field::Content => self.content != other.content,
            Field::BodyLen => self.body_len != other.body_len,
            Field::Previous => self.previous != other.previous,
        })
    }
}

/// An artifact and the event that brought it out: its own, or the first event
/// at or after the timer's moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The event.
    pub at: Seq,
    /// Dense number of the partition, by order of birth.
    pub partition: u32,
    /// What came out.
    pub artifact: Artifact,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn sample() -> Header {
        Header {
            symbol: "SPX".into(),
            family: "gex".into(),
            version: 7,
            epoch: Some(Address([1; 32])),
            profile: "gex/naive-oi@1".into(),
            configuration: Address([2; 32]),
            seq_first: Seq(10),
            seq_last: Seq(20),
            created_at: RecvTime(1_450_967_280_000_000_001),
            content: Address([3; 32]),
            body_len: 99,
            previous: Address([4; 32]),
        }
    }

    #[test]
    fn each_field_alone_changes_the_hash() {
        type Edit = fn(&mut Header);
        let edits: [Edit; 13] = [
            |h| h.symbol = "SPY".into(),
            |h| h.family = "gey".into(),
            |h| h.version += 1,
            |h| h.epoch = None,
            |h| h.epoch = Some(Address([9; 32])),
            |h| h.profile = "gex/naive-oi@2".into(),
            |h| h.configuration = Address([9; 32]),
            |h| h.seq_first = Seq(11),
            |h| h.seq_last = Seq(21),
            |h| h.created_at = h.created_at.plus_nanos(1),
            |h| h.content = Address([9; 32]),
            |h| h.body_len += 1,
            |h| h.previous = Address([9; 32]),
        ];
        let mut hashes = vec![sample().hash()];
        for edit in edits {
            let mut header = sample();
            edit(&mut header);
            hashes.push(header.hash());
        }
        let count = hashes.len();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn each_differing_field_is_told_with_both_values() {
        let other = Header {
            epoch: None,
            profile: "gex/naive-oi@2".into(),
            configuration: Address([8; 32]),
            seq_first: Seq(11),
            seq_last: Seq(21),
            created_at: RecvTime(0),
            content: Address([8; 32]),
            body_len: 1,
            previous: Address([8; 32]),
            ..sample()
        };
        let fields: Vec<Field> = sample().differing(&other).collect();
        assert_eq!(fields, Field::ALL);
        for field in fields {
            assert_ne!(sample().field(field), other.field(field), "{field}");
        }
        assert_eq!(sample().differing(&sample()).count(), 0);
    }

    #[test]
    fn a_letter_that_moves_between_fields_changes_the_hash() {
        let mut header = sample();
        header.symbol = "SPXg".into();
        header.family = "ex".into();
        assert_ne!(header.hash(), sample().hash());
    }

    #[test]
    fn the_hash_of_a_known_header_never_changes() {
        assert_eq!(
            sample().hash().to_string(),
            "1ea4e23e126a3747cfd47cc91dac2be71547f623d19801a653be12ab6c9660c0"
        );
    }

    proptest! {
        #[test]
        fn headers_come_back_and_have_one_encoding(
            symbol in "[A-Z]{0,6}", family in ".{0,8}", version in any::<u64>(),
            epoch in any::<Option<[u8; 32]>>(), at in any::<i64>(), seqs in any::<(u64, u64)>(),
        ) {
            let header = Header {
                symbol: symbol.into(), family: family.into(), version,
                epoch: epoch.map(Address), created_at: RecvTime(at),
                seq_first: Seq(seqs.0), seq_last: Seq(seqs.1), ..sample()
            };
            let mut bytes = Vec::new();
            header.encode(&mut bytes);
            let back = Header::decode(&bytes)?;
            prop_assert_eq!(&back, &header);
            prop_assert_eq!(back.hash(), header.hash());
        }

        #[test]
        fn a_cut_header_is_refused(cut in 0usize..200) {
            let mut bytes = Vec::new();
            sample().encode(&mut bytes);
            if cut < bytes.len() {
                prop_assert!(Header::decode(&bytes[..cut]).is_err());
            }
        }
    }
}
