//! TLS of the listener, with or without certificates of clients.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// What one connection may hold of what its client does not take.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

/// Where keys and certificates lie, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Roots of the certificates that clients must have; `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

/// TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds nothing of the kind.
    #[error("{path} holds no {what} in PEM: {why}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why it does not; never a part of it.
        why: String,
    },
    /// The server's own certificate is of no use now.
    #[error("the certificate in {path} {why}; put a new one there", path = path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// Since when, or until when.
        why: String,
    },
    /// Key and certificate do not fit, or the like.
    #[error("TLS cannot be set up: {0}")]
    Unusable(String),
}

/// Speaks TLS with whoever connects.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    /// Whether clients must have a certificate.
    pub asks_clients: bool,
}

impl Tls {
    /// Reads keys and certificates; `now_ms` is what they must be valid at.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: &TlsFiles, now_ms: i64) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&files.certificate, "certificate")?;
        check_dates(&chain, &provider, &files.certificate, now_ms)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|e| no_file(&files.key, "private key", &e))?;
        let unusable = |e: &dyn std::fmt::Display| TlsError::Unusable(e.to_string());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&e))?;
        let config = match &files.client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let roots =
                    Arc::new(roots(&certificates(path, "certificate of clients' issuer")?)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                config.with_client_cert_verifier(verifier.build().map_err(|e| unusable(&e))?)
            }
        };
        let mut config = config.with_single_cert(chain, key).map_err(|e| unusable(&e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let asks_clients = files.client_ca.is_some();
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), asks_clients })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Whatever the client did wrong; [`told`] puts it into words.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let accepting = self.acceptor.accept_with(socket, |connection| {
            connection.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        });
        accepting.await
    }
}

/// Why a handshake failed, where it is worth a line in the log.
pub fn told(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "TLS: the client's certificate has expired",
        Some(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => "TLS: the client's certificate is not valid yet",
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "TLS: the client's certificate is of an issuer that is not ours"
        }
        Some(Error::InvalidCertificate(_)) => "TLS: the client's certificate is of no use",
        Some(Error::NoCertificatesPresented) => "TLS: the client has no certificate",
        Some(_) => "TLS: what the client says is no handshake that works here",
        None => "TLS: the client went away",
    }
}

fn no_file(path: &Path, what: &'static str, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), what, why: why.to_string() }
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path).map_err(|e| no_file(path, what, &e))?;
    let all: Result<Vec<_>, _> = all.collect();
    let all = all.map_err(|e| no_file(path, what, &e))?;
    match all.is_empty() {
        true => Err(no_file(path, what, &"there is none in it")),
        false => Ok(all),
    }
}

fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(|e| TlsError::Unusable(e.to_string()))?;
    }
    Ok(roots)
}

/// An expired certificate is said at the start, and not by each client. Nothing
/// but its dates is judged here: who trusts it is the clients' affair.
fn check_dates(
    chain: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
    path: &Path,
    now_ms: i64,
) -> Result<(), TlsError> {
    let (Some(first), Some(last)) = (chain.first(), chain.last()) else { return Ok(()) };
    // What cannot even be a root is for the handshake to judge.
    let Ok(roots) = roots(std::slice::from_ref(last)) else { return Ok(()) };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from("localhost")) else {
        return Ok(());
    };
    let now = u64::try_from(now_ms / 1000).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    let between = chain.get(1..).unwrap_or_default();
    let why = match verifier.verify_server_cert(first, between, &name, &[], now) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            format!("has expired ({} s after 1970)", not_after.as_secs())
        }
        Err(Error::InvalidCertificate(CertificateError::Expired)) => "has expired".to_owned(),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => "is not valid yet".to_owned(),
        _ => return Ok(()),
    };
    Err(TlsError::Expired { path: path.to_owned(), why })
}
