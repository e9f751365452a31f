//! Checkpoints are found, put together and checked.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use orrery_journal::units::{Address, Seq};

use super::manifest::{Manifest, Piece};
use super::{Checkpoint, CheckpointRecord};
use crate::derived::{CHECKPOINT_BYTES, CHECKPOINTS, Derived, DerivedError};

/// Records looked at in one step.
const SCAN_RECORDS: usize = 64;
/// Pieces looked at in one step.
const SCAN_PIECES: usize = 32;

/// Why a checkpoint cannot be used, by part.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

/// What all checkpoints take, before compression.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// How many there are.
    pub checkpoints: u64,
    /// Bytes of all states, one by one.
    pub state_bytes: u64,
    /// Pieces that are kept, and their bytes.
    pub pieces: u64,
    /// Bytes of the pieces that are kept: each once.
    pub kept_bytes: u64,
    /// Bytes of the manifests.
    pub manifest_bytes: u64,
}

/// Why a record is left out, and where it stands.
pub(crate) type Misplaced = Option<Seq>;

impl Derived {
    /// All records, oldest first; damaged ones are left out with a warning.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn checkpoints(&self) -> Result<Vec<CheckpointRecord>, DerivedError> {
        let records = self.checkpoint_records()?;
        Ok(records.into_iter().filter_map(|found| self.usable(found)).collect())
    }

    /// All records, oldest first; of a damaged one its seq, if that is known.
    pub(crate) fn checkpoint_records(
        &self,
    ) -> Result<Vec<Result<CheckpointRecord, Misplaced>>, DerivedError> {
        let mut records = Vec::new();
        let mut from = Vec::new();
        loop {
            let pairs = self.store.scan(CHECKPOINTS, &from, &[], false, SCAN_RECORDS)?;
            records.extend(pairs.iter().map(CheckpointRecord::decode));
            let Some((last, _)) = pairs.last().filter(|_| pairs.len() == SCAN_RECORDS) else {
                return Ok(records);
            };
            from = last.to_vec();
            from.push(0);
        }
    }

    /// The newest record at or before `seq`; damaged ones are left out with a
    /// warning. Whether its bytes are good is not looked at.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn record_at_or_before(&self, seq: Seq) -> Result<Option<CheckpointRecord>, DerivedError> {
        let mut to = seq.to_key().to_vec();
        to.push(0);
        loop {
            let Some(pair) = self.store.scan(CHECKPOINTS, &[], &to, true, 1)?.pop() else {
                return Ok(None);
            };
            if let Some(record) = self.usable(CheckpointRecord::decode(&pair)) {
                return Ok(Some(record));
            }
            to = pair.0.to_vec();
        }
    }

    fn usable(&self, found: Result<CheckpointRecord, Misplaced>) -> Option<CheckpointRecord> {
        if let Err(at) = found {
            self.known.skipped.fetch_add(1, Ordering::Relaxed);
            let seq = at.map_or(0, |seq| seq.0);
            tracing::warn!(seq, "the record of a checkpoint is damaged; an older one is used");
        }
        found.ok()
    }

    /// The newest good checkpoint at or before `seq`; damaged ones are skipped
    /// with a warning that names the part.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn checkpoint_at_or_before(&self, seq: Seq) -> Result<Option<Checkpoint>, DerivedError> {
        let mut bound = seq;
        while let Some(record) = self.record_at_or_before(bound)? {
            match self.checkpoint(&record) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                // One that went while it was read is not damaged.
                Err(_) if self.record_at_or_before(record.seq)? != Some(record) => {}
                Err(trouble) => self.skip(record.seq, &trouble),
            }
            let Some(below) = record.seq.0.checked_sub(1) else { break };
            bound = Seq(below);
        }
        Ok(None)
    }

    /// Counts and tells of a checkpoint that cannot be used.
    pub(crate) fn skip(&self, seq: Seq, why: &dyn std::fmt::Display) {
        self.known.skipped.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(seq = seq.0, %why, "a checkpoint cannot be used; an older one is");
    }

    /// How many times a checkpoint was asked for since this process began and
    /// could not be used.
    #[must_use]
    pub fn checkpoints_skipped(&self) -> u64 {
        self.known.skipped.load(Ordering::Relaxed)
    }

    /// The checkpoint of a record, or what is wrong with it.
    ///
    /// # Errors
    /// When a part is missing or damaged, or the store cannot read it.
    pub fn checkpoint(&self, record: &CheckpointRecord) -> Result<Checkpoint, Trouble> {
        let CheckpointRecord { seq, address, manifest, .. } = *record;
        let bytes = match manifest {
            None => self.piece(address, "the state")?,
            Some(_) => self.put_together(&self.manifest_of(record)?, address)?,
        };
        Ok(Checkpoint { seq, address, bytes })
    }

    /// The manifest of a record; one of a whole state has no pieces.
    pub(super) fn manifest_of(&self, record: &CheckpointRecord) -> Result<Manifest, Trouble> {
        let Some(address) = record.manifest else {
            let (parts, pieces) = (Vec::new(), Vec::new());
            return Ok(Manifest { state: record.address, parts, pieces });
        };
        let bytes = self.piece(address, "the manifest")?;
        let manifest = Manifest::decode(&bytes);
        let manifest = manifest.map_err(|e| Trouble(format!("the manifest: {e}")))?;
        match manifest.state == record.address {
            true => Ok(manifest),
            false => Err(Trouble("the manifest is of another state".to_owned())),
        }
    }

    /// What lies under an address, checked.
    fn piece(&self, address: Address, what: &str) -> Result<Bytes, Trouble> {
        match self.store.get(CHECKPOINT_BYTES, &address.0) {
            Ok(Some(bytes)) if Address::of(&bytes) == address => Ok(bytes),
            Ok(Some(_)) => Err(Trouble(format!("{what} is damaged"))),
            Ok(None) => Err(Trouble(format!("{what} is missing"))),
            Err(error) => Err(Trouble(format!("{what} cannot be read: {error}"))),
        }
    }

    /// The state of a manifest. Its hash is taken once, over all of it; only
    /// where that is wrong are the pieces looked at, each.
    fn put_together(&self, manifest: &Manifest, state: Address) -> Result<Bytes, Trouble> {
        let mut bytes = BytesMut::new();
        for (_, piece) in manifest.placed() {
            match self.store.get(CHECKPOINT_BYTES, &piece.address.0) {
                Ok(Some(found)) => bytes.extend_from_slice(&found),
                Ok(None) | Err(_) => break,
            }
        }
        if Address::of(&bytes) == state {
            return Ok(bytes.freeze());
        }
        let checked = manifest.placed().map(|(at, piece)| self.part(manifest, at, piece));
        checked.collect::<Result<(), Trouble>>()?;
        Err(Trouble("the pieces are not those of the state".to_owned()))
    }

    /// Checks one piece; one that is not good is written again with the next
    /// checkpoint that has it.
    fn part(&self, manifest: &Manifest, at: u64, piece: Piece) -> Result<(), Trouble> {
        let found = self.piece(piece.address, &manifest.label(at, piece));
        if found.is_err() {
            self.bad().insert(piece.address);
        }
        found.map(drop)
    }

    /// What is wrong with a checkpoint, every part of it; pieces that `checked`
    /// knows are not read again.
    pub(crate) fn examine(
        &self,
        record: &CheckpointRecord,
        checked: &mut BTreeSet<Address>,
    ) -> Vec<Trouble> {
        if record.manifest.is_none() {
            return self.piece(record.address, "the state").err().into_iter().collect();
        }
        let manifest = match self.manifest_of(record) {
            Ok(manifest) => manifest,
            Err(trouble) => return vec![trouble],
        };
        let mut troubles = Vec::new();
        for (at, piece) in manifest.placed() {
            if checked.contains(&piece.address) {
                continue;
            }
            match self.part(&manifest, at, piece) {
                Ok(()) => drop(checked.insert(piece.address)),
                Err(trouble) => troubles.push(trouble),
            }
        }
        troubles
    }

    /// What the checkpoints take: by their manifests, without reading a state.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn checkpoint_usage(&self) -> Result<Usage, DerivedError> {
        let mut usage = Usage::default();
        let mut seen = BTreeSet::new();
        for record in self.checkpoint_records()?.into_iter().flatten() {
            usage.checkpoints += 1;
            let Ok(manifest) = self.manifest_of(&record) else { continue };
            for piece in &manifest.pieces {
                usage.state_bytes += piece.length;
                if seen.insert(piece.address) {
                    usage.pieces += 1;
                    usage.kept_bytes += piece.length;
                }
            }
            usage.manifest_bytes += manifest.encode().len() as u64;
        }
        Ok(usage)
    }

    /// Everything that is kept under an address.
    pub(super) fn each_piece(
        &self,
        each: &mut dyn FnMut(Address, &Bytes) -> Result<(), DerivedError>,
    ) -> Result<(), DerivedError> {
        let mut from = Vec::new();
        loop {
            let pairs = self.store.scan(CHECKPOINT_BYTES, &from, &[], false, SCAN_PIECES)?;
            for (key, value) in &pairs {
                if let Ok(address) = <[u8; 32]>::try_from(&key[..]) {
                    each(Address(address), value)?;
                }
            }
            let Some((last, _)) = pairs.last().filter(|_| pairs.len() == SCAN_PIECES) else {
                return Ok(());
            };
            from = last.to_vec();
            from.push(0);
        }
    }
}
