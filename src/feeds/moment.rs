//! Times as captured files write them: New York clocks, milliseconds of a day.

use chrono::{DateTime, Duration, LocalResult, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::America::New_York;
use orrery_journal::units::{RecvTime, TradingDay};

/// The moment at which a New York clock shows `local`.
///
/// The hour that a clock shows twice is taken the first time; the hour that it
/// skips is read as if the clock had not been moved yet.
#[must_use]
pub fn new_york(local: NaiveDateTime) -> Option<RecvTime> {
    let moment = match New_York.from_local_datetime(&local) {
        LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => t,
        LocalResult::None => {
            New_York.from_local_datetime(&(local - Duration::hours(1))).earliest()?
                + Duration::hours(1)
        }
    };
    moment.timestamp_nanos_opt().map(RecvTime)
}

/// A New York clock `millis` after midnight of `date`.
#[must_use]
pub fn new_york_millis(date: NaiveDate, millis: i64) -> Option<RecvTime> {
    // Two days are more than any session; the bound keeps chrono from overflow.
    if !(0..=172_800_000).contains(&millis) {
        return None;
    }
    new_york(date.and_hms_opt(0, 0, 0)? + Duration::milliseconds(millis))
}

/// `YYYY-MM-DD HH:MM:SS` (or with a `T`) of a clock that shows UTC.
#[must_use]
pub fn utc(text: &str) -> Option<RecvTime> {
    let local = NaiveDateTime::parse_from_str(&text.replace('T', " "), "%Y-%m-%d %H:%M:%S%.f");
    local.ok()?.and_utc().timestamp_nanos_opt().map(RecvTime)
}

/// The date in New York.
#[must_use]
pub fn new_york_date(at: RecvTime) -> Option<TradingDay> {
    let utc = DateTime::from_timestamp(at.seconds(), 0)?;
    Some(TradingDay::from_date(utc.with_timezone(&New_York).date_naive()))
}

/// The first `YYYYMMDD` or `YYYY-MM-DD` in a name.
#[must_use]
pub fn date_in(name: &str) -> Option<NaiveDate> {
    let bytes = name.as_bytes();
    (0..bytes.len()).find_map(|at| {
        let part = |len: usize| name.get(at..at + len);
        let alone = at == 0 || !bytes[at - 1].is_ascii_digit();
        let plain = part(8).filter(|p| p.bytes().all(|b| b.is_ascii_digit()));
        let parsed = plain
            .and_then(|p| NaiveDate::parse_from_str(p, "%Y%m%d").ok())
            .or_else(|| part(10).and_then(|p| NaiveDate::parse_from_str(p, "%Y-%m-%d").ok()));
        parsed.filter(|_| alone)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_york_knows_its_summer() {
        let day = |text: &str| date_in(text).expect("a date");
        let at = |text, ms| new_york_millis(day(text), ms).map(|t| t.to_rfc3339());
        assert_eq!(at("20131008", 34_200_000).as_deref(), Some("2013-10-08T13:30:00.000000000Z"));
        assert_eq!(at("20151224", 34_200_000).as_deref(), Some("2015-12-24T14:30:00.000000000Z"));
        assert_eq!(at("20260308", 9_000_000).as_deref(), Some("2026-03-08T07:30:00.000000000Z"));
        assert_eq!(at("20260308", -1), None);
    }

    #[test]
    fn dates_in_names() {
        for name in ["spy-trades-20131008.csv.zst", "a2013-10-08_x", "20131008T093000Z"] {
            assert_eq!(
                date_in(name).map(|d| d.to_string()).as_deref(),
                Some("2013-10-08"),
                "{name}"
            );
        }
        assert_eq!(date_in("bars-1m.csv"), None);
        assert_eq!(date_in("x999920131008"), None);
    }
}
