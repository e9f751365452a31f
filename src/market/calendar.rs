//! Exchange time: trading days, sessions, and the instants at which contracts
//! settle.
//!
//! Times of US options are New York times with daylight saving; crypto options
//! follow Deribit (08:00 UTC, never closed). Which days and hours those are is
//! data ([`TradingCalendar`]). Knows no vendor and reads no clock: every moment
//! is handed in.

mod rules;
mod table;

pub use table::{CalendarError, DayKind, TradingCalendar};

use chrono::{DateTime, NaiveTime, TimeZone, Timelike};
use chrono_tz::America::New_York;
use orrery_journal::Calendar;
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, TradingDay};

/// Version of what the functions below make of a calendar. It is part of the
/// configuration hash: another answer of this file is another configuration.
/// 2: an expiry without trading settles on the trading day before. 3: days to
/// expiry count to the day of settlement.
pub const CALENDAR_VERSION: u32 = 3;

/// Five minutes, in years of 365 days: the default floor of
/// [`time_to_settlement_years`]. Gamma of an expiring contract grows with
/// 1/sqrt(T), so the floor decides what the last minutes look like.
pub const FLOOR_FIVE_MINUTES_YEARS: f64 = 300.0 / (365.0 * 86_400.0);

const NANOS_PER_YEAR: f64 = 365.0 * 86_400.0 * 1e9;

/// Whose hours apply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Venue {
    /// Listed options in the United States, New York time.
    UsOptions,
    /// Deribit: never closed, settles at 08:00 UTC.
    Crypto,
}

impl Venue {
    /// Deribit writes dashes into its option tickers, OCC never does.
    #[must_use]
    pub fn of_option(ticker: &str) -> Venue {
        if ticker.contains('-') { Venue::Crypto } else { Venue::UsOptions }
    }
}

/// Trading hours of a day: open inclusive, close exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// First moment.
    pub open: RecvTime,
    /// First moment after.
    pub close: RecvTime,
}

impl Session {
    /// Whether a moment lies inside.
    #[must_use]
    pub fn contains(&self, at: RecvTime) -> bool {
        self.open <= at && at < self.close
    }
}

/// The trading day of a moment: its date in the journal's calendar.
#[must_use]
pub fn day_of(calendar: Calendar, at: RecvTime) -> TradingDay {
    let utc = DateTime::from_timestamp_nanos(at.0);
    TradingDay::from_date(match calendar {
        Calendar::NewYork => utc.with_timezone(&New_York).date_naive(),
        Calendar::Utc => utc.date_naive(),
    })
}

/// The hour of the day in New York, with its fraction: 9.5 at half past nine.
#[must_use]
pub fn hour_in_new_york(at: RecvTime) -> f64 {
    let time = DateTime::from_timestamp_nanos(at.0).with_timezone(&New_York).time();
    f64::from(time.num_seconds_from_midnight()) / 3_600.0
}

/// First moment of a trading day and first moment of the next.
#[must_use]
pub fn day_bounds(calendar: Calendar, day: TradingDay) -> (RecvTime, RecvTime) {
    let midnight = |day: TradingDay| match calendar {
        Calendar::NewYork => new_york(day, NaiveTime::MIN),
        Calendar::Utc => utc(day, NaiveTime::MIN),
    };
    (midnight(day), midnight(TradingDay(day.0.saturating_add(1))))
}

impl TradingCalendar {
    /// Regular hours of a day, or `None` when the venue is closed.
    #[must_use]
    pub fn session(&self, venue: Venue, day: TradingDay) -> Option<Session> {
        match venue {
            Venue::Crypto => {
                let (open, close) = day_bounds(Calendar::Utc, day);
                Some(Session { open, close })
            }
            Venue::UsOptions => self.is_trading_day(day).then(|| Session {
                open: new_york(day, self.open()),
                close: new_york(day, self.close(day)),
            }),
        }
    }

    /// Whether a venue is in its regular hours.
    #[must_use]
    pub fn in_session(&self, venue: Venue, at: RecvTime) -> bool {
        let day = match venue {
            Venue::Crypto => return true,
            Venue::UsOptions => day_of(Calendar::NewYork, at),
        };
        self.session(venue, day).is_some_and(|session| session.contains(at))
    }

    /// The day on which contracts with an expiration date settle: the date itself,
    /// or the last trading day before it where the venue is closed.
    #[must_use]
    pub fn settles_on(&self, venue: Venue, expiry: TradingDay) -> TradingDay {
        match venue {
            Venue::Crypto => expiry,
            Venue::UsOptions => self.settlement_day(expiry),
        }
    }

    /// The instant at which contracts of a root with an expiration date settle:
    /// the open in New York for morning-settled index roots, the close (the
    /// early one on half days) for everything else in the US, 08:00 UTC for
    /// crypto. A date without trading settles on the last trading day before it.
    #[must_use]
    pub fn settles_at(&self, venue: Venue, root: &str, expiry: TradingDay) -> RecvTime {
        let day = self.settles_on(venue, expiry);
        if venue == Venue::Crypto {
            return utc(day, clock(8, 0));
        }
        let morning = self.settles_in_the_morning(root);
        new_york(day, if morning { self.open() } else { self.close(day) })
    }
}

/// Time to a settlement in years of 365 days, at least `floor_years`; `None`
/// once it has passed: an expired contract has no time value, not a small one.
#[must_use]
pub fn time_to_settlement_years(
    now: RecvTime,
    settles_at: RecvTime,
    floor_years: f64,
) -> Option<f64> {
    let left = settles_at.0.checked_sub(now.0)?;
    (left > 0).then(|| (left as f64 / NANOS_PER_YEAR).max(floor_years))
}

fn clock(hour: u32, minute: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or(NaiveTime::MIN)
}

fn utc(day: TradingDay, time: NaiveTime) -> RecvTime {
    let Some(date) = day.date() else { return end_of_time(day) };
    let at = date.and_time(time).and_utc().timestamp_nanos_opt();
    at.map_or_else(|| end_of_time(day), RecvTime)
}

fn new_york(day: TradingDay, time: NaiveTime) -> RecvTime {
    let Some(date) = day.date() else { return end_of_time(day) };
    // Clocks change at 02:00, so none of our hours is ambiguous or missing; the
    // fallback only keeps the function total.
    New_York
        .from_local_datetime(&date.and_time(time))
        .earliest()
        .and_then(|t| t.timestamp_nanos_opt())
        .map_or_else(|| utc(day, time).plus_nanos(5 * 3_600 * NANOS_PER_SECOND), RecvTime)
}

/// Where dates leave the range of 64-bit nanoseconds (1677 to 2262).
fn end_of_time(day: TradingDay) -> RecvTime {
    RecvTime(if day.0 < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> TradingDay {
        TradingDay::parse(text).expect("a date")
    }

    fn at(text: &str) -> RecvTime {
        RecvTime::parse_rfc3339(text).expect("a moment")
    }

    fn calendar() -> &'static TradingCalendar {
        TradingCalendar::shipped()
    }

    #[test]
    fn settlements_follow_root_season_and_half_days() {
        let us = Venue::UsOptions;
        // Winter, summer, half day, morning root, crypto.
        for (venue, root, expiry, want) in [
            (us, "SPXW", "2025-12-19", "2025-12-19T21:00:00Z"),
            (us, "SPXW", "2026-08-19", "2026-08-19T20:00:00Z"),
            (us, "GOOG", "2015-12-24", "2015-12-24T18:00:00Z"),
            (us, "SPX", "2025-12-19", "2025-12-19T14:30:00Z"),
            (us, "SPX", "2026-08-21", "2026-08-21T13:30:00Z"),
            (us, "NDXP", "2026-08-21", "2026-08-21T20:00:00Z"),
            (Venue::Crypto, "BTC", "2026-12-25", "2026-12-25T08:00:00Z"),
            // Dated Saturday until 2015: Friday's open or close; Good Friday
            // 2014 moves both to Thursday.
            (us, "SPX", "2012-01-21", "2012-01-20T14:30:00Z"),
            (us, "GOOG", "2012-01-21", "2012-01-20T21:00:00Z"),
            (us, "SPX", "2014-04-19", "2014-04-17T13:30:00Z"),
            (us, "AAPL", "2014-04-19", "2014-04-17T20:00:00Z"),
            (Venue::Crypto, "BTC", "2026-12-26", "2026-12-26T08:00:00Z"),
        ] {
            assert_eq!(
                calendar().settles_at(venue, root, day(expiry)),
                at(want),
                "{root} {expiry}"
            );
        }
    }

    #[test]
    fn days_turn_at_midnight_of_their_calendar() {
        let late = at("2026-08-20T03:59:59.999999999Z");
        assert_eq!(day_of(Calendar::NewYork, late), day("2026-08-19"));
        assert_eq!(day_of(Calendar::NewYork, late.plus_nanos(1)), day("2026-08-20"));
        assert_eq!(day_of(Calendar::Utc, late), day("2026-08-20"));
        // The day on which clocks change has 23 hours.
        let (from, until) = day_bounds(Calendar::NewYork, day("2026-03-08"));
        assert_eq!(until.0 - from.0, 23 * 3_600 * NANOS_PER_SECOND);
        assert_eq!(day_of(Calendar::NewYork, from), day("2026-03-08"));
        assert_eq!(day_of(Calendar::NewYork, until), day("2026-03-09"));
    }

    #[test]
    fn sessions_open_and_close() {
        let us = Venue::UsOptions;
        assert!(calendar().in_session(us, at("2026-08-19T13:30:00Z")));
        assert!(!calendar().in_session(us, at("2026-08-19T13:29:59.999Z")));
        assert!(!calendar().in_session(us, at("2026-08-19T20:00:00Z")));
        assert!(!calendar().in_session(us, at("2015-12-24T18:00:00Z")), "half day");
        assert!(!calendar().in_session(us, at("2015-12-25T16:00:00Z")), "Christmas");
        assert!(!calendar().in_session(us, at("2026-08-22T16:00:00Z")), "Saturday");
        assert!(calendar().in_session(Venue::Crypto, at("2026-08-22T03:00:00Z")));
    }

    #[test]
    fn time_to_settlement_has_a_floor_and_an_end() {
        let settles = at("2026-08-19T20:00:00Z");
        let floor = FLOOR_FIVE_MINUTES_YEARS;
        let day_before = settles.plus_nanos(-86_400 * NANOS_PER_SECOND);
        let years = time_to_settlement_years(day_before, settles, floor).expect("alive");
        assert!((years - 1.0 / 365.0).abs() < 1e-15);
        assert_eq!(time_to_settlement_years(settles.plus_nanos(-1), settles, floor), Some(floor));
        assert_eq!(time_to_settlement_years(settles, settles, floor), None);
    }
}
