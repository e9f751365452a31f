//! Holidays and half days of US exchanges, by rule, with the unscheduled
//! closures since 2010. Change anything here together with
//! [`CALENDAR_VERSION`](super::CALENDAR_VERSION).

use chrono::{Datelike, Days, NaiveDate, Weekday};

/// Closures that no rule foretells: storm Sandy, days of mourning.
const UNSCHEDULED: [(i32, u32, u32); 4] =
    [(2012, 10, 29), (2012, 10, 30), (2018, 12, 5), (2025, 1, 9)];

/// Whether US exchanges are closed for a holiday. Weekends are not holidays.
#[must_use]
pub fn is_holiday(date: NaiveDate) -> bool {
    let (year, month, day) = (date.year(), date.month(), date.day());
    UNSCHEDULED.contains(&(year, month, day))
        || new_year(date)
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
#[must_use]
pub fn is_half_day(date: NaiveDate) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn weekdays(year: i32, wanted: fn(NaiveDate) -> bool) -> Vec<String> {
        let first = NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
        first
            .iter_days()
            .take_while(|d| d.year() == year)
            .filter(|d| wanted(*d))
            .map(|d| d.format("%m-%d").to_string())
            .collect()
    }

    #[test]
    fn holidays_are_those_of_the_exchange() {
        // As published by the exchange for these years.
        for (year, want) in [
            (2012, "01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25"),
            (2015, "01-01 01-19 02-16 04-03 05-25 07-03 09-07 11-26 12-25"),
            (2021, "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24"),
            (2022, "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26"),
            (2025, "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25"),
            (2026, "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25"),
        ] {
            assert_eq!(weekdays(year, is_holiday).join(" "), want, "{year}");
        }
    }

    #[test]
    fn half_days_are_those_of_the_exchange() {
        for (year, want) in [
            (2013, "07-03 11-29 12-24"),
            (2015, "11-27 12-24"),
            (2020, "11-27 12-24"),
            (2021, "11-26"),
            (2025, "07-03 11-28 12-24"),
            (2026, "11-27 12-24"),
        ] {
            assert_eq!(weekdays(year, is_half_day).join(" "), want, "{year}");
        }
    }
}
