//! What a day comes down to, found in every way that there is.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::Journal;
use orrery_journal::proof::merkle::{TreeHash, includes};
use orrery_journal::units::{Address, TradingDay};
use orrery_replay::catch_up::{CatchUpOptions, catch_up};
use orrery_replay::certificate::Facts;
use orrery_replay::certificate::facts::{FactsError, Ground, How, artifacts, facts};
use orrery_replay::derived::Derived;
use orrery_replay::driver::Threads;
use orrery_replay::engine::Engine;
use orrery_replay::fold::World;

use crate::toy::{self, toys};

fn recorded(journal: &Journal, every: u64) -> Derived {
    let derived = Derived::in_memory();
    let options = CatchUpOptions { threads: Threads::new(2), checkpoint_events: every };
    catch_up(journal, &derived, toys(), options, &mut |_| ControlFlow::Continue(()))
        .expect("a good journal");
    derived
}

fn find(
    (journal, derived, world): (&Journal, &Derived, &Arc<dyn World>),
    day: TradingDay,
    how: How,
    threads: usize,
) -> Result<Facts, FactsError> {
    let ground = Ground { journal, derived, world, threads: Threads::new(threads) };
    facts(ground, day, how, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn recorded_folded_and_from_scratch_are_the_same_facts() {
    let journal = toy::journal(&toy::facts(11, 1_500, 3), 40);
    let world = toys();
    let days: Vec<TradingDay> = journal.days().expect("memory").iter().map(|d| d.day).collect();
    let (usual, bare) = (recorded(&journal, 200), recorded(&journal, u64::MAX));
    let empty = Derived::in_memory();
    let mut closing = None;
    for day in &days[..2] {
        let good = find((&journal, &usual, &world), *day, How::Recorded, 1).expect("over");
        assert!(good.artifacts > 10 && good.kinds.len() > 3, "{good:?}");
        for (derived, how, threads) in [
            (&usual, How::Folded, 1),
            (&usual, How::Folded, 3),
            (&usual, How::FromScratch, 2),
            (&bare, How::Recorded, 2),
            (&bare, How::Folded, 1),
            (&empty, How::Folded, 1),
            (&empty, How::FromScratch, 1),
        ] {
            let found = find((&journal, derived, &world), *day, how, threads).expect("over");
            assert_eq!(found, good, "{how:?} on {threads}");
        }
        // A day opens as the one before closed.
        assert!(closing.is_none_or(|closing| closing == good.opening));
        closing = Some(good.closing);
        // Every version of the day has its place, and no other has one.
        let ground =
            Ground { journal: &journal, derived: &usual, world: &world, threads: Threads::ONE };
        let all = artifacts(ground, *day).expect("over");
        let mut placed = 0;
        for (symbol, family) in usual.families().expect("memory") {
            for header in usual.headers(&symbol, &family, 1, 10_000).expect("memory") {
                let found = all.inclusion(&symbol, &family, header.version).expect("leaves");
                let Some((index, path)) = found else { continue };
                let leaf = TreeHash::leaf(header.hash());
                assert!(includes(leaf, index, good.artifacts, &path, good.artifact_root));
                placed += 1;
            }
        }
        assert_eq!(placed, good.artifacts);
        assert_eq!(all.inclusion("A", "nothing", 1).expect("leaves"), None);
    }
    let open = find((&journal, &usual, &world), days[2], How::Recorded, 1);
    assert!(matches!(open, Err(FactsError::Open { .. })), "{open:?}");
    let never = find((&journal, &usual, &world), TradingDay(0), How::Recorded, 1);
    assert!(matches!(never, Err(FactsError::NoSuchDay { .. })), "{never:?}");
}

#[test]
fn a_record_that_is_not_whole_is_not_certified() {
    let journal = toy::journal(&toy::facts(12, 600, 2), 40);
    let world = toys();
    let day = journal.days().expect("memory")[0].day;
    let good = find((&journal, &recorded(&journal, 200), &world), day, How::Recorded, 1);
    let good = good.expect("over");
    let mut engine = Engine::new(toys());
    let made: Vec<_> = toy::fold(&journal, &mut engine, journal.head().seq, 1);
    let all: Vec<_> = made.into_iter().map(|m| m.artifact).collect();
    let victim = all.iter().position(|a| a.header.version == 3).expect("a third version");
    // Another content under a hash that fits: only the lineage shows it.
    let forged = Derived::in_memory();
    let mut changed = all.clone();
    changed[victim].header.content = Address([9; 32]);
    forged.put(&changed).expect("in order");
    let refused = find((&journal, &forged, &world), day, How::Recorded, 1);
    let (symbol, family) = (&all[victim].header.symbol, &all[victim].header.family);
    match refused {
        Err(FactsError::Lineage { symbol: s, family: f, version }) => {
            assert_eq!((&s, &f), (symbol, family));
            assert!(version == 3 || version == 4, "{version}");
        }
        other => panic!("{other:?}"),
    }
    // Versions that were never recorded.
    let short = Derived::in_memory();
    short.put(&all[..victim]).expect("in order");
    let refused = find((&journal, &short, &world), day, How::Recorded, 1);
    assert!(matches!(refused, Err(FactsError::Lineage { .. })), "{refused:?}");
    // Folding does not look at the record.
    assert_eq!(find((&journal, &forged, &world), day, How::Folded, 1).expect("over"), good);
}
