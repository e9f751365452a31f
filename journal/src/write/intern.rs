//! Dense ids for tickers, condition lists and sources.
//!
//! Ids go from 1 in the order of definition. Lookup is a flat table with
//! linear probing: one hash and mostly one comparison a draft. Its order shows
//! nowhere, so that it cannot leak into outputs.

/// Byte strings and their ids.
#[derive(Clone, Debug)]
pub(crate) struct Interner {
    names: Vec<Box<[u8]>>,
    /// Ids, 0 for a free slot; a power of two, at most half full.
    slots: Vec<u32>,
}

impl Interner {
    pub(crate) fn new() -> Interner {
        Interner { names: Vec::new(), slots: vec![0; 64] }
    }

    /// How many ids are taken; also the highest one.
    pub(crate) fn len(&self) -> u32 {
        self.names.len() as u32
    }

    /// The name of an id.
    pub(crate) fn name(&self, id: u32) -> Option<&[u8]> {
        self.names.get((id as usize).checked_sub(1)?).map(AsRef::as_ref)
    }

    /// The id of a name.
    pub(crate) fn id(&self, name: &[u8]) -> Option<u32> {
        self.probe(name).ok()
    }

    /// Gives `name` the next id; `None` when it has one already.
    pub(crate) fn define(&mut self, name: &[u8]) -> Option<u32> {
        let slot = self.probe(name).err()?;
        self.names.push(name.into());
        let id = self.len();
        if let Some(free) = self.slots.get_mut(slot) {
            *free = id;
        }
        if self.names.len() * 2 > self.slots.len() {
            self.rebuild(self.slots.len() * 2);
        }
        Some(id)
    }

    /// Forgets all ids beyond `len`, for an append that was refused half-way.
    pub(crate) fn truncate(&mut self, len: u32) {
        if len < self.len() {
            self.names.truncate(len as usize);
            self.rebuild(self.slots.len());
        }
    }

    fn rebuild(&mut self, size: usize) {
        self.slots = vec![0; size];
        for id in 1..=self.len() {
            let slot = self.name(id).and_then(|name| self.probe(name).err());
            if let Some(free) = slot.and_then(|slot| self.slots.get_mut(slot)) {
                *free = id;
            }
        }
    }

    /// The id, or the slot where it would go.
    fn probe(&self, name: &[u8]) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash(name) as usize & mask;
        loop {
            match self.slots.get(slot) {
                Some(&id) if id != 0 => {
                    if self.name(id) == Some(name) {
                        return Ok(id);
                    }
                }
                _ => return Err(slot),
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// FNV-1a with a final mix; not on disk, free to change.
fn hash(name: &[u8]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name {
        h = (h ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    h ^ (h >> 29)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn ids_are_dense_and_survive_growth_and_truncation() {
        let mut interner = Interner::new();
        let mut model = BTreeMap::new();
        for i in 0..5_000u32 {
            let name = format!("O:SPXW251219C{:08}", i * 5_000);
            assert_eq!(interner.define(name.as_bytes()), Some(i + 1));
            assert_eq!(interner.define(name.as_bytes()), None);
            model.insert(name, i + 1);
        }
        interner.truncate(1_234);
        for (name, id) in &model {
            let expected = (*id <= 1_234).then_some(*id);
            assert_eq!(interner.id(name.as_bytes()), expected);
        }
        assert_eq!(interner.define(b"again"), Some(1_235));
        assert_eq!(interner.name(1_235), Some(b"again".as_slice()));
        assert_eq!(interner.name(0), None);
        assert_eq!(interner.name(1_236), None);
    }
}
