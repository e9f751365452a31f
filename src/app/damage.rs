//! Tells of chain snapshots that were kept out of the fold: once in the log for
//! each, and as a number in `/metrics`.

use std::collections::BTreeMap;

use orrery_replay::engine::Engine;

use crate::partition::Partition;
use crate::telemetry::Metrics;

/// What was told already, by symbol.
pub struct DamageWatch {
    told: BTreeMap<Box<str>, u64>,
}

impl DamageWatch {
    /// Begins after what the folds know already.
    pub fn new(engine: &Engine, metrics: &Metrics) -> DamageWatch {
        let mut watch = DamageWatch { told: BTreeMap::new() };
        watch.each(engine, metrics, |_, _, _| {});
        watch
    }

    /// Tells what is new.
    pub fn look(&mut self, engine: &Engine, metrics: &Metrics) {
        self.each(engine, metrics, |symbol, new, partition| {
            let reason = partition.doubt().map_or("unknown", |doubt| doubt.damage.name());
            let seq = partition.doubt().map_or(0, |doubt| doubt.at.seq.0);
            tracing::warn!(
                symbol,
                new,
                reason,
                seq,
                "a damaged chain snapshot is journaled and kept out of the fold; the last good \
                 one stays"
            );
        });
    }

    fn each(&mut self, engine: &Engine, metrics: &Metrics, tell: impl Fn(&str, u64, &Partition)) {
        let mut all = 0;
        for symbol in engine.partitions() {
            let Some(partition) = engine.fold_as::<Partition>(symbol) else { continue };
            let damaged = partition.counters().damaged_chains;
            all += damaged;
            let told = self.told.entry(symbol.into()).or_default();
            if damaged > *told {
                tell(symbol, damaged - *told, partition);
                *told = damaged;
            }
        }
        metrics.damaged_chains.set(i64::try_from(all).unwrap_or(i64::MAX));
    }
}
