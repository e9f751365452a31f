//! The binary: reads the command line, runs one command, says how it ended.

use std::process::ExitCode;

fn main() -> ExitCode {
    orrery::cli::run()
}
