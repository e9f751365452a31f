//! `selector`: butterflies of the heatmap, scored and ranked (CONTRACT 10).
//!
//! Two profiles. `selector/convexity@1` is the documented scoring with what
//! never worked in the original repaired ([`Rules`]); `selector/marketswarm@1`
//! is what the original computes. A tile is scored for each side whose debit
//! (by mids) is above zero and at most a tenth of its width.
//!
//! The volatility is that of the `volatility` artifact (the VIX); without one
//! `convexity` takes what the chain implies, by `gex`'s expected moves, and
//! both at last the 15 that the original assumes; the body says which.

mod document;
pub mod playbook;
pub mod scalp;
pub mod score;
pub mod tiles;

use serde::{Deserialize, Serialize};

use self::playbook::{Regime, Session, special};
use self::score::{Environment, Gamma};
use super::net_gamma::{NetGamma, Scores, scores};
use super::read::{Spot, decimals, spot};
use super::readings::Reading;
use super::{Bodies, View};
use crate::market::calendar::hour_in_new_york;
use crate::models::heatmap::flies::{Flies, Fly};
use crate::models::parameters::views::{SelectorProfile, ViewParameters};

/// What the profiles differ in; it stands in every body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// The debits of neighbours reach the scoring; in the original two lookups
    /// use other keys than the tables have, so 80 % of the convexity are 50.
    pub compares_neighbours: bool,
    /// The strategy that goes first is chosen by hour and minute; in the
    /// original by the hour alone, so that 12.5 means 13.
    pub minutes_count: bool,
    /// Timewarp applies to tiles of one or two days; in the original to all.
    pub timewarp_by_tile: bool,
    /// Fast decay softens the penalty of narrow tiles; in the original it
    /// lowers 75 to 70.
    pub decay_only_softens: bool,
    /// Without a volatility index the one that the chain implies is taken.
    pub implied_volatility: bool,
    /// Tiles of roots that settle apart (`@SPX`) are scored; the original
    /// cannot read their keys.
    pub all_roots: bool,
}

impl Rules {
    /// The rules of a profile.
    #[must_use]
    pub const fn of(profile: SelectorProfile) -> Rules {
        let repaired = matches!(profile, SelectorProfile::Convexity);
        Rules {
            compares_neighbours: repaired,
            minutes_count: repaired,
            timewarp_by_tile: repaired,
            decay_only_softens: repaired,
            implied_volatility: repaired,
            all_roots: repaired,
        }
    }
}

/// The view of one profile.
#[derive(Clone, Copy, Debug)]
pub struct Selector {
    profile: SelectorProfile,
    family: &'static str,
    every_ns: i64,
}

impl Selector {
    /// The view of a profile as the main one.
    #[must_use]
    pub const fn new(profile: SelectorProfile) -> Selector {
        Selector { profile, family: "selector", every_ns: 3 * super::SECOND_NS }
    }

    /// The views of all profiles, the main one first.
    pub fn all(parameters: &ViewParameters) -> impl Iterator<Item = Selector> + '_ {
        let main = std::iter::once((parameters.selector, "selector"));
        let beside = parameters.selector_beside.iter().map(|p| (*p, p.family()));
        main.chain(beside).map(|(profile, family)| Selector {
            profile,
            family,
            every_ns: parameters.selector_every_ns,
        })
    }
}

const INPUTS: [&str; 4] = ["heatmap", "gex", "spot", "volatility"];

impl View for Selector {
    fn family(&self) -> &'static str {
        self.family
    }

    fn profile(&self) -> &'static str {
        self.profile.name()
    }

    fn inputs(&self) -> &[&'static str] {
        &INPUTS
    }

    fn cadence_ns(&self) -> i64 {
        self.every_ns
    }

    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>> {
        bodies.get("heatmap")?;
        let rules = Rules::of(self.profile);
        let Some(spot) = spot(bodies) else {
            return serde_json::to_vec(&document::without_spot(symbol, bodies, &rules)).ok();
        };
        let all = bodies.read::<Flies>("heatmap")?;
        let scored = |fly: &Fly<'_>| rules.all_roots || fly.root.is_none();
        let flies: Vec<Fly<'_>> = all.iter().filter(scored).collect();
        let neighbours = if rules.compares_neighbours {
            tiles::neighbours(&flies)
        } else {
            vec![Vec::new(); flies.len()]
        };
        let market = Market::of(bodies, spot, &rules);
        let scored = document::score_all(&flies, &neighbours, &market, &rules);
        serde_json::to_vec(&document::body(symbol, bodies, &market, &scored, &rules)).ok()
    }
}

/// What tiles are measured by.
struct Market {
    spot: f64,
    hour: Option<f64>,
    volatility: Volatility,
    environment: Environment,
    gamma: Gamma,
    scores: Option<Scores>,
}

impl Market {
    fn of(bodies: &Bodies, spot: Spot, rules: &Rules) -> Market {
        let Spot { value: spot, at } = spot;
        let hour = at.map(hour_in_new_york).map(|hour| (hour * 60.0).floor() / 60.0);
        let volatility = Volatility::of(bodies, spot, rules);
        let vix = volatility.value;
        let chosen_at = if rules.minutes_count { hour } else { hour.map(f64::floor) };
        let (regime, session) = (Regime::of(vix), hour.map(Session::of));
        let net = bodies.read::<NetGamma>("gex").unwrap_or_default();
        let scores = scores(&net, spot);
        Market {
            spot,
            hour,
            environment: Environment {
                volatility: vix,
                regime,
                special: special(vix, chosen_at),
                session,
                decay: playbook::decay(session, regime),
            },
            gamma: Gamma {
                magnet: net.largest(spot, super::net_gamma::Row::net),
                zero: net.flips(spot).nearest(spot),
                net,
            },
            volatility,
            scores,
        }
    }
}

/// A volatility in points, and where it is from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Volatility {
    value: f64,
    source: VolatilitySource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum VolatilitySource {
    /// The index.
    Index,
    /// The chain's expected move of the expiry nearest to 30 days.
    Implied,
    /// Nothing is known.
    Assumed,
}

/// What the original takes without an index.
const ASSUMED_VOLATILITY: f64 = 15.0;
/// The days that the index looks ahead.
const INDEX_DAYS: i32 = 30;

impl Volatility {
    fn of(bodies: &Bodies, spot: f64, rules: &Rules) -> Volatility {
        if let Some(index) = bodies.read::<Index>("volatility") {
            return Volatility { value: index.0, source: VolatilitySource::Index };
        }
        let implied = rules.implied_volatility.then(|| implied(bodies, spot)).flatten();
        match implied {
            Some(value) => Volatility { value, source: VolatilitySource::Implied },
            None => Volatility { value: ASSUMED_VOLATILITY, source: VolatilitySource::Assumed },
        }
    }

    fn index(&self) -> Option<f64> {
        (self.source == VolatilitySource::Index).then_some(self.value)
    }
}

/// What the index stands at.
struct Index(f64);

impl Reading for Index {
    fn read(volatility: &[u8]) -> Option<Index> {
        #[derive(Deserialize)]
        struct Body {
            value: Option<f64>,
        }
        let body: Body = serde_json::from_slice(volatility).ok()?;
        body.value.filter(|v| v.is_finite() && *v > 0.0).map(Index)
    }
}

/// Days and expected move of the expiry nearest to 30 days, at least a day away
/// (the nearer one on a tie).
struct Expected {
    dte: i32,
    distance: f64,
}

impl Reading for Expected {
    fn read(gex: &[u8]) -> Option<Expected> {
        #[derive(Deserialize)]
        struct Body {
            by_expiry: Vec<Expiry>,
        }
        #[derive(Deserialize)]
        struct Expiry {
            dte: i32,
            expected_move: Option<Move>,
        }
        #[derive(Deserialize)]
        struct Move {
            volatility: Option<Bounds>,
        }
        #[derive(Deserialize)]
        struct Bounds {
            #[serde(rename = "move")]
            distance: f64,
        }
        let body: Body = serde_json::from_slice(gex).ok()?;
        let known = body.by_expiry.iter().filter(|e| e.dte >= 1).filter_map(|e| {
            let distance = e.expected_move.as_ref()?.volatility.as_ref()?.distance;
            Some(Expected { dte: e.dte, distance })
        });
        known.min_by_key(|expected| (expected.dte - INDEX_DAYS).abs())
    }
}

/// 100 x move / (spot x sqrt(days / 365)); one decimal.
fn implied(bodies: &Bodies, spot: f64) -> Option<f64> {
    let Expected { dte, distance } = *bodies.read::<Expected>("gex")?;
    let value = tenths(100.0 * distance / (spot * (f64::from(dte) / 365.0).sqrt()));
    (value.is_finite() && value > 0.0).then_some(value)
}

fn tenths(value: f64) -> f64 {
    decimals(value, 10.0)
}

fn hundredths(value: f64) -> f64 {
    decimals(value, 100.0)
}

fn thousandths(value: f64) -> f64 {
    decimals(value, 1000.0)
}

#[cfg(test)]
mod tests;
