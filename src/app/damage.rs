//! Tells of chain snapshots that were kept out of the fold: once in the log for
//! each stretch that was folded, and as a number in `/metrics`.

use std::collections::BTreeMap;

use orrery_replay::engine::Engine;

use crate::partition::Partition;
use crate::telemetry::Metrics;

/// What was told already, by symbol.
pub struct DamageWatch {
    told: BTreeMap<Box<str>, u64>,
}

/// Damage that was not told before.
#[derive(Debug, PartialEq, Eq)]
struct News {
    symbol: Box<str>,
    snapshots: u64,
    /// Of the newest one; `None` when a chain has been believed since.
    reason: Option<(&'static str, u64)>,
}

impl DamageWatch {
    /// Begins after what the folds know already.
    pub fn new(engine: &Engine, metrics: &Metrics) -> DamageWatch {
        let mut watch = DamageWatch { told: BTreeMap::new() };
        watch.news(engine, metrics);
        watch
    }

    /// Tells what is new.
    pub fn look(&mut self, engine: &Engine, metrics: &Metrics) {
        for news in self.news(engine, metrics) {
            let (reason, seq) = news.reason.unwrap_or(("over", 0));
            tracing::warn!(
                symbol = &*news.symbol,
                snapshots = news.snapshots,
                reason,
                seq,
                "damaged chain snapshots are journaled and kept out of the fold; the last good \
                 one stays"
            );
        }
    }

    fn news(&mut self, engine: &Engine, metrics: &Metrics) -> Vec<News> {
        let (mut all, mut news) = (0, Vec::new());
        for symbol in engine.partitions() {
            let Some(partition) = engine.fold_as::<Partition>(symbol) else { continue };
            let damaged = partition.counters().damaged_chains;
            all += damaged;
            let told = self.told.entry(symbol.into()).or_default();
            if damaged > *told {
                let reason = partition.doubt().map(|d| (d.damage.name(), d.at.seq.0));
                news.push(News { symbol: symbol.into(), snapshots: damaged - *told, reason });
                *told = damaged;
            }
        }
        metrics.damaged_chains.set(i64::try_from(all).unwrap_or(i64::MAX));
        news
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use orrery_journal::event::{Body, Event, InlineText, JournalEvent, Quarantine, RefusalReason};
    use orrery_journal::units::{Address, InstrumentId, RecvTime, Seq, SourceId};

    use super::*;
    use crate::world::MarketWorld;

    fn take(engine: &mut Engine, seq: u64, body: Body) {
        let event = Event {
            recv: RecvTime(seq as i64),
            vendor_time: None,
            instrument: InstrumentId(1),
            source: SourceId(1),
            extended: false,
            body,
        };
        let next = JournalEvent { seq: Seq(seq), event };
        engine.apply(&next, None, &mut Vec::new()).expect("folded");
    }

    #[test]
    fn each_damaged_snapshot_is_told_once() {
        let world = MarketWorld::new(Default::default()).expect("defaults");
        let (mut engine, metrics) = (Engine::new(Arc::new(world)), Metrics::default());
        let damaged = || {
            let reason = RefusalReason::DamagedChain;
            Body::Quarantine(Quarantine { blob: Address::default(), reason })
        };
        take(&mut engine, 1, Body::InstrumentDefined(InlineText::Inline("I:SPX".into())));
        take(&mut engine, 2, damaged());
        let mut watch = DamageWatch::new(&engine, &metrics);
        assert_eq!(watch.news(&engine, &metrics), [], "known before it began");
        take(&mut engine, 3, damaged());
        take(&mut engine, 4, damaged());
        let reason = Some(("missing_page", 4));
        let news = News { symbol: "SPX".into(), snapshots: 2, reason };
        assert_eq!(watch.news(&engine, &metrics), [news]);
        assert_eq!(watch.news(&engine, &metrics), [], "told once");
        assert_eq!(metrics.damaged_chains.get(), 3);
    }
}
