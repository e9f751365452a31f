//! Replaying a range and comparing it with what was recorded.
//!
//! Every header that comes out is compared field by field with the recorded one
//! of the same version, every kept body with its hash, and every recorded
//! version must have come out. The first difference names the event, the
//! artifact, the field and both values.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::units::{Address, RecvTime, Seq, TradingDay};
use orrery_journal::{Head, Journal, ReadError};

use crate::artifact::Header;
use crate::derived::{Derived, DerivedError};
use crate::driver::{FoldError, Threads, fold_range};
use crate::engine::{Engine, Made};
use crate::fold::World;
use crate::nearest::nearest;

/// Differences kept in a comparison; all are counted.
pub const DIFFERENCES_KEPT: usize = 1_000;

/// How to compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompareOptions {
    /// Threads that fold; the result does not depend on it.
    pub threads: Threads,
    /// Stop after the stretch with the first difference.
    pub stop_at_first: bool,
    /// Fold from the first event on instead of from a checkpoint.
    pub from_scratch: bool,
}

impl Default for CompareOptions {
    fn default() -> CompareOptions {
        CompareOptions { threads: Threads::ONE, stop_at_first: true, from_scratch: false }
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
    /// A header's field, `version` where one side has none, `body` or `header`
    /// where the record is damaged.
    pub field: &'static str,
    /// The recorded value.
    pub recorded: String,
    /// The replayed value.
    pub replayed: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { seq, symbol, family, version, field, recorded, replayed } = self;
        write!(
            f,
            "event {seq}: {symbol} {family} v{version} {field}: recorded {recorded}, replayed {replayed}"
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

    fn add(&mut self, difference: Difference) {
        self.difference_count += 1;
        if self.differences.len() < DIFFERENCES_KEPT {
            self.differences.push(difference);
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

/// Replays a range and compares it with what is recorded. `seen` gets the
/// artifacts of each stretch after they were compared, and where the fold
/// stands; it may end the replay, which is then not complete.
///
/// # Errors
/// See [`CompareError`]. A difference is a result, not an error.
pub fn compare(
    journal: &Journal,
    derived: &Derived,
    world: &Arc<dyn World>,
    span: Span,
    options: CompareOptions,
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
    let summary = fold_range(journal, &mut engine, last, options.threads, &mut |folded| {
        for made in &folded.made {
            match check(derived, made) {
                Ok(found) => found.into_iter().for_each(|d| comparison.add(d)),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        comparison.events += folded.events;
        comparison.artifacts += folded.made.len() as u64;
        seen(folded.reached, &folded.made)?;
        match options.stop_at_first && comparison.difference_count > 0 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
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
    for missing in not_replayed(derived, &engine, last, reached.recv)? {
        comparison.add(missing);
    }
    comparison.complete = true;
    Ok(comparison)
}

fn difference(
    seq: Seq,
    header: &Header,
    field: &'static str,
    recorded: impl Into<String>,
    replayed: impl Into<String>,
) -> Difference {
    Difference {
        seq,
        symbol: header.symbol.clone(),
        family: header.family.clone(),
        version: header.version,
        field,
        recorded: recorded.into(),
        replayed: replayed.into(),
    }
}

/// What differs between an artifact and the recorded version.
fn check(derived: &Derived, made: &Made) -> Result<Vec<Difference>, DerivedError> {
    let header = &made.artifact.header;
    let recorded = match derived.header(&header.symbol, &header.family, header.version) {
        Ok(Some(recorded)) => recorded,
        Ok(None) => {
            let version = format!("v{}", header.version);
            return Ok(vec![difference(made.at, header, "version", "nothing", version)]);
        }
        Err(DerivedError::Damaged { .. }) => {
            let hash = header.hash().to_string();
            return Ok(vec![difference(made.at, header, "header", "a damaged record", hash)]);
        }
        Err(error) => return Err(error),
    };
    let mut found: Vec<Difference> = recorded
        .differing(header)
        .map(|field| {
            let (was, is) = (recorded.field(field), header.field(field));
            difference(made.at, header, field.name(), was, is)
        })
        .collect();
    match derived.body(&recorded) {
        Ok(_) => {}
        Err(DerivedError::Damaged { .. }) => {
            let content = header.content.to_string();
            found.push(difference(made.at, header, "body", "a damaged record", content));
        }
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// Recorded versions that should have come out by the end of the range and did
/// not.
fn not_replayed(
    derived: &Derived,
    engine: &Engine,
    last: Seq,
    now: RecvTime,
) -> Result<Vec<Difference>, DerivedError> {
    let mut missing = Vec::new();
    let families: BTreeSet<_> = derived.families()?.into_iter().collect();
    for (symbol, family) in families {
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
