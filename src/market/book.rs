//! What is known of one underlying's market at a moment: the topology of an
//! epoch and the newest state of each of its contracts.
//!
//! One book per epoch; the partition writes it, models read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_journal::event::{ExerciseStyle, OptionRight};
use orrery_journal::units::{InstrumentId, Price, RecvTime, Seq, TradingDay};
use orrery_replay::fold::EpochId;

/// A contract of a topology.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// Its dense id in the journal.
    pub instrument: InstrumentId,
    /// Its identity.
    pub ticker: Box<str>,
    /// Root as listed: `SPX` settles in the morning, `SPXW` at the close.
    pub root: Box<str>,
    /// Expiration date.
    pub expiry: TradingDay,
    /// Trading day on which it settles: its expiration date, or the last trading
    /// day before a date on which nobody trades.
    pub settles_on: TradingDay,
    /// The instant at which it settles.
    pub settles_at: RecvTime,
    /// Strike.
    pub strike: Price,
    /// Call or put.
    pub right: OptionRight,
    /// Exercise style, when the vendor says it.
    pub style: Option<ExerciseStyle>,
    /// Units of the underlying per contract.
    pub multiplier: f64,
}

impl Contract {
    /// Calendar days from a trading day to the one on which it settles; negative
    /// once that has passed.
    #[must_use]
    pub fn dte(&self, day: TradingDay) -> i32 {
        self.settles_on.0.saturating_sub(day.0)
    }
}

/// Index of a contract inside its topology.
pub type Slot = usize;

/// Which contracts exist: fixed for the life of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// blake3 over the canonical topology.
    pub id: EpochId,
    /// Symbol of the underlying: `SPX`.
    pub symbol: Box<str>,
    /// Ascending by expiry, root, strike, right (call first), ticker.
    pub contracts: Vec<Contract>,
    /// Expirations, ascending.
    pub expiries: Vec<TradingDay>,
    /// Strike distances of verticals and butterflies, in price units, ascending.
    pub widths: Vec<Price>,
    /// Slot of an instrument.
    pub slots: BTreeMap<InstrumentId, Slot>,
}

impl Topology {
    /// Calendar days from a trading day to the one on which the contracts of an
    /// expiration settle, as of [`Contract::dte`].
    #[must_use]
    pub fn dte(&self, expiry: TradingDay, day: TradingDay) -> i32 {
        let first = self.contracts.partition_point(|c| c.expiry < expiry);
        let listed = self.contracts.get(first).filter(|c| c.expiry == expiry);
        listed.map_or(expiry.0.saturating_sub(day.0), |c| c.dte(day))
    }
}

/// The newest that is known of a contract. `None` is unknown, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct ContractState {
    /// Bid in currency units; `Some(0.0)` is the vendor's "no bid".
    pub bid: Option<f64>,
    /// Ask in currency units; `Some(0.0)` is the vendor's "no ask".
    pub ask: Option<f64>,
    /// Recv time of the quote.
    pub quoted_at: Option<RecvTime>,
    /// Last traded price.
    pub last: Option<f64>,
    /// Recv time of the trade.
    pub traded_at: Option<RecvTime>,
    /// Contracts outstanding.
    pub open_interest: Option<f64>,
    /// Contracts traded in the vendor's day.
    pub volume: Option<f64>,
    /// Annualised volatility as a fraction.
    pub implied_volatility: Option<f64>,
    /// Vendor's delta.
    pub delta: Option<f64>,
    /// Vendor's gamma per point.
    pub gamma: Option<f64>,
    /// Vendor's theta.
    pub theta: Option<f64>,
    /// Vendor's vega.
    pub vega: Option<f64>,
    /// What the session's regular trades came to, by side; `None` where there
    /// was none.
    pub inventory: Option<Inventory>,
}

/// Contracts of the session's regular trades, by whose order they met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Wanted by buyers.
    pub bought: u64,
    /// Wanted by sellers.
    pub sold: u64,
    /// Nobody can say.
    pub unknown: u64,
}

impl Inventory {
    /// Contracts that the others hold if they took every trade: the dealers'
    /// position, positive when they are long. `None` where no side is known.
    #[must_use]
    pub fn dealers(&self) -> Option<f64> {
        let known = self.bought > 0 || self.sold > 0;
        known.then_some(self.sold as f64 - self.bought as f64)
    }
}

/// Why a quote has no middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteProblem {
    /// Neither side is there.
    Missing,
    /// Only one side is there.
    OneSided,
    /// The bid lies above the ask.
    Crossed,
}

impl ContractState {
    /// Bid and ask; a side of 0 is absent.
    ///
    /// # Errors
    /// What is wrong with the quote.
    pub fn quote(&self) -> Result<(f64, f64), QuoteProblem> {
        let side = |price: Option<f64>| price.filter(|p| p.is_finite() && *p > 0.0);
        match (side(self.bid), side(self.ask)) {
            (Some(bid), Some(ask)) if ask >= bid => Ok((bid, ask)),
            (Some(_), Some(_)) => Err(QuoteProblem::Crossed),
            (None, None) => Err(QuoteProblem::Missing),
            _ => Err(QuoteProblem::OneSided),
        }
    }

    /// Bid and ask when both sides are there and not crossed.
    #[must_use]
    pub fn two_sided(&self) -> Option<(f64, f64)> {
        self.quote().ok()
    }

    /// Middle of a two-sided quote.
    #[must_use]
    pub fn mid(&self) -> Option<f64> {
        self.two_sided().map(|(bid, ask)| (bid + ask) / 2.0)
    }
}

/// Where the price of the underlying came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SpotSource {
    Index,
    Trade,
    Bar,
    Chain,
}

/// Price of the underlying.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// Currency units or index points; finite and positive.
    pub value: f64,
    /// Recv time of the observation.
    pub at: RecvTime,
    /// Where it came from.
    pub source: SpotSource,
}

/// An epoch's market.
#[derive(Clone, Debug)]
pub struct Book {
    /// The contracts.
    pub topology: Arc<Topology>,
    /// By slot.
    pub states: Vec<ContractState>,
}

/// What models read.
#[derive(Clone, Copy, Debug)]
pub struct Market<'a> {
    /// Symbol of the partition: `SPX`.
    pub symbol: &'a str,
    /// The epoch's book; `None` where no chain was seen.
    pub book: Option<&'a Book>,
    /// Newest price of the underlying.
    pub spot: Option<Spot>,
    /// The event at hand; at a timer, the last one before it.
    pub seq: Seq,
    /// Recv time of the event or timer at hand.
    pub now: RecvTime,
    /// Trading day of `now`, in the journal's calendar.
    pub day: TradingDay,
}
