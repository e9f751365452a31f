//! What a user of the journal sees: one binary, one module per subject.

mod append;
mod bits;
mod copy;
mod crash;
mod damage;
mod faults;
mod format;
mod guard;
mod hostile;
mod model;
mod preflight;
mod proof;
mod reading;
mod repair;
mod retention;
mod rotation;
mod stores;
mod support;
mod ticks;
mod upgrade;
