//! What the folding room promises, from outside.
//!
//! `determinism` comes first: when it fails, nothing else here means anything.

mod determinism;

mod as_of;
mod certificate;
mod compare;
mod engine;
mod follow;
mod session;
mod toy;
mod what_if;
