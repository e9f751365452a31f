//! Tests that CI runs at a small size, by hand at any size: `--COUNT N --seed N
//! [--ledger]`. The test prints what it counted as `name=number` words.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::{cargo_path, crash};

/// One of them.
pub struct Counted<'a> {
    /// What the ledger calls a trial.
    pub what: &'a str,
    /// How it is asked for.
    pub usage: &'a str,
    /// Arguments of cargo up to the test's own.
    pub cargo: &'a [&'a str],
    /// Path of the test.
    pub test: &'a str,
    /// The argument that says how many, what it is by default, and the variable
    /// by which the test hears of it.
    pub count: (&'a str, u64, &'a str),
    /// The variable by which the test hears of its seed.
    pub seed: &'a str,
    /// How the line begins on which it prints its counts.
    pub says: &'a str,
}

/// Runs it.
///
/// # Errors
/// When an argument is not understood, or the test failed.
pub fn run(task: &Counted<'_>, args: &[String]) -> Result<(), String> {
    let (mut count, mut seed, mut record) = (task.count.1, 1, false);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut number = || {
            let value = rest.next().and_then(|n| n.replace('_', "").parse::<u64>().ok());
            value.ok_or_else(|| format!("{arg} needs a number"))
        };
        match arg.as_str() {
            name if name == task.count.0 => count = number()?,
            "--seed" => seed = number()?,
            "--ledger" => record = true,
            _ => return Err(format!("usage: cargo xtask {}", task.usage)),
        }
    }
    let mut child = Command::new(cargo_path())
        .args(task.cargo)
        .args(["--", "--exact", task.test, "--nocapture"])
        .env(task.count.2, count.to_string())
        .env(task.seed, seed.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cargo: {e}"))?;
    let mut notes = None;
    for line in child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()) {
        let line = line.map_err(|e| e.to_string())?;
        eprintln!("{line}");
        notes = line.strip_prefix(task.says).map(str::to_owned).or(notes);
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    let notes = notes.ok_or("the test printed no counts")?;
    let counted = |name: &str| {
        let mut words = notes.split(' ').filter_map(|word| word.split_once('='));
        let number = words.find(|word| word.0 == name).and_then(|word| word.1.parse::<u64>().ok());
        number.map(|n| n.to_string()).ok_or_else(|| format!("the test printed no {name}"))
    };
    if record {
        let (trials, failures, seed) = (counted("trials")?, counted("failures")?, seed.to_string());
        let words = ["ledger", "--add", task.what, "--trials", &trials, "--failures", &failures];
        crash::run("ledger", words.into_iter().chain(["--seed", &seed, "--notes", &notes]))?;
    }
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", task.what)) }
}
