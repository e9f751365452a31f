//! Named, versioned sets of definitions: what a tile's `debit` is, and where
//! theory takes its volatility from.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::parameters::Pricing;

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

/// One of [`SHIPPED`], by its name in parameters and on the command line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Chosen(&'static Profile);

/// A name that no shipped profile has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name:?} is no heatmap profile; there are {}", names())]
pub struct UnknownProfile {
    /// As asked for.
    pub name: String,
}

fn names() -> String {
    SHIPPED.each_ref().map(|p| p.name).join(", ")
}

impl Chosen {
    /// The profile of a name; the family and the version may be left out.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Chosen, UnknownProfile> {
        let short = |p: &Profile| {
            let plain = p.name.strip_prefix("heatmap/").unwrap_or(p.name);
            plain == name || plain.split('@').next() == Some(name)
        };
        SHIPPED
            .iter()
            .find(|p| p.name == name || short(p))
            .map(Chosen)
            .ok_or_else(|| UnknownProfile { name: name.to_owned() })
    }

    /// The profile.
    #[must_use]
    pub const fn get(self) -> &'static Profile {
        self.0
    }
}

impl Default for Chosen {
    fn default() -> Chosen {
        Chosen(&SHIPPED[0])
    }
}

impl Serialize for Chosen {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.name.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Chosen {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Chosen, D::Error> {
        let name = String::deserialize(d)?;
        Chosen::named(&name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_families_are_unique_and_found() {
        let names: BTreeSet<_> = SHIPPED.iter().map(|p| p.name).collect();
        let families: BTreeSet<_> = SHIPPED.iter().map(|p| p.family).collect();
        assert_eq!((names.len(), families.len()), (SHIPPED.len(), SHIPPED.len()));
        for profile in &SHIPPED {
            assert_eq!(Chosen::named(profile.name).map(|c| c.get().name), Ok(profile.name));
            let json = serde_json::to_string(&Chosen::named(profile.name).expect("named"));
            let back: Chosen = serde_json::from_str(&json.expect("JSON")).expect("its own name");
            assert_eq!(back.get().name, profile.name);
        }
        assert_eq!(Chosen::named("theoretical").map(|c| c.get().family), Ok("heatmap_theoretical"));
        let told = Chosen::named("heatmap/last@1").expect_err("there is none").to_string();
        assert!(told.contains("heatmap/natural@1"), "{told}");
    }
}
