//! A tile: what it buys, its legs and its key.

use std::collections::BTreeMap;

use orrery_journal::units::Price;

use crate::market::book::Slot;
use crate::models::price_key;

/// What a tile buys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// One option at the strike.
    Single,
    /// Long the strike, short the one a width beyond (calls up, puts down).
    Vertical,
    /// Long both wings, short two of the strike.
    Butterfly,
}

impl Strategy {
    /// Its word in keys and bodies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Single => "single",
            Strategy::Vertical => "vertical",
            Strategy::Butterfly => "butterfly",
        }
    }
}

/// Where a leg's strike lies from the tile's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A width below.
    Lower = 0,
    /// At the strike.
    Center = 1,
    /// A width above.
    Upper = 2,
}

/// A leg of one side of a tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    slot: u32,
    /// Bought (above zero) or sold, and how many.
    pub quantity: i8,
    /// Where its strike lies.
    pub place: Place,
}

impl Leg {
    /// The contract.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot as Slot
    }
}

/// Legs of one side: at most three, and small, so that a lattice is gone through
/// quickly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Legs {
    legs: [Leg; 3],
    count: u8,
}

impl Legs {
    /// Of a side that does not exist.
    const NONE: Legs =
        Legs { legs: [Leg { slot: 0, quantity: 0, place: Place::Center }; 3], count: 0 };
}

impl std::ops::Deref for Legs {
    type Target = [Leg];

    fn deref(&self) -> &[Leg] {
        self.legs.get(..usize::from(self.count)).unwrap_or_default()
    }
}

/// A tile that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct TileSpec {
    /// Key in the body.
    pub key: String,
    /// What it buys.
    pub strategy: Strategy,
    /// Calendar days to expiry.
    pub dte: i32,
    /// Anchor strike.
    pub strike: Price,
    /// Distance of the other strikes; zero for a single.
    pub width: Price,
    /// Which of the lattice's groups it belongs to.
    pub group: u32,
    /// Root, where it is not the one with the plain key.
    pub root: Option<Box<str>>,
    /// Legs of the call side; empty where a contract is missing.
    pub call: Legs,
    /// Legs of the put side; empty where a contract is missing.
    pub put: Legs,
}

/// Call and put of each strike of a group.
pub(super) type Strikes = BTreeMap<Price, [Option<Slot>; 2]>;

/// Places in a pair of [`Strikes`].
pub(super) const CALL: usize = 0;
pub(super) const PUT: usize = 1;

/// Everything that names a tile.
pub(super) struct Anchor<'a> {
    pub dte: i32,
    pub group: u32,
    pub root: Option<&'a str>,
    pub strike: Price,
    pub strategy: Strategy,
    pub width: Price,
}

impl Anchor<'_> {
    /// The tile, if its contracts exist: for a butterfly all six, for the
    /// others those of at least one side.
    pub fn tile(&self, strikes: &Strikes) -> Option<TileSpec> {
        use Place::{Center, Lower, Upper};
        let (call, put) = match self.strategy {
            Strategy::Single => {
                (self.legs(strikes, CALL, &[(Center, 1)]), self.legs(strikes, PUT, &[(Center, 1)]))
            }
            Strategy::Vertical => (
                self.legs(strikes, CALL, &[(Center, 1), (Upper, -1)]),
                self.legs(strikes, PUT, &[(Center, 1), (Lower, -1)]),
            ),
            Strategy::Butterfly => (
                self.legs(strikes, CALL, &[(Lower, 1), (Center, -2), (Upper, 1)]),
                self.legs(strikes, PUT, &[(Upper, 1), (Center, -2), (Lower, 1)]),
            ),
        };
        if self.strategy == Strategy::Butterfly && (call.is_none() || put.is_none()) {
            return None;
        }
        if call.is_none() && put.is_none() {
            return None;
        }
        Some(TileSpec {
            key: self.key(),
            strategy: self.strategy,
            dte: self.dte,
            strike: self.strike,
            width: self.width,
            group: self.group,
            root: self.root.map(Box::from),
            call: call.unwrap_or(Legs::NONE),
            put: put.unwrap_or(Legs::NONE),
        })
    }

    /// One side's legs, or `None` when one of its contracts does not exist.
    fn legs(&self, strikes: &Strikes, right: usize, wanted: &[(Place, i8)]) -> Option<Legs> {
        let mut legs = Legs::NONE;
        for (&(place, quantity), leg) in wanted.iter().zip(&mut legs.legs) {
            let strike = match place {
                Place::Lower => self.strike.0.checked_sub(self.width.0)?,
                Place::Center => self.strike.0,
                Place::Upper => self.strike.0.checked_add(self.width.0)?,
            };
            let slot = strikes.get(&Price(strike))?[right]?;
            *leg = Leg { slot: u32::try_from(slot).ok()?, quantity, place };
            legs.count += 1;
        }
        Some(legs)
    }

    fn key(&self) -> String {
        let (strategy, dte) = (self.strategy.name(), self.dte);
        let (width, strike) = (price_key(self.width), price_key(self.strike));
        match self.root {
            None => format!("{strategy}:{dte}:{width}:{strike}"),
            Some(root) => format!("{strategy}:{dte}:{width}:{strike}@{root}"),
        }
    }
}
