//! The tables of contents that the engine's files begin or end with.

use crate::format::canon::{u16_at, u32_at, u64_at};

/// Position and length of a section, from a table of contents.
pub(super) fn section(contents: &[u8], wanted: &[u8]) -> Option<(u64, u64)> {
    let count = u32_at(contents, 4)?;
    let mut at = 8;
    for _ in 0..count {
        let name = usize::from(u16_at(contents, at + 16)?);
        if contents.get(at + 18..)?.get(..name)? == wanted {
            return Some((u64_at(contents, at)?, u64_at(contents, at + 8)?));
        }
        at += 18 + name;
    }
    None
}

pub(super) fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..)?.first_chunk().map(|b| u128::from_le_bytes(*b))
}
