//! Pages of quotes and trades only, as nearly all are: row by row in one pass,
//! each predicted by the state that its instrument has reached, instead of
//! column by column through all rows. What such pages seldom have (columns
//! that are neither constant nor predicted as here) is written afterwards.

use super::column::{Column, Counts};
use super::decode::{Common, Places, has_vendor_time, vendor_time, vendor_unit};
use super::divide::Units;
use super::group::VENDOR_TIME;
use super::schema::{FLAGS, Field, How, schema};
use crate::event::{EVENT_BYTES_SHORT, Kind};
use crate::format::page::pack::{Source, unzigzag};

const WORDS: usize = EVENT_BYTES_SHORT / 8;
/// The first of the two sizes that share a word.
const LOW: u64 = 0xffff_ffff;

/// Memory that is kept from page to page.
#[derive(Default)]
pub(super) struct Scratch {
    states: Vec<State>,
    quotes: Columns<8>,
    trades: Columns<5>,
}

/// What the next event of an instrument is predicted by.
#[derive(Clone, Copy, Default)]
struct State {
    bid: u64,
    ask: u64,
    sizes: u64,
    /// First price of the last quote, else of the last trade.
    market: u64,
    quoted: bool,
    traded: bool,
}

/// The columns of one kind, `N` of them besides flags and vendor times.
struct Columns<const N: usize> {
    counts: Counts,
    flags: Column,
    vendor_unit: i64,
    vendor: Vec<u64>,
    fields: [Column; N],
}

impl<const N: usize> Default for Columns<N> {
    fn default() -> Columns<N> {
        Columns {
            counts: Counts::default(),
            flags: Column::default(),
            vendor_unit: 1,
            vendor: Vec::new(),
            fields: std::array::from_fn(|_| Column::default()),
        }
    }
}

impl<const N: usize> Columns<N> {
    /// Reads all columns of a kind that is present. Flags that differ from row
    /// to row are in their rows afterwards.
    fn read(
        &mut self,
        source: &mut Source<'_>,
        rows: &mut [u8],
        common: &Common,
        kind: Kind,
        places: &mut Places,
    ) -> Result<(), &'static str> {
        if self.counts.events == 0 {
            return Ok(());
        }
        self.flags.read(source, &FLAGS, self.counts)?;
        let timed = match self.flags.constant() {
            Some(flags) => match flags as u8 & VENDOR_TIME {
                0 => 0,
                _ => self.counts.events,
            },
            None => {
                places.gather(common, kind);
                let Places { group, values, .. } = places;
                self.flags.write(rows, group, &FLAGS, values);
                group.offsets.iter().filter(|at| has_vendor_time(rows, **at)).count()
            }
        };
        self.vendor_unit = vendor_unit(source)?;
        source.unpack(timed, &mut self.vendor)?;
        for (column, field) in self.fields.iter_mut().zip(schema(kind)) {
            column.read(source, field, self.counts)?;
        }
        Ok(())
    }

    /// Writes the fields that the pass could not, `from` a field onwards.
    fn write_rest(
        &mut self,
        rows: &mut [u8],
        common: &Common,
        kind: Kind,
        from: usize,
        places: &mut Places,
    ) {
        if self.counts.events == 0 {
            return;
        }
        let left = |(column, _): &(&mut Column, &Field)| match column.how {
            How::Before => false,
            How::Least => kind == Kind::Quote && !column.zeros,
            _ => true,
        };
        let rest = self.fields.iter_mut().zip(schema(kind)).skip(from);
        for (at, (column, field)) in rest.filter(left).enumerate() {
            if at == 0 {
                places.gather(common, kind);
            }
            column.write(rows, &places.group, field, &mut places.values);
        }
    }

    /// What a constant column puts into a row, at `shift` of its word.
    fn constant(&self, field: usize, shift: u32) -> u64 {
        let constant = self.fields.get(field).and_then(Column::constant);
        constant.unwrap_or_default() << shift
    }
}

/// Reads the columns of quotes and trades into `rows`, every byte of which is
/// written. `common` names no other kind.
pub(super) fn decode(
    source: &mut Source<'_>,
    rows: &mut [u8],
    common: &Common,
    places: &mut Places,
    scratch: &mut Scratch,
) -> Result<(), &'static str> {
    let Scratch { states, quotes, trades } = scratch;
    states.clear();
    states.resize(common.ids.len(), State::default());
    (quotes.counts, trades.counts) = count(common, states);
    quotes.read(source, rows, common, Kind::Quote, places)?;
    trades.read(source, rows, common, Kind::Trade, places)?;
    pass(rows, common, states, quotes, trades);
    quotes.write_rest(rows, common, Kind::Quote, 4, places);
    trades.write_rest(rows, common, Kind::Trade, 2, places);
    Ok(())
}

/// How many quotes and trades there are, and how many have one before them.
/// Leaves the states as they were.
fn count(common: &Common, states: &mut [State]) -> (Counts, Counts) {
    let (mut quotes, mut trades) = (Counts::default(), Counts::default());
    for (tag, dense) in common.kinds.iter().zip(&common.index) {
        let Some(state) = states.get_mut(*dense as usize) else { continue };
        if *tag == Kind::Quote as u64 {
            quotes.events += 1;
            quotes.same += usize::from(state.quoted);
            state.quoted = true;
        } else {
            trades.events += 1;
            trades.same += usize::from(state.traded);
            trades.market += usize::from(state.traded | state.quoted);
            state.traded = true;
        }
    }
    states.fill(State::default());
    (quotes, trades)
}

/// Where the residuals of a column are taken from: those of events with an
/// earlier one lie in front of the others.
struct Slots {
    with: u32,
    alone: u32,
}

impl Slots {
    fn new(with: usize) -> Slots {
        Slots { with: 0, alone: with as u32 }
    }

    #[inline(always)]
    fn next(&mut self, has: bool) -> u32 {
        let slot = if has { self.with } else { self.alone };
        self.with += u32::from(has);
        self.alone += u32::from(!has);
        slot
    }
}

/// What a row has besides its prices and sizes.
struct Besides<'a> {
    /// Flags of all rows; otherwise they are in the rows already.
    flags: Option<u64>,
    units: Units,
    unit: i64,
    vendor: std::slice::Iter<'a, u64>,
    /// Vendor sequence number, where each is told by the one before.
    seq: u64,
    seq_steps: std::slice::Iter<'a, u64>,
}

impl<'a> Besides<'a> {
    fn of<const N: usize>(columns: &'a Columns<N>, seq: &'a Column) -> Besides<'a> {
        let by_steps = seq.how == How::Before;
        Besides {
            flags: columns.flags.constant().map(|flags| flags & 0xff),
            units: Units::of(columns.vendor_unit),
            unit: columns.vendor_unit,
            vendor: columns.vendor.iter(),
            seq: if by_steps { seq.base } else { 0 },
            seq_steps: if by_steps { seq.stored.iter() } else { [].iter() },
        }
    }

    /// Flags in their place of the head, vendor time and sequence number of
    /// the next row, in which `held` is at the place of the flags.
    #[inline(always)]
    fn next(&mut self, recv: u64, held: u8) -> (u64, u64, u64) {
        let flags = self.flags.unwrap_or(u64::from(held));
        let vendor = if flags as u8 & VENDOR_TIME == 0 {
            0
        } else {
            let stored = self.vendor.next().copied().unwrap_or_default();
            vendor_time(&mut self.units, self.unit, recv, stored)
        };
        let seq = self.seq;
        let step = self.seq_steps.next().copied().unwrap_or_default();
        self.seq = seq.wrapping_add(unzigzag(step) as u64);
        (flags << 56, vendor, seq)
    }
}

fn pass(
    rows: &mut [u8],
    common: &Common,
    states: &mut [State],
    quotes: &Columns<8>,
    trades: &Columns<5>,
) {
    let [bids, asks, bid_sizes, ask_sizes, quote_seq, ..] = &quotes.fields;
    let [prices, sizes, trade_seq, exchanges, conditions] = &trades.fields;
    let mut of_quotes = Besides::of(quotes, quote_seq);
    let mut of_trades = Besides::of(trades, trade_seq);
    let quote_end = quotes.constant(5, 0) | quotes.constant(6, 16) | quotes.constant(7, 32);
    let mut quote_slots = Slots::new(quotes.counts.same);
    let mut trade_slots = Slots::new(trades.counts.market);
    let mut traded = 0usize;
    let rows = rows.as_chunks_mut::<EVENT_BYTES_SHORT>().0.iter_mut();
    let events = common.kinds.iter().zip(&common.index).zip(common.heads()).zip(common.recv());
    for (row, (((tag, dense), head), recv)) in rows.zip(events) {
        let Some(state) = states.get_mut(*dense as usize) else { continue };
        let held = row[23];
        let words: [u64; WORDS] = if *tag == Kind::Quote as u64 {
            let slot = quote_slots.next(state.quoted);
            let bid = state.bid.wrapping_add(bids.residual(slot));
            let before = if state.quoted { state.ask } else { bid };
            let ask = before.wrapping_add(asks.residual(slot));
            let bid_size = (state.sizes & LOW).wrapping_add(bid_sizes.residual(slot)) & LOW;
            let ask_size = (state.sizes >> 32).wrapping_add(ask_sizes.residual(slot)) << 32;
            let sizes = bid_size | ask_size;
            *state = State { bid, ask, sizes, market: bid, quoted: true, traded: state.traded };
            let (flags, vendor, seq) = of_quotes.next(recv, held);
            [recv, vendor, head | flags, bid, ask, sizes, seq, quote_end]
        } else {
            let slot = trade_slots.next(state.quoted | state.traded);
            let price = state.market.wrapping_add(prices.residual(slot));
            if !state.quoted {
                state.market = price;
            }
            state.traded = true;
            let (flags, vendor, seq) = of_trades.next(recv, held);
            let (size, exchange) = (sizes.least(traded), exchanges.least(traded));
            let end = exchange & 0xffff | conditions.least(traded) << 32;
            traded += 1;
            [recv, vendor, head | flags, price, size, seq, end, 0]
        };
        for (place, word) in row.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
    }
}
