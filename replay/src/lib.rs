//! Folding what happened: the journal in, versioned artifacts out.
//!
//! This room knows the journal and knows no model, no network and no clock.
//! Time is the recv time of events; the same events give the same bytes, live,
//! replayed, from a checkpoint, on any number of threads and in any batching.
//!
//! In the order in which an event walks through: [`driver`] reads stretches,
//! [`engine`] routes them and fires timers, a [`fold`] answers, [`ledger`]
//! makes [`artifact`]s of the answers, [`derived`] keeps them. [`catch_up`] and
//! [`follow`] run that for a data directory; [`as_of`], [`compare`],
//! [`diff`] and [`audit`] ask it questions; a [`session`] plays it again.
//! [`what_if`] folds the events [`without`] some of them, or under other
//! definitions, and a [`tally`] says what differs.
#![warn(missing_docs)]

pub mod artifact;
pub mod as_of;
pub mod audit;
pub mod beginning;
pub mod canonical;
pub mod catch_up;
pub mod certificate;
pub mod checkpoint;
pub mod compare;
pub mod corrected;
pub mod derived;
pub mod diff;
pub mod driver;
pub mod engine;
pub mod fold;
pub mod follow;
pub mod json;
pub mod ledger;
mod nearest;
mod pace;
mod routes;
pub mod session;
pub mod tally;
pub mod what_if;
pub mod without;
