//! The process that is crashed: opens, checks what it finds, writes on.
//!
//! Every line on standard output is one call of the system, so that a line is
//! whole or not there:
//!
//! ```text
//! OPENED facts events microseconds   what was found, after checking all of it
//! A facts                            so many facts are acknowledged
//! C seq                              a checkpoint is acknowledged
//! AT place                           stopped at a named place, for good
//! END                                everything is written and closed
//! REFUSED why | WRONG why | FAILED why
//! ```

use std::collections::VecDeque;
use std::fs::File;
use std::io::{IoSlice, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{Journal, OpenOptions, SyncMode, Ticket};
use orrery_replay::checkpoint::Purpose;
use orrery_replay::derived::Derived;

use crate::payload::{self, CALENDAR, Found, Size};
use crate::random::{Random, mix};

/// How the child behaves; handed over on the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// The data directory.
    #[arg(long)]
    pub dir: PathBuf,
    /// Large blobs.
    #[arg(long)]
    pub bulk: bool,
    /// Acknowledge after the operating system has it (negative control).
    #[arg(long)]
    pub os: bool,
    /// Acknowledge before the journal does (negative control).
    #[arg(long)]
    pub early: bool,
    /// Flush the engine's tables after so many bytes; 0: as the product.
    #[arg(long, default_value_t = 0)]
    pub memtable: u64,
    /// A checkpoint every so many acknowledged appends; 0: none.
    #[arg(long, default_value_t = 0)]
    pub checkpoints: u64,
    /// Facts of an append at most.
    #[arg(long, default_value_t = 64)]
    pub batch: u64,
    /// Appends without an answer at most.
    #[arg(long, default_value_t = 4)]
    pub window: usize,
    /// Facts after which it closes; 0: goes on until it is ended.
    #[arg(long, default_value_t = 0)]
    pub until: u64,
    /// Stop at this place.
    #[arg(long)]
    pub place: Option<String>,
    /// At which visit.
    #[arg(long, default_value_t = 1)]
    pub visit: u64,
    /// Sizes of appends.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Read everything once more by `verify` (only `check`).
    #[arg(long)]
    pub deep: bool,
    /// Wait so long after each acknowledgement.
    #[arg(long, default_value_t = 0)]
    pub pause_us: u64,
}

impl Plan {
    /// A plan for a folder with everything as the command line has it.
    #[must_use]
    pub fn new(dir: &Path) -> Plan {
        Plan {
            dir: dir.to_owned(),
            bulk: false,
            os: false,
            early: false,
            memtable: 0,
            checkpoints: 0,
            batch: 64,
            window: 4,
            until: 0,
            place: None,
            visit: 1,
            seed: 0,
            deep: false,
            pause_us: 0,
        }
    }

    /// The command line of it.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut out = vec!["--dir".to_owned(), self.dir.display().to_string()];
        for (name, on) in [
            ("--bulk", self.bulk),
            ("--os", self.os),
            ("--early", self.early),
            ("--deep", self.deep),
        ] {
            if on {
                out.push(name.to_owned());
            }
        }
        for (name, value) in [
            ("--memtable", self.memtable),
            ("--checkpoints", self.checkpoints),
            ("--batch", self.batch),
            ("--window", self.window as u64),
            ("--until", self.until),
            ("--visit", self.visit),
            ("--seed", self.seed),
            ("--pause-us", self.pause_us),
        ] {
            out.extend([name.to_owned(), value.to_string()]);
        }
        if let Some(place) = &self.place {
            out.extend(["--place".to_owned(), place.clone()]);
        }
        out
    }

    fn size(&self) -> Size {
        if self.bulk { Size::Bulk } else { Size::Small }
    }
}

/// Exit codes beside 0.
pub mod exit {
    /// The journal took no more.
    pub const FAILED: u8 = 3;
    /// What was found is wrong.
    pub const WRONG: u8 = 4;
    /// The journal did not open.
    pub const REFUSED: u8 = 5;
}

/// A line in one call; `writev`, so that a harness that has `write` fail does
/// not hit the acknowledgements.
fn say(line: &str) {
    static OUT: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let open =
        || std::io::stdout().as_fd().try_clone_to_owned().ok().map(|fd| Mutex::new(fd.into()));
    if let Some(out) = OUT.get_or_init(open) {
        let bytes = format!("{line}\n");
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever listened may be gone; then there is nobody to tell.
        let _ = out.write_vectored(&[IoSlice::new(bytes.as_bytes())]);
    }
}

#[cfg(feature = "failpoints")]
fn prepare(plan: &Plan) {
    use orrery_journal::failpoint;
    failpoint::set_memtable_bytes(plan.memtable);
    if let Some(place) = &plan.place {
        failpoint::arm(place, plan.visit, |place| {
            say(&format!("AT {place}"));
            loop {
                std::thread::park();
            }
        });
    }
}

#[cfg(not(feature = "failpoints"))]
fn prepare(_plan: &Plan) {}

/// Opens and checks; says what was found.
fn open(plan: &Plan) -> Result<(Journal, Found), u8> {
    let sync = if plan.os { SyncMode::Os } else { SyncMode::Group };
    let options = OpenOptions { calendar: Some(CALENDAR), sync };
    let began = Instant::now();
    let journal = Journal::open(&plan.dir, &options).map_err(|e| {
        say(&format!("REFUSED {:#}", anyhow::Error::new(e)));
        exit::REFUSED
    })?;
    let took = began.elapsed().as_micros();
    let found = payload::check(&journal, plan.size()).map_err(|e| {
        say(&format!("WRONG {e:#}"));
        exit::WRONG
    })?;
    say(&format!("OPENED {} {} {took}", found.facts, found.events));
    Ok((journal, found))
}

/// What a checkpoint at a seq holds.
fn state(seq: Seq) -> Vec<u8> {
    let mut random = Random(mix(seq.0));
    (0..50 + random.below(2_000)).map(|_| random.number() as u8).collect()
}

/// Every checkpoint lies within the journal and holds what belongs there.
fn check_checkpoints(derived: &Derived, head: Seq) -> Result<()> {
    for record in derived.checkpoints()? {
        ensure!(record.seq <= head, "the checkpoint at {} is ahead of {head}", record.seq);
        let found = derived.checkpoint_at_or_before(record.seq)?;
        let found = found.with_context(|| format!("no bytes for the one at {}", record.seq))?;
        ensure!(found.seq == record.seq, "the checkpoint at {} is damaged", record.seq);
        ensure!(*found.bytes == *state(record.seq), "another state at {}", record.seq);
    }
    Ok(())
}

fn derived(plan: &Plan, head: Seq) -> Result<Option<Derived>> {
    if plan.checkpoints == 0 {
        return Ok(None);
    }
    let derived = Derived::open(&plan.dir)?;
    check_checkpoints(&derived, head)?;
    Ok(Some(derived))
}

/// Opens, checks and writes until the end that was planned, if any.
///
/// # Errors
/// With the exit code; the line that says why is written.
pub fn write(plan: &Plan) -> Result<(), u8> {
    prepare(plan);
    let (journal, found) = open(plan)?;
    let derived = derived(plan, journal.head().seq).map_err(|e| {
        say(&format!("WRONG checkpoints: {e:#}"));
        exit::WRONG
    })?;
    append(plan, &journal, derived.as_ref(), found.facts).map_err(|e| {
        say(&format!("FAILED {e:#}"));
        exit::FAILED
    })?;
    say("END");
    Ok(())
}

fn append(plan: &Plan, journal: &Journal, derived: Option<&Derived>, from: u64) -> Result<()> {
    let mut random = Random(plan.seed);
    let writer = journal.writer(|| RecvTime(0))?;
    let (mut next, mut answers) = (from, 0);
    let mut waiting: VecDeque<(Ticket, u64)> = VecDeque::new();
    let mut answer = |(ticket, facts): (Ticket, u64)| -> Result<()> {
        let appended = ticket.wait()?;
        if !plan.early {
            say(&format!("A {facts}"));
        }
        answers += 1;
        if let Some(derived) = derived.filter(|_| answers % plan.checkpoints == 0) {
            derived.put_checkpoint(appended.last, state(appended.last), Purpose::Passing)?;
            say(&format!("C {}", appended.last.0));
        }
        if plan.pause_us > 0 {
            std::thread::sleep(Duration::from_micros(plan.pause_us));
        }
        Ok(())
    };
    while plan.until == 0 || next < plan.until {
        let mut to = next + 1 + random.below(plan.batch);
        if plan.until > 0 {
            to = to.min(plan.until);
        }
        let drafts = (next..to).map(|n| payload::draft(n, plan.size())).collect();
        let ticket = writer.append(drafts)?;
        next = to;
        if plan.early {
            say(&format!("A {next}"));
        }
        waiting.push_back((ticket, next));
        if waiting.len() >= plan.window.max(1)
            && let Some(oldest) = waiting.pop_front()
        {
            answer(oldest)?;
        }
    }
    waiting.into_iter().try_for_each(&mut answer)?;
    writer.close()?;
    Ok(())
}

/// Opens and checks, once more by `verify` if the plan says so.
///
/// # Errors
/// With the exit code; the line that says why is written.
pub fn check(plan: &Plan) -> Result<(), u8> {
    let (journal, _) = open(plan)?;
    let deep = || -> Result<()> {
        let head = journal.head().seq;
        if let Some(derived) = derived(plan, head)? {
            drop(derived);
        }
        if plan.deep {
            let report = journal.verify(Seq::FIRST, Seq::MAX, &mut |_| {})?;
            ensure!(report.findings.is_empty(), "{:?}", report.findings);
            ensure!(report.events == head.0, "{} of {head} verified", report.events);
        }
        Ok(())
    };
    deep().map_err(|e| {
        say(&format!("WRONG {e:#}"));
        exit::WRONG
    })?;
    say("END");
    Ok(())
}
