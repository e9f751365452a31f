//! Harnesses that crash the journal in every way we know, and count what is
//! lost. Not part of the product.
//!
//! One binary: its `write` and `check` are the child, a real process on a real
//! disk that acknowledges to a pipe; the other commands are parents that end
//! it ([`kill`]), cut the power under it ([`cuts`]), rebuild what a power cut
//! may leave from its system calls ([`states`]) or have its calls fail
//! ([`inject`]). [`payload`] says what is written and knows it again.
//! `docs/reliability.md` says what is promised; [`ledger`] holds the counts.

// Harnesses wait, measure and print; no fold lives here.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

pub mod child;
pub mod cuts;
pub mod inject;
pub mod kill;
pub mod ledger;
pub mod parent;
pub mod payload;
pub mod random;
pub mod states;
