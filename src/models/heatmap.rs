//! `heatmap`: what singles, verticals and butterflies cost, on a lattice of
//! strike x width x days to expiry.
//!
//! What a tile's `debit` is (mids, natural, Black-Scholes) is the profile's
//! ([`profile`]). A side whose legs are not all priced is absent, with the
//! reasons in the tile. Bounds and parity are quality, flagged and never
//! clamped.
//!
//! Cost follows dirt ([`built`]). The model's own state is the centre of the
//! band, the moment at which time and spot were read, and the day from which
//! the lattice counts; lattice and tiles are functions of them and of the book.

mod body;
pub mod built;
pub mod explain;
pub mod flies;
pub mod forward;
pub mod lattice;
pub mod parameters;
pub mod profile;
pub mod reasons;
pub mod spec;
pub mod theory;
pub mod tile;
mod written;

use std::sync::Arc;

use orrery_journal::units::{NANOS_PER_SECOND, TradingDay};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;

use self::body::{Parts, body};
use self::built::Built;
use self::lattice::Lattice;
pub use self::parameters::Parameters;
use self::parameters::Pricing;
use self::profile::{Chosen, Debit, MarketPrice};
use self::theory::Moment;
use super::{Change, Figures, Model, Scope};
use crate::market::book::{Book, Market};
use crate::market::ticker::vendor_symbol;

const STATE_VERSION: u8 = 2;

/// The model of one profile.
#[derive(Debug)]
pub struct Heatmap {
    parameters: Parameters,
    profile: Chosen,
    family: &'static str,
    pricing: Pricing,
    /// Centre of the band; moves only when the spot has left its middle.
    centre: Option<f64>,
    moment: Option<Moment>,
    built: Option<Built>,
}

impl Default for Heatmap {
    fn default() -> Heatmap {
        Heatmap::new(&Parameters::default())
    }
}

impl Heatmap {
    /// The model of the main profile, which has seen nothing.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Heatmap {
        Heatmap::of(parameters, parameters.profile, "heatmap")
    }

    /// The models of all profiles, the main one first.
    pub fn all(parameters: &Parameters) -> impl Iterator<Item = Heatmap> + '_ {
        let beside = parameters.beside.iter().map(|p| Heatmap::of(parameters, *p, p.get().family));
        std::iter::once(Heatmap::new(parameters)).chain(beside)
    }

    fn of(parameters: &Parameters, profile: Chosen, family: &'static str) -> Heatmap {
        let own = profile.get().definitions.pricing;
        Heatmap {
            pricing: own.unwrap_or(parameters.pricing),
            parameters: parameters.clone(),
            profile,
            family,
            centre: None,
            moment: None,
            built: None,
        }
    }

    /// The body of a profile for a market, as a chain that came at this moment
    /// would have it; `None` where there is nothing to say.
    #[must_use]
    pub fn ask(market: &Market<'_>, parameters: &Parameters, profile: Chosen) -> Option<Vec<u8>> {
        let mut model = Heatmap::of(parameters, profile, "heatmap");
        model.apply(&Change::Chain, market);
        model.emit(market)
    }

    /// Prices what is dirty, without a body; answers how many tiles it priced.
    pub fn settle(&mut self, market: &Market<'_>) -> usize {
        if self.centre.is_none() {
            self.follow(market);
        }
        self.build(market);
        let (Some(book), Some(built)) = (market.book, &mut self.built) else { return 0 };
        built.reprice(&vendor_symbol(market.symbol), book)
    }

    fn is_theoretical(&self) -> bool {
        self.profile.get().definitions.debit == Debit::Theoretical
    }

    /// Moves the centre to the spot if it has left the middle of the band.
    fn follow(&mut self, market: &Market<'_>) {
        let Some(spot) = market.spot.map(|s| s.value) else { return };
        let recentre = self.parameters.recentre;
        let far = |centre: f64| (spot - centre).abs() > recentre * centre;
        if self.centre.is_none_or(far) {
            self.centre = Some(spot);
        }
    }

    /// The lattice of the moment; whether it had to be built anew.
    fn build(&mut self, market: &Market<'_>) -> bool {
        let (Some(book), Some(centre)) = (market.book, self.centre) else {
            self.built = None;
            return false;
        };
        let fits = self.built.as_ref().is_some_and(|built| {
            built.topology == book.topology.id
                && built.lattice.day == market.day
                && built.lattice.centre == centre
        });
        if !fits {
            self.built = Some(self.rebuilt(book, centre, market.day, market));
        }
        !fits
    }

    fn rebuilt(&mut self, book: &Book, centre: f64, day: TradingDay, market: &Market<'_>) -> Built {
        let moment = *self.moment.get_or_insert_with(|| read(market));
        let lattice = Lattice::new(&book.topology, day, centre, &self.parameters);
        let definitions = &self.profile.get().definitions;
        Built::new(book.topology.id, lattice, definitions, self.pricing, moment)
    }

    /// Reads time and spot again if this change calls for it; whether a tile
    /// depends on them.
    fn advance(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        let now = market.now;
        let due = match (self.moment, change) {
            (None, _) | (_, Change::Chain) => true,
            // Nothing new was seen.
            (_, Change::All) => false,
            (Some(held), change) => {
                let settled = self.built.as_ref().and_then(Built::next_settlement);
                now.0.saturating_sub(held.at.0) >= self.pricing.every_ns()
                    || settled.is_some_and(|at| now > at)
                    || (self.is_theoretical() && matches!(change, Change::Spot))
            }
        };
        if !due {
            return false;
        }
        let moment = read(market);
        self.moment = Some(moment);
        self.built.as_mut().is_some_and(|built| built.hold(moment))
    }

    fn mark(&mut self, mark: impl FnOnce(&mut Built) -> bool) -> bool {
        self.built.as_mut().is_some_and(mark)
    }
}

fn read(market: &Market<'_>) -> Moment {
    Moment { at: market.now, spot: market.spot.map(|s| s.value) }
}

impl Model for Heatmap {
    fn family(&self) -> &'static str {
        self.family
    }

    fn profile(&self) -> &'static str {
        self.profile.get().name
    }

    fn scope(&self) -> Scope {
        Scope::Epoch
    }

    fn cadence_ns(&self) -> i64 {
        NANOS_PER_SECOND / 4
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        let slot = match change {
            Change::Quote(slot) => Some(*slot),
            Change::Trade(slot) => {
                if self.profile.get().definitions.market != MarketPrice::MidElseLast {
                    return false;
                }
                Some(*slot)
            }
            Change::Spot | Change::Chain | Change::All => {
                self.follow(market);
                None
            }
            _ => return false,
        };
        let built = self.build(market);
        let moved = self.advance(change, market);
        let marked = match (slot, change) {
            (Some(slot), _) => self.mark(|built| built.mark_slot(slot)),
            (None, Change::Spot) => false,
            (None, _) => self.mark(|built| {
                built.mark_all();
                true
            }),
        };
        built || moved || marked
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let book = market.book?;
        // A chain that never had what the profile needs has nothing to say.
        let theory = self.profile.get().definitions.volatility.is_some();
        let tells = book.states.iter().any(|s| {
            s.bid.is_some() || s.ask.is_some() || (theory && s.implied_volatility.is_some())
        });
        self.settle(market);
        if !tells {
            return None;
        }
        let symbol = vendor_symbol(market.symbol);
        body(&Parts {
            symbol: &symbol,
            parameters: &self.parameters,
            pricing: &self.pricing,
            definitions: &self.profile.get().definitions,
            moment: self.moment?,
            built: self.built.as_ref()?,
            book,
            now: market.now,
        })
    }

    fn figures(&self) -> Option<Figures> {
        Some(Arc::new(self.built.as_ref()?.flies()))
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        e.padded(self.centre, Encoder::f64);
        e.option(self.moment, |e, moment| {
            e.recv(moment.at);
            e.option(moment.spot, Encoder::f64);
        });
        // A lattice of yesterday is built anew at the first change of today,
        // which makes a body due; one of today is not.
        e.option(self.built.as_ref(), |e, built| e.day(built.lattice.day));
    }

    fn restore(&mut self, bytes: &[u8], market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let centre = d.padded(Decoder::f64)?;
        let moment: Option<Moment> =
            d.option(|d| Ok(Moment { at: d.recv()?, spot: d.option(Decoder::f64)? }))?;
        let day: Option<TradingDay> = d.option(Decoder::day)?;
        d.end()?;
        let priced = |price: f64| price.is_finite() && price > 0.0;
        if centre.is_some_and(|c| !priced(c))
            || moment.and_then(|m| m.spot).is_some_and(|s| !priced(s))
        {
            return Err(RestoreError("centre or spot is no price".to_owned()));
        }
        (self.centre, self.moment, self.built) = (centre, moment, None);
        if let (Some(day), Some(centre), Some(book)) = (day, centre, market.book) {
            self.built = Some(self.rebuilt(book, centre, day, market));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
