//! `market_mode`: compression, transition or expansion, from 0 to 100
//! (CONTRACT 9).
//!
//! Profile `market_mode/net-gamma@1`: 0.40 F + 0.25 G + 0.25 LFI + 0.10 C of
//! [`super::net_gamma`]; the mode is that of the published score, one decimal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::net_gamma::{MODE, ModeWeights, NetGamma, scores};
use super::read::{Source, one_decimal, sources, spot};
use super::{Bodies, View};
use crate::market::ticker::vendor_symbol;

/// The view.
#[derive(Clone, Copy, Debug)]
pub struct MarketMode;

const INPUTS: [&str; 2] = ["gex", "spot"];

/// From this score on it is expansion.
const EXPANSION: f64 = 67.0;
/// From this score on it is transition.
const TRANSITION: f64 = 34.0;

impl View for MarketMode {
    fn family(&self) -> &'static str {
        "market_mode"
    }

    fn profile(&self) -> &'static str {
        "market_mode/net-gamma@1"
    }

    fn inputs(&self) -> &[&'static str] {
        &INPUTS
    }

    fn cadence_ns(&self) -> i64 {
        super::FIVE_SECONDS_NS
    }

    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>> {
        let net = bodies.read::<NetGamma>("gex")?;
        let spot = spot(bodies).map(|s| s.value);
        let score = spot.and_then(|spot| scores(&net, spot)).map(|s| one_decimal(s.mode));
        let absent = match (spot, score) {
            (None, _) => Some("no_spot"),
            (Some(_), None) => Some("no_net_gamma"),
            _ => None,
        };
        let body = Body {
            symbol: vendor_symbol(symbol),
            score,
            mode: score.map(mode),
            sources: sources(bodies, &INPUTS),
            parameters: Parameters { weights: MODE, expansion: EXPANSION, transition: TRANSITION },
            quality: Quality { strikes: net.rows.len(), absent: absent.into_iter().collect() },
        };
        serde_json::to_vec(&body).ok()
    }
}

/// The name of a score.
#[must_use]
pub fn mode(score: f64) -> &'static str {
    if score >= EXPANSION {
        "expansion"
    } else if score >= TRANSITION {
        "transition"
    } else {
        "compression"
    }
}

#[derive(Serialize)]
struct Body<'a> {
    symbol: String,
    score: Option<f64>,
    mode: Option<&'static str>,
    sources: BTreeMap<&'static str, Source<'a>>,
    parameters: Parameters,
    quality: Quality,
}

#[derive(Serialize)]
struct Parameters {
    weights: ModeWeights,
    expansion: f64,
    transition: f64,
}

#[derive(Serialize)]
struct Quality {
    strikes: usize,
    absent: Vec<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::mode;

    #[test]
    fn modes_by_their_thresholds() {
        let modes = [0.0, 33.9, 34.0, 66.9, 67.0, 100.0].map(mode);
        let [c, t, e] = ["compression", "transition", "expansion"];
        assert_eq!(modes, [c, c, t, t, e, e]);
    }
}
