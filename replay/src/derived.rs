//! What is derived and may be deleted at any time: headers, bodies,
//! checkpoints.
//!
//! Headers are all kept. Bodies are kept whole for a window of the newest
//! versions of each family and as keyframes beyond it; a fold that catches up
//! keeps of the window the newest megabytes. Any other body is
//! rebuilt by [`crate::as_of::body`] and checked against its recorded hash.
//! Everything that is read is checked; damage is an error that names the
//! record, never another answer.
//!
//! ```text
//! artifact_headers   symbol 0 family 0 version(be u64)   header bytes, header hash (32)
//! artifact_bodies    symbol 0 family 0 version(be u64)   body
//! checkpoints        seq(be u64)                         see checkpoint/record.rs
//! checkpoint_bytes   blake3                              pieces of states; manifests
//! derived_meta       "format", "configuration"           u32 le; 32 bytes
//!                    "beginning"                         be u64: last event that was dropped
//!                    "pending"                           manifest that is being written
//!                    "bodies" 0 symbol 0 family 0        be u64: no body of the window before
//!                                                        this version need be there
//! ```
//! Format 2 has checkpoints in pieces. A folder of format 1 is taken over as it
//! is: its checkpoints are read as they were written.

mod error;
pub(crate) mod held;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::store::{Batch, Durability, Part, Store, StoreError, Table};
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_journal::{OpenError, memory_store, open_derived};

pub use self::error::DerivedError;
use crate::artifact::{Artifact, Header};
use crate::checkpoint::Known;

/// Versions of each family whose bodies are kept whole at most.
pub const BODY_WINDOW: u64 = 512;
/// Beyond the window every body whose version is a multiple of this is kept.
pub const KEYFRAME_EVERY: u64 = 64;

/// Of the newest bodies of each family a fold that catches up keeps this many bytes
/// at most, and the one that reaches it; the newest one in any case.
pub const BODY_WINDOW_BYTES: u64 = 16 << 20;

/// Layout of the tables below.
const FORMAT: u32 = 2;
/// The oldest layout that is taken over.
const FORMAT_OLDEST: u32 = 1;

const HEADERS: Table = Table { name: "artifact_headers", compress: false };
const BODIES: Table = Table { name: "artifact_bodies", compress: true };
pub(crate) const CHECKPOINTS: Table = Table { name: "checkpoints", compress: false };
pub(crate) const CHECKPOINT_BYTES: Table = Table { name: "checkpoint_bytes", compress: true };
pub(crate) const META: Table = Table { name: "derived_meta", compress: false };
const TABLES: [Table; 5] = [HEADERS, BODIES, CHECKPOINTS, CHECKPOINT_BYTES, META];

const META_FORMAT: &[u8] = b"format";
const META_CONFIGURATION: &[u8] = b"configuration";
const META_BEGINNING: &[u8] = b"beginning";
const META_BODIES: &[u8] = b"bodies\0";

/// Symbol and family.
pub type FamilyName = (Box<str>, Box<str>);

/// Artifacts and checkpoints of one data directory.
#[derive(Clone)]
pub struct Derived {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) known: Arc<Known>,
}

impl std::fmt::Debug for Derived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Derived").finish_non_exhaustive()
    }
}

fn family_key(symbol: &str, family: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(symbol.len() + family.len() + 10);
    key.extend_from_slice(symbol.as_bytes());
    key.push(0);
    key.extend_from_slice(family.as_bytes());
    key.push(0);
    key
}

fn version_key(symbol: &str, family: &str, version: u64) -> Vec<u8> {
    let mut key = family_key(symbol, family);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// The bound after every version of a family.
fn family_end(symbol: &str, family: &str) -> Vec<u8> {
    let mut key = family_key(symbol, family);
    if let Some(last) = key.last_mut() {
        *last = 1;
    }
    key
}

/// Symbol and family of a key.
fn family_of(key: &[u8]) -> Option<(&str, &str)> {
    let names = key.get(..key.len().checked_sub(9)?)?;
    std::str::from_utf8(names).ok()?.split_once('\0')
}

/// Under which it stands where a family's bodies begin.
fn bodies_key(symbol: &str, family: &str) -> Vec<u8> {
    [META_BODIES, &family_key(symbol, family)].concat()
}

/// Whether the body of a version is kept for ever.
fn is_keyframe(version: u64) -> bool {
    version.is_multiple_of(KEYFRAME_EVERY)
}

fn damaged(what: impl Into<String>) -> DerivedError {
    DerivedError::Damaged { what: what.into() }
}

/// Artifacts that are about to be kept.
struct Entered<'a> {
    batch: Batch,
    /// The newest version of every family that is among them.
    lasts: BTreeMap<(&'a str, &'a str), u64>,
}

impl Derived {
    /// Opens or creates `dir/derived`.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn open(dir: &Path) -> Result<Derived, DerivedError> {
        let opened = open_derived(dir, &TABLES).map_err(|error| match error {
            OpenError::Store(StoreError::Engine { .. }) => DerivedError::Refused(error),
            error => error.into(),
        });
        Derived::over(opened?)
    }

    /// The same in memory.
    #[must_use]
    pub fn in_memory() -> Derived {
        Derived { store: memory_store(&TABLES), known: Arc::default() }
    }

    fn over(store: Arc<dyn Store>) -> Result<Derived, DerivedError> {
        match store.get(META, META_FORMAT)? {
            Some(found) => {
                let found = <[u8; 4]>::try_from(&*found).map_err(|_| damaged("the format"))?;
                let found = u32::from_le_bytes(found);
                if !(FORMAT_OLDEST..=FORMAT).contains(&found) {
                    return Err(DerivedError::Format { found, known: FORMAT });
                }
                if found < FORMAT {
                    tracing::info!(found, known = FORMAT, "derived data of an older format");
                    write_format(&*store)?;
                }
            }
            None => write_format(&*store)?,
        }
        Ok(Derived { store, known: Arc::default() })
    }

    /// Makes sure that everything here is derived under one configuration.
    ///
    /// # Errors
    /// When it was another one.
    pub fn claim(&self, ours: Address) -> Result<(), DerivedError> {
        if let Some(bytes) = self.store.get(META, META_CONFIGURATION)? {
            let recorded =
                Address(bytes[..].try_into().map_err(|_| damaged("the configuration hash"))?);
            if recorded != ours {
                return Err(DerivedError::Configuration { recorded, ours });
            }
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.put(META, META_CONFIGURATION, ours.0.to_vec());
        Ok(self.store.commit(batch, Durability::Disk)?)
    }

    /// Says that nothing up to an event can be derived any more.
    pub(crate) fn begin_at(&self, seq: Seq) -> Result<(), DerivedError> {
        let mut batch = Batch::default();
        batch.put(META, META_BEGINNING, seq.to_key().to_vec());
        Ok(self.store.commit(batch, Durability::Disk)?)
    }

    /// The event after which derived data begins; `None`: the first of all.
    fn beginning(&self) -> Result<Option<Seq>, DerivedError> {
        Ok(self.store.get(META, META_BEGINNING)?.and_then(|bytes| Seq::from_key(&bytes)))
    }

    /// Keeps artifacts; one that is there already must be equal. What a crash
    /// takes of it is folded again from the checkpoint before.
    ///
    /// # Errors
    /// See [`DerivedError`]; nothing of the call is kept then.
    pub fn put(&self, artifacts: &[Artifact]) -> Result<(), DerivedError> {
        let each = artifacts.iter().map(|a| (&a.header, Some(&a.body)));
        self.commit(self.entered(each)?.batch)
    }

    /// What keeps artifacts, with those bodies that are given. Nothing else may
    /// keep any before it is committed.
    fn entered<'a>(
        &self,
        artifacts: impl Iterator<Item = (&'a Header, Option<&'a Bytes>)>,
    ) -> Result<Entered<'a>, DerivedError> {
        let mut batch = Batch::default();
        let mut lasts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (header, body) in artifacts {
            let name = (&*header.symbol, &*header.family);
            let last = match lasts.get(&name) {
                Some(last) => *last,
                None => self.newest_version(name.0, name.1)?,
            };
            if header.version <= last {
                lasts.insert(name, last);
                self.compare(header)?;
                continue;
            }
            // After days were dropped a family's first version here is a later one.
            let first = last == 0 && self.beginning()?.is_some();
            if header.version != last + 1 && !first {
                return Err(DerivedError::Skipped {
                    symbol: header.symbol.clone(),
                    family: header.family.clone(),
                    version: header.version,
                    last,
                });
            }
            lasts.insert(name, header.version);
            let key = version_key(name.0, name.1, header.version);
            let mut value = Vec::with_capacity(300);
            header.encode(&mut value);
            value.extend_from_slice(&header.hash().0);
            batch.put(HEADERS, key.clone(), value);
            if let Some(body) = body {
                batch.put(BODIES, key, body.clone());
            }
            if let Some(old) = header.version.checked_sub(BODY_WINDOW)
                && !is_keyframe(old)
            {
                batch.delete(BODIES, version_key(name.0, name.1, old));
            }
        }
        Ok(Entered { batch, lasts })
    }

    fn commit(&self, batch: Batch) -> Result<(), DerivedError> {
        if !batch.changes.is_empty() {
            self.store.commit(batch, Durability::Os)?;
        }
        Ok(())
    }

    fn compare(&self, header: &Header) -> Result<(), DerivedError> {
        let recorded = self
            .header(&header.symbol, &header.family, header.version)?
            .ok_or_else(|| damaged(label(header)))?;
        match recorded.differing(header).next() {
            None => Ok(()),
            Some(field) => Err(DerivedError::Diverged {
                symbol: header.symbol.clone(),
                family: header.family.clone(),
                version: header.version,
                field: field.name(),
            }),
        }
    }

    /// The newest version by its key alone; 0 when there is none.
    pub(crate) fn newest_version(&self, symbol: &str, family: &str) -> Result<u64, DerivedError> {
        let (from, to) = (family_key(symbol, family), family_end(symbol, family));
        let newest = self.store.scan(HEADERS, &from, &to, true, 1)?.pop();
        let version = newest.and_then(|(key, _)| Seq::from_key(key.get(from.len()..)?));
        Ok(version.map_or(0, |v| v.0))
    }

    /// The oldest version of a family from which on every body is kept.
    pub(crate) fn body_window(&self, symbol: &str, family: &str) -> Result<u64, DerivedError> {
        let complete = self.bodies_from(symbol, family)?;
        let (from, to) = (family_key(symbol, family), family_end(symbol, family));
        let (mut oldest, mut newer) = (u64::MAX, 0u64);
        for (key, value) in self.store.scan(HEADERS, &from, &to, true, BODY_WINDOW as usize)? {
            // Of what lies behind a damaged header it is not known how far it is.
            let Ok(header) = read_header(&key, &value) else { break };
            if newer >= BODY_WINDOW_BYTES {
                break;
            }
            oldest = header.version;
            newer = newer.saturating_add(header.body_len.max(1));
        }
        Ok(oldest.max(complete))
    }

    /// The version before which a fold that caught up has left bodies out; 0
    /// where none has.
    fn bodies_from(&self, symbol: &str, family: &str) -> Result<u64, DerivedError> {
        let Some(bytes) = self.store.get(META, &bodies_key(symbol, family))? else { return Ok(0) };
        let what = || damaged(format!("the beginning of the bodies of {symbol} {family}"));
        Ok(u64::from_be_bytes(bytes[..].try_into().map_err(|_| what())?))
    }

    /// (symbol, family) of everything kept, ascending.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn families(&self) -> Result<Vec<FamilyName>, DerivedError> {
        let mut found: Vec<FamilyName> = Vec::new();
        let mut from = Vec::new();
        while let Some((key, _)) = self.store.scan(HEADERS, &from, &[], false, 1)?.pop() {
            let (symbol, family) = family_of(&key).ok_or_else(|| damaged("the key of a header"))?;
            found.push((symbol.into(), family.into()));
            from = family_end(symbol, family);
        }
        Ok(found)
    }

    /// Newest header of a family.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn latest(&self, symbol: &str, family: &str) -> Result<Option<Header>, DerivedError> {
        let (from, to) = (family_key(symbol, family), family_end(symbol, family));
        let newest = self.store.scan(HEADERS, &from, &to, true, 1)?.pop();
        newest.map(|(key, value)| read_header(&key, &value)).transpose()
    }

    /// Newest header that had seen nothing beyond `seq`.
    ///
    /// A timer's artifact may be younger than the event at `seq`: it has seen
    /// no later event, only that time went on. [`crate::as_of::latest`] leaves
    /// those out, too.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn latest_at(
        &self,
        symbol: &str,
        family: &str,
        seq: Seq,
    ) -> Result<Option<Header>, DerivedError> {
        self.last_where(symbol, family, |h| h.seq_last <= seq)
    }

    /// Newest header that was made at or before a moment.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn latest_at_time(
        &self,
        symbol: &str,
        family: &str,
        time: RecvTime,
    ) -> Result<Option<Header>, DerivedError> {
        self.last_where(symbol, family, |h| h.created_at <= time)
    }

    /// Newest header that was made by a moment of events up to `seq`.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn newest_by(
        &self,
        symbol: &str,
        family: &str,
        seq: Seq,
        time: RecvTime,
    ) -> Result<Option<Header>, DerivedError> {
        self.last_where(symbol, family, |h| h.seq_last <= seq && h.created_at <= time)
    }

    /// The last version for which `holds`, which must hold for all versions
    /// before it: versions are gapless, so this is a binary search.
    pub(crate) fn last_where(
        &self,
        symbol: &str,
        family: &str,
        holds: impl Fn(&Header) -> bool,
    ) -> Result<Option<Header>, DerivedError> {
        let Some(latest) = self.latest(symbol, family)? else { return Ok(None) };
        if holds(&latest) {
            return Ok(Some(latest));
        }
        let (from, to) = (family_key(symbol, family), family_end(symbol, family));
        let first = self.store.scan(HEADERS, &from, &to, false, 1)?.pop();
        let first = first.and_then(|(key, _)| Seq::from_key(key.get(from.len()..)?));
        let below_first = first.map_or(0, |v| v.0.saturating_sub(1));
        let (mut below, mut above, mut found) = (below_first, latest.version, None);
        while below + 1 < above {
            let version = below + (above - below) / 2;
            let header = self
                .header(symbol, family, version)?
                .ok_or_else(|| damaged(format!("{symbol} {family} v{version}")))?;
            if holds(&header) {
                below = version;
                found = Some(header);
            } else {
                above = version;
            }
        }
        Ok(found)
    }

    /// One header.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn header(
        &self,
        symbol: &str,
        family: &str,
        version: u64,
    ) -> Result<Option<Header>, DerivedError> {
        let key = version_key(symbol, family, version);
        let value = self.store.get(HEADERS, &key)?;
        value.map(|value| read_header(&key, &value)).transpose()
    }

    /// Up to `limit` headers of a family from a version on, ascending.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn headers(
        &self,
        symbol: &str,
        family: &str,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Header>, DerivedError> {
        let from = version_key(symbol, family, from_version);
        let to = family_end(symbol, family);
        let pairs = self.store.scan(HEADERS, &from, &to, false, limit)?;
        pairs.iter().map(|(key, value)| read_header(key, value)).collect()
    }

    /// A body that is kept whole and matches its header, or `None` when it
    /// lies beyond the window and must be rebuilt.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn body(&self, header: &Header) -> Result<Option<Bytes>, DerivedError> {
        let key = version_key(&header.symbol, &header.family, header.version);
        match self.store.get(BODIES, &key)? {
            Some(body) if Address::of(&body) == header.content => Ok(Some(body)),
            Some(_) => Err(damaged(format!("the body of {}", label(header)))),
            None => Ok(None),
        }
    }

    /// What takes how much on disk, by table; empty in memory.
    #[must_use]
    pub fn footprint(&self) -> Vec<Part> {
        self.store.footprint()
    }

    /// Makes everything that was put so far survive the machine.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub fn sync(&self) -> Result<(), DerivedError> {
        Ok(self.store.sync()?)
    }
}

fn write_format(store: &dyn Store) -> Result<(), DerivedError> {
    let mut batch = Batch::default();
    batch.put(META, META_FORMAT, FORMAT.to_le_bytes().to_vec());
    Ok(store.commit(batch, Durability::Disk)?)
}

fn label(header: &Header) -> String {
    format!("{} {} v{}", header.symbol, header.family, header.version)
}

/// Checks the header against the hash beside it and against its key.
fn read_header(key: &[u8], value: &[u8]) -> Result<Header, DerivedError> {
    let name = || {
        let version = key.len().checked_sub(8).and_then(|at| key.get(at..)).and_then(Seq::from_key);
        match (family_of(key), version) {
            (Some((symbol, family)), Some(version)) => {
                format!("the header of {symbol} {family} v{version}")
            }
            _ => "a header".to_owned(),
        }
    };
    let (bytes, hash) = value
        .len()
        .checked_sub(32)
        .and_then(|at| value.split_at_checked(at))
        .ok_or_else(|| damaged(name()))?;
    let header = Header::decode(bytes).map_err(|_| damaged(name()))?;
    let own_key = version_key(&header.symbol, &header.family, header.version);
    if header.hash().0 != *hash || own_key != key {
        return Err(damaged(name()));
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::tests::sample;

    pub(crate) fn artifact(symbol: &str, family: &str, version: u64) -> Artifact {
        let body = Bytes::from(format!("{{\"v\":{version}}}"));
        let header = Header {
            symbol: symbol.into(),
            family: family.into(),
            version,
            seq_last: Seq(version * 10),
            created_at: RecvTime(version as i64 * 1000),
            content: Address::of(&body),
            body_len: body.len() as u64,
            ..sample()
        };
        Artifact { header, body }
    }

    fn filled(count: u64) -> Derived {
        let derived = Derived::in_memory();
        let all: Vec<Artifact> = (1..=count).map(|v| artifact("SPX", "gex", v)).collect();
        for part in all.chunks(100) {
            derived.put(part).expect("in order");
        }
        derived
    }

    #[test]
    fn what_was_put_is_found_again() {
        let derived = filled(20);
        derived.put(&[artifact("SPX", "ge", 1), artifact("SP", "gex", 1)]).expect("new families");
        let names: Vec<(Box<str>, Box<str>)> = [("SP", "gex"), ("SPX", "ge"), ("SPX", "gex")]
            .map(|(s, f)| (s.into(), f.into()))
            .into();
        assert_eq!(derived.families().expect("memory"), names);
        let latest = derived.latest("SPX", "gex").expect("memory").expect("put before");
        assert_eq!(latest, artifact("SPX", "gex", 20).header);
        assert_eq!(derived.latest("SPX", "heatmap").expect("memory"), None);
        let some = derived.headers("SPX", "gex", 18, 10).expect("memory");
        assert_eq!(some.iter().map(|h| h.version).collect::<Vec<_>>(), [18, 19, 20]);
    }

    #[test]
    fn every_seq_and_moment_finds_its_version() {
        let derived = filled(20);
        for seq in 0..250 {
            let found = derived.latest_at("SPX", "gex", Seq(seq)).expect("memory");
            assert_eq!(found.map_or(0, |h| h.version), (seq / 10).min(20), "seq {seq}");
        }
        let found = derived.latest_at_time("SPX", "gex", RecvTime(7999)).expect("memory");
        assert_eq!(found.map(|h| h.version), Some(7));
    }

    #[test]
    fn the_same_again_is_fine_and_anything_else_is_not() {
        let derived = filled(5);
        derived.put(&[artifact("SPX", "gex", 3)]).expect("equal");
        let mut other = artifact("SPX", "gex", 3);
        other.header.content = Address([0; 32]);
        assert!(matches!(
            derived.put(&[artifact("SPX", "gex", 6), other]),
            Err(DerivedError::Diverged { version: 3, field: "content", .. })
        ));
        assert_eq!(derived.header("SPX", "gex", 6).expect("memory"), None, "all or nothing");
        assert!(matches!(
            derived.put(&[artifact("SPX", "gex", 7)]),
            Err(DerivedError::Skipped { version: 7, last: 5, .. })
        ));
    }

    #[test]
    fn bodies_thin_out_to_keyframes_beyond_the_window() {
        let count = BODY_WINDOW + 130;
        let derived = filled(count);
        for version in 1..=count {
            let Artifact { header, body } = artifact("SPX", "gex", version);
            let kept = version > count - BODY_WINDOW || version % KEYFRAME_EVERY == 0;
            let found = derived.body(&header).expect("memory");
            assert_eq!(found, kept.then_some(body), "version {version}");
        }
    }

    #[test]
    fn a_flipped_bit_is_named() {
        let derived = filled(3);
        let key = version_key("SPX", "gex", 2);
        for table in [HEADERS, BODIES] {
            let good = derived.store.get(table, &key).expect("memory").expect("put before");
            for at in [0, good.len() / 2, good.len() - 1] {
                let mut bad = good.to_vec();
                bad[at] ^= 4;
                let mut batch = Batch::default();
                batch.put(table, key.clone(), bad);
                derived.store.commit(batch, Durability::Os).expect("memory");
                let header = artifact("SPX", "gex", 2).header;
                let error = match table == HEADERS {
                    true => derived.header("SPX", "gex", 2).expect_err("damaged"),
                    false => derived.body(&header).expect_err("damaged"),
                };
                assert!(error.to_string().contains("SPX gex v2"), "{error}");
            }
            let mut batch = Batch::default();
            batch.put(table, key.clone(), good);
            derived.store.commit(batch, Durability::Os).expect("memory");
        }
    }

    #[test]
    fn another_configuration_is_refused() {
        let derived = Derived::in_memory();
        derived.claim(Address([1; 32])).expect("first");
        derived.claim(Address([1; 32])).expect("same");
        assert!(matches!(derived.claim(Address([2; 32])), Err(DerivedError::Configuration { .. })));
    }
}
