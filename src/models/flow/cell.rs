//! Sums of a session's trades, by kind, right and expiry, in whole numbers.

use orrery_journal::event::OptionRight;
use orrery_journal::units::Seq;
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;

use crate::market::conditions::Class;
use crate::market::side::{Rule, Side};
use crate::market::tape::{restore_side, save_side};

/// Parts of a currency unit in which delta-notional is summed.
const MILLION: f64 = 1e6;

/// What one contract of a trade weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Priced {
    /// Delta-notional per contract bought, by the vendor's delta.
    Vendor(f64),
    /// The same by our delta.
    Ours(f64),
    /// No price of the underlying was known.
    NoSpot,
    /// No delta was known.
    NoDelta,
}

/// Which sums a contract belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub right: OptionRight,
    /// It expires on the day of the session.
    pub zero_dte: bool,
}

/// What a trade added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    pub seq: Seq,
    pub class: Class,
    pub place: Place,
    pub size: u64,
    pub side: Option<(Side, Rule)>,
    /// Whether there was a quote to judge it by.
    pub quoted: bool,
    /// Whether the only quote was too old to judge it by.
    pub stale: bool,
    pub priced: Priced,
}

impl Entry {
    /// Delta-notional in millionths of the currency unit.
    fn notional(&self) -> Option<i128> {
        let (side, _) = self.side?;
        let (Priced::Vendor(unit) | Priced::Ours(unit)) = self.priced else { return None };
        // Halves away from zero, the same on every machine; `as` saturates.
        Some((side.sign() * self.size as f64 * unit * MILLION).round() as i128)
    }

    pub(super) fn save(&self, e: &mut Encoder<'_>) {
        e.seq(self.seq);
        e.u8(place_of(&Class::ALL, self.class));
        e.bool(self.place.right == OptionRight::Put);
        e.bool(self.place.zero_dte);
        e.u64(self.size);
        save_side(e, self.side);
        e.bool(self.quoted);
        e.bool(self.stale);
        let (tag, unit) = match self.priced {
            Priced::Vendor(unit) => (0, unit),
            Priced::Ours(unit) => (1, unit),
            Priced::NoSpot => (2, 0.0),
            Priced::NoDelta => (3, 0.0),
        };
        e.u8(tag);
        e.f64(unit);
    }

    pub(super) fn restore(d: &mut Decoder<'_>) -> Result<Entry, RestoreError> {
        Ok(Entry {
            seq: d.seq()?,
            class: class_at(d.u8()?)?,
            place: Place {
                right: if d.bool()? { OptionRight::Put } else { OptionRight::Call },
                zero_dte: d.bool()?,
            },
            size: d.u64()?,
            side: restore_side(d)?,
            quoted: d.bool()?,
            stale: d.bool()?,
            priced: match (d.u8()?, d.f64()?) {
                (0, unit) => Priced::Vendor(unit),
                (1, unit) => Priced::Ours(unit),
                (2, _) => Priced::NoSpot,
                (3, _) => Priced::NoDelta,
                (tag, _) => return Err(RestoreError(format!("{tag} is no weight"))),
            },
        })
    }
}

fn place_of(all: &[Class], class: Class) -> u8 {
    all.iter().position(|c| *c == class).unwrap_or_default() as u8
}

fn class_at(tag: u8) -> Result<Class, RestoreError> {
    let class = Class::ALL.get(usize::from(tag)).copied();
    class.ok_or_else(|| RestoreError(format!("{tag} is no class of trades")))
}

/// Sums of trades. Counts of contracts unless they say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub trades: u64,
    pub contracts: u64,
    /// Signed at or through the quote.
    pub by_quote: u64,
    /// Signed by the middle of the quote.
    pub by_midpoint: u64,
    /// Signed by the tick test.
    pub by_tick: u64,
    /// Signed as bought.
    pub bought: u64,
    /// Signed as sold.
    pub sold: u64,
    /// Judged without a quote.
    pub without_quote: u64,
    /// Of these, judged while the only quote was too old.
    pub stale_quote: u64,
    /// Signed, with the vendor's delta.
    pub vendor_delta: u64,
    /// Signed, with our delta.
    pub own_delta: u64,
    /// Signed, without a delta.
    pub without_delta: u64,
    /// Signed, without a price of the underlying.
    pub without_spot: u64,
    /// Delta-notional of what was bought, millionths of the currency unit.
    pub bought_notional: i128,
    /// The same of what was sold, with its sign.
    pub sold_notional: i128,
}

/// Whole numbers of a cell.
const COUNTS: usize = 13;

impl Cell {
    fn count(&mut self, entry: &Entry, put: bool) {
        let n = entry.size;
        let step = |of: &mut u64, by: u64| {
            *of = if put { of.saturating_add(by) } else { of.saturating_sub(by) };
        };
        step(&mut self.trades, 1);
        step(&mut self.contracts, n);
        if !entry.quoted {
            step(&mut self.without_quote, n);
        }
        if entry.stale {
            step(&mut self.stale_quote, n);
        }
        let Some((side, rule)) = entry.side else { return };
        step(
            match rule {
                Rule::Quote => &mut self.by_quote,
                Rule::Midpoint => &mut self.by_midpoint,
                Rule::Tick => &mut self.by_tick,
            },
            n,
        );
        step(
            match entry.priced {
                Priced::Vendor(_) => &mut self.vendor_delta,
                Priced::Ours(_) => &mut self.own_delta,
                Priced::NoDelta => &mut self.without_delta,
                Priced::NoSpot => &mut self.without_spot,
            },
            n,
        );
        let (contracts, notional) = match side {
            Side::Bought => (&mut self.bought, &mut self.bought_notional),
            Side::Sold => (&mut self.sold, &mut self.sold_notional),
        };
        step(contracts, n);
        if let Some(value) = entry.notional() {
            *notional = match put {
                true => notional.saturating_add(value),
                false => notional.saturating_sub(value),
            };
        }
    }

    /// Both together.
    pub(super) fn and(self, other: &Cell) -> Cell {
        let mut counts = self.counts();
        for (sum, more) in counts.iter_mut().zip(other.counts()) {
            *sum = sum.saturating_add(more);
        }
        Cell {
            bought_notional: self.bought_notional.saturating_add(other.bought_notional),
            sold_notional: self.sold_notional.saturating_add(other.sold_notional),
            ..Cell::of(counts)
        }
    }

    fn counts(&self) -> [u64; COUNTS] {
        [
            self.trades,
            self.contracts,
            self.by_quote,
            self.by_midpoint,
            self.by_tick,
            self.bought,
            self.sold,
            self.without_quote,
            self.stale_quote,
            self.vendor_delta,
            self.own_delta,
            self.without_delta,
            self.without_spot,
        ]
    }

    fn of(counts: [u64; COUNTS]) -> Cell {
        let [
            trades,
            contracts,
            by_quote,
            by_midpoint,
            by_tick,
            bought,
            sold,
            without_quote,
            stale_quote,
            vendor_delta,
            own_delta,
            without_delta,
            without_spot,
        ] = counts;
        Cell {
            trades,
            contracts,
            by_quote,
            by_midpoint,
            by_tick,
            bought,
            sold,
            without_quote,
            stale_quote,
            vendor_delta,
            own_delta,
            without_delta,
            without_spot,
            bought_notional: 0,
            sold_notional: 0,
        }
    }
}

/// Millionths as currency.
pub(super) fn currency(millionths: i128) -> f64 {
    millionths as f64 / MILLION
}

/// Cells of a class: calls, puts, calls and puts that expire today.
const PLACES: usize = 4;

/// All sums of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells([[Cell; PLACES]; Class::ALL.len()]);

impl Cells {
    /// Counts a trade in or out.
    pub(super) fn count(&mut self, entry: &Entry, put: bool) {
        let Place { right, zero_dte } = entry.place;
        let at = usize::from(zero_dte) * 2 + usize::from(right == OptionRight::Put);
        let class = usize::from(place_of(&Class::ALL, entry.class));
        if let Some(cell) = self.0.get_mut(class).and_then(|cells| cells.get_mut(at)) {
            cell.count(entry, put);
        }
    }

    /// The sum over the places of a class that are wanted.
    pub(super) fn sum(&self, class: Class, wanted: impl Fn(Place) -> bool) -> Cell {
        let cells = self.0.get(usize::from(place_of(&Class::ALL, class)));
        let place = |at: usize| Place {
            right: if at.is_multiple_of(2) { OptionRight::Call } else { OptionRight::Put },
            zero_dte: at >= 2,
        };
        let wanted = cells.into_iter().flatten().enumerate().filter(|(at, _)| wanted(place(*at)));
        wanted.fold(Cell::default(), |sum, (_, cell)| sum.and(cell))
    }

    pub(super) fn save(&self, e: &mut Encoder<'_>) {
        for cell in self.0.iter().flatten() {
            cell.counts().into_iter().for_each(|n| e.u64(n));
            for notional in [cell.bought_notional, cell.sold_notional] {
                // Two halves, the lower one first.
                e.u64(notional as u64);
                e.i64((notional >> 64) as i64);
            }
        }
    }

    pub(super) fn restore(d: &mut Decoder<'_>) -> Result<Cells, RestoreError> {
        let mut cells = Cells::default();
        for cell in cells.0.iter_mut().flatten() {
            let mut counts = [0; COUNTS];
            for count in &mut counts {
                *count = d.u64()?;
            }
            *cell = Cell::of(counts);
            for notional in [&mut cell.bought_notional, &mut cell.sold_notional] {
                let low = i128::from(d.u64()?);
                *notional = low | (i128::from(d.i64()?) << 64);
            }
        }
        Ok(cells)
    }
}
