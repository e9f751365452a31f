//! The feed's thread: takes what is due, appends it, and lets time pass when
//! nothing comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use orrery_journal::event::{Draft, DraftBody, Gap, InstrumentRef};
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, SourceId};
use orrery_journal::{AppendError, Ticket, Writer};
use tokio_util::sync::CancellationToken;

use crate::backend::Archive;
use crate::backend::annotating::TimePasses;
use crate::clock::{self, Stopwatch};
use crate::feeds::simulate::Simulation;
use crate::telemetry::Metrics;

/// How often the feed looks for what is due.
const POLL: Duration = Duration::from_millis(10);
/// After this much silence a clock beat says that time has passed; no longer
/// than the fastest cadence of a model.
const BEAT_AFTER_NANOS: i64 = NANOS_PER_SECOND / 4;
/// Appends that may wait for the disk before the feed waits for them.
const APPENDS_IN_FLIGHT: usize = 64;

/// Where events come from.
pub enum Feed {
    /// A simulated session.
    Simulate {
        /// The session, at the moment to go on from.
        simulation: Box<Simulation>,
        /// JSON descriptor of the source.
        descriptor: String,
        /// Which clock stamps its events.
        pace: Pace,
    },
}

/// Which clock stamps the events of a simulated session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// The wall clock, as for a vendor's feed.
    Wall,
    /// The session's own, going on from this moment at its natural speed.
    Session(RecvTime),
}

/// A running feed.
pub struct Feeding {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Feeding {
    /// Stops the feed; returns when everything it gave is durable.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the feed panicked"))?
    }
}

/// Starts the feed's thread. Its source is defined before this returns, so that
/// the journal has a first event.
pub fn start(
    archive: &Archive,
    feed: Feed,
    metrics: Arc<Metrics>,
    failed: CancellationToken,
) -> anyhow::Result<Feeding> {
    let Feed::Simulate { simulation, descriptor, pace } = feed;
    archive.let_time_pass(match pace {
        Pace::Wall => TimePasses::ByTheWall,
        Pace::Session(_) => TimePasses::ByItsSession,
    });
    let writer = archive.writer()?;
    let source = writer.define_source(&descriptor)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("feed".to_owned()).spawn(move || {
        let line = Line { writer, source, pace, metrics, waiting: VecDeque::new(), missed: None };
        let fed = line.run(*simulation, &stopping);
        if fed.is_err() {
            failed.cancel();
        }
        fed.context("the feed stopped")
    })?;
    Ok(Feeding { stop, thread })
}

struct Line {
    writer: Arc<Writer>,
    source: SourceId,
    pace: Pace,
    metrics: Arc<Metrics>,
    waiting: VecDeque<Pending>,
    /// While the journal refuses input: since when, and how much.
    missed: Option<Missed>,
}

/// An append on its way.
struct Pending {
    ticket: Ticket,
    drafts: u64,
    at: RecvTime,
}

/// What a live feed brought while the journal took nothing.
#[derive(Clone, Copy)]
struct Missed {
    since: RecvTime,
    drafts: u64,
}

impl Line {
    fn run(mut self, mut simulation: Simulation, stop: &AtomicBool) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        let origin = match self.pace {
            Pace::Wall => clock::now(),
            Pace::Session(at) => at,
        };
        let mut last = origin;
        while !stop.load(Ordering::Acquire) {
            let now = origin.plus_nanos(watch.nanos());
            let mut drafts = simulation.next_batch(now);
            for draft in &mut drafts {
                draft.source = self.source;
                if self.pace == Pace::Wall {
                    // As from a vendor: the writer stamps what it takes.
                    draft.recv = None;
                }
            }
            if !drafts.is_empty() {
                last = now;
                self.metrics.events.inc_by(drafts.len() as u64);
                self.append(drafts, now)?;
            } else if now.0 - last.0 >= BEAT_AFTER_NANOS {
                last = now;
                self.metrics.beats.inc();
                self.append(vec![beat(self.pace, now)], now)?;
            }
            std::thread::sleep(POLL);
        }
        while let Some(pending) = self.waiting.pop_front() {
            self.answered(pending)?;
        }
        if self.missed.is_some() {
            let now = origin.plus_nanos(watch.nanos());
            self.append(Vec::new(), now)?;
        }
        if let Some(Missed { since, drafts }) = self.missed {
            tracing::error!(%since, drafts, "the disk is still full: what was refused is not journaled");
        }
        Ok(())
    }

    fn append(&mut self, drafts: Vec<Draft>, now: RecvTime) -> anyhow::Result<()> {
        loop {
            let full = self.waiting.len() >= APPENDS_IN_FLIGHT;
            let wait = full || self.missed.is_some();
            if !self.waiting.front().is_some_and(|p| wait || p.ticket.is_answered()) {
                break;
            }
            if let Some(pending) = self.waiting.pop_front() {
                self.answered(pending)?;
            }
        }
        let Some(missed) = self.missed else {
            return self.send(drafts, now);
        };
        // What is lost is told in the commit that takes events again, before
        // them; one append at a time, so that none slips past it.
        let count = drafts.len() as u64;
        let mut told = self.gap(missed, now);
        told.extend(drafts);
        self.send(told, now)?;
        self.missed = None;
        if let Some(pending) = self.waiting.pop_back() {
            self.answered(Pending { drafts: count, ..pending })?;
        }
        if let Some(again) = &mut self.missed {
            again.since = missed.since;
            again.drafts += missed.drafts;
        } else {
            tracing::warn!(
                drafts = missed.drafts,
                "input was refused for a while; it is taken again"
            );
        }
        Ok(())
    }

    fn send(&mut self, drafts: Vec<Draft>, at: RecvTime) -> anyhow::Result<()> {
        let count = drafts.len() as u64;
        let ticket = self.writer.append(drafts)?;
        self.waiting.push_back(Pending { ticket, drafts: count, at });
        Ok(())
    }

    /// Takes an answer. A full disk is no end: the market goes on, and what it
    /// brings meanwhile is counted.
    fn answered(&mut self, pending: Pending) -> anyhow::Result<()> {
        match pending.ticket.wait() {
            Ok(_) => Ok(()),
            Err(AppendError::DiskFull { .. }) => {
                let since = self.missed.map_or(pending.at, |m| m.since.min(pending.at));
                let drafts = self.missed.map_or(0, |m| m.drafts) + pending.drafts;
                self.missed = Some(Missed { since, drafts });
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The gap of what was missed, and the fact behind it.
    fn gap(&self, missed: Missed, now: RecvTime) -> Vec<Draft> {
        let Missed { since, drafts } = missed;
        let fact = serde_json::json!({
            "control": "input_refused",
            "reason": "disk_full",
            "from": since.to_rfc3339(),
            "to": now.to_rfc3339(),
            "drafts": drafts,
        });
        let draft = |body| Draft { source: self.source, body, ..beat(self.pace, now) };
        vec![
            draft(DraftBody::Gap(Gap { from: since, to: now })),
            draft(DraftBody::Control(fact.to_string().into())),
        ]
    }
}

fn beat(pace: Pace, now: RecvTime) -> Draft {
    Draft {
        recv: (pace != Pace::Wall).then_some(now),
        vendor_time: None,
        instrument: InstrumentRef::None,
        source: SourceId::JOURNAL,
        extension: None,
        body: DraftBody::ClockBeat,
    }
}
