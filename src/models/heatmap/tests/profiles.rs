//! What the profiles make of one market, by hand.

use super::*;
use crate::market::black_scholes::Terms;
use orrery_journal::event::OptionRight;

fn asked(book: &Book, profile: &str) -> Value {
    let profile = Chosen::named(profile).expect("shipped");
    let market = market(Some(book), Some(100.0), now());
    let body = Heatmap::ask(&market, &Parameters::default(), profile).expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}

/// The book with a volatility of 20 % everywhere.
fn with_volatility() -> Book {
    let mut book = five_strikes();
    book.states.iter_mut().for_each(|s| s.implied_volatility = Some(0.2));
    book
}

fn terms(strike: f64) -> Terms {
    let years = (2.0 * 86_400.0 - 1.0) / (365.0 * 86_400.0);
    Terms { spot: 100.0, strike, years, rate: 0.0, carry: 0.0, volatility: 0.2 }
}

fn near(value: &Value, expected: f64) {
    let got = value.as_f64().expect("a number");
    assert!((got - expected).abs() < 1e-8, "{got}, not {expected}");
}

#[test]
fn natural_is_the_debit_of_the_natural_profile() {
    let body = asked(&five_strikes(), "natural");
    let single = &body["tiles"]["single:2:0:100"];
    assert_eq!(single["call"], serde_json::json!({"mid": 4.1, "market_mid": 4.0}));
    let side = serde_json::json!({"debit": 4.4, "market_debit": 4.0, "max_profit": 5.6,
        "max_loss": 4.4, "density": 0.044});
    assert_eq!(body["tiles"]["butterfly:2:10:100"]["call"], side);
}

#[test]
fn theory_has_the_market_beside_it() {
    let body = asked(&with_volatility(), "theoretical");
    let value = |strike: f64| terms(strike).price(OptionRight::Call).expect("priced");
    let side = &body["tiles"]["butterfly:2:10:100"]["call"];
    let debit = value(90.0) - 2.0 * value(100.0) + value(110.0);
    near(&side["debit"], debit);
    near(&side["max_profit"], 10.0 - debit);
    near(&side["density"], debit / 100.0);
    assert_eq!((&side["market_debit"], &side["natural_debit"]), (&4.0.into(), &4.4.into()));
    let single = &body["tiles"]["single:2:0:95"]["put"];
    near(&single["mid"], terms(95.0).price(OptionRight::Put).expect("priced"));
    assert_eq!((&single["market_mid"], &single["natural"]), (&2.2.into(), &2.3.into()));
}

#[test]
fn a_volatility_of_the_vendor_goes_before_ours_and_its_cap_is_none() {
    let mut book = with_volatility();
    let slot = |book: &Book, ticker: &str| {
        book.topology.contracts.iter().position(|c| &*c.ticker == ticker).expect("listed")
    };
    let (c105, p105) = (slot(&book, "C105@3"), slot(&book, "P105@3"));
    book.states[c105].implied_volatility = Some(20.0);
    let body = asked(&book, "theoretical");
    // Its own mid is what ours is implied by.
    near(&body["tiles"]["single:2:0:105"]["call"]["mid"], 2.0);
    // Without a quote of either side of the strike there is no volatility.
    book.states[c105].ask = None;
    book.states[p105].bid = Some(0.0);
    let body = asked(&book, "theoretical");
    let single = &body["tiles"]["single:2:0:105"];
    assert!(single["call"].is_null() && single["put"]["mid"].is_number());
    assert_eq!(single["eligible"], false);
    let reasons = ["one_sided_center_call", "one_sided_center_put", "no_volatility_center_call"];
    assert_eq!(single["reasons"], serde_json::json!(reasons));
    // Where theory has all it needs, an absent market is told and no more.
    book.states[c105].implied_volatility = Some(0.2);
    let body = asked(&book, "theoretical");
    let single = &body["tiles"]["single:2:0:105"];
    assert!(single["eligible"].is_null() && single["call"]["market_mid"].is_null());
    assert_eq!(single["reasons"], serde_json::json!(reasons[..2]));
}

#[test]
fn call_and_put_of_a_strike_share_our_volatility() {
    // Quotes that break parity by 0.2 everywhere: theory does not.
    let body = asked(&five_strikes(), "theoretical-quotes");
    let mut pairs = 0;
    for tile in body["tiles"].as_object().expect("a map").values() {
        if let Some(gap) = tile["parity_gap"].as_f64() {
            assert!(gap.abs() < 1e-8, "{tile}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 4);
    // At 105 the call is out of the money, at 95 the put.
    near(&body["tiles"]["single:2:0:105"]["call"]["mid"], 2.0);
    near(&body["tiles"]["single:2:0:95"]["put"]["mid"], 2.2);
}

#[test]
fn the_original_is_reproduced_from_its_published_formula() {
    let mut book = with_volatility();
    // A last trade stands in where there is no quote, as it did there.
    let c105 = book.topology.contracts.iter().position(|c| &*c.ticker == "C105@3").expect("listed");
    let last = Some(1.75);
    book.states[c105] =
        ContractState { last, implied_volatility: Some(0.2), ..ContractState::default() };
    let body = asked(&book, "marketswarm");
    let value = |strike: f64, right| {
        let m = strike / 100.0 - 1.0;
        let bend = if m < 0.0 { 0.15 * -m * 10.0 } else { 0.03 * m * 10.0 };
        let terms = Terms { rate: 0.05, volatility: 0.2 * (1.0 + bend), ..terms(strike) };
        terms.price(right).expect("priced")
    };
    let vertical = &body["tiles"]["vertical:2:5:100"];
    near(
        &vertical["call"]["debit"],
        value(100.0, OptionRight::Call) - value(105.0, OptionRight::Call),
    );
    near(&vertical["put"]["debit"], value(100.0, OptionRight::Put) - value(95.0, OptionRight::Put));
    assert_eq!(vertical["call"]["market_debit"], 4.0 - 1.75);
    assert!(vertical["call"]["natural_debit"].is_null());
    assert!(vertical["eligible"].is_null() && vertical["reasons"].is_null());
}

#[test]
fn a_quiet_tile_changes_with_theory_only() {
    let mut book = with_volatility();
    let mut models: Vec<Heatmap> = ["mid", "natural", "theoretical"]
        .into_iter()
        .map(|name| {
            let profile = Chosen::named(name).expect("shipped");
            Heatmap::new(&Parameters { profile, ..Parameters::default() })
        })
        .collect();
    let first = market(Some(&book), Some(100.0), now());
    for model in &mut models {
        model.apply(&Change::Chain, &first);
        assert_eq!(model.settle(&first), 19);
    }
    // A minute later the spot has moved a little.
    let later = market(Some(&book), Some(100.01), now().plus_nanos(60 * NANOS_PER_SECOND));
    let due: Vec<bool> = models.iter_mut().map(|m| m.apply(&Change::Spot, &later)).collect();
    assert_eq!(due, [false, false, true]);
    let priced: Vec<usize> = models.iter_mut().map(|m| m.settle(&later)).collect();
    assert_eq!(priced, [0, 0, 19]);
    // A quote: its own tiles.
    book.states[0] = ContractState { implied_volatility: Some(0.2), ..quoted(11.5, 11.7, DAY_NS) };
    let later = market(Some(&book), Some(100.01), now().plus_nanos(61 * NANOS_PER_SECOND));
    let due = models.iter_mut().map(|m| m.apply(&Change::Quote(0), &later));
    assert!(due.collect::<Vec<_>>().iter().all(|due| *due));
    // The call at 90: its single, two verticals, a wing of two butterflies; with
    // our volatility, those of the put at 90 as well.
    let priced: Vec<usize> = models.iter_mut().map(|m| m.settle(&later)).collect();
    assert_eq!(priced, [5, 5, 7]);
}

#[test]
fn profiles_run_beside_each_other_under_names_of_their_own() {
    let beside = Chosen::all().collect();
    let parameters = Parameters { beside, ..Parameters::default() };
    assert_eq!(parameters.check(), Ok(()));
    let families: Vec<_> = Heatmap::all(&parameters).map(|m| m.family()).collect();
    assert_eq!(families[..3], ["heatmap", "heatmap_mid", "heatmap_natural"]);
    let twice = vec![Chosen::default(); 2];
    let refused = Parameters { beside: twice, ..Parameters::default() }.check();
    assert_eq!(refused.expect_err("twice").name, "heatmap.beside");
    let still = Pricing { every_s: 0, ..Pricing::default() };
    let refused = Parameters { pricing: still, ..Parameters::default() }.check();
    assert_eq!(refused.expect_err("no time").name, "heatmap.pricing");
}
