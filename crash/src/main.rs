//! The harness and its child: see the library.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use orrery_crash::child::{self, Plan};
use orrery_crash::parent::Outcome;
use orrery_crash::{cuts, inject, kill};

#[derive(Parser)]
#[command(about = "Crashes the journal in every way we know, and counts")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The child: opens, checks, writes on
    Write(Plan),
    /// The child: opens and checks
    Check(Plan),
    /// SIGKILL at random moments and at named places
    Kill(kill::Options),
    /// Power cuts by copies of an ext4 image
    Cuts(cuts::Options),
    /// Calls of the system that fail
    Inject(inject::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Write(plan) => return code(child::write(&plan)),
        What::Check(plan) => return code(child::check(&plan)),
        What::Kill(options) => kill::run(&options).map(|o| tell("kill", &o)),
        What::Cuts(options) => cuts::run(&options).map(|o| tell("cuts", &o)),
        What::Inject(options) => inject::run(&options).map(|o| tell("inject", &o)),
    };
    match outcome {
        Ok(code) => code,
        Err(e) => {
            eprintln!("orrery-crash: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn code(outcome: Result<(), u8>) -> ExitCode {
    outcome.map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
}

fn tell(what: &str, outcome: &Outcome) -> ExitCode {
    let totals = match outcome {
        Outcome::Done(totals) => totals,
        Outcome::Skipped(why) => {
            println!("{what}: skipped: {why}");
            return ExitCode::SUCCESS;
        }
    };
    println!("{}", totals.line(what));
    println!("{:?}", totals.places);
    totals.notes.iter().for_each(|note| println!("  {note}"));
    if totals.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
