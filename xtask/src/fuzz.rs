//! `cargo xtask fuzz`: builds the fuzz targets with coverage and runs them.
//!
//! No nightly compiler and no further tool: the stable compiler hands the flags
//! on to LLVM, and `libfuzzer-sys` brings the fuzzer, which g++ compiles. What
//! is found lies in `target/fuzz/found/TARGET`, what was reached in
//! `target/fuzz/corpus/TARGET`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use super::{cargo_path, step};

/// Targets, in the order in which they run.
const TARGETS: &[&str] = &["page", "frame", "index", "preflight", "proof", "bundle", "wire"];

/// Have LLVM count which edges are taken and say what comparisons see.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // One unit: the tables of several are not always joined.
    "-Ccodegen-units=1",
];

/// Longest input. A page of a few dozen events and a small bundle fit.
const INPUT_BYTES: u32 = 8192;
/// An input that takes longer is reported like a crash; far more than any
/// needs, because a busy machine may stop for seconds.
const INPUT_SECONDS: u32 = 60;
/// More memory is reported like a crash.
const MEMORY_MB: u32 = 2048;

/// How to use it.
pub const USAGE: &str = "cargo xtask fuzz [TARGET...] [--seconds N]";

/// Runs what the arguments say: targets (all without any) and `--seconds N`
/// for each of them.
///
/// # Errors
/// When a target cannot be built, or found something.
pub fn run(args: &[String]) -> Result<(), String> {
    let (mut seconds, mut targets) = (15u64, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let told = args.next().and_then(|n| n.parse().ok());
            seconds = told.ok_or_else(|| format!("--seconds needs a number; usage: {USAGE}"))?;
        } else if let Some(target) = TARGETS.iter().find(|t| *t == arg) {
            targets.push(*target);
        } else {
            let known = TARGETS.join(", ");
            return Err(format!("no target {arg}; there are {known}; usage: {USAGE}"));
        }
    }
    if targets.is_empty() {
        targets = TARGETS.to_vec();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let built = build(root)?;
    // A fuzzer has one thread, so as many run side by side as there are cores.
    let lanes = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut failed = Vec::new();
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !fuzz(root, &built, target, seconds)? {
                failed.push(*target);
            }
        }
        Ok::<_, String>(failed)
    };
    let ended: Vec<_> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let mut failed = Vec::new();
    for lane in ended {
        failed.extend(lane.map_err(|_| "a lane of fuzzing panicked".to_owned())??);
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("found something: {}; see target/fuzz/found", failed.join(", ")))
}

/// Compiles all targets, so that [`run`] need not.
pub fn prepare() -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    build(root).is_ok()
}

/// Builds all targets; the folder with them.
fn build(root: &Path) -> Result<PathBuf, String> {
    // With a target triple the flags do not reach build scripts, which have no
    // fuzzer to count for.
    let triple = host()?;
    let target = root.join("target/fuzz");
    let mut command = Command::new(cargo_path());
    command
        .args(["build", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", &triple])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(root)
        .env("RUSTFLAGS", FLAGS.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    step("fuzz targets", &mut command)?;
    Ok(target.join(triple).join("debug"))
}

fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc).arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say its host".to_owned())
}

/// Runs one target; whether it found nothing. Says what it did in one line.
fn fuzz(root: &Path, built: &Path, target: &str, seconds: u64) -> Result<bool, String> {
    let folder = |kind: &str| -> Result<PathBuf, String> {
        let folder = root.join("target/fuzz").join(kind).join(target);
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(folder)
    };
    let (corpus, found) = (folder("corpus")?, folder("found")?);
    eprintln!("\n== fuzzing {target} for {seconds} s");
    let began = Instant::now();
    let out = Command::new(built.join(target))
        .arg(&corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg("-print_final_stats=1")
        .env("ORRERY_FUZZ_SEEDS", &corpus)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{target}: cannot start: {e}"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    let stat = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse::<u64>().ok()
    };
    let Some(runs) = stat("stat::number_of_executed_units:") else {
        eprintln!("{text}");
        return Err(format!("{target}: the fuzzer did not say what it did ({})", out.status));
    };
    let peak = stat("stat::peak_rss_mb:").unwrap_or_default();
    let covered = text.lines().rev().find_map(|line| line.split("cov: ").nth(1)?.split(' ').next());
    eprintln!(
        "{target}: {runs} executions in {:.0} s, {} edges reached, {peak} MB at most",
        began.elapsed().as_secs_f64(),
        covered.unwrap_or("no")
    );
    if covered.is_none() {
        return Err(format!("{target}: no coverage; the fuzzer was blind"));
    }
    if !out.status.success() {
        eprintln!("{text}");
    }
    Ok(out.status.success())
}
