//! Everything that is wrong with the files, not only the first thing. What lies
//! in logs and tables is left to `raw`, which reads them past damage.

use std::io;
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_128;

use super::tree::{self, Named, TABLES};
use super::{Damage, KEYSPACES, numbered};
use crate::format::canon::u64_at;

/// A table file that counts.
pub(crate) struct TableFile {
    /// Number of its keyspace.
    pub keyspace: u64,
    pub path: PathBuf,
    /// Added to the numbers of its entries.
    pub raise: u64,
}

/// What a database is made of.
pub(crate) struct Files {
    /// In their order.
    pub logs: Vec<PathBuf>,
    /// Those that manifests name, or all files that look like tables where the
    /// manifest cannot be believed.
    pub tables: Vec<TableFile>,
}

/// Logs and tables that are there.
pub(crate) fn files(database: &Path) -> io::Result<Files> {
    let mut tables = Vec::new();
    for (keyspace, folder) in numbered(&database.join("keyspaces"), "", true)?.0 {
        let named = believed(&folder)?;
        for (id, path) in numbered(&folder.join(TABLES), "", false)?.0 {
            let raise = match &named {
                None => Some(0),
                Some(list) => list.iter().find(|n| n.id == id).map(|n| n.moved),
            };
            tables.extend(raise.map(|raise| TableFile { keyspace, path, raise }));
        }
    }
    let logs = numbered(database, ".jnl", false)?.0.into_iter().map(|(_, path)| path).collect();
    Ok(Files { logs, tables })
}

/// The tables that a manifest names, if it matches its hash.
fn believed(folder: &Path) -> io::Result<Option<Vec<Named>>> {
    let Some(current) = tree::small(&folder.join("current"), 25)? else { return Ok(None) };
    let (Some(version), Some(hash)) = (u64_at(&current, 0), current.get(8..24)) else {
        return Ok(None);
    };
    let manifest = match std::fs::read(folder.join(format!("v{version}"))) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let whole = XxHash3_128::oneshot(&manifest).to_le_bytes() == hash;
    let named = if whole { tree::files(&manifest) } else { None };
    Ok(named.map(|list| list.into_iter().filter(|n| n.kind == TABLES).collect()))
}

/// Holds the tables of a database in use against their hashes, past whatever
/// the engine keeps in memory; `pace` is told of every piece that was read, and
/// may wait or end it. What the engine replaces meanwhile is left out.
pub(crate) fn at_rest(
    database: &Path,
    pace: &dyn Fn(usize) -> io::Result<()>,
) -> io::Result<Vec<Damage>> {
    let mut found = Vec::new();
    for (_, folder) in numbered(&database.join("keyspaces"), "", true)?.0 {
        let mut wanted = Vec::new();
        let current = || std::fs::read(folder.join("current")).ok();
        let before = current();
        let damaged = match tree::manifest(&folder, &mut wanted) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        // A manifest that was replaced while it was looked at says nothing.
        found.extend(damaged.filter(|_| current() == before));
        for file in &wanted {
            match tree::contents_paced(file, pace) {
                Ok(looked) => found.extend(looked.err()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // How a disk says that a sector is lost.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    found.extend(Damage::whole(file.path.clone(), "the disk cannot read it"));
                }
                Err(e) => return Err(e),
            }
        }
    }
    Ok(found)
}

/// Damaged, missing and superfluous files of a database; `progress` is told
/// how many bytes of how many were read.
pub(crate) fn survey(
    database: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<Vec<Damage>> {
    let mut found = Vec::new();
    let version = database.join("version");
    if tree::small(&version, 4)?.as_deref() != Some(b"FJL\x03") {
        let what = "the engine's format mark is missing or another";
        found.extend(Damage::whole(version, what));
    }
    let (logs, strange) = numbered(database, ".jnl", false)?;
    if logs.is_empty() {
        found.extend(Damage::whole(database.to_owned(), "no log (*.jnl) is left"));
    }
    for pair in logs.windows(2) {
        if let [(before, _), (id, path)] = pair
            && before.checked_add(1) != Some(*id)
        {
            found.extend(Damage::whole(path.clone(), "the log before it is missing"));
        }
    }
    let (keyspaces, stranger) = numbered(&database.join("keyspaces"), "", true)?;
    let odd = "not a name that the engine gives; move it away";
    found.extend(strange.into_iter().chain(stranger).filter_map(|p| Damage::whole(p, odd)));
    if keyspaces.len() < KEYSPACES {
        let what = "fewer keyspaces than the journal has tables";
        found.extend(Damage::whole(database.join("keyspaces"), what));
    }
    let mut wanted = Vec::new();
    for (_, folder) in &keyspaces {
        found.extend(tree::manifest(folder, &mut wanted)?);
        // The first missing table ends the look at a manifest; here are the rest.
        for named in believed(folder)?.unwrap_or_default() {
            let path = folder.join(TABLES).join(named.id.to_string());
            if !path.try_exists()? && !found.iter().any(|f: &Damage| f.file == path) {
                found.extend(Damage::whole(path, "missing, although the manifest names it"));
            }
        }
    }
    let all = wanted.iter().map(|file| file.bytes).sum();
    let mut done = 0;
    for file in &wanted {
        found.extend(tree::contents(file)?.err());
        done += file.bytes;
        progress(done, all);
    }
    Ok(found)
}
