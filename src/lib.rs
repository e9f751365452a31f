//! orrery: event-sourced stream processor for options-market structure.
//!
//! Everything that happens outside is written down once, in order, in the
//! journal. Everything else is a pure function of the journal. The rooms, in
//! the order in which a tick walks through them: feeds, (journal), partition
//! with market, models and views, (replay), shelf, projector, gateway, control.

pub mod app;
pub mod backend;
pub mod bundle;
pub mod cli;
pub mod clock;
pub mod control;
pub mod export;
pub mod feeds;
pub mod gateway;
pub mod import;
pub mod market;
pub mod models;
pub mod partition;
pub mod projector;
pub mod shelf;
pub mod telemetry;
pub mod views;
pub mod world;
