//! Where folding begins when the first days of a journal were dropped.
//!
//! The journal keeps what the folds knew after its last dropped event. That
//! state is put where every fold looks for a checkpoint, so that nothing else
//! needs to know of it.

use std::sync::Arc;

use orrery_journal::units::Seq;
use orrery_journal::{Journal, ReadError};

use crate::checkpoint::Purpose;
use crate::derived::{Derived, DerivedError};
use crate::engine::Engine;
use crate::fold::World;

/// Why folding cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginningError {
    /// Derived data could not be used.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The state is not one that this world can go on from.
    #[error(
        "the events up to {seq} were dropped by retention, and the state that is kept in their \
         place cannot be used ({why}); use the orrery that dropped them, or a copy made before"
    )]
    Unusable {
        /// The last dropped event.
        seq: Seq,
        /// Why not.
        why: String,
    },
}

/// Gives derived data the state that the journal keeps, if it lacks it.
pub(crate) fn begin(
    journal: &Journal,
    derived: &Derived,
    world: &Arc<dyn World>,
) -> Result<(), BeginningError> {
    let Some(cut) = journal.cut() else { return Ok(()) };
    if derived.checkpoints()?.iter().any(|r| r.seq == cut.last && r.address == cut.state) {
        return Ok(());
    }
    let bytes = journal.blob(cut.state)?;
    let why = match Engine::restore(Arc::clone(world), &bytes) {
        Ok(engine) if engine.position().seq == cut.last => {
            derived.begin_at(cut.last)?;
            derived.put_checkpoint(cut.last, bytes, Purpose::Opening)?;
            return Ok(());
        }
        Ok(engine) => format!("it stands at event {}", engine.position().seq),
        Err(error) => error.to_string(),
    };
    Err(BeginningError::Unusable { seq: cut.last, why })
}
