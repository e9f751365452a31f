//! What each instrument of the journal is to this partition, looked up by its
//! dense id without hashing.

use std::collections::{BTreeMap, BTreeSet};

use orrery_journal::units::InstrumentId;
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;

use crate::market::book::{Slot, Topology};
use crate::market::ticker;
use crate::models::parameters::{Parameters, Proxy, proxies_of, proxy_of};

/// What an instrument is to a partition.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Role {
    /// Its definition was not seen.
    Unknown,
    /// Nothing of ours.
    Other,
    /// An option on the underlying.
    Contract,
    /// The underlying itself.
    Underlying,
    /// Stands in for the underlying's volume.
    Proxy {
        /// Its place among the symbol's proxies, as [`proxies_of`] has them.
        at: u8,
        /// Points of the underlying per point of it.
        by: f64,
    },
    /// The index of the underlying's volatility.
    Volatility,
}

/// Slots of a contract in the living epochs.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Slots {
    pub(super) active: Option<Slot>,
    pub(super) warming: Option<Slot>,
}

/// Narrow, since thousands of them are looked up in no order.
#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    /// [`NOWHERE`] without one.
    active: u32,
    warming: u32,
}

/// No slot: there are fewer instruments than that.
const NOWHERE: u32 = u32::MAX;

impl Default for Entry {
    fn default() -> Entry {
        Entry { kind: Kind::Unknown, active: NOWHERE, warming: NOWHERE }
    }
}

/// A [`Role`] without what can be looked up.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Unknown,
    Other,
    Contract,
    Underlying,
    /// The proxy at this place.
    Proxy(u8),
    Volatility,
}

/// Ids of one page; a partition sees a part of the journal's ids, mostly in runs.
const PAGE: usize = 256;

#[derive(Clone, Debug)]
pub(super) struct Instruments {
    symbol: Box<str>,
    /// Those of this symbol, in their order.
    proxies: Vec<(String, Proxy)>,
    volatility: BTreeSet<Box<str>>,
    tickers: BTreeMap<InstrumentId, Box<str>>,
    pages: Vec<Option<Box<[Entry; PAGE]>>>,
}

fn place(id: InstrumentId) -> (usize, usize) {
    let id = id.0 as usize;
    (id / PAGE, id % PAGE)
}

impl Instruments {
    pub(super) fn new(symbol: &str, parameters: &Parameters) -> Instruments {
        let proxies = proxies_of(&parameters.proxies, symbol);
        let volatility = parameters.volatility_indices.iter();
        Instruments {
            symbol: symbol.into(),
            proxies: proxies.map(|(t, p)| (t.to_owned(), p.clone())).collect(),
            volatility: volatility
                .filter(|(_, symbols)| symbols.iter().any(|s| s == symbol))
                .map(|(ticker, _)| ticker.as_str().into())
                .collect(),
            tickers: BTreeMap::new(),
            pages: Vec::new(),
        }
    }

    /// Learns an instrument; a second definition of an id changes nothing.
    pub(super) fn define(&mut self, id: InstrumentId, ticker: &str) {
        if id == InstrumentId::NONE || self.kind(id) != Kind::Unknown {
            return;
        }
        let kind = self.kind_of(ticker);
        self.entry(id).kind = kind;
        self.tickers.insert(id, ticker.into());
    }

    fn kind_of(&self, name: &str) -> Kind {
        if ticker::parse_option(name).is_some() {
            let ours = *ticker::symbol_of(name) == *self.symbol;
            return if ours { Kind::Contract } else { Kind::Other };
        }
        if *ticker::symbol_of(name) == *self.symbol {
            return Kind::Underlying;
        }
        if self.volatility.contains(name) {
            return Kind::Volatility;
        }
        let ours = |ticker: &str| self.proxies.iter().position(|(t, _)| t == ticker);
        proxy_of(name, ours).and_then(|at| u8::try_from(at).ok()).map_or(Kind::Other, Kind::Proxy)
    }

    fn kind(&self, id: InstrumentId) -> Kind {
        self.get(id).map_or(Kind::Unknown, |e| e.kind)
    }

    pub(super) fn role(&self, id: InstrumentId) -> Role {
        match self.kind(id) {
            Kind::Unknown => Role::Unknown,
            Kind::Other => Role::Other,
            Kind::Contract => Role::Contract,
            Kind::Underlying => Role::Underlying,
            Kind::Volatility => Role::Volatility,
            Kind::Proxy(at) => {
                let proxy = self.proxies.get(usize::from(at));
                proxy.map_or(Role::Other, |(_, p)| Role::Proxy { at, by: p.multiplier })
            }
        }
    }

    pub(super) fn slots(&self, id: InstrumentId) -> Slots {
        let slot = |number: u32| (number != NOWHERE).then_some(number as Slot);
        self.get(id).map_or(Slots::default(), |e| Slots {
            active: slot(e.active),
            warming: slot(e.warming),
        })
    }

    /// The ticker of an option on the underlying.
    pub(super) fn contract(&self, id: InstrumentId) -> Option<&str> {
        (self.role(id) == Role::Contract).then(|| self.tickers.get(&id).map(|t| &**t))?
    }

    fn get(&self, id: InstrumentId) -> Option<&Entry> {
        let (page, at) = place(id);
        self.pages.get(page)?.as_ref()?.get(at)
    }

    fn entry(&mut self, id: InstrumentId) -> &mut Entry {
        let (page, at) = place(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([Entry::default(); PAGE]));
        &mut page[at]
    }

    /// Writes the slots of the living topologies.
    pub(super) fn assign(&mut self, active: Option<&Topology>, warming: Option<&Topology>) {
        for entry in self.pages.iter_mut().flatten().flat_map(|page| page.iter_mut()) {
            (entry.active, entry.warming) = (NOWHERE, NOWHERE);
        }
        for (slot, contract) in (0..).zip(active.iter().flat_map(|t| &t.contracts)) {
            self.entry(contract.instrument).active = slot;
        }
        for (slot, contract) in (0..).zip(warming.iter().flat_map(|t| &t.contracts)) {
            self.entry(contract.instrument).warming = slot;
        }
    }

    /// Appends what was learnt; roles and slots follow from it.
    pub(super) fn save(&self, e: &mut Encoder<'_>) {
        e.count(self.tickers.len());
        for (id, ticker) in &self.tickers {
            e.u32(id.0);
            e.text(ticker);
        }
    }

    pub(super) fn restore(&self, d: &mut Decoder<'_>) -> Result<Instruments, RestoreError> {
        let mut fresh = Instruments {
            symbol: self.symbol.clone(),
            proxies: self.proxies.clone(),
            volatility: self.volatility.clone(),
            tickers: BTreeMap::new(),
            pages: Vec::new(),
        };
        for _ in 0..d.count()? {
            let id = InstrumentId(d.u32()?);
            fresh.define(id, d.text()?);
        }
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_follow_tickers() {
        let mut spx = Instruments::new("SPX", &Parameters::default());
        for (id, name, role) in [
            (1, "I:SPX", Role::Underlying),
            (2, "SPX", Role::Underlying),
            (3, "O:SPXW251219C06000000", Role::Contract),
            (4, "SPY", Role::Proxy { at: 0, by: 10.0 }),
            (8, "ES", Role::Proxy { at: 1, by: 1.0 }),
            (9, "ESZ6", Role::Proxy { at: 1, by: 1.0 }),
            (10, "NQZ6", Role::Other),
            (5, "O:SPY251219C00600000", Role::Other),
            (6, "QQQ", Role::Other),
            (11, "I:VIX", Role::Volatility),
            (u32::MAX, "O:SPX251219C06000000", Role::Contract),
        ] {
            spx.define(InstrumentId(id), name);
            assert_eq!(spx.role(InstrumentId(id)), role, "{name}");
        }
        assert_eq!(spx.role(InstrumentId(7)), Role::Unknown);
        assert_eq!(spx.contract(InstrumentId(3)), Some("O:SPXW251219C06000000"));
        assert_eq!(spx.contract(InstrumentId(4)), None);
        spx.define(InstrumentId::NONE, "SPY");
        assert_eq!(spx.role(InstrumentId::NONE), Role::Unknown);
    }
}
