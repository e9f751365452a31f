//! Integers in few bits.
//!
//! A packed column is blocks of 128 values (the last may be shorter): one byte
//! with the width (0 to 64) of the widest value, then the values, least
//! significant bit first, padded to whole bytes. Whoever reads knows how many
//! values there are. Parameters travel as LEB128 varints.

/// Values of a block.
pub(super) const BLOCK: usize = 128;

/// Appends the packed column of `values`.
pub(super) fn pack(values: &[u64], out: &mut Vec<u8>) {
    for block in values.chunks(BLOCK) {
        let width = width(block);
        out.push(width as u8);
        if width == 0 {
            continue;
        }
        let begin = out.len();
        let end = begin + (block.len() * width as usize).div_ceil(8);
        // Whole words are written; what is beyond the end is cut off again.
        out.resize(end + 8, 0);
        let mut words = out.get_mut(begin..).unwrap_or_default().as_chunks_mut::<8>().0.iter_mut();
        let (mut bits, mut held) = (0u64, 0u32);
        for value in block {
            bits |= value << held;
            held += width;
            if held >= 64 {
                if let Some(word) = words.next() {
                    *word = bits.to_le_bytes();
                }
                held -= 64;
                bits = value.checked_shr(width - held).unwrap_or_default();
            }
        }
        if let (1.., Some(word)) = (held, words.next()) {
            *word = bits.to_le_bytes();
        }
        out.truncate(end);
    }
}

/// Appends the packed column of `count` zeros.
pub(super) fn pack_zeros(count: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + count.div_ceil(BLOCK), 0);
}

fn width(block: &[u64]) -> u32 {
    64 - block.iter().fold(0, |all, v| all | v).leading_zeros()
}

/// Bits that packing would take.
pub(super) fn cost(values: &[u64]) -> usize {
    values.chunks(BLOCK).map(|block| 8 + width(block) as usize * block.len()).sum()
}

/// A cursor over packed bytes.
pub(super) struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Source<'a> {
        Source { bytes }
    }

    /// Whether everything was read.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or("a column is cut short")?;
        self.bytes = rest;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, &'static str> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub(super) fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint does not end")
    }

    /// Reads `count` values into `out`, replacing what it held; whether all of
    /// them are zero because nothing but that is written.
    pub(super) fn unpack(
        &mut self,
        count: usize,
        out: &mut Vec<u64>,
    ) -> Result<bool, &'static str> {
        // Not cleared before: what is there already need not be made zero.
        out.resize(count, 0);
        self.fill(out)
    }

    /// Reads `count` values behind those that `out` holds.
    pub(super) fn unpack_more(
        &mut self,
        count: usize,
        out: &mut Vec<u64>,
    ) -> Result<bool, &'static str> {
        let held = out.len();
        out.resize(held + count, 0);
        self.fill(out.get_mut(held..).unwrap_or_default())
    }

    /// Reads as many values as there is room for; whether no block has a width.
    fn fill(&mut self, out: &mut [u64]) -> Result<bool, &'static str> {
        let mut zeros = true;
        for block in out.chunks_mut(BLOCK) {
            let width = usize::from(self.byte()?);
            if width > 64 {
                return Err("a column is wider than its values");
            }
            if width == 0 {
                block.fill(0);
                continue;
            }
            zeros = false;
            // The tail of what is left may serve as padding for whole words.
            let all = self.bytes;
            let packed = self.take((block.len() * width).div_ceil(8))?;
            let mask = u64::MAX >> (64 - width);
            if width <= 56 && packed.len() + 8 <= all.len() {
                let (groups, rest) = block.as_chunks_mut::<8>();
                eights(width, all, groups);
                let mut bit = groups.len() * 8 * width;
                for value in rest {
                    *value = word(all, bit) & mask;
                    bit += width;
                }
            } else {
                let mut bit = 0usize;
                for value in block {
                    *value = slow(packed, bit) & mask;
                    bit += width;
                }
            }
        }
        Ok(zeros)
    }
}

/// 57 bits and more from any position, which must have eight bytes behind it.
#[inline]
fn word(packed: &[u8], bit: usize) -> u64 {
    let word = packed.get(bit / 8..).and_then(|b| b.first_chunk()).copied();
    u64::from_le_bytes(word.unwrap_or_default()) >> (bit % 8)
}

/// Eight values begin and end with whole bytes. With a width that the compiler
/// knows, every place and shift in them is a constant.
fn eights(width: usize, packed: &[u8], groups: &mut [[u64; 8]]) {
    fn of<const WIDTH: usize>(packed: &[u8], groups: &mut [[u64; 8]]) {
        let mask = u64::MAX >> (64 - WIDTH);
        for (at, group) in groups.iter_mut().enumerate() {
            let begin = at * WIDTH;
            // Eight bytes more, since each value is taken out of a whole word.
            let Some(bytes) = packed.get(begin..begin + WIDTH + 8) else { return };
            for (place, value) in group.iter_mut().enumerate() {
                *value = word(bytes, place * WIDTH) & mask;
            }
        }
    }
    macro_rules! by_width {
        ($($known:literal)*) => {
            match width {
                $($known => of::<$known>(packed, groups),)*
                // Only widths up to 56 come here.
                _ => {}
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28
        29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56);
}

/// 64 bits from any position, zeros beyond the end.
fn slow(packed: &[u8], bit: usize) -> u64 {
    let mut window = [0u8; 16];
    let tail = packed.get(bit / 8..).unwrap_or_default();
    let len = tail.len().min(9);
    window[..len].copy_from_slice(&tail[..len]);
    (u128::from_le_bytes(window) >> (bit % 8)) as u64
}

/// Appends a LEB128 varint.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign become small numbers.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            values in proptest::collection::vec((any::<u64>(), 0u32..=64), 0..400),
            tail in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let values: Vec<u64> = values.into_iter().map(|(v, s)| v.checked_shr(s).unwrap_or(0)).collect();
            let mut out = Vec::new();
            pack(&values, &mut out);
            prop_assert!(out.len() * 8 <= cost(&values) + 8 * values.len().div_ceil(BLOCK));
            let len = out.len();
            out.extend_from_slice(&tail);
            let mut source = Source::new(&out);
            let mut again = Vec::new();
            let zeros = source.unpack(values.len(), &mut again);
            prop_assert_eq!(zeros, Ok(values.iter().all(|v| *v == 0)));
            prop_assert_eq!(again, values);
            prop_assert_eq!(source.bytes, &out[len..]);
        }

        #[test]
        fn varints_and_zigzags_come_back(value in any::<u64>()) {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            prop_assert_eq!(Source::new(&out).varint(), Ok(value));
            prop_assert_eq!(unzigzag(zigzag(value as i64)), value as i64);
        }
    }
}
