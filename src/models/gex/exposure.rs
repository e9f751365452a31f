//! Gamma exposure by expiry and strike, calls and puts apart.
//!
//! A contract's exposure is gamma x open interest x multiplier, in units of the
//! underlying per point of its price, unsigned. Sums run in the order of the
//! topology, so they are the same on every machine. A contract that cannot be
//! counted is left out and counted under its reason; it is never a zero.

use orrery_journal::event::OptionRight;
use orrery_journal::units::{Price, RecvTime, TradingDay};
use orrery_replay::fold::EpochId;
use serde::Serialize;

use crate::market::book::{Book, Contract, ContractState, Topology};
use crate::models::price_key;

/// Contracts that are not part of the sums, by reason. Each contract is under
/// the first reason that applies, in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Excluded {
    /// Settled before the moment of the body.
    pub expired: u64,
    /// The vendor does not say its open interest.
    pub missing_open_interest: u64,
    /// Nobody holds it: it adds nothing whatever its gamma.
    pub zero_open_interest: u64,
    /// The vendor does not say its gamma.
    pub missing_gamma: u64,
    /// The vendor's gamma is below zero, which a held option's cannot be.
    pub negative_gamma: u64,
}

/// What a contract says about its exposure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Gamma x open interest x multiplier.
    Counted(f64),
    /// Left out, and why.
    Expired,
    #[allow(missing_docs)]
    MissingOpenInterest,
    #[allow(missing_docs)]
    ZeroOpenInterest,
    #[allow(missing_docs)]
    MissingGamma,
    #[allow(missing_docs)]
    NegativeGamma,
}

/// The exposure of one contract as of a moment.
#[must_use]
pub fn verdict(contract: &Contract, state: &ContractState, as_of: RecvTime) -> Verdict {
    if contract.settles_at < as_of {
        return Verdict::Expired;
    }
    let Some(open_interest) = state.open_interest.filter(|oi| oi.is_finite() && *oi >= 0.0) else {
        return Verdict::MissingOpenInterest;
    };
    if open_interest == 0.0 {
        return Verdict::ZeroOpenInterest;
    }
    match state.gamma.filter(|gamma| gamma.is_finite()) {
        None => Verdict::MissingGamma,
        Some(gamma) if gamma < 0.0 => Verdict::NegativeGamma,
        Some(gamma) => Verdict::Counted(gamma * open_interest * contract.multiplier),
    }
}

/// Unsigned exposures of a strike; `None` where no contract was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// Sum over calls.
    pub call: Option<f64>,
    /// Sum over puts.
    pub put: Option<f64>,
}

impl Cell {
    fn add(&mut self, right: OptionRight, exposure: f64) {
        let side = match right {
            OptionRight::Call => &mut self.call,
            OptionRight::Put => &mut self.put,
        };
        *side = Some(side.unwrap_or(0.0) + exposure);
    }

    /// Adds what another cell has.
    pub fn add_cell(&mut self, other: &Cell) {
        if let Some(call) = other.call {
            self.add(OptionRight::Call, call);
        }
        if let Some(put) = other.put {
            self.add(OptionRight::Put, put);
        }
    }

    /// Whether no contract was counted in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.call.is_none() && self.put.is_none()
    }
}

/// Where a topology's contracts are summed: fixed for the life of an epoch.
/// Roots that share expiry and strike are summed into one cell.
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
    /// Contracts not in the sums.
    pub excluded: Excluded,
}

impl Exposures {
    /// Share of the contracts that should count (alive, and held or of unknown
    /// open interest) which do; `None` when there is no such contract.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        let without = self.excluded.missing_open_interest
            + self.excluded.missing_gamma
            + self.excluded.negative_gamma;
        let all = self.counted + without;
        (all > 0).then(|| self.counted as f64 / all as f64)
    }
}

/// Sums a book as of a moment, in the layout of its topology.
#[must_use]
pub fn exposures(book: &Book, layout: &Layout, as_of: RecvTime) -> Exposures {
    let mut sums = Exposures {
        cells: vec![Cell::default(); layout.cells.len()],
        strikes: vec![Cell::default(); layout.strikes.len()],
        ..Exposures::default()
    };
    let slots = book.topology.contracts.iter().zip(&book.states).zip(&layout.cell_of_slot);
    for ((contract, state), cell) in slots {
        match verdict(contract, state, as_of) {
            Verdict::Counted(exposure) => {
                sums.counted += 1;
                sums.zero_gamma += u64::from(exposure == 0.0);
                if let Some(cell) = sums.cells.get_mut(*cell as usize) {
                    cell.add(contract.right, exposure);
                }
            }
            Verdict::Expired => sums.excluded.expired += 1,
            Verdict::MissingOpenInterest => sums.excluded.missing_open_interest += 1,
            Verdict::ZeroOpenInterest => sums.excluded.zero_open_interest += 1,
            Verdict::MissingGamma => sums.excluded.missing_gamma += 1,
            Verdict::NegativeGamma => sums.excluded.negative_gamma += 1,
        }
    }
    for (cell, strike) in sums.cells.iter().zip(&layout.strike_of_cell) {
        if let Some(sum) = sums.strikes.get_mut(*strike as usize) {
            sum.add_cell(cell);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::testing::{contract, state};

    #[test]
    fn every_reason_is_told_apart_and_none_is_a_zero() {
        let call = contract("C", 100.0, 10);
        let at = RecvTime(0);
        assert_eq!(verdict(&call, &state(0.5, 3.0), at), Verdict::Counted(0.5 * 3.0 * 100.0));
        assert_eq!(verdict(&call, &state(0.0, 3.0), at), Verdict::Counted(0.0));
        assert_eq!(verdict(&call, &state(-0.5, 3.0), at), Verdict::NegativeGamma);
        assert_eq!(verdict(&call, &state(f64::NAN, 3.0), at), Verdict::MissingGamma);
        assert_eq!(verdict(&call, &state(0.5, 0.0), at), Verdict::ZeroOpenInterest);
        let unknown = ContractState { gamma: Some(0.5), ..ContractState::default() };
        assert_eq!(verdict(&call, &unknown, at), Verdict::MissingOpenInterest);
        let settles = call.settles_at;
        assert_eq!(verdict(&call, &state(0.5, 3.0), settles), Verdict::Counted(150.0));
        assert_eq!(verdict(&call, &state(0.5, 3.0), settles.plus_nanos(1)), Verdict::Expired);
    }
}
