//! `levels`: every named level in one flat, sorted list.
//!
//! Profile `levels/flat@1`. A level has a kind, a price (and `to`, where it is a
//! stretch), a strength from 0 to 1 whose meaning each kind defines
//! ([`KINDS`], in the body as `kinds`), the family, profile and version that it
//! was read from, and its distance (spot - level) / spot: positive when the
//! price stands above the level, 0 inside of a stretch, six decimals. The
//! order is by price, then kind, family, expiry, basis and rank.

mod exposure;
mod structure;

use std::collections::BTreeMap;

use serde::Serialize;

use super::read::{Source, decimals, sources, spot};
use super::{Bodies, View};
use crate::market::ticker::vendor_symbol;
use crate::models::gex::Parameters as GexParameters;

/// Kinds of levels, and what the strength of each is; `null` where a kind has
/// none.
pub const KINDS: [(&str, Option<&str>); 16] = [
    ("absolute_gamma", Some("share of the strike in the sum of |call| + |put| exposure")),
    ("call_wall", Some("share of the strike in the sum of everything that ranks for the wall")),
    ("crevasse", Some("1 - mean bin / normalized_scale")),
    ("expected_move_lower", None),
    ("expected_move_upper", None),
    ("flip", None),
    ("flip_crossing", None),
    ("line", None),
    ("line_crevasse", None),
    ("line_volume_node", None),
    ("line_volume_well", None),
    ("max_pain", None),
    ("peak", Some("share of the strike in the sum of |net| exposure")),
    ("put_wall", Some("share of the strike in the sum of everything that ranks for the wall")),
    ("volume_node", Some("bin / normalized_scale")),
    ("volume_well", Some("1 - mean bin / normalized_scale")),
];

/// The view.
#[derive(Clone, Debug)]
pub struct Levels {
    inputs: Vec<&'static str>,
}

impl Levels {
    /// Reads the main gex profile and those that run beside it.
    #[must_use]
    pub fn new(gex: &GexParameters) -> Levels {
        let beside = gex.beside.iter().map(|p| p.get().family);
        Levels { inputs: ["gravity", "spot", "gex"].into_iter().chain(beside).collect() }
    }
}

impl View for Levels {
    fn family(&self) -> &'static str {
        "levels"
    }

    fn profile(&self) -> &'static str {
        "levels/flat@1"
    }

    fn inputs(&self) -> &[&'static str] {
        &self.inputs
    }

    fn cadence_ns(&self) -> i64 {
        super::SECOND_NS
    }

    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>> {
        let spot = spot(bodies).map(|s| s.value);
        let sources = sources(bodies, &self.inputs);
        let mut found = Found::default();
        for family in self.inputs.iter().filter(|family| family.starts_with("gex")) {
            match (bodies.get(family), bodies.read(family)) {
                (_, Some(gex)) => exposure::collect(family, &gex, &mut found),
                (Some(_), None) => found.missing("gex", family, "unreadable"),
                (None, None) => found.missing("gex", family, "not_published"),
            }
        }
        match (bodies.get("gravity"), bodies.read("gravity")) {
            (_, Some(gravity)) => structure::collect(&gravity, &mut found),
            (Some(_), None) => found.missing("gravity", "gravity", "unreadable"),
            (None, None) => found.missing("gravity", "gravity", "not_published"),
        }
        if sources.keys().all(|family| *family == "spot") {
            return None;
        }
        serde_json::to_vec(&body(symbol, spot, &sources, found)).ok()
    }
}

/// A level as it was found in a body.
#[derive(Clone, Debug, PartialEq)]
struct Level {
    kind: &'static str,
    from: f64,
    to: f64,
    strength: Option<f64>,
    family: &'static str,
    /// Place among its kind, 1 the strongest or nearest.
    rank: Option<usize>,
    expiry: Option<String>,
    /// What it was computed by, where a kind has several ways, or who drew it.
    basis: Option<String>,
}

impl Level {
    fn at(kind: &'static str, family: &'static str, price: f64) -> Level {
        let (from, to) = (price, price);
        let (strength, rank, expiry, basis) = (None, None, None, None);
        Level { kind, from, to, strength, family, rank, expiry, basis }
    }

    /// (spot - level) / spot to the nearest point of it.
    fn distance(&self, spot: f64) -> f64 {
        let nearest = spot.clamp(self.from, self.to.max(self.from));
        decimals((spot - nearest) / spot, 1e6)
    }
}

/// A kind of which a body has none, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Absent {
    kind: &'static str,
    family: &'static str,
    reason: String,
}

#[derive(Default)]
struct Found {
    levels: Vec<Level>,
    absent: Vec<Absent>,
    refused: u64,
}

impl Found {
    /// A level whose price is a price; others are counted.
    fn put(&mut self, level: Level) {
        let fine = level.from.is_finite() && level.to.is_finite() && level.from <= level.to;
        if fine && level.from > 0.0 {
            self.levels.push(level);
        } else {
            self.refused += 1;
        }
    }

    fn missing(&mut self, kind: &'static str, family: &'static str, reason: impl Into<String>) {
        self.absent.push(Absent { kind, family, reason: reason.into() });
    }
}

#[derive(Serialize)]
struct Body<'a> {
    symbol: String,
    spot: Option<f64>,
    levels: Vec<Row<'a>>,
    absent: Vec<Absent>,
    kinds: BTreeMap<&'static str, Option<&'static str>>,
    sources: &'a BTreeMap<&'static str, Source<'a>>,
    quality: Quality,
}

#[derive(Serialize)]
struct Row<'a> {
    kind: &'static str,
    price: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<f64>,
    strength: Option<f64>,
    distance: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<String>,
    family: &'static str,
    profile: &'a str,
    version: u64,
}

#[derive(Serialize)]
struct Quality {
    levels: usize,
    /// Prices that were none.
    refused: u64,
    absent: Vec<&'static str>,
}

fn body<'a>(
    symbol: &str,
    spot: Option<f64>,
    sources: &'a BTreeMap<&'static str, Source<'a>>,
    mut found: Found,
) -> Body<'a> {
    found.levels.sort_by(|a, b| {
        (a.from.total_cmp(&b.from))
            .then(a.to.total_cmp(&b.to))
            .then(a.kind.cmp(b.kind))
            .then(a.family.cmp(b.family))
            .then_with(|| a.expiry.cmp(&b.expiry))
            .then_with(|| a.basis.cmp(&b.basis))
            .then(a.rank.cmp(&b.rank))
    });
    found.absent.sort();
    let quality = Quality {
        levels: found.levels.len(),
        refused: found.refused,
        absent: spot.is_none().then_some("no_spot").into_iter().collect(),
    };
    let row = |level: Level| {
        let source = sources.get(level.family)?;
        Some(Row {
            kind: level.kind,
            price: level.from,
            to: (level.to > level.from).then_some(level.to),
            strength: level.strength.map(|s| decimals(s.clamp(0.0, 1.0), 1e6)),
            distance: spot.map(|spot| level.distance(spot)),
            rank: level.rank,
            expiry: level.expiry,
            basis: level.basis,
            family: level.family,
            profile: source.profile,
            version: source.version,
        })
    };
    Body {
        symbol: vendor_symbol(symbol),
        spot,
        levels: found.levels.into_iter().filter_map(row).collect(),
        absent: found.absent,
        kinds: KINDS.into_iter().collect(),
        sources,
        quality,
    }
}

#[cfg(test)]
mod tests;
