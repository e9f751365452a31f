//! `volatility`: the index that measures the volatility of the underlying.
//!
//! Says what the index of [`Parameters::volatility_indices`] (I:VIX for SPX)
//! last stood at, in points of the index: annualised percent. Owns that value
//! and its moment.

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::Serialize;

use super::parameters::Parameters;
use super::{Change, Model, Scope};
use crate::market::book::Market;
use crate::market::ticker;

const STATE_VERSION: u8 = 1;

/// The model.
#[derive(Clone, Debug, PartialEq)]
pub struct Volatility {
    /// Ticker of the index; `None` where the parameters name none.
    index: Option<String>,
    held: Option<(f64, RecvTime)>,
}

#[derive(Serialize)]
struct Body<'a> {
    symbol: String,
    index: &'a str,
    value: f64,
    at: String,
    quality: Quality,
}

#[derive(Serialize)]
struct Quality {
    age_ms: i64,
}

impl Volatility {
    /// A model that has seen nothing.
    #[must_use]
    pub fn new(symbol: &str, parameters: &Parameters) -> Volatility {
        let mut indices = parameters.volatility_indices.iter();
        let index = indices.find(|(_, symbols)| symbols.iter().any(|s| s == symbol));
        Volatility { index: index.map(|(ticker, _)| ticker.clone()), held: None }
    }
}

impl Model for Volatility {
    fn family(&self) -> &'static str {
        "volatility"
    }

    fn profile(&self) -> &'static str {
        "volatility/index@1"
    }

    fn scope(&self) -> Scope {
        Scope::Partition
    }

    fn cadence_ns(&self) -> i64 {
        NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        match change {
            Change::Volatility(value) => {
                self.held = Some((*value, market.now));
                true
            }
            Change::All => self.held.is_some(),
            _ => false,
        }
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let ((value, at), index) = (self.held?, self.index.as_deref()?);
        let age_ms = market.now.0.saturating_sub(at.0) / 1_000_000;
        let body = Body {
            symbol: ticker::vendor_symbol(market.symbol),
            index,
            value,
            at: at.to_rfc3339(),
            quality: Quality { age_ms },
        };
        serde_json::to_vec(&body).ok()
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        e.option(self.held, |e, (value, at)| {
            e.f64(value);
            e.recv(at);
        });
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let held = d.option(|d| Ok((d.f64()?, d.recv()?)))?;
        d.end()?;
        if held.is_some_and(|(value, _)| !value.is_finite() || value <= 0.0) {
            return Err(RestoreError("no volatility".to_owned()));
        }
        self.held = held;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::TradingDay;

    use super::*;

    fn market(now: i64) -> Market<'static> {
        let (day, seq) = (TradingDay(0), orrery_journal::units::Seq::BEFORE_FIRST);
        Market { symbol: "SPX", book: None, spot: None, seq, now: RecvTime(now), day }
    }

    #[test]
    fn it_says_what_the_index_stood_at_and_how_long_ago() {
        let mut model = Volatility::new("SPX", &Parameters::default());
        assert!(!model.apply(&Change::All, &market(0)));
        assert_eq!(model.emit(&market(0)), None);
        let at = 1_766_175_600 * NANOS_PER_SECOND;
        assert!(model.apply(&Change::Volatility(17.25), &market(at)));
        assert!(!model.apply(&Change::Spot, &market(at)));
        let body = model.emit(&market(at + 250_000_000)).expect("a body");
        assert_eq!(
            String::from_utf8(body).as_deref(),
            Ok(concat!(
                r#"{"symbol":"I:SPX","index":"I:VIX","value":17.25,"#,
                r#""at":"2025-12-19T20:20:00.000000000Z","quality":{"age_ms":250}}"#
            ))
        );
        let mut saved = Vec::new();
        model.save(&mut saved);
        let mut again = Volatility::new("SPX", &Parameters::default());
        again.restore(&saved, &market(0)).expect("its own state");
        assert_eq!(again, model);
        let mut none = Volatility::new("TSLA", &Parameters::default());
        none.apply(&Change::Volatility(17.25), &market(at));
        assert_eq!(none.emit(&market(at)), None, "no index is named for it");
    }
}
