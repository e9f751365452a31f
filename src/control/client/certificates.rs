//! Certificates from a server.

use orrery_journal::units::TradingDay;
use orrery_proto::v1;
use orrery_replay::certificate::text::FieldDifference;
use tonic::Status;

use super::{Client, ClientError};
use crate::control::certificate::{self, Kept, Rotated, Sealed, Verified};
use crate::control::convert;
use crate::control::proving::WantedCertificate;

impl Client {
    fn kept(&self, said: Option<v1::Certificate>) -> Result<Kept, ClientError> {
        said.and_then(certificate::kept).ok_or_else(|| self.unclear())
    }

    fn answer<T>(&self, said: Result<tonic::Response<T>, Status>) -> Result<T, ClientError> {
        said.map(tonic::Response::into_inner).map_err(|e| self.refused(&e))
    }

    /// Has the server certify a day.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn seal(
        &mut self,
        day: TradingDay,
        again: bool,
        origin: Option<&str>,
    ) -> Result<Sealed, ClientError> {
        let origin = origin.unwrap_or_default().to_owned();
        let request = v1::SealRequest { day: convert::date(day), again, origin };
        let said = self.runtime.block_on(self.certificates.seal(request));
        let v1::SealResponse { certificate, made } = self.answer(said)?;
        Ok(Sealed { kept: self.kept(certificate)?, made })
    }

    /// A certificate.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn certificate(&mut self, wanted: WantedCertificate) -> Result<Kept, ClientError> {
        let (day, number) = (convert::date(wanted.day), wanted.number.unwrap_or_default());
        let request = v1::GetCertificateRequest { day, number };
        let said = self.runtime.block_on(self.certificates.get_certificate(request));
        let said = self.answer(said)?;
        self.kept(said.certificate)
    }

    /// All certificates.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn certificates(&mut self) -> Result<Vec<Kept>, ClientError> {
        let request = v1::ListCertificatesRequest {};
        let said = self.runtime.block_on(self.certificates.list_certificates(request));
        let said = self.answer(said)?.certificates;
        said.into_iter().map(|c| self.kept(Some(c))).collect()
    }

    /// Has the server find what a certificate states anew.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn verify_certificate(
        &mut self,
        wanted: WantedCertificate,
        from_scratch: bool,
    ) -> Result<Verified, ClientError> {
        let (day, number) = (convert::date(wanted.day), wanted.number.unwrap_or_default());
        let request = v1::VerifyCertificateRequest { day, number, from_scratch };
        let said = self.runtime.block_on(self.certificates.verify_certificate(request));
        let v1::VerifyCertificateResponse { certificate, differences } = self.answer(said)?;
        let difference = |d: v1::CertifiedDifference| FieldDifference {
            field: d.field,
            certified: d.certified,
            found: d.found,
        };
        let differences = differences.into_iter().map(difference).collect();
        Ok(Verified { kept: self.kept(certificate)?, differences })
    }

    /// Has the server put a new key in place of the one that signs.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn rotate_key(&mut self) -> Result<Rotated, ClientError> {
        let said = self.runtime.block_on(self.certificates.rotate_key(v1::RotateKeyRequest {}));
        let v1::RotateKeyResponse { handover, key } = self.answer(said)?;
        Ok(Rotated { handover, key })
    }
}
