//! WebSocket messages of the vendor: trades, quotes, bars, index values.
//!
//! Bytes in, drafts out. A message is an object; a frame is an object or an
//! array of them; a captured file holds one frame a line. Every field that the
//! vendor documents has its column; a message with an unknown field, or with a
//! value that its column cannot hold exactly, takes its original text along as
//! the draft's extension, so that [`super::encode`] can always give it back.

use bytes::Bytes;
use orrery_journal::event::{
    Bar, DraftBody, IndexValue, InstrumentRef, Quote, RefusalReason, Trade,
};
use orrery_journal::units::{Price, RecvTime, VendorTime};
use serde_json::value::RawValue;

use super::fields::{Fields, Key};
use crate::feeds::chain::names_strike_zero;
use crate::feeds::literal::Literal;
use crate::feeds::{Decoded, Recv};
use crate::market::ticker;

/// Nanoseconds in the vendor's unit of time.
pub(super) const NANOS_PER_MILLI: i64 = 1_000_000;
/// Length of a second bar (`A`), ns.
pub(super) const SECOND_BAR: i64 = 1_000 * NANOS_PER_MILLI;
/// Length of a minute bar (`AM`), ns.
pub(super) const MINUTE_BAR: i64 = 60 * SECOND_BAR;
/// Exchanges above do not fit the column.
const EXCHANGE_MAX: u64 = 65_534;
const TICKER_BYTES_MAX: usize = 64;

/// Decodes frames: one object, one array, or one of them a line.
#[must_use]
pub fn decode(bytes: &[u8], recv: Recv) -> Decoded {
    let mut out = Decoded::default();
    let text = bytes.trim_ascii();
    if text.first() == Some(&b'[') && serde_json::from_slice::<Vec<&RawValue>>(text).is_ok() {
        frame(text, recv, &mut out);
        return out;
    }
    for line in text.split(|b| *b == b'\n') {
        frame(line, recv, &mut out);
    }
    out
}

/// Decodes one frame into `out`.
pub fn frame(bytes: &[u8], recv: Recv, out: &mut Decoded) {
    let text = bytes.trim_ascii();
    match text.first() {
        None => {}
        Some(b'[') => match serde_json::from_slice::<Vec<&RawValue>>(text) {
            Ok(messages) => {
                for text in messages {
                    message(text.get().as_bytes(), recv, out);
                }
            }
            Err(e) => out.refuse(RefusalReason::Malformed, recv.of(None), text, e),
        },
        Some(_) => message(text, recv, out),
    }
}

fn message(text: &[u8], recv: Recv, out: &mut Decoded) {
    let mut fields: Fields<'_> = match serde_json::from_slice(text) {
        Ok(fields) => fields,
        Err(e) => return out.refuse(RefusalReason::Malformed, recv.of(None), text, e),
    };
    let kind = fields.take(Key::Ev);
    let mut taking = Taking { fields, exact: true };
    let made = match kind.as_ref().and_then(Literal::text) {
        Some("Q") => quote(&mut taking),
        Some("T") => trade(&mut taking),
        Some("A") => bar(&mut taking, SECOND_BAR),
        Some("AM") => bar(&mut taking, MINUTE_BAR),
        Some("V") => index_value(&mut taking),
        Some("status") => return status(text, recv, out),
        Some(_) => Err(RefusalReason::UnknownKind),
        None => Err(RefusalReason::MissingField),
    };
    match made {
        Ok(Fact { ticker, at, body }) => {
            let whole = taking.exact && taking.fields.understood();
            out.accept(
                recv.of(Some(RecvTime(at.0))),
                Some(at),
                InstrumentRef::Ticker(ticker),
                (!whole).then(|| Bytes::copy_from_slice(text)),
                body,
            );
        }
        Err(reason) => {
            let start = String::from_utf8_lossy(&text[..text.len().min(160)]).into_owned();
            out.refuse(reason, recv.of(None), text, start);
        }
    }
}

/// A status frame is no market fact, but what the vendor said about the
/// connection belongs to the record.
fn status(text: &[u8], recv: Recv, out: &mut Decoded) {
    let body = DraftBody::Control(Bytes::copy_from_slice(text));
    out.accept(recv.of(None), None, InstrumentRef::None, None, body);
}

struct Fact {
    ticker: Box<str>,
    at: VendorTime,
    body: DraftBody,
}

/// Fields on their way into columns.
struct Taking<'a> {
    fields: Fields<'a>,
    exact: bool,
}

impl<'a> Taking<'a> {
    fn need(&mut self, key: Key) -> Result<Literal<'a>, RefusalReason> {
        match self.fields.take(key) {
            None | Some(Literal::Null) => Err(RefusalReason::MissingField),
            Some(value) => Ok(value),
        }
    }

    fn price(&mut self, key: Key) -> Result<Option<Price>, RefusalReason> {
        let Some(value) = self.fields.take(key) else { return Ok(None) };
        let price = value.price()?;
        self.exact &= price.is_some_and(|(_, exact)| exact);
        Ok(price.map(|(price, _)| price))
    }

    fn need_price(&mut self, key: Key) -> Result<Price, RefusalReason> {
        self.price(key)?.ok_or(RefusalReason::MissingField)
    }

    fn size(&mut self, key: Key) -> Result<Option<u64>, RefusalReason> {
        let Some(value) = self.fields.take(key) else { return Ok(None) };
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
        let value = self.fields.take(key)?;
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

    fn conditions(&mut self, key: Key) -> Box<[u32]> {
        match self.fields.take(key) {
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

fn quote(from: &mut Taking<'_>) -> Result<Fact, RefusalReason> {
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
    let conditions = from.conditions(Key::C);
    Ok(Fact { ticker, at, body: DraftBody::Quote { quote, conditions } })
}

fn trade(from: &mut Taking<'_>) -> Result<Fact, RefusalReason> {
    let (ticker, at) = (from.ticker(Key::Sym)?, from.time(Key::T)?);
    let trade = Trade {
        price: from.need_price(Key::Price)?,
        size: from.size(Key::S)?.ok_or(RefusalReason::MissingField)?,
        vendor_seq: from.label(Key::Q),
        exchange: from.exchange(Key::Exchange),
        conditions: 0,
    };
    let conditions = from.conditions(Key::C);
    refuse_free(&ticker, &[trade.price])?;
    Ok(Fact { ticker, at, body: DraftBody::Trade { trade, conditions } })
}

/// `length` is what the message's kind says; a bar of another length keeps its
/// text, because the length is how the kind is told afterwards.
fn bar(from: &mut Taking<'_>, length: i64) -> Result<Fact, RefusalReason> {
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
    if bar.high < bar.low {
        return Err(RefusalReason::BadPrice);
    }
    refuse_free(&ticker, &[bar.low])?;
    Ok(Fact { ticker, at: end, body: DraftBody::Bar(Box::new(bar)) })
}

fn index_value(from: &mut Taking<'_>) -> Result<Fact, RefusalReason> {
    let ticker = match from.ticker(Key::IndexTicker) {
        Err(RefusalReason::MissingField) => {
            from.exact = false;
            from.ticker(Key::Sym)?
        }
        other => other?,
    };
    let at = from.time(Key::T)?;
    let value = from.need_price(Key::Value)?;
    refuse_free(&ticker, &[value])?;
    Ok(Fact { ticker, at, body: DraftBody::IndexValue(IndexValue { value }) })
}

/// Options do trade at nothing; a share or an index at 0 is an error.
fn refuse_free(ticker: &str, prices: &[Price]) -> Result<(), RefusalReason> {
    if prices.iter().any(|p| p.0 == 0) && !ticker.starts_with("O:") {
        return Err(RefusalReason::BadPrice);
    }
    Ok(())
}
