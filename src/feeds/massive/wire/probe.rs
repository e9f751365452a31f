//! Holds the two readers against each other: for tests and fuzzing.

use std::fmt::Display;

use orrery_journal::event::{Bar, Body, Event, IndexValue, Quote, RefusalReason, Trade};
use orrery_journal::units::{InstrumentId, RecvTime, SourceId, VendorTime};
use serde_json::value::RawValue;

use super::{Fact, FactBody, Sink, careful, read_document, read_frame};
use crate::feeds::massive::encode;

/// What a reader said.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Said {
    Quote(Told, Quote, Vec<u32>),
    Trade(Told, Trade, Vec<u32>),
    Bar(Told, Bar),
    IndexValue(Told, IndexValue),
    Status(Vec<u8>),
    Refused(RefusalReason, Vec<u8>),
}

/// Ticker, time, extension.
pub type Told = (String, VendorTime, Option<Vec<u8>>);

/// Remembers what a reader said.
#[derive(Debug, Default)]
pub struct Record {
    /// In order.
    pub said: Vec<Said>,
    /// Messages and frames that serde_json read.
    pub fallbacks: usize,
    marked: usize,
}

impl Sink for Record {
    fn fact(&mut self, fact: Fact<'_>) {
        let told = (fact.ticker.to_owned(), fact.at, fact.extension.map(<[u8]>::to_vec));
        self.said.push(match fact.body {
            FactBody::Quote(quote, list) => Said::Quote(told, quote, list.to_vec()),
            FactBody::Trade(trade, list) => Said::Trade(told, trade, list.to_vec()),
            FactBody::Bar(bar) => Said::Bar(told, *bar),
            FactBody::IndexValue(value) => Said::IndexValue(told, value),
        });
    }
    fn status(&mut self, text: &[u8]) {
        self.said.push(Said::Status(text.to_vec()));
    }
    fn refuse(&mut self, reason: RefusalReason, text: &[u8], _: &dyn Display) {
        self.said.push(Said::Refused(reason, text.to_vec()));
    }
    fn fallback(&mut self) {
        self.fallbacks += 1;
    }
    fn rollback(&mut self) {
        self.said.truncate(self.marked);
    }
    fn mark(&mut self) {
        self.marked = self.said.len();
    }
}

/// A document read by both readers, which must agree: what they said, and how
/// many fallbacks the fast one needed.
///
/// # Panics
/// When they do not agree.
#[must_use]
pub fn both(bytes: &[u8]) -> (Vec<Said>, usize) {
    let mut fast = Record::default();
    read_document(bytes, &mut fast);
    let mut oracle = Record::default();
    let text = bytes.trim_ascii();
    if text.first() == Some(&b'[') && serde_json::from_slice::<Vec<&RawValue>>(text).is_ok() {
        careful::frame(text, &mut oracle);
    } else {
        for line in text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii) {
            match line.first() {
                None => {}
                Some(b'[') => careful::frame(line, &mut oracle),
                Some(_) => careful::message(line, &mut oracle),
            }
        }
    }
    assert_eq!(fast.said, oracle.said, "{}", String::from_utf8_lossy(bytes));
    (fast.said, fast.fallbacks)
}

/// Gives what was said back as the vendor's messages and reads them again:
/// what needs no extension comes back the same, without a fallback.
///
/// # Panics
/// When it does not.
pub fn round_trip(said: &[Said]) {
    for fact in said {
        let ((ticker, at, extension), body, list): (_, _, &[u32]) = match fact {
            Said::Quote(told, quote, list) => (told, Body::Quote(*quote), list),
            Said::Trade(told, trade, list) => (told, Body::Trade(*trade), list),
            Said::Bar(told, bar) => (told, Body::Bar(*bar), &[]),
            Said::IndexValue(told, value) => (told, Body::IndexValue(*value), &[]),
            Said::Status(_) | Said::Refused(..) => continue,
        };
        let event = Event {
            recv: RecvTime(0),
            vendor_time: Some(*at),
            instrument: InstrumentId(1),
            source: SourceId(1),
            extended: extension.is_some(),
            body,
        };
        // By way of canonical bytes, so that a value that they cannot hold shows.
        let mut bytes = Vec::new();
        orrery_journal::event::encode(&event, &mut bytes);
        let stored = orrery_journal::event::decode(&bytes).map(|(event, _)| event);
        assert_eq!(stored.as_ref(), Ok(&event));
        let message = encode::message(&event, extension.as_deref(), ticker, list);
        let mut again = Record::default();
        read_frame(message.unwrap_or_default().as_bytes(), &mut again);
        assert_eq!(again.said.as_slice(), std::slice::from_ref(fact));
        // Twenty digits, long lists and escapes are beyond the fast reader.
        let plain = extension.is_none() && list.len() <= 16 && !ticker.contains(['"', '\\']);
        let long = message_has_long_numbers(&event.body);
        assert!(!plain || long || again.fallbacks == 0, "{fact:?}");
    }
}

fn message_has_long_numbers(body: &Body) -> bool {
    const LONG: u64 = 10_000_000_000_000_000_000;
    let long = |n: Option<u64>| n.is_some_and(|n| n >= LONG);
    match body {
        Body::Quote(q) => long(q.vendor_seq),
        Body::Trade(t) => long(t.vendor_seq) || long(Some(t.size)),
        Body::Bar(b) => [b.volume, b.trades, b.day_volume, b.trade_size_mean].into_iter().any(long),
        _ => false,
    }
}
