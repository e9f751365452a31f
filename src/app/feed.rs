//! The feed's thread: takes what is due, appends it, and lets time pass when
//! nothing comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, SourceId};
use orrery_journal::{Ticket, Writer};
use tokio_util::sync::CancellationToken;

use crate::backend::Archive;
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
    let writer = archive.journal().writer(clock::now)?;
    let source = writer.define_source(&descriptor)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("feed".to_owned()).spawn(move || {
        let line = Line { writer, source, pace, metrics, waiting: VecDeque::new() };
        let fed = line.run(*simulation, &stopping);
        if fed.is_err() {
            failed.cancel();
        }
        fed.context("the feed stopped")
    })?;
    Ok(Feeding { stop, thread })
}

struct Line {
    writer: Writer,
    source: SourceId,
    pace: Pace,
    metrics: Arc<Metrics>,
    waiting: VecDeque<Ticket>,
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
                self.append(drafts)?;
            } else if now.0 - last.0 >= BEAT_AFTER_NANOS {
                last = now;
                self.metrics.beats.inc();
                self.append(vec![beat(self.pace, now)])?;
            }
            std::thread::sleep(POLL);
        }
        for ticket in self.waiting {
            ticket.wait()?;
        }
        Ok(self.writer.close()?)
    }

    fn append(&mut self, drafts: Vec<Draft>) -> anyhow::Result<()> {
        if self.waiting.len() >= APPENDS_IN_FLIGHT
            && let Some(oldest) = self.waiting.pop_front()
        {
            oldest.wait()?;
        }
        self.waiting.push_back(self.writer.append(drafts)?);
        Ok(())
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
