//! Files in memory that fail by seed and can show what a power cut leaves.
//!
//! The disk of this model keeps what was synced. Of what was not, a power cut
//! keeps any sectors of any writes in any order, any changes of length and any
//! changes of names that their folder was not synced for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Files, How, OpenFile};
use crate::fault::{Dice, Faults};

/// What a disk writes at once or not at all.
const SECTOR: usize = 512;

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Len(usize),
}

#[derive(Clone, Default)]
struct Node {
    now: Vec<u8>,
    disk: Vec<u8>,
    /// Changes in `now` that are not in `disk`, in order.
    pending: Vec<Change>,
}

fn apply(change: &Change, to: &mut Vec<u8>) {
    match change {
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            if to.len() < end {
                to.resize(end, 0);
            }
            if let Some(place) = to.get_mut(*at..end) {
                place.copy_from_slice(bytes);
            }
        }
        Change::Len(len) => to.resize(*len, 0),
    }
}

impl Node {
    fn change(&mut self, change: Change) {
        apply(&change, &mut self.now);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&change, &mut self.disk);
        }
    }

    /// Puts any part of the unsynced changes on disk and forgets the others.
    fn settle(&mut self, dice: &mut Dice) {
        // All and nothing must happen, too, and chance alone rarely brings them.
        let habit = dice.below(4);
        let keeps = move |dice: &mut Dice| match habit {
            0 => false,
            1 => true,
            _ => dice.coin(),
        };
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { at, bytes } => {
                    let mut done = 0;
                    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
                        let len = (SECTOR - (at + done) % SECTOR).min(rest.len());
                        let piece = rest.get(..len).unwrap_or_default().to_vec();
                        if keeps(dice) {
                            let change = Change::Write { at: at + done, bytes: piece };
                            apply(&change, &mut self.disk);
                        }
                        done += len;
                    }
                }
                Change::Len(_) => {
                    if keeps(dice) {
                        apply(&change, &mut self.disk);
                    }
                }
            }
        }
    }
}

/// A change of names in one folder: a name that goes, a name that comes.
#[derive(Clone)]
struct Naming {
    folder: PathBuf,
    gone: Option<PathBuf>,
    come: Option<(PathBuf, usize)>,
}

#[derive(Clone)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    disk_names: BTreeMap<PathBuf, usize>,
    naming: Vec<Naming>,
    folders: BTreeSet<PathBuf>,
    dice: Dice,
}

/// Files in memory; clones share them.
#[derive(Clone)]
pub struct FaultyFiles {
    state: Arc<Mutex<State>>,
}

fn above(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

fn injected() -> io::Error {
    io::Error::other("injected fault")
}

fn rename(names: &mut BTreeMap<PathBuf, usize>, naming: &Naming) {
    if let Some(gone) = &naming.gone {
        names.remove(gone);
    }
    if let Some((path, node)) = &naming.come {
        names.insert(path.clone(), *node);
    }
}

impl FaultyFiles {
    /// No files, and faults by seed.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> FaultyFiles {
        let state = State {
            nodes: Vec::new(),
            names: BTreeMap::new(),
            disk_names: BTreeMap::new(),
            naming: Vec::new(),
            folders: BTreeSet::new(),
            dice: Dice::new(seed, faults),
        };
        FaultyFiles { state: Arc::new(Mutex::new(state)) }
    }

    /// Other faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().dice.faults = faults;
    }

    /// Faults that were given so far.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.lock().dice.given
    }

    /// What the next process finds when this one is killed now: everything
    /// that was done, synced or not.
    #[must_use]
    pub fn kill_image(&self) -> FaultyFiles {
        FaultyFiles { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// What a power cut at this moment leaves; which parts of the unsynced is
    /// up to `seed`. The image has no faults.
    #[must_use]
    pub fn crash_image(&self, seed: u64) -> FaultyFiles {
        let mut state = self.lock().clone();
        let mut dice = Dice::new(seed, Faults::NONE);
        for node in &mut state.nodes {
            node.settle(&mut dice);
            node.now.clone_from(&node.disk);
        }
        for naming in std::mem::take(&mut state.naming) {
            if dice.coin() {
                rename(&mut state.disk_names, &naming);
            }
        }
        state.names.clone_from(&state.disk_names);
        state.dice = dice;
        FaultyFiles { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Handle {
    files: FaultyFiles,
    node: usize,
}

impl Handle {
    fn node<T>(&self, f: impl FnOnce(&mut Node, &mut Dice) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.files.lock();
        let State { nodes, dice, .. } = &mut *state;
        std::thread::sleep(dice.delay());
        match nodes.get_mut(self.node) {
            Some(node) => f(node, dice),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl OpenFile for Handle {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.node(|node, _| {
            let rest = node.now.get(at as usize..).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
                to.copy_from_slice(from);
            }
            Ok(len)
        })
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.node(|node, dice| {
            let faults = dice.faults;
            let (full, fails) = (dice.happens(faults.full), dice.happens(faults.write));
            let short = bytes.len() > 1 && dice.happens(faults.short);
            let len = match (full || fails, short) {
                (true, _) => dice.below(bytes.len() + 1),
                (false, true) => 1 + dice.below(bytes.len() - 1),
                _ => bytes.len(),
            };
            let bytes = bytes.get(..len).unwrap_or_default().to_vec();
            node.change(Change::Write { at: at as usize, bytes });
            match (full, fails) {
                (true, _) => Err(io::ErrorKind::StorageFull.into()),
                (_, true) => Err(injected()),
                _ => Ok(len),
            }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.node(|node, dice| {
            if dice.happens(dice.faults.write) {
                return Err(injected());
            }
            node.change(Change::Len(len as usize));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.node(|node, _| Ok(node.now.len() as u64))
    }

    fn sync(&self) -> io::Result<()> {
        self.node(|node, dice| {
            let faults = dice.faults;
            if dice.happens(faults.sync) {
                node.settle(dice);
                return Err(injected());
            }
            if !dice.happens(faults.lie) {
                node.sync();
            }
            Ok(())
        })
    }
}

impl Files for FaultyFiles {
    fn open(&self, path: &Path, how: How) -> io::Result<Box<dyn OpenFile>> {
        let mut state = self.lock();
        let found = state.names.get(path).copied();
        let node = match (how, found) {
            (How::Existing | How::Read, None) => return Err(io::ErrorKind::NotFound.into()),
            (How::New, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (How::Empty, Some(node)) => {
                if let Some(node) = state.nodes.get_mut(node) {
                    node.change(Change::Len(0));
                }
                node
            }
            (_, Some(node)) => node,
            (How::Create | How::Empty | How::New, None) => {
                if !state.folders.contains(&above(path)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.nodes.push(Node::default());
                let node = state.nodes.len() - 1;
                let come = Some((path.to_owned(), node));
                let naming = Naming { folder: above(path), gone: None, come };
                rename(&mut state.names, &naming);
                state.naming.push(naming);
                node
            }
        };
        Ok(Box::new(Handle { files: self.clone(), node }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.lock();
        Ok(state.names.contains_key(path) || state.folders.contains(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.lock();
        if !state.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = state.names.keys().chain(&state.folders);
        let mut paths: Vec<_> = all.filter(|path| above(path) == folder).cloned().collect();
        paths.sort();
        Ok(paths)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let folders = folder.ancestors().map(Path::to_owned);
        self.lock().folders.extend(folders);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let fails = state.dice.faults.rename;
        let fails = state.dice.happens(fails);
        let Some(node) = state.names.get(from).copied() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if !fails || state.dice.coin() {
            let (gone, come) = (Some(from.to_owned()), Some((to.to_owned(), node)));
            let naming = Naming { folder: above(to), gone, come };
            rename(&mut state.names, &naming);
            state.naming.push(naming);
        }
        if fails { Err(injected()) } else { Ok(()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let naming = Naming { folder: above(path), gone: Some(path.to_owned()), come: None };
        rename(&mut state.names, &naming);
        state.naming.push(naming);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let faults = state.dice.faults;
        let fails = state.dice.happens(faults.sync);
        let (now, later) = std::mem::take(&mut state.naming)
            .into_iter()
            .partition::<Vec<_>, _>(|naming| naming.folder == folder);
        state.naming = later;
        for naming in now {
            if !fails || state.dice.coin() {
                rename(&mut state.disk_names, &naming);
            }
        }
        if fails { Err(injected()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(files: &FaultyFiles, path: &str, bytes: &[u8]) -> io::Result<Box<dyn OpenFile>> {
        files.create_folder(&above(Path::new(path)))?;
        let file = files.open(Path::new(path), How::Create)?;
        file.write_all_at(bytes, 0)?;
        Ok(file)
    }

    fn found(files: &FaultyFiles, path: &str) -> Option<Vec<u8>> {
        files.read(Path::new(path), 10_000).ok()
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_may_go() -> io::Result<()> {
        let files = FaultyFiles::new(1, Faults::NONE);
        put(&files, "a/safe", &[1; 2_000])?.sync()?;
        files.sync_folder(Path::new("a"))?;
        put(&files, "a/nameless", &[2; 9])?.sync()?;
        let file = put(&files, "a/safe", &[3; 2_000])?;
        assert_eq!(found(&files, "a/safe").as_deref(), Some([3; 2_000].as_slice()));
        let images = (0..100).map(|seed| files.crash_image(seed));
        let (mut torn, mut lost) = (0, 0);
        for image in images {
            let safe = found(&image, "a/safe").expect("its name was synced");
            assert_eq!(safe.len(), 2_000);
            torn += u32::from(safe.contains(&1) && safe.contains(&3));
            lost += u32::from(found(&image, "a/nameless").is_none());
        }
        assert!(torn > 10 && lost > 10, "{torn} torn, {lost} lost");
        file.sync()?;
        files.sync_folder(Path::new("a"))?;
        let image = files.crash_image(7);
        assert_eq!(found(&image, "a/safe"), Some(vec![3; 2_000]));
        assert_eq!(found(&image, "a/nameless"), Some(vec![2; 9]));
        Ok(())
    }

    #[test]
    fn a_failed_sync_does_not_try_again() -> io::Result<()> {
        let mut lost = 0;
        for seed in 0..50 {
            let files = FaultyFiles::new(seed, Faults { sync: 1000, ..Faults::NONE });
            let file = put(&files, "f/x", &[1; 100])?;
            assert!(file.sync().is_err());
            files.set_faults(Faults::NONE);
            file.sync()?;
            files.sync_folder(Path::new("f"))?;
            assert_eq!(found(&files, "f/x"), Some(vec![1; 100]), "seen, though not on disk");
            lost += u32::from(found(&files.crash_image(0), "f/x") != Some(vec![1; 100]));
        }
        assert!(lost > 5, "{lost}");
        Ok(())
    }

    #[test]
    fn a_short_write_goes_on_where_it_stopped() -> io::Result<()> {
        let files = FaultyFiles::new(3, Faults { short: 900, ..Faults::NONE });
        let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        put(&files, "f/x", &bytes)?;
        assert_eq!(found(&files, "f/x"), Some(bytes));
        assert!(files.given() > 1);
        Ok(())
    }
}
