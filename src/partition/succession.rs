//! Other definitions in the same market: a partition that goes on from where
//! another stands, and one that takes its place.

use std::collections::BTreeSet;
use std::sync::Arc;

use orrery_journal::units::RecvTime;
use orrery_replay::canonical::Decoder;
use orrery_replay::fold::{Fold, Outbox, RestoreError};

use super::living::{Timed, tell};
use super::{Partition, state};
use crate::market::book::Market;
use crate::models::Change;
use crate::models::parameters::Parameters;
use crate::views::Bodies;

impl Partition {
    /// A partition in this one's market, under other parameters. Models whose
    /// parameters are the same go on from their state; `changed` has the kinds
    /// of profiles whose parameters differ. Their models begin here: those that
    /// read the book know all of it at once, those that add up begin with
    /// nothing. `None` when the market cannot be taken over.
    #[must_use]
    pub fn under(
        &self,
        parameters: Arc<Parameters>,
        changed: &BTreeSet<String>,
    ) -> Option<Partition> {
        let mut saved = Vec::new();
        self.save(&mut saved);
        let like = Partition::with_makers(self.symbol(), parameters, self.makers);
        let mut kept: BTreeSet<&'static str> = BTreeSet::new();
        let restore = &mut |models: &mut [Timed],
                            d: &mut Decoder<'_>,
                            restore: &state::RestoreOne<'_>|
         -> Result<(), RestoreError> {
            for _ in 0..d.count()? {
                let (family, profile) = (d.text()?, d.text()?);
                let due: Option<RecvTime> = d.option(Decoder::recv)?;
                let bytes = d.bytes()?;
                let kind = profile.split('/').next().unwrap_or(profile);
                let same = |t: &&mut Timed| {
                    (t.model.family(), t.model.profile()) == (family, profile)
                        && !changed.contains(kind)
                };
                if let Some(model) = models.iter_mut().find(same) {
                    restore(model, bytes)?;
                    model.due = due;
                    kept.insert(model.model.family());
                }
            }
            Ok(())
        };
        let mut partition = state::transplant(&like, &saved, restore).ok()?;
        partition.introduce(&kept);
        Some(partition)
    }

    /// Tells models that have just begun what is there already.
    fn introduce(&mut self, kept: &BTreeSet<&'static str>) {
        let here = &self.here;
        let fresh = |t: &Timed| !kept.contains(t.model.family());
        if let Some(active) = &mut self.active {
            let (book, chain) = (active.epoch.live.book(), active.chain.map(|c| c.at));
            for timed in active.models.iter_mut().filter(|t| fresh(t)) {
                begin(timed, here.market(Some(book)), chain);
            }
        }
        if let Some(warming) = &mut self.warming {
            let (book, chain) = (warming.epoch.live.book(), warming.chain.map(|c| c.at));
            for timed in warming.models.iter_mut().filter(|t| fresh(t)) {
                begin(timed, here.market(Some(book)), chain);
            }
        }
        let book = self.active.as_ref().map(|a| a.epoch.live.book());
        for timed in self.models.iter_mut().filter(|t| fresh(t)) {
            begin(timed, here.market(book), None);
        }
    }

    /// Takes the place of `before`: what it says goes on in the versions of that
    /// one, which begins anew beside it. Nothing that only the other could say
    /// is current any more.
    pub fn succeed(&mut self, before: &mut Partition) {
        self.bodies = std::mem::take(&mut before.bodies);
        self.bodies.withdraw_all();
    }

    /// Says everything, as at a promotion; what is due stays due, so that from
    /// here on it speaks when it would have spoken anyhow.
    pub fn say_all(&mut self, out: &mut Outbox) {
        let dues: Vec<_> = self.dues().map(|due| *due).collect();
        self.emit_all(out);
        for (due, was) in self.dues().zip(dues) {
            *due = was;
        }
    }

    fn dues(&mut self) -> impl Iterator<Item = &mut Option<RecvTime>> {
        let epoch = self.active.iter_mut().flat_map(|active| &mut active.models);
        let models = self.models.iter_mut().chain(epoch).map(|timed| &mut timed.due);
        let views = self.views.iter_mut().map(|timed| &mut timed.due);
        models.chain(views).chain([&mut self.status_due])
    }

    /// Begins its numbering anew: what it says from here on are first versions.
    pub fn begin_anew(&mut self) {
        self.bodies = Bodies::default();
    }
}

/// Tells a model what is there already; the chain came when it came, not now.
fn begin(timed: &mut Timed, mut market: Market<'_>, chain: Option<RecvTime>) {
    let models = std::slice::from_mut(timed);
    let now = market.now;
    if let Some(at) = chain {
        market.now = at;
        tell(models, &Change::Chain, &market);
    }
    market.now = now;
    if market.spot.is_some() {
        tell(models, &Change::Spot, &market);
    }
    tell(models, &Change::All, &market);
}
