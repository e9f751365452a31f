//! Stories of one partition, driven the way the engine drives it.

mod harness;
mod life;
mod property;
mod routing;
mod tape;
