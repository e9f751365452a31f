//! What the gateway asks of journal and replay, answered by the archive.

use std::error::Error as _;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::units::Seq;
use orrery_replay::artifact::Header;

use crate::backend::Archive;
use crate::control::{AsOf, Backend, BackendError, Which};
use crate::gateway::{Annotation, At, House, HouseError};

/// Descriptor of the source that HTTP is.
const SOURCE: &str = r#"{"feed":"http"}"#;

/// The archive, as the gateway sees it.
pub struct Rooms(pub Arc<Archive>);

impl House for Rooms {
    fn artifact(
        &self,
        symbol: &str,
        family: &str,
        at: At,
    ) -> Result<Option<(Header, Bytes)>, HouseError> {
        let which = match at {
            At::Version(version) => Which::Version(version),
            At::Seq(seq) => Which::AsOf(AsOf::Seq(seq)),
            At::Time(time) => Which::AsOf(AsOf::Time(time)),
        };
        let archive: &dyn Backend = &*self.0;
        let Some(header) = archive.header(symbol, family, which).map_err(told)? else {
            return Ok(None);
        };
        let body = archive.body(&header).map_err(told)?;
        Ok(Some((header, body)))
    }

    fn annotate(&self, annotation: &Annotation) -> Result<Seq, HouseError> {
        let Annotation { symbol, json } = annotation;
        if !self.0.knows(symbol).map_err(told)? {
            return Err(HouseError::Unknown(format!("nothing is known of the symbol {symbol}")));
        }
        self.0.annotate(symbol, json.clone(), None, SOURCE).map_err(told)
    }
}

/// A refusal in the gateway's words. Causes may name paths of this machine: they
/// go into the log and not to the client.
fn told(error: BackendError) -> HouseError {
    match &error {
        BackendError::Unknown { .. } | BackendError::NoneLeft(_) => {
            HouseError::Unknown(error.to_string())
        }
        BackendError::OutOfRange { .. }
        | BackendError::Precondition(_)
        | BackendError::Invalid { .. }
        | BackendError::Field { .. } => HouseError::Invalid(error.to_string()),
        BackendError::Exhausted { .. } | BackendError::Unavailable(_) => {
            HouseError::Unavailable(error.to_string())
        }
        BackendError::Damaged(_) | BackendError::Internal(_) => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "a question over HTTP could not be answered");
            HouseError::Failed
        }
    }
}
