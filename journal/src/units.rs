//! Numbers with a type and types with a unit.
//!
//! Two `u64` side by side are a bug in waiting, so every quantity that leaves a
//! function is one of these.

use std::fmt;

use chrono::{Datelike, NaiveDate};

/// Position in the journal. The first event is 1; gapless; never reused.
///
/// [`Seq::BEFORE_FIRST`] is only ever a lower bound ("after this"), never the
/// position of an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The bound below every event.
    pub const BEFORE_FIRST: Seq = Seq(0);
    /// The first event of every journal.
    pub const FIRST: Seq = Seq(1);
    /// The bound above every event.
    pub const MAX: Seq = Seq(u64::MAX);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }

    /// Big-endian bytes: the order of keys is the order of events.
    #[must_use]
    pub const fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The position that a key stands for, or `None` if it is no key of ours.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Seq> {
        key.try_into().ok().map(u64::from_be_bytes).map(Seq)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Nanoseconds since the Unix epoch, UTC: the moment the journal took an event.
///
/// Never decreasing along the journal, and the only clock inside a fold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RecvTime(pub i64);

/// Nanoseconds since the Unix epoch, UTC, as the vendor stamped it; may lie
/// before or after [`RecvTime`] and may run backwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct VendorTime(pub i64);

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

impl RecvTime {
    /// `nanos` later; saturates at the ends of time.
    #[must_use]
    pub const fn plus_nanos(self, nanos: i64) -> RecvTime {
        RecvTime(self.0.saturating_add(nanos))
    }

    /// Seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`, always nine decimals.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        chrono::DateTime::from_timestamp(self.seconds(), self.0.rem_euclid(NANOS_PER_SECOND) as u32)
            .map_or_else(
                || format!("{}ns", self.0),
                |t| t.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string(),
            )
    }

    /// Reads an RFC 3339 moment.
    ///
    /// Returns `None` for anything else and for moments outside of 1677..2262.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<RecvTime> {
        chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt().map(RecvTime)
    }
}

impl fmt::Display for RecvTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// A price. One unit is 1e-9 of the instrument's currency; absent is `None`,
/// never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Price(pub i64);

impl Price {
    /// Units in one currency unit.
    pub const SCALE: i64 = 1_000_000_000;

    /// The price that prints as `value`, or `None` where fixed point cannot
    /// hold it exactly (more than nine decimals, out of range, not finite).
    #[must_use]
    pub fn from_f64_exact(value: f64) -> Option<Price> {
        let price = Price::from_f64_nearest(value)?;
        (price.to_f64() == value).then_some(price)
    }

    /// The nearest price to `value`, or `None` when it is not finite or out of
    /// range (beyond 9.2e9).
    #[must_use]
    pub fn from_f64_nearest(value: f64) -> Option<Price> {
        let units = (value * Self::SCALE as f64).round();
        // 2^63 itself is not an i64; the bound is exclusive on purpose.
        (units.abs() < 9.223_372_036_854_775e18).then_some(Price(units as i64))
    }

    /// Currency units.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::SCALE as f64
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_f64())
    }
}

/// Dense number of a ticker, given by the journal before the ticker's first
/// use; 0 says that an event concerns no instrument.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct InstrumentId(pub u32);

impl InstrumentId {
    /// The event concerns no instrument.
    pub const NONE: InstrumentId = InstrumentId(0);
}

/// Dense number of a source (a captured file, a feed connection), given by the
/// journal before its first event; 0 is the journal itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SourceId(pub u16);

impl SourceId {
    /// The journal itself: clock beats, definitions.
    pub const JOURNAL: SourceId = SourceId(0);
}

/// blake3 of canonical bytes or of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(pub [u8; 32]);

impl Address {
    /// Address of a blob: plain blake3, so that `b3sum` agrees.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Address {
        Address(*blake3::hash(bytes).as_bytes())
    }

    /// Reads 64 hex digits.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Address> {
        blake3::Hash::from_hex(hex).ok().map(|h| Address(*h.as_bytes()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// A session date of the journal's calendar, as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TradingDay(pub i32);

impl TradingDay {
    /// The day of a calendar date.
    #[must_use]
    pub fn from_date(date: NaiveDate) -> TradingDay {
        // 719_163 is 1970-01-01 counted from 0001-01-01.
        TradingDay(date.num_days_from_ce() - 719_163)
    }

    /// The calendar date, or `None` outside of chrono's range.
    #[must_use]
    pub fn date(self) -> Option<NaiveDate> {
        NaiveDate::from_num_days_from_ce_opt(self.0.checked_add(719_163)?)
    }

    /// Reads `YYYY-MM-DD`.
    #[must_use]
    pub fn parse(text: &str) -> Option<TradingDay> {
        let date = match text.as_bytes() {
            // The usual form, many times as fast; a chain says it 30,000 times.
            &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]
                if [y1, y2, y3, y4, m1, m2, d1, d2].iter().all(u8::is_ascii_digit) =>
            {
                let number =
                    |digits: &[u8]| digits.iter().fold(0, |n, d| n * 10 + u32::from(d - b'0'));
                let year = i32::try_from(number(&[y1, y2, y3, y4])).ok()?;
                NaiveDate::from_ymd_opt(year, number(&[m1, m2]), number(&[d1, d2]))?
            }
            _ => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?,
        };
        Some(TradingDay::from_date(date))
    }
}

impl fmt::Display for TradingDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            Some(date) => write!(f, "{}", date.format("%Y-%m-%d")),
            None => write!(f, "day {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_hold_nine_decimals_exactly_and_refuse_the_rest() {
        assert_eq!(Price::from_f64_exact(0.78), Some(Price(780_000_000)));
        assert_eq!(Price::from_f64_exact(0.0040565), Some(Price(4_056_500)));
        assert_eq!(Price::from_f64_exact(395.529_998_779_296_9), None);
        assert_eq!(Price::from_f64_exact(f64::NAN), None);
        assert_eq!(Price::from_f64_nearest(f64::INFINITY), None);
        assert_eq!(Price::from_f64_nearest(1e10), None);
    }

    #[test]
    fn days_and_dates_agree() {
        assert_eq!(TradingDay::parse("1970-01-01"), Some(TradingDay(0)));
        assert_eq!(
            TradingDay::parse("2015-12-24").map(|d| d.to_string()).as_deref(),
            Some("2015-12-24")
        );
        assert_eq!(TradingDay::parse("2015-13-24"), None);
    }

    #[test]
    fn times_print_and_read_back() {
        let t = RecvTime(1_450_967_280_000_000_001);
        assert_eq!(t.to_rfc3339(), "2015-12-24T14:28:00.000000001Z");
        assert_eq!(RecvTime::parse_rfc3339(&t.to_rfc3339()), Some(t));
    }

    #[test]
    fn days_are_read_as_they_are_printed() {
        for (text, day) in [
            ("1970-01-01", Some(TradingDay(0))),
            ("2026-03-16", Some(TradingDay(20_528))),
            ("2024-02-29", Some(TradingDay(19_782))),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-00-10", None),
            ("2026/03/16", None),
            ("2026-3-16", Some(TradingDay(20_528))),
            ("", None),
        ] {
            assert_eq!(TradingDay::parse(text), day, "{text}");
        }
        for day in [0, 1, -1, 20_528, 19_782, 60_000] {
            assert_eq!(TradingDay::parse(&TradingDay(day).to_string()), Some(TradingDay(day)));
        }
    }
}
