//! The command line: one file per command; standard output for data, standard
//! error for talk.

mod artifacts;
mod days;
mod demo;
mod epochs;
pub mod exit;
mod import;
mod open;
mod output;
mod redis;
mod replay;
mod serve;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use exit::Exit;

/// Event-sourced stream processor for options-market structure.
///
/// Every chain snapshot and tick is journaled once; epochs, levels and profiles
/// are folds of the journal, so any day replays bit for bit.
#[derive(Debug, Parser)]
#[command(name = "orrery", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Data directory: `journal/` is the truth, `derived/` may be deleted.
    /// Default: orrery-data; the demo takes a folder of its own below it.
    #[arg(long, global = true, env = "ORRERY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Fold threads (one per underlying at most). Changes no byte of the result.
    #[arg(long, global = true, default_value_t = 2, env = "ORRERY_THREADS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Log filter, such as `info` or `orrery=debug`.
    #[arg(long, global = true, default_value = "warn", env = "ORRERY_LOG", value_name = "FILTER")]
    pub log: String,
}

impl Common {
    /// Data directory where none is named.
    const DATA: &str = "orrery-data";

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new(Self::DATA))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Import(import::Import),
    Serve(serve::Serve),
    Replay(replay::Replay),
    Verify(verify::Verify),
    Days(days::Days),
    Epochs(epochs::Epochs),
    Artifacts(artifacts::Artifacts),
    Redis(redis::Redis),
}

/// Runs the command of this process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    // Usage errors leave with 2 from inside of clap.
    let cli = Cli::parse();
    if let Err(why) = crate::telemetry::init_logs(&cli.common.log) {
        eprintln!("error: --log: {why}");
        return Exit::Usage.into();
    }
    let common = cli.common;
    let outcome = match cli.command {
        Command::Demo(command) => demo::run(&common, &command),
        Command::Import(command) => import::run(&common, &command),
        Command::Serve(command) => serve::run(&common, &command),
        Command::Replay(command) => replay::run(&common, &command),
        Command::Verify(command) => verify::run(&common, &command),
        Command::Days(command) => days::run(&common, &command),
        Command::Epochs(command) => epochs::run(&common, &command),
        Command::Artifacts(command) => artifacts::run(&common, &command),
        Command::Redis(command) => redis::run(&common, &command),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&error, common.json);
            Exit::Usage.into()
        }
    }
}
