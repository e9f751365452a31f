//! Option chains of Deribit as CSV: one row a contract, several currencies in
//! one file, each its own chain.
//!
//! Prices are in coin; a row's bid and ask are coin price times the price of
//! its future, so in dollars. The original text stays in the raw blob.

use std::collections::BTreeMap;

use bytes::Bytes;
use orrery_journal::event::{ChainRow, RefusalReason};
use orrery_journal::units::{RecvTime, VendorTime};

use crate::feeds::chain::{self, ChainBuilder, Stated};
use crate::feeds::{Decoded, Recv, csv};
use crate::market::ticker;

const COLUMNS: [&str; 12] = [
    "timestamp",
    "instrument_name",
    "underlying",
    "option_type",
    "strike",
    "bid_price",
    "ask_price",
    "implied_volatility",
    "delta",
    "vega",
    "open_interest",
    "volume",
];
const INDEX_PRICE: &str = "index_price";

/// Decodes a document; the chains come in the order of their first row.
#[must_use]
pub fn decode(text: &Bytes, recv: Recv) -> Decoded {
    let mut out = Decoded::default();
    let Ok(table) = std::str::from_utf8(text) else {
        out.refuse(RefusalReason::Malformed, recv.of(None), text, "not UTF-8");
        return out;
    };
    let mut lines = table.lines().filter(|l| !l.trim().is_empty());
    let names = csv::cells(lines.next().unwrap_or_default());
    let column = |name: &str| names.iter().position(|n| n == name);
    if let Some(missing) = COLUMNS.iter().find(|name| column(name).is_none()) {
        let what = format_args!("column {missing} is missing");
        out.refuse(RefusalReason::MissingField, recv.of(None), text, what);
        return out;
    }
    let mut chains: Vec<(Box<str>, Option<RecvTime>, ChainBuilder)> = Vec::new();
    for line in lines {
        let cells = csv::cells(line);
        let by_name: BTreeMap<&str, &str> =
            names.iter().map(String::as_str).zip(cells.iter().map(String::as_str)).collect();
        let cell = |name: &str| by_name.get(name).copied().unwrap_or_default();
        if cells.len() != names.len() {
            out.refuse(RefusalReason::Malformed, recv.of(None), line.as_bytes(), line);
            continue;
        }
        let symbol = ticker::symbol_of(cell("instrument_name"));
        let symbol = if ticker::parse_option(cell("instrument_name")).is_some() {
            symbol
        } else {
            // A contract that cannot be read still belongs to a chain.
            cell("instrument_name").split('-').next().unwrap_or_default().into()
        };
        let at = chains.iter().position(|(s, ..)| *s == symbol);
        let at = at.unwrap_or_else(|| {
            chains.push((symbol.clone(), None, ChainBuilder::new(Some(symbol), None)));
            chains.len() - 1
        });
        let Some((_, newest, chain)) = chains.get_mut(at) else { continue };
        let own = RecvTime::parse_rfc3339(cell("timestamp"));
        *newest = (*newest).max(own);
        let index = csv::number(cell(INDEX_PRICE)).ok().flatten();
        chain.spot = chain.spot.or(chain::spot(index));
        chain.row(row(&cell, own), line.as_bytes());
    }
    if chains.is_empty() {
        out.refuse(RefusalReason::EmptyChain, recv.of(None), text, "no contract");
    }
    for (_, newest, chain) in chains {
        chain.finish(recv.of(newest), text.clone(), &mut out);
    }
    out
}

fn row<'a>(
    cell: &impl Fn(&str) -> &'a str,
    own: Option<RecvTime>,
) -> Result<(Box<str>, ChainRow), RefusalReason> {
    let number = |name: &str, reason| csv::number(cell(name)).map_err(|_| reason);
    let (price, size) = (RefusalReason::BadPrice, RefusalReason::BadSize);
    let own = own.ok_or(RefusalReason::BadTime)?;
    let stated = Stated {
        strike: number("strike", RefusalReason::BadStrike)?,
        expiry: None,
        right: Some(cell("option_type")),
    };
    let (ticker, mut row) = chain::contract(cell("instrument_name"), stated)?;
    let future = number("underlying", price)?.filter(|f| *f > 0.0);
    let dollars = |coins: Option<f64>| -> Result<Option<f64>, RefusalReason> {
        match (coins, future) {
            (Some(coins), Some(future)) => Ok(Some(coins * future)),
            (Some(_), None) => Err(price),
            (None, _) => Ok(None),
        }
    };
    row.bid = dollars(number("bid_price", price)?)?;
    row.ask = dollars(number("ask_price", price)?)?;
    row.updated = Some(VendorTime(own.0));
    // One contract is one coin.
    row.multiplier = Some(1.0);
    row.open_interest = number("open_interest", size)?;
    row.volume = number("volume", size)?;
    row.implied_volatility = chain::volatility(number("implied_volatility", price)?);
    row.delta = number("delta", price)?;
    row.vega = number("vega", price)?;
    Ok((ticker, row))
}
