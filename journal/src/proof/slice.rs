//! Some bytes of a page and what is needed to find its address from them.
//!
//! blake3 cuts its input into chunks of 1,024 bytes and is a binary tree over
//! them. A slice holds some of the chunks and, for each largest subtree
//! without one of them, its chaining value: from left to right, in the order in
//! which a walk that goes left first meets them. The address comes out only if
//! every byte, its place and (when the last chunk is among them) the length of
//! the whole are those of the page: each chunk's number and the length of the
//! last one go into their hashes.

use std::ops::Range;

use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};

use crate::format::canon::LABEL;
use crate::limits::PAGE_ROWS_BYTES_MAX;
use crate::units::Address;

/// Length of a chunk.
pub const CHUNK: u64 = 1024;
/// Longest canonical bytes of a page.
pub const LENGTH_MAX: u64 = (LABEL + PAGE_ROWS_BYTES_MAX) as u64;

/// Neighbouring chunks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Number of the first, from 0.
    pub first: u64,
    /// Their bytes.
    pub bytes: Vec<u8>,
}

/// Some chunks of a page's canonical bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Length of the canonical bytes.
    pub length: u64,
    /// The chunks that are here, ascending, a gap between each two runs.
    pub runs: Vec<Run>,
    /// Chaining values of the subtrees that are not.
    pub tree: Vec<ChainingValue>,
}

/// Why a slice has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SliceError {
    #[error("a page has no length of {length} bytes")]
    Length { length: u64 },
    #[error("chunk {chunk} is out of place: chunks must ascend, be whole and lie in the page")]
    Chunks { chunk: u64 },
    #[error("it has {found} hashes of what is left out and needs {needed}")]
    Tree { found: usize, needed: usize },
}

/// Largest power of two below a number of chunks that is at least 2.
fn split(chunks: u64) -> u64 {
    1 << (chunks - 1).ilog2()
}

impl Slice {
    /// Takes the chunks that hold these byte ranges from a page's canonical
    /// bytes.
    #[must_use]
    pub fn of(canonical: &[u8], wanted: &[Range<u64>]) -> Slice {
        let length = canonical.len() as u64;
        let chunks = length.div_ceil(CHUNK);
        let mut keep = vec![false; usize::try_from(chunks).unwrap_or_default()];
        for range in wanted {
            let (from, to) = (range.start / CHUNK, range.end.div_ceil(CHUNK).min(chunks));
            (from..to).for_each(|chunk| {
                if let Some(keep) = keep.get_mut(chunk as usize) {
                    *keep = true;
                }
            });
        }
        let mut runs: Vec<Run> = Vec::new();
        for (bytes, (chunk, _)) in canonical
            .chunks(CHUNK as usize)
            .zip(keep.iter().enumerate())
            .filter(|(_, (_, keep))| **keep)
        {
            match runs.last_mut() {
                Some(run) if run.first + run.bytes.len() as u64 / CHUNK == chunk as u64 => {
                    run.bytes.extend_from_slice(bytes);
                }
                _ => runs.push(Run { first: chunk as u64, bytes: bytes.to_vec() }),
            }
        }
        let mut tree = Vec::new();
        leave_out(canonical, &keep, 0..chunks, &mut tree);
        Slice { length, runs, tree }
    }

    /// The whole page.
    #[must_use]
    pub fn whole(canonical: &[u8]) -> Slice {
        let length = canonical.len() as u64;
        Slice { length, runs: vec![Run { first: 0, bytes: canonical.to_vec() }], tree: Vec::new() }
    }

    /// The address that these bytes lead to.
    ///
    /// # Errors
    /// When it is not even the form of a slice.
    pub fn address(&self) -> Result<Address, SliceError> {
        if self.length == 0 || self.length > LENGTH_MAX {
            return Err(SliceError::Length { length: self.length });
        }
        let mut next = 0;
        for (n, run) in self.runs.iter().enumerate() {
            let bad = SliceError::Chunks { chunk: run.first };
            let start = run.first.checked_mul(CHUNK).ok_or(bad)?;
            let end = start.checked_add(run.bytes.len() as u64).ok_or(bad)?;
            let ends_well = end == self.length || (end < self.length && end % CHUNK == 0);
            if run.bytes.is_empty() || !ends_well || start < next + (n.min(1) as u64) {
                return Err(bad);
            }
            next = end;
        }
        if let [Run { first: 0, bytes }] = self.runs.as_slice()
            && bytes.len() as u64 == self.length
        {
            return match self.tree.len() {
                0 => Ok(Address::of(bytes)),
                found => Err(SliceError::Tree { found, needed: 0 }),
            };
        }
        // Not whole, so there are two chunks at least, or none is here.
        let chunks = self.length.div_ceil(CHUNK);
        let mut walk = Walk { slice: self, used: 0 };
        if chunks < 2 {
            return Err(SliceError::Chunks { chunk: 0 });
        }
        let left = walk.subtree(0..split(chunks));
        let right = walk.subtree(split(chunks)..chunks);
        if walk.used != self.tree.len() {
            return Err(SliceError::Tree { found: self.tree.len(), needed: walk.used });
        }
        let root = hazmat::merge_subtrees_root(&left, &right, Mode::Hash);
        Ok(Address(*root.as_bytes()))
    }

    /// Bytes of the page, if they are here.
    #[must_use]
    pub fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let at = self.runs.partition_point(|run| run.first * CHUNK <= range.start);
        let run = self.runs.get(at.checked_sub(1)?)?;
        let start = run.first * CHUNK;
        let from = usize::try_from(range.start - start).ok()?;
        run.bytes.get(from..usize::try_from(range.end.checked_sub(start)?).ok()?)
    }

    /// Whether the last chunk is here, so that the length is proven, too.
    #[must_use]
    pub fn has_end(&self) -> bool {
        self.get(self.length.saturating_sub(1)..self.length).is_some()
    }

    /// The canonical bytes, if all of them are here.
    #[must_use]
    pub fn all(&self) -> Option<&[u8]> {
        self.get(0..self.length)
    }
}

struct Walk<'a> {
    slice: &'a Slice,
    /// Chaining values taken so far, needed ones that are missing included.
    used: usize,
}

impl Walk<'_> {
    /// Chaining value of the subtree over these chunks.
    fn subtree(&mut self, chunks: Range<u64>) -> ChainingValue {
        let bytes = chunks.start * CHUNK..(chunks.end * CHUNK).min(self.slice.length);
        if let Some(bytes) = self.slice.get(bytes.clone()) {
            return chaining_value(bytes, chunks.start);
        }
        let runs = &self.slice.runs;
        let at =
            runs.partition_point(|run| run.first * CHUNK + (run.bytes.len() as u64) <= bytes.start);
        let touched = runs.get(at).is_some_and(|run| run.first < chunks.end);
        if !touched || chunks.end - chunks.start == 1 {
            self.used += 1;
            return self.slice.tree.get(self.used - 1).copied().unwrap_or_default();
        }
        let middle = chunks.start + split(chunks.end - chunks.start);
        let left = self.subtree(chunks.start..middle);
        let right = self.subtree(middle..chunks.end);
        hazmat::merge_subtrees_non_root(&left, &right, Mode::Hash)
    }
}

/// Chaining value of the subtree that begins at a chunk and has these bytes.
fn chaining_value(bytes: &[u8], first: u64) -> ChainingValue {
    blake3::Hasher::new().set_input_offset(first * CHUNK).update(bytes).finalize_non_root()
}

/// Collects the chaining values of the largest subtrees without a kept chunk.
fn leave_out(canonical: &[u8], keep: &[bool], chunks: Range<u64>, out: &mut Vec<ChainingValue>) {
    let kept = keep.get(chunks.start as usize..chunks.end as usize).unwrap_or_default();
    if kept.iter().all(|keep| *keep) {
        return;
    }
    if !kept.contains(&true) {
        let end = ((chunks.end * CHUNK) as usize).min(canonical.len());
        let bytes = canonical.get((chunks.start * CHUNK) as usize..end).unwrap_or_default();
        out.push(chaining_value(bytes, chunks.start));
        return;
    }
    let middle = chunks.start + split(chunks.end - chunks.start);
    leave_out(canonical, keep, chunks.start..middle, out);
    leave_out(canonical, keep, middle..chunks.end, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn any_chunks_of_any_length_lead_to_the_blake3_of_the_whole() {
        for length in (1..40).chain([1023, 1024, 1025, 2048, 2049, 9_999, 16_384, 262_208, 524_352])
        {
            let bytes = canonical(length);
            let address = Address::of(&bytes);
            assert_eq!(Slice::whole(&bytes).address(), Ok(address));
            let chunks = (length as u64).div_ceil(CHUNK);
            for seed in 0..40u64 {
                let chosen = (0..chunks).filter(|c| {
                    let x = (c + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(seed as u32);
                    x % (seed % 5 + 1) == 0 || *c == 0
                });
                let wanted: Vec<_> = chosen.map(|c| c * CHUNK..c * CHUNK + 1).collect();
                let slice = Slice::of(&bytes, &wanted);
                assert_eq!(slice.address(), Ok(address), "{length} bytes, seed {seed}");
                for range in wanted {
                    let at = range.start as usize;
                    assert_eq!(slice.get(range), Some(&bytes[at..=at]));
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_gives_another_address() {
        let bytes = canonical(5_000);
        let address = Address::of(&bytes);
        let good = Slice::of(&bytes, &[0..64, 2_100..2_164, 4_999..5_000]);
        assert_eq!(good.address(), Ok(address));
        assert!(good.has_end() && good.all().is_none());
        assert_eq!(good.get(2_048..3_072), Some(&bytes[2_048..3_072]));
        assert_eq!(good.get(3_000..3_073), None);
        for run in 0..good.runs.len() {
            for bit in 0..good.runs[run].bytes.len() * 8 {
                let mut bad = good.clone();
                bad.runs[run].bytes[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(bad.address(), Ok(address));
            }
        }
        for bit in 0..good.tree.len() * 256 {
            let mut bad = good.clone();
            bad.tree[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            assert_ne!(bad.address(), Ok(address));
        }
        for length in (0..20_000).filter(|l| *l != 5_000) {
            assert_ne!(Slice { length, ..good.clone() }.address(), Ok(address), "{length}");
        }
    }

    #[test]
    fn what_is_no_slice_is_refused() {
        let bytes = canonical(5_000);
        let good = Slice::of(&bytes, &[0..64, 4_999..5_000]);
        let run = |first, len| Run { first, bytes: vec![0; len] };
        let runs = |runs: Vec<Run>| Slice { runs, ..good.clone() }.address();
        assert_eq!(runs(vec![run(0, 0)]), Err(SliceError::Chunks { chunk: 0 }));
        assert_eq!(runs(vec![run(0, 1_000)]), Err(SliceError::Chunks { chunk: 0 }));
        assert_eq!(runs(vec![run(4, 1_024)]), Err(SliceError::Chunks { chunk: 4 }));
        assert_eq!(runs(vec![run(u64::MAX, 1)]), Err(SliceError::Chunks { chunk: u64::MAX }));
        let neighbours = vec![run(0, 1_024), run(1, 1_024)];
        assert_eq!(runs(neighbours), Err(SliceError::Chunks { chunk: 1 }));
        let back = vec![run(1, 1_024), run(0, 1_024)];
        assert_eq!(runs(back), Err(SliceError::Chunks { chunk: 0 }));
        for length in [0, LENGTH_MAX + 1, u64::MAX] {
            let bad = Slice { length, ..good.clone() }.address();
            assert_eq!(bad, Err(SliceError::Length { length }));
        }
        let mut more = good.clone();
        more.tree.push([0; 32]);
        assert_eq!(more.address(), Err(SliceError::Tree { found: 3, needed: 2 }));
        let mut fewer = good;
        fewer.tree.pop();
        assert_eq!(fewer.address(), Err(SliceError::Tree { found: 1, needed: 2 }));
        let none = Slice { length: 7, runs: Vec::new(), tree: vec![[0; 32]] };
        assert_eq!(none.address(), Err(SliceError::Chunks { chunk: 0 }));
    }
}
