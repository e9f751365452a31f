//! Replaying a range and comparing it with what was recorded.
//!
//! Every header that comes out is compared field by field with the recorded one
//! of the same version, every kept body with its hash, and every recorded
//! version must have come out. A difference names the event, the artifact, the
//! field (a header's, or a JSON pointer into the body) and both values.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::units::{Address, RecvTime, Seq, TradingDay};
use orrery_journal::{Head, Journal, ReadError};

use crate::artifact::{Artifact, Field, Header};
use crate::derived::{Derived, DerivedError, FamilyName};
use crate::diff::diff_bodies;
use crate::driver::{FoldError, Threads, fold_range};
use crate::engine::{Engine, Made};
use crate::fold::World;
use crate::nearest::nearest;

/// Differences kept in a comparison; all are counted.
pub const DIFFERENCES_KEPT: usize = 1_000;

/// Cells of one version that are told, the biggest change first; all are
/// counted.
pub const CELLS_TOLD: usize = 16;

/// Which artifacts are compared; all of them by default.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Selection {
    /// Symbols; all when empty.
    pub symbols: BTreeSet<Box<str>>,
    /// Families; all when empty.
    pub families: BTreeSet<Box<str>>,
}

impl Selection {
    /// Whether artifacts of a symbol's family are wanted.
    #[must_use]
    pub fn admits(&self, symbol: &str, family: &str) -> bool {
        (self.symbols.is_empty() || self.symbols.contains(symbol))
            && (self.families.is_empty() || self.families.contains(family))
    }
}

/// How to compare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompareOptions {
    /// Threads that fold; the result does not depend on it.
    pub threads: Threads,
    /// Stop after the stretch with the first difference.
    pub stop_at_first: bool,
    /// Fold from the first event on instead of from a checkpoint.
    pub from_scratch: bool,
    /// What is compared; everything is folded whatever it says.
    pub only: Selection,
}

impl Default for CompareOptions {
    fn default() -> CompareOptions {
        CompareOptions {
            threads: Threads::ONE,
            stop_at_first: true,
            from_scratch: false,
            only: Selection::default(),
        }
    }
}

/// Events to replay, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First event.
    pub first: Seq,
    /// Last event.
    pub last: Seq,
}

/// Why a comparison did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The journal has no events of that day.
    #[error("the journal has no events of {day}{}", known(.days))]
    NoSuchDay {
        /// As asked.
        day: TradingDay,
        /// What there is.
        days: Vec<TradingDay>,
    },
    /// The range is empty or lies outside of the journal.
    #[error("events {first} to {last} are no range of this journal, which ends at {head}")]
    Range {
        /// As asked.
        first: Seq,
        /// As asked.
        last: Seq,
        /// Where the journal ends.
        head: Seq,
    },
    /// Derived data could not be used.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event could not be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

fn known(days: &[TradingDay]) -> String {
    match days {
        [] => "; it is empty".to_owned(),
        [only] => format!("; it has {only}"),
        [first, .., last] => format!("; it has {} days, {first} to {last}", days.len()),
    }
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The event that brought the artifact out, or, where nothing came out, the
    /// last one that the recorded version had seen.
    pub seq: Seq,
    /// Partition.
    pub symbol: Box<str>,
    /// Family.
    pub family: Box<str>,
    /// Version.
    pub version: u64,
    /// Definitions that made it, as replayed where it came out.
    pub profile: Box<str>,
    /// A header's field, a JSON pointer into the body, `version` where one side
    /// has none, `body` or `header` where the record is damaged.
    pub field: Cow<'static, str>,
    /// The recorded value.
    pub recorded: String,
    /// The replayed value.
    pub replayed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { seq, symbol, family, version, profile, field, recorded, replayed } = self;
        write!(
            f,
            "event {seq}: {symbol} {family} v{version} ({profile}) {field}: recorded {recorded}, \
             replayed {replayed}"
        )
    }
}

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Events replayed in the range.
    pub events: u64,
    /// Artifacts compared.
    pub artifacts: u64,
    /// Events folded before the range to get there from the nearest checkpoint.
    pub warm_up_events: u64,
    /// All differences that were found, also those that are not kept below.
    pub difference_count: u64,
    /// The first of them, in order.
    pub differences: Vec<Difference>,
    /// Whether the whole range was replayed.
    pub complete: bool,
}

impl Comparison {
    /// Nothing differs, and everything was looked at.
    #[must_use]
    pub const fn identical(&self) -> bool {
        self.difference_count == 0 && self.complete
    }

    /// The first thing that differs.
    #[must_use]
    pub fn first_difference(&self) -> Option<&Difference> {
        self.differences.first()
    }

    fn add(&mut self, found: Found, told: &mut dyn FnMut(&Difference)) {
        self.difference_count += found.untold;
        for difference in found.differences {
            told(&difference);
            self.difference_count += 1;
            if self.differences.len() < DIFFERENCES_KEPT {
                self.differences.push(difference);
            }
        }
    }
}

/// One line per artifact: equal runs give equal lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// The event that brought it out.
    pub seq: Seq,
    /// Partition.
    pub symbol: Box<str>,
    /// Family.
    pub family: Box<str>,
    /// Version.
    pub version: u64,
    /// blake3 of the body.
    pub content: Address,
    /// Hash of the header, and with it of all versions before.
    pub header: Address,
}

impl TraceLine {
    /// The line of an artifact.
    #[must_use]
    pub fn of(made: &Made) -> TraceLine {
        let header = &made.artifact.header;
        TraceLine {
            seq: made.at,
            symbol: header.symbol.clone(),
            family: header.family.clone(),
            version: header.version,
            content: header.content,
            header: header.hash(),
        }
    }
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceLine { seq, symbol, family, version, content, header } = self;
        write!(f, "{seq} {symbol} {family} v{version} {content} {header}")
    }
}

/// The events of a day.
///
/// # Errors
/// When the journal has none.
pub fn day_span(journal: &Journal, day: TradingDay) -> Result<Span, CompareError> {
    let days = journal.days()?;
    match days.iter().find(|d| d.day == day) {
        Some(d) => Ok(Span { first: d.first, last: d.last }),
        None => {
            Err(CompareError::NoSuchDay { day, days: days.into_iter().map(|d| d.day).collect() })
        }
    }
}

/// Replays a range and compares it with what is recorded. `told` gets every
/// difference as it is found, `seen` the artifacts of each stretch after they
/// were compared, and where the fold stands; it may end the replay, which is
/// then not complete.
///
/// # Errors
/// See [`CompareError`]. A difference is a result, not an error.
pub fn compare(
    journal: &Journal,
    derived: &Derived,
    world: &Arc<dyn World>,
    span: Span,
    options: &CompareOptions,
    told: &mut dyn FnMut(&Difference),
    seen: &mut dyn FnMut(Head, &[Made]) -> ControlFlow<()>,
) -> Result<Comparison, CompareError> {
    let Span { first, last } = span;
    let head = journal.head().seq;
    if first < Seq::FIRST || first > last || last > head {
        return Err(CompareError::Range { first, last, head });
    }
    let mut comparison = Comparison::default();
    let before = Seq(first.0 - 1);
    let mut engine = match options.from_scratch {
        true => Engine::new(Arc::clone(world)),
        false => nearest(derived, world, before)?,
    };
    let warm_up = fold_range(journal, &mut engine, before, options.threads, &mut |_| {
        ControlFlow::Continue(())
    })?;
    comparison.warm_up_events = warm_up.events;
    let mut failed = None;
    // Families whose newest version differs: the next one's `previous` follows.
    let mut broken = BTreeSet::new();
    let summary = fold_range(journal, &mut engine, last, options.threads, &mut |folded| {
        for made in &folded.made {
            let header = &made.artifact.header;
            if !options.only.admits(&header.symbol, &header.family) {
                continue;
            }
            comparison.artifacts += 1;
            match check(derived, made, &mut broken) {
                Ok(found) => comparison.add(found, told),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            if options.stop_at_first && comparison.difference_count > 0 {
                return ControlFlow::Break(());
            }
        }
        comparison.events += folded.events;
        seen(folded.reached, &folded.made)
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if summary.stopped {
        return Ok(comparison);
    }
    let reached = engine.position();
    if reached.seq < last {
        return Err(ReadError::Missing { from: reached.seq.next(), to: last }.into());
    }
    let differences = not_replayed(derived, &engine, last, reached.recv, &options.only)?;
    comparison.add(Found { differences, untold: 0 }, told);
    comparison.complete = true;
    Ok(comparison)
}

/// What differs in one version: what is told, and how much more there is.
#[derive(Default)]
struct Found {
    differences: Vec<Difference>,
    untold: u64,
}

fn difference(
    seq: Seq,
    header: &Header,
    field: impl Into<Cow<'static, str>>,
    recorded: impl Into<String>,
    replayed: impl Into<String>,
) -> Difference {
    Difference {
        seq,
        symbol: header.symbol.clone(),
        family: header.family.clone(),
        version: header.version,
        profile: header.profile.clone(),
        field: field.into(),
        recorded: recorded.into(),
        replayed: replayed.into(),
    }
}

/// What differs between an artifact and the recorded version. A `previous` that
/// differs because the version before does is no news.
fn check(
    derived: &Derived,
    made: &Made,
    broken: &mut BTreeSet<FamilyName>,
) -> Result<Found, DerivedError> {
    let header = &made.artifact.header;
    let name = (header.symbol.clone(), header.family.clone());
    let follows = broken.remove(&name);
    let alone = |d: Difference| Found { differences: vec![d], untold: 0 };
    let recorded = match derived.header(&header.symbol, &header.family, header.version) {
        Ok(Some(recorded)) => recorded,
        Ok(None) => {
            broken.insert(name);
            let version = format!("v{}", header.version);
            return Ok(alone(difference(made.at, header, "version", "nothing", version)));
        }
        Err(DerivedError::Damaged { .. }) => {
            broken.insert(name);
            let hash = header.hash().to_string();
            return Ok(alone(difference(made.at, header, "header", "a damaged record", hash)));
        }
        Err(error) => return Err(error),
    };
    let fields: Vec<Field> = recorded.differing(header).collect();
    if !fields.is_empty() {
        broken.insert(name);
    }
    let mut found = Found::default();
    let body = match derived.body(&recorded) {
        Ok(body) => body,
        Err(DerivedError::Damaged { .. }) => {
            let content = header.content.to_string();
            found.differences.push(difference(
                made.at,
                header,
                "body",
                "a damaged record",
                content,
            ));
            None
        }
        Err(error) => return Err(error),
    };
    for field in fields.iter().copied().filter(|f| !(follows && *f == Field::Previous)).rev() {
        match (field, &body) {
            (Field::Content, Some(body)) => cells(made, body, &mut found),
            // Its length follows from the cells.
            (Field::BodyLen, Some(_)) if fields.contains(&Field::Content) => {}
            _ => {
                let (was, is) = (recorded.field(field), header.field(field));
                found.differences.push(difference(made.at, header, field.name(), was, is));
            }
        }
    }
    // Filled from the back, so that causes come before consequences.
    found.differences.reverse();
    Ok(found)
}

/// The cells in which a body differs from the recorded one, smallest first.
fn cells(made: &Made, recorded: &[u8], found: &mut Found) {
    let Artifact { header, body } = &made.artifact;
    let text = |v: Option<serde_json::Value>| v.map_or("nothing".to_owned(), |v| v.to_string());
    match diff_bodies(recorded, body) {
        Ok(changes) if !changes.is_empty() => {
            found.untold += changes.len().saturating_sub(CELLS_TOLD) as u64;
            let told = changes
                .into_iter()
                .take(CELLS_TOLD)
                .rev()
                .map(|c| difference(made.at, header, c.path, text(c.left), text(c.right)));
            found.differences.extend(told);
        }
        // The same values in other bytes, or no JSON: only the hashes tell.
        _ => {
            let was = Address::of(recorded).to_string();
            let is = header.content.to_string();
            found.differences.push(difference(made.at, header, "content", was, is));
        }
    }
}

/// Recorded versions that should have come out by the end of the range and did
/// not.
fn not_replayed(
    derived: &Derived,
    engine: &Engine,
    last: Seq,
    now: RecvTime,
    only: &Selection,
) -> Result<Vec<Difference>, DerivedError> {
    let mut missing = Vec::new();
    for (symbol, family) in derived.families()? {
        if !only.admits(&symbol, &family) {
            continue;
        }
        let mut version = engine.line(&symbol, &family).map_or(1, |l| l.version + 1);
        while let Some(header) = derived.header(&symbol, &family, version)? {
            if header.seq_last > last || header.created_at > now {
                break;
            }
            let recorded = format!("v{version}");
            missing.push(difference(header.seq_last, &header, "version", recorded, "nothing"));
            version += 1;
        }
    }
    missing.sort_by_key(|d| d.seq);
    Ok(missing)
}
