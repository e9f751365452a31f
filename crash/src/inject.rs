//! Calls of the system that fail: the k-th `fsync`/`fdatasync` or `write` of
//! each thread, by way of strace, nothing in the child being changed.
//!
//! Whatever the child acknowledged before must be there when it starts again;
//! it then goes on from what it finds and comes to the same end as without a
//! fault: every fact once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::child::Plan;
use crate::parent::{Child, Outcome, Scratch, Totals, Track};
use crate::random::mix;

/// Long: a start on a machine with far more to do than it can takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// First call that fails.
    #[arg(long, default_value_t = 1)]
    pub from: u64,
    /// Last call that fails.
    #[arg(long, default_value_t = 60)]
    pub calls: u64,
    /// Chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Trials at the same time.
    #[arg(long, default_value_t = 2)]
    pub lanes: u64,
    /// Where to put the data directories.
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// Negative control: acknowledge before the journal does.
    #[arg(long)]
    pub control: bool,
}

/// Calls and the error they come back with.
const FAULTS: [(&str, &str); 3] =
    [("fsync,fdatasync", "EIO"), ("write,pwrite64", "ENOSPC"), ("write,pwrite64", "EIO")];

/// Fails each call in its turn.
///
/// # Errors
/// When a child cannot be run; losses are counts, not errors.
pub fn run(options: &Options) -> Result<Outcome> {
    let probe = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Ok(Outcome::Skipped(format!("strace may not trace: {why}")));
        }
        Err(e) => return Ok(Outcome::Skipped(format!("strace: {e}"))),
    }
    let scratch = Scratch::new(options.base.as_deref(), "inject")?;
    let lanes = options.lanes.max(1);
    let mut totals = Totals::default();
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..lanes)
            .map(|lane| {
                let path = scratch.path();
                scope.spawn(move || {
                    let mut totals = Totals::default();
                    for call in (options.from..=options.calls).filter(|k| k % lanes == lane) {
                        // Both errors of a write in turn; every sync.
                        let write = 1 + (call % 2) as usize;
                        for (calls, error) in [FAULTS[0], FAULTS[write]] {
                            let dir = path.join(format!("{call}-{error}-{}", calls.len()));
                            trial(options, &dir, call, calls, error, &mut totals)?;
                        }
                    }
                    anyhow::Ok(totals)
                })
            })
            .collect();
        for lane in started {
            totals.add(lane.join().map_err(|_| anyhow::anyhow!("a lane panicked"))??);
        }
        anyhow::Ok(())
    })?;
    Ok(Outcome::Done(totals))
}

fn trial(
    options: &Options,
    dir: &Path,
    call: u64,
    calls: &str,
    error: &str,
    totals: &mut Totals,
) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let log = dir.join("trace");
    let mut plan = Plan::new(&dir.join("data"));
    plan.early = options.control;
    plan.seed = mix(options.seed ^ call);
    plan.window = if options.control { 12 } else { 1 + (call % 3) as usize };
    plan.batch = 24;
    // So much that every thread comes to the call.
    plan.until = 200 + call * plan.batch * plan.window as u64;
    plan.memtable = if call.is_multiple_of(2) { 64 << 10 } else { 0 };
    let strace: Vec<OsString> = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={calls}:error={error}:when={call}"),
        "-o",
    ]
    .iter()
    .map(OsString::from)
    .chain([log.clone().into_os_string()])
    .collect();
    let mut track = Track::default();
    let (mut life, status) = Child::start(&strace, "write", &plan)?.finish(PATIENCE)?;
    let injected = std::fs::read_to_string(&log).context("reading the trace")?;
    let injected = injected.matches("(INJECTED)").count();
    // That it does not start is right when a call failed on the way; that it
    // finds something else than was written never is.
    if injected > 0 && life.bad.as_ref().is_some_and(|why| why.starts_with("REFUSED")) {
        life.bad = None;
    } else if injected == 0 && !life.end {
        totals.bad += 1;
        totals.note(format!("call {call} of {calls}: nothing failed, yet {status}: {life:?}"));
    }
    totals.judge(&mut track, &plan, &life);
    if injected > 0 {
        totals.trials += 1;
        *totals.places.entry(format!("{calls}={error}")).or_default() += injected as u64;
    }
    // Again without a fault, to the end; then all of it once more.
    for what in ["write", "check"] {
        let again = Plan { deep: true, early: false, ..plan.clone() };
        let (life, status) = Child::start(&[], what, &again)?.finish(PATIENCE)?;
        totals.judge(&mut track, &again, &life);
        if !life.end && life.bad.is_none() {
            totals.bad += 1;
            totals.note(format!("call {call} of {calls}, {what}: {status}: {life:?}"));
        }
    }
    if track.promised != plan.until && !options.control {
        totals.bad += 1;
        totals.note(format!("call {call} of {calls}: {track:?} of {}", plan.until));
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
