//! `vix_regime`: what the index of volatility stands for (CONTRACT 9 and 10).
//!
//! Profile `vix_regime/thresholds@1`: the regime by fixed thresholds, what suits
//! it, and the strategies that the level alone calls for. Without a value of the
//! index there is no body: nothing is assumed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::read::{Source, sources};
use super::selector::playbook::{
    BATMAN_LEAST, CHAOS_LEAST, GOLDILOCKS_1_LEAST, GOLDILOCKS_2_LEAST, Regime, TIMEWARP_MOST,
};
use super::{Bodies, View};
use crate::market::ticker::vendor_symbol;

/// The view.
#[derive(Clone, Copy, Debug)]
pub struct VixRegime;

const INPUTS: [&str; 1] = ["volatility"];

impl View for VixRegime {
    fn family(&self) -> &'static str {
        "vix_regime"
    }

    fn profile(&self) -> &'static str {
        "vix_regime/thresholds@1"
    }

    fn inputs(&self) -> &[&'static str] {
        &INPUTS
    }

    fn cadence_ns(&self) -> i64 {
        super::FIVE_SECONDS_NS
    }

    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>> {
        let volatility: Volatility<'_> = serde_json::from_slice(bodies.get("volatility")?).ok()?;
        let vix = volatility.value.filter(|v| v.is_finite() && *v > 0.0)?;
        let regime = Regime::of(vix);
        let body = Body {
            symbol: vendor_symbol(symbol),
            index: volatility.index,
            vix,
            at: volatility.at,
            regime,
            ideal_widths: regime.widths(),
            ideal_dtes: regime.dtes(),
            batman: vix >= BATMAN_LEAST,
            timewarp: vix <= TIMEWARP_MOST,
            sources: sources(bodies, &INPUTS),
            parameters: Parameters {
                goldilocks_1: GOLDILOCKS_1_LEAST,
                goldilocks_2: GOLDILOCKS_2_LEAST,
                chaos: CHAOS_LEAST,
                batman: BATMAN_LEAST,
                timewarp: TIMEWARP_MOST,
            },
            // The body comes with the index, so their ages are one.
            quality: Quality { age_ms: volatility.quality.age_ms },
        };
        serde_json::to_vec(&body).ok()
    }
}

#[derive(Deserialize)]
struct Volatility<'a> {
    value: Option<f64>,
    index: Option<&'a str>,
    at: Option<&'a str>,
    #[serde(default)]
    quality: Stated,
}

#[derive(Deserialize, Default)]
struct Stated {
    age_ms: Option<i64>,
}

#[derive(Serialize)]
struct Body<'a> {
    symbol: String,
    index: Option<&'a str>,
    vix: f64,
    at: Option<&'a str>,
    regime: Regime,
    ideal_widths: (u32, u32),
    ideal_dtes: (i32, i32),
    batman: bool,
    timewarp: bool,
    sources: BTreeMap<&'static str, Source<'a>>,
    parameters: Parameters,
    quality: Quality,
}

/// Least values of the index for the first four, the largest for the last.
#[derive(Serialize)]
struct Parameters {
    goldilocks_1: f64,
    goldilocks_2: f64,
    chaos: f64,
    batman: f64,
    timewarp: f64,
}

#[derive(Serialize)]
struct Quality {
    age_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::views::read::bodies;

    fn derived(value: Value) -> Option<Value> {
        let body = json!({"symbol": "I:SPX", "index": "I:VIX", "value": value,
            "at": "2025-12-19T20:20:00.000000000Z", "quality": {"age_ms": 250}});
        let bodies = bodies(&[("volatility", "volatility/index@1", body)]);
        let derived = VixRegime.derive("SPX", &bodies)?;
        Some(serde_json::from_slice(&derived).expect("JSON"))
    }

    #[test]
    fn the_level_names_its_regime_and_what_it_calls_for() {
        let told = |vix: f64| {
            let body = derived(json!(vix)).expect("a body");
            (body["regime"].clone(), body["batman"] == true, body["timewarp"] == true)
        };
        assert_eq!(told(16.99), (json!("zombieland"), false, true));
        assert_eq!(told(17.0), (json!("goldilocks_1"), false, true));
        assert_eq!(told(23.0), (json!("goldilocks_2"), false, false));
        assert_eq!(told(24.0), (json!("goldilocks_2"), true, false));
        assert_eq!(told(32.0), (json!("chaos"), true, false));
        let body = derived(json!(40.0)).expect("a body");
        assert_eq!(
            (&body["ideal_widths"], &body["ideal_dtes"]),
            (&json!([50, 100]), &json!([1, 3]))
        );
        assert_eq!(body["sources"]["volatility"]["profile"], "volatility/index@1");
        assert_eq!((&body["index"], &body["quality"]["age_ms"]), (&json!("I:VIX"), &json!(250)));
    }

    #[test]
    fn without_an_index_nothing_is_assumed() {
        assert_eq!(derived(Value::Null), None);
        assert_eq!(derived(json!(0.0)), None);
        assert_eq!(VixRegime.derive("SPX", &Bodies::default()), None);
    }
}
