//! Sums by hand on a small market.

use orrery_journal::units::{InstrumentId, Price};
use serde_json::Value;

use super::*;
use crate::market::book::Book;
use crate::market::conditions::Class;
use crate::market::side::{Rule, Side, Ticks};
use crate::models::testing::{DAY_NS, book, contract, market};

const NOON: RecvTime = RecvTime(10 * DAY_NS + DAY_NS / 2);

/// A call of ten days more and a put that expires on the day, both at 100.
fn two() -> Book {
    let delta = |delta| ContractState { delta: Some(delta), ..ContractState::default() };
    let contracts = vec![contract("P", 100.0, 10), contract("C", 100.0, 20)];
    book(contracts, vec![delta(-0.4), delta(0.5)])
}

const PUT: Slot = 0;
const CALL: Slot = 1;

fn print(seq: u64, size: u64, side: Option<(Side, Rule)>) -> Print {
    Print {
        seq: Seq(seq),
        instrument: InstrumentId(1),
        price: Price(2_000_000_000),
        size,
        class: Class::Regular,
        quote: Some(Prevailing {
            bid: Some(Price(1_900_000_000)),
            ask: Some(Price(2_100_000_000)),
        }),
        ticks: Ticks::default(),
        side,
    }
}

const BOUGHT: Option<(Side, Rule)> = Some((Side::Bought, Rule::Quote));
const SOLD: Option<(Side, Rule)> = Some((Side::Sold, Rule::Midpoint));

fn model() -> Flow {
    Flow::new(Parameters::default(), TapeParameters::default())
}

fn told(flow: &mut Flow, market: &Market<'_>) -> Value {
    serde_json::from_slice(&flow.emit(market).expect("a body")).expect("JSON")
}

fn tell(flow: &mut Flow, slot: Slot, print: &Print, market: &Market<'_>) {
    assert!(flow.apply(&Change::Print { slot, print }, market));
}

#[test]
fn a_quote_that_was_too_old_is_told_from_one_that_never_was() {
    let mut book = two();
    let quoted = |ago_s: i64| Some(RecvTime(NOON.0 - ago_s * NANOS_PER_SECOND));
    (book.states[PUT].quoted_at, book.states[CALL].quoted_at) = (quoted(901), quoted(900));
    let mut flow = model();
    let quality = |flow: &mut Flow| {
        let book = two();
        told(flow, &market(Some(&book), None, NOON))["quality"].clone()
    };
    let here = market(Some(&book), None, NOON);
    let legs = Print { class: Class::MultiLeg, ..print(1, 100, BOUGHT) };
    tell(&mut flow, CALL, &legs, &here);
    let none = quality(&mut flow);
    assert!(none["stale_share"].is_null(), "{none:#}");
    let absent = ["stale_share: no_regular_trades", "spot_age_ms: no_spot"];
    assert_eq!(none["absent"], serde_json::json!(absent));
    tell(&mut flow, PUT, &Print { quote: None, ..print(2, 1, None) }, &here);
    tell(&mut flow, CALL, &Print { quote: None, ..print(3, 2, None) }, &here);
    tell(&mut flow, PUT, &print(4, 1, BOUGHT), &here);
    assert_eq!(quality(&mut flow)["stale_share"], 0.25);
}

#[test]
fn sums_are_split_and_say_what_stands_behind_them() {
    let book = two();
    let market = market(Some(&book), Some(100.0), NOON);
    let mut flow = model();
    assert_eq!(flow.emit(&market), None);
    tell(&mut flow, CALL, &print(1, 10, BOUGHT), &market);
    tell(&mut flow, PUT, &print(2, 5, SOLD), &market);
    tell(&mut flow, PUT, &Print { quote: None, ..print(3, 5, None) }, &market);
    let legs = Print { class: Class::MultiLeg, ..print(4, 100, BOUGHT) };
    tell(&mut flow, CALL, &legs, &market);
    let body = told(&mut flow, &market);
    // 10 x 0.5 x 100 x 100, and -5 x -0.4 x 100 x 100.
    let net = |group: &str| body["flow"][group]["net"].clone();
    assert_eq!(net("total"), 70_000.0);
    assert_eq!(net("calls"), 50_000.0);
    assert_eq!(net("puts"), 20_000.0);
    assert_eq!(net("zero_dte"), 20_000.0);
    assert_eq!(net("zero_dte_puts"), 20_000.0);
    assert_eq!(net("zero_dte_calls"), Value::Null, "never a zero");
    assert_eq!(body["flow"]["zero_dte_calls"]["absent"], "no_trades");
    let total = &body["flow"]["total"];
    assert_eq!((&total["bought"], &total["sold"]), (&50_000.0.into(), &20_000.0.into()));
    assert_eq!(total["trades"], 3);
    assert_eq!(total["contracts"]["unknown"], 5);
    let coverage = &total["coverage"];
    for (name, share) in [
        ("counted", 0.75),
        ("quote", 0.5),
        ("midpoint", 0.25),
        ("tick", 0.0),
        ("unknown", 0.25),
        ("without_quote", 0.25),
        ("vendor_delta", 0.75),
    ] {
        assert_eq!(coverage[name], share, "{name}");
    }
    assert_eq!(body["apart"]["multi_leg"]["net"], 500_000.0);
    assert_eq!(body["apart"]["auction"]["absent"], "no_trades");
    assert_eq!(body["quality"]["coverage"], 0.125);
    assert_eq!(body["definitions"]["rules"], "lee_ready");
    assert_eq!(body["definitions"]["conditions"], "opra-massive@1");
}

#[test]
fn a_cancel_takes_out_what_its_trade_put_in_whatever_the_market_is_by_then() {
    let mut book = two();
    let mut flow = model();
    let odd = print(1, 3, BOUGHT);
    tell(&mut flow, CALL, &print(7, 10, BOUGHT), &market(Some(&book), Some(100.0), NOON));
    let before = flow.cells;
    let odd = Print { seq: Seq(8), ..odd };
    tell(&mut flow, CALL, &odd, &market(Some(&book), Some(1.0 / 3.0), NOON));
    book.states[CALL].delta = Some(0.9);
    let later = market(Some(&book), Some(50.0), NOON.plus_nanos(1));
    assert!(flow.apply(&Change::Withdrawn { slot: CALL, print: &odd }, &later));
    assert_eq!(flow.cells, before);
    assert!(!flow.apply(&Change::Withdrawn { slot: CALL, print: &odd }, &later), "once");
    let body = told(&mut flow, &later);
    assert_eq!(body["quality"]["withdrawn_contracts"], 3);
    // A correction is weighed with the delta and the spot of its own moment.
    let (was, is) = (print(7, 10, BOUGHT), print(7, 4, SOLD));
    assert!(flow.apply(&Change::Corrected { slot: CALL, was: &was, is: &is }, &later));
    let body = told(&mut flow, &later);
    assert_eq!(body["flow"]["total"]["net"], -4.0 * 0.5 * 100.0 * 100.0);
    assert_eq!(body["quality"]["corrected_trades"], 1);
    assert_eq!(body["flow"]["total"]["trades"], 1);
}

#[test]
fn deltas_come_from_where_the_parameters_say() {
    let mut book = two();
    book.states[CALL] = ContractState { implied_volatility: Some(0.2), ..ContractState::default() };
    let with =
        |delta| Flow::new(Parameters { delta, ..Parameters::default() }, TapeParameters::default());
    let net = |mut flow: Flow, quote: Option<Prevailing>, spot: Option<f64>| {
        let market = market(Some(&book), spot, NOON);
        tell(&mut flow, CALL, &Print { quote, ..print(1, 1, BOUGHT) }, &market);
        told(&mut flow, &market)["flow"]["total"].clone()
    };
    let none = net(with(DeltaSource::Vendor), None, Some(100.0));
    assert_eq!((&none["net"], &none["absent"]), (&Value::Null, &"no_delta".into()));
    assert_eq!(none["coverage"]["without_delta"], 1.0);
    // From the vendor's volatility: N(d1) at the money, with half a day less.
    let years = (20.0 * DAY_NS as f64 - NOON.0 as f64) / (365.0 * DAY_NS as f64);
    let own = |volatility: f64| {
        let d1 = volatility * libm::sqrt(years) / 2.0;
        0.5 * libm::erfc(-d1 / std::f64::consts::SQRT_2) * 10_000.0
    };
    let near = |group: &Value, expected: f64| {
        let got = group["net"].as_f64().expect("a number");
        assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
        assert_eq!(group["coverage"]["own_delta"], 1.0);
    };
    near(&net(with(DeltaSource::VendorElseOurs), None, Some(100.0)), own(0.2));
    // The quote before the trade goes first: the price of a volatility of 0.5.
    let pricing = Pricing::default();
    let terms = pricing.terms(&book.topology.contracts[CALL], NOON, 100.0, 0.5);
    let fair = Price::from_f64_nearest(
        terms.price(orrery_journal::event::OptionRight::Call).expect("a price"),
    );
    let quote = Some(Prevailing { bid: fair, ask: fair });
    near(&net(with(DeltaSource::Ours), quote, Some(100.0)), own(0.5));
    let none = net(with(DeltaSource::Ours), quote, None);
    assert_eq!((&none["net"], &none["absent"]), (&Value::Null, &"no_spot".into()));
    let unknown = {
        let market = market(Some(&book), Some(100.0), NOON);
        let mut flow = model();
        tell(&mut flow, CALL, &print(1, 1, None), &market);
        told(&mut flow, &market)
    };
    assert_eq!(unknown["flow"]["total"]["absent"], "no_side");
}

#[test]
fn a_session_begins_with_nothing() {
    let book = two();
    let today = market(Some(&book), Some(100.0), NOON);
    let mut flow = model();
    tell(&mut flow, CALL, &print(1, 10, BOUGHT), &today);
    let tomorrow = market(Some(&book), Some(100.0), NOON.plus_nanos(DAY_NS));
    assert_eq!(flow.emit(&tomorrow), None);
    tell(&mut flow, CALL, &print(2, 1, SOLD), &tomorrow);
    let body = told(&mut flow, &tomorrow);
    assert_eq!(body["flow"]["total"]["net"], -5_000.0);
    // The trade of yesterday stands as yesterday told it.
    let old = print(1, 10, BOUGHT);
    assert!(!flow.apply(&Change::Withdrawn { slot: CALL, print: &old }, &tomorrow));
}

#[test]
fn what_is_remembered_is_bounded_and_absurd_numbers_do_no_harm() {
    let mut book = two();
    book.states[CALL].delta = Some(1e300);
    let market = market(Some(&book), Some(1e300), NOON);
    let tape = TapeParameters { recall_max: 2, ..TapeParameters::default() };
    let parameters = Parameters { delta: DeltaSource::Vendor, ..Parameters::default() };
    let mut flow = Flow::new(parameters, tape);
    for seq in 1..=3 {
        tell(&mut flow, PUT, &print(seq, u64::MAX, BOUGHT), &market);
        tell(&mut flow, CALL, &print(10 + seq, u64::MAX, BOUGHT), &market);
    }
    assert_eq!(flow.recall.len(), 2);
    let body = told(&mut flow, &market);
    assert_eq!(body["flow"]["calls"]["absent"], "no_delta", "no delta is beyond one");
    let mut saved = Vec::new();
    flow.save(&mut saved);
    let mut again = Flow::new(parameters, tape);
    again.restore(&saved, &market).expect("its own state");
    assert_eq!(again, flow);
    for cut in [0, 1, saved.len() / 2, saved.len() - 1] {
        assert!(again.restore(&saved[..cut], &market).is_err());
    }
}
