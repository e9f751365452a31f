//! What a partition left out, by reason. Nothing is dropped in silence.

use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::Serialize;

use super::damage::Damage;
use crate::market::live_book::Kept;

/// Counts since the partition began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Quotes for contracts that no living epoch has.
    pub geometry_miss_quotes: u64,
    /// Trades for such contracts.
    pub geometry_miss_trades: u64,
    /// Bars for such contracts.
    pub geometry_miss_bars: u64,
    /// Ticks that were older than what was known of their contract.
    pub late_ticks: u64,
    /// Observations of the spot that were older than the one before.
    pub late_spots: u64,
    /// Chains that were older than one before them: what that one says of open
    /// interest, volatilities and greeks was kept.
    pub late_chains: u64,
    /// Quotes of contracts that were kept because a chain's were not newer.
    pub late_chain_quotes: u64,
    /// Last prices of contracts that were kept because a chain's were not newer.
    pub late_chain_trades: u64,
    /// Quotes with a side below 0; that side counts as not stated.
    pub refused_quotes: u64,
    /// Trades at 0 or below.
    pub refused_trades: u64,
    /// Bars whose low or close is 0 or below, or whose high lies below the low.
    pub refused_bars: u64,
    /// Values of an index of 0 or below.
    pub refused_index_values: u64,
    /// Chain snapshots that were kept out, all reasons together.
    pub damaged_chains: u64,
    /// Of these: rows missing, unreadable, or none of them known.
    pub damaged_unreadable: u64,
    /// Of these: a page that was announced never came.
    pub damaged_missing_page: u64,
    /// Of these: a fraction of the former contracts.
    pub damaged_shrunk: u64,
    /// Of these: all gammas gone with open interest intact.
    pub damaged_gammas: u64,
    /// Rows of chains that the feed refused, each in quarantine.
    pub refused_rows: u64,
    /// Volatilities of chains that state percent; they count as unknown.
    pub volatilities_in_percent: u64,
    /// Rows of chains whose contract is unknown here.
    pub unknown_rows: u64,
    /// Rows that repeated a contract of the same chain.
    pub duplicate_rows: u64,
    /// Stretches in which a feed was away.
    pub gaps: u64,
    /// Corrections of earlier events; what a model could do with them stands in
    /// its quality block.
    pub corrections: u64,
    /// Of these: not readable, so that the event stands as it was.
    pub unreadable_corrections: u64,
    /// Cancels of a trade that is not, or no longer, remembered.
    pub unmatched_cancels: u64,
}

impl Counters {
    /// Ticks for contracts that no living epoch has.
    #[must_use]
    pub const fn geometry_miss(&self) -> u64 {
        self.geometry_miss_quotes + self.geometry_miss_trades + self.geometry_miss_bars
    }

    /// A chain did not overwrite what is newer.
    pub(super) fn count_kept(&mut self, kept: Kept) {
        self.late_chains += u64::from(kept.chain);
        self.late_chain_quotes += kept.quotes;
        self.late_chain_trades += kept.trades;
    }

    /// Chains that were kept out, by reason.
    #[must_use]
    pub const fn damaged(&self) -> [(Damage, u64); 4] {
        [
            (Damage::Unreadable, self.damaged_unreadable),
            (Damage::MissingPage, self.damaged_missing_page),
            (Damage::Shrunk, self.damaged_shrunk),
            (Damage::GammasZero, self.damaged_gammas),
        ]
    }

    pub(super) fn save(&self, e: &mut Encoder<'_>) {
        let Counters {
            geometry_miss_quotes,
            geometry_miss_trades,
            geometry_miss_bars,
            late_ticks,
            late_spots,
            late_chains,
            late_chain_quotes,
            late_chain_trades,
            refused_quotes,
            refused_trades,
            refused_bars,
            refused_index_values,
            damaged_chains,
            damaged_unreadable,
            damaged_missing_page,
            damaged_shrunk,
            damaged_gammas,
            refused_rows,
            volatilities_in_percent,
            unknown_rows,
            duplicate_rows,
            gaps,
            corrections,
            unreadable_corrections,
            unmatched_cancels,
        } = *self;
        for count in [
            geometry_miss_quotes,
            geometry_miss_trades,
            geometry_miss_bars,
            late_ticks,
            late_spots,
            late_chains,
            late_chain_quotes,
            late_chain_trades,
            refused_quotes,
            refused_trades,
            refused_bars,
            refused_index_values,
            damaged_chains,
            damaged_unreadable,
            damaged_missing_page,
            damaged_shrunk,
            damaged_gammas,
            refused_rows,
            volatilities_in_percent,
            unknown_rows,
            duplicate_rows,
            gaps,
            corrections,
            unreadable_corrections,
            unmatched_cancels,
        ] {
            e.u64(count);
        }
    }

    pub(super) fn restore(d: &mut Decoder<'_>) -> Result<Counters, RestoreError> {
        Ok(Counters {
            geometry_miss_quotes: d.u64()?,
            geometry_miss_trades: d.u64()?,
            geometry_miss_bars: d.u64()?,
            late_ticks: d.u64()?,
            late_spots: d.u64()?,
            late_chains: d.u64()?,
            late_chain_quotes: d.u64()?,
            late_chain_trades: d.u64()?,
            refused_quotes: d.u64()?,
            refused_trades: d.u64()?,
            refused_bars: d.u64()?,
            refused_index_values: d.u64()?,
            damaged_chains: d.u64()?,
            damaged_unreadable: d.u64()?,
            damaged_missing_page: d.u64()?,
            damaged_shrunk: d.u64()?,
            damaged_gammas: d.u64()?,
            refused_rows: d.u64()?,
            volatilities_in_percent: d.u64()?,
            unknown_rows: d.u64()?,
            duplicate_rows: d.u64()?,
            gaps: d.u64()?,
            corrections: d.u64()?,
            unreadable_corrections: d.u64()?,
            unmatched_cancels: d.u64()?,
        })
    }
}
