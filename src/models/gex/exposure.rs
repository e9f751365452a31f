//! Exposures by expiry and strike, calls and puts apart.
//!
//! A contract adds greek x contracts x multiplier to its side of its cell,
//! unsigned by position; sign and unit come when a body is made. Sums run in the
//! order of the topology, so they are the same on every machine. Roots that
//! share expiry and strike are summed into one cell.

use std::collections::BTreeMap;

use orrery_journal::event::OptionRight;
use orrery_journal::units::{Price, TradingDay};
use orrery_replay::fold::EpochId;
use serde::Serialize;

use super::held::{Held, Verdict, View};
use super::profile::{Definitions, Unit};
use crate::market::book::{Book, Contract, Topology};
use crate::market::implied::NoVolatility;
use crate::models::price_key;

/// Contracts that are not part of the sums, by reason. Each contract is under
/// the first reason that applies, in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Excluded {
    /// Settled before the moment of the body.
    pub expired: u64,
    /// Expires later than the profile looks.
    pub beyond_days: u64,
    /// The vendor does not say how many there are.
    pub missing_position: u64,
    /// Nobody holds it: it adds nothing whatever its gamma.
    pub zero_position: u64,
    /// No gamma from the profile's source.
    pub missing_gamma: u64,
    /// The vendor's gamma is below zero, which a held option's cannot be.
    pub negative_gamma: u64,
}

/// One greek's sums of a cell; `None` where no contract was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sides {
    /// Over calls.
    pub call: Option<f64>,
    /// Over puts.
    pub put: Option<f64>,
}

impl Sides {
    fn add(&mut self, right: OptionRight, value: f64) {
        let side = match right {
            OptionRight::Call => &mut self.call,
            OptionRight::Put => &mut self.put,
        };
        *side = Some(side.unwrap_or(0.0) + value);
    }

    fn add_sides(&mut self, other: &Sides) {
        if let Some(call) = other.call {
            self.add(OptionRight::Call, call);
        }
        if let Some(put) = other.put {
            self.add(OptionRight::Put, put);
        }
    }

    /// Signed and scaled: what stands in bodies.
    #[must_use]
    pub fn signed(&self, definitions: &Definitions, scale: f64) -> Signed {
        let sign = |right| definitions.sign.of(right);
        // 0 + x, so that a side of zero is 0.0 and not -0.0.
        let call = self.call.map(|c| 0.0 + sign(OptionRight::Call) * c * scale);
        let put = self.put.map(|p| 0.0 + sign(OptionRight::Put) * p * scale);
        let net = match (call, put) {
            (None, None) => None,
            (call, put) => Some(call.unwrap_or(0.0) + put.unwrap_or(0.0)),
        };
        Signed { call, put, net }
    }
}

/// An exposure of the dealers, by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Signed {
    /// Of calls; `None` where none was counted.
    pub call: Option<f64>,
    /// Of puts; `None` where none was counted.
    pub put: Option<f64>,
    /// Both together.
    pub net: Option<f64>,
}

/// All sums of an expiry and strike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// Gamma.
    pub gamma: Sides,
    /// Delta.
    pub delta: Sides,
    /// Vanna.
    pub vanna: Sides,
    /// Charm, per year.
    pub charm: Sides,
    /// Contracts held.
    pub contracts: Sides,
}

impl Cell {
    fn add(&mut self, right: OptionRight, held: &Held) {
        self.gamma.add(right, held.times(held.gamma));
        for (sides, greek) in [
            (&mut self.delta, held.delta),
            (&mut self.vanna, held.vanna),
            (&mut self.charm, held.charm),
        ] {
            if let Some(greek) = greek {
                sides.add(right, held.times(greek));
            }
        }
        self.contracts.add(right, held.contracts);
    }

    /// Adds what another cell has.
    pub fn add_cell(&mut self, other: &Cell) {
        self.gamma.add_sides(&other.gamma);
        self.delta.add_sides(&other.delta);
        self.vanna.add_sides(&other.vanna);
        self.charm.add_sides(&other.charm);
        self.contracts.add_sides(&other.contracts);
    }

    /// The sum of cells, in their order.
    pub fn total<'a>(cells: impl Iterator<Item = &'a Cell>) -> Cell {
        cells.fold(Cell::default(), |mut sum, cell| {
            sum.add_cell(cell);
            sum
        })
    }

    /// Whether no contract was counted in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gamma == Sides::default()
    }
}

/// From sums to published units, at a spot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// To gamma exposure, by the profile's unit.
    pub gex: f64,
    /// To currency of delta-notional.
    pub dex: f64,
    /// To currency of delta-notional per point of volatility.
    pub vex: f64,
    /// To currency of delta-notional per calendar day.
    pub chex: f64,
}

impl Scales {
    /// The scales of a unit at a spot (FORMULAS 2).
    #[must_use]
    pub fn new(unit: Unit, spot: f64) -> Scales {
        let gex = match unit {
            Unit::PerPercent => spot * spot * 0.01,
            Unit::PerPoint => spot,
        };
        Scales { gex, dex: spot, vex: spot * 0.01, chex: spot / 365.0 }
    }
}

/// Where a topology's contracts are summed: fixed for the life of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    topology: EpochId,
    /// Expiry and strike of each cell, ascending.
    pub cells: Vec<(TradingDay, Price)>,
    /// Strikes of all expiries, ascending.
    pub strikes: Vec<Price>,
    /// Keys of the strikes in bodies.
    keys: Vec<String>,
    cell_of_slot: Vec<u32>,
    strike_of_cell: Vec<u32>,
}

impl Layout {
    /// The layout of a topology.
    #[must_use]
    pub fn new(topology: &Topology) -> Layout {
        let contracts = &topology.contracts;
        let mut cells: Vec<_> = contracts.iter().map(|c| (c.expiry, c.strike)).collect();
        cells.sort_unstable();
        cells.dedup();
        let mut strikes: Vec<_> = contracts.iter().map(|c| c.strike).collect();
        strikes.sort_unstable();
        strikes.dedup();
        // Every cell and strike was taken from a contract, so each is found.
        let cell_of = |c: &Contract| cells.binary_search(&(c.expiry, c.strike)).unwrap_or_default();
        let strike_of = |strike: &Price| strikes.binary_search(strike).unwrap_or_default();
        Layout {
            topology: topology.id,
            cell_of_slot: contracts.iter().map(|c| cell_of(c) as u32).collect(),
            strike_of_cell: cells.iter().map(|(_, strike)| strike_of(strike) as u32).collect(),
            keys: strikes.iter().copied().map(price_key).collect(),
            cells,
            strikes,
        }
    }

    /// Expiry of each cell and key of its strike, in the order of the cells.
    pub fn names(&self) -> impl Iterator<Item = (TradingDay, &str)> {
        self.cells.iter().zip(&self.strike_of_cell).map(|((expiry, _), strike)| {
            (*expiry, self.keys.get(*strike as usize).map_or("", String::as_str))
        })
    }

    /// Whether it is that of a topology.
    #[must_use]
    pub fn fits(&self, topology: &Topology) -> bool {
        self.topology == topology.id && self.cell_of_slot.len() == topology.contracts.len()
    }
}

/// The exposures of a book.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposures {
    /// By cell of the layout.
    pub cells: Vec<Cell>,
    /// By strike of the layout, over all expiries.
    pub strikes: Vec<Cell>,
    /// Contracts in the sums.
    pub counted: u64,
    /// Of these, the ones whose gamma is exactly zero.
    pub zero_gamma: u64,
    /// Of these, the ones whose greeks are ours.
    pub ours: u64,
    /// Of these, the ones with a delta.
    pub with_delta: u64,
    /// Of these, the ones with vanna and charm.
    pub with_volatility: u64,
    /// Contracts not in the sums.
    pub excluded: Excluded,
    /// Of those without gamma, why their quotes gave none, by reason; empty
    /// where the profile does not look at quotes.
    pub unpriced: BTreeMap<NoVolatility, u64>,
}

impl Exposures {
    /// Share of the contracts that should count (alive, within the profile's
    /// days, and held or of unknown number) which do; `None` when there is no
    /// such contract.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        let without = self.excluded.missing_position
            + self.excluded.missing_gamma
            + self.excluded.negative_gamma;
        let all = self.counted + without;
        (all > 0).then(|| self.counted as f64 / all as f64)
    }
}

/// Sums a book as one looks at it, in the layout of its topology. `day` is the
/// trading day from which days to expiry count.
#[must_use]
pub fn exposures(book: &Book, layout: &Layout, view: &View<'_>, day: TradingDay) -> Exposures {
    let mut sums = Exposures {
        cells: vec![Cell::default(); layout.cells.len()],
        strikes: vec![Cell::default(); layout.strikes.len()],
        ..Exposures::default()
    };
    let slots = book.topology.contracts.iter().zip(&book.states).zip(&layout.cell_of_slot);
    for ((contract, state), cell) in slots {
        let excluded = &mut sums.excluded;
        match view.judge(contract, state, contract.dte(day)) {
            Verdict::Counted(held) => {
                sums.counted += 1;
                sums.zero_gamma += u64::from(held.gamma == 0.0);
                sums.ours += u64::from(held.ours);
                sums.with_delta += u64::from(held.delta.is_some());
                sums.with_volatility += u64::from(held.vanna.is_some());
                if let Some(cell) = sums.cells.get_mut(*cell as usize) {
                    cell.add(contract.right, &held);
                }
            }
            Verdict::Expired => excluded.expired += 1,
            Verdict::BeyondDays => excluded.beyond_days += 1,
            Verdict::MissingPosition => excluded.missing_position += 1,
            Verdict::ZeroPosition => excluded.zero_position += 1,
            Verdict::MissingGamma => {
                excluded.missing_gamma += 1;
                if let Some(why) = view.why_unpriced(contract, state) {
                    *sums.unpriced.entry(why).or_default() += 1;
                }
            }
            Verdict::NegativeGamma => excluded.negative_gamma += 1,
        }
    }
    for (cell, strike) in sums.cells.iter().zip(&layout.strike_of_cell) {
        if let Some(sum) = sums.strikes.get_mut(*strike as usize) {
            sum.add_cell(cell);
        }
    }
    sums
}
