//! The vendor's message back from the journaled event.
//!
//! Equal in value to what came in: the same fields with the same numbers. The
//! extension, where there is one, is the message itself.

use std::borrow::Cow;
use std::fmt::Write as _;

use orrery_journal::event::{Body, Event};
use orrery_journal::units::{Price, VendorTime};

use super::wire::{MINUTE_BAR, NANOS_PER_MILLI, SECOND_BAR};

/// The message, or `None` for an event that no message of this vendor makes.
///
/// `ticker` and `conditions` are what the event's ids stand for in the journal.
#[must_use]
pub fn message(
    event: &Event,
    extension: Option<&[u8]>,
    ticker: &str,
    conditions: &[u32],
) -> Option<String> {
    if let Some(original) = extension {
        return std::str::from_utf8(original).ok().map(str::to_owned);
    }
    let mut to = Object::default();
    match &event.body {
        Body::Quote(q) => {
            to.text("ev", "Q").text("sym", ticker);
            to.number("bx", q.bid_exchange).number("ax", q.ask_exchange);
            to.price("bp", q.bid).price("ap", q.ask);
            to.number("bs", q.bid_size).number("as", q.ask_size);
            to.list("c", conditions).millis("t", event.vendor_time?);
            to.number("q", q.vendor_seq);
        }
        Body::Trade(t) => {
            to.text("ev", "T").text("sym", ticker).number("x", t.exchange);
            to.price("p", Some(t.price)).number("s", Some(t.size));
            to.list("c", conditions).millis("t", event.vendor_time?);
            to.number("q", t.vendor_seq);
        }
        Body::Bar(b) => {
            let kind = match b.end.0 - b.start.0 {
                SECOND_BAR => "A",
                MINUTE_BAR => "AM",
                _ => return None,
            };
            to.text("ev", kind).text("sym", ticker);
            to.number("v", b.volume).number("av", b.day_volume).price("op", b.day_open);
            to.price("vw", b.vwap).price("o", Some(b.open)).price("c", Some(b.close));
            to.price("h", Some(b.high)).price("l", Some(b.low)).price("a", b.day_vwap);
            to.number("z", b.trade_size_mean).number("n", b.trades);
            to.millis("s", b.start).millis("e", b.end);
        }
        Body::IndexValue(v) => {
            to.text("ev", "V").price("val", Some(v.value)).text("T", ticker);
            to.millis("t", event.vendor_time?);
        }
        _ => return None,
    }
    Some(to.close())
}

/// The message that says how the connection stands, if a control fact is one:
/// it is kept as it came.
#[must_use]
pub fn status(control: &[u8]) -> Option<&str> {
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        ev: Option<Cow<'a, str>>,
    }
    let kind: Kind<'_> = serde_json::from_slice(control).ok()?;
    std::str::from_utf8(control).ok().filter(|_| kind.ev.is_some_and(|ev| ev == "status"))
}

/// A JSON object on its way into text; what is `None` is left out.
#[derive(Default)]
struct Object(String);

impl Object {
    fn key(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        let _ = write!(self.0, "\"{key}\":");
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.0.push_str(&serde_json::Value::from(value).to_string());
        self
    }

    fn number(&mut self, key: &str, value: Option<impl Into<u64>>) -> &mut Self {
        if let Some(value) = value {
            self.key(key);
            let _ = write!(self.0, "{}", value.into());
        }
        self
    }

    /// All digits of the fixed point, so that nothing passes through a float.
    fn price(&mut self, key: &str, value: Option<Price>) -> &mut Self {
        if let Some(Price(units)) = value {
            self.key(key);
            let sign = if units < 0 { "-" } else { "" };
            let (whole, part) =
                (units.unsigned_abs() / 1_000_000_000, units.unsigned_abs() % 1_000_000_000);
            let _ = write!(self.0, "{sign}{whole}");
            if part != 0 {
                let digits = format!("{part:09}");
                let _ = write!(self.0, ".{}", digits.trim_end_matches('0'));
            }
        }
        self
    }

    fn millis(&mut self, key: &str, value: VendorTime) -> &mut Self {
        self.key(key);
        let _ = write!(self.0, "{}", value.0 / NANOS_PER_MILLI);
        self
    }

    fn list(&mut self, key: &str, values: &[u32]) -> &mut Self {
        if !values.is_empty() {
            self.key(key);
            let list: Vec<String> = values.iter().map(u32::to_string).collect();
            let _ = write!(self.0, "[{}]", list.join(","));
        }
        self
    }

    fn close(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
