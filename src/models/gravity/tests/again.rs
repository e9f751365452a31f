//! Facts that come again, late, or corrected.

use super::*;

#[test]
fn a_bar_sent_again_takes_the_place_of_the_former() {
    let mut model = fresh();
    model.apply(&minute_bar(1, 6500.0, 6503.0, 3000.0), &at(0));
    let first = body_of(&mut model)["profile"].clone();
    model.apply(&minute_bar(2, 6510.0, 6512.0, 700.0), &at(1));
    model.apply(&minute_bar(2, 6500.0, 6500.0, 100.0), &at(2));
    model.apply(&minute_bar(2, 6510.0, 6511.0, 600.0), &at(3));
    let body = body_of(&mut model);
    assert_eq!(body["quality"]["volume"], 3600.0);
    assert_eq!(body["quality"]["counts"]["bars_again"], 2);
    assert_eq!(first["bins"], json!([545, 818, 1000, 363]));
}

#[test]
fn a_bar_older_than_what_is_kept_is_left_out_and_counted() {
    let mut model = with(|p| p.kept_bars = 2);
    for minute in 1..=4 {
        model.apply(&minute_bar(minute, 6500.0, 6500.0, 10.0), &at(minute));
    }
    assert!(!model.apply(&minute_bar(1, 6500.0, 6500.0, 10.0), &at(5)));
    model.apply(&minute_bar(3, 6500.0, 6500.0, 40.0), &at(6));
    let quality = &body_of(&mut model)["quality"];
    assert_eq!(quality["volume"], 70.0);
    assert_eq!(quality["counts"]["bars_late"], 1);
}

#[test]
fn corrections_reach_trades_bars_and_lines() {
    let mut model = fresh();
    let correct = |model: &mut Gravity, corrects: u64, right: &[u8]| {
        model.apply(&Change::Correction { corrects: Seq(corrects), right }, &at(99))
    };
    let proxy = Some(0);
    model.apply(&Change::UnderlyingTrade { proxy, price: 6500.0, size: 5.0 }, &at(1));
    model.apply(&Change::UnderlyingTrade { proxy, price: 6510.0, size: 7.0 }, &at(2));
    model.apply(&Change::Annotation(br#"{"author":"ann","lines":[6510]}"#), &at(3));
    // What is right is said in the instrument's own prices: SPY at 650.2.
    assert!(correct(&mut model, 2, br#"{"price":650.2,"size":10}"#));
    let body = body_of(&mut model);
    assert_eq!(body["profile"], json!({"min":6500.0,"step":1.0,"bins":[500,0,1000]}));
    correct(&mut model, 1, b"");
    correct(&mut model, 3, br#"{"author":"ann","lines":[6520]}"#);
    let body = body_of(&mut model);
    assert_eq!(body["profile"], json!({"min":6502.0,"step":1.0,"bins":[1000]}));
    assert_eq!(body["structural_lines"][0]["from"], 6520.0);
    assert_eq!(body["structural_lines"][0]["seq"], 99, "the event that said so");
    correct(&mut model, 99, br#"{"author":"bob","lines":[1]}"#);
    correct(&mut model, 99, b"");
    correct(&mut model, 2, br#"{"price":-1,"size":10}"#);
    correct(&mut model, 2, b"not JSON");
    correct(&mut model, 77, b"");
    let body = body_of(&mut model);
    assert_eq!(body["structural_lines"], json!([]));
    let counts = &body["quality"]["counts"];
    let found = ["corrections", "corrections_refused", "corrections_elsewhere"].map(|n| &counts[n]);
    assert_eq!(found, [&json!(4), &json!(3), &json!(1)]);
    model.apply(&minute_bar(1, 6500.0, 6503.0, 3000.0), &at(100));
    correct(&mut model, 100, br#"{"high":650.1,"low":650.1,"close":650.1,"volume":3}"#);
    let body = body_of(&mut model);
    assert_eq!(body["profile"]["min"], 650.0, "the underlying's own bar is not scaled");
    assert_eq!(body["quality"]["volume"], 3.0);
}
