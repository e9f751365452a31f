//! The exact state of all folds at one position, content-addressed.
//!
//! A record by seq names the bytes by their blake3; bytes that do not match are
//! skipped with a warning and an older checkpoint serves. A checkpoint is only
//! ever a shortcut: without any, folding starts at the first event.
//!
//! ```text
//! record: address 32 | opening u8
//! ```

use bytes::Bytes;
use orrery_journal::failpoint::hit;
use orrery_journal::store::{Batch, Durability, Pair};
use orrery_journal::units::{Address, Seq};

use crate::derived::{CHECKPOINT_BYTES, CHECKPOINTS, Derived, DerivedError};

/// Newest checkpoints that are kept besides opening ones and milestones.
pub const CHECKPOINTS_KEPT: usize = 8;
/// Checkpoints at multiples of this many events are kept: from one of them any
/// moment of the past is at most this far, about a second of folding.
pub const MILESTONE_EVENTS: u64 = 4_194_304;

/// Records looked at in one step; there is about one per day.
const SCAN_RECORDS: usize = 64;

/// What a checkpoint is for, which decides how long it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The state before the first event of a trading day; kept.
    Opening,
    /// A shortcut for restarts and as-of reads; the oldest go.
    Passing,
}

/// Which checkpoint lies where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointRecord {
    /// Last event of the state.
    pub seq: Seq,
    /// blake3 of the bytes.
    pub address: Address,
    /// What it is for.
    pub purpose: Purpose,
}

/// A checkpoint that was read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Last event of the state.
    pub seq: Seq,
    /// blake3 of the bytes.
    pub address: Address,
    /// The saved engine.
    pub bytes: Bytes,
}

fn read_record((key, value): &Pair) -> Option<CheckpointRecord> {
    let seq = Seq::from_key(key)?;
    let (address, purpose) = value.split_at_checked(32)?;
    let purpose = match purpose {
        [0] => Purpose::Passing,
        [1] => Purpose::Opening,
        _ => return None,
    };
    Some(CheckpointRecord { seq, address: Address(address.try_into().ok()?), purpose })
}

impl Derived {
    /// Keeps a checkpoint and lets old ones go. On return it survives the
    /// machine, and so does every artifact that was put before it.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn put_checkpoint(
        &self,
        seq: Seq,
        bytes: impl Into<Bytes>,
        purpose: Purpose,
    ) -> Result<Address, DerivedError> {
        let bytes = bytes.into();
        let address = Address::of(&bytes);
        let mut records = self.checkpoints()?;
        let before = records.iter().position(|r| r.seq == seq).map(|at| records.remove(at));
        // What opens a day stays that, also when the same state is passed again.
        let opening =
            purpose == Purpose::Opening || before.is_some_and(|r| r.purpose == Purpose::Opening);
        let purpose = if opening { Purpose::Opening } else { Purpose::Passing };
        let mut record = address.0.to_vec();
        record.push(u8::from(opening));
        let mut batch = Batch::default();
        let mut gone: Vec<CheckpointRecord> = before.into_iter().collect();
        records.push(CheckpointRecord { seq, address, purpose });
        records.sort_by_key(|r| std::cmp::Reverse(r.seq));
        let mut passing = 0;
        records.retain(|r| {
            let stays = r.purpose == Purpose::Opening || r.seq.0.is_multiple_of(MILESTONE_EVENTS);
            passing += usize::from(!stays);
            let keep = stays || passing <= CHECKPOINTS_KEPT;
            if !keep {
                gone.push(*r);
            }
            keep
        });
        for old in gone {
            if old.seq != seq {
                batch.delete(CHECKPOINTS, old.seq.to_key().to_vec());
            }
            if records.iter().all(|r| r.address != old.address) {
                batch.delete(CHECKPOINT_BYTES, old.address.0.to_vec());
            }
        }
        batch.put(CHECKPOINT_BYTES, address.0.to_vec(), bytes);
        batch.put(CHECKPOINTS, seq.to_key().to_vec(), record);
        hit("checkpoint.before");
        self.store.commit(batch, Durability::Disk)?;
        hit("checkpoint.after");
        Ok(address)
    }

    /// All records, oldest first; damaged ones are left out with a warning.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn checkpoints(&self) -> Result<Vec<CheckpointRecord>, DerivedError> {
        let mut records = Vec::new();
        let mut from = Vec::new();
        loop {
            let pairs = self.store.scan(CHECKPOINTS, &from, &[], false, SCAN_RECORDS)?;
            records.extend(pairs.iter().filter_map(read_or_warn));
            let Some((last, _)) = pairs.last().filter(|_| pairs.len() == SCAN_RECORDS) else {
                return Ok(records);
            };
            from = last.to_vec();
            from.push(0);
        }
    }

    /// The newest good checkpoint at or before `seq`; damaged ones are skipped
    /// with a warning.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn checkpoint_at_or_before(&self, seq: Seq) -> Result<Option<Checkpoint>, DerivedError> {
        for record in self.checkpoints()?.into_iter().rev().filter(|r| r.seq <= seq) {
            if let Some(checkpoint) = self.checkpoint(&record)? {
                return Ok(Some(checkpoint));
            }
            tracing::warn!(seq = record.seq.0, "a checkpoint is damaged; an older one is used");
        }
        Ok(None)
    }

    /// The checkpoint of a record; `None` when its bytes are missing or damaged.
    pub(crate) fn checkpoint(
        &self,
        record: &CheckpointRecord,
    ) -> Result<Option<Checkpoint>, DerivedError> {
        let CheckpointRecord { seq, address, .. } = *record;
        let bytes = self.store.get(CHECKPOINT_BYTES, &address.0)?;
        let good = bytes.filter(|b| Address::of(b) == address);
        Ok(good.map(|bytes| Checkpoint { seq, address, bytes }))
    }
}

fn read_or_warn(pair: &Pair) -> Option<CheckpointRecord> {
    let record = read_record(pair);
    if record.is_none() {
        tracing::warn!("the record of a checkpoint is damaged; an older one is used");
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seqs(derived: &Derived) -> Vec<u64> {
        derived.checkpoints().expect("memory").iter().map(|r| r.seq.0).collect()
    }

    fn put(derived: &Derived, seq: u64, purpose: Purpose) {
        let bytes = format!("state {seq}").into_bytes();
        derived.put_checkpoint(Seq(seq), bytes, purpose).expect("memory");
    }

    #[test]
    fn the_nearest_one_before_is_found() {
        let derived = Derived::in_memory();
        for seq in [10, 20, 30] {
            put(&derived, seq, Purpose::Passing);
        }
        for (seq, expected) in [(9, None), (10, Some(10)), (29, Some(20)), (99, Some(30))] {
            let found = derived.checkpoint_at_or_before(Seq(seq)).expect("memory");
            assert_eq!(found.map(|c| c.seq.0), expected);
        }
    }

    #[test]
    fn the_newest_the_opening_ones_and_the_milestones_stay() {
        let derived = Derived::in_memory();
        put(&derived, MILESTONE_EVENTS, Purpose::Passing);
        let later = MILESTONE_EVENTS;
        put(&derived, 5, Purpose::Opening);
        for seq in 10..30 {
            put(&derived, later + seq, Purpose::Passing);
        }
        put(&derived, later + 15, Purpose::Opening);
        put(&derived, 5, Purpose::Passing);
        let mut expected = vec![5, later, later + 15];
        expected.extend((22..30).map(|n| later + n));
        assert_eq!(seqs(&derived), expected);
        let stored = derived.store.scan(CHECKPOINT_BYTES, &[], &[], false, 99).expect("memory");
        assert_eq!(stored.len(), 11, "bytes go with their records");
    }

    #[test]
    fn a_damaged_one_is_skipped() {
        let derived = Derived::in_memory();
        for seq in [10, 20, 30] {
            put(&derived, seq, Purpose::Passing);
        }
        let mut batch = Batch::default();
        batch.put(CHECKPOINT_BYTES, Address::of(b"state 30").0.to_vec(), b"state 31".to_vec());
        batch.put(CHECKPOINTS, Seq(20).to_key().to_vec(), b"short".to_vec());
        derived.store.commit(batch, Durability::Os).expect("memory");
        let found = derived.checkpoint_at_or_before(Seq::MAX).expect("memory");
        assert_eq!(found.map(|c| c.seq.0), Some(10));
    }
}
