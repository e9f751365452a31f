//! Surfaces without arbitrage, made from Black-Scholes: every debit is inside
//! its bounds, parity holds, and the layers are what the distribution says.

use orrery_journal::event::OptionRight;
use proptest::prelude::*;

use super::*;
use crate::market::black_scholes::{Terms, normal_cdf};
use crate::models::heatmap::profile::SHIPPED;

/// A flat volatility is free of arbitrage whatever the rates.
#[derive(Clone, Copy, Debug)]
struct Surface {
    spot: f64,
    volatility: f64,
    rate: f64,
    carry: f64,
    /// Hours to the settlement of the expiry.
    hours: i64,
    step: f64,
    half_spread: f64,
}

fn surface() -> impl Strategy<Value = Surface> {
    let rates = (-0.02..0.12, 0.0..0.06);
    let step = prop_oneof![Just(0.5), Just(1.0), Just(5.0)];
    (80.0..120.0, 0.05..1.2, rates, 2i64..250, step, 0.001..0.5).prop_map(
        |(spot, volatility, (rate, carry), hours, step, half_spread)| Surface {
            spot,
            volatility,
            rate,
            carry,
            hours,
            step,
            half_spread,
        },
    )
}

impl Surface {
    fn now(&self) -> RecvTime {
        RecvTime(12 * DAY_NS - self.hours * 3_600 * NANOS_PER_SECOND)
    }

    fn terms(&self, strike: f64) -> Terms {
        Terms {
            spot: self.spot,
            strike,
            years: self.hours as f64 / (365.0 * 24.0),
            rate: self.rate,
            carry: self.carry,
            volatility: self.volatility,
        }
    }

    fn value(&self, right: OptionRight, strike: f64) -> f64 {
        self.terms(strike).price(right).expect("priced")
    }

    /// Calls and puts at 25 strikes around the spot; quotes where the value
    /// leaves room for a bid, volatilities everywhere.
    fn book(&self) -> Book {
        let first = (self.spot / self.step).round() - 12.0;
        let (mut contracts, mut states) = (Vec::new(), Vec::new());
        for i in 0..25 {
            let strike = (first + f64::from(i)) * self.step;
            for (name, right) in [("C", OptionRight::Call), ("P", OptionRight::Put)] {
                let value = self.value(right, strike);
                let half = self.half_spread.min(value / 2.0);
                contracts.push(contract(name, strike, 12));
                let quotes = value > 1e-6;
                states.push(ContractState {
                    bid: quotes.then_some(value - half),
                    ask: quotes.then_some(value + half),
                    implied_volatility: Some(self.volatility),
                    quoted_at: Some(self.now()),
                    ..ContractState::default()
                });
            }
        }
        book(contracts, states)
    }

    fn body(&self, profile: &str) -> Value {
        let pricing = Pricing { rate: self.rate, carry: self.carry, ..Pricing::default() };
        let parameters = Parameters { pricing, dte_max: 20, ..Parameters::default() };
        let profile = Chosen::named(profile).expect("shipped");
        let book = self.book();
        let market = market(Some(&book), Some(self.spot), self.now());
        let body = Heatmap::ask(&market, &parameters, profile).expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }

    fn discount(&self) -> f64 {
        libm::exp(-self.rate * self.terms(1.0).years)
    }

    /// Probability that the price at settlement lies above a strike.
    fn above(&self, strike: f64) -> f64 {
        let t = self.terms(strike);
        let sd = t.volatility * t.years.sqrt();
        let drift = (t.rate - t.carry - 0.5 * t.volatility * t.volatility) * t.years;
        normal_cdf((libm::log(t.spot / strike) + drift) / sd)
    }
}

/// Whether the call and the put behind it are both quoted.
fn book_has_pair(book: &Book, call: usize) -> bool {
    book.states[call].mid().is_some() && book.states[call + 1].mid().is_some()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// Rounding of a debit to nine decimals, and of values around 1e2.
const NEAR: f64 = 1e-8;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn bounds_and_parity_hold_under_every_profile_that_prices_fairly(surface in surface()) {
        for profile in ["mid", "theoretical", "theoretical-quotes"] {
            let body = surface.body(profile);
            let quality = &body["quality"];
            prop_assert_eq!(&quality["out_of_bounds"], 0, "{}: {}", profile, quality);
            prop_assert_eq!(&quality["parity"]["beyond_spread"], 0, "{}: {}", profile, quality);
            let tiles = body["tiles"].as_object().expect("a map");
            let mut sides = 0;
            for (key, tile) in tiles {
                let gap = tile["parity_gap"].as_f64().unwrap_or(0.0);
                prop_assert!(gap.abs() <= 4.0 * NEAR, "{profile} {key}: {gap}");
                let most = number(&tile["width"]) * surface.discount();
                for side in ["call", "put"] {
                    let Some(debit) = tile[side]["debit"].as_f64() else { continue };
                    prop_assert!((-NEAR..=most + NEAR).contains(&debit), "{profile} {key}: {debit}");
                    prop_assert!(tile[side]["flag"].is_null());
                    sides += 1;
                }
            }
            // Quotes may leave no time value to imply a volatility from.
            prop_assert!(sides > 0 || profile != "theoretical", "it priced nothing");
            // The box: a call vertical and the put vertical a width above it are
            // worth the discounted width together.
            for (key, tile) in tiles.iter().filter(|(_, t)| t["strategy"] == "vertical") {
                let (width, strike) = (number(&tile["width"]), number(&tile["strike"]));
                let beyond = Price::from_f64_nearest(strike + width).expect("a price");
                let other = format!("vertical:{}:{}:{beyond}", tile["dte"], tile["width"]);
                let put = tiles.get(&other).and_then(|t| t["put"]["debit"].as_f64());
                if let Some((call, put)) = tile["call"]["debit"].as_f64().zip(put) {
                    let whole = width * surface.discount();
                    prop_assert!((call + put - whole).abs() <= 4.0 * NEAR, "{profile} {key}");
                }
            }
        }
    }

    #[test]
    fn the_forward_is_found_without_spot_and_carry(surface in surface()) {
        let body = surface.body("mid");
        let parity = &body["expiries"][0]["parity"];
        let years = surface.terms(1.0).years;
        let forward = surface.spot * libm::exp((surface.rate - surface.carry) * years);
        if let Some(got) = parity["forward"].as_f64() {
            prop_assert!((got - forward).abs() <= NEAR, "{got}, not {forward}");
            prop_assert!(number(&parity["gap_max"]) <= NEAR);
        } else {
            prop_assert_eq!(&parity["strikes"], 0);
        }
    }

    #[test]
    fn theory_gives_back_the_prices_it_was_made_from(surface in surface()) {
        // Ours comes through the solver, from mids.
        for (profile, near) in [("theoretical", 1e-8), ("theoretical-quotes", 1e-6)] {
            let body = surface.body(profile);
            for (key, tile) in body["tiles"].as_object().expect("a map") {
                if tile["strategy"] != "single" {
                    continue;
                }
                for (side, right) in [("call", OptionRight::Call), ("put", OptionRight::Put)] {
                    let Some(got) = tile[side]["mid"].as_f64() else { continue };
                    let expected = surface.value(right, number(&tile["strike"]));
                    prop_assert!((got - expected).abs() <= near, "{profile} {key}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn natural_debits_are_never_cheaper_than_mids(surface in surface()) {
        let body = surface.body("natural");
        for (key, tile) in body["tiles"].as_object().expect("a map") {
            for side in ["call", "put"] {
                let (main, market) = match tile["strategy"].as_str() {
                    Some("single") => ("mid", "market_mid"),
                    _ => ("debit", "market_debit"),
                };
                let Some(natural) = tile[side][main].as_f64() else { continue };
                prop_assert!(natural >= number(&tile[side][market]) - NEAR, "{key}: {tile}");
            }
        }
    }

    #[test]
    fn layers_are_the_distribution_at_settlement(surface in surface()) {
        let body = surface.body("theoretical");
        for (key, tile) in body["tiles"].as_object().expect("a map") {
            let (strike, width) = (number(&tile["strike"]), number(&tile["width"]));
            if tile["strategy"] == "vertical" {
                if let Some(p) = tile["call"]["probability"].as_f64() {
                    let (low, high) = (surface.above(strike + width), surface.above(strike));
                    prop_assert!((low - NEAR..=high + NEAR).contains(&p), "{key}: {low} {p} {high}");
                }
                if let Some(p) = tile["put"]["probability"].as_f64() {
                    let (low, high) = (1.0 - surface.above(strike - width), 1.0 - surface.above(strike));
                    prop_assert!((low - NEAR..=high + NEAR).contains(&p), "{key}: {low} {p} {high}");
                }
            }
            if tile["strategy"] == "butterfly"
                && let Some(density) = tile["call"]["density"].as_f64()
            {
                // It weighs the density by a triangle of area one, so width
                // times it is at most the probability of the whole range.
                let most = surface.above(strike - width) - surface.above(strike + width);
                prop_assert!(density >= -NEAR && density * width <= most + NEAR, "{key}: {tile}");
            }
        }
    }

    /// One quote that is off by more than all spreads is seen, and is left as
    /// it is.
    #[test]
    fn a_stale_quote_is_flagged(surface in surface(), at in 8usize..17) {
        let mut book = surface.book();
        let call = 2 * at;
        let state = &mut book.states[call];
        let off = 60.0 + 20.0 * surface.half_spread;
        (state.bid, state.ask) = (state.bid.map(|b| b + off), state.ask.map(|a| a + off));
        prop_assume!(state.bid.is_some());
        let strike = book.topology.contracts[call].strike;
        let market = market(Some(&book), Some(surface.spot), surface.now());
        let pricing = Pricing { rate: surface.rate, carry: surface.carry, ..Pricing::default() };
        let parameters = Parameters { pricing, dte_max: 20, ..Parameters::default() };
        let body = Heatmap::ask(&market, &parameters, Chosen::default()).expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let parity = &body["expiries"][0]["parity"];
        if parity["strikes"].as_u64() >= Some(3) && book_has_pair(&book, call) {
            prop_assert_eq!(number(&parity["gap_max_strike"]), strike.to_f64());
        }
        let flies = body["tiles"].as_object().expect("a map").values().filter(|tile| {
            tile["strategy"] == "butterfly"
                && number(&tile["strike"]) == strike.to_f64()
                && tile["parity_gap"].is_number()
        });
        for tile in flies {
            prop_assert_eq!(&tile["parity_flag"], "beyond_spread");
            prop_assert_eq!(&tile["call"]["flag"], "below_zero");
            prop_assert!(number(&tile["call"]["debit"]) < -100.0, "not clamped");
            prop_assert_eq!(&tile["put"]["flag"], &Value::Null, "the other side is fine");
        }
    }
}

#[test]
fn every_profile_says_what_it_is() {
    let surface = Surface {
        spot: 100.0,
        volatility: 0.2,
        rate: 0.03,
        carry: 0.0,
        hours: 48,
        step: 1.0,
        half_spread: 0.05,
    };
    for profile in &SHIPPED {
        let body = surface.body(profile.name);
        let expected = serde_json::to_value(profile.definitions).expect("JSON");
        assert_eq!(body["definitions"], expected);
        let own = profile.definitions.pricing.map_or(0.03, |p| p.rate);
        assert_eq!(body["priced"]["rate"], own);
        assert_eq!(body["priced"]["spot"], 100.0);
        assert_eq!(body["expiries"][0]["root"], "SPXW");
        let years = number(&body["expiries"][0]["years"]);
        assert!((years - 2.0 / 365.0).abs() < 1e-15);
        let discount = number(&body["expiries"][0]["discount"]);
        assert!((discount - libm::exp(-own * years)).abs() < 1e-15);
    }
}
