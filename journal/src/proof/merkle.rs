//! The Merkle tree of RFC 6962 over page addresses, and its two proofs.
//!
//! ```text
//! leaf  = SHA-256(0x00, address of the page)
//! inner = SHA-256(0x01, left, right)
//! ```
//! A tree of n leaves splits at the largest power of two below n; that of no
//! leaves is SHA-256 of nothing. [`Tree`] remembers whole subtrees of 256 leaves
//! and more, a quarter of a byte for each page, so that no request hashes more
//! than a few hundred leaves again.

use std::fmt;
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::units::Address;

/// Leaves of the smallest subtrees that are remembered.
const BLOCK: u64 = 256;

/// A hash in the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreeHash(pub [u8; 32]);

impl TreeHash {
    /// Root of a tree without leaves.
    #[must_use]
    pub fn empty() -> TreeHash {
        TreeHash(Sha256::digest([]).into())
    }

    /// Hash of a leaf with this data.
    #[must_use]
    pub fn leaf_of(data: &[u8]) -> TreeHash {
        TreeHash(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
    }

    /// Hash of a page's leaf: its data is the page's address.
    #[must_use]
    pub fn leaf(address: Address) -> TreeHash {
        TreeHash::leaf_of(&address.0)
    }

    /// Hash over two subtrees.
    #[must_use]
    pub fn inner(left: TreeHash, right: TreeHash) -> TreeHash {
        let hash = Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0);
        TreeHash(hash.finalize().into())
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({self})")
    }
}

/// The leaves of a tree, wherever they are kept.
pub trait Leaves {
    /// The hashes of these leaves; fewer where the log has no more.
    fn hashes(&self, range: Range<u64>) -> Vec<TreeHash>;
}

impl Leaves for [TreeHash] {
    fn hashes(&self, range: Range<u64>) -> Vec<TreeHash> {
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(self.len());
        self.get(at(range.start)..at(range.end)).unwrap_or_default().to_vec()
    }
}

/// Leaves that a proof needs are not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the log has no page {index}")]
pub struct NoLeaf {
    /// Index of the first page that is missing.
    pub index: u64,
}

/// Subtrees of a growing log. They never change once they are complete.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `[k][i]`: the subtree of 2^k blocks that begins at block i * 2^k.
    levels: Vec<Vec<TreeHash>>,
}

impl Tree {
    /// Remembers the whole blocks among the first `size` leaves; what is known
    /// already is not looked at again.
    ///
    /// # Errors
    /// When there are fewer leaves.
    pub fn grow(&mut self, leaves: &(impl Leaves + ?Sized), size: u64) -> Result<(), NoLeaf> {
        let mut known = self.levels.first().map_or(0, |blocks| blocks.len() as u64);
        while (known + 1) * BLOCK <= size {
            let mut hash = hash_leaves(leaves, known * BLOCK..(known + 1) * BLOCK)?;
            known += 1;
            let mut level = 0;
            loop {
                if self.levels.len() == level {
                    self.levels.push(Vec::new());
                }
                let Some(row) = self.levels.get_mut(level) else { break };
                row.push(hash);
                // An even row is a row of pairs: the last pair is new.
                let [.., left, right] = row.as_slice() else { break };
                if row.len() % 2 != 0 {
                    break;
                }
                hash = TreeHash::inner(*left, *right);
                level += 1;
            }
        }
        Ok(())
    }

    /// Root of the first `size` leaves.
    ///
    /// # Errors
    /// When there are fewer leaves.
    pub fn root(&self, leaves: &(impl Leaves + ?Sized), size: u64) -> Result<TreeHash, NoLeaf> {
        if size == 0 { Ok(TreeHash::empty()) } else { self.subtree(leaves, 0..size) }
    }

    /// Proves leaf `index` in the first `size` leaves: the other side of each
    /// fork, from the leaf to the root.
    ///
    /// # Errors
    /// When the leaf is not among them, or there are fewer leaves.
    pub fn inclusion(
        &self,
        leaves: &(impl Leaves + ?Sized),
        index: u64,
        size: u64,
    ) -> Result<Vec<TreeHash>, NoLeaf> {
        if index >= size {
            return Err(NoLeaf { index });
        }
        let mut path = Vec::new();
        let mut range = 0..size;
        while range.end - range.start > 1 {
            let middle = range.start + split(range.end - range.start);
            let (near, far) = if index < middle {
                (range.start..middle, middle..range.end)
            } else {
                (middle..range.end, range.start..middle)
            };
            path.push(self.subtree(leaves, far)?);
            range = near;
        }
        path.reverse();
        Ok(path)
    }

    /// Proves that the first `old` leaves of the first `new` ones are what they
    /// were. Empty when `old` is 0 or `new`.
    ///
    /// # Errors
    /// When `old` is larger than `new`, or there are fewer leaves.
    pub fn consistency(
        &self,
        leaves: &(impl Leaves + ?Sized),
        old: u64,
        new: u64,
    ) -> Result<Vec<TreeHash>, NoLeaf> {
        if old > new {
            return Err(NoLeaf { index: new });
        }
        let mut path = Vec::new();
        if old == 0 || old == new {
            return Ok(path);
        }
        let mut range = 0..new;
        // Down to the subtree whose right edge is the old tree's.
        while range.end != old {
            let middle = range.start + split(range.end - range.start);
            if old <= middle {
                path.push(self.subtree(leaves, middle..range.end)?);
                range.end = middle;
            } else {
                path.push(self.subtree(leaves, range.start..middle)?);
                range.start = middle;
            }
        }
        // The checker has the old root; it is this subtree if that began at 0.
        if range.start != 0 {
            path.push(self.subtree(leaves, range)?);
        }
        path.reverse();
        Ok(path)
    }

    /// Hash of a subtree of the log, which is not empty.
    fn subtree(
        &self,
        leaves: &(impl Leaves + ?Sized),
        range: Range<u64>,
    ) -> Result<TreeHash, NoLeaf> {
        let len = range.end - range.start;
        if len <= BLOCK {
            return hash_leaves(leaves, range);
        }
        if len.is_power_of_two() && range.start.is_multiple_of(len) {
            let level = (len / BLOCK).trailing_zeros() as usize;
            let known = usize::try_from(range.start / len)
                .ok()
                .and_then(|at| self.levels.get(level)?.get(at));
            if let Some(hash) = known {
                return Ok(*hash);
            }
        }
        let middle = range.start + split(len);
        let left = self.subtree(leaves, range.start..middle)?;
        Ok(TreeHash::inner(left, self.subtree(leaves, middle..range.end)?))
    }
}

/// The largest power of two below `len`, which is at least 2.
fn split(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}

/// Hash of at most a block of leaves.
fn hash_leaves(leaves: &(impl Leaves + ?Sized), range: Range<u64>) -> Result<TreeHash, NoLeaf> {
    let mut row = leaves.hashes(range.clone());
    let got = row.len() as u64;
    if got != range.end - range.start {
        return Err(NoLeaf { index: range.start + got });
    }
    // Pairs from the left; one that is left over rises as it is. That is the
    // same tree as splitting at powers of two.
    while row.len() > 1 {
        row = row
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => TreeHash::inner(*left, *right),
                rest => rest.first().copied().unwrap_or_default(),
            })
            .collect();
    }
    row.first().copied().ok_or(NoLeaf { index: range.start })
}

/// Whether `path` leads from a leaf to the root of the first `size` leaves.
#[must_use]
pub fn includes(leaf: TreeHash, index: u64, size: u64, path: &[TreeHash], root: TreeHash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for other in path {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            hash = TreeHash::inner(*other, hash);
            // On the right edge, levels without a neighbour have no hash.
            while at != 0 && at % 2 == 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            hash = TreeHash::inner(hash, *other);
        }
        at /= 2;
        last /= 2;
    }
    last == 0 && hash == root
}

/// Whether `path` proves that the tree of `old` leaves is the beginning of
/// that of `new`.
#[must_use]
pub fn consistent(old: (u64, TreeHash), new: (u64, TreeHash), path: &[TreeHash]) -> bool {
    let ((old, old_root), (new, new_root)) = (old, new);
    if old > new {
        return false;
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return path.is_empty() && old_root == TreeHash::empty();
    }
    // Climb to the lowest subtree that ends where the old tree did.
    let shift = old.trailing_zeros();
    let (mut at, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (start, rest) = if old.is_power_of_two() {
        (old_root, path)
    } else {
        let Some((first, rest)) = path.split_first() else { return false };
        (*first, rest)
    };
    let (mut before, mut after) = (start, start);
    for other in rest {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            before = TreeHash::inner(*other, before);
            after = TreeHash::inner(*other, after);
            while at != 0 && at % 2 == 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            after = TreeHash::inner(after, *other);
        }
        at /= 2;
        last /= 2;
    }
    last == 0 && before == old_root && after == new_root
}

#[cfg(test)]
mod tests;
