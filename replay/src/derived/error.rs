//! Why derived data could not be used; most often the answer is to delete it.

use orrery_journal::OpenError;
use orrery_journal::store::StoreError;
use orrery_journal::units::Address;

/// Why derived data could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DerivedError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The engine refused the folder.
    #[error(
        "derived data cannot be opened; `orrery verify --derived` says where it is damaged; delete the derived folder, it is rebuilt"
    )]
    Refused(#[source] OpenError),
    /// A record is damaged; delete `derived/` and it is rebuilt.
    #[error("{what} of derived data is damaged; delete the derived folder, it is rebuilt")]
    Damaged {
        /// Which record.
        what: String,
    },
    /// The folder was written in another layout.
    #[error(
        "derived data has format {found}, this orrery writes {known}; delete the derived folder, it is rebuilt"
    )]
    Format {
        /// As found.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The folder was derived under other parameters.
    #[error(
        "derived data was made under configuration {recorded}, this is {ours}; delete the derived folder, it is rebuilt"
    )]
    Configuration {
        /// As recorded.
        recorded: Address,
        /// Of the world at hand.
        ours: Address,
    },
    /// An artifact differs from what is recorded as the same version.
    #[error(
        "{symbol} {family} v{version} differs from what was recorded ({field}); run `orrery replay` for the day, or delete the derived folder to rebuild it"
    )]
    Diverged {
        /// Partition.
        symbol: Box<str>,
        /// Family.
        family: Box<str>,
        /// Version.
        version: u64,
        /// First field that differs.
        field: &'static str,
    },
    /// A version was handed in whose predecessor is not there.
    #[error(
        "{symbol} {family} v{version} cannot follow v{last}; delete the derived folder, it is rebuilt"
    )]
    Skipped {
        /// Partition.
        symbol: Box<str>,
        /// Family.
        family: Box<str>,
        /// Version that was handed in.
        version: u64,
        /// Last version that is there.
        last: u64,
    },
}
