//! Frames: what one commit wrote behind the last page; the unit of
//! durability. Short-lived: sealing a page drops the frames it replaces.
//!
//! A frame is a label with magic `ORRYFRAM` (see `canon.rs`), its own blake3
//! in the label's last half, and the rows as they are. All its events lie in
//! one trading day and in one page to be.

use crate::format::canon::{LABEL, Label, u32_at};

pub(crate) const MAGIC: &[u8; 8] = b"ORRYFRAM";
const VERSION: u32 = 1;

/// The stored bytes of a frame.
pub(crate) fn encode(label: Label, rows: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(LABEL + rows.len());
    out.extend_from_slice(&label.bytes(MAGIC, VERSION));
    out.extend_from_slice(rows);
    let hash = blake3::hash(&out);
    out[LABEL / 2..LABEL].copy_from_slice(hash.as_bytes());
    out
}

/// The rows of a frame of ours.
pub(crate) fn rows(frame: &[u8]) -> &[u8] {
    frame.get(LABEL..).unwrap_or_default()
}

/// Label and rows of a stored frame, its hash checked.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Label, &[u8]), String> {
    let (label, version) = Label::parse(bytes, MAGIC)?;
    if version != VERSION {
        return Err(format!("frame version {version} is unknown"));
    }
    let (head, rows) = bytes.split_at_checked(LABEL).ok_or("shorter than its label")?;
    if u32_at(head, 28) != Some(0) {
        return Err("something stands where zeros should".into());
    }
    let (plain, stored) = head.split_at(LABEL / 2);
    let mut hasher = blake3::Hasher::new();
    hasher.update(plain).update(&[0; LABEL / 2]).update(rows);
    if hasher.finalize().as_bytes() != stored {
        return Err("does not match its hash".into());
    }
    Ok((label, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Seq, TradingDay};

    #[test]
    fn every_flipped_bit_is_found() {
        let label = Label { first: Seq(7), count: 2, day: TradingDay(20_000) };
        let rows = [9u8; 128];
        let frame = encode(label, &rows);
        assert_eq!(decode(&frame), Ok((label, rows.as_slice())));
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad).is_err(), "bit {bit}");
        }
        for len in 0..frame.len() {
            assert!(decode(&frame[..len]).is_err(), "cut at {len}");
        }
    }
}
