//! The way in: drafts and ticks become rows, rows frames and pages, one committer
//! makes them durable.

pub(crate) mod doomed;
pub(crate) mod intern;
pub(crate) mod seal;
pub(crate) mod stage;
pub(crate) mod tail;
pub(crate) mod writer;
