//! The record of what was dropped.
//!
//! ```text
//!   0  magic    `ORRYDROP`
//!   8  version  u32
//!  12  day      i32    the last dropped day
//!  16  last     u64    the last dropped event
//!  24  told     u64    the control event that says so
//!  32  fact     32     address of its text
//!  64  state    32     address of what the folds knew after `last`
//!  96  origin   32     blake3 of the first event's canonical bytes
//! 128  blake3 of bytes 0..128, 32 bytes
//! ```

use bytes::Bytes;

use crate::format::canon::{u32_at, u64_at};
use crate::units::{Address, Seq, TradingDay};

const MAGIC: &[u8; 8] = b"ORRYDROP";
const VERSION: u32 = 1;
const PLAIN: usize = 128;

/// What was dropped: every event up to one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The last dropped event; the last of its day.
    pub last: Seq,
    /// Its day.
    pub day: TradingDay,
    /// The control event that says so.
    pub told: Seq,
    /// The text of that event.
    pub fact: Address,
    /// What the folds knew after `last`, as a blob.
    pub state: Address,
    /// blake3 of the canonical bytes of event 1.
    pub origin: Address,
}

/// The text of the control event.
pub(crate) fn fact(last: Seq, day: TradingDay, state: Address, origin: Address) -> Bytes {
    let text = format!(
        "{{\"control\":\"retention\",\"last_seq\":{last},\"last_day\":\"{day}\",\
         \"state\":\"{state}\",\"origin\":\"{origin}\"}}"
    );
    text.into()
}

impl Cut {
    /// Whether an event was dropped.
    #[must_use]
    pub fn covers(&self, seq: Seq) -> bool {
        seq <= self.last
    }

    /// The text that its control event must have.
    pub(crate) fn fact(&self) -> Bytes {
        fact(self.last, self.day, self.state, self.origin)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PLAIN + 32);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.day.0.to_le_bytes());
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.extend_from_slice(&self.told.0.to_le_bytes());
        for address in [self.fact, self.state, self.origin] {
            out.extend_from_slice(&address.0);
        }
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Cut, &'static str> {
        let (plain, hash) = bytes.split_at_checked(PLAIN).ok_or("too short")?;
        if blake3::hash(plain).as_bytes() != hash || plain.get(..8) != Some(MAGIC) {
            return Err("it does not match its hash");
        }
        if u32_at(plain, 8) != Some(VERSION) {
            return Err("its version is unknown");
        }
        let address =
            |at: usize| plain.get(at..at + 32).and_then(|b| b.try_into().ok()).map(Address);
        let read = || {
            Some(Cut {
                day: TradingDay(u32_at(plain, 12)? as i32),
                last: Seq(u64_at(plain, 16)?),
                told: Seq(u64_at(plain, 24)?),
                fact: address(32)?,
                state: address(64)?,
                origin: address(96)?,
            })
        };
        read().ok_or("too short")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_no_flipped_bit_passes() {
        let (last, day) = (Seq(9), TradingDay(20_000));
        let (state, origin) = (Address([1; 32]), Address([2; 32]));
        let fact = Address::of(&fact(last, day, state, origin));
        let cut = Cut { last, day, told: Seq(11), fact, state, origin };
        let bytes = cut.encode();
        assert_eq!(Cut::decode(&bytes), Ok(cut));
        assert_eq!(Address::of(&cut.fact()), cut.fact);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Cut::decode(&bad).is_err(), "bit {bit}");
        }
        assert!((0..bytes.len()).all(|len| Cut::decode(&bytes[..len]).is_err()));
    }
}
