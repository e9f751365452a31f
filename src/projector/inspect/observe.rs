//! Looks at Redis now and then while a process serves, for its metrics.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Inspector;
use super::audit::{Audit, audit};
use super::health::{Health, health};

/// Round trips that are measured each time: enough for a p99 over some minutes,
/// too few to be felt.
const SAMPLES: u32 = 20;

/// What the last look has found.
#[derive(Clone, Debug)]
pub struct Observed {
    /// How the servers are.
    pub health: Health,
    /// What may not stand there; `None` when not all of them could be asked.
    pub audit: Option<Audit>,
    /// When it was found.
    pub at: Instant,
}

/// Where the last look is kept.
#[derive(Clone, Debug, Default)]
pub struct Observations(Arc<RwLock<Option<Arc<Observed>>>>);

impl Observations {
    /// The last look, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Observed>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks, and again whenever `every` has passed since the last look ended,
    /// until stopped. What is new among the findings is logged once.
    pub async fn keep(self, inspector: Inspector, every: Duration, stop: CancellationToken) {
        let mut told = Vec::new();
        loop {
            let observed = look(&inspector).await;
            tell(&observed, &mut told);
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(observed));
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(every) => {}
            }
        }
    }
}

async fn look(inspector: &Inspector) -> Observed {
    let Inspector { buses, ours, .. } = inspector;
    let health = health(buses, SAMPLES, ours).await;
    let audit = audit(buses, ours).await.ok();
    Observed { health, audit, at: Instant::now() }
}

fn tell(observed: &Observed, told: &mut Vec<(String, &'static str)>) {
    let Some(audit) = &observed.audit else { return };
    let now: Vec<_> = audit.findings.iter().map(|f| (f.key.clone(), f.problem.as_str())).collect();
    for finding in &audit.findings {
        let news = (finding.key.clone(), finding.problem.as_str());
        if !told.contains(&news) {
            let (bus, key, problem) = (&*finding.bus, &*finding.key, finding.problem.as_str());
            tracing::warn!(bus, key, problem, detail = &*finding.detail, "may not stand in Redis");
        }
    }
    *told = now;
}
