//! What the publisher knows of what readers hold. No I/O.
//!
//! Bounded: one record per family, and for the heatmap the keys of tiles that a
//! reader may hold although we cannot be sure.

mod held;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orrery_journal::units::Address;
use orrery_replay::artifact::{Artifact, Header};

use crate::projector::registry::{Bus, RegisteredKey};
use crate::projector::render::heatmap::tile_keys;
use crate::projector::render::{Rendering, Write};
use crate::shelf::ShelfKey;

/// A version that was stored and announced.
pub(super) struct Delivered {
    pub artifact: Arc<Artifact>,
    pub paired: u64,
    pub stamp_us: i64,
    pub meta: RegisteredKey,
    pub documents: Vec<Document>,
}

/// A stored document, by what it takes to recognise it.
#[derive(Clone)]
pub(super) struct Document {
    pub bus: Bus,
    pub key: RegisteredKey,
    len: i64,
    hash: Address,
}

impl Delivered {
    /// The documents of a rendering that can be compared with what Redis holds.
    pub(super) fn documents(rendering: &Rendering, one_server: bool) -> Vec<Document> {
        let replaced = rendering.puts.iter().filter(|put| put.write == Write::Replace);
        let document = |put: &crate::projector::render::Put| Document {
            bus: if one_server { Bus::Market } else { put.key.entry().bus },
            key: put.key.clone(),
            len: i64::try_from(put.value.len()).unwrap_or(i64::MAX),
            hash: Address::of(&put.value),
        };
        replaced.map(document).collect()
    }
}

/// What readers of a heatmap may hold.
#[derive(Default)]
struct Doubt {
    /// Keys of tiles that somebody may hold; emptied when a delivery is certain.
    ghosts: BTreeSet<String>,
    /// Connection on which what Redis holds was last looked up, or on which the
    /// last delivery was acknowledged; 0 is none.
    learned: u64,
    /// Connection whose last delivery is certain; 0 is none.
    certain: u64,
}

/// Set aside: not sent again until something changes.
struct Aside {
    version: u64,
    paired: u64,
    /// It cannot become right by waiting.
    for_good: bool,
}

/// The publisher's memory.
#[derive(Default)]
pub(super) struct Ledger {
    delivered: BTreeMap<ShelfKey, Delivered>,
    /// Lost by Redis: to be sent again, whatever the scripts think.
    lost: BTreeSet<ShelfKey>,
    aside: BTreeMap<ShelfKey, Aside>,
    /// Families whose trouble has been reported.
    reported: BTreeSet<ShelfKey>,
    doubts: BTreeMap<ShelfKey, Doubt>,
    /// Newest gravity version that is delivered or about to be.
    gravity: BTreeMap<Box<str>, u64>,
    /// How many documents of a symbol were read back, by bus.
    samples: BTreeMap<(Box<str>, Bus), usize>,
    /// Families of epochs that are over: their last version, and whether their
    /// keys have been told.
    over: BTreeMap<ShelfKey, (u64, bool)>,
}

impl Ledger {
    /// The families of one symbol whose newest version is not delivered yet.
    pub(super) fn due(&mut self, artifacts: Vec<Arc<Artifact>>) -> Vec<Arc<Artifact>> {
        for artifact in artifacts.iter().filter(|a| &*a.header.family == "gravity") {
            let key = key_of(&artifact.header);
            // A version that cannot be delivered is never named by another document.
            if self.aside.get(&key).is_none_or(|aside| aside.version != artifact.header.version) {
                self.gravity.insert(key.0, artifact.header.version);
            }
        }
        artifacts.into_iter().filter(|artifact| self.is_due(&artifact.header)).collect()
    }

    fn is_due(&self, header: &Header) -> bool {
        let key = key_of(header);
        if self.over.contains_key(&key) {
            return false;
        }
        let now = (header.version, self.paired(&key));
        if self.aside.get(&key).is_some_and(|aside| (aside.version, aside.paired) == now) {
            return false;
        }
        let held = self.delivered.get(&key).map(|d| (d.artifact.header.version, d.paired));
        self.lost.contains(&key) || held.is_none_or(|held| held < now)
    }

    /// The second number that decides whether a family's documents are new: a
    /// context names the gravity artifact beside it.
    pub(super) fn paired(&self, key: &ShelfKey) -> u64 {
        match &*key.1 {
            "context" => self.gravity.get(&key.0).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// The families of one symbol that only an epoch before the active one
    /// published, and whose keys have not been told so.
    pub(super) fn over(&mut self, artifacts: &[Arc<Artifact>]) -> Vec<Arc<Artifact>> {
        let Some(active) = artifacts.iter().find(|a| &*a.header.family == "epoch") else {
            return Vec::new();
        };
        let (mut over, mut untold) = (BTreeMap::new(), Vec::new());
        for artifact in artifacts {
            let header = &artifact.header;
            if header.epoch.is_none()
                || header.epoch == active.header.epoch
                || header.seq_last >= active.header.seq_last
            {
                continue;
            }
            let key = key_of(header);
            let told = self.over.get(&key) == Some(&(header.version, true));
            over.insert(key, (header.version, told));
            if !told {
                untold.push(artifact.clone());
            }
        }
        let symbol = &active.header.symbol;
        self.over.retain(|key, _| key.0 != *symbol);
        self.over.append(&mut over);
        untold
    }

    /// The keys of a family that is over have been told.
    pub(super) fn retired(&mut self, key: ShelfKey, version: u64) {
        self.over.insert(key, (version, true));
    }

    /// Symbols of which anything was delivered.
    pub(super) fn symbols(&self) -> BTreeSet<Box<str>> {
        self.delivered.keys().map(|key| key.0.clone()).collect()
    }

    /// Version and stamp of the last delivery.
    pub(super) fn last(&self, key: &ShelfKey) -> Option<(u64, i64)> {
        self.delivered.get(key).map(|d| (d.artifact.header.version, d.stamp_us))
    }

    /// Whether it must be written although Redis claims to hold it.
    pub(super) fn forced(&self, key: &ShelfKey) -> bool {
        self.lost.contains(key)
    }

    /// The body that every reader holds, where that is certain.
    pub(super) fn tiles(&self, key: &ShelfKey, generation: u64) -> Option<&[u8]> {
        let doubt = self.doubts.get(key)?;
        (doubt.certain == generation).then_some(())?;
        self.delivered.get(key).map(|d| &*d.artifact.body)
    }

    /// Keys of tiles that some reader may hold.
    pub(super) fn ghosts(&self, key: &ShelfKey) -> Option<&BTreeSet<String>> {
        self.doubts.get(key).map(|doubt| &doubt.ghosts)
    }

    pub(super) fn needs_ghosts(&self, key: &ShelfKey, generation: u64) -> bool {
        self.doubts.get(key).is_none_or(|doubt| doubt.learned != generation)
    }

    /// Takes the tiles of what Redis holds, and of what was delivered last.
    pub(super) fn learn_ghosts(&mut self, key: &ShelfKey, held: Option<&[u8]>, generation: u64) {
        let delivered = self.delivered.get(key).map(|d| d.artifact.body.clone());
        let doubt = self.doubts.entry(key.clone()).or_default();
        doubt.learned = generation;
        doubt.certain = 0;
        for document in held.into_iter().chain(delivered.as_deref()) {
            doubt.ghosts.extend(tile_keys(document));
        }
    }

    /// A delivery whose outcome is unknown: readers may hold its tiles.
    pub(super) fn doubt(&mut self, key: &ShelfKey, artifact: &Artifact) {
        if &*key.1 != "heatmap" {
            return;
        }
        let delivered = self.delivered.get(key).map(|d| d.artifact.body.clone());
        let doubt = self.doubts.entry(key.clone()).or_default();
        doubt.certain = 0;
        for document in [Some(&artifact.body), delivered.as_ref()].into_iter().flatten() {
            doubt.ghosts.extend(tile_keys(document));
        }
    }

    /// Not again, until something changes. Returns whether this is news.
    pub(super) fn set_aside(
        &mut self,
        key: &ShelfKey,
        version: u64,
        paired: u64,
        for_good: bool,
    ) -> bool {
        self.aside.insert(key.clone(), Aside { version, paired, for_good });
        if for_good && &*key.1 == "gravity" {
            let held = self.last(key).map_or(0, |(version, _)| version);
            self.gravity.insert(key.0.clone(), held);
        }
        self.reported.insert(key.clone())
    }

    /// What was set aside because of what Redis holds is tried again.
    pub(super) fn reconsider(&mut self) {
        self.aside.retain(|_, aside| aside.for_good);
    }

    /// It is stored and announced.
    pub(super) fn delivered(&mut self, key: ShelfKey, delivered: Delivered, generation: u64) {
        self.lost.remove(&key);
        self.aside.remove(&key);
        self.reported.remove(&key);
        if &*key.1 == "heatmap" {
            let certain = Doubt { certain: generation, learned: generation, ..Doubt::default() };
            self.doubts.insert(key.clone(), certain);
        }
        self.delivered.insert(key, delivered);
    }

    /// Redis no longer holds it.
    pub(super) fn lose(&mut self, key: &ShelfKey) {
        self.lost.insert(key.clone());
    }
}

fn key_of(header: &Header) -> ShelfKey {
    (header.symbol.clone(), header.family.clone())
}

#[cfg(test)]
mod tests;
