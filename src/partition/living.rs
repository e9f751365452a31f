//! A living epoch with its models, and models with their timers.

use orrery_journal::units::{RecvTime, VendorTime};

use super::chain::LastChain;
use super::here::Here;
use crate::market::book::{Market, Slot};
use crate::market::epoch::Epoch;
use crate::market::live_book::{Taken, Tick};
use crate::models::{Change, Model, Scope, next_tick};

/// A model and when its body is due.
pub(super) struct Timed {
    pub(super) model: Box<dyn Model>,
    pub(super) due: Option<RecvTime>,
}

/// Models without anything due.
pub(super) fn timed(models: Vec<Box<dyn Model>>, scope: Scope) -> Vec<Timed> {
    // Our mistake, not the world's: a model in the wrong list would be dropped
    // too late or too early.
    assert!(models.iter().all(|m| m.scope() == scope), "a model stands in the wrong list");
    models.into_iter().map(|model| Timed { model, due: None }).collect()
}

/// Tells models of a change; those that have something to say become due at the
/// next multiple of their cadence.
pub(super) fn tell(models: &mut [Timed], change: &Change<'_>, market: &Market<'_>) {
    for timed in models {
        if timed.model.apply(change, market) && timed.due.is_none() {
            timed.due = Some(next_tick(market.now, timed.model.cadence_ns()));
        }
    }
}

/// Gives the state of models that outlive epochs to their successors.
pub(super) fn inherit(models: &mut [Timed], before: &[Timed], market: &Market<'_>) {
    for timed in models.iter_mut().filter(|t| t.model.outlives_epochs()) {
        let same = |t: &&Timed| t.model.family() == timed.model.family();
        let Some(old) = before.iter().find(same) else { continue };
        let mut state = Vec::new();
        old.model.save(&mut state);
        // Of the same kind, so it takes its own bytes; where it did not, it would
        // begin empty and its coverage would say so.
        if timed.model.restore(&state, market).is_ok() {
            timed.due = old.due;
        }
    }
}

/// An epoch that has not retired, with models of its own.
pub(super) struct Living<S> {
    pub(super) epoch: Epoch<S>,
    pub(super) models: Vec<Timed>,
    /// What its last chain said besides the values of its contracts.
    pub(super) chain: Option<LastChain>,
}

impl<S> Living<S> {
    pub(super) fn tell(&mut self, change: &Change<'_>, here: &Here) {
        tell(&mut self.models, change, &here.market(Some(self.epoch.live.book())));
    }

    /// Takes a tick and tells the models when a value moved.
    pub(super) fn tick(
        &mut self,
        slot: Slot,
        tick: Tick,
        vendor: Option<VendorTime>,
        here: &Here,
    ) -> Taken {
        let taken = self.epoch.live.take(slot, tick, vendor, here.now);
        if taken == Taken::Changed {
            self.tell(
                &match tick {
                    Tick::Quote { .. } => Change::Quote(slot),
                    Tick::Trade { .. } => Change::Trade(slot),
                },
                here,
            );
        }
        taken
    }
}
