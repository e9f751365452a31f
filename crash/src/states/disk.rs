//! A disk that is told what a process did and knows what a power cut may
//! leave of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::trace::{Open, Step};
use crate::random::Random;

/// What is left of the unsynced content of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// Nothing: only what was synced.
    Synced,
    /// The first writes, the one after them torn.
    Prefix,
    /// Lengths, but not the data: zeros.
    Zeros,
}

/// When names are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// As ext4 does it: with any sync, all that was done before.
    Ext4,
    /// As POSIX asks: only with the sync of their own folder.
    Posix,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Len(u64),
}

/// Content without the zeros behind it.
#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    len: u64,
}

impl Content {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { at, bytes } => {
                let (at, end) = (*at as usize, *at as usize + bytes.len());
                if self.bytes.len() < end {
                    self.bytes.resize(end, 0);
                }
                if let Some(place) = self.bytes.get_mut(at..end) {
                    place.copy_from_slice(bytes);
                }
                self.len = self.len.max(end as u64);
            }
            Change::Len(len) => {
                self.bytes.truncate(usize::try_from(*len).unwrap_or(usize::MAX));
                self.len = *len;
            }
        }
    }
}

#[derive(Clone)]
enum Node {
    Folder,
    File { disk: Content, pending: Vec<Change> },
}

type NodeId = usize;

/// A change of names: what goes, what comes. With a folder everything below.
#[derive(Clone)]
struct Naming {
    gone: Option<PathBuf>,
    come: Option<(PathBuf, NodeId)>,
}

/// The disk, and what the system holds of it.
pub struct Disk {
    root: PathBuf,
    names_model: Names,
    /// Negative control: folders are never synced.
    ignore_folders: bool,
    nodes: Vec<Node>,
    now: BTreeMap<PathBuf, NodeId>,
    disk: BTreeMap<PathBuf, NodeId>,
    naming: Vec<Naming>,
    open: BTreeMap<Open, NodeId>,
    /// Where a sync stood when it began: changes of the file, or names.
    syncs: BTreeMap<usize, (NodeId, usize, Vec<Naming>)>,
}

fn rename(names: &mut BTreeMap<PathBuf, NodeId>, naming: &Naming) {
    let mut moved = Vec::new();
    if let Some(gone) = &naming.gone {
        let below: Vec<_> = names.keys().filter(|path| path.starts_with(gone)).cloned().collect();
        for path in below {
            if let Some(node) = names.remove(&path) {
                moved.push((path, node));
            }
        }
    }
    if let Some((to, node)) = &naming.come {
        names.insert(to.clone(), *node);
        if let Some(gone) = &naming.gone {
            for (path, node) in moved {
                if let Ok(rest) = path.strip_prefix(gone)
                    && !rest.as_os_str().is_empty()
                {
                    names.insert(to.join(rest), node);
                }
            }
        }
    }
}

impl Naming {
    fn is_in(&self, folder: &Path) -> bool {
        let path = self.come.as_ref().map(|(path, _)| path).or(self.gone.as_ref());
        path.and_then(|path| path.parent()) == Some(folder)
    }
}

impl Disk {
    /// A disk that holds an empty folder.
    #[must_use]
    pub fn new(root: &Path, names: Names, ignore_folders: bool) -> Disk {
        let start = BTreeMap::from([(root.to_owned(), 0)]);
        Disk {
            root: root.to_owned(),
            names_model: names,
            ignore_folders,
            nodes: vec![Node::Folder],
            now: start.clone(),
            disk: start,
            naming: Vec::new(),
            open: BTreeMap::new(),
            syncs: BTreeMap::new(),
        }
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.now, &naming);
        self.naming.push(naming);
    }

    fn create(&mut self, path: &Path, node: Node) -> NodeId {
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.name(Naming { gone: None, come: Some((path.to_owned(), id)) });
        id
    }

    fn change(&mut self, open: Open, change: Change) -> bool {
        let node = self.open.get(&open).and_then(|node| self.nodes.get_mut(*node));
        if let Some(Node::File { pending, .. }) = node {
            pending.push(change);
            return true;
        }
        false
    }

    /// Takes a step; whether it changed anything on the disk or in the system.
    pub fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::Open { open, path, create, empty } => {
                if !path.starts_with(&self.root) {
                    return false;
                }
                let found = self.now.get(path).copied();
                let fresh = || Node::File { disk: Content::default(), pending: Vec::new() };
                let node = match found {
                    None if *create => self.create(path, fresh()),
                    None => return false,
                    Some(node) => node,
                };
                self.open.insert(*open, node);
                let emptied = *empty && found.is_some() && self.change(*open, Change::Len(0));
                found.is_none() || emptied
            }
            Step::Write { open, at, bytes } => {
                self.change(*open, Change::Write { at: *at, bytes: bytes.clone() })
            }
            Step::SetLen { open, len } => self.change(*open, Change::Len(*len)),
            Step::Folder { path } => {
                let known = self.now.contains_key(path) || !path.starts_with(&self.root);
                if !known {
                    self.create(path, Node::Folder);
                }
                !known
            }
            Step::Rename { from, to } => {
                let Some(node) = self.now.get(from).copied() else { return false };
                self.name(Naming { gone: Some(from.clone()), come: Some((to.clone(), node)) });
                true
            }
            Step::Remove { path } => {
                let known = self.now.contains_key(path);
                if known {
                    self.name(Naming { gone: Some(path.clone()), come: None });
                }
                known
            }
            Step::SyncBegins { open, sync } => {
                if let Some(node) = self.open.get(open) {
                    let changes = match self.nodes.get(*node) {
                        Some(Node::File { pending, .. }) => pending.len(),
                        _ => 0,
                    };
                    self.syncs.insert(*sync, (*node, changes, self.naming.clone()));
                }
                false
            }
            Step::SyncEnds { sync } => self.sync(*sync),
            Step::Acknowledged(_) => false,
        }
    }

    fn sync(&mut self, sync: usize) -> bool {
        let Some((id, changes, names)) = self.syncs.remove(&sync) else { return false };
        let mut folder = None;
        match self.nodes.get_mut(id) {
            Some(Node::File { disk, pending }) => {
                // Another sync of the file may have taken some of them.
                let changes = changes.min(pending.len());
                pending.drain(..changes).for_each(|change| disk.apply(&change));
            }
            Some(Node::Folder) => {
                folder =
                    self.now.iter().find(|(_, node)| **node == id).map(|(path, _)| path.clone());
            }
            None => {}
        }
        if self.names_model == Names::Ext4 && !(self.ignore_folders && folder.is_some()) {
            // What was done before the sync began, in its order.
            let done = names.len().min(self.naming.len());
            self.naming.drain(..done).for_each(|naming| rename(&mut self.disk, &naming));
        } else if let Some(folder) = folder.filter(|_| !self.ignore_folders) {
            let (now, later) =
                std::mem::take(&mut self.naming).into_iter().partition(|n| n.is_in(&folder));
            self.naming = later;
            let now: Vec<Naming> = now;
            now.iter().for_each(|naming| rename(&mut self.disk, naming));
        }
        true
    }

    /// Writes one of the states that a power cut may leave to a folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn build(&self, to: &Path, model: Model, random: &mut Random) -> Result<()> {
        let mut names = self.disk.clone();
        if model != Model::Synced {
            // Names of one folder reach the disk in their order, folders apart.
            let mut left: BTreeMap<Option<PathBuf>, u64> = BTreeMap::new();
            let parent = |naming: &Naming| {
                let path = naming.come.as_ref().map(|(path, _)| path).or(naming.gone.as_ref());
                path.and_then(|path| path.parent()).map(Path::to_owned)
            };
            for naming in &self.naming {
                *left.entry(parent(naming)).or_default() += 1;
            }
            for count in left.values_mut() {
                *count = random.below(*count + 1);
            }
            for naming in &self.naming {
                if let Some(count) = left.get_mut(&parent(naming)).filter(|count| **count > 0) {
                    *count -= 1;
                    rename(&mut names, naming);
                }
            }
        }
        for (path, node) in &names {
            let Ok(rest) = path.strip_prefix(&self.root) else { continue };
            let to = to.join(rest);
            match self.nodes.get(*node) {
                Some(Node::Folder) => fs::create_dir_all(&to)?,
                // A file whose folder is not there cannot be reached.
                Some(Node::File { disk, pending }) if to.parent().is_some_and(Path::is_dir) => {
                    let content = settle(disk, pending, model, random);
                    let used = content.bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                    let mut file = fs::File::create(&to).context("creating a file")?;
                    file.write_all(content.bytes.get(..used).unwrap_or_default())?;
                    file.set_len(content.len)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The content of a file after a power cut.
fn settle(disk: &Content, pending: &[Change], model: Model, random: &mut Random) -> Content {
    let mut out = disk.clone();
    match model {
        Model::Synced => {}
        Model::Prefix => {
            let whole = random.below(pending.len() as u64 + 1) as usize;
            pending.iter().take(whole).for_each(|change| out.apply(change));
            if let Some(Change::Write { at, bytes }) = pending.get(whole)
                && random.below(2) == 0
            {
                let len = random.below(bytes.len() as u64 + 1) as usize;
                let bytes = bytes.get(..len).unwrap_or_default().to_vec();
                out.apply(&Change::Write { at: *at, bytes });
            }
        }
        Model::Zeros => {
            for change in pending {
                match change {
                    Change::Write { at, bytes } => out.len = out.len.max(at + bytes.len() as u64),
                    Change::Len(_) => out.apply(change),
                }
            }
        }
    }
    out
}
