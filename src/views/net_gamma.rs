//! Net gamma by strike, as clients of the original system compute it, and what
//! they read from it: bias, LFI, flips, market mode (CONTRACT 9).
//!
//! The exposure of a strike is the sum over expirations of the unsigned gamma x
//! open interest x multiplier that `gex` publishes: calls less puts. It has no
//! factor of the spot, whatever the unit of the gex profile.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::readings::Reading;

/// Constants of the profile; they stand in every body.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parameters {
    /// Distance from the spot at which the centre of gamma counts in full, points.
    pub centre_points: f64,
    /// Weight of the imbalance in the bias; the centre has the rest.
    pub imbalance_weight: f64,
    /// Half-width of the near band, as a share of the spot.
    pub near_band: f64,
    /// Half-width of the wide band, as a share of the spot.
    pub wide_band: f64,
    /// Distance of a flip up to which the adjustment is full, as a share of the spot.
    pub flip_full: f64,
    /// Distance of a flip from which there is no adjustment.
    pub flip_none: f64,
    /// Distance of a flip below the spot up to which a penalty is added.
    pub flip_beneath: f64,
    /// That penalty.
    pub beneath_penalty: f64,
    /// Largest adjustment of the bias.
    pub bias_adjustment: f64,
    /// Largest adjustment of the LFI.
    pub lfi_adjustment: f64,
}

/// As the original has them.
pub const PARAMETERS: Parameters = Parameters {
    centre_points: 50.0,
    imbalance_weight: 0.6,
    near_band: 0.01,
    wide_band: 0.02,
    flip_full: 0.005,
    flip_none: 0.015,
    flip_beneath: 0.003,
    beneath_penalty: 0.2,
    bias_adjustment: 50.0,
    lfi_adjustment: 30.0,
};

/// Weights of the market mode's parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ModeWeights {
    /// F: the spot against the flip.
    pub flip: f64,
    /// G: the size of the net.
    pub net: f64,
    /// The adjusted LFI.
    pub lfi: f64,
    /// C: how much of the gamma near the spot holds the price.
    pub contained: f64,
}

/// As the original has them.
pub const MODE: ModeWeights = ModeWeights { flip: 0.40, net: 0.25, lfi: 0.25, contained: 0.10 };

/// A strike's exposures, both positive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// Strike, points.
    pub strike: f64,
    /// Calls.
    pub call: f64,
    /// Puts.
    pub put: f64,
}

impl Row {
    /// Calls less puts.
    #[must_use]
    pub fn net(&self) -> f64 {
        self.call - self.put
    }
}

/// Exposures by strike, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetGamma {
    /// One row for each strike.
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Gex<'a> {
    #[serde(borrow)]
    expirations: Pairs<'a, Sides>,
}

#[derive(Deserialize)]
struct Sides {
    #[serde(default)]
    calls: Strikes,
    #[serde(default)]
    puts: Strikes,
}

/// A map as it comes: there are thousands of strikes, and keys are not repeated.
struct Pairs<'a, T>(Vec<(&'a str, T)>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Pairs<'a, T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct All<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for All<T> {
            type Value = Vec<(&'de str, T)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect()
            }
        }
        d.deserialize_map(All(PhantomData)).map(Pairs)
    }
}

/// Exposures by strike; a strike that is no number is refused.
#[derive(Default)]
struct Strikes(Vec<(f64, f64)>);

impl<'de> Deserialize<'de> for Strikes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Strikes, D::Error> {
        let Pairs(pairs): Pairs<'de, f64> = Pairs::deserialize(d)?;
        let strike = |(key, exposure): (&str, f64)| {
            let strike = key.parse::<f64>().ok().filter(|k| k.is_finite());
            strike.map(|strike| (strike, exposure))
        };
        let strikes: Option<Vec<_>> = pairs.into_iter().map(strike).collect();
        strikes.map(Strikes).ok_or_else(|| D::Error::custom("a strike is no number"))
    }
}

impl Reading for NetGamma {
    /// Reads the body of a `gex` artifact.
    fn read(gex: &[u8]) -> Option<NetGamma> {
        let Gex { expirations: Pairs(mut expirations) } = serde_json::from_slice(gex).ok()?;
        expirations.sort_by_key(|(expiry, _)| *expiry);
        let mut all: Vec<Row> = Vec::new();
        for (_, sides) in expirations {
            let row = |(strike, call, put)| Row { strike, call, put };
            all.extend(sides.calls.0.into_iter().map(|(strike, call)| row((strike, call, 0.0))));
            all.extend(sides.puts.0.into_iter().map(|(strike, put)| row((strike, 0.0, put))));
        }
        // Stable: sums are added in the order of expirations.
        all.sort_by(|a, b| a.strike.total_cmp(&b.strike));
        let sum = |rows: &[Row]| {
            rows.iter().fold(Row { strike: rows[0].strike, ..Row::default() }, |sum, row| Row {
                call: sum.call + row.call,
                put: sum.put + row.put,
                ..sum
            })
        };
        let rows = all.chunk_by(|a, b| a.strike == b.strike).map(sum).collect();
        Some(NetGamma { rows })
    }
}

impl NetGamma {
    /// A = the sum of |net| over all strikes, or over those within a share of
    /// the spot; 0 when there are none.
    #[must_use]
    pub fn gross(&self, band: Option<(f64, f64)>) -> f64 {
        self.within(band).map(|row| row.net().abs()).sum()
    }

    /// The sum of net over the strikes within a share of the spot.
    #[must_use]
    pub fn net_within(&self, spot: f64, share: f64) -> f64 {
        self.within(Some((spot, share))).map(Row::net).sum()
    }

    fn within(&self, band: Option<(f64, f64)>) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| {
            band.is_none_or(|(spot, share)| (row.strike - spot).abs() / spot <= share)
        })
    }

    /// Sum over all strikes of calls, puts and net.
    #[must_use]
    pub fn totals(&self) -> (f64, f64, f64) {
        let call: f64 = self.rows.iter().map(|r| r.call).sum();
        let put: f64 = self.rows.iter().map(|r| r.put).sum();
        (call, put, self.rows.iter().map(Row::net).sum())
    }

    /// The strike with the largest positive value; on a tie the nearest to the
    /// spot, then the lower one.
    #[must_use]
    pub fn largest(&self, spot: f64, value: impl Fn(&Row) -> f64) -> Option<f64> {
        let distance = |row: &Row| (row.strike - spot).abs();
        let better = |a: &&Row, b: &&Row| {
            value(a).total_cmp(&value(b)).then(distance(b).total_cmp(&distance(a))).then_with(
                || {
                    // `max_by` takes the last of equals: the lower strike goes last.
                    b.strike.total_cmp(&a.strike)
                },
            )
        };
        self.rows.iter().filter(|row| value(row) > 0.0).max_by(better).map(|row| row.strike)
    }

    /// Where the net changes its sign: midpoints of neighbouring strikes with
    /// opposite signs, strikes without net left out.
    #[must_use]
    pub fn flips(&self, spot: f64) -> Flips {
        let signed: Vec<&Row> = self.rows.iter().filter(|row| row.net() != 0.0).collect();
        let turns = signed
            .windows(2)
            .filter(|pair| pair[0].net() * pair[1].net() < 0.0)
            .map(|pair| (pair[0].strike + pair[1].strike) / 2.0);
        let (mut above, mut below) = (None, None);
        for flip in turns {
            if flip < spot {
                below = Some(flip);
            } else if flip > spot && above.is_none() {
                above = Some(flip);
            }
        }
        Flips { above, below }
    }
}

/// The nearest flips to either side of the spot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flips {
    /// The first above.
    pub above: Option<f64>,
    /// The greatest below.
    pub below: Option<f64>,
}

impl Flips {
    /// The nearer of both; the one below on a tie.
    #[must_use]
    pub fn nearest(&self, spot: f64) -> Option<f64> {
        match (self.above, self.below) {
            (Some(above), Some(below)) if above - spot < spot - below => Some(above),
            (above, below) => below.or(above),
        }
    }
}

/// Scores of a book with any net gamma.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Directional strength, -100 to 100; `None` where all net gamma stands at
    /// the spot itself.
    pub bias: Option<f64>,
    /// LFI, 0 to 100.
    pub lfi: f64,
    /// What nearness of a flip took from the bias, -50 to 0.
    pub bias_adjustment: f64,
    /// What nearness of a flip took from the LFI, -30 to 0.
    pub lfi_adjustment: f64,
    /// Market mode, 0 to 100.
    pub mode: f64,
    /// Flips to either side.
    pub flips: Flips,
}

/// The scores, or `None` without any net gamma.
#[must_use]
pub fn scores(net: &NetGamma, spot: f64) -> Option<Scores> {
    let p = &PARAMETERS;
    let gross = net.gross(None);
    if !(gross > 0.0 && gross.is_finite()) {
        return None;
    }
    let side = |above: bool| -> f64 {
        let beyond = |row: &&Row| if above { row.strike > spot } else { row.strike < spot };
        net.rows.iter().filter(beyond).map(Row::net).sum()
    };
    let (above, below) = (side(true), side(false));
    let supportive = above.max(0.0) + below.max(0.0);
    let hostile = below.min(0.0).abs() + above.min(0.0).abs();
    let moment: f64 = net.rows.iter().map(|r| r.net().abs() * (r.strike - spot)).sum();
    let centre = (moment / gross / p.centre_points).clamp(-1.0, 1.0);
    let bias = (supportive + hostile > 0.0).then(|| {
        let imbalance = (supportive - hostile) / (supportive + hostile);
        let weight = p.imbalance_weight;
        (100.0 * (weight * imbalance + (1.0 - weight) * centre)).clamp(-100.0, 100.0)
    });

    let near = net.gross(Some((spot, p.near_band)));
    let wide = net.gross(Some((spot, p.wide_band)));
    let ratio = if near > 0.0 { net.net_within(spot, p.near_band) / near } else { 0.0 };
    let absorbing = (ratio + 1.0) / 2.0 * 100.0;
    let lfi =
        (0.5 * absorbing + 0.3 * (30.0 + 40.0 * wide / gross) + 0.2 * (40.0 + 40.0 * near / gross))
            .clamp(0.0, 100.0);

    let flips = net.flips(spot);
    let (bias_adjustment, lfi_adjustment) = adjustments(&flips, spot);
    let bias = bias.map(|bias| (bias + bias_adjustment).clamp(-100.0, 100.0));
    let lfi = (lfi + lfi_adjustment).clamp(0.0, 100.0);

    let (_, _, total) = net.totals();
    let position = flip_score(flips.nearest(spot), total, spot);
    let size = logistic(0.03 * total / (spot * spot * 1e-5));
    let contained = 50.0 + (absorbing - 50.0) * (near / gross / 0.3).min(1.0);
    let mode = MODE.flip * position + MODE.net * size + MODE.lfi * lfi + MODE.contained * contained;
    Some(Scores { bias, lfi, bias_adjustment, lfi_adjustment, mode, flips })
}

/// What the nearness of a flip takes from bias and LFI. The original's further
/// penalty for a spot beneath the flip below it can never apply and is left out.
fn adjustments(flips: &Flips, spot: f64) -> (f64, f64) {
    let p = &PARAMETERS;
    let Some(flip) = flips.nearest(spot) else { return (0.0, 0.0) };
    let distance = (spot - flip).abs() / spot;
    let near = ((p.flip_none - distance) / (p.flip_none - p.flip_full)).clamp(0.0, 1.0);
    let beneath = flips.below.is_some_and(|below| (spot - below) / spot < p.flip_beneath);
    let penalty = if beneath { p.beneath_penalty } else { 0.0 };
    let of = |most: f64, share: f64| (-most * share).max(-most) + 0.0;
    (of(p.bias_adjustment, near + penalty), of(p.lfi_adjustment, near + 0.5 * penalty))
}

/// F of the market mode: where the spot stands against the flip; without a
/// flip by the sign and size of the net.
fn flip_score(flip: Option<f64>, net: f64, spot: f64) -> f64 {
    match flip {
        Some(flip) => logistic(3.0 * ((spot - flip) / spot) / 0.02),
        None if net < -10_000.0 => 15.0,
        None if net < 0.0 => 30.0,
        None if net > 10_000.0 => 85.0,
        None if net > 0.0 => 70.0,
        None => 50.0,
    }
}

/// 100 / (1 + e^-x).
fn logistic(x: f64) -> f64 {
    100.0 / (1.0 + libm::exp(-x))
}

#[cfg(test)]
mod tests;
