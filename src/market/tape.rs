//! The tape: every trade of a session's contracts, each with the side that the
//! rules give it and the evidence for that.
//!
//! A trade is judged once, when it comes, by the quote that the book held before
//! it; nothing that comes later changes its side. A cancel takes a trade out
//! again and a correction judges it anew by the evidence of its own moment. For
//! that the newest trades are remembered, as many as the parameters say. One
//! tape per partition: it outlives epochs, and it begins anew with each trading
//! day.

use std::collections::{BTreeMap, VecDeque};

use orrery_journal::units::{
    InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, TradingDay, VendorTime,
};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::{Deserialize, Serialize};

use super::book::{ContractState, Inventory};
use super::conditions::Class;
use super::side::{Prevailing, Rule, Rules, Side, Ticks, side};

/// How trades are judged; stands in every body that depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TapeParameters {
    /// Which rules decide about the side of a trade. Default: `lee_ready`.
    pub rules: Rules,
    /// A quote older than this by recv time prevails no more, seconds.
    /// Default: 900.
    pub quote_age_max_s: i64,
    /// Trades that can still be cancelled or corrected, the newest ones.
    /// Default: 65,536.
    pub recall_max: usize,
}

impl Default for TapeParameters {
    fn default() -> Self {
        TapeParameters { rules: Rules::LeeReady, quote_age_max_s: 900, recall_max: 65_536 }
    }
}

/// A trade as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The event.
    pub seq: Seq,
    /// The contract.
    pub instrument: InstrumentId,
    /// Price paid.
    pub price: Price,
    /// Contracts.
    pub size: u64,
    /// When the vendor says it happened.
    pub vendor_time: Option<VendorTime>,
    /// The vendor's number of it, ascending by contract.
    pub vendor_seq: Option<u64>,
    /// What its conditions say.
    pub class: Class,
    /// The quote before it.
    pub quote: Option<Prevailing>,
}

/// A trade on the tape, judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Print {
    /// The event.
    pub seq: Seq,
    /// The contract.
    pub instrument: InstrumentId,
    /// Price paid.
    pub price: Price,
    /// Contracts.
    pub size: u64,
    /// How it came about.
    pub class: Class,
    /// The quote before it; `None` where there was none to judge by.
    pub quote: Option<Prevailing>,
    /// The regular trades before it.
    pub ticks: Ticks,
    /// Whose order it met and what decided; `None` stays unknown.
    pub side: Option<(Side, Rule)>,
}

/// What a correction says was right; whatever it leaves out was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Right {
    /// Price paid.
    pub price: Option<Price>,
    /// Contracts.
    pub size: Option<u64>,
    /// How the trade came about.
    pub class: Option<Class>,
}

/// One contract's session.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Line {
    ticks: Ticks,
    newest: Option<VendorTime>,
    newest_seq: Option<u64>,
    inventory: Option<Inventory>,
}

impl Line {
    /// Whether a trade happened before one that is here already, by the
    /// vendor's clock, and at one moment by the vendor's numbers.
    fn is_late(&self, seen: &Seen) -> bool {
        match (seen.vendor_time, self.newest) {
            (Some(time), Some(newest)) if time == newest => {
                seen.vendor_seq.zip(self.newest_seq).is_some_and(|(new, held)| new <= held)
            }
            (Some(time), Some(newest)) => time < newest,
            _ => false,
        }
    }
}

/// The tape of a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Tape {
    parameters: TapeParameters,
    day: Option<TradingDay>,
    lines: BTreeMap<InstrumentId, Line>,
    /// The newest trades, ascending by seq.
    recall: VecDeque<Print>,
}

impl Tape {
    /// An empty tape.
    #[must_use]
    pub fn new(parameters: TapeParameters) -> Tape {
        Tape { parameters, day: None, lines: BTreeMap::new(), recall: VecDeque::new() }
    }

    /// Begins a session; answers whether anything of another one was dropped.
    pub fn turn(&mut self, day: TradingDay) -> bool {
        if self.day == Some(day) {
            return false;
        }
        let dropped = !self.lines.is_empty();
        *self = Tape { day: Some(day), ..Tape::new(self.parameters) };
        dropped
    }

    /// The quote that prevails in a contract at a moment.
    #[must_use]
    pub fn prevailing(&self, state: &ContractState, now: RecvTime) -> Option<Prevailing> {
        let age = now.0.saturating_sub(state.quoted_at?.0);
        let most = self.parameters.quote_age_max_s.saturating_mul(NANOS_PER_SECOND);
        (age <= most).then(|| Prevailing::of(state.bid, state.ask))?
    }

    /// Contracts of the session by side; `None` where nothing regular traded.
    #[must_use]
    pub fn inventory(&self, instrument: InstrumentId) -> Option<Inventory> {
        self.lines.get(&instrument)?.inventory
    }

    /// Takes a trade.
    pub fn take(&mut self, seen: &Seen) -> Print {
        let line = self.lines.entry(seen.instrument).or_default();
        let class = if line.is_late(seen) { Class::Late } else { seen.class };
        let Seen { seq, instrument, price, size, quote, .. } = *seen;
        let print =
            Print { seq, instrument, price, size, class, quote, ticks: line.ticks, side: None };
        let print = Print { side: judge(&print, self.parameters.rules), ..print };
        if class != Class::Late && seen.vendor_time.is_some() {
            (line.newest, line.newest_seq) = (seen.vendor_time, seen.vendor_seq);
        }
        if class == Class::Regular {
            line.ticks = line.ticks.after(price);
        }
        count(&mut line.inventory, &print, true);
        self.recall.push_back(print);
        if self.recall.len() > self.parameters.recall_max {
            self.recall.pop_front();
        }
        print
    }

    /// Takes out the newest trade of a contract with this price and size, which
    /// a message with a cancelling condition repeats; `None` when it is not, or
    /// no longer, remembered.
    pub fn cancel(&mut self, instrument: InstrumentId, price: Price, size: u64) -> Option<Print> {
        let same = |p: &Print| p.instrument == instrument && p.price == price && p.size == size;
        let at = self.recall.iter().rposition(same)?;
        self.take_out(at)
    }

    /// Whether the trade of an event can still be taken back.
    #[must_use]
    pub fn remembers(&self, seq: Seq) -> bool {
        self.recall.binary_search_by_key(&seq, |p| p.seq).is_ok()
    }

    /// Takes out the trade of an event.
    pub fn withdraw(&mut self, seq: Seq) -> Option<Print> {
        let at = self.recall.binary_search_by_key(&seq, |p| p.seq).ok()?;
        self.take_out(at)
    }

    fn take_out(&mut self, at: usize) -> Option<Print> {
        let print = self.recall.remove(at)?;
        if let Some(line) = self.lines.get_mut(&print.instrument) {
            count(&mut line.inventory, &print, false);
        }
        Some(print)
    }

    /// Puts the trade of an event right: what it was, and what it is now.
    pub fn correct(&mut self, seq: Seq, right: &Right) -> Option<(Print, Print)> {
        let at = self.recall.binary_search_by_key(&seq, |p| p.seq).ok()?;
        let print = self.recall.get_mut(at)?;
        let was = *print;
        print.price = right.price.unwrap_or(was.price);
        print.size = right.size.unwrap_or(was.size);
        print.class = right.class.unwrap_or(was.class);
        print.side = judge(print, self.parameters.rules);
        let is = *print;
        if let Some(line) = self.lines.get_mut(&was.instrument) {
            count(&mut line.inventory, &was, false);
            count(&mut line.inventory, &is, true);
        }
        Some((was, is))
    }

    /// Appends everything but the parameters.
    pub fn save(&self, e: &mut Encoder<'_>) {
        e.option(self.day, Encoder::day);
        e.count(self.lines.len());
        for (id, line) in &self.lines {
            e.u32(id.0);
            save_ticks(e, line.ticks);
            e.option(line.newest, Encoder::vendor);
            e.option(line.newest_seq, Encoder::u64);
            e.option(line.inventory, |e, inventory| {
                e.u64(inventory.bought);
                e.u64(inventory.sold);
                e.u64(inventory.unknown);
            });
        }
        e.count(self.recall.len());
        for print in &self.recall {
            save_print(e, print);
        }
    }

    /// Takes a saved tape.
    ///
    /// # Errors
    /// When the bytes are not such a tape.
    pub fn restore(parameters: TapeParameters, d: &mut Decoder<'_>) -> Result<Tape, RestoreError> {
        let mut tape = Tape { day: d.option(Decoder::day)?, ..Tape::new(parameters) };
        for _ in 0..d.count()? {
            let id = InstrumentId(d.u32()?);
            let line = Line {
                ticks: restore_ticks(d)?,
                newest: d.option(Decoder::vendor)?,
                newest_seq: d.option(Decoder::u64)?,
                inventory: d.option(|d| {
                    Ok(Inventory { bought: d.u64()?, sold: d.u64()?, unknown: d.u64()? })
                })?,
            };
            tape.lines.insert(id, line);
        }
        tape.recall = d.list(restore_print)?.into();
        Ok(tape)
    }
}

/// The quote of a late trade's moment is over, and so are the prices before it.
fn judge(print: &Print, rules: Rules) -> Option<(Side, Rule)> {
    let judged = print.class != Class::Late;
    judged.then(|| side(rules, print.price, print.quote, print.ticks))?
}

/// Counts a regular trade in or out.
fn count(inventory: &mut Option<Inventory>, print: &Print, put: bool) {
    if print.class != Class::Regular {
        return;
    }
    let mut held = inventory.unwrap_or_default();
    let of_side = match print.side {
        Some((Side::Bought, _)) => &mut held.bought,
        Some((Side::Sold, _)) => &mut held.sold,
        None => &mut held.unknown,
    };
    *of_side = match put {
        true => of_side.saturating_add(print.size),
        false => of_side.saturating_sub(print.size),
    };
    *inventory = (held != Inventory::default()).then_some(held);
}

/// A side by its tag in saved states.
const SIDES: [Option<Side>; 3] = [None, Some(Side::Bought), Some(Side::Sold)];
const RULES: [Rule; 3] = [Rule::Quote, Rule::Midpoint, Rule::Tick];

fn tagged<T: Copy>(all: &[T], tag: u8, what: &str) -> Result<T, RestoreError> {
    all.get(usize::from(tag)).copied().ok_or_else(|| RestoreError(format!("{tag} is no {what}")))
}

fn tag_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|x| x == one).unwrap_or_default() as u8
}

fn save_ticks(e: &mut Encoder<'_>, ticks: Ticks) {
    e.option(ticks.last, Encoder::price);
    e.u8(tag_of(&SIDES, &ticks.direction));
}

fn restore_ticks(d: &mut Decoder<'_>) -> Result<Ticks, RestoreError> {
    Ok(Ticks { last: d.option(Decoder::price)?, direction: tagged(&SIDES, d.u8()?, "side")? })
}

fn save_print(e: &mut Encoder<'_>, print: &Print) {
    e.seq(print.seq);
    e.u32(print.instrument.0);
    e.price(print.price);
    e.u64(print.size);
    e.u8(tag_of(&Class::ALL, &print.class));
    e.option(print.quote, |e, quote| {
        e.option(quote.bid, Encoder::price);
        e.option(quote.ask, Encoder::price);
    });
    save_ticks(e, print.ticks);
    save_side(e, print.side);
}

fn restore_print(d: &mut Decoder<'_>) -> Result<Print, RestoreError> {
    Ok(Print {
        seq: d.seq()?,
        instrument: InstrumentId(d.u32()?),
        price: d.price()?,
        size: d.u64()?,
        class: tagged(&Class::ALL, d.u8()?, "class of trades")?,
        quote: d.option(|d| {
            Ok(Prevailing { bid: d.option(Decoder::price)?, ask: d.option(Decoder::price)? })
        })?,
        ticks: restore_ticks(d)?,
        side: restore_side(d)?,
    })
}

/// Appends a side and what decided.
pub fn save_side(e: &mut Encoder<'_>, side: Option<(Side, Rule)>) {
    e.option(side, |e, (side, rule)| {
        e.u8(tag_of(&SIDES, &Some(side)));
        e.u8(tag_of(&RULES, &rule));
    });
}

/// Takes what [`save_side`] wrote.
///
/// # Errors
/// When the bytes are no side.
pub fn restore_side(d: &mut Decoder<'_>) -> Result<Option<(Side, Rule)>, RestoreError> {
    let side = d.option(|d| Ok((tagged(&SIDES, d.u8()?, "side")?, d.u8()?)))?;
    match side {
        None => Ok(None),
        Some((Some(side), rule)) => Ok(Some((side, tagged(&RULES, rule, "rule")?))),
        Some((None, _)) => Err(RestoreError("a rule without a side".to_owned())),
    }
}
