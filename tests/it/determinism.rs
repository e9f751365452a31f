//! The same events give the same bytes: other processes, other seeds, other
//! threads, other batches. Runs before all other tests, because without it no
//! other seed means anything.

use crate::support::Orrery;

/// One line per artifact and per page of a simulated session.
fn trace(seed: &str, threads: &str, batch: &str) -> Vec<String> {
    let orrery = Orrery::new();
    orrery
        .run(&[
            "demo",
            "--exit",
            "--seed",
            seed,
            "--minutes",
            "3",
            "--threads",
            threads,
            "--batch",
            batch,
        ])
        .expect(0);
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    let mut lines = Vec::new();
    for day in days.as_array().expect("a list") {
        for page in day["pages"].as_array().expect("pages") {
            lines.push(format!("page {page}"));
        }
        let name = day["day"].as_str().expect("a date");
        let replay = orrery.run(&["replay", name, "--threads", threads, "--trace"]).expect(0);
        lines.extend(
            replay.stdout.lines().filter(|l| l.starts_with("artifact ")).map(str::to_owned),
        );
    }
    assert!(lines.len() > 100, "a session makes artifacts: {} lines", lines.len());
    lines
}

fn assert_same(one: &[String], other: &[String], what: &str) {
    for (n, (a, b)) in one.iter().zip(other).enumerate() {
        assert_eq!(a, b, "{what}: first difference in line {}", n + 1);
    }
    assert_eq!(one.len(), other.len(), "{what}: one trace is longer");
}

#[test]
fn determinism_two_processes_threads_and_batches() {
    let reference = trace("1", "1", "4096");
    assert_same(&reference, &trace("1", "1", "4096"), "the same again");
    assert_same(&reference, &trace("1", "4", "173"), "four threads, small batches");
    // Another seed is another market: if that were equal too, the trace would
    // not look at the events at all.
    let other = trace("20260316", "2", "4096");
    assert_ne!(reference, other);
    assert_same(&other, &trace("20260316", "1", "977"), "another seed, other threads and batches");
}
