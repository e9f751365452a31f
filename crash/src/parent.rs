//! What all harnesses share: a child with its lines, and the judgement of what
//! a life of it found.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::child::Plan;

/// A line of the child.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Line {
    Opened { facts: u64, us: u64 },
    Acknowledged(u64),
    Checkpoint,
    At(String),
    End,
    Failed(String),
    Bad(String),
}

fn parse(line: &str) -> Option<Line> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let number = |at: usize| rest.split(' ').nth(at).and_then(|n| n.parse().ok());
    Some(match word {
        "OPENED" => Line::Opened { facts: number(0)?, us: number(2)? },
        "A" => Line::Acknowledged(number(0)?),
        "C" => Line::Checkpoint,
        "AT" => Line::At(rest.to_owned()),
        "END" => Line::End,
        "FAILED" => Line::Failed(rest.to_owned()),
        "REFUSED" | "WRONG" => Line::Bad(line.to_owned()),
        _ => return None,
    })
}

/// What a child said from its start to its end.
#[derive(Clone, Default, Debug)]
pub struct Life {
    /// Facts that it found and how long the opening took.
    pub opened: Option<(u64, u64)>,
    /// The last acknowledgement.
    pub acknowledged: Option<u64>,
    /// Checkpoints that were acknowledged.
    pub checkpoints: u64,
    /// The named place where it stopped.
    pub at: Option<String>,
    /// It came to its end.
    pub end: bool,
    /// It said that the journal took no more.
    pub failed: Option<String>,
    /// It said that it found something wrong or that the journal did not open.
    pub bad: Option<String>,
    /// What it wrote to standard error, the end of it.
    pub errors: String,
}

impl Life {
    fn hear(&mut self, line: Line) {
        match line {
            Line::Opened { facts, us } => self.opened = Some((facts, us)),
            Line::Acknowledged(facts) => self.acknowledged = Some(facts),
            Line::Checkpoint => self.checkpoints += 1,
            Line::At(place) => self.at = Some(place),
            Line::End => self.end = true,
            Line::Failed(why) => self.failed = Some(why),
            Line::Bad(why) => self.bad = Some(why),
        }
    }
}

/// A running child.
pub struct Child {
    process: std::process::Child,
    lines: Receiver<Line>,
    errors: Option<JoinHandle<String>>,
    /// What it said so far.
    pub life: Life,
}

impl Child {
    /// Starts `write` or `check` with a plan, behind the words of another
    /// program if there are any.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(before: &[OsString], what: &str, plan: &Plan) -> Result<Child> {
        let program = std::env::current_exe().context("own path")?;
        let mut words: VecDeque<OsString> = before.iter().cloned().collect();
        words.push_back(program.into());
        let first = words.pop_front().unwrap_or_default();
        let mut process = Command::new(&first)
            .args(words)
            .arg(what)
            .args(plan.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {first:?}"))?;
        let (send, lines) = channel();
        let out = process.stdout.take().context("a pipe")?;
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if parse(&line).is_some_and(|line| send.send(line).is_err()) {
                    return;
                }
            }
        });
        let mut err = process.stderr.take().context("a pipe")?;
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = err.read_to_end(&mut text);
            let from = text.len().saturating_sub(600);
            String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
        });
        Ok(Child { process, lines, errors: Some(errors), life: Life::default() })
    }

    /// Its number in the system.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Listens until the moment, the end of the child, or until `enough`.
    pub fn listen(&mut self, until: Instant, enough: impl Fn(&Life) -> bool) {
        while !enough(&self.life) {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.life.hear(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Kills it (SIGKILL) if it still runs, and hears the rest.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(mut self) -> Result<(Life, ExitStatus)> {
        // One that has ended by itself cannot be killed any more.
        let _ = self.process.kill();
        self.end()
    }

    /// Waits for its own end, for so long at most.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish(mut self, within: Duration) -> Result<(Life, ExitStatus)> {
        self.listen(Instant::now() + within, |_| false);
        if !self.life.end && self.life.failed.is_none() && self.life.bad.is_none() {
            let _ = self.process.kill();
        }
        self.end()
    }

    fn end(mut self) -> Result<(Life, ExitStatus)> {
        let status = self.process.wait()?;
        // The pipe ends with the process; what is in it was said before.
        while let Ok(line) = self.lines.recv() {
            self.life.hear(line);
        }
        self.life.errors =
            self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ok((self.life, status))
    }
}

/// What is known about one data directory.
#[derive(Clone, Copy, Default, Debug)]
pub struct Track {
    /// Facts that were acknowledged, or shown by an opening.
    pub promised: u64,
    /// Facts that can be there at most.
    pub at_most: u64,
}

/// Counts of a run.
#[derive(Clone, Default, Debug)]
pub struct Totals {
    /// Crashes.
    pub trials: u64,
    /// Facts that were acknowledged in all.
    pub acknowledged: u64,
    /// Acknowledged facts that were not there afterwards, and in how many trials.
    pub lost: u64,
    /// Trials after which facts were lost.
    pub losses: u64,
    /// Facts that nobody can have written.
    pub invented: u64,
    /// Openings that were refused, or found gaps, doubles or other values.
    pub bad: u64,
    /// Openings.
    pub opened: u64,
    /// The slowest, in microseconds.
    pub slowest_us: u64,
    /// Openings over a second.
    pub slow: u64,
    /// Checkpoints that were acknowledged.
    pub checkpoints: u64,
    /// How often it stopped at which place.
    pub places: BTreeMap<String, u64>,
    /// What was wrong, the first few.
    pub notes: Vec<String>,
}

impl Totals {
    /// Takes note of what went wrong.
    pub fn note(&mut self, text: String) {
        if self.notes.len() < 20 {
            self.notes.push(text);
        }
    }

    /// Judges a life in a directory and says what is known afterwards.
    pub fn judge(&mut self, track: &mut Track, plan: &Plan, life: &Life) {
        let before = *track;
        if let Some(why) = &life.bad {
            self.bad += 1;
            self.note(format!("{}: {why}", plan.dir.display()));
        }
        if let Some((facts, us)) = life.opened {
            self.opened += 1;
            self.slowest_us = self.slowest_us.max(us);
            self.slow += u64::from(us > 1_000_000);
            if facts < track.promised {
                self.lost += track.promised - facts;
                self.losses += 1;
                let promised = track.promised;
                self.note(format!("{}: {facts} facts of {promised}", plan.dir.display()));
            }
            if facts > track.at_most {
                self.invented += facts - track.at_most;
                self.note(format!("{}: {facts} of {}", plan.dir.display(), track.at_most));
            }
            // What an opening shows may have been told to others.
            track.promised = facts;
            let last = life.acknowledged.unwrap_or(facts).max(facts);
            track.at_most = last + plan.window.max(1) as u64 * plan.batch;
        }
        if let Some(facts) = life.acknowledged {
            track.promised = track.promised.max(facts);
        }
        self.acknowledged += track.promised.saturating_sub(before.promised);
        self.checkpoints += life.checkpoints;
        if let Some(place) = &life.at {
            *self.places.entry(place.clone()).or_default() += 1;
        }
    }

    /// Takes over what another lane counted.
    pub fn add(&mut self, other: Totals) {
        self.trials += other.trials;
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.losses += other.losses;
        self.invented += other.invented;
        self.bad += other.bad;
        self.opened += other.opened;
        self.slowest_us = self.slowest_us.max(other.slowest_us);
        self.slow += other.slow;
        self.checkpoints += other.checkpoints;
        for (place, times) in other.places {
            *self.places.entry(place).or_default() += times;
        }
        other.notes.into_iter().for_each(|note| self.note(note));
    }

    fn stops(&self) -> String {
        let stopped: u64 = self.places.values().sum();
        let (places, checkpoints) = (self.places.len(), self.checkpoints);
        format!(", {stopped} stops at {places} named places, {checkpoints} checkpoints")
    }

    /// How many things went wrong.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.losses + self.invented + self.bad
    }

    /// One line.
    #[must_use]
    pub fn line(&self, what: &str) -> String {
        format!(
            "{what}: {} trials, {} acknowledged events, {} lost, {} invented or doubled, {} bad \
             openings of {}, slowest opening {} ms ({} over a second){}",
            self.trials,
            self.acknowledged,
            self.lost,
            self.invented,
            self.bad,
            self.opened,
            self.slowest_us / 1000,
            self.slow,
            if self.checkpoints > 0 { self.stops() } else { String::new() },
        )
    }
}

/// A folder of a run; gone with the value, unless something went wrong.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new folder below the temporary one, or below `base`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(base: Option<&Path>, name: &str) -> Result<Scratch> {
        let base = base.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = base.join(format!("orrery-crash-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Scratch { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left over if it cannot be removed; it is a temporary folder.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// With counts.
    Done(Totals),
    /// Not at all: this machine does not allow it.
    Skipped(String),
}
