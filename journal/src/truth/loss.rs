//! Losses that somebody has accepted, so that the journal opens again.
//!
//! What was acknowledged and is gone stays refused until it is accepted for
//! exactly its range. A record in the table `meta` then says so, for ever:
//!
//! ```text
//! key    "loss", first event u64 big-endian, last event u64 big-endian
//!  0  magic     `ORRYLOSS`
//!  8  version   u32 = 1
//! 12  kind      u32: 1 hole, 2 end
//! 16  first     u64
//! 24  last      u64
//! 32  recv      i64: when it was accepted, ns since 1970
//! 40  zeros, 24 bytes
//! 64  blake3 of bytes 0..64
//! ```
//!
//! A *hole* lies between other events: its pages are named by their summaries
//! and gone, or blobs that its events name are; reading those is refused. An *end* was cut off: its numbers are
//! given to other events, the first of which says who accepted the loss.

use crate::format::canon::{u32_at, u64_at};
use crate::keys;
use crate::store::{Batch, Store};
use crate::units::{RecvTime, Seq};

const MAGIC: &[u8; 8] = b"ORRYLOSS";
const VERSION: u32 = 1;
const BODY: usize = 64;
/// How the keys of all records begin.
const PREFIX: &[u8] = b"loss";

/// Where events were lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LossKind {
    /// In the midst: the numbers stay theirs, reading them is refused.
    Hole,
    /// At the end: the numbers were given to other events.
    End,
}

/// Acknowledged events that are gone, as somebody has accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// Where.
    pub kind: LossKind,
    /// First event.
    pub first: Seq,
    /// Last event.
    pub last: Seq,
    /// When it was accepted.
    pub accepted: RecvTime,
}

impl Loss {
    fn key(&self) -> Vec<u8> {
        [PREFIX, &self.first.to_key(), &self.last.to_key()].concat()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY + 32);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let kind: u32 = match self.kind {
            LossKind::Hole => 1,
            LossKind::End => 2,
        };
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.extend_from_slice(&self.accepted.0.to_le_bytes());
        out.resize(BODY, 0);
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    /// Reads a record, its hash checked.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Loss> {
        let (body, hash) = bytes.split_at_checked(BODY)?;
        let known = body.get(..8)? == MAGIC && u32_at(body, 8)? == VERSION;
        if !known || blake3::hash(body).as_bytes() != hash {
            return None;
        }
        Some(Loss {
            kind: match u32_at(body, 12)? {
                1 => LossKind::Hole,
                2 => LossKind::End,
                _ => return None,
            },
            first: Seq(u64_at(body, 16)?),
            last: Seq(u64_at(body, 24)?),
            accepted: RecvTime(u64_at(body, 32)? as i64),
        })
    }

    /// Writes the record with a batch.
    pub(crate) fn put(&self, batch: &mut Batch) {
        batch.put(keys::META, self.key(), self.encode());
    }
}

/// All records that can be read, by their first event.
pub(crate) fn all(store: &dyn Store) -> Vec<Loss> {
    let to: Vec<u8> = PREFIX.iter().copied().chain([0xff; 17]).collect();
    // A record that cannot be read accepts nothing, so it may be left out.
    let pairs = store.scan(keys::META, PREFIX, &to, false, usize::MAX).unwrap_or_default();
    pairs.iter().filter_map(|(_, value)| Loss::decode(value)).collect()
}

/// Whether all of a stretch lies in an accepted hole.
pub(crate) fn covers(losses: &[Loss], (first, last): (Seq, Seq)) -> bool {
    let holes = losses.iter().filter(|loss| loss.kind == LossKind::Hole);
    holes.into_iter().any(|hole| hole.first <= first && last <= hole.last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_every_flipped_bit_is_found() {
        let loss = Loss {
            kind: LossKind::Hole,
            first: Seq(4097),
            last: Seq(8192),
            accepted: RecvTime(1_772_461_800_000_000_000),
        };
        let bytes = loss.encode();
        assert_eq!(Loss::decode(&bytes), Some(loss));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Loss::decode(&bad), None, "bit {bit}");
        }
        assert!(covers(&[loss], (Seq(5000), Seq(8192))));
        assert!(!covers(&[loss], (Seq(5000), Seq(8193))));
    }
}
