//! Content-addressed bytes: raw vendor pages, chain rows, annotations.

use bytes::Bytes;

use crate::store::Store;
use crate::units::Address;
use crate::{ReadError, keys};

/// A blob, checked against its address.
pub(crate) fn get(store: &dyn Store, address: Address) -> Result<Bytes, ReadError> {
    let bytes = store.get(keys::BLOBS, &address.0)?.ok_or(ReadError::BlobMissing { address })?;
    if Address::of(&bytes) == address {
        Ok(bytes)
    } else {
        Err(ReadError::BlobMismatch { address })
    }
}
