//! `CertificateService`: trading days certified, and the key that signs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orrery_journal::proof::certificates::CertificateId;
use orrery_journal::units::TradingDay;
use orrery_proto::v1;
use orrery_proto::v1::certificate_service_server::CertificateService;
use orrery_replay::certificate::text::FieldDifference;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::calls::{Calls, deadline};
use super::proving::{self, WantedCertificate};
use super::status::{refusal, status_of};
use super::{Backend, BackendError, convert};

/// A certificate as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Which one.
    pub id: CertificateId,
    /// The signed note.
    pub note: String,
}

/// A day that is certified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// The certificate.
    pub kept: Kept,
    /// Whether it was made now.
    pub made: bool,
}

/// A certificate held against everything that it states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The certificate.
    pub kept: Kept,
    /// What differs; nothing when it holds.
    pub differences: Vec<FieldDifference>,
}

/// A new key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotated {
    /// The checkpoint that both have signed.
    pub handover: String,
    /// The new key.
    pub key: String,
}

/// What auditors ask. Methods may block for as long as a day is long; `progress`
/// may break them off.
pub trait Certifying {
    /// Certifies a day that is over.
    ///
    /// # Errors
    /// A day that is not over, not there or certified otherwise, damage, a log
    /// that must not sign.
    fn seal(
        &self,
        day: TradingDay,
        again: bool,
        origin: Option<&str>,
        progress: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Sealed, BackendError>;

    /// All certificates, ascending.
    ///
    /// # Errors
    /// When they cannot be read.
    fn certificates(&self) -> Result<Vec<Kept>, BackendError>;

    /// One of them.
    ///
    /// # Errors
    /// When there is none.
    fn certificate(&self, wanted: WantedCertificate) -> Result<Kept, BackendError>;

    /// Finds everything that a certificate states anew.
    ///
    /// # Errors
    /// When there is none, damage.
    fn verify(
        &self,
        wanted: WantedCertificate,
        from_scratch: bool,
        progress: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Verified, BackendError>;

    /// Puts a new key in place of the one that signs.
    ///
    /// # Errors
    /// A log that must not sign.
    fn rotate(&self) -> Result<Rotated, BackendError>;
}

/// The service.
pub struct Certificates {
    calls: Calls,
    busy: Arc<AtomicBool>,
    shutdown: CancellationToken,
}

/// Holds the one place for work.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Certificates {
    pub(super) fn new(calls: Calls, shutdown: CancellationToken) -> Certificates {
        Certificates { calls, busy: Arc::default(), shutdown }
    }

    /// Works for as long as it takes, one at a time; ends when the server does.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend, &mut dyn FnMut() -> ControlFlow<()>) -> Result<T, BackendError>
        + Send
        + 'static,
    ) -> Result<T, Status> {
        if self.busy.swap(true, Ordering::AcqRel) {
            let why = "a day is being certified or verified already; try again when that has ended";
            return Err(refusal(Code::ResourceExhausted, "BUSY", why));
        }
        let busy = Busy(Arc::clone(&self.busy));
        let (backend, shutdown) = (self.calls.backend(), self.shutdown.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _busy = busy;
            work(backend.as_ref(), &mut || match shutdown.is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        });
        let done =
            done.await.map_err(|_| refusal(Code::Internal, "PANIC", "it was not survived"))?;
        done.map_err(|e| status_of(&e))
    }
}

fn message(kept: Kept) -> v1::Certificate {
    let Kept { id, note } = kept;
    v1::Certificate { day: convert::date(id.day), number: id.number, note }
}

/// A certificate of a message; `None` when it names no day.
pub(super) fn kept(said: v1::Certificate) -> Option<Kept> {
    let v1::Certificate { day, number, note } = said;
    let day = convert::trading_day("day", day).ok()?;
    Some(Kept { id: CertificateId { day, number }, note })
}

#[tonic::async_trait]
impl CertificateService for Certificates {
    async fn seal(
        &self,
        request: Request<v1::SealRequest>,
    ) -> Result<Response<v1::SealResponse>, Status> {
        let v1::SealRequest { day, again, origin } = request.into_inner();
        let day = convert::trading_day("day", day)?;
        let sealed = self
            .work(move |b, progress| b.seal(day, again, proving::origin(&origin), progress))
            .await?;
        let Sealed { kept, made } = sealed;
        Ok(Response::new(v1::SealResponse { certificate: Some(message(kept)), made }))
    }

    async fn get_certificate(
        &self,
        request: Request<v1::GetCertificateRequest>,
    ) -> Result<Response<v1::GetCertificateResponse>, Status> {
        let patience = deadline(&request);
        let v1::GetCertificateRequest { day, number } = request.into_inner();
        let wanted = proving::certificate("day", day, number)?;
        let kept = self.calls.ask(patience, move |b| b.certificate(wanted)).await?;
        Ok(Response::new(v1::GetCertificateResponse { certificate: Some(message(kept)) }))
    }

    async fn list_certificates(
        &self,
        request: Request<v1::ListCertificatesRequest>,
    ) -> Result<Response<v1::ListCertificatesResponse>, Status> {
        let all = self.calls.ask(deadline(&request), |b| b.certificates()).await?;
        let certificates = all.into_iter().map(message).collect();
        Ok(Response::new(v1::ListCertificatesResponse { certificates }))
    }

    async fn verify_certificate(
        &self,
        request: Request<v1::VerifyCertificateRequest>,
    ) -> Result<Response<v1::VerifyCertificateResponse>, Status> {
        let v1::VerifyCertificateRequest { day, number, from_scratch } = request.into_inner();
        let wanted = proving::certificate("day", day, number)?;
        let found = self.work(move |b, progress| b.verify(wanted, from_scratch, progress)).await?;
        let Verified { kept, differences } = found;
        let difference = |d: FieldDifference| v1::CertifiedDifference {
            field: d.field,
            certified: d.certified,
            found: d.found,
        };
        Ok(Response::new(v1::VerifyCertificateResponse {
            certificate: Some(message(kept)),
            differences: differences.into_iter().map(difference).collect(),
        }))
    }

    async fn rotate_key(
        &self,
        _: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let Rotated { handover, key } = self.work(|b, _| b.rotate()).await?;
        Ok(Response::new(v1::RotateKeyResponse { handover, key }))
    }
}
