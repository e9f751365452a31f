//! Which checkpoint lies where.
//!
//! ```text
//! state 32 | opening u8 | manifest 32 | work u64 | blake3 over seq and all of it 32
//! state 32 | opening u8         until format 1: its bytes are whole under `state`
//! ```

use orrery_journal::store::Pair;
use orrery_journal::units::{Address, Seq};

use super::Purpose;
use crate::canonical::{Decoder, Encoder};

/// Which checkpoint lies where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointRecord {
    /// Last event of the state.
    pub seq: Seq,
    /// blake3 of the whole state.
    pub address: Address,
    /// What it is for.
    pub purpose: Purpose,
    /// blake3 of the manifest; `None` where the bytes are kept whole.
    pub manifest: Option<Address>,
    /// How much folding led there from the first event, see
    /// [`crate::driver::Folded::work`].
    pub work: u64,
}

/// Bytes of a record as they were written until format 1.
const WHOLE_LENGTH: usize = 33;

impl CheckpointRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(105);
        let mut e = Encoder::new(&mut out);
        e.address(self.address);
        e.bool(self.purpose == Purpose::Opening);
        let Some(manifest) = self.manifest else { return out };
        e.address(manifest);
        e.u64(self.work);
        let check = check(self.seq, &out);
        out.extend_from_slice(&check.0);
        out
    }

    /// The record of a pair; the error is the seq that it stands under.
    pub(super) fn decode((key, value): &Pair) -> Result<CheckpointRecord, Option<Seq>> {
        let seq = Seq::from_key(key).ok_or(None)?;
        decode(seq, value).ok_or(Some(seq))
    }
}

fn decode(seq: Seq, value: &[u8]) -> Option<CheckpointRecord> {
    let mut d = Decoder::new(value);
    let address = d.address().ok()?;
    let purpose = if d.bool().ok()? { Purpose::Opening } else { Purpose::Passing };
    if value.len() == WHOLE_LENGTH {
        return Some(CheckpointRecord { seq, address, purpose, manifest: None, work: seq.0 });
    }
    let (manifest, work) = (d.address().ok()?, d.u64().ok()?);
    let checked = value.len().checked_sub(d.left())?;
    let expected = d.address().ok()?;
    d.end().ok()?;
    let good = check(seq, value.get(..checked)?) == expected;
    good.then_some(CheckpointRecord { seq, address, purpose, manifest: Some(manifest), work })
}

fn check(seq: Seq, record: &[u8]) -> Address {
    let mut bytes = seq.to_key().to_vec();
    bytes.extend_from_slice(record);
    Address::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flipped_bit_is_found() {
        let record = CheckpointRecord {
            seq: Seq(77),
            address: Address([1; 32]),
            purpose: Purpose::Passing,
            manifest: Some(Address([2; 32])),
            work: 90,
        };
        let pair = |seq: Seq, value: Vec<u8>| (seq.to_key().to_vec().into(), value.into());
        let good = record.encode();
        assert_eq!(CheckpointRecord::decode(&pair(Seq(77), good.clone())), Ok(record));
        assert_eq!(CheckpointRecord::decode(&pair(Seq(78), good.clone())), Err(Some(Seq(78))));
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert_eq!(CheckpointRecord::decode(&pair(Seq(77), bad)), Err(Some(Seq(77))), "{at}");
        }
        let whole = CheckpointRecord { manifest: None, work: 77, ..record };
        assert_eq!(CheckpointRecord::decode(&pair(Seq(77), whole.encode())), Ok(whole));
        assert_eq!(CheckpointRecord::decode(&(Vec::new().into(), good.into())), Err(None));
    }
}
