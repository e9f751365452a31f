//! Which instruments a page may hold: a filter that never denies one that is
//! there.
//!
//! m bits in m/64 words; an instrument is there if the bit at its id modulo m
//! is set. m is the power of two, 64 to 4,096, that is at least eight times the
//! number of distinct instruments, or beyond the highest id if that is less;
//! then the filter is exact. Ids are dense and a chain's are neighbours, so
//! that the remainder spreads them better than a hash would.

use crate::format::canon::Rows;
use crate::units::InstrumentId;

const BITS_MIN: usize = 64;
const BITS_MAX: usize = 4096;

/// The filter of one page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Instruments {
    words: Vec<u64>,
}

impl Instruments {
    /// Of these ids, ascending and each once.
    pub(crate) fn of(distinct: impl IntoIterator<Item = u32, IntoIter: Clone>) -> Instruments {
        let ids = distinct.into_iter();
        let (count, highest) = ids.clone().fold((0usize, 0), |(n, max), id| (n + 1, id.max(max)));
        let wanted = count.saturating_mul(8).min(highest as usize + 1);
        let bits = wanted.next_power_of_two().clamp(BITS_MIN, BITS_MAX);
        let mut words = vec![0u64; bits / 64];
        for id in ids {
            let bit = id as usize % bits;
            if let Some(word) = words.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        Instruments { words }
    }

    /// Of these canonical rows.
    pub(crate) fn of_rows(rows: &[u8]) -> Instruments {
        let mut ids: Vec<u32> =
            Rows::new(rows).map_while(Result::ok).map(|row| row.instrument().0).collect();
        ids.sort_unstable();
        ids.dedup();
        Instruments::of(ids.iter().copied())
    }

    /// From what is stored; `None` when it cannot be a filter.
    pub(super) fn from_words(words: Vec<u64>) -> Option<Instruments> {
        let possible = BITS_MIN / 64..=BITS_MAX / 64;
        let possible = possible.contains(&words.len()) && words.len().is_power_of_two();
        possible.then_some(Instruments { words })
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Whether the page may hold an event of this instrument.
    pub(crate) fn may_hold(&self, id: InstrumentId) -> bool {
        let bit = id.0 as usize % (self.words.len() * 64).max(1);
        self.words.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_there_is_never_denied(ids in proptest::collection::btree_set(any::<u32>(), 1..600), shift in 0u32..32) {
            let ids: BTreeSet<u32> = ids.into_iter().map(|id| id >> shift).collect();
            let filter = Instruments::of(ids.iter().copied());
            prop_assert!(ids.iter().all(|id| filter.may_hold(InstrumentId(*id))));
            prop_assert!(filter.words().len() * 8 <= 512);
            let again = Instruments::from_words(filter.words().to_vec());
            prop_assert_eq!(again, Some(filter.clone()));
            if ids.iter().all(|id| (*id as usize) < filter.words().len() * 64) {
                let exact = |id: u32| filter.may_hold(InstrumentId(id)) == ids.contains(&id);
                prop_assert!((0..filter.words().len() as u32 * 64).all(exact));
            }
        }
    }

    #[test]
    fn few_instruments_take_little_and_deny_nearly_all_others() {
        // 100 contracts of a chain among 30,000.
        let filter = Instruments::of(12_000..12_100);
        assert_eq!(filter.words().len(), 16);
        let falsely = (0..30_000).filter(|id| filter.may_hold(InstrumentId(*id))).count() - 100;
        assert!(falsely < 3_000, "{falsely}");
        // Low ids are exact: all that a small journal has.
        let small = Instruments::of([1, 7, 63, 900]);
        assert_eq!(small.words().len(), 1, "at most eight bits for each");
        assert!(Instruments::of(0..4_096).words().len() == 64);
    }
}
