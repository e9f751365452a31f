//! SIGKILL at random moments and at named places.
//!
//! Each trial is one life of the child: it opens what the one before left,
//! checks all of it, writes on and is killed. So every kill is judged by the
//! next life, and the last one of a directory by `check`.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use orrery_journal::failpoint::PLACES;

use crate::child::Plan;
use crate::parent::{Child, Outcome, Scratch, Totals, Track};
use crate::random::{Random, mix};

/// Lives in one directory, and facts, at most.
const LIVES: u64 = 40;
const FACTS: u64 = 25_000;
/// Longest wait for a named place; not every life comes by every place.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Kills.
    #[arg(long, default_value_t = 300)]
    pub trials: u64,
    /// Chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Children at the same time.
    #[arg(long, default_value_t = 2)]
    pub lanes: u64,
    /// Where to put the data directories (a real disk).
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// Negative control: acknowledge before the journal does.
    #[arg(long)]
    pub control: bool,
}

/// Runs all lanes.
///
/// # Errors
/// When a child cannot be run; losses are counts, not errors.
pub fn run(options: &Options) -> Result<Outcome> {
    let scratch = Scratch::new(options.base.as_deref(), "kill")?;
    let lanes = options.lanes.max(1);
    let mut totals = Totals::default();
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..lanes)
            .map(|lane| {
                let trials = options.trials / lanes + u64::from(lane < options.trials % lanes);
                let path = scratch.path();
                scope.spawn(move || lane_of(options, path, lane, trials))
            })
            .collect();
        for lane in started {
            totals.add(lane.join().map_err(|_| anyhow::anyhow!("a lane panicked"))??);
        }
        anyhow::Ok(())
    })?;
    Ok(Outcome::Done(totals))
}

/// A directory and how its lives behave.
struct Place {
    plan: Plan,
    track: Track,
    lives: u64,
    number: u64,
}

impl Place {
    fn new(base: &Path, lane: u64, number: u64, random: &mut Random, control: bool) -> Place {
        let mut plan = Plan::new(&base.join(format!("{lane}-{number}")));
        plan.early = control;
        match number % 4 {
            // As the product.
            0 => {}
            // Flushes and compactions all the time, checkpoints beside.
            1 => {
                plan.memtable = 64 << 10;
                plan.checkpoints = 3;
            }
            // Large blobs: the engine's log fills and another begins.
            2 => {
                plan.memtable = 8 << 20;
                plan.bulk = true;
                plan.batch = 200;
            }
            // Many small commits.
            _ => {
                plan.memtable = 512 << 10;
                plan.checkpoints = 7;
                plan.batch = 1 + random.below(400);
                plan.window = 1 + random.below(16) as usize;
            }
        }
        if control {
            // So much under way that a kill must hit some of it.
            (plan.batch, plan.window) = (200, 64);
        }
        Place { plan, track: Track::default(), lives: 0, number }
    }

    fn is_over(&self) -> bool {
        let (lives, facts) = if self.plan.bulk { (2 * LIVES, FACTS / 2) } else { (LIVES, FACTS) };
        self.lives >= lives || self.track.promised >= facts
    }
}

fn lane_of(options: &Options, base: &Path, lane: u64, trials: u64) -> Result<Totals> {
    let mut random = Random(mix(options.seed.wrapping_mul(1_000).wrapping_add(lane)));
    let mut totals = Totals::default();
    let mut number = 0;
    let mut place = Place::new(base, lane, number, &mut random, options.control);
    while totals.trials < trials {
        let failures = totals.failures();
        let named = PLACES.get((totals.trials / 2 * options.lanes + lane) as usize % PLACES.len());
        let named = named.filter(|_| cfg!(feature = "failpoints") && totals.trials % 2 == 1);
        // Some places are passed only where nothing is yet.
        let anew =
            named.is_some_and(|name| name.starts_with("meta.") || name.starts_with("store."));
        if place.is_over() || (anew && place.lives > 0) {
            close(&mut place, &mut totals)?;
            number += 1;
            place = Place::new(base, lane, number, &mut random, options.control);
        }
        life(&mut place, named.copied(), &mut random, &mut totals)?;
        totals.trials += 1;
        if totals.failures() > failures && !options.control {
            let kept = std::env::temp_dir().join(format!("orrery-crash-kept-{lane}-{number}"));
            fs::rename(&place.plan.dir, &kept).context("keeping the evidence")?;
            eprintln!("kept: {}: {:?}", kept.display(), totals.notes);
            number += 1;
            place = Place::new(base, lane, number, &mut random, options.control);
        }
    }
    close(&mut place, &mut totals)?;
    Ok(totals)
}

/// One life: from the start of the child to its end by SIGKILL.
fn life(
    place: &mut Place,
    named: Option<&str>,
    random: &mut Random,
    totals: &mut Totals,
) -> Result<()> {
    let mut plan = place.plan.clone();
    plan.seed = random.number();
    let mut until = Duration::from_millis(*random.one_of(&[2, 15, 60, 150, 400]).unwrap_or(&60));
    if let Some(name) = named {
        plan.place = Some(name.to_owned());
        until = PATIENCE;
        plan.visit = match name.split('.').next().unwrap_or_default() {
            "open" | "meta" | "finish" => 1,
            "mend" => 1,
            "store" => 1 + random.below(3),
            "seal" | "checkpoint" => 1 + random.below(3),
            _ => 1 + random.below(40),
        };
        if name.starts_with("head.creat") {
            plan.visit = 1;
        }
        if name.starts_with("finish") {
            plan.until = place.track.promised + 200;
        }
        if name.starts_with("checkpoint") && plan.checkpoints == 0 {
            plan.checkpoints = 2;
        }
        prepare(&plan.dir, name)?;
    }
    let mut child = Child::start(&[], "write", &plan)?;
    if named.is_none() && (plan.early || random.below(3) > 0) {
        // Most random kills hit a writer, the others the opening, too.
        child.listen(Instant::now() + PATIENCE, |life| life.opened.is_some());
    }
    let deadline = Instant::now() + random.about(until);
    child.listen(deadline, |life| life.at.is_some() || life.bad.is_some() || life.end);
    if child.life.at.is_some() && random.below(2) == 0 {
        // Other threads go on meanwhile, as they do in a crash.
        child.listen(Instant::now() + Duration::from_micros(random.below(5_000)), |_| false);
    }
    let (life, _) = child.kill()?;
    place.lives += 1;
    totals.judge(&mut place.track, &plan, &life);
    if let Some(why) = &life.failed {
        totals.bad += 1;
        totals.note(format!("{}: {why}", plan.dir.display()));
    }
    Ok(())
}

/// What must be there so that a child passes a place: an unfinished write at
/// the end of the log, or the mark of a failed one.
fn prepare(dir: &Path, name: &str) -> Result<()> {
    let folder = dir.join("journal");
    if !folder.join("HEAD").exists() {
        return Ok(());
    }
    match name {
        "mend.keeping" | "mend.kept" | "mend.cut" => tear(&folder.join("db")),
        "mend.copied" | "mend.renamed" | "mend.rewritten" | "mend.clearing" => {
            fs::write(folder.join("DIRTY"), "the harness says so\n").context("writing DIRTY")
        }
        _ => Ok(()),
    }
}

/// The engine's logs by number.
fn logs(database: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let Ok(entries) = fs::read_dir(database) else { return Ok(Vec::new()) };
    let mut logs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(Ok(number)) = name.strip_suffix(".jnl").map(str::parse) {
            logs.push((number, path));
        }
    }
    logs.sort();
    Ok(logs)
}

/// Puts the beginning of a batch behind the last one of the engine's log.
fn tear(database: &Path) -> Result<()> {
    let Some((_, log)) = logs(database)?.pop() else { return Ok(()) };
    let bytes = fs::read(&log)?;
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    let mut file = fs::File::options().write(true).open(&log)?;
    file.seek(SeekFrom::Start(end as u64))?;
    // The head of a batch of three items and nothing behind it.
    file.write_all(&[1, 3, 0, 0, 0, 9, 9])?;
    Ok(())
}

/// Judges the last kill of a directory and removes it.
fn close(place: &mut Place, totals: &mut Totals) -> Result<()> {
    if place.lives == 0 {
        return Ok(());
    }
    if logs(&place.plan.dir.join("journal/db"))?.last().is_some_and(|(number, _)| *number > 0) {
        *totals.places.entry("(the engine began another log)".into()).or_default() += 1;
    }
    let mut plan = place.plan.clone();
    plan.deep = true;
    let child = Child::start(&[], "check", &plan)?;
    let (life, status) = child.finish(Duration::from_secs(120))?;
    totals.judge(&mut place.track, &plan, &life);
    if life.bad.is_none() && !life.end {
        totals.bad += 1;
        totals.note(format!("directory {}: {status} {}", place.number, life.errors));
    }
    if life.bad.is_none() && life.end {
        let _ = fs::remove_dir_all(&plan.dir);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn visits(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                visits(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("reads");
                let names = text.split("hit(\"").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(names.map(str::to_owned));
            }
        }
    }

    /// A place that nobody visits any more would be a kill that never happens.
    #[test]
    fn every_named_place_is_visited_and_every_visit_has_a_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut found = BTreeSet::new();
        for room in ["journal/src", "replay/src"] {
            visits(&root.join(room), &mut found);
        }
        assert_eq!(found, PLACES.iter().map(|place| (*place).to_owned()).collect());
    }
}
