//! Which pieces are kept, and by how many checkpoints each is used; which
//! checkpoints are no longer needed.

use std::collections::BTreeMap;

use orrery_journal::units::Address;

use super::manifest::Manifest;
use super::record::CheckpointRecord;
use super::{CHECKPOINTS_KEPT, DENSE_CHECKPOINTS, Purpose, SPARSE};

/// What the records name. Found once per process, then kept.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// All records, oldest first.
    pub(super) records: Vec<CheckpointRecord>,
    of: BTreeMap<Address, u32>,
}

impl Uses {
    /// Whether something is there already.
    pub(super) fn has(&self, address: Address) -> bool {
        self.of.contains_key(&address)
    }

    /// One more checkpoint uses what a record names.
    pub(super) fn add(&mut self, record: &CheckpointRecord, manifest: Option<&Manifest>) {
        for address in named(record, manifest) {
            *self.of.entry(address).or_default() += 1;
        }
    }

    /// One checkpoint less does; what nobody uses any more is told.
    pub(super) fn remove(
        &mut self,
        record: &CheckpointRecord,
        manifest: Option<&Manifest>,
        unused: &mut Vec<Address>,
    ) {
        for address in named(record, manifest) {
            let Some(count) = self.of.get_mut(&address) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of.remove(&address);
                unused.push(address);
            }
        }
    }

    /// Puts a record in its place and takes out those that are not needed: what
    /// opens a day stays, so do the newest few, and of the others as many as keep
    /// the work between any two neighbours at `spacing`, or, far back, at eight
    /// times that.
    pub(super) fn place(&mut self, new: CheckpointRecord, spacing: u64) -> Vec<CheckpointRecord> {
        self.records.retain(|record| record.seq != new.seq);
        let at = self.records.partition_point(|record| record.seq < new.seq);
        self.records.insert(at, new);
        let (all, mut gone) = (std::mem::take(&mut self.records), Vec::new());
        for (n, record) in all.iter().enumerate() {
            let newer = all.len() - n;
            let near =
                if newer <= DENSE_CHECKPOINTS { spacing } else { spacing.saturating_mul(SPARSE) };
            // None but what was kept counts as the one before.
            let before = self.records.last().map_or(0, |before| before.work);
            let next = all.get(n + 1).map_or(u64::MAX, |next| next.work);
            let stays = record.purpose == Purpose::Opening
                || newer <= CHECKPOINTS_KEPT
                || next.saturating_sub(before) > near;
            match stays {
                true => self.records.push(*record),
                false => gone.push(*record),
            }
        }
        gone
    }
}

/// Everything that a checkpoint keeps alive.
fn named<'a>(
    record: &CheckpointRecord,
    manifest: Option<&'a Manifest>,
) -> impl Iterator<Item = Address> + use<'a> {
    let own = record.manifest.unwrap_or(record.address);
    let pieces = manifest.into_iter().flat_map(|m| &m.pieces).map(|piece| piece.address);
    std::iter::once(own).chain(pieces)
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::Seq;
    use proptest::prelude::*;

    use super::*;

    fn record(work: u64, purpose: Purpose) -> CheckpointRecord {
        let (seq, address) = (Seq(work), Address([3; 32]));
        CheckpointRecord { seq, address, purpose, manifest: None, work }
    }

    proptest! {
        #[test]
        fn no_moment_is_ever_far_from_a_checkpoint(
            steps in proptest::collection::vec((1u64..=100, 0u8..20), 1..400),
        ) {
            let (mut uses, mut work) = (Uses::default(), 0);
            for (step, dice) in steps {
                work += step;
                let purpose = if dice == 0 { Purpose::Opening } else { Purpose::Passing };
                let before = uses.records.clone();
                let gone = uses.place(record(work, purpose), 100);
                for gone in &gone {
                    prop_assert!(before.contains(gone) && gone.purpose == Purpose::Passing);
                }
                prop_assert_eq!(uses.records.len() + gone.len(), before.len() + 1);
                prop_assert_eq!(uses.records.last().map(|r| r.work), Some(work));
                let mut last = 0;
                for kept in &uses.records {
                    prop_assert!(kept.work - last <= 100, "{} after {}", kept.work, last);
                    last = kept.work;
                }
                let openings = uses.records.iter().filter(|r| r.purpose == Purpose::Opening);
                // Any three neighbours that are neither new nor opening are wider than one
                // spacing, so no more stay than twice as many as needed.
                let bound = 2 * (work / 100 + 1) + 2 * openings.count() as u64;
                prop_assert!(uses.records.len() as u64 <= bound + CHECKPOINTS_KEPT as u64);
            }
        }
    }

    #[test]
    fn far_back_they_lie_further_apart() {
        let mut uses = Uses::default();
        let count = 2 * DENSE_CHECKPOINTS as u64;
        for n in 1..=count {
            uses.place(record(n * 100, Purpose::Passing), 100);
        }
        let old = uses.records.iter().filter(|r| r.work <= count * 50).count();
        let new = uses.records.len() - old;
        assert!(old < DENSE_CHECKPOINTS / 3, "{old} old ones");
        assert!(new >= DENSE_CHECKPOINTS / 2, "{new} new ones");
        let gaps = uses.records.windows(2).map(|w| w[1].work - w[0].work);
        assert!(gaps.max() <= Some(100 * SPARSE));
    }
}
