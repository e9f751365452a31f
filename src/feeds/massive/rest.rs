//! REST chain snapshots of the vendor.
//!
//! Text is one page, an array of pages, or (line by line) a capture with
//! `captured_at` and `underlying`. Pages that continue one another (`next_url`)
//! become one snapshot. What a contract does not say stays `None`.
//!
//! The snapshot's recv time is `captured_at`; without it, the newest moment
//! that the vendor states inside: of the underlying, a quote or a trade.

mod read;

use bytes::Bytes;
use orrery_journal::event::{InstrumentRef, RefusalReason};
use orrery_journal::units::{RecvTime, TradingDay};
use serde_json::value::RawValue;

use self::read::{ContractRead, PageRead, Text};
use crate::feeds::chain::ChainBuilder;
use crate::feeds::moment::{new_york_date, new_york_millis};
use crate::feeds::{Decoded, Recv};
use crate::market::ticker;

/// Pages in, snapshots out; remembers the pages of an unfinished snapshot.
#[derive(Debug, Default)]
pub struct Pages {
    chain: ChainBuilder,
    raw: Vec<Bytes>,
    captured: Option<RecvTime>,
    spot_at: Option<i64>,
    newest: Option<i64>,
    /// Rows and the moments that their day's figures are of.
    day_at: Vec<(usize, i64)>,
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

/// The pages' texts, a line each.
fn joined(mut texts: Vec<Bytes>) -> Bytes {
    match texts.len() {
        1 => texts.remove(0),
        _ => texts.join(&b"\n"[..]).into(),
    }
}

fn first_line_is_json(text: &[u8]) -> bool {
    let line = text.trim_ascii().split(|b| *b == b'\n').next();
    line.is_some_and(|line| serde_json::from_slice::<&RawValue>(line).is_ok())
}

/// One page, or one array of pages, that was read by itself.
#[derive(Debug)]
pub struct PageText(Text);

impl PageText {
    /// Reads a text.
    #[must_use]
    pub fn read(text: &Bytes) -> PageText {
        PageText(read::text(text))
    }

    /// Reads several texts, half of them on a second thread.
    #[must_use]
    pub fn read_all(texts: &[Bytes]) -> Vec<PageText> {
        read::side_by_side(texts, PageText::read)
    }
}

impl Pages {
    /// Takes one page or one array of pages.
    pub fn text(&mut self, text: &Bytes, recv: Recv, out: &mut Decoded) {
        self.take(PageText::read(text), recv, out);
    }

    /// Takes what was read before.
    pub fn take(&mut self, text: PageText, recv: Recv, out: &mut Decoded) {
        match text.0 {
            Text::Nothing => {}
            Text::One(page) => self.page(page, false, recv, out),
            Text::Array(pages) => {
                for page in pages {
                    self.page(page, true, recv, out);
                }
                self.finish(recv, out);
            }
            Text::Refused(text, what) => {
                out.refuse(RefusalReason::Malformed, recv.of(None), &text, what);
            }
        }
    }

    fn page(&mut self, page: PageRead, in_array: bool, recv: Recv, out: &mut Decoded) {
        let PageRead { text, facts } = page;
        let facts = match facts {
            Ok(facts) => facts,
            Err(refused) => {
                let at = if refused.dated { self.newest() } else { None };
                return out.refuse(refused.reason, recv.of(at), &text, refused.what);
            }
        };
        // A page goes on with the snapshot before it where that one announced
        // more, or where it stands in the same array.
        let goes_on = (self.unfinished || in_array)
            && (facts.captured.is_none() || facts.captured == self.captured)
            && (facts.underlying.is_none() || facts.underlying == self.chain.underlying);
        if !goes_on && !self.chain.is_untouched() {
            self.finish(recv, out);
        }
        self.captured = facts.captured.or(self.captured);
        if self.chain.underlying.is_none() {
            self.chain.underlying = facts.underlying;
        }
        self.chain.pages += 1;
        for (index, read) in facts.contracts.into_iter().enumerate() {
            if let Err(reason) = read.and_then(|contract| self.contract(contract)) {
                self.chain.refuse(reason, &read::result_of(&text, index));
            }
        }
        self.raw.push(text);
        self.unfinished = facts.unfinished;
        if !self.unfinished && !in_array {
            self.finish(recv, out);
        }
    }

    /// Ends the snapshot at hand, if there is one.
    pub fn finish(&mut self, recv: Recv, out: &mut Decoded) {
        let Pages { mut chain, raw, captured, newest, day_at, unfinished, .. } =
            std::mem::take(self);
        if chain.is_untouched() {
            return;
        }
        let at = captured.or(newest.map(RecvTime));
        let raw = joined(raw);
        if unfinished {
            let what = "the last page announces another one that is missing";
            let instrument = match &chain.underlying {
                Some(symbol) => InstrumentRef::Ticker(ticker::vendor_symbol(symbol).into()),
                None => InstrumentRef::None,
            };
            return out.refuse_of(instrument, RefusalReason::DamagedChain, recv.of(at), &raw, what);
        }
        let today = at.and_then(new_york_date).and_then(TradingDay::date);
        if let Some(midnight) = today.and_then(|today| new_york_millis(today, 0)) {
            let old = day_at.into_iter().filter(|(_, at)| RecvTime(*at) < midnight);
            chain.forget_volumes(old.map(|(row, _)| row));
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

    fn contract(&mut self, contract: ContractRead) -> Result<(), RefusalReason> {
        let at = contract.asset_at;
        if let Some(price) = contract.spot
            && (self.chain.spot.is_none() || at > self.spot_at)
        {
            (self.chain.spot, self.spot_at) = (Some(price), at);
        }
        if let Some(said) = contract.asset {
            let underlying = self.chain.underlying.get_or_insert_with(|| said.clone());
            if *underlying != said {
                return Err(RefusalReason::WrongUnderlying);
            }
        }
        self.newest = self.newest.max(contract.newest);
        let (ticker, row) = contract.row?;
        let taken = self.chain.take(ticker, row)?;
        self.day_at.extend(contract.day_at.map(|at| (taken, at)));
        Ok(())
    }
}
