//! `gex`: exposures by strike and expiry, and the levels in them.
//!
//! What counts as what is the profile's ([`profile`]): sign and size of the
//! dealers' position, unit, source of greeks, definitions of flip and walls.
//! `expirations` holds gamma x contracts x multiplier instead, unsigned and
//! without the spot, as existing clients read it.
//!
//! A body describes the market as of the last change that the model took
//! (`as_of`), not as of the timer that asked for it: a chain captured at the
//! instant of settlement is still the chain of contracts that live. The model
//! owns the repriced curve and nothing else; everything besides is read from
//! the book when a body is due.

mod body;
mod expirations;
pub mod expiry;
pub mod explain;
pub mod exposure;
pub mod flip;
pub mod held;
pub mod levels;
pub mod profile;

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, TradingDay};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::{Deserialize, Serialize};

use self::body::{Parts, body};
use self::expirations::Expirations;
use self::exposure::{Layout, exposures};
use self::flip::{Curve, FlipParameters, curve};
use self::held::View;
use self::profile::{Chosen, Greeks, Position};
use super::{Change, Model, Scope};
use crate::market::book::{Book, Market};
use crate::market::pricing::Pricing;

const STATE_VERSION: u8 = 2;

/// Parameters of all profiles; they stand in every body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The profile of the family `gex`. Default: `gex/naive-oi@1`.
    pub profile: Chosen,
    /// Profiles that run beside it, each as a family of its own
    /// (`gex_inverse_oi`). Default: none.
    pub beside: Vec<Chosen>,
    /// Where and how finely the book is repriced.
    pub flip: FlipParameters,
    /// What our own greeks are priced with.
    pub pricing: Pricing,
    /// A chain older than this makes every exposure stale, seconds.
    /// Default: 900.
    pub stale_after_s: i64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            profile: Chosen::default(),
            beside: Vec::new(),
            flip: FlipParameters::default(),
            pricing: Pricing::default(),
            stale_after_s: 900,
        }
    }
}

/// The model of one profile.
#[derive(Clone, Debug)]
pub struct Gex {
    parameters: Parameters,
    profile: Chosen,
    family: &'static str,
    as_of: Option<RecvTime>,
    chain_at: Option<RecvTime>,
    curve: Option<Curve>,
    /// Follows from the topology; not part of the saved state, and neither is
    /// the text of its last sums.
    layout: Option<Layout>,
    expirations: Option<Expirations>,
}

impl Default for Gex {
    fn default() -> Gex {
        Gex::new(&Parameters::default())
    }
}

impl Gex {
    /// The model of the main profile, which has seen nothing.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Gex {
        Gex::of(parameters, parameters.profile, "gex")
    }

    /// The models of all profiles, the main one first.
    pub fn all(parameters: &Parameters) -> impl Iterator<Item = Gex> + '_ {
        let beside = parameters.beside.iter().map(|p| Gex::of(parameters, *p, p.get().family));
        std::iter::once(Gex::new(parameters)).chain(beside)
    }

    fn of(parameters: &Parameters, profile: Chosen, family: &'static str) -> Gex {
        Gex {
            parameters: parameters.clone(),
            profile,
            family,
            as_of: None,
            chain_at: None,
            curve: None,
            layout: None,
            expirations: None,
        }
    }

    /// The body of a profile for a market, as a chain that came at this moment
    /// would have it; `None` where there is nothing to say.
    #[must_use]
    pub fn ask(market: &Market<'_>, parameters: &Parameters, profile: Chosen) -> Option<Vec<u8>> {
        let mut model = Gex::of(parameters, profile, "gex");
        model.apply(&Change::Chain, market);
        model.emit(market)
    }

    fn view(&self, as_of: RecvTime, spot: Option<f64>) -> View<'_> {
        let definitions = &self.profile.get().definitions;
        View { definitions, pricing: &self.parameters.pricing, as_of, spot }
    }

    /// The repriced curve, priced again when it is due.
    fn curve_at(&mut self, book: &Book, as_of: RecvTime, spot: f64, day: TradingDay) -> Curve {
        let parameters = self.parameters.flip;
        let held = self.curve.take().filter(|held| !held.is_stale(as_of, spot, &parameters));
        held.unwrap_or_else(|| curve(book, &self.view(as_of, Some(spot)), spot, day, &parameters))
    }
}

impl Model for Gex {
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
        2 * NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        let definitions = &self.profile.get().definitions;
        let seen = match change {
            Change::Chain => {
                self.chain_at = Some(market.now);
                self.curve = None;
                true
            }
            Change::Spot => true,
            Change::All => {
                // Nothing new was seen, so the moment of the body stays.
                self.as_of = self.as_of.or(Some(market.now));
                self.curve = None;
                return true;
            }
            Change::Quote(_) => definitions.greeks != Greeks::Vendor,
            Change::Trade(_) => definitions.position == Position::Volume,
            Change::Print { .. } | Change::Withdrawn { .. } | Change::Corrected { .. } => {
                definitions.position == Position::Flow
            }
            _ => false,
        };
        if seen {
            self.as_of = Some(market.now);
        }
        seen
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let book = market.book?;
        let as_of = self.as_of?;
        // A chain that never had what the profile needs has nothing to say here.
        let definitions = &self.profile.get().definitions;
        let tells = book.states.iter().any(|s| {
            let greek = match definitions.greeks {
                Greeks::Vendor => s.gamma.is_some(),
                Greeks::Quotes => s.two_sided().is_some(),
                Greeks::VendorElseQuotes => s.gamma.is_some() || s.two_sided().is_some(),
            };
            greek
                && match definitions.position {
                    Position::OpenInterest => s.open_interest.is_some(),
                    Position::Volume => s.volume.is_some(),
                    Position::Flow => s.inventory.is_some_and(|i| i.dealers().is_some()),
                }
        });
        if !tells {
            return None;
        }
        let held = self.layout.take().filter(|layout| layout.fits(&book.topology));
        let written = self.expirations.take().filter(|_| held.is_some());
        let layout = held.unwrap_or_else(|| Layout::new(&book.topology));
        let spot = market.spot.map(|s| s.value);
        let sums = exposures(book, &layout, &self.view(as_of, spot), market.day);
        let expirations = Expirations::of(written, &layout, &sums)?;
        let curve = spot.map(|spot| self.curve_at(book, as_of, spot, market.day));
        let parts = Parts {
            market,
            book,
            layout: &layout,
            parameters: &self.parameters,
            profile: self.profile.get(),
            sums: &sums,
            curve: curve.as_ref(),
            as_of,
            chain_at: self.chain_at,
        };
        let bytes = serde_json::to_vec(&body(&parts, expirations.text())).ok();
        self.curve = curve;
        (self.layout, self.expirations) = (Some(layout), Some(expirations));
        bytes
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        e.padded(self.as_of, Encoder::recv);
        e.padded(self.chain_at, Encoder::recv);
        e.option(self.curve.as_ref(), |e, curve| {
            e.recv(curve.at);
            e.f64(curve.centre);
            e.u64(curve.contracts);
            e.u64(curve.missing_iv);
            e.u64(curve.capped_iv);
            e.count(curve.net.len());
            curve.net.iter().for_each(|net| e.f64(*net));
        });
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let as_of = d.padded(Decoder::recv)?;
        let chain_at = d.padded(Decoder::recv)?;
        let curve = d.option(|d| {
            Ok(Curve {
                at: d.recv()?,
                centre: d.f64()?,
                contracts: d.u64()?,
                missing_iv: d.u64()?,
                capped_iv: d.u64()?,
                net: d.list(Decoder::f64)?,
            })
        })?;
        d.end()?;
        (self.as_of, self.chain_at, self.curve) = (as_of, chain_at, curve);
        (self.layout, self.expirations) = (None, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
