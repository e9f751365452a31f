//! The contracts of the made-up market: which are listed, what they are worth.

use orrery_journal::event::{ChainRow, ChainRowDraft, ExerciseStyle, OptionRight};
use orrery_journal::units::{InstrumentId, Price, RecvTime, TradingDay, VendorTime};

use super::random::Random;
use crate::market::black_scholes::Terms;
use crate::market::calendar::{self, TradingCalendar, Venue};

const RATE: f64 = 0.04;
const YIELD: f64 = 0.012;
const NICKEL: i64 = Price::SCALE / 20;
/// Shortest time that an option is priced with: five minutes in years.
const FLOOR_YEARS: f64 = calendar::FLOOR_FIVE_MINUTES_YEARS;

/// One listed option.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) ticker: Box<str>,
    pub(super) expiry: TradingDay,
    pub(super) strike: i64,
    pub(super) right: OptionRight,
    pub(super) settles_at: RecvTime,
    pub(super) open_interest: u64,
    pub(super) volume: u64,
    pub(super) last: Option<Price>,
}

/// A two-sided market.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Market {
    pub(super) bid: Price,
    pub(super) ask: Price,
    pub(super) bid_size: u32,
    pub(super) ask_size: u32,
}

/// An expiration to list: root, date, half width in points, strike distance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) root: &'static str,
    pub(super) expiry: TradingDay,
    pub(super) half: i64,
    pub(super) step: i64,
}

/// What is listed on a day: this and the next three sessions, two weeklies,
/// and the next third Friday both settled in the morning and in the afternoon.
pub(super) fn series(day: TradingDay, after_change: bool) -> Vec<Series> {
    let sessions: Vec<TradingDay> = (0..60)
        .map(|i| TradingDay(day.0 + i))
        .filter(|d| TradingCalendar::shipped().is_trading_day(*d))
        .collect();
    let mut list = Vec::new();
    let mut add = |root, at: Option<&TradingDay>, half, step| {
        if let Some(expiry) = at.copied() {
            let new = Series { root, expiry, half, step };
            if !list.iter().any(|s: &Series| s.root == root && s.expiry == expiry) {
                list.push(new);
            }
        }
    };
    // A topology change widens the nearest series and lists one more.
    let wider = if after_change { 50 } else { 0 };
    for at in 0..4 {
        add("SPXW", sessions.get(at), 200 + if at == 0 { wider } else { 0 }, 5);
    }
    add("SPXW", sessions.get(9), 300, 10);
    add("SPXW", sessions.get(20), 500, 25);
    let third = sessions.iter().find(|d| is_third_friday(**d));
    add("SPX", third, 400, 10);
    add("SPXW", third, 400, 10);
    if after_change {
        add("SPXW", sessions.get(5), 250, 5);
    }
    list
}

fn is_third_friday(day: TradingDay) -> bool {
    use chrono::{Datelike, Weekday};
    day.date().is_some_and(|d| d.weekday() == Weekday::Fri && (15..=21).contains(&d.day()))
}

/// The contracts of a series around `center`, with an open interest that gathers
/// at round strikes and a little out of the money.
pub(super) fn contracts(series: &Series, center: i64, random: &mut Random) -> Vec<Listed> {
    let Some(date) = series.expiry.date() else { return Vec::new() };
    let mut list = Vec::new();
    let settles_at =
        TradingCalendar::shipped().settles_at(Venue::UsOptions, series.root, series.expiry);
    let first = (center - series.half).div_euclid(series.step) * series.step;
    let mut strike = first.max(series.step);
    while strike <= center + series.half {
        for right in [OptionRight::Call, OptionRight::Put] {
            let letter = if right == OptionRight::Call { 'C' } else { 'P' };
            let ymd = date.format("%y%m%d");
            let thousandths = strike * 1000;
            let round = match strike {
                s if s % 100 == 0 => 6.0,
                s if s % 50 == 0 => 3.5,
                s if s % 25 == 0 => 2.0,
                _ => 1.0,
            };
            let side = if right == OptionRight::Call { 1.0 } else { -1.0 };
            let out = side * (strike - center) as f64 / series.half as f64;
            let hump = libm::exp(-4.0 * (out - 0.2) * (out - 0.2));
            let open_interest = 400.0 * round * hump * (0.4 + 1.2 * random.unit());
            list.push(Listed {
                ticker: format!("O:{}{ymd}{letter}{thousandths:08}", series.root).into(),
                expiry: series.expiry,
                strike,
                right,
                settles_at,
                open_interest: open_interest as u64,
                volume: 0,
                last: None,
            });
        }
        strike += series.step;
    }
    list
}

impl Listed {
    fn terms(&self, spot: f64, now: RecvTime) -> Option<Terms> {
        let years = calendar::time_to_settlement_years(now, self.settles_at, FLOOR_YEARS)?;
        let strike = self.strike as f64;
        Some(Terms {
            spot,
            strike,
            years,
            rate: RATE,
            carry: YIELD,
            volatility: smile(spot, strike, years),
        })
    }

    /// Bid and ask in exchange ticks, or `None` once it has expired.
    pub(super) fn market(&self, spot: f64, now: RecvTime, random: &mut Random) -> Option<Market> {
        let worth = self.terms(spot, now)?.price(self.right)?.max(0.0);
        let tick = if worth < 3.0 { NICKEL } else { 2 * NICKEL };
        let half = 0.02 + 0.012 * worth * (0.6 + 0.8 * random.unit());
        let ticks = |value: f64| value * Price::SCALE as f64 / tick as f64;
        let bid = (ticks(worth - half.min(2.5)).floor() as i64).max(0) * tick;
        let ask = ((ticks(worth + half.min(2.5)).ceil() as i64) * tick).max(bid + tick);
        let mut size = || 1 + (random.below(40) * random.below(10) / 4) as u32;
        let (bid_size, ask_size) = (if bid > 0 { size() } else { 0 }, size());
        Some(Market { bid: Price(bid), ask: Price(ask), bid_size, ask_size })
    }

    /// Its row of a chain snapshot, or `None` once it has expired.
    pub(super) fn row(
        &self,
        spot: f64,
        now: RecvTime,
        random: &mut Random,
    ) -> Option<ChainRowDraft> {
        let terms = self.terms(spot, now)?;
        let market = self.market(spot, now, random)?;
        let greeks = terms.greeks(self.right);
        // Adding zero makes a negative zero a plain one.
        let rounded = |value: f64, places: f64| (value * places).round() / places + 0.0;
        Some(ChainRowDraft {
            ticker: self.ticker.clone(),
            row: ChainRow {
                instrument: InstrumentId::NONE,
                expiry: self.expiry,
                strike: Price(self.strike * Price::SCALE),
                right: self.right,
                style: Some(ExerciseStyle::European),
                multiplier: Some(100.0),
                bid: Some(market.bid.to_f64()),
                ask: Some(market.ask.to_f64()),
                bid_size: Some(f64::from(market.bid_size)),
                ask_size: Some(f64::from(market.ask_size)),
                last: self.last.map(Price::to_f64),
                updated: Some(VendorTime(now.0)),
                open_interest: Some(self.open_interest as f64),
                volume: Some(self.volume as f64),
                implied_volatility: Some(rounded(terms.volatility, 1e6)),
                delta: greeks.map(|g| rounded(g.delta, 1e6)),
                gamma: greeks.map(|g| rounded(g.gamma, 1e9)),
                theta: greeks.map(|g| rounded(g.theta / 365.0, 1e6)),
                vega: greeks.map(|g| rounded(g.vega / 100.0, 1e6)),
            },
        })
    }
}

/// Volatility of a strike: puts cost more than calls, wings more than the
/// middle, and the nearer the expiration the steeper.
fn smile(spot: f64, strike: f64, years: f64) -> f64 {
    let root = libm::sqrt(years.max(1.0 / 365.0));
    let distance = libm::log(strike / spot) / root;
    let level = 0.125 + 0.03 * libm::sqrt(years);
    (level - 0.11 * distance + 0.16 * distance * distance).clamp(0.06, 2.0)
}
