//! The fold of the bench: the last price of each contract, and their sum.

use std::any::Any;

use bytes::Bytes;
use orrery_journal::event::Body;
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::{Fold, Input, Outbox, Output, RestoreError, World};

/// Between two bodies.
const CADENCE_NS: i64 = 1_000_000;

/// One partition takes everything.
pub struct Bench;

impl World for Bench {
    fn configuration(&self) -> Address {
        Address::of(b"bench")
    }

    fn partitions(&self, _: &str) -> Vec<Box<str>> {
        vec!["SPX".into()]
    }

    fn fold(&self, _: &str) -> Box<dyn Fold> {
        Box::new(Plane::default())
    }
}

#[derive(Default)]
struct Plane {
    prices: Vec<i64>,
    sum: i64,
    seq: Seq,
    said: i64,
    dirty: bool,
}

impl Plane {
    /// The document that pages read as a spot; its value is how far it came.
    fn say(&mut self, at: RecvTime, out: &mut Outbox) {
        let (seq, sum) = (self.seq.0, self.sum);
        let body = format!("{{\"sum\":{sum},\"symbol\":\"I:SPX\",\"value\":{seq}}}");
        (self.said, self.dirty) = (at.0, false);
        let body = Bytes::from(body);
        let profile = "bench/plane@1";
        out.outputs.push(Output { family: "spot", profile, epoch: None, body, by: None });
    }
}

impl Fold for Plane {
    fn apply(&mut self, input: &Input<'_>, out: &mut Outbox) {
        let Body::Quote(quote) = &input.event.body else { return };
        let contract = input.event.instrument.0 as usize;
        if self.prices.len() <= contract {
            self.prices.resize(contract + 1, 0);
        }
        let price = quote.bid.map_or(0, |bid| bid.0);
        self.sum += price - self.prices[contract];
        self.prices[contract] = price;
        (self.seq, self.dirty) = (input.seq, true);
        if input.event.recv.0 - self.said >= CADENCE_NS {
            self.say(input.event.recv, out);
        }
    }

    fn next_due(&self) -> Option<RecvTime> {
        self.dirty.then_some(RecvTime(self.said + CADENCE_NS))
    }

    fn fire(&mut self, due: RecvTime, out: &mut Outbox) {
        self.say(due, out);
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(out);
        encoder.u64(self.seq.0);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut decoder = Decoder::new(bytes);
        self.seq = Seq(decoder.u64()?);
        decoder.end()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
