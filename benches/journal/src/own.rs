//! The journal against this machine's own limits: ratios that hold anywhere, so
//! that a continuous run can print them. Nothing here fails on a figure.

use std::path::Path;
use std::time::Instant;

use crate::compare::{Plan, delays, latency_pair};
use crate::fold::Fold;
use crate::measure::{Goal, Row, heading, machine};
use crate::workload::ticks;
use crate::{ours, segment};

/// Runs the pairs in turn and prints them.
pub fn own(plan: &Plan, tmp: &Path) {
    let ticks = ticks(plan.ticks);
    let millions = ticks.len() as f64 / 1e6;
    let (mut replays, mut appends) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let dir = tempfile::tempdir_in(tmp).unwrap();
        let run = ours::run(dir.path(), &ticks);
        let start = Instant::now();
        let mut fold = Fold::default();
        ticks.iter().for_each(|t| fold.tick(t));
        let folded = millions / start.elapsed().as_secs_f64();
        assert_eq!(run.digest, Some(fold.digest()), "the replay folds to another state");
        let start = Instant::now();
        segment::pack_all(&ticks, |page| {
            std::hint::black_box(page);
        });
        let packed = millions / start.elapsed().as_secs_f64();
        replays.push((run.replay.unwrap_or_default() / 1e6, folded));
        appends.push((run.append.unwrap_or_default() / 1e6, packed));
    }
    let latencies: Vec<_> = (0..plan.rounds).map(|_| latency_pair(plan, tmp)).collect();
    println!(
        "the journal against this machine: {} ticks, {} interleaved pairs; M ticks/s, \
         median [min..max]\n{}\n\n{}",
        plan.ticks,
        plan.rounds,
        machine(),
        heading()
    );
    let row = |name: &str, pairs, goal, note: &str| {
        println!("{}", Row { name: name.into(), pairs, goal, note: note.into() });
    };
    let note = "read, check, decode, fold";
    row("replay : the fold from memory", replays, Goal::AtLeast(0.35), note);
    let note = "encoding, packing and hashing on one thread";
    row("durable append : encode and hash in memory", appends, Goal::None, note);
    delays(&latencies);
}
