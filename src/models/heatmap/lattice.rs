//! Which tiles exist: a pure function of topology, trading day and centre.
//!
//! A tile is an anchor strike, a width and a strategy on one expiry. Strikes
//! come from the chain only. The published lattice takes expiries of 0 to
//! [`Parameters::dte_max`] calendar days and, on each, the anchor strikes
//! nearest to a centre price; wings may lie outside of that band.
//!
//! Roots that settle at different instants on the same date (SPX in the
//! morning, SPXW at the close) are separate lattices. The root that settles
//! last has the plain key `strategy:dte:width:strike`, any other
//! `strategy:dte:width:strike@ROOT`.

use std::collections::BTreeMap;

use orrery_journal::event::OptionRight;
use orrery_journal::units::{Price, TradingDay};
use serde::{Deserialize, Serialize};

use crate::market::book::{Slot, Topology};
use crate::models::price_key;

/// Extent of the published lattice. With the defaults, seven widths and the
/// eight or so expiries that an index lists in ten days, it stays around the
/// 5,000 tiles that existing gateways keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Calendar days to expiry, at most. Default: 10.
    pub dte_max: i32,
    /// Anchor strikes on each side of the one nearest to the centre.
    /// Default: 20.
    pub strikes_each_side: usize,
    /// Distance of the spot from the centre, as a fraction of the centre, beyond
    /// which the band is centred anew. Default: 0.0025.
    pub recentre: f64,
    /// Age from which a quote counts as stale, seconds. Default: 60.
    pub stale_after_s: i64,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters { dte_max: 10, strikes_each_side: 20, recentre: 0.0025, stale_after_s: 60 }
    }
}

/// What a tile buys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// One option at the strike.
    Single,
    /// Long the strike, short the one a width beyond (calls up, puts down).
    Vertical,
    /// Long both wings, short two of the strike.
    Butterfly,
}

impl Strategy {
    /// Its word in keys and bodies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Single => "single",
            Strategy::Vertical => "vertical",
            Strategy::Butterfly => "butterfly",
        }
    }
}

/// Where a leg's strike lies from the tile's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A width below.
    Lower = 0,
    /// At the strike.
    Center = 1,
    /// A width above.
    Upper = 2,
}

/// A leg of one side of a tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    /// The contract.
    pub slot: Slot,
    /// Bought (above zero) or sold, and how many.
    pub quantity: i8,
    /// Where its strike lies.
    pub place: Place,
}

/// A tile that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct TileSpec {
    /// Key in the body.
    pub key: String,
    /// What it buys.
    pub strategy: Strategy,
    /// Calendar days to expiry.
    pub dte: i32,
    /// Anchor strike.
    pub strike: Price,
    /// Distance of the other strikes; zero for a single.
    pub width: Price,
    /// Root, where it is not the one with the plain key.
    pub root: Option<Box<str>>,
    /// Legs of the call side; empty where a contract is missing.
    pub call: Vec<Leg>,
    /// Legs of the put side; empty where a contract is missing.
    pub put: Vec<Leg>,
}

/// All tiles of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Lattice {
    /// Day from which days to expiry are counted.
    pub day: TradingDay,
    /// Centre of the band.
    pub centre: f64,
    /// Tiles, ascending by key.
    pub tiles: Vec<TileSpec>,
    /// Tiles that a contract is a leg of, by slot.
    pub by_slot: Vec<Vec<u32>>,
    /// Contracts that are a leg of any tile, ascending.
    pub slots: Vec<Slot>,
    /// Tiles by days to expiry.
    pub dtes: BTreeMap<i32, u64>,
}

type Pair = [Option<Slot>; 2];
type Strikes = BTreeMap<Price, Pair>;

impl Lattice {
    /// The lattice of a topology on a day around a centre.
    #[must_use]
    pub fn new(
        topology: &Topology,
        day: TradingDay,
        centre: f64,
        parameters: &Parameters,
    ) -> Lattice {
        let mut tiles = Vec::new();
        for ((expiry, root), strikes) in chains(topology, day, parameters) {
            let dte = expiry.0 - day.0;
            for strike in band(&strikes, centre, parameters.strikes_each_side) {
                let at = |strategy, width| Anchor { dte, root, strike, strategy, width };
                tiles.extend(at(Strategy::Single, Price(0)).tile(&strikes));
                for &width in topology.widths.iter().filter(|w| w.0 > 0) {
                    tiles.extend(at(Strategy::Vertical, width).tile(&strikes));
                    tiles.extend(at(Strategy::Butterfly, width).tile(&strikes));
                }
            }
        }
        tiles.sort_by(|a, b| a.key.cmp(&b.key));
        tiles.dedup_by(|a, b| a.key == b.key);
        Lattice::index(day, centre, tiles, topology.contracts.len())
    }

    fn index(day: TradingDay, centre: f64, tiles: Vec<TileSpec>, contracts: usize) -> Lattice {
        let mut by_slot = vec![Vec::new(); contracts];
        let mut dtes = BTreeMap::new();
        for (i, tile) in tiles.iter().enumerate() {
            *dtes.entry(tile.dte).or_default() += 1;
            for leg in tile.call.iter().chain(&tile.put) {
                if let Some(list) = by_slot.get_mut(leg.slot) {
                    list.push(i as u32);
                }
            }
        }
        let slots = (0..contracts).filter(|slot| !by_slot[*slot].is_empty()).collect();
        Lattice { day, centre, tiles, by_slot, slots, dtes }
    }
}

/// Strikes of each expiry and root inside the range of days. The root is `None`
/// where it has the plain key.
fn chains<'a>(
    topology: &'a Topology,
    day: TradingDay,
    parameters: &Parameters,
) -> BTreeMap<(TradingDay, Option<&'a str>), Strikes> {
    let mut roots: BTreeMap<TradingDay, (i64, &str)> = BTreeMap::new();
    let published = |expiry: TradingDay| (0..=parameters.dte_max).contains(&(expiry.0 - day.0));
    let contracts = || topology.contracts.iter().enumerate().filter(|(_, c)| published(c.expiry));
    for (_, contract) in contracts() {
        let candidate = (contract.settles_at.0, &*contract.root);
        let main = roots.entry(contract.expiry).or_insert(candidate);
        // The last to settle; the underlying's own name, then the first in the
        // alphabet, where several do.
        let own = |root: &str| root == &*topology.symbol;
        let better = candidate.0 > main.0
            || (candidate.0 == main.0
                && !own(main.1)
                && (own(candidate.1) || candidate.1 < main.1));
        if better {
            *main = candidate;
        }
    }
    let mut chains: BTreeMap<_, Strikes> = BTreeMap::new();
    for (slot, contract) in contracts() {
        let plain = roots.get(&contract.expiry).is_some_and(|main| main.1 == &*contract.root);
        let root = (!plain).then_some(&*contract.root);
        let pair =
            chains.entry((contract.expiry, root)).or_default().entry(contract.strike).or_default();
        let side = match contract.right {
            OptionRight::Call => &mut pair[0],
            OptionRight::Put => &mut pair[1],
        };
        side.get_or_insert(slot);
    }
    chains
}

/// The strikes nearest to the centre, ascending.
fn band(strikes: &Strikes, centre: f64, each_side: usize) -> Vec<Price> {
    let all: Vec<Price> = strikes.keys().copied().collect();
    let distance = |i: &usize| (all[*i].to_f64() - centre).abs();
    let Some(middle) = (0..all.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))) else {
        return Vec::new();
    };
    let first = middle.saturating_sub(each_side);
    let end = (middle + each_side + 1).min(all.len());
    all[first..end].to_vec()
}

/// Everything that names a tile.
struct Anchor<'a> {
    dte: i32,
    root: Option<&'a str>,
    strike: Price,
    strategy: Strategy,
    width: Price,
}

const CALL: usize = 0;
const PUT: usize = 1;

impl Anchor<'_> {
    /// The tile, if its contracts exist: for a butterfly all six, for the
    /// others those of at least one side.
    fn tile(&self, strikes: &Strikes) -> Option<TileSpec> {
        use Place::{Center, Lower, Upper};
        let (mut call, mut put) = match self.strategy {
            Strategy::Single => {
                (self.legs(strikes, CALL, &[(Center, 1)]), self.legs(strikes, PUT, &[(Center, 1)]))
            }
            Strategy::Vertical => (
                self.legs(strikes, CALL, &[(Center, 1), (Upper, -1)]),
                self.legs(strikes, PUT, &[(Center, 1), (Lower, -1)]),
            ),
            Strategy::Butterfly => (
                self.legs(strikes, CALL, &[(Lower, 1), (Center, -2), (Upper, 1)]),
                self.legs(strikes, PUT, &[(Upper, 1), (Center, -2), (Lower, 1)]),
            ),
        };
        if self.strategy == Strategy::Butterfly && (call.is_none() || put.is_none()) {
            return None;
        }
        if call.is_none() && put.is_none() {
            return None;
        }
        Some(TileSpec {
            key: self.key(),
            strategy: self.strategy,
            dte: self.dte,
            strike: self.strike,
            width: self.width,
            root: self.root.map(Box::from),
            call: call.take().unwrap_or_default(),
            put: put.take().unwrap_or_default(),
        })
    }

    /// One side's legs, or `None` when one of its contracts does not exist.
    fn legs(&self, strikes: &Strikes, right: usize, wanted: &[(Place, i8)]) -> Option<Vec<Leg>> {
        wanted
            .iter()
            .map(|&(place, quantity)| {
                let strike = match place {
                    Place::Lower => self.strike.0.checked_sub(self.width.0)?,
                    Place::Center => self.strike.0,
                    Place::Upper => self.strike.0.checked_add(self.width.0)?,
                };
                let slot = strikes.get(&Price(strike))?[right]?;
                Some(Leg { slot, quantity, place })
            })
            .collect()
    }

    fn key(&self) -> String {
        let (strategy, dte) = (self.strategy.name(), self.dte);
        let (width, strike) = (price_key(self.width), price_key(self.strike));
        match self.root {
            None => format!("{strategy}:{dte}:{width}:{strike}"),
            Some(root) => format!("{strategy}:{dte}:{width}:{strike}@{root}"),
        }
    }
}
