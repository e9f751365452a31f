//! One command that is the whole check: `cargo xtask test`.
//!
//! It installs what the tests need (Debian packages, when it runs as root; it
//! says what to install otherwise), then formats, lints, tests and documents.
//! Nothing here is skipped in silence: a tool that is missing is an error.

// The task runner reads the environment on purpose; no fold lives here.
#![allow(clippy::disallowed_methods)]

mod bits;
mod counted;
mod crash;
mod fuzz;
mod redis;
mod same;
mod schema;
mod setup;

use std::process::{Command, ExitCode, Stdio};

const USAGE: &str =
    "usage: cargo xtask test | setup | same | schema | crash | bits | redis-faults | ledger | fuzz
  test   install what is missing, then fmt, clippy, all tests, docs
  setup  only install what is missing
  schema lint the protos and hold them against the last release; --write: docs/api.md
  same   what the folds compute in debug and in release, compared
  crash  one crash harness: kill, cuts, states, inject (--help says more)
  ledger make the totals in docs/reliability.md from the ledger
  bits   flip bits of a large journal: [--samples N] [--seed N] [--ledger]
  redis-faults  fail real Redis servers under load: [--faults N] [--seed N] [--ledger]
  fuzz   feed the decoders with noise: [TARGET...] [--seconds N]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = args.split_first().map_or((None, &[][..]), |(t, rest)| (Some(t), rest));
    let outcome = match task.map(String::as_str) {
        Some("test") => test(),
        Some("setup") => setup::run(),
        Some("same") => same::run(),
        Some("schema") => schema::run(rest),
        Some("crash") => by_hand(rest.to_vec()),
        Some("ledger") => crash::run("totals of the ledger", ["ledger"]),
        Some("fuzz") => fuzz::run(rest),
        Some("bits") => bits::run(rest),
        Some("redis-faults") => redis::run(rest),
        _ => Err(USAGE.to_owned()),
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
    setup::packages()?;
    cargo("formatting", &["fmt", "--all", "--check"])?;
    // The environments of Python and Node wait for the network, lints for the processor.
    let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    std::thread::scope(|scope| {
        let environments = scope.spawn(setup::environments);
        let linted = cargo("lints", &lints);
        let installed = environments.join();
        linted.and(installed.unwrap_or_else(|_| Err("the set-up panicked".to_owned())))
    })?;
    schema::check()?;
    step(
        "documentation",
        Command::new(cargo_path())
            .args(["doc", "--locked", "--workspace", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    // Without determinism no other seed means anything, so it comes first.
    cargo(
        "determinism of the engine",
        &["test", "--locked", "-p", "orrery-replay", "--test", "it", "determinism"],
    )?;
    // The product folds whole days here: optimised a little, what it costs to
    // compile comes back several times over.
    let optimised = "profile.dev.package.orrery.opt-level=1";
    // Half of them wait for a server or a disk at any moment.
    let threads = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    step(
        "tests",
        Command::new(cargo_path())
            .args(["test", "--config", optimised, "--locked", "--workspace", "--no-fail-fast"])
            .env("RUST_TEST_THREADS", threads.to_string()),
    )?;
    same::run()?;
    // The crashes wait for disks: meanwhile the last two steps are compiled.
    // What goes wrong there is told by the steps themselves.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bench = ["bench", "--locked", "--quiet", "--bench", "journal", "--no-run"];
            let bench = Command::new(cargo_path()).args(bench).stderr(Stdio::null()).status();
            bench.is_ok_and(|status| status.success()) && fuzz::prepare()
        });
        crash::check()
    })?;
    // Printed, never judged: figures depend on what else the machine does.
    cargo(
        "the journal against this machine",
        &["bench", "--locked", "--quiet", "--bench", "journal", "--", "--self", "--short"],
    )?;
    fuzz::run(&[])
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
