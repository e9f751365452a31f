//! The body of a `flow` artifact.

use orrery_journal::event::OptionRight;
use orrery_journal::units::RecvTime;
use serde::Serialize;

use super::cell::{Cell, Place, currency};
use super::{DeltaSource, Flow};
use crate::market::book::Market;
use crate::market::conditions::{Class, TABLE};
use crate::market::pricing::Pricing;
use crate::market::side::Rules;
use crate::market::ticker::vendor_symbol;

#[derive(Serialize)]
pub(super) struct Body {
    symbol: String,
    session: String,
    spot: Option<f64>,
    flow: Split,
    apart: Apart,
    definitions: Definitions,
    quality: Quality,
}

/// Regular trades.
#[derive(Serialize)]
struct Split {
    total: Group,
    calls: Group,
    puts: Group,
    zero_dte: Group,
    zero_dte_calls: Group,
    zero_dte_puts: Group,
}

/// Trades whose price does not say who wanted them, each kind by itself; no
/// part of the flow.
#[derive(Serialize)]
struct Apart {
    auction: Group,
    cross: Group,
    floor: Group,
    multi_leg: Group,
    late: Group,
    unlisted: Group,
}

#[derive(Serialize)]
struct Group {
    net: Option<f64>,
    bought: Option<f64>,
    sold: Option<f64>,
    absent: Option<&'static str>,
    trades: u64,
    contracts: Contracts,
    coverage: Coverage,
}

#[derive(Serialize)]
struct Contracts {
    total: u64,
    bought: u64,
    sold: u64,
    unknown: u64,
}

/// Shares of a group's contracts; `None` where it has none.
#[derive(Serialize)]
struct Coverage {
    /// Signed, with delta and spot: what stands behind `net`.
    counted: Option<f64>,
    quote: Option<f64>,
    midpoint: Option<f64>,
    tick: Option<f64>,
    unknown: Option<f64>,
    without_quote: Option<f64>,
    vendor_delta: Option<f64>,
    own_delta: Option<f64>,
    without_delta: Option<f64>,
    without_spot: Option<f64>,
}

#[derive(Serialize)]
struct Definitions {
    rules: Rules,
    conditions: &'static str,
    delta: DeltaSource,
    pricing: Pricing,
    quote_age_max_s: i64,
    recall_max: usize,
    unit: &'static str,
}

#[derive(Serialize)]
struct Quality {
    as_of: String,
    coverage: Option<f64>,
    /// Share of the regular contracts that were judged while their only quote
    /// was older than `quote_age_max_s`.
    stale_share: Option<f64>,
    apart_share: Option<f64>,
    withdrawn_trades: u64,
    withdrawn_contracts: u64,
    corrected_trades: u64,
    age_ms: i64,
    spot_age_ms: Option<i64>,
    /// What is null, and why.
    absent: Vec<&'static str>,
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

impl Group {
    fn of(cell: &Cell) -> Group {
        let all = cell.contracts;
        let signed = cell.bought.saturating_add(cell.sold);
        let unknown = all.saturating_sub(signed);
        let counted = cell.vendor_delta.saturating_add(cell.own_delta);
        let absent = match () {
            () if counted > 0 => None,
            () if all == 0 => Some("no_trades"),
            () if signed == 0 => Some("no_side"),
            () if cell.without_delta == 0 => Some("no_spot"),
            () => Some("no_delta"),
        };
        let value = |notional: i128| absent.is_none().then(|| currency(notional));
        let part = |n: u64| share(n, all);
        Group {
            net: value(cell.bought_notional.saturating_add(cell.sold_notional)),
            bought: value(cell.bought_notional),
            sold: value(cell.sold_notional),
            absent,
            trades: cell.trades,
            contracts: Contracts { total: all, bought: cell.bought, sold: cell.sold, unknown },
            coverage: Coverage {
                counted: part(counted),
                quote: part(cell.by_quote),
                midpoint: part(cell.by_midpoint),
                tick: part(cell.by_tick),
                unknown: part(unknown),
                without_quote: part(cell.without_quote),
                vendor_delta: part(cell.vendor_delta),
                own_delta: part(cell.own_delta),
                without_delta: part(cell.without_delta),
                without_spot: part(cell.without_spot),
            },
        }
    }
}

pub(super) fn body(flow: &Flow, market: &Market<'_>, as_of: RecvTime) -> Body {
    let regular = |wanted: fn(Place) -> bool| flow.cells.sum(Class::Regular, wanted);
    let group = |wanted: fn(Place) -> bool| Group::of(&regular(wanted));
    let apart = |class| Group::of(&flow.cells.sum(class, |_| true));
    let total = regular(|_| true);
    let all = Class::ALL.iter().map(|class| flow.cells.sum(*class, |_| true).contracts);
    let all = all.fold(0, u64::saturating_add);
    let counted = total.vendor_delta.saturating_add(total.own_delta);
    let age = |at: RecvTime| market.now.0.saturating_sub(at.0) / 1_000_000;
    Body {
        symbol: vendor_symbol(market.symbol),
        session: market.day.to_string(),
        spot: market.spot.map(|s| s.value),
        flow: Split {
            total: Group::of(&total),
            calls: group(|p| p.right == OptionRight::Call),
            puts: group(|p| p.right == OptionRight::Put),
            zero_dte: group(|p| p.zero_dte),
            zero_dte_calls: group(|p| p.zero_dte && p.right == OptionRight::Call),
            zero_dte_puts: group(|p| p.zero_dte && p.right == OptionRight::Put),
        },
        apart: Apart {
            auction: apart(Class::Auction),
            cross: apart(Class::Cross),
            floor: apart(Class::Floor),
            multi_leg: apart(Class::MultiLeg),
            late: apart(Class::Late),
            unlisted: apart(Class::Unlisted),
        },
        definitions: Definitions {
            rules: flow.tape.rules,
            conditions: TABLE,
            delta: flow.parameters.delta,
            pricing: flow.parameters.pricing,
            quote_age_max_s: flow.tape.quote_age_max_s,
            recall_max: flow.tape.recall_max,
            unit: "delta_notional",
        },
        quality: Quality {
            as_of: as_of.to_rfc3339(),
            coverage: share(counted, all),
            stale_share: share(total.stale_quote, total.contracts),
            apart_share: share(all.saturating_sub(total.contracts), all),
            withdrawn_trades: flow.undone.withdrawn_trades,
            withdrawn_contracts: flow.undone.withdrawn_contracts,
            corrected_trades: flow.undone.corrected_trades,
            age_ms: age(as_of),
            spot_age_ms: market.spot.map(|s| age(s.at)),
            absent: [
                (all == 0).then_some("coverage: no_trades"),
                (total.contracts == 0).then_some("stale_share: no_regular_trades"),
                market.spot.is_none().then_some("spot_age_ms: no_spot"),
            ]
            .into_iter()
            .flatten()
            .collect(),
        },
    }
}
