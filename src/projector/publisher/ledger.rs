//! What the publisher knows of what readers hold. No I/O.
//!
//! Bounded: one record per family, and for the heatmap the keys of tiles that a
//! reader may hold although we cannot be sure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::units::Address;
use orrery_replay::artifact::{Artifact, Header};

use super::call::HeldVersion;
use crate::projector::registry::{Bus, RegisteredKey};
use crate::projector::render::heatmap::tile_keys;
use crate::projector::render::{EPOCH_FAMILY, Rendering, Write};
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

/// A delivered family as one bus sees it.
pub(super) struct OnBus {
    family: ShelfKey,
    pub meta: RegisteredKey,
    version: u64,
    paired: u64,
    content: String,
    pub documents: Vec<Document>,
}

/// One document to read back.
pub(super) struct Sample {
    pub family: ShelfKey,
    pub key: RegisteredKey,
    hash: Address,
}

impl Sample {
    pub(super) fn matches(&self, found: Option<&[u8]>) -> bool {
        found.is_some_and(|bytes| Address::of(bytes) == self.hash)
    }
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
    samples: usize,
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

    /// The record of the epoch that is being published, numbered by the `seq`
    /// at which it was first seen.
    pub(super) fn active_epoch(
        &self,
        symbol: &str,
        artifacts: &[Arc<Artifact>],
    ) -> Option<Arc<Artifact>> {
        let newest = artifacts
            .iter()
            .filter(|a| a.header.epoch.is_some())
            .max_by_key(|a| (a.header.seq_last, a.header.version))?;
        let key = (Box::from(symbol), Box::from(EPOCH_FAMILY));
        if let Some(held) = self.delivered.get(&key)
            && (held.artifact.header.epoch == newest.header.epoch
                || held.artifact.header.version >= newest.header.seq_last.0)
        {
            return Some(held.artifact.clone());
        }
        let id = newest.header.epoch.map(|id| id.to_string()).unwrap_or_default();
        let body = Bytes::from(format!("{{\"epoch\":\"{id}\"}}"));
        let header = Header {
            family: EPOCH_FAMILY.into(),
            version: newest.header.seq_last.0,
            profile: "epoch/active@1".into(),
            content: Address::of(&body),
            body_len: body.len() as u64,
            previous: Address::default(),
            ..newest.header.clone()
        };
        Some(Arc::new(Artifact { header, body }))
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

    /// Everything delivered that has something on a bus.
    pub(super) fn on_bus(&self, bus: Bus, one_server: bool) -> Vec<OnBus> {
        let mut entries = Vec::new();
        for (family, delivered) in &self.delivered {
            let documents: Vec<_> =
                delivered.documents.iter().filter(|d| d.bus == bus).cloned().collect();
            if documents.is_empty() && !one_server {
                continue;
            }
            entries.push(OnBus {
                family: family.clone(),
                meta: delivered.meta.clone(),
                version: delivered.artifact.header.version,
                paired: delivered.paired,
                content: delivered.artifact.header.content.to_string(),
                documents,
            });
        }
        entries
    }

    /// The families of which a bus has lost something. A newer version of the
    /// same journal is no loss: somebody else is ahead.
    pub(super) fn lost(
        &self,
        entries: &[OnBus],
        held: &[Option<HeldVersion>],
        lengths: &[i64],
        lineage: &str,
    ) -> Vec<ShelfKey> {
        let mut lost = Vec::new();
        let mut rest = lengths;
        for (entry, held) in entries.iter().zip(held) {
            let wanted = entry.documents.iter().map(|document| document.len);
            let (found, after) = rest.split_at(entry.documents.len().min(rest.len()));
            rest = after;
            let complete = wanted.eq(found.iter().copied());
            let ours = (entry.version, entry.paired);
            let stands = held.as_ref().is_some_and(|held| {
                let theirs = (held.version, held.paired);
                &*held.lineage == lineage
                    && (theirs > ours
                        || (theirs == ours && *held.content == *entry.content && complete))
            });
            if !stands {
                lost.push(entry.family.clone());
            }
        }
        lost
    }

    /// The next document to read back, in turn; of versions that are ours.
    pub(super) fn sample(
        &mut self,
        entries: &[OnBus],
        held: &[Option<HeldVersion>],
    ) -> Option<Sample> {
        let ours = |entry: &OnBus, held: &Option<HeldVersion>| {
            held.as_ref().is_some_and(|h| (h.version, h.paired) == (entry.version, entry.paired))
        };
        let all: Vec<_> = entries
            .iter()
            .zip(held)
            .filter(|(entry, held)| ours(entry, held))
            .flat_map(|(entry, _)| entry.documents.iter().map(move |d| (entry, d)))
            .collect();
        self.samples = self.samples.wrapping_add(1);
        let (entry, document) = all.get(self.samples.checked_rem(all.len())?)?;
        let (family, key) = (entry.family.clone(), document.key.clone());
        Some(Sample { family, key, hash: document.hash })
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
mod tests {
    use orrery_journal::units::{RecvTime, Seq};

    use super::*;
    use crate::projector::registry::Name;

    fn artifact(family: &str, version: u64) -> Arc<Artifact> {
        let body = Bytes::from(format!("{{\"tiles\":{{\"t{version}\":1}}}}"));
        let header = Header {
            symbol: "SPX".into(),
            family: family.into(),
            version,
            epoch: Some(Address::of(b"epoch")),
            profile: "test/one@1".into(),
            configuration: Address::default(),
            seq_first: Seq(1),
            seq_last: Seq(version),
            created_at: RecvTime(0),
            content: Address::of(&body),
            body_len: body.len() as u64,
            previous: Address::default(),
        };
        Arc::new(Artifact { header, body })
    }

    fn deliver(ledger: &mut Ledger, artifact: &Arc<Artifact>, generation: u64) -> ShelfKey {
        let key = key_of(&artifact.header);
        let meta = Name::ArtifactMeta.key_of(&key.0, &key.1).expect("a key");
        let latest = Name::HeatmapLatest.key(&key.0).expect("a key");
        let hash = Address::of(b"12345");
        let documents = vec![Document { bus: Bus::Market, key: latest, len: 5, hash }];
        let (artifact, paired) = (artifact.clone(), ledger.paired(&key));
        let delivered = Delivered { artifact, paired, stamp_us: 0, meta, documents };
        ledger.delivered(key.clone(), delivered, generation);
        key
    }

    #[test]
    fn a_context_is_due_again_when_the_gravity_beside_it_changes() {
        let mut ledger = Ledger::default();
        let (context, first) = (artifact("context", 1), artifact("gravity", 1));
        assert_eq!(ledger.due(vec![context.clone(), first.clone()]).len(), 2);
        deliver(&mut ledger, &first, 1);
        deliver(&mut ledger, &context, 1);
        assert!(ledger.due(vec![context.clone(), first]).is_empty());
        assert_eq!(ledger.due(vec![context, artifact("gravity", 2)]).len(), 2);
    }

    #[test]
    fn what_is_set_aside_waits_for_another_version() {
        let mut ledger = Ledger::default();
        let (bad, key) = (artifact("gravity", 3), ("SPX".into(), "gravity".into()));
        assert_eq!(ledger.due(vec![bad.clone()]).len(), 1);
        assert!(ledger.set_aside(&key, 3, 0, true), "the first time is news");
        assert!(!ledger.set_aside(&key, 3, 0, true));
        ledger.reconsider();
        assert!(ledger.due(vec![bad]).is_empty());
        let context = ("SPX".into(), "context".into());
        assert_eq!(ledger.paired(&context), 0, "no context names what cannot be delivered");
        assert_eq!(ledger.due(vec![artifact("gravity", 4)]).len(), 1);
    }

    #[test]
    fn a_loss_is_told_from_somebody_else_being_ahead() {
        let mut ledger = Ledger::default();
        let ours = artifact("heatmap", 5);
        deliver(&mut ledger, &ours, 1);
        let entries = ledger.on_bus(Bus::Market, true);
        let content: Box<str> = ours.header.content.to_string().into();
        let held = |version, lineage: &str| {
            let (lineage, content) = (lineage.into(), content.clone());
            vec![Some(HeldVersion { version, paired: 0, lineage, content })]
        };
        let lost =
            |held: &[Option<HeldVersion>], len| ledger.lost(&entries, held, &[len], "j").len();
        assert_eq!(lost(&held(5, "j"), 5), 0, "as delivered");
        assert_eq!(lost(&held(6, "j"), 5), 0, "somebody is ahead");
        assert_eq!(lost(&held(5, "j"), 4), 1, "another length");
        assert_eq!(lost(&held(4, "j"), 5), 1, "older");
        assert_eq!(lost(&held(9, "other"), 5), 1, "another journal");
        assert_eq!(lost(&[None], -1), 1, "gone");
    }

    #[test]
    fn tiles_are_certain_only_on_the_connection_that_acknowledged_them() {
        let mut ledger = Ledger::default();
        let first = artifact("heatmap", 1);
        let key = deliver(&mut ledger, &first, 1);
        assert!(ledger.tiles(&key, 1).is_some() && ledger.tiles(&key, 2).is_none());
        ledger.doubt(&key, &artifact("heatmap", 2));
        assert!(ledger.tiles(&key, 1).is_none() && ledger.needs_ghosts(&key, 2));
        ledger.learn_ghosts(&key, Some(b"{\"tiles\":{\"t9\":1}}"), 2);
        let ghosts: Vec<_> = ledger.ghosts(&key).expect("doubt").iter().cloned().collect();
        assert_eq!(ghosts, ["t1", "t2", "t9"]);
        deliver(&mut ledger, &artifact("heatmap", 3), 2);
        assert!(ledger.ghosts(&key).is_some_and(BTreeSet::is_empty));
    }

    #[test]
    fn the_active_epoch_gets_a_record_when_it_changes() {
        let mut ledger = Ledger::default();
        let gex = artifact("gex", 7);
        let record = ledger.active_epoch("SPX", std::slice::from_ref(&gex)).expect("an epoch");
        assert_eq!(record.header.version, 7);
        deliver(&mut ledger, &record, 1);
        let again = ledger.active_epoch("SPX", &[artifact("gex", 8)]).expect("an epoch");
        assert_eq!(again.header.version, 7, "the same epoch is no news");
        let mut other = (*artifact("gex", 9)).clone();
        other.header.epoch = Some(Address::of(b"another"));
        let next = ledger.active_epoch("SPX", &[gex, Arc::new(other)]).expect("an epoch");
        assert_eq!(next.header.version, 9);
    }
}
