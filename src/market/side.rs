//! Who wanted a trade: signed from its price, the quote that prevailed and the
//! prices before it (Lee and Ready, 1991; FORMULAS 3).
//!
//! At or through the quote first, then the side of its middle, then the tick
//! test; what none of them decides stays unknown. Prices are compared in fixed
//! point, so a trade at the middle is at the middle.

use orrery_journal::units::Price;
use serde::{Deserialize, Serialize};

/// Whose order the trade met: the one who crossed the spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// A buyer's.
    Bought,
    /// A seller's.
    Sold,
}

impl Side {
    /// +1 for a buyer's, -1 for a seller's.
    #[must_use]
    pub const fn sign(self) -> f64 {
        match self {
            Side::Bought => 1.0,
            Side::Sold => -1.0,
        }
    }
}

/// What decided about the side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// At or through the bid or the ask.
    Quote,
    /// Between them, above or below the middle.
    Midpoint,
    /// Above or below the last price that was another one.
    Tick,
}

/// Which rules may decide, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rules {
    /// Quote, midpoint, tick.
    #[default]
    LeeReady,
    /// Quote, midpoint.
    QuoteMidpoint,
    /// Quote alone.
    AtQuote,
}

/// The best quote before a trade; a side that nobody quotes is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prevailing {
    /// Best bid.
    pub bid: Option<Price>,
    /// Best ask.
    pub ask: Option<Price>,
}

impl Prevailing {
    /// From the sides of a book, of which 0 says that nobody quotes; `None`
    /// when neither side is quoted, and for a crossed quote, which says nothing.
    #[must_use]
    pub fn of(bid: Option<f64>, ask: Option<f64>) -> Option<Prevailing> {
        let side = |p: Option<f64>| p.and_then(Price::from_f64_nearest).filter(|p| p.0 > 0);
        let (bid, ask) = (side(bid), side(ask));
        let crossed = bid.zip(ask).is_some_and(|(bid, ask)| bid > ask);
        (!crossed && (bid.is_some() || ask.is_some())).then_some(Prevailing { bid, ask })
    }
}

/// What the tick test knows: the last price, and which way it was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ticks {
    /// The last price.
    pub last: Option<Price>,
    /// The last move between two prices that differed.
    pub direction: Option<Side>,
}

impl Ticks {
    /// The side of a trade at this price.
    #[must_use]
    pub fn test(self, price: Price) -> Option<Side> {
        match self.last {
            Some(last) if price > last => Some(Side::Bought),
            Some(last) if price < last => Some(Side::Sold),
            Some(_) => self.direction,
            None => None,
        }
    }

    /// What it knows after a trade at this price.
    #[must_use]
    pub fn after(self, price: Price) -> Ticks {
        Ticks { last: Some(price), direction: self.test(price) }
    }
}

/// The side of a trade and what decided, or `None` when nothing did.
#[must_use]
pub fn side(
    rules: Rules,
    price: Price,
    quote: Option<Prevailing>,
    ticks: Ticks,
) -> Option<(Side, Rule)> {
    if let Some(Prevailing { bid, ask }) = quote {
        match (ask.is_some_and(|ask| price >= ask), bid.is_some_and(|bid| price <= bid)) {
            (true, false) => return Some((Side::Bought, Rule::Quote)),
            (false, true) => return Some((Side::Sold, Rule::Quote)),
            // At a locked quote, which is both.
            (true, true) => {}
            (false, false) if rules == Rules::AtQuote => {}
            (false, false) => {
                let twice = 2 * i128::from(price.0);
                let sum = bid.zip(ask).map(|(bid, ask)| i128::from(bid.0) + i128::from(ask.0));
                match sum.map(|sum| twice.cmp(&sum)) {
                    Some(std::cmp::Ordering::Greater) => {
                        return Some((Side::Bought, Rule::Midpoint));
                    }
                    Some(std::cmp::Ordering::Less) => return Some((Side::Sold, Rule::Midpoint)),
                    Some(std::cmp::Ordering::Equal) | None => {}
                }
            }
        }
    }
    match rules {
        Rules::LeeReady => ticks.test(price).map(|side| (side, Rule::Tick)),
        Rules::QuoteMidpoint | Rules::AtQuote => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(value: f64) -> Price {
        Price::from_f64_exact(value).expect("a price")
    }

    fn told(rules: Rules, at: f64, quote: (f64, f64), ticks: Ticks) -> Option<(Side, Rule)> {
        side(rules, price(at), Prevailing::of(Some(quote.0), Some(quote.1)), ticks)
    }

    const UP: Ticks = Ticks { last: Some(Price(1)), direction: Some(Side::Bought) };

    #[test]
    fn at_or_through_the_quote_decides_first() {
        let lee = |at, quote| told(Rules::LeeReady, at, quote, Ticks::default());
        assert_eq!(lee(1.2, (1.0, 1.2)), Some((Side::Bought, Rule::Quote)));
        assert_eq!(lee(1.3, (1.0, 1.2)), Some((Side::Bought, Rule::Quote)));
        assert_eq!(lee(1.0, (1.0, 1.2)), Some((Side::Sold, Rule::Quote)));
        assert_eq!(lee(0.5, (1.0, 1.2)), Some((Side::Sold, Rule::Quote)));
        // One side only: beyond it is beyond it, inside of it is unknown.
        assert_eq!(lee(0.05, (0.0, 0.05)), Some((Side::Bought, Rule::Quote)));
        assert_eq!(lee(0.03, (0.0, 0.05)), None);
        assert_eq!(lee(1.0, (1.5, 0.0)), Some((Side::Sold, Rule::Quote)));
        // Against the tick test, too.
        assert_eq!(told(Rules::LeeReady, 1.0, (1.0, 1.2), UP), Some((Side::Sold, Rule::Quote)));
    }

    #[test]
    fn inside_the_quote_its_middle_decides_then_the_ticks() {
        let lee = |at, ticks| told(Rules::LeeReady, at, (1.0, 1.2), ticks);
        assert_eq!(lee(1.11, UP), Some((Side::Bought, Rule::Midpoint)));
        assert_eq!(lee(1.09, UP), Some((Side::Sold, Rule::Midpoint)));
        // 1.1 is (1.0 + 1.2) / 2 in fixed point, though not in doubles.
        assert_eq!(lee(1.1, UP), Some((Side::Bought, Rule::Tick)));
        assert_eq!(lee(1.1, Ticks::default()), None);
        let down = Ticks { last: Some(price(1.15)), direction: None };
        assert_eq!(lee(1.1, down), Some((Side::Sold, Rule::Tick)));
        // A locked quote is both sides at once.
        assert_eq!(told(Rules::LeeReady, 1.0, (1.0, 1.0), Ticks::default()), None);
        assert_eq!(told(Rules::LeeReady, 1.0, (1.0, 1.0), UP), Some((Side::Bought, Rule::Tick)));
    }

    #[test]
    fn fewer_rules_leave_more_unknown() {
        assert_eq!(told(Rules::AtQuote, 1.11, (1.0, 1.2), UP), None);
        assert_eq!(told(Rules::AtQuote, 1.2, (1.0, 1.2), UP), Some((Side::Bought, Rule::Quote)));
        let middle = Some((Side::Bought, Rule::Midpoint));
        assert_eq!(told(Rules::QuoteMidpoint, 1.11, (1.0, 1.2), UP), middle);
        assert_eq!(told(Rules::QuoteMidpoint, 1.1, (1.0, 1.2), UP), None);
    }

    #[test]
    fn crossed_and_absent_quotes_leave_it_to_the_ticks() {
        assert_eq!(Prevailing::of(Some(1.2), Some(1.0)), None);
        assert_eq!(Prevailing::of(Some(0.0), Some(0.0)), None);
        assert_eq!(Prevailing::of(None, None), None);
        assert_eq!(told(Rules::LeeReady, 1.1, (1.2, 1.0), UP), Some((Side::Bought, Rule::Tick)));
    }

    #[test]
    fn an_unchanged_price_keeps_the_direction_of_the_last_move() {
        let prices = [2.0, 2.0, 2.5, 2.5, 2.1, 2.1];
        let mut ticks = Ticks::default();
        let sides = prices.map(|p| {
            let side = ticks.test(price(p));
            ticks = ticks.after(price(p));
            side
        });
        use Side::{Bought, Sold};
        assert_eq!(sides, [None, None, Some(Bought), Some(Bought), Some(Sold), Some(Sold)]);
    }
}
