//! How epochs begin, become active and end.

use orrery_replay::fold::Fold;

use super::harness::*;
use crate::market::epoch::EpochState;
use crate::models::heatmap::flies::Flies;
use crate::partition::{Makers, Partition, PlaneFilter};
use crate::views::readings::Reading;

const NEAR: &[&str] = &["251219", "251222"];
const MORE: &[&str] = &["251219", "251222", "251223"];

fn states(partition: &Partition) -> Vec<EpochState> {
    partition.epochs().iter().map(|r| r.state()).collect()
}

#[test]
fn three_chains_two_epochs_and_nothing_of_the_second_while_it_warms() {
    let mut stage = Stage::new("TSLA");
    stage.chain("TSLA", Some(310.0), &quoted(tsla(NEAR, 6)));
    assert_eq!(states(&stage.partition), [EpochState::Active], "quoted, so shown at once");
    let first = stage.partition.epochs()[0].clone();
    stage.wait(60 * SECOND);
    let mut values = quoted(tsla(NEAR, 6));
    values[0].row.open_interest = Some(77.0);
    stage.chain("TSLA", Some(311.0), &values);
    assert_eq!(stage.partition.epochs().len(), 1, "other values, same epoch");
    assert_eq!(stage.partition.active_book().expect("active").states[0].open_interest, Some(77.0));

    stage.wait(60 * SECOND);
    // The third brings contracts that nobody quotes yet.
    let mut third = values;
    third.extend(tsla(&["251223"], 6));
    stage.chain("TSLA", Some(312.0), &third);
    let before = stage.printed.len();
    assert_eq!(states(&stage.partition), [EpochState::Active, EpochState::Warming]);
    // Ticks flow into both books, those of new contracts only into the new.
    stage.quote(&third[0].ticker, 2.0, 3.0);
    stage.quote(&third[12].ticker, 4.0, 5.0);
    assert_eq!(stage.partition.counters().geometry_miss(), 0);
    assert_eq!(stage.partition.active_book().expect("active").states[0].mid(), Some(2.5));
    let warming = stage.partition.warming_book().expect("warming");
    assert_eq!((warming.states[0].mid(), warming.states[12].mid()), (Some(2.5), Some(4.5)));
    stage.wait(29 * SECOND);
    assert!(stage.printed.len() > before, "the first epoch goes on");
    assert!(stage.printed.iter().all(|p| p.output.epoch == Some(first.id)));

    // Three of twelve are missing: the quotes of two more are enough.
    for listed in &third[13..16] {
        stage.quote(&listed.ticker, 1.0, 2.0);
        assert_eq!(stage.partition.epochs()[0].state(), EpochState::Active);
    }
    stage.quote(&third[16].ticker, 1.0, 2.0);
    assert_eq!(states(&stage.partition), [EpochState::Retired, EpochState::Active]);
    let records = stage.partition.epochs();
    assert_eq!(records[0].retired, records[1].promoted);
    assert_eq!(records[1].promoted.expect("promoted").seq, stage.seq());
    assert_eq!(records[1].contracts, 18);
    assert_ne!(records[1].id, first.id);
}

#[test]
fn all_families_move_to_the_new_epoch_at_one_event() {
    let mut stage = Stage::new("TSLA");
    stage.chain("TSLA", Some(310.0), &quoted(tsla(NEAR, 6)));
    let everything = ["spot", "gravity", "gex", "heatmap", "context", "epoch"];
    assert_eq!(stage.families_at(START), everything);
    stage.wait(10 * SECOND);
    stage.chain("TSLA", None, &quoted(tsla(MORE, 6)));
    assert_eq!(stage.families_at(stage.now()), everything);
    let id = stage.partition.epochs()[1].id;
    for printed in stage.printed.iter().filter(|p| p.at == stage.now()) {
        assert_eq!((printed.output.epoch, printed.seq), (Some(id), stage.seq()));
    }
    let so_far = stage.printed.len();
    stage.wait(10 * SECOND);
    assert_eq!(stage.printed.len(), so_far, "everything is said, nothing is due");
}

#[test]
fn a_view_reads_nothing_of_the_epoch_before() {
    let mut stage = Stage::new("TSLA");
    stage.chain("TSLA", Some(310.0), &quoted(tsla(NEAR, 6)));
    let context = |stage: &Stage| {
        let last = stage.printed.iter().rev().find(|p| p.output.family == "context");
        String::from_utf8_lossy(&last.expect("a context").output.body).into_owned()
    };
    assert!(context(&stage).contains("gex"));
    // The next day's chain has no gammas, so the new epoch has no gex.
    stage.wait(3 * 86_400 * SECOND);
    let mut rows = quoted(tsla(MORE, 6));
    rows.iter_mut().for_each(|l| l.row.gamma = None);
    stage.chain("TSLA", Some(311.0), &rows);
    assert_eq!(states(&stage.partition), [EpochState::Retired, EpochState::Active]);
    assert!(!context(&stage).contains("gex"), "{}", context(&stage));
}

#[test]
fn a_chain_without_quotes_is_shown_after_thirty_seconds() {
    let mut stage = Stage::new("TSLA");
    stage.wait(SECOND / 2);
    let born = stage.now();
    stage.chain("TSLA", Some(310.0), &tsla(NEAR, 6));
    stage.wait(30 * SECOND - 1);
    assert_eq!(states(&stage.partition), [EpochState::Warming]);
    assert!(stage.printed.iter().all(|p| p.output.epoch.is_none()));
    assert!(stage.printed.iter().all(|p| !["gex", "heatmap"].contains(&p.output.family)));
    let last = stage.seq();
    stage.wait(1);
    let promoted = stage.partition.epochs()[0].promoted.expect("promoted by the timer");
    assert_eq!((promoted.at, promoted.seq), (born.plus_nanos(30 * SECOND), last));
    assert!(stage.families_at(promoted.at).contains(&"gex"));
}

#[test]
fn without_anything_to_say_an_epoch_waits_on() {
    let mut stage = Stage::new("TSLA");
    let mut rows = tsla(NEAR, 6);
    rows.iter_mut().for_each(|l| l.row.gamma = None);
    stage.chain("TSLA", None, &rows);
    stage.wait(100 * SECOND);
    assert_eq!(states(&stage.partition), [EpochState::Warming]);
    assert_eq!(stage.partition.next_due(), None);
    stage.quote(&rows[0].ticker, 1.0, 2.0);
    assert_eq!(states(&stage.partition), [EpochState::Active], "overdue, and now publishable");
}

#[test]
fn a_chain_that_keeps_changing_does_not_keep_the_partition_in_the_past() {
    let mut stage = Stage::new("TSLA");
    for strikes in 6..9 {
        stage.chain("TSLA", Some(310.0), &tsla(NEAR, strikes));
        stage.wait(12 * SECOND);
    }
    let records = stage.partition.epochs();
    assert_eq!(
        states(&stage.partition),
        [EpochState::Retired, EpochState::Retired, EpochState::Active]
    );
    assert_eq!((records[0].promoted, records[1].promoted), (None, None));
    let promoted = records[2].promoted.expect("active");
    assert_eq!(promoted.at, START.plus_nanos(30 * SECOND), "counted from the first");
}

#[test]
fn a_chain_that_goes_back_gives_up_the_warming_epoch() {
    let mut stage = Stage::new("TSLA");
    let rows = quoted(tsla(NEAR, 6));
    stage.chain("TSLA", Some(310.0), &rows);
    stage.wait(SECOND);
    let mut more = rows.clone();
    more.extend(tsla(&["251223"], 6));
    stage.chain("TSLA", Some(310.0), &more);
    assert_eq!(states(&stage.partition), [EpochState::Active, EpochState::Warming]);
    stage.chain("TSLA", Some(310.0), &rows);
    assert_eq!(states(&stage.partition), [EpochState::Active, EpochState::Retired]);
    assert!(stage.partition.warming_book().is_none());
    stage.quote(&more[12].ticker, 1.0, 2.0);
    assert_eq!(stage.partition.counters().geometry_miss_quotes, 1);
}

#[test]
fn damaged_chains_stay_out_until_they_are_believed() {
    let mut stage = Stage::new("TSLA");
    let rows = quoted(tsla(NEAR, 6));
    stage.chain("TSLA", Some(310.0), &rows);
    let healthy = stage.partition.active_book().expect("active").states.clone();
    stage.wait(10 * SECOND);
    let mut gone = rows.clone();
    gone.iter_mut().for_each(|l| l.row.gamma = Some(0.0));
    let ours = |stage: &Stage| {
        assert_eq!(stage.partition.active_book().expect("active").states, healthy);
        assert_eq!(stage.partition.spot().expect("spot").value, 310.0);
        assert_eq!(stage.partition.epochs().len(), 1);
        let c = *stage.partition.counters();
        (c.damaged_chains, c.damaged_gammas, c.damaged_shrunk, c.damaged_unreadable)
    };
    stage.chain("TSLA", Some(999.0), &gone);
    assert_eq!(ours(&stage), (1, 1, 0, 0));
    stage.chain("TSLA", Some(999.0), &rows[..5]);
    assert_eq!(ours(&stage), (2, 1, 1, 0));
    stage.chain("TSLA", Some(999.0), &[]);
    assert_eq!(ours(&stage), (3, 1, 1, 1));
    // A third suspicious one in a row: the market has changed, not the vendor.
    stage.chain("TSLA", Some(311.0), &gone);
    let states = &stage.partition.active_book().expect("active").states;
    assert_eq!(states[0].gamma, Some(0.0));
    assert_eq!(stage.partition.counters().damaged_chains, 3);
    stage.wait(SECOND);
    let status = stage.printed.iter().rev().find(|p| p.output.family == "epoch");
    let body = String::from_utf8_lossy(&status.expect("said").output.body).into_owned();
    assert!(body.contains(r#""damaged_chains":3"#), "{body}");
}

#[test]
fn a_late_chain_brings_back_neither_values_nor_contracts_nor_the_spot() {
    let dated = |rows: Vec<Listed>, open_interest, at| {
        let mut rows = quoted(rows);
        for listed in &mut rows {
            listed.row.open_interest = Some(open_interest);
            listed.row.updated = Some(orrery_journal::units::VendorTime(at));
        }
        rows
    };
    let mut stage = Stage::new("TSLA");
    stage.chain("TSLA", Some(310.0), &dated(tsla(NEAR, 6), 10.0, 100));
    stage.wait(SECOND);
    let count = |stage: &Stage| {
        let c = stage.partition.counters();
        let held = stage.partition.active_book().expect("active").states[0].open_interest;
        assert_eq!(held, Some(10.0));
        assert_eq!(stage.partition.spot().expect("a spot").value, 310.0);
        assert_eq!(states(&stage.partition), [EpochState::Active]);
        (c.late_chains, c.late_chain_quotes, c.late_spots)
    };
    stage.chain("TSLA", Some(300.0), &dated(tsla(NEAR, 6), 9.0, 90));
    assert_eq!(count(&stage), (1, 12, 1));
    stage.reborn();
    // One more expiration, which the newer chain does not know any more.
    stage.chain("TSLA", Some(300.0), &dated(tsla(MORE, 6), 9.0, 95));
    assert_eq!(count(&stage), (2, 12, 1));
    stage.wait(SECOND);
    let status = stage.printed.iter().rev().find(|p| p.output.family == "epoch");
    let body = String::from_utf8_lossy(&status.expect("said").output.body).into_owned();
    assert!(body.contains(r#""late_chains":2,"late_chain_quotes":12"#), "{body}");
}

#[test]
fn a_smaller_chain_on_the_next_day_is_no_damage() {
    let mut stage = Stage::new("TSLA");
    stage.chain("TSLA", Some(310.0), &quoted(tsla(NEAR, 6)));
    stage.wait(3 * 86_400 * SECOND);
    stage.chain("TSLA", Some(310.0), &quoted(tsla(&["251222"], 3)));
    assert_eq!(states(&stage.partition), [EpochState::Retired, EpochState::Active]);
    assert_eq!(stage.partition.counters().damaged_chains, 0);
}

#[test]
fn silence_in_session_makes_an_epoch_dormant_once() {
    let mut stage = Stage::new("TSLA");
    let rows = quoted(tsla(NEAR, 6));
    stage.chain("TSLA", Some(310.0), &rows);
    stage.wait(60 * SECOND);
    assert_eq!(stage.partition.epochs()[0].dormancies, 0, "it has never ticked");
    stage.quote(&rows[0].ticker, 2.0, 3.0);
    let ticked = stage.now();
    stage.wait(60 * SECOND);
    let record = &stage.partition.epochs()[0];
    assert_eq!((record.dormant, record.dormancies), (true, 1));
    // Everything once more, at the next multiples of each cadence.
    let silent = ticked.plus_nanos(5 * SECOND);
    let again: Vec<_> = stage.printed.iter().filter(|p| p.at > silent).collect();
    let families: Vec<_> = again.iter().map(|p| p.output.family).collect();
    assert_eq!(families, ["heatmap", "spot", "gravity", "gex", "context", "epoch"]);
    let said = String::from_utf8_lossy(&again[5].output.body).into_owned();
    assert!(said.contains(r#""dormant":true"#), "{said}");
    stage.quote(&rows[0].ticker, 2.0, 3.5);
    assert!(!stage.partition.epochs()[0].dormant);
    // After the close nobody expects ticks.
    stage.wait(7 * 3_600 * SECOND);
    stage.quote(&rows[0].ticker, 2.0, 3.0);
    let dormancies = stage.partition.epochs()[0].dormancies;
    stage.wait(60 * SECOND);
    assert_eq!(stage.partition.epochs()[0].dormancies, dormancies);
}

#[test]
fn bodies_come_out_at_multiples_of_their_cadence() {
    let mut stage = Stage::new("TSLA");
    let rows = quoted(tsla(NEAR, 6));
    stage.chain("TSLA", Some(310.0), &rows);
    stage.printed.clear();
    stage.wait(SECOND / 10);
    stage.quote(&rows[0].ticker, 2.0, 3.0);
    stage.quote(&rows[1].ticker, 2.0, 3.0);
    stage.trade("TSLA", 310.5, 10);
    stage.wait(3 * SECOND);
    let mut came: Vec<_> =
        stage.printed.iter().map(|p| (p.at.0 - START.0, p.output.family)).collect();
    came.retain(|(_, family)| *family != "context");
    let want =
        [(SECOND / 4, "heatmap"), (SECOND, "spot"), (SECOND, "gravity"), (2 * SECOND, "gex")];
    assert_eq!(came, want);
    // At exactly a multiple the next one counts.
    let at = stage.now().plus_nanos(SECOND - 100_000_000);
    stage.wait(SECOND - 100_000_000);
    stage.quote(&rows[0].ticker, 3.0, 4.0);
    assert_eq!(stage.partition.next_due(), Some(at.plus_nanos(SECOND / 4)));
}

#[test]
fn what_a_model_hands_to_views_is_what_its_body_says() {
    let mut stage = Stage::with("TSLA", Makers::default());
    let mut rows = quoted(tsla(NEAR, 9));
    let put = |call: &Listed| Listed { ticker: call.ticker.replacen('C', "P", 1), row: call.row };
    rows.extend(rows.clone().iter().map(put));
    stage.chain("TSLA", Some(310.0), &rows);
    let mut priced = 0;
    for n in 0..20 {
        let bid = f64::from(n * 7 % 11) / 4.0;
        stage.quote(&rows[n as usize * 5 % rows.len()].ticker, bid, bid + 0.25);
        stage.wait(SECOND / 4);
        let bodies = &stage.partition.bodies;
        let handed = bodies.read::<Flies>("heatmap").expect("a heatmap");
        let body = bodies.get("heatmap").expect("a heatmap");
        assert_eq!(Flies::read(body).as_ref(), Some(&*handed));
        priced += handed.iter().filter(|fly| fly.call.is_some() && fly.put.is_some()).count();
    }
    assert!(priced > 20, "{priced} butterflies with both sides were compared");
}

#[test]
fn the_plane_is_filtered_by_strike_days_and_width() {
    let mut stage = Stage::new("TSLA");
    assert!(stage.partition.contracts(&PlaneFilter::default()).is_empty());
    let mut rows = tsla(&["251219", "251223"], 5);
    rows.push(listed("TSLA", "251223", 323));
    stage.chain("TSLA", Some(310.0), &quoted(rows));
    let count = |filter: PlaneFilter| stage.partition.contracts(&filter).len();
    let all = PlaneFilter::default();
    assert_eq!(count(all), 11);
    assert_eq!(count(PlaneFilter { strike_min: Some(price(310.0)), ..all }), 7);
    assert_eq!(count(PlaneFilter { strike_max: Some(price(300.0)), ..all }), 2);
    assert_eq!(count(PlaneFilter { dte_min: Some(1), dte_max: Some(4), ..all }), 6);
    // 323 has no neighbour at 5, 10, 20, 25 or 50.
    assert_eq!(count(PlaneFilter { width_max: Some(price(50.0)), ..all }), 10);
    // Only the outer strikes stand 20 apart.
    let w20 = Some(price(20.0));
    assert_eq!(count(PlaneFilter { width_min: w20, width_max: w20, ..all }), 4);
}
