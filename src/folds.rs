//! The rooms that fold, and nothing else: what turns the journal into
//! artifacts, compiled without a network, a clock, a thread or a feed.
//!
//! The package in `tests/folds` is made of this file. That it builds with the
//! few crates named there shows what a fold can reach; that it is small lets the
//! check build it in both profiles and compare what they compute.

pub mod market;
pub mod models;
pub mod partition;
pub mod views;
pub mod world;
