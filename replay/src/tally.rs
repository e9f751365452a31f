//! Two streams of artifacts side by side: what differs, by family and by cell.
//!
//! Both sides come from the same events, so that they have the same instants.
//! At each instant at which either side has a new version, what the two show is
//! compared: cell by cell where their bodies differ. Nothing is kept but the
//! newest body of each family and what is counted, so a day of any length fits.

use std::collections::BTreeMap;

use orrery_journal::units::{Address, RecvTime, Seq};
use serde_json::Value;

use crate::artifact::Artifact;
use crate::derived::FamilyName;
use crate::diff;
use crate::engine::{Engine, Made};

/// Cells that are told apart; what differs beyond them is only counted.
pub const CELLS_KEPT: usize = 200_000;

/// Where a family first differs.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstDifference {
    /// The event that brought it out.
    pub at: Seq,
    /// When it was made.
    pub time: RecvTime,
    /// What the left side shows then; 0: nothing yet.
    pub left_version: u64,
    /// What the right side shows then; 0: nothing yet.
    pub right_version: u64,
    /// The cell with the biggest change; empty where a body is not known or not
    /// there.
    pub path: String,
    /// Its value on the left.
    pub left: Option<Value>,
    /// Its value on the right.
    pub right: Option<Value>,
}

/// What is known of a cell that differs at least once.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Instants at which it differs.
    pub times: u64,
    /// Sum of absolute changes, over the instants at which both are numbers.
    pub sum: f64,
    /// Largest absolute change; `None` where it never had two numbers.
    pub largest: Option<f64>,
    /// Relative change at that instant.
    pub relative: Option<f64>,
    /// The left value then, or at its first difference.
    pub left: Option<Value>,
    /// The right value then.
    pub right: Option<Value>,
    /// The event of that instant.
    pub at: Seq,
}

/// A family on both sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FamilyTally {
    /// Definitions of the newest left version.
    pub left_profile: Box<str>,
    /// Definitions of the newest right version.
    pub right_profile: Box<str>,
    /// Versions that the left side made.
    pub left_versions: u64,
    /// Versions that the right side made.
    pub right_versions: u64,
    /// Instants at which either side made one.
    pub instants: u64,
    /// Instants at which the two show different bodies.
    pub differing: u64,
    /// The first of them.
    pub first: Option<FirstDifference>,
    /// Cells that differed, by path.
    pub cells: BTreeMap<String, Cell>,
}

/// Both streams so far.
#[derive(Debug, Default)]
pub struct Tally {
    families: BTreeMap<FamilyName, FamilyTally>,
    shown: BTreeMap<FamilyName, [Option<Shown>; 2]>,
    cells: usize,
    /// Differing cells that found no place any more.
    pub untold: u64,
}

/// What a side shows of a family.
#[derive(Debug)]
struct Shown {
    version: u64,
    content: Address,
    /// Parsed when it is first needed.
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// It was made before anybody looked.
    Unknown,
    Bytes(bytes::Bytes),
    Parsed(Value),
}

impl Shown {
    fn of(artifact: &Artifact) -> Shown {
        let header = &artifact.header;
        let body = Body::Bytes(artifact.body.clone());
        Shown { version: header.version, content: header.content, body }
    }

    /// The body as JSON, null for what is none; `None` where it is unknown.
    fn parsed(&mut self) -> Option<&Value> {
        if let Body::Bytes(bytes) = &self.body {
            self.body = Body::Parsed(serde_json::from_slice(bytes).unwrap_or(Value::Null));
        }
        match &self.body {
            Body::Parsed(value) => Some(value),
            Body::Bytes(_) | Body::Unknown => None,
        }
    }
}

impl Tally {
    /// What both sides had shown before the first instant that counts.
    pub fn begin(&mut self, left: &Engine, right: &Engine) {
        for (side, engine) in [left, right].into_iter().enumerate() {
            for (symbol, family, line) in engine.lines() {
                self.showed(side, (symbol.into(), family.into()), (line.version, line.content));
            }
        }
    }

    /// The same for one family of one side, 0 for the left one.
    pub fn showed(&mut self, side: usize, name: FamilyName, (version, content): (u64, Address)) {
        if let Some(shown) = self.shown.entry(name).or_default().get_mut(side) {
            *shown = Some(Shown { version, content, body: Body::Unknown });
        }
    }

    /// Takes what both sides made of the same events.
    pub fn take(&mut self, left: &[Made], right: &[Made]) {
        type Pair<'a> = [Option<&'a Made>; 2];
        let mut instants: BTreeMap<(Seq, RecvTime), BTreeMap<FamilyName, Pair<'_>>> =
            BTreeMap::new();
        for (side, made) in [left, right].into_iter().enumerate() {
            for made in made {
                let header = &made.artifact.header;
                let name = (header.symbol.clone(), header.family.clone());
                let family = self.families.entry(name.clone()).or_default();
                let (profile, versions) = match side {
                    0 => (&mut family.left_profile, &mut family.left_versions),
                    _ => (&mut family.right_profile, &mut family.right_versions),
                };
                profile.clone_from(&header.profile);
                *versions += 1;
                let instant = instants.entry((made.at, header.created_at)).or_default();
                // Of several at one instant the last one is what is shown.
                if let Some(slot) = instant.entry(name).or_default().get_mut(side) {
                    *slot = Some(made);
                }
            }
        }
        for ((at, time), families) in instants {
            for (name, pair) in families {
                self.instant((at, time), name, pair);
            }
        }
    }

    fn instant(&mut self, (at, time): (Seq, RecvTime), name: FamilyName, pair: [Option<&Made>; 2]) {
        let shown = self.shown.entry(name.clone()).or_default();
        for (shown, made) in shown.iter_mut().zip(pair) {
            if let Some(made) = made {
                *shown = Some(Shown::of(&made.artifact));
            }
        }
        let family = self.families.entry(name).or_default();
        family.instants += 1;
        let [left, right] = shown;
        let version = |shown: &Option<Shown>| shown.as_ref().map_or(0, |s| s.version);
        let (left_version, right_version) = (version(left), version(right));
        let content = |shown: &Option<Shown>| shown.as_ref().map(|s| s.content);
        if content(left) == content(right) {
            return;
        }
        family.differing += 1;
        let bodies = left.as_mut().and_then(Shown::parsed);
        let bodies = bodies.zip(right.as_mut().and_then(Shown::parsed));
        let changes = bodies.map(|(left, right)| diff::diff(left, right)).unwrap_or_default();
        if family.first.is_none() {
            let biggest = changes.first();
            family.first = Some(FirstDifference {
                at,
                time,
                left_version,
                right_version,
                path: biggest.map(|c| c.path.clone()).unwrap_or_default(),
                left: biggest.and_then(|c| c.left.clone()),
                right: biggest.and_then(|c| c.right.clone()),
            });
        }
        for change in changes {
            if let Some(cell) = family.cells.get_mut(&change.path) {
                cell.again(at, change);
            } else if self.cells < CELLS_KEPT {
                self.cells += 1;
                family.cells.insert(change.path.clone(), Cell::first(at, change));
            } else {
                self.untold += 1;
            }
        }
    }

    /// Families of both sides, by symbol and name.
    #[must_use]
    pub const fn families(&self) -> &BTreeMap<FamilyName, FamilyTally> {
        &self.families
    }
}

impl Cell {
    fn first(at: Seq, change: diff::CellChange) -> Cell {
        let largest = change.absolute.map(f64::abs);
        Cell {
            times: 1,
            sum: largest.unwrap_or(0.0),
            largest,
            relative: change.relative,
            left: change.left,
            right: change.right,
            at,
        }
    }

    fn again(&mut self, at: Seq, change: diff::CellChange) {
        self.times += 1;
        let Some(size) = change.absolute.map(f64::abs) else { return };
        self.sum += size;
        if self.largest.is_none_or(|largest| size > largest) {
            self.largest = Some(size);
            self.relative = change.relative;
            (self.left, self.right, self.at) = (change.left, change.right, at);
        }
    }
}

impl FamilyTally {
    /// Cells that differed: biggest absolute change first, then those without a
    /// number by how often they differed, then by path.
    #[must_use]
    pub fn biggest(&self) -> Vec<(&str, &Cell)> {
        let mut cells: Vec<_> = self.cells.iter().map(|(path, c)| (path.as_str(), c)).collect();
        let size = |c: &Cell| c.largest.unwrap_or(-1.0);
        cells.sort_by(|(p, a), (q, b)| {
            size(b).total_cmp(&size(a)).then(b.times.cmp(&a.times)).then(p.cmp(q))
        });
        cells
    }

    /// Mean absolute change of a cell over all instants of the family.
    #[must_use]
    pub fn mean(&self, path: &str) -> Option<f64> {
        let cell = self.cells.get(path).filter(|c| c.largest.is_some())?;
        (self.instants > 0).then(|| cell.sum / self.instants as f64)
    }
}
