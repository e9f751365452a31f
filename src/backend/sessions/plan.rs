//! From what somebody asks for to what a session goes through.

use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{Filter, Journal};
use orrery_replay::as_of::AsOfError;
use orrery_replay::session::{Mask, Plan, SessionError};

use super::super::{answers, reading};
use crate::control::BackendError;
use crate::control::events::{Edge, EventFilter, EventRange};
use crate::control::session::SessionOrder;

/// The plan of an order.
///
/// # Errors
/// A day, a moment or a ticker that the journal does not have, ends that are
/// the wrong way round.
pub fn of(journal: &Journal, order: &SessionOrder) -> Result<Plan, BackendError> {
    let head = journal.head();
    let range = EventRange {
        day: order.day,
        from: order.from.into_iter().collect(),
        to: order.to.into_iter().collect(),
        ..EventRange::default()
    };
    let (first, last) = reading::bounds(journal, &range)?;
    let (begin, end) = (moment(journal, Seq::FIRST.max(first.min(head.seq)))?, head.recv);
    for edge in [order.from, order.to].into_iter().flatten() {
        let (outside, asked) = match edge {
            Edge::Seq(seq) => (seq > head.seq, format!("event {seq}")),
            // Where nothing lies before the range, its first event is the journal's.
            Edge::Time(time) => {
                let before = first == Seq::FIRST && begin.is_some_and(|b| time < b);
                (before || time > end, time.to_rfc3339())
            }
        };
        if outside {
            let from =
                moment(journal, Seq::FIRST)?.map_or_else(String::new, |t| format!("{t} to "));
            let has = format!("events 1 to {}, {from}{end}", head.seq);
            return Err(BackendError::OutOfRange { asked, has });
        }
    }
    let until = match order.to {
        Some(Edge::Time(time)) => Some(time),
        _ => None,
    };
    let mask = mask(journal, &order.only, &order.without)?;
    Plan::new(journal, first, last, until, mask).map_err(error)
}

fn moment(journal: &Journal, seq: Seq) -> Result<Option<RecvTime>, BackendError> {
    let stretch = journal.read(seq, seq).next().transpose().map_err(answers::read)?;
    Ok(stretch.and_then(|s| s.events.first().map(|e| e.recv)))
}

/// What is left out.
///
/// # Errors
/// An unknown ticker.
pub fn mask(
    journal: &Journal,
    only: &EventFilter,
    without: &EventFilter,
) -> Result<Mask, BackendError> {
    let without = match *without == EventFilter::default() {
        true => None,
        false => Some(known(journal, without)?),
    };
    Ok(Mask { only: known(journal, only)?, without })
}

fn known(journal: &Journal, wanted: &EventFilter) -> Result<Filter, BackendError> {
    let (filter, unknown) = reading::filter(journal, wanted);
    match unknown.into_iter().next() {
        Some(name) => Err(BackendError::Unknown { what: "instrument", name }),
        None => Ok(filter),
    }
}

/// What a session's refusal is called here.
#[must_use]
pub fn error(error: SessionError) -> BackendError {
    match error {
        SessionError::Inverted { .. } => {
            BackendError::Invalid { field: "to", why: error.to_string() }
        }
        SessionError::Outside { asked, opening, first, end } => BackendError::OutOfRange {
            asked,
            has: format!(
                "for this session events {} to {}, {} to {}",
                opening.seq.next(),
                end.seq,
                first.time,
                end.time
            ),
        },
        SessionError::AtEnd { .. } => BackendError::Precondition(error.to_string()),
        SessionError::NoneLeft { .. } => BackendError::NoneLeft(error.to_string()),
        SessionError::Stopped { .. } => BackendError::Unavailable(error.to_string()),
        SessionError::Read(e) | SessionError::AsOf(AsOfError::Read(e)) => answers::read(e),
        SessionError::AsOf(e @ AsOfError::Beyond { .. }) => {
            BackendError::OutOfRange { asked: e.to_string(), has: "no later event".into() }
        }
        error => BackendError::Internal(Box::new(error)),
    }
}
