//! Where a part is cut into pieces.
//!
//! By content, not by length: a cut depends on the 64 bytes before it alone, so
//! that something inserted or dropped in front moves the cuts behind it along
//! and the pieces stay what they were. Nothing that reads depends on where the
//! cuts are; other cuts would only find fewer old pieces again.

/// No cut before so many bytes.
pub const PIECE_MIN: usize = 4 << 10;
/// One at the latest after so many.
pub const PIECE_MAX: usize = 64 << 10;
/// Cuts lie where these bits of the running hash are zero: one place in 2^14,
/// so a piece has about 20 KiB. The high bits, which depend on the most bytes.
const MASK: u64 = 0x3fff << 50;
/// Bytes that the hash depends on.
const WINDOW: usize = 64;

/// A random number for each byte (splitmix64 of the byte).
const GEAR: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut z = (byte as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        table[byte] = z ^ (z >> 31);
        byte += 1;
    }
    table
};

/// The length of the first piece.
fn first(bytes: &[u8]) -> usize {
    let mut hash = 0u64;
    let hashed = bytes.iter().enumerate().take(PIECE_MAX).skip(PIECE_MIN - WINDOW);
    for (at, byte) in hashed {
        hash = (hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
        if at >= PIECE_MIN && hash & MASK == 0 {
            return at + 1;
        }
    }
    bytes.len().min(PIECE_MAX)
}

/// The pieces of a part, in order.
pub fn pieces(mut part: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (piece, rest) = part.split_at_checked(first(part)).filter(|(p, _)| !p.is_empty())?;
        part = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut x = seed | 1;
        let byte = |_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 56) as u8
        };
        (0..length).map(byte).collect()
    }

    #[test]
    fn what_moved_is_found_again() {
        let before = noise(7, 1 << 20);
        let mut after = before.clone();
        after.splice(100..103, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        after.drain(600_000..600_011);
        let old: BTreeSet<&[u8]> = pieces(&before).collect();
        let new: Vec<&[u8]> = pieces(&after).collect();
        let fresh = new.iter().filter(|piece| !old.contains(*piece)).count();
        assert!(new.len() > 30, "{} pieces", new.len());
        assert!(fresh <= 6, "{fresh} of {} pieces are new", new.len());
    }

    #[test]
    fn bytes_that_are_all_alike_are_cut_too() {
        let zeros = vec![0; 10 * PIECE_MAX + 1];
        let lengths: Vec<usize> = pieces(&zeros).map(<[u8]>::len).collect();
        assert!(lengths.iter().all(|n| *n <= PIECE_MAX), "{lengths:?}");
        assert_eq!(pieces(&[]).count(), 0);
    }

    proptest! {
        #[test]
        fn pieces_are_the_part_and_have_their_size(
            seed in any::<u64>(), length in 0usize..300_000,
        ) {
            let part = noise(seed, length);
            let cut: Vec<&[u8]> = pieces(&part).collect();
            prop_assert_eq!(&cut.concat(), &part);
            prop_assert!(cut.iter().all(|p| p.len() <= PIECE_MAX && !p.is_empty()));
            let but_last = cut.split_last().map_or(&[][..], |(_, rest)| rest);
            prop_assert!(but_last.iter().all(|p| p.len() > PIECE_MIN));
        }
    }
}
