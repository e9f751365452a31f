//! How the rows of a chain become one chain draft, whatever the vendor.
//!
//! A contract is refused alone, with its reason and its own text; the chain
//! goes on without it and says how many it lost.

use std::collections::BTreeSet;

use bytes::Bytes;
use orrery_journal::event::{
    ChainDraft, ChainRow, ChainRowDraft, DraftBody, InstrumentRef, OptionRight, RefusalReason,
};
use orrery_journal::units::{InstrumentId, Price, RecvTime, TradingDay};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feeds::literal::Figure;
use crate::feeds::{Decoded, Recv};
use crate::market::ticker;

/// What a vendor states beside the ticker; each must agree with it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stated<'a> {
    /// Strike in currency units.
    pub strike: Option<f64>,
    /// `YYYY-MM-DD`.
    pub expiry: Option<&'a str>,
    /// `call` or `put`.
    pub right: Option<&'a str>,
}

/// The identity and a row that knows nothing yet but its terms.
///
/// OCC tickers get their `O:`, so that one contract has one name in all feeds.
///
/// # Errors
/// When the ticker is none, names a strike of zero, or is contradicted.
pub fn contract(text: &str, stated: Stated<'_>) -> Result<(Box<str>, ChainRow), RefusalReason> {
    if stated.strike.is_some_and(|s| !s.is_finite() || s <= 0.0) || names_strike_zero(text) {
        return Err(RefusalReason::BadStrike);
    }
    let terms = ticker::parse_option(text).ok_or(RefusalReason::BadTicker)?;
    if stated.strike.is_some_and(|s| Price::from_f64_nearest(s) != Some(terms.strike)) {
        return Err(RefusalReason::BadStrike);
    }
    let other_right = stated.right.is_some_and(|r| right_of(r) != Some(terms.right));
    let other_expiry = stated.expiry.is_some_and(|e| TradingDay::parse(e) != Some(terms.expiry));
    if other_right || other_expiry {
        return Err(RefusalReason::BadTicker);
    }
    let name = if text.starts_with("O:") || text.contains('-') {
        text.into()
    } else {
        format!("O:{text}").into()
    };
    Ok((name, terms.row(InstrumentId::NONE)))
}

fn right_of(text: &str) -> Option<OptionRight> {
    match text {
        "call" | "C" | "Call" => Some(OptionRight::Call),
        "put" | "P" | "Put" => Some(OptionRight::Put),
        _ => None,
    }
}

/// Whether a ticker would be an option's if its strike were not zero.
#[must_use]
pub fn names_strike_zero(text: &str) -> bool {
    let Some(head) = text.strip_suffix("00000000") else { return false };
    ticker::parse_option(&format!("{head}00000001")).is_some()
}

/// A volatility: positive, or the vendor's "unknown" (0, negative).
#[must_use]
pub fn volatility(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite() && *v > 0.0)
}

/// A last price: positive, or 0 for "never traded".
#[must_use]
pub fn last_price(value: Option<f64>) -> Option<f64> {
    value.filter(|v| *v != 0.0)
}

/// The figures of a contract in a JSON document, as far as its vendor has them.
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct Figures {
    pub bid: Figure,
    pub ask: Figure,
    pub bid_size: Figure,
    pub ask_size: Figure,
    pub last: Figure,
    pub open_interest: Figure,
    pub volume: Figure,
    pub implied_volatility: Figure,
    pub delta: Figure,
    pub gamma: Figure,
    pub theta: Figure,
    pub vega: Figure,
}

impl Figures {
    /// Writes them into `row`. What a vendor computes (volatility, greeks) may
    /// be anything; what it observes has to be a number where it is stated.
    ///
    /// # Errors
    /// When a price or a size is no number.
    pub fn write(self, row: &mut ChainRow) -> Result<(), RefusalReason> {
        let (price, size) = (RefusalReason::BadPrice, RefusalReason::BadSize);
        row.bid = self.bid.checked(price)?;
        row.ask = self.ask.checked(price)?;
        row.bid_size = self.bid_size.checked(size)?;
        row.ask_size = self.ask_size.checked(size)?;
        row.last = last_price(self.last.checked(price)?);
        row.open_interest = self.open_interest.checked(size)?;
        row.volume = self.volume.checked(size)?;
        row.implied_volatility = volatility(self.implied_volatility.number());
        row.delta = self.delta.number();
        row.gamma = self.gamma.number();
        row.theta = self.theta.number();
        row.vega = self.vega.number();
        Ok(())
    }
}

/// A JSON document that is one chain, in the words of one vendor.
pub trait Document<'a>: Deserialize<'a> {
    /// A contract in it.
    type Contract: Deserialize<'a>;

    /// The moment it is of.
    ///
    /// # Errors
    /// What is wrong with the place where the moment stands.
    fn moment(&self) -> Result<RecvTime, String>;
    /// Symbol of the underlying.
    fn underlying(&self) -> Option<Box<str>>;
    /// Price of the underlying.
    fn spot(&self) -> Figure;
    /// Its contracts, unread.
    fn contracts(&self) -> &[&'a RawValue];
    /// Reads a contract.
    ///
    /// # Errors
    /// Why the contract is refused.
    fn row(&self, contract: &Self::Contract) -> Result<(Box<str>, ChainRow), RefusalReason>;
}

/// Decodes a document that is one chain.
pub fn document<'a, D: Document<'a>>(text: &'a Bytes, recv: Recv, out: &mut Decoded) {
    let document: D = match serde_json::from_slice(text) {
        Ok(document) => document,
        Err(e) => return out.refuse(RefusalReason::Malformed, recv.of(None), text, e),
    };
    let own = match document.moment() {
        Ok(own) => Some(own),
        Err(what) if recv == Recv::Own => {
            return out.refuse(RefusalReason::BadTime, None, text, what);
        }
        Err(_) => None,
    };
    let mut chain = ChainBuilder::new(document.underlying(), spot(document.spot().number()));
    for text in document.contracts() {
        let made = match serde_json::from_str(text.get()) {
            Ok(contract) => document.row(&contract),
            Err(_) => Err(RefusalReason::Malformed),
        };
        chain.row(made, text.get().as_bytes());
    }
    chain.finish(recv.of(own), text.clone(), out);
}

fn check(row: &ChainRow) -> Result<(), RefusalReason> {
    let negative = |v: Option<f64>| v.is_some_and(|v| !v.is_finite() || v < 0.0);
    if negative(row.bid) || negative(row.ask) || negative(row.last) {
        return Err(RefusalReason::BadPrice);
    }
    let sizes = [row.bid_size, row.ask_size, row.open_interest, row.volume];
    if sizes.into_iter().any(negative) || row.multiplier.is_some_and(|m| m <= 0.0) {
        return Err(RefusalReason::BadSize);
    }
    Ok(())
}

/// A chain in the making.
#[derive(Debug, Default)]
pub struct ChainBuilder {
    rows: Vec<ChainRowDraft>,
    seen: BTreeSet<Box<str>>,
    refused: Vec<(RefusalReason, Bytes, String)>,
    /// Symbol of the underlying once known: `SPX`.
    pub underlying: Option<Box<str>>,
    /// Price of the underlying once known.
    pub spot: Option<Price>,
    /// Vendor pages so far.
    pub pages: u32,
}

impl ChainBuilder {
    /// A chain of which this much is known beforehand.
    #[must_use]
    pub fn new(underlying: Option<Box<str>>, spot: Option<Price>) -> ChainBuilder {
        ChainBuilder { underlying, spot, ..ChainBuilder::default() }
    }

    /// Whether nothing was put in.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.rows.is_empty() && self.refused.is_empty() && self.pages == 0
    }

    /// Whether no contract was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Makes the volumes of these rows unknown: a vendor that has nothing of
    /// today repeats an earlier day's.
    pub fn forget_volumes(&mut self, rows: impl Iterator<Item = usize>) {
        for at in rows {
            if let Some(row) = self.rows.get_mut(at) {
                row.row.volume = None;
            }
        }
    }

    /// Takes a contract, or refuses it with `text`.
    pub fn row(&mut self, made: Result<(Box<str>, ChainRow), RefusalReason>, text: &[u8]) {
        if let Err(reason) = made.and_then(|(ticker, row)| self.take(ticker, row)) {
            self.refuse(reason, text);
        }
    }

    /// Takes a contract; which row it is.
    ///
    /// # Errors
    /// Why it does not belong here; the chain is as it was before.
    pub fn take(&mut self, ticker: Box<str>, row: ChainRow) -> Result<usize, RefusalReason> {
        check(&row)?;
        if self.seen.contains(&ticker) {
            return Err(RefusalReason::Duplicate);
        }
        if !self.belongs(&ticker) {
            return Err(RefusalReason::WrongUnderlying);
        }
        self.seen.insert(ticker.clone());
        self.rows.push(ChainRowDraft { ticker, row });
        Ok(self.rows.len() - 1)
    }

    /// Refuses a contract.
    pub fn refuse(&mut self, reason: RefusalReason, text: &[u8]) {
        let cut = &text[..text.len().min(crate::feeds::QUARANTINE_BYTES_MAX)];
        let start: String = String::from_utf8_lossy(&cut[..cut.len().min(120)]).into();
        let what = format!("contract {}: {start}", self.rows.len() + self.refused.len() + 1);
        self.refused.push((reason, Bytes::copy_from_slice(cut), what));
    }

    /// An adjusted root (`TSLA1`) belongs to the symbol before its digits.
    fn belongs(&mut self, ticker: &str) -> bool {
        let symbol = ticker::symbol_in(ticker);
        let underlying = self.underlying.get_or_insert_with(|| symbol.into());
        &**underlying == symbol
            || symbol.trim_end_matches(|c: char| c.is_ascii_digit()) == &**underlying
    }

    /// The draft of the chain and the quarantine of what it lost; a chain
    /// without a single contract is quarantined whole.
    pub fn finish(self, recv: Option<RecvTime>, raw: Bytes, out: &mut Decoded) {
        let ChainBuilder { rows, refused, underlying, spot, pages, .. } = self;
        if rows.is_empty() {
            out.refuse(RefusalReason::EmptyChain, recv, &raw, "a chain without a usable contract");
        } else {
            let symbol = underlying.unwrap_or_default();
            out.accept(
                recv,
                None,
                InstrumentRef::Ticker(ticker::vendor_symbol(&symbol).into()),
                None,
                DraftBody::Chain(Box::new(ChainDraft {
                    raw,
                    spot,
                    refused: u32::try_from(refused.len()).unwrap_or(u32::MAX),
                    latency_ns: 0,
                    pages: pages.max(1),
                    rows,
                })),
            );
        }
        for (reason, text, what) in refused {
            out.refuse(reason, recv, &text, what);
        }
    }
}

/// A price of the underlying as a snapshot states it: positive, or nothing.
#[must_use]
pub fn spot(value: Option<f64>) -> Option<Price> {
    value.filter(|v| *v > 0.0).and_then(Price::from_f64_nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_vendor_states_must_agree_with_the_ticker() {
        let check = |text: &str, stated| contract(text, stated).map(|(t, _)| t.to_string());
        let none = Stated::default();
        assert_eq!(check("TSLA260715C00300000", none).as_deref(), Ok("O:TSLA260715C00300000"));
        assert_eq!(check("BTC-25DEC26-85000-P", none).as_deref(), Ok("BTC-25DEC26-85000-P"));
        assert_eq!(check("TSLA", none), Err(RefusalReason::BadTicker));
        assert_eq!(check("O:TSLA260715C00000000", none), Err(RefusalReason::BadStrike));
        let zero = Stated { strike: Some(0.0), ..none };
        assert_eq!(check("O:TSLA260715C00300000", zero), Err(RefusalReason::BadStrike));
        let other = Stated { strike: Some(301.0), ..none };
        assert_eq!(check("O:TSLA260715C00300000", other), Err(RefusalReason::BadStrike));
        let put = Stated { right: Some("put"), ..none };
        assert_eq!(check("O:TSLA260715C00300000", put), Err(RefusalReason::BadTicker));
        let day = Stated { expiry: Some("2026-07-16"), ..none };
        assert_eq!(check("O:TSLA260715C00300000", day), Err(RefusalReason::BadTicker));
    }

    #[test]
    fn a_chain_goes_on_without_what_it_lost() {
        let mut chain = ChainBuilder::default();
        let make = |t: &str| contract(t, Stated::default());
        chain.row(make("O:TSLA260715C00300000"), b"a");
        chain.row(make("O:TSLA260715C00300000"), b"again");
        chain.row(make("O:AAPL260715C00300000"), b"stranger");
        chain.row(make("O:TSLA1260715C00300000"), b"adjusted");
        let negative =
            make("O:TSLA260715P00300000").map(|(t, r)| (t, ChainRow { bid: Some(-1.0), ..r }));
        chain.row(negative, b"negative");
        let mut out = Decoded::default();
        chain.finish(Some(RecvTime(5)), Bytes::from_static(b"raw"), &mut out);
        let DraftBody::Chain(draft) = &out.drafts[0].body else { panic!("no chain") };
        assert_eq!((draft.rows.len(), draft.refused, draft.pages), (2, 3, 1));
        assert_eq!(
            out.refused.keys().copied().collect::<Vec<_>>(),
            [RefusalReason::BadPrice, RefusalReason::Duplicate, RefusalReason::WrongUnderlying,]
        );
        assert_eq!(out.drafts.len(), 4);
        let mut out = Decoded::default();
        ChainBuilder::default().finish(None, Bytes::from_static(b"{}"), &mut out);
        assert_eq!(out.refused.get(&RefusalReason::EmptyChain), Some(&1));
    }
}
