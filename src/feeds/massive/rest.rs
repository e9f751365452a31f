//! REST chain snapshots of the vendor.
//!
//! Text is one page, an array of pages, or (line by line) a capture with
//! `captured_at` and `underlying`. Pages that continue one another (`next_url`)
//! become one snapshot. What a contract does not say stays `None`.
//!
//! The snapshot's recv time is `captured_at`; without it, the newest moment
//! that the vendor states inside: of the underlying, a quote or a trade.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use orrery_journal::event::{ChainRow, ExerciseStyle, InstrumentRef, RefusalReason};
use orrery_journal::units::{RecvTime, VendorTime};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feeds::chain::{self, ChainBuilder, Figures, Stated};
use crate::feeds::literal::{Figure, Literal};
use crate::feeds::moment::new_york_date;
use crate::feeds::{Decoded, Recv};
use crate::market::ticker;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    captured_at: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    underlying: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    next_url: Option<Literal<'a>>,
    #[serde(borrow)]
    results: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Contract<'a> {
    #[serde(borrow)]
    details: Option<Details<'a>>,
    greeks: Option<Greeks>,
    implied_volatility: Figure,
    #[serde(borrow)]
    last_quote: Option<LastQuote<'a>>,
    #[serde(borrow)]
    last_trade: Option<LastTrade<'a>>,
    open_interest: Figure,
    #[serde(borrow)]
    day: Option<Day<'a>>,
    #[serde(borrow)]
    underlying_asset: Option<Underlying<'a>>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    ticker: Option<Cow<'a, str>>,
    #[serde(borrow)]
    contract_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    exercise_style: Option<Cow<'a, str>>,
    #[serde(borrow)]
    expiration_date: Option<Cow<'a, str>>,
    shares_per_contract: Figure,
    strike_price: Figure,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Greeks {
    delta: Figure,
    gamma: Figure,
    theta: Figure,
    vega: Figure,
}

#[derive(Deserialize)]
struct LastQuote<'a> {
    bid: Figure,
    ask: Figure,
    bid_size: Figure,
    ask_size: Figure,
    #[serde(borrow)]
    last_updated: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct LastTrade<'a> {
    price: Figure,
    #[serde(borrow)]
    sip_timestamp: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct Day<'a> {
    close: Figure,
    volume: Figure,
    #[serde(borrow)]
    last_updated: Option<Literal<'a>>,
}

#[derive(Deserialize)]
struct Underlying<'a> {
    #[serde(borrow)]
    ticker: Option<Cow<'a, str>>,
    price: Figure,
    value: Figure,
    #[serde(borrow)]
    last_updated: Option<Literal<'a>>,
}

/// Pages in, snapshots out; remembers the pages of an unfinished snapshot.
#[derive(Debug, Default)]
pub struct Pages {
    chain: ChainBuilder,
    raw: BytesMut,
    captured: Option<RecvTime>,
    spot_at: Option<i64>,
    newest: Option<i64>,
    /// Day volumes and the moment they are of: `(row ticker, moment)`.
    stale: Vec<(Box<str>, i64)>,
    unfinished: bool,
}

/// Decodes a document: one page, an array of pages, or a page a line.
#[must_use]
pub fn decode(text: &Bytes, recv: Recv) -> Decoded {
    let (mut out, mut pages) = (Decoded::default(), Pages::default());
    if serde_json::from_slice::<&RawValue>(text).is_ok() {
        pages.text(text, recv, &mut out);
    } else if text.trim_ascii().contains(&b'\n') && first_line_is_json(text) {
        for line in text.split(|b| *b == b'\n') {
            pages.text(&text.slice_ref(line), recv, &mut out);
        }
    } else {
        pages.text(text, recv, &mut out);
    }
    pages.finish(recv, &mut out);
    out
}

fn first_line_is_json(text: &[u8]) -> bool {
    let line = text.trim_ascii().split(|b| *b == b'\n').next();
    line.is_some_and(|line| serde_json::from_slice::<&RawValue>(line).is_ok())
}

impl Pages {
    /// Takes one page or one array of pages.
    pub fn text(&mut self, text: &Bytes, recv: Recv, out: &mut Decoded) {
        let trimmed = text.trim_ascii();
        match trimmed.first() {
            None => {}
            Some(b'[') => match serde_json::from_slice::<Vec<&RawValue>>(trimmed) {
                Ok(pages) => {
                    for page in pages {
                        self.page(&text.slice_ref(page.get().as_bytes()), true, recv, out);
                    }
                    self.finish(recv, out);
                }
                Err(e) => out.refuse(RefusalReason::Malformed, recv.of(None), trimmed, e),
            },
            Some(_) => self.page(&text.slice_ref(trimmed), false, recv, out),
        }
    }

    fn page(&mut self, text: &Bytes, in_array: bool, recv: Recv, out: &mut Decoded) {
        let page: Page<'_> = match serde_json::from_slice(text) {
            Ok(page) => page,
            Err(e) => {
                return out.refuse(RefusalReason::Malformed, recv.of(self.newest()), text, e);
            }
        };
        let Some(results) = page.results else {
            let what = "a page without results";
            return out.refuse(RefusalReason::MissingField, recv.of(self.newest()), text, what);
        };
        let captured = match page.captured_at.as_deref() {
            None => None,
            Some(at) => match RecvTime::parse_rfc3339(at) {
                Some(at) => Some(at),
                None => {
                    let what = format_args!("captured_at {at:?}");
                    return out.refuse(RefusalReason::BadTime, recv.of(None), text, what);
                }
            },
        };
        let underlying = page.underlying.as_deref().map(symbol);
        // A page goes on with the snapshot before it where that one announced
        // more, or where it stands in the same array.
        let goes_on = (self.unfinished || in_array)
            && (captured.is_none() || captured == self.captured)
            && (underlying.is_none() || underlying == self.chain.underlying);
        if !goes_on && !self.chain.is_untouched() {
            self.finish(recv, out);
        }
        self.captured = captured.or(self.captured);
        if self.chain.underlying.is_none() {
            self.chain.underlying = underlying;
        }
        self.chain.pages += 1;
        for text in results {
            self.contract(text.get());
        }
        if !self.raw.is_empty() {
            self.raw.extend_from_slice(b"\n");
        }
        self.raw.extend_from_slice(text);
        self.unfinished = page.next_url.as_ref().is_some_and(|url| url.text().is_some());
        if !self.unfinished && !in_array {
            self.finish(recv, out);
        }
    }

    /// Ends the snapshot at hand, if there is one.
    pub fn finish(&mut self, recv: Recv, out: &mut Decoded) {
        let Pages { mut chain, raw, captured, newest, stale, unfinished, .. } =
            std::mem::take(self);
        if chain.is_untouched() {
            return;
        }
        let at = captured.or(newest.map(RecvTime));
        let raw = raw.freeze();
        if unfinished {
            let what = "the last page announces another one that is missing";
            let instrument = match &chain.underlying {
                Some(symbol) => InstrumentRef::Ticker(ticker::vendor_symbol(symbol).into()),
                None => InstrumentRef::None,
            };
            return out.refuse_of(instrument, RefusalReason::DamagedChain, recv.of(at), &raw, what);
        }
        if let Some(today) = at.and_then(new_york_date) {
            let old = |at: i64| new_york_date(RecvTime(at)).is_some_and(|day| day < today);
            chain.forget_volumes(stale.into_iter().filter(|(_, at)| old(*at)).map(|(t, _)| t));
        }
        if at.is_none() && recv == Recv::Own && !chain.is_empty() {
            let what = "neither captured_at nor any moment inside";
            return out.refuse(RefusalReason::BadTime, None, &raw, what);
        }
        chain.finish(recv.of(at), raw, out);
    }

    fn newest(&self) -> Option<RecvTime> {
        self.captured.or(self.newest.map(RecvTime))
    }

    fn contract(&mut self, text: &str) {
        let contract: Contract<'_> = match serde_json::from_str(text) {
            Ok(contract) => contract,
            Err(_) => return self.chain.refuse(RefusalReason::Malformed, text.as_bytes()),
        };
        if let Some(asset) = &contract.underlying_asset {
            let at = nanos(asset.last_updated.as_ref());
            let price = asset.price.or(asset.value).number();
            let newer = self.chain.spot.is_none() || at > self.spot_at;
            if let Some(price) = chain::spot(price).filter(|_| newer) {
                (self.chain.spot, self.spot_at) = (Some(price), at);
            }
            if let Some(name) = asset.ticker.as_deref().filter(|n| !n.is_empty()) {
                let said = symbol(name);
                let underlying = self.chain.underlying.get_or_insert_with(|| said.clone());
                if **underlying != *said {
                    return self.chain.refuse(RefusalReason::WrongUnderlying, text.as_bytes());
                }
            }
        }
        let asset_at =
            contract.underlying_asset.as_ref().and_then(|a| nanos(a.last_updated.as_ref()));
        let quote_at = contract.last_quote.as_ref().and_then(|q| nanos(q.last_updated.as_ref()));
        let trade_at = contract.last_trade.as_ref().and_then(|t| nanos(t.sip_timestamp.as_ref()));
        self.newest = self.newest.max(asset_at).max(quote_at).max(trade_at);
        let made = row(&contract, quote_at.or(trade_at));
        if let (Ok((ticker, _)), Some(day)) = (&made, &contract.day)
            && let Some(at) = nanos(day.last_updated.as_ref())
        {
            self.stale.push((ticker.clone(), at));
        }
        self.chain.row(made, text.as_bytes());
    }
}

fn row(
    contract: &Contract<'_>,
    updated: Option<i64>,
) -> Result<(Box<str>, ChainRow), RefusalReason> {
    let details = contract.details.as_ref().ok_or(RefusalReason::MissingField)?;
    let name = details.ticker.as_deref().ok_or(RefusalReason::MissingField)?;
    let stated = Stated {
        strike: details.strike_price.checked(RefusalReason::BadStrike)?,
        expiry: details.expiration_date.as_deref(),
        right: details.contract_type.as_deref(),
    };
    let (ticker, mut row) = chain::contract(name, stated)?;
    row.updated = updated.map(VendorTime);
    row.style = match details.exercise_style.as_deref() {
        Some("american") => Some(ExerciseStyle::American),
        Some("european") => Some(ExerciseStyle::European),
        _ => None,
    };
    row.multiplier = details.shares_per_contract.checked(RefusalReason::BadSize)?;
    let (quote, day) = (contract.last_quote.as_ref(), contract.day.as_ref());
    let figure = |of: Option<Figure>| of.unwrap_or_default();
    let traded = figure(contract.last_trade.as_ref().map(|t| t.price));
    let greeks = contract.greeks.unwrap_or_default();
    let figures = Figures {
        bid: figure(quote.map(|q| q.bid)),
        ask: figure(quote.map(|q| q.ask)),
        bid_size: figure(quote.map(|q| q.bid_size)),
        ask_size: figure(quote.map(|q| q.ask_size)),
        last: traded.or(figure(day.map(|d| d.close))),
        open_interest: contract.open_interest,
        volume: figure(day.map(|d| d.volume)),
        implied_volatility: contract.implied_volatility,
        delta: greeks.delta,
        gamma: greeks.gamma,
        theta: greeks.theta,
        vega: greeks.vega,
    };
    figures.write(&mut row)?;
    Ok((ticker, row))
}

fn nanos(literal: Option<&Literal<'_>>) -> Option<i64> {
    literal.and_then(Literal::integer).filter(|at| *at > 0)
}

fn symbol(name: &str) -> Box<str> {
    ticker::symbol_of(name)
}
