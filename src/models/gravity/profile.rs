//! Named, versioned sets of definitions of a volume profile. The same trades
//! make other levels under other definitions, so every artifact names its own.

use serde::Serialize;

use super::structures::Detection;
use crate::models::profile::{self, Shipped};

/// To which bin a price goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// The nearest one, halves to the even one (variant A).
    HalfEven,
    /// The one at or below it (variant B).
    Down,
}

/// How much of a bar's volume a micro-bin gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// A thirtieth, exactly.
    Exact,
    /// Whole shares of a thirtieth; the rest is lost.
    Truncated,
}

/// What becomes of a bar whose high is its low.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rangeless {
    /// All of its volume lies at its price.
    AtPrice,
    /// Left out.
    Dropped,
}

/// Where the unspread profile puts a bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RawPlace {
    /// At its last price (variant A).
    Close,
    /// At its volume-weighted price, or the middle of its range without one
    /// (variant B).
    WeightedPrice,
}

/// Everything that decides about a profile besides the parameters.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Definitions {
    /// To which bin a price goes.
    pub rounding: Rounding,
    /// How much of a bar a micro-bin gets.
    pub share: Share,
    /// What becomes of a bar without range.
    pub rangeless: Rangeless,
    /// Where the unspread profile puts a bar.
    pub raw: RawPlace,
    /// How structures are found.
    pub detection: Detection,
    /// Lowest and highest price that is shown; `None`: there is no such bound.
    pub prices: Option<(f64, f64)>,
    /// Trading days that count; `None`: those of the parameter `gravity.days`.
    pub days: Option<u32>,
    /// Trading days after which a day counts half; `None`: those of the
    /// parameter `gravity.half_life_days`.
    pub half_life_days: Option<f64>,
}

/// Definitions with their name.
#[derive(PartialEq, Debug)]
pub struct Profile {
    /// As in headers: `gravity/tv-microbins-30@1`.
    pub name: &'static str,
    /// Family of its artifacts where it runs beside the main profile.
    pub family: &'static str,
    /// What clients show as the algorithm.
    pub algorithm: &'static str,
    /// What it stands for, in a line.
    pub about: &'static str,
    /// The definitions.
    pub definitions: Definitions,
}

/// Variant A, repaired: what is lost or dropped in the original is kept.
const A: Definitions = Definitions {
    rounding: Rounding::HalfEven,
    share: Share::Exact,
    rangeless: Rangeless::AtPrice,
    raw: RawPlace::Close,
    detection: Detection::Percentile,
    prices: None,
    days: None,
    half_life_days: None,
};

/// Variant B, repaired.
const B: Definitions = Definitions { rounding: Rounding::Down, raw: RawPlace::WeightedPrice, ..A };

/// Variant A as the original system has it, its price ceiling included.
const A_ORIGINAL: Definitions =
    Definitions { rangeless: Rangeless::Dropped, prices: Some((2000.0, 7000.0)), ..A };

/// All profiles that ship. A published one is never changed: other definitions
/// are another version.
pub const SHIPPED: [Profile; 8] = [
    Profile {
        name: "gravity/tv-microbins-30@1",
        family: "gravity_tv_microbins_30",
        algorithm: "tv_microbins_30",
        about: "30 micro-bins to the nearest bin (A), structures by percentile (D1) with wells \
                joined, as clients expect it, its defects repaired",
        definitions: A,
    },
    Profile {
        name: "gravity/tv-microbins-30-down@1",
        family: "gravity_tv_microbins_30_down",
        algorithm: "tv_microbins_30_down",
        about: "30 micro-bins to the bin below (B), D1, its defects repaired",
        definitions: B,
    },
    Profile {
        name: "gravity/tv-microbins-30-gradient@1",
        family: "gravity_tv_microbins_30_gradient",
        algorithm: "tv_microbins_30_gradient",
        about: "A with structures by gradient (D2): nodes are edges, crevasses never overlap",
        definitions: Definitions { detection: Detection::Gradient, ..A },
    },
    Profile {
        name: "gravity/session@1",
        family: "gravity_session",
        algorithm: "tv_microbins_30_session",
        about: "A with D1 over the newest trading day",
        definitions: Definitions { days: Some(1), ..A },
    },
    Profile {
        name: "gravity/twenty-days@1",
        family: "gravity_twenty_days",
        algorithm: "tv_microbins_30_20d",
        about: "A with D1 over twenty trading days, a day counts half after five",
        definitions: Definitions { days: Some(20), half_life_days: Some(5.0), ..A },
    },
    Profile {
        name: "gravity/marketswarm@1",
        family: "gravity_marketswarm",
        algorithm: "tv_microbins_30",
        about: "A as the original builds the artifact: bars without range dropped, prices \
                outside of 2000 to 7000 left out",
        definitions: A_ORIGINAL,
    },
    Profile {
        name: "gravity/marketswarm-quick@1",
        family: "gravity_marketswarm_quick",
        algorithm: "tv_microbins_30",
        about: "B as the original has it: micro-bins truncated to whole shares, so that volume \
                below 30 vanishes, wells not joined, prices outside of 2000 to 7000 left out",
        definitions: Definitions {
            share: Share::Truncated,
            detection: Detection::PercentileSingle,
            prices: Some((2000.0, 7000.0)),
            ..B
        },
    },
    Profile {
        name: "gravity/marketswarm-gradient@1",
        family: "gravity_marketswarm_gradient",
        algorithm: "tv_microbins_30",
        about: "original A with D2 as the original has it: over occupied prices only, crevasses \
                may overlap",
        definitions: Definitions { detection: Detection::GradientOriginal, ..A_ORIGINAL },
    },
];

impl Shipped for Profile {
    const MODEL: &'static str = "gravity";
    const ALL: &'static [Profile] = &SHIPPED;

    fn name(&self) -> &'static str {
        self.name
    }

    fn family(&self) -> &'static str {
        self.family
    }
}

/// One of [`SHIPPED`], by its name in parameters and on the command line.
pub type Chosen = profile::Chosen<Profile>;
