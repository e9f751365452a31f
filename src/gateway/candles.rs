//! Candles as charts of the original read them, from the `candles` artifact.
//!
//! The original adds them up from the trail of prices at each request; ours are
//! the fold's, so that every reader sees the same ones.

use serde::{Deserialize, Serialize};

/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// Days that may be asked for.
pub const DAYS: std::ops::RangeInclusive<i64> = 1..=7;

#[derive(Deserialize)]
struct Artifact<'a> {
    #[serde(borrow)]
    header: Header<'a>,
    #[serde(borrow)]
    body: Body<'a>,
}

#[derive(Deserialize)]
struct Header<'a> {
    version: u64,
    created_at: &'a str,
}

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

/// Open, high, low, close from second `t` on.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Candle {
    t: i64,
    o: f64,
    h: f64,
    l: f64,
    c: f64,
}

/// What a chart is drawn from.
#[derive(Debug, Serialize)]
pub struct Candles<'a> {
    symbol: &'a str,
    spot: Option<f64>,
    ts: String,
    days: i64,
    candles_5m: Vec<Candle>,
    candles_10m: Vec<Candle>,
    candles_15m: Vec<Candle>,
    candles_1h: Vec<Candle>,
    version: u64,
}

/// The last days of a whole `candles` artifact, counted back from its newest
/// candle; `None` when it is none.
#[must_use]
pub fn candles<'a>(symbol: &'a str, days: i64, artifact: &[u8]) -> Option<Candles<'a>> {
    let Artifact { header, body } = serde_json::from_slice(artifact).ok()?;
    let all = |name: &str| {
        let frame = body.timeframes.iter().find(|frame| frame.timeframe == name);
        frame.map_or(&[][..], |frame| &frame.candles)
    };
    let newest = all("1M").last();
    let from = newest.map_or(i64::MIN, |candle| candle.t - days * DAY_S);
    let since = |candles: &[Candle]| -> Vec<Candle> {
        candles.iter().filter(|candle| candle.t > from).copied().collect()
    };
    Some(Candles {
        symbol,
        spot: newest.map(|candle| candle.c),
        ts: header.created_at.to_owned(),
        days,
        candles_5m: since(all("5M")),
        candles_10m: since(&joined(all("5M"), 600)),
        candles_15m: since(all("15M")),
        candles_1h: since(all("1H")),
        version: header.version,
    })
}

impl Candles<'_> {
    /// Version of the artifact.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }
}

/// Longer candles of shorter ones, both ascending.
fn joined(candles: &[Candle], seconds: i64) -> Vec<Candle> {
    let start = |candle: &Candle| candle.t.div_euclid(seconds) * seconds;
    let rows = candles.chunk_by(|a, b| start(a) == start(b));
    rows.filter_map(|row| {
        let (first, last) = (row.first()?, row.last()?);
        let of = |value: fn(&Candle) -> f64, most: fn(f64, f64) -> f64| {
            row.iter().map(value).fold(value(first), most)
        };
        let (h, l) = (of(|c| c.h, f64::max), of(|c| c.l, f64::min));
        Some(Candle { t: start(first), o: first.o, h, l, c: last.c })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(t: i64, o: f64, h: f64, l: f64, c: f64) -> serde_json::Value {
        json!({"t": t, "o": o, "h": h, "l": l, "c": c, "v": null})
    }

    #[test]
    fn ten_minutes_are_two_fives_and_days_count_back_from_the_newest() {
        let five = [
            row(0, 1.0, 9.0, 1.0, 2.0),
            row(86_400, 3.0, 5.0, 2.0, 4.0),
            row(86_700, 4.0, 8.0, 3.0, 6.0),
        ];
        let artifact = json!({
            "header": {"version": 4, "created_at": "2026-02-06T14:30:00.000000000Z"},
            "body": {"symbol": "I:SPX", "timeframes": [
                {"timeframe": "1M", "seconds": 60, "candles": [row(86_940, 6.0, 6.0, 6.0, 6.5)]},
                {"timeframe": "5M", "seconds": 300, "candles": five}], "quality": {}},
        });
        let said = |days| {
            let text = artifact.to_string();
            serde_json::to_value(candles("I:SPX", days, text.as_bytes()).expect("candles"))
                .expect("JSON")
        };
        let one = said(1);
        assert_eq!((&one["spot"], &one["days"]), (&json!(6.5), &json!(1)));
        let ten = json!([{"t": 86_400, "o": 3.0, "h": 8.0, "l": 2.0, "c": 6.0}]);
        assert_eq!(one["candles_10m"], ten);
        assert_eq!(one["candles_5m"].as_array().map(Vec::len), Some(2));
        assert_eq!(one["candles_1h"], json!([]));
        assert_eq!(said(2)["candles_5m"].as_array().map(Vec::len), Some(3));
        assert!(candles("I:SPX", 1, b"{}").is_none());
    }
}
