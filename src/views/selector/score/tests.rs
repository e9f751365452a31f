//! Scores worked out by hand from CONTRACT 10.

use proptest::prelude::*;

use super::*;
use crate::models::parameters::views::SelectorProfile;
use crate::views::net_gamma::Row;

fn close(value: f64, want: f64) {
    assert!((value - want).abs() < 1e-9, "{value} is not {want}");
}

#[test]
fn return_per_risk_against_the_table() {
    // Width 20 today, usual 9-12, best 15-18.
    close(r2r(20.0, 1.0, 0), 95.0); // 19
    close(r2r(20.0, 1.25, 0), 85.0); // 15
    close(r2r(20.0, 1.6, 0), 72.5); // 11.5
    close(r2r(20.0, 1.9, 0), 62.631_578_947_368_425); // 9.526
    close(r2r(20.0, 2.4, 0), 46.111_111_111_111_11); // 7.333
    close(r2r(20.0, 4.0, 0), 25.0); // 4: 45 x 4 / 7.2
    // A debit of 0.40 would hardly be filled: 95 x 0.8.
    close(r2r(30.0, 0.4, 0), 76.0);
    assert_eq!(r2r(20.0, 0.10, 0), 0.0);
    assert_eq!(r2r(20.0, 20.0, 0), 0.0);
}

#[test]
fn convexity_lives_from_its_neighbours() {
    // Nothing to compare with: 0.5 x 50 + 0.3 x 50 + 0.2 x 95, as the original
    // has it for every tile.
    close(convexity(20.0, 1.0, &[]), 59.0);
    // 16.7 % below the mean and the cheapest: 98; z = 2.83: 95.
    close(convexity(20.0, 1.0, &[1.2, 1.1, 1.3, 1.2]), 96.5);
    // 10.8 % above the mean: 28.46; z = -1.87: 25.
    close(convexity(20.0, 1.2, &[1.0, 1.1, 1.15]), 40.730_769_230_769_23);
    // One neighbour, equally dear: 50, and too few to stand among.
    close(convexity(20.0, 2.0, &[2.0]), 59.0);
}

fn environment(volatility: f64, session: Option<Session>) -> Environment {
    let regime = Regime::of(volatility);
    let special = super::super::playbook::special(volatility, Some(10.0));
    let decay = super::super::playbook::decay(session, regime);
    Environment { volatility, regime, special, session, decay }
}

#[test]
fn width_fit_of_a_calm_morning_and_what_the_original_makes_of_it() {
    let [repaired, original] = SelectorProfile::ALL.map(Rules::of);
    let calm = environment(15.0, Some(Session::Morning));
    // Today: width 25 of 20-30, day 0 of 0-1, morning, wider 55:
    // 38 + 23.75 + 19 + 8.25 = 89.
    close(width_fit(&calm, 25.0, 0, &repaired), 89.0);
    // The original wants 10-20 and 1-2 days: 0.4 x 92.5 + 0.25 x 60 + 19 + 8.25.
    close(width_fit(&calm, 25.0, 0, &original), 79.25);
    // A tile of one day is timewarp's in both: 37 + 23.75 + 17 + 8.25.
    close(width_fit(&calm, 25.0, 1, &repaired), 86.0);
    close(width_fit(&calm, 25.0, 1, &original), 86.0);
    // Fast decay: five points too narrow costs 20, and in the original 25.
    let late = environment(20.0, Some(Session::Closing));
    close(width_fit(&late, 25.0, 0, &repaired), 0.4 * 75.0 + 23.75 + 8.0 + 8.25);
    close(width_fit(&late, 25.0, 0, &original), 0.4 * 70.0 + 23.75 + 8.0 + 8.25);
    // No day suits chaos less than today's.
    let chaos = environment(35.0, None);
    close(width_fit(&chaos, 120.0, 0, &repaired), 0.4 * 85.0 + 0.25 * 40.0 + 6.0 + 14.25);
}

#[test]
fn gamma_alignment_by_magnet_flip_and_wings() {
    let row = |strike: f64, call: f64, put: f64| Row { strike, call, put };
    let net = NetGamma {
        rows: vec![row(6_480.0, 5.0, 1.0), row(6_500.0, 9.0, 1.0), row(6_520.0, 1.0, 5.0)],
    };
    let gamma = Gamma { net: net.into(), magnet: Some(6_500.0), zero: Some(6_490.0) };
    // At the magnet 95, right side 80, one wing of two holds 65.
    close(gamma_alignment(&gamma, 6_500.0, 20.0, true), 38.0 + 24.0 + 19.5);
    close(gamma_alignment(&gamma, 6_500.0, 20.0, false), 38.0 + 9.0 + 19.5);
    // Nothing is known: 60, 50, 50.
    close(gamma_alignment(&Gamma::default(), 6_500.0, 20.0, true), 24.0 + 15.0 + 15.0);
    close(confidence(true, true, 1.0), 1.0);
    close(confidence(false, false, 0.5), 0.5);
}

proptest! {
    #[test]
    fn every_score_stays_between_0_and_100(
        width in 1.0..200.0f64,
        share in 0.001..0.1f64,
        dte in 0i32..60,
        neighbours in prop::collection::vec(0.01..50.0f64, 0..16),
        volatility in 5.0..80.0f64,
        hour in 0.0..24.0f64,
        strike in 6_000.0..7_000.0f64,
    ) {
        let debit = width * share;
        let environment = environment(volatility, Some(Session::of(hour)));
        for profile in SelectorProfile::ALL {
            let rules = Rules::of(profile);
            let parts = Parts {
                r2r: r2r(width, debit, dte),
                convexity: convexity(width, debit, &neighbours),
                width_fit: width_fit(&environment, width, dte, &rules),
                gamma_alignment: gamma_alignment(&Gamma::default(), strike, width, true),
            };
            for part in [parts.r2r, parts.convexity, parts.width_fit, parts.gamma_alignment] {
                prop_assert!((0.0..=100.0).contains(&part), "{parts:?}");
            }
            prop_assert!((0.0..=100.0).contains(&parts.composite()));
        }
        // Dearer neighbours never make a tile look worse.
        let dearer: Vec<f64> = neighbours.iter().map(|d| d * 1.5).collect();
        prop_assert!(local_advantage(debit, &dearer) >= local_advantage(debit, &neighbours));
    }
}
