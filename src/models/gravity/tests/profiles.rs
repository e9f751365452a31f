//! What the profiles and days differ in.

use super::*;

#[test]
fn days_are_kept_weighed_and_named() {
    let mut model = with(|p| (p.days, p.half_life_days) = (Some(3), Some(5.0)));
    // A weekend lies between the second and the third day.
    for (i, day) in [100, 101, 104, 105].into_iter().enumerate() {
        model.apply(&trade(6500.0 + i as f64, 1_000_000.0), &on(day, i as u64));
    }
    let body = body_of(&mut model);
    // 2^(-2/5) and 2^(-1/5): weights follow trading days, not dates.
    assert_eq!(body["profile"], json!({"min":6501.0,"step":1.0,"bins":[757,870,1000]}));
    let held = &body["meta"]["days"]["held"];
    assert_eq!(held.as_array().map(Vec::len), Some(3));
    assert_eq!(held[0]["day"], "1970-04-12");
    assert_eq!(held[0]["volume"], 1_000_000.0);
    assert_eq!(held[2]["weight"], 1.0);
    assert_eq!(body["meta"]["days"]["half_life"], 5.0);
    // One day: the newest only.
    let mut session = profiled("session");
    for day in [100, 101] {
        session.apply(&trade(6500.0 + f64::from(day), 10.0), &on(day, day as u64));
    }
    let body = body_of(&mut session);
    assert_eq!(body["profile"], json!({"min":6601.0,"step":1.0,"bins":[1000]}));
    assert_eq!(body["meta"]["profile"], "gravity/session@1");
}

#[test]
fn each_profile_says_what_it_is_and_what_it_loses() {
    let given = [
        minute_bar(1, 6500.0, 6503.0, 29.0),
        minute_bar(2, 6501.0, 6501.0, 60.0),
        minute_bar(3, 6501.0, 6503.0, 90.0),
        minute_bar(4, 7100.0, 7100.0, 30.0),
        minute_bar(5, 7100.0, 7101.0, 30.0),
    ];
    // Volume held, lost, and shown below the original's ceiling.
    for (name, volume, lost, outside) in [
        ("tv-microbins-30", 239.0, 0.0, 0.0),
        ("tv-microbins-30-down", 239.0, 0.0, 0.0),
        ("tv-microbins-30-gradient", 239.0, 0.0, 0.0),
        ("marketswarm", 149.0, 90.0, 30.0),
        ("marketswarm-quick", 210.0, 29.0, 60.0),
        ("marketswarm-gradient", 149.0, 90.0, 30.0),
    ] {
        let mut model = profiled(name);
        given.iter().enumerate().for_each(|(i, bar)| {
            model.apply(bar, &at(i as i64));
        });
        let body = body_of(&mut model);
        let quality = &body["quality"];
        let found = ["volume", "lost_volume", "outlier_volume"].map(|n| quality[n].as_f64());
        assert_eq!(found, [Some(volume), Some(lost), Some(outside)], "{name}");
        assert_eq!(body["meta"]["profile"], format!("gravity/{name}@1"));
        assert_eq!(body["quality"]["counts"]["bars"], 5);
    }
}
