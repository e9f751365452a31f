//! Plain messages straight from the bytes.
//!
//! Takes what the vendor sends all day: the documented fields, each at most
//! once, in any order, numbers as decimal digits, text without escapes. Nothing
//! is allocated and no float comes between. Whatever else a message has, it is
//! left to `careful`: this reader never refuses and never needs the extension.
//! Quotes and trades whose fields stand in the vendor's own order are read
//! without looking the fields up.

use orrery_journal::event::{Bar, IndexValue, Quote, Trade};
use orrery_journal::units::{Price, VendorTime};

use super::scan::{Number, integer, number, quoted, space};
use super::{
    EXCHANGE_MAX, Fact, FactBody, MINUTE_BAR, NANOS_PER_MILLI, SECOND_BAR, Sink, TICKER_BYTES_MAX,
    is_free,
};
use crate::feeds::massive::fields::{KEYS, Key};
use crate::market::ticker;

/// Longest list of conditions that is read here.
const CONDITIONS_MAX: usize = 16;

/// What was read of the message at hand; used again for the next one.
pub(super) struct Scratch {
    numbers: [Number; KEYS],
    conditions: [u32; CONDITIONS_MAX],
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { numbers: [Number::default(); KEYS], conditions: [0; CONDITIONS_MAX] }
    }
}

/// A set of fields.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Set(u32);

impl Set {
    const fn of(keys: &[Key]) -> Set {
        let (mut set, mut i) = (0, 0);
        while i < keys.len() {
            set |= 1 << keys[i] as u32;
            i += 1;
        }
        Set(set)
    }

    const fn and(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    #[inline(always)]
    fn has(self, key: Key) -> bool {
        self.0 & (1 << key as u32) != 0
    }

    /// Whether all of `needed` and nothing but `known` is in it.
    #[inline(always)]
    fn fits(self, needed: Set, known: Set) -> bool {
        self.0 & needed.0 == needed.0 && self.0 & !known.0 == 0
    }
}

/// The conditions are a list; beside the keys in a [`Set`].
const LIST: Set = Set(1 << 31);
const _: () = assert!(KEYS < 31);

const QUOTE_NEEDS: Set = Set::of(&[Key::Ev, Key::Sym, Key::T]);
const QUOTE_KNOWS: Set = QUOTE_NEEDS.and(LIST).and(Set::of(&[
    Key::Bid,
    Key::Ask,
    Key::BidSize,
    Key::AskSize,
    Key::Q,
    Key::BidExchange,
    Key::AskExchange,
    Key::C,
]));
const TRADE_NEEDS: Set = Set::of(&[Key::Ev, Key::Sym, Key::T, Key::Price, Key::S]);
const TRADE_KNOWS: Set = TRADE_NEEDS.and(LIST).and(Set::of(&[Key::Q, Key::Exchange, Key::C]));
const BAR_NEEDS: Set =
    Set::of(&[Key::Ev, Key::Sym, Key::S, Key::End, Key::Open, Key::High, Key::Low, Key::C]);
const BAR_KNOWS: Set = BAR_NEEDS.and(Set::of(&[
    Key::Volume,
    Key::Vwap,
    Key::Trades,
    Key::DayVolume,
    Key::DayOpen,
    Key::A,
    Key::SizeMean,
]));
const INDEX_NEEDS: Set = Set::of(&[Key::Ev, Key::IndexTicker, Key::T, Key::Value]);

/// Reads the message that `text` begins with; gives back what follows it.
#[inline]
pub(super) fn message<'a>(
    text: &'a [u8],
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) -> Option<&'a [u8]> {
    match text.get(..16) {
        Some(br#"{"ev":"Q","sym":"#) => {
            if let Some(rest) = ordered_quote(text.get(16..)?, sink) {
                return Some(rest);
            }
        }
        Some(br#"{"ev":"T","sym":"#) => {
            if let Some(rest) = ordered_trade(text.get(16..)?, scratch, sink) {
                return Some(rest);
            }
        }
        _ => {}
    }
    unordered(text, scratch, sink)
}

/// A quote in the vendor's order, from its ticker on.
#[inline(always)]
fn ordered_quote<'a>(text: &'a [u8], sink: &mut impl Sink) -> Option<&'a [u8]> {
    let (ticker, rest) = quoted(text.strip_prefix(b"\"")?, TICKER_BYTES_MAX)?;
    let (bid_exchange, rest) = integer(rest.strip_prefix(br#","bx":"#)?)?;
    let (ask_exchange, rest) = integer(rest.strip_prefix(br#","ax":"#)?)?;
    let (bid, rest) = number(rest.strip_prefix(br#","bp":"#)?)?;
    let (ask, rest) = number(rest.strip_prefix(br#","ap":"#)?)?;
    let (bid_size, rest) = integer(rest.strip_prefix(br#","bs":"#)?)?;
    let (ask_size, rest) = integer(rest.strip_prefix(br#","as":"#)?)?;
    let (millis, rest) = integer(rest.strip_prefix(br#","t":"#)?)?;
    let (vendor_seq, rest) = integer(rest.strip_prefix(br#","q":"#)?)?;
    let rest = rest.strip_prefix(b"}")?;
    let quote = Quote {
        bid: Some(price(bid)?),
        ask: Some(price(ask)?),
        bid_size: Some(u32::try_from(bid_size).ok()?),
        ask_size: Some(u32::try_from(ask_size).ok()?),
        vendor_seq: Some(vendor_seq),
        bid_exchange: Some(exchange(bid_exchange)?),
        ask_exchange: Some(exchange(ask_exchange)?),
        conditions: 0,
    };
    let (ticker, at) = (ticker_of(ticker)?, time(millis)?);
    sink.fact(Fact { ticker, at, extension: None, body: FactBody::Quote(quote, &[]) });
    Some(rest)
}

/// A trade in the vendor's order, from its ticker on.
#[inline(always)]
fn ordered_trade<'a>(
    text: &'a [u8],
    scratch: &mut Scratch,
    sink: &mut impl Sink,
) -> Option<&'a [u8]> {
    let (ticker, rest) = quoted(text.strip_prefix(b"\"")?, TICKER_BYTES_MAX)?;
    let (venue, rest) = integer(rest.strip_prefix(br#","x":"#)?)?;
    let (paid, rest) = number(rest.strip_prefix(br#","p":"#)?)?;
    let (size, rest) = integer(rest.strip_prefix(br#","s":"#)?)?;
    let (listed, rest) = conditions(rest.strip_prefix(br#","c":"#)?, &mut scratch.conditions)?;
    let (millis, rest) = integer(rest.strip_prefix(br#","t":"#)?)?;
    let (vendor_seq, rest) = integer(rest.strip_prefix(br#","q":"#)?)?;
    let rest = rest.strip_prefix(b"}")?;
    let trade = Trade {
        price: price(paid)?,
        size,
        vendor_seq: Some(vendor_seq),
        exchange: Some(exchange(venue)?),
        conditions: 0,
    };
    let (ticker, at) = (ticker_of(ticker)?, time(millis)?);
    if is_free(ticker, trade.price) {
        return None;
    }
    let list = scratch.conditions.get(..listed)?;
    sink.fact(Fact { ticker, at, extension: None, body: FactBody::Trade(trade, list) });
    Some(rest)
}

/// Fields in any order.
fn unordered<'a>(text: &'a [u8], scratch: &mut Scratch, sink: &mut impl Sink) -> Option<&'a [u8]> {
    let mut rest = space(text.strip_prefix(b"{")?);
    let (mut seen, mut kind, mut ticker): (Set, &[u8], &[u8]) = (Set(0), &[], &[]);
    let mut listed = 0;
    loop {
        let (key, after) = key(rest)?;
        if seen.has(key) {
            return None;
        }
        seen.0 |= 1 << key as u32;
        rest = space(space(after).strip_prefix(b":")?);
        rest = match rest.first()? {
            b'"' => {
                let (inside, after) = quoted(rest.get(1..)?, TICKER_BYTES_MAX)?;
                match key {
                    Key::Ev => kind = inside,
                    Key::Sym | Key::IndexTicker => ticker = inside,
                    _ => return None,
                }
                after
            }
            b'[' if matches!(key, Key::C) => {
                seen.0 |= LIST.0;
                let after;
                (listed, after) = conditions(rest, &mut scratch.conditions)?;
                after
            }
            _ => {
                let after;
                (*scratch.numbers.get_mut(key as usize)?, after) = number(rest)?;
                after
            }
        };
        rest = match space(rest).split_first()? {
            (b',', after) => space(after),
            (b'}', after) => {
                rest = after;
                break;
            }
            _ => return None,
        };
    }
    let ticker = ticker_of(ticker)?;
    let list = scratch.conditions.get(..listed)?;
    let from = Taking { numbers: &scratch.numbers, seen };
    match kind {
        b"Q" => quote(from, ticker, list, sink)?,
        b"T" => trade(from, ticker, list, sink)?,
        b"A" => bar(from, ticker, SECOND_BAR, sink)?,
        b"AM" => bar(from, ticker, MINUTE_BAR, sink)?,
        b"V" => index_value(from, ticker, sink)?,
        _ => return None,
    }
    Some(rest)
}

/// Slots of the table of keys, by the number that a key's bytes make.
const SLOTS: usize = 64;

/// The factor was found by trying: every key has a slot of its own.
#[inline(always)]
const fn slot(tag: u32) -> usize {
    (tag.wrapping_mul(0x98b8_da9f) >> 26) as usize
}

/// The bytes of a key as one number. The length is part of it: a zero byte is
/// not the end.
#[inline(always)]
const fn tag(len: u8, a: u8, b: u8, c: u8) -> u32 {
    u32::from_le_bytes([a, b, c, len])
}

/// Every key at its slot; two at one would fail the build.
const TABLE: [Option<(u32, Key)>; SLOTS] = {
    let mut table = [None; SLOTS];
    let mut i = 0;
    while i < KEYS {
        let (key, name) = Key::ALL[i];
        let tag = match *name.as_bytes() {
            [a] => tag(1, a, 0, 0),
            [a, b] => tag(2, a, b, 0),
            [a, b, c] => tag(3, a, b, c),
            _ => panic!("a key of the vendor has up to three letters"),
        };
        assert!(table[slot(tag)].is_none());
        table[slot(tag)] = Some((tag, key));
        i += 1;
    }
    table
};

/// The key at the start of `text`, quotation marks included.
#[inline(always)]
fn key(text: &[u8]) -> Option<(Key, &[u8])> {
    let (tag, len) = match text {
        [b'"', a, b'"', ..] => (tag(1, *a, 0, 0), 3),
        [b'"', a, b, b'"', ..] => (tag(2, *a, *b, 0), 4),
        [b'"', a, b, c, b'"', ..] => (tag(3, *a, *b, *c), 5),
        _ => return None,
    };
    match TABLE.get(slot(tag))? {
        Some((found, key)) if *found == tag => Some((*key, text.get(len..)?)),
        _ => None,
    }
}

/// A list of one or more conditions; `text` begins with its bracket. Gives back
/// how many there are.
#[inline]
fn conditions<'a>(text: &'a [u8], list: &mut [u32; CONDITIONS_MAX]) -> Option<(usize, &'a [u8])> {
    let mut rest = text.strip_prefix(b"[")?;
    for (count, place) in (1..).zip(list) {
        let (value, after) = integer(space(rest))?;
        *place = u32::try_from(value).ok()?;
        rest = match space(after).split_first()? {
            (b',', after) => after,
            (b']', after) => return Some((count, after)),
            _ => return None,
        };
    }
    None
}

/// The ticker, if it is one.
#[inline]
fn ticker_of(text: &[u8]) -> Option<&str> {
    let fine = match text.strip_prefix(b"O:") {
        Some(option) => ticker::is_occ(option),
        None => !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic() && *b != b'\\'),
    };
    if fine && text.len() <= TICKER_BYTES_MAX { std::str::from_utf8(text).ok() } else { None }
}

/// Numbers on their way into columns. `None` is for the careful reader to
/// judge, `Some(None)` for a field that is absent.
#[derive(Clone, Copy)]
struct Taking<'a> {
    numbers: &'a [Number; KEYS],
    seen: Set,
}

impl Taking<'_> {
    #[inline(always)]
    fn read<T>(self, key: Key, read: impl FnOnce(Number) -> Option<T>) -> Option<Option<T>> {
        if !self.seen.has(key) {
            return Some(None);
        }
        read(*self.numbers.get(key as usize)?).map(Some)
    }

    #[inline(always)]
    fn price(self, key: Key) -> Option<Option<Price>> {
        self.read(key, price)
    }

    #[inline(always)]
    fn integer(self, key: Key) -> Option<Option<u64>> {
        self.read(key, plain)
    }

    #[inline(always)]
    fn small(self, key: Key) -> Option<Option<u32>> {
        self.read(key, |n| u32::try_from(plain(n)?).ok())
    }

    #[inline(always)]
    fn exchange(self, key: Key) -> Option<Option<u16>> {
        self.read(key, |n| exchange(plain(n)?))
    }

    #[inline(always)]
    fn time(self, key: Key) -> Option<VendorTime> {
        time(self.integer(key)??)
    }
}

#[inline(always)]
fn price(Number { whole, nanos }: Number) -> Option<Price> {
    let units = whole.checked_mul(Price::SCALE as u64)?.checked_add(u64::from(nanos))?;
    i64::try_from(units).ok().map(Price)
}

#[inline(always)]
fn exchange(id: u64) -> Option<u16> {
    (id <= EXCHANGE_MAX).then_some(id as u16)
}

#[inline(always)]
fn time(millis: u64) -> Option<VendorTime> {
    let millis = i64::try_from(millis).ok().filter(|t| *t > 0)?;
    millis.checked_mul(NANOS_PER_MILLI).map(VendorTime)
}

/// The integer that a number is.
#[inline(always)]
fn plain(number: Number) -> Option<u64> {
    (number.nanos == 0).then_some(number.whole)
}

#[inline(always)]
fn quote(from: Taking<'_>, ticker: &str, list: &[u32], sink: &mut impl Sink) -> Option<()> {
    let sides = from.seen.has(Key::Bid) || from.seen.has(Key::Ask);
    if !from.seen.fits(QUOTE_NEEDS, QUOTE_KNOWS) || !sides || list_is_strange(from.seen) {
        return None;
    }
    let quote = Quote {
        bid: from.price(Key::Bid)?,
        ask: from.price(Key::Ask)?,
        bid_size: from.small(Key::BidSize)?,
        ask_size: from.small(Key::AskSize)?,
        vendor_seq: from.integer(Key::Q)?,
        bid_exchange: from.exchange(Key::BidExchange)?,
        ask_exchange: from.exchange(Key::AskExchange)?,
        conditions: 0,
    };
    let at = from.time(Key::T)?;
    sink.fact(Fact { ticker, at, extension: None, body: FactBody::Quote(quote, list) });
    Some(())
}

#[inline(always)]
fn trade(from: Taking<'_>, ticker: &str, list: &[u32], sink: &mut impl Sink) -> Option<()> {
    if !from.seen.fits(TRADE_NEEDS, TRADE_KNOWS) || list_is_strange(from.seen) {
        return None;
    }
    let trade = Trade {
        price: from.price(Key::Price)??,
        size: from.integer(Key::S)??,
        vendor_seq: from.integer(Key::Q)?,
        exchange: from.exchange(Key::Exchange)?,
        conditions: 0,
    };
    if is_free(ticker, trade.price) {
        return None;
    }
    let at = from.time(Key::T)?;
    sink.fact(Fact { ticker, at, extension: None, body: FactBody::Trade(trade, list) });
    Some(())
}

/// Conditions that are no list.
#[inline(always)]
fn list_is_strange(seen: Set) -> bool {
    seen.has(Key::C) && seen.0 & LIST.0 == 0
}

#[inline(never)]
fn bar(from: Taking<'_>, ticker: &str, length: i64, sink: &mut impl Sink) -> Option<()> {
    let (start, end) = (from.time(Key::S)?, from.time(Key::End)?);
    if !from.seen.fits(BAR_NEEDS, BAR_KNOWS) || end.0 - start.0 != length {
        return None;
    }
    let bar = Bar {
        start,
        end,
        open: from.price(Key::Open)??,
        high: from.price(Key::High)??,
        low: from.price(Key::Low)??,
        close: from.price(Key::C)??,
        volume: from.integer(Key::Volume)?,
        vwap: from.price(Key::Vwap)?,
        trades: from.integer(Key::Trades)?,
        day_volume: from.integer(Key::DayVolume)?,
        day_open: from.price(Key::DayOpen)?,
        day_vwap: from.price(Key::A)?,
        trade_size_mean: from.integer(Key::SizeMean)?,
    };
    if bar.high < bar.low || is_free(ticker, bar.low) {
        return None;
    }
    sink.fact(Fact { ticker, at: end, extension: None, body: FactBody::Bar(&bar) });
    Some(())
}

#[inline(never)]
fn index_value(from: Taking<'_>, ticker: &str, sink: &mut impl Sink) -> Option<()> {
    let value = from.price(Key::Value)??;
    if !from.seen.fits(INDEX_NEEDS, INDEX_NEEDS) || is_free(ticker, value) {
        return None;
    }
    let at = from.time(Key::T)?;
    let body = FactBody::IndexValue(IndexValue { value });
    sink.fact(Fact { ticker, at, extension: None, body });
    Some(())
}
