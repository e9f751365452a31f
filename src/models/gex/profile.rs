//! Named, versioned sets of definitions. Levels of one chain differ by their
//! definitions more than by anything else (FORMULAS 3), so a level without the
//! name of its profile says little.

use serde::Serialize;

use crate::models::profile::{self, Shipped};

/// Which way the modelled dealers hold an open contract: the sign of n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Long calls, short puts: customers write calls and buy puts.
    Naive,
    /// Short everything: customers buy both.
    AllShort,
    /// Short calls, long puts: single names with call buying.
    Inverse,
    /// Each contract by its own trades: the other side of those that were signed.
    Flow,
}

/// How many contracts they hold: the size of n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Contracts open since before the session.
    OpenInterest,
    /// Contracts traded in the session.
    Volume,
    /// Net of the session's signed trades by contract: sold less bought.
    Flow,
}

/// What an exposure is measured in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Currency of delta-notional per move of 1 %: n G M S^2 0.01.
    PerPercent,
    /// Currency of delta-notional per point: n G M S.
    PerPoint,
}

/// Where delta, gamma and volatility come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Greeks {
    /// As the vendor states them.
    Vendor,
    /// Ours, from the volatility that a two-sided quote implies.
    Quotes,
    /// The vendor's, and ours where it states none.
    VendorElseQuotes,
}

/// What a zero-gamma flip is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlipMethod {
    /// The whole book is priced again over a grid of spots.
    RepricedBook,
    /// Neighbouring strikes whose net exposures differ in sign, interpolated.
    AdjacentStrikes,
    /// Zero of the running sum over ascending strikes, interpolated. Degenerate:
    /// it depends on how far the chain reaches, and says so.
    CumulativeStrikes,
}

/// What a wall is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wall {
    /// Largest exposure of the side strictly beyond the spot.
    SideBeyondSpot,
    /// Largest exposure of the side at or beyond the spot.
    SideAtOrBeyondSpot,
    /// Largest net exposure above, most negative net exposure below the spot.
    NetBeyondSpot,
    /// Most contracts of the side, anywhere.
    OpenInterest,
}

/// Everything that decides about a level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Definitions {
    /// Sign of the dealers' position.
    pub sign: Sign,
    /// Size of the dealers' position.
    pub position: Position,
    /// Unit of exposures.
    pub unit: Unit,
    /// Source of greeks.
    pub greeks: Greeks,
    /// Definition of the flip.
    pub flip: FlipMethod,
    /// Definition of walls.
    pub wall: Wall,
    /// Highest number of calendar days to expiry that counts; `None`: all.
    pub dte_max: Option<i32>,
}

/// Definitions with their name.
#[derive(PartialEq, Eq, Debug)]
pub struct Profile {
    /// As in headers: `gex/naive-oi@1`.
    pub name: &'static str,
    /// Family of its artifacts where it runs beside the main profile.
    pub family: &'static str,
    /// What it stands for, in a line.
    pub about: &'static str,
    /// The definitions.
    pub definitions: Definitions,
}

const NAIVE: Definitions = Definitions {
    sign: Sign::Naive,
    position: Position::OpenInterest,
    unit: Unit::PerPercent,
    greeks: Greeks::Vendor,
    flip: FlipMethod::RepricedBook,
    wall: Wall::SideBeyondSpot,
    dte_max: None,
};

/// All profiles that ship. A published one is never changed: other definitions
/// are another version.
pub const SHIPPED: [Profile; 12] = [
    Profile {
        name: "gex/naive-oi@1",
        family: "gex_naive_oi",
        about: "long calls, short puts, by open interest; walls strictly beyond the spot, \
                as the published levels of 2026-08-19 have them",
        definitions: NAIVE,
    },
    Profile {
        name: "gex/naive-oi-at-spot@1",
        family: "gex_naive_oi_at_spot",
        about: "as naive-oi, walls at or beyond the spot",
        definitions: Definitions { wall: Wall::SideAtOrBeyondSpot, ..NAIVE },
    },
    Profile {
        name: "gex/naive-oi-net-walls@1",
        family: "gex_naive_oi_net_walls",
        about: "as naive-oi, walls by net exposure",
        definitions: Definitions { wall: Wall::NetBeyondSpot, ..NAIVE },
    },
    Profile {
        name: "gex/naive-oi-oi-walls@1",
        family: "gex_naive_oi_oi_walls",
        about: "as naive-oi, walls by contracts, flip between neighbouring strikes",
        definitions: Definitions {
            wall: Wall::OpenInterest,
            flip: FlipMethod::AdjacentStrikes,
            ..NAIVE
        },
    },
    Profile {
        name: "gex/naive-oi-cumulative@1",
        family: "gex_naive_oi_cumulative",
        about: "as naive-oi, flip of the running sum (degenerate, for comparison only)",
        definitions: Definitions { flip: FlipMethod::CumulativeStrikes, ..NAIVE },
    },
    Profile {
        name: "gex/naive-oi-45d@1",
        family: "gex_naive_oi_45d",
        about: "as naive-oi, expiries of up to 45 days",
        definitions: Definitions { dte_max: Some(45), ..NAIVE },
    },
    Profile {
        name: "gex/all-short-oi@1",
        family: "gex_all_short_oi",
        about: "short everything, by open interest",
        definitions: Definitions { sign: Sign::AllShort, ..NAIVE },
    },
    Profile {
        name: "gex/inverse-oi@1",
        family: "gex_inverse_oi",
        about: "short calls, long puts, by open interest",
        definitions: Definitions { sign: Sign::Inverse, ..NAIVE },
    },
    Profile {
        name: "gex/naive-volume@1",
        family: "gex_naive_volume",
        about: "long calls, short puts, by the session's volume",
        definitions: Definitions { position: Position::Volume, ..NAIVE },
    },
    Profile {
        name: "gex/flow-signed@1",
        family: "gex_flow_signed",
        about: "the other side of the session's signed trades, contract by contract; \
                what was held before the session is not in it",
        definitions: Definitions { sign: Sign::Flow, position: Position::Flow, ..NAIVE },
    },
    Profile {
        name: "gex/naive-oi-quotes@1",
        family: "gex_naive_oi_quotes",
        about: "as naive-oi, greeks from our own volatilities where the vendor states none",
        definitions: Definitions { greeks: Greeks::VendorElseQuotes, ..NAIVE },
    },
    Profile {
        name: "gex/marketswarm@1",
        family: "gex_marketswarm",
        about: "as clients of the original system compute it: net by strike, per point, \
                flip between neighbouring strikes",
        definitions: Definitions {
            unit: Unit::PerPoint,
            flip: FlipMethod::AdjacentStrikes,
            wall: Wall::NetBeyondSpot,
            ..NAIVE
        },
    },
];

impl Shipped for Profile {
    const MODEL: &'static str = "gex";
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
