//! Trading days: the calendar that names them and what each one holds.
//!
//! A day is decided once for each event, at append, from its recv time; it is
//! written into frames and pages and never computed again for stored events.

use chrono::TimeZone;
use chrono_tz::America::New_York;

use crate::event::{Kind, RefusalReason};
use crate::format::summary::{PageSummary, Tally};
use crate::units::{Address, NANOS_PER_SECOND, RecvTime, Seq, TradingDay};

/// How a moment maps to a trading day; chosen when the journal is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Calendar {
    /// The date in New York: index and equity options.
    #[default]
    NewYork,
    /// The date in UTC: crypto.
    Utc,
}

impl Calendar {
    /// The stable tag on disk.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Calendar::NewYork => 1,
            Calendar::Utc => 2,
        }
    }

    pub(crate) const fn from_tag(tag: u8) -> Option<Calendar> {
        match tag {
            1 => Some(Calendar::NewYork),
            2 => Some(Calendar::Utc),
            _ => None,
        }
    }

    /// The trading day of a moment.
    #[must_use]
    pub fn day_of(self, time: RecvTime) -> TradingDay {
        let utc = || TradingDay(time.seconds().div_euclid(86_400) as i32);
        match self {
            Calendar::Utc => utc(),
            Calendar::NewYork => New_York
                .timestamp_opt(time.seconds(), 0)
                .single()
                .map_or_else(utc, |local| TradingDay::from_date(local.date_naive())),
        }
    }
}

/// Remembers the day of a stretch of moments, so that most events cost one
/// comparison instead of a calendar computation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DayCache {
    calendar: Calendar,
    /// All of `from..=to` lies in `day`.
    from: i64,
    to: i64,
    day: TradingDay,
}

impl DayCache {
    pub(crate) fn new(calendar: Calendar) -> DayCache {
        DayCache { calendar, from: 0, to: -1, day: TradingDay(0) }
    }

    pub(crate) fn day_of(&mut self, time: RecvTime) -> TradingDay {
        if time.0 < self.from || time.0 > self.to {
            self.day = self.calendar.day_of(time);
            self.from = time.0;
            // Offsets change on full quarter hours, so a quarter has one date.
            let quarter = 900 * NANOS_PER_SECOND;
            self.to = time.0.div_euclid(quarter).saturating_add(1).saturating_mul(quarter) - 1;
        }
        self.day
    }

    /// The last moment that certainly is of the day that was told last.
    pub(crate) fn until(&self) -> RecvTime {
        RecvTime(self.to)
    }
}

/// A trading day of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct DaySummary {
    /// The date.
    pub day: TradingDay,
    /// First event.
    pub first: Seq,
    /// Last event so far.
    pub last: Seq,
    /// First moment.
    pub first_recv: RecvTime,
    /// Last moment.
    pub last_recv: RecvTime,
    /// Events by kind, ascending by tag; kinds without events are left out.
    pub kinds: Vec<(Kind, u64)>,
    /// Refused input by reason, ascending by tag.
    pub refused: Vec<(RefusalReason, u64)>,
    /// Whether a later day has begun, so that all its events lie in pages.
    pub sealed: bool,
    /// Whether retention dropped its events; what is said here stays.
    pub dropped: bool,
    /// Addresses of its pages.
    pub pages: Vec<Address>,
}

/// The days of `pages`, in order, and of `open`, the events behind them.
pub(crate) fn summarize<'a>(
    pages: impl Iterator<Item = &'a PageSummary>,
    open: Option<&PageSummary>,
) -> Vec<DaySummary> {
    let mut days: Vec<(DaySummary, Tally)> = Vec::new();
    let mut add = |page: &PageSummary, sealed: bool| {
        match days.last_mut() {
            Some((day, tally)) if day.day == page.day => {
                day.last = page.last();
                day.last_recv = page.last_recv;
                tally.merge(&page.tally);
            }
            _ => {
                if let Some((before, _)) = days.last_mut() {
                    before.sealed = true;
                }
                let day = DaySummary {
                    day: page.day,
                    first: page.first,
                    last: page.last(),
                    first_recv: page.first_recv,
                    last_recv: page.last_recv,
                    kinds: Vec::new(),
                    refused: Vec::new(),
                    sealed: false,
                    dropped: false,
                    pages: Vec::new(),
                };
                days.push((day, page.tally.clone()));
            }
        }
        if let (true, Some((day, _))) = (sealed, days.last_mut()) {
            day.pages.push(page.address);
        }
    };
    pages.for_each(|page| add(page, true));
    if let Some(open) = open {
        add(open, false);
    }
    days.into_iter()
        .map(|(day, tally)| DaySummary { kinds: tally.kinds(), refused: tally.refused(), ..day })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_local_midnight() {
        let at = |text| RecvTime::parse_rfc3339(text).expect("a moment");
        let day = |text| TradingDay::parse(text).expect("a date");
        for (calendar, moment, expected) in [
            (Calendar::NewYork, "2015-12-24T04:59:59.999999999Z", "2015-12-23"),
            (Calendar::NewYork, "2015-12-24T05:00:00Z", "2015-12-24"),
            (Calendar::NewYork, "2026-07-01T03:59:59Z", "2026-06-30"),
            (Calendar::NewYork, "2026-07-01T04:00:00Z", "2026-07-01"),
            (Calendar::Utc, "2026-07-01T00:00:00Z", "2026-07-01"),
            (Calendar::Utc, "1969-12-31T23:59:59Z", "1969-12-31"),
        ] {
            assert_eq!(calendar.day_of(at(moment)), day(expected), "{moment} in {calendar:?}");
        }
    }

    #[test]
    fn the_cache_agrees_with_the_calendar() {
        // Around both clock changes and both midnights of 2026.
        for calendar in [Calendar::NewYork, Calendar::Utc] {
            let mut cache = DayCache::new(calendar);
            for start in ["2026-03-08T00:00:00Z", "2026-11-01T00:00:00Z", "2026-12-31T00:00:00Z"] {
                let start = RecvTime::parse_rfc3339(start).expect("a moment");
                for step in 0..60_000 {
                    let at = start.plus_nanos(step * 2_999_999_999);
                    assert_eq!(cache.day_of(at), calendar.day_of(at), "{at}");
                }
            }
        }
    }
}
