//! Collecting bodies: of models that are due, or of everybody at a promotion.

use bytes::Bytes;
use orrery_journal::units::RecvTime;
use orrery_replay::fold::{EpochId, Outbox, Output};

use super::{Partition, status};
use crate::models::{Model, next_tick};
use crate::views::{Bodies, View};

/// A view and when its body is due.
pub(super) struct TimedView {
    pub(super) view: Box<dyn View>,
    pub(super) due: Option<RecvTime>,
}

impl Partition {
    /// Bodies of everything that is due at this moment.
    pub(super) fn emit_due(&mut self, due: RecvTime, out: &mut Outbox) {
        self.emit(|at| at.is_some_and(|at| at <= due), false, out);
    }

    /// Bodies of all models, views and the epoch itself.
    pub(super) fn emit_all(&mut self, out: &mut Outbox) {
        self.emit(|_| true, true, out);
    }

    /// Order: partition models, epoch models, views, the epoch.
    fn emit(&mut self, is_due: impl Fn(Option<RecvTime>) -> bool, all: bool, out: &mut Outbox) {
        let (own, book, id) = match &mut self.active {
            Some(active) => {
                let book = active.epoch.live.book();
                (active.models.as_mut_slice(), Some(book), Some(active.epoch.record.id))
            }
            None => (Default::default(), None, None),
        };
        let market = self.here.market(book);
        let moment = self.here.now;
        let mut press = Press { epoch: id, now: moment, out, changed: Vec::new() };
        for timed in self.models.iter_mut().chain(own) {
            if is_due(timed.due) {
                timed.due = None;
                if let Some(body) = timed.model.emit(&market) {
                    press.print(&*timed.model, body, &self.views, &mut self.bodies);
                }
            }
        }
        for TimedView { view, due } in &mut self.views {
            let stale = view.inputs().iter().any(|family| press.changed.contains(family));
            let cadence = view.cadence_ns();
            // A change at a multiple of the cadence need not wait for the next.
            let now = cadence == 0 || self.here.now.0.rem_euclid(cadence) == 0;
            if all || is_due(*due) || (stale && now) {
                *due = None;
                if let Some(body) = view.derive(&self.here.symbol, &self.bodies) {
                    press.push(view.family(), view.profile(), body.into());
                }
            } else if stale && due.is_none() {
                *due = Some(next_tick(self.here.now, cadence));
            }
        }
        if is_due(self.status_due) {
            self.status_due = None;
            if let Some(body) = status::body(self) {
                Press { epoch: id, now: moment, out, changed: Vec::new() }.push(
                    status::FAMILY,
                    status::PROFILE,
                    body.into(),
                );
            }
        }
    }
}

struct Press<'a> {
    epoch: Option<EpochId>,
    now: RecvTime,
    out: &'a mut Outbox,
    changed: Vec<&'static str>,
}

impl Press<'_> {
    /// Puts a model's body out and keeps it where a view reads it.
    fn print(
        &mut self,
        model: &dyn Model,
        body: Vec<u8>,
        views: &[TimedView],
        bodies: &mut Bodies,
    ) {
        let (family, profile) = (model.family(), model.profile());
        let body = Bytes::from(body);
        let read = views.iter().any(|v| v.view.inputs().contains(&family));
        if read && bodies.enter(family, profile, self.epoch, &body, self.now) {
            self.changed.push(family);
            if let Some(figures) = model.figures() {
                bodies.hand(family, figures);
            }
        }
        self.push(family, profile, body);
    }

    fn push(&mut self, family: &'static str, profile: &'static str, body: Bytes) {
        let epoch = self.epoch;
        self.out.outputs.push(Output { family, profile, epoch, body, by: None });
    }
}
