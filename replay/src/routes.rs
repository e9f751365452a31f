//! Which partitions want the events of which instrument, and what the numbers
//! of condition lists stand for.
//!
//! Built from defining events alone, so that it is a function of the journal
//! and of [`World::partitions`]. It only grows: a table that is newer
//! than an event routes that event the same way.

use std::collections::BTreeSet;
use std::sync::Arc;

use orrery_journal::units::{InstrumentId, Seq};

use crate::canonical::{Decoder, Encoder};
use crate::fold::{RestoreError, World};

/// One instrument.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Its ticker.
    pub(crate) ticker: Arc<str>,
    /// Where it was defined; no event before uses it.
    pub(crate) defined: Seq,
    /// Dense numbers of the partitions that want its events, ascending.
    pub(crate) partitions: Arc<[u32]>,
}

/// The table, by instrument id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    by_id: Vec<Option<Route>>,
    /// Each list of partitions once: thousands of contracts share one, which so
    /// stays at hand however many of them tick.
    lists: BTreeSet<Arc<[u32]>>,
    /// Partition names by dense number, in order of creation.
    names: Vec<Box<str>>,
    /// Condition lists by id, from 1.
    conditions: Vec<Arc<[u32]>>,
}

impl Routes {
    pub(crate) fn get(&self, id: InstrumentId) -> Option<&Route> {
        self.by_id.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Adds an instrument; partitions that nobody asked for before get the next
    /// numbers.
    pub(crate) fn define(&mut self, world: &dyn World, id: InstrumentId, ticker: &str, seq: Seq) {
        let mut partitions: Vec<u32> = Vec::new();
        for name in world.partitions(ticker) {
            let number = self.names.iter().position(|n| *n == name).unwrap_or_else(|| {
                self.names.push(name);
                self.names.len() - 1
            });
            partitions.push(number as u32);
        }
        partitions.sort_unstable();
        partitions.dedup();
        let partitions = match self.lists.get(&*partitions) {
            Some(list) => Arc::clone(list),
            None => {
                let list: Arc<[u32]> = partitions.into();
                self.lists.insert(Arc::clone(&list));
                list
            }
        };
        self.place(id, Route { ticker: ticker.into(), defined: seq, partitions });
    }

    /// The condition list of an id; 0 is the empty one.
    pub(crate) fn conditions(&self, id: u32) -> Option<&[u32]> {
        match id.checked_sub(1) {
            None => Some(&[]),
            Some(at) => self.conditions.get(at as usize).map(|list| &**list),
        }
    }

    /// Adds a condition list. Ids are dense and ascending; one that is known
    /// already, or that leaves a hole, is not taken.
    pub(crate) fn define_conditions(&mut self, id: u32, list: Arc<[u32]>) {
        if id as usize == self.conditions.len() + 1 {
            self.conditions.push(list);
        }
    }

    fn place(&mut self, id: InstrumentId, route: Route) {
        let at = id.0 as usize;
        if self.by_id.len() <= at {
            self.by_id.resize(at + 1, None);
        }
        if let Some(slot) = self.by_id.get_mut(at) {
            *slot = Some(route);
        }
    }

    /// Names first (they fix the dense numbers), then the instruments by id.
    /// Which partitions want a ticker is not saved: the configuration hash
    /// beside it says that the world would answer the same.
    pub(crate) fn save(&self, e: &mut Encoder<'_>) {
        e.count(self.names.len());
        for name in &self.names {
            e.text(name);
        }
        e.count(self.by_id.iter().flatten().count());
        for (id, route) in self.by_id.iter().enumerate() {
            if let Some(route) = route {
                e.u32(id as u32);
                e.seq(route.defined);
                e.text(&route.ticker);
            }
        }
        e.count(self.conditions.len());
        for list in &self.conditions {
            e.count(list.len());
            list.iter().for_each(|code| e.u32(*code));
        }
    }

    pub(crate) fn load(d: &mut Decoder<'_>, world: &dyn World) -> Result<Routes, RestoreError> {
        let mut routes = Routes::default();
        for _ in 0..d.count()? {
            routes.names.push(d.text()?.into());
        }
        let partitions = routes.names.len();
        let mut last = None;
        for _ in 0..d.count()? {
            let id = InstrumentId(d.u32()?);
            // Ids are dense and ascending, so a table is never larger than its bytes.
            if last.is_some_and(|l| id <= l) || id.0 as usize > routes.by_id.len() + d.left() {
                return Err(RestoreError(format!("instrument {} is out of order", id.0)));
            }
            last = Some(id);
            let defined = d.seq()?;
            let ticker = d.text()?;
            routes.define(world, id, ticker, defined);
        }
        for _ in 0..d.count()? {
            let list = d.list(Decoder::u32)?;
            routes.conditions.push(list.into());
        }
        if routes.names.len() != partitions {
            return Err(RestoreError(
                "an instrument belongs to a partition that is not saved".into(),
            ));
        }
        Ok(routes)
    }
}
