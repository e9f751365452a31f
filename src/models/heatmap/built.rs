//! Everything that follows from the book, the centre and the held moment, and
//! which of it has to be priced again.
//!
//! Cost follows dirt: a quote marks its contract (and its strike's other one, where
//! theory shares a volatility); when a body is due, the tiles that these are legs of
//! are priced, and no others.

use orrery_journal::units::RecvTime;
use orrery_replay::fold::EpochId;

use super::flies::{Flies, Fly};
use super::lattice::Lattice;
use super::parameters::Pricing;
use super::profile::Definitions;
use super::reasons::Reasons;
use super::spec::{Strategy, TileSpec};
use super::theory::{Clock, Moment, Theory};
use super::tile::{self, Inputs, Seen, Tile};
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
    /// Whether a contract is a leg of any tile, by slot.
    is_used: Vec<bool>,
    /// Contracts whose quotes changed, each once.
    touched: Vec<Slot>,
    is_touched: Vec<bool>,
    /// What the book says of contracts, by slot; of the lattice's only.
    seen: Vec<Seen>,
    is_dirty: Vec<bool>,
    /// The butterflies without their prices.
    flies: Flies,
    /// See [`Built::next_settlement`].
    next_settlement: Option<RecvTime>,
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
            is_used: lattice.by_slot.iter().map(|tiles| !tiles.is_empty()).collect(),
            touched: Vec::new(),
            is_touched: vec![false; contracts],
            seen: vec![Seen::NOTHING; contracts],
            is_dirty: vec![false; count],
            flies: lattice.tiles.iter().filter_map(fly).collect(),
            next_settlement: next_settlement(&lattice, moment),
            all_dirty: true,
            lattice,
        }
    }

    /// The first settlement that the held moment has not passed.
    #[must_use]
    pub const fn next_settlement(&self) -> Option<RecvTime> {
        self.next_settlement
    }

    /// The butterflies with the prices that they were given last.
    #[must_use]
    pub fn flies(&self) -> Flies {
        let priced = self.lattice.tiles.iter().zip(&self.tiles);
        let flies = priced.filter(|(spec, _)| fly(spec).is_some());
        self.flies.with(flies.map(|(_, tile)| tile.as_ref().map_or([f64::NAN; 2], |t| t.debits)))
    }

    /// Holds another moment and marks what depends on it; whether anything
    /// does.
    pub fn hold(&mut self, moment: Moment) -> bool {
        self.moment = moment;
        self.next_settlement = next_settlement(&self.lattice, moment);
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
        for (tile, dirty) in self.lattice.tiles.iter().zip(&mut self.is_dirty) {
            *dirty |= moved.get(tile.group as usize) == Some(&true);
        }
        true
    }

    /// Marks a contract whose quote changed; whether anything depends on it.
    pub fn mark_slot(&mut self, slot: Slot) -> bool {
        // Where theory shares a volatility, the strike's other contract hangs on it.
        let shared = self.theory.as_ref().is_some_and(Theory::hears_quotes);
        let twin = if shared { self.lattice.twin.get(slot).copied().flatten() } else { None };
        let used = |slot: Slot| self.is_used.get(slot) == Some(&true);
        if !used(slot) && !twin.is_some_and(used) {
            return false;
        }
        if !self.all_dirty {
            self.touch(slot);
            twin.into_iter().for_each(|twin| self.touch(twin));
        }
        true
    }

    fn touch(&mut self, slot: Slot) {
        if let Some(touched) = self.is_touched.get_mut(slot)
            && !*touched
        {
            *touched = true;
            self.touched.push(slot);
        }
    }

    /// Marks everything.
    pub fn mark_all(&mut self) {
        self.all_dirty = true;
    }

    /// Sees and values contracts anew, and marks the tiles that they are legs of.
    fn look(&mut self, book: &Book) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.iter().for_each(|slot| self.is_touched[*slot] = false);
        if std::mem::take(&mut self.all_dirty) {
            self.is_dirty.fill(true);
            for slot in &self.lattice.slots {
                see(&mut self.seen, *slot, book);
            }
            if let Some(theory) = &mut self.theory {
                theory.value_all(&self.lattice, book, self.moment, &self.pricing);
            }
        } else {
            let (lattice, theory) = (&self.lattice, &mut self.theory);
            for slot in touched.iter().copied() {
                see(&mut self.seen, slot, book);
                if let Some(theory) = theory.as_mut().filter(|theory| theory.hears_quotes()) {
                    theory.value(slot, lattice, book, self.moment, &self.pricing);
                }
                for tile in lattice.by_slot.get(slot).into_iter().flatten() {
                    if let Some(dirty) = self.is_dirty.get_mut(*tile as usize) {
                        *dirty = true;
                    }
                }
            }
        }
        // The list keeps its memory.
        touched.clear();
        self.touched = touched;
    }

    /// Prices what is dirty and keeps the counts up to date; answers how many
    /// tiles it priced.
    pub fn reprice(&mut self, symbol: &str, book: &Book) -> usize {
        self.look(book);
        let inputs = Inputs {
            definitions: &self.definitions,
            seen: &self.seen,
            theory: self.theory.as_ref(),
        };
        let mut priced = 0;
        let tiles = self.lattice.tiles.iter().zip(&mut self.tiles).zip(&mut self.is_dirty);
        for ((spec, held), dirty) in tiles.filter(|(_, dirty)| **dirty) {
            *dirty = false;
            priced += 1;
            let Some(clock) = self.clocks.get(spec.group as usize) else { continue };
            if let Some(old) = held {
                old.reasons.bits().for_each(|bit| self.reasons[bit] -= 1);
                self.ineligible -= u64::from(!old.eligible);
                self.out_of_bounds -= u64::from(old.out_of_bounds);
            }
            let tile = held.get_or_insert_default();
            tile::price(tile, spec, symbol, clock, &inputs);
            tile.reasons.bits().for_each(|bit| self.reasons[bit] += 1);
            self.ineligible += u64::from(!tile.eligible);
            self.out_of_bounds += u64::from(tile.out_of_bounds);
        }
        priced
    }
}

/// A butterfly without its prices.
fn fly(spec: &TileSpec) -> Option<Fly<'_>> {
    let (width, strike) = (spec.width.to_f64(), spec.strike.to_f64());
    let root = spec.root.as_deref();
    let is_fly = spec.strategy == Strategy::Butterfly && width > 0.0 && strike > 0.0;
    is_fly.then_some(Fly {
        key: &spec.key,
        dte: spec.dte,
        width,
        strike,
        root,
        call: None,
        put: None,
    })
}

fn see(seen: &mut [Seen], slot: Slot, book: &Book) {
    if let (Some(seen), Some(state)) = (seen.get_mut(slot), book.states.get(slot)) {
        *seen = Seen::of(state);
    }
}

fn next_settlement(lattice: &Lattice, moment: Moment) -> Option<RecvTime> {
    let living = lattice.groups.iter().map(|g| g.settles_at);
    living.filter(|at| *at >= moment.at).min()
}

fn clocks(lattice: &Lattice, moment: Moment, pricing: &Pricing) -> Vec<Clock> {
    lattice.groups.iter().map(|group| Clock::new(group, moment, pricing)).collect()
}
