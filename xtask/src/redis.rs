//! `cargo xtask redis-faults`: as many faults of real Redis servers as are asked
//! for. The work is done by a test of the product, which CI runs with 200.

use crate::counted::{self, Counted};

/// Runs with `--faults N --seed N [--ledger]`.
///
/// # Errors
/// When an argument is not understood, or anything was seen that must not be.
pub fn run(args: &[String]) -> Result<(), String> {
    let task = Counted {
        what: "Redis fault",
        usage: "redis-faults [--faults N] [--seed N] [--ledger]",
        cargo: &["test", "--locked", "-p", "orrery", "--test", "it"],
        test: "redis::chaos::whatever_fails_no_event_is_without_its_artifact_and_nothing_goes_back",
        count: ("--faults", 1_000, "ORRERY_REDIS_FAULTS"),
        seed: "ORRERY_REDIS_SEED",
        says: "redis faults: ",
    };
    counted::run(&task, args)
}
