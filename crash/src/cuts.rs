//! Power cuts at the level of blocks: the child writes to an ext4 image on a
//! loop device, is stopped, and the image is copied as it is at one moment: that
//! is what a disk holds then. The copy is mounted, which replays the file
//! system's own journal, and the next child goes on from it. So a recovery is
//! cut as often as anything else.

mod image;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use self::image::{Mounted, run_program};
use crate::child::Plan;
use crate::parent::{Child, Outcome, Scratch, Totals, Track};
use crate::random::{Random, mix};

/// Cuts of one image, then a new one.
const CUTS: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Cuts.
    #[arg(long, default_value_t = 200)]
    pub trials: u64,
    /// Chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the images lie; memory by default, as they are a disk themselves.
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// Negative control: acknowledge before the disk has it.
    #[arg(long)]
    pub control: bool,
}

/// Cuts the power again and again.
///
/// # Errors
/// When a child or a program cannot be run; losses are counts, not errors.
pub fn run(options: &Options) -> Result<Outcome> {
    let memory = Path::new("/dev/shm");
    let base = options.base.as_deref().or_else(|| memory.is_dir().then_some(memory));
    let scratch = Scratch::new(base, "cuts")?;
    let base = scratch.path();
    let mut mounted = match Mounted::create(base, 0) {
        Ok(mounted) => mounted,
        Err(e) => return Ok(Outcome::Skipped(format!("{e:#}"))),
    };
    let mut random = Random(mix(options.seed));
    let mut totals = Totals::default();
    let (mut track, mut number, mut image) = (Track::default(), 0, 0);
    let mut plan = plan(&mounted, image, &mut random, options.control);
    while totals.trials < options.trials {
        plan.seed = random.number();
        let mut child = Child::start(&[], "write", &plan)?;
        if random.below(4) > 0 {
            child.listen(Instant::now() + PATIENCE, |l| l.opened.is_some() || l.bad.is_some());
        }
        let after = *random.one_of(&[3, 20, 60, 200]).unwrap_or(&60);
        let until = Instant::now() + random.about(Duration::from_millis(after));
        child.listen(until, |life| life.bad.is_some());
        run_program("sh", &["-c", &format!("kill -STOP {}", child.pid())])?;
        // What it said before it stopped counts; nothing is said afterwards.
        child.listen(Instant::now() + Duration::from_millis(5), |_| false);
        number += 1;
        let copy = mounted.copy(base, number)?;
        let (life, _) = child.kill()?;
        totals.judge(&mut track, &plan, &life);
        totals.trials += 1;
        drop(mounted);
        mounted = Mounted::mount(copy, base.join(format!("{number}")))?;
        plan.dir = mounted.at().join("data");
        if totals.trials.is_multiple_of(CUTS) || totals.trials >= options.trials {
            check(&plan, &mut track, &mut totals)?;
            drop(mounted);
            number += 1;
            image += 1;
            mounted = Mounted::create(base, number)?;
            track = Track::default();
            plan = self::plan(&mounted, image, &mut random, options.control);
        }
    }
    Ok(Outcome::Done(totals))
}

fn plan(mounted: &Mounted, image: u64, random: &mut Random, control: bool) -> Plan {
    let mut plan = Plan::new(&mounted.at().join("data"));
    plan.os = control;
    plan.batch = 1 + random.below(200);
    plan.window = 1 + random.below(8) as usize;
    match image % 4 {
        0 => {}
        1 => plan.memtable = 64 << 10,
        2 => {
            plan.memtable = 8 << 20;
            plan.bulk = true;
        }
        _ => {
            plan.memtable = 256 << 10;
            plan.checkpoints = 3;
        }
    }
    plan
}

/// Judges the last cut of an image.
fn check(plan: &Plan, track: &mut Track, totals: &mut Totals) -> Result<()> {
    let plan = Plan { deep: true, ..plan.clone() };
    let (life, status) = Child::start(&[], "check", &plan)?.finish(Duration::from_secs(120))?;
    totals.judge(track, &plan, &life);
    if life.bad.is_none() && !life.end {
        totals.bad += 1;
        totals.note(format!("{}: {status} {}", plan.dir.display(), life.errors));
    }
    Ok(())
}
