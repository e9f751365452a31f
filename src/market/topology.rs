//! From the rows of a chain snapshot to a topology and its identity.
//!
//! Only a chain declares topology. The id is blake3 over the canonical bytes of
//! what exists (underlying, widths, contracts with their terms), never over
//! what is known of it (quotes, greeks) nor over numbers that a journal gave
//! out: two journals of the same market name the same epochs.

use std::collections::BTreeMap;

use orrery_journal::event::{ChainRow, OptionRight};
use orrery_journal::units::{Address, InstrumentId, Price, RecvTime, TradingDay};
use orrery_replay::canonical::Encoder;
use orrery_replay::fold::EpochId;
use serde::{Deserialize, Serialize};

use super::book::{Contract, Slot, Topology};
use super::calendar::{TradingCalendar, Venue};
use super::ticker;

/// Domain of epoch ids; never used for anything else.
const ID_CONTEXT: &str = "orrery 2026 epoch topology v1";

/// What a topology has besides the contracts of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopologyParameters {
    /// Strike distances of verticals and butterflies by symbol, in price units.
    /// Default: SPX 20 to 50 by 5; NDX 50, 60, 70, 80, 100, 120, 130.
    pub widths: BTreeMap<String, Vec<f64>>,
    /// For any other symbol: multiples of the usual strike distance of its
    /// chain (the most frequent distance of neighbouring strikes of one expiry
    /// and root, the smallest of equally frequent ones). Default: 1, 2, 4, 5,
    /// 10, so that strikes 5 apart give widths 5, 10, 20, 25, 50.
    pub width_multiples: Vec<u32>,
    /// Units of the underlying per contract where the vendor does not say.
    /// Default: 100.
    pub multiplier_default: f64,
    /// The same for crypto options. Default: 1.
    pub multiplier_default_crypto: f64,
}

impl Default for TopologyParameters {
    fn default() -> Self {
        let widths = |list: &[f64]| list.to_vec();
        TopologyParameters {
            widths: BTreeMap::from([
                ("SPX".to_owned(), widths(&[20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0])),
                ("NDX".to_owned(), widths(&[50.0, 60.0, 70.0, 80.0, 100.0, 120.0, 130.0])),
            ]),
            width_multiples: vec![1, 2, 4, 5, 10],
            multiplier_default: 100.0,
            multiplier_default_crypto: 1.0,
        }
    }
}

/// What a chain's rows came to.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The topology.
    pub topology: Topology,
    /// The row of each slot.
    pub row_of_slot: Vec<usize>,
    /// Rows whose instrument has no option ticker of this partition.
    pub unknown_rows: u32,
    /// Rows that came again for the same contract; the last one counts.
    pub duplicate_rows: u32,
}

/// Builds the topology of `symbol` that `rows` declare.
#[must_use]
pub fn declare<'t>(
    symbol: &str,
    rows: &[ChainRow],
    ticker_of: impl Fn(InstrumentId) -> Option<&'t str>,
    parameters: &TopologyParameters,
    calendar: &TradingCalendar,
) -> Declared {
    let mut found: Vec<(Contract, usize)> = Vec::with_capacity(rows.len());
    let mut settlements: BTreeMap<(Box<str>, TradingDay), (TradingDay, RecvTime)> = BTreeMap::new();
    let mut unknown_rows = 0;
    for (index, row) in rows.iter().enumerate() {
        let named = ticker_of(row.instrument).and_then(|t| Some((t, ticker::parse_option(t)?)));
        let Some((name, terms)) = named else {
            unknown_rows += 1;
            continue;
        };
        let venue = Venue::of_option(name);
        let (settles_on, settles_at) =
            *settlements.entry((terms.root.clone(), terms.expiry)).or_insert_with(|| {
                let at = calendar.settles_at(venue, &terms.root, terms.expiry);
                (calendar.settles_on(venue, terms.expiry), at)
            });
        // The ticker is the contract's identity, so its terms are the ones.
        let contract = Contract {
            instrument: row.instrument,
            ticker: name.into(),
            root: terms.root,
            expiry: terms.expiry,
            settles_on,
            settles_at,
            strike: terms.strike,
            right: terms.right,
            style: row.style,
            multiplier: multiplier(row.multiplier, venue, parameters),
        };
        found.push((contract, index));
    }
    found.sort_by(|(a, i), (b, j)| order(a).cmp(&order(b)).then(i.cmp(j)));
    let before = found.len();
    // Equal tickers are neighbours now, the last row of each behind the others.
    found.reverse();
    found.dedup_by(|(a, _), (b, _)| a.ticker == b.ticker);
    found.reverse();
    let duplicate_rows = u32::try_from(before - found.len()).unwrap_or(u32::MAX);
    let (contracts, row_of_slot) = found.into_iter().unzip();
    let topology = assemble(symbol, contracts, parameters);
    Declared { topology, row_of_slot, unknown_rows, duplicate_rows }
}

/// A topology from its contracts in canonical order.
#[must_use]
pub fn assemble(
    symbol: &str,
    contracts: Vec<Contract>,
    parameters: &TopologyParameters,
) -> Topology {
    let widths = widths(symbol, &contracts, parameters);
    let id = identify(symbol, &widths, &contracts);
    with_identity(id, symbol, widths, contracts)
}

/// A topology whose id and widths were decided before.
#[must_use]
pub fn with_identity(
    id: EpochId,
    symbol: &str,
    widths: Vec<Price>,
    contracts: Vec<Contract>,
) -> Topology {
    let mut expiries: Vec<TradingDay> = contracts.iter().map(|c| c.expiry).collect();
    expiries.sort_unstable();
    expiries.dedup();
    let slots = contracts.iter().enumerate().map(|(slot, c)| (c.instrument, slot)).collect();
    Topology { id, symbol: symbol.into(), contracts, expiries, widths, slots }
}

/// Roots of a topology, ascending.
#[must_use]
pub fn roots(topology: &Topology) -> Vec<Box<str>> {
    let mut roots: Vec<Box<str>> = Vec::new();
    for contract in &topology.contracts {
        if let Err(at) = roots.binary_search(&contract.root) {
            roots.insert(at, contract.root.clone());
        }
    }
    roots
}

/// Strikes of a topology, ascending.
#[must_use]
pub fn strikes(topology: &Topology) -> Vec<Price> {
    let mut strikes: Vec<Price> = topology.contracts.iter().map(|c| c.strike).collect();
    strikes.sort_unstable();
    strikes.dedup();
    strikes
}

/// The contract with these terms, if it exists.
#[must_use]
pub fn slot_of(
    topology: &Topology,
    expiry: TradingDay,
    root: &str,
    strike: Price,
    right: OptionRight,
) -> Option<Slot> {
    let wanted = (expiry, root, strike, right);
    let at = topology.contracts.partition_point(|c| terms(c) < wanted);
    topology.contracts.get(at).filter(|c| terms(c) == wanted).map(|_| at)
}

fn terms(contract: &Contract) -> (TradingDay, &str, Price, OptionRight) {
    (contract.expiry, &contract.root, contract.strike, contract.right)
}

fn order(contract: &Contract) -> (TradingDay, &str, Price, OptionRight, &str) {
    (contract.expiry, &contract.root, contract.strike, contract.right, &contract.ticker)
}

fn multiplier(said: Option<f64>, venue: Venue, parameters: &TopologyParameters) -> f64 {
    said.filter(|m| m.is_finite() && *m > 0.0).unwrap_or(match venue {
        Venue::UsOptions => parameters.multiplier_default,
        Venue::Crypto => parameters.multiplier_default_crypto,
    })
}

fn widths(symbol: &str, contracts: &[Contract], parameters: &TopologyParameters) -> Vec<Price> {
    let mut widths: Vec<Price> = match parameters.widths.get(symbol) {
        Some(list) => list.iter().filter_map(|w| Price::from_f64_exact(*w)).collect(),
        None => {
            let usual = usual_distance(contracts);
            let times = |m: &u32| Some(Price(usual?.0.checked_mul(i64::from(*m))?));
            parameters.width_multiples.iter().filter_map(times).collect()
        }
    };
    widths.retain(|w| w.0 > 0);
    widths.sort_unstable();
    widths.dedup();
    widths
}

/// Most frequent distance between neighbouring strikes of one expiry and root;
/// the smallest of equally frequent ones.
fn usual_distance(contracts: &[Contract]) -> Option<Price> {
    let mut counts: BTreeMap<Price, u32> = BTreeMap::new();
    for pair in contracts.windows(2) {
        let [a, b] = pair else { continue };
        if (a.expiry, &a.root) == (b.expiry, &b.root) && b.strike > a.strike {
            *counts.entry(Price(b.strike.0 - a.strike.0)).or_default() += 1;
        }
    }
    let most = counts.values().copied().max()?;
    counts.into_iter().find(|(_, n)| *n == most).map(|(distance, _)| distance)
}

/// Canonical bytes: symbol; widths; contracts, each as ticker, root, expiry,
/// strike, right, multiplier. Counts and lengths go before what they count.
fn identify(symbol: &str, widths: &[Price], contracts: &[Contract]) -> EpochId {
    let mut bytes = Vec::with_capacity(64 + contracts.len() * 80);
    let mut e = Encoder::new(&mut bytes);
    e.text(symbol);
    e.count(widths.len());
    widths.iter().for_each(|w| e.price(*w));
    e.count(contracts.len());
    for contract in contracts {
        e.text(&contract.ticker);
        e.text(&contract.root);
        e.day(contract.expiry);
        e.price(contract.strike);
        e.bool(contract.right == OptionRight::Put);
        e.f64(contract.multiplier);
    }
    Address(blake3::derive_key(ID_CONTEXT, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::live_book::tests::{row, tickers};

    fn declared(symbol: &str, list: &[&str]) -> Declared {
        let (rows, names) = tickers(list);
        declare(
            symbol,
            &rows,
            |id| names.get(&id).map(String::as_str),
            &TopologyParameters::default(),
            TradingCalendar::shipped(),
        )
    }

    const CHAIN: [&str; 6] = [
        "O:SPXW251219P06005000",
        "O:SPX251219C06000000",
        "O:SPXW251219C06000000",
        "O:SPXW251219C06005000",
        "O:SPXW251219C06015000",
        "O:SPXW251222C06000000",
    ];

    #[test]
    fn contracts_stand_in_canonical_order_and_roots_do_not_mix() {
        let topology = declared("SPX", &CHAIN).topology;
        let order: Vec<&str> = topology.contracts.iter().map(|c| &*c.ticker).collect();
        assert_eq!(
            order,
            [
                "O:SPX251219C06000000",
                "O:SPXW251219C06000000",
                "O:SPXW251219C06005000",
                "O:SPXW251219P06005000",
                "O:SPXW251219C06015000",
                "O:SPXW251222C06000000"
            ]
        );
        assert_eq!(topology.expiries.len(), 2);
        assert_eq!(roots(&topology).join(" "), "SPX SPXW");
        let (am, pm) = (&topology.contracts[0], &topology.contracts[1]);
        assert_eq!(am.settles_at.to_rfc3339(), "2025-12-19T14:30:00.000000000Z");
        assert_eq!(pm.settles_at.to_rfc3339(), "2025-12-19T21:00:00.000000000Z");
        let find = |root, strike: i64, right| {
            slot_of(&topology, pm.expiry, root, Price(strike * Price::SCALE), right)
        };
        assert_eq!(find("SPXW", 6005, OptionRight::Put), Some(3));
        assert_eq!(find("SPX", 6005, OptionRight::Put), None);
    }

    #[test]
    fn the_id_depends_on_what_exists_and_on_nothing_else() {
        let id = declared("SPX", &CHAIN).topology.id;
        let mut other = CHAIN;
        other.reverse();
        // Order and instrument ids change with the order; the market is the same.
        assert_eq!(declared("SPX", &other).topology.id, id);
        assert_ne!(declared("SPX", &CHAIN[..5]).topology.id, id, "a contract less");
        assert_ne!(declared("NDX", &CHAIN).topology.id, id, "another symbol and widths");
        other[0] = "O:SPXW251222P06000000";
        assert_ne!(declared("SPX", &other).topology.id, id, "another contract");
        let (mut rows, names) = tickers(&CHAIN);
        let parameters = TopologyParameters::default();
        let id_of = |rows: &[ChainRow], parameters: &TopologyParameters| {
            let ticker_of = |id| names.get(&id).map(String::as_str);
            declare("SPX", rows, ticker_of, parameters, TradingCalendar::shipped()).topology.id
        };
        let mut wider = parameters.clone();
        wider.widths.insert("SPX".to_owned(), vec![20.0]);
        assert_ne!(id_of(&rows, &wider), id, "other widths");
        rows[0].bid = Some(1.0);
        rows[0].gamma = None;
        assert_eq!(id_of(&rows, &parameters), id, "values are not topology");
        rows[0].multiplier = Some(10.0);
        assert_ne!(id_of(&rows, &parameters), id, "terms are");
    }

    #[test]
    fn the_id_never_changes_between_releases() {
        assert_eq!(
            declared("SPX", &CHAIN).topology.id.to_string(),
            "01ca88bf7c677851321ccc4cf0afc7d6d77f4d5210acde6e1087ad0c9e00d3b9"
        );
    }

    #[test]
    fn what_cannot_be_named_is_counted_and_repeats_count_once() {
        let (mut rows, names) = tickers(&CHAIN);
        rows.push(row(InstrumentId(999), CHAIN[0]));
        let mut again = rows[0];
        again.bid = Some(9.0);
        rows.push(again);
        rows[1].instrument = InstrumentId::NONE;
        let ticker_of = |id| names.get(&id).map(String::as_str);
        let (parameters, calendar) = (TopologyParameters::default(), TradingCalendar::shipped());
        let got = declare("SPX", &rows, ticker_of, &parameters, calendar);
        assert_eq!((got.unknown_rows, got.duplicate_rows), (2, 1));
        assert_eq!(got.topology.contracts.len(), 5);
        assert!(got.row_of_slot.contains(&7) && !got.row_of_slot.contains(&0));
    }

    #[test]
    fn widths_follow_the_strikes_where_none_are_given() {
        let list = ["TSLA260715C00295000", "TSLA260715C00300000", "TSLA260715P00305000"];
        let got = declared("TSLA", &list).topology;
        assert_eq!(got.widths, [5, 10, 20, 25, 50].map(|w| Price(w * Price::SCALE)));
        let spx = declared("SPX", &CHAIN).topology;
        assert_eq!(spx.widths.first(), Some(&Price(20 * Price::SCALE)));
        assert!(declared("X", &list[..1]).topology.widths.is_empty());
    }
}
