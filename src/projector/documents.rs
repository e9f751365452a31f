//! Finished documents by their delivery key, from Redis or from this process.
//!
//! Readers ask for keys of the registry and do not know which of the two
//! answers. Both give the same documents: the local one renders them with the
//! publisher's own code.

mod local;
mod remote;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast;

use self::local::Local;
use self::remote::Remote;
use super::link::{BusUrl, BusUrlError};
use super::registry::{Bus, KeySet, Kind, Name, RegisteredKey};
use crate::shelf::Shelf;

/// How many publications a slow reader may lag behind before it is told so.
const UPDATES_WAITING: usize = 1024;
/// How many keys one listing gives at most.
const KEYS_MAX: usize = 10_000;

/// A place that holds finished documents.
pub enum Documents {
    /// Rendered in this process from the shelf.
    Local(Local),
    /// As other clients see them.
    Redis(Remote),
}

/// A document could not be read.
#[derive(Debug, thiserror::Error)]
#[error("documents cannot be read: {0}")]
pub struct DocumentsError(pub String);

/// Something was published.
#[derive(Clone, Debug)]
pub struct Update {
    /// Channel as in the registry: `dealer_gravity_updated`,
    /// `massive:heatmap:diff:I:SPX`, or for documents without a channel the key.
    ///
    /// Where publications may have been missed (a lost connection), the key of
    /// a document that has a channel comes too, with the whole document:
    /// `massive:heatmap:model:I:SPX:latest`.
    pub channel: String,
    /// What was published there; for documents without a channel the document.
    pub payload: Bytes,
}

impl Documents {
    /// Documents of what stands on the shelf. Must be called inside a runtime:
    /// a task follows the shelf until the documents are dropped.
    #[must_use]
    pub fn local(shelf: Arc<Shelf>) -> Documents {
        Documents::Local(Local::follow(shelf))
    }

    /// Documents that Redis holds. Connects when first asked, and again
    /// whenever it must. Must be called inside a runtime: a task listens for
    /// publications until the documents are dropped.
    ///
    /// # Errors
    /// When an address cannot be used: clusters are written to, not read from.
    pub fn redis(system: &BusUrl, market: &BusUrl) -> Result<Documents, BusUrlError> {
        Remote::follow(system, market).map(Documents::Redis)
    }

    /// The document of a key, or `None` when nothing was published there.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn get(&self, bus: Bus, key: &str) -> Result<Option<Bytes>, DocumentsError> {
        match self {
            Documents::Local(local) => Ok(local.get(bus, key)),
            Documents::Redis(remote) => remote.get(bus, key).await,
        }
    }

    /// Keys with a prefix, ascending (`massive:model:spot:`), without trails:
    /// documents of the registry and nothing else.
    ///
    /// # Errors
    /// When Redis cannot be asked, or holds more keys than one listing gives.
    pub async fn keys(&self, bus: Bus, prefix: &str) -> Result<Vec<String>, DocumentsError> {
        match self {
            Documents::Local(local) => Ok(local.keys(bus, prefix)),
            Documents::Redis(remote) => remote.keys(bus, prefix).await,
        }
    }

    /// Publications from now on; a slow reader is told that it lagged.
    #[must_use]
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        match self {
            Documents::Local(local) => local.updates(),
            Documents::Redis(remote) => remote.updates(),
        }
    }
}

/// Whether a key is a document of ours.
fn is_document(key: &str) -> bool {
    RegisteredKey::parse(key).is_some_and(|key| key.entry().kind == Kind::String)
}

/// Whether an update carries the document itself. Not where a channel tells of
/// its changes, and not for names that repeat what the original's say.
fn is_told_whole(key: &RegisteredKey) -> bool {
    let channel = key.entry().channel.unwrap_or_default();
    let has_channel = channel == Name::GravityUpdated.entry().template
        || channel == Name::HeatmapDiff.entry().template;
    !has_channel && key.entry().set == KeySet::Marketswarm
}
