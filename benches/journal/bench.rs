//! `cargo bench --bench journal`: see `docs/benchmarks.md`.
#![allow(missing_docs)]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    orrery_bench_journal::run(&args, Path::new(env!("CARGO_TARGET_TMPDIR")))
}
