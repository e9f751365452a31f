//! What is shown of all that is held.

use std::ops::Bound;

use orrery_journal::units::TradingDay;

use super::{Held, Key, Kind, Rules, Source, Volume};
use crate::models::gravity::histogram::Sum;
use crate::models::gravity::microbins::MICROBINS;

/// A day of what is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShownDay {
    /// The trading day.
    pub day: TradingDay,
    /// What its volume was counted from.
    pub kind: Kind,
    /// How much it counts.
    pub weight: f64,
    /// Shares, before weighing.
    pub volume: f64,
}

/// What is shown of all that is held.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Whose volume.
    pub source: Source,
    /// Ascending.
    pub days: Vec<ShownDay>,
    /// Over ranges.
    pub spread: Sum,
    /// In one bin each.
    pub raw: Sum,
    /// Shares of these days that the definitions lose, before weighing.
    pub lost: f64,
}

impl Held {
    /// Whether trades of a source and day are what is shown of it.
    #[must_use]
    pub fn shows_trades(&self, rules: &Rules, source: Source, day: TradingDay) -> bool {
        let day = rules.slot(day);
        let from = Key { source, day, kind: Kind::Bars(i64::MIN) };
        let first = self.volumes.range(from..).next();
        self.shows(source)
            && first.is_some_and(|(k, _)| (k.source, k.day, k.kind) == (source, day, Kind::Trades))
    }

    /// Whether the volume of a source is what is shown.
    #[must_use]
    pub fn shows(&self, source: Source) -> bool {
        self.volumes.keys().next().is_some_and(|k| k.source == source)
    }

    /// What is shown: the volume of the first source that has any; of each of
    /// its days the bars of the length with most volume (the longer on a tie),
    /// or trades where there is no bar.
    #[must_use]
    pub fn shown(&self, rules: &Rules) -> Option<Shown> {
        let source = self.volumes.keys().next()?.source;
        let mut best: Vec<(Key, &Volume)> = Vec::new();
        let from = Key { source, day: TradingDay(i32::MIN), kind: Kind::Bars(i64::MIN) };
        let own = self.volumes.range((Bound::Included(from), Bound::Unbounded));
        for (key, volume) in own.take_while(|(key, _)| key.source == source) {
            match best.last_mut() {
                Some((held, other)) if held.day == key.day => {
                    let most = volume.spread.units() >= other.spread.units();
                    if key.kind != Kind::Trades && most {
                        (*held, *other) = (*key, volume);
                    }
                }
                _ => best.push((*key, volume)),
            }
        }
        let (mut spread, mut raw, mut days) = (Sum::default(), Sum::default(), Vec::new());
        let mut lost: u64 = 0;
        let count = best.len();
        for (i, (key, volume)) in best.into_iter().enumerate() {
            let age = (count - 1 - i) as f64;
            let weight = rules.half_life_days.map_or(1.0, |half| libm::exp2(-age / half));
            spread.add(&volume.spread, weight);
            let trades = key.kind == Kind::Trades;
            raw.add(if trades { &volume.spread } else { &volume.raw }, weight);
            let shares = volume.spread.units() as f64 / f64::from(MICROBINS);
            let day = ShownDay { day: key.day, kind: key.kind, weight, volume: shares };
            days.push(day);
            lost = lost.saturating_add(volume.lost);
        }
        let lost = lost as f64 / f64::from(MICROBINS);
        Some(Shown { source, days, spread, raw, lost })
    }
}
