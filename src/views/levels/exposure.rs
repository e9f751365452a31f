//! Levels of a `gex` body: walls with their runners-up, peak, absolute gamma,
//! flips, max pain, bounds of the expected move.

use serde::Deserialize;

use super::{Found, Level};
use crate::views::readings::Reading;

#[derive(Deserialize)]
pub(super) struct Gex {
    #[serde(default)]
    by_strike: Vec<Strike>,
    #[serde(default)]
    by_expiry: Vec<Expiry>,
    levels: Levels,
    #[serde(default)]
    quality: Quality,
}

#[derive(Deserialize)]
struct Strike {
    strike: f64,
    call: Option<f64>,
    put: Option<f64>,
    net: Option<f64>,
}

#[derive(Deserialize)]
struct Expiry {
    expiry: Box<str>,
    max_pain: Option<f64>,
    expected_move: Option<Move>,
}

#[derive(Deserialize)]
struct Move {
    straddle: Bounds,
    volatility: Option<Bounds>,
}

#[derive(Deserialize)]
struct Bounds {
    lower: f64,
    upper: f64,
}

#[derive(Deserialize)]
struct Levels {
    #[serde(default)]
    call_walls: Vec<Ranked>,
    #[serde(default)]
    put_walls: Vec<Ranked>,
    peak: Option<f64>,
    absolute_gamma: Option<f64>,
    flip: Flip,
}

#[derive(Deserialize)]
struct Ranked {
    strike: f64,
    share: f64,
}

#[derive(Deserialize)]
struct Flip {
    nearest: Option<f64>,
    #[serde(default)]
    crossings: Vec<f64>,
    method: Box<str>,
    #[serde(default)]
    absent: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
struct Quality {
    #[serde(default)]
    absent: Vec<Box<str>>,
}

impl Reading for Gex {
    fn read(body: &[u8]) -> Option<Gex> {
        serde_json::from_slice(body).ok()
    }
}

pub(super) fn collect(family: &'static str, gex: &Gex, found: &mut Found) {
    // Why the whole book says nothing, where it does.
    let why = gex.quality.absent.first().map(|why| &**why);
    walls("call_wall", family, &gex.levels.call_walls, why, found);
    walls("put_wall", family, &gex.levels.put_walls, why, found);
    let net = |row: &Strike| row.net.map_or(0.0, f64::abs);
    let both = |row: &Strike| row.call.map_or(0.0, f64::abs) + row.put.map_or(0.0, f64::abs);
    let rows = &gex.by_strike;
    strike("peak", family, gex.levels.peak, share(rows, gex.levels.peak, net), why, found);
    let most = gex.levels.absolute_gamma;
    strike("absolute_gamma", family, most, share(rows, most, both), why, found);
    flips(family, &gex.levels.flip, found);
    for expiry in &gex.by_expiry {
        by_expiry(family, expiry, found);
    }
    if gex.by_expiry.is_empty() {
        for kind in ["max_pain", "expected_move_lower", "expected_move_upper"] {
            found.missing(kind, family, "no_living_expiry");
        }
    }
}

/// Share of a strike in the sum over all strikes.
fn share(rows: &[Strike], at: Option<f64>, of: impl Fn(&Strike) -> f64) -> Option<f64> {
    let sum: f64 = rows.iter().map(&of).sum();
    let row = rows.iter().find(|row| Some(row.strike) == at)?;
    (sum > 0.0).then(|| of(row) / sum)
}

fn strike(
    kind: &'static str,
    family: &'static str,
    price: Option<f64>,
    strength: Option<f64>,
    why: Option<&str>,
    found: &mut Found,
) {
    match price {
        Some(price) => found.put(Level { strength, ..Level::at(kind, family, price) }),
        None => found.missing(kind, family, why.unwrap_or("no_exposure")),
    }
}

fn walls(
    kind: &'static str,
    family: &'static str,
    walls: &[Ranked],
    why: Option<&str>,
    found: &mut Found,
) {
    for (i, wall) in walls.iter().enumerate() {
        let (strength, rank) = (Some(wall.share), Some(i + 1));
        found.put(Level { strength, rank, ..Level::at(kind, family, wall.strike) });
    }
    if walls.is_empty() {
        found.missing(kind, family, why.unwrap_or("no_strike_ranks"));
    }
}

/// The nearest flip, and all crossings with their place along the price.
fn flips(family: &'static str, flip: &Flip, found: &mut Found) {
    let basis = Some(flip.method.to_string());
    match flip.nearest {
        Some(price) => {
            found.put(Level { basis: basis.clone(), ..Level::at("flip", family, price) });
        }
        None => found.missing("flip", family, flip.absent.as_deref().unwrap_or("no_crossing")),
    }
    for (i, price) in flip.crossings.iter().enumerate() {
        let (basis, rank) = (basis.clone(), Some(i + 1));
        found.put(Level { basis, rank, ..Level::at("flip_crossing", family, *price) });
    }
}

fn by_expiry(family: &'static str, row: &Expiry, found: &mut Found) {
    let expiry = || Some(row.expiry.to_string());
    match row.max_pain {
        Some(price) => {
            found.put(Level { expiry: expiry(), ..Level::at("max_pain", family, price) });
        }
        None => found.missing("max_pain", family, format!("no_open_interest {}", row.expiry)),
    }
    let Some(expected) = &row.expected_move else {
        for kind in ["expected_move_lower", "expected_move_upper"] {
            found.missing(kind, family, format!("no_quoted_straddle {}", row.expiry));
        }
        return;
    };
    let ways =
        [("straddle", Some(&expected.straddle)), ("volatility", expected.volatility.as_ref())];
    for (basis, bounds) in ways {
        let Some(bounds) = bounds else {
            for kind in ["expected_move_lower", "expected_move_upper"] {
                let reason = format!("no_implied_volatility {}", row.expiry);
                found.missing(kind, family, reason);
            }
            continue;
        };
        for (kind, price) in
            [("expected_move_lower", bounds.lower), ("expected_move_upper", bounds.upper)]
        {
            let basis = Some(basis.to_owned());
            found.put(Level { basis, expiry: expiry(), ..Level::at(kind, family, price) });
        }
    }
}
