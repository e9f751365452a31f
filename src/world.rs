//! All partitions of the market: which exist, and what they are made of.

pub mod roster;
mod stage;

use std::sync::Arc;

use orrery_journal::units::Address;
use orrery_replay::fold::{Fold, Standing, World};

use self::roster::{Act, Roster};
use self::stage::Stage;
use crate::market::ticker;
use crate::models::parameters::{ParameterError, Parameters, proxy_of};
use crate::partition::{Makers, Partition};

/// The world that the engine folds: one partition per underlying.
#[derive(Clone, Debug)]
pub struct MarketWorld {
    parameters: Arc<Parameters>,
    configuration: Address,
    makers: Makers,
    /// Whether journaled facts about profiles count.
    steered: bool,
}

impl MarketWorld {
    /// A world with all models and views.
    ///
    /// # Errors
    /// When a parameter cannot be used.
    pub fn new(parameters: Parameters) -> Result<MarketWorld, ParameterError> {
        parameters.check()?;
        let configuration = parameters.hash();
        Ok(MarketWorld {
            parameters: Arc::new(parameters),
            configuration,
            makers: Makers::default(),
            steered: true,
        })
    }

    /// The same deaf to facts about profiles: these definitions stay in force.
    #[must_use]
    pub fn unsteered(self) -> MarketWorld {
        MarketWorld { steered: false, ..self }
    }

    /// Which definitions are in force, and beside them, after these facts.
    #[must_use]
    pub fn roster(&self, standing: &[Standing]) -> Roster {
        let mut roster = Roster::default();
        for (at, fact) in standing {
            if let Some(act) = Act::read(fact) {
                // What cannot be done changes nothing, as in the fold.
                let _ = roster.take(&self.parameters, &act, *at);
            }
        }
        roster
    }

    /// The same with a choice of models and views.
    #[must_use]
    pub fn with_makers(self, makers: Makers) -> MarketWorld {
        MarketWorld { makers, ..self }
    }

    /// All parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

impl World for MarketWorld {
    fn configuration(&self) -> Address {
        self.configuration
    }

    fn stands(&self, control: &[u8]) -> bool {
        self.steered && Act::read(control).is_some()
    }

    fn partitions(&self, ticker: &str) -> Vec<Box<str>> {
        let mut partitions = vec![ticker::symbol_of(ticker)];
        let proxies = &self.parameters.proxies;
        if let Some(proxy) = proxy_of(ticker, |ticker| proxies.get(ticker)) {
            let symbol: Box<str> = proxy.symbol.as_str().into();
            if !partitions.contains(&symbol) {
                partitions.push(symbol);
            }
        }
        for symbol in self.parameters.volatility_indices.get(ticker).into_iter().flatten() {
            let symbol: Box<str> = symbol.as_str().into();
            if !partitions.contains(&symbol) {
                partitions.push(symbol);
            }
        }
        partitions
    }

    fn fold(&self, partition: &str) -> Box<dyn Fold> {
        let parameters = Arc::clone(&self.parameters);
        match self.steered {
            true => Box::new(Stage::new(partition, parameters, self.makers)),
            false => Box::new(Partition::with_makers(partition, parameters, self.makers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickers_go_to_their_partition_and_proxies_to_both() {
        let world = MarketWorld::new(Parameters::default()).expect("defaults are fine");
        let of = |ticker: &str| world.partitions(ticker).join(" ");
        assert_eq!(of("O:SPXW251219C06000000"), "SPX");
        assert_eq!(of("I:SPX"), "SPX");
        assert_eq!(of("SPY"), "SPY SPX");
        assert_eq!(of("ESZ6"), "ESZ6 SPX");
        assert_eq!(of("I:VIX"), "VIX NDX SPX");
        assert_eq!(of("O:SPY251219C00600000"), "SPY");
        assert_eq!(world.configuration(), Parameters::default().hash());
        let mut wrong = Parameters::default();
        wrong.epochs.damage_patience = 0;
        assert!(MarketWorld::new(wrong).is_err());
    }
}
