//! The public archive of SPX same-day gamma: chains as ndjson, minute bars of
//! the index as CSV. Its other tables are somebody else's answers, not input.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::{NaiveDate, NaiveTime, Timelike};
use orrery_journal::event::{Bar, ChainRow, DraftBody, InstrumentRef, RefusalReason};
use orrery_journal::units::{NANOS_PER_SECOND, Price, RecvTime, VendorTime};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feeds::chain::{self, Document, Figures, Stated};
use crate::feeds::literal::Figure;
use crate::feeds::{Decoded, Recv, csv, moment};
use crate::market::ticker;

/// First line of the bars.
pub const BARS_HEADER: &str = "time,open,high,low,close";

#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(borrow)]
    captured_at: Cow<'a, str>,
    #[serde(borrow)]
    underlying: Cow<'a, str>,
    spot: Figure,
    #[serde(borrow)]
    expiration: Option<Cow<'a, str>>,
    #[serde(borrow)]
    contracts: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Contract<'a> {
    #[serde(borrow)]
    ticker: Cow<'a, str>,
    strike: Figure,
    #[serde(borrow, rename = "type")]
    right: Option<Cow<'a, str>>,
    gamma: Figure,
    open_interest: Figure,
    volume: Figure,
}

impl<'a> Document<'a> for Snapshot<'a> {
    type Contract = Contract<'a>;

    fn moment(&self) -> Result<RecvTime, String> {
        let own = RecvTime::parse_rfc3339(&self.captured_at);
        own.ok_or_else(|| format!("captured_at {:?}", self.captured_at))
    }

    fn underlying(&self) -> Option<Box<str>> {
        Some(ticker::symbol_of(&self.underlying))
    }

    fn spot(&self) -> Figure {
        self.spot
    }

    fn contracts(&self) -> &[&'a RawValue] {
        &self.contracts
    }

    fn row(&self, contract: &Contract<'a>) -> Result<(Box<str>, ChainRow), RefusalReason> {
        let stated = Stated {
            strike: contract.strike.checked(RefusalReason::BadStrike)?,
            expiry: self.expiration.as_deref(),
            right: contract.right.as_deref(),
        };
        let (ticker, mut row) = chain::contract(&contract.ticker, stated)?;
        let figures = Figures {
            open_interest: contract.open_interest,
            volume: contract.volume,
            gamma: contract.gamma,
            ..Figures::default()
        };
        figures.write(&mut row)?;
        Ok((ticker, row))
    }
}

/// Decodes one snapshot: a line of `snapshots.ndjson`.
pub fn snapshot(text: &Bytes, recv: Recv, out: &mut Decoded) {
    chain::document::<Snapshot<'_>>(text, recv, out);
}

/// Decodes one line of `bars-1m.csv` of `date`: New York `HH:MM` and OHLC of
/// the index, which has no volume. A bar is known when it is over.
pub fn bar(line: &str, date: NaiveDate, recv: Recv, out: &mut Decoded) {
    if line.trim().is_empty() || line.trim() == BARS_HEADER {
        return;
    }
    match bar_of(line, date) {
        Ok(bar) => out.accept(
            recv.of(Some(RecvTime(bar.end.0))),
            Some(bar.end),
            InstrumentRef::Ticker("I:SPX".into()),
            None,
            DraftBody::Bar(Box::new(bar)),
        ),
        Err(reason) => out.refuse(reason, recv.of(None), line.as_bytes(), line),
    }
}

fn bar_of(line: &str, date: NaiveDate) -> Result<Bar, RefusalReason> {
    let cells = csv::cells(line);
    let [time, open, high, low, close] = cells.as_slice() else {
        return Err(RefusalReason::Malformed);
    };
    let clock = NaiveTime::parse_from_str(time, "%H:%M").map_err(|_| RefusalReason::BadTime)?;
    let millis = i64::from(clock.num_seconds_from_midnight()) * 1000;
    let start = moment::new_york_millis(date, millis).ok_or(RefusalReason::BadTime)?;
    let price = |cell: &String| -> Result<Price, RefusalReason> {
        let value = csv::number(cell).map_err(|_| RefusalReason::BadPrice)?;
        chain::spot(value).ok_or(RefusalReason::BadPrice)
    };
    let bar = Bar {
        start: VendorTime(start.0),
        end: VendorTime(start.0 + 60 * NANOS_PER_SECOND),
        open: price(open)?,
        high: price(high)?,
        low: price(low)?,
        close: price(close)?,
        ..Bar::default()
    };
    if bar.high < bar.low { Err(RefusalReason::BadPrice) } else { Ok(bar) }
}
