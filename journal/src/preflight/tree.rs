//! The engine's tables on disk: `current` names the manifest and its hash, the
//! manifest names the files and theirs. The engine stores these hashes and does
//! not look at them, and takes a keyspace without `current` for a left-over.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_128;

use super::Damage;
use crate::canon::{u16_at, u32_at, u64_at};

/// A manifest is a few kilobytes.
const MANIFEST_MAX: u64 = 64 << 20;
const PIECE: usize = 1 << 18;

/// A file that must be there, with its hash.
pub(super) struct Wanted {
    pub path: PathBuf,
    pub bytes: u64,
    hash: u128,
}

/// Checks `current` and the manifest of a keyspace; adds its files, known to
/// exist, to `wanted`.
pub(super) fn manifest(folder: &Path, wanted: &mut Vec<Wanted>) -> io::Result<Option<Damage>> {
    let path = folder.join("current");
    let Some(current) = small(&path, 25)? else {
        return Ok(Damage::whole(path, "missing or of another length than 25 bytes"));
    };
    let (Some(version), Some(hash), Some(0)) =
        (u64_at(&current, 0), u128_at(&current, 8), current.get(24))
    else {
        return Ok(Damage::whole(path, "not the name of a manifest"));
    };
    let path = folder.join(format!("v{version}"));
    let bytes = match std::fs::metadata(&path) {
        Ok(meta) if meta.len() <= MANIFEST_MAX => std::fs::read(&path)?,
        Ok(_) => return Ok(Damage::whole(path, "far too large for a manifest")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Ok(Damage::whole(path, "the manifest that `current` names is missing"));
        }
        Err(e) => return Err(e),
    };
    if XxHash3_128::oneshot(&bytes) != hash {
        return Ok(Damage::whole(path, "the manifest does not match the hash in `current`"));
    }
    let Some(files) = files(&bytes) else {
        return Ok(Damage::whole(path, "the manifest cannot be read"));
    };
    for (kind, id, hash) in files {
        let path = folder.join(kind).join(id.to_string());
        match std::fs::metadata(&path) {
            Ok(meta) => wanted.push(Wanted { path, bytes: meta.len(), hash }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Damage::whole(path, "missing, although the manifest names it"));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// Holds a file against its hash.
pub(super) fn contents(wanted: &Wanted) -> io::Result<Option<Damage>> {
    let mut file = File::open(&wanted.path)?;
    let mut hash = XxHash3_128::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => hash.write(piece.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    if hash.finish_128() == wanted.hash {
        return Ok(None);
    }
    Ok(Damage::whole(wanted.path.clone(), "the file does not match the hash in its manifest"))
}

/// A file of exactly `len` bytes.
pub(super) fn small(path: &Path, len: u64) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() == len => std::fs::read(path).map(Some),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Folder, id and hash of every file that a manifest names.
///
/// A manifest is an archive of sections with a table of contents, found by its
/// magic: `TOC!`, count u32, then position u64, length u64, name length u16,
/// name.
fn files(manifest: &[u8]) -> Option<Vec<(&'static str, u64, u128)>> {
    let mut out = Vec::new();
    let tables = section(manifest, b"tables")?;
    let mut at = 1;
    for _ in 0..*tables.first()? {
        let runs = *tables.get(at)?;
        at += 1;
        for _ in 0..runs {
            let count = u32_at(tables, at)?;
            at += 4;
            for _ in 0..count {
                out.push(("tables", u64_at(tables, at)?, u128_at(tables, at.checked_add(9)?)?));
                at += 33;
            }
        }
    }
    let blobs = section(manifest, b"blob_files")?;
    let mut at = 4;
    for _ in 0..u32_at(blobs, 0)? {
        out.push(("blobs", u64_at(blobs, at)?, u128_at(blobs, at.checked_add(9)?)?));
        at += 25;
    }
    Some(out)
}

fn section<'a>(manifest: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut at = manifest.windows(4).rposition(|w| w == b"TOC!")? + 4;
    let count = u32_at(manifest, at)?;
    at += 4;
    for _ in 0..count {
        let from = usize::try_from(u64_at(manifest, at)?).ok()?;
        let len = usize::try_from(u64_at(manifest, at + 8)?).ok()?;
        let name_len = usize::from(u16_at(manifest, at + 16)?);
        if manifest.get(at + 18..)?.get(..name_len)? == name {
            return manifest.get(from..)?.get(..len);
        }
        at += 18 + name_len;
    }
    None
}

fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..)?.first_chunk().map(|b| u128::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_manifest_makes_it_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            place in 0usize..400,
        ) {
            let mut bytes = bytes;
            let place = place % (bytes.len() + 1);
            bytes.splice(place..place, *b"TOC!\x01\0\0\0");
            files(&bytes);
        }
    }
}
