//! The exact state of all folds at one position, content-addressed.
//!
//! A checkpoint is only ever a shortcut: without any, folding starts at the
//! first event. A [`State`] is cut where a model, an epoch or a partition begins
//! and then by content ([`cut`]); each piece lies under its blake3, and one that
//! is there already is not written again. A manifest names the pieces, a record
//! by seq names the manifest. What does not match its hash, or is missing, has
//! the checkpoint skipped with a warning that names the part, and an older one
//! serves; the next checkpoint that has the same piece writes it again, which
//! mends all that use it. A piece goes with the last checkpoint that uses it.
//!
//! Pieces are written ahead of their record, which is the last to be synced: a
//! record that is there has all its pieces. What a crash leaves of a checkpoint
//! without record is noted beforehand and taken away by the next one.
//!
//! Until format 1 the whole bytes lay under the address of the state; such
//! checkpoints are read as ever, and go as ever.

pub mod cut;
mod manifest;
mod reading;
mod record;
pub mod state;
mod uses;
pub(crate) mod writer;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use orrery_journal::failpoint::hit;
use orrery_journal::store::{Batch, Durability};
use orrery_journal::units::{Address, Seq};

use self::manifest::Manifest;
pub use self::reading::{Trouble, Usage};
pub use self::record::CheckpointRecord;
use self::state::State;
use self::uses::Uses;
use crate::derived::{CHECKPOINT_BYTES, CHECKPOINTS, Derived, DerivedError, META};

/// Newest checkpoints that are kept however close they are.
pub const CHECKPOINTS_KEPT: usize = 8;
/// Newest checkpoints between which no more than one spacing lies.
pub const DENSE_CHECKPOINTS: usize = 2_048;
/// How many times further apart older ones may lie.
pub const SPARSE: u64 = 8;
/// Folding that costs as much as this many events lies between two checkpoints
/// at most: from one of them any moment of the past is well under a second away.
pub const SPACING: u64 = 1_048_576;

/// Names the manifest of a checkpoint whose pieces are being written.
const META_PENDING: &[u8] = b"pending";
/// Bytes of pieces in one commit: a fold that keeps artifacts meanwhile waits
/// for no more than this.
const COMMIT_BYTES: usize = 256 << 10;

/// What a checkpoint is for, which decides how long it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The state before the first event of a trading day; kept.
    Opening,
    /// A shortcut for restarts and as-of reads; kept as long as it saves work.
    Passing,
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

/// What writing a checkpoint came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// Pieces of the state, and their bytes.
    pub pieces: u64,
    /// Bytes of the state.
    pub bytes: u64,
    /// Pieces that were not there before.
    pub new_pieces: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Checkpoints that went.
    pub gone: u64,
}

/// A checkpoint that is to be written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Last event of the state.
    pub seq: Seq,
    /// The state.
    pub state: State,
    /// What it is for.
    pub purpose: Purpose,
    /// How much folding led there, see [`crate::driver::Folded::work`].
    pub work: u64,
    /// How much may lie between two checkpoints that are not new.
    pub spacing: u64,
}

/// What is known about checkpoints in this process.
#[derive(Debug, Default)]
pub(crate) struct Known {
    uses: Mutex<Option<Uses>>,
    /// Pieces that were found damaged or missing.
    bad: Mutex<BTreeSet<Address>>,
    /// Checkpoints that were asked for and could not be used.
    pub(crate) skipped: AtomicU64,
}

impl Derived {
    /// Keeps a checkpoint whose parts are not known and lets old ones go. On
    /// return it survives the machine, and so does every artifact that was put
    /// before it.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn put_checkpoint(
        &self,
        seq: Seq,
        bytes: impl Into<Bytes>,
        purpose: Purpose,
    ) -> Result<Address, DerivedError> {
        let (state, spacing) = (State::whole(bytes), SPACING);
        let address = Address::of(&state.bytes);
        self.keep_checkpoint(&Draft { seq, state, purpose, work: seq.0, spacing })?;
        Ok(address)
    }

    /// Keeps a checkpoint and lets old ones go; the same promise.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn keep_checkpoint(&self, draft: &Draft) -> Result<Written, DerivedError> {
        let mut known = self.uses()?;
        let uses = known.get_or_insert_default();
        let before = uses.records.iter().find(|record| record.seq == draft.seq).copied();
        // What opens a day stays that, also when the same state is passed again.
        let opening = draft.purpose == Purpose::Opening
            || before.is_some_and(|record| record.purpose == Purpose::Opening);
        let purpose = if opening { Purpose::Opening } else { Purpose::Passing };
        hit("checkpoint.before");
        let (manifest, cut) = Manifest::of(&draft.state);
        let encoded: Bytes = manifest.encode().into();
        let record = CheckpointRecord {
            seq: draft.seq,
            address: manifest.state,
            purpose,
            manifest: Some(Address::of(&encoded)),
            work: draft.work,
        };
        let mut written = Written {
            pieces: manifest.pieces.len() as u64,
            bytes: draft.state.bytes.len() as u64,
            ..Written::default()
        };
        let pieces = manifest.pieces.iter().zip(cut).map(|(piece, bytes)| (piece.address, bytes));
        // What was found damaged is written again, which mends whoever uses it.
        let bad = self.bad().clone();
        let is_fresh = |address: &Address| !uses.has(*address) || bad.contains(address);
        let fresh: Vec<_> = pieces.filter(|(address, _)| is_fresh(address)).collect();
        written.new_pieces = fresh.len() as u64;
        written.new_bytes = fresh.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        self.put_pieces(&encoded, fresh)?;
        hit("checkpoint.pieces");
        let mut batch = Batch::default();
        uses.add(&record, Some(&manifest));
        let mut unused = Vec::new();
        if let Some(before) = before {
            self.forget(uses, &before, &mut unused);
        }
        for old in uses.place(record, draft.spacing) {
            self.forget(uses, &old, &mut unused);
            batch.delete(CHECKPOINTS, old.seq.to_key().to_vec());
            written.gone += 1;
        }
        for address in unused {
            batch.delete(CHECKPOINT_BYTES, address.0.to_vec());
        }
        if let Some(address) = record.manifest {
            batch.put(CHECKPOINT_BYTES, address.0.to_vec(), encoded);
        }
        batch.put(CHECKPOINTS, draft.seq.to_key().to_vec(), record.encode());
        batch.delete(META, META_PENDING);
        if let Err(error) = self.store.commit(batch, Durability::Disk) {
            // Whether it happened is not known, so everything is counted anew.
            *known = None;
            return Err(error.into());
        }
        hit("checkpoint.after");
        self.bad().retain(|address| manifest.pieces.iter().all(|p| p.address != *address));
        Ok(written)
    }

    /// Writes pieces in small commits, so that nobody waits long for one, with
    /// the note that they are on their way; then has them brought to the disk.
    fn put_pieces(
        &self,
        manifest: &Bytes,
        fresh: Vec<(Address, Bytes)>,
    ) -> Result<(), DerivedError> {
        if fresh.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.put(META, META_PENDING, manifest.clone());
        let mut bytes = 0;
        for (address, piece) in fresh {
            bytes += piece.len();
            // The engine keeps what it is given until it writes a table: a part of
            // the state would keep all of it in memory.
            batch.put(CHECKPOINT_BYTES, address.0.to_vec(), Bytes::copy_from_slice(&piece));
            if bytes >= COMMIT_BYTES {
                bytes = 0;
                self.store.commit(std::mem::take(&mut batch), Durability::Os)?;
            }
        }
        self.store.commit(batch, Durability::Os)?;
        self.store.presync();
        Ok(())
    }

    /// Pieces that were found damaged or missing.
    fn bad(&self) -> MutexGuard<'_, BTreeSet<Address>> {
        self.known.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of what a checkpoint names.
    fn forget(&self, uses: &mut Uses, record: &CheckpointRecord, unused: &mut Vec<Address>) {
        // What a damaged manifest names is not known; the next process collects it.
        let manifest = self.manifest_of(record).ok();
        uses.remove(record, manifest.as_ref(), unused);
    }

    /// What is used, found out once. A checkpoint whose record or manifest is
    /// damaged is let go, and with it whatever nobody else uses.
    fn uses(&self) -> Result<MutexGuard<'_, Option<Uses>>, DerivedError> {
        let mut known = self.known.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            let (mut uses, mut lost) = (Uses::default(), Vec::new());
            for record in self.checkpoint_records()? {
                match record.map(|record| (record, self.manifest_of(&record))) {
                    Ok((record, Ok(manifest))) => {
                        uses.add(&record, Some(&manifest));
                        uses.records.push(record);
                    }
                    Ok((CheckpointRecord { seq, .. }, Err(_))) | Err(Some(seq)) => lost.push(seq),
                    Err(None) => {}
                }
            }
            self.tidy(&uses)?;
            if !lost.is_empty() {
                self.collect(&uses, &lost)?;
            }
            *known = Some(uses);
        }
        Ok(known)
    }

    /// Takes away the pieces of a checkpoint whose writing broke off.
    fn tidy(&self, uses: &Uses) -> Result<(), DerivedError> {
        let Some(pending) = self.store.get(META, META_PENDING)? else { return Ok(()) };
        let mut batch = Batch::default();
        batch.delete(META, META_PENDING);
        if let Ok(manifest) = Manifest::decode(&pending) {
            let left = manifest.pieces.iter().filter(|piece| !uses.has(piece.address));
            left.for_each(|piece| batch.delete(CHECKPOINT_BYTES, piece.address.0.to_vec()));
        }
        Ok(self.store.commit(batch, Durability::Os)?)
    }

    /// Takes away records that say nothing, and every piece that no checkpoint
    /// uses.
    fn collect(&self, uses: &Uses, lost: &[Seq]) -> Result<(), DerivedError> {
        let mut batch = Batch::default();
        for seq in lost {
            tracing::warn!(seq = seq.0, "a damaged checkpoint is let go");
            batch.delete(CHECKPOINTS, seq.to_key().to_vec());
        }
        self.each_piece(&mut |address, _| {
            if !uses.has(address) {
                batch.delete(CHECKPOINT_BYTES, address.0.to_vec());
            }
            Ok(())
        })?;
        Ok(self.store.commit(batch, Durability::Os)?)
    }
}

#[cfg(test)]
mod tests;
