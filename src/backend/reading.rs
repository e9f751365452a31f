//! Events of a journal as somebody asks for them: for the command line, and for
//! gRPC through [`control::journal::Operations`](crate::control::journal::Operations).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use orrery_journal::event::{Event, JournalEvent};
use orrery_journal::units::{InstrumentId, RecvTime, Seq};
use orrery_journal::{Filter, Journal, ReadError};

use super::answers;
use crate::clock::Stopwatch;
use crate::control::BackendError;
use crate::control::events::{Edge, EventFilter, EventRange, Found, ReadDone, Start, Tailed};

/// How often a reader that waits asks whether to go on.
const PATIENCE: Duration = Duration::from_millis(100);
/// Events of the first step back when the last ones are looked for.
const STEP_BACK: u64 = 8_192;

/// Reads events in order, those of a page or frame at a time; `each` may break
/// off.
///
/// # Errors
/// An unknown day or ticker, a moment outside of the journal, damage.
pub fn read(
    journal: &Journal,
    range: &EventRange,
    each: &mut dyn FnMut(&[Found]) -> ControlFlow<()>,
) -> Result<ReadDone, BackendError> {
    let (from, to) = bounds(journal, range)?;
    let (filter, unknown) = filter(journal, &range.filter);
    if let Some(name) = unknown.into_iter().next() {
        return Err(BackendError::Unknown { what: "instrument", name });
    }
    let mut names = Names::default();
    let mut done = ReadDone { from, to, ..ReadDone::default() };
    let mut left = range.limit.unwrap_or(u64::MAX);
    let mut selection = journal.read_matching(from, to, filter);
    for events in selection.by_ref() {
        let mut events = events.map_err(answers::read)?;
        if events.len() as u64 > left {
            events.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        left -= events.len() as u64;
        done.events += events.len() as u64;
        let last = events.last().map_or(from, |event| event.seq);
        let broken_off = each(&names.on(journal, events)).is_break();
        if broken_off || left == 0 {
            done.next = (last < to).then_some(last.next());
            break;
        }
    }
    let looked = selection.looked();
    (done.pages_read, done.pages_skipped) = (looked.pages, looked.skipped);
    done.frames_read = looked.frames;
    Ok(done)
}

/// Reads what is there from `start` on and then what becomes durable, until
/// `wanted` or `each` breaks off.
///
/// # Errors
/// Damage.
pub fn tail(
    journal: &Journal,
    wanted: &EventFilter,
    start: Start,
    heartbeat: Duration,
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
    each: &mut dyn FnMut(Tailed<'_>) -> ControlFlow<()>,
) -> Result<(), BackendError> {
    let (mut admits, mut unknown) = filter(journal, wanted);
    let mut names = Names::default();
    let head = journal.head().seq;
    let from = match start {
        Start::At(seq) => seq.max(Seq::FIRST),
        Start::Last(n) => {
            let found = last(journal, head, &admits, n)?;
            let found = names.on(journal, found);
            if !found.is_empty() && each(Tailed::Events(&found)).is_break() {
                return Ok(());
            }
            head.next()
        }
    };
    let mut tail = journal.tail(from, PATIENCE);
    let mut quiet = Stopwatch::start();
    while go_on().is_continue() {
        if let Some(stretch) = tail.next() {
            let stretch = stretch.map_err(answers::read)?;
            if !unknown.is_empty() {
                (admits, unknown) = filter(journal, wanted);
            }
            let found = among(stretch.first, &stretch.events, &admits);
            if !found.is_empty() {
                quiet = Stopwatch::start();
                if each(Tailed::Events(&names.on(journal, found))).is_break() {
                    return Ok(());
                }
            }
        }
        if quiet.seconds() >= heartbeat.as_secs_f64() {
            quiet = Stopwatch::start();
            if each(Tailed::Quiet(tail.position())).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The last `n` wanted events up to `head`, found from behind.
fn last(
    journal: &Journal,
    head: Seq,
    filter: &Filter,
    n: usize,
) -> Result<Vec<JournalEvent>, BackendError> {
    let first = kept(journal)?;
    let (mut found, mut end, mut step) = (VecDeque::new(), head, STEP_BACK);
    while found.len() < n && end >= first && end > Seq::BEFORE_FIRST {
        let begin = Seq(end.0.saturating_sub(step - 1)).max(first);
        let missing = n - found.len();
        let mut here = VecDeque::new();
        for events in journal.read_matching(begin, end, filter.clone()) {
            here.extend(events.map_err(answers::read)?);
            here.drain(..here.len().saturating_sub(missing));
        }
        here.append(&mut found);
        found = here;
        end = Seq(begin.0 - 1);
        step = step.saturating_mul(2);
    }
    Ok(found.into())
}

fn among(first: Seq, events: &[Event], filter: &Filter) -> Vec<JournalEvent> {
    let events = (first.0..).zip(events);
    let wanted = events.filter(|(_, e)| filter.admits(e.body.kind(), e.instrument));
    wanted.map(|(seq, event)| JournalEvent { seq: Seq(seq), event: event.clone() }).collect()
}

/// The filter, and the tickers in it that the journal does not know.
pub(super) fn filter(journal: &Journal, wanted: &EventFilter) -> (Filter, Vec<String>) {
    let mut filter = Filter::new();
    if !wanted.kinds.is_empty() {
        filter = filter.kinds(wanted.kinds.iter().copied());
    }
    if wanted.tickers.is_empty() {
        return (filter, Vec::new());
    }
    let (mut ids, mut unknown) = (BTreeSet::new(), Vec::new());
    for ticker in &wanted.tickers {
        match journal.instrument(ticker) {
            Some(id) => drop(ids.insert(id)),
            None => unknown.push(ticker.clone()),
        }
    }
    (filter.instruments(ids), unknown)
}

/// First and last event of a range; the last lies before the first when it is
/// empty.
pub(super) fn bounds(journal: &Journal, range: &EventRange) -> Result<(Seq, Seq), BackendError> {
    let head = journal.head();
    let (mut from, mut to) = (Seq::BEFORE_FIRST, head.seq);
    if let Some(day) = range.day {
        let days = journal.days().map_err(answers::read)?;
        let found = days.iter().find(|summary| summary.day == day);
        let name = day.to_string();
        let found = found.ok_or(BackendError::Unknown { what: "day", name })?;
        (from, to) = (found.first, to.min(found.last));
    }
    // The first event that is not before a moment.
    let at = |time: RecvTime| {
        let before = journal.seq_at(RecvTime(time.0.saturating_sub(1)));
        before.map(Seq::next).map_err(answers::read)
    };
    for edge in &range.from {
        from = from.max(match edge {
            Edge::Seq(seq) if *seq > head.seq => return Err(beyond(journal, *seq)),
            Edge::Seq(seq) => *seq,
            Edge::Time(time) => at(*time)?,
        });
    }
    if let Some(since) = range.since {
        from = from.max(at(RecvTime(head.recv.0.saturating_sub(since)))?);
    }
    for edge in &range.to {
        to = to.min(match edge {
            Edge::Seq(seq) => *seq,
            Edge::Time(time) => journal.seq_at(*time).map_err(answers::read)?,
        });
    }
    if from == Seq::BEFORE_FIRST {
        from = kept(journal)?;
    }
    Ok((from, to))
}

fn beyond(journal: &Journal, seq: Seq) -> BackendError {
    let head = journal.head();
    let has = match head.seq {
        Seq::BEFORE_FIRST => "no event".to_owned(),
        last => format!("events 1 to {last}, until {}", head.recv),
    };
    BackendError::OutOfRange { asked: format!("event {seq}"), has }
}

/// The first event that retention has left.
pub(super) fn kept(journal: &Journal) -> Result<Seq, BackendError> {
    let days = journal.days().map_err(answers::read)?;
    let dropped = days.iter().rfind(|day| day.dropped);
    Ok(dropped.map_or(Seq::FIRST, |day| day.last.next()))
}

/// Tickers of the instruments that were met.
#[derive(Default)]
struct Names(BTreeMap<InstrumentId, Option<Arc<str>>>);

impl Names {
    fn on(&mut self, journal: &Journal, events: Vec<JournalEvent>) -> Vec<Found> {
        let found = |at: JournalEvent| {
            let id = at.event.instrument;
            let name = self.0.entry(id).or_insert_with(|| journal.ticker(id).map(Into::into));
            Found { ticker: name.clone(), at }
        };
        events.into_iter().map(found).collect()
    }
}

/// What damage is called here.
#[must_use]
pub fn error(error: ReadError) -> BackendError {
    answers::read(error)
}
