//! The harness and its child: see the library.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use orrery_crash::child::{self, Plan};
use orrery_crash::parent::Outcome;
use orrery_crash::{cuts, inject, kill, ledger, states};

#[derive(Parser)]
#[command(about = "Crashes the journal in every way we know, and counts")]
struct Arguments {
    /// Add the counts to the ledger of the repository
    #[arg(long, global = true)]
    ledger: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The child: opens, checks, writes on
    #[command(hide = true)]
    Write(Plan),
    /// The child: opens and checks
    #[command(hide = true)]
    Check(Plan),
    /// SIGKILL at random moments and at named places
    Kill(kill::Options),
    /// Power cuts by copies of an ext4 image
    Cuts(cuts::Options),
    /// Crash states rebuilt from recorded system calls
    States(states::Options),
    /// Calls of the system that fail
    Inject(inject::Options),
    /// Makes the totals in docs/reliability.md from the ledger
    Ledger(ledger::Options),
}

fn main() -> ExitCode {
    let Arguments { ledger, what } = Arguments::parse();
    let told = match what {
        What::Write(plan) => return code(child::write(&plan)),
        What::Check(plan) => return code(child::check(&plan)),
        What::Kill(o) => kill::run(&o).map(|found| ("kill -9", o.seed, o.control, found)),
        What::Cuts(o) => {
            cuts::run(&o).map(|found| ("power cut (ext4 image)", o.seed, o.control, found))
        }
        What::States(o) => states::run(&o).map(|found| {
            ("crash state (recorded calls)", o.seed, o.control || o.no_folders, found)
        }),
        What::Inject(o) => inject::run(&o).map(|found| ("failing call", o.seed, o.control, found)),
        What::Ledger(o) => return done(ledger::run(root(), &o).map(|()| true)),
    };
    done(told.and_then(|(what, seed, control, found)| tell(what, seed, control, &found, ledger)))
}

fn code(outcome: Result<(), u8>) -> ExitCode {
    outcome.map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
}

fn done(outcome: Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("orrery-crash: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository; the harness is run from a build in it.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// One line; whether the run ended as it must: a control fails.
fn tell(what: &str, seed: u64, control: bool, outcome: &Outcome, ledger: bool) -> Result<bool> {
    let name = if control { format!("{what} (control, must fail)") } else { what.to_owned() };
    match outcome {
        Outcome::Skipped(why) => {
            println!("{name}: skipped: {why}");
            Ok(true)
        }
        Outcome::Done(totals) => {
            println!("{}", totals.line(&name));
            if !control {
                totals.notes.iter().for_each(|note| println!("  {note}"));
            }
            if ledger {
                ledger::append(root(), what, seed, control, totals)?;
            }
            Ok((totals.failures() > 0) == control)
        }
    }
}
