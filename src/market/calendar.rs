//! Exchange time: trading days, sessions, and the instants at which contracts
//! settle.
//!
//! Times of US options are New York times with daylight saving; crypto options
//! follow Deribit (08:00 UTC, never closed). Knows no vendor and reads no
//! clock: every moment is handed in.

mod holidays;

pub use holidays::{is_half_day, is_holiday};

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeZone, Weekday};
use chrono_tz::America::New_York;
use orrery_journal::Calendar;
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, TradingDay};

/// Version of the holiday rules and settlement times below. It is part of the
/// configuration hash: another answer of this file is another configuration.
pub const CALENDAR_VERSION: u32 = 1;

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

/// Roots that settle on the opening prices of their expiration day. Their
/// afternoon relatives (SPXW, NDXP, RUTW) are roots of their own.
const MORNING_ROOTS: [&str; 7] = ["SPX", "NDX", "RUT", "VIX", "VIXW", "DJX", "MXEF"];

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

/// First moment of a trading day and first moment of the next.
#[must_use]
pub fn day_bounds(calendar: Calendar, day: TradingDay) -> (RecvTime, RecvTime) {
    let midnight = |day: TradingDay| match calendar {
        Calendar::NewYork => new_york(day, 0, 0),
        Calendar::Utc => utc(day, 0, 0),
    };
    (midnight(day), midnight(TradingDay(day.0.saturating_add(1))))
}

/// Whether US exchanges trade on a day.
#[must_use]
pub fn is_trading_day(day: TradingDay) -> bool {
    day.date().is_some_and(|date| {
        !matches!(date.weekday(), Weekday::Sat | Weekday::Sun) && !is_holiday(date)
    })
}

/// Regular hours of a day, or `None` when the venue is closed.
#[must_use]
pub fn session(venue: Venue, day: TradingDay) -> Option<Session> {
    match venue {
        Venue::Crypto => {
            let (open, close) = day_bounds(Calendar::Utc, day);
            Some(Session { open, close })
        }
        Venue::UsOptions => is_trading_day(day).then(|| Session {
            open: new_york(day, 9, 30),
            close: new_york(day, close_hour(day), 0),
        }),
    }
}

/// Whether a venue is in its regular hours.
#[must_use]
pub fn in_session(venue: Venue, at: RecvTime) -> bool {
    let day = match venue {
        Venue::Crypto => return true,
        Venue::UsOptions => day_of(Calendar::NewYork, at),
    };
    session(venue, day).is_some_and(|session| session.contains(at))
}

/// The instant at which contracts of a root with an expiration date settle:
/// 09:30 New York for morning-settled index roots, the close (16:00, 13:00 on
/// half days) for everything else in the US, 08:00 UTC for crypto.
#[must_use]
pub fn settles_at(venue: Venue, root: &str, expiry: TradingDay) -> RecvTime {
    match venue {
        Venue::Crypto => utc(expiry, 8, 0),
        Venue::UsOptions if MORNING_ROOTS.contains(&root) => new_york(expiry, 9, 30),
        Venue::UsOptions => new_york(expiry, close_hour(expiry), 0),
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

/// Calendar days from a trading day to an expiration date; negative once it has
/// passed.
#[must_use]
pub fn dte(day: TradingDay, expiry: TradingDay) -> i32 {
    expiry.0.saturating_sub(day.0)
}

fn close_hour(day: TradingDay) -> u32 {
    if day.date().is_some_and(is_half_day) { 13 } else { 16 }
}

fn utc(day: TradingDay, hour: u32, minute: u32) -> RecvTime {
    let Some(local) = local(day, hour, minute) else { return end_of_time(day) };
    local.and_utc().timestamp_nanos_opt().map_or_else(|| end_of_time(day), RecvTime)
}

fn new_york(day: TradingDay, hour: u32, minute: u32) -> RecvTime {
    let Some(local) = local(day, hour, minute) else { return end_of_time(day) };
    // Clocks change at 02:00, so none of our hours is ambiguous or missing; the
    // fallback only keeps the function total.
    New_York
        .from_local_datetime(&local)
        .earliest()
        .and_then(|t| t.timestamp_nanos_opt())
        .map_or_else(|| utc(day, hour, minute).plus_nanos(5 * 3_600 * NANOS_PER_SECOND), RecvTime)
}

fn local(day: TradingDay, hour: u32, minute: u32) -> Option<chrono::NaiveDateTime> {
    let date: NaiveDate = day.date()?;
    Some(date.and_time(NaiveTime::from_hms_opt(hour, minute, 0)?))
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
        ] {
            assert_eq!(settles_at(venue, root, day(expiry)), at(want), "{root} {expiry}");
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
        assert!(in_session(us, at("2026-08-19T13:30:00Z")));
        assert!(!in_session(us, at("2026-08-19T13:29:59.999Z")));
        assert!(!in_session(us, at("2026-08-19T20:00:00Z")));
        assert!(!in_session(us, at("2015-12-24T18:00:00Z")), "half day");
        assert!(!in_session(us, at("2015-12-25T16:00:00Z")), "Christmas");
        assert!(!in_session(us, at("2026-08-22T16:00:00Z")), "Saturday");
        assert!(in_session(Venue::Crypto, at("2026-08-22T03:00:00Z")));
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
        assert_eq!(dte(day("2026-08-19"), day("2026-08-21")), 2);
    }
}
