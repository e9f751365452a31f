//! A book that is being written: values of contracts, how fresh they are, and
//! whether enough of them are there to show the epoch to anybody.
//!
//! Rule of freshness: what is older by the vendor's clock never overwrites what
//! is newer; a chain is judged by `admission`, one group of values after the
//! other. An absent value never overwrites a known quote or trade, but a chain
//! that no longer states a greek takes it back: unknown is not "as before".

mod admission;

use std::hint::black_box;
use std::sync::Arc;

use orrery_journal::event::ChainRow;
use orrery_journal::units::{InstrumentId, RecvTime, TradingDay, VendorTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::{Deserialize, Serialize};

pub use self::admission::Kept;
use self::admission::{Freshness, is_older, newest};
use super::book::{Book, Contract, ContractState, Inventory, Slot, Topology};

/// Which contracts have to be quoted before an epoch may be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InnerParameters {
    /// Highest number of calendar days to expiry. Default: 10.
    pub dte_max: i32,
    /// Distance of the strike from spot as a fraction of spot. Default: 0.02.
    pub strike_band: f64,
    /// With fewer contracts than this in the band, all contracts count.
    /// Default: 20.
    pub contracts_min: usize,
    /// Share of them that needs a two-sided quote. Default: 0.9.
    pub two_sided_share: f64,
}

impl Default for InnerParameters {
    fn default() -> Self {
        InnerParameters { dte_max: 10, strike_band: 0.02, contracts_min: 20, two_sided_share: 0.9 }
    }
}

/// A fact about one contract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tick {
    /// Best bid and offer; a side that is `None` was not in the message.
    Quote {
        /// Bid; 0 is "no bid".
        bid: Option<f64>,
        /// Ask; 0 is "no ask".
        ask: Option<f64>,
    },
    /// A trade, or the last price of a bar of trades.
    Trade {
        /// Price.
        price: f64,
        /// Contracts traded in the vendor's day, where it says so.
        day_volume: Option<f64>,
    },
}

/// What a tick did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A value moved.
    Changed,
    /// Nothing but the age of a value.
    Same,
    /// Older than what is known; nothing happened.
    Late,
}

/// Contracts that count for promotion, chosen when spot and chain were known.
#[derive(Clone, Debug, PartialEq, Default)]
struct Inner {
    member: Vec<bool>,
    total: usize,
    two_sided: usize,
}

/// A book with its bookkeeping.
#[derive(Clone, Debug)]
pub struct LiveBook {
    book: Book,
    freshness: Vec<Freshness>,
    /// The newest moment that any chain has stated.
    stated: Option<VendorTime>,
    inner: Option<Inner>,
    /// Contracts with a two-sided quote.
    two_sided: usize,
    /// Whether any contract has gamma and open interest.
    has_exposure: bool,
}

impl LiveBook {
    /// A book of which nothing is known but its topology.
    #[must_use]
    pub fn new(topology: Arc<Topology>) -> LiveBook {
        let n = topology.contracts.len();
        LiveBook {
            book: Book { topology, states: vec![ContractState::default(); n] },
            freshness: vec![Freshness::default(); n],
            stated: None,
            inner: None,
            two_sided: 0,
            has_exposure: false,
        }
    }

    /// The book.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Takes the values of a chain snapshot; answers what was kept because it is
    /// newer. `row_of_slot` is as [`declare`](super::topology::declare) answered
    /// it for these rows.
    pub fn refresh(&mut self, rows: &[ChainRow], row_of_slot: &[usize], now: RecvTime) -> Kept {
        let moment = newest(rows);
        let mut kept = Kept { chain: self.is_ahead_of(rows), ..Kept::default() };
        let states = self.book.states.iter_mut().zip(&mut self.freshness);
        for ((state, fresh), row) in states.zip(row_of_slot.iter().map(|r| rows.get(*r))) {
            if let Some(row) = row {
                fresh.admit(state, row, moment, now, &mut kept);
            }
        }
        self.stated = self.stated.max(moment);
        self.recount();
        kept
    }

    /// Whether a chain before was newer than this one.
    #[must_use]
    pub fn is_ahead_of(&self, rows: &[ChainRow]) -> bool {
        is_older(newest(rows), self.stated)
    }

    /// Reads what a tick of this contract will need, so that it is at hand.
    pub fn look_ahead(&self, slot: Slot) {
        if let (Some(state), Some(fresh)) = (self.book.states.get(slot), self.freshness.get(slot)) {
            black_box((state.bid, state.quoted_at, fresh.quote));
        }
    }

    /// Takes a tick.
    pub fn take(
        &mut self,
        slot: Slot,
        tick: Tick,
        vendor: Option<VendorTime>,
        now: RecvTime,
    ) -> Taken {
        let (Some(state), Some(fresh)) =
            (self.book.states.get_mut(slot), self.freshness.get_mut(slot))
        else {
            return Taken::Same;
        };
        let before = state.two_sided().is_some();
        let taken = match tick {
            Tick::Quote { bid, ask } => {
                if is_older(vendor, fresh.quote) {
                    return Taken::Late;
                }
                fresh.quote_ticked(vendor);
                let held = (state.bid, state.ask);
                (state.bid, state.ask) = (bid.or(held.0), ask.or(held.1));
                state.quoted_at = Some(now);
                if (state.bid, state.ask) == held { Taken::Same } else { Taken::Changed }
            }
            Tick::Trade { price, day_volume } => {
                if is_older(vendor, fresh.trade) {
                    return Taken::Late;
                }
                fresh.trade_ticked(vendor, day_volume.is_some());
                state.last = Some(price);
                state.traded_at = Some(now);
                state.volume = day_volume.or(state.volume);
                Taken::Changed
            }
        };
        match (before, state.two_sided().is_some()) {
            (false, true) => self.count_two_sided(slot, |n| n + 1),
            (true, false) => self.count_two_sided(slot, |n| n.saturating_sub(1)),
            _ => {}
        }
        taken
    }

    /// Writes what the session's trades of a contract came to.
    pub fn put_inventory(&mut self, slot: Slot, inventory: Option<Inventory>) {
        if let Some(state) = self.book.states.get_mut(slot) {
            state.inventory = inventory;
        }
    }

    /// Writes what the session's trades of all contracts came to.
    pub fn put_inventories(&mut self, of: impl Fn(InstrumentId) -> Option<Inventory>) {
        let contracts = &self.book.topology.contracts;
        for (state, contract) in self.book.states.iter_mut().zip(contracts) {
            state.inventory = of(contract.instrument);
        }
    }

    /// Chooses the contracts that count for promotion, around a price.
    pub fn choose_inner(&mut self, spot: f64, day: TradingDay, parameters: &InnerParameters) {
        let reach = spot * parameters.strike_band;
        let near = |c: &Contract| {
            (0..=parameters.dte_max).contains(&c.dte(day))
                && (c.strike.to_f64() - spot).abs() <= reach
        };
        let contracts = &self.book.topology.contracts;
        let mut member: Vec<bool> = contracts.iter().map(near).collect();
        if member.iter().filter(|m| **m).count() < parameters.contracts_min {
            member.fill(true);
        }
        let total = member.iter().filter(|m| **m).count();
        self.inner = Some(Inner { member, total, two_sided: 0 });
        self.recount();
    }

    /// Whether [`LiveBook::choose_inner`] was called.
    #[must_use]
    pub fn has_inner(&self) -> bool {
        self.inner.is_some()
    }

    /// Whether enough of the chosen contracts have a two-sided quote.
    #[must_use]
    pub fn is_quoted(&self, parameters: &InnerParameters) -> bool {
        self.inner.as_ref().is_some_and(|inner| {
            inner.two_sided > 0
                && inner.two_sided as f64 >= parameters.two_sided_share * inner.total as f64
        })
    }

    /// Whether any model could say anything about it: a contract with gamma and
    /// open interest, or one with a two-sided quote.
    #[must_use]
    pub fn is_publishable(&self) -> bool {
        self.has_exposure || self.two_sided > 0
    }

    /// Contracts with a two-sided quote.
    #[must_use]
    pub fn two_sided(&self) -> usize {
        self.two_sided
    }

    fn count_two_sided(&mut self, slot: Slot, step: fn(usize) -> usize) {
        self.two_sided = step(self.two_sided);
        if let Some(inner) = &mut self.inner
            && inner.member.get(slot) == Some(&true)
        {
            inner.two_sided = step(inner.two_sided);
        }
    }

    fn recount(&mut self) {
        let quoted = |s: &ContractState| s.two_sided().is_some();
        self.two_sided = self.book.states.iter().filter(|s| quoted(s)).count();
        self.has_exposure = self.book.states.iter().any(has_exposure);
        if let Some(inner) = &mut self.inner {
            let members = self.book.states.iter().zip(&inner.member);
            inner.two_sided = members.filter(|(s, member)| **member && quoted(s)).count();
        }
    }

    /// Appends everything but the topology.
    pub fn save(&self, e: &mut Encoder<'_>) {
        e.count(self.book.states.len());
        for (state, fresh) in self.book.states.iter().zip(&self.freshness) {
            save_state(state, e);
            fresh.save(e);
        }
        e.option(self.stated, Encoder::vendor);
        e.option(self.inner.as_ref(), |e, inner| {
            inner.member.iter().for_each(|m| e.bool(*m));
        });
    }

    /// Takes a saved book of this topology.
    ///
    /// # Errors
    /// When the bytes are not such a book.
    pub fn restore(topology: Arc<Topology>, d: &mut Decoder<'_>) -> Result<LiveBook, RestoreError> {
        let n = topology.contracts.len();
        if d.count()? != n {
            return Err(RestoreError(format!("states do not match {n} contracts")));
        }
        let mut live = LiveBook::new(topology);
        for (state, fresh) in live.book.states.iter_mut().zip(&mut live.freshness) {
            *state = restore_state(d)?;
            *fresh = Freshness::restore(d)?;
        }
        live.stated = d.option(Decoder::vendor)?;
        live.inner = d.option(|d| {
            let member = (0..n).map(|_| d.bool()).collect::<Result<Vec<_>, _>>()?;
            let total = member.iter().filter(|m| **m).count();
            Ok(Inner { member, total, two_sided: 0 })
        })?;
        live.recount();
        Ok(live)
    }
}

/// Whether a state has what gamma exposure needs.
#[must_use]
pub fn has_exposure(state: &ContractState) -> bool {
    state.gamma.is_some_and(|g| g != 0.0) && state.open_interest.is_some_and(|oi| oi > 0.0)
}

fn numbers(state: &ContractState) -> [Option<f64>; 10] {
    [
        state.bid,
        state.ask,
        state.last,
        state.open_interest,
        state.volume,
        state.implied_volatility,
        state.delta,
        state.gamma,
        state.theta,
        state.vega,
    ]
}

fn save_state(state: &ContractState, e: &mut Encoder<'_>) {
    numbers(state).into_iter().for_each(|n| e.option(n, Encoder::f64));
    e.option(state.quoted_at, Encoder::recv);
    e.option(state.traded_at, Encoder::recv);
}

fn restore_state(d: &mut Decoder<'_>) -> Result<ContractState, RestoreError> {
    let mut number = || d.option(Decoder::f64);
    let mut state = ContractState {
        bid: number()?,
        ask: number()?,
        last: number()?,
        open_interest: number()?,
        volume: number()?,
        implied_volatility: number()?,
        delta: number()?,
        gamma: number()?,
        theta: number()?,
        vega: number()?,
        ..ContractState::default()
    };
    state.quoted_at = d.option(Decoder::recv)?;
    state.traded_at = d.option(Decoder::recv)?;
    Ok(state)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::market::calendar::TradingCalendar;
    use crate::market::ticker::parse_option;
    use crate::market::topology::{TopologyParameters, declare};

    /// A row that says nothing but the terms in its ticker.
    pub(crate) fn row(instrument: InstrumentId, ticker: &str) -> ChainRow {
        parse_option(ticker).expect("an option ticker").row(instrument)
    }

    /// Rows of tickers with ids from 1, and the names of the ids.
    pub(crate) fn tickers(list: &[&str]) -> (Vec<ChainRow>, BTreeMap<InstrumentId, String>) {
        let ids = (1..).map(InstrumentId);
        let rows = ids.clone().zip(list).map(|(id, t)| row(id, t)).collect();
        (rows, ids.zip(list.iter().map(|t| (*t).to_owned())).collect())
    }

    pub(super) fn two() -> (Vec<ChainRow>, Vec<usize>, LiveBook) {
        let (rows, names) = tickers(&["O:SPXW251219C06000000", "O:SPXW251219P06000000"]);
        let ticker_of = |id| names.get(&id).map(String::as_str);
        let declared = declare(
            "SPX",
            &rows,
            ticker_of,
            &TopologyParameters::default(),
            TradingCalendar::shipped(),
        );
        (rows, declared.row_of_slot, LiveBook::new(Arc::new(declared.topology)))
    }

    const NOW: RecvTime = RecvTime(1_000);

    fn quote(bid: f64, ask: f64) -> Tick {
        Tick::Quote { bid: Some(bid), ask: Some(ask) }
    }

    #[test]
    fn older_never_overwrites_newer() {
        let (mut rows, slots, mut live) = two();
        assert_eq!(live.take(0, quote(1.0, 2.0), Some(VendorTime(5)), NOW), Taken::Changed);
        assert_eq!(live.take(0, quote(1.0, 2.0), Some(VendorTime(6)), NOW), Taken::Same);
        assert_eq!(live.take(0, quote(9.0, 9.0), Some(VendorTime(5)), NOW), Taken::Late);
        // A chain that was captured before the quote keeps the quote.
        (rows[0].bid, rows[0].ask, rows[0].updated) = (Some(7.0), Some(8.0), Some(VendorTime(4)));
        live.refresh(&rows, &slots, NOW);
        assert_eq!(live.book().states[0].two_sided(), Some((1.0, 2.0)));
        rows[0].updated = Some(VendorTime(7));
        live.refresh(&rows, &slots, NOW);
        assert_eq!(live.book().states[0].two_sided(), Some((7.0, 8.0)));
        assert_eq!(live.take(0, quote(9.0, 9.0), Some(VendorTime(6)), NOW), Taken::Late);
    }

    #[test]
    fn a_chain_without_quotes_keeps_them_but_takes_greeks_back() {
        let (mut rows, slots, mut live) = two();
        live.take(0, quote(1.0, 2.0), None, NOW);
        (rows[0].gamma, rows[0].open_interest) = (Some(0.01), Some(5.0));
        live.refresh(&rows, &slots, NOW);
        assert!(has_exposure(&live.book().states[0]) && live.is_publishable());
        (rows[0].gamma, rows[0].open_interest) = (Some(f64::NAN), Some(-1.0));
        live.refresh(&rows, &slots, NOW);
        let state = live.book().states[0];
        assert_eq!((state.gamma, state.open_interest), (None, None));
        assert_eq!(state.mid(), Some(1.5));
    }

    #[test]
    fn two_sided_contracts_are_counted_as_quotes_come_and_go() {
        let (_, _, mut live) = two();
        let parameters = InnerParameters::default();
        let day = TradingDay::parse("2025-12-19").expect("a date");
        live.take(0, quote(1.0, 2.0), None, NOW);
        assert!(!live.is_quoted(&parameters), "nothing chosen yet");
        live.choose_inner(6000.0, day, &parameters);
        assert!(!live.is_quoted(&parameters), "half");
        live.take(1, quote(1.0, 2.0), None, NOW);
        assert!(live.is_quoted(&parameters));
        live.take(1, quote(0.0, 2.0), None, NOW);
        assert!(!live.is_quoted(&parameters) && live.is_publishable());
        let mut bytes = Vec::new();
        live.save(&mut Encoder::new(&mut bytes));
        let again = LiveBook::restore(live.book().topology.clone(), &mut Decoder::new(&bytes));
        let again = again.expect("its own bytes");
        assert_eq!(again.book().states, live.book().states);
        assert_eq!((again.inner, again.freshness), (live.inner, live.freshness));
        assert_eq!(again.stated, live.stated);
    }
}
