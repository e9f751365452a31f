//! Bytes: canonical rows, frames, pages, blobs, and what stands beside them.
//!
//! Pure: bytes in, bytes out. `FORMAT.md` says the same with every byte.

pub(crate) mod blob;
pub(crate) mod canon;
pub(crate) mod contents;
pub(crate) mod cut;
pub(crate) mod definitions;
pub(crate) mod frame;
pub(crate) mod page;
#[doc(hidden)]
pub mod parts;
pub(crate) mod running;
pub(crate) mod summary;
