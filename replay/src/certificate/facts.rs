//! What a day comes down to, found in two ways that must agree: from what is
//! recorded, which takes a read of the day's pages and headers, or by folding
//! the day again.
//!
//! An artifact is of the day whose events brought it out: for each family the
//! versions after the one that the opening state knew, up to the one that the
//! closing state knows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::event::{Body, Event, Kind, RefusalReason};
use orrery_journal::proof::merkle::{NoLeaf, Tree, TreeHash};
use orrery_journal::proof::prover::ProveError;
use orrery_journal::units::{Address, Seq, TradingDay};
use orrery_journal::{DaySummary, Head, Journal, ReadError};

use super::text::Facts;
use crate::artifact::Header;
use crate::derived::{Derived, DerivedError, FamilyName};
use crate::driver::{FoldError, Threads, fold_range};
use crate::engine::Engine;
use crate::fold::World;
use crate::nearest::nearest;

/// Where facts come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Recorded headers and checkpoints, each checked against its hash; every
    /// event is read.
    Recorded,
    /// The day folded again from its opening state.
    Folded,
    /// Everything folded again from the first event on.
    FromScratch,
}

/// Why there are no facts.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The journal has no events of that day.
    #[error("the journal has no events of {day}")]
    NoSuchDay {
        /// As asked.
        day: TradingDay,
    },
    /// The day may still get events.
    #[error(
        "{day} is not over: events may still come, and its last page is open. It ends with the \
         first event of the next trading day"
    )]
    Open {
        /// As asked.
        day: TradingDay,
    },
    /// Its events are gone.
    #[error("the events of {day} were dropped by retention; its certificate is what is left")]
    Dropped {
        /// As asked.
        day: TradingDay,
    },
    /// The record of artifacts is not whole.
    #[error(
        "{symbol} {family} v{version} is missing or does not follow the version before; delete the \
         derived folder, it is rebuilt"
    )]
    Lineage {
        /// Partition.
        symbol: Box<str>,
        /// Family.
        family: Box<str>,
        /// Version.
        version: u64,
    },
    /// The caller asked to stop.
    #[error("stopped before the end of the day")]
    Stopped,
    /// Derived data could not be used.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] ProveError),
    /// An event could not be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

impl From<NoLeaf> for FactsError {
    fn from(error: NoLeaf) -> FactsError {
        FactsError::Log(error.into())
    }
}

/// A journal, what is derived from it, and the folds: where facts are found.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// What happened.
    pub journal: &'a Journal,
    /// What follows from it.
    pub derived: &'a Derived,
    /// By which definitions.
    pub world: &'a Arc<dyn World>,
    /// Threads that fold; the result does not depend on it.
    pub threads: Threads,
}

/// The hashes of a day's headers: in the order of the artifact root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayArtifacts {
    /// First version of the day by symbol and family, and all hashes from it on.
    families: BTreeMap<FamilyName, (u64, Vec<Address>)>,
    /// Their profiles.
    profiles: BTreeSet<Box<str>>,
}

impl DayArtifacts {
    fn add(&mut self, header: &Header) {
        let name = (header.symbol.clone(), header.family.clone());
        let (_, hashes) = self.families.entry(name).or_insert((header.version, Vec::new()));
        hashes.push(header.hash());
        if !self.profiles.contains(&header.profile) {
            self.profiles.insert(header.profile.clone());
        }
    }

    fn leaves(&self) -> Vec<TreeHash> {
        self.families.values().flat_map(|(_, all)| all).map(|hash| TreeHash::leaf(*hash)).collect()
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.families.values().map(|(_, hashes)| hashes.len() as u64).sum()
    }

    /// Root over all of them.
    ///
    /// # Errors
    /// Never; every leaf is there.
    pub fn root(&self) -> Result<TreeHash, NoLeaf> {
        Tree::default().root(self.leaves().as_slice(), self.count())
    }

    /// Index and path of a version; `None` when it is not of the day.
    ///
    /// # Errors
    /// Never; every leaf is there.
    pub fn inclusion(
        &self,
        symbol: &str,
        family: &str,
        version: u64,
    ) -> Result<Option<(u64, Vec<TreeHash>)>, NoLeaf> {
        let mut before = 0;
        for ((of, name), (first, hashes)) in &self.families {
            if **of == *symbol && **name == *family {
                let at = version.checked_sub(*first).filter(|at| *at < hashes.len() as u64);
                let Some(at) = at else { return Ok(None) };
                let leaves = self.leaves();
                let path =
                    Tree::default().inclusion(leaves.as_slice(), before + at, self.count())?;
                return Ok(Some((before + at, path)));
            }
            before += hashes.len() as u64;
        }
        Ok(None)
    }
}

/// The facts of a day that is over.
///
/// # Errors
/// See [`FactsError`].
pub fn facts(
    ground: Ground<'_>,
    day: TradingDay,
    how: How,
    progress: &mut dyn FnMut(Head) -> ControlFlow<()>,
) -> Result<Facts, FactsError> {
    let day = summary(ground.journal, day)?;
    let before = Seq(day.first.0.saturating_sub(1));
    let mut engine = match how {
        How::FromScratch => Engine::new(Arc::clone(ground.world)),
        How::Recorded | How::Folded => nearest(ground.derived, ground.world, before)?,
    };
    fold(ground, &mut engine, before, &mut |_| {}, progress)?;
    let opening = Address::of(&engine.save());
    let mut tally = Tally::default();
    let artifacts = match how {
        How::Recorded => {
            // The opening state goes before the closing one comes.
            let opened = versions(&engine);
            engine = nearest(ground.derived, ground.world, day.last)?;
            fold(ground, &mut engine, day.last, &mut |_| {}, progress)?;
            recorded(ground.derived, &opened, &engine)?
        }
        How::Folded | How::FromScratch => {
            let mut made = DayArtifacts::default();
            fold(ground, &mut engine, day.last, &mut |header| made.add(header), progress)?;
            made
        }
    };
    for stretch in ground.journal.read(day.first, day.last) {
        let stretch = stretch?;
        tally.add(&stretch.events);
        let end = Seq(stretch.first.0 + stretch.events.len() as u64 - 1);
        let recv = stretch.events.last().map_or(day.last_recv, |event| event.recv);
        if how == How::Recorded && progress(Head { seq: end, recv }).is_break() {
            return Err(FactsError::Stopped);
        }
    }
    let log = ground.journal.prover();
    let (page, last_page) = (log.index_of(day.first)?, log.index_of(day.last)?);
    Ok(Facts {
        first: day.first,
        last: day.last,
        first_recv: day.first_recv,
        last_recv: day.last_recv,
        page,
        pages: last_page - page + 1,
        root: log.root(last_page + 1)?,
        opening,
        closing: Address::of(&engine.save()),
        configuration: engine.configuration(),
        artifacts: artifacts.count(),
        artifact_root: artifacts.root()?,
        profiles: artifacts.profiles.into_iter().collect(),
        kinds: tally.kinds.into_iter().collect(),
        gap_ns: tally.gap_ns,
        refused: tally.refused.into_iter().collect(),
    })
}

/// The artifacts of a day that is over, as recorded.
///
/// # Errors
/// See [`FactsError`].
pub fn artifacts(ground: Ground<'_>, day: TradingDay) -> Result<DayArtifacts, FactsError> {
    let day = summary(ground.journal, day)?;
    let before = Seq(day.first.0.saturating_sub(1));
    let state = |at| -> Result<Engine, FactsError> {
        let mut engine = nearest(ground.derived, ground.world, at)?;
        fold(ground, &mut engine, at, &mut |_| {}, &mut |_| ControlFlow::Continue(()))?;
        Ok(engine)
    };
    let opened = versions(&state(before)?);
    recorded(ground.derived, &opened, &state(day.last)?)
}

fn summary(journal: &Journal, day: TradingDay) -> Result<DaySummary, FactsError> {
    let found = journal.days()?.into_iter().find(|d| d.day == day);
    match found.ok_or(FactsError::NoSuchDay { day })? {
        DaySummary { dropped: true, .. } => Err(FactsError::Dropped { day }),
        DaySummary { sealed: false, .. } => Err(FactsError::Open { day }),
        over => Ok(over),
    }
}

/// Folds up to an event, if the engine does not stand there already.
fn fold(
    ground: Ground<'_>,
    engine: &mut Engine,
    to: Seq,
    seen: &mut dyn FnMut(&Header),
    progress: &mut dyn FnMut(Head) -> ControlFlow<()>,
) -> Result<(), FactsError> {
    let folded = fold_range(ground.journal, engine, to, ground.threads, &mut |folded| {
        folded.made.iter().for_each(|made| seen(&made.artifact.header));
        progress(folded.reached)
    })?;
    if folded.stopped {
        return Err(FactsError::Stopped);
    }
    let reached = engine.position().seq;
    match reached < to {
        true => Err(ReadError::Missing { from: reached.next(), to }.into()),
        false => Ok(()),
    }
}

/// Last version of each family, and its header's hash.
type Versions = BTreeMap<FamilyName, (u64, Address)>;

fn versions(engine: &Engine) -> Versions {
    let lines = engine.lines();
    lines
        .map(|(symbol, family, line)| ((symbol.into(), family.into()), (line.version, line.header)))
        .collect()
}

/// The headers between two states, each a link of the chain from what the one
/// knew to what the other knows.
fn recorded(
    derived: &Derived,
    opened: &Versions,
    closed: &Engine,
) -> Result<DayArtifacts, FactsError> {
    let mut found = DayArtifacts::default();
    for (symbol, family, line) in closed.lines() {
        let before = opened.get(&(symbol.into(), family.into()));
        let (last, mut previous) = before.copied().unwrap_or_default();
        for version in last + 1..=line.version {
            let broken =
                || FactsError::Lineage { symbol: symbol.into(), family: family.into(), version };
            let header = derived.header(symbol, family, version)?.ok_or_else(broken)?;
            if header.previous != previous {
                return Err(broken());
            }
            previous = header.hash();
            found.add(&header);
        }
        if previous != line.header {
            let (symbol, family, version) = (symbol.into(), family.into(), line.version);
            return Err(FactsError::Lineage { symbol, family, version });
        }
    }
    Ok(found)
}

/// What is counted of a day's events.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<Kind, u64>,
    gap_ns: u64,
    refused: BTreeMap<RefusalReason, u64>,
}

impl Tally {
    fn add(&mut self, events: &[Event]) {
        for event in events {
            *self.kinds.entry(event.body.kind()).or_default() += 1;
            match &event.body {
                Body::Gap(gap) => {
                    let length = gap.to.0.saturating_sub(gap.from.0);
                    self.gap_ns = self.gap_ns.saturating_add(u64::try_from(length).unwrap_or(0));
                }
                Body::Quarantine(refused) => {
                    *self.refused.entry(refused.reason).or_default() += 1;
                }
                _ => {}
            }
        }
    }
}
