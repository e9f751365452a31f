//! A checkpoint at any moment is invisible: restore(save(x)) followed by the
//! tail gives what the whole gives.

use orrery_journal::event::{Body, Gap, IndexValue};
use proptest::prelude::*;

use super::harness::*;
use orrery_replay::fold::Fold;

#[derive(Clone, Debug)]
enum Act {
    Wait(i64),
    Quote(usize, i64, i64),
    Trade(usize, i64),
    Underlying(i64),
    Bar(i64),
    Index(i64),
    Proxy(i64),
    Chain { strikes: u32, quoted: bool, gammas: bool, spot: Option<i64> },
    Gap,
}

fn act() -> impl Strategy<Value = Act> {
    let spot = 5_990..6_030i64;
    prop_oneof![
        4 => (1..200i64).prop_map(|n| Act::Wait(n * SECOND / 10)),
        1 => Just(Act::Wait(20 * SECOND)),
        8 => (0..14usize, 0..5i64, 0..5i64).prop_map(|(c, b, a)| Act::Quote(c, b, a)),
        2 => (0..14usize, 1..5i64).prop_map(|(c, p)| Act::Trade(c, p)),
        1 => spot.clone().prop_map(Act::Underlying),
        1 => spot.clone().prop_map(Act::Bar),
        1 => spot.clone().prop_map(Act::Index),
        1 => spot.clone().prop_map(Act::Proxy),
        2 => (1..12u32, any::<bool>(), prop::bool::weighted(0.8), prop::option::of(spot)).prop_map(
            |(strikes, quoted, gammas, spot)| Act::Chain { strikes, quoted, gammas, spot }
        ),
        1 => Just(Act::Gap),
    ]
}

fn name(i: usize) -> String {
    listed("SPXW", "251219", 6000 + 5 * u32::try_from(i).expect("small")).ticker
}

fn run(stage: &mut Stage, act: &Act) {
    match act {
        Act::Wait(nanos) => stage.wait(*nanos),
        Act::Quote(i, bid, ask) => stage.quote(&name(*i), *bid as f64, *ask as f64),
        Act::Trade(i, p) => stage.trade(&name(*i), *p as f64, 1),
        Act::Underlying(p) => stage.trade("SPX", *p as f64, 5),
        Act::Bar(p) => stage.bar("I:SPX", *p as f64, *p as f64 + 1.0, *p as f64),
        Act::Index(p) => {
            stage.send("I:SPX", Body::IndexValue(IndexValue { value: price(*p as f64) }), None);
        }
        Act::Proxy(p) => stage.trade("SPY", *p as f64 / 10.0, 7),
        Act::Chain { strikes, quoted: with, gammas, spot } => {
            let mut rows: Vec<Listed> =
                (0..*strikes).map(|i| listed("SPXW", "251219", 6000 + 5 * i)).collect();
            if *with {
                rows = quoted(rows);
            }
            if !*gammas {
                rows.iter_mut().for_each(|l| l.row.gamma = None);
            }
            stage.chain("I:SPX", spot.map(|s| s as f64), &rows);
        }
        Act::Gap => stage.send("I:SPX", Body::Gap(Gap::default()), None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_checkpoint_anywhere_changes_nothing(
        acts in prop::collection::vec(act(), 1..80),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut whole, mut cut_in_two) = (Stage::new("SPX"), Stage::new("SPX"));
        let cut = cut.index(acts.len());
        for (i, act) in acts.iter().enumerate() {
            if i == cut {
                cut_in_two.reborn();
            }
            run(&mut whole, act);
            run(&mut cut_in_two, act);
        }
        whole.wait(60 * SECOND);
        cut_in_two.wait(60 * SECOND);
        prop_assert_eq!(&whole.printed, &cut_in_two.printed);
        prop_assert_eq!(whole.saved(), cut_in_two.saved());
        prop_assert_eq!(whole.partition.epochs(), cut_in_two.partition.epochs());
    }

    #[test]
    fn whatever_is_published_belongs_to_the_active_epoch(
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let mut stage = Stage::new("SPX");
        for act in &acts {
            run(&mut stage, act);
        }
        stage.wait(60 * SECOND);
        for printed in &stage.printed {
            let Some(id) = printed.output.epoch else {
                prop_assert!(!["gex", "heatmap"].contains(&printed.output.family));
                continue;
            };
            let alive = stage.partition.epochs().iter().any(|r| {
                r.id == id
                    && r.promoted.is_some_and(|m| m.seq <= printed.seq && m.at <= printed.at)
                    && r.retired.is_none_or(|m| m.at >= printed.at && m.seq >= printed.seq)
            });
            prop_assert!(alive, "{printed:?}");
        }
    }

    #[test]
    fn a_model_less_changes_nothing_of_the_others(
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let mut all = Stage::new("SPX");
        let mut fewer = Stage::with("SPX", WITHOUT_HEATMAP);
        for act in &acts {
            run(&mut all, act);
            run(&mut fewer, act);
        }
        all.wait(60 * SECOND);
        fewer.wait(60 * SECOND);
        all.printed.retain(|p| p.output.family != "heatmap");
        prop_assert_eq!(&all.printed, &fewer.printed);
    }

    #[test]
    fn damaged_states_are_refused_without_panic(
        acts in prop::collection::vec(act(), 1..30),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
        cut in any::<bool>(),
    ) {
        let mut stage = Stage::new("SPX");
        acts.iter().for_each(|act| run(&mut stage, act));
        let mut bytes = stage.saved();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= flip;
        }
        let mut fresh = Stage::new("SPX");
        let result = fresh.partition.restore(&bytes);
        prop_assert!(!cut || result.is_err());
        if result.is_err() {
            prop_assert!(fresh.partition.epochs().is_empty(), "a refusal leaves all as it was");
        }
    }
}
