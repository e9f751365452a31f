//! `bias_lfi`: whether hedging holds the price or pushes it (CONTRACT 9).
//!
//! Profile `bias_lfi/net-gamma@1`: the original's formulas over net gamma by
//! strike ([`super::net_gamma`]), strikes with their decimals, roots of one
//! strike added. What the original fills with a neutral number (0, 50) where it
//! knows nothing is null here, with the reason in `quality.absent`; a strike
//! with the largest exposure exists only where an exposure is above zero.

use std::collections::BTreeMap;

use serde::Serialize;

use super::net_gamma::{NetGamma, PARAMETERS, Parameters, Row, scores};
use super::read::{Source, one_decimal, sources, spot};
use super::{Bodies, View};
use crate::market::ticker::vendor_symbol;

/// The view.
#[derive(Clone, Copy, Debug)]
pub struct BiasLfi;

const INPUTS: [&str; 2] = ["gex", "spot"];

impl View for BiasLfi {
    fn family(&self) -> &'static str {
        "bias_lfi"
    }

    fn profile(&self) -> &'static str {
        "bias_lfi/net-gamma@1"
    }

    fn inputs(&self) -> &[&'static str] {
        &INPUTS
    }

    fn cadence_ns(&self) -> i64 {
        super::FIVE_SECONDS_NS
    }

    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>> {
        serde_json::to_vec(&body(symbol, bodies)?).ok()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    symbol: String,
    spot: Option<f64>,
    directional_strength: Option<f64>,
    lfi_score: Option<f64>,
    market_mode_score: Option<f64>,
    max_call_gex_strike: Option<f64>,
    max_put_gex_strike: Option<f64>,
    max_net_gex_strike: Option<f64>,
    total_call_gex: Option<f64>,
    total_put_gex: Option<f64>,
    total_net_gex: Option<f64>,
    gex_flip_level: Option<f64>,
    flip_above: Option<f64>,
    flip_below: Option<f64>,
    strike_range: Option<[f64; 2]>,
    proximity_bias_adj: Option<f64>,
    proximity_lfi_adj: Option<f64>,
    distance_to_flip: Option<f64>,
    sources: BTreeMap<&'static str, Source<'a>>,
    parameters: &'static Parameters,
    quality: Quality,
}

#[derive(Serialize)]
struct Quality {
    strikes: usize,
    /// Share of the gross exposure that lies within the near band of the spot.
    near_share: Option<f64>,
    absent: Vec<&'static str>,
}

fn body<'a>(symbol: &str, bodies: &'a Bodies) -> Option<Body<'a>> {
    let net = bodies.read::<NetGamma>("gex")?;
    let spot = spot(bodies).map(|s| s.value);
    let scores = spot.and_then(|spot| scores(&net, spot));
    let strike = |value: fn(&Row) -> f64| spot.and_then(|spot| net.largest(spot, value));
    let [call, put, most] = [strike(|r| r.call), strike(|r| r.put), strike(Row::net)];
    let totals = (!net.rows.is_empty()).then(|| net.totals());
    let flips = spot.map(|spot| net.flips(spot)).unwrap_or_default();
    let flip = spot.and_then(|spot| flips.nearest(spot));
    let gross = net.gross(None);
    let near =
        spot.filter(|_| gross > 0.0).map(|spot| net.gross(Some((spot, PARAMETERS.near_band))));
    let mut absent = Vec::new();
    let mut note = |missing: bool, why| {
        if missing {
            absent.push(why);
        }
    };
    note(spot.is_none(), "no_spot");
    note(net.rows.is_empty(), "no_counted_contract");
    note(!net.rows.is_empty() && gross == 0.0, "no_net_gamma");
    note(scores.is_some_and(|s| s.bias.is_none()), "no_net_gamma_beyond_spot");
    note(spot.is_some() && flip.is_none(), "no_flip");
    note(spot.is_some() && most.is_none(), "no_positive_net_gamma");
    let range = net.rows.first().zip(net.rows.last());
    Some(Body {
        symbol: vendor_symbol(symbol),
        spot,
        directional_strength: scores.and_then(|s| s.bias).map(one_decimal),
        lfi_score: scores.map(|s| one_decimal(s.lfi)),
        market_mode_score: scores.map(|s| one_decimal(s.mode)),
        max_call_gex_strike: call,
        max_put_gex_strike: put,
        max_net_gex_strike: most,
        total_call_gex: totals.map(|t| t.0),
        total_put_gex: totals.map(|t| -t.1 + 0.0),
        total_net_gex: totals.map(|t| t.2),
        gex_flip_level: flip,
        flip_above: flips.above,
        flip_below: flips.below,
        strike_range: range.map(|(low, high)| [low.strike, high.strike]),
        proximity_bias_adj: scores.map(|s| one_decimal(s.bias_adjustment)),
        proximity_lfi_adj: scores.map(|s| one_decimal(s.lfi_adjustment)),
        distance_to_flip: spot.zip(flip).map(|(spot, flip)| one_decimal((spot - flip).abs())),
        sources: sources(bodies, &INPUTS),
        parameters: &PARAMETERS,
        quality: Quality { strikes: net.rows.len(), near_share: near.map(|n| n / gross), absent },
    })
}

#[cfg(test)]
mod tests;
