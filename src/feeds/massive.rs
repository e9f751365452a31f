//! The vendor Massive: WebSocket messages and REST chain snapshots.

pub mod encode;
mod fields;
pub mod rest;
pub mod wire;

#[cfg(test)]
mod tests;
