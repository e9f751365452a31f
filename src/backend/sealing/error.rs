//! Why a day is not certified, or a certificate does not serve.

use orrery_journal::ReadError;
use orrery_journal::proof::certificates::CertificateId;
use orrery_journal::proof::notary::NotaryError;
use orrery_journal::proof::note::NoteError;
use orrery_journal::proof::prover::ProveError;
use orrery_journal::units::TradingDay;
use orrery_replay::as_of::AsOfError;
use orrery_replay::certificate::FactsError;
use orrery_replay::certificate::text::TextError;
use orrery_replay::derived::DerivedError;

use crate::backend::proving::ProvingError;
use crate::backend::reading;
use crate::control::BackendError;

/// Why a day is not certified, or a certificate does not serve.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The facts cannot be found.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// Nothing is signed.
    #[error(transparent)]
    Proving(#[from] ProvingError),
    /// The certificate cannot be read.
    #[error("certificate {id} cannot be read; put it back from a copy")]
    Text {
        /// Which one.
        id: CertificateId,
        /// Why.
        #[source]
        source: TextError,
    },
    /// Nobody of this log has signed it.
    #[error("no key of this log has signed certificate {id}; put it back from a copy")]
    Unsigned {
        /// Which one.
        id: CertificateId,
        /// Why.
        #[source]
        source: NoteError,
    },
    /// It was certified with other artifacts.
    #[error(
        "certificate {id} says {field} {certified}, and now it is {found}: other definitions make \
         other artifacts. --again certifies the day under the next number; the first one stays"
    )]
    Otherwise {
        /// Which one.
        id: CertificateId,
        /// First field that differs.
        field: String,
        /// What is certified.
        certified: String,
        /// What was found.
        found: String,
    },
    /// It was certified with other events.
    #[error(
        "certificate {id} says {field} {certified}, and the journal has {found}: these are not the \
         events that were certified, so nothing is signed. Restore the journal"
    )]
    OtherEvents {
        /// Which one.
        id: CertificateId,
        /// First field that differs.
        field: String,
        /// What is certified.
        certified: String,
        /// What was found.
        found: String,
    },
    /// There is none.
    #[error("{day} has no {what}; `orrery seal {day}` makes a certificate, once the day is over")]
    NotCertified {
        /// The day.
        day: TradingDay,
        /// What is missing.
        what: String,
    },
    /// There is no such artifact.
    #[error("there is no artifact {symbol} {family} v{version}")]
    NoArtifact {
        /// Symbol.
        symbol: String,
        /// Family.
        family: String,
        /// Version.
        version: u64,
    },
    /// The body is no text.
    #[error("the body of {symbol} {family} v{version} is no UTF-8; --header-only leaves it out")]
    NoText {
        /// Symbol.
        symbol: String,
        /// Family.
        family: String,
        /// Version.
        version: u64,
    },
    /// Derived data could not be used.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// The body could not be had.
    #[error(transparent)]
    Body(#[from] AsOfError),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<NotaryError> for SealingError {
    fn from(error: NotaryError) -> SealingError {
        SealingError::Proving(error.into())
    }
}

impl From<ProveError> for SealingError {
    fn from(error: ProveError) -> SealingError {
        SealingError::Proving(error.into())
    }
}

impl From<SealingError> for BackendError {
    fn from(error: SealingError) -> BackendError {
        match error {
            SealingError::Proving(e) => e.into(),
            SealingError::Read(e) | SealingError::Facts(FactsError::Read(e)) => reading::error(e),
            SealingError::Facts(FactsError::NoSuchDay { day }) => {
                BackendError::Unknown { what: "day", name: day.to_string() }
            }
            SealingError::NoArtifact { symbol, family, version } => BackendError::Unknown {
                what: "artifact",
                name: format!("{symbol} {family} v{version}"),
            },
            SealingError::Facts(FactsError::Stopped) => {
                BackendError::Unavailable("the server is stopping".to_owned())
            }
            error @ (SealingError::Facts(
                FactsError::Open { .. } | FactsError::Dropped { .. } | FactsError::Lineage { .. },
            )
            | SealingError::Text { .. }
            | SealingError::Unsigned { .. }
            | SealingError::Otherwise { .. }
            | SealingError::OtherEvents { .. }
            | SealingError::NotCertified { .. }
            | SealingError::NoText { .. }) => BackendError::Precondition(error.to_string()),
            error => BackendError::Internal(Box::new(error)),
        }
    }
}
