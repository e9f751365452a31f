//! What do both buses hold? What they lost is due again.

use super::Publisher;
use crate::projector::registry::Bus;

impl Publisher {
    /// Asks both buses what they hold; what they lost is due again.
    pub(super) async fn reconcile(&mut self) {
        self.ledger.reconsider();
        for symbol in self.ledger.symbols() {
            self.reconcile_bus(Bus::Market, &symbol).await;
            if !self.buses.is_one() {
                self.reconcile_bus(Bus::System, &symbol).await;
            }
        }
    }

    async fn reconcile_bus(&mut self, bus: Bus, symbol: &str) {
        let Some(mut connection) = self.buses.link(bus, symbol).ready().await else { return };
        let entries = self.ledger.on_bus(symbol, bus, self.buses.is_one());
        let metas: Vec<_> = entries.iter().map(|e| e.meta.clone()).collect();
        let documents: Vec<_> =
            entries.iter().flat_map(|e| e.documents.iter().map(|d| &d.key)).collect();
        let asked = self.scripts.inspect(&mut connection, &metas, &documents).await;
        let (held, lengths) = match asked {
            Ok(answer) => answer,
            Err(error) => return self.failed(bus, symbol, &error, &[]),
        };
        let mut lost = self.ledger.lost(&entries, &held, &lengths, &self.lineage);
        if let Some(sample) = self.ledger.sample(symbol, bus, &entries, &held) {
            let asked: redis::RedisResult<Option<Vec<u8>>> =
                redis::cmd("GET").arg(sample.key.as_str()).query_async(&mut connection).await;
            match asked {
                Ok(found) if !sample.matches(found.as_deref()) => lost.push(sample.family),
                Ok(_) => {}
                Err(error) => self.failed(bus, symbol, &error, &[]),
            }
        }
        self.buses.link(bus, symbol).found_lost(lost.len());
        for key in lost {
            self.ledger.lose(&key);
        }
    }
}
