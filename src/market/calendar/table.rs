//! When US options trade and settle, as data: holidays, half days, hours and
//! the roots that settle in the morning.
//!
//! The table that ships is `us-options.json` beside this file; a parameter file
//! may bring another one. All of it stands in the parameters, so that another
//! table is another configuration hash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::{Datelike, NaiveDate, NaiveTime, Weekday};
use orrery_journal::units::{Address, TradingDay};
use serde::{Deserialize, Serialize};

use super::rules;

/// Domain of calendar hashes; never used for anything else.
const HASH_CONTEXT: &str = "orrery 2026 trading calendar v1";

static SHIPPED: LazyLock<TradingCalendar> = LazyLock::new(|| {
    // The text is part of the program, and a test reads it.
    serde_json::from_str(include_str!("us-options.json")).unwrap_or_else(|_| unreachable!())
});

/// Trading days and hours of US options.
///
/// Years that the table does not have follow the rules of the exchange as they
/// stand today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct TradingCalendar {
    text: Text,
    open: NaiveTime,
    close: NaiveTime,
    half_close: NaiveTime,
    holidays: BTreeSet<NaiveDate>,
    half_days: BTreeSet<NaiveDate>,
}

/// The table as people write it: times `HH:MM` in New York, days `MM-DD` by
/// year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: String,
    open: String,
    close: String,
    half_close: String,
    morning_roots: BTreeSet<String>,
    holidays: BTreeMap<i32, String>,
    half_days: BTreeMap<i32, String>,
}

/// A calendar that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trading calendar: {0}")]
pub struct CalendarError(String);

/// What a day is to US exchanges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DayKind {
    /// Open until the usual close.
    Full,
    /// Open until the early close.
    Half,
    /// A weekday on which nobody trades.
    Holiday,
    /// Saturday or Sunday.
    Weekend,
}

impl DayKind {
    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DayKind::Full => "full",
            DayKind::Half => "half",
            DayKind::Holiday => "holiday",
            DayKind::Weekend => "weekend",
        }
    }
}

impl Default for TradingCalendar {
    fn default() -> TradingCalendar {
        TradingCalendar::shipped().clone()
    }
}

impl TradingCalendar {
    /// The calendar that ships with this build.
    #[must_use]
    pub fn shipped() -> &'static TradingCalendar {
        &SHIPPED
    }

    /// Its name and version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.text.version
    }

    /// blake3 over its canonical JSON.
    #[must_use]
    pub fn hash(&self) -> Address {
        // Strings and maps with integer keys always serialise.
        let bytes = serde_json::to_vec(&self.text).unwrap_or_default();
        Address(blake3::derive_key(HASH_CONTEXT, &bytes))
    }

    /// Whether another calendar carries the name of the one that ships.
    #[must_use]
    pub fn is_misnamed(&self) -> bool {
        let shipped = TradingCalendar::shipped();
        self.text.version == shipped.text.version && self != shipped
    }

    /// What a day is.
    #[must_use]
    pub fn kind(&self, day: TradingDay) -> DayKind {
        let Some(date) = day.date() else { return DayKind::Weekend };
        if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
            return DayKind::Weekend;
        }
        let year = date.year();
        let is_holiday = match self.text.holidays.contains_key(&year) {
            true => self.holidays.contains(&date),
            false => rules::is_holiday(date),
        };
        let is_half = match self.text.half_days.contains_key(&year) {
            true => self.half_days.contains(&date),
            false => rules::is_half_day(date),
        };
        match (is_holiday, is_half) {
            (true, _) => DayKind::Holiday,
            (false, true) => DayKind::Half,
            (false, false) => DayKind::Full,
        }
    }

    /// Whether US exchanges trade on a day.
    #[must_use]
    pub fn is_trading_day(&self, day: TradingDay) -> bool {
        matches!(self.kind(day), DayKind::Full | DayKind::Half)
    }

    /// The last trading day up to and including a day. Expirations of before
    /// 2015 are dated Saturdays; they settle on the Friday before, or on the
    /// Thursday where that is a holiday.
    #[must_use]
    pub fn settlement_day(&self, expiry: TradingDay) -> TradingDay {
        // No exchange was ever closed for two weeks.
        (0..14)
            .map(|back| TradingDay(expiry.0.saturating_sub(back)))
            .find(|day| self.is_trading_day(*day))
            .unwrap_or(expiry)
    }

    /// Whether a root settles on opening prices.
    #[must_use]
    pub fn settles_in_the_morning(&self, root: &str) -> bool {
        self.text.morning_roots.contains(root)
    }

    /// Opening time of every trading day, New York.
    #[must_use]
    pub(super) fn open(&self) -> NaiveTime {
        self.open
    }

    /// Closing time of a day, New York.
    #[must_use]
    pub(super) fn close(&self, day: TradingDay) -> NaiveTime {
        match self.kind(day) {
            DayKind::Half => self.half_close,
            DayKind::Full | DayKind::Holiday | DayKind::Weekend => self.close,
        }
    }
}

impl From<TradingCalendar> for Text {
    fn from(calendar: TradingCalendar) -> Text {
        calendar.text
    }
}

impl TryFrom<Text> for TradingCalendar {
    type Error = CalendarError;

    fn try_from(text: Text) -> Result<TradingCalendar, CalendarError> {
        let refuse = |what: String| Err(CalendarError(what));
        let time = |name: &str, text: &str| {
            NaiveTime::parse_from_str(text, "%H:%M")
                .map_err(|_| CalendarError(format!("{name} {text:?} is no time HH:MM")))
        };
        if text.version.trim().is_empty() {
            return refuse("it needs a version, such as mine@1".to_owned());
        }
        let open = time("open", &text.open)?;
        let close = time("close", &text.close)?;
        let half_close = time("half_close", &text.half_close)?;
        if !(open < half_close && half_close <= close) {
            return refuse("open, half_close and close must follow each other".to_owned());
        }
        let holidays = days("holidays", &text.holidays)?;
        let half_days = days("half_days", &text.half_days)?;
        if let Some(both) = holidays.intersection(&half_days).next() {
            return refuse(format!("{both} is a holiday and a half day"));
        }
        if !text.holidays.keys().eq(text.half_days.keys()) {
            return refuse("holidays and half_days must have the same years".to_owned());
        }
        Ok(TradingCalendar { text, open, close, half_close, holidays, half_days })
    }
}

fn days(name: &str, years: &BTreeMap<i32, String>) -> Result<BTreeSet<NaiveDate>, CalendarError> {
    let mut found = BTreeSet::new();
    for (year, list) in years {
        for item in list.split_whitespace() {
            let date = NaiveDate::parse_from_str(&format!("{year}-{item}"), "%Y-%m-%d")
                .map_err(|_| CalendarError(format!("{name} of {year}: {item:?} is no MM-DD")))?;
            if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
                return Err(CalendarError(format!("{name}: {date} is a {}", date.weekday())));
            }
            if !found.insert(date) {
                return Err(CalendarError(format!("{name}: {date} stands there twice")));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> TradingDay {
        TradingDay::parse(text).expect("a date")
    }

    #[test]
    fn the_table_that_ships_is_the_rules_and_the_closures_that_no_rule_foretells() {
        // Storm Sandy and two days of mourning.
        let closures = ["2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"].map(day);
        let shipped = TradingCalendar::shipped();
        assert_eq!(shipped.text.holidays.keys().copied().collect::<Vec<_>>(), {
            (2010..=2030).collect::<Vec<_>>()
        });
        let first = day("2010-01-01").0;
        for n in first..=day("2030-12-31").0 {
            let date = TradingDay(n).date().expect("in range");
            let want = match date.weekday() {
                Weekday::Sat | Weekday::Sun => DayKind::Weekend,
                _ if closures.contains(&TradingDay(n)) => DayKind::Holiday,
                _ if rules::is_holiday(date) => DayKind::Holiday,
                _ if rules::is_half_day(date) => DayKind::Half,
                _ => DayKind::Full,
            };
            assert_eq!(shipped.kind(TradingDay(n)), want, "{date}");
        }
        // Beyond the table the rules go on.
        assert_eq!(shipped.kind(day("2031-04-11")), DayKind::Holiday, "Good Friday");
        assert_eq!(shipped.kind(day("2035-07-03")), DayKind::Half);
        assert_eq!(shipped.kind(day("2009-12-25")), DayKind::Holiday);
    }

    #[test]
    fn holidays_and_half_days_are_those_that_the_exchange_published() {
        let shipped = TradingCalendar::shipped();
        for (year, holidays, half_days) in [
            (
                2012,
                "01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25",
                "07-03 11-23 12-24",
            ),
            (2015, "01-01 01-19 02-16 04-03 05-25 07-03 09-07 11-26 12-25", "11-27 12-24"),
            (2021, "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24", "11-26"),
            (2022, "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26", "11-25"),
            (
                2025,
                "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
                "07-03 11-28 12-24",
            ),
        ] {
            assert_eq!(shipped.text.holidays[&year], holidays, "{year}");
            assert_eq!(shipped.text.half_days[&year], half_days, "{year}");
        }
    }

    #[test]
    fn a_calendar_that_contradicts_itself_is_refused_by_name() {
        let refused = |from: &str, to: &str| {
            let text = include_str!("us-options.json");
            assert!(text.contains(from), "{from}");
            let read = serde_json::from_str::<TradingCalendar>(&text.replacen(from, to, 1));
            read.expect_err("refused").to_string()
        };
        for (from, to, told) in [
            ("01-18 02-15 04-02 05-31", "01-18 13-45 04-02 05-31", "13-45"),
            ("01-18 02-15 04-02 05-31", "01-16 02-15 04-02 05-31", "2010-01-16 is a Sat"),
            ("01-18 02-15 04-02 05-31", "01-18 02-15 02-15 05-31", "twice"),
            ("\"2010\": \"11-26\"", "\"2010\": \"11-25\"", "a holiday and a half day"),
            ("\"2010\": \"11-26\"", "\"2009\": \"11-27\"", "same years"),
            ("\"13:00\"", "\"25:00\"", "no time"),
            ("\"13:00\"", "\"09:00\"", "follow each other"),
            ("us-options/2010-2030@1", "", "version"),
            ("\"open\"", "\"opens\"", "opens"),
        ] {
            let got = refused(from, to);
            assert!(got.contains(told), "{to}: {got}");
        }
    }

    #[test]
    fn another_calendar_has_another_hash_and_must_have_another_name() {
        let text = include_str!("us-options.json").replacen("\"11-26\"", "\"\"", 1);
        let mut other: TradingCalendar = serde_json::from_str(&text).expect("a calendar");
        assert!(other.is_misnamed() && !TradingCalendar::shipped().is_misnamed());
        assert_ne!(other.hash(), TradingCalendar::shipped().hash());
        assert_eq!(other.kind(day("2010-11-26")), DayKind::Full);
        other.text.version = "mine@1".to_owned();
        assert!(!other.is_misnamed());
        let again = serde_json::to_string(&other).expect("JSON");
        assert_eq!(serde_json::from_str::<TradingCalendar>(&again).expect("its own"), other);
    }

    #[test]
    fn an_expiry_without_trading_settles_on_the_trading_day_before() {
        let shipped = TradingCalendar::shipped();
        for (expiry, want) in [
            ("2012-01-21", "2012-01-20"),
            ("2014-04-19", "2014-04-17"),
            ("2026-08-21", "2026-08-21"),
            ("2012-10-30", "2012-10-26"),
            ("2018-12-05", "2018-12-04"),
        ] {
            assert_eq!(shipped.settlement_day(day(expiry)), day(want), "{expiry}");
        }
    }
}
