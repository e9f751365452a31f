//! Chain captures that a test makes up: fair quotes and greeks around a spot,
//! to be spoilt by the test.

use orrery::market::black_scholes::Terms;
use orrery::market::calendar::{TradingCalendar, Venue};
use orrery_journal::event::OptionRight;
use orrery_journal::units::{RecvTime, TradingDay};
use serde_json::{Value, json};

/// One contract as the vendor would state it.
#[derive(Clone, Debug)]
pub struct Leg {
    pub ticker: String,
    pub strike: f64,
    pub right: OptionRight,
    pub bid: Option<f64>,
    pub ask: Option<f64>,
    pub volatility: Option<f64>,
    pub gamma: Option<f64>,
    pub delta: Option<f64>,
    pub open_interest: Option<f64>,
}

/// Calls and puts of one root and expiry, fairly quoted at 20 % volatility.
pub fn legs(root: &str, expiry: &str, at: &str, spot: f64, strikes: &[u32]) -> Vec<Leg> {
    let now = RecvTime::parse_rfc3339(at).expect("a moment");
    let day = TradingDay::parse(expiry).expect("a date");
    let settles = TradingCalendar::shipped().settles_at(Venue::UsOptions, root, day);
    let years = ((settles.0 - now.0) as f64 / (365.0 * 86_400e9)).max(1e-5);
    let date = expiry.replace('-', "");
    let sides = [(OptionRight::Call, "C"), (OptionRight::Put, "P")];
    let each = |strike: &u32| {
        let date = date[2..].to_owned();
        sides.map(|(right, letter)| {
            let strike = *strike;
            let ticker = format!("O:{root}{date}{letter}{:08}", strike * 1000);
            let strike = f64::from(strike);
            let terms = Terms { spot, strike, years, rate: 0.0, carry: 0.0, volatility: 0.2 };
            let fair = terms.price(right).expect("priced");
            let greeks = terms.greeks(right).expect("priced");
            Leg {
                ticker,
                strike,
                right,
                bid: Some(fair + 0.05),
                ask: Some(fair + 0.15),
                volatility: Some(0.2),
                gamma: Some(greeks.gamma),
                delta: Some(greeks.delta),
                open_interest: Some(100.0),
            }
        })
    };
    strikes.iter().flat_map(each).collect()
}

/// SPXW of 2026-03-20 on the Monday before, at 14:30 UTC, spot 6500.
pub fn healthy() -> Vec<Leg> {
    let strikes: Vec<u32> = (0..=20).map(|i| 6_400 + 10 * i).collect();
    legs("SPXW", "2026-03-20", "2026-03-16T14:30:00Z", 6_500.0, &strikes)
}

/// One page as the vendor answers it, on a line.
pub fn page(at: &str, symbol: &str, spot: Option<f64>, legs: &[Leg], next: bool) -> String {
    let rows: Vec<Value> = legs
        .iter()
        .map(|leg| {
            let right = if leg.right == OptionRight::Call { "call" } else { "put" };
            let mut row = json!({
                "details": {"ticker": leg.ticker, "strike_price": leg.strike,
                    "contract_type": right, "shares_per_contract": 100},
                "greeks": {"gamma": leg.gamma, "delta": leg.delta},
                "implied_volatility": leg.volatility,
                "open_interest": leg.open_interest,
                "last_quote": {"bid": leg.bid, "ask": leg.ask},
            });
            if let Some(spot) = spot {
                row["underlying_asset"] = json!({"ticker": symbol, "value": spot});
            }
            row
        })
        .collect();
    let mut page = json!({"captured_at": at, "underlying": symbol, "results": rows});
    if next {
        page["next_url"] = json!("https://vendor.example/next?cursor=2");
    }
    format!("{page}\n")
}

/// A whole snapshot of SPX at spot 6500.
pub fn spx(at: &str, legs: &[Leg]) -> String {
    page(at, "SPX", Some(6_500.0), legs, false)
}
