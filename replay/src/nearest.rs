//! Where folding may begin: the newest checkpoint that can be used.

use std::error::Error;
use std::sync::Arc;

use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{Journal, ReadError};

use crate::derived::{Derived, DerivedError};
use crate::engine::{Engine, EngineRestoreError};
use crate::fold::World;

/// The engine of the newest usable checkpoint at or before `seq`; a new one
/// when there is none. What cannot be used is skipped with a warning.
///
/// # Errors
/// When derived data cannot be read at all.
pub(crate) fn nearest(
    derived: &Derived,
    world: &Arc<dyn World>,
    seq: Seq,
) -> Result<Engine, DerivedError> {
    let mut bound = seq;
    while let Some(checkpoint) = derived.checkpoint_at_or_before(bound)? {
        match Engine::restore(Arc::clone(world), &checkpoint.bytes) {
            Ok(engine) if engine.position().seq == checkpoint.seq => return Ok(engine),
            Ok(_) => derived.skip(checkpoint.seq, &"it is of another position"),
            // A derived folder has one configuration, so no other one would do.
            Err(EngineRestoreError::Configuration { .. }) => break,
            Err(error) => {
                let why = error.source().map_or_else(String::new, |e| format!(": {e}"));
                derived.skip(checkpoint.seq, &format!("{error}{why}"));
            }
        }
        let Some(below) = checkpoint.seq.0.checked_sub(1) else { break };
        bound = Seq(below);
    }
    Ok(Engine::new(Arc::clone(world)))
}

/// The time of an event.
pub(crate) fn recv_of(journal: &Journal, seq: Seq) -> Result<Option<RecvTime>, ReadError> {
    if let Some(end) = journal.cut_end().filter(|end| end.seq == seq) {
        return Ok(Some(end.recv));
    }
    for stretch in journal.read(seq, seq) {
        let stretch = stretch?;
        let at = seq.0.checked_sub(stretch.first.0).and_then(|i| usize::try_from(i).ok());
        if let Some(event) = at.and_then(|i| stretch.events.get(i)) {
            return Ok(Some(event.recv));
        }
    }
    Ok(None)
}
