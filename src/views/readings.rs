//! What views read in bodies: a body is parsed once for all views that want the
//! same of it, and not at all when none of them is derived.

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::models::Figures;

/// Something that is read in the body of a family.
pub trait Reading: Sized + Send + Sync + 'static {
    /// Reads a body; `None` when it is not what its family promises.
    fn read(body: &[u8]) -> Option<Self>;
}

type Kept = (TypeId, Option<Figures>);

/// What was read in one body so far. It follows from the body: it is part of no
/// state, and of no comparison.
#[derive(Default)]
pub struct Readings(Mutex<Vec<Kept>>);

impl Readings {
    /// What this type reads in the body.
    pub fn of<T: Reading>(&self, body: &[u8]) -> Option<Arc<T>> {
        // Whoever panicked while reading has left nothing half done.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = TypeId::of::<T>();
        if let Some((_, read)) = kept.iter().find(|(of, _)| *of == id) {
            return read.clone()?.downcast().ok();
        }
        let read = T::read(body).map(Arc::new);
        kept.push((id, read.clone().map(|read| read as Figures)));
        read
    }
}

impl Readings {
    /// Takes a reading from somebody who has no need to parse the body.
    pub fn hand(&self, figures: Figures) {
        let id = (*figures).type_id();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, _)| *of != id);
        kept.push((id, Some(figures)));
    }
}

impl Clone for Readings {
    fn clone(&self) -> Readings {
        Readings::default()
    }
}

impl PartialEq for Readings {
    fn eq(&self, _: &Readings) -> bool {
        true
    }
}

impl Eq for Readings {}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}
