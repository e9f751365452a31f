//! One command that is the whole check: `cargo xtask test`.
//!
//! It installs what the tests need (Debian packages, when it runs as root; it
//! says what to install otherwise), then formats, lints, tests and documents.
//! Nothing here is skipped in silence: a tool that is missing is an error.

// The task runner reads the environment on purpose; no fold lives here.
#![allow(clippy::disallowed_methods)]

mod crash;
mod fuzz;
mod setup;

use std::process::{Command, ExitCode, Stdio};

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let outcome = match task.as_deref() {
        Some("test") => test(),
        Some("setup") => setup::run(),
        Some("crash") => by_hand(std::env::args().skip(2).collect()),
        Some("ledger") => crash::run("totals of the ledger", ["ledger"]),
        Some("fuzz") => fuzz::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        _ => Err("usage: cargo xtask test | setup | crash | ledger | fuzz\n  test   install what is missing, then fmt, clippy, all tests, docs\n  setup  only install what is missing\n  crash  one crash harness: kill, cuts, states, inject (--help says more)\n  ledger make the totals in docs/reliability.md from the ledger\n  fuzz   feed the decoders with noise: [TARGET...] [--seconds N]".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn by_hand(words: Vec<String>) -> Result<(), String> {
    crash::run("crash harness", words.iter().map(String::as_str))
}

fn test() -> Result<(), String> {
    setup::run()?;
    cargo("formatting", &["fmt", "--all", "--check"])?;
    cargo(
        "lints",
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    )?;
    // Without determinism no other seed means anything, so it comes first.
    cargo(
        "determinism of the engine",
        &["test", "--locked", "-p", "orrery-replay", "--test", "it", "determinism"],
    )?;
    cargo(
        "determinism of a day",
        &["test", "--locked", "-p", "orrery", "--test", "it", "determinism"],
    )?;
    // They have just run; once is enough for the longest of all tests.
    let rest = ["--", "--skip", "determinism::determinism_"];
    cargo("tests", &[&["test", "--locked", "--workspace", "--no-fail-fast"][..], &rest].concat())?;
    crash::check()?;
    // Printed, never judged: figures depend on what else the machine does.
    cargo(
        "the journal against this machine",
        &["bench", "--locked", "--quiet", "--bench", "journal", "--", "--self", "--short"],
    )?;
    fuzz::run(&[])?;
    step(
        "documentation",
        Command::new(cargo_path())
            .args(["doc", "--locked", "--workspace", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn cargo_path() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn cargo(what: &str, args: &[&str]) -> Result<(), String> {
    step(what, Command::new(cargo_path()).args(args))
}

fn step(what: &str, command: &mut Command) -> Result<(), String> {
    eprintln!("\n== {what}");
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|e| format!("{what}: cannot start {command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what} failed ({status})")) }
}
