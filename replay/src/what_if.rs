//! The same events under other definitions, or without some of them, beside
//! what was recorded. Nothing is written: not to the journal, not to derived
//! data, and nothing is published.

use std::ops::ControlFlow;
use std::sync::Arc;

use orrery_journal::units::Seq;
use orrery_journal::{Head, Journal};

use crate::artifact::Artifact;
use crate::as_of::{AsOfError, Moment, forward};
use crate::compare::{CompareError, Span};
use crate::derived::Derived;
use crate::driver::{Source, Threads, fold_range};
use crate::engine::{Engine, Made};
use crate::fold::World;
use crate::nearest::nearest;
use crate::tally::Tally;
use crate::without::Without;

/// Events that both sides fold before they are compared; bounds what is held.
const STEP_EVENTS: u64 = 16_384;

/// What to fold, and how.
pub struct Question<'a> {
    /// The events that are compared.
    pub span: Span,
    /// Definitions of the other side.
    pub world: &'a Arc<dyn World>,
    /// Events that the other side does not see.
    pub without: &'a Without,
    /// Threads that fold.
    pub threads: Threads,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct WhatIf {
    /// Events of the range.
    pub events: u64,
    /// Events before it that the other side was folded through.
    pub warm_up_events: u64,
    /// What differs; the record is on the left.
    pub tally: Tally,
    /// Whether the whole range was folded.
    pub complete: bool,
}

/// Folds a range as it was recorded and as the question has it, side by side.
///
/// Under other definitions everything before the range is folded anew, so that
/// the other side knows what it would have known. `seen` is told how far both
/// sides are and may end it.
///
/// # Errors
/// See [`CompareError`].
pub fn what_if(
    journal: &Journal,
    derived: &Derived,
    world: &Arc<dyn World>,
    question: &Question<'_>,
    seen: &mut dyn FnMut(Head) -> ControlFlow<()>,
) -> Result<WhatIf, CompareError> {
    let Span { first, last } = question.span;
    let head = journal.head().seq;
    if first < Seq::FIRST || first > last || last > head {
        return Err(CompareError::Range { first, last, head });
    }
    let before = Seq(first.0 - 1);
    let same = question.world.configuration() == world.configuration();
    // Nothing is left out before `without.from`: up to there the states agree.
    let alike = match question.without.sorts.is_empty() {
        true => before,
        false => before.min(Seq(question.without.from.0.saturating_sub(1))),
    };
    let mut left = nearest(derived, world, before)?;
    let mut right = match same {
        true => nearest(derived, world, alike)?,
        false => Engine::new(Arc::clone(question.world)),
    };
    let threads = question.threads;
    let remaining = question.without.of(journal);
    let mut found = WhatIf::default();
    let mut quiet = |folded: crate::driver::Folded| seen(folded.reached);
    let warmed = fold_range(journal, &mut left, before, threads, &mut quiet)?;
    let right_warmed = fold_range(&remaining, &mut right, before, threads, &mut quiet)?;
    found.warm_up_events = right_warmed.events;
    if warmed.stopped || right_warmed.stopped {
        return Ok(found);
    }
    found.tally.begin(&left, &right);
    let mut to = before;
    while to < last {
        let from = to;
        to = Seq(to.0.saturating_add(STEP_EVENTS)).min(last);
        let recorded = made_of(journal, &mut left, to, threads)?;
        let other = made_of(&remaining, &mut right, to, threads)?;
        found.tally.take(&recorded, &other);
        found.events += to.0 - from.0;
        if seen(left.position()).is_break() {
            return Ok(found);
        }
    }
    found.complete = true;
    Ok(found)
}

/// The newest artifact of a family at a moment, had other definitions been in
/// force from the first event on.
///
/// # Errors
/// See [`AsOfError`].
pub fn said(
    journal: &Journal,
    world: &Arc<dyn World>,
    at: Moment,
    symbol: &str,
    family: &str,
) -> Result<Option<Artifact>, AsOfError> {
    let mut engine = Engine::new(Arc::clone(world));
    let mut newest = None;
    forward(journal, &mut engine, at, &mut |made| {
        let header = &made.artifact.header;
        if *header.symbol == *symbol && *header.family == *family {
            newest = Some(made.artifact);
        }
        ControlFlow::Continue(())
    })?;
    Ok(newest)
}

fn made_of(
    source: &dyn Source,
    engine: &mut Engine,
    to: Seq,
    threads: Threads,
) -> Result<Vec<Made>, CompareError> {
    let mut made = Vec::new();
    fold_range(source, engine, to, threads, &mut |folded| {
        made.extend(folded.made);
        ControlFlow::Continue(())
    })?;
    let reached = engine.position().seq;
    if reached < to {
        return Err(orrery_journal::ReadError::Missing { from: reached.next(), to }.into());
    }
    Ok(made)
}
