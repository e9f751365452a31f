//! The plane of contracts of the active epoch, by strike, days to expiry and
//! width.

use orrery_journal::units::Price;

use super::Partition;
use crate::market::book::{Contract, ContractState, Slot, Topology};
use crate::market::topology::slot_of;

/// Which contracts are wanted; everything unset lets all through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PlaneFilter {
    /// Lowest strike.
    pub strike_min: Option<Price>,
    /// Highest strike.
    pub strike_max: Option<Price>,
    /// Fewest calendar days to expiry.
    pub dte_min: Option<i32>,
    /// Most calendar days to expiry.
    pub dte_max: Option<i32>,
    /// Only contracts that can be a leg of a structure of at least this width...
    pub width_min: Option<Price>,
    /// ...and at most this one: another contract of the same root, expiry and
    /// right stands at one of the epoch's widths within these bounds.
    pub width_max: Option<Price>,
}

/// A contract with the newest that is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaneContract<'a> {
    /// Its index in the topology.
    pub slot: Slot,
    /// The contract.
    pub contract: &'a Contract,
    /// What is known of it.
    pub state: &'a ContractState,
    /// Calendar days to the day of settlement.
    pub dte: i32,
}

impl Partition {
    /// Contracts of the active epoch that pass the filter, in canonical order.
    #[must_use]
    pub fn contracts(&self, filter: &PlaneFilter) -> Vec<PlaneContract<'_>> {
        let Some(book) = self.active_book() else { return Vec::new() };
        let topology = &*book.topology;
        let widths: Option<Vec<Price>> = (filter.width_min.is_some() || filter.width_max.is_some())
            .then(|| {
                let inside = |w: &&Price| within(**w, filter.width_min, filter.width_max);
                topology.widths.iter().filter(inside).copied().collect()
            });
        let all = topology.contracts.iter().zip(&book.states).enumerate();
        all.map(|(slot, (contract, state))| PlaneContract {
            slot,
            contract,
            state,
            dte: contract.dte(self.here.day()),
        })
        .filter(|c| within(c.contract.strike, filter.strike_min, filter.strike_max))
        .filter(|c| within(c.dte, filter.dte_min, filter.dte_max))
        .filter(|c| widths.as_ref().is_none_or(|w| has_partner(topology, c.contract, w)))
        .collect()
    }
}

fn within<T: PartialOrd>(value: T, min: Option<T>, max: Option<T>) -> bool {
    min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
}

fn has_partner(topology: &Topology, contract: &Contract, widths: &[Price]) -> bool {
    let at = |strike: Option<i64>| {
        strike.is_some_and(|s| {
            slot_of(topology, contract.expiry, &contract.root, Price(s), contract.right).is_some()
        })
    };
    widths
        .iter()
        .any(|w| at(contract.strike.0.checked_add(w.0)) || at(contract.strike.0.checked_sub(w.0)))
}
