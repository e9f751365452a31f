//! Tickers and their ids, as the journal gave them.

/// Ids from 1 in the order in which tickers come. A flat table with linear
/// probing; its order shows nowhere.
#[derive(Debug)]
pub(super) struct Names {
    names: Vec<Box<str>>,
    /// Part of a hash and an id, 0 for a free slot; a power of two, at most
    /// half full.
    slots: Vec<(u32, u32)>,
}

impl Default for Names {
    fn default() -> Self {
        Names { names: Vec::new(), slots: vec![(0, 0); 64] }
    }
}

impl Names {
    /// The highest id.
    pub(super) fn len(&self) -> u32 {
        self.names.len() as u32
    }

    /// Gives the next id to a ticker.
    pub(super) fn push(&mut self, name: Box<str>) {
        self.names.push(name);
        if self.names.len() * 2 > self.slots.len() {
            self.slots = vec![(0, 0); self.slots.len() * 2];
            (1..=self.len()).for_each(|id| self.place(id));
        } else {
            self.place(self.len());
        }
    }

    fn place(&mut self, id: u32) {
        let Some(name) = self.names.get(id as usize - 1) else { return };
        let (hash, mask) = (hash(name.as_bytes()), self.slots.len() - 1);
        let mut at = hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.1 == 0 {
                *slot = ((hash >> 32) as u32, id);
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// The id of a ticker.
    #[inline]
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        let (hash, mask) = (hash(name.as_bytes()), self.slots.len() - 1);
        let mut at = hash as usize & mask;
        loop {
            let (part, id) = *self.slots.get(at)?;
            if id == 0 {
                return None;
            }
            if part == (hash >> 32) as u32
                && self.names.get(id as usize - 1).is_some_and(|known| **known == *name)
            {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
    }
}

/// Eight bytes at a time; on no disk, free to change.
#[inline]
fn hash(name: &[u8]) -> u64 {
    let mix = |h: u64, word: u64| (h ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = name.as_chunks::<8>();
    let mut h = words.iter().fold(name.len() as u64, |h, word| mix(h, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    h = mix(h, u64::from_le_bytes(last));
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ticker_has_its_id() {
        let name = |n: u32| format!("O:SPXW260{:03}C{:08}", n % 400, n * 5_000);
        let mut names = Names::default();
        for n in 0..5_000 {
            assert_eq!(names.id(&name(n)), None);
            names.push(name(n).into());
            assert_eq!(names.id(&name(n)), Some(n + 1));
        }
        for n in 0..5_000 {
            assert_eq!(names.id(&name(n)), Some(n + 1));
        }
        assert_eq!((names.id(""), names.len()), (None, 5_000));
    }
}
