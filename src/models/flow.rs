//! `flow`: what the session's option trades asked dealers to hedge.
//!
//! Each trade adds side x contracts x delta x multiplier x spot (FORMULAS 3),
//! side +1 where a buyer crossed the spread and -1 where a seller did: positive
//! means that whoever took the other side has to buy the underlying. Side and
//! evidence come from the tape, which judged the trade by the quote before it;
//! delta and spot are those of the trade's moment. Legs of several, auctions,
//! crosses, floor trades, late reports and unlisted conditions are summed apart.
//! A session is a trading day of the journal's calendar.
//!
//! Sums are whole millionths of the currency unit, so that a cancel takes out
//! exactly what its trade put in, and order does not matter. Profile: the rules
//! of the tape, `flow/lee-ready@1` by default. Owns its sums and what the newest
//! trades added to them.

mod body;
mod cell;

use std::collections::VecDeque;

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq, TradingDay};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::{Deserialize, Serialize};

use self::body::body;
use self::cell::{Cells, Entry, Place, Priced};
use super::{Change, Model, Scope};
use crate::market::black_scholes::implied_volatility;
use crate::market::book::{Contract, ContractState, Market, Slot};
use crate::market::pricing::Pricing;
use crate::market::side::{Prevailing, Rules};
use crate::market::tape::{Print, TapeParameters};

const STATE_VERSION: u8 = 2;

/// Where the delta of a trade comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeltaSource {
    /// As the vendor stated it in the chain before the trade.
    Vendor,
    /// Ours, by Black-Scholes from the volatility that the middle of the quote
    /// before the trade implies, or else from the vendor's volatility.
    Ours,
    /// The vendor's, and ours where it states none.
    #[default]
    VendorElseOurs,
}

/// What trades are weighed with; stands in every body.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Where deltas come from. Default: `vendor_else_ours`.
    pub delta: DeltaSource,
    /// What our own deltas are priced with.
    pub pricing: Pricing,
}

/// What the session came to besides its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Undone {
    withdrawn_trades: u64,
    withdrawn_contracts: u64,
    corrected_trades: u64,
}

/// The model.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    parameters: Parameters,
    tape: TapeParameters,
    day: Option<TradingDay>,
    as_of: Option<RecvTime>,
    cells: Cells,
    undone: Undone,
    /// What the newest trades added, ascending by seq.
    recall: VecDeque<Entry>,
}

impl Flow {
    /// A model that has seen nothing.
    #[must_use]
    pub fn new(parameters: Parameters, tape: TapeParameters) -> Flow {
        Flow {
            parameters,
            tape,
            day: None,
            as_of: None,
            cells: Cells::default(),
            undone: Undone::default(),
            recall: VecDeque::new(),
        }
    }

    /// With a new trading day everything begins anew.
    fn turn(&mut self, day: TradingDay) {
        if self.day != Some(day) {
            *self = Flow { day: Some(day), ..Flow::new(self.parameters, self.tape) };
        }
    }

    fn print(&mut self, slot: Slot, print: &Print, market: &Market<'_>) -> bool {
        let Some(book) = market.book else { return false };
        let found = book.topology.contracts.get(slot).zip(book.states.get(slot));
        let Some((contract, state)) = found else { return false };
        let most_ns = self.tape.quote_age_max_s.saturating_mul(NANOS_PER_SECOND);
        let is_old = |at: RecvTime| market.now.0.saturating_sub(at.0) > most_ns;
        let entry = Entry {
            seq: print.seq,
            class: print.class,
            place: Place { right: contract.right, zero_dte: contract.dte(market.day) == 0 },
            size: print.size,
            side: print.side,
            quoted: print.quote.is_some(),
            stale: print.quote.is_none() && state.quoted_at.is_some_and(is_old),
            priced: self.priced(contract, state, print.quote, market),
        };
        self.cells.count(&entry, true);
        self.recall.push_back(entry);
        if self.recall.len() > self.tape.recall_max {
            self.recall.pop_front();
        }
        true
    }

    /// What a contract bought weighs: delta x multiplier x spot.
    fn priced(
        &self,
        contract: &Contract,
        state: &ContractState,
        quote: Option<Prevailing>,
        market: &Market<'_>,
    ) -> Priced {
        let Some(spot) = market.spot.map(|s| s.value) else { return Priced::NoSpot };
        let notional = |delta: f64| delta * contract.multiplier * spot;
        let stated = state.delta.filter(|delta| delta.abs() <= 1.0);
        let vendor = stated.filter(|_| self.parameters.delta != DeltaSource::Ours);
        if let Some(delta) = vendor {
            return Priced::Vendor(notional(delta));
        }
        if self.parameters.delta == DeltaSource::Vendor {
            return Priced::NoDelta;
        }
        self.own_delta(contract, state, quote, market.now, spot)
            .map_or(Priced::NoDelta, |delta| Priced::Ours(notional(delta)))
    }

    fn own_delta(
        &self,
        contract: &Contract,
        state: &ContractState,
        quote: Option<Prevailing>,
        now: RecvTime,
        spot: f64,
    ) -> Option<f64> {
        let pricing = &self.parameters.pricing;
        let start = pricing.terms(contract, now, spot, 0.25);
        let mid = |q: Prevailing| Some((q.bid?.to_f64() + q.ask?.to_f64()) / 2.0);
        let implied =
            quote.and_then(mid).and_then(|m| implied_volatility(contract.right, m, &start).ok());
        let stated = || state.implied_volatility.filter(|iv| *iv > 0.0 && *iv < pricing.iv_cap);
        let volatility = implied.or_else(stated)?;
        let terms = pricing.terms(contract, now, spot, volatility);
        terms.greeks(contract.right).map(|greeks| greeks.delta).filter(|delta| delta.is_finite())
    }

    fn remembered(&self, seq: Seq) -> Option<usize> {
        self.recall.binary_search_by_key(&seq, |entry| entry.seq).ok()
    }

    /// Takes out exactly what a trade put in.
    fn withdraw(&mut self, print: &Print) -> bool {
        let Some(entry) = self.remembered(print.seq).and_then(|at| self.recall.remove(at)) else {
            return false;
        };
        self.cells.count(&entry, false);
        self.undone.withdrawn_trades += 1;
        self.undone.withdrawn_contracts =
            self.undone.withdrawn_contracts.saturating_add(entry.size);
        true
    }

    /// The trade as it is, with the delta and the spot of its own moment.
    fn correct(&mut self, is: &Print) -> bool {
        let Some(entry) = self.remembered(is.seq).and_then(|at| self.recall.get_mut(at)) else {
            return false;
        };
        self.cells.count(entry, false);
        (entry.class, entry.size, entry.side) = (is.class, is.size, is.side);
        self.cells.count(entry, true);
        self.undone.corrected_trades += 1;
        true
    }
}

impl Model for Flow {
    fn family(&self) -> &'static str {
        "flow"
    }

    fn profile(&self) -> &'static str {
        match self.tape.rules {
            Rules::LeeReady => "flow/lee-ready@1",
            Rules::QuoteMidpoint => "flow/quote-midpoint@1",
            Rules::AtQuote => "flow/at-quote@1",
        }
    }

    fn scope(&self) -> Scope {
        Scope::Epoch
    }

    fn outlives_epochs(&self) -> bool {
        true
    }

    fn cadence_ns(&self) -> i64 {
        NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        self.turn(market.day);
        let seen = match change {
            Change::Print { slot, print } => self.print(*slot, print, market),
            Change::Withdrawn { print, .. } => self.withdraw(print),
            Change::Corrected { is, .. } => self.correct(is),
            // Nothing new was seen, so the moment of the body stays.
            Change::All => return self.as_of.is_some(),
            _ => return false,
        };
        if seen {
            self.as_of = Some(market.now);
        }
        seen
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        self.turn(market.day);
        serde_json::to_vec(&body(self, market, self.as_of?)).ok()
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        e.option(self.day, Encoder::day);
        e.option(self.as_of, Encoder::recv);
        self.cells.save(&mut e);
        e.u64(self.undone.withdrawn_trades);
        e.u64(self.undone.withdrawn_contracts);
        e.u64(self.undone.corrected_trades);
        e.count(self.recall.len());
        self.recall.iter().for_each(|entry| entry.save(&mut e));
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let restored = Flow {
            day: d.option(Decoder::day)?,
            as_of: d.option(Decoder::recv)?,
            cells: Cells::restore(&mut d)?,
            undone: Undone {
                withdrawn_trades: d.u64()?,
                withdrawn_contracts: d.u64()?,
                corrected_trades: d.u64()?,
            },
            recall: d.list(Entry::restore)?.into(),
            ..Flow::new(self.parameters, self.tape)
        };
        d.end()?;
        *self = restored;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
