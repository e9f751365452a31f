//! What the model holds: volume by source, trading day and kind, and the newest
//! facts one by one, so that each of them can still be corrected.
//!
//! Volume of different kinds or sources describes the same trading, or counts
//! it in other units, and is never added up: see [`Held::shown`].

mod corrections;
mod shown;
mod state;

pub use corrections::Corrected;
pub use shown::{Shown, ShownDay};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use orrery_journal::units::{Seq, TradingDay};

use super::histogram::Histogram;
use super::microbins::{BarVolume, bin_of, is_price, is_volume, place, spread, units};
use super::profile::Definitions;

/// Bars of more lengths than this in one day are refused.
const LENGTHS_MAX: usize = 8;

/// How facts are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// The profile's definitions.
    pub definitions: Definitions,
    /// Width of a bin in points.
    pub step: f64,
    /// Trading days that count; `None`: all, as one.
    pub days: Option<u32>,
    /// Trading days after which a day counts half.
    pub half_life_days: Option<f64>,
    /// Trades that can still be corrected.
    pub kept_trades: usize,
    /// Bars that can still be corrected or come again.
    pub kept_bars: usize,
}

/// Whose volume it is: 0 the underlying's own, else one more than the place of
/// the proxy among the symbol's.
pub type Source = u8;

/// What volume was counted from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Bars of a length in ns; 0 where it is unknown.
    Bars(i64),
    /// Single trades.
    Trades,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    source: Source,
    day: TradingDay,
    kind: Kind,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Volume {
    /// Over the range of bars, or at the price of trades.
    spread: Histogram,
    /// Of bars: each in one bin.
    raw: Histogram,
    /// Units that the definitions lose.
    lost: u64,
}

/// First moment of a bar and first after it, vendor's ns.
pub type BarSpan = (i64, i64);

#[derive(Clone, Debug, PartialEq)]
struct Fact<T> {
    seq: Seq,
    key: Key,
    what: T,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct TradeVolume {
    price: f64,
    size: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct KeptBar {
    span: Option<BarSpan>,
    bar: BarVolume,
}

/// What became of a bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It was added.
    New,
    /// It took the place of the bar of the same span.
    Again,
    /// Its span is older than the bars that are kept, so that nobody knows
    /// whether it was counted; left out.
    Late,
    /// It cannot be used.
    Refused,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    volumes: BTreeMap<Key, Volume>,
    /// Ascending by seq.
    trades: VecDeque<Fact<TradeVolume>>,
    /// Ascending by seq.
    bars: VecDeque<Fact<KeptBar>>,
    /// End of the newest bar that is no longer kept one by one.
    forgotten: Option<i64>,
}

impl Held {
    /// Takes a trade; answers whether it can be used.
    pub fn trade(
        &mut self,
        rules: &Rules,
        seq: Seq,
        source: Source,
        day: TradingDay,
        (price, size): (f64, f64),
    ) -> bool {
        if !(is_price(price) && is_volume(size)) {
            return false;
        }
        let key = Key { source, day: rules.slot(day), kind: Kind::Trades };
        let what = TradeVolume { price, size };
        self.put_trade(rules, key, what);
        self.trades.push_back(Fact { seq, key, what });
        while self.trades.len() > rules.kept_trades {
            self.trades.pop_front();
        }
        true
    }

    /// Takes a bar. One of the same source and span takes the place of the
    /// former one: vendors send a bar again when trades came late.
    pub fn bar(
        &mut self,
        rules: &Rules,
        seq: Seq,
        source: Source,
        day: TradingDay,
        (span, bar): (Option<BarSpan>, BarVolume),
    ) -> Taken {
        let span = span.filter(|(start, end)| start < end);
        let length = span.map_or(0, |(start, end)| end.saturating_sub(start));
        let key = Key { source, day: rules.slot(day), kind: Kind::Bars(length) };
        if !bar.is_sound() || self.is_one_length_too_many(key) {
            return Taken::Refused;
        }
        let same = |f: &Fact<KeptBar>| f.key.source == source && f.what.span == span;
        // The newest are the likeliest, and are looked at first.
        let former = span.and_then(|_| self.bars.iter().rposition(same));
        let former = former.and_then(|at| self.bars.remove(at));
        let (taken, key) = match former {
            Some(fact) => {
                self.take_bar(rules, fact.key, &fact.what.bar);
                // It stays with the day on which it was first told.
                (Taken::Again, fact.key)
            }
            None if span.zip(self.forgotten).is_some_and(|((start, _), end)| start < end) => {
                return Taken::Late;
            }
            None => (Taken::New, key),
        };
        self.put_bar(rules, key, &bar);
        self.bars.push_back(Fact { seq, key, what: KeptBar { span, bar } });
        while self.bars.len() > rules.kept_bars {
            let end = self.bars.pop_front().and_then(|f| f.what.span).map(|(_, end)| end);
            self.forgotten = self.forgotten.max(end);
        }
        taken
    }

    fn put_trade(&mut self, rules: &Rules, key: Key, trade: TradeVolume) {
        let bin = bin_of(trade.price, rules.step, rules.definitions.rounding);
        self.volume(rules, key).spread.add(bin, units(trade.size));
    }

    fn take_trade(&mut self, rules: &Rules, key: Key, trade: TradeVolume) {
        let bin = bin_of(trade.price, rules.step, rules.definitions.rounding);
        if let Some(volume) = self.volumes.get_mut(&key) {
            volume.spread.take_back(bin, units(trade.size));
        }
        self.drop_empty(key);
    }

    fn put_bar(&mut self, rules: &Rules, key: Key, bar: &BarVolume) {
        let Rules { step, definitions, .. } = rules;
        let volume = self.volume(rules, key);
        let lost = spread(bar, *step, definitions, |bin, units| volume.spread.add(bin, units));
        place(bar, *step, definitions, |bin, units| volume.raw.add(bin, units));
        volume.lost = volume.lost.saturating_add(lost);
        self.drop_empty(key);
    }

    fn take_bar(&mut self, rules: &Rules, key: Key, bar: &BarVolume) {
        let Rules { step, definitions, .. } = rules;
        if let Some(volume) = self.volumes.get_mut(&key) {
            let back = |bin, units| volume.spread.take_back(bin, units);
            let lost = spread(bar, *step, definitions, back);
            place(bar, *step, definitions, |bin, units| volume.raw.take_back(bin, units));
            volume.lost = volume.lost.saturating_sub(lost);
        }
        self.drop_empty(key);
    }

    fn volume(&mut self, rules: &Rules, key: Key) -> &mut Volume {
        let held = self.volumes.len();
        self.volumes.entry(key).or_default();
        if self.volumes.len() > held {
            self.forget_days(rules);
        }
        self.volumes.entry(key).or_default()
    }

    fn drop_empty(&mut self, key: Key) {
        if self.volumes.get(&key).is_some_and(|v| *v == Volume::default()) {
            self.volumes.remove(&key);
        }
    }

    /// Drops the days before the newest that count.
    fn forget_days(&mut self, rules: &Rules) {
        let Some(kept) = rules.days else { return };
        let days: BTreeSet<TradingDay> = self.volumes.keys().map(|k| k.day).collect();
        let first = days.iter().rev().take(kept.max(1) as usize).next_back().copied();
        if let Some(first) = first {
            self.volumes.retain(|key, _| key.day >= first);
            self.trades.retain(|fact| fact.key.day >= first);
            let old = self.bars.iter().filter(|fact| fact.key.day < first);
            let end = old.filter_map(|fact| Some(fact.what.span?.1)).max();
            self.forgotten = self.forgotten.max(end);
            self.bars.retain(|fact| fact.key.day >= first);
        }
    }

    fn is_one_length_too_many(&self, key: Key) -> bool {
        let from = Key { kind: Kind::Bars(i64::MIN), ..key };
        !self.volumes.contains_key(&key)
            && self.volumes.range(from..Key { kind: Kind::Trades, ..key }).count() >= LENGTHS_MAX
    }

    /// Whether there is any volume.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.volumes.is_empty()
    }
}

impl Rules {
    /// Where the volume of a day goes: all in one place while all days count.
    fn slot(&self, day: TradingDay) -> TradingDay {
        if self.days.is_some() { day } else { TradingDay(0) }
    }
}
