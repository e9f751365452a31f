//! WebSocket messages of the vendor: trades, quotes, bars, index values.
//!
//! Bytes in, facts out. A message is an object; a frame is an object or an
//! array of them; a captured file holds one frame a line. Every field that the
//! vendor documents has its column; a message with an unknown field, or with a
//! value that its column cannot hold exactly, takes its original text along as
//! the fact's extension, so that [`super::encode`] can always give it back.
//!
//! Two readers make the same of the same bytes. `fast` takes plain messages,
//! that is nearly all, straight from the bytes; whatever it does not take goes
//! to `careful`, which reads with serde_json, and is counted. A test holds the
//! two against each other on mutated and random messages.

mod careful;
mod fast;
#[doc(hidden)]
pub mod probe;
mod scan;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use orrery_journal::event::{
    Bar, DraftBody, IndexValue, InstrumentRef, Quote, RefusalReason, Trade,
};
use orrery_journal::units::{Price, RecvTime, VendorTime};

use crate::feeds::{Decoded, Recv};

/// Nanoseconds in the vendor's unit of time.
pub(super) const NANOS_PER_MILLI: i64 = 1_000_000;
/// Length of a second bar (`A`), ns.
pub(super) const SECOND_BAR: i64 = 1_000 * NANOS_PER_MILLI;
/// Length of a minute bar (`AM`), ns.
pub(super) const MINUTE_BAR: i64 = 60 * SECOND_BAR;
/// Exchanges above do not fit the column, whose largest value says "none".
const EXCHANGE_MAX: u64 = 65_534;
const TICKER_BYTES_MAX: usize = 64;

/// One fact of a message; borrows the message's text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fact<'a> {
    /// What it is about, as the vendor writes it.
    pub ticker: &'a str,
    /// When the vendor says it happened.
    pub at: VendorTime,
    /// The whole message, where the columns do not hold all of it.
    pub extension: Option<&'a [u8]>,
    /// What happened.
    pub body: FactBody<'a>,
}

/// What a message says happened. Lists are the conditions; the ids inside
/// quotes and trades are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum FactBody<'a> {
    Quote(Quote, &'a [u32]),
    Trade(Trade, &'a [u32]),
    Bar(&'a Bar),
    IndexValue(IndexValue),
}

/// Takes what frames say, in their order.
pub trait Sink {
    /// A fact.
    fn fact(&mut self, fact: Fact<'_>);
    /// What the vendor says about the connection: no market fact, but part of
    /// the record.
    fn status(&mut self, text: &[u8]);
    /// Input that no fact can be made of; `what` says it in words.
    fn refuse(&mut self, reason: RefusalReason, text: &[u8], what: &dyn std::fmt::Display);
    /// A message or frame that serde_json had to read.
    fn fallback(&mut self);
    /// Everything since the last mark was read from a frame that turned out to
    /// be broken further on: it never came.
    fn rollback(&mut self);
    /// What came so far stays.
    fn mark(&mut self);
}

/// Decodes frames: one object, one array, or one of them a line.
#[must_use]
pub fn decode(bytes: &[u8], recv: Recv) -> Decoded {
    let mut out = Decoded::default();
    read_document(bytes, &mut Drafts::new(recv, &mut out));
    out
}

/// Decodes one frame into `out`.
pub fn frame(bytes: &[u8], recv: Recv, out: &mut Decoded) {
    read_frame(bytes, &mut Drafts::new(recv, out));
}

/// Reads frames: one object, one array, or one of them a line.
pub fn read_document(bytes: &[u8], sink: &mut impl Sink) {
    let text = bytes.trim_ascii();
    if text.first() == Some(&b'[') {
        sink.mark();
        if messages(text, sink) {
            return;
        }
        sink.rollback();
    }
    for line in text.split(|b| *b == b'\n') {
        read_frame(line, sink);
    }
}

/// Reads one frame.
pub fn read_frame(bytes: &[u8], sink: &mut impl Sink) {
    let text = bytes.trim_ascii();
    match text.first() {
        None => {}
        Some(b'[') => {
            sink.mark();
            if !messages(text, sink) {
                sink.rollback();
                sink.fallback();
                careful::frame(text, sink);
            }
        }
        Some(_) => {
            sink.mark();
            if fast::message(text, &mut fast::Scratch::default(), sink) != Some(&[]) {
                sink.rollback();
                sink.fallback();
                careful::message(text, sink);
            }
        }
    }
}

/// Reads an array of messages that is all of `text`; `false` when it is none.
/// Then the sink has seen some of it.
fn messages(text: &[u8], sink: &mut impl Sink) -> bool {
    let Some(mut rest) = text.strip_prefix(b"[").map(scan::space) else { return false };
    if rest.first() == Some(&b']') {
        return rest.len() == 1;
    }
    let mut scratch = fast::Scratch::default();
    loop {
        rest = match fast::message(rest, &mut scratch, sink) {
            Some(rest) => rest,
            None => {
                let Some((message, rest)) = careful::first_value(rest) else { return false };
                sink.fallback();
                careful::message(message, sink);
                rest
            }
        };
        rest = match scan::space(rest).split_first() {
            Some((b',', rest)) => scan::space(rest),
            Some((b']', [])) => return true,
            _ => return false,
        };
    }
}

/// Options do trade at nothing; a share or an index at 0 is an error.
fn is_free(ticker: &str, price: Price) -> bool {
    price.0 == 0 && !ticker.starts_with("O:")
}

/// Makes drafts of facts.
struct Drafts<'a> {
    recv: Recv,
    out: &'a mut Decoded,
    /// What `out` held at the mark: drafts, refusals, refusals in words.
    marked: (usize, Decoded),
}

impl<'a> Drafts<'a> {
    fn new(recv: Recv, out: &'a mut Decoded) -> Drafts<'a> {
        Drafts { recv, out, marked: Default::default() }
    }
}

impl Sink for Drafts<'_> {
    #[inline]
    fn fact(&mut self, fact: Fact<'_>) {
        let Fact { ticker, at, extension, body } = fact;
        let body = match body {
            FactBody::Quote(quote, list) => DraftBody::Quote { quote, conditions: list.into() },
            FactBody::Trade(trade, list) => DraftBody::Trade { trade, conditions: list.into() },
            FactBody::Bar(bar) => DraftBody::Bar(Box::new(*bar)),
            FactBody::IndexValue(value) => DraftBody::IndexValue(value),
        };
        self.out.accept(
            self.recv.of(Some(RecvTime(at.0))),
            Some(at),
            InstrumentRef::Ticker(ticker.into()),
            extension.map(Bytes::copy_from_slice),
            body,
        );
        self.out.messages += 1;
    }

    fn status(&mut self, text: &[u8]) {
        let body = DraftBody::Control(Bytes::copy_from_slice(text));
        self.out.accept(self.recv.of(None), None, InstrumentRef::None, None, body);
        self.out.messages += 1;
    }

    fn refuse(&mut self, reason: RefusalReason, text: &[u8], what: &dyn std::fmt::Display) {
        self.out.refuse(reason, self.recv.of(None), text, what);
        self.out.messages += 1;
    }

    fn fallback(&mut self) {
        self.out.fallbacks += 1;
    }

    fn rollback(&mut self) {
        let (drafts, before) = &self.marked;
        self.out.drafts.truncate(*drafts);
        self.out.refused.clone_from(&before.refused);
        self.out.told.clone_from(&before.told);
        (self.out.messages, self.out.fallbacks) = (before.messages, before.fallbacks);
    }

    fn mark(&mut self) {
        let Decoded { drafts, refused, told, messages, fallbacks } = &*self.out;
        let before = Decoded {
            drafts: Vec::new(),
            refused: refused.clone(),
            told: told.clone(),
            messages: *messages,
            fallbacks: *fallbacks,
        };
        self.marked = (drafts.len(), before);
    }
}
