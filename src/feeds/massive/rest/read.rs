//! Reading pages of a chain: from text to rows, nothing remembered.
//!
//! A page is read by itself, so pages are read side by side; which snapshot a
//! page belongs to is decided afterwards, in order, by
//! [`Pages`](super::Pages).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use orrery_journal::event::{ChainRow, ExerciseStyle, RefusalReason};
use orrery_journal::units::{Price, RecvTime, VendorTime};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::feeds::chain::{self, Figures, Stated};
use crate::feeds::literal::{Figure, Literal};
use crate::market::ticker;

/// Contracts that the vendor puts into a page.
const PAGE_CONTRACTS: usize = 250;

#[derive(Deserialize)]
struct Page<'a, L> {
    #[serde(borrow, default)]
    captured_at: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    underlying: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    next_url: Option<Literal<'a>>,
    results: Option<L>,
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

/// The results of a page, each made into what is kept of it as it is read.
struct Contracts(Vec<Result<ContractRead, RefusalReason>>);

impl<'de> Deserialize<'de> for Contracts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Results;
        impl<'de> Visitor<'de> for Results {
            type Value = Contracts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of contracts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut contracts = Vec::with_capacity(PAGE_CONTRACTS);
                while let Some(contract) = seq.next_element::<Contract<'de>>()? {
                    contracts.push(Ok(contract_read(&contract)));
                }
                Ok(Contracts(contracts))
            }
        }
        deserializer.deserialize_seq(Results)
    }
}

/// A text that was read: pages, or why there are none.
#[derive(Debug)]
pub(super) enum Text {
    /// Nothing but spaces.
    Nothing,
    /// One page.
    One(PageRead),
    /// An array of pages.
    Array(Vec<PageRead>),
    /// Neither.
    Refused(Bytes, String),
}

/// A page by itself.
#[derive(Debug)]
pub(super) struct PageRead {
    pub text: Bytes,
    pub facts: Result<Facts, Refused>,
}

/// Why a page cannot be used.
#[derive(Debug)]
pub(super) struct Refused {
    pub reason: RefusalReason,
    pub what: String,
    /// Whether it still belongs to the moment of the pages before it.
    pub dated: bool,
}

/// What a page says.
#[derive(Debug)]
pub(super) struct Facts {
    pub captured: Option<RecvTime>,
    /// Symbol of the underlying.
    pub underlying: Option<Box<str>>,
    /// Whether it announces another page.
    pub unfinished: bool,
    /// One for each of its results; an error where it is not even a contract.
    pub contracts: Vec<Result<ContractRead, RefusalReason>>,
}

/// A contract by itself.
#[derive(Debug)]
pub(super) struct ContractRead {
    /// What it says of the underlying: price, moment, symbol.
    pub spot: Option<Price>,
    pub asset_at: Option<i64>,
    pub asset: Option<Box<str>>,
    /// Newest moment that it states.
    pub newest: Option<i64>,
    /// Moment of the day's figures.
    pub day_at: Option<i64>,
    pub row: Result<(Box<str>, ChainRow), RefusalReason>,
}

/// Reads one page or one array of pages.
pub(super) fn text(text: &Bytes) -> Text {
    let trimmed = text.trim_ascii();
    match trimmed.first() {
        None => Text::Nothing,
        Some(b'[') => match serde_json::from_slice::<Vec<&RawValue>>(trimmed) {
            Ok(pages) => {
                let pages: Vec<Bytes> =
                    pages.iter().map(|page| text.slice_ref(page.get().as_bytes())).collect();
                Text::Array(side_by_side(&pages, page))
            }
            Err(e) => Text::Refused(text.slice_ref(trimmed), e.to_string()),
        },
        Some(_) => Text::One(page(&text.slice_ref(trimmed))),
    }
}

/// The same of each, in their order; half of them on a second thread.
pub(super) fn side_by_side<T: Sync, R: Send>(all: &[T], of: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (mine, other) = all.split_at(all.len().div_ceil(2));
    if other.is_empty() {
        return mine.iter().map(of).collect();
    }
    std::thread::scope(|scope| {
        let other = scope.spawn(|| other.iter().map(&of).collect::<Vec<R>>());
        let mut done: Vec<R> = mine.iter().map(&of).collect();
        match other.join() {
            Ok(rest) => done.extend(rest),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        done
    })
}

/// The text of a page's result with this index.
pub(super) fn result_of(page: &Bytes, index: usize) -> Bytes {
    let results = serde_json::from_slice::<Page<'_, Vec<&RawValue>>>(page).ok();
    let results = results.and_then(|page| page.results);
    match results.and_then(|results| results.get(index).copied()) {
        Some(result) => page.slice_ref(result.get().as_bytes()),
        None => page.clone(),
    }
}

fn page(text: &Bytes) -> PageRead {
    PageRead { text: text.clone(), facts: facts(text) }
}

fn facts(text: &[u8]) -> Result<Facts, Refused> {
    // All at once first; where something is wrong, result by result, so that
    // one contract does not cost the others.
    if let Ok(page) = serde_json::from_slice::<Page<'_, Contracts>>(text) {
        return said(page, |contracts| contracts.0);
    }
    let one = |raw: &RawValue| {
        let contract = serde_json::from_str::<Contract<'_>>(raw.get());
        contract.map(|c| contract_read(&c)).map_err(|_| RefusalReason::Malformed)
    };
    match serde_json::from_slice::<Page<'_, Vec<&RawValue>>>(text) {
        Ok(page) => said(page, |results| results.into_iter().map(one).collect()),
        Err(e) => Err(refused(RefusalReason::Malformed, e.to_string(), true)),
    }
}

fn refused(reason: RefusalReason, what: String, dated: bool) -> Refused {
    Refused { reason, what, dated }
}

fn said<L>(
    page: Page<'_, L>,
    read: impl FnOnce(L) -> Vec<Result<ContractRead, RefusalReason>>,
) -> Result<Facts, Refused> {
    let Some(results) = page.results else {
        let what = "a page without results".to_owned();
        return Err(refused(RefusalReason::MissingField, what, true));
    };
    let captured = match page.captured_at.as_deref().map(|at| (at, RecvTime::parse_rfc3339(at))) {
        None => None,
        Some((_, Some(at))) => Some(at),
        Some((at, None)) => {
            return Err(refused(RefusalReason::BadTime, format!("captured_at {at:?}"), false));
        }
    };
    Ok(Facts {
        captured,
        underlying: page.underlying.as_deref().map(ticker::symbol_of),
        unfinished: page.next_url.as_ref().is_some_and(|url| url.text().is_some()),
        contracts: read(results),
    })
}

fn contract_read(contract: &Contract<'_>) -> ContractRead {
    let asset = contract.underlying_asset.as_ref();
    let asset_at = asset.and_then(|a| nanos(a.last_updated.as_ref()));
    let quote_at = contract.last_quote.as_ref().and_then(|q| nanos(q.last_updated.as_ref()));
    let trade_at = contract.last_trade.as_ref().and_then(|t| nanos(t.sip_timestamp.as_ref()));
    ContractRead {
        spot: asset.and_then(|a| chain::spot(a.price.or(a.value).number())),
        asset_at,
        asset: asset
            .and_then(|a| a.ticker.as_deref())
            .filter(|name| !name.is_empty())
            .map(ticker::symbol_of),
        newest: asset_at.max(quote_at).max(trade_at),
        day_at: contract.day.as_ref().and_then(|d| nanos(d.last_updated.as_ref())),
        row: row(contract, quote_at.or(trade_at)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_by_side_keeps_the_order() {
        for n in 0..9u32 {
            let all: Vec<u32> = (0..n).collect();
            let squares: Vec<u32> = all.iter().map(|x| x * x).collect();
            assert_eq!(side_by_side(&all, |x| x * x), squares);
        }
    }

    #[test]
    fn one_broken_contract_does_not_cost_the_others() {
        let good = r#"{"details":{"ticker":"O:SPXW260819C07600000"},"open_interest":3}"#;
        let page = format!(r#"{{"results":[{good},{{"details":7}},{good}]}}"#);
        let page = Bytes::from(page);
        let read = facts(&page).expect("a page");
        let kept: Vec<bool> = read.contracts.iter().map(Result::is_ok).collect();
        assert_eq!(kept, [true, false, true]);
        assert_eq!(result_of(&page, 1), br#"{"details":7}"#.as_slice());
        assert_eq!(result_of(&page, 2), good.as_bytes());
        // Read at once or one by one, a contract says the same.
        let whole = facts(format!(r#"{{"results":[{good}]}}"#).as_bytes()).expect("a page");
        assert_eq!(format!("{:?}", whole.contracts[0]), format!("{:?}", read.contracts[0]));
    }
}
