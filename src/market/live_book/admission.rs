//! What of a chain's row goes into a book that may know newer things.
//!
//! A row's values are judged in groups, because they have clocks of their own:
//!
//! | group | clock of the row | clock of what is held |
//! |---|---|---|
//! | bid, ask | the row's `updated` | the quote's vendor time |
//! | last price | the row's `updated` | the trade's vendor time |
//! | volume of the day | the newest `updated` of the chain | that of the bar that stated it, or of the newest chain |
//! | open interest, volatility, greeks | the newest `updated` of the chain | that of the newest chain |
//!
//! Strictly newer is taken, anything else is kept out and counted. Two things
//! are no contest: where a time is unknown the order of arrival decides, and a
//! chain that is not older than the one before it replaces what that one said
//! also at the same `updated`, because a row's time may be that of its last
//! trade while the quote beside it has moved on.

use std::cmp::Ordering;

use orrery_journal::event::ChainRow;
use orrery_journal::units::{RecvTime, VendorTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;

use crate::market::book::ContractState;

/// What a chain did not overwrite, because it is newer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// The chain is older than one before it: open interest, volatilities and
    /// greeks of all its contracts, and the volumes that chains stated.
    pub chain: bool,
    /// Contracts whose quote was kept.
    pub quotes: u64,
    /// Contracts whose last price was kept.
    pub trades: u64,
}

/// Vendor times of what a contract's state holds.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Freshness {
    pub(super) quote: Option<VendorTime>,
    quote_is_tick: bool,
    pub(super) trade: Option<VendorTime>,
    trade_is_tick: bool,
    /// Of the bar that stated the day's volume.
    volume: Option<VendorTime>,
}

impl Freshness {
    /// A quote came as a tick.
    pub(super) fn quote_ticked(&mut self, at: Option<VendorTime>) {
        (self.quote, self.quote_is_tick) = (at.or(self.quote), true);
    }

    /// A trade came as a tick.
    pub(super) fn trade_ticked(&mut self, at: Option<VendorTime>, with_volume: bool) {
        (self.trade, self.trade_is_tick) = (at.or(self.trade), true);
        if with_volume {
            self.volume = at;
        }
    }

    /// Writes what is admitted of a row of a chain whose newest row is of
    /// `moment`.
    pub(super) fn admit(
        &mut self,
        state: &mut ContractState,
        row: &ChainRow,
        moment: Option<VendorTime>,
        now: RecvTime,
        kept: &mut Kept,
    ) {
        let finite = |v: Option<f64>| v.filter(|v| v.is_finite());
        let not_negative = |v: Option<f64>| v.filter(|v| v.is_finite() && *v >= 0.0);
        let (bid, ask) = (not_negative(row.bid), not_negative(row.ask));
        if bid.is_some() || ask.is_some() {
            if admitted(row.updated, self.quote, self.quote_is_tick, kept.chain) {
                (state.bid, state.ask) = (bid, ask);
                state.quoted_at = Some(now);
                (self.quote, self.quote_is_tick) = (row.updated, false);
            } else if row.updated == self.quote && (state.bid, state.ask) == (bid, ask) {
                // The same quote of the same moment: it still stands.
                state.quoted_at = Some(now);
            } else {
                kept.quotes += 1;
            }
        }
        let last = not_negative(row.last);
        if last.is_some() {
            if admitted(row.updated, self.trade, self.trade_is_tick, kept.chain) {
                state.last = last;
                state.traded_at = Some(now);
                (self.trade, self.trade_is_tick) = (row.updated, false);
            } else if row.updated != self.trade || state.last != last {
                kept.trades += 1;
            }
        }
        if kept.chain {
            return;
        }
        if !is_older(moment, self.volume) {
            (state.volume, self.volume) = (not_negative(row.volume), None);
        }
        state.open_interest = not_negative(row.open_interest);
        state.implied_volatility = not_negative(row.implied_volatility);
        state.delta = finite(row.delta);
        state.gamma = finite(row.gamma);
        state.theta = finite(row.theta);
        state.vega = finite(row.vega);
    }

    pub(super) fn save(&self, e: &mut Encoder<'_>) {
        e.option(self.quote, Encoder::vendor);
        e.bool(self.quote_is_tick);
        e.option(self.trade, Encoder::vendor);
        e.bool(self.trade_is_tick);
        e.option(self.volume, Encoder::vendor);
    }

    pub(super) fn restore(d: &mut Decoder<'_>) -> Result<Freshness, RestoreError> {
        Ok(Freshness {
            quote: d.option(Decoder::vendor)?,
            quote_is_tick: d.bool()?,
            trade: d.option(Decoder::vendor)?,
            trade_is_tick: d.bool()?,
            volume: d.option(Decoder::vendor)?,
        })
    }
}

/// The newest moment that a chain's rows state.
pub(super) fn newest(rows: &[ChainRow]) -> Option<VendorTime> {
    rows.iter().filter_map(|row| row.updated).max()
}

/// Older than what is held; where either time is unknown, order of arrival
/// decides.
pub(super) fn is_older(new: Option<VendorTime>, held: Option<VendorTime>) -> bool {
    matches!((new, held), (Some(new), Some(held)) if new < held)
}

/// Whether a row's value replaces the one that is held.
fn admitted(
    new: Option<VendorTime>,
    held: Option<VendorTime>,
    held_is_tick: bool,
    chain_is_older: bool,
) -> bool {
    match (new, held) {
        (Some(new), Some(held)) => match new.cmp(&held) {
            Ordering::Greater => true,
            Ordering::Equal => !held_is_tick && !chain_is_older,
            Ordering::Less => false,
        },
        // The row says nothing of its age, the chain around it does.
        (None, Some(_)) => !chain_is_older,
        (_, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::InstrumentId;

    use super::super::Tick;
    use super::super::tests::{row, two};
    use super::*;

    const NOW: RecvTime = RecvTime(1_000);

    fn at(vendor: i64) -> Option<VendorTime> {
        Some(VendorTime(vendor))
    }

    /// A row that states everything, with a number in all places.
    fn stated(number: f64, updated: Option<VendorTime>) -> ChainRow {
        let some = Some(number);
        ChainRow {
            bid: some,
            ask: some,
            last: some,
            volume: some,
            open_interest: some,
            implied_volatility: some,
            delta: some,
            gamma: some,
            theta: some,
            vega: some,
            updated,
            ..row(InstrumentId(1), "O:SPXW251219C06000000")
        }
    }

    /// What each group holds: quote, trade, volume, open interest, gamma.
    fn held(state: &ContractState) -> [Option<f64>; 5] {
        [state.mid(), state.last, state.volume, state.open_interest, state.gamma]
    }

    const NOTHING: Kept = Kept { chain: false, quotes: 0, trades: 0 };

    #[test]
    fn an_older_chain_after_a_newer_one_changes_nothing_and_is_counted() {
        let (_, slots, mut live) = two();
        let other = |updated| ChainRow { updated, ..row(InstrumentId(2), "O:SPXW251219P06000000") };
        let both = |number, own, newest| [stated(number, at(own)), other(at(newest))];
        assert_eq!(live.refresh(&both(5.0, 50, 60), &slots, NOW), NOTHING);
        let kept = live.refresh(&both(4.0, 40, 55), &slots, NOW);
        assert_eq!(kept, Kept { chain: true, quotes: 1, trades: 1 });
        assert_eq!(held(&live.book().states[0]), [Some(5.0); 5]);
        // Older as a whole, though one of its quotes is newer: that one counts.
        let kept = live.refresh(&both(6.0, 58, 59), &slots, NOW);
        assert_eq!(kept, Kept { chain: true, quotes: 0, trades: 0 });
        let want = [6.0, 6.0, 5.0, 5.0, 5.0].map(Some);
        assert_eq!(held(&live.book().states[0]), want);
        // An unknown time in an older chain is no reason to believe it.
        let untimed = [stated(1.0, None), other(at(59))];
        assert_eq!(live.refresh(&untimed, &slots, NOW), Kept { chain: true, quotes: 1, trades: 1 });
        assert_eq!(held(&live.book().states[0]), want);
        // Of the same moment, or of none: the one that came last.
        assert_eq!(live.refresh(&both(7.0, 58, 60), &slots, NOW), NOTHING);
        assert_eq!(held(&live.book().states[0]), [Some(7.0); 5]);
        let undated = [stated(8.0, None), other(None)];
        assert_eq!(live.refresh(&undated, &slots, NOW), NOTHING);
        assert_eq!(held(&live.book().states[0]), [Some(8.0); 5]);
    }

    #[test]
    fn a_chain_has_to_be_strictly_newer_than_a_tick_group_by_group() {
        let (_, slots, mut live) = two();
        let rows = |number, updated| [stated(number, at(updated))];
        live.refresh(&rows(1.0, 10), &slots[..1], NOW);
        live.take(0, Tick::Quote { bid: Some(2.0), ask: Some(2.0) }, at(20), NOW);
        live.take(0, Tick::Trade { price: 3.0, day_volume: Some(30.0) }, at(30), NOW);
        let later = RecvTime(2_000);
        // Newer than the quote, not than the trade and the volume with it.
        let kept = live.refresh(&rows(4.0, 25), &slots[..1], later);
        assert_eq!(kept, Kept { trades: 1, ..NOTHING });
        let state = live.book().states[0];
        assert_eq!(held(&state), [4.0, 3.0, 30.0, 4.0, 4.0].map(Some));
        // At the tick's own moment: another quote is kept out, the same stands.
        live.take(0, Tick::Quote { bid: Some(5.0), ask: Some(5.0) }, at(40), later);
        let again = RecvTime(3_000);
        let kept = live.refresh(&rows(6.0, 40), &slots[..1], again);
        assert_eq!(kept, Kept { quotes: 1, ..NOTHING });
        let state = live.book().states[0];
        assert_eq!((state.mid(), state.quoted_at), (Some(5.0), Some(later)));
        assert_eq!(live.refresh(&rows(5.0, 40), &slots[..1], again), NOTHING);
        let state = live.book().states[0];
        assert_eq!((state.mid(), state.quoted_at), (Some(5.0), Some(again)));
    }
}
