//! What can go wrong, one enum per operation.

use std::path::PathBuf;

use crate::day::Calendar;
use crate::store::StoreError;
use crate::units::{Address, Seq, TradingDay};

/// Why a journal did not open.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum OpenError {
    #[error("{path} is in use by {holder}; stop it, or use its API")]
    Locked { path: PathBuf, holder: String },
    #[error(
        "{path} was written by format {found}; this orrery reads up to {known}: use a newer one"
    )]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error(
        "events {from} to {to} were acknowledged and are missing; restore the directory from a copy"
    )]
    AcknowledgedLoss { from: Seq, to: Seq },
    #[error("{what} in {path} is damaged: {why}")]
    Damaged { path: PathBuf, what: &'static str, why: String },
    #[error(
        "{file} is damaged at byte {offset}: {what}. Nothing was opened or changed{}. Restore the \
         directory from a copy, and keep this one as evidence", readable(.last_good)
    )]
    Corrupt { file: PathBuf, offset: u64, last_good: Option<Seq>, what: String },
    #[error("the journal's calendar is {has:?}, not {wanted:?}; use another --data folder")]
    Calendar { has: Calendar, wanted: Calendar },
    #[error("cannot use {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl OpenError {
    /// Whether the data themselves are the reason: damaged, or lost.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            OpenError::AcknowledgedLoss { .. }
                | OpenError::Damaged { .. }
                | OpenError::Corrupt { .. }
                | OpenError::Read(_)
        )
    }
}

/// How far the events before damage go.
fn readable(last_good: &Option<Seq>) -> String {
    last_good.map_or_else(String::new, |seq| format!("; events up to {seq} lie before the damage"))
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReadError {
    #[error("page at seq {first} does not match its address (expected {expected}, got {got})")]
    AddressMismatch { first: Seq, expected: Address, got: Address },
    #[error("{what} at seq {first} cannot be decoded: {why}")]
    Undecodable { what: &'static str, first: Seq, why: String },
    #[error("events {from} to {to} are missing")]
    Missing { from: Seq, to: Seq },
    #[error(
        "events {from} to {to} were dropped by retention, with all days up to {day}; a copy that \
         was made before may hold them"
    )]
    Dropped { from: Seq, to: Seq, day: TradingDay },
    #[error("blob {address} does not match its address")]
    BlobMismatch { address: Address },
    #[error("blob {address} is missing")]
    BlobMissing { address: Address },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an append failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum AppendError {
    #[error("the journal stopped taking events after a failed write: {why}; reopen it")]
    Poisoned { why: String },
    #[error("the journal is closed")]
    Closed,
    #[error(
        "the disk is nearly full: {free} bytes are free and {reserve} are kept in reserve, so \
         nothing was taken. Make room (`orrery compact`, a larger disk) or lower --disk-reserve; \
         input resumes by itself"
    )]
    DiskFull { free: u64, reserve: u64 },
    #[error("{what} is full: {max} at most")]
    Exhausted { what: &'static str, max: u64 },
    #[error("{what} {id} is not defined in this journal")]
    Unknown { what: &'static str, id: u64 },
    #[error(
        "{field} {value} is how an event says that it has none, so nothing was taken: leave the \
         field out and let the draft take the message along as its extension"
    )]
    NoPlace { field: &'static str, value: u64 },
}
