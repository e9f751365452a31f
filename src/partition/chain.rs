//! What a chain snapshot does: nothing when it is damaged, a refresh when the
//! topology is known, a new warming epoch when it is not.

use orrery_journal::event::{ChainRow, ChainRows, ChainSnapshot};
use orrery_journal::units::{Price, TradingDay};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::{Input, RestoreError};

use super::instruments::Role;
use super::living::{Living, tell, timed};
use super::{Counters, Partition};
use crate::market::book::SpotSource;
use crate::market::epoch::Epoch;
use crate::market::topology::{self, Declared};
use crate::models::{Change, Scope};

/// What the last chain that was believed looked like. Compared with only on its
/// own day: over night a chain may change as it likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Baseline {
    day: TradingDay,
    contracts: usize,
    had_gammas: bool,
}

impl Baseline {
    pub(super) fn save(self, e: &mut Encoder<'_>) {
        e.day(self.day);
        e.u64(self.contracts as u64);
        e.bool(self.had_gammas);
    }

    pub(super) fn restore(d: &mut Decoder<'_>) -> Result<Baseline, RestoreError> {
        let day = d.day()?;
        let contracts = usize::try_from(d.u64()?).map_err(|e| RestoreError(e.to_string()))?;
        Ok(Baseline { day, contracts, had_gammas: d.bool()? })
    }
}

type Reason = fn(&mut Counters) -> &mut u64;

impl Partition {
    pub(super) fn chain(&mut self, input: &Input<'_>, snapshot: &ChainSnapshot) {
        // A proxy's own chain comes here too, and is none of ours.
        if self.instruments.role(input.event.instrument) != Role::Underlying {
            return;
        }
        let Some(rows) = input.blob.and_then(|blob| ChainRows::decode(blob).ok()) else {
            return self.keep_out(|c| &mut c.damaged_unreadable);
        };
        let declared = topology::declare(
            &self.here.symbol,
            &rows,
            |id| self.instruments.contract(id),
            &self.parameters.topology,
        );
        self.counters.unknown_rows += u64::from(declared.unknown_rows);
        self.counters.duplicate_rows += u64::from(declared.duplicate_rows);
        if declared.topology.contracts.is_empty() {
            return self.keep_out(|c| &mut c.damaged_unreadable);
        }
        let seen = Baseline {
            day: self.here.day(),
            contracts: declared.topology.contracts.len(),
            had_gammas: rows.iter().any(has_gamma),
        };
        if let Some(reason) = self.suspicion(seen, &rows) {
            self.suspects += 1;
            if self.suspects < self.parameters.epochs.damage_patience {
                return self.keep_out(reason);
            }
        }
        self.suspects = 0;
        self.baseline = Some(seen);
        self.believe(input, snapshot, &rows, declared);
    }

    /// Journaled, counted, kept out of the fold.
    fn keep_out(&mut self, reason: Reason) {
        self.counters.damaged_chains += 1;
        *reason(&mut self.counters) += 1;
        self.status_changed();
    }

    /// Why a chain looks damaged beside the last one of the same day.
    fn suspicion(&self, seen: Baseline, rows: &[ChainRow]) -> Option<Reason> {
        let before = self.baseline.filter(|b| b.day == seen.day)?;
        let share = self.parameters.epochs.chain_share_min;
        if (seen.contracts as f64) < share * before.contracts as f64 {
            return Some(|c| &mut c.damaged_shrunk);
        }
        let open = rows.iter().any(|r| r.open_interest.is_some_and(|oi| oi > 0.0));
        if before.had_gammas && !seen.had_gammas && open {
            return Some(|c| &mut c.damaged_gammas);
        }
        None
    }

    fn believe(
        &mut self,
        input: &Input<'_>,
        snapshot: &ChainSnapshot,
        rows: &[ChainRow],
        declared: Declared,
    ) {
        let before = self.here.spot;
        if let Some(price) = snapshot.spot.filter(|p| p.0 > 0).map(Price::to_f64)
            && !self.here.observe(price, SpotSource::Chain, input.event.vendor_time)
        {
            self.counters.late_spots += 1;
        }
        let id = declared.topology.id;
        if self.active.as_ref().is_some_and(|a| a.epoch.record.id == id) {
            self.refresh_active(rows, &declared.row_of_slot);
        } else {
            self.warm(rows, declared);
        }
        self.spot_changed(before);
        // A new epoch has nothing chosen yet, whether or not the spot moved.
        self.choose_inner();
    }

    fn refresh_active(&mut self, rows: &[ChainRow], row_of_slot: &[usize]) {
        // The chain has gone back to what is published: nobody needs the other.
        if let Some(warming) = self.warming.take() {
            self.history.put(&warming.epoch.abandon(self.here.moment()));
            self.assign_slots();
        }
        let Some(active) = &mut self.active else { return };
        active.epoch.live.refresh(rows, row_of_slot, self.here.now);
        active.epoch.record.chains += 1;
        self.history.put(&active.epoch.record);
        active.tell(&Change::Chain, &self.here);
        let market = self.here.market(Some(active.epoch.live.book()));
        tell(&mut self.models, &Change::Chain, &market);
        self.status_changed();
    }

    /// Fills the warming epoch of this topology, a new one where there is none.
    fn warm(&mut self, rows: &[ChainRow], declared: Declared) {
        let now = self.here.now;
        let mut deadline = now.plus_nanos(self.parameters.epochs.warming_max_ns);
        let mut same = None;
        if let Some(warming) = self.warming.take() {
            if warming.epoch.record.id == declared.topology.id {
                same = Some(warming);
            } else {
                deadline = deadline.min(warming.epoch.state.deadline);
                self.history.put(&warming.epoch.abandon(self.here.moment()));
            }
        }
        let is_new = same.is_none();
        let mut warming = same.unwrap_or_else(|| Living {
            epoch: Epoch::born(declared.topology, self.here.moment(), deadline),
            models: timed((self.makers.epoch)(&self.here.symbol, &self.parameters), Scope::Epoch),
        });
        warming.epoch.live.refresh(rows, &declared.row_of_slot, now);
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

fn has_gamma(row: &ChainRow) -> bool {
    row.gamma.is_some_and(|g| g.is_finite() && g != 0.0)
        && row.open_interest.is_some_and(|oi| oi > 0.0)
}
