//! European option values and greeks with continuous carry, on `libm`.
//!
//! Units: rates, carry and volatility are fractions a year, time is years,
//! vega and vanna are per 1.00 of volatility, theta and charm per year as time
//! passes. Formulas: docs/models/market.md. Inputs that have no price (not
//! finite, not positive) answer `None`; nothing here guesses.

use orrery_journal::event::OptionRight;

const INV_SQRT_2PI: f64 = 0.398_942_280_401_432_7;
const SQRT_2: f64 = std::f64::consts::SQRT_2;

/// Density of the standard normal distribution.
#[must_use]
pub fn normal_pdf(x: f64) -> f64 {
    INV_SQRT_2PI * libm::exp(-0.5 * x * x)
}

/// Integral of the density up to `x`.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

/// What an option is priced from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Terms {
    /// Price of the underlying.
    pub spot: f64,
    /// Strike.
    pub strike: f64,
    /// Time to settlement, years.
    pub years: f64,
    /// Continuously compounded interest rate.
    pub rate: f64,
    /// Continuous yield of the underlying; equal to `rate` for a future.
    pub carry: f64,
    /// Volatility, a fraction a year.
    pub volatility: f64,
}

/// First and second derivatives of the value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Greeks {
    /// Per point of the underlying.
    pub delta: f64,
    /// Delta per point of the underlying; the same for call and put.
    pub gamma: f64,
    /// Per 1.00 of volatility; the same for call and put.
    pub vega: f64,
    /// Per year as time passes.
    pub theta: f64,
    /// Delta per 1.00 of volatility; the same for call and put.
    pub vanna: f64,
    /// Delta per year as time passes.
    pub charm: f64,
}

/// What of [`Greeks`] says how delta moves besides with the underlying.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cross {
    /// Delta per 1.00 of volatility; the same for call and put.
    pub vanna: f64,
    /// Delta per year as time passes.
    pub charm: f64,
}

/// The parts that all formulas share.
struct Common {
    d1: f64,
    d2: f64,
    vol_sqrt_t: f64,
    sqrt_t: f64,
    carry_discount: f64,
    rate_discount: f64,
}

impl Terms {
    fn is_priced(&self) -> bool {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        positive(self.spot)
            && positive(self.strike)
            && positive(self.years)
            && positive(self.volatility)
            && self.rate.is_finite()
            && self.carry.is_finite()
    }

    fn common(&self) -> Option<Common> {
        if !self.is_priced() {
            return None;
        }
        let sqrt_t = libm::sqrt(self.years);
        let vol_sqrt_t = self.volatility * sqrt_t;
        let drift = self.rate - self.carry + 0.5 * self.volatility * self.volatility;
        let d1 = (libm::log(self.spot / self.strike) + drift * self.years) / vol_sqrt_t;
        Some(Common {
            d1,
            d2: d1 - vol_sqrt_t,
            vol_sqrt_t,
            sqrt_t,
            carry_discount: libm::exp(-self.carry * self.years),
            rate_discount: libm::exp(-self.rate * self.years),
        })
    }

    /// Value today.
    #[must_use]
    pub fn price(&self, right: OptionRight) -> Option<f64> {
        let c = self.common()?;
        let spot = self.spot * c.carry_discount;
        let strike = self.strike * c.rate_discount;
        Some(match right {
            OptionRight::Call => spot * normal_cdf(c.d1) - strike * normal_cdf(c.d2),
            OptionRight::Put => strike * normal_cdf(-c.d2) - spot * normal_cdf(-c.d1),
        })
    }

    /// Gamma alone, for those who reprice a whole book.
    #[must_use]
    pub fn gamma(&self) -> Option<f64> {
        let c = self.common()?;
        Some(c.carry_discount * normal_pdf(c.d1) / (self.spot * c.vol_sqrt_t))
    }

    /// All greeks.
    #[must_use]
    pub fn greeks(&self, right: OptionRight) -> Option<Greeks> {
        let c = self.common()?;
        let density = normal_pdf(c.d1);
        let spot = self.spot * c.carry_discount;
        let strike = self.strike * c.rate_discount;
        let decay = -spot * density * self.volatility / (2.0 * c.sqrt_t);
        let (n, delta, theta) = match right {
            OptionRight::Call => {
                let n = normal_cdf(c.d1);
                let theta = decay - self.rate * strike * normal_cdf(c.d2) + self.carry * spot * n;
                (n, c.carry_discount * n, theta)
            }
            OptionRight::Put => {
                let n = normal_cdf(-c.d1);
                let theta = decay + self.rate * strike * normal_cdf(-c.d2) - self.carry * spot * n;
                (n, -c.carry_discount * n, theta)
            }
        };
        let Cross { vanna, charm } = self.cross_of(&c, right, density, n);
        Some(Greeks {
            delta,
            gamma: c.carry_discount * density / (self.spot * c.vol_sqrt_t),
            vega: spot * density * c.sqrt_t,
            theta,
            vanna,
            charm,
        })
    }

    /// How delta moves with volatility and time, for those who sum a whole book:
    /// the same bits as in [`Terms::greeks`].
    #[must_use]
    pub fn cross(&self, right: OptionRight) -> Option<Cross> {
        let c = self.common()?;
        let n = match right {
            // The integral weighs the carry and nothing else.
            _ if self.carry == 0.0 => 1.0,
            OptionRight::Call => normal_cdf(c.d1),
            OptionRight::Put => normal_cdf(-c.d1),
        };
        Some(self.cross_of(&c, right, normal_pdf(c.d1), n))
    }

    /// `n` is the integral up to d1 for calls, up to -d1 for puts.
    fn cross_of(&self, c: &Common, right: OptionRight, density: f64, n: f64) -> Cross {
        let drift = c.carry_discount
            * density
            * (2.0 * (self.rate - self.carry) * self.years - c.d2 * c.vol_sqrt_t)
            / (2.0 * self.years * c.vol_sqrt_t);
        let carry = match right {
            OptionRight::Call => self.carry,
            OptionRight::Put => -self.carry,
        };
        Cross {
            vanna: -c.carry_discount * density * c.d2 / self.volatility,
            charm: carry * c.carry_discount * n - drift,
        }
    }

    fn vega(&self) -> Option<f64> {
        let c = self.common()?;
        Some(self.spot * c.carry_discount * normal_pdf(c.d1) * c.sqrt_t)
    }
}

/// Why a price has no implied volatility.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum ImpliedVolatilityError {
    /// Spot, strike, time or rates are not usable numbers.
    #[error("spot, strike, time and rates must be finite and positive where they have to be")]
    Terms,
    /// No time is left: at settlement an option has a payoff, no volatility.
    #[error("no time is left to settlement")]
    NoTimeLeft,
    /// At or below what the option is worth without any volatility.
    #[error("price {price} is not above the discounted intrinsic value {intrinsic}")]
    NoTimeValue {
        /// The price.
        price: f64,
        /// The value at zero volatility.
        intrinsic: f64,
    },
    /// At or above what the option can ever be worth.
    #[error("price {price} is not below the bound {bound}")]
    AboveBound {
        /// The price.
        price: f64,
        /// The value at infinite volatility.
        bound: f64,
    },
    /// The volatility lies above [`VOLATILITY_MAX`].
    #[error("the volatility lies above {VOLATILITY_MAX}")]
    AboveRange,
    /// The price does not move with volatility any more (so far out of the
    /// money that doubles cannot tell).
    #[error("the price does not determine a volatility after {ITERATIONS_MAX} steps")]
    NoConvergence,
}

/// Highest volatility that is searched: 10,000 %.
pub const VOLATILITY_MAX: f64 = 100.0;
/// Lowest volatility that is searched.
const VOLATILITY_MIN: f64 = 1e-6;
/// Steps before giving up; bisection alone needs 60.
const ITERATIONS_MAX: u32 = 128;
/// Relative width of the bracket at which the answer is taken.
const TOLERANCE: f64 = 1e-12;

/// The volatility at which an option is worth `price`; the one in `terms` is
/// only the first guess. Newton's steps inside a bracket that always holds the
/// answer, bisection where a step would leave it. Far from the answer the steps
/// are taken on the logarithm of the value: in the wings the value itself falls
/// by a constant factor per step, and there may be hundreds of factors.
///
/// # Errors
/// See [`ImpliedVolatilityError`].
pub fn implied_volatility(
    right: OptionRight,
    price: f64,
    terms: &Terms,
) -> Result<f64, ImpliedVolatilityError> {
    use ImpliedVolatilityError as E;
    let at = |volatility: f64| Terms { volatility, ..*terms };
    if terms.years <= 0.0 {
        return Err(E::NoTimeLeft);
    }
    if !price.is_finite() || !at(1.0).is_priced() {
        return Err(E::Terms);
    }
    let spot = terms.spot * libm::exp(-terms.carry * terms.years);
    let strike = terms.strike * libm::exp(-terms.rate * terms.years);
    let (intrinsic, bound) = match right {
        OptionRight::Call => ((spot - strike).max(0.0), spot),
        OptionRight::Put => ((strike - spot).max(0.0), strike),
    };
    if price <= intrinsic {
        return Err(E::NoTimeValue { price, intrinsic });
    }
    if price >= bound {
        return Err(E::AboveBound { price, bound });
    }
    // The out-of-the-money twin has the same volatility and no intrinsic value
    // that would eat the digits.
    let (right, target) = match right {
        OptionRight::Call if spot > strike => (OptionRight::Put, price - spot + strike),
        OptionRight::Put if strike > spot => (OptionRight::Call, price - strike + spot),
        same => (same, price),
    };
    let value = |v: f64| at(v).price(right).ok_or(E::Terms);
    if value(VOLATILITY_MAX)? < target {
        return Err(E::AboveRange);
    }
    let (mut low, mut high) = (VOLATILITY_MIN, VOLATILITY_MAX);
    let guess = terms.volatility;
    let mut v = if guess > low && guess < high { guess } else { 0.25 };
    for _ in 0..ITERATIONS_MAX {
        let miss = value(v)? - target;
        if miss > 0.0 {
            high = v;
        } else {
            low = v;
        }
        if high - low <= TOLERANCE * v {
            return Ok(v);
        }
        let vega = at(v).vega().unwrap_or(0.0);
        let worth = miss + target;
        let near = worth < 2.0 * target && worth > 0.5 * target;
        let newton = match near {
            true => v - miss / vega,
            false => v - worth * libm::log(worth / target) / vega,
        };
        let next = if newton.is_finite() && newton > low && newton < high {
            newton
        } else {
            0.5 * (low + high)
        };
        if (next - v).abs() <= TOLERANCE * v && vega > 0.0 {
            return Ok(next);
        }
        v = next;
    }
    Err(E::NoConvergence)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use OptionRight::{Call, Put};

    /// Hull, Options, Futures and Other Derivatives: S 42, K 40, r 10 %,
    /// sigma 20 %, half a year: call 4.76, put 0.81.
    const HULL: Terms =
        Terms { spot: 42.0, strike: 40.0, years: 0.5, rate: 0.1, carry: 0.0, volatility: 0.2 };

    fn near(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "got {got}, want {want}");
    }

    #[test]
    fn published_values() {
        near(normal_cdf(0.0), 0.5, 1e-16);
        near(normal_cdf(1.96), 0.975_002_104_851_779_5, 1e-15);
        near(normal_cdf(-8.0), 6.220_960_574_271_785e-16, 1e-29);
        near(HULL.price(Call).expect("priced"), 4.759_422, 1e-6);
        near(HULL.price(Put).expect("priced"), 0.808_599, 1e-6);
        // Hull's delta example: S 49, K 50, r 5 %, sigma 20 %, 20 weeks:
        // delta 0.522, gamma 0.066, vega 12.1, theta -4.31 a year.
        let hull = Terms { spot: 49.0, strike: 50.0, years: 0.3846, rate: 0.05, ..HULL };
        let greeks = hull.greeks(Call).expect("priced");
        near(greeks.delta, 0.522, 5e-4);
        near(greeks.gamma, 0.066, 5e-4);
        near(greeks.vega, 12.1, 5e-2);
        near(greeks.theta, -4.31, 5e-3);
        // Haug, The Complete Guide to Option Pricing Formulas: put with carry,
        // S 100, K 95, T 0.5, r 10 %, q 5 %, sigma 20 %: 2.4648.
        let haug = Terms { spot: 100.0, strike: 95.0, carry: 0.05, ..HULL };
        near(haug.price(Put).expect("priced"), 2.4648, 5e-5);
    }

    #[test]
    fn the_far_wings_converge_within_the_steps() {
        // Prices from 1e-290 to nearly all of the spot, from any first guess.
        for (strike, years, volatility) in [
            (140.0, 0.01, 0.1),
            (400.0, 0.02, 0.3),
            (100.5, 1e-6, 0.2),
            (1e4, 5.0, 0.15),
            (0.01, 0.5, 0.4),
            (100.0, 10.0, 2.5),
        ] {
            let terms = Terms { spot: 100.0, strike, years, rate: 0.0, carry: 0.0, volatility };
            let right = if strike >= 100.0 { Call } else { Put };
            let price = terms.price(right).expect("priced");
            assert!(price > 0.0);
            for guess in [1e-4, 0.25, 3.0, 90.0] {
                let start = Terms { volatility: guess, ..terms };
                let found = implied_volatility(right, price, &start).expect("converges");
                assert!((found / volatility - 1.0).abs() < 1e-9, "{strike} {guess}: {found}");
            }
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for terms in [
            Terms { spot: 0.0, ..HULL },
            Terms { strike: f64::NAN, ..HULL },
            Terms { years: 0.0, ..HULL },
            Terms { volatility: -0.1, ..HULL },
            Terms { rate: f64::INFINITY, ..HULL },
        ] {
            assert_eq!(terms.price(Call), None);
            assert_eq!(terms.greeks(Put), None);
            assert_eq!(terms.gamma(), None);
        }
        assert_eq!(
            implied_volatility(Call, 1.0, &Terms { years: -1.0, ..HULL }),
            Err(ImpliedVolatilityError::NoTimeLeft)
        );
        assert_eq!(
            implied_volatility(Call, 1.0, &Terms { years: f64::NAN, ..HULL }),
            Err(ImpliedVolatilityError::Terms)
        );
        assert!(matches!(
            implied_volatility(Call, 3.0, &HULL),
            Err(ImpliedVolatilityError::NoTimeValue { .. })
        ));
        assert!(matches!(
            implied_volatility(Call, 42.0, &HULL),
            Err(ImpliedVolatilityError::AboveBound { .. })
        ));
    }

    fn terms() -> impl Strategy<Value = Terms> {
        (0.7..1.4f64, 0.01..2.0f64, -0.02..0.1f64, -0.02..0.1f64, 0.05..1.5f64).prop_map(
            |(moneyness, years, rate, carry, volatility)| Terms {
                spot: 100.0 * moneyness,
                strike: 100.0,
                years,
                rate,
                carry,
                volatility,
            },
        )
    }

    proptest! {
        #[test]
        fn put_call_parity(t in terms()) {
            let forward = t.spot * libm::exp(-t.carry * t.years)
                - t.strike * libm::exp(-t.rate * t.years);
            let difference = t.price(Call).expect("priced") - t.price(Put).expect("priced");
            prop_assert!((difference - forward).abs() < 1e-10);
        }

        #[test]
        fn greeks_are_the_slopes_of_the_value(t in terms()) {
            for right in [Call, Put] {
                let price = |t: Terms| t.price(right).expect("priced");
                let delta = |t: Terms| t.greeks(right).expect("priced").delta;
                let slope = |f: &dyn Fn(Terms) -> f64, vary: &dyn Fn(f64) -> Terms, h: f64| {
                    (f(vary(h)) - f(vary(-h))) / (2.0 * h)
                };
                let g = t.greeks(right).expect("priced");
                let spot = |h: f64| Terms { spot: t.spot + h, ..t };
                let vol = |h: f64| Terms { volatility: t.volatility + h, ..t };
                // Time passes: the time that is left shrinks.
                let time = |h: f64| Terms { years: t.years - h, ..t };
                let h = 1e-4;
                let close = |a: f64, b: f64| (a - b).abs() <= 2e-5 * (1.0 + a.abs().max(b.abs()));
                prop_assert!(close(g.delta, slope(&price, &spot, h)));
                prop_assert!(close(g.gamma, slope(&delta, &spot, h)));
                prop_assert!(close(g.vega, slope(&price, &vol, h)));
                prop_assert!(close(g.vanna, slope(&delta, &vol, h)));
                let h = t.years * 1e-4;
                prop_assert!(close(g.theta, slope(&price, &time, h)));
                prop_assert!(close(g.charm, slope(&delta, &time, h)));
                prop_assert_eq!(Some(g.gamma), t.gamma());
            }
        }

        #[test]
        fn implied_volatility_gives_back_the_price(t in terms(), guess in 0.0..3.0f64) {
            for right in [Call, Put] {
                let price = t.price(right).expect("priced");
                match implied_volatility(right, price, &Terms { volatility: guess, ..t }) {
                    Ok(v) => {
                        let again = Terms { volatility: v, ..t }.price(right).expect("priced");
                        prop_assert!((again - price).abs() <= 1e-9 * price.max(1.0), "{v}");
                        // Where the price says anything, the volatility is found.
                        if t.vega().expect("priced") > 1e-3 {
                            prop_assert!((v - t.volatility).abs() < 1e-8, "{v}");
                        }
                    }
                    // Only where no time value is left in 53 bits.
                    Err(e) => prop_assert!(t.vega().expect("priced") < 1e-6, "{e}"),
                }
            }
        }
    }
}
