//! The contracts behind a tile: its legs, with what each adds to the price.

use orrery_journal::event::OptionRight;
use orrery_journal::units::Price;

use super::spec::Strategy;
use crate::market::book::{Market, Slot};
use crate::models::Part;

/// A tile by its key: `strategy:dte:width:strike`, and `@ROOT` where its root
/// has no plain keys.
struct Key<'a> {
    strategy: Strategy,
    dte: i32,
    width: Price,
    strike: Price,
    root: Option<&'a str>,
}

impl Key<'_> {
    fn parse(key: &str) -> Option<Key<'_>> {
        let (key, root) = match key.split_once('@') {
            Some((key, root)) => (key, Some(root)),
            None => (key, None),
        };
        let mut words = key.split(':');
        let strategy = words.next()?;
        let strategy = [Strategy::Single, Strategy::Vertical, Strategy::Butterfly]
            .into_iter()
            .find(|s| s.name() == strategy)?;
        let dte = words.next()?.parse().ok()?;
        let price = |text: &str| Price::from_f64_nearest(text.parse().ok()?);
        let (width, strike) = (price(words.next()?)?, price(words.next()?)?);
        Some(Key { strategy, dte, width, strike, root })
    }

    /// Strikes of a side's legs, and how many of each are bought.
    fn legs(&self, right: OptionRight) -> Vec<(Price, i8)> {
        let away = |by: i64| Price(self.strike.0.saturating_add(self.width.0.saturating_mul(by)));
        match (self.strategy, right) {
            (Strategy::Single, _) => vec![(self.strike, 1)],
            (Strategy::Vertical, OptionRight::Call) => vec![(self.strike, 1), (away(1), -1)],
            (Strategy::Vertical, OptionRight::Put) => vec![(self.strike, 1), (away(-1), -1)],
            (Strategy::Butterfly, _) => vec![(away(-1), 1), (self.strike, -2), (away(1), 1)],
        }
    }

    /// The contract of a leg; where roots share a date, plain keys belong to the
    /// one that settles last.
    fn slot(&self, market: &Market<'_>, strike: Price, right: OptionRight) -> Option<Slot> {
        let contracts = market.book?.topology.contracts.iter().enumerate();
        let found = contracts.filter(|(_, c)| {
            (c.strike, c.right) == (strike, right)
                && c.dte(market.day) == self.dte
                && self.root.is_none_or(|root| *c.root == *root)
        });
        found.max_by_key(|(_, c)| c.settles_at).map(|(slot, _)| slot)
    }
}

/// Legs of the tile that a cell belongs to (`/tiles/butterfly:0:20:6500/call/debit`),
/// of one side where the cell names one; their value is quantity times mid, and
/// a leg without a two-sided quote has none. `None` where the cell is of no tile.
#[must_use]
pub fn behind(market: &Market<'_>, path: &str) -> Option<Vec<Part>> {
    let mut words = path.strip_prefix("/tiles/")?.split('/');
    let (key, side) = (Key::parse(words.next()?)?, words.next());
    let book = market.book?;
    let rights: &[OptionRight] = match side {
        Some("call") => &[OptionRight::Call],
        Some("put") => &[OptionRight::Put],
        _ => &[OptionRight::Call, OptionRight::Put],
    };
    let mut parts = Vec::new();
    for right in rights {
        for (strike, quantity) in key.legs(*right) {
            let Some(slot) = key.slot(market, strike, *right) else { continue };
            let (Some(contract), Some(state)) =
                (book.topology.contracts.get(slot), book.states.get(slot))
            else {
                continue;
            };
            parts.push(Part::of(contract, state.mid().map(|mid| f64::from(quantity) * mid)));
        }
    }
    Some(parts)
}
