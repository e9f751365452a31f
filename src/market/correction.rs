//! A fact as a correction says that it should have been.

use orrery_journal::event::{Bar, Body, Event, Trade};
use orrery_journal::units::Price;
use serde::Deserialize;

/// What is right about a trade; whatever is left out was.
#[derive(Deserialize)]
struct RightTrade {
    price: Option<f64>,
    size: Option<u64>,
    conditions: Option<Vec<u32>>,
}

/// What is right about a bar; `vwap` is absent when it is left out, `open` was
/// right.
#[derive(Deserialize)]
struct RightBar {
    open: Option<f64>,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    vwap: Option<f64>,
}

/// Largest whole number of which no neighbour is lost in a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

fn price(value: f64) -> Option<Price> {
    Price::from_f64_nearest(value).filter(|price| price.0 > 0)
}

/// The number that a list of conditions has in the journal, if it has one.
pub type ConditionsId<'a> = dyn Fn(&[u32]) -> Option<u32> + 'a;

/// A trade or a bar as it should have been: `right` is JSON in the instrument's
/// own prices. `None` when it is another kind of event, or `right` says nothing
/// that this kind could be.
#[must_use]
pub fn righted(event: &Event, right: &[u8], id: &ConditionsId<'_>) -> Option<Event> {
    let body = match &event.body {
        Body::Trade(was) => Body::Trade(trade(was, right, id)?),
        Body::Bar(was) => Body::Bar(bar(was, right)?),
        _ => return None,
    };
    Some(Event { body, ..event.clone() })
}

fn trade(was: &Trade, right: &[u8], id: &ConditionsId<'_>) -> Option<Trade> {
    let right: RightTrade = serde_json::from_slice(right).ok()?;
    let conditions = match right.conditions.as_deref() {
        None => was.conditions,
        Some([]) => 0,
        Some(list) => id(list)?,
    };
    let price = right.price.map_or(Some(was.price), price)?;
    Some(Trade { price, size: right.size.unwrap_or(was.size), conditions, ..*was })
}

fn bar(was: &Bar, right: &[u8]) -> Option<Bar> {
    let right: RightBar = serde_json::from_slice(right).ok()?;
    let whole = right.volume > 0.0 && right.volume <= WHOLE_MAX && right.volume.fract() == 0.0;
    let (high, low) = (price(right.high)?, price(right.low)?);
    if !whole || low > high {
        return None;
    }
    Some(Bar {
        open: right.open.map_or(Some(was.open), price)?,
        high,
        low,
        close: price(right.close)?,
        volume: Some(right.volume as u64),
        vwap: match right.vwap {
            None => None,
            Some(value) => Some(price(value)?),
        },
        ..*was
    })
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::{InstrumentId, RecvTime, SourceId};

    use super::*;

    fn event(body: Body) -> Event {
        Event {
            recv: RecvTime(7),
            vendor_time: None,
            instrument: InstrumentId(3),
            source: SourceId(1),
            extended: false,
            body,
        }
    }

    #[test]
    fn what_a_correction_leaves_out_was_right() {
        let was = Trade { price: Price(100), size: 5, vendor_seq: Some(9), ..Trade::default() };
        let known = |list: &[u32]| (*list == [209]).then_some(4);
        let cases: [(&str, Option<Trade>); 9] = [
            (
                r#"{"price":1.5,"size":7}"#,
                Some(Trade { price: Price(1_500_000_000), size: 7, ..was }),
            ),
            (r#"{"price":1.5}"#, Some(Trade { price: Price(1_500_000_000), ..was })),
            (r#"{"size":7}"#, Some(Trade { size: 7, ..was })),
            (r#"{"conditions":[209]}"#, Some(Trade { conditions: 4, ..was })),
            (r#"{"conditions":[]}"#, Some(was)),
            (r#"{"conditions":[210]}"#, None),
            (r#"{"price":0}"#, None),
            (r#"{"price":-1}"#, None),
            ("[]", None),
        ];
        for (right, expected) in cases {
            let found = righted(&event(Body::Trade(was)), right.as_bytes(), &known);
            assert_eq!(found, expected.map(|trade| event(Body::Trade(trade))), "{right}");
        }
    }

    #[test]
    fn a_bar_is_put_right_as_a_whole_or_not_at_all() {
        let was = Bar { open: Price(5), trades: Some(3), vwap: Some(Price(6)), ..Bar::default() };
        let none = |_: &[u32]| None;
        let right = |text: &str| righted(&event(Body::Bar(was)), text.as_bytes(), &none);
        let good = right(r#"{"high":3,"low":1,"close":2,"volume":10}"#).expect("a bar");
        let one = 1_000_000_000;
        let expected = Bar {
            high: Price(3 * one),
            low: Price(one),
            close: Price(2 * one),
            volume: Some(10),
            vwap: None,
            ..was
        };
        assert_eq!(good, event(Body::Bar(expected)));
        for bad in [
            r#"{"high":1,"low":3,"close":2,"volume":10}"#,
            r#"{"high":3,"low":1,"close":2}"#,
            r#"{"high":3,"low":1,"close":2,"volume":0}"#,
            r#"{"high":3,"low":1,"close":2,"volume":1.5}"#,
            r#"{"high":3,"low":1,"close":2,"volume":1e300}"#,
            r#"{"high":3,"low":1,"close":2,"volume":1,"vwap":-1}"#,
            r#"{"high":1e300,"low":1,"close":2,"volume":1}"#,
        ] {
            assert_eq!(right(bad), None, "{bad}");
        }
        assert_eq!(righted(&event(Body::ClockBeat), b"{}", &none), None);
    }
}
