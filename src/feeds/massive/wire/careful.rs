//! Messages read with serde_json: whatever the fast reader leaves.
//!
//! Any field order, escapes, odd types, exponents, unknown fields. What a
//! message says twice is refused, what does not fit its column stays in the
//! extension.

use orrery_journal::event::{Bar, IndexValue, Quote, RefusalReason, Trade};
use orrery_journal::units::{Price, VendorTime};
use serde_json::value::RawValue;

use super::{
    EXCHANGE_MAX, Fact, FactBody, MINUTE_BAR, NANOS_PER_MILLI, SECOND_BAR, Sink, TICKER_BYTES_MAX,
    is_free,
};
use crate::feeds::chain::names_strike_zero;
use crate::feeds::literal::Literal;
use crate::feeds::massive::fields::{Fields, Key};
use crate::market::ticker;

/// Bytes of a refused message that are told in words.
const TOLD_BYTES: usize = 160;

/// Reads an array of messages, all or none.
pub(super) fn frame(text: &[u8], sink: &mut impl Sink) {
    match serde_json::from_slice::<Vec<&RawValue>>(text) {
        Ok(messages) => {
            for text in messages {
                message(text.get().as_bytes(), sink);
            }
        }
        Err(e) => sink.refuse(RefusalReason::Malformed, text, &e),
    }
}

/// The first JSON value of `text` and what follows it.
pub(super) fn first_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
    let value = values.next()?.ok()?;
    Some((value.get().as_bytes(), text.get(values.byte_offset()..)?))
}

/// Reads one message that is all of `text`.
pub(super) fn message(text: &[u8], sink: &mut impl Sink) {
    // In a value that nobody looks into, any bytes would pass; but JSON is
    // UTF-8, and only text can be given back.
    if let Err(e) = std::str::from_utf8(text) {
        return sink.refuse(RefusalReason::Malformed, text, &e);
    }
    let mut fields: Fields<'_> = match serde_json::from_slice(text) {
        Ok(fields) => fields,
        Err(e) => return sink.refuse(RefusalReason::Malformed, text, &e),
    };
    let kind = fields.take(Key::Ev);
    let mut from = Taking { fields, exact: true };
    let taken = match kind.as_ref().and_then(|kind| kind.literal.text()) {
        Some("Q") => quote(&mut from, text, sink),
        Some("T") => trade(&mut from, text, sink),
        Some("A") => bar(&mut from, SECOND_BAR, text, sink),
        Some("AM") => bar(&mut from, MINUTE_BAR, text, sink),
        Some("V") => index_value(&mut from, text, sink),
        Some("status") => {
            sink.status(text);
            Ok(())
        }
        Some(_) => Err(RefusalReason::UnknownKind),
        None => Err(RefusalReason::MissingField),
    };
    if let Err(reason) = taken {
        let start = String::from_utf8_lossy(&text[..text.len().min(TOLD_BYTES)]);
        sink.refuse(reason, text, &start);
    }
}

/// Fields on their way into columns.
struct Taking<'a> {
    fields: Fields<'a>,
    exact: bool,
}

impl<'a> Taking<'a> {
    /// The message's text, unless the columns hold all of it.
    fn extension<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        (!(self.exact && self.fields.understood())).then_some(text)
    }

    fn literal(&mut self, key: Key) -> Option<Literal<'a>> {
        self.fields.take(key).map(|field| field.literal)
    }

    fn need(&mut self, key: Key) -> Result<Literal<'a>, RefusalReason> {
        match self.literal(key) {
            None | Some(Literal::Null) => Err(RefusalReason::MissingField),
            Some(value) => Ok(value),
        }
    }

    fn price(&mut self, key: Key) -> Result<Option<Price>, RefusalReason> {
        let Some(field) = self.fields.take(key) else { return Ok(None) };
        let price = field.price()?;
        self.exact &= price.is_some_and(|(_, exact)| exact);
        Ok(price.map(|(price, _)| price))
    }

    fn need_price(&mut self, key: Key) -> Result<Price, RefusalReason> {
        self.price(key)?.ok_or(RefusalReason::MissingField)
    }

    fn size(&mut self, key: Key) -> Result<Option<u64>, RefusalReason> {
        let Some(value) = self.literal(key) else { return Ok(None) };
        let size = value.size()?;
        // All bits set is how a column says "none"; no market is that large.
        if size.is_some_and(|(size, _)| size == u64::MAX) {
            return Err(RefusalReason::BadSize);
        }
        self.exact &= size.is_some_and(|(_, exact)| exact);
        Ok(size.map(|(size, _)| size))
    }

    fn small_size(&mut self, key: Key) -> Result<Option<u32>, RefusalReason> {
        let Some(size) = self.size(key)? else { return Ok(None) };
        let small = u32::try_from(size).ok();
        self.exact &= small.is_some();
        Ok(small)
    }

    /// A number that nothing is computed from: what does not fit is left to
    /// the extension.
    fn label(&mut self, key: Key) -> Option<u64> {
        let value = self.literal(key)?;
        let label = value.unsigned();
        self.exact &= label.is_some();
        label
    }

    fn exchange(&mut self, key: Key) -> Option<u16> {
        let label = self.label(key)?;
        let fits = (label <= EXCHANGE_MAX).then_some(label as u16);
        self.exact &= fits.is_some();
        fits
    }

    fn conditions(&mut self) -> Box<[u32]> {
        match self.literal(Key::C) {
            None => Box::default(),
            // An empty list and no list are one in the column, not in the message.
            Some(Literal::List(list)) => {
                self.exact &= !list.is_empty();
                list.into()
            }
            Some(other) => {
                self.exact = false;
                other.unsigned().and_then(|u| u32::try_from(u).ok()).into_iter().collect()
            }
        }
    }

    fn time(&mut self, key: Key) -> Result<VendorTime, RefusalReason> {
        let millis = self.need(key)?.integer().filter(|t| *t > 0);
        millis
            .and_then(|t| t.checked_mul(NANOS_PER_MILLI))
            .map(VendorTime)
            .ok_or(RefusalReason::BadTime)
    }

    fn ticker(&mut self, key: Key) -> Result<Box<str>, RefusalReason> {
        let value = self.need(key)?;
        let text = value.text().ok_or(RefusalReason::BadTicker)?;
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > TICKER_BYTES_MAX || !printable {
            return Err(RefusalReason::BadTicker);
        }
        if text.starts_with("O:") && ticker::parse_option(text).is_none() {
            return Err(if names_strike_zero(text) {
                RefusalReason::BadStrike
            } else {
                RefusalReason::BadTicker
            });
        }
        Ok(text.into())
    }
}

type Taken = Result<(), RefusalReason>;

fn quote(from: &mut Taking<'_>, text: &[u8], sink: &mut impl Sink) -> Taken {
    let (ticker, at) = (from.ticker(Key::Sym)?, from.time(Key::T)?);
    // Older captures write `b` and `a`; the columns take them, the extension
    // remembers the spelling.
    let mut side = |key: Key, old: Key| -> Result<Option<Price>, RefusalReason> {
        match from.price(key)? {
            Some(price) => Ok(Some(price)),
            None => {
                let price = from.price(old)?;
                from.exact &= price.is_none();
                Ok(price)
            }
        }
    };
    let (bid, ask) = (side(Key::Bid, Key::B)?, side(Key::Ask, Key::A)?);
    if bid.is_none() && ask.is_none() {
        return Err(RefusalReason::MissingField);
    }
    let quote = Quote {
        bid,
        ask,
        bid_size: from.small_size(Key::BidSize)?,
        ask_size: from.small_size(Key::AskSize)?,
        vendor_seq: from.label(Key::Q),
        bid_exchange: from.exchange(Key::BidExchange),
        ask_exchange: from.exchange(Key::AskExchange),
        conditions: 0,
    };
    let conditions = from.conditions();
    let (extension, body) = (from.extension(text), FactBody::Quote(quote, &conditions));
    sink.fact(Fact { ticker: &ticker, at, extension, body });
    Ok(())
}

fn trade(from: &mut Taking<'_>, text: &[u8], sink: &mut impl Sink) -> Taken {
    let (ticker, at) = (from.ticker(Key::Sym)?, from.time(Key::T)?);
    let trade = Trade {
        price: from.need_price(Key::Price)?,
        size: from.size(Key::S)?.ok_or(RefusalReason::MissingField)?,
        vendor_seq: from.label(Key::Q),
        exchange: from.exchange(Key::Exchange),
        conditions: 0,
    };
    let conditions = from.conditions();
    if is_free(&ticker, trade.price) {
        return Err(RefusalReason::BadPrice);
    }
    let (extension, body) = (from.extension(text), FactBody::Trade(trade, &conditions));
    sink.fact(Fact { ticker: &ticker, at, extension, body });
    Ok(())
}

/// `length` is what the message's kind says; a bar of another length keeps its
/// text, because the length is how the kind is told afterwards.
fn bar(from: &mut Taking<'_>, length: i64, text: &[u8], sink: &mut impl Sink) -> Taken {
    let (ticker, start) = (from.ticker(Key::Sym)?, from.time(Key::S)?);
    let end = match from.time(Key::End) {
        Ok(end) => end,
        Err(RefusalReason::MissingField) => {
            from.exact = false;
            VendorTime(start.0.saturating_add(length))
        }
        Err(other) => return Err(other),
    };
    if end <= start {
        return Err(RefusalReason::BadTime);
    }
    from.exact &= end.0 - start.0 == length;
    let bar = Bar {
        start,
        end,
        open: from.need_price(Key::Open)?,
        high: from.need_price(Key::High)?,
        low: from.need_price(Key::Low)?,
        close: from.need_price(Key::C)?,
        volume: from.size(Key::Volume)?,
        vwap: from.price(Key::Vwap)?,
        trades: from.size(Key::Trades)?,
        day_volume: from.size(Key::DayVolume)?,
        day_open: from.price(Key::DayOpen)?,
        day_vwap: from.price(Key::A)?,
        trade_size_mean: from.size(Key::SizeMean)?,
    };
    if bar.high < bar.low || is_free(&ticker, bar.low) {
        return Err(RefusalReason::BadPrice);
    }
    let (extension, body) = (from.extension(text), FactBody::Bar(&bar));
    sink.fact(Fact { ticker: &ticker, at: end, extension, body });
    Ok(())
}

fn index_value(from: &mut Taking<'_>, text: &[u8], sink: &mut impl Sink) -> Taken {
    let ticker = match from.ticker(Key::IndexTicker) {
        Err(RefusalReason::MissingField) => {
            from.exact = false;
            from.ticker(Key::Sym)?
        }
        other => other?,
    };
    let at = from.time(Key::T)?;
    let value = from.need_price(Key::Value)?;
    if is_free(&ticker, value) {
        return Err(RefusalReason::BadPrice);
    }
    let (extension, body) = (from.extension(text), FactBody::IndexValue(IndexValue { value }));
    sink.fact(Fact { ticker: &ticker, at, extension, body });
    Ok(())
}
