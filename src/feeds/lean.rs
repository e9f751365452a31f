//! Trades and minute bars of a share as the LEAN project stores them: CSV
//! without a header, milliseconds since midnight in New York, prices in
//! 1/10,000. Symbol and date stand in the file's name.
//!
//! The exchange's letter is kept as its ASCII code, the sale condition as the
//! number that its hex digits write. A trade flagged suspicious takes its line
//! along as extension.

use bytes::Bytes;
use chrono::NaiveDate;
use orrery_journal::event::{Bar, DraftBody, InstrumentRef, RefusalReason, Trade};
use orrery_journal::units::{NANOS_PER_SECOND, Price, RecvTime, VendorTime};

use crate::feeds::{Decoded, Recv, moment};

/// Price units in a file's unit.
const UNIT: i64 = Price::SCALE / 10_000;

/// What a file's name says: `spy-trades-20131008.csv` is SPY on that date.
#[must_use]
pub fn name(file: &str) -> Option<(Box<str>, NaiveDate)> {
    let date = moment::date_in(file)?;
    let symbol = file.split(['-', '_', '.']).next()?;
    let letters = !symbol.is_empty() && symbol.bytes().all(|b| b.is_ascii_alphabetic());
    letters.then(|| (symbol.to_ascii_uppercase().into(), date))
}

/// Decodes one line of trades.
pub fn trade(line: &str, symbol: &str, date: NaiveDate, recv: Recv, out: &mut Decoded) {
    if line.trim().is_empty() {
        return;
    }
    match trade_of(line, date) {
        Ok(Row { at, trade, conditions, suspicious }) => out.accept(
            recv.of(Some(at)),
            Some(VendorTime(at.0)),
            InstrumentRef::Ticker(symbol.into()),
            suspicious.then(|| Bytes::copy_from_slice(line.as_bytes())),
            DraftBody::Trade { trade, conditions },
        ),
        Err(reason) => out.refuse(reason, recv.of(None), line.as_bytes(), line),
    }
}

struct Row {
    at: RecvTime,
    trade: Trade,
    conditions: Box<[u32]>,
    suspicious: bool,
}

fn trade_of(line: &str, date: NaiveDate) -> Result<Row, RefusalReason> {
    let mut cells = line.trim_end().split(',');
    let mut next = || cells.next().ok_or(RefusalReason::Malformed);
    let (time, price, size) = (next()?, next()?, next()?);
    let (exchange, condition, suspicious) = (next()?, next()?, next()?);
    if cells.next().is_some() {
        return Err(RefusalReason::Malformed);
    }
    let exchange = match exchange.as_bytes() {
        [] => None,
        [letter] => Some(u16::from(*letter)),
        _ => return Err(RefusalReason::Malformed),
    };
    let conditions = match condition {
        "" => Box::default(),
        hex => [u32::from_str_radix(hex, 16).map_err(|_| RefusalReason::Malformed)?].into(),
    };
    let trade = Trade {
        price: price_of(price)?,
        size: size.parse().map_err(|_| RefusalReason::BadSize)?,
        vendor_seq: None,
        exchange,
        conditions: 0,
    };
    Ok(Row { at: time_of(time, date)?, trade, conditions, suspicious: suspicious != "0" })
}

/// Decodes one line of minute bars. A bar is known when it is over.
pub fn bar(line: &str, symbol: &str, date: NaiveDate, recv: Recv, out: &mut Decoded) {
    if line.trim().is_empty() {
        return;
    }
    match bar_of(line, date) {
        Ok(bar) => out.accept(
            recv.of(Some(RecvTime(bar.end.0))),
            Some(bar.end),
            InstrumentRef::Ticker(symbol.into()),
            None,
            DraftBody::Bar(Box::new(bar)),
        ),
        Err(reason) => out.refuse(reason, recv.of(None), line.as_bytes(), line),
    }
}

fn bar_of(line: &str, date: NaiveDate) -> Result<Bar, RefusalReason> {
    let cells: Vec<&str> = line.trim_end().split(',').collect();
    let [time, open, high, low, close, volume] = cells.as_slice() else {
        return Err(RefusalReason::Malformed);
    };
    let start = time_of(time, date)?;
    let bar = Bar {
        start: VendorTime(start.0),
        end: VendorTime(start.0 + 60 * NANOS_PER_SECOND),
        open: price_of(open)?,
        high: price_of(high)?,
        low: price_of(low)?,
        close: price_of(close)?,
        volume: Some(volume.parse().map_err(|_| RefusalReason::BadSize)?),
        ..Bar::default()
    };
    if bar.high < bar.low { Err(RefusalReason::BadPrice) } else { Ok(bar) }
}

fn time_of(cell: &str, date: NaiveDate) -> Result<RecvTime, RefusalReason> {
    let millis = cell.parse().map_err(|_| RefusalReason::BadTime)?;
    moment::new_york_millis(date, millis).ok_or(RefusalReason::BadTime)
}

fn price_of(cell: &str) -> Result<Price, RefusalReason> {
    let units: i64 = cell.parse().map_err(|_| RefusalReason::BadPrice)?;
    let price = units.checked_mul(UNIT).filter(|p| *p > 0);
    price.map(Price).ok_or(RefusalReason::BadPrice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_symbol_and_date() {
        let (symbol, date) = name("spy-trades-20131008.csv.zst").expect("a name");
        assert_eq!((&*symbol, date.to_string().as_str()), ("SPY", "2013-10-08"));
        assert_eq!(name("trades.csv"), None);
        assert_eq!(name("20131008_trade.csv"), None);
    }

    #[test]
    fn a_suspicious_trade_keeps_its_line_and_bad_ones_their_reason() {
        let date = name("spy-x-20131008").expect("a name").1;
        let mut out = Decoded::default();
        for line in [
            "34200000,1674200,210,Q,20002020,1",
            "34200000,1674200,210,Q,,0",
            "34200000,-1,210,Q,,0",
            "34200000,NaN,210,Q,,0",
            "34200000,1674200,-5,Q,,0",
            "x,1674200,5,Q,,0",
            "1,2",
            "",
        ] {
            trade(line, "SPY", date, Recv::Own, &mut out);
        }
        assert!(out.drafts[0].extension.is_some() && out.drafts[1].extension.is_none());
        let DraftBody::Trade { trade, conditions } = &out.drafts[0].body else { panic!() };
        assert_eq!((trade.price, trade.exchange), (Price(167_420_000_000), Some(81)));
        assert_eq!(&**conditions, [0x2000_2020]);
        assert_eq!(
            out.refused.into_iter().collect::<Vec<_>>(),
            [
                (RefusalReason::Malformed, 1),
                (RefusalReason::BadPrice, 2),
                (RefusalReason::BadTime, 1),
                (RefusalReason::BadSize, 1),
            ]
        );
    }
}
