//! The way out: stretches by seq, time, kind and instrument, checked.

pub(crate) mod filter;
pub(crate) mod index;
pub(crate) mod reader;
pub(crate) mod sealed;
