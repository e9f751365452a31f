//! A fact as it should have been, in the place of the fact as it came.

use orrery_journal::units::Seq;
use serde::Deserialize;

use super::{Fact, Held, Rules, Source, TradeVolume};
use crate::models::gravity::microbins::{BarVolume, is_price, is_volume};

/// What became of a correction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Corrected {
    /// The fact is now as it should have been, or gone.
    Done,
    /// No fact that is kept has this seq.
    Elsewhere,
    /// It does not say what is right.
    Refused,
}

/// What is right about a trade, in the instrument's own prices.
#[derive(Deserialize)]
struct RightTrade {
    price: f64,
    size: f64,
}

/// What is right about a bar, in the instrument's own prices.
#[derive(Deserialize)]
struct RightBar {
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    #[serde(default)]
    vwap: Option<f64>,
}

impl Held {
    /// Makes a fact as it should have been: `right` is JSON in the instrument's
    /// own prices, empty when the fact never was. `by` is the multiplier of a
    /// source.
    pub fn correct(
        &mut self,
        rules: &Rules,
        corrects: Seq,
        right: &[u8],
        by: impl Fn(Source) -> f64,
    ) -> Corrected {
        if let Ok(at) = self.trades.binary_search_by_key(&corrects, |f| f.seq) {
            self.correct_trade(rules, at, right, by)
        } else if let Ok(at) = self.bars.binary_search_by_key(&corrects, |f| f.seq) {
            self.correct_bar(rules, at, right, by)
        } else {
            Corrected::Elsewhere
        }
    }

    fn correct_trade(
        &mut self,
        rules: &Rules,
        at: usize,
        right: &[u8],
        by: impl Fn(Source) -> f64,
    ) -> Corrected {
        let Some(Fact { key, what: wrong, .. }) = self.trades.get(at).cloned() else {
            return Corrected::Elsewhere;
        };
        if right.is_empty() {
            self.trades.remove(at);
            self.take_trade(rules, key, wrong);
            return Corrected::Done;
        }
        let Ok(RightTrade { price, size }) = serde_json::from_slice(right) else {
            return Corrected::Refused;
        };
        let what = TradeVolume { price: price * by(key.source), size };
        if !(is_price(what.price) && is_volume(size)) {
            return Corrected::Refused;
        }
        self.take_trade(rules, key, wrong);
        self.put_trade(rules, key, what);
        if let Some(fact) = self.trades.get_mut(at) {
            fact.what = what;
        }
        Corrected::Done
    }

    fn correct_bar(
        &mut self,
        rules: &Rules,
        at: usize,
        right: &[u8],
        by: impl Fn(Source) -> f64,
    ) -> Corrected {
        let Some(Fact { key, what: wrong, .. }) = self.bars.get(at).cloned() else {
            return Corrected::Elsewhere;
        };
        if right.is_empty() {
            self.bars.remove(at);
            self.take_bar(rules, key, &wrong.bar);
            return Corrected::Done;
        }
        let Ok(right) = serde_json::from_slice::<RightBar>(right) else {
            return Corrected::Refused;
        };
        let by = by(key.source);
        let bar = BarVolume {
            high: right.high * by,
            low: right.low * by,
            close: right.close * by,
            weighted: right.vwap.map(|p| p * by),
            volume: right.volume,
        };
        if !bar.is_sound() {
            return Corrected::Refused;
        }
        self.take_bar(rules, key, &wrong.bar);
        self.put_bar(rules, key, &bar);
        if let Some(fact) = self.bars.get_mut(at) {
            fact.what.bar = bar;
        }
        Corrected::Done
    }
}
