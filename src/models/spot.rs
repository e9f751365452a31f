//! `spot`: the price of the underlying, its age, where it came from, and how
//! far it stands from the close before.
//!
//! Which observation counts is decided by the partition; this model says it.
//! The close of a day is the last price observed in its regular session, or in
//! the `LATE_CLOSE_NS` after it in which indices settle; of half days at their
//! own hour. Owns the last close and the one that is on its way.

use orrery_journal::Calendar;
use orrery_journal::units::{NANOS_PER_SECOND, Price, RecvTime, TradingDay};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::Serialize;

use super::parameters::Parameters;
use super::{Change, Model, Scope};
use crate::market::book::{Market, SpotSource};
use crate::market::calendar::{Session, TradingCalendar, Venue};
use crate::market::ticker;

const STATE_VERSION: u8 = 1;
/// How long after a session its last price may still come.
const LATE_CLOSE_NS: i64 = 20 * 60 * NANOS_PER_SECOND;

/// The model.
#[derive(Clone, Debug, PartialEq)]
pub struct SpotModel {
    venue: Venue,
    trading: TradingCalendar,
    /// The day of the last observation.
    day: Option<TradingDay>,
    /// Its last price so far that may be its close.
    closing: Option<f64>,
    /// Close of the newest day before it that had one.
    previous: Option<(TradingDay, f64)>,
    /// Hours of `day`; not saved.
    hours: Option<Session>,
}

impl Default for SpotModel {
    fn default() -> SpotModel {
        SpotModel::new(&Parameters::default())
    }
}

impl SpotModel {
    /// A model that has seen nothing.
    #[must_use]
    pub fn new(parameters: &Parameters) -> SpotModel {
        let venue = match parameters.calendar {
            Calendar::NewYork => Venue::UsOptions,
            Calendar::Utc => Venue::Crypto,
        };
        let trading = parameters.trading_calendar.clone();
        SpotModel { venue, trading, day: None, closing: None, previous: None, hours: None }
    }

    fn observe(&mut self, value: f64, at: RecvTime, day: TradingDay) {
        if self.day != Some(day) {
            if let (Some(before), Some(close)) = (self.day, self.closing) {
                self.previous = Some((before, close));
            }
            (self.day, self.closing) = (Some(day), None);
            self.hours = self.trading.session(self.venue, day);
        }
        let closes =
            |hours: Session| hours.open <= at && at < hours.close.plus_nanos(LATE_CLOSE_NS);
        if self.hours.is_some_and(closes) {
            self.closing = Some(value);
        }
    }
}

#[derive(Serialize)]
struct Body {
    symbol: String,
    value: f64,
    at: String,
    source: &'static str,
    previous_close: Option<f64>,
    previous_day: Option<String>,
    change: Option<f64>,
    change_percent: Option<f64>,
    quality: Quality,
}

#[derive(Serialize)]
struct Quality {
    age_ms: i64,
    absent: Vec<&'static str>,
}

/// The name of a source in bodies.
#[must_use]
pub const fn source_name(source: SpotSource) -> &'static str {
    match source {
        SpotSource::Index => "index",
        SpotSource::Trade => "trade",
        SpotSource::Bar => "bar",
        SpotSource::Chain => "chain",
    }
}

impl Model for SpotModel {
    fn family(&self) -> &'static str {
        "spot"
    }

    fn profile(&self) -> &'static str {
        "spot/newest@1"
    }

    fn scope(&self) -> Scope {
        Scope::Partition
    }

    fn cadence_ns(&self) -> i64 {
        NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        let Some(spot) = market.spot else { return false };
        match change {
            Change::Spot => {
                self.observe(spot.value, spot.at, market.day);
                true
            }
            Change::All => true,
            _ => false,
        }
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let spot = market.spot?;
        // The day may have turned since the last observation.
        let today = self.day.filter(|day| *day < market.day).zip(self.closing);
        let previous = today.or(self.previous);
        let change = previous.map(|(_, close)| points(spot.value - close));
        let percent = previous.map(|(_, close)| (spot.value - close) / close * 100.0);
        let body = Body {
            symbol: ticker::vendor_symbol(market.symbol),
            value: spot.value,
            at: spot.at.to_rfc3339(),
            source: source_name(spot.source),
            previous_close: previous.map(|(_, close)| close),
            previous_day: previous.map(|(day, _)| day.to_string()),
            change,
            change_percent: percent.map(|p| (p * 1e4).round_ties_even() / 1e4 + 0.0),
            quality: Quality {
                age_ms: market.now.0.saturating_sub(spot.at.0) / 1_000_000,
                absent: previous.is_none().then_some("no_previous_close").into_iter().collect(),
            },
        };
        serde_json::to_vec(&body).ok()
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        e.option(self.day, Encoder::day);
        e.option(self.closing, Encoder::f64);
        e.option(self.previous, |e, (day, close)| {
            e.day(day);
            e.f64(close);
        });
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let day = d.option(Decoder::day)?;
        let closing = d.option(Decoder::f64)?;
        let previous = d.option(|d| Ok((d.day()?, d.f64()?)))?;
        d.end()?;
        self.hours = day.and_then(|day| self.trading.session(self.venue, day));
        (self.day, self.closing, self.previous) = (day, closing, previous);
        Ok(())
    }
}

/// A difference of prices with the nine decimals that a price has.
fn points(value: f64) -> f64 {
    Price::from_f64_nearest(value).map_or(value, Price::to_f64) + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::book::Spot;

    /// 2025-12-19 20:20 UTC, 15:20 in New York.
    const FRIDAY: i64 = 1_766_175_600 * NANOS_PER_SECOND;
    const HOUR: i64 = 3_600 * NANOS_PER_SECOND;

    fn market(at: i64, day: i32, value: Option<f64>) -> Market<'static> {
        let at = RecvTime(at);
        let spot = value.map(|value| Spot { value, at, source: SpotSource::Index });
        let seq = orrery_journal::units::Seq::BEFORE_FIRST;
        Market { symbol: "SPX", book: None, spot, seq, now: at, day: TradingDay(day) }
    }

    fn see(model: &mut SpotModel, at: i64, day: i32, value: f64) {
        assert!(model.apply(&Change::Spot, &market(at, day, Some(value))));
    }

    fn body(model: &mut SpotModel, at: i64, day: i32, value: f64) -> serde_json::Value {
        let body = model.emit(&market(at, day, Some(value))).expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }

    #[test]
    fn it_says_value_moment_and_source_or_nothing() {
        let mut model = SpotModel::default();
        let none = market(FRIDAY, 20_441, None);
        assert!(!model.apply(&Change::All, &none));
        assert_eq!(model.emit(&none), None);
        let mut some = market(FRIDAY, 20_441, Some(6_834.5));
        assert!(model.apply(&Change::Spot, &some));
        assert!(!model.apply(&Change::Chain, &some));
        some.now = some.now.plus_nanos(1_500_000_000);
        assert_eq!(
            String::from_utf8(model.emit(&some).expect("a body")).as_deref(),
            Ok(concat!(
                r#"{"symbol":"I:SPX","value":6834.5,"#,
                r#""at":"2025-12-19T20:20:00.000000000Z","source":"index","#,
                r#""previous_close":null,"previous_day":null,"change":null,"change_percent":null,"#,
                r#""quality":{"age_ms":1500,"absent":["no_previous_close"]}}"#
            ))
        );
    }

    #[test]
    fn the_close_before_is_that_of_the_last_session_whatever_came_after_it() {
        let mut model = SpotModel::default();
        see(&mut model, FRIDAY, 20_441, 6_800.0);
        // 16:19 still settles, 16:20 does not, and a weekend has no session.
        see(&mut model, FRIDAY + 59 * HOUR / 60, 20_441, 6_830.0);
        see(&mut model, FRIDAY + HOUR, 20_441, 9_999.0);
        see(&mut model, FRIDAY + 24 * HOUR, 20_442, 5_000.0);
        let monday = FRIDAY + 72 * HOUR;
        let before = model.clone();
        see(&mut model, monday, 20_444, 6_898.3);
        let said = body(&mut model, monday, 20_444, 6_898.3);
        assert_eq!(
            (&said["previous_close"], &said["previous_day"]),
            (&6_830.0.into(), &"2025-12-19".into())
        );
        assert_eq!((&said["change"], &said["change_percent"]), (&68.3.into(), &1.0.into()));
        assert_eq!(said["quality"]["absent"], serde_json::json!([]));

        // Saved in between, it goes on the same.
        let mut saved = Vec::new();
        before.save(&mut saved);
        let mut again = SpotModel::default();
        again.restore(&saved, &market(0, 0, None)).expect("its own state");
        assert_eq!(again, before);
        see(&mut again, monday, 20_444, 6_898.3);
        assert_eq!(again, model);
    }

    #[test]
    fn the_close_of_a_day_that_is_over_counts_before_the_first_price_of_the_next() {
        let mut model = SpotModel::default();
        see(&mut model, FRIDAY, 20_441, 6_800.0);
        assert!(body(&mut model, FRIDAY, 20_441, 6_800.0)["previous_close"].is_null());
        let said = body(&mut model, FRIDAY + 20 * HOUR, 20_442, 6_800.0);
        assert_eq!((&said["previous_close"], &said["change"]), (&6_800.0.into(), &0.0.into()));
    }
}
