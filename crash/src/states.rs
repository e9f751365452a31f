//! Crash states rebuilt from the system calls of a real run.
//!
//! A child is recorded by strace, through a creation and two more runs. The
//! calls are played to a model of a disk; at moments all along, what a power cut may leave is built
//! as files, under three models of content and two of names, and a child opens
//! each. The model knows nothing of the journal.

pub mod disk;
pub mod trace;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::disk::{Disk, Model, Names};
use self::trace::{Reader, Step};
use crate::child::Plan;
use crate::parent::{Child, Outcome, Scratch, Totals, Track};
use crate::random::{Random, mix};

const PATIENCE: Duration = Duration::from_secs(60);
/// Facts of each of the recorded runs; the second one seals a day's page.
const RUNS: [u64; 3] = [900, 6_300, 6_900];

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// States for each of the six pairs of models.
    #[arg(long, default_value_t = 100)]
    pub states: usize,
    /// Chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Children at the same time.
    #[arg(long, default_value_t = 2)]
    pub lanes: usize,
    /// Where to build; memory by default.
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// Negative control: a child that does not sync.
    #[arg(long)]
    pub control: bool,
    /// Negative control: a disk that keeps no folder (strict POSIX only).
    #[arg(long)]
    pub no_folders: bool,
}

const CALLS: &str = "trace=openat,open,creat,mkdir,mkdirat,write,pwrite64,pwritev,writev,lseek,\
                     ftruncate,fallocate,copy_file_range,sendfile,fsync,fdatasync,rename,renameat,\
                     renameat2,link,linkat,unlink,unlinkat,rmdir,close,dup,dup2,dup3,fcntl";

/// Records, rebuilds, opens.
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
    let memory = Path::new("/dev/shm");
    let base = options.base.as_deref().or_else(|| memory.is_dir().then_some(memory));
    let scratch = Scratch::new(base, "states")?;
    let steps = record(scratch.path(), options)?;
    let mut totals = Totals::default();
    for names in [Names::Ext4, Names::Posix] {
        if options.no_folders && names == Names::Ext4 {
            continue;
        }
        for model in [Model::Synced, Model::Prefix, Model::Zeros] {
            let mut found = Totals::default();
            play(scratch.path(), &steps, names, model, options, &mut found)?;
            *found.places.entry(format!("{names:?} {model:?}")).or_default() += found.trials;
            totals.add(found);
        }
    }
    Ok(Outcome::Done(totals))
}

/// The steps of all runs.
fn record(base: &Path, options: &Options) -> Result<Vec<Step>> {
    let mut plan = Plan::new(&base.join("data"));
    plan.os = options.control;
    plan.memtable = 128 << 10;
    plan.batch = 40;
    plan.window = 3;
    std::fs::create_dir_all(&plan.dir)?;
    let (mut reader, mut steps) = (Reader::default(), Vec::new());
    for (number, until) in RUNS.iter().enumerate() {
        let log = base.join(format!("{number}.trace"));
        let path = log.display().to_string();
        let strace = ["strace", "-f", "-xx", "-s", "100000000", "-qq", "-e", CALLS, "-o", &path];
        let strace: Vec<_> = strace.iter().map(Into::into).collect();
        plan.until = *until;
        plan.seed = mix(options.seed.wrapping_add(number as u64));
        let (life, status) = Child::start(&strace, "write", &plan)?.finish(PATIENCE)?;
        ensure!(life.end, "the run to record ended early: {status} {life:?}");
        let text = std::fs::read_to_string(&log).context("reading the trace")?;
        steps.extend(reader.read(&text)?);
        std::fs::remove_file(&log)?;
    }
    let last = steps.iter().rev().find_map(|step| match step {
        Step::Acknowledged(facts) => Some(*facts),
        _ => None,
    });
    ensure!(last == RUNS.last().copied(), "acknowledgements are missing in the trace: {last:?}");
    Ok(steps)
}

/// Builds and opens states all along one play.
fn play(
    base: &Path,
    steps: &[Step],
    names: Names,
    model: Model,
    options: &Options,
    totals: &mut Totals,
) -> Result<()> {
    let mut random = Random(mix(options.seed ^ (names as u64) << 8 ^ model as u64));
    let root = base.join("data");
    let mut count = Disk::new(&root, names, options.no_folders);
    let changes = steps.iter().filter(|step| count.take(step)).count();
    let mut disk = Disk::new(&root, names, options.no_folders);
    // Evenly, but not always at the same kind of call.
    let every = (changes / options.states.max(1)).max(1) as u64;
    let (mut next, mut acknowledged, mut number) = (random.below(every), 0, 0);
    let mut running: Vec<(Child, Plan, Track)> = Vec::new();
    for step in steps {
        if let Step::Acknowledged(facts) = step {
            acknowledged = *facts;
        }
        if !disk.take(step) {
            continue;
        }
        if next > 0 {
            next -= 1;
            continue;
        }
        next = every / 2 + random.below(every);
        let dir = base.join(format!("state-{number}"));
        number += 1;
        std::fs::create_dir_all(&dir)?;
        disk.build(&dir, model, &mut random)?;
        let plan = Plan::new(&dir);
        let at_most = RUNS.iter().copied().max().unwrap_or_default();
        let track = Track { promised: acknowledged, at_most };
        running.push((Child::start(&[], "check", &plan)?, plan, track));
        if running.len() >= options.lanes.max(1) {
            let first = running.remove(0);
            judge(first, totals)?;
        }
    }
    running.into_iter().try_for_each(|one| judge(one, totals))
}

fn judge((child, plan, track): (Child, Plan, Track), totals: &mut Totals) -> Result<()> {
    let (life, status) = child.finish(PATIENCE)?;
    let mut after = track;
    totals.trials += 1;
    // Every state was promised its own facts, so they add up.
    totals.acknowledged += track.promised;
    totals.judge(&mut after, &plan, &life);
    if !life.end && life.bad.is_none() {
        totals.bad += 1;
        totals.note(format!("{}: {status} {life:?}", plan.dir.display()));
    }
    std::fs::remove_dir_all(&plan.dir)?;
    Ok(())
}
