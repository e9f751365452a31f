//! A table file: blocks, then a list of contents.
//!
//! ```text
//! block    "LSM\x03", kind u8, xxh3-128 of the bytes on disk, length on disk
//!          u32, length unpacked u32, low half of xxh3-128 of all that u32; bytes
//! entry    type u8 (0 set, 1 and 2 removed, 255 end), number varint, and
//!          at restarts: key length varint, key
//!          between: shared with the restart's key varint, rest varint, rest
//!          if set: length varint, value
//! behind   restart interval u8 ... entries u32: 31 bytes
//! contents "TOC!", count u32, each position u64, length u64, name u16 + bytes
//! end      "SFA!", 1, 0, xxh3-128 of the contents, position u64, length u64
//! ```

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use twox_hash::XxHash3_128;

use crate::format::canon::{u16_at, u32_at, u64_at};
use crate::store::Table;

const MAGIC: &[u8] = b"LSM\x03";
const HEAD: usize = 33;
const BEHIND: usize = 31;
const END: u64 = 38;
/// Kind of a block with keys and values.
pub(super) const DATA: u8 = 0;
/// Bytes that are looked through at once for the next block.
const PIECE: usize = 1 << 16;

/// A block as it was found.
pub(super) struct Block {
    pub at: u64,
    pub len: u64,
    pub kind: u8,
    /// Matches its checksum.
    pub whole: bool,
    stored: Vec<u8>,
    plain: usize,
}

impl Block {
    /// The bytes as they were before packing; `table` says whether they were
    /// packed (`None`: the engine's own, never).
    pub(super) fn unpacked(&self, table: Option<Table>) -> Option<Bytes> {
        if table.is_some_and(|t| t.compress) {
            let plain = lz4_flex::block::decompress(&self.stored, self.plain).ok()?;
            return Some(plain.into());
        }
        (self.stored.len() == self.plain).then(|| self.stored.clone().into())
    }

    pub(super) fn what(&self) -> &'static str {
        match (self.stored.is_empty(), self.kind) {
            (true, _) => "no block can be read here",
            (_, DATA) => "a block of values does not match its checksum",
            _ => "a block of the table's index does not match its checksum",
        }
    }
}

/// Goes through all blocks. Returns the place of a damaged list of contents.
pub(super) fn walk(path: &Path, each: &mut dyn FnMut(Block)) -> io::Result<Option<(u64, u64)>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    match contents(&file, len)? {
        Ok(sections) => {
            for (from, to) in sections {
                walk_section(&file, from, to, each)?;
            }
            Ok(None)
        }
        Err(at) => {
            // Blocks can be told from everything else by their heads.
            walk_section(&file, 0, at, each)?;
            Ok(Some((at, len - at)))
        }
    }
}

/// The sections that are made of blocks; else where they end at the latest.
#[allow(clippy::type_complexity)]
fn contents(file: &File, len: u64) -> io::Result<Result<Vec<(u64, u64)>, u64>> {
    let Some(at) = len.checked_sub(END) else { return Ok(Err(len)) };
    let mut end = [0; END as usize];
    file.read_exact_at(&mut end, at)?;
    let (Some(b"SFA!\x01\0"), Some(hash), Some(from), Some(bytes)) =
        (end.get(..6), end.get(6..22), u64_at(&end, 22), u64_at(&end, 30))
    else {
        return Ok(Err(len));
    };
    if from.checked_add(bytes) != Some(at) || bytes > PIECE as u64 {
        return Ok(Err(len));
    }
    let mut list = vec![0; bytes as usize];
    file.read_exact_at(&mut list, from)?;
    if XxHash3_128::oneshot(&list).to_le_bytes() != hash {
        return Ok(Err(from));
    }
    Ok(sections(&list, from).ok_or(from))
}

fn sections(list: &[u8], end: u64) -> Option<Vec<(u64, u64)>> {
    let mut out = Vec::new();
    let mut at = 8;
    for _ in 0..u32_at(list, 4)? {
        let (from, len) = (u64_at(list, at)?, u64_at(list, at + 8)?);
        let name = usize::from(u16_at(list, at + 16)?);
        let name = list.get(at + 18..)?.get(..name)?;
        at += 18 + name.len();
        if !matches!(name, b"table_version" | b"linked_blob_files") {
            let to = from.checked_add(len).filter(|to| *to <= end)?;
            out.push((from, to));
        }
    }
    Some(out)
}

fn walk_section(file: &File, from: u64, to: u64, each: &mut dyn FnMut(Block)) -> io::Result<()> {
    let mut at = from;
    while at < to {
        match read_block(file, at, to)? {
            Some(block) => {
                at += block.len;
                each(block);
            }
            None => {
                let next = next_block(file, at + 1, to)?.unwrap_or(to);
                let kind = DATA;
                let (len, stored) = (next - at, Vec::new());
                each(Block { at, len, kind, whole: false, stored, plain: 0 });
                at = next;
            }
        }
    }
    Ok(())
}

/// Kind, length on disk and length unpacked, and the hash of a block's bytes.
fn head(bytes: &[u8]) -> Option<(u8, u32, u32, &[u8])> {
    let plain = bytes.get(..HEAD - 4)?;
    let hash = XxHash3_128::oneshot(plain) as u32;
    if plain.get(..4) != Some(MAGIC) || u32_at(bytes, HEAD - 4) != Some(hash) {
        return None;
    }
    Some((*plain.get(4)?, u32_at(plain, 21)?, u32_at(plain, 25)?, plain.get(5..21)?))
}

/// The block at a place whose head is whole.
fn read_block(file: &File, at: u64, to: u64) -> io::Result<Option<Block>> {
    let mut bytes = [0; HEAD];
    if at + HEAD as u64 > to {
        return Ok(None);
    }
    file.read_exact_at(&mut bytes, at)?;
    let Some((kind, stored, plain, hash)) = head(&bytes) else { return Ok(None) };
    let len = HEAD as u64 + u64::from(stored);
    if at + len > to {
        return Ok(None);
    }
    let mut data = vec![0; stored as usize];
    file.read_exact_at(&mut data, at + HEAD as u64)?;
    let whole = XxHash3_128::oneshot(&data).to_le_bytes() == hash;
    Ok(Some(Block { at, len, kind, whole, stored: data, plain: plain as usize }))
}

/// The next place where the head of a block is whole.
fn next_block(file: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    let mut piece = vec![0; PIECE];
    while at + HEAD as u64 <= to {
        let want = (to - at).min(PIECE as u64) as usize;
        let Some(bytes) = piece.get_mut(..want) else { break };
        file.read_exact_at(bytes, at)?;
        let found = bytes.windows(HEAD).position(|w| w.starts_with(MAGIC) && head(w).is_some());
        if let Some(skip) = found {
            return Ok(Some(at + skip as u64));
        }
        at += (want - HEAD + 1) as u64;
    }
    Ok(None)
}

/// The bytes of one block, whether or not they match their checksum.
pub(super) fn block_at(path: &Path, at: u64, table: Table) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let block = read_block(&file, at, len)?.ok_or(io::ErrorKind::InvalidData)?;
    block.unpacked(Some(table)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// An entry of a block.
pub(super) struct Item {
    pub key: Bytes,
    pub seqno: u64,
    pub dead: bool,
    /// Of the value in the block.
    pub value: Range<usize>,
}

/// The entries of a block, and whether that is all of them.
pub(super) fn items(data: &[u8]) -> (Vec<Item>, bool) {
    let mut out = Vec::new();
    let behind = data.len().checked_sub(BEHIND).and_then(|at| data.get(at..));
    let Some((interval, count)) =
        behind.and_then(|b| Some((usize::from(*b.first()?), u32_at(b, BEHIND - 4)? as usize)))
    else {
        return (out, false);
    };
    let mut cursor = Cursor { data, at: 0 };
    let mut base = Bytes::new();
    while out.len() < count {
        let restart = interval == 0 || out.len() % interval == 0;
        let Some(item) = item(&mut cursor, &base, restart) else { return (out, false) };
        if restart {
            base = item.key.clone();
        }
        out.push(item);
    }
    let ended = cursor.byte() == Some(255);
    (out, ended)
}

fn item(cursor: &mut Cursor<'_>, base: &Bytes, restart: bool) -> Option<Item> {
    let kind = cursor.byte().filter(|kind| *kind <= 2)?;
    let seqno = cursor.varint()?;
    let key = if restart {
        let len = cursor.varint()?;
        Bytes::copy_from_slice(cursor.take(len)?)
    } else {
        let (shared, rest) = (cursor.varint()?, cursor.varint()?);
        let shared = base.get(..usize::try_from(shared).ok()?)?;
        Bytes::from([shared, cursor.take(rest)?].concat())
    };
    let dead = kind != 0;
    let len = if dead { 0 } else { cursor.varint()? };
    let from = cursor.at;
    cursor.take(len)?;
    Some(Item { key, seqno, dead, value: from..cursor.at })
}

struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.data.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut out = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            out |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(out);
            }
        }
        None
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let bytes = self.data.get(self.at..)?.get(..usize::try_from(len).ok()?)?;
        self.at += bytes.len();
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            items(&bytes);
            head(&bytes);
            sections(&bytes, 400);
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), &bytes).expect("writes");
            let mut bytes_seen = 0;
            walk(file.path(), &mut |block| bytes_seen += block.len).expect("reads");
            prop_assert!(bytes_seen <= bytes.len() as u64);
        }
    }
}
