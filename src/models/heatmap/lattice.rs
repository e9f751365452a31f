//! Which tiles exist: a pure function of topology, trading day and centre.
//!
//! A tile is an anchor strike, a width and a strategy on one expiry. Strikes
//! come from the chain only. The published lattice takes expiries that settle in
//! 0 to [`Parameters::dte_max`] calendar days and, on each, the anchor strikes
//! nearest to a centre price; wings may lie outside of that band.
//!
//! Roots that settle at different instants on the same day (SPX in the
//! morning, SPXW at the close) are separate lattices. The root that settles
//! last has the plain key `strategy:dte:width:strike`, any other
//! `strategy:dte:width:strike@ROOT`. Where two dates of a root settle on one day,
//! because nobody trades on the later one, that one has
//! `strategy:dte:width:strike@ROOT-DATE`.

use std::collections::BTreeMap;

use orrery_journal::event::OptionRight;
use orrery_journal::units::{Price, RecvTime, TradingDay};

use super::parameters::Parameters;
use super::spec::{Anchor, CALL, PUT, Strategy, Strikes, TileSpec};
use crate::market::book::{Contract, Slot, Topology};

/// An expiry of a root: contracts that settle together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Expiration date.
    pub expiry: TradingDay,
    /// Calendar days to the day of settlement.
    pub dte: i32,
    /// Root as listed.
    pub root: Box<str>,
    /// Whether its tiles have plain keys.
    pub plain: bool,
    /// The instant of settlement.
    pub settles_at: RecvTime,
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
    /// Expiries and roots; on each date the plain one first.
    pub groups: Vec<Group>,
    /// Group of a contract of `slots`, by slot; `u32::MAX` for any other.
    pub group_of_slot: Vec<u32>,
    /// The contract of the other right at the same strike, by slot.
    pub twin: Vec<Option<Slot>>,
}

impl Lattice {
    /// The lattice of a topology on a day around a centre.
    #[must_use]
    pub fn new(
        topology: &Topology,
        day: TradingDay,
        centre: f64,
        parameters: &Parameters,
    ) -> Lattice {
        let mut lattice = Lattice::empty(topology, day, centre);
        for (group, (key, strikes)) in (0_u32..).zip(chains(topology, day, parameters)) {
            let (dte, root) = (key.0, key.1.as_deref());
            for strike in band(&strikes, centre, parameters.strikes_each_side) {
                let at = |strategy, width| Anchor { dte, group, root, strike, strategy, width };
                let tiles = &mut lattice.tiles;
                tiles.extend(at(Strategy::Single, Price(0)).tile(&strikes));
                for &width in topology.widths.iter().filter(|w| w.0 > 0) {
                    tiles.extend(at(Strategy::Vertical, width).tile(&strikes));
                    tiles.extend(at(Strategy::Butterfly, width).tile(&strikes));
                }
            }
            lattice.add_group(group, root.is_none(), &strikes, topology);
        }
        lattice.tiles.sort_by(|a, b| a.key.cmp(&b.key));
        lattice.tiles.dedup_by(|a, b| a.key == b.key);
        lattice.index();
        lattice
    }

    fn empty(topology: &Topology, day: TradingDay, centre: f64) -> Lattice {
        let contracts = topology.contracts.len();
        Lattice {
            day,
            centre,
            tiles: Vec::new(),
            by_slot: vec![Vec::new(); contracts],
            slots: Vec::new(),
            dtes: BTreeMap::new(),
            groups: Vec::new(),
            group_of_slot: vec![u32::MAX; contracts],
            twin: vec![None; contracts],
        }
    }

    fn add_group(&mut self, group: u32, plain: bool, strikes: &Strikes, topology: &Topology) {
        let slots = || strikes.values().flatten().flatten().copied();
        let contracts = slots().filter_map(|slot| topology.contracts.get(slot));
        // Contracts of one root and date settle together; the last one decides
        // should they ever not.
        let Some(last) = contracts.max_by_key(|c| c.settles_at) else { return };
        let (expiry, root, settles_at) = (last.expiry, last.root.clone(), last.settles_at);
        self.groups.push(Group { expiry, dte: last.dte(self.day), root, plain, settles_at });
        for slot in slots() {
            if let Some(held) = self.group_of_slot.get_mut(slot) {
                *held = group;
            }
        }
        for pair in strikes.values() {
            if let [Some(call), Some(put)] = *pair {
                for (slot, twin) in [(call, put), (put, call)] {
                    if let Some(held) = self.twin.get_mut(slot) {
                        *held = Some(twin);
                    }
                }
            }
        }
    }

    fn index(&mut self) {
        for (i, tile) in (0_u32..).zip(&self.tiles) {
            *self.dtes.entry(tile.dte).or_default() += 1;
            for leg in tile.call.iter().chain(&*tile.put) {
                if let Some(list) = self.by_slot.get_mut(leg.slot()) {
                    list.push(i);
                }
            }
        }
        let used = self.by_slot.iter().enumerate().filter(|(_, tiles)| !tiles.is_empty());
        self.slots = used.map(|(slot, _)| slot).collect();
    }
}

/// Strikes of each expiry and root inside the range of days, by days to expiry
/// and what stands behind the key's `@`; nothing where the key is plain.
fn chains(
    topology: &Topology,
    day: TradingDay,
    parameters: &Parameters,
) -> BTreeMap<(i32, Option<Box<str>>), Strikes> {
    let published = |c: &Contract| (0..=parameters.dte_max).contains(&c.dte(day));
    let contracts = || topology.contracts.iter().enumerate().filter(|(_, c)| published(c));
    // The plain root of each day, and the first date of each root that settles then.
    let mut roots: BTreeMap<i32, (i64, &str)> = BTreeMap::new();
    let mut dates: BTreeMap<(i32, &str), TradingDay> = BTreeMap::new();
    for (_, contract) in contracts() {
        let dte = contract.dte(day);
        // Ascending by expiry, so the first is the earliest.
        dates.entry((dte, &*contract.root)).or_insert(contract.expiry);
        let candidate = (contract.settles_at.0, &*contract.root);
        let main = roots.entry(dte).or_insert(candidate);
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
        let (dte, root) = (contract.dte(day), &*contract.root);
        let first = dates.get(&(dte, root)).is_some_and(|date| *date == contract.expiry);
        let plain = roots.get(&dte).is_some_and(|main| main.1 == root);
        let label: Option<Box<str>> = match (first, plain) {
            (true, true) => None,
            (true, false) => Some(root.into()),
            (false, _) => Some(format!("{root}-{}", contract.expiry).into()),
        };
        let pair = chains.entry((dte, label)).or_default().entry(contract.strike).or_default();
        let side = match contract.right {
            OptionRight::Call => &mut pair[CALL],
            OptionRight::Put => &mut pair[PUT],
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
