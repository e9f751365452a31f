//! The files of the log's key.
//!
//! ```text
//! DATA/proof/key         PRIVATE+KEY+name+id+base64, readable by its owner only
//! DATA/proof/key.next    the same, while one key gives way to another
//! DATA/proof/handovers   every handover, oldest first, each followed by an
//!                        empty line; see handover.rs
//! ```
//! A key counts from the moment at which the handover that names it is on disk.
//! So the next key is written first, then the handover, and then it takes the
//! place of the former one, which nobody needs any more. Whoever opens the
//! folder after a crash goes on from what is there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::handover::{self, Handover};
use super::notary::NotaryError;
use super::note::{PublicKey, SecretKey};
use crate::store::{create_folder, sync_folder};

/// The keys of a log.
pub(super) struct Keys {
    /// The one that signs.
    pub(super) key: SecretKey,
    /// Those that signed before, oldest first.
    pub(super) former: Vec<PublicKey>,
}

/// The public key of a data directory, if it has one; changes nothing.
///
/// # Errors
/// When the key cannot be read.
pub fn public_key(data: &Path) -> Result<Option<PublicKey>, NotaryError> {
    let path = data.join("proof/key");
    let text = read_if_there(&path)?;
    text.map(|text| read_key(&path, &text).map(|key| key.public())).transpose()
}

/// All handovers of a data directory's log, as `handovers` has them; empty where
/// the first key still signs.
///
/// # Errors
/// When the file cannot be read.
pub fn handovers(data: &Path) -> Result<String, NotaryError> {
    let text = read_if_there(&data.join("proof/handovers"))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl Keys {
    /// The keys of a folder, if it has one; ends a change of keys that was
    /// broken off.
    pub(super) fn read(folder: &Path) -> Result<Option<Keys>, NotaryError> {
        let (path, next) = (folder.join("key"), folder.join("key.next"));
        let Some(text) = read_if_there(&path)? else { return Ok(None) };
        let mut key = read_key(&path, &text)?;
        let list = folder.join("handovers");
        let handovers = read_if_there(&list)?.unwrap_or_default();
        let handovers = handover::read_all(&handovers)
            .map_err(|why| NotaryError::HandoversDamaged { path: list.clone(), why })?;
        if let Some(Handover { next: wanted, .. }) = handovers.last()
            && *wanted != key.public()
        {
            let text = read_if_there(&next)?;
            let found = text.map(|text| read_key(&next, &text)).transpose()?;
            key = found
                .filter(|found| found.public() == *wanted)
                .ok_or(NotaryError::NextKeyMissing { path, wanted: wanted.to_string() })?;
            settle(folder).map_err(io_at(folder))?;
        } else if next.exists() {
            // No handover names it: it never signed anything that counts.
            fs::remove_file(&next).map_err(io_at(&next))?;
        }
        let former = handovers.into_iter().map(|handover| handover.by).collect();
        Ok(Some(Keys { key, former }))
    }

    /// Makes an empty record, then the key: a key without a record is refused,
    /// so the record must be there first.
    pub(super) fn make(folder: &Path, origin: Option<&str>) -> Result<Keys, NotaryError> {
        let key = match origin {
            Some(origin) => SecretKey::generate(origin),
            None => SecretKey::generate("orrery.local").and_then(|key| {
                let id: String = key.public().id().iter().map(|b| format!("{b:02x}")).collect();
                key.named(&format!("orrery.local/{id}"))
            }),
        };
        let key = key.map_err(NotaryError::Name)?;
        create_folder(folder).map_err(io_at(folder))?;
        let record = folder.join("signed");
        let file = File::options().create(true).append(true).open(&record);
        file.and_then(|file| file.sync_all()).map_err(io_at(&record))?;
        let mut keys = Keys { key, former: Vec::new() };
        keys.keep(folder)?;
        Ok(keys)
    }

    /// Gives a log that has signed nothing yet another name.
    pub(super) fn rename(&mut self, folder: &Path, origin: &str) -> Result<(), NotaryError> {
        self.key = self.key.named(origin).map_err(NotaryError::Name)?;
        self.keep(folder)
    }

    fn keep(&mut self, folder: &Path) -> Result<(), NotaryError> {
        let text = self.key.to_secret_text();
        replace(folder, "key", text.as_bytes(), 0o600).map_err(io_at(folder))
    }

    /// Puts a new key in place of the one that signs. `text` is the checkpoint
    /// over everything that the former one has signed.
    pub(super) fn rotate(&mut self, folder: &Path, text: &str) -> Result<String, NotaryError> {
        let former = self.key.public();
        let next = SecretKey::generate(former.name()).map_err(NotaryError::Name)?;
        let note = handover::sign(text, &self.key, &next).map_err(NotaryError::Name)?;
        let list = folder.join("handovers");
        let mut all = read_if_there(&list)?.unwrap_or_default();
        all.extend_from_slice(note.as_bytes());
        all.push(b'\n');
        replace(folder, "key.next", next.to_secret_text().as_bytes(), 0o600)
            .and_then(|()| replace(folder, "handovers", &all, 0o644))
            .and_then(|()| settle(folder))
            .map_err(io_at(folder))?;
        self.key = next;
        self.former.push(former);
        Ok(note)
    }
}

/// Puts the next key in the place of the former one.
fn settle(folder: &Path) -> io::Result<()> {
    fs::rename(folder.join("key.next"), folder.join("key"))?;
    sync_folder(folder)
}

fn read_key(path: &Path, text: &[u8]) -> Result<SecretKey, NotaryError> {
    let meta = fs::metadata(path).map_err(io_at(path))?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(NotaryError::KeyExposed { path: path.to_owned(), mode });
    }
    SecretKey::parse(&String::from_utf8_lossy(text))
        .map_err(|source| NotaryError::KeyDamaged { path: path.to_owned(), source })
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, NotaryError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_at(path)(source)),
    }
}

pub(super) fn io_at(path: &Path) -> impl FnOnce(io::Error) -> NotaryError + use<> {
    let path = path.to_owned();
    move |source| NotaryError::Io { path, source }
}

/// Puts a file with this content in place of the one with this name; on disk,
/// name and all, on return.
pub(super) fn replace(folder: &Path, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    sync_folder(folder)
}
