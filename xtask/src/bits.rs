//! `cargo xtask bits`: a million flipped bits of a large journal, one at a
//! time. The work is done by a test of the journal, which CI runs with fewer.

use crate::counted::{self, Counted};

/// Runs with `--samples N --seed N [--ledger]`.
///
/// # Errors
/// When an argument is not understood, or any flip was not found.
pub fn run(args: &[String]) -> Result<(), String> {
    let task = Counted {
        what: "bit flip",
        usage: "bits [--samples N] [--seed N] [--ledger]",
        cargo: &["test", "--release", "--locked", "-p", "orrery-journal", "--test", "it"],
        test: "bits::sampled_bits_of_a_large_journal_are_found_or_harmless",
        count: ("--samples", 1_000_000, "ORRERY_BITS_SAMPLES"),
        seed: "ORRERY_BITS_SEED",
        says: "bits: ",
    };
    counted::run(&task, args)
}
