//! The body of a `selector` artifact, in the shape that clients know.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::playbook::{
    self, BATMAN_LEAST, Breach, Session, Special, TIMEWARP_DTE, TIMEWARP_MOST, Usual,
};
use super::scalp::Window;
use super::score::{self, Parts, WEIGHTS, Weights};
use super::{INPUTS, Market, Rules, Volatility, hundredths, tenths};
use crate::market::ticker::vendor_symbol;
use crate::models::heatmap::flies::Fly;
use crate::views::Bodies;
use crate::views::read::{Source, sources};

/// Largest debit, as a share of the width.
const DEBIT_MOST: f64 = 0.10;
/// How many tiles are recommended.
const RECOMMENDED: usize = 10;
/// How many candidates of the gamma scalp are shown.
const CANDIDATES: usize = 5;

/// The sides of all tiles that were scored, best first.
pub(super) struct Scored<'a> {
    sides: Vec<Side<'a>>,
    candidates: Vec<Candidate>,
    filtered: usize,
    flies: usize,
    /// Scored sides that had no neighbour to be compared with.
    alone: usize,
}

struct Side<'a> {
    fly: &'a Fly<'a>,
    key: String,
    is_call: bool,
    debit: f64,
    parts: Parts,
    /// One decimal, as it is ranked by.
    composite: f64,
    confidence: f64,
}

struct Candidate {
    score: f64,
    document: Value,
}

const fn side_name(is_call: bool) -> &'static str {
    if is_call { "call" } else { "put" }
}

/// A width as clients have it: whole where it is one.
fn width_number(width: f64) -> Value {
    if width.fract() == 0.0 && width.abs() < 1e15 { json!(width as i64) } else { json!(width) }
}

pub(super) fn score_all<'a>(
    flies: &'a [Fly<'a>],
    neighbours: &[Vec<f64>],
    market: &Market,
    rules: &Rules,
) -> Scored<'a> {
    let window = Window::at(market.environment.regime, market.hour);
    let mut scored = Scored {
        sides: Vec::new(),
        candidates: Vec::new(),
        filtered: 0,
        flies: flies.len(),
        alone: 0,
    };
    for (fly, neighbours) in flies.iter().zip(neighbours) {
        let width_fit = score::width_fit(&market.environment, fly.width, fly.dte, rules);
        for (is_call, debit) in [(true, fly.call), (false, fly.put)] {
            let Some(debit) = debit else { continue };
            if debit > fly.width * DEBIT_MOST {
                scored.filtered += 1;
                continue;
            }
            scored.alone += usize::from(neighbours.is_empty());
            let parts = Parts {
                r2r: score::r2r(fly.width, debit, fly.dte),
                convexity: score::convexity(fly.width, debit, neighbours),
                width_fit,
                gamma_alignment: score::gamma_alignment(
                    &market.gamma,
                    fly.strike,
                    fly.width,
                    is_call,
                ),
            };
            let key = format!("{}:{}", fly.key, side_name(is_call));
            let has_gamma = !market.gamma.net.rows.is_empty();
            let confidence = score::confidence(has_gamma, market.scores.is_some(), debit);
            let composite = tenths(parts.composite());
            let side = Side { fly, key, is_call, debit, parts, composite, confidence };
            if window.is_open() && fly.dte == 0 {
                let found = window.score(fly.strike, fly.width, debit, market.spot);
                scored.candidates.extend(found.map(|found| candidate(&side, found, market.spot)));
            }
            scored.sides.push(side);
        }
    }
    // Stable: the order of the heatmap decides among equals.
    scored.sides.sort_by(|a, b| b.composite.total_cmp(&a.composite));
    scored.candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    scored
}

fn candidate(side: &Side<'_>, (score, details): (f64, Value), spot: f64) -> Candidate {
    let Side { fly, debit, .. } = side;
    let document = json!({
        "tile_key": side.key, "gamma_scalp_score": score, "gamma_scalp_details": details,
        "campaign": playbook::campaign(fly.dte), "edge_case": "gamma_scalp",
        "strategy": "gamma_scalp", "side": side_name(side.is_call), "strike": fly.strike,
        "width": width_number(fly.width), "dte": fly.dte, "debit": hundredths(*debit),
        "debit_pct": tenths(debit / fly.width * 100.0),
        "max_profit": hundredths(fly.width - debit), "max_loss": hundredths(*debit),
        "r2r_ratio": hundredths((fly.width - debit) / debit),
        "distance_to_spot": tenths(fly.strike - spot),
    });
    Candidate { score, document }
}

#[derive(Serialize)]
struct Components {
    r2r: f64,
    convexity: f64,
    width_fit: f64,
    gamma_alignment: f64,
}

#[derive(Serialize)]
struct Score<'a> {
    tile_key: &'a str,
    composite: f64,
    confidence: f64,
    components: Components,
}

impl<'a> Score<'a> {
    fn of(side: &'a Side<'_>) -> Score<'a> {
        let Parts { r2r, convexity, width_fit, gamma_alignment } = side.parts;
        Score {
            tile_key: &side.key,
            composite: side.composite,
            confidence: hundredths(side.confidence),
            components: Components {
                r2r: tenths(r2r),
                convexity: tenths(convexity),
                width_fit: tenths(width_fit),
                gamma_alignment: tenths(gamma_alignment),
            },
        }
    }
}

#[derive(Serialize)]
struct Recommendation<'a> {
    rank: usize,
    tile_key: &'a str,
    score: Score<'a>,
    campaign: &'static str,
    edge_cases: Vec<Special>,
    r2r_vs_typical: String,
    strategy: &'static str,
    side: &'static str,
    strike: f64,
    width: Value,
    dte: i32,
    debit: f64,
    debit_pct: f64,
    max_profit: f64,
    max_loss: f64,
    r2r_ratio: f64,
    distance_to_spot: f64,
    distance_to_gamma_magnet: Option<f64>,
    convexity: Value,
}

fn recommendation<'a>(
    rank: usize,
    side: &'a Side<'_>,
    market: &Market,
    breach: &Breach,
) -> Recommendation<'a> {
    let Side { fly, debit, .. } = side;
    let ratio = (fly.width - debit) / debit;
    let magnet = market.gamma.magnet;
    Recommendation {
        rank,
        tile_key: &side.key,
        score: Score::of(side),
        campaign: playbook::campaign(fly.dte),
        edge_cases: edge_cases(market, fly.dte),
        r2r_vs_typical: against(ratio, Usual::of(fly.dte).typical),
        strategy: "butterfly",
        side: side_name(side.is_call),
        strike: fly.strike,
        width: width_number(fly.width),
        dte: fly.dte,
        debit: hundredths(*debit),
        debit_pct: tenths(debit / fly.width * 100.0),
        max_profit: hundredths(fly.width - debit),
        max_loss: hundredths(*debit),
        r2r_ratio: hundredths(ratio),
        distance_to_spot: tenths(fly.strike - market.spot),
        distance_to_gamma_magnet: magnet.map(|magnet| tenths(fly.strike - magnet)),
        convexity: opportunity(hundredths(ratio), fly.dte, breach),
    }
}

fn against(ratio: f64, (low, high): (u32, u32)) -> String {
    format!("{ratio:.1} vs {low}-{high}")
}

/// What a tile may be besides a plain butterfly.
fn edge_cases(market: &Market, dte: i32) -> Vec<Special> {
    let vix = market.environment.volatility;
    let open = Window::at(market.environment.regime, market.hour).is_open();
    let cases = [
        (Special::Batman, vix >= BATMAN_LEAST && dte <= 2),
        (
            Special::Timewarp,
            vix <= TIMEWARP_MOST && (TIMEWARP_DTE.0..=TIMEWARP_DTE.1).contains(&dte),
        ),
        (Special::GammaScalp, dte == 0 && open),
    ];
    cases.into_iter().filter(|(_, holds)| *holds).map(|(case, _)| case).collect()
}

/// What an expected move that is left is worth to a tile.
fn opportunity(ratio: f64, dte: i32, breach: &Breach) -> Value {
    let Usual { typical, most } = Usual::of(dte);
    let at_least = |bound: u32| ratio >= f64::from(bound);
    let (quality, score) = if at_least(most.1) {
        ("exceptional", 100.0)
    } else if at_least(most.0) {
        ("excellent", 90.0)
    } else if at_least(typical.1) {
        ("good", 75.0)
    } else if at_least(typical.0) {
        ("acceptable", 60.0)
    } else {
        ("below_target", 40.0)
    };
    let p = breach.probability;
    let expected = 0.5 * (1.5 + p * 3.0) - 0.5;
    json!({
        "convexity_score": tenths(p * 100.0 * score / 100.0),
        "r2r_quality": quality,
        "r2r_vs_typical": against(ratio, typical),
        "r2r_vs_max": against(ratio, most),
        "ev_per_risk": hundredths(expected),
        "ev_positive": expected > 0.0,
    })
}

#[derive(Serialize)]
pub(super) struct Body<'a> {
    symbol: String,
    spot: f64,
    vix: Option<f64>,
    vix_regime: playbook::Regime,
    vix_special: Option<Special>,
    volatility: Volatility,
    scoring: Scoring,
    campaigns: Value,
    playbook: Value,
    edge_cases: Value,
    expected_move: Value,
    gamma_scalp: Value,
    gamma_magnet: Option<f64>,
    zero_gamma: Option<f64>,
    indicator_snapshot: Value,
    scores: BTreeMap<&'a str, Score<'a>>,
    recommendations: Vec<Recommendation<'a>>,
    total_scored: usize,
    filtered_by_debit_rule: usize,
    sources: BTreeMap<&'static str, Source<'a>>,
    parameters: Rules,
    quality: Quality,
}

#[derive(Serialize)]
struct Scoring {
    weights: Weights,
    hard_filter: &'static str,
    ml_enabled: bool,
    ml_weight: f64,
    ml_scored_count: u32,
}

#[derive(Serialize)]
struct Quality {
    /// Butterflies in the heatmap.
    tiles: usize,
    /// Share of their sides that could be judged: scored or filtered.
    coverage: Option<f64>,
    /// Scored sides without a neighbour to compare with.
    without_neighbours: usize,
    absent: Vec<&'static str>,
}

/// The document of a symbol without a price, as clients know it.
pub(super) fn without_spot(symbol: &str, bodies: &Bodies, rules: &Rules) -> Value {
    json!({
        "symbol": vendor_symbol(symbol), "spot": null, "error": "No spot data available",
        "recommendations": {}, "total_scored": 0, "sources": sources(bodies, &INPUTS),
        "parameters": rules, "quality": {"absent": ["no_spot"]},
    })
}

/// EM = S x V / 100 x sqrt(max(1, days) / 252), two decimals.
fn expected_move(market: &Market, dte: i32) -> f64 {
    let days = f64::from(dte.max(1));
    hundredths(market.spot * market.volatility.value / 100.0 * (days / 252.0).sqrt())
}

pub(super) fn body<'a>(
    symbol: &str,
    bodies: &'a Bodies,
    market: &Market,
    scored: &'a Scored<'_>,
    rules: &Rules,
) -> Body<'a> {
    let environment = &market.environment;
    let vix = market.volatility.value;
    let breach = Breach::of(environment.regime, environment.session, vix);
    let window = Window::at(environment.regime, market.hour);
    let today = expected_move(market, 0);
    let judged = scored.sides.len() + scored.filtered;
    let recommended: Vec<Recommendation<'_>> = scored
        .sides
        .iter()
        .take(RECOMMENDED)
        .enumerate()
        .map(|(i, side)| recommendation(i + 1, side, market, &breach))
        .collect();
    let mut absent = Vec::new();
    let mut note = |missing: bool, why| {
        if missing {
            absent.push(why);
        }
    };
    note(market.volatility.index().is_none(), "no_volatility_index");
    note(market.hour.is_none(), "no_moment");
    note(market.gamma.net.rows.is_empty(), "no_gamma");
    note(market.gamma.magnet.is_none(), "no_gamma_magnet");
    note(market.gamma.zero.is_none(), "no_zero_gamma");
    note(scored.sides.is_empty(), "no_tile_within_the_debit_rule");
    Body {
        symbol: vendor_symbol(symbol),
        spot: market.spot,
        vix: shown_vix(market, rules),
        vix_regime: environment.regime,
        vix_special: environment.special,
        volatility: market.volatility,
        scoring: Scoring {
            weights: WEIGHTS,
            hard_filter: "debit <= 10.0% of width",
            ml_enabled: false,
            ml_weight: 0.0,
            ml_scored_count: 0,
        },
        campaigns: playbook::campaigns(),
        playbook: playbook_now(market, rules),
        edge_cases: json!({
            "batman_available": vix >= BATMAN_LEAST,
            "timewarp_available": vix <= TIMEWARP_MOST,
            "gamma_scalp_active": window.is_open(),
        }),
        expected_move: json!({
            "em_0dte": today, "em_1dte": expected_move(market, 1),
            "em_upper": hundredths(market.spot + today), "em_lower": hundredths(market.spot - today),
            "breach": breach.document(), "payoff_zones": playbook::payoff_zones(),
        }),
        gamma_scalp: json!({
            "active": window.is_open(), "window": window.document(),
            "total_candidates": scored.candidates.len(),
            "candidates": scored.candidates.iter().take(CANDIDATES).map(|c| &c.document)
                .collect::<Vec<_>>(),
        }),
        gamma_magnet: market.gamma.magnet,
        zero_gamma: market.gamma.zero,
        indicator_snapshot: snapshot(market, &breach, rules),
        scores: scored.sides.iter().map(|s| (&*s.key, Score::of(s))).collect(),
        recommendations: recommended,
        total_scored: scored.sides.len(),
        filtered_by_debit_rule: scored.filtered,
        sources: sources(bodies, &INPUTS),
        parameters: *rules,
        quality: Quality {
            tiles: scored.flies,
            coverage: (scored.flies > 0).then(|| judged as f64 / (2 * scored.flies) as f64),
            without_neighbours: scored.alone,
            absent,
        },
    }
}

/// The index; the original shows what it assumes as if it were one.
fn shown_vix(market: &Market, rules: &Rules) -> Option<f64> {
    let value = market.volatility.value;
    if rules.implied_volatility { market.volatility.index() } else { Some(value) }
}

/// The widths and days that the day's own butterflies should have.
fn ideals(market: &Market, rules: &Rules) -> ((u32, u32), (i32, i32)) {
    score::ideal(&market.environment, 0, rules)
}

fn playbook_now(market: &Market, rules: &Rules) -> Value {
    let (width, dte) = ideals(market, rules);
    let session = market.environment.session;
    let exercise = matches!(session, Some(Session::Morning | Session::Afternoon))
        && market.hour.is_some_and(|hour| hour >= 11.0);
    json!({
        "regime": market.environment.regime, "session": session,
        "ideal_width": format!("{}-{}", width.0, width.1),
        "ideal_dte": format!("{}-{}", dte.0, dte.1),
        "max_debit_pct": DEBIT_MOST * 100.0, "decay_factor": market.environment.decay,
        "entry_optimal": session == Some(Session::Morning), "exercise_window": exercise,
        "outlier_zone": session == Some(Session::Closing),
    })
}

fn snapshot(market: &Market, breach: &Breach, rules: &Rules) -> Value {
    let (width, dte) = ideals(market, rules);
    let scores = market.scores.as_ref();
    let flips = scores.map(|s| s.flips).unwrap_or_default();
    let net = &market.gamma.net;
    let total = (!net.rows.is_empty()).then(|| net.totals().2);
    json!({
        "spot": market.spot, "vix": shown_vix(market, rules),
        "vix_regime": market.environment.regime, "vix_special": market.environment.special,
        "session": market.environment.session,
        "expected_move_0dte": expected_move(market, 0),
        "expected_move_1dte": expected_move(market, 1),
        "em_breach_probability": breach.probability,
        "em_breach_pct": tenths(breach.probability * 100.0),
        "ideal_width_min": width.0, "ideal_width_max": width.1,
        "ideal_dte_min": dte.0, "ideal_dte_max": dte.1,
        "decay_factor": market.environment.decay, "max_debit_pct": DEBIT_MOST * 100.0,
        "gamma_magnet": market.gamma.magnet, "zero_gamma": market.gamma.zero,
        "flip_above": flips.above, "flip_below": flips.below,
        "directional_strength": scores.and_then(|s| s.bias).map(tenths),
        "lfi_score": scores.map(|s| tenths(s.lfi)),
        "market_mode_score": scores.map(|s| tenths(s.mode)),
        "total_net_gex": total,
        "max_call_gex_strike": net.largest(market.spot, |row| row.call),
        "max_put_gex_strike": net.largest(market.spot, |row| row.put),
    })
}
