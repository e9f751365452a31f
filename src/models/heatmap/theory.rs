//! What contracts are worth by Black-Scholes, at a moment that is held.
//!
//! Time and spot are read at certain changes only ([`Moment`]), and the values
//! of all contracts of the lattice follow from the book and that moment: so a
//! tile does not change because a clock went on, and a restored model has the
//! same values as one that never stopped.

use orrery_journal::event::OptionRight;
use orrery_journal::units::RecvTime;

use super::lattice::{Group, Lattice};
use super::parameters::Pricing;
use super::profile::Volatility;
use crate::market::black_scholes::implied_volatility;
use crate::market::book::{Book, Contract, ContractState, Slot};

/// When time and spot were read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Recv time.
    pub at: RecvTime,
    /// Price of the underlying.
    pub spot: Option<f64>,
}

/// An expiry of a root as seen from a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// To settlement, at least the floor; `None` once it has passed.
    pub years: Option<f64>,
    /// e^(-rate x years): what a unit paid at settlement is worth.
    pub discount: f64,
}

impl Clock {
    /// The clock of a group.
    #[must_use]
    pub fn new(group: &Group, moment: Moment, pricing: &Pricing) -> Clock {
        let years = pricing.years(group.settles_at, moment.at);
        Clock { years, discount: libm::exp(-pricing.rate * years.unwrap_or(0.0)) }
    }
}

/// The original's volatility without any contract near the spot.
const SKEW_BASE: f64 = 0.2;
/// Distance from the spot within which contracts make the original's mean,
/// points.
const SKEW_REACH: f64 = 30.0;

/// Theoretical values, by slot.
#[derive(Debug)]
pub struct Theory {
    volatility: Volatility,
    /// `None` outside of the lattice and where no volatility is known.
    pub values: Vec<Option<f64>>,
    /// Of the skew, by group.
    bases: Vec<f64>,
}

impl Theory {
    /// No values yet.
    #[must_use]
    pub fn new(volatility: Volatility, contracts: usize) -> Theory {
        Theory { volatility, values: vec![None; contracts], bases: Vec::new() }
    }

    /// Whether a quote changes values, and not only what stands beside them.
    #[must_use]
    pub fn hears_quotes(&self) -> bool {
        self.volatility != Volatility::Skew
    }

    /// Values all contracts of the lattice.
    pub fn value_all(&mut self, lattice: &Lattice, book: &Book, moment: Moment, pricing: &Pricing) {
        if self.volatility == Volatility::Skew {
            self.bases = skew_bases(lattice, book, moment);
        }
        for slot in &lattice.slots {
            self.value(*slot, lattice, book, moment, pricing);
        }
    }

    /// Values one contract.
    pub fn value(
        &mut self,
        slot: Slot,
        lattice: &Lattice,
        book: &Book,
        moment: Moment,
        pricing: &Pricing,
    ) {
        let worth = || {
            let contract = book.topology.contracts.get(slot)?;
            let spot = moment.spot?;
            let sigma = self.sigma(slot, contract, lattice, book, moment, pricing)?;
            let value = pricing.terms(contract, moment.at, spot, sigma)?.price(contract.right)?;
            value.is_finite().then_some(value)
        };
        let value = worth();
        if let Some(held) = self.values.get_mut(slot) {
            *held = value;
        }
    }

    fn sigma(
        &self,
        slot: Slot,
        contract: &Contract,
        lattice: &Lattice,
        book: &Book,
        moment: Moment,
        pricing: &Pricing,
    ) -> Option<f64> {
        let implied = || of_strike(slot, contract, lattice, book, moment, pricing);
        match self.volatility {
            Volatility::Quotes => implied(),
            Volatility::VendorElseQuotes => book
                .states
                .get(slot)
                .and_then(|s| s.implied_volatility)
                .filter(|iv| iv.is_finite() && *iv > 0.0 && *iv < pricing.iv_cap)
                .or_else(implied),
            Volatility::Skew => {
                let base = self.bases.get(*lattice.group_of_slot.get(slot)? as usize)?;
                let m = contract.strike.to_f64() / moment.spot? - 1.0;
                let bend = if m < 0.0 { 1.5 * -m } else { 0.3 * m };
                Some(base * (1.0 + bend))
            }
        }
    }
}

/// What the out-of-the-money contract of the strike implies, else the other.
fn of_strike(
    slot: Slot,
    contract: &Contract,
    lattice: &Lattice,
    book: &Book,
    moment: Moment,
    pricing: &Pricing,
) -> Option<f64> {
    let (spot, years) = (moment.spot?, pricing.years(contract.settles_at, moment.at)?);
    let forward = spot * libm::exp((pricing.rate - pricing.carry) * years);
    let wanted =
        if contract.strike.to_f64() >= forward { OptionRight::Call } else { OptionRight::Put };
    let twin = lattice.twin.get(slot).copied().flatten();
    let order = if contract.right == wanted { [Some(slot), twin] } else { [twin, Some(slot)] };
    order.into_iter().flatten().find_map(|slot| {
        let (contract, state): (&Contract, &ContractState) =
            (book.topology.contracts.get(slot)?, book.states.get(slot)?);
        let terms = pricing.terms(contract, moment.at, spot, 0.25)?;
        implied_volatility(contract.right, state.mid()?, &terms).ok()
    })
}

fn skew_bases(lattice: &Lattice, book: &Book, moment: Moment) -> Vec<f64> {
    let mut sums = vec![(0.0, 0_u32); lattice.groups.len()];
    let Some(spot) = moment.spot else { return vec![SKEW_BASE; sums.len()] };
    for slot in &lattice.slots {
        let (Some(contract), Some(state), Some(group)) = (
            book.topology.contracts.get(*slot),
            book.states.get(*slot),
            lattice.group_of_slot.get(*slot),
        ) else {
            continue;
        };
        let near = (contract.strike.to_f64() - spot).abs() <= SKEW_REACH;
        if near
            && let Some(iv) = state.implied_volatility.filter(|iv| *iv > 0.01 && *iv < 5.0)
            && let Some((sum, count)) = sums.get_mut(*group as usize)
        {
            *sum += iv;
            *count += 1;
        }
    }
    sums.into_iter().map(|(sum, n)| if n > 0 { sum / f64::from(n) } else { SKEW_BASE }).collect()
}
