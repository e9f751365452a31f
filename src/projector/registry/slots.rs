//! Where Redis Cluster keeps a key, and which key sets it can therefore hold.
//!
//! A version is stored in one step, and a step stays within one slot. Keys with a
//! hash tag per symbol lie together; the original's names do not.

use super::{KeySet, KeySets, Kind, Name, table};

/// Slots of a cluster.
pub const SLOTS: u16 = 16_384;

/// The slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it where it
/// has none.
#[must_use]
pub fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = tag.map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => crc << 1 ^ 0x1021,
        })
    });
    crc % SLOTS
}

/// The slot of a symbol's keys in a cluster.
#[must_use]
pub fn slot_of_symbol(symbol: &str) -> u16 {
    slot(&format!("{{{symbol}}}"))
}

/// A key set whose names a cluster keeps apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Redis Cluster keeps {key} in slot {slot} and {beside} in slot {other}, so a version cannot be \
     stored in one step; leave key set {set} out (--redis-sets orrery), or use servers that are no \
     cluster"
)]
pub struct Scattered {
    /// The set.
    pub set: KeySet,
    /// One of its keys.
    pub key: Box<str>,
    /// Its slot.
    pub slot: u16,
    /// What must lie beside it.
    pub beside: Box<str>,
    /// The slot of that.
    pub other: u16,
}

/// Whether everything that these sets write of a symbol lies in one slot.
///
/// # Errors
/// Names the first key that does not.
pub fn gathered(sets: KeySets) -> Result<(), Scattered> {
    let symbol = super::UNSUFFIXED_SYMBOL;
    let stored = table().iter().filter(|e| sets.writes(e) && e.kind != Kind::Channel);
    for entry in stored {
        let family = if entry.family == "*" { "gex" } else { entry.family };
        let epoch = "0".repeat(64);
        let name = entry.name;
        let key = name.key_of(symbol, family).or_else(|_| name.key_of_epoch(symbol, &epoch));
        let beside = Name::ArtifactMeta.key_of(symbol, family);
        let (Ok(key), Ok(beside)) = (key, beside) else { continue };
        let (slot, other) = (slot(key.as_str()), self::slot(beside.as_str()));
        if slot != other {
            let (key, beside) = (key.as_str().into(), beside.as_str().into());
            return Err(Scattered { set: entry.set, key, slot, beside, other });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of CRC16/XMODEM.
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("foo{}{bar}"), 8_363);
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
        assert_eq!(slot_of_symbol("SPX"), slot("orrery:{SPX}:artifact:gex:meta"));
        assert_ne!(slot_of_symbol("SPX"), slot_of_symbol("NDX"));
    }

    #[test]
    fn only_tagged_names_fit_into_a_cluster() {
        assert_eq!(gathered(KeySets::of([KeySet::Orrery])), Ok(()));
        for set in KeySet::CHOICE.into_iter().filter(|set| *set != KeySet::Orrery) {
            let refused = gathered(KeySets::of([KeySet::Orrery, set])).expect_err("scattered");
            assert_eq!(refused.set, set);
            assert!(refused.to_string().contains("--redis-sets orrery"), "{refused}");
        }
    }
}
