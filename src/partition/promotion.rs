//! When a warming epoch takes the place of the active one, and how.

use orrery_replay::fold::Outbox;

use super::Partition;
use super::living::{Living, tell};
use crate::models::Change;

impl Partition {
    /// Chooses the contracts that have to be quoted, once a warming epoch and a
    /// spot are there.
    pub(super) fn choose_inner(&mut self) {
        if let (Some(warming), Some(spot)) = (&mut self.warming, self.here.spot)
            && !warming.epoch.live.has_inner()
        {
            let (day, inner) = (self.here.day(), &self.parameters.epochs.inner);
            warming.epoch.live.choose_inner(spot.value, day, inner);
        }
    }

    /// Promotes the warming epoch when it is ready: enough of its inner
    /// contracts are quoted, or it has warmed long enough and has anything to
    /// say. Cheap enough to be asked after every event.
    pub(super) fn consider_promotion(&mut self, out: &mut Outbox) {
        let Some(warming) = &self.warming else { return };
        let live = &warming.epoch.live;
        let quoted = live.is_quoted(&self.parameters.epochs.inner);
        let overdue = self.here.now >= warming.epoch.state.deadline && live.is_publishable();
        if (quoted || overdue)
            && let Some(warming) = self.warming.take()
        {
            let at = self.here.moment();
            let epoch = warming.epoch.promote(at);
            self.history.put(&epoch.record);
            let mut promoted = Living { epoch, models: warming.models, chain: warming.chain };
            if let Some(old) = self.active.take() {
                for timed in &old.models {
                    self.bodies.withdraw(timed.model.family());
                }
                self.history.put(&old.epoch.retire(at));
            }
            promoted.tell(&Change::All, &self.here);
            let market = self.here.market(Some(promoted.epoch.live.book()));
            tell(&mut self.models, &Change::All, &market);
            self.active = Some(promoted);
            self.assign_slots();
            self.emit_all(out);
        }
    }
}
