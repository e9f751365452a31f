//! Trades of contracts: judged once, told to the models, taken out again when
//! they are cancelled and put right when they are corrected.

use orrery_journal::event::Trade;
use orrery_journal::units::{InstrumentId, Price, Seq};
use orrery_replay::fold::Input;
use serde::Deserialize;

use super::Partition;
use super::here::Here;
use super::living::Living;
use crate::market::book::{Inventory, Slot};
use crate::market::conditions::{Meaning, meaning};
use crate::market::live_book::Tick;
use crate::market::tape::{Print, Right, Seen};
use crate::models::Change;

/// What becomes of a trade on the tape.
#[derive(Clone, Copy)]
enum News {
    Printed(Print),
    Withdrawn(Print),
    Corrected { was: Print, is: Print },
}

impl Partition {
    /// A trade of one of our contracts.
    pub(super) fn contract_trade(&mut self, input: &Input<'_>, trade: &Trade) {
        let id = input.event.instrument;
        let slots = self.instruments.slots(id);
        if slots.active.is_none() && slots.warming.is_none() {
            return self.miss(|c| &mut c.geometry_miss_trades);
        }
        let class = match meaning(input.conditions) {
            Meaning::Trade(class) => class,
            Meaning::Cancel => {
                // It says nothing of the market of this moment.
                return match self.tape.cancel(id, trade.price, trade.size) {
                    Some(print) => self.tell_tape(id, News::Withdrawn(print)),
                    None => self.miss(|c| &mut c.unmatched_cancels),
                };
            }
        };
        let active = slots.active.and_then(|slot| self.active_book()?.states.get(slot));
        let warming = || slots.warming.and_then(|slot| self.warming_book()?.states.get(slot));
        let state = active.or_else(warming);
        let quote = state.and_then(|state| self.tape.prevailing(state, self.here.now));
        let print = self.tape.take(&Seen {
            seq: input.seq,
            instrument: id,
            price: trade.price,
            size: trade.size,
            vendor_time: input.event.vendor_time,
            vendor_seq: trade.vendor_seq,
            class,
            quote,
        });
        self.contract(input, Tick::Trade { price: trade.price.to_f64(), day_volume: None });
        self.tell_tape(id, News::Printed(print));
    }

    /// A correction names an earlier event. What is about no trade of ours that
    /// is still remembered changes nothing here.
    pub(super) fn correction(&mut self, corrects: Seq, blob: &[u8]) {
        if !self.tape.remembers(corrects) {
            return;
        }
        if blob.is_empty() {
            if let Some(print) = self.tape.withdraw(corrects) {
                self.tell_tape(print.instrument, News::Withdrawn(print));
            }
            return;
        }
        match right(blob) {
            Some(right) => {
                if let Some((was, is)) = self.tape.correct(corrects, &right) {
                    self.tell_tape(was.instrument, News::Corrected { was, is });
                }
            }
            None => self.miss(|c| &mut c.unreadable_corrections),
        }
    }

    /// With a new trading day the tape begins anew.
    pub(super) fn turn_tape(&mut self) {
        if self.tape.turn(self.here.day()) {
            self.write_inventories();
        }
    }

    /// Writes what the tape says of contracts into the living books.
    pub(super) fn write_inventories(&mut self) {
        let of = |id: InstrumentId| self.tape.inventory(id);
        if let Some(active) = &mut self.active {
            active.epoch.live.put_inventories(of);
        }
        if let Some(warming) = &mut self.warming {
            warming.epoch.live.put_inventories(of);
        }
    }

    fn tell_tape(&mut self, id: InstrumentId, news: News) {
        let slots = self.instruments.slots(id);
        let inventory = self.tape.inventory(id);
        if let Some((living, slot)) = self.active.as_mut().zip(slots.active) {
            tell_living(living, slot, inventory, news, &self.here);
        }
        if let Some((living, slot)) = self.warming.as_mut().zip(slots.warming) {
            tell_living(living, slot, inventory, news, &self.here);
        }
    }
}

fn tell_living<S>(
    living: &mut Living<S>,
    slot: Slot,
    inventory: Option<Inventory>,
    news: News,
    here: &Here,
) {
    living.epoch.live.put_inventory(slot, inventory);
    let change = match &news {
        News::Printed(print) => Change::Print { slot, print },
        News::Withdrawn(print) => Change::Withdrawn { slot, print },
        News::Corrected { was, is } => Change::Corrected { slot, was, is },
    };
    living.tell(&change, here);
}

/// A correction's JSON: `{"price":1.25,"size":10,"conditions":[209]}`, of which
/// whatever is left out was right; `None` when it is not that.
fn right(blob: &[u8]) -> Option<Right> {
    #[derive(Deserialize)]
    struct Stated {
        price: Option<f64>,
        size: Option<u64>,
        conditions: Option<Vec<u32>>,
    }
    let stated: Stated = serde_json::from_slice(blob).ok()?;
    let price = match stated.price {
        None => None,
        Some(price) => Some(Price::from_f64_nearest(price).filter(|p| p.0 > 0)?),
    };
    let class = match stated.conditions.map(|codes| meaning(Some(&codes))) {
        None => None,
        Some(Meaning::Trade(class)) => Some(class),
        Some(Meaning::Cancel) => return None,
    };
    Some(Right { price, size: stated.size, class })
}
