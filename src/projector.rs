//! Carries artifacts of active epochs to those who read: Redis, or the local
//! documents that stand in for it when no Redis is configured.
//!
//! Knows the shelf and the shapes that clients expect; knows no model, no
//! journal and no clock. What it sends is final: whole artifacts, never ticks.

pub mod breaker;
pub mod documents;
pub mod inspect;
pub mod link;
pub mod publisher;
pub mod registry;
pub mod render;
pub mod stats;
