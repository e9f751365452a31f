//! Candles in the shapes of the sister systems: those of the tick and candle
//! cache, and those of the alert stack.

use serde::{Deserialize, Serialize};

use super::{Page, RenderError, Write, iso};
use crate::projector::registry::Name;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    timeframes: Vec<Frame<'a>>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    timeframe: &'a str,
    candles: Vec<Candle>,
}

#[derive(Clone, Copy, Deserialize)]
struct Candle {
    t: i64,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
    v: Option<f64>,
}

/// As the cache holds it. Its clients have always read 0 where no volume is
/// known; the whole artifact says null.
#[derive(Serialize)]
struct Cached<'a> {
    asset: &'a str,
    timestamp: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    date: String,
}

impl Cached<'_> {
    fn of<'a>(asset: &'a str, candle: &Candle) -> Cached<'a> {
        let Candle { t, o: open, h: high, l: low, c: close, v } = *candle;
        let date = iso(t.saturating_mul(1_000_000));
        let volume = v.unwrap_or_default();
        Cached { asset, timestamp: t, open, high, low, close, volume, date }
    }
}

/// As the alert stack holds it.
#[derive(Serialize)]
struct Ohlc {
    timestamp: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: Option<f64>,
}

impl Ohlc {
    fn of(candle: &Candle) -> Ohlc {
        let Candle { t, o: open, h: high, l: low, c: close, v: volume } = *candle;
        Ohlc { timestamp: t, open, high, low, close, volume }
    }
}

const CACHED: [(&str, Name); 5] = [
    ("1M", Name::Historical1m),
    ("5M", Name::Historical5m),
    ("15M", Name::Historical15m),
    ("1H", Name::Historical1h),
    ("4H", Name::Historical4h),
];
const OHLC: [(&str, Name); 2] = [("5M", Name::Ohlc5m), ("1H", Name::Ohlc1h)];

pub(super) fn render(page: &mut Page<'_>) -> Result<(), RenderError> {
    let (cached, ohlc) = (page.writes(Name::CandleTicks), page.writes(Name::OhlcLatest));
    if !cached && !ohlc {
        return Ok(());
    }
    let body: Body<'_> = page.body()?;
    let asset = page.symbol();
    let of = |timeframe: &str| {
        let frame = body.timeframes.iter().find(|frame| frame.timeframe == timeframe);
        frame.map(|frame| frame.candles.as_slice()).unwrap_or_default()
    };
    for (timeframe, name) in CACHED {
        let candles: Vec<_> = of(timeframe).iter().map(|c| Cached::of(asset, c)).collect();
        page.put(name, Write::Replace, &candles)?;
    }
    if let Some(running) = of("1M").last() {
        let running = Cached::of(asset, running);
        page.put(Name::CandleTicks, Write::Push, &running)?;
        page.publish(Name::CandleUpdates, &running)?;
    }
    for (timeframe, name) in OHLC {
        let candles: Vec<_> = of(timeframe).iter().map(Ohlc::of).collect();
        page.put(name, Write::Replace, &candles)?;
    }
    if let Some(running) = of("5M").last().map(Ohlc::of) {
        let text = |number: Option<f64>| number.map_or_else(String::new, |n| n.to_string());
        let fields = std::collections::BTreeMap::from([
            ("timestamp", running.timestamp.to_string()),
            ("open", running.open.to_string()),
            ("high", running.high.to_string()),
            ("low", running.low.to_string()),
            ("close", running.close.to_string()),
            ("volume", text(running.volume)),
        ]);
        page.put(Name::OhlcLatest, Write::Fields, &fields)?;
        page.put(Name::OhlcUpdates, Write::Append, &running)?;
    }
    Ok(())
}
