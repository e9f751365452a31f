//! Calls and puts mirror each other: in the closed forms, and in what the model
//! makes of a chain whose calls and puts have changed places.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery::market::black_scholes::Terms;
use orrery::market::book::{Book, Contract, ContractState, Market, Spot, SpotSource, Topology};
use orrery::models::gex::profile::Chosen;
use orrery::models::gex::{Gex, Parameters};
use orrery_journal::event::OptionRight::{self, Call, Put};
use orrery_journal::units::{
    Address, InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, TradingDay,
};
use proptest::prelude::*;
use serde_json::Value;

const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND;
const SPOT: f64 = 100.0;

#[track_caller]
fn near(a: f64, b: f64, scale: f64) -> Result<(), TestCaseError> {
    prop_assert!((a - b).abs() <= 1e-11 * scale.max(a.abs()), "{a} and {b} of {scale}");
    Ok(())
}

proptest! {
    /// A call on S struck at K with rate r and carry q is worth a put on K
    /// struck at S with rate q and carry r (Carr 1994); gamma follows with the
    /// squares of the prices, vega as it is.
    #[test]
    fn a_call_is_a_put_seen_from_the_strike(
        spot in 20.0..500.0f64, strike in 20.0..500.0f64, years in 0.01..3.0f64,
        rate in -0.02..0.1f64, carry in -0.02..0.1f64, volatility in 0.05..1.5f64,
    ) {
        let call = Terms { spot, strike, years, rate, carry, volatility };
        let put = Terms { spot: strike, strike: spot, rate: carry, carry: rate, ..call };
        near(call.price(Call).expect("a price"), put.price(Put).expect("a price"), spot + strike)?;
        let (c, p) = (call.greeks(Call).expect("greeks"), put.greeks(Put).expect("greeks"));
        near(c.gamma * spot * spot, p.gamma * strike * strike, spot)?;
        near(c.vega, p.vega, spot)?;
    }

    /// Long calls and short puts of a chain are short calls and long puts of the
    /// mirrored one.
    #[test]
    fn a_mirrored_chain_under_the_inverse_sign_has_the_same_net_curve_and_flip(
        states in prop::collection::vec((0.0..0.2f64, 0.05..0.9f64, 0u32..5_000), 48),
    ) {
        let straight = body(&book(&states, false), "naive-oi");
        let mirrored = body(&book(&states, true), "inverse-oi");
        let scale = size(&straight);
        let rows = |body: &Value| body["by_strike"].as_array().expect("rows").clone();
        for (a, b) in rows(&straight).iter().zip(&rows(&mirrored)) {
            prop_assert_eq!(&a["strike"], &b["strike"]);
            for field in ["/net", "/dex/net", "/vex/net", "/chex/net"] {
                same(a.pointer(field), b.pointer(field), scale)?;
            }
            same(a.get("call"), b.get("put"), scale)?;
        }
        same(straight.pointer("/levels/net"), mirrored.pointer("/levels/net"), scale)?;
        same(straight.pointer("/levels/call_total"), mirrored.pointer("/levels/put_total"), scale)?;
        let nets = |body: &Value| body.pointer("/curve/net").and_then(Value::as_array).cloned();
        let (ours, theirs) = (nets(&straight).expect("a curve"), nets(&mirrored).expect("a curve"));
        prop_assert!(ours.len() > 100 && ours.len() == theirs.len());
        let height = ours.iter().filter_map(Value::as_f64).fold(0.0, |m: f64, v| m.max(v.abs()));
        for (a, b) in ours.iter().zip(&theirs) {
            same(Some(a), Some(b), height)?;
        }
    }
}

/// Equal numbers, or both absent.
fn same(a: Option<&Value>, b: Option<&Value>, scale: f64) -> Result<(), TestCaseError> {
    match (a.and_then(Value::as_f64), b.and_then(Value::as_f64)) {
        (Some(a), Some(b)) => near(a, b, scale),
        (a, b) => {
            prop_assert_eq!(a, b);
            Ok(())
        }
    }
}

fn size(body: &Value) -> f64 {
    let rows = body["by_strike"].as_array().expect("rows");
    let sides = rows.iter().flat_map(|row| [&row["call"], &row["put"]]);
    sides.filter_map(Value::as_f64).fold(1.0, |m, v| m.max(v.abs()))
}

/// Two expiries of twelve strikes; mirrored, a call has what the put had.
fn book(states: &[(f64, f64, u32)], mirrored: bool) -> Book {
    let mut cells = states.iter();
    let (mut contracts, mut filled) = (Vec::new(), Vec::new());
    for days in [7, 40] {
        for k in 0..12 {
            let mut pair: Vec<ContractState> = cells.by_ref().take(2).map(state).collect();
            if mirrored {
                pair.reverse();
            }
            for (right, state) in [Call, Put].into_iter().zip(pair) {
                contracts.push(contract(contracts.len() as u32, days, 86 + 2 * k, right));
                filled.push(state);
            }
        }
    }
    let topology = Topology {
        id: Address::default(),
        symbol: "X".into(),
        contracts,
        expiries: vec![TradingDay(7), TradingDay(40)],
        widths: Vec::new(),
        slots: BTreeMap::new(),
    };
    Book { topology: Arc::new(topology), states: filled }
}

fn state((gamma, volatility, interest): &(f64, f64, u32)) -> ContractState {
    ContractState {
        gamma: Some(*gamma),
        // A delta of either sign belongs to the mirrored contract, too.
        delta: Some(gamma * 3.0),
        implied_volatility: Some(*volatility),
        open_interest: Some(f64::from(*interest)),
        ..ContractState::default()
    }
}

fn contract(id: u32, days: i32, strike: i64, right: OptionRight) -> Contract {
    Contract {
        instrument: InstrumentId(id + 1),
        ticker: format!("{right:?}{strike}@{days}").into(),
        root: "X".into(),
        expiry: TradingDay(days),
        settles_on: TradingDay(days),
        settles_at: RecvTime(i64::from(days) * DAY_NS),
        strike: Price(strike * Price::SCALE),
        right,
        style: None,
        multiplier: 100.0,
    }
}

fn body(book: &Book, profile: &str) -> Value {
    let now = RecvTime(DAY_NS);
    let spot = Some(Spot { value: SPOT, at: now, source: SpotSource::Index });
    let market =
        Market { symbol: "X", book: Some(book), spot, now, seq: Seq(1), day: TradingDay(1) };
    let profile = Chosen::named(profile).expect("shipped");
    let body = Gex::ask(&market, &Parameters::default(), profile).expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}
