//! The holiday rules of US exchanges as they stand today, for dates that no
//! table covers (long-dated expirations), and to check the table that ships.

use chrono::{Datelike, Days, NaiveDate, Weekday};

/// Whether US exchanges are closed for a scheduled holiday. Weekends are not
/// holidays.
pub(super) fn is_holiday(date: NaiveDate) -> bool {
    let year = date.year();
    new_year(date)
        || date == nth(year, 1, Weekday::Mon, 3)
        || date == nth(year, 2, Weekday::Mon, 3)
        || Some(date) == good_friday(year)
        || date == last_monday_of_may(year)
        || (year >= 2022 && observed(date, 6, 19))
        || observed(date, 7, 4)
        || date == nth(year, 9, Weekday::Mon, 1)
        || date == nth(year, 11, Weekday::Thu, 4)
        || observed(date, 12, 25)
}

/// Whether trading ends at 13:00: the day after Thanksgiving, July 3 and
/// December 24 where they are weekdays and no holiday themselves.
pub(super) fn is_half_day(date: NaiveDate) -> bool {
    if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) || is_holiday(date) {
        return false;
    }
    let thanksgiving = nth(date.year(), 11, Weekday::Thu, 4);
    date.pred_opt() == Some(thanksgiving) || matches!((date.month(), date.day()), (7, 3) | (12, 24))
}

/// Sunday moves to Monday; a Saturday is not made up for.
fn new_year(date: NaiveDate) -> bool {
    match (date.month(), date.day()) {
        (1, 1) => !matches!(date.weekday(), Weekday::Sat | Weekday::Sun),
        (1, 2) => date.weekday() == Weekday::Mon,
        _ => false,
    }
}

/// Saturday moves to Friday, Sunday to Monday.
fn observed(date: NaiveDate, month: u32, day: u32) -> bool {
    if date.month() != month {
        return false;
    }
    match date.weekday() {
        Weekday::Fri => date.day() == day || date.day() + 1 == day,
        Weekday::Mon => date.day() == day || date.day() == day + 1,
        Weekday::Sat | Weekday::Sun => false,
        Weekday::Tue | Weekday::Wed | Weekday::Thu => date.day() == day,
    }
}

fn nth(year: i32, month: u32, weekday: Weekday, n: u8) -> NaiveDate {
    NaiveDate::from_weekday_of_month_opt(year, month, weekday, n).unwrap_or(NaiveDate::MIN)
}

fn last_monday_of_may(year: i32) -> NaiveDate {
    NaiveDate::from_weekday_of_month_opt(year, 5, Weekday::Mon, 5)
        .unwrap_or_else(|| nth(year, 5, Weekday::Mon, 4))
}

/// Two days before Easter Sunday of the Gregorian calendar (the anonymous
/// computus: golden number, century corrections, epact, Sunday).
fn good_friday(year: i32) -> Option<NaiveDate> {
    let golden = year.rem_euclid(19);
    let (century, in_century) = (year.div_euclid(100), year.rem_euclid(100));
    let lunar = (century - (century + 8).div_euclid(25) + 1).div_euclid(3);
    let epact = (19 * golden + century - century.div_euclid(4) - lunar + 15).rem_euclid(30);
    let weekday = (32 + 2 * century.rem_euclid(4) + 2 * in_century.div_euclid(4)
        - epact
        - in_century.rem_euclid(4))
    .rem_euclid(7);
    let correction = (golden + 11 * epact + 22 * weekday).div_euclid(451);
    let days = epact + weekday - 7 * correction + 114;
    let easter = NaiveDate::from_ymd_opt(
        year,
        u32::try_from(days.div_euclid(31)).ok()?,
        u32::try_from(days.rem_euclid(31) + 1).ok()?,
    )?;
    easter.checked_sub_days(Days::new(2))
}
