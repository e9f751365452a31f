//! Views: pure functions of published bodies. A view owns no state, reads no
//! market and no clock; it only joins what models have already said.

pub mod context;

use std::collections::BTreeMap;

use bytes::Bytes;

/// Newest bodies of one partition's active epoch, by family.
pub type Bodies = BTreeMap<&'static str, Bytes>;

/// A pure function of bodies.
pub trait View: Send {
    /// Family of its artifacts.
    fn family(&self) -> &'static str;
    /// Named, versioned definitions, such as `context/nearest-node@1`.
    fn profile(&self) -> &'static str;
    /// Families that it reads; it is derived again when one of them changes.
    fn inputs(&self) -> &'static [&'static str];
    /// The canonical body, or `None` when what it needs is not there.
    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>>;
}

/// Every view, in the order in which they are derived.
#[must_use]
pub fn all() -> Vec<Box<dyn View>> {
    vec![Box::new(context::Context)]
}
