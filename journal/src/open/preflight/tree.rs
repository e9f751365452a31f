//! The engine's tables on disk: `current` names the manifest and its hash, the
//! manifest names the files and theirs. The engine stores these hashes and does
//! not look at them, and takes a keyspace without `current` for a left-over.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_128;

use super::sections::{section, u128_at};
use super::table::Newest;
use super::window::{CHUNK, Window};
use super::{Damage, table};
use crate::format::canon::{u32_at, u64_at};

/// A manifest is a few kilobytes.
const MANIFEST_MAX: u64 = 64 << 20;
/// So few bits of a hash differ when the hash is damaged, not what it names.
const NEAR: u32 = 8;

/// A file that must be there, with its hash.
pub(super) struct Wanted {
    pub path: PathBuf,
    pub bytes: u64,
    hash: u128,
    /// Whether its items carry the numbers of the batches that brought them.
    numbered: bool,
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
    let name = folder.join(format!("v{version}"));
    let bytes = match std::fs::metadata(&name) {
        Ok(meta) if meta.len() <= MANIFEST_MAX => std::fs::read(&name)?,
        Ok(_) => return Ok(Damage::whole(name, "far too large for a manifest")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if others(folder)? {
                return Ok(Damage::whole(path, "it names a manifest that is not there"));
            }
            return Ok(Damage::whole(name, "the manifest that `current` names is missing"));
        }
        Err(e) => return Err(e),
    };
    match (XxHash3_128::oneshot(&bytes) ^ hash).count_ones() {
        0 => {}
        1..=NEAR => return Ok(Damage::whole(path, "its hash of the manifest is damaged")),
        _ => return Ok(Damage::whole(name, "the manifest does not match the hash in `current`")),
    }
    let Some(files) = files(&bytes) else {
        return Ok(Damage::whole(name, "the manifest cannot be read"));
    };
    let own = folder.file_name() == Some("0".as_ref());
    for Named { kind, id, hash, moved } in files {
        let path = folder.join(kind).join(id.to_string());
        match std::fs::metadata(&path) {
            Ok(meta) => {
                let numbered = kind == TABLES && moved == 0 && !own;
                wanted.push(Wanted { path, bytes: meta.len(), hash, numbered });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Damage::whole(path, "missing, although the manifest names it"));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// Whether a keyspace has manifests at all.
fn others(folder: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let name: OsString = entry?.file_name();
        let name = name.to_string_lossy();
        if name.strip_prefix('v').is_some_and(|number| number.parse::<u64>().is_ok()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Holds a file against its hash.
pub(super) fn contents(wanted: &Wanted) -> io::Result<Result<Newest, Damage>> {
    contents_paced(wanted, &|_| Ok(()))
}

/// As [`contents`]; `pace` is told of every piece that was read, and may wait
/// or end it.
pub(super) fn contents_paced(
    wanted: &Wanted,
    pace: &dyn Fn(usize) -> io::Result<()>,
) -> io::Result<Result<Newest, Damage>> {
    let mut file = Window::new(File::open(&wanted.path)?, wanted.bytes);
    let mut hash = XxHash3_128::new();
    let mut at = 0;
    while at < file.len() {
        let want = (file.len() - at).min(CHUNK as u64) as usize;
        let Some(piece) = file.get(at, want)? else { break };
        hash.write(piece);
        at += want as u64;
        pace(want)?;
    }
    if hash.finish_128() == wanted.hash {
        return Ok(Ok(newest_of(wanted, &mut file)?));
    }
    let place = table::locate(&mut file)?;
    Ok(Err(Damage {
        file: wanted.path.clone(),
        offset: place.offset,
        last_good: place.event,
        what: "the file does not match the hash in its manifest".into(),
    }))
}

/// What of a table is the newest.
pub(super) fn newest(wanted: &Wanted) -> io::Result<Newest> {
    newest_of(wanted, &mut Window::new(File::open(&wanted.path)?, wanted.bytes))
}

fn newest_of(wanted: &Wanted, file: &mut Window<File>) -> io::Result<Newest> {
    if wanted.numbered { table::newest(file) } else { Ok(Newest::default()) }
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

pub(super) const TABLES: &str = "tables";

/// A file as a manifest names it.
pub(super) struct Named {
    /// Its folder.
    pub kind: &'static str,
    pub id: u64,
    hash: u128,
    /// What is added to the numbers of its items.
    pub moved: u64,
}

/// Every file that a manifest names.
///
/// A manifest is an archive of sections with a table of contents, found by its
/// magic: `TOC!`, count u32, then position u64, length u64, name length u16,
/// name.
pub(super) fn files(manifest: &[u8]) -> Option<Vec<Named>> {
    let part = |name| {
        let contents = manifest.windows(4).rposition(|w| w == b"TOC!")?;
        let (from, len) = section(manifest.get(contents..)?, name)?;
        manifest.get(usize::try_from(from).ok()?..)?.get(..usize::try_from(len).ok()?)
    };
    let mut out = Vec::new();
    let tables = part(b"tables")?;
    let mut at = 1;
    for _ in 0..*tables.first()? {
        let runs = *tables.get(at)?;
        at += 1;
        for _ in 0..runs {
            let count = u32_at(tables, at)?;
            at += 4;
            for _ in 0..count {
                let (id, hash) = (u64_at(tables, at)?, u128_at(tables, at.checked_add(9)?)?);
                out.push(Named { kind: TABLES, id, hash, moved: u64_at(tables, at + 25)? });
                at += 33;
            }
        }
    }
    let blobs = part(b"blob_files")?;
    let mut at = 4;
    for _ in 0..u32_at(blobs, 0)? {
        let (id, hash) = (u64_at(blobs, at)?, u128_at(blobs, at.checked_add(9)?)?);
        out.push(Named { kind: "blobs", id, hash, moved: 0 });
        at += 25;
    }
    Some(out)
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
