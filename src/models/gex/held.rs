//! What one contract contributes: the dealers' position in it and its greeks.
//!
//! A contract that cannot be counted is left out under the first reason that
//! applies; it is never a zero.

use orrery_journal::event::OptionRight;
use orrery_journal::units::RecvTime;

use super::profile::{Definitions, Greeks, Position, Sign};
use crate::market::black_scholes;
use crate::market::book::{Contract, ContractState};
use crate::market::implied::{NoVolatility, implied_by_quote};
use crate::market::pricing::Pricing;

/// Where and when a contract is looked at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What counts as what.
    pub definitions: &'a Definitions,
    /// What our own greeks are priced with.
    pub pricing: &'a Pricing,
    /// The moment of the body.
    pub as_of: RecvTime,
    /// Price of the underlying.
    pub spot: Option<f64>,
}

/// A volatility, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Volatility {
    /// Annualised, a fraction.
    Known(f64),
    /// The vendor's cap stands where a volatility should.
    Capped,
    /// Neither stated nor implied by a quote.
    Missing,
}

impl Volatility {
    /// The number.
    #[must_use]
    pub fn known(self) -> Option<f64> {
        match self {
            Volatility::Known(v) => Some(v),
            Volatility::Capped | Volatility::Missing => None,
        }
    }
}

/// What is summed, each per contract held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// Contracts that dealers hold by the profile's position; without sign
    /// unless it is that of the flow.
    pub contracts: f64,
    /// Units of the underlying per contract.
    pub multiplier: f64,
    /// Delta per point.
    pub gamma: f64,
    /// Per point.
    pub delta: Option<f64>,
    /// Delta per 1.00 of volatility.
    pub vanna: Option<f64>,
    /// Delta per year as time passes.
    pub charm: Option<f64>,
    /// Whether gamma is ours.
    pub ours: bool,
}

impl Held {
    /// A greek times what is held, in units of the underlying.
    #[must_use]
    pub fn times(&self, greek: f64) -> f64 {
        greek * self.contracts * self.multiplier
    }
}

/// What a contract says about its exposure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// In the sums.
    Counted(Held),
    /// Settled before the moment of the body.
    Expired,
    /// Expires later than the profile looks.
    BeyondDays,
    /// The vendor does not say how many there are.
    MissingPosition,
    /// Nobody holds it: it adds nothing whatever its gamma.
    ZeroPosition,
    /// No gamma from the profile's source.
    MissingGamma,
    /// The vendor's gamma is below zero, which a held option's cannot be.
    NegativeGamma,
}

impl Sign {
    /// Sign of the dealers' position in calls or puts.
    #[must_use]
    pub const fn of(self, right: OptionRight) -> f64 {
        match (self, right) {
            (Sign::Naive, OptionRight::Call) | (Sign::Inverse, OptionRight::Put) => 1.0,
            // The position has its own sign.
            (Sign::Flow, _) => 1.0,
            _ => -1.0,
        }
    }
}

impl View<'_> {
    /// Contracts held, by the profile's position; unsigned, but for the flow's.
    ///
    /// # Errors
    /// Why it is not counted.
    pub fn position(
        &self,
        contract: &Contract,
        state: &ContractState,
        dte: i32,
    ) -> Result<f64, Verdict> {
        if contract.settles_at < self.as_of {
            return Err(Verdict::Expired);
        }
        if self.definitions.dte_max.is_some_and(|most| dte > most) {
            return Err(Verdict::BeyondDays);
        }
        let known = |n: &f64| n.is_finite() && *n >= 0.0;
        let stated = match self.definitions.position {
            Position::OpenInterest => state.open_interest.filter(known),
            Position::Volume => state.volume.filter(known),
            Position::Flow => state.inventory.and_then(|session| session.dealers()),
        };
        match stated {
            None => Err(Verdict::MissingPosition),
            Some(0.0) => Err(Verdict::ZeroPosition),
            Some(n) => Ok(n),
        }
    }

    /// The volatility of a contract by the profile's source.
    #[must_use]
    pub fn volatility(&self, contract: &Contract, state: &ContractState) -> Volatility {
        let vendor = match state.implied_volatility {
            Some(iv) if iv.is_finite() && iv >= self.pricing.iv_cap => Volatility::Capped,
            Some(iv) if iv.is_finite() && iv > 0.0 => Volatility::Known(iv),
            _ => Volatility::Missing,
        };
        match (self.definitions.greeks, vendor) {
            (Greeks::Vendor, vendor)
            | (Greeks::VendorElseQuotes, vendor @ Volatility::Known(_)) => vendor,
            (Greeks::Quotes | Greeks::VendorElseQuotes, vendor) => {
                match (self.implied(contract, state), self.definitions.greeks) {
                    (Ok(iv), _) => Volatility::Known(iv),
                    (Err(_), Greeks::VendorElseQuotes) => vendor,
                    (Err(_), _) => Volatility::Missing,
                }
            }
        }
    }

    /// The volatility that a two-sided quote's mid implies.
    fn implied(&self, contract: &Contract, state: &ContractState) -> Result<f64, NoVolatility> {
        implied_by_quote(contract, state, self.as_of, self.spot, |spot| {
            self.pricing.terms(contract, self.as_of, spot, 0.25)
        })
    }

    /// Why the quote of a contract gives no greeks of ours; `None` where the
    /// profile does not look at quotes, or they do.
    #[must_use]
    pub fn why_unpriced(&self, contract: &Contract, state: &ContractState) -> Option<NoVolatility> {
        match self.definitions.greeks {
            Greeks::Vendor => None,
            Greeks::Quotes | Greeks::VendorElseQuotes => self.implied(contract, state).err(),
        }
    }

    /// What a contract contributes. `dte` is its calendar days to expiry.
    #[must_use]
    pub fn judge(&self, contract: &Contract, state: &ContractState, dte: i32) -> Verdict {
        let contracts = match self.position(contract, state, dte) {
            Ok(n) => n,
            Err(why) => return why,
        };
        let stated = state.gamma.filter(|gamma| gamma.is_finite());
        let vendor = match self.definitions.greeks {
            Greeks::Quotes => None,
            Greeks::Vendor | Greeks::VendorElseQuotes => stated,
        };
        if vendor.is_some_and(|gamma| gamma < 0.0) {
            return Verdict::NegativeGamma;
        }
        let stated_delta = match self.definitions.greeks {
            Greeks::Quotes => None,
            Greeks::Vendor | Greeks::VendorElseQuotes => state.delta.filter(|d| d.is_finite()),
        };
        let terms = self.spot.zip(self.volatility(contract, state).known());
        let terms = terms.map(|(spot, iv)| self.pricing.terms(contract, self.as_of, spot, iv));
        // Whoever has gamma and delta from the vendor needs half of the greeks.
        if let (Some(gamma), Some(delta)) = (vendor, stated_delta) {
            let cross = terms.and_then(|terms| terms.cross(contract.right));
            return Verdict::Counted(Held {
                contracts,
                multiplier: contract.multiplier,
                gamma,
                delta: Some(delta),
                vanna: cross.map(|c| c.vanna),
                charm: cross.map(|c| c.charm),
                ours: false,
            });
        }
        let ours = terms.and_then(|terms| terms.greeks(contract.right));
        let gamma = match (vendor, self.definitions.greeks) {
            (Some(gamma), _) => gamma,
            (None, Greeks::Vendor) => return Verdict::MissingGamma,
            (None, _) => match ours {
                Some(greeks) => greeks.gamma,
                None => return Verdict::MissingGamma,
            },
        };
        Verdict::Counted(Held {
            contracts,
            multiplier: contract.multiplier,
            gamma,
            delta: stated_delta.or(ours.map(|g: black_scholes::Greeks| g.delta)),
            vanna: ours.map(|g| g.vanna),
            charm: ours.map(|g| g.charm),
            ours: vendor.is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gex::profile::Chosen;
    use crate::models::testing::{DAY_NS, contract, state};

    fn view<'a>(profile: &'a Chosen, pricing: &'a Pricing, as_of: RecvTime) -> View<'a> {
        View { definitions: &profile.get().definitions, pricing, as_of, spot: Some(100.0) }
    }

    #[test]
    fn every_reason_is_told_apart_and_none_is_a_zero() {
        let call = contract("C", 100.0, 10);
        let (profile, pricing) = (Chosen::default(), Pricing::default());
        let now = view(&profile, &pricing, RecvTime(0));
        let judge = |state: &ContractState| now.judge(&call, state, 10);
        let Verdict::Counted(held) = judge(&state(0.5, 3.0)) else { panic!("counted") };
        assert_eq!((held.times(held.gamma), held.vanna), (0.5 * 3.0 * 100.0, None));
        assert!(matches!(judge(&state(0.0, 3.0)), Verdict::Counted(h) if h.gamma == 0.0));
        assert_eq!(judge(&state(-0.5, 3.0)), Verdict::NegativeGamma);
        assert_eq!(judge(&state(f64::NAN, 3.0)), Verdict::MissingGamma);
        assert_eq!(judge(&state(0.5, 0.0)), Verdict::ZeroPosition);
        let unknown = ContractState { gamma: Some(0.5), ..ContractState::default() };
        assert_eq!(judge(&unknown), Verdict::MissingPosition);
        let near = Chosen::named("naive-oi-45d").expect("shipped");
        let looked = view(&near, &pricing, RecvTime(0));
        assert_eq!(looked.judge(&call, &state(0.5, 3.0), 46), Verdict::BeyondDays);
        let settles = call.settles_at;
        let at = |t| view(&profile, &pricing, t).judge(&call, &state(0.5, 3.0), 0);
        assert!(matches!(at(settles), Verdict::Counted(_)));
        assert_eq!(at(settles.plus_nanos(1)), Verdict::Expired);
    }

    #[test]
    fn greeks_come_from_where_the_profile_says() {
        let call = contract("C", 100.0, 30);
        let pricing = Pricing::default();
        let terms = pricing.terms(&call, RecvTime(0), 100.0, 0.2);
        let fair = terms.price(OptionRight::Call).expect("a price");
        let greeks = terms.greeks(OptionRight::Call).expect("greeks");
        let quoted = ContractState {
            bid: Some(fair - 0.01),
            ask: Some(fair + 0.01),
            open_interest: Some(1.0),
            ..ContractState::default()
        };
        let vendor = Chosen::default();
        let both = Chosen::named("naive-oi-quotes").expect("shipped");
        let judge =
            |profile: &Chosen, state| view(profile, &pricing, RecvTime(0)).judge(&call, state, 30);
        assert_eq!(judge(&vendor, &quoted), Verdict::MissingGamma);
        let Verdict::Counted(held) = judge(&both, &quoted) else { panic!("counted") };
        assert!(held.ours && (held.gamma - greeks.gamma).abs() < 1e-6 * greeks.gamma);
        assert!((held.vanna.expect("ours") - greeks.vanna).abs() < 1e-6);
        let stated = ContractState { gamma: Some(0.123), delta: Some(0.4), ..quoted };
        let Verdict::Counted(held) = judge(&both, &stated) else { panic!("counted") };
        assert_eq!((held.ours, held.gamma, held.delta), (false, 0.123, Some(0.4)));
        let capped = ContractState { implied_volatility: Some(20.0), ..stated };
        let now = view(&vendor, &pricing, RecvTime(0));
        assert_eq!(now.volatility(&call, &capped), Volatility::Capped);
        let now = view(&both, &pricing, RecvTime(30 * DAY_NS - 1));
        assert!(now.volatility(&call, &quoted).known().is_some(), "a floor, not a zero");
    }
}
