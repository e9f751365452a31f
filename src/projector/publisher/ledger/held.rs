//! What was delivered beside what a bus says that it holds.

use orrery_journal::units::Address;

use super::super::call::HeldVersion;
use super::{Document, Ledger};
use crate::projector::registry::{Bus, RegisteredKey};
use crate::shelf::ShelfKey;

/// A delivered family as one bus sees it.
pub(in crate::projector::publisher) struct OnBus {
    family: ShelfKey,
    pub meta: RegisteredKey,
    version: u64,
    paired: u64,
    content: String,
    pub documents: Vec<Document>,
}

/// One document to read back.
pub(in crate::projector::publisher) struct Sample {
    pub family: ShelfKey,
    pub key: RegisteredKey,
    hash: Address,
}

impl Sample {
    pub(in crate::projector::publisher) fn matches(&self, found: Option<&[u8]>) -> bool {
        found.is_some_and(|bytes| Address::of(bytes) == self.hash)
    }
}

impl Ledger {
    /// Everything delivered of a symbol that has something on a bus and is not
    /// over.
    pub(in crate::projector::publisher) fn on_bus(
        &self,
        symbol: &str,
        bus: Bus,
        one_server: bool,
    ) -> Vec<OnBus> {
        let mut entries = Vec::new();
        let of_symbol = self.delivered.iter().filter(|(key, _)| &*key.0 == symbol);
        for (family, delivered) in of_symbol.filter(|(key, _)| !self.over.contains_key(*key)) {
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
    pub(in crate::projector::publisher) fn lost(
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
    pub(in crate::projector::publisher) fn sample(
        &mut self,
        symbol: &str,
        bus: Bus,
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
        let count = self.samples.entry((symbol.into(), bus)).or_default();
        *count = count.wrapping_add(1);
        let (entry, document) = all.get(count.checked_rem(all.len())?)?;
        let (family, key) = (entry.family.clone(), document.key.clone());
        Some(Sample { family, key, hash: document.hash })
    }
}
