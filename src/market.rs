//! Contracts, chains, epochs, calendars and the maths that all models share.
//!
//! Knows no model, no feed, no clock.

pub mod black_scholes;
pub mod book;
pub mod calendar;
pub mod conditions;
pub mod correction;
pub mod epoch;
pub mod exponential;
pub mod implied;
pub mod live_book;
pub mod pricing;
pub mod side;
pub mod tape;
pub mod ticker;
pub mod topology;
