//! `spot`: the price of the underlying, its age and where it came from.
//!
//! Which observation counts is decided by the partition; this model only says
//! it. Owns no state.

use orrery_journal::units::NANOS_PER_SECOND;
use orrery_replay::fold::RestoreError;
use serde::Serialize;

use super::{Change, Model, Scope};
use crate::market::book::{Market, SpotSource};
use crate::market::ticker;

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpotModel;

#[derive(Serialize)]
struct Body {
    symbol: String,
    value: f64,
    at: String,
    source: &'static str,
    quality: Quality,
}

#[derive(Serialize)]
struct Quality {
    age_ms: i64,
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
        matches!(change, Change::Spot | Change::All) && market.spot.is_some()
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let spot = market.spot?;
        let age_ms = market.now.0.saturating_sub(spot.at.0) / 1_000_000;
        let body = Body {
            symbol: ticker::vendor_symbol(market.symbol),
            value: spot.value,
            at: spot.at.to_rfc3339(),
            source: source_name(spot.source),
            quality: Quality { age_ms },
        };
        serde_json::to_vec(&body).ok()
    }

    fn save(&self, _out: &mut Vec<u8>) {}

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        if bytes.is_empty() { Ok(()) } else { Err(RestoreError("it has no state".to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::{RecvTime, TradingDay};

    use super::*;
    use crate::market::book::Spot;

    #[test]
    fn it_says_value_moment_and_source_or_nothing() {
        let at = RecvTime(1_766_175_600_000_000_000);
        let mut market = Market {
            symbol: "SPX",
            book: None,
            spot: None,
            seq: orrery_journal::units::Seq::BEFORE_FIRST,
            now: at,
            day: TradingDay(20_441),
        };
        let mut model = SpotModel;
        assert!(!model.apply(&Change::All, &market));
        assert_eq!(model.emit(&market), None);
        market.spot = Some(Spot { value: 6_834.5, at, source: SpotSource::Index });
        assert!(model.apply(&Change::Spot, &market));
        assert!(!model.apply(&Change::Chain, &market));
        assert_eq!(
            String::from_utf8(model.emit(&market).expect("a body")).as_deref(),
            Ok(concat!(
                r#"{"symbol":"I:SPX","value":6834.5,"#,
                r#""at":"2025-12-19T20:20:00.000000000Z","source":"index","#,
                r#""quality":{"age_ms":0}}"#
            ))
        );
    }
}
