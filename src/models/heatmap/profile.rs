//! Named, versioned sets of definitions: what a tile's `debit` is, and where
//! theory takes its volatility from.

use serde::Serialize;

use super::parameters::Pricing;
use crate::models::profile::{self, Shipped};

/// The price that fills `debit` (`mid` of a single), from which profit, loss,
/// bounds, parity and layers follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Debit {
    /// Mids of two-sided quotes.
    Mid,
    /// The ask for what is bought, the bid for what is sold.
    Natural,
    /// Black-Scholes.
    Theoretical,
}

/// Where the volatility of a contract comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Volatility {
    /// Ours: what the mid of the strike's out-of-the-money contract implies (of
    /// the other one where that has no two-sided quote). Call and put of a
    /// strike share it, so theory keeps parity.
    Quotes,
    /// The vendor's for the contract, ours where it states none.
    VendorElseQuotes,
    /// The original system's: the mean of the vendor's within 30 points of the
    /// spot, bent linearly (times 1 + 1.5 |m| below and 1 + 0.3 m above the
    /// spot, m = strike / spot - 1), its regime without a VIX.
    Skew,
}

/// What stands beside a theoretical debit as the market's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MarketPrice {
    /// The mid of a two-sided quote.
    Mid,
    /// The mid of a two-sided quote, else the last trade.
    MidElseLast,
}

/// Everything that decides about a tile.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Definitions {
    /// The main price.
    pub debit: Debit,
    /// Of theory; `None` where nothing is theoretical.
    pub volatility: Option<Volatility>,
    /// What `market_debit` is.
    pub market: MarketPrice,
    /// The profile's own numbers; `None` takes those of the parameters.
    #[serde(skip)]
    pub pricing: Option<Pricing>,
}

/// Definitions with their name.
#[derive(PartialEq, Debug)]
pub struct Profile {
    /// As in headers: `heatmap/mid@1`.
    pub name: &'static str,
    /// Family of its artifacts where it runs beside the main profile.
    pub family: &'static str,
    /// What it stands for, in a line.
    pub about: &'static str,
    /// The definitions.
    pub definitions: Definitions,
}

const MID: Definitions =
    Definitions { debit: Debit::Mid, volatility: None, market: MarketPrice::Mid, pricing: None };

/// All profiles that ship. A published one is never changed: other definitions
/// are another version.
pub static SHIPPED: [Profile; 5] = [
    Profile {
        name: "heatmap/mid@1",
        family: "heatmap_mid",
        about: "mids of two-sided quotes; nothing theoretical, so a tile changes only when a \
                quote of its legs does",
        definitions: MID,
    },
    Profile {
        name: "heatmap/natural@1",
        family: "heatmap_natural",
        about: "what it costs to take: asks of what is bought, bids of what is sold",
        definitions: Definitions { debit: Debit::Natural, ..MID },
    },
    Profile {
        name: "heatmap/theoretical@1",
        family: "heatmap_theoretical",
        about: "Black-Scholes with the vendor's volatility of each contract, ours from quotes \
                where it states none; T from recv time to the instant of settlement",
        definitions: Definitions {
            debit: Debit::Theoretical,
            volatility: Some(Volatility::VendorElseQuotes),
            ..MID
        },
    },
    Profile {
        name: "heatmap/theoretical-quotes@1",
        family: "heatmap_theoretical_quotes",
        about: "Black-Scholes with one volatility a strike, ours from its out-of-the-money quote",
        definitions: Definitions {
            debit: Debit::Theoretical,
            volatility: Some(Volatility::Quotes),
            ..MID
        },
    },
    Profile {
        name: "heatmap/marketswarm@1",
        family: "heatmap_marketswarm",
        about: "as clients of the original system know it: Black-Scholes at 5 % with a skewed \
                mean volatility and T of at least an hour; market_debit may rest on last trades",
        definitions: Definitions {
            debit: Debit::Theoretical,
            volatility: Some(Volatility::Skew),
            market: MarketPrice::MidElseLast,
            pricing: Some(Pricing { rate: 0.05, t_floor_s: 3_600, ..Pricing::DEFAULT }),
        },
    },
];

impl Shipped for Profile {
    const MODEL: &'static str = "heatmap";
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
