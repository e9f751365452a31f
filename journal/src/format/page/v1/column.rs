//! One stored column of a kind: read first, turned into values afterwards.

use super::group::{Group, NONE, References, load, quoted, spread, store, within};
use super::schema::{Field, How};
use crate::format::page::pack::{Source, unzigzag};

/// How many events the columns of a kind have.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) events: usize,
    /// Those with an earlier event of the instrument and kind.
    pub(super) same: usize,
    /// Trades with an earlier quote or trade of the instrument.
    pub(super) market: usize,
}

/// A column as it is stored.
pub(super) struct Column {
    pub(super) how: How,
    pub(super) base: u64,
    /// Whether everything stored is zero.
    pub(super) zeros: bool,
    /// As stored, or what is to be added to a prediction.
    pub(super) stored: Vec<u64>,
}

impl Default for Column {
    fn default() -> Column {
        Column { how: How::Least, base: 0, zeros: true, stored: Vec::new() }
    }
}

impl Column {
    /// Reads the column of a field.
    pub(super) fn read(
        &mut self,
        source: &mut Source<'_>,
        field: &Field,
        counts: Counts,
    ) -> Result<(), &'static str> {
        self.how = How::from_tag(source.byte()?, field.how)?;
        self.base = source.varint()?;
        let Counts { events, same, market } = counts;
        let (first, rest) = match self.how {
            How::Before => (events.saturating_sub(1), 0),
            How::Instrument | How::InstrumentOrLeft => (same, events - same),
            How::Market => (market, events - market),
            How::Least | How::Recv | How::At24 | How::At40 | How::At64 => (events, 0),
        };
        self.zeros = source.unpack(first, &mut self.stored)?;
        if rest > 0 {
            self.zeros &= source.unpack_more(rest, &mut self.stored)?;
        }
        match (self.how, self.base) {
            (How::Least | How::Before, _) => {}
            (_, 1) => self.stored.iter_mut().for_each(|v| *v = unzigzag(*v) as u64),
            (_, unit) => {
                let whole = |v: u64| (unzigzag(v) as u64).wrapping_mul(unit);
                self.stored.iter_mut().for_each(|v| *v = whole(*v));
            }
        }
        Ok(())
    }

    /// The value that all events have, where the column says no more.
    pub(super) fn constant(&self) -> Option<u64> {
        (self.how == How::Least && self.zeros).then_some(self.base)
    }

    /// What is to be added to the prediction of the event at `slot`.
    #[inline(always)]
    pub(super) fn residual(&self, slot: u32) -> u64 {
        self.stored.get(slot as usize).copied().unwrap_or_default()
    }

    /// The value of an event by the smallest of the column; zero in a column
    /// that is predicted in another way.
    #[inline(always)]
    pub(super) fn least(&self, event: usize) -> u64 {
        match self.how {
            How::Least => {
                self.base.wrapping_add(self.stored.get(event).copied().unwrap_or_default())
            }
            _ => 0,
        }
    }

    /// Makes the stored values those of the events, each by the one before it.
    pub(super) fn sum_up(&mut self) {
        let mut value = self.base;
        for delta in &mut self.stored {
            let before = value;
            value = value.wrapping_add(unzigzag(*delta) as u64);
            *delta = before;
        }
        self.stored.push(value);
    }

    /// Writes the values of the field into the rows of a group.
    pub(super) fn write(
        &mut self,
        rows: &mut [u8],
        group: &Group,
        field: &Field,
        values: &mut Vec<u64>,
    ) {
        match self.how {
            How::Least => {
                let base = self.base;
                self.stored.iter_mut().for_each(|v| *v = v.wrapping_add(base));
                spread(rows, group, field, &self.stored);
            }
            How::Before => {
                self.sum_up();
                spread(rows, group, field, &self.stored);
            }
            How::Instrument | How::InstrumentOrLeft => {
                let References { from, slots, .. } = &group.same;
                let mask = u64::MAX >> (64 - 8 * field.width);
                values.clear();
                values.push(0);
                for ((from, slot), row) in from.iter().zip(slots).zip(&group.offsets) {
                    let mut predicted = values.get(*from as usize).copied().unwrap_or_default();
                    if self.how == How::InstrumentOrLeft && *from == NONE {
                        predicted = load::<8>(rows, *row as usize + field.at - 8);
                    }
                    values.push(predicted.wrapping_add(self.residual(*slot)) & mask);
                }
                spread(rows, group, field, values.get(1..).unwrap_or_default());
            }
            How::Market => {
                let References { from, slots, .. } = &group.market;
                // Row by row: a trade may predict the next one.
                for ((from, slot), row) in from.iter().zip(slots).zip(&group.offsets) {
                    let value = quoted(rows, *from).wrapping_add(self.residual(*slot));
                    store::<8>(rows, *row as usize + field.at, value);
                }
            }
            How::Recv | How::At24 | How::At40 | How::At64 => {
                values.clear();
                values.extend((0u32..).zip(&group.offsets).map(|(slot, row)| {
                    within(rows, *row, self.how).wrapping_add(self.residual(slot))
                }));
                spread(rows, group, field, values);
            }
        }
    }
}
