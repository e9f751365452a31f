//! The command line: one file per command; standard output for data, standard
//! error for talk.

mod annotate;
mod artifacts;
mod backup;
mod calendar;
mod compact;
mod days;
mod demo;
mod diff;
mod doctor;
mod door;
mod epochs;
pub mod exit;
mod explain;
mod export;
mod gravity;
mod heatmap;
mod import;
mod journal;
mod key;
mod levels;
mod look;
mod open;
mod output;
mod parameters;
mod play;
mod profiles;
mod prove;
mod redis;
mod repair;
mod replay;
mod restore;
mod seal;
mod selector;
mod serve;
mod server;
mod session;
mod show;
mod sync;
mod verify;
mod watch;
mod what_if;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::telemetry::LogFormat;
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
    /// Stop taking input when less than this is free on the disk, such as 2GiB
    /// or 0. Default: 512 MiB, or a tenth of a small disk.
    #[arg(long, global = true, env = "ORRERY_DISK_RESERVE", value_name = "SIZE",
          value_parser = size)]
    pub disk_reserve: Option<u64>,
    /// Definitions and parameters of the models, a JSON file with those that
    /// differ from the defaults; `orrery parameters` prints all of them.
    #[arg(long, global = true, env = "ORRERY_PARAMETERS", value_name = "FILE")]
    pub parameters: Option<PathBuf>,
    /// Log filter, such as `info` or `orrery=debug`.
    #[arg(long, global = true, default_value = "warn", env = "ORRERY_LOG", value_name = "FILTER")]
    pub log: String,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogLines::Text,
          env = "ORRERY_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: LogLines,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogLines {
    /// For people.
    Text,
    /// One JSON object in each line.
    Json,
}

/// Bytes, KiB, MiB, GiB or TiB.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().trim_end_matches("ib") {
        "" | "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err("write a number of bytes, or one with KiB, MiB, GiB or TiB".into()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    bytes.ok_or_else(|| "no size".into())
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
    Export(export::Export),
    Serve(serve::Serve),
    Server(server::ServerCommand),
    Replay(replay::Replay),
    Play(play::Play),
    Session(session::SessionCommand),
    Verify(verify::Verify),
    Prove(prove::Prove),
    Seal(seal::Seal),
    Certificate(seal::Certificate),
    Key(key::Key),
    Doctor(doctor::Doctor),
    Repair(repair::Repair),
    Days(days::Days),
    Epochs(epochs::Epochs),
    Artifacts(artifacts::Artifacts),
    Diff(diff::Diff),
    Levels(levels::Levels),
    Gravity(gravity::Gravity),
    Annotate(annotate::Annotate),
    Correct(annotate::Correct),
    Heatmap(heatmap::Heatmap),
    Parameters(parameters::Parameters),
    Calendar(calendar::Calendar),
    Explain(explain::Explain),
    Profiles(profiles::ProfilesCommand),
    Selector(selector::Selector),
    Redis(redis::Redis),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Compact(compact::Compact),
    Journal(journal::JournalCommand),
}

/// Runs the command of this process's arguments.
#[must_use]
pub fn run() -> ExitCode {
    // Usage errors leave with 2 from inside of clap.
    let cli = Cli::parse();
    let format = match cli.common.log_format {
        LogLines::Text => LogFormat::Text,
        LogLines::Json => LogFormat::Json,
    };
    if let Err(why) = crate::telemetry::init_logs(&cli.common.log, format) {
        eprintln!("error: --log: {why}");
        return Exit::Usage.into();
    }
    let common = cli.common;
    let outcome = match cli.command {
        Command::Demo(command) => demo::run(&common, &command),
        Command::Import(command) => import::run(&common, &command),
        Command::Export(command) => export::run(&common, &command),
        Command::Serve(command) => serve::run(&common, &command),
        Command::Server(command) => server::run(&common, &command),
        Command::Replay(command) => replay::run(&common, &command),
        Command::Play(command) => play::run(&common, &command),
        Command::Session(command) => session::run(&common, &command),
        Command::Verify(command) => verify::run(&common, &command),
        Command::Prove(command) => prove::run(&common, &command),
        Command::Seal(command) => seal::seal(&common, &command),
        Command::Certificate(command) => seal::certificate(&common, &command),
        Command::Key(command) => key::run(&common, &command),
        Command::Doctor(command) => doctor::run(&common, &command),
        Command::Repair(command) => repair::run(&common, &command),
        Command::Days(command) => days::run(&common, &command),
        Command::Epochs(command) => epochs::run(&common, &command),
        Command::Artifacts(command) => artifacts::run(&common, &command),
        Command::Diff(command) => diff::run(&common, &command),
        Command::Levels(command) => levels::run(&common, &command),
        Command::Gravity(command) => gravity::run(&common, &command),
        Command::Annotate(command) => annotate::annotate(&common, &command),
        Command::Correct(command) => annotate::correct(&common, &command),
        Command::Heatmap(command) => heatmap::run(&common, &command),
        Command::Parameters(command) => parameters::run(&common, &command),
        Command::Calendar(command) => calendar::run(&common, &command),
        Command::Explain(command) => explain::run(&common, &command),
        Command::Profiles(command) => profiles::run(&common, &command),
        Command::Selector(command) => selector::run(&common, &command),
        Command::Redis(command) => redis::run(&common, &command),
        Command::Backup(command) => backup::run(&common, &command),
        Command::Restore(command) => restore::run(&common, &command),
        Command::Compact(command) => compact::run(&common, &command),
        Command::Journal(command) => journal::run(&common, &command),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&error, common.json);
            Exit::of(&error).into()
        }
    }
}
