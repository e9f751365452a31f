//! Everything that follows from the book, the centre and the held moment, and
//! which of it has to be priced again.
//!
//! Cost follows dirt: a quote marks the tiles that its contract is a leg of (and
//! those of its strike's other contract, where theory shares a volatility), and
//! only they are priced when a body is due.

use orrery_journal::units::RecvTime;
use orrery_replay::fold::EpochId;

use super::lattice::Lattice;
use super::parameters::Pricing;
use super::profile::Definitions;
use super::reasons::Reasons;
use super::theory::{Clock, Moment, Theory};
use super::tile::{self, Inputs, Tile};
use crate::market::book::{Book, Slot};

/// A lattice with its tiles.
#[derive(Debug)]
pub struct Built {
    /// The book's topology.
    pub topology: EpochId,
    /// Which tiles there are.
    pub lattice: Lattice,
    /// Prices, by the lattice's order; `None` before they were asked for.
    pub tiles: Vec<Option<Tile>>,
    /// By group.
    pub clocks: Vec<Clock>,
    /// How many tiles have each reason.
    pub reasons: [u64; Reasons::COUNT],
    /// Tiles without a main price on a side that exists.
    pub ineligible: u64,
    /// Sides outside of their bounds.
    pub out_of_bounds: u64,
    definitions: Definitions,
    pricing: Pricing,
    moment: Moment,
    theory: Option<Theory>,
    dirty: Vec<u32>,
    is_dirty: Vec<bool>,
    /// Contracts whose theoretical values are to be found anew.
    unvalued: Vec<Slot>,
    /// All tiles and values are dirty, whatever the lists say.
    all_dirty: bool,
}

impl Built {
    /// A lattice whose tiles are all dirty.
    #[must_use]
    pub fn new(
        topology: EpochId,
        lattice: Lattice,
        definitions: &Definitions,
        pricing: Pricing,
        moment: Moment,
    ) -> Built {
        let (count, contracts) = (lattice.tiles.len(), lattice.by_slot.len());
        Built {
            topology,
            tiles: vec![None; count],
            clocks: clocks(&lattice, moment, &pricing),
            reasons: [0; Reasons::COUNT],
            ineligible: 0,
            out_of_bounds: 0,
            definitions: *definitions,
            pricing,
            moment,
            theory: definitions.volatility.map(|v| Theory::new(v, contracts)),
            dirty: Vec::new(),
            is_dirty: vec![false; count],
            unvalued: Vec::new(),
            all_dirty: true,
            lattice,
        }
    }

    /// The first settlement that the held moment has not passed.
    #[must_use]
    pub fn next_settlement(&self) -> Option<RecvTime> {
        let living = self.lattice.groups.iter().map(|g| g.settles_at);
        living.filter(|at| *at >= self.moment.at).min()
    }

    /// Holds another moment and marks what depends on it; whether anything
    /// does.
    pub fn hold(&mut self, moment: Moment) -> bool {
        self.moment = moment;
        let clocks = clocks(&self.lattice, moment, &self.pricing);
        let before = std::mem::replace(&mut self.clocks, clocks);
        if self.theory.is_some() {
            self.mark_all();
            return true;
        }
        // Without a theory a tile hears of time only by its discount, and that
        // it has settled.
        let moved = |a: &Clock, b: &Clock| {
            a.discount.to_bits() != b.discount.to_bits() || a.years.is_some() != b.years.is_some()
        };
        let moved: Vec<bool> = before.iter().zip(&self.clocks).map(|(a, b)| moved(a, b)).collect();
        if !moved.contains(&true) {
            return false;
        }
        for index in 0..self.lattice.tiles.len() as u32 {
            let group = self.lattice.tiles.get(index as usize).map(|tile| tile.group as usize);
            if group.is_some_and(|group| moved.get(group) == Some(&true)) {
                self.mark(index);
            }
        }
        true
    }

    /// Marks what depends on a contract's quote; whether anything does.
    pub fn mark_slot(&mut self, slot: Slot) -> bool {
        let shared = self.theory.as_ref().is_some_and(Theory::hears_quotes);
        let twin = self.lattice.twin.get(slot).copied().flatten().filter(|_| shared);
        let count = |slot: &Slot| self.lattice.by_slot.get(*slot).map_or(0, Vec::len);
        let counts = [Some(slot), twin].map(|slot| slot.map(|slot| (slot, count(&slot))));
        if counts.iter().flatten().all(|(_, count)| *count == 0) {
            return false;
        }
        if self.all_dirty {
            return true;
        }
        for (slot, count) in counts.into_iter().flatten() {
            if shared {
                self.unvalued.push(slot);
            }
            for i in 0..count {
                let tile = self.lattice.by_slot.get(slot).and_then(|tiles| tiles.get(i)).copied();
                tile.into_iter().for_each(|tile| self.mark(tile));
            }
        }
        true
    }

    /// Marks everything.
    pub fn mark_all(&mut self) {
        self.all_dirty = true;
    }

    fn mark(&mut self, tile: u32) {
        if let Some(dirty) = self.is_dirty.get_mut(tile as usize)
            && !*dirty
        {
            *dirty = true;
            self.dirty.push(tile);
        }
    }

    /// Prices what is dirty and keeps the counts up to date; answers how many
    /// tiles it priced.
    pub fn reprice(&mut self, symbol: &str, book: &Book) -> usize {
        if std::mem::take(&mut self.all_dirty) {
            self.dirty.clear();
            self.dirty.extend(0..self.lattice.tiles.len() as u32);
            self.unvalued.clear();
            if let Some(theory) = &mut self.theory {
                theory.value_all(&self.lattice, book, self.moment, &self.pricing);
            }
        }
        if let Some(theory) = &mut self.theory {
            self.unvalued.sort_unstable();
            self.unvalued.dedup();
            for slot in self.unvalued.drain(..) {
                theory.value(slot, &self.lattice, book, self.moment, &self.pricing);
            }
        }
        let inputs = Inputs {
            symbol,
            definitions: &self.definitions,
            states: &book.states,
            theory: self.theory.as_ref(),
        };
        let priced = self.dirty.len();
        for index in self.dirty.drain(..) {
            let i = index as usize;
            let (Some(spec), Some(held)) = (self.lattice.tiles.get(i), self.tiles.get_mut(i))
            else {
                continue;
            };
            let Some(clock) = self.clocks.get(spec.group as usize) else { continue };
            let new = tile::price(spec, clock, &inputs);
            if let Some(old) = held {
                old.reasons.bits().for_each(|bit| self.reasons[bit] -= 1);
                self.ineligible -= u64::from(!old.eligible);
                self.out_of_bounds -= u64::from(old.out_of_bounds);
            }
            new.reasons.bits().for_each(|bit| self.reasons[bit] += 1);
            self.ineligible += u64::from(!new.eligible);
            self.out_of_bounds += u64::from(new.out_of_bounds);
            *held = Some(new);
            if let Some(dirty) = self.is_dirty.get_mut(i) {
                *dirty = false;
            }
        }
        priced
    }
}

fn clocks(lattice: &Lattice, moment: Moment, pricing: &Pricing) -> Vec<Clock> {
    lattice.groups.iter().map(|group| Clock::new(group, moment, pricing)).collect()
}
