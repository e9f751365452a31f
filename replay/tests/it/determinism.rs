//! The same events give the same bytes: in two processes, live and replayed,
//! on any number of threads, in any batching, from any checkpoint.

use std::path::Path;
use std::process::Command;

use orrery_journal::units::Seq;
use orrery_replay::compare::TraceLine;
use orrery_replay::engine::Engine;
use proptest::prelude::*;

use crate::toy::{self, Rebatched, assert_same};

/// Seed, facts per append, events per stretch, threads.
type Run = (u64, usize, usize, usize);

fn run((seed, batch, stretch, threads): Run) -> Vec<String> {
    let journal = toy::journal(&toy::facts(seed, 3_000, 2), batch);
    toy::trace(&Rebatched::new(&journal, stretch), threads)
}

/// Writes the trace that another process asks for with an argument
/// `trace=SEED,BATCH,STRETCH,THREADS=FILE`, which the test runner takes for one
/// more filter. Without one it checks that a trace says something at all.
#[test]
fn trace_for_another_process() {
    let asked = std::env::args().find_map(|a| a.strip_prefix("trace=").map(str::to_owned));
    let Some((numbers, file)) = asked.as_deref().and_then(|a| a.split_once('=')) else {
        let lines = run((0, 10, 100, 1));
        assert!(lines.len() > 500, "a trace of {} lines proves little", lines.len());
        return;
    };
    let numbers: Vec<u64> = numbers.split(',').map(|n| n.parse().expect("a number")).collect();
    let [seed, batch, stretch, threads] = numbers[..] else { panic!("four numbers") };
    let lines = run((seed, batch as usize, stretch as usize, threads as usize));
    std::fs::write(file, lines.join("\n")).expect("the folder exists");
}

fn in_another_process(run: Run, file: &Path) -> Vec<String> {
    let (seed, batch, stretch, threads) = run;
    let asked = format!("trace={seed},{batch},{stretch},{threads}={}", file.display());
    let output = Command::new(std::env::current_exe().expect("this test runs"))
        .args(["determinism::trace_for_another_process", "--exact", &asked])
        .output()
        .expect("this test can be started again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(file).expect("the other process wrote it");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn two_processes_agree_line_by_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in [1, 2] {
        let left = in_another_process((seed, 1, 4_096, 1), &folder.path().join("left"));
        let right = in_another_process((seed, 97, 33, 3), &folder.path().join("right"));
        assert!(left.len() > 500, "a trace of {} lines proves little", left.len());
        assert_same(&left, &right, &format!("seed {seed}"));
    }
}

/// The comparison itself must be able to fail.
#[test]
#[should_panic(expected = "differs")]
fn canary_another_seed_gives_another_trace() {
    assert_same(&run((1, 10, 100, 1)), &run((2, 10, 100, 1)), "canary");
}

/// Event by event, as a live engine takes them.
fn live(journal: &orrery_journal::Journal) -> Vec<String> {
    let mut engine = Engine::new(toy::toys());
    let mut made = Vec::new();
    for event in toy::events(journal) {
        let blob = Engine::blob_needed(&event.event).map(|a| journal.blob(a).expect("kept"));
        engine.apply(&event, blob.as_deref(), &mut made).expect("in order");
    }
    let mut lines: Vec<String> = made.iter().map(|m| TraceLine::of(m).to_string()).collect();
    lines.push(format!("state {}", orrery_journal::units::Address::of(&engine.save())));
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn live_and_replay_threads_and_batchings_agree(
        seed in any::<u64>(), count in 1usize..600, batches in (1usize..50, 1usize..50),
        stretch in 1usize..200,
    ) {
        let facts = toy::facts(seed, count, 2);
        let (one, two) = (toy::journal(&facts, batches.0), toy::journal(&facts, batches.1));
        let expected = live(&one);
        assert_same(&expected, &live(&two), "another journal batching");
        for threads in [1, 2, 4] {
            assert_same(&expected, &toy::trace(&one, threads), "replay");
            assert_same(&expected, &toy::trace(&Rebatched::new(&two, stretch), threads), "stretches");
        }
    }

    #[test]
    fn a_checkpoint_anywhere_cannot_be_seen(
        seed in any::<u64>(), count in 1usize..400, cut in any::<u64>(), threads in (1usize..4, 1usize..4),
        stretch in 1usize..200,
    ) {
        let journal = toy::journal(&toy::facts(seed, count, 2), 20);
        let mut whole = Engine::new(toy::toys());
        let expected = toy::fold(&journal, &mut whole, Seq::MAX, 1);
        let cut = Seq(cut % (journal.head().seq.0 + 1));
        let mut first = Engine::new(toy::toys());
        let stretches = Rebatched::new(&journal, stretch);
        let mut made = toy::fold(&stretches, &mut first, cut, threads.0);
        prop_assert_eq!(first.position().seq, cut);
        let saved = first.save();
        let mut second = Engine::restore(toy::toys(), &saved).expect("own bytes");
        prop_assert_eq!(second.position(), first.position());
        prop_assert!(second.save() == saved, "a restored engine saves the same bytes");
        made.extend(toy::fold(&stretches, &mut second, Seq::MAX, threads.1));
        prop_assert_eq!(made, expected);
        prop_assert!(second.save() == whole.save());
    }
}
