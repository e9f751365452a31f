//! Which event changes what.

use orrery_journal::event::{Body, IndexValue, Quote};
use orrery_journal::units::{Address, RecvTime, Seq};

use super::harness::*;
use crate::market::book::SpotSource;

fn spx(strikes: std::ops::Range<u32>) -> Vec<Listed> {
    strikes.map(|i| listed("SPXW", "251219", 6000 + 5 * i)).collect()
}

fn index(stage: &mut Stage, value: f64) {
    stage.send("I:SPX", Body::IndexValue(IndexValue { value: price(value) }), None);
}

fn told(stage: &Stage, family: &str) -> Option<String> {
    let last = stage.printed.iter().rev().find(|p| p.output.family == family)?;
    Some(String::from_utf8_lossy(&last.output.body).into_owned())
}

#[test]
fn ticks_outside_of_every_epoch_are_counted_and_change_nothing() {
    let mut stage = Stage::new("SPX");
    let rows = quoted(spx(0..6));
    stage.quote("O:SPXW251219C06000000", 1.0, 2.0);
    assert_eq!(stage.partition.counters().geometry_miss_quotes, 1, "no chain yet");
    stage.chain("I:SPX", Some(6010.0), &rows);
    stage.wait(10 * SECOND);
    let before = stage.partition.active_book().expect("active").states.clone();
    let spot = stage.partition.spot();
    // Same strike and day, another root: another contract.
    for stranger in ["O:SPX251219C06000000", "O:SPXW251219P06000000"] {
        stage.quote(stranger, 1.0, 2.0);
        stage.trade(stranger, 1.5, 1);
        stage.bar(stranger, 1.0, 2.0, 1.5);
    }
    let c = *stage.partition.counters();
    assert_eq!((c.geometry_miss_quotes, c.geometry_miss_trades, c.geometry_miss_bars), (3, 2, 2));
    assert_eq!(stage.partition.active_book().expect("active").states, before);
    assert_eq!(stage.partition.spot(), spot);
    stage.printed.clear();
    stage.wait(10 * SECOND);
    let families: Vec<_> = stage.printed.iter().map(|p| p.output.family).collect();
    assert_eq!(families, ["epoch"], "only the count is news");
    assert!(told(&stage, "epoch").expect("said").contains(r#""geometry_miss_quotes":3"#));
}

#[test]
fn prices_that_are_none_are_counted_where_they_would_have_been_heard() {
    let mut stage = Stage::new("SPX");
    let rows = quoted(spx(0..6));
    stage.chain("I:SPX", Some(6010.0), &rows);
    stage.wait(10 * SECOND);
    let (spot, states) = (stage.partition.spot(), stage.partition.active_book().expect("active"));
    let states = states.states.clone();
    stage.printed.clear();
    let ours = &rows[0].ticker;
    stage.trade(ours, 0.0, 1);
    stage.trade("SPY", -600.0, 1);
    stage.bar(ours, 2.0, 1.0, 1.5);
    stage.bar("I:SPX", 0.0, 6001.0, 6000.0);
    stage.bar("I:VIX", 17.0, 18.0, 0.0);
    index(&mut stage, 0.0);
    stage.quote(ours, -1.0, 1.5);
    // The news of others is none of ours.
    stage.trade("TSLA", 0.0, 1);
    stage.wait(10 * SECOND);
    let c = *stage.partition.counters();
    let counts = (c.refused_trades, c.refused_bars, c.refused_index_values, c.refused_quotes);
    assert_eq!(counts, (2, 3, 1, 1));
    assert_eq!(stage.partition.spot(), spot);
    assert_eq!(stage.partition.active_book().expect("active").states[1..], states[1..]);
    // A side below 0 was not stated: what was known of it stands.
    assert_eq!(stage.partition.active_book().expect("active").states[0].mid(), states[0].mid());
    let said = told(&stage, "epoch").expect("said");
    assert!(said.contains(r#""refused_quotes":1,"refused_trades":2,"refused_bars":3"#), "{said}");
    stage.reborn();
}

#[test]
fn the_newest_spot_counts_and_the_better_source_at_one_moment() {
    let mut stage = Stage::new("SPX");
    let spot = |stage: &Stage| stage.partition.spot().map(|s| (s.value, s.source));
    assert_eq!(spot(&stage), None);
    stage.bar("I:SPX", 6000.0, 6002.0, 6001.0);
    assert_eq!(spot(&stage), Some((6001.0, SpotSource::Bar)));
    stage.chain("I:SPX", Some(5900.0), &spx(0..3));
    assert_eq!(spot(&stage), Some((5900.0, SpotSource::Chain)));
    stage.bar("I:SPX", 6000.0, 6002.0, 6001.0);
    assert_eq!(spot(&stage), Some((5900.0, SpotSource::Chain)));
    index(&mut stage, 6002.0);
    stage.trade("SPX", 6003.0, 1);
    stage.chain("I:SPX", Some(5900.0), &spx(0..3));
    assert_eq!(spot(&stage), Some((6002.0, SpotSource::Index)), "all at one moment");
    stage.wait(1);
    stage.chain("I:SPX", Some(6004.0), &spx(0..3));
    assert_eq!(spot(&stage), Some((6004.0, SpotSource::Chain)), "newer");
    stage.wait(1);
    let body = |value| Body::IndexValue(IndexValue { value: price(value) });
    stage.send_at("I:SPX", body(6005.0), None, Some(100));
    stage.wait(1);
    stage.send_at("I:SPX", body(5000.0), None, Some(99));
    assert_eq!(spot(&stage), Some((6005.0, SpotSource::Index)), "late by the vendor's clock");
    assert_eq!(stage.partition.counters().late_spots, 1);
    index(&mut stage, 0.0);
    assert_eq!(spot(&stage), Some((6005.0, SpotSource::Index)), "zero is no price");
}

#[test]
fn a_proxy_feeds_the_profile_and_never_the_spot() {
    let mut stage = Stage::new("SPX");
    stage.trade("SPY", 600.5, 200);
    stage.bar("SPY", 600.0, 601.0, 600.5);
    stage.trade("QQQ", 500.0, 200);
    stage.quote("SPY", 600.0, 600.1);
    // The proxy's own chain is no chain of ours.
    stage.chain("SPY", Some(600.0), &[listed("SPY", "251219", 600)]);
    stage.wait(2 * SECOND);
    assert_eq!(stage.partition.spot(), None);
    assert!(stage.partition.epochs().is_empty());
    let body = told(&stage, "gravity").expect("a profile");
    assert!(body.starts_with(r#"{"told":2,"#), "{body}");
    assert!(stage.printed.iter().all(|p| p.output.epoch.is_none()));
    let mut other = Stage::new("SPX");
    other.trade("SPX", 6005.0, 200);
    other.wait(2 * SECOND);
    assert!(other.partition.spot().is_some());
}

#[test]
fn annotations_go_to_the_symbol_they_name() {
    let mut stage = Stage::new("SPX");
    let send = |stage: &mut Stage, ticker: &str, json: &str| {
        stage.send(ticker, Body::Annotation(Address::default()), Some(json.as_bytes()));
        stage.wait(2 * SECOND);
        told(stage, "gravity").map(|b| b.split(',').next().unwrap_or_default().to_owned())
    };
    assert_eq!(send(&mut stage, "", r#"{"symbol":"NDX"}"#), None);
    assert_eq!(send(&mut stage, "", "not json"), None);
    assert_eq!(send(&mut stage, "SPY", "{}"), None);
    assert_eq!(send(&mut stage, "", r#"{"symbol":"I:SPX"}"#).as_deref(), Some(r#"{"told":1"#));
    assert_eq!(send(&mut stage, "I:SPX", "{}").as_deref(), Some(r#"{"told":2"#));
}

#[test]
fn corrections_are_told_and_counted() {
    let mut stage = Stage::new("SPX");
    stage.trade("SPX", 6005.0, 200);
    stage.wait(2 * SECOND);
    assert!(told(&stage, "gravity").is_some_and(|b| b.starts_with(r#"{"told":1,"#)));
    let body = Body::Correction { corrects: Seq(1), blob: Address::default() };
    stage.send("", body, Some(b""));
    stage.wait(2 * SECOND);
    assert!(told(&stage, "gravity").is_some_and(|b| b.starts_with(r#"{"told":2,"#)));
    assert_eq!(stage.partition.counters().corrections, 1);
}

#[test]
fn an_absent_side_keeps_what_was_known_and_a_late_tick_is_counted() {
    let mut stage = Stage::new("SPX");
    let rows = quoted(spx(0..6));
    stage.chain("I:SPX", Some(6010.0), &rows);
    let quote = |bid: Option<f64>, ask: Option<f64>| {
        Body::Quote(Quote { bid: bid.map(price), ask: ask.map(price), ..Quote::default() })
    };
    let name = rows[0].ticker.clone();
    stage.send_at(&name, quote(Some(1.25), None), None, Some(10));
    let state = |stage: &Stage| stage.partition.active_book().expect("active").states[0];
    assert_eq!((state(&stage).bid, state(&stage).ask), (Some(1.25), Some(1.5)));
    stage.send_at(&name, quote(Some(0.5), Some(0.6)), None, Some(9));
    assert_eq!(state(&stage).bid, Some(1.25));
    assert_eq!(stage.partition.counters().late_ticks, 1);
    stage.send_at(&name, quote(Some(0.0), Some(0.6)), None, Some(10));
    assert_eq!((state(&stage).bid, state(&stage).two_sided()), (Some(0.0), None));
}

#[test]
fn time_never_runs_backwards_and_days_turn() {
    let mut stage = Stage::new("SPX");
    index(&mut stage, 6000.0);
    let day = stage.partition.here.day();
    assert_eq!(day.to_string(), "2025-12-19");
    stage.partition.here.advance(None, RecvTime(0));
    assert_eq!(stage.partition.moment().at, START);
    // 14 hours after 10:00 in New York.
    stage.wait(14 * 3_600 * SECOND - 1);
    index(&mut stage, 6000.0);
    assert_eq!(stage.partition.here.day(), day);
    stage.wait(1);
    index(&mut stage, 6000.0);
    assert_eq!(stage.partition.here.day().0, day.0 + 1);
}
