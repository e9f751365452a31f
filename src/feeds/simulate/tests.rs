//! The session is the same every time and looks like a market.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn short(seed: u64) -> SimulationOptions {
    SimulationOptions {
        seed,
        duration_ns: Some(90 * NANOS_PER_SECOND),
        ticks_per_second: 100,
        chain_every_ns: 20 * NANOS_PER_SECOND,
        topology_change_ns: Some(45 * NANOS_PER_SECOND),
        gap_ns: Some((60 * NANOS_PER_SECOND, 8 * NANOS_PER_SECOND)),
        ..SimulationOptions::default()
    }
}

fn session(seed: u64) -> Vec<Draft> {
    Simulation::new(short(seed)).collect()
}

fn tickers(draft: &Draft) -> Option<BTreeSet<Box<str>>> {
    match &draft.body {
        DraftBody::Chain(chain) => Some(chain.rows.iter().map(|r| r.ticker.clone()).collect()),
        _ => None,
    }
}

#[test]
fn one_seed_one_session_in_whatever_portions() {
    let whole = format!("{:?}", session(1));
    assert_eq!(format!("{:?}", session(1)), whole);
    assert_ne!(format!("{:?}", session(2)), whole);
    let (mut live, mut drafts) = (Simulation::new(short(1)), Vec::new());
    let mut until = DEFAULT_START;
    while !live.is_over() {
        let batch = live.next_batch(until);
        assert!(batch.iter().all(|d| d.recv <= Some(until)));
        drafts.extend(batch);
        until = until.plus_nanos(333_333_333);
    }
    assert_eq!(format!("{drafts:?}"), whole);
    assert!(live.next_batch(until).is_empty());
}

#[test]
fn time_never_runs_back_and_every_ticker_is_a_contract() {
    let drafts = session(3);
    assert!(drafts.windows(2).all(|pair| pair[0].recv <= pair[1].recv));
    let listed: BTreeSet<Box<str>> = drafts.iter().filter_map(tickers).flatten().collect();
    for draft in &drafts {
        let InstrumentRef::Ticker(ticker) = &draft.instrument else { continue };
        let known = listed.contains(ticker) || [INDEX, PROXY].contains(&&**ticker);
        assert!(known, "{ticker}");
    }
    assert!(listed.iter().all(|t| crate::market::ticker::parse_option(t).is_some()));
}

#[test]
fn it_has_everything_that_a_session_has() {
    let drafts = session(4);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for draft in &drafts {
        let kind = match &draft.body {
            DraftBody::Quote { .. } => "quote",
            DraftBody::Trade { .. } => "trade",
            DraftBody::Bar(_) => "bar",
            DraftBody::IndexValue(_) => "index",
            DraftBody::Chain(_) => "chain",
            DraftBody::Gap(_) => "gap",
            _ => "else",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(
        kinds.keys().copied().collect::<Vec<_>>(),
        ["bar", "chain", "gap", "index", "quote", "trade"]
    );
    assert_eq!((kinds["gap"], kinds["quote"] + kinds["trade"]), (1, 82 * 100 + 1));
    assert!(kinds["trade"] > 400 && kinds["bar"] > 75, "{kinds:?}");
    let chains: Vec<_> = drafts.iter().filter_map(tickers).collect();
    assert!((1_000..2_000).contains(&chains[0].len()), "{}", chains[0].len());
    let topologies: Vec<_> = chains.windows(2).filter(|pair| pair[0] != pair[1]).collect();
    assert_eq!(topologies.len(), 1, "one change of the topology");
    assert!(topologies[0][0].is_subset(&topologies[0][1]));
    let gap = drafts.iter().position(|d| matches!(d.body, DraftBody::Gap(_))).expect("a gap");
    let silence = drafts[gap].recv.expect("a time").0 - drafts[gap - 1].recv.expect("a time").0;
    assert!(silence >= 8 * NANOS_PER_SECOND - 20 * MILLI, "{silence}");
}

#[test]
fn chains_look_like_a_market() {
    let drafts = session(5);
    let DraftBody::Chain(chain) = &drafts[0].body else { panic!("the chain comes first") };
    let spot = chain.spot.expect("a spot").to_f64();
    let expiries: BTreeSet<_> = chain.rows.iter().map(|r| r.row.expiry).collect();
    let today = TradingDay::parse("2026-03-16").expect("a day");
    assert!(expiries.contains(&today) && expiries.len() >= 6, "{expiries:?}");
    let two_sided = chain.rows.iter().filter(|r| r.row.bid > Some(0.0)).count();
    assert!(two_sided * 10 > chain.rows.len() * 8, "{two_sided} of {}", chain.rows.len());
    for row in chain.rows.iter().map(|r| &r.row) {
        assert!(row.ask > row.bid && row.gamma >= Some(0.0), "{row:?}");
        assert!(row.implied_volatility.is_some_and(|v| (0.05..2.0).contains(&v)), "{row:?}");
        let call = row.right == OptionRight::Call;
        let delta = row.delta.expect("a delta");
        assert!(if call { delta >= 0.0 } else { delta <= 0.0 }, "{row:?}");
    }
    let volatility = |strike: f64| {
        let near = |r: &&orrery_journal::event::ChainRowDraft| {
            r.row.expiry == today && (r.row.strike.to_f64() - strike).abs() < 3.0
        };
        chain.rows.iter().find(near).and_then(|r| r.row.implied_volatility).expect("a strike")
    };
    assert!(volatility(spot - 150.0) > volatility(spot), "puts cost more");
    let roots: BTreeSet<_> = chain.rows.iter().map(|r| r.ticker[2..6].to_owned()).collect();
    assert!(roots.contains("SPXW") && roots.contains("SPX2"), "morning and afternoon roots");
}

#[test]
fn the_spot_moves_like_an_index_whatever_the_number_of_ticks() {
    for ticks_per_second in [10, 400] {
        let mut widest: f64 = 0.0;
        for seed in 0..4 {
            let (mut low, mut high) = (f64::MAX, f64::MIN);
            let options = SimulationOptions { seed, ticks_per_second, ..short(seed) };
            for draft in Simulation::new(options) {
                if let DraftBody::IndexValue(index) = draft.body {
                    low = low.min(index.value.to_f64());
                    high = high.max(index.value.to_f64());
                }
            }
            assert!((1.0..60.0).contains(&(high - low)), "{low}..{high} at {ticks_per_second}/s");
            widest = widest.max(high - low);
        }
        assert!(widest > 4.0, "{widest}");
    }
}

#[test]
fn it_goes_on_over_days_and_weekends() {
    let options = SimulationOptions {
        duration_ns: None,
        ticks_per_second: 1,
        chain_every_ns: 6 * 3600 * NANOS_PER_SECOND,
        topology_change_ns: None,
        gap_ns: None,
        ..SimulationOptions::default()
    };
    let mut live = Simulation::new(options);
    for day in 1..6 {
        let until = DEFAULT_START.plus_nanos(day * 86_400 * NANOS_PER_SECOND);
        let batch = live.next_batch(until);
        let chains: Vec<_> = batch.iter().filter_map(tickers).collect();
        assert!(chains.len() >= 4 && chains.iter().all(|c| c.len() > 800), "day {day}");
    }
}
