//! An event as one line or one JSON object, field by field. What is absent is
//! left out. `tools/verify.py` prints the same of proven ones.

use std::fmt;

use orrery_journal::event::{Body, InlineText, JournalEvent};
use orrery_journal::proof::bundle::ProvenPage;
use orrery_journal::units::{Address, InstrumentId, Price, RecvTime, VendorTime};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// Fields in the order of the canonical bytes.
pub struct Fields(Vec<(&'static str, Value)>);

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, value)) in self.0.iter().enumerate() {
            let space = if n == 0 { "" } else { " " };
            match value {
                Value::String(text) => write!(f, "{space}{name}={}", harmless(text))?,
                value => write!(f, "{space}{name}={value}")?,
            }
        }
        Ok(())
    }
}

/// Text from outside must not command the terminal.
fn harmless(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

trait Show {
    fn show(&self) -> Value;
}

impl Show for Price {
    /// Exactly, without zeros behind.
    fn show(&self) -> Value {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (units, scale) = (self.0.unsigned_abs(), Price::SCALE.unsigned_abs());
        let decimals = format!("{:09}", units % scale);
        let decimals = decimals.trim_end_matches('0');
        let point = if decimals.is_empty() { "" } else { "." };
        Value::String(format!("{sign}{}{point}{decimals}", units / scale))
    }
}

impl Show for RecvTime {
    fn show(&self) -> Value {
        Value::String(self.to_rfc3339())
    }
}

impl Show for VendorTime {
    fn show(&self) -> Value {
        RecvTime(self.0).show()
    }
}

impl Show for Address {
    fn show(&self) -> Value {
        Value::String(self.to_string())
    }
}

macro_rules! show_numbers {
    ($($number:ty),*) => {$(
        impl Show for $number {
            fn show(&self) -> Value {
                json!(self)
            }
        }
    )*};
}
show_numbers!(u16, u32, u64);

#[derive(Default)]
struct List(Vec<(&'static str, Value)>);

impl List {
    fn put(&mut self, name: &'static str, value: impl Show) {
        self.0.push((name, value.show()));
    }
    fn some(&mut self, name: &'static str, value: Option<impl Show>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}

/// The fields of an event, and the ticker of its instrument where it is known.
pub fn fields(found: &JournalEvent, ticker: Option<&str>) -> Fields {
    let event = &found.event;
    let mut out = List::default();
    out.put("seq", found.seq.0);
    out.put("recv", event.recv);
    out.0.push(("kind", json!(event.body.kind().name())));
    if event.instrument != InstrumentId::NONE {
        out.put("instrument", event.instrument.0);
    }
    if let Some(name) = ticker {
        out.0.push(("ticker", json!(name)));
    }
    out.some("vendor_time", event.vendor_time);
    out.put("source", event.source.0);
    if event.extended {
        out.0.push(("extended", json!(true)));
    }
    body(&event.body, &mut out);
    Fields(out.0)
}

fn body(body: &Body, out: &mut List) {
    match body {
        Body::Quote(q) => {
            out.some("bid", q.bid);
            out.some("ask", q.ask);
            out.some("bid_size", q.bid_size);
            out.some("ask_size", q.ask_size);
            out.some("vendor_seq", q.vendor_seq);
            out.some("bid_exchange", q.bid_exchange);
            out.some("ask_exchange", q.ask_exchange);
            out.some("conditions", Some(q.conditions).filter(|id| *id != 0));
        }
        Body::Trade(t) => {
            out.put("price", t.price);
            out.put("size", t.size);
            out.some("vendor_seq", t.vendor_seq);
            out.some("exchange", t.exchange);
            out.some("conditions", Some(t.conditions).filter(|id| *id != 0));
        }
        Body::Bar(b) => {
            out.put("start", b.start);
            out.put("end", b.end);
            out.put("open", b.open);
            out.put("high", b.high);
            out.put("low", b.low);
            out.put("close", b.close);
            out.some("volume", b.volume);
            out.some("vwap", b.vwap);
            out.some("trades", b.trades);
            out.some("day_volume", b.day_volume);
            out.some("day_open", b.day_open);
            out.some("day_vwap", b.day_vwap);
            out.some("trade_size_mean", b.trade_size_mean);
        }
        Body::IndexValue(v) => out.put("value", v.value),
        Body::ChainSnapshot(c) => {
            out.put("rows", c.rows);
            out.put("raw", c.raw);
            out.some("spot", c.spot);
            out.put("contracts", c.contracts);
            out.put("refused", c.refused);
            out.put("latency_ns", c.latency_ns);
            out.put("pages", c.pages);
        }
        // The ticker of a definition is the name of its own instrument.
        Body::InstrumentDefined(text) => match text {
            InlineText::Inline(text) => out.0.push(("defines", json!(text))),
            InlineText::Blob(blob) => out.put("blob", *blob),
        },
        Body::ConditionsDefined { id, blob } => {
            out.put("blob", *blob);
            out.put("id", *id);
        }
        Body::SourceDefined(blob)
        | Body::Extension(blob)
        | Body::Annotation(blob)
        | Body::News(blob)
        | Body::Control(blob) => out.put("blob", *blob),
        Body::ClockBeat => {}
        Body::Gap(gap) => {
            out.put("from", gap.from);
            out.put("to", gap.to);
        }
        Body::Correction { corrects, blob } => {
            out.put("blob", *blob);
            out.put("corrects", corrects.0);
        }
        Body::Quarantine(q) => {
            out.put("blob", q.blob);
            out.0.push(("reason", json!(q.reason.name())));
        }
    }
}

/// A page that was used.
pub fn page(page: &ProvenPage) -> Value {
    json!({
        "index": page.index,
        "address": page.address.to_string(),
        "first": page.first.0,
        "last": page.last.0,
        "day": page.day.to_string(),
    })
}
