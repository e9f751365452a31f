//! Figures worked out by hand from CONTRACT 9, and what holds for any book.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn book(rows: &[(f64, f64, f64)]) -> NetGamma {
    let row = |&(strike, call, put): &(f64, f64, f64)| Row { strike, call, put };
    NetGamma { rows: rows.iter().map(row).collect() }
}

fn close(value: f64, want: f64) {
    assert!((value - want).abs() < 1e-9, "{value} is not {want}");
}

#[test]
fn strikes_are_summed_over_expirations_and_sorted_by_number() {
    let gex = json!({"spot": 6500.0, "expirations": {
        "2026-02-06": {"calls": {"10000": 1.0, "9999.5": 2.0}, "puts": {"9999.5": 0.5}},
        "2026-02-09": {"calls": {"9999.5": 4.0}, "puts": {}},
        "2026-02-10": {},
    }});
    let net = NetGamma::read(gex.to_string().as_bytes()).expect("a gex body");
    assert_eq!(net, book(&[(9_999.5, 6.0, 0.5), (10_000.0, 1.0, 0.0)]));
    assert_eq!(net.totals(), (7.0, 0.5, 6.5));
    assert_eq!(NetGamma::read(b"{}"), None);
}

#[test]
fn a_book_with_a_flip_below_by_hand() {
    // net: -40, -10, 20, 50, 30, 0; A = 150; above 80, below -30.
    let net = book(&[
        (6_400.0, 10.0, 50.0),
        (6_450.0, 20.0, 30.0),
        (6_490.0, 40.0, 20.0),
        (6_510.0, 60.0, 10.0),
        (6_560.0, 35.0, 5.0),
        (6_700.0, 12.0, 12.0),
    ]);
    let scores = scores(&net, 6_500.0).expect("net gamma");
    // Imbalance 50/110, centre -0.32: 14.4727; the flip at 6470 is 0.46 % away,
    // so the full 50 and 30 go off.
    assert_eq!(scores.flips, Flips { above: None, below: Some(6_470.0) });
    assert_eq!((scores.bias_adjustment, scores.lfi_adjustment), (-50.0, -30.0));
    close(scores.bias.expect("beyond the spot"), -35.527_272_727_272_73);
    // 0.5 x 90.909 + 0.3 x 70 + 0.2 x 69.333 = 80.3212
    close(scores.lfi, 50.321_212_121_212_14);
    // F 66.648, G 50.0888, C 90.9091
    close(scores.mode, 60.852_604_952_118_35);
    assert_eq!(net.largest(6_500.0, Row::net), Some(6_510.0));
    assert_eq!(net.largest(6_500.0, |r| r.put), Some(6_400.0));
}

#[test]
fn a_book_of_one_sign_by_hand() {
    // All net above zero: no flip, F = 70; nothing within 1 %: r = 0.
    let net = book(&[(6_400.0, 10.0, 5.0), (6_600.0, 50.0, 20.0)]);
    let scores = scores(&net, 6_500.0).expect("net gamma");
    assert_eq!(scores.flips.nearest(6_500.0), None);
    assert_eq!((scores.bias_adjustment, scores.lfi_adjustment), (0.0, 0.0));
    close(scores.bias.expect("beyond the spot"), 100.0);
    close(scores.lfi, 54.0);
    close(scores.mode, 59.015_532_536_384_29);
}

#[test]
fn between_near_and_far_the_adjustment_is_linear() {
    let flips = |below: f64| Flips { above: None, below: Some(below) };
    let (bias, lfi) = adjustments(&flips(990.0), 1_000.0);
    close(bias, -25.0);
    close(lfi, -15.0);
    // 0.25 % below: in full, and the penalty cannot add to that.
    assert_eq!(adjustments(&flips(997.5), 1_000.0), (-50.0, -30.0));
    assert_eq!(adjustments(&flips(984.0), 1_000.0), (0.0, 0.0));
    assert_eq!(adjustments(&Flips::default(), 1_000.0), (0.0, 0.0));
    let tie = Flips { above: Some(101.0), below: Some(99.0) };
    assert_eq!(tie.nearest(100.0), Some(99.0), "the one below on a tie");
}

#[test]
fn without_any_net_there_are_no_scores() {
    assert_eq!(scores(&NetGamma::default(), 100.0), None);
    assert_eq!(scores(&book(&[(90.0, 5.0, 5.0), (110.0, 1.0, 1.0)]), 100.0), None);
    // Everything at the spot: no side, so no bias; the rest stands.
    let at = scores(&book(&[(100.0, 5.0, 1.0)]), 100.0).expect("net gamma");
    assert_eq!(at.bias, None);
    close(at.lfi, 50.0 + 0.3 * 70.0 + 0.2 * 80.0);
}

#[test]
fn ties_go_to_the_strike_nearest_to_the_spot_then_to_the_lower() {
    let net = book(&[(90.0, 5.0, 0.0), (95.0, 5.0, 0.0), (105.0, 5.0, 0.0)]);
    assert_eq!(net.largest(101.0, Row::net), Some(105.0));
    assert_eq!(net.largest(100.0, Row::net), Some(95.0));
    assert_eq!(net.largest(100.0, |r| r.put), None, "no put is open");
    assert_eq!(book(&[(90.0, 1.0, 5.0)]).largest(100.0, Row::net), None, "none holds");
}

proptest! {
    #[test]
    fn scores_stay_in_their_bounds_and_do_not_depend_on_the_unit(
        rows in prop::collection::btree_map(1u32..400, (0.0..1e4f64, 0.0..1e4f64), 1..60),
        spot in 6_000.0..7_000.0f64,
    ) {
        let scaled = |by: f64| NetGamma {
            rows: rows
                .iter()
                .map(|(k, (call, put))| Row {
                    strike: 5_500.0 + 5.0 * f64::from(*k), call: call * by, put: put * by,
                })
                .collect(),
        };
        let (one, other) = (scores(&scaled(1.0), spot), scores(&scaled(4.0), spot));
        if let (Some(one), Some(other)) = (one, other) {
            prop_assert!((0.0..=100.0).contains(&one.lfi), "{one:?}");
            prop_assert!((0.0..=100.0).contains(&one.mode), "{one:?}");
            prop_assert!(one.bias.is_none_or(|b| (-100.0..=100.0).contains(&b)), "{one:?}");
            prop_assert!((-50.0..=0.0).contains(&one.bias_adjustment));
            prop_assert!((-30.0..=0.0).contains(&one.lfi_adjustment));
            prop_assert!(one.flips.below.is_none_or(|f| f < spot));
            prop_assert!(one.flips.above.is_none_or(|f| f > spot));
            // Only G of the market mode knows the unit.
            prop_assert_eq!((one.bias, one.lfi, one.flips), (other.bias, other.lfi, other.flips));
        } else {
            prop_assert!(one.is_none() && other.is_none());
        }
    }
}
