//! Chains as the options-desk project publishes them: one document a chain,
//! `{"symbol", "updated", "underlyingPrice", "quotes": [...]}`.

use std::borrow::Cow;

use bytes::Bytes;
use orrery_journal::event::{ChainRow, RefusalReason};
use orrery_journal::units::RecvTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::feeds::chain::{self, Document, Figures, Stated};
use crate::feeds::literal::Figure;
use crate::feeds::{Decoded, Recv};
use crate::market::ticker;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Desk<'a> {
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    updated: Option<Cow<'a, str>>,
    underlying_price: Figure,
    #[serde(borrow)]
    quotes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quote<'a> {
    #[serde(borrow)]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    expiration: Option<Cow<'a, str>>,
    #[serde(borrow)]
    side: Option<Cow<'a, str>>,
    strike: Figure,
    bid: Figure,
    ask: Figure,
    last: Figure,
    volume: Figure,
    open_interest: Figure,
    iv: Figure,
    delta: Figure,
    gamma: Figure,
    theta: Figure,
    vega: Figure,
}

impl<'a> Document<'a> for Desk<'a> {
    type Contract = Quote<'a>;

    fn moment(&self) -> Result<RecvTime, String> {
        let own = self.updated.as_deref().and_then(RecvTime::parse_rfc3339);
        own.ok_or_else(|| "updated is no RFC 3339 moment".into())
    }

    fn underlying(&self) -> Option<Box<str>> {
        self.symbol.as_deref().map(ticker::symbol_of)
    }

    fn spot(&self) -> Figure {
        self.underlying_price
    }

    fn contracts(&self) -> &[&'a RawValue] {
        &self.quotes
    }

    fn row(&self, quote: &Quote<'a>) -> Result<(Box<str>, ChainRow), RefusalReason> {
        let stated = Stated {
            strike: quote.strike.checked(RefusalReason::BadStrike)?,
            expiry: quote.expiration.as_deref(),
            right: quote.side.as_deref(),
        };
        let name = quote.symbol.as_deref().ok_or(RefusalReason::MissingField)?;
        let (ticker, mut row) = chain::contract(name, stated)?;
        let figures = Figures {
            bid: quote.bid,
            ask: quote.ask,
            last: quote.last,
            open_interest: quote.open_interest,
            volume: quote.volume,
            implied_volatility: quote.iv,
            delta: quote.delta,
            gamma: quote.gamma,
            theta: quote.theta,
            vega: quote.vega,
            ..Figures::default()
        };
        figures.write(&mut row)?;
        Ok((ticker, row))
    }
}

/// Decodes a document.
#[must_use]
pub fn decode(text: &Bytes, recv: Recv) -> Decoded {
    let mut out = Decoded::default();
    chain::document::<Desk<'_>>(text, recv, &mut out);
    out
}
