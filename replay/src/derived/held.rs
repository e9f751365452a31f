//! What a fold that catches up holds back.
//!
//! Of the bodies that a dense day brings, nearly all would be deleted soon after
//! they were written, and the store would be busy with nothing else. So headers
//! and keyframes are kept as they come, and the newest bodies of each family when
//! the fold has come to its end. Until then a note in the store says from which
//! version on a family's bodies are there; a fold that breaks off leaves it, and
//! what is missing is made again when somebody asks for it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use orrery_journal::store::Batch;

use super::{
    BODIES, BODY_WINDOW, BODY_WINDOW_BYTES, Derived, DerivedError, FamilyName, META, bodies_key,
    is_keyframe, version_key,
};
use crate::artifact::{Artifact, Header};

/// Bytes of bodies that are held at most, the newest of each family excepted.
const HELD_BYTES: u64 = 64 << 20;
/// Headers and keyframes that wait for being kept are no more than this many...
const WAITING_MAX: usize = 1_024;
/// ... and their bodies have no more bytes than this and one body.
const WAITING_BYTES: u64 = 4 << 20;

/// Artifacts that are not kept yet, or not whole.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Whose headers are not kept yet, with the bodies of keyframes.
    waiting: Vec<(Header, Option<Bytes>)>,
    waiting_bytes: u64,
    families: BTreeMap<FamilyName, Newest>,
    /// Of all bodies in `families`.
    bytes: u64,
}

/// The newest versions of a family, without a gap.
#[derive(Debug, Default)]
struct Newest {
    bodies: VecDeque<(u64, Bytes)>,
    bytes: u64,
    /// From where on bodies were there when the first one was held.
    before: u64,
    /// Whether one has been left out since then.
    left_out: bool,
}

impl Newest {
    fn push(&mut self, version: u64, body: Bytes) {
        self.bytes += size(&body);
        self.bodies.push_back((version, body));
    }

    /// Leaves out the oldest body; returns its size.
    fn pop(&mut self) -> u64 {
        let freed = self.bodies.pop_front().map_or(0, |(_, body)| size(&body));
        self.bytes -= freed;
        self.left_out = true;
        freed
    }

    /// Whether the oldest body lies outside of the window.
    fn is_over(&self) -> bool {
        let oldest = self.bodies.front().map_or(0, |(_, body)| size(body));
        self.bodies.len() as u64 > BODY_WINDOW || self.bytes - oldest >= BODY_WINDOW_BYTES
    }
}

/// An empty body takes room, too.
fn size(body: &Bytes) -> u64 {
    (body.len() as u64).max(1)
}

impl Held {
    /// Holds what came out; keeps headers whenever many of them wait.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub(crate) fn take(
        &mut self,
        derived: &Derived,
        artifacts: impl Iterator<Item = Artifact>,
    ) -> Result<(), DerivedError> {
        for Artifact { header, body } in artifacts {
            self.hold(derived, &header, &body)?;
            let keyframe = is_keyframe(header.version).then_some(body);
            self.waiting_bytes += keyframe.as_ref().map_or(0, size);
            self.waiting.push((header, keyframe));
            if self.waiting.len() >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES {
                self.put_headers(derived)?;
            }
        }
        Ok(())
    }

    fn hold(
        &mut self,
        derived: &Derived,
        header: &Header,
        body: &Bytes,
    ) -> Result<(), DerivedError> {
        let name = (header.symbol.clone(), header.family.clone());
        let family = match self.families.entry(name) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(none) => {
                let before = derived.bodies_from(&header.symbol, &header.family)?;
                none.insert(Newest { before, ..Newest::default() })
            }
        };
        family.push(header.version, body.clone());
        self.bytes += size(body);
        while family.is_over() {
            self.bytes -= family.pop();
        }
        while self.bytes > HELD_BYTES {
            let spare = self.families.values_mut().filter(|f| f.bodies.len() > 1);
            let Some(largest) = spare.max_by_key(|f| f.bytes) else { break };
            self.bytes -= largest.pop();
        }
        Ok(())
    }

    /// Keeps all headers, and notes that their bodies are not there.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub(crate) fn put_headers(&mut self, derived: &Derived) -> Result<(), DerivedError> {
        let each = self.waiting.iter().map(|(header, body)| (header, body.as_ref()));
        let mut entered = derived.entered(each)?;
        for ((symbol, family), last) in &entered.lasts {
            entered.batch.put(META, bodies_key(symbol, family), beginning(last + 1));
        }
        derived.commit(entered.batch)?;
        self.waiting.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    /// Keeps all headers and the newest bodies; then nothing is held any more.
    ///
    /// # Errors
    /// See [`DerivedError`].
    pub(crate) fn put_all(&mut self, derived: &Derived) -> Result<(), DerivedError> {
        self.put_headers(derived)?;
        for ((symbol, family), newest) in std::mem::take(&mut self.families) {
            let Some((oldest, _)) = newest.bodies.front() else { continue };
            let from = if newest.left_out { *oldest } else { newest.before.min(*oldest) };
            let mut batch = Batch::default();
            batch.put(META, bodies_key(&symbol, &family), beginning(from));
            for (version, body) in newest.bodies {
                batch.put(BODIES, version_key(&symbol, &family, version), body);
            }
            derived.commit(batch)?;
        }
        self.bytes = 0;
        Ok(())
    }
}

fn beginning(version: u64) -> Vec<u8> {
    version.to_be_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use orrery_journal::store::Durability;
    use orrery_journal::units::Address;

    use super::super::tests::artifact;
    use super::*;
    use crate::audit::audit;

    /// A chain of versions whose bodies have so many bytes each.
    fn chain(family: &str, count: u64, bytes: usize) -> Vec<Artifact> {
        let mut previous = Address::default();
        let made = (1..=count).map(|version| {
            let Artifact { header, .. } = artifact("SPX", family, version);
            let body = Bytes::from(vec![version as u8; bytes]);
            let (content, body_len) = (Address::of(&body), bytes as u64);
            let header = Header { content, body_len, previous, ..header };
            previous = header.hash();
            Artifact { header, body }
        });
        made.collect()
    }

    fn take(held: &mut Held, derived: &Derived, made: &[Artifact]) {
        held.take(derived, made.iter().cloned()).expect("in order");
    }

    fn kept(derived: &Derived, made: &[Artifact]) -> Vec<u64> {
        let there = |a: &&Artifact| derived.body(&a.header).expect("good").is_some();
        made.iter().filter(there).map(|a| a.header.version).collect()
    }

    fn findings(derived: &Derived) -> Vec<String> {
        audit(derived).expect("memory").findings
    }

    fn lose(derived: &Derived, family: &str, version: u64) {
        let mut batch = Batch::default();
        batch.delete(BODIES, version_key("SPX", family, version));
        derived.store.commit(batch, Durability::Os).expect("memory");
    }

    const WINDOW: u64 = BODY_WINDOW_BYTES >> 20;

    #[test]
    fn of_a_dense_day_the_newest_bytes_and_the_keyframes_are_written() {
        let (large, small) = (chain("heatmap", 200, 1 << 20), chain("gex", 3, 100));
        let (derived, mut held) = (Derived::in_memory(), Held::default());
        take(&mut held, &derived, &small[..2]);
        take(&mut held, &derived, &large);
        take(&mut held, &derived, &small[2..]);
        assert!(held.bytes <= BODY_WINDOW_BYTES + (1 << 20), "{} bytes", held.bytes);
        held.put_headers(&derived).expect("memory");
        assert_eq!(kept(&derived, &large), [64, 128, 192]);
        held.put_all(&derived).expect("memory");
        let mut expected = vec![64, 128];
        expected.extend(200 - WINDOW + 1..=200);
        assert_eq!(kept(&derived, &large), expected);
        assert_eq!(kept(&derived, &small), [1, 2, 3]);
        assert_eq!(findings(&derived), Vec::<String>::new());
        for (family, version) in [("gex", 1), ("heatmap", 128), ("heatmap", 200 - WINDOW + 1)] {
            lose(&derived, family, version);
            let lost = format!("the body of SPX {family} v{version} is missing");
            assert!(findings(&derived).contains(&lost), "{lost}");
        }
    }

    #[test]
    fn wherever_it_breaks_off_nothing_is_found_missing_and_another_goes_on() {
        let made = chain("heatmap", 150, 1 << 20);
        for broken in [1, 63, 64, 65, 100, 150] {
            let (derived, mut held) = (Derived::in_memory(), Held::default());
            take(&mut held, &derived, &made[..broken]);
            held.put_headers(&derived).expect("memory");
            drop(held);
            assert_eq!(findings(&derived), Vec::<String>::new(), "broken off at {broken}");
            // From a checkpoint that lies before what was kept.
            let mut held = Held::default();
            take(&mut held, &derived, &made[broken * 9 / 10..]);
            held.put_all(&derived).expect("memory");
            assert_eq!(findings(&derived), Vec::<String>::new(), "broken off at {broken}");
            let window = derived.body_window("SPX", "heatmap").expect("memory");
            assert_eq!(window, (150 - WINDOW + 1).max(broken as u64 * 9 / 10 + 1));
            lose(&derived, "heatmap", 150);
            assert_eq!(findings(&derived).len(), 1);
            let mut batch = Batch::default();
            batch.put(META, bodies_key("SPX", "heatmap"), vec![7]);
            derived.store.commit(batch, Durability::Os).expect("memory");
            let told = "the beginning of the bodies of SPX heatmap is damaged";
            assert_eq!(findings(&derived), [told]);
        }
    }

    #[test]
    fn a_short_way_to_the_head_leaves_the_window_as_long_as_it_was() {
        let made = chain("gex", 23, 100);
        let (derived, mut held) = (Derived::in_memory(), Held::default());
        derived.put(&made[..20]).expect("in order");
        take(&mut held, &derived, &made[18..]);
        held.put_headers(&derived).expect("memory");
        held.put_all(&derived).expect("memory");
        assert_eq!(kept(&derived, &made).len(), 23);
        lose(&derived, "gex", 1);
        assert_eq!(findings(&derived), ["the body of SPX gex v1 is missing"]);
    }

    #[test]
    fn many_families_together_hold_no_more_than_a_bound() {
        let (derived, mut held) = (Derived::in_memory(), Held::default());
        let names: Vec<String> = (0..12).map(|n| format!("family{n}")).collect();
        let all: Vec<Vec<Artifact>> = names.iter().map(|name| chain(name, 20, 1 << 20)).collect();
        for version in 0..20 {
            for of_family in &all {
                take(&mut held, &derived, &of_family[version..=version]);
                assert!(held.bytes <= HELD_BYTES, "{} bytes", held.bytes);
            }
        }
        held.put_all(&derived).expect("memory");
        assert_eq!(findings(&derived), Vec::<String>::new());
        let there: usize = all.iter().map(|of_family| kept(&derived, of_family).len()).sum();
        assert_eq!(there as u64, HELD_BYTES >> 20);
        assert!(all.iter().all(|of_family| kept(&derived, of_family).contains(&20)));
    }
}
