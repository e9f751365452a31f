//! The harnesses of the package orrery-crash, at the size of a check, and by
//! hand at any size: `cargo xtask crash kill --trials 10000 --ledger`.

use std::process::Command;

use crate::{cargo_path, step};

/// Each harness and its control, which must lose something.
const CHECKS: &[(&str, &str)] = &[
    ("300 kills", "kill --trials 300"),
    ("kills, control", "kill --trials 40 --control"),
    ("200 power cuts", "cuts --trials 200"),
    ("power cuts, control", "cuts --trials 16 --control"),
    ("crash states", "states --states 100"),
    ("crash states, control", "states --states 8 --control"),
    ("crash states, folders not kept", "states --states 8 --no-folders"),
    ("each of the first 60 calls fails", "inject --calls 60"),
    ("failing calls, control", "inject --from 20 --calls 32 --control"),
];

/// Runs one harness with these words.
pub fn run<'a>(what: &str, words: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let mut command = Command::new(cargo_path());
    // Only here are the places compiled in where a harness stops the process.
    command.args(["run", "--quiet", "--locked", "--package", "orrery-crash"]);
    command.args(["--features", "failpoints", "--"]).args(words);
    step(what, &mut command)
}

/// All of them at the size of a check.
pub fn check() -> Result<(), String> {
    CHECKS.iter().try_for_each(|(what, words)| run(what, words.split(' ')))
}
