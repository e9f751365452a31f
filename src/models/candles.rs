//! `candles`: open, high, low, close of the underlying over five timeframes.
//!
//! Profile `candles/utc@1`: a candle begins at a multiple of its timeframe since
//! 1970 (UTC). It is made of the observed prices of the underlying, by recv time,
//! and of its bars, by their own start; a bar longer than a timeframe is no part
//! of it, and the last price of a bar is not taken a second time as a price. What
//! belongs to a candle that is no longer kept is counted as late and changes
//! nothing. Owns its candles.

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::Serialize;

use super::{Change, Model, Scope};
use crate::market::book::{Market, SpotSource};
use crate::market::ticker;

const STATE_VERSION: u8 = 2;
/// Candles that are kept of each timeframe.
const KEPT: usize = 200;
/// Name and seconds of the timeframes.
const TIMEFRAMES: [(&str, i64); 5] =
    [("1M", 60), ("5M", 300), ("15M", 900), ("1H", 3_600), ("4H", 14_400)];
/// Volume is taken from bars of this length, so that none counts twice.
const VOLUME_BAR_NS: i64 = 60 * NANOS_PER_SECOND;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Candle {
    /// Seconds since 1970.
    start: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: Option<f64>,
    /// Moments of open and close, ns: whoever is earlier opens, later closes.
    first: i64,
    last: i64,
}

/// A stretch of prices: one tick, or a bar.
#[derive(Clone, Copy, Debug)]
struct Prices {
    from: i64,
    to: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: Option<f64>,
}

impl Candle {
    fn new(start: i64, p: &Prices) -> Candle {
        let Prices { from: first, to: last, open, high, low, close, volume } = *p;
        Candle { start, open, high, low, close, volume, first, last }
    }

    fn take(&mut self, p: &Prices) {
        if p.from < self.first {
            (self.open, self.first) = (p.open, p.from);
        }
        if p.to >= self.last {
            (self.close, self.last) = (p.close, p.to);
        }
        self.high = self.high.max(p.high);
        self.low = self.low.min(p.low);
        if let Some(volume) = p.volume {
            self.volume = Some(self.volume.unwrap_or(0.0) + volume);
        }
    }
}

/// The model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candles {
    /// By timeframe, ascending by start.
    frames: [Vec<Candle>; TIMEFRAMES.len()],
    /// Prices and bars that were heard.
    heard: u64,
    /// Of these, those that belonged to a candle that is no longer kept.
    late: u64,
    newest: Option<RecvTime>,
}

impl Candles {
    fn take(&mut self, prices: &Prices) -> bool {
        let (mut taken, mut late) = (false, false);
        for ((_, seconds), candles) in TIMEFRAMES.iter().zip(&mut self.frames) {
            let period = seconds * NANOS_PER_SECOND;
            if prices.to - prices.from > period {
                continue;
            }
            let start = prices.from.div_euclid(period) * seconds;
            match candles.binary_search_by_key(&start, |c| c.start) {
                Ok(at) => {
                    if let Some(candle) = candles.get_mut(at) {
                        candle.take(prices);
                        taken = true;
                    }
                }
                Err(0) if candles.len() >= KEPT => late = true,
                Err(at) => {
                    candles.insert(at, Candle::new(start, prices));
                    if candles.len() > KEPT {
                        candles.remove(0);
                    }
                    taken = true;
                }
            }
        }
        self.heard += 1;
        self.late += u64::from(late);
        taken
    }
}

#[derive(Serialize)]
struct Row {
    t: i64,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
    v: Option<f64>,
}

#[derive(Serialize)]
struct Frame {
    timeframe: &'static str,
    seconds: i64,
    candles: Vec<Row>,
}

#[derive(Serialize)]
struct Quality {
    /// Share of what was heard that belonged to no candle that is gone.
    coverage: f64,
    /// Share of the timeframes that are shorter than the newest price is old.
    stale_share: f64,
    late: u64,
    age_ms: i64,
}

#[derive(Serialize)]
struct Body {
    symbol: String,
    timeframes: Vec<Frame>,
    quality: Quality,
}

impl Model for Candles {
    fn family(&self) -> &'static str {
        "candles"
    }

    fn profile(&self) -> &'static str {
        "candles/utc@1"
    }

    fn scope(&self) -> Scope {
        Scope::Partition
    }

    fn cadence_ns(&self) -> i64 {
        5 * NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        let prices = match change {
            Change::Spot => match market.spot {
                Some(spot) if spot.source != SpotSource::Bar => {
                    let (at, p) = (spot.at.0, spot.value);
                    Prices { from: at, to: at, open: p, high: p, low: p, close: p, volume: None }
                }
                _ => return false,
            },
            Change::UnderlyingBar {
                span: Some((start, end)),
                proxy: None,
                open,
                high,
                low,
                close,
                volume,
                ..
            } => {
                let volume = volume.filter(|_| end.0 - start.0 == VOLUME_BAR_NS);
                let (open, high, low, close) = (*open, *high, *low, *close);
                // The end is the first moment after the bar.
                let to = end.0.saturating_sub(1).max(start.0);
                Prices { from: start.0, to, open, high, low, close, volume }
            }
            Change::All => return self.newest.is_some(),
            _ => return false,
        };
        self.newest = Some(market.now);
        self.take(&prices)
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let newest = self.newest?;
        let frame = |((timeframe, seconds), candles): (&(&'static str, i64), &Vec<Candle>)| Frame {
            timeframe,
            seconds: *seconds,
            candles: candles
                .iter()
                .map(|c| Row {
                    t: c.start,
                    o: c.open,
                    h: c.high,
                    l: c.low,
                    c: c.close,
                    v: c.volume,
                })
                .collect(),
        };
        let age = market.now.0.saturating_sub(newest.0);
        let stale = TIMEFRAMES.iter().filter(|(_, s)| age > s * NANOS_PER_SECOND).count();
        let kept = self.heard.saturating_sub(self.late);
        let body = Body {
            symbol: ticker::vendor_symbol(market.symbol),
            timeframes: TIMEFRAMES.iter().zip(&self.frames).map(frame).collect(),
            quality: Quality {
                // Something was heard, or there were no newest price.
                coverage: kept as f64 / self.heard.max(1) as f64,
                stale_share: stale as f64 / TIMEFRAMES.len() as f64,
                late: self.late,
                age_ms: age / 1_000_000,
            },
        };
        serde_json::to_vec(&body).ok()
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        e.u64(self.heard);
        e.u64(self.late);
        e.padded(self.newest, Encoder::recv);
        for candles in &self.frames {
            e.count(candles.len());
            for c in candles {
                e.i64(c.start);
                for price in [c.open, c.high, c.low, c.close] {
                    e.f64(price);
                }
                e.option(c.volume, Encoder::f64);
                e.i64(c.first);
                e.i64(c.last);
            }
        }
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let mut restored = Candles {
            heard: d.u64()?,
            late: d.u64()?,
            newest: d.padded(Decoder::recv)?,
            ..Self::default()
        };
        for candles in &mut restored.frames {
            *candles = d.list(|d| {
                Ok(Candle {
                    start: d.i64()?,
                    open: d.f64()?,
                    high: d.f64()?,
                    low: d.f64()?,
                    close: d.f64()?,
                    volume: d.option(Decoder::f64)?,
                    first: d.i64()?,
                    last: d.i64()?,
                })
            })?;
        }
        d.end()?;
        *self = restored;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::{Seq, TradingDay, VendorTime};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::market::book::Spot;

    const MINUTE: i64 = 60 * NANOS_PER_SECOND;

    fn market(now: i64, spot: Option<f64>) -> Market<'static> {
        let at = RecvTime(now);
        let spot = spot.map(|value| Spot { value, at, source: SpotSource::Index });
        Market {
            symbol: "SPX",
            book: None,
            spot,
            seq: Seq::BEFORE_FIRST,
            now: at,
            day: TradingDay(0),
        }
    }

    fn tick(model: &mut Candles, at: i64, price: f64) -> bool {
        model.apply(&Change::Spot, &market(at, Some(price)))
    }

    fn bar(model: &mut Candles, start: i64, [open, high, low, close]: [f64; 4], now: i64) -> bool {
        let span = Some((VendorTime(start), VendorTime(start + MINUTE)));
        let volume = Some(10.0);
        let change =
            Change::UnderlyingBar { span, proxy: None, open, high, low, close, volume, vwap: None };
        model.apply(&change, &market(now, None))
    }

    fn frame(model: &mut Candles, at: usize) -> Value {
        let body = model.emit(&market(10 * MINUTE, None)).expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        body["timeframes"][at].clone()
    }

    #[test]
    fn ticks_and_the_bar_of_their_minute_make_one_candle() {
        let mut model = Candles::default();
        assert_eq!(model.emit(&market(0, None)), None);
        assert!(tick(&mut model, 10, 101.0));
        assert!(tick(&mut model, MINUTE - 5, 99.0));
        assert!(tick(&mut model, MINUTE + 1, 100.0));
        // The bar of the first minute comes after the second has begun.
        assert!(bar(&mut model, 0, [100.5, 102.0, 98.0, 99.5], MINUTE + 2));
        assert_eq!(
            frame(&mut model, 0)["candles"],
            json!([{"t":0,"o":100.5,"h":102.0,"l":98.0,"c":99.5,"v":10.0},
                   {"t":60,"o":100.0,"h":100.0,"l":100.0,"c":100.0,"v":null}])
        );
        assert_eq!(
            frame(&mut model, 4)["candles"],
            json!([{"t":0,"o":100.5,"h":102.0,"l":98.0,"c":100.0,"v":10.0}])
        );
        assert!(!model.apply(&Change::Chain, &market(MINUTE, None)));
    }

    #[test]
    fn what_is_too_late_is_counted_and_what_is_old_is_dropped() {
        let mut model = Candles::default();
        for minute in 1..=210 {
            tick(&mut model, minute * MINUTE, minute as f64);
        }
        assert_eq!(model.frames[0].len(), KEPT);
        assert_eq!(model.frames[0][0].start, 11 * 60);
        let before = model.clone();
        bar(&mut model, 5 * MINUTE, [1.0; 4], 211 * MINUTE);
        assert_eq!((model.late, &model.frames[0]), (1, &before.frames[0]));
        let quality = |at: i64| {
            let body = model.clone().emit(&market(at, None)).expect("a body");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let quality = &body["quality"];
            (quality["coverage"].as_f64(), quality["stale_share"].as_f64())
        };
        let coverage = Some(210.0 / 211.0);
        assert_eq!(quality(211 * MINUTE), (coverage, Some(0.0)));
        // Without a price for six minutes candles of one and of five are stale.
        assert_eq!(quality(217 * MINUTE), (coverage, Some(0.4)));
    }

    proptest! {
        /// Candles do not depend on when they were saved, and each longer candle
        /// spans the shorter ones inside it.
        #[test]
        fn longer_candles_hold_the_shorter_ones(
            ticks in prop::collection::vec((0i64..400, 1.0..9.0f64), 1..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut at = 0;
            let ticks: Vec<_> = ticks.iter().map(|(step, p)| { at += step * NANOS_PER_SECOND / 4; (at, *p) }).collect();
            let mut whole = Candles::default();
            ticks.iter().for_each(|(at, p)| { tick(&mut whole, *at, *p); });
            let cut = cut.index(ticks.len());
            let mut first = Candles::default();
            ticks[..cut].iter().for_each(|(at, p)| { tick(&mut first, *at, *p); });
            let mut saved = Vec::new();
            first.save(&mut saved);
            let mut second = Candles::default();
            second.restore(&saved, &market(0, None)).expect("its own state");
            ticks[cut..].iter().for_each(|(at, p)| { tick(&mut second, *at, *p); });
            prop_assert_eq!(&whole, &second);
            for long in &whole.frames[1] {
                let inside: Vec<_> =
                    whole.frames[0].iter().filter(|c| (long.start..long.start + 300).contains(&c.start)).collect();
                let high = inside.iter().map(|c| c.high).fold(f64::MIN, f64::max);
                prop_assert_eq!(long.high, high);
                prop_assert_eq!(Some(long.open), inside.first().map(|c| c.open));
                prop_assert_eq!(Some(long.close), inside.last().map(|c| c.close));
            }
        }
    }
}
