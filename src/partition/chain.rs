//! What a chain snapshot does: nothing when it is damaged, a refresh when the
//! topology is known, a new warming epoch when it is not.

use orrery_journal::event::{ChainRow, ChainRows, ChainSnapshot};
use orrery_journal::units::{Price, RecvTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::{EpochId, Input, RestoreError};

use super::Partition;
use super::damage::{Baseline, Damage, volatilities_in_percent};
use super::instruments::Role;
use super::living::{Living, inherit, tell, timed};
use crate::market::book::SpotSource;
use crate::market::epoch::Epoch;
use crate::market::topology::{self, Declared};
use crate::models::{Change, Scope};

/// What the last chain of an epoch said besides the values of its contracts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LastChain {
    pub(super) at: RecvTime,
    /// Rows that the feed refused, each in quarantine.
    pub(super) refused_rows: u32,
    /// Rows whose contract is unknown here.
    pub(super) unknown_rows: u32,
    /// Rows that repeated a contract.
    pub(super) duplicate_rows: u32,
    /// Volatilities that were left out because the chain states percent.
    pub(super) volatilities_in_percent: u32,
}

impl LastChain {
    pub(super) fn save(self, e: &mut Encoder<'_>) {
        e.recv(self.at);
        e.u32(self.refused_rows);
        e.u32(self.unknown_rows);
        e.u32(self.duplicate_rows);
        e.u32(self.volatilities_in_percent);
    }

    pub(super) fn restore(d: &mut Decoder<'_>) -> Result<LastChain, RestoreError> {
        Ok(LastChain {
            at: d.recv()?,
            refused_rows: d.u32()?,
            unknown_rows: d.u32()?,
            duplicate_rows: d.u32()?,
            volatilities_in_percent: d.u32()?,
        })
    }
}

impl Partition {
    pub(super) fn chain(&mut self, input: &Input<'_>, snapshot: &ChainSnapshot) {
        // A proxy's own chain comes here too, and is none of ours.
        if self.instruments.role(input.event.instrument) != Role::Underlying {
            return;
        }
        let Some(rows) = input.blob.and_then(|blob| ChainRows::decode(blob).ok()) else {
            return self.keep_out(Damage::Unreadable);
        };
        let declared = topology::declare(
            &self.here.symbol,
            &rows,
            |id| self.instruments.contract(id),
            &self.parameters.topology,
            &self.parameters.trading_calendar,
        );
        self.counters.unknown_rows += u64::from(declared.unknown_rows);
        self.counters.duplicate_rows += u64::from(declared.duplicate_rows);
        if declared.topology.contracts.is_empty() {
            return self.keep_out(Damage::Unreadable);
        }
        let late = self.is_late(&rows);
        if late && !self.lives(declared.topology.id) {
            // What is listed now was said by the newer one.
            self.counters.late_chains += 1;
            return self.status_changed();
        }
        let day = self.here.day();
        let seen = Baseline::of(day, declared.topology.contracts.len(), &rows);
        if let Some(damage) = self.suspicion(seen, &rows) {
            return self.keep_out(damage);
        }
        self.doubt = None;
        self.baseline = Some(seen);
        self.believe(input, snapshot, rows, declared, late);
    }

    /// Whether a living epoch has heard of a newer moment than any of these rows.
    fn is_late(&self, rows: &[ChainRow]) -> bool {
        let active = self.active.as_ref().map(|a| &a.epoch.live);
        let warming = self.warming.as_ref().map(|w| &w.epoch.live);
        active.into_iter().chain(warming).any(|live| live.is_ahead_of(rows))
    }

    /// Whether an epoch of this topology is active or warming.
    fn lives(&self, id: EpochId) -> bool {
        self.active.as_ref().is_some_and(|a| a.epoch.record.id == id)
            || self.warming.as_ref().is_some_and(|w| w.epoch.record.id == id)
    }

    fn believe(
        &mut self,
        input: &Input<'_>,
        snapshot: &ChainSnapshot,
        mut rows: Vec<ChainRow>,
        declared: Declared,
        late: bool,
    ) {
        let (cap, median) =
            (self.parameters.gex.pricing.iv_cap, self.parameters.epochs.volatility_median_max);
        let volatilities_in_percent = volatilities_in_percent(&rows, cap, median);
        if volatilities_in_percent > 0 {
            // Not divided by 100: a guess is no fact. They are unknown.
            rows.iter_mut().for_each(|row| row.implied_volatility = None);
            self.counters.volatilities_in_percent += u64::from(volatilities_in_percent);
        }
        let last = LastChain {
            at: self.here.now,
            refused_rows: snapshot.refused,
            unknown_rows: declared.unknown_rows,
            duplicate_rows: declared.duplicate_rows,
            volatilities_in_percent,
        };
        self.counters.refused_rows += u64::from(snapshot.refused);
        let before = self.here.spot;
        if let Some(price) = snapshot.spot.filter(|p| p.0 > 0).map(Price::to_f64)
            && (late || !self.here.observe(price, SpotSource::Chain, input.event.vendor_time))
        {
            self.counters.late_spots += 1;
        }
        let id = declared.topology.id;
        if self.active.as_ref().is_some_and(|a| a.epoch.record.id == id) {
            self.refresh_active(&rows, &declared.row_of_slot, last);
        } else {
            self.warm(&rows, declared, last);
        }
        self.spot_changed(before);
        // A new epoch has nothing chosen yet, whether or not the spot moved.
        self.choose_inner();
    }

    fn refresh_active(&mut self, rows: &[ChainRow], row_of_slot: &[usize], last: LastChain) {
        // The chain has gone back to what is published: nobody needs the other.
        if let Some(warming) = self.warming.take() {
            self.history.put(&warming.epoch.abandon(self.here.moment()));
            self.assign_slots();
        }
        let Some(active) = &mut self.active else { return };
        let kept = active.epoch.live.refresh(rows, row_of_slot, self.here.now);
        self.counters.count_kept(kept);
        active.chain = Some(last);
        active.epoch.record.chains += 1;
        self.history.put(&active.epoch.record);
        active.tell(&Change::Chain, &self.here);
        let market = self.here.market(Some(active.epoch.live.book()));
        tell(&mut self.models, &Change::Chain, &market);
        self.status_changed();
    }

    /// Fills the warming epoch of this topology, a new one where there is none.
    fn warm(&mut self, rows: &[ChainRow], declared: Declared, last: LastChain) {
        let now = self.here.now;
        let mut deadline = now.plus_nanos(self.parameters.epochs.warming_max_ns);
        let (mut same, mut abandoned) = (None, None);
        if let Some(warming) = self.warming.take() {
            if warming.epoch.record.id == declared.topology.id {
                same = Some(warming);
            } else {
                deadline = deadline.min(warming.epoch.state.deadline);
                self.history.put(&warming.epoch.abandon(self.here.moment()));
                abandoned = Some(warming.models);
            }
        }
        let is_new = same.is_none();
        let mut warming = same.unwrap_or_else(|| Living {
            epoch: Epoch::born(declared.topology, self.here.moment(), deadline),
            models: timed((self.makers.epoch)(&self.here.symbol, &self.parameters), Scope::Epoch),
            chain: None,
        });
        let kept = warming.epoch.live.refresh(rows, &declared.row_of_slot, now);
        self.counters.count_kept(kept);
        warming.chain = Some(last);
        if is_new {
            warming.epoch.live.put_inventories(|id| self.tape.inventory(id));
            let active = self.active.as_ref().map(|a| a.models.as_slice());
            let before = abandoned.as_deref().or(active).unwrap_or_default();
            let market = self.here.market(Some(warming.epoch.live.book()));
            inherit(&mut warming.models, before, &market);
        }
        warming.epoch.record.chains += 1;
        warming.tell(&Change::Chain, &self.here);
        self.history.put(&warming.epoch.record);
        self.warming = Some(warming);
        if is_new {
            self.assign_slots();
        }
    }

    pub(super) fn assign_slots(&mut self) {
        let active = self.active.as_ref().map(|a| &*a.epoch.live.book().topology);
        let warming = self.warming.as_ref().map(|w| &*w.epoch.live.book().topology);
        self.instruments.assign(active, warming);
    }
}
