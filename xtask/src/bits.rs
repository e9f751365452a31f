//! `cargo xtask bits`: a million flipped bits of a large journal, one at a
//! time. The work is done by a test of the journal, which CI runs with fewer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::{cargo_path, crash};

const TEST: &str = "bits::sampled_bits_of_a_large_journal_are_found_or_harmless";

/// Runs with `--samples N --seed N [--ledger]`.
///
/// # Errors
/// When an argument is not understood, or any flip was not found.
pub fn run(args: &[String]) -> Result<(), String> {
    let (mut samples, mut seed, mut record) = (1_000_000, 1, false);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut number = || {
            let value = rest.next().and_then(|n| n.replace('_', "").parse::<u64>().ok());
            value.ok_or_else(|| format!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--samples" => samples = number()?,
            "--seed" => seed = number()?,
            "--ledger" => record = true,
            _ => return Err("usage: cargo xtask bits [--samples N] [--seed N] [--ledger]".into()),
        }
    }
    let mut child = Command::new(cargo_path())
        .args(["test", "--release", "--locked", "-p", "orrery-journal", "--test", "it", "--"])
        .args(["--exact", TEST, "--nocapture"])
        .env("ORRERY_BITS_SAMPLES", samples.to_string())
        .env("ORRERY_BITS_SEED", seed.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cargo: {e}"))?;
    let mut counts = BTreeMap::new();
    let mut notes = String::new();
    for line in child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()) {
        let line = line.map_err(|e| e.to_string())?;
        eprintln!("{line}");
        if let Some(found) = line.strip_prefix("bits: ") {
            notes = found.to_owned();
            for (name, count) in found.split(' ').filter_map(|word| word.split_once('=')) {
                counts.insert(name.to_owned(), count.parse::<u64>().unwrap_or_default());
            }
        }
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    let count = |name: &str| counts.get(name).copied().ok_or("the test printed no counts");
    let (trials, failures) = (count("trials")?, count("failures")?);
    if record {
        let [trials, failures, seed] = [trials, failures, seed].map(|n| n.to_string());
        let words = ["ledger", "--add", "bit flip", "--trials", &trials, "--failures", &failures];
        crash::run("ledger", words.into_iter().chain(["--seed", &seed, "--notes", &notes]))?;
    }
    if status.success() { Ok(()) } else { Err(format!("bits failed ({status})")) }
}
