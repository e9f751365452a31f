//! The engine's files read without the engine, as far as they can be read.
//!
//! The engine changes damaged files when it opens them, and stops at the first
//! thing it cannot read. This reads every log and every table to its end, steps
//! over what is damaged, notes where that was, and shows the rest as a store
//! that cannot be written. Nothing here writes.
//!
//! What comes out is not to be trusted: a value from a damaged block is shown
//! too, behind all sound ones. Everything the journal keeps carries a hash of
//! its own, and whoever reads here checks it.

pub(crate) mod derived;
mod log;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::format::canon::Label;
use crate::open::preflight;
use crate::store::{Batch, Durability, Pair, Store, StoreError, Table};
use crate::units::Seq;
use crate::{format::frame, format::page, keys};

/// A damaged place of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Scar {
    pub file: PathBuf,
    pub offset: u64,
    /// How much of the file is concerned; 0: unknown.
    pub bytes: u64,
    /// The table whose values lie there.
    pub table: Option<Table>,
    /// Keys that lie right before and right behind, in the same file.
    pub between: (Option<Bytes>, Option<Bytes>),
    /// Events that seem to lie there.
    pub events: Option<(Seq, Seq)>,
    pub what: String,
}

impl Scar {
    /// A file that is wrong as a whole.
    pub(crate) fn whole(file: PathBuf, what: &str) -> Scar {
        let what = what.to_owned();
        Scar { file, offset: 0, bytes: 0, table: None, between: (None, None), events: None, what }
    }
}

/// Where a value lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    /// From a block or a batch that does not match its checksum.
    suspect: bool,
    /// The engine's number: of two values of a key the higher one counts.
    seqno: u64,
    /// Removed, not set.
    dead: bool,
    file: u32,
    /// Of the value in a log; of its block in a table.
    at: u64,
    /// Position in the block; `None` for a log.
    inside: Option<u32>,
    len: u32,
}

/// A block, unpacked.
struct Held {
    file: u32,
    at: u64,
    data: Bytes,
}

/// Everything readable of a database, by table and key.
pub(crate) struct RawStore {
    files: Vec<PathBuf>,
    places: BTreeMap<&'static str, BTreeMap<Bytes, Vec<Place>>>,
    /// The block read last: values are mostly asked for in their order.
    held: Mutex<Option<Held>>,
    /// What is damaged, file by file.
    pub scars: Vec<Scar>,
    /// Where the unreadable end of the last log begins, and its length.
    pub unfinished: Option<(PathBuf, u64, u64)>,
}

/// Reads all logs and tables of a database, of the log that `end` names only
/// what lies before that place. `progress` is told how many bytes of how many
/// were read.
pub(crate) fn read(
    database: &Path,
    end: Option<(&Path, u64)>,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<RawStore> {
    let mut store = RawStore {
        files: Vec::new(),
        places: keys::ALL.iter().map(|t| (t.name, BTreeMap::new())).collect(),
        held: Mutex::new(None),
        scars: Vec::new(),
        unfinished: None,
    };
    let preflight::Files { logs, tables } = preflight::files(database)?;
    let mut names = BTreeMap::new();
    for file in tables.iter().filter(|file| file.keyspace == 0) {
        read_names(&file.path, &mut names)?;
    }
    let of = |id: u64| -> Option<Table> {
        let named = names.get(&id).map(String::as_str);
        // Without the engine's own list: tables are created in this order.
        let nth = || keys::ALL.get(usize::try_from(id.checked_sub(1)?).ok()?).copied();
        match named {
            Some(name) => keys::ALL.into_iter().find(|t| t.name == name),
            None => nth(),
        }
    };
    let len = |path: &Path| std::fs::metadata(path).map(|m| m.len()).unwrap_or_default();
    let all = tables.iter().map(|t| len(&t.path)).chain(logs.iter().map(|l| len(l))).sum();
    let mut done = 0;
    for file in &tables {
        store.take_table(&file.path, file.raise, of(file.keyspace))?;
        done += len(&file.path);
        progress(done, all);
    }
    let mut seqno = 0;
    for (at, path) in logs.iter().enumerate() {
        let end = end.filter(|(log, _)| log == path).map(|(_, end)| end);
        store.take_log(path, end, &of, &mut seqno, at + 1 == logs.len())?;
        done += len(path);
        progress(done, all);
    }
    for places in store.places.values_mut().flat_map(BTreeMap::values_mut) {
        places.sort_by_key(|p| (p.suspect, std::cmp::Reverse(p.seqno)));
    }
    Ok(store)
}

/// The names of keyspaces, from the engine's own one.
fn read_names(path: &Path, names: &mut BTreeMap<u64, String>) -> io::Result<()> {
    table::walk(path, &mut |block| {
        let Some(data) = block.unpacked(None) else { return };
        for item in table::items(&data).0 {
            let id = item.key.strip_prefix(b"n").and_then(Seq::from_key);
            let name = data.get(item.value.clone()).map(String::from_utf8_lossy);
            if let (Some(id), Some(name), true) = (id, name, block.whole) {
                names.insert(id.0, name.into_owned());
            }
        }
    })?;
    Ok(())
}

impl RawStore {
    fn file(&mut self, path: &Path) -> u32 {
        self.files.push(path.to_owned());
        self.files.len() as u32 - 1
    }

    fn place(&mut self, table: Table, key: Bytes, place: Place) {
        if let Some(places) = self.places.get_mut(table.name) {
            places.entry(key).or_default().push(place);
        }
    }

    fn take_table(&mut self, path: &Path, raise: u64, table: Option<Table>) -> io::Result<()> {
        let file = self.file(path);
        let mut scars: Vec<Scar> = Vec::new();
        // Scars whose key behind is still to come.
        let mut open = 0;
        let mut before: Option<Bytes> = None;
        let mut found = Vec::new();
        let ends = table::walk(path, &mut |block| {
            let mut good = block.whole;
            let is_data = block.kind == table::DATA;
            if is_data {
                let data = block.unpacked(table).unwrap_or_default();
                let (items, complete) = table::items(&data);
                good &= complete;
                if good && let (Some(first), Some(last)) = (items.first(), items.last()) {
                    for scar in scars.get_mut(open..).into_iter().flatten() {
                        scar.between.1 = Some(first.key.clone());
                    }
                    open = scars.len();
                    before = Some(last.key.clone());
                }
                for item in items {
                    let place = Place {
                        suspect: !good,
                        seqno: item.seqno.saturating_add(raise),
                        dead: item.dead,
                        file,
                        at: block.at,
                        inside: Some(item.value.start as u32),
                        len: item.value.len() as u32,
                    };
                    found.push((item.key, place));
                }
            }
            if !good {
                scars.push(Scar {
                    file: path.to_owned(),
                    offset: block.at,
                    bytes: block.len,
                    table: table.filter(|_| is_data),
                    between: (before.clone().filter(|_| is_data), None),
                    events: None,
                    what: block.what().to_owned(),
                });
            }
        })?;
        scars.extend(ends.map(|(offset, bytes)| Scar {
            offset,
            bytes,
            ..Scar::whole(path.to_owned(), "the table's list of contents is damaged")
        }));
        self.scars.append(&mut scars);
        if let Some(table) = table {
            for (key, place) in found {
                self.place(table, key, place);
            }
        }
        Ok(())
    }

    fn take_log(
        &mut self,
        path: &Path,
        end: Option<u64>,
        of: &dyn Fn(u64) -> Option<Table>,
        seqno: &mut u64,
        last: bool,
    ) -> io::Result<()> {
        let file = self.file(path);
        let mut bytes = Vec::new();
        File::open(path)?.take(end.unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        let bytes = bytes.get(..used).unwrap_or_default();
        let mut walk = log::Walk::new(bytes, *seqno);
        while let Some(piece) = walk.next() {
            let (suspect, items) = match piece {
                log::Piece::Batch(items) => (false, items),
                log::Piece::Damage { at, end, items } => {
                    let events = items
                        .iter()
                        .filter_map(|item| covered(item, bytes))
                        .reduce(|(low, high), (first, last)| (low.min(first), high.max(last)));
                    let (offset, bytes) = (at as u64, (end - at) as u64);
                    if end == used && last {
                        self.unfinished = Some((path.to_owned(), offset, bytes));
                    } else {
                        let what = "a batch of the log does not match its checksum";
                        self.scars.push(Scar {
                            offset,
                            bytes,
                            events,
                            ..Scar::whole(path.to_owned(), what)
                        });
                    }
                    (true, items)
                }
            };
            for item in items {
                let Some(table) = of(item.keyspace) else { continue };
                let place = Place {
                    suspect,
                    seqno: item.seqno,
                    dead: item.dead,
                    file,
                    at: item.value.start as u64,
                    inside: None,
                    len: item.value.len() as u32,
                };
                self.place(table, item.key, place);
            }
        }
        *seqno = walk.seqno();
        Ok(())
    }

    fn places(&self, table: Table, key: &[u8]) -> &[Place] {
        self.places.get(table.name).and_then(|t| t.get(key)).map(Vec::as_slice).unwrap_or_default()
    }

    fn value(&self, table: Table, place: &Place) -> io::Result<Bytes> {
        let path = self.files.get(place.file as usize).ok_or(io::ErrorKind::NotFound)?;
        let Some(inside) = place.inside else {
            let mut value = vec![0; place.len as usize];
            File::open(path)?.read_exact_at(&mut value, place.at)?;
            return Ok(value.into());
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|h| (h.file, h.at) != (place.file, place.at)) {
            let data = table::block_at(path, place.at, table)?;
            *held = Some(Held { file: place.file, at: place.at, data });
        }
        let from = inside as usize;
        let data = held.as_ref().map(|h| h.data.clone()).unwrap_or_default();
        match data.get(from..from + place.len as usize) {
            Some(_) => Ok(data.slice(from..from + place.len as usize)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Every value that any version of a key has, the likeliest first; removed
    /// ones as well, because what they say is still true.
    pub(crate) fn candidates(&self, table: Table, key: impl AsRef<[u8]>) -> Vec<Bytes> {
        let places = self.places(table, key.as_ref()).iter();
        places.filter(|p| !p.dead).filter_map(|p| self.value(table, p).ok()).collect()
    }

    /// The file and the offset of the value of a key; for a table, of its block.
    pub(crate) fn locate(&self, table: Table, key: &[u8]) -> Option<(&Path, u64)> {
        let place = self.places(table, key).first()?;
        Some((self.files.get(place.file as usize)?, place.at))
    }

    /// Whether the engine would show the key.
    pub(crate) fn holds(&self, table: Table, key: &[u8]) -> bool {
        self.places(table, key).first().is_some_and(|p| !p.dead)
    }

    /// Whether the engine would show the key, with a value that matches the
    /// checksum of its block.
    pub(crate) fn is_sound(&self, table: Table, key: &[u8]) -> bool {
        self.places(table, key).first().is_some_and(|p| !p.dead && !p.suspect)
    }

    /// The first key from `from` on that the engine would show.
    pub(crate) fn next_key(&self, table: Table, from: &[u8]) -> Option<Bytes> {
        let keys = self.places.get(table.name)?;
        let from = Bytes::copy_from_slice(from);
        let live = |places: &&Vec<Place>| places.first().is_some_and(|p| !p.dead);
        keys.range(from..).find(|(_, places)| live(places)).map(|(key, _)| key.clone())
    }

    /// All keys of a table with any value.
    pub(crate) fn keys(&self, table: Table) -> BTreeSet<Bytes> {
        let keys = self.places.get(table.name).into_iter().flatten();
        keys.filter(|(_, places)| places.iter().any(|p| !p.dead)).map(|(k, _)| k.clone()).collect()
    }
}

/// First and last event of a frame or a page in a log.
fn covered(item: &log::Item, log: &[u8]) -> Option<(Seq, Seq)> {
    let value = log.get(item.value.clone())?;
    let label = Label::parse(value, frame::MAGIC);
    let (label, _) = label.or_else(|_| Label::parse(value, page::STORED_MAGIC)).ok()?;
    Some((label.first, label.last()))
}

fn unreadable(source: io::Error) -> StoreError {
    StoreError::Engine { doing: "reading the engine's files", source: source.into() }
}

impl Store for RawStore {
    fn commit(&self, _: Batch, _: Durability) -> Result<(), StoreError> {
        Err(unreadable(io::ErrorKind::ReadOnlyFilesystem.into()))
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.places(table, key).first() {
            Some(place) if !place.dead => self.value(table, place).map(Some).map_err(unreadable),
            _ => Ok(None),
        }
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        if !to.is_empty() && from >= to {
            return Ok(Vec::new());
        }
        let Some(keys) = self.places.get(table.name) else { return Ok(Vec::new()) };
        let range = keys
            .range(Bytes::copy_from_slice(from)..)
            .take_while(|(key, _)| to.is_empty() || key.as_ref() < to)
            .filter(|(_, places)| places.first().is_some_and(|p| !p.dead));
        let pair = |(key, places): (&Bytes, &Vec<Place>)| {
            let place = places.first().ok_or(io::ErrorKind::NotFound).map_err(io::Error::from);
            let value = place.and_then(|place| self.value(table, place)).map_err(unreadable)?;
            Ok((key.clone(), value))
        };
        if reverse {
            let all: Vec<_> = range.collect();
            all.into_iter().rev().take(limit).map(pair).collect()
        } else {
            range.take(limit).map(pair).collect()
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fjall::FjallStore;

    /// What is read without the engine is what the engine reads: in its log, in
    /// tables, in both, with values that were replaced and removed.
    #[test]
    fn it_reads_what_the_engine_reads() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        let mut x = 9u64;
        let mut random = move |n: u64| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 33) % n
        };
        for round in 0..6 {
            let store = FjallStore::open(&path, &keys::ALL).expect("opens");
            for _ in 0..300 {
                let mut batch = Batch::default();
                for _ in 0..1 + random(6) {
                    let table = keys::ALL[random(6) as usize];
                    let key = match table == keys::BLOBS {
                        true => blake3::hash(&[random(200) as u8]).as_bytes().to_vec(),
                        false => random(5_000).to_be_bytes().to_vec(),
                    };
                    match random(4) {
                        0 => batch.delete(table, key),
                        _ => {
                            let value = vec![random(256) as u8; random(3_000) as usize];
                            batch.put(table, key, value);
                        }
                    }
                }
                store.commit(batch, Durability::Os).expect("commits");
            }
            if round % 2 == 1 {
                store.flush().expect("flushes");
            }
            let engine: Vec<_> = keys::ALL
                .iter()
                .map(|t| store.scan(*t, &[], &[], false, usize::MAX).expect("scans"))
                .collect();
            drop(store);
            let raw = read(&path, None, &mut |_, _| {}).expect("reads");
            assert_eq!(raw.scars, []);
            assert_eq!(raw.unfinished, None);
            for (table, expected) in keys::ALL.iter().zip(engine) {
                let found = raw.scan(*table, &[], &[], false, usize::MAX).expect("scans");
                assert!(found == expected, "{} in round {round}", table.name);
                let last = raw.scan(*table, &[], &[], true, 1).expect("scans");
                assert_eq!(last.first(), expected.last());
            }
        }
    }
}
