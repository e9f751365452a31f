//! Stored columns, format 1. Frozen: a change is a new module.
//!
//! Common columns first (kind, instrument, source, recv time of all events),
//! then, for each kind present in the order of its tag, the columns of its
//! schema over the events of that kind. Each field says how its values are
//! predicted; what is stored is the difference to the prediction, packed
//! (`pack.rs`). Prediction and difference wrap, so that any values at all come
//! back exactly. `FORMAT.md` says the same with every byte.

mod column;
mod decode;
mod divide;
mod encode;
mod group;
mod schema;
mod ticks;

pub(super) use decode::{Scratch, decode};
pub(super) use encode::Encoder as ColumnEncoder;
