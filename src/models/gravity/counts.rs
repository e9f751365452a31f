//! What came in, by what became of it.

use serde::Serialize;

/// What the model was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) bars: u64,
    /// Of the same span as one before, whose place they took.
    pub(super) bars_again: u64,
    /// Older than the bars that are kept.
    pub(super) bars_late: u64,
    pub(super) bars_refused: u64,
    pub(super) bars_without_volume: u64,
    pub(super) trades: u64,
    pub(super) trades_refused: u64,
    pub(super) annotations: u64,
    pub(super) annotations_refused: u64,
    pub(super) corrections: u64,
    /// Of events that are not ours, or no longer kept one by one.
    pub(super) corrections_elsewhere: u64,
    pub(super) corrections_refused: u64,
}

impl Counts {
    pub(super) fn fields(&mut self) -> [&mut u64; 12] {
        [
            &mut self.bars,
            &mut self.bars_again,
            &mut self.bars_late,
            &mut self.bars_refused,
            &mut self.bars_without_volume,
            &mut self.trades,
            &mut self.trades_refused,
            &mut self.annotations,
            &mut self.annotations_refused,
            &mut self.corrections,
            &mut self.corrections_elsewhere,
            &mut self.corrections_refused,
        ]
    }
}
