//! Publishing once instead of going on: what a repair is made of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Publisher;
use crate::projector::stats::ProjectorStats;
use crate::shelf::ShelfKey;

/// Tries, and the pause between them: longer than a breaker rests.
const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(900);

impl Publisher {
    /// Sends these families whatever Redis says that it holds of them, and of
    /// all others what is newer than what it holds. Returns the counters; what
    /// could not be sent still waits.
    pub async fn once(mut self, again: BTreeSet<ShelfKey>) -> Arc<ProjectorStats> {
        for key in &again {
            self.ledger.lose(key);
        }
        for attempt in 1..=TRIES {
            self.pass().await;
            self.buses.survived();
            if self.stats.waiting.get() == 0 {
                break;
            }
            if attempt < TRIES {
                sleep(PAUSE).await;
            }
        }
        self.stats
    }
}
