//! Chains as Cboe publishes them: the delayed-quotes JSON and the quote table.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::NaiveDateTime;
use orrery_journal::event::{ChainRow, RefusalReason};
use orrery_journal::units::{RecvTime, VendorTime};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feeds::chain::{self, ChainBuilder, Document, Figures, Stated};
use crate::feeds::literal::Figure;
use crate::feeds::{Decoded, Recv, csv, moment};
use crate::market::ticker;

#[derive(Deserialize)]
struct Delayed<'a> {
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    options: Vec<&'a RawValue>,
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    current_price: Figure,
    close: Figure,
}

#[derive(Deserialize)]
struct Quote<'a> {
    #[serde(borrow)]
    option: Option<Cow<'a, str>>,
    bid: Figure,
    bid_size: Figure,
    ask: Figure,
    ask_size: Figure,
    iv: Figure,
    open_interest: Figure,
    volume: Figure,
    delta: Figure,
    gamma: Figure,
    theta: Figure,
    vega: Figure,
    last_trade_price: Figure,
    #[serde(borrow)]
    last_trade_time: Option<Cow<'a, str>>,
}

impl<'a> Document<'a> for Delayed<'a> {
    type Contract = Quote<'a>;

    fn moment(&self) -> Result<RecvTime, String> {
        let own = self.timestamp.as_deref().and_then(moment::utc);
        own.ok_or_else(|| "timestamp is no YYYY-MM-DD HH:MM:SS".into())
    }

    fn underlying(&self) -> Option<Box<str>> {
        let symbol = self.data.symbol.as_deref().or(self.symbol.as_deref());
        // Indices are written `_SPX` or `^SPX`.
        symbol.map(|s| ticker::symbol_of(s.trim_start_matches(['_', '^'])))
    }

    fn spot(&self) -> Figure {
        self.data.current_price.or(self.data.close)
    }

    fn contracts(&self) -> &[&'a RawValue] {
        &self.data.options
    }

    fn row(&self, quote: &Quote<'a>) -> Result<(Box<str>, ChainRow), RefusalReason> {
        let name = quote.option.as_deref().ok_or(RefusalReason::MissingField)?;
        let (ticker, mut row) = chain::contract(name, Stated::default())?;
        let figures = Figures {
            bid: quote.bid,
            ask: quote.ask,
            bid_size: quote.bid_size,
            ask_size: quote.ask_size,
            last: quote.last_trade_price,
            open_interest: quote.open_interest,
            volume: quote.volume,
            implied_volatility: quote.iv,
            delta: quote.delta,
            gamma: quote.gamma,
            theta: quote.theta,
            vega: quote.vega,
        };
        figures.write(&mut row)?;
        // Trades are stamped by a New York clock.
        let traded = quote.last_trade_time.as_deref();
        let local = traded.and_then(|t| NaiveDateTime::parse_from_str(t, "%Y-%m-%dT%H:%M:%S").ok());
        row.updated = local.and_then(moment::new_york).map(|t| VendorTime(t.0));
        Ok((ticker, row))
    }
}

/// Decodes the delayed-quotes document; its `timestamp` is UTC without saying so.
#[must_use]
pub fn delayed(text: &Bytes, recv: Recv) -> Decoded {
    let mut out = Decoded::default();
    chain::document::<Delayed<'_>>(text, recv, &mut out);
    out
}

/// Cells of a quote-table row: expiry, call and its 9 fields, strike, put and
/// its 9 fields.
const TABLE_CELLS: usize = 22;
const TABLE_STRIKE: usize = 11;

/// Decodes the quote table; its date line says the New York time.
#[must_use]
pub fn quotetable(text: &Bytes, recv: Recv) -> Decoded {
    let mut out = Decoded::default();
    let Ok(table) = std::str::from_utf8(text) else {
        out.refuse(RefusalReason::Malformed, recv.of(None), text, "not UTF-8");
        return out;
    };
    let (mut own, mut header) = (None, false);
    let mut chain = ChainBuilder::default();
    for line in table.lines().filter(|l| !l.trim().is_empty()) {
        let cells = csv::cells(line);
        let first = cells.first().map_or("", String::as_str);
        if header {
            table_row(line, &cells, &mut chain);
        } else if first == "Expiration Date" {
            header = true;
        } else if let Some(date) = first.strip_prefix("Date:") {
            own = table_date(date.trim());
        } else if let Some(last) = cells.iter().find_map(|c| c.strip_prefix("Last:")) {
            chain.spot = chain::spot(csv::number(last.trim()).ok().flatten());
        }
    }
    if !header {
        out.refuse(RefusalReason::Malformed, recv.of(own), text, "no line of column names");
    } else if own.is_none() && recv == Recv::Own {
        out.refuse(RefusalReason::BadTime, None, text, "no line `Date: Month D YYYY, H:MM PM EST`");
    } else {
        chain.finish(recv.of(own), text.clone(), &mut out);
    }
    out
}

fn table_row(line: &str, cells: &[String], chain: &mut ChainBuilder) {
    if cells.len() != TABLE_CELLS {
        return chain.refuse(RefusalReason::Malformed, line.as_bytes());
    }
    let strike = cells.get(TABLE_STRIKE).map_or("", String::as_str);
    for side in [cells.get(1..TABLE_STRIKE), cells.get(TABLE_STRIKE + 1..)] {
        chain.row(table_side(side.unwrap_or_default(), strike), line.as_bytes());
    }
}

/// Ticker, last sale, net, bid, ask, volume, IV, delta, gamma, open interest.
fn table_side(cells: &[String], strike: &str) -> Result<(Box<str>, ChainRow), RefusalReason> {
    let cell = |i: usize| cells.get(i).map_or("", String::as_str);
    let number = |i: usize, reason| csv::number(cell(i)).map_err(|_| reason);
    let (price, size) = (RefusalReason::BadPrice, RefusalReason::BadSize);
    let strike = csv::number(strike).map_err(|_| RefusalReason::BadStrike)?;
    let (ticker, mut row) = chain::contract(cell(0), Stated { strike, ..Stated::default() })?;
    row.last = chain::last_price(number(1, price)?);
    row.bid = number(3, price)?;
    row.ask = number(4, price)?;
    row.volume = number(5, size)?;
    row.implied_volatility = chain::volatility(number(6, price)?);
    row.delta = number(7, price)?;
    row.gamma = number(8, price)?;
    row.open_interest = number(9, size)?;
    Ok((ticker, row))
}

/// `February 5 2022, 8:09 PM EST`; the zone is New York's, summer or winter.
fn table_date(text: &str) -> Option<RecvTime> {
    let (clock, zone) = text.rsplit_once(' ')?;
    let known = ["EST", "EDT", "ET"].contains(&zone);
    let local = NaiveDateTime::parse_from_str(clock, "%B %d %Y, %I:%M %p").ok()?;
    moment::new_york(local).filter(|_| known)
}

#[cfg(test)]
mod tests {
    use orrery_journal::event::DraftBody;

    use super::*;

    #[test]
    fn a_table_row_is_two_contracts_and_each_can_be_refused_alone() {
        let text = "\nSome Index,Last: 4500.5,Change: 1\n\
            \"Date: May 5 2022, 8:09 PM EDT\",Bid: 1,Ask: 2\n\
            Expiration Date,Calls,...\n\
            Mon May 09 2022,SPXW220509C04500000,1,0,2,3,4,0.2,0.5,0.001,7,4500.00,\
            SPXW220509P04500000,1,0,-2,3,4,0.2,-0.5,0.001,7\n\
            Mon May 09 2022,broken\n";
        let out = quotetable(&Bytes::from(text), Recv::Own);
        assert_eq!(
            out.drafts[0].recv.map(|t| t.to_rfc3339()).as_deref(),
            Some("2022-05-06T00:09:00.000000000Z")
        );
        let DraftBody::Chain(chain) = &out.drafts[0].body else { panic!("no chain") };
        assert_eq!((chain.rows.len(), chain.refused), (1, 2));
        assert_eq!(chain.rows[0].row.open_interest, Some(7.0));
        assert_eq!(out.refused.get(&RefusalReason::BadPrice), Some(&1));
        assert_eq!(out.refused.get(&RefusalReason::Malformed), Some(&1));
    }

    #[test]
    fn a_broken_delayed_document_says_where() {
        let out = delayed(
            &Bytes::from_static(b"{\"timestamp\":\"2026-07-25 03:44:38\",\"data\":{"),
            Recv::Own,
        );
        assert_eq!(out.refused.get(&RefusalReason::Malformed), Some(&1));
        assert!(out.told[0].what.contains("column"), "{:?}", out.told);
    }
}
