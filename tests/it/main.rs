//! What a user does, end to end. One binary, one module per subject.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

mod architecture;
mod asked;
mod bad_chain;
mod bad_input;
mod captured;
mod cli;
mod crash;
mod damage;
mod day;
mod determinism;
mod events;
mod export;
mod export_tables;
mod flow;
mod folding;
mod gravity;
mod grpc;
mod heatmap;
mod http;
mod import;
mod live;
mod lossless;
mod ops;
mod oracle;
mod proof;
mod properties;
mod python;
mod quality;
mod redis;
mod rooms;
mod served;
mod sse;
mod support;
mod symmetry;
mod views;
