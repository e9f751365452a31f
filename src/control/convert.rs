//! Between our types and the schema's.

use chrono::{Datelike as _, NaiveDate};
use orrery_journal::event::OptionRight;
use orrery_journal::units::{Address, NANOS_PER_SECOND, Price, RecvTime, Seq, TradingDay};
use orrery_proto::v1;
use orrery_replay::artifact::Header;
use prost_types::Timestamp;
use tonic::Status;

use super::AsOf;
use super::status::invalid;
use crate::market::book::{Contract, ContractState};
use crate::market::epoch::{EpochRecord, EpochState, Moment};

/// A time on the wire.
pub fn timestamp(time: RecvTime) -> Timestamp {
    Timestamp {
        seconds: time.seconds(),
        nanos: i32::try_from(time.0.rem_euclid(NANOS_PER_SECOND)).unwrap_or_default(),
    }
}

/// A time from the wire.
pub fn recv_time(field: &str, time: Timestamp) -> Result<RecvTime, Status> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(invalid(field, "nanos must lie in 0..=999,999,999"));
    }
    time.seconds
        .checked_mul(NANOS_PER_SECOND)
        .and_then(|nanos| nanos.checked_add(i64::from(time.nanos)))
        .map(RecvTime)
        .ok_or_else(|| invalid(field, "lies outside of the years 1677 to 2262"))
}

/// A moment on the wire.
pub fn moment(moment: Moment) -> v1::Moment {
    v1::Moment { seq: moment.seq.0, time: Some(timestamp(moment.at)) }
}

/// The moment that a request asks for.
pub fn as_of(asked: Option<v1::AsOf>) -> Result<AsOf, Status> {
    Ok(match asked.and_then(|a| a.bound) {
        None => AsOf::Head,
        Some(v1::as_of::Bound::Seq(0)) => {
            return Err(invalid("as_of.seq", "the first event is 1"));
        }
        Some(v1::as_of::Bound::Seq(seq)) => AsOf::Seq(Seq(seq)),
        Some(v1::as_of::Bound::Time(time)) => AsOf::Time(recv_time("as_of.time", time)?),
    })
}

/// A date on the wire.
pub fn date(day: TradingDay) -> Option<v1::Date> {
    let date = day.date()?;
    Some(v1::Date {
        year: date.year(),
        month: i32::try_from(date.month()).ok()?,
        day: i32::try_from(date.day()).ok()?,
    })
}

/// A date from the wire.
pub fn trading_day(field: &str, date: Option<v1::Date>) -> Result<TradingDay, Status> {
    let date = date.ok_or_else(|| invalid(field, "must be given"))?;
    let (Ok(month), Ok(day), 1..=9999) =
        (u32::try_from(date.month), u32::try_from(date.day), date.year)
    else {
        return Err(invalid(field, "is not a calendar date"));
    };
    NaiveDate::from_ymd_opt(date.year, month, day)
        .map(TradingDay::from_date)
        .ok_or_else(|| invalid(field, "is not a calendar date"))
}

/// The symbol of a request.
pub fn symbol(symbol: &str) -> Result<&str, Status> {
    name("symbol", symbol)
}

/// A symbol or family: short, printable, without blanks.
pub fn name<'a>(field: &str, text: &'a str) -> Result<&'a str, Status> {
    if text.is_empty() {
        return Err(invalid(field, "must be given"));
    }
    if text.len() > 64 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid(field, "is at most 64 printable ASCII characters"));
    }
    Ok(text)
}

/// An epoch id; `None` when empty.
pub fn epoch_id(text: &str) -> Result<Option<Address>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    Address::parse(text).map(Some).ok_or_else(|| invalid("epoch_id", "is not 64 hex digits"))
}

/// Bounds of a range, both included.
pub fn range(field: &str, range: Option<v1::Range>) -> Result<(f64, f64), Status> {
    let range = range.unwrap_or_default();
    let min = range.min.unwrap_or(f64::NEG_INFINITY);
    let max = range.max.unwrap_or(f64::INFINITY);
    if min.is_nan() || max.is_nan() {
        return Err(invalid(field, "is not a number"));
    }
    if min > max {
        return Err(invalid(field, "min lies above max"));
    }
    Ok((min, max))
}

/// An epoch on the wire.
pub fn epoch(symbol: &str, epoch: EpochRecord) -> v1::Epoch {
    let state = match epoch.state() {
        EpochState::Warming => v1::EpochState::Warming,
        EpochState::Active => v1::EpochState::Active,
        EpochState::Retired => v1::EpochState::Retired,
    };
    v1::Epoch {
        id: epoch.id.to_string(),
        symbol: symbol.to_owned(),
        state: state.into(),
        born_seq: epoch.born.seq.0,
        born_at: Some(timestamp(epoch.born.at)),
        promoted_seq: epoch.promoted.map(|m| m.seq.0),
        promoted_at: epoch.promoted.map(|m| timestamp(m.at)),
        retired_seq: epoch.retired.map(|m| m.seq.0),
        retired_at: epoch.retired.map(|m| timestamp(m.at)),
        roots: epoch.roots.into_iter().map(Into::into).collect(),
        expirations: epoch.expiries.into_iter().filter_map(date).collect(),
        widths: epoch.widths.into_iter().map(Price::to_f64).collect(),
        strikes: epoch
            .strike_range
            .map(|(min, max)| v1::Range { min: Some(min.to_f64()), max: Some(max.to_f64()) }),
        contracts: epoch.contracts.into(),
        dormant: epoch.dormant,
    }
}

/// A contract with its state on the wire.
pub fn contract(contract: &Contract, state: &ContractState, day: TradingDay) -> v1::Contract {
    let right = match contract.right {
        OptionRight::Call => v1::OptionRight::Call,
        OptionRight::Put => v1::OptionRight::Put,
    };
    v1::Contract {
        ticker: contract.ticker.to_string(),
        root: contract.root.to_string(),
        expiration: date(contract.expiry),
        dte: contract.dte(day),
        strike: contract.strike.to_f64(),
        right: right.into(),
        multiplier: contract.multiplier,
        settles_at: Some(timestamp(contract.settles_at)),
        bid: state.bid,
        ask: state.ask,
        quoted_at: state.quoted_at.map(timestamp),
        last: state.last,
        traded_at: state.traded_at.map(timestamp),
        open_interest: state.open_interest,
        volume: state.volume,
        implied_volatility: state.implied_volatility,
        delta: state.delta,
        gamma: state.gamma,
        theta: state.theta,
        vega: state.vega,
    }
}

/// A header on the wire.
pub fn header(header: &Header) -> v1::ArtifactHeader {
    v1::ArtifactHeader {
        symbol: header.symbol.to_string(),
        family: header.family.to_string(),
        version: header.version,
        epoch_id: header.epoch.map(|id| id.to_string()).unwrap_or_default(),
        profile: header.profile.to_string(),
        configuration: header.configuration.to_string(),
        seq_first: header.seq_first.0,
        seq_last: header.seq_last.0,
        created_at: Some(timestamp(header.created_at)),
        content: header.content.to_string(),
        body_bytes: header.body_len,
        previous: header.previous.to_string(),
    }
}

/// A header from the wire.
pub fn header_said(said: v1::ArtifactHeader) -> Result<Header, Status> {
    let address = |field, text: &str| {
        Address::parse(text).ok_or_else(|| invalid(field, "is not 64 hex digits"))
    };
    Ok(Header {
        symbol: said.symbol.into(),
        family: said.family.into(),
        version: said.version,
        epoch: epoch_id(&said.epoch_id)?,
        profile: said.profile.into(),
        configuration: address("configuration", &said.configuration)?,
        seq_first: Seq(said.seq_first),
        seq_last: Seq(said.seq_last),
        created_at: recv_time("created_at", said.created_at.unwrap_or_default())?,
        content: address("content", &said.content)?,
        body_len: said.body_bytes,
        previous: address("previous", &said.previous)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds_both_ways_also_before_1970() {
        for time in [RecvTime(0), RecvTime(-1), RecvTime(1_450_967_280_000_000_001)] {
            assert_eq!(recv_time("t", timestamp(time)).expect("in range"), time);
        }
        for (seconds, nanos) in [(i64::MAX, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(recv_time("t", Timestamp { seconds, nanos }).is_err());
        }
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        let day = |year, month, day| trading_day("day", Some(v1::Date { year, month, day }));
        assert_eq!(day(2015, 12, 24).expect("a date").to_string(), "2015-12-24");
        assert!(day(2015, 2, 29).is_err());
        assert!(day(2015, -1, 1).is_err());
        assert!(day(0, 1, 1).is_err());
        assert!(trading_day("day", None).is_err());
    }

    #[test]
    fn ranges_are_open_where_nothing_is_said_and_refused_when_inverted() {
        assert_eq!(range("r", None).expect("open"), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(range("r", Some(v1::Range { min: Some(2.0), max: Some(1.0) })).is_err());
        assert!(range("r", Some(v1::Range { min: Some(f64::NAN), max: None })).is_err());
    }
}
